"""Commands to try and runs to try them on, for the tests of this folder."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

for _folder in (".", "../data"):
    sys.path.insert(0, str((Path(__file__).parent / _folder).resolve()))

from commands import Rung  # noqa: E402
from gallery import Gallery  # noqa: E402
from zygote import Zygote  # noqa: E402


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


@pytest.fixture(scope="session")
def zygote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    """Whole commands as processes of their own, which can be killed."""
    with Zygote(tmp_path_factory.mktemp("zygote")) as it:
        yield it
