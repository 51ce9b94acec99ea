"""How good predictions are: confusion between classes, honesty of probabilities, errors of numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rungbook.plot.style import INK, THIRD, TRAIN, VALID, Picture, draw, few_ticks, label, number, spoken

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MATRIX_CLASSES = 20
"""Up to this many classes the whole matrix is drawn, above only its largest errors."""
SCATTER_POINTS = 500
"""More points than this hide each other and weigh on the page."""


def _pairs(counts: np.ndarray) -> list[tuple[int, int, int]]:
    """(how often, true, predicted) of the errors, most frequent first."""
    wrong = counts * (1 - np.eye(len(counts), dtype=counts.dtype))
    return sorted(((int(wrong[t, p]), int(t), int(p)) for t, p in zip(*wrong.nonzero(), strict=True)), key=lambda e: (-e[0], e[1], e[2]))


def _times(n: int) -> str:
    return "once" if n == 1 else f"{n:,} times"


def confusion(counts: np.ndarray, classes: Sequence[str]) -> Picture:
    """Which classes are taken for which: the matrix, or for more than 20 classes the most frequent errors.

    Args:
        counts: (classes, classes), true class by row, predicted by column.
        classes: names, in the order of the rows.
    """
    counts = np.asarray(counts)
    pairs = _pairs(counts)
    names = [label(c, 14 if len(classes) <= MATRIX_CLASSES else 20) for c in classes]
    total, right = int(counts.sum()), int(counts.trace())
    alt = f"{right:,} of {total:,} samples on the diagonal (right)."
    if pairs:
        alt += " Most frequent errors: " + ", ".join(f"“{names[t]}” taken for “{names[p]}” ({_times(n)})" for n, t, p in pairs[:3]) + "."
    if len(names) > MATRIX_CLASSES:
        return _confused_pairs(pairs[:15], counts.sum(1), names, alt)

    def paint(ax: Axes) -> None:
        from matplotlib.patches import Rectangle

        K = len(names)
        share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
        for t, p in zip(*counts.nonzero(), strict=True):
            colour = TRAIN if t == p else VALID
            ax.add_patch(Rectangle((p - 0.48, t - 0.48), 0.96, 0.96, facecolor=colour, alpha=0.12 + 0.55 * share[t, p], linewidth=0))
            ax.text(p, t, f"{counts[t, p]:,}", ha="center", va="center", fontsize=8 if K <= 12 else 6.5)
        ax.set(xlim=(-0.5, K - 0.5), ylim=(K - 0.5, -0.5), xlabel="predicted", ylabel="true")
        ax.set_xticks(range(K), names, rotation=0 if max(map(len, names)) * K < 40 else 90)
        ax.set_yticks(range(K), names)
        ax.tick_params(length=0)
        ax.grid(False)
        ax.set_aspect("equal")
        for side in ax.spines.values():
            side.set_visible(False)

    inches = min(6.0, 2.0 + 0.32 * len(names))
    return draw(paint, alt, size=(inches, inches))


def _confused_pairs(pairs: list[tuple[int, int, int]], of: np.ndarray, names: list[str], alt: str) -> Picture:
    def paint(ax: Axes) -> None:
        from matplotlib.ticker import MaxNLocator

        for i, (n, t, _) in enumerate(pairs):
            ax.barh(i, n, color=VALID, alpha=0.65, height=0.7)
            ax.annotate(f"{n:,} of {of[t]:,}", (n, i), (4, 0), textcoords="offset points", va="center", fontsize=8)
        ax.set_yticks(range(len(pairs)), [f"{names[t]} → {names[p]}" for _, t, p in pairs])
        ax.set(ylim=(max(len(pairs), 1) - 0.4, -0.6), xlim=(0, 1.35 * pairs[0][0] if pairs else 1))
        ax.set_title("true class → taken for")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
        ax.tick_params(length=0)
        ax.grid(False)

    return draw(paint, alt, size=(5.2, 0.9 + 0.24 * max(len(pairs), 2)))


def scores(values: Mapping[str, float], *, name: str, interval: tuple[float, float] | None = None, limit: float | None = None) -> Picture:
    """One metric of the model, the first of `values`, beside its baselines'.

    Args:
        values: who -> metric; the model first.
        name: the metric.
        interval: ends of the model's 95% interval.
        limit: the best anything could reach, if known.
    """
    rows = [(label(who.replace("_", " "), 26), v) for who, v in values.items() if math.isfinite(v)]
    alt = f"{spoken(name)}: " + ", ".join(f"{who} {number(v)}" for who, v in rows)
    alt += f"; 95% interval of the first {number(interval[0])} to {number(interval[1])}" if interval else ""
    alt += f"; best possible {number(limit)}" if limit is not None else ""

    def paint(ax: Axes) -> None:
        if interval:
            ax.plot(interval, [0, 0], color=TRAIN, linewidth=6, alpha=0.3, solid_capstyle="butt")
        for i, (_, value) in enumerate(rows):
            ax.plot(
                [value],
                [i],
                "o",
                color=TRAIN if i == 0 else INK,
                markersize=7 if i == 0 else 5,
                alpha=1 if i == 0 else 0.6,
                markeredgewidth=0,
            )
        if limit is not None:
            ax.axvline(limit, color=THIRD, linewidth=1.5)
            ax.annotate("best possible", (limit, -0.55), (-3, 0), textcoords="offset points", ha="right", va="center", fontsize=8)
        ax.set_yticks(range(len(rows)), [who for who, _ in rows])
        ax.set_ylim(len(rows) - 0.5, -0.8 if limit is not None else -0.5)
        ax.set_title(spoken(name))
        ax.spines["left"].set_visible(False)
        ax.tick_params(axis="y", length=0)
        ax.margins(x=0.08)

    return draw(paint, f"{alt[:1].upper()}{alt[1:]}.", size=(4.6, 0.7 + 0.27 * max(len(rows), 2)))


@dataclass(frozen=True)
class Reliability:
    """Samples gathered by how sure the model was.

    Args:
        said: mean probability of the answer in each bin.
        was: share of right answers in it.
        n: its samples.
    """

    said: np.ndarray
    was: np.ndarray
    n: np.ndarray

    @property
    def error(self) -> float:
        """Expected calibration error: mean |said - was| weighted by samples (Guo et al. 2017, eq. 3)."""
        return float((np.abs(self.said - self.was) * self.n).sum() / max(self.n.sum(), 1))


def reliability(probability: np.ndarray, truth: np.ndarray, bins: int = 10) -> Reliability:
    """How often the model is right where it is how sure.

    Args:
        probability: (n, classes), rows sum to 1.
        truth: class numbers (n,).
        bins: equal stretches of [0, 1]; empty ones are left out.
    """
    probability, truth = np.asarray(probability, float), np.asarray(truth)
    sure, right = probability.max(1), probability.argmax(1) == truth
    where = np.minimum((sure * bins).astype(int), bins - 1)
    n = np.bincount(where, minlength=bins)
    there = n > 0
    said = np.bincount(where, sure, bins)[there] / n[there]
    return Reliability(said, np.bincount(where, right, bins)[there] / n[there], n[there])


def calibration(probability: np.ndarray, truth: np.ndarray) -> Picture:
    """Share of right answers against the probability given to them; on the diagonal the model knows what it does not know."""
    r = reliability(probability, truth)
    alt = f"Expected calibration error {number(r.error)}."
    if len(r.n):
        i = int(r.n.argmax())
        alt += f" Of the largest group, {r.n[i]:,} of {r.n.sum():,} answers that are {r.said[i]:.0%} sure on average,"
        alt += f" {r.was[i]:.0%} are right."
        gap = float((r.said - r.was) @ r.n / r.n.sum())
        alt += f" Overall the model is {abs(gap):.1%} too {'sure' if gap > 0 else 'unsure'}." if abs(gap) >= 0.01 else ""

    def paint(ax: Axes) -> None:
        ax.plot([0, 100], [0, 100], color=INK, alpha=0.4, linewidth=1, linestyle=(0, (2, 2)))
        error = 100 * np.sqrt(np.maximum(r.was * (1 - r.was), 1e-9) / r.n)
        ax.errorbar(100 * r.said, 100 * r.was, yerr=error, color=TRAIN, linewidth=1, fmt="none", alpha=0.7)
        ax.scatter(100 * r.said, 100 * r.was, s=12 + 90 * r.n / max(r.n.max(initial=1), 1), color=TRAIN, linewidths=0)
        ax.set(xlim=(0, 103), ylim=(0, 103), xlabel="% sure", ylabel="% right", title=f"calibration, error {number(r.error)}")

    return draw(paint, alt)


def _thin(n: int) -> np.ndarray:
    """Which of `n` points are drawn: all, or 500 evenly from a fixed shuffle."""
    return np.arange(n) if n <= SCATTER_POINTS else np.sort(np.random.default_rng(0).permutation(n)[:SCATTER_POINTS])


def predicted_versus_true(truth: np.ndarray, predicted: np.ndarray, *, name: str = "value") -> Picture:
    """Each sample's prediction over its true value; the diagonal is perfect.

    Args:
        truth, predicted: values in the user's units, (n,).
        name: what is predicted.
    """
    truth, predicted = np.asarray(truth, float).ravel(), np.asarray(predicted, float).ravel()
    good = np.isfinite(truth) & np.isfinite(predicted)
    truth, predicted = truth[good], predicted[good]
    some = _thin(len(truth))
    alt = f"{len(truth):,} samples" + (f", {len(some)} of them drawn" if len(some) < len(truth) else "")
    if len(truth):
        ranges = [f"from {number(v.min())} to {number(v.max())}" for v in (truth, predicted)]
        alt += f". True values go {ranges[0]}, predictions {ranges[1]}"
    if len(truth) > 2 and truth.std() > 0 and predicted.std() > 0:
        alt += f"; their correlation is {np.corrcoef(truth, predicted)[0, 1]:.2f}"
    shown = label(name, 30)

    def paint(ax: Axes) -> None:
        if len(truth):
            low, high = min(truth.min(), predicted.min()), max(truth.max(), predicted.max())
            ax.plot([low, high], [low, high], color=INK, alpha=0.5, linewidth=1, linestyle=(0, (2, 2)))
        ax.scatter(truth[some], predicted[some], s=9, color=TRAIN, alpha=0.55, linewidths=0)
        ax.set(xlabel=f"true {shown}", ylabel="predicted")
        few_ticks(ax, "xy")

    return draw(paint, alt + ".")


def residuals(truth: np.ndarray, predicted: np.ndarray, *, name: str = "value") -> Picture:
    """How the errors (prediction - truth) are distributed."""
    error = np.asarray(predicted, float).ravel() - np.asarray(truth, float).ravel()
    error = error[np.isfinite(error)]
    alt = "No finite errors."
    if len(error):
        half = np.percentile(error, [25, 75])
        alt = (
            f"Errors (prediction minus truth) of {label(name, 30)}: half lie between {number(half[0])} and {number(half[1])},"
            f" mean {number(error.mean())}, largest {number(error[np.abs(error).argmax()])}."
        )

    def paint(ax: Axes) -> None:
        if len(error):
            ax.hist(error, bins=min(30, max(6, int(np.sqrt(len(error))))), color=TRAIN, alpha=0.65)
        ax.axvline(0, color=INK, alpha=0.5, linewidth=1, linestyle=(0, (2, 2)))
        ax.set(xlabel=f"error of {label(name, 30)} (prediction - truth)", ylabel="samples")
        few_ticks(ax)

    return draw(paint, alt)
