"""A lesson in the terminal: its prose, its code, and what the code prints, one cell after the other."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import textwrap
import traceback
import types
from pathlib import Path
from typing import Any

from rungbook.book.lesson import Lesson
from rungbook.book.notebook import is_hidden
from rungbook.book.show import PICTURES
from rungbook.errors import DataError, RungError

LINK = re.compile(r"\[([^\]]+)\]\(#[\w-]+\)")
"""A link into glossary or bibliography: in a terminal its words alone."""
CODE_OR_MATH = re.compile(r"```.*?```|`[^`]+`|(?P<math>\$\$.+?\$\$|\$[^$]+\$)", re.DOTALL)
SPECIAL = re.compile(r"([!-/:-@\[-`{-~])")
"""What Markdown may take for its own."""
HANG = 4
"""Blanks by which the rest of a line too long for the terminal is set in."""


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
    with _as_main(main), _one_thread():
        try:
            for cell in jupytext.read(lesson.path).cells:
                if not is_hidden(cell):
                    _say(out, cell)
                if cell.cell_type == "code":
                    _run(lesson, cell, main, out.width)
        finally:
            os.environ.pop(PICTURES)
            if before is not None:
                os.environ[PICTURES] = before


def _say(out: Any, cell: Any) -> None:
    """Prose as prose, code as code."""
    from rich.markdown import Markdown

    if cell.cell_type == "markdown":
        out.print(Markdown(CODE_OR_MATH.sub(_as_written, LINK.sub(r"\1", cell.source)), hyperlinks=False))
    else:
        out.print()
        _say_code(out, cell.source)
    out.print()


def _as_written(found: re.Match[str]) -> str:
    """A formula with everything escaped that Markdown would take out of it; code stays what it is."""
    if found["math"] is None:
        return found[0]
    return SPECIAL.sub(r"\\\1", found[0]).replace("\n", "\\\n" if found[0].startswith("$$") else "\n")


def _say_code(out: Any, code: str) -> None:
    """Code in colours; the rest of a long line is set in, so that it is not taken for a line of its own."""
    from rich.syntax import Syntax
    from rich.text import Text

    syntax = Syntax(code, "python", theme="ansi_dark", background_color="default")
    for line in syntax.highlight(code.rstrip()).split("\n"):
        indent = len(line) - len(line.plain.lstrip())
        if len(line) <= out.width:
            out.print(line, soft_wrap=True)
            continue
        for i, piece in enumerate(line[indent:].wrap(out, max(20, out.width - indent - HANG))):
            piece.rstrip()
            out.print(Text(" " * (indent + HANG * (i > 0))) + piece, soft_wrap=True)


class Folding:
    """A stream whose long lines are broken at blanks, their rest set in; everything else is the stream's own.

    Args:
        stream: where the lines go.
        width: of a line.
    """

    def __init__(self, stream: Any, width: int) -> None:
        self._stream, self._width, self._begun = stream, width, ""

    def write(self, text: str) -> int:
        """Pass on every line that is whole."""
        *whole, self._begun = (self._begun + text).split("\n")
        for line in whole:
            self._stream.write(self._fold(line) + "\n")
        return len(text)

    def _fold(self, line: str) -> str:
        if len(line) <= self._width or "\r" in line or "\x1b" in line:  # bars and colours have widths of their own
            return line
        later = " " * (len(line) - len(line.lstrip()) + HANG)
        return "\n".join(textwrap.wrap(line, self._width, subsequent_indent=later, break_long_words=False, break_on_hyphens=False))

    def flush(self) -> None:
        """Pass on what has no end yet."""
        begun, self._begun = self._begun, ""
        self._stream.write(begun)
        self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _run(lesson: Lesson, cell: Any, main: types.ModuleType, width: int) -> None:
    """Run one cell; its lines are found in the lesson's own file, so that a traceback and `inspect` show them."""
    text = lesson.path.read_text(encoding="utf-8")
    above = text[: max(0, text.find(cell.source))].count("\n")
    try:
        with contextlib.redirect_stdout(Folding(sys.stdout, width)):
            exec(compile("\n" * above + cell.source, str(lesson.path), "exec"), main.__dict__)
            print(flush=True)
    except (BrokenPipeError, RungError):
        raise  # nobody reads on, as after `head`, or a picture cannot be kept: no fault of the lesson's
    except Exception as error:
        line = next((f.lineno for f in reversed(traceback.extract_tb(error.__traceback__)) if f.filename == str(lesson.path)), above + 1)
        raise DataError(
            "E307", f"{lesson.path.name}, line {line}: {type(error).__name__}: {error}", "Install rungbook again, or report it."
        ) from error


@contextlib.contextmanager
def _one_thread() -> Any:
    """Figures depend on the number of threads; those a lesson asserts were shown for one. Whoever sets OMP_NUM_THREADS knows better."""
    import torch

    before = torch.get_num_threads()
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


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
