"""A lesson as a notebook: the learner's, without hidden cells, and the whole one that is executed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rungbook.book.lesson import Lesson
from rungbook.errors import EnvironmentProblem, UsageError

HIDDEN = ("about", "solution")
"""Tags of cells that readers do not see: what the lesson says of itself, and answers that prove an exercise's check."""

INSTALL = """# on a machine of others, as Colab's, rungbook is missing; where it is installed this does nothing
import importlib.util

if importlib.util.find_spec("rungbook") is None:
    %pip install -q rungbook"""
"""First code cell of the learner's notebook."""


def notebook(lesson: Lesson, *, hidden: bool = False) -> Any:
    """The lesson as a notebook without outputs.

    Args:
        lesson: which.
        hidden: with the cells readers do not see and without the one that installs rungbook, as for executing it.
    """
    import jupytext
    import nbformat

    made = jupytext.read(lesson.path)
    if not hidden:
        made.cells = [cell for cell in made.cells if not is_hidden(cell)]
        made.cells.insert(1, nbformat.v4.new_code_cell(_install(lesson)))  # below the title
    for i, cell in enumerate(made.cells):
        cell["id"] = f"lesson-{lesson.number:02}-{i}"  # nbformat would draw one: the same lesson gives the same bytes
    made.metadata = {
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
        "language_info": {"name": "python"},
    }
    return made


def _install(lesson: Lesson) -> str:
    """The cell that installs rungbook, with the optional groups the lesson wants."""
    return INSTALL.replace("-q rungbook", f'-q "rungbook[{",".join(lesson.needs)}]"') if lesson.needs else INSTALL


def is_hidden(cell: Any) -> bool:
    """Whether readers do not see a cell."""
    return any(tag in HIDDEN for tag in cell.metadata.get("tags", ()))


def text_of(lesson: Lesson) -> str:
    """The learner's notebook as the text of an .ipynb file."""
    import nbformat

    return nbformat.writes(nbformat.from_dict(notebook(lesson)), version=4) + "\n"


def copy_for(lesson: Lesson, folder: Path) -> tuple[Path, Path | None]:
    """Put the learner's notebook into a folder; what is there already stays.

    A copy whose cells are the lesson's is opened again: running it changes its outputs, not what it says.

    Args:
        lesson: which.
        folder: where; it must exist.

    Returns:
        the notebook to open, and the reader's own edited copy it stands beside, the last one where there are several.

    Raises:
        UsageError: E201 the folder does not exist. EnvironmentProblem: E405 it cannot be written.
    """
    if not folder.is_dir():
        raise UsageError("E201", f"There is no folder {folder}.", f"mkdir -p {folder}")
    text, own = text_of(lesson), None
    place, number = folder / f"{lesson.name}.ipynb", 2
    try:
        while not _write_new(place, text) and (found := _cells(place)) != _cells_of(text):
            own = place if own is None or found is not None else own  # what cannot be read is nobody's work to go on with
            place, number = folder / f"{lesson.name}-{number}.ipynb", number + 1
    except OSError as error:
        raise EnvironmentProblem(
            "E405", f"{place} cannot be written: {error.strerror}.", "Change into a folder of your own and try again."
        ) from error
    return place, own


def _write_new(place: Path, text: str) -> bool:
    """Write a file that is not there; False, and nothing done, if it is. One that cannot be written to its end is taken away again."""
    try:
        file = place.open("x", encoding="utf-8")
    except FileExistsError:
        return False
    try:
        with file:
            file.write(text)
    except BaseException:
        place.unlink(missing_ok=True)
        raise
    return True


def _cells(place: Path) -> list[tuple[str, str]] | None:
    """Kind and text of a file's cells; None if it cannot be read as a notebook."""
    try:
        return _cells_of(place.read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _cells_of(text: str) -> list[tuple[str, str]]:
    return [(cell["cell_type"], "".join(cell["source"])) for cell in json.loads(text)["cells"]]


__all__ = ["HIDDEN", "INSTALL", "copy_for", "is_hidden", "notebook", "text_of"]
