"""Every lesson, executed as a notebook without a network: it runs, warns of nothing, and stays within its budget."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path

import pytest

from rungbook.book.execute import Executed, execute, execute_all, executions_folder
from rungbook.book.lesson import Lesson, lessons, read
from rungbook.errors import DataError

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
def running(request: pytest.FixtureRequest) -> Running:
    """Every lesson that a chosen test wants, executed: one kernel a core."""
    params = [getattr(getattr(item, "callspec", None), "params", {}) for item in request.session.items]
    chosen = {p["lesson"].name: p["lesson"] for p in params if "lesson" in p}
    return {lesson.name: future for lesson, future in execute_all(chosen.values(), KEPT)}


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
