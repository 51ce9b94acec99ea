"""What the README shows works as it stands there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

from rungbook.cli.main import app

FIRST_THE_COMMAND = """
import sys
from rungbook.cli.main import main
sys.argv[1:] = {}
try:
    main()
except SystemExit as done:
    assert not done.code
"""
"""One interpreter for both: most of the time goes into starting it."""


@pytest.fixture(scope="module")
def readme(checkout: Path) -> str:
    return (checkout / "README.md").read_text()


def run(command: list[str], folder: Path, **environment: str) -> str:
    """Standard output of a command run in `folder`."""
    result = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_the_tour_from_python_runs(readme: str, tmp_path: Path) -> None:
    code, ladder = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    assert 'rungbook.load("1")' in code
    assert "rungbook.Tape()" in ladder
    command = ["train", "digits", "epochs=1", "lr=0.05", "seed=1", "--json"]
    first = FIRST_THE_COMMAND.format(command)
    code += "\nassert learner.validate(data.test)['accuracy'] > 0.9\nassert len(predictor.classes) == 10\n"
    code += ladder + "\nassert all(p.grad is not None for p in model.parameters())\n"
    said = run([sys.executable, "-W", "error", "-c", first + code], tmp_path, RUNG_RUNS=str(tmp_path / "runs"))
    assert json.loads(said.splitlines()[0])["run"].endswith("001-digits")
    assert "accuracy" in said
    assert {p.name for p in tmp_path.iterdir()} == {"runs"}


def test_every_command_shown_exists(readme: str) -> None:
    shown = re.findall(r"^rung (\w+)", readme, re.MULTILINE)
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    assert len(shown) >= 8
    assert set(shown) <= set(commands)
    assert set(commands) <= set(shown), "a command README does not show"
