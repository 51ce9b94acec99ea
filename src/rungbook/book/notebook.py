"""A lesson as a notebook: the learner's, without hidden cells, and the whole one that is executed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from rungbook.book.lesson import Lesson
from rungbook.errors import EnvironmentProblem, UsageError

HIDDEN = ("about", "solution")
"""Tags of cells that readers do not see: what the lesson says of itself, and answers that prove an exercise's check."""


def notebook(lesson: Lesson, *, hidden: bool = False) -> Any:
    """The lesson as a notebook without outputs.

    Args:
        lesson: which.
        hidden: with the cells readers do not see, as for executing it.
    """
    import jupytext

    made = jupytext.read(lesson.path)
    made.cells = [cell for cell in made.cells if hidden or not is_hidden(cell)]
    for i, cell in enumerate(made.cells):
        cell["id"] = f"lesson-{lesson.number:02}-{i}"  # nbformat would draw one: the same lesson gives the same bytes
    made.metadata = {
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
        "language_info": {"name": "python"},
    }
    return made


def is_hidden(cell: Any) -> bool:
    """Whether readers do not see a cell."""
    return any(tag in HIDDEN for tag in cell.metadata.get("tags", ()))


def text_of(lesson: Lesson) -> str:
    """The learner's notebook as the text of an .ipynb file."""
    import nbformat

    return nbformat.writes(nbformat.from_dict(notebook(lesson)), version=4) + "\n"


def copy_for(lesson: Lesson, folder: Path) -> tuple[Path, Path | None]:
    """Put the learner's notebook into a folder; what is there already stays.

    Args:
        lesson: which.
        folder: where; it must exist.

    Returns:
        the notebook to open, and the reader's own edited copy it stands beside, if there is one.

    Raises:
        UsageError: E201 the folder does not exist. EnvironmentProblem: E405 it cannot be written.
    """
    if not folder.is_dir():
        raise UsageError("E201", f"There is no folder {folder}.", f"mkdir -p {folder}")
    text, first = text_of(lesson), folder / f"{lesson.name}.ipynb"
    place, number = first, 2
    while True:
        try:
            with place.open("x", encoding="utf-8") as file:  # never over something that is there
                file.write(text)
            return place, None if place == first else first
        except FileExistsError:
            if place.is_file() and os.access(place, os.R_OK) and place.read_text(encoding="utf-8", errors="replace") == text:
                return place, None if place == first else first
            place, number = folder / f"{lesson.name}-{number}.ipynb", number + 1
        except OSError as error:
            raise EnvironmentProblem(
                "E405", f"{place} cannot be written: {error.strerror}.", "Change into a folder of your own and try again."
            ) from error


__all__ = ["HIDDEN", "copy_for", "is_hidden", "notebook", "text_of"]
