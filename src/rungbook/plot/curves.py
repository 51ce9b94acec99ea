"""How loss, metrics and learning rate went over the epochs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rungbook.plot.style import TRAIN, VALID, Picture, draw, label, number, spoken

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Row = Mapping[str, Any]
LOWER_IS_BETTER = ("loss", "error", "perplexity")
"""Parts of the names of what should fall."""


def quantities(history: Sequence[Row]) -> list[str]:
    """What the rows measure as `train_` or `valid_` numbers, the loss first."""
    names: dict[str, None] = {}
    for row in history:
        for key, value in row.items():
            part, _, name = key.partition("_")
            if part in ("train", "valid") and name and isinstance(value, (int, float)):
                names[name] = None
    return sorted(names, key=lambda n: n != "loss")


def _points(history: Sequence[Row], key: str) -> tuple[list[float], list[float], int]:
    """Epochs and values of the rows that have a finite one, and how many have another."""
    rows = [(r.get("epoch", i + 1), r[key]) for i, r in enumerate(history) if isinstance(r.get(key), (int, float))]
    good = [(e, v) for e, v in rows if math.isfinite(v)]
    return [e for e, _ in good], [float(v) for _, v in good], len(rows) - len(good)


def _went(name: str, epochs: list[float], values: list[float], bad: int, lower: bool) -> str:
    """One series in words."""
    if not values:
        return f"{name} has no finite value"
    first, last = values[0], values[-1]
    if len(values) == 1:
        words = f"{name} is {number(last)} at epoch {epochs[0]:g}"
    else:
        verb = "falls" if last < first else "rises" if last > first else "stays"
        words = f"{name} {verb} from {number(first)} to {number(last)} over {len(values)} epochs"
        best = min(values) if lower else max(values)
        if best != last:
            words += f", {'lowest' if lower else 'highest'} {number(best)} at epoch {epochs[values.index(best)]:g}"
    return words + (f"; not finite: {bad}" if bad else "")


def curve(history: Sequence[Row], name: str = "loss", *, title: str = "") -> Picture:
    """Train and valid values of one quantity over the epochs.

    Args:
        history: one row an epoch with `epoch`, `train_<name>`, `valid_<name>`; missing ones leave a gap.
        name: what to draw.
        title: whose values they are, where several pictures stand side by side.
    """
    lower = any(word in name for word in LOWER_IS_BETTER)
    series = {part: _points(history, f"{part}_{name}") for part in ("train", "valid")}
    series = {part: s for part, s in series.items() if s[1] or s[2]}
    shown = spoken(name)
    whose = f"{label(title, 60)}: " if title else ""
    alt = whose + ". ".join(_went(f"{part.capitalize()} {shown}", *s, lower) for part, s in series.items()) + "."
    every = [v for _, values, _ in series.values() for v in values]
    logarithmic = lower and bool(every) and min(every) > 0 and max(every) / min(every) > 100

    def paint(ax: Axes) -> None:
        from matplotlib.ticker import MaxNLocator

        for part, (epochs, values, _) in series.items():
            colour = TRAIN if part == "train" else VALID
            ax.plot(
                epochs, values, color=colour, linestyle="-" if part == "train" else (0, (4, 1.2)), marker="o" if len(values) < 3 else None
            )
        _name_ends(ax, series, logarithmic)
        if part_best := series.get("valid"):
            _mark_best(ax, *part_best[:2], lower)
        if logarithmic:
            ax.set_yscale("log")
        ax.set_title(whose + shown + (" (logarithmic)" if logarithmic else ""))
        ax.set_xlabel("epoch")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6, min_n_ticks=1))

    return draw(paint, alt)


def _name_ends(ax: Axes, series: Mapping[str, tuple[list[float], list[float], int]], logarithmic: bool) -> None:
    """Each line's name beside its end, apart from the other's."""
    ends = sorted((values[-1], part, epochs[-1]) for part, (epochs, values, _) in series.items() if values)
    for i, (value, part, epoch) in enumerate(ends):
        shift = 0 if len(ends) == 1 else -5 if i == 0 else 5
        colour = TRAIN if part == "train" else VALID
        ax.annotate(
            part, (epoch, value), (5, shift), textcoords="offset points", color=colour, va="center", fontsize=9, annotation_clip=False
        )


def _mark_best(ax: Axes, epochs: list[float], values: list[float], lower: bool) -> None:
    if len(values) > 2:
        best = values.index(min(values) if lower else max(values))
        ax.plot(epochs[best], values[best], "o", markersize=7, markerfacecolor="none", markeredgecolor=VALID, markeredgewidth=1.4)


def curves(history: Sequence[Row]) -> list[Picture]:
    """A picture for each quantity in the rows, the loss first."""
    return [curve(history, name) for name in quantities(history)]


def sampled(rate: Callable[[float], float] | Sequence[float]) -> Sequence[float]:
    """A schedule's factors from start to end; rates in order as they are."""
    return [rate(i / 200) for i in range(201)] if callable(rate) else rate


def lr_curve(rate: Callable[[float], float] | Sequence[float], *, base: float = 1.0) -> Picture:
    """The learning rate over the run.

    Args:
        rate: a schedule (position in [0, 1] -> factor), or the rates of equally long stretches in order.
        base: base learning rate by which the factors are multiplied.
    """
    y = [v * base for v in sampled(rate)]
    x = [i / max(1, len(y) - 1) for i in range(len(y))]
    top = max(range(len(y)), key=y.__getitem__)
    alt = f"Learning rate {number(y[0])} throughout."
    if min(y) != max(y):
        alt = f"Learning rate from {number(y[0])} at the start to {number(y[-1])} at the end,"
        alt += f" highest {number(y[top])} after {x[top]:.0%} of the steps."

    def paint(ax: Axes) -> None:
        ax.plot([100 * p for p in x], y, color=TRAIN)
        ax.set_ylim(bottom=0)
        ax.set_title("learning rate")
        ax.set_xlabel("% of the steps")

    return draw(paint, alt)
