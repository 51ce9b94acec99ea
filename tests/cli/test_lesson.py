"""`rung lesson`: the list, a lesson in the terminal, a notebook of the user's own, and everything that can stand in the way."""

from __future__ import annotations

import errno
import json
import os
import re
import resource
import signal
import subprocess
import sys
import webbrowser
from pathlib import Path
from typing import Any

import pytest
from commands import Answer, Rung, snapshot

from rungbook import extras
from rungbook.book import notebook as notebooks
from rungbook.book.lesson import lessons, read
from rungbook.cli import lesson as command

WIDTH = 80
HEAD = """# %% [markdown]
# # {title}
#
# Does it run?

# %% tags=["about"]
covers = ["F01", "F02"]
rung = {rung}
minutes = 90
{more}
# %% [markdown]
# By [Paszke et al.](#paszke2019), with $a_{{i}}\\, b_{{j}} * c_{{k}} * d$, `code_with_$_in_it` and
#
# $$\\sum_i x_i
#   = 1$$

# %%
"""
SHOWS = """from rungbook.book import show, table
from rungbook.plot.style import draw

total = sum(value * weight for value, weight in zip([1.0, 2.0, 3.0], [4.0, 5.0, 6.0], strict=True))  # of three
print("one line that is far longer than a terminal is broad and says", total, "at its very end, which is here")
show(table([{"what": "a long story of many words", "who": "somebody of that name", "why": "nobody can say why this is so", "n": 12345}]))
show(draw(lambda ax: ax.plot([0, 1]), "A line from nought to one, told in so many words that no terminal shows them in one line."))

# %% [markdown]
# **Exercise.** Answer it.

# %%
answer = 42

# %% tags=["solution"]
hidden_from_readers = answer
print("seen only as output", answer)
"""


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four small lessons instead of ours: one that shows things, one that only prints, one that wants an extra, one that fails."""
    folder = tmp_path / "lessons"
    folder.mkdir()
    for name, rung, more, code in (
        ("01_shows", 0, "", SHOWS),
        ("02_prints", 1, "", "print('out')\n"),
        ("03_wants", 1, 'needs = ["book"]', "raise AssertionError('it ran')\n"),
        ("04_fails", 1, "", "done = 1\nassert done == 2, 'not two'\n"),
    ):
        (folder / f"{name}.py").write_text(HEAD.format(title=f"What {name[3:]}", rung=rung, more=more) + code)
    monkeypatch.setattr("rungbook.book.lesson.shipped", lambda name: folder)
    return folder


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What would have been started instead of JupyterLab; a browser is there."""
    commands: list[list[str]] = []
    monkeypatch.setattr(command, "_serve", lambda words: commands.append(words) or 0)
    monkeypatch.setattr(webbrowser, "get", lambda: object())
    return commands


def without(monkeypatch: pytest.MonkeyPatch, *gone: str) -> None:
    """Let modules be not installed."""
    find_spec = extras.find_spec
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name in gone else find_spec(name))


def said(answer: Answer, code: int, error: str, *words: str) -> None:
    """An error with its exit code and words, and no traceback."""
    assert answer.code == code, answer.text
    assert error in answer.err
    assert "Traceback" not in answer.err
    for word in words:
        assert word in answer.text


def test_all_lessons(rung: Rung) -> None:
    known, answer = lessons(), rung("lesson")
    assert answer.code == 0
    lines = answer.out.splitlines()
    assert max(map(len, lines)) <= WIDTH
    for one in known:
        assert f"{one.number} {one.title}, {one.minutes} minutes" in answer.text
        assert " ".join(one.covers) in answer.text
    assert [line.split()[1] for line in lines if line.startswith("rung ")] == [str(r) for r in sorted({one.rung for one in known})]
    assert lines[-1] == f"next: rung lesson {known[0].number}    in Jupyter: rung lesson {known[0].number} --open"
    told = rung("lesson --json").json["lessons"]
    assert [one["name"] for one in told] == [one.name for one in known]
    assert set(told[0]) == {"number", "name", "title", "question", "rung", "minutes", "covers", "needs", "path"}


def test_what_lessons_want_can_be_checked() -> None:
    assert all(group in extras.GROUPS for one in lessons() for group in one.needs)


def test_they_are_among_the_lists(rung: Rung, made: Path) -> None:
    answer = rung("list lessons")
    assert answer.code == 0
    assert "01_shows What shows (rung 0, 90 minutes)" in answer.text
    assert answer.out.splitlines()[-1] == "next: rung lesson 1"
    assert list(rung("list --json").json) == ["recipes", "models", "data", "lessons"]
    assert list(rung("list lessons --json").json["lessons"]) == ["01_shows", "02_prints", "03_wants", "04_fails"]
    assert "wants book" in rung("lesson").text


@pytest.mark.parametrize("word", ["1", "01", "shows", "01_shows"])
def test_a_lesson_in_the_terminal(word: str, rung: Rung, made: Path) -> None:
    answer = rung("lesson", word)
    assert answer.code == 0, answer.text
    assert max(map(len, answer.out.splitlines())) <= WIDTH + len(str(rung.runs)), "only a picture's place may be longer"
    for words in ("What shows", "Does it run?", "By Paszke et al.,", "code_with_$_in_it", "answer = 42", "seen only as output 42"):
        assert words in answer.text
    assert r"$a_{i}\, b_{j} * c_{k} * d$" in answer.out, "formulas stand as they are written"
    assert "$$\\sum_i x_i" in answer.out
    assert "\n= 1$$" in answer.out, "and so do their lines"
    assert "hidden_from_readers" not in answer.text
    assert "covers" not in answer.out
    assert re.search(r"^total = .*\n    \S.*# of three$", answer.out, re.MULTILINE), "the rest of a line of code is set in"
    assert re.search(r"^one line that is far longer .*\n    \S.*", answer.out, re.MULTILINE), "and so is the rest of what it prints"
    assert answer.text.count("12,345") == 1
    assert f"pictures: {rung.runs / 'lesson-01_shows'} (1)" in answer.text
    assert answer.out.splitlines()[-1] == "next: rung lesson 1 --open    rung lesson 2"
    assert (rung.runs / "lesson-01_shows" / "01.svg").read_text().startswith("<svg")
    assert not list(rung.here.iterdir())


def test_pictures_of_earlier_are_kept_and_no_folder_is_left_without_any(rung: Rung, made: Path) -> None:
    assert rung("lesson 1").code == 0
    before = snapshot(rung.runs)
    told = rung("lesson 1 --json")
    assert [Path(path).parent.name for path in told.json["pictures"]] == ["lesson-01_shows-2"]
    assert told.out.count("\n") == 1, "the line of JSON alone; the lesson is on standard error"
    assert "seen only as output 42" in told.err
    assert before.items() <= snapshot(rung.runs).items()
    nothing = rung("lesson 2 --json")
    assert nothing.json["pictures"] == []
    assert not (rung.runs / "lesson-02_prints").exists()


def test_what_was_made_for_pictures_goes_where_there_are_none(rung: Rung, made: Path) -> None:
    assert rung("lesson 2").code == 0
    assert not rung.runs.exists()


@pytest.mark.parametrize(
    ("word", "words"),
    [
        ("99", 'There is no lesson "99". fix: They are 1 to 4. All: rung lesson'),
        ("show", 'There is no lesson "show". fix: Did you mean shows?'),
        ("xyz", 'There is no lesson "xyz". fix: All: rung lesson'),
        ("", 'There is no lesson "". fix: All: rung lesson'),
    ],
)
def test_no_such_lesson(word: str, words: str, rung: Rung, made: Path) -> None:
    for more in ((), ("--open",)):
        said(rung("lesson", word, *more), 2, "E201", words)
    assert rung("lesson", word, "--json").json["exit"] == 2
    assert "Traceback" in rung("lesson", word, "--debug").err
    assert not list(rung.here.iterdir())


def test_open_wants_a_lesson(rung: Rung) -> None:
    said(rung("lesson --open"), 2, "E201", "--open wants a lesson. fix: rung lesson 1 --open")


def test_an_extra_that_is_missing_is_said_before_the_lesson_runs(rung: Rung, made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "sphinx", "myst_nb")
    for words in ("lesson 3", "lesson 3 --open"):
        answer = rung(words)
        said(answer, 4, "E404", 'Lesson 3 wants sphinx, myst_nb, which is not installed. fix: pip install "rungbook[book]"')
        assert "Does it run?" not in answer.out
    assert not list(rung.here.iterdir())
    monkeypatch.undo()


def test_jupyter_that_is_missing(rung: Rung, made: Path, started: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "jupyterlab")
    said(rung("lesson 2 --open"), 4, "E404", 'wants jupyterlab, which is not installed. fix: pip install "rungbook[notebook]"')
    assert rung("lesson 2 --open --json").json["error"] == "E404"
    assert not list(rung.here.iterdir()), "nothing is written before"
    assert not started


def test_a_lesson_that_fails(rung: Rung, made: Path) -> None:
    answer = rung("lesson 4")
    line = (made / "04_fails.py").read_text().splitlines().index("assert done == 2, 'not two'") + 1
    said(answer, 3, "E307", f"04_fails.py, line {line}: AssertionError: not two")
    assert "AssertionError: not two" in rung("lesson 4 --debug").err
    assert not rung.runs.exists()


def test_ctrl_c_while_a_lesson_runs(rung: Rung, made: Path) -> None:
    (made / "02_prints.py").write_text(HEAD.format(title="Stopped", rung=1, more="") + "raise KeyboardInterrupt\n")
    answer = rung("lesson 2")
    assert answer.code == 5
    assert "Traceback" not in answer.err
    assert rung("lesson 2 --json").json == {"status": "interrupted", "exit": 5}
    assert not rung.runs.exists()
    assert sys.modules["__main__"].__dict__.get("done") is None


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_a_folder_that_may_not_be_written(
    number: int, rung: Rung, made: Path, started: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, *_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number), str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "mkdir", refuse)
        answer = rung("lesson 1")
    said(answer, 4, "E405", "The pictures' folder", f"cannot be made: {os.strerror(number)}.", "fix: Name a folder of your own: RUNG_RUNS=")
    assert "Does it run?" not in answer.out, "said before the lesson runs"
    opened = Path.open
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", lambda path, mode="r", *a, **k: refuse(path) if mode == "x" else opened(path, mode, *a, **k))
        answer = rung("lesson 1 --open")
    said(answer, 4, "E405", f"01_shows.ipynb cannot be written: {os.strerror(number)}. fix: Change into a folder of your own")
    assert not started


def test_a_real_folder_that_may_not_be_written(rung: Rung, made: Path, started: list[list[str]]) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    rung.here.chmod(0o500)
    said(rung("lesson 1 --open"), 4, "E405", "Permission denied")
    rung.here.chmod(0o700)
    assert not list(rung.here.iterdir())


def test_a_folder_below_a_file(rung: Rung, made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (rung.here / "file").write_text("mine")
    monkeypatch.setenv("RUNG_RUNS", str(rung.here / "file" / "runs"))
    said(rung("lesson 1"), 4, "E405", "Not a directory")


def test_a_copy_that_cannot_be_finished_is_no_copy(rung: Rung, made: Path, started: list[list[str]]) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        answer = rung("lesson 1 --open")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    said(answer, 4, "E405", "01_shows.ipynb cannot be written: File too large.")
    assert not list(rung.here.iterdir())
    assert not started


def test_open_copies_here_and_starts_jupyter_on_the_copy(rung: Rung, made: Path, started: list[list[str]]) -> None:
    shipped = snapshot(made)
    answer = rung("lesson 1 --open")
    place = rung.here / "01_shows.ipynb"
    assert answer.code == 0, answer.text
    assert f"notebook: {place}" in answer.text
    assert started == [[sys.executable, "-m", "jupyterlab", str(place)]]
    cells = json.loads(place.read_text())["cells"]
    assert cells[0]["source"][0] == "# What shows\n"
    first = next(cell for cell in cells if cell["cell_type"] == "code")
    assert "".join(first["source"]) == notebooks.INSTALL
    assert not any("hidden_from_readers" in "".join(cell["source"]) for cell in cells)
    assert snapshot(made) == shipped
    assert rung("lesson 1 --open").code == 0
    assert snapshot(rung.here).keys() == {"01_shows.ipynb"}, "an unchanged copy is opened again"
    (rung.here / "runs").mkdir()
    told = rung("lesson 1 --open --json").json
    assert told["notebook"] == str(place)
    assert len(started) == 2, "with --json nothing is started"


def test_an_edited_copy_is_kept_and_one_that_only_ran_is_not_edited(rung: Rung, made: Path, started: list[list[str]]) -> None:
    place = rung.here / "01_shows.ipynb"
    rung("lesson 1 --open")
    ran = json.loads(place.read_text())
    for number, cell in enumerate(c for c in ran["cells"] if c["cell_type"] == "code"):
        cell["execution_count"] = number
        cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": ["out\n"]}]
    place.write_text(json.dumps(ran))
    before = snapshot(rung.here)
    assert "differs" not in rung("lesson 1 --open").text
    assert snapshot(rung.here) == before
    ran["cells"][-1]["source"] = ["answer = 43"]
    place.write_text(json.dumps(ran))
    (rung.here / "01_shows-2.ipynb").write_text("no notebook at all")
    (rung.here / "01_shows-3.ipynb").mkdir()
    before = snapshot(rung.here)
    for _ in range(2):
        answer = rung("lesson 1 --open")
        assert answer.code == 0
        go_on = "to go on with it: python -m jupyterlab 01_shows.ipynb"
        assert f"01_shows.ipynb is there, differs from the lesson and stays as it is; {go_on}" in answer.text
        assert f"notebook: {rung.here / '01_shows-4.ipynb'}" in answer.text
        assert started[-1][-1].endswith("01_shows-4.ipynb")
    after = snapshot(rung.here)
    assert after.keys() - before.keys() == {"01_shows-4.ipynb"}
    assert before.items() <= after.items()
    assert rung("lesson 1 --open --json").json["kept"] == str(place)


def test_a_browser_that_is_missing(rung: Rung, made: Path, started: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> None:
        raise webbrowser.Error("could not locate runnable browser")

    monkeypatch.setattr(webbrowser, "get", none)
    answer = rung("lesson 2 --open")
    assert answer.code == 0
    assert started[0][-1] == "--no-browser"
    assert "No browser was found: the address to open is printed below." in answer.text


def test_jupyter_that_ends_badly(rung: Rung, made: Path, started: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "_serve", lambda words: 1)
    said(rung("lesson 2 --open"), 4, "E407", "JupyterLab ended with exit code 1", "-m jupyterlab")


def test_ctrl_c_is_jupyters_own() -> None:
    """The server asks whether it is meant; killed at once it would leave its kernels behind."""
    program = "import os, signal, sys, time; os.kill(os.getppid(), signal.SIGINT); time.sleep(0.5); sys.exit(3)"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert command._serve([sys.executable, "-c", program]) == 3


def test_the_notebooks_first_code_installs_what_is_missing(made: Path) -> None:
    def first(name: str, hidden: bool) -> str:
        cells = notebooks.notebook(read(made / name), hidden=hidden).cells
        return next(cell.source for cell in cells if cell.cell_type == "code")

    assert first("01_shows.py", False).endswith('if importlib.util.find_spec("rungbook") is None:\n    %pip install -q rungbook')
    assert first("03_wants.py", False).endswith('%pip install -q "rungbook[book]"')
    assert "pip" not in first("01_shows.py", True), "what is executed for the site is the lesson alone"
    assert "%pip" not in (made / "01_shows.py").read_text()


def test_a_real_lesson_read_to_its_first_line_and_read_whole(rung: Rung) -> None:
    """As processes of their own: `rung lesson 1 | head -1`, and all of it."""
    words = [sys.executable, "-c", "from rungbook.cli.main import main; main()", "lesson", "1"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == lessons()[1].title
        process.stdout.close()
        assert process.stderr is not None
        complaints = process.stderr.read()
    assert (process.returncode, complaints) == (0, "")
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert max(map(len, done.stdout.splitlines())) <= WIDTH + len(str(rung.runs))
    assert list((rung.runs).glob("lesson-01_tensors*/*.svg"))
    assert not list(rung.here.iterdir())
