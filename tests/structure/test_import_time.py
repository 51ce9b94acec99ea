"""`import rungbook` costs next to nothing, nothing reaches for the network while it is imported, and `rung --help` answers at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

IMPORT_BUDGET, HELP_BUDGET = 0.3, 0.5  # seconds of CPU time (DESIGN, section 5)
HEAVY = ("sklearn", "pandas", "matplotlib", "pydantic", "scipy", "pyarrow", "PIL", "typer")

TIMED = """
import time
import torch
start = time.process_time()
import rungbook
print(time.process_time() - start)
"""
LOADED = """
import json, sys
import rungbook
print(json.dumps(sorted({m.split(".")[0] for m in sys.modules})))
"""
ALONE = """
import importlib, sys

def no_network(event, args):
    if event.startswith("socket.") and event not in ("socket.__new__", "socket.gethostname"):
        raise RuntimeError(f"{event} {args} while importing")

sys.addaudithook(no_network)
for name in sys.stdin.read().split():
    importlib.import_module(name)
    print(name)
"""


def python(code: str, *options: str, stdin: str = "") -> str:
    """What a fresh interpreter prints."""
    result = subprocess.run([sys.executable, *options, "-c", code], input=stdin, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def modules(checkout: Path) -> list[str]:
    src = checkout / "src"
    names = [".".join(p.relative_to(src).with_suffix("").parts).removesuffix(".__init__") for p in sorted(src.rglob("*.py"))]
    return [n for n in names if not n.endswith("__main__")]


def test_import_adds_little_to_torch() -> None:
    seconds: list[float] = []
    while len(seconds) < 5 and sum(s <= IMPORT_BUDGET for s in seconds) < 3:  # three of five within it decide the median of five
        seconds.append(float(python(TIMED)))
    assert sum(s <= IMPORT_BUDGET for s in seconds) == 3, seconds


def test_import_loads_nothing_heavy() -> None:
    loaded = set(json.loads(python(LOADED)))
    assert not loaded & set(HEAVY)
    assert "rungbook" in loaded


def test_import_uses_no_network(checkout: Path) -> None:
    names = modules(checkout)
    assert python(ALONE, stdin="\n".join(names)).split() == names
    with pytest.raises(AssertionError, match="while importing"):
        python(
            "import sys, types\n" + ALONE.replace("importlib.import_module(name)", "__import__('socket').gethostbyname('localhost')"),
            stdin="x",
        )


def test_help_answers_at_once() -> None:
    seconds = []
    for _ in range(5):
        before = os.times()
        help_text = python("import sys\nfrom rungbook.cli.main import main\nsys.argv = ['rung', '--help']\nmain()")
        after = os.times()
        seconds.append(after.children_user + after.children_system - before.children_user - before.children_system)
        assert "train" in help_text
    assert min(seconds) <= HELP_BUDGET, seconds  # what else the machine does only adds
