"""What rungbook sets out to show (`features.toml`), and which recipes, lessons and tests show it.

A recipe names rows in its class variable `covers`; a lesson or a test module in a list `covers = ["L04", "L05"]` of its own. Lessons and
tests are read, never imported; they are there in a checkout only.
"""

from __future__ import annotations

import ast
import functools
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from rungbook.errors import UsageError, nearest
from rungbook.recipes.shipped import checkout

KINDS = ("recipe", "lesson", "test")
"""What can cover a row, the strongest claim first: a recipe's number is measured."""
RUN_CLASSES = ("C", "C*", "G", "g", "X", "-")
"""What a row may want of a machine; `features.toml` says what each means."""
MODULES = {"lesson": ("lessons", "[0-9][0-9]_*.py"), "test": ("tests", "**/*.py")}
"""Kind -> folder of a checkout and pattern of the files in it that may name rows."""

Covered = dict[str, dict[str, list[str]]]
"""Row or fault -> kind of `KINDS` -> names of what covers it: recipes by name, lessons and tests by path."""


@dataclass(frozen=True)
class Row:
    """One subject.

    Args:
        id: the section's letter and two digits.
        title: one line.
        run: classes of `RUN_CLASSES`, with strokes between them.
        later: whether its turn comes after the rest.
    """

    id: str
    title: str
    run: str
    later: bool = False


@dataclass(frozen=True)
class Features:
    """The content of `features.toml`.

    Args:
        sections: letter -> title.
        rows: id -> row.
        faults: id -> title, of mistakes in the courses' own code that lessons expose.
    """

    sections: dict[str, str]
    rows: dict[str, Row]
    faults: dict[str, str]

    def section(self, letter: str) -> list[Row]:
        """The rows of a section."""
        return [row for row in self.rows.values() if row.id[0] == letter]

    def ids(self) -> list[str]:
        """Every id that can be covered."""
        return [*self.rows, *self.faults]


@functools.cache
def load_features() -> Features:
    """The rows, sections and faults."""
    table = tomllib.loads(files("rungbook").joinpath("features.toml").read_text(encoding="utf-8"))
    return Features(table["sections"], {id: Row(id, **row) for id, row in table["rows"].items()}, table["faults"])


def check_ids(ids: Iterable[str], where: str) -> None:
    """Refuse what is neither a row nor a fault.

    Args:
        ids: what is claimed to be covered.
        where: who claims it, for the message.

    Raises:
        UsageError: E201 with the nearest id.
    """
    known = load_features().ids()
    for id in ids:
        if id not in known:
            near = nearest(id, known)
            raise UsageError(
                "E201", f'{where} covers "{id}", which is no row.', f"Did you mean {near[0]}?" if near else "See: rung coverage"
            )


def ids_in(path: Path) -> list[str]:
    """The ids that a Python file names in a list `covers` at its outermost level, found without running it.

    Raises:
        UsageError: E202 the list is not written out.
    """
    found: list[str] = []
    text = path.read_text(encoding="utf-8")
    if "covers" not in text:  # most files: nothing to parse
        return found
    for node in ast.parse(text, str(path)).body:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        if not any(isinstance(t, ast.Name) and t.id == "covers" for t in targets):
            continue
        value: Any = getattr(node, "value", None)
        written = [e.value for e in getattr(value, "elts", []) if isinstance(e, ast.Constant) and isinstance(e.value, str)]
        if not isinstance(value, ast.List | ast.Tuple) or len(written) != len(value.elts):
            message = f"covers in line {node.lineno} of {path} is no list of ids that is written out."
            raise UsageError("E202", message, 'Write covers = ["L04", "L05"].')
        found += written
    return found


def claims(root: Path | None) -> dict[str, list[tuple[str, list[str]]]]:
    """Kind -> (name, ids it says it covers) of everything that says so, checked.

    Args:
        root: folder of a source tree with `lessons` and `tests`; None for recipes only.

    Raises:
        UsageError: E201, E202 as `check_ids` and `ids_in`.
    """
    from rungbook.recipes.recipe import RECIPES, load_recipes

    load_recipes()
    found = {"recipe": [(name, list(cls.covers)) for name, cls in sorted(RECIPES.items())]}
    for kind, (folder, pattern) in MODULES.items():
        paths = sorted((root / folder).glob(pattern)) if root else []
        found[kind] = [(path.relative_to(root).as_posix(), ids_in(path)) for path in paths if root]
    for kind, named in found.items():
        for name, ids in named:
            check_ids(ids, f"The recipe {name}" if kind == "recipe" else name)
    return found


def covered(root: Path | None = None) -> Covered:
    """What covers each row and each fault.

    Args:
        root: folder of a source tree; the one this package runs from if None, and only recipes where there is none.

    Raises:
        UsageError: E201 something covers what is no row, E202 in a list that is not written out.
    """
    table: Covered = {id: {kind: [] for kind in KINDS} for id in load_features().ids()}
    for kind, named in claims(root or checkout()).items():
        for name, ids in named:
            for id in ids:
                if name not in table[id][kind]:
                    table[id][kind].append(name)
    return table


def state(by: dict[str, list[str]]) -> str:
    """The strongest kind that covers a row, or "nothing"."""
    return next((kind for kind in KINDS if by[kind]), "nothing")


def missing_folders(root: Path | None) -> list[str]:
    """Kinds whose files are not here to be read."""
    return [kind for kind, (folder, _) in MODULES.items() if root is None or not (root / folder).is_dir()]


__all__ = [
    "Covered",
    "Features",
    "Row",
    "check_ids",
    "claims",
    "covered",
    "ids_in",
    "load_features",
    "missing_folders",
    "state",
]
