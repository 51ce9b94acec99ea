"""What layers put out while training: means and deviations, near-zero shares, and histograms with time to the right and counts as colour.

The three pictures of fast.ai's "Deep learning from the foundations", notebook 06 (2019); `learner.watch()` records what they show.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from rungbook.plot.style import CLASSES, Picture, draw, few_ticks, label, number, sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LINES, PANELS, SAID = 6, 11, 4
"""At most so many layers as lines in one picture, as pictures side by side, and in words: of more, evenly chosen ones."""
FAINTEST = 1e-4
"""Share of a row's outputs below which a bin is left empty; from there to 1 the colour goes by the logarithm."""
_DASHES = ("-", (0, (4, 1.2)), (0, (1, 1)), (0, (5, 1, 1, 1)), (0, (3, 1, 1, 1, 1, 1)), (0, (8, 2)))
_HEAT = ("#8fb9d9", "#3f8fc6", "#0072b2", "#7a4f9a", "#d55e00", "#f0b400")
"""From rare to frequent. Its palest and brightest colours stay apart from the white and from the dark page."""


class Record(Protocol):
    """What is drawn of a layer: see `rungbook.learner.callbacks.activations.LayerRecord`."""

    @property
    def steps(self) -> Sequence[int]:
        """First step of each row."""

    @property
    def mean(self) -> Sequence[float]:
        """Mean of the outputs, row by row."""

    @property
    def std(self) -> Sequence[float]:
        """Their standard deviation."""

    @property
    def dead(self) -> Sequence[float]:
        """Share of outputs near zero."""

    @property
    def histogram(self) -> Sequence[Sequence[float]]:
        """(rows, bins), share of the outputs in each bin."""

    @property
    def low(self) -> float:
        """Where the first bin begins."""

    @property
    def high(self) -> float:
        """Where the last bin ends."""


Records = Mapping[str, Record]
"""Layer -> its record, in the order of the data."""


def some(records: Records, most: int) -> Records:
    """At most so many layers, evenly chosen, the first and the last among them."""
    names = list(records)
    if len(names) <= most:
        return records
    places = sorted({round(i * (len(names) - 1) / (most - 1)) for i in range(most)})
    return {names[i]: records[names[i]] for i in places}


def _said(what: str, shown: Records, records: Records, say: Callable[[Any], str]) -> str:
    """The text alternative: what is shown, and of some layers the figures."""
    words = "; ".join(f"{label(name, 60)}: {say(r)}" for name, r in some(shown, SAID).items())
    number_of = f"{len(shown)} of {len(records)}" if len(shown) < len(records) else f"{len(records)}"
    return f"{what} of {number_of} layers. {words}."


def _named(layer: str) -> str:
    """A layer's name in a picture; its end tells more than its beginning."""
    return label(layer, 26)


def _ends(values: Sequence[float]) -> str:
    good = [v for v in values if math.isfinite(v)]
    if not good:
        return "not finite"
    broken = len(values) - len(good)
    words = number(good[0]) if len(good) == 1 else f"{number(good[0])} to {number(good[-1])}"
    return words + (f" (not finite in {broken} places)" if broken else "")


def means_and_deviations(records: Records) -> Picture:
    """Mean and standard deviation of each layer's outputs over the steps, side by side.

    Args:
        records: of the layers; see `Record`.
    """
    shown = some(records, LINES)
    what = "Mean and standard deviation of the outputs, from the first step to the last,"
    alt = _said(what, shown, records, lambda r: f"mean {_ends(r.mean)}, deviation {_ends(r.std)}")

    def paint(ax: Axes, what: str) -> None:
        values = [v for r in shown.values() for v in getattr(r, what) if math.isfinite(v)]
        for i, (name, r) in enumerate(shown.items()):
            ax.plot(
                *(r.steps, getattr(r, what)),
                color=CLASSES[i],
                linestyle=_DASHES[i],
                linewidth=1.3,
                marker="o" if len(r.steps) < 3 else None,
                markersize=3,
                label=_named(name),
            )
        if what == "std" and values and min(values) > 0 and max(values) / min(values) > 30:
            ax.set_yscale("log")
        ax.set_title("mean" if what == "mean" else "standard deviation")
        ax.set_xlabel("step")
        few_ticks(ax)
        if what == "std":
            ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=8, handlelength=2.4)

    return sheet([lambda ax: paint(ax, "mean"), lambda ax: paint(ax, "std")], alt, columns=2, size=(3.6, 2.5))


def dead_shares(records: Records) -> Picture:
    """Share of each layer's outputs that are near zero, over the steps.

    Args:
        records: of the layers; see `Record`.
    """
    shown = some(records, LINES)
    alt = _said("Share of outputs near zero, from the first step to the last,", shown, records, lambda r: _ends(r.dead))

    def paint(ax: Axes) -> None:
        for i, (name, r) in enumerate(shown.items()):
            shares = [100 * v for v in r.dead]
            ax.plot(r.steps, shares, color=CLASSES[i], linestyle=_DASHES[i], linewidth=1.3, label=_named(name))
        ax.set_ylim(-3, 103)
        ax.set_title("% of outputs near zero")
        ax.set_xlabel("step")
        few_ticks(ax)
        ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=8, handlelength=2.4)

    return draw(paint, alt, size=(5.2, 2.5))


def histograms(records: Records, *, columns: int = 3) -> Picture:
    """Each layer's outputs over the steps: time to the right, value upwards, and how many outputs have it as colour (logarithmic).

    A layer that learns well keeps a broad band; one that blows up and collapses shows it as a flare that breaks off, and one whose outputs
    are mostly zero as a single bright line.

    Args:
        records: of the layers; see `Record`.
        columns: layers side by side.
    """
    shown = some(records, PANELS)
    alt = _said("Histograms of the outputs, step by step,", shown, records, _spread)
    paints = [partial(_paint_histogram, name=name, record=r) for name, r in shown.items()]
    return sheet([*paints, _paint_key], alt, columns=columns, size=(2.4, 1.8))


def _colours(shares: np.ndarray) -> np.ndarray:
    """RGBA of shares of the outputs, (..., 4)."""
    from matplotlib.colors import LinearSegmentedColormap

    with np.errstate(divide="ignore", invalid="ignore"):
        depth = 1 - np.log10(shares) / math.log10(FAINTEST)  # 0 where faintest, 1 where all outputs are in one bin
    colours = LinearSegmentedColormap.from_list("rungbook", _HEAT)(np.clip(depth, 0, 1))
    colours[..., 3] = depth > 0  # the page shows through where there is nothing
    return colours


def _paint_key(ax: Axes) -> None:
    """Which colour stands for which share."""
    shares = FAINTEST ** np.linspace(1, 0, 100)[None]
    low = math.log10(FAINTEST)
    ax.imshow(_colours(shares), extent=(low, 0, 0, 1), origin="lower", aspect="auto", interpolation="none")
    ax.set_box_aspect(0.1)
    ax.set_anchor("N")
    ax.set_xticks(range(round(low), 1), [f"{number(100 * 10.0**i)}%" for i in range(round(low), 1)])
    ax.set_yticks([])
    ax.set_title("share of the outputs")
    ax.grid(False)
    ax.spines["left"].set_visible(False)


def _paint_histogram(ax: Axes, name: str, record: Any) -> None:
    shares = np.asarray(record.histogram, dtype=float).T  # (bins, rows)
    colours = _colours(shares)
    steps = list(record.steps)
    last = steps[-1] + (steps[-1] - steps[-2] if len(steps) > 1 else 1)
    ax.imshow(colours, extent=(steps[0], last, record.low, record.high), origin="lower", aspect="auto", interpolation="none")
    used = np.flatnonzero(colours[..., 3].any(1))
    if len(used):
        width = (record.high - record.low) / len(shares)
        ax.set_ylim(record.low + used[0] * width, record.low + (used[-1] + 1) * width)
    ax.set_title(_named(name))
    ax.set_xlabel("step")
    ax.grid(False)
    few_ticks(ax, "xy")


def _spread(record: Any) -> str:
    """In words, between which values nine tenths of the outputs lie at the first and at the last step."""
    bins = len(record.histogram[0])
    width = (record.high - record.low) / bins

    def middle(shares: Sequence[float]) -> str:
        total = np.cumsum(shares)
        if not total[-1] > 0:
            return "nowhere (not finite)"
        low, high = (int(np.searchsorted(total, q * total[-1])) for q in (0.05, 0.95))
        return f"from {number(record.low + low * width)} to {number(record.low + (min(high, bins - 1) + 1) * width)}"

    first, last = middle(record.histogram[0]), middle(record.histogram[-1])
    return f"nine tenths lie {first}" + (f" at first, {last} in the end" if len(record.steps) > 1 else "")


def activation_pictures(records: Records) -> list[Picture]:
    """All three pictures of a training that was watched; none where nothing was recorded."""
    kept = {name: r for name, r in records.items() if len(r.steps)}
    return [means_and_deviations(kept), dead_shares(kept), histograms(kept)] if kept else []
