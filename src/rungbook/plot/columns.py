"""What the columns of a table hold: one small picture each."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import PathPatch
from matplotlib.path import Path

from rungbook.plot.style import CLASSES, TRAIN, VALID, Picture, few_ticks, label, number, sheet

COLUMNS, DIVIDED = 24, 12
"""Columns drawn, and drawn where bars are divided by class, which weighs more; the text alternative says how many there are."""
BARS = 8
"""Bars of a column of categories; the rest is gathered in the last."""
BINS = 24
MOST_CLASSES = 6
"""With more classes a bar's stripes are too thin to be read, and it is not divided."""
FEW = 10
"""Whole numbers with at most so many different values are drawn as bars, value by value."""


def histograms(columns: Mapping[str, Any], *, target: str | None = None) -> Picture:
    """Each column's values: numbers as a histogram, categories as bars, the missing share said above.

    Args:
        columns: name -> values (n,), numbers or anything with a text. None, NaN and infinite numbers count as missing.
        target: name of the column to be predicted; it comes first, in its own colour. Where it has 2 to 6 classes, the bars
            of all columns are divided by class, in the colours and the order of the target's own bars.

    Raises:
        ValueError: target is none of the columns, or columns differ in length.
    """
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"Columns differ in length: {', '.join(f'{label(k)} {n}' for k, n in list(lengths.items())[:6])}.")
    if target is not None and target not in columns:
        raise ValueError(f"There is no column {label(target)!r}; columns: {', '.join(label(c) for c in list(columns)[:12])}.")
    order = sorted(columns, key=lambda name: name != target)
    found = {name: _Column(name, columns[name]) for name in order}
    classes = found[target].classes() if target is not None else None
    most = COLUMNS if classes is None else DIVIDED
    drawn = list(found.values())[:most]
    rows = next(iter(lengths.values()), 0)
    many = "1 column" if len(found) == 1 else f"{len(found):,} columns"
    alt = f"{many} of {rows:,} rows" + (f", the first {most} drawn" if len(found) > most else "") + ". "
    alt += f"“{label(target)}” is to be predicted. " if target is not None else ""
    alt += ". ".join(column.words() for column in drawn) + "." if drawn else "Nothing to draw."
    return sheet([_painter(c, classes, VALID if c.name == target else TRAIN) for c in drawn], alt, size=(2.3, 1.6))


class _Column:
    """One column's values, gathered for drawing.

    Args:
        name: as given.
        values: (n,).
    """

    def __init__(self, name: str, values: Any) -> None:
        self.name = name
        array = np.asarray(values)
        array = array.reshape(len(array)) if array.ndim != 1 else array
        self.numeric = array.dtype.kind in "fiu"
        if self.numeric:
            self.values = array.astype(float)
            self.there = np.isfinite(self.values)
        else:
            self.there = np.array([not _missing(v) for v in array.tolist()], dtype=bool)
            self.values = np.array([str(v) if ok else "" for v, ok in zip(array.tolist(), self.there, strict=True)], dtype=object)
        self.kinds = self._kinds()

    def _kinds(self) -> list[Any]:
        """The different values where they are drawn one by one, else nothing: numbers rising, categories by how often they are."""
        own = self.values[self.there]
        if self.numeric:
            different = np.unique(own)
            return [float(v) for v in different] if len(different) <= FEW and (different == np.round(different)).all() else []
        names, n = np.unique(own.astype(str), return_counts=True) if len(own) else (np.zeros(0, str), np.zeros(0, int))
        return [str(names[i]) for i in sorted(range(len(names)), key=lambda i: (-n[i], names[i]))]

    def classes(self) -> list[np.ndarray] | None:
        """Which rows belong to each class, if this column is one of 2 to 6 classes."""
        return [self.there & (self.values == kind) for kind in self.kinds] if 2 <= len(self.kinds) <= MOST_CLASSES else None

    def missing(self) -> str:
        share = 1 - self.there.mean() if len(self.there) else 0.0
        return "" if share == 0 else f"{share:.1%} missing" if share >= 0.001 else "under 0.1% missing"

    def bars(self) -> list[tuple[str, np.ndarray]]:
        """Names and rows of the bars."""
        if self.numeric:
            return [(f"{kind:g}", self.there & (self.values == kind)) for kind in self.kinds]
        head = self.kinds if len(self.kinds) <= BARS else self.kinds[: BARS - 1]
        each = [(label(kind, 16), self.there & (self.values == kind)) for kind in head]
        rest = self.there & ~np.isin(self.values.astype(str), head) if len(head) < len(self.kinds) else None
        return each if rest is None else [*each, (f"{len(self.kinds) - len(head):,} others", rest)]

    def words(self) -> str:
        own = self.values[self.there]
        said = f"“{label(self.name)}”: "
        if not len(own):
            return said + "no values"
        if self.numeric and not self.kinds:
            said += f"{number(own.min())} to {number(own.max())}, median {number(float(np.median(own)))}"
        else:
            n = len(self.kinds)
            said += ("1 value, " if n == 1 else f"{n:,} different values, ") + ", ".join(
                f"{name} {int(rows.sum()):,}" for name, rows in self.bars()[:4]
            )
        return said + (f", {self.missing()}" if self.missing() else "")


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and not math.isfinite(value)) or str(value) in ("<NA>", "NaT")


def _painter(column: _Column, classes: list[np.ndarray] | None, colour: str) -> Callable[[Axes], None]:
    def paint(ax: Axes) -> None:
        parts = [column.there] if classes is None else [column.there & own for own in classes]
        if classes is not None:  # rows whose class is missing
            parts.append(column.there & ~np.logical_or.reduce(classes))
        colours = [colour] if classes is None else [*CLASSES[: len(classes)], "#7f7f7f"]
        missing = column.missing()
        ax.set_title(label(column.name, 22) + (f", {missing}" if missing else ""), fontsize=8.5)
        ax.grid(False)
        if not column.there.any():
            ax.set_axis_off()
        elif column.numeric and not column.kinds:
            _paint_numbers(ax, column, parts, colours)
        else:
            _paint_bars(ax, column, parts, colours)

    return paint


def _paint_numbers(ax: Axes, column: _Column, parts: list[np.ndarray], colours: list[str]) -> None:
    own = column.values[column.there]
    bins = min(BINS if len(parts) == 1 else 16, max(6, math.isqrt(len(own))))
    edges = np.linspace(own.min(), own.max(), bins + 1) if own.min() < own.max() else np.array([own[0] - 0.5, own[0] + 0.5])
    below = np.zeros(len(edges) - 1)
    for rows, colour in zip(parts, colours, strict=True):
        n = np.histogram(column.values[rows], edges)[0]
        _rectangles(ax, edges[:-1], below, np.diff(edges), n, colour)
        below = below + n
    ax.autoscale_view()
    ax.set_ylim(bottom=0)
    few_ticks(ax, "xy")
    ax.tick_params(labelsize=7)


def _paint_bars(ax: Axes, column: _Column, parts: list[np.ndarray], colours: list[str]) -> None:
    bars = column.bars()
    before = np.zeros(len(bars))
    for rows, colour in zip(parts, colours, strict=True):
        n = np.array([int((own & rows).sum()) for _, own in bars])
        _rectangles(ax, before, np.arange(len(bars)) - 0.375, n, np.full(len(bars), 0.75), colour)
        before = before + n
    ax.autoscale_view()
    ax.set_xlim(left=0)
    ax.set_yticks(range(len(bars)), [name for name, _ in bars])
    ax.set_ylim(max(len(bars), 3) - 0.4, -0.6)
    few_ticks(ax)
    ax.tick_params(labelsize=7)
    ax.tick_params(axis="y", length=0)


def _rectangles(ax: Axes, left: np.ndarray, bottom: np.ndarray, width: np.ndarray, height: np.ndarray, colour: str) -> None:
    """Bars as one path, a tenth of the bytes of one element each; empty ones are left out."""
    ends = zip(left, bottom, left + width, bottom + height, strict=True)
    corners = [Path([(x, y), (u, y), (u, v), (x, v), (x, y)], closed=True) for x, y, u, v in ends if u > x and v > y]
    if corners:
        ax.add_patch(PathPatch(Path.make_compound_path(*corners), facecolor=colour, alpha=0.75, linewidth=0))
