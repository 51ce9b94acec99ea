"""Recipes, a checkout and lines of a ledger for the tests of measuring and quoting."""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

from rungbook.recipes import coverage, ledger, shipped
from rungbook.recipes.contrast import Contrast
from rungbook.recipes.ledger import Entry
from rungbook.recipes.measure import measure
from rungbook.recipes.recipe import RECIPES, recipe
from rungbook.recipes.settings import Count, Rate, Reported
from rungbook.recipes.study import Found, Say, Study

SEEN: list[int] = []
"""Seeds the drawing study was asked for."""
STOP: set[int] = set()
"""How many seeds into its work somebody presses Ctrl-C."""


@contextmanager
def recipes_of_the_tests() -> Iterator[None]:
    """A contrast and a study of the tests' own, the only ones on the table beside softmax_regression; taken off it afterwards."""
    from rungbook.recipes.recipe import load_recipes

    load_recipes()
    before = dict(RECIPES)
    for name in before:
        if name not in ("softmax_regression", "images"):
            del RECIPES[name]

    @recipe("width_test")
    @dataclass(frozen=True, kw_only=True)
    class Width(Contrast):
        """Does a wider layer help?"""

        variants: ClassVar[dict[str, dict[str, Any]]] = {"2 units": {"hidden": (2,)}, "64 units": {"hidden": (64,)}}
        with_baselines: ClassVar[bool] = False
        data: str = "iris"
        model: str = "mlp"
        hidden: tuple[int, ...] = (8,)
        epochs: Count | None = 2
        lr: Rate = 1e-2

    @recipe("draw_test")
    @dataclass(frozen=True, kw_only=True)
    class Draw(Study):
        """What does chance give?"""

        fits: ClassVar[tuple[str, ...]] = ("digits", "mnist", "world:line")
        real: ClassVar[tuple[str, ...]] = ("data=mnist shift=0.1",)
        reported: ClassVar[tuple[Reported, ...]] = (
            Reported(0.75, "accuracy", "a course", variant="sharp", fault="fault S1-1: copies in valid"),
            Reported(0.7, "accuracy", "another", data="mnist"),
        )
        data: str = "digits"
        shift: float = 0.0

        def find(self, say: Say, *, pictures: bool = False) -> Found:
            SEEN.append(self.seed)
            if len(SEEN) in STOP:
                raise KeyboardInterrupt
            value = random.Random(self.seed).gauss(0.5 + self.shift, 0.01)
            results = {"blunt": {"test": {"accuracy": value}}, "sharp": {"test": {"accuracy": value + 0.2}, "fit": {"accuracy": 1.0}}}
            facts = {"name": self.data, "fingerprint": "f", "test": "t", "facts": {"limit_error": {"accuracy": 0.001}}}
            return Found(results, 1000, facts, {"majority": {"accuracy": 0.1}}, {"accuracy": 0.8})

    try:
        yield
    finally:
        RECIPES.clear()
        RECIPES.update(before)
        SEEN.clear()
        STOP.clear()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A checkout with a README and the recipes of the tests."""
    root = tmp_path / "checkout"
    (root / "docs").mkdir(parents=True)
    (root / "README.md").write_text("# A page\n", encoding="utf-8")
    for module in (coverage, ledger, shipped):
        monkeypatch.setattr(module, "checkout", lambda: root)
    with recipes_of_the_tests():
        yield root


def drawn(seeds: int = 3, **settings: Any) -> Entry:
    """A line of the drawing study."""
    return measure(RECIPES["draw_test"](**settings), seeds, lambda line: None)


def resigned(entry: Entry, **changes: Any) -> bytes:
    """A line with other fields, whose checksum is made to fit: what an editor cannot do by hand."""
    return dataclasses.replace(entry, **changes).line().encode() + b"\n"


def edited(line: bytes, change: Any) -> bytes:
    """A line edited by hand: the checksum is the old one."""
    body = json.loads(line)
    change(body)
    return json.dumps(body, ensure_ascii=False).encode() + b"\n"
