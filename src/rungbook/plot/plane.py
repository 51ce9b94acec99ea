"""Points in the plane, and the regions a classifier cuts it into."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from rungbook.plot.style import CLASSES, INK, Picture, draw, few_ticks, label, number

SHAPES = ("o", "^", "s", "D", "v", "P", "X", "<", ">", "*")
"""One marker a class, so that colour is never all that tells two classes apart (WCAG 2.2, 1.4.1)."""
POINTS = 800
"""More points than this hide each other and weigh on the page (about 45 bytes each)."""
LEAST = 20
"""Points of a rare class that are drawn all the same, so that thinning hides no class."""
LEGEND = 20
"""Classes named beside the picture; the text alternative names the largest."""
GRIDS = (160, 80, 40, 20)
"""Points a side at which the regions are computed: the first whose picture is not too heavy."""
CHANGES = 4000
"""Neighbours of different class on a grid at most; with more the picture would be too heavy, so it is not even drawn."""
BYTES = 140_000
"""A picture with ragged regions (nearest neighbours, trees) is drawn again on a coarser grid above this."""


def scatter(
    x: Any, y: Any, *, classes: Any = None, names: Sequence[str] = (), x_name: str = "", y_name: str = "", title: str = ""
) -> Picture:
    """Points in the plane, by class in colour and shape.

    Args:
        x, y: coordinates (n,); points that are not finite are left out and counted in words.
        classes: class numbers (n,), below 0 for none; all points alike if None.
        names: of the classes, in order of their numbers; "0", "1", ... where missing.
        x_name, y_name: what the axes are, with units.
        title: line above.

    Raises:
        ValueError: x, y and classes differ in length.
    """
    cloud = _Cloud(x, y, classes, names)

    def paint(ax: Axes) -> None:
        cloud.paint(ax)
        _name_axes(ax, (x_name, y_name), title)

    return draw(paint, cloud.words((x_name, y_name)), size=cloud.size())


def decision_boundary(
    predict: Callable[[np.ndarray], Any],
    x: Any,
    y: Any,
    *,
    names: Sequence[str] = (),
    feature_names: tuple[str, str] = ("", ""),
    title: str = "",
) -> Picture:
    """The regions in which a classifier says one class, and the points with their true classes.

    The most probable class tints its region, a second time where its probability is above 0.9; lines part the regions
    (for two classes where both probabilities are 0.5).

    Args:
        predict: (m, 2) float64 -> class probabilities (m, classes), an array or a tensor.
        x: points (n, 2); those that are not finite are left out.
        y: class numbers (n,), below 0 for none.
        names: of the classes, in order of their numbers.
        feature_names: of the two columns of x, with units.
        title: line above.

    Raises:
        ValueError: x has another shape than (n, 2), y another length, or predict gives something else than (m, classes).
    """
    points = np.asarray(x, float)
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError(f"A plane has two columns: x is {points.shape}, needed (n, 2).")
    cloud = _Cloud(points[:, 0], points[:, 1], y, names)
    said = _boundary_words(predict, cloud, feature_names)
    if not len(cloud.x):
        return draw(lambda ax: _name_axes(ax, feature_names, title), said)
    left, right, bottom, top = _sides(cloud.x, cloud.y)
    for side in GRIDS:
        u, v = np.linspace(left, right, side), np.linspace(bottom, top, side)
        grid = np.stack([g.ravel() for g in np.meshgrid(u, v)], axis=1)  # (side * side, 2)
        probability = _shares(predict, grid).reshape(side, side, -1)
        answer = probability.argmax(-1)
        if side > GRIDS[-1] and int((answer[1:] != answer[:-1]).sum() + (answer[:, 1:] != answer[:, :-1]).sum()) > CHANGES:
            continue
        picture = _regions(u, v, probability, cloud, feature_names, title, said)
        if len(picture.data) <= BYTES:
            break
    return picture


def _regions(
    u: np.ndarray, v: np.ndarray, probability: np.ndarray, cloud: _Cloud, feature_names: tuple[str, str], title: str, alt: str
) -> Picture:
    """The picture of probabilities (v, u, classes) on a grid."""

    def paint(ax: Axes) -> None:
        K = probability.shape[-1]
        for k in range(K):
            others = np.delete(probability, k, axis=-1).max(-1)
            lead = np.ma.masked_invalid(probability[..., k] - others)
            if lead.max() > 0:
                ax.contourf(u, v, lead, levels=[0, 2], colors=[look(k)[0]], alpha=0.16)
                # of two classes one line is enough: both have theirs at the same place
                if lead.min() < 0 and (K > 2 or k == 1):
                    ax.contour(u, v, lead, levels=[0], colors=[INK], linewidths=0.9, alpha=0.7)
            if probability[..., k].max() > 0.9:
                ax.contourf(u, v, np.ma.masked_invalid(probability[..., k]), levels=[0.9, 2], colors=[look(k)[0]], alpha=0.12)
        ax.grid(False)
        cloud.paint(ax)
        _name_axes(ax, feature_names, title)

    return draw(paint, alt, size=cloud.size())


def _shares(predict: Callable[[np.ndarray], Any], points: np.ndarray) -> np.ndarray:
    """Probabilities of the classes at `points`, as predicted, in float64."""
    shares = predict(points)
    shares = np.asarray(shares.detach().cpu() if hasattr(shares, "detach") else shares, dtype=float)
    if shares.ndim != 2 or len(shares) != len(points) or shares.shape[1] < 2:
        raise ValueError(f"predict gave {shares.shape} for {len(points)} points; needed ({len(points)}, classes), at least 2 classes.")
    return shares


def _boundary_words(predict: Callable[[np.ndarray], Any], cloud: _Cloud, feature_names: tuple[str, str]) -> str:
    judged = cloud.kind >= 0
    if not judged.any():
        return cloud.words(feature_names)
    shares = _shares(predict, np.stack([cloud.x, cloud.y], axis=1))
    answer = np.where(np.isfinite(shares).all(1), shares.argmax(1), -1)  # what is no probability answers nothing, and is not right
    right, n = int((answer == cloud.kind)[judged].sum()), int(judged.sum())
    said = f"Regions of a classifier; {right:,} of {n:,} points ({right / n:.1%}) lie on their own side: "
    each = []
    for k in [k for k in cloud.there if k >= 0][:10]:
        own = cloud.kind == k
        each.append(f"“{cloud.name(k)}” {int((answer == k)[own].sum()):,} of {int(own.sum()):,}")
    return said + ", ".join(each) + ". " + cloud.words(feature_names)


class _Cloud:
    """Finite points with their classes.

    Args:
        x, y: (n,).
        classes: numbers (n,) or None.
        names: of the classes.
    """

    def __init__(self, x: Any, y: Any, classes: Any, names: Sequence[str]) -> None:
        at = [np.asarray(v, float).ravel() for v in (x, y)]
        kind = None if classes is None else np.asarray(classes).ravel().astype(np.int64)
        if len({len(v) for v in (*at, *([] if kind is None else [kind]))}) > 1:
            counts = f"{len(at[0])} x, {len(at[1])} y" + ("" if kind is None else f", {len(kind)} classes")
            raise ValueError(f"Each point has one x, one y and one class: got {counts}.")
        good = np.isfinite(at[0]) & np.isfinite(at[1])
        self.bad = int((~good).sum())
        self.x, self.y = at[0][good], at[1][good]
        self.by_class = kind is not None
        self.kind = np.zeros(len(self.x), np.int64) if kind is None else kind[good]
        self.names = [label(name, 18) for name in names]
        self.there = [int(k) for k in np.unique(self.kind)]
        self.drawn = {k: self._thin(k) for k in self.there}

    def _thin(self, k: int) -> np.ndarray:
        """Which points of class `k` are drawn: all, or its share of `POINTS` from a fixed shuffle."""
        own = (self.kind == k).nonzero()[0]
        if len(self.x) <= POINTS:
            return own
        wanted = max(min(LEAST, POINTS // len(self.there)), round(POINTS * len(own) / len(self.x)))
        return np.sort(np.random.default_rng(0).permutation(own)[:wanted])

    def name(self, k: int) -> str:
        return "no class" if k < 0 else self.names[k] if k < len(self.names) else str(k)

    def size(self) -> tuple[float, float]:
        """Inches, with room for the names of the classes."""
        return (4.6, 3.2) if self.by_class and len(self.there) > 0 else (3.8, 3.0)

    def paint(self, ax: Axes) -> None:
        for k in self.there:
            some, colour, shape = self.drawn[k], *look(k)
            if not self.by_class:
                colour, shape = CLASSES[0], "o"
            size = 6.0 if shape == "*" else 4.0  # a star has less ink
            name = self.name(k)
            name = f" {name}" if name.startswith("_") else name  # matplotlib leaves labels out of the legend that begin so
            ax.plot(self.x[some], self.y[some], shape, color=colour, markersize=size, markeredgewidth=0, alpha=0.85, label=name)
        if len(self.x):
            left, right, bottom, top = _sides(self.x, self.y)
            ax.set(xlim=(left, right), ylim=(bottom, top))
        if self.by_class and self.there:
            handles = ax.get_legend_handles_labels()[0][:LEGEND]
            ax.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.0, 1.02), frameon=False, handletextpad=0.1, borderaxespad=0.2)

    def words(self, axes: tuple[str, str]) -> str:
        """What there is to see."""
        if not len(self.x):
            return "No finite points."
        drawn = sum(len(some) for some in self.drawn.values())
        said = ("1 point" if len(self.x) == 1 else f"{len(self.x):,} points") + (
            f", {drawn:,} of them drawn" if drawn < len(self.x) else ""
        )
        if self.by_class:
            said += f", in {len(self.there)} classes" if len(self.there) > 1 else ", in one class"
        said += ". " + extent(self.x, self.y, axes)
        if self.by_class:
            n = {k: int((self.kind == k).sum()) for k in self.there}
            largest = sorted(self.there, key=lambda k: (-n[k], k))[:10]
            each = [f"“{self.name(k)}” {n[k]:,} around {_centre(self.x, self.y, self.kind == k)}" for k in largest]
            said += " " + "; ".join(each) + ("; and others." if len(self.there) > 10 else ".")
        return said + (f" {self.bad:,} points are not finite and not drawn." if self.bad else "")


def look(k: int) -> tuple[str, str]:
    """Colour and marker of class `k`; past ten classes colours come again with other shapes."""
    return (INK, ".") if k < 0 else (CLASSES[k % 10], SHAPES[(k + k // 10) % 10])


def _centre(x: np.ndarray, y: np.ndarray, own: np.ndarray) -> str:
    return f"({number(np.median(x[own]))}, {number(np.median(y[own]))})"


def extent(x: np.ndarray, y: np.ndarray, axes: tuple[str, str]) -> str:
    """The ranges of both axes as a sentence."""
    shown = [label(name, 30) if name else default for name, default in zip(axes, ("x", "y"), strict=True)]
    said = f"{shown[0]} goes from {number(x.min())} to {number(x.max())}, {shown[1]} from {number(y.min())} to {number(y.max())}."
    return said[:1].upper() + said[1:] if axes[0] else said


def _sides(x: np.ndarray, y: np.ndarray) -> tuple[float, float, float, float]:
    """Room for all points, drawn or not, and a margin: (left, right, bottom, top)."""
    found: list[float] = []
    for v in (x, y):
        low, high = float(v.min()), float(v.max())
        room = 0.06 * (high - low) or max(1.0, abs(high)) * 0.5
        found += [low - room, high + room]
    return found[0], found[1], found[2], found[3]


def _name_axes(ax: Axes, names: tuple[str, str], title: str) -> None:
    ax.set(xlabel=label(names[0], 40) if names[0] else "", ylabel=label(names[1], 30) if names[1] else "")
    if title:
        ax.set_title(label(title, 60))
    few_ticks(ax, "xy")
