"""A fitted line with its errors, and the loss over two parameters with the way down."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba

from rungbook.plot.style import INK, THIRD, TRAIN, VALID, Picture, draw, few_ticks, label, number

POINTS = 500
"""More points than this hide each other and weigh on the page."""
LEVELS = 12
"""Contour lines of a loss surface."""


def regression_line(
    x: Any, y: Any, predict: Callable[[np.ndarray], Any], *, x_name: str = "x", y_name: str = "y", title: str = ""
) -> Picture:
    """Points, the fitted function through them, and each point's error as a thin upright line.

    Args:
        x, y: the points (n,); those that are not finite are left out and counted in words.
        predict: (m,) float64 -> (m,) or (m, 1), an array or a tensor.
        x_name, y_name: what the axes are, with units.
        title: line above.

    Raises:
        ValueError: x and y differ in length, or predict gives another number of values than it was given.
    """
    x, y = np.asarray(x, float).ravel(), np.asarray(y, float).ravel()
    if len(x) != len(y):
        raise ValueError(f"Each point has one x and one y: got {len(x)} x, {len(y)} y.")
    good = np.isfinite(x) & np.isfinite(y)
    bad = int((~good).sum())
    x, y = x[good], y[good]
    if not len(x):
        return draw(lambda ax: None, "No finite points.")
    fitted = _values(predict, x)
    some = np.arange(len(x)) if len(x) <= POINTS else np.sort(np.random.default_rng(0).permutation(len(x))[:POINTS])
    line = np.linspace(x.min(), x.max(), 200)
    curve = _values(predict, line)
    shown = label(x_name, 30), label(y_name, 30)
    n = "1 point" if len(x) == 1 else f"{len(x):,} points" + (f", {POINTS} of them drawn" if len(some) < len(x) else "")
    error = y - fitted
    alt = f"{n}. Root mean squared error of the line {number(float(np.sqrt((error**2).mean())))}, largest error"
    alt += f" {number(float(error[np.abs(error).argmax()]))}. From {shown[0]} {number(line[0])} to {number(line[-1])} the line goes from"
    alt += f" {shown[1]} {number(curve[0])} to {number(curve[-1])}." + (f" {bad:,} points are not finite and not drawn." if bad else "")

    def paint(ax: Axes) -> None:
        gap = np.full(len(some), np.nan)
        # one path with gaps: a tenth of the bytes of as many lines
        up = np.stack([y[some], fitted[some], gap], axis=1).ravel()
        ax.plot(np.stack([x[some], x[some], gap], axis=1).ravel(), up, color=INK, linewidth=0.6, alpha=0.45)
        ax.plot(x[some], y[some], "o", color=TRAIN, markersize=3.6, markeredgewidth=0, alpha=0.75)
        ax.plot(line, curve, color=VALID)
        ax.set(xlabel=shown[0], ylabel=shown[1])
        if title:
            ax.set_title(label(title, 60))
        few_ticks(ax, "xy")

    return draw(paint, alt, size=(3.8, 2.9))


def _values(predict: Callable[[np.ndarray], Any], x: np.ndarray) -> np.ndarray:
    """What `predict` says of `x`, (m,) -> (m,)."""
    said = predict(x)
    found = np.asarray(said.detach().cpu() if hasattr(said, "detach") else said, dtype=float)
    if found.size != len(x):
        raise ValueError(f"predict gave {found.shape} for {len(x)} values of x; needed ({len(x)},).")
    return found.ravel() + 0.0  # -0 would be read as a number below 0


def loss_surface(
    loss: Any,
    first: Any,
    second: Any,
    *,
    path: Sequence[tuple[float, float]] | np.ndarray = (),
    names: tuple[str, str] = ("b", "m"),
    best: tuple[float, float] | None = None,
    title: str = "",
) -> Picture:
    """The loss over two parameters as contour lines, and the way gradient descent took.

    Levels stand at equal steps of the logarithm of the loss above its lowest value, so that the bottom of a valley shows
    as well as its walls.

    Args:
        loss: values (len(first), len(second)); or a function of two grids of that shape that gives them.
        first, second: values of the two parameters, rising, (p,) and (q,).
        path: (first, second) at each step, the start first.
        names: of the parameters.
        best: where the lowest loss is known to be.
        title: line above.

    Raises:
        ValueError: the shape of the losses is not (len(first), len(second)), or none is finite.
    """
    first, second = np.asarray(first, float).ravel(), np.asarray(second, float).ravel()
    values = np.asarray(loss(*np.meshgrid(first, second, indexing="ij")) if callable(loss) else loss, dtype=float)
    if values.shape != (len(first), len(second)) or len(first) < 2 or len(second) < 2:
        raise ValueError(f"The losses are {values.shape}; needed ({len(first)}, {len(second)}), at least 2 x 2.")
    if not np.isfinite(values).any():
        raise ValueError("No loss on the grid is finite; choose ranges nearer to the best parameters.")
    way = np.asarray(path, float).reshape(-1, 2)
    way = way[np.isfinite(way).all(1)]
    shown = label(names[0], 20), label(names[1], 20)
    alt = _surface_words(values, first, second, way, shown, best)

    def paint(ax: Axes) -> None:
        masked = np.ma.masked_invalid(values)
        levels = loss_levels(values)
        if len(levels):
            tints = [to_rgba(TRAIN, 0.3 * (1 - i / len(levels))) for i in range(len(levels))]  # the lower, the fuller
            ax.contourf(first, second, masked.T, levels=[-np.inf, *levels], colors=tints)
            for i, level in enumerate(levels):
                ax.contour(first, second, masked.T, levels=[level], colors=[TRAIN], linewidths=0.8, alpha=0.9 - 0.5 * i / len(levels))
        _paint_way(ax, way)
        if best is not None:
            ax.plot(*best, "*", color=THIRD, markersize=10, markeredgewidth=0)
            ax.annotate("best", best, (7, -2), textcoords="offset points", fontsize=8)
        ax.set(xlim=(first[0], first[-1]), ylim=(second[0], second[-1]), xlabel=shown[0], ylabel=shown[1])
        if title:
            ax.set_title(label(title, 60))
        ax.grid(False)
        few_ticks(ax, "xy")

    return draw(paint, alt, size=(3.8, 3.2))


def loss_levels(values: np.ndarray) -> np.ndarray:
    """Losses at which lines are drawn: equal steps of the logarithm above the lowest; none on a level plain."""
    finite = values[np.isfinite(values)]
    above = np.sort(finite - finite.min())
    above = above[above > 0]
    if not len(above):
        return np.zeros(0)
    # the lowest line encloses a hundredth of the grid's points, else it would be a speck
    low = max(float(above[len(above) // 100]), float(above[-1]) * 1e-6)
    levels = finite.min() + np.geomspace(low, float(above[-1]), LEVELS + 1)[:-1]
    return np.unique(levels) if low < above[-1] else np.zeros(0)


def _paint_way(ax: Axes, way: np.ndarray) -> None:
    if not len(way):
        return
    some = np.unique(np.linspace(0, len(way) - 1, min(len(way), POINTS)).round().astype(int))
    dots = some if len(some) <= 60 else some[:0]
    ax.plot(way[some, 0], way[some, 1], color=VALID, linewidth=1.4)
    ax.plot(way[dots, 0], way[dots, 1], "o", color=VALID, markersize=3, markeredgewidth=0)
    ax.plot(*way[0], "o", color=VALID, markersize=6, markerfacecolor="none", markeredgewidth=1.4)
    ax.plot(*way[-1], "o", color=VALID, markersize=6, markeredgewidth=0)
    ax.annotate("start", tuple(way[0]), (6, 4), textcoords="offset points", fontsize=8, annotation_clip=True)


def _surface_words(
    values: np.ndarray, first: np.ndarray, second: np.ndarray, way: np.ndarray, names: tuple[str, str], best: tuple[float, float] | None
) -> str:
    def at(point: Any) -> str:
        return f"{names[0]} {number(float(point[0]))}, {names[1]} {number(float(point[1]))}"

    i, j = np.unravel_index(np.nanargmin(np.where(np.isfinite(values), values, np.nan)), values.shape)
    finite = values[np.isfinite(values)]
    said = f"Loss for {names[0]} from {number(first[0])} to {number(first[-1])} and {names[1]} from {number(second[0])} to"
    said += f" {number(second[-1])}: lowest {number(float(finite.min()))} at {at((first[i], second[j]))},"
    said += f" highest {number(float(finite.max()))}."
    if len(way):
        steps = "1 step" if len(way) == 2 else f"{len(way) - 1:,} steps"
        said += f" The path starts at {at(way[0])} and after {steps} is at {at(way[-1])}."
        inside = (way >= [first[0], second[0]]).all(1) & (way <= [first[-1], second[-1]]).all(1)
        said += f" {int((~inside).sum()):,} of its points lie outside the picture." if not inside.all() else ""
    return said + (f" The best is at {at(best)}." if best is not None else "")
