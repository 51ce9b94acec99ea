"""Which lessons there are, and what each says of itself.

A lesson is a Python file in jupytext's percent form, `NN_name.py`. Its first code cell names what it is in plain assignments, which are
read without running anything: `covers` (rows of `features.toml`), `rung` (a key of `RUNGS`), `minutes` (to read and try), and `needs`
(optional groups of packages), left out where the core is enough. Its first Markdown cell begins with the title.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rungbook.errors import EnvironmentProblem, UsageError, nearest
from rungbook.recipes.shipped import shipped

RUNGS = {
    0: "Before the first rung",
    1: "Tensors",
    2: "Gradients",
    3: "Layers",
    4: "Losses and first models",
    5: "Optimisers",
    6: "Data",
    7: "The training loop",
    8: "Models",
}
"""Rung -> what its lessons are about."""
FILE = re.compile(r"(?P<number>\d\d)_(?P<word>[a-z0-9_]+)\.py")
TITLE = re.compile(r"^# %% \[markdown\][^\n]*\n# # (?P<title>[^\n]+)\n#\n(?P<question>(?:# [^\n]+\n)+)", re.MULTILINE)


@dataclass(frozen=True)
class Lesson:
    """One lesson.

    Args:
        number: as in the file's name.
        name: the file's name without suffix.
        path: the file.
        title: its heading.
        question: the paragraph it begins with.
        rung: key of `RUNGS`.
        minutes: to read it and try its exercises.
        covers: rows and faults of `features.toml`.
        needs: optional groups of packages it cannot run without.
    """

    number: int
    name: str
    path: Path
    title: str
    question: str
    rung: int
    minutes: int
    covers: tuple[str, ...]
    needs: tuple[str, ...] = ()


def read(path: Path) -> Lesson:
    """What a lesson's file says of itself.

    Raises:
        UsageError: E202 something is missing or of the wrong kind.
    """
    text = path.read_text(encoding="utf-8")
    named, headed = FILE.fullmatch(path.name), TITLE.search(text)
    said = _assignments(ast.parse(text, str(path)))
    wrong = [
        *([] if named else ["a name like 07_line.py"]),
        *([] if headed else ['a first Markdown cell with "# # Title", "#" and a question']),
        *([] if said.get("rung") in RUNGS else [f"rung = one of {', '.join(map(str, RUNGS))}"]),
        *([] if isinstance(said.get("minutes"), int) else ["minutes = a whole number"]),
        *([] if said.get("covers") and isinstance(said["covers"], list) else ['covers = ["F01", ...]']),
    ]
    if wrong or named is None or headed is None:
        raise UsageError("E202", f"The lesson {path.name} lacks {'; '.join(wrong)}.", "See lessons/01_tensors.py for an example.")
    question = " ".join(line.removeprefix("# ") for line in headed["question"].splitlines())
    return Lesson(
        number=int(named["number"]),
        name=path.stem,
        path=path,
        title=headed["title"].strip(),
        question=question,
        rung=said["rung"],
        minutes=said["minutes"],
        covers=tuple(said["covers"]),
        needs=tuple(said.get("needs", ())),
    )


def _assignments(tree: ast.Module) -> dict[str, Any]:
    """Name -> value of the outermost assignments that are plain values."""
    found: dict[str, Any] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            if name in ("covers", "rung", "minutes", "needs") and name not in found:
                try:
                    found[name] = ast.literal_eval(node.value)
                except ValueError:
                    found[name] = None
    return found


def lessons() -> list[Lesson]:
    """All lessons, in order.

    Raises:
        EnvironmentProblem: E405 they did not come with this installation.
    """
    folder = shipped("lessons")
    found = [read(path) for path in sorted(folder.glob("[0-9][0-9]_*.py"))]
    if not found:
        raise EnvironmentProblem(
            "E405", f"There are no lessons in {folder}.", "Install rungbook again: pip install --force-reinstall rungbook"
        )
    return found


def find(word: str) -> Lesson:
    """The lesson of a number ("7", "07") or a name ("07_line", "line").

    Raises:
        UsageError: E201 there is none; the nearest is named.
    """
    known = lessons()
    for lesson in known:
        if word in (lesson.name, lesson.name[3:]) or (word.isdecimal() and int(word) == lesson.number):
            return lesson
    if word.isdecimal():
        fix = f"They are {known[0].number} to {known[-1].number}. All: rung lesson"
    else:
        near = nearest(word, [name for one in known for name in (one.name, one.name[3:])])
        fix = f"Did you mean {near[0]}?" if near else "All: rung lesson"
    raise UsageError("E201", f'There is no lesson "{word}".', fix)


__all__ = ["RUNGS", "Lesson", "find", "lessons", "read"]
