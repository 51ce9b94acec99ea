"""Variants of one thing side by side: a dot a seed, a bar at the mean, and the best possible where it is known."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import mean
from typing import TYPE_CHECKING

from rungbook.plot.style import FOURTH, INK, THIRD, TRAIN, VALID, Picture, draw, few_ticks, label, number, spoken

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PLACES = {"fit": FOURTH, "train": TRAIN, "valid": VALID, "test": INK}
MARKS = {"fit": "D", "train": "^", "valid": "s", "test": "o"}
"""Splits are told apart by shape as well as colour."""
SPREAD = 30
"""Largest to smallest value of what must be above 0 from which the axis is logarithmic."""


def variants(
    values: Mapping[str, Mapping[str, Sequence[float]]], *, name: str, limit: float | None = None, positive: bool = False
) -> Picture:
    """One metric of several variants on one or more splits.

    Args:
        values: variant -> split -> the metric of each seed.
        name: the metric.
        limit: the best anything could reach, if known.
        positive: whether the metric is an error or a time: never below 0, so that values far apart go on a logarithmic axis.
    """
    splits = [s for s in PLACES if any(s in v for v in values.values())]
    rows = {label(variant, 34): {s: [x for x in v[s] if math.isfinite(x)] for s in splits if s in v} for variant, v in values.items()}
    said = [f"{row}: " + (", ".join(f"{s} {number(mean(x))}" for s, x in v.items() if x) or "no finite values") for row, v in rows.items()]
    alt = (
        f"{spoken(name)} by variant, mean over the seeds. "
        + "; ".join(said)
        + (f". Best possible {number(limit)}" if limit is not None else "")
        + "."
    )
    every = [x for v in rows.values() for xs in v.values() for x in xs]
    logarithmic = positive and bool(every) and min(every) > 0 and max(every) / min(every) > SPREAD

    def paint(ax: Axes) -> None:
        for i, v in enumerate(rows.values()):
            for j, (split, xs) in enumerate(v.items()):
                if not xs:
                    continue
                y = i + (j - (len(v) - 1) / 2) * 0.22
                ax.plot(xs, [y] * len(xs), MARKS[split], color=PLACES[split], markersize=5, alpha=0.7, markeredgewidth=0)
                ax.plot([mean(xs)] * 2, [y - 0.1, y + 0.1], color=PLACES[split], linewidth=2)
        if limit is not None:
            ax.axvline(limit, color=THIRD, linewidth=1.5)
            ax.annotate("best possible", (limit, -0.72), (-3, 0), textcoords="offset points", ha="right", va="center", fontsize=8)
        for split in splits if len(splits) > 1 else ():
            ax.plot([], [], MARKS[split], color=PLACES[split], label=split, markersize=5, markeredgewidth=0)
        if len(splits) > 1:
            ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(splits), frameon=False, fontsize=8, handletextpad=0.1)
        if logarithmic:
            ax.set_xscale("log")
        else:
            few_ticks(ax)
        ax.set_yticks(range(len(rows)), list(rows))
        ax.set_ylim(len(rows) - 0.5, -0.95 if limit is not None else -0.6)
        ax.set_xlabel(spoken(name) + (" (logarithmic)" if logarithmic else ""))
        ax.spines["left"].set_visible(False)
        ax.tick_params(axis="y", length=0)
        ax.margins(x=0.08)

    return draw(paint, f"{alt[:1].upper()}{alt[1:]}", size=(5.6, 1.1 + 0.42 * max(len(rows), 2)))
