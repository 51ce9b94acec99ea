"""The wheel is what the tracked source says, byte for byte, each time it is built."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

SHIPPED = {"rungbook/ledger.jsonl": "results/ledger.jsonl", "rungbook/twins.json": "results/twins.json"}
"""Name in the wheel -> place in the checkout, of what is no code and comes along."""


def tracked(checkout: Path, folder: str) -> list[str]:
    if not (checkout / ".git").exists():
        pytest.skip("not a git checkout: which files are tracked is unknown")
    listed = subprocess.run(["git", "-C", str(checkout), "ls-files", "-z", folder], capture_output=True, check=True, text=True).stdout
    return sorted(n for n in listed.split("\0") if n and (checkout / n).is_file())


def build(tree: Path, out: Path) -> Path:
    """A wheel of the source tree; no network, no isolated environment."""
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000"}
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    result = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
    (wheel,) = out.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def trees(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two copies of the tracked files, in different places and with different times."""
    made = []
    for name in ("one", "another"):
        tree = tmp_path_factory.mktemp(name) / "checkout"
        for file in [*tracked(checkout, "src"), *tracked(checkout, "lessons"), *SHIPPED.values(), "pyproject.toml", "README.md", "LICENSE"]:
            (tree / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(checkout / file, tree / file)
        made.append(tree)
    return made


def test_built_twice_gives_the_same_bytes_and_only_tracked_files(checkout: Path, trees: list[Path], tmp_path: Path) -> None:
    wheels = [build(tree, tmp_path / str(i)) for i, tree in enumerate(trees)]
    assert len({hashlib.sha256(w.read_bytes()).hexdigest() for w in wheels}) == 1
    with zipfile.ZipFile(wheels[0]) as wheel:
        code = sorted(n for n in wheel.namelist() if ".dist-info/" not in n)
        homes = {name: SHIPPED.get(name, f"src/{name}".replace("src/rungbook/lessons/", "lessons/")) for name in code}
        assert sorted(homes.values()) == sorted([*tracked(checkout, "src"), *tracked(checkout, "lessons"), *SHIPPED.values()])
        for name, home in homes.items():
            assert wheel.read(name) == (checkout / home).read_bytes(), name
        extra = {n.split(".dist-info/")[1] for n in wheel.namelist() if ".dist-info/" in n}
    assert extra == {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE"}


def test_a_changed_file_changes_the_wheel(trees: list[Path], tmp_path: Path) -> None:
    before = build(trees[0], tmp_path / "before").read_bytes()
    with (trees[0] / "src" / "rungbook" / "errors.py").open("a") as file:
        file.write("# one line more\n")
    assert build(trees[0], tmp_path / "after").read_bytes() != before
