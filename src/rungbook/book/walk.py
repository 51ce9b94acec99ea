"""A lesson in the terminal: its prose, its code, and what the code prints, one cell after the other."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import traceback
import types
from pathlib import Path
from typing import Any

from rungbook.book.lesson import Lesson
from rungbook.book.notebook import is_hidden
from rungbook.book.show import PICTURES
from rungbook.errors import DataError

LINK = re.compile(r"\[([^\]]+)\]\(#[\w-]+\)")
"""A link into glossary or bibliography: in a terminal its words alone."""


def walk(lesson: Lesson, pictures: Path, out: Any) -> None:
    """Run a lesson cell by cell in this process.

    Args:
        lesson: which.
        pictures: folder for its pictures; made when the first one is drawn.
        out: a rich Console: prose and code go there; what the code prints goes to standard output.

    Raises:
        DataError: E307 a cell fails, as after an edit.
    """
    import jupytext

    before = os.environ.get(PICTURES)
    os.environ[PICTURES] = str(pictures)
    main = types.ModuleType("__main__")
    main.__dict__["__file__"] = str(lesson.path)
    with _as_main(main):
        try:
            for cell in jupytext.read(lesson.path).cells:
                if not is_hidden(cell):
                    _say(out, cell)
                if cell.cell_type == "code":
                    _run(lesson, cell, main)
        finally:
            os.environ.pop(PICTURES)
            if before is not None:
                os.environ[PICTURES] = before


def _say(out: Any, cell: Any) -> None:
    """Prose as prose, code as code."""
    from rich.markdown import Markdown
    from rich.syntax import Syntax

    if cell.cell_type == "markdown":
        out.print(Markdown(LINK.sub(r"\1", cell.source), hyperlinks=False))
    else:
        out.print()
        out.print(Syntax(cell.source, "python", theme="ansi_dark", background_color="default", word_wrap=True))
    out.print()


def _run(lesson: Lesson, cell: Any, main: types.ModuleType) -> None:
    """Run one cell; its lines are found in the lesson's own file, so that a traceback and `inspect` show them."""
    text = lesson.path.read_text(encoding="utf-8")
    above = text[: max(0, text.find(cell.source))].count("\n")
    try:
        exec(compile("\n" * above + cell.source, str(lesson.path), "exec"), main.__dict__)
    except Exception as error:
        line = next((f.lineno for f in reversed(traceback.extract_tb(error.__traceback__)) if f.filename == str(lesson.path)), above + 1)
        raise DataError(
            "E307", f"{lesson.path.name}, line {line}: {type(error).__name__}: {error}", "Install rungbook again, or report it."
        ) from error
    print(flush=True)


@contextlib.contextmanager
def _as_main(module: types.ModuleType) -> Any:
    """Let a module be `__main__` for a while: classes a lesson defines can then be found by their name."""
    before = sys.modules["__main__"]
    sys.modules["__main__"] = module
    try:
        yield
    finally:
        sys.modules["__main__"] = before


__all__ = ["walk"]
