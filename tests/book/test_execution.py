"""Every lesson, executed as a notebook without a network: it runs, warns of nothing, and stays within its budget."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import pytest

from rungbook.book.execute import Executed, execute, executing, executions_folder
from rungbook.book.lesson import Lesson, lessons, read
from rungbook.errors import DataError, EnvironmentProblem

pytestmark = [pytest.mark.lessons, pytest.mark.timeout(1200)]
KEPT = executions_folder()
"""Where `rung docs build` finds them: looked up before the tests get a cache of their own."""
LONGEST, AVERAGE = 60, 20
"""Seconds of processor time (DESIGN, section 5): of one lesson, and of all on average."""
HEAD = """\
# %% [markdown]
# # A lesson
#
# Does it run?

# %% tags=["about"]
covers = ["F01"]
rung = 1
minutes = 1

# %%
"""

Running = dict[str, Future[Executed]]


@pytest.fixture(scope="session")
def running(request: pytest.FixtureRequest) -> Iterator[Running]:
    """Every lesson that a chosen test wants, begun: one kernel a core."""
    params = [getattr(getattr(item, "callspec", None), "params", {}) for item in request.session.items]
    chosen = {p["lesson"].name: p["lesson"] for p in params if "lesson" in p}
    with executing(chosen.values(), KEPT) as begun:
        yield begun


@pytest.mark.parametrize("lesson", lessons(), ids=lambda lesson: lesson.name)
def test_a_lesson_runs_without_a_network_and_warns_of_nothing(lesson: Lesson, running: Running) -> None:
    done = running[lesson.name].result()
    assert not done.complaints()
    assert done.seconds <= LONGEST


def test_lessons_are_short_on_average(running: Running) -> None:
    if set(running) != {lesson.name for lesson in lessons()}:
        pytest.skip("only some lessons were chosen")
    seconds = [future.result().seconds for future in running.values()]
    assert sum(seconds) / len(seconds) <= AVERAGE


def made(folder: Path, code: str) -> Lesson:
    path = folder / "99_made.py"
    path.write_text(HEAD + code + "\n")
    return read(path)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import socket\nsocket.create_connection(('192.0.2.1', 80))", "Offline"),
        ("import urllib.request\nurllib.request.urlopen('http://example.org')", "Offline"),
        ("assert 1 + 1 == 3", "AssertionError"),
        ("from rungbook.book import no_such_name", "ImportError"),
    ],
)
def test_a_lesson_that_fails_is_named_with_its_cell(code: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"99_made.py, cell 3 .*{said}"):
        execute(made(tmp_path, code), tmp_path / "kept")
    assert not list(tmp_path.glob("kept/*"))


@pytest.mark.parametrize("left", ["", "{}", "[]", '{"cells": [', None], ids=["nothing", "no cells", "a list", "cut off", "half"])
def test_a_damaged_execution_is_made_again(left: str | None, tmp_path: Path) -> None:
    lesson = made(tmp_path, "print('out')")
    execute(lesson, tmp_path / "kept")
    (place,) = (tmp_path / "kept").iterdir()
    whole = place.read_text()
    place.write_text(whole[: len(whole) // 2] if left is None else left)
    again = execute(lesson, tmp_path / "kept")
    assert "out" in again.notebook.cells[-1].outputs[0].text
    assert len(place.read_text()) > len(whole) / 2


def test_a_folder_that_cannot_be_written_is_said_before_the_lesson_runs(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    lesson = made(tmp_path, "open('ran', 'w')")
    with pytest.raises(EnvironmentProblem, match="executed lessons are kept") as refused:
        execute(lesson, tmp_path / "file" / "kept")
    assert "RUNG_CACHE" in refused.value.fix


def test_a_lesson_that_fails_stops_the_others(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "slow").mkdir()
    slow, bad = made(tmp_path / "slow", "import time\ntime.sleep(300)"), made(tmp_path, "1 / 0")
    slow, bad = replace(slow, name="98_slow"), replace(bad, name="99_bad")
    with pytest.raises(DataError, match="ZeroDivisionError"), executing([slow, bad], tmp_path / "kept") as begun:
        begun["99_bad"].result()
    assert begun["98_slow"].cancelled() or begun["98_slow"].exception(), "it did not come to its end"
    assert not capfd.readouterr().err, "its kernel went without a word"


def test_a_warning_is_a_complaint_and_an_execution_is_kept(tmp_path: Path) -> None:
    lesson = made(tmp_path, "import warnings\nwarnings.warn('old')\nprint('out')")
    first = execute(lesson, tmp_path / "kept")
    assert "old" in first.complaints()[0]
    (place,) = (tmp_path / "kept").iterdir()
    before = place.stat().st_mtime_ns
    assert execute(lesson, tmp_path / "kept").complaints() == first.complaints()
    assert place.stat().st_mtime_ns == before  # taken up, not made again
    changed = made(tmp_path, "print('other')")
    assert not execute(changed, tmp_path / "kept").complaints()
    assert len(list((tmp_path / "kept").iterdir())) == 1  # what the older text gave is gone
