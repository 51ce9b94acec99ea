"""Fixtures of the tests that call the command: where it works, and runs to try it on."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import Rung
from gallery import Gallery


@pytest.fixture
def rung(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rung:
    """The command, run in this process; runs go to a folder of the test's own, which is not where the user works."""
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
