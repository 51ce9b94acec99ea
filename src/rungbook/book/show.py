"""What a lesson shows with: pictures, code of the library, tables.

The same call serves a notebook, the site (both read the rich forms) and a plain script, which prints the text alternative and, where
`RUNG_PICTURES` names a folder, saves pictures there.
"""

from __future__ import annotations

import ast
import html
import inspect
import itertools
import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rungbook.book.disk import writing
from rungbook.plot.style import Picture

PICTURES = "RUNG_PICTURES"
"""Environment variable: the folder a script saves its pictures to."""


def show(*things: Any) -> None:
    """Show pictures, code, tables or anything with a text form, one after the other.

    Args:
        things: a `Picture`, `Source`, `Table`, `Slider`, or any object: its `str` is printed.
    """
    for thing in things:
        forms = _rich_forms(thing)
        if forms and _in_notebook():
            from IPython.display import display

            display({**forms, "text/plain": str(_words(thing))}, raw=True)
        else:
            print(thing.fitted(shutil.get_terminal_size().columns) if isinstance(thing, Table) else _words(thing))


def _in_notebook() -> bool:
    """Whether a notebook's kernel runs this; a plain IPython prompt shows text."""
    shell = sys.modules.get("IPython") and sys.modules["IPython"].get_ipython()
    return bool(shell) and hasattr(shell, "kernel")


def _rich_forms(thing: Any) -> dict[str, str]:
    """MIME type -> content of what a page can show better than text."""
    if isinstance(thing, Picture):
        return {"text/html": thing.html()}
    if isinstance(thing, Slider):
        return {"text/html": thing.html()}
    if isinstance(thing, Source | Table):
        return {"text/markdown": thing.markdown()}
    return {}


def _words(thing: Any) -> str:
    """What a script prints."""
    if isinstance(thing, Picture):
        return f"[picture{_saved(thing)}] {thing.alt}"
    if isinstance(thing, Slider):
        return "\n".join(f"{thing.name} = {value}: {_words(picture)}" for value, picture in thing.frames.items())
    return str(thing)


def _saved(picture: Picture) -> str:
    """Where a script left a picture, with a space before; nothing if it was not asked to."""
    folder = os.environ.get(PICTURES)
    if not folder or _in_notebook():
        return ""
    place = Path(folder)
    with writing(place, "pictures are put", "RUNG_RUNS"):
        place.mkdir(parents=True, exist_ok=True)
        number = sum(path.stem.isdigit() for path in place.iterdir()) + 1
        return f" {picture.save(place / f'{number:02}.{picture.kind}')}"


@dataclass(frozen=True)
class Source:
    """Code of the library as it is shipped.

    Args:
        code: the lines, dedented.
        where: file and line, as "rungbook/scratch/nn/linear.py, line 12".
    """

    code: str
    where: str

    def __str__(self) -> str:
        return f"# {self.where}\n{self.code}"

    def markdown(self) -> str:
        """A code block with its place above."""
        return f"*{self.where}*\n\n```python\n{self.code}\n```"


def source(thing: Any, *, doc: bool = False) -> Source:
    """The code of a function, class or module of the library, read from its file.

    Args:
        thing: anything with Python source.
        doc: docstrings too; without them a lesson's prose can say what they say.
    """
    lines, first = inspect.getsourcelines(thing)
    code = textwrap.dedent("".join(lines)).rstrip()
    path = Path(inspect.getsourcefile(inspect.unwrap(thing)) or "?").resolve()  # a decorated function's own file, as its lines
    root = Path(__file__).resolve().parents[2]
    where = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
    return Source(code if doc else _without_docstrings(code), f"{where}, line {max(1, first)}")


def _without_docstrings(code: str) -> str:
    """The code less the docstrings of what it defines; blank lines they leave go too."""
    lines = code.splitlines()
    gone: set[int] = set()
    for node in ast.walk(ast.parse(code)):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) or ast.get_docstring(node) is None:
            continue
        text = node.body[0]
        if len(node.body) == 1 and not isinstance(node, ast.Module):
            continue  # a body of nothing but words cannot lose them
        end = text.end_lineno or text.lineno
        gone.update(range(text.lineno, end + 1))
        while end < len(lines) and not lines[end].strip():
            end += 1
            gone.add(end)
    return "\n".join(line for i, line in enumerate(lines, 1) if i not in gone)


@dataclass(frozen=True)
class Table:
    """Rows under a head; `table` makes one."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def __str__(self) -> str:
        return self.fitted(sys.maxsize)

    def fitted(self, width: int) -> str:
        """The table as text; where it is broader than `width`, its broadest columns are narrowed and their cells broken at blanks."""
        columns = list(zip(self.head, *self.rows, strict=True))
        widths = [max(map(len, column)) for column in columns]
        least = [max(len(word) for cell in column for word in (cell.split() or [""])) for column in columns]
        while sum(widths) + 2 * (len(widths) - 1) > width and widths != least:
            widths[max((w, i) for i, w in enumerate(widths) if w > least[i])[1]] -= 1
        lines: list[str] = []
        for row in (self.head, *self.rows):
            cells = [textwrap.wrap(cell, w, break_on_hyphens=False) for cell, w in zip(row, widths, strict=True)]
            for pieces in itertools.zip_longest(*cells, fillvalue=""):
                lines.append("  ".join(f"{piece:<{w}}" for piece, w in zip(pieces, widths, strict=True)).rstrip())
        return "\n".join(lines)

    def markdown(self) -> str:
        """A Markdown table."""
        lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in (self.head, *self.rows)]
        return "\n".join([lines[0], "|" + "---|" * len(self.head), *lines[1:]])


def table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """A table with a row for each mapping, all with the same keys, which are its head.

    Args:
        rows: at least one; numbers that are floats are shown in four digits.

    Raises:
        ValueError: there are no rows, or their keys differ.
    """
    if not rows or any(list(row) != list(rows[0]) for row in rows):
        raise ValueError("a table needs at least one row, and the same keys in each")
    return Table(tuple(map(str, rows[0])), tuple(tuple(_cell(v) for v in row.values()) for row in rows))


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


@dataclass(frozen=True)
class Slider:
    """Pictures of which a slider chooses one; where no script runs, the first one stands.

    Args:
        name: what the slider moves, as "learning rate".
        frames: value as it is shown -> picture, in order.
        start: the value shown first; the first one if None.
    """

    name: str
    frames: Mapping[str, Picture]
    start: str | None = None

    def html(self) -> str:
        """A range input above the pictures; moving it shows one and hides the others."""
        values = list(self.frames)
        at = values.index(self.start) if self.start is not None else 0
        name = html.escape(self.name)
        move = "const b=this.closest('.rung-slider');b.querySelectorAll('[data-frame]').forEach((f,i)=>f.hidden=i!=this.value)"
        frames = "".join(
            f"<div data-frame{'' if i == at else ' hidden'}><div><b>{name} = {html.escape(value)}</b></div>{picture.html()}</div>"
            for i, (value, picture) in enumerate(self.frames.items())
        )
        bar = f'<input type="range" min="0" max="{len(values) - 1}" value="{at}" aria-label="{name}" oninput="{html.escape(move)}">'
        return f'<div class="rung-slider"><label>{name} {bar}</label>{frames}</div>'


def refuses(check: Callable[..., Any], *wrong: Any) -> None:
    """Assert that a check of an exercise refuses each of some wrong answers; a check that lets one pass would be no check.

    Args:
        check: raises AssertionError for a wrong answer.
        wrong: answers, each passed to it alone.
    """
    for answer in wrong:
        try:
            check(answer)
        except AssertionError:
            continue
        raise AssertionError(f"the check {getattr(check, '__name__', check)} accepts a wrong answer: {answer}")


__all__ = ["PICTURES", "Slider", "Source", "Table", "refuses", "show", "source", "table"]
