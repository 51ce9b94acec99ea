"""`rung lesson`: what the course holds; with a number, a lesson in the terminal or as a notebook."""

from __future__ import annotations

import contextlib
import itertools
import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from rungbook.cli.train import AsJson, Debug
from rungbook.errors import EnvironmentProblem
from rungbook.extras import require


def lesson(
    which: Annotated[str | None, typer.Argument(help="Number or name; left out: all lessons.", metavar="[LESSON]")] = None,
    start: Annotated[bool, typer.Option("--open", help="Copy the notebook into this folder and open it in Jupyter.")] = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> int:
    """The lessons; with a number, run one here (pictures go to a folder) or open it in Jupyter; with --json a notebook is only copied."""
    from rungbook.book.lesson import find
    from rungbook.errors import UsageError

    if which is None:
        if start:
            raise UsageError("E201", "--open wants a lesson.", "rung lesson 1 --open")
        return _all(as_json)
    chosen = find(which)
    for group in chosen.needs:
        require(group, f"Lesson {chosen.number}")
    return _open(chosen, as_json) if start else _walk(chosen, as_json)


def _all(as_json: bool) -> int:
    """A line a lesson, by rungs."""
    from rungbook.book.lesson import RUNGS, lessons
    from rungbook.cli.answer import console, emit
    from rungbook.recipes.about_data import paragraph, plain

    out, known = console(as_json), lessons()
    for rung, about in RUNGS.items():
        of_rung = [one for one in known if one.rung == rung]
        if of_rung:
            plain(out, f"rung {rung}  {about}", "bold")
        for one in of_rung:
            needs = f" (wants {', '.join(one.needs)})" if one.needs else ""
            paragraph(out, f"  {one.number:>2}  ", f"{one.title}, {one.minutes} minutes{needs}")
            paragraph(out, "      ", " ".join(one.covers), body="dim")
    plain(out, f"{len(known)} lessons, {sum(one.minutes for one in known) / 60:.0f} hours", "bold")
    plain(out, f"next: rung lesson {known[0].number}    in Jupyter: rung lesson {known[0].number} --open", "dim")
    if as_json:
        emit({"lessons": [_about(one) for one in known]})
    return 0


def _about(one: Any) -> dict[str, Any]:
    names = ("number", "name", "title", "question", "rung", "minutes", "covers", "needs", "path")
    return {name: getattr(one, name) for name in names}


def _walk(chosen: Any, as_json: bool) -> int:
    """The lesson in the terminal, its pictures in a folder."""
    from rungbook.book.lesson import lessons
    from rungbook.book.walk import walk
    from rungbook.cli.answer import console, emit
    from rungbook.recipes.about_data import plain
    from rungbook.recipes.runs import runs_folder

    out = console(as_json)
    with _pictures_in(runs_folder() / f"lesson-{chosen.name}", chosen) as pictures:
        # with --json, what the lesson prints goes where a person reads, the JSON line alone to standard output
        with contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():
            walk(chosen, pictures, out)
        drawn = sorted(path.resolve() for path in pictures.iterdir())
    if drawn:
        plain(out, f"pictures: {drawn[0].parent} ({len(drawn)})", "dim")
    following = next((one.number for one in lessons() if one.number > chosen.number), None)
    plain(out, f"next: rung lesson {chosen.number} --open" + (f"    rung lesson {following}" if following else ""), "dim")
    if as_json:
        emit({**_about(chosen), "pictures": list(map(str, drawn))})
    return 0


@contextlib.contextmanager
def _pictures_in(folder: Path, chosen: Any) -> Iterator[Path]:
    """A new folder of that name, with a number where earlier pictures are; where none came into it, it goes again, and those above it too.

    Raises:
        EnvironmentProblem: E405 it cannot be made.
    """
    made = [place for place in folder.parents if not place.exists()]
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        place = next(name for name in _numbered(folder) if _made(name))
    except OSError as error:
        fix = f"Name a folder of your own: RUNG_RUNS=~/runs rung lesson {chosen.number}"
        raise EnvironmentProblem("E405", f"The pictures' folder {folder} cannot be made: {error.strerror}.", fix) from error
    try:
        yield place
    finally:
        with contextlib.suppress(OSError):  # one that is not empty stays, and so do those above it
            for empty in (place, *made):
                empty.rmdir()


def _numbered(folder: Path) -> Iterator[Path]:
    """The name, and then with 2, 3, ..."""
    yield folder
    yield from (folder.with_name(f"{folder.name}-{number}") for number in itertools.count(2))


def _made(folder: Path) -> bool:
    """Make a folder; False where there is something, as when another lesson was quicker."""
    try:
        folder.mkdir()
    except FileExistsError:
        return False
    return True


def _open(chosen: Any, as_json: bool) -> int:
    """A copy of the notebook here, and JupyterLab on it."""
    from rungbook.book.notebook import copy_for
    from rungbook.cli.answer import console, emit
    from rungbook.recipes.about_data import plain

    require("notebook", "Opening a notebook")
    place, own = copy_for(chosen, Path.cwd())
    out = console(as_json)
    if own:
        go_on = f"to go on with it: python -m jupyterlab {shlex.quote(own.name)}"
        plain(out, f"{own.name} is there, differs from the lesson and stays as it is; {go_on}", "yellow")
    plain(out, f"notebook: {place}")
    if as_json:
        emit({**_about(chosen), "notebook": str(place), "kept": own and str(own)})
        return 0
    start = [sys.executable, "-m", "jupyterlab", str(place)]
    if not _has_browser():
        start.append("--no-browser")
        plain(out, "No browser was found: the address to open is printed below.", "yellow")
    plain(out, "JupyterLab starts; Ctrl-C twice ends it.", "dim")
    if code := _serve(start):
        fix = shlex.join([*start, *(["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else [])])
        raise EnvironmentProblem("E407", f"JupyterLab ended with exit code {code}; what it said stands above.", fix)
    return 0


def _has_browser() -> bool:
    """Whether Python knows a browser to open."""
    import webbrowser

    try:
        webbrowser.get()
    except webbrowser.Error:
        return False
    return True


def _serve(command: list[str]) -> int:
    """Run JupyterLab to its end, one thread for its kernels unless told otherwise; gives its exit code.

    It gets a Ctrl-C as well, asks whether that is meant, and takes its kernels down: it is waited for, not killed.
    """
    import subprocess

    environment = {**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
    with subprocess.Popen(command, env=environment) as server:
        while True:
            with contextlib.suppress(KeyboardInterrupt):
                return server.wait()
