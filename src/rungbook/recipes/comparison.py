"""The honest comparison: is A better than B, by how much, and how sure is that?

A training has its luck: the seed draws split, weights and order. So a method is judged by several seeds, and two methods by the
differences between runs of the same seed, which share their split (Bouthillier et al. 2021, "Accounting for variance in machine learning
benchmarks"). One seed each can only say which of two finished models does better on samples like those of the test.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from rungbook.errors import UsageError
from rungbook.recipes.interval import Z
from rungbook.recipes.scores import LOWER_IS_BETTER

LEVEL = 0.95
TINY = 1e-12
"""Differences smaller than this share of the values are rounding in float64."""
Values = Sequence[float] | np.ndarray
ONE_SEED = "One seed each: how the next seed would fare, this does not say."


@dataclass(frozen=True)
class Summary:
    """Values of one method.

    Args:
        mean: of the values.
        sd: their standard deviation, with n - 1.
        n: how many.
        low, high: ends of the mean's 95% interval, by Student's t.
    """

    mean: float
    sd: float
    n: int
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """Two methods, and what can be said of their difference.

    Args:
        names: what they are called, the first minus the second being the difference.
        metric: what was measured.
        first, second: their values.
        difference: mean of the first minus mean of the second; (low, high) is its interval.
        p: probability of a difference at least as large where there is none; nan where it cannot be said.
        n: pairs, or values of the smaller side.
        paired: whether values were compared one by one.
        better: name of the better one, or "" where they are not distinguishable.
        unit: what there are n of: seed, sample.
        together: for how many comparisons the interval holds at once.
        note: what else must be said.
    """

    names: tuple[str, str]
    metric: str
    first: Summary
    second: Summary
    difference: float
    low: float
    high: float
    p: float
    n: int
    paired: bool
    better: str
    unit: str = "seed"
    together: int = 1
    note: str = ""

    @property
    def words(self) -> str:
        """The comparison as one sentence, and the note behind it."""
        if math.isnan(self.difference):
            return self.note
        a, b = self.names
        how = f"{self.n:,} {self.unit}{'' if self.n == 1 else 's'}" + ("" if self.paired else " each, not paired")
        span = f"{100 * LEVEL:.0f}% interval" + (f" for {self.together} comparisons together" if self.together > 1 else "")
        scale, unit = (100, " points") if "accuracy" in self.metric else (1, "")  # shares are told in per cent everywhere
        if self.low == self.difference == self.high == 0:
            said = f"{a} and {b} are the same with each of {how}"
        elif not self.better:
            d, low, high = _figures(scale * self.difference, scale * self.low, scale * self.high)
            said = f"{a} and {b} are not distinguishable: difference {d}{unit}, {span} {low} to {high}, {how}"
        else:
            other = b if self.better == a else a
            ends = (self.low, self.high) if self.difference > 0 else (-self.high, -self.low)
            d, low, high = _figures(scale * abs(self.difference), *(scale * end for end in ends))
            sure = f"({span} {low} to {high}, {how})" if self.low < self.high else f"with each of {how}"
            said = f"{self.better} is better than {other} by {d}{unit} {sure}"
        return said + "." + (f" {self.note}" if self.note else "")

    def describe(self) -> dict[str, Any]:
        """A JSON object with all numbers and the words; what cannot be said is null."""
        return {k: _plain(v) for k, v in asdict(self).items()} | {"words": self.words}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, tuple):
        return list(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def lower_is_better(metric: str) -> bool:
    """Whether a smaller value of the metric is the better one: errors, losses, perplexities, times."""
    return metric in LOWER_IS_BETTER or any(part in metric for part in ("loss", "error", "perplexity", "seconds"))


def summarise(values: Values) -> Summary:
    """Mean, spread and the mean's 95% interval by Student's t.

    Args:
        values: of independent repeats, (n,). Folds of one table share training rows and are less independent than that.

    Raises:
        UsageError: E113 fewer than 2 values, which have no spread; E202 a value that is not finite.
    """
    v = _checked(values, "values")
    sd = _sd(v)
    half = _t(LEVEL, len(v) - 1) * sd / math.sqrt(len(v))
    mean = float(v.mean())
    return Summary(mean, sd, len(v), mean - half, mean + half)


def compare(
    a: Values, b: Values, *, metric: str, paired: bool | None = None, names: tuple[str, str] = ("A", "B"), unit: str = "seed"
) -> Comparison:
    """Two methods by their values over several seeds or splits.

    The interval is Student's t of the differences where values are paired, Welch's (1947) where they are not.

    Args:
        a, b: values (n,) and (m,); paired ones in the same order of seeds.
        metric: what was measured; decides whether more or less is better.
        paired: whether a[i] and b[i] share seed and split; if None, where there are as many of both.
        names: what to call them.
        unit: what a value comes from, for the words.

    Raises:
        UsageError: E113 fewer than 2 values, E202 unequal lengths of what is paired, or a value that is not finite.
    """
    return _compare(a, b, metric, names, paired=paired, unit=unit)


def compare_all(
    table: Mapping[str, Values], baseline: str, *, metric: str, paired: bool | None = None, unit: str = "seed"
) -> dict[str, Comparison]:
    """Every variant against one of them, so that all statements hold together in 95% of cases.

    Each interval is widened to the level 1 - 0.05 / comparisons (Bonferroni, as Dunn 1961). Holm's (1979) procedure finds slightly more
    differences, but its decisions have no intervals that agree with them, and how large a difference is matters more here; Dunnett's
    (1955) test asks for the same spread everywhere and for no pairs.

    Args:
        table: variant -> values by seed, in the same order for all.
        baseline: the variant that the others are compared with.
        metric: what was measured.
        paired: as `compare` takes it.
        unit: what a value comes from, for the words.

    Returns:
        Variant -> its comparison with the baseline, the variant first; one with values that are not finite says only that.

    Raises:
        UsageError: E201 no such baseline, and what `compare` raises.
    """
    if baseline not in table:
        raise UsageError("E201", f'There is no variant "{baseline}" to compare with.', f"Take one of: {', '.join(table)}")
    finite = {k: np.isfinite(np.asarray(v, float)).all() for k, v in table.items()}
    others = [k for k in table if k != baseline]
    count = sum(bool(finite[k] and finite[baseline]) for k in others)
    return {
        k: _compare(table[k], table[baseline], metric, (k, baseline), paired=paired, unit=unit, together=count)
        if finite[k] and finite[baseline]
        else _not_finite(table, k, baseline, metric, unit)
        for k in others
    }


def compare_samples(a: Any, b: Any, *, metric: str = "", names: tuple[str, str] = ("A", "B")) -> Comparison:
    """Two finished models by their answers to the same test samples, one seed each.

    Right and wrong answers: McNemar's (1947) test in its exact form decides; the interval of the difference of the shares is that of
    Agresti and Min (2005), which stays sensible where the models hardly ever disagree. Losses: Student's t of the differences.

    Args:
        a, b: (n,), whether each sample was answered rightly (bool, or uint8 of 0 and 1), or its loss or error (float, less is better).
        metric: what the mean of the values is, for the words; accuracy or loss if empty.
        names: what to call them.

    Raises:
        UsageError: E113 fewer than 2 samples, E202 other lengths or kinds, or a value that is not finite.
    """
    x, y = np.asarray(a), np.asarray(b)
    right = x.dtype.kind in "bu" and y.dtype.kind in "bu"
    if x.shape != y.shape or x.ndim != 1:
        raise UsageError("E202", f"The samples are not the same: {x.shape} and {y.shape}.", "Judge both on the same samples, in order.")
    if not right and "b" in x.dtype.kind + y.dtype.kind:
        raise UsageError("E202", "One side holds right or wrong, the other losses.", "Give the same of both.")
    if not right:
        found = _compare(x, y, metric or "loss", names, paired=True, unit="sample", lower=True)
        return replace(found, note=ONE_SEED)
    if (np.maximum(x.astype(int), y.astype(int)) > 1).any():
        raise UsageError("E202", "Right or wrong is 1 or 0; there are other numbers.", "compare_samples(a > 0, b > 0)")
    return _mcnemar(x.astype(bool), y.astype(bool), metric or "accuracy", names)


def _mcnemar(x: np.ndarray, y: np.ndarray, metric: str, names: tuple[str, str]) -> Comparison:
    from scipy.stats import binomtest

    first, second = summarise(x.astype(float)), summarise(y.astype(float))
    n, only_a, only_b = len(x), int((x & ~y).sum()), int((y & ~x).sum())
    p = float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0
    more, less, total = only_a + 0.5, only_b + 0.5, n + 2  # half a sample in each of the four cells
    middle = (more - less) / total
    half = Z * math.sqrt(more + less - (more - less) ** 2 / total) / total
    low, high = max(-1.0, middle - half), min(1.0, middle + half)
    sure = p < 1 - LEVEL and not low <= 0 <= high  # the claim needs both, so that it never contradicts its interval
    better = "" if not sure else names[0] if only_a > only_b else names[1]
    times = ["once" if k == 1 else "never" if k == 0 else f"{k:,} times" for k in (only_a, only_b)]
    told = f"{names[0]} alone is right {times[0]}, {names[1]} alone {times[1]} (McNemar, exact: p {p:.2g}). {ONE_SEED}"
    return Comparison(names, metric, first, second, (only_a - only_b) / n, low, high, p, n, True, better, "sample", 1, told)


def _compare(
    a: Values,
    b: Values,
    metric: str,
    names: tuple[str, str],
    *,
    paired: bool | None,
    unit: str,
    together: int = 1,
    lower: bool | None = None,
) -> Comparison:
    x, y = _checked(a, names[0], unit), _checked(b, names[1], unit)
    if paired and len(x) != len(y):
        message = f"Paired values belong together one by one: {names[0]} has {len(x)}, {names[1]} has {len(y)}."
        raise UsageError("E202", message, f"Give the {unit}s both have, or paired=False.")
    pairs = len(x) == len(y) if paired is None else paired
    first, second = summarise(x), summarise(y)
    difference, note = first.mean - second.mean, ""
    scale = float(max(np.abs(x).max(), np.abs(y).max()))
    spread = _sd(x - y, scale) if pairs else math.nan
    if spread == 0 < first.sd and abs(difference) > TINY * scale:
        # rounded figures can differ equally by luck; an interval of no width would claim to be certain
        pairs, note = False, "All paired differences are equal, which shows no spread: the values were compared unpaired."
    error, free = (spread / math.sqrt(len(x)), float(len(x) - 1)) if pairs else _welch(first, second)
    if error == 0:
        difference = 0.0 if abs(difference) <= TINY * scale else difference
        low, high, p = difference, difference, math.nan if difference else 1.0
        note = f"Nothing varies with the {unit}: this says nothing about other samples." if difference else ""
    else:
        half = _t(1 - (1 - LEVEL) / together, free) * error
        low, high, p = difference - half, difference + half, min(1.0, together * _tail(difference / error, free))
    better = ""
    if not low <= 0 <= high:
        better = names[0] if (difference < 0) == (lower_is_better(metric) if lower is None else lower) else names[1]
    return Comparison(names, metric, first, second, difference, low, high, p, min(len(x), len(y)), pairs, better, unit, together, note)


def _welch(first: Summary, second: Summary) -> tuple[float, float]:
    """Standard error of the difference of two means, and its degrees of freedom."""
    parts = [first.sd**2 / first.n, second.sd**2 / second.n]
    total = sum(parts)
    if total == 0:
        return 0.0, math.inf
    return math.sqrt(total), total**2 / (parts[0] ** 2 / (first.n - 1) + parts[1] ** 2 / (second.n - 1))


def _not_finite(table: Mapping[str, Values], variant: str, baseline: str, metric: str, unit: str) -> Comparison:
    """What is said of a variant that diverged."""
    who = baseline if not np.isfinite(np.asarray(table[baseline], float)).all() else variant
    v = np.asarray(table[who], float)
    note = f"{who} has no finite {metric.replace('_', ' ')} with {int((~np.isfinite(v)).sum())} of {len(v)} {unit}s"
    nothing = Summary(math.nan, math.nan, len(v), math.nan, math.nan)
    nan, names = math.nan, (variant, baseline)
    return Comparison(names, metric, nothing, nothing, nan, nan, nan, nan, len(v), False, "", unit, 1, f"{note}: not compared.")


def _checked(values: Values, name: str, unit: str = "value") -> np.ndarray:
    v = np.asarray(values, float).ravel()
    if len(v) < 2:
        message = f"{name}: {len(v)} {unit}{'' if len(v) == 1 else 's'}; chance can only be told from 2 on."
        raise UsageError("E113", message, "Run it with another seed as well: seed=1")
    if not np.isfinite(v).all():
        where = int((~np.isfinite(v)).argmax())
        raise UsageError("E202", f"{name}: value {where + 1} of {len(v)} is {v[where]}.", "Leave out what failed, and say so.")
    return v


def _sd(v: np.ndarray, scale: float | None = None) -> float:
    """Standard deviation with n - 1; 0 for what is equal up to rounding of numbers as large as `scale`."""
    sd = float(v.std(ddof=1))
    return 0.0 if sd <= TINY * (float(np.abs(v).max()) if scale is None else scale) else sd


def _t(level: float, free: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(free, (1 + level) / 2))


def _tail(statistic: float, free: float) -> float:
    from scipy.special import stdtr

    return float(2 * stdtr(free, -abs(statistic)))


def _figures(*values: float) -> list[str]:
    """Numbers with as many decimals as their interval's width bears: a difference, or a difference, low and high."""
    scale = (values[2] - values[1]) / 2 if len(values) == 3 else 0.0
    if not scale:
        return [f"{v:.3g}" for v in values]
    power = math.floor(math.log10(scale))
    decimals = max(0, -power + (scale / 10**power < 5))
    while decimals < 2 - power and any(v and not float(f"{v:.{decimals}f}") for v in values[1:]):
        decimals += 1  # an end that is not 0 does not read as 0
    return [f"{v:,.{decimals}f}" if float(f"{v:.{decimals}f}") else f"{0:.{decimals}f}" for v in values]
