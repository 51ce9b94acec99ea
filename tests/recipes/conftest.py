"""The helpers of the command line's tests serve here too."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

for _folder in ("../cli", "../data"):
    sys.path.insert(0, str((Path(__file__).parent / _folder).resolve()))

from commands import Rung  # noqa: E402
from gallery import Gallery  # noqa: E402


@pytest.fixture
def rung(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rung:
    """The command, run in this process, with a folder of its own for runs."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("RUNG_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("COLUMNS", "80")
    return Rung(here, tmp_path / "runs", monkeypatch)


@pytest.fixture(scope="session")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Gallery:
    """Finished runs of every kind, trained once."""
    return Gallery.shared(tmp_path_factory)
