"""Comparisons say what the values bear: right intervals, no claim from luck, no hiding of what is there."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from rungbook.errors import UsageError
from rungbook.recipes.comparison import compare, compare_all, compare_samples, lower_is_better, summarise

DRAWS = 2000


def paired_draws(n: int, draws: int, shift: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Values of two methods by seed, (draws, n): the split's luck, which both share, is five times the method's own."""
    rng = np.random.default_rng(seed)
    split = rng.normal(0, 0.02, (draws, n))
    return 0.9 + shift + split + rng.normal(0, 0.004, (draws, n)), 0.9 + split + rng.normal(0, 0.004, (draws, n))


def test_summary_is_students_interval() -> None:
    values = [0.91, 0.94, 0.90, 0.95, 0.93]
    found = summarise(values)
    low, high = stats.t.interval(0.95, 4, loc=np.mean(values), scale=stats.sem(values))
    assert (found.mean, found.sd, found.n) == (pytest.approx(np.mean(values)), pytest.approx(np.std(values, ddof=1)), 5)
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))


@pytest.mark.parametrize("n", [2, 3, 5, 12])
def test_intervals_are_scipys(n: int) -> None:
    a, b = (v[0] for v in paired_draws(n, 1, 0.01, seed=n))
    for paired, reference in ((True, stats.ttest_rel(a, b)), (False, stats.ttest_ind(a, b, equal_var=False))):
        found = compare(a, b, metric="accuracy", paired=paired)
        expected = reference.confidence_interval(0.95)
        assert (found.low, found.high) == (pytest.approx(expected.low), pytest.approx(expected.high))
        assert found.p == pytest.approx(reference.pvalue)
    assert compare(a, b, metric="accuracy").paired, "as many values: paired unless told otherwise"
    longer = np.append(a, 0.9)
    assert compare(longer, b, metric="accuracy").low == pytest.approx(stats.ttest_ind(longer, b, equal_var=False).confidence_interval().low)


def test_covers_the_truth_in_95_percent() -> None:
    shift = 0.01
    a, b = paired_draws(5, DRAWS, shift)
    paired = [compare(x, y, metric="accuracy") for x, y in zip(a, b, strict=True)]
    share = np.mean([c.low <= shift <= c.high for c in paired])
    assert share == pytest.approx(0.95, abs=0.015), "sampling error of 2,000 draws is 0.005"
    power = np.mean([c.better == "A" for c in paired])
    unpaired = [compare(x, y, metric="accuracy", paired=False) for x, y in zip(a[:500], b[:500], strict=True)]
    naive = np.mean([c.better == "A" for c in unpaired])
    assert power > 0.7 > 0.2 > naive, "the control: unpaired, the luck of the split hides the difference"
    assert not any(c.better == "B" for c in paired)


def test_claims_nothing_where_there_is_nothing() -> None:
    a, b = paired_draws(3, DRAWS, 0.0, seed=1)
    claimed = np.mean([bool(compare(x, y, metric="accuracy").better) for x, y in zip(a, b, strict=True)])
    assert claimed == pytest.approx(0.05, abs=0.015)
    one_seed = np.mean(np.abs(a[:, 0] - b[:, 0]) > 0.003)
    assert one_seed > 0.5, "the control: of one seed each, most pairs of equal methods differ by 0.3 points and more"


def test_many_variants_are_right_together() -> None:
    rng = np.random.default_rng(2)
    wrong = alone = 0
    for _ in range(150):
        table = {f"v{i}": rng.normal(0.9, 0.01, 5) for i in range(8)}
        wrong += any(c.better for c in compare_all(table, "v0", metric="accuracy").values())
        alone += any(compare(table[k], table["v0"], metric="accuracy").better for k in table if k != "v0")
    assert wrong / 150 <= 0.08
    assert alone / 150 > 0.12, "the control: each by itself, some equal variant is called different far more often"
    found = compare_all(table, "v0", metric="accuracy")
    assert list(found) == [f"v{i}" for i in range(1, 8)]
    expected = stats.ttest_rel(table["v3"], table["v0"]).confidence_interval(1 - 0.05 / 7)
    assert (found["v3"].low, found["v3"].high) == (pytest.approx(expected.low), pytest.approx(expected.high))
    assert "for 7 comparisons together" in found["v3"].words


def test_a_diverged_variant_takes_nothing_from_the_others() -> None:
    table = {"base": [0.90, 0.91, 0.92], "good": [0.95, 0.96, 0.97001], "lost": [0.9, math.nan, math.nan]}
    found = compare_all(table, "base", metric="accuracy")
    assert found["lost"].words == "lost has no finite accuracy with 2 of 3 seeds: not compared."
    assert found["good"].better == "good"
    assert found["good"].together == 1
    json.dumps([c.describe() for c in found.values()], allow_nan=False)
    with pytest.raises(UsageError, match="no variant"):
        compare_all(table, "bse", metric="accuracy")


def test_words() -> None:
    a, b = [0.951, 0.962, 0.957, 0.948, 0.960], [0.939, 0.952, 0.941, 0.940, 0.944]
    assert compare(a, b, metric="accuracy").words == "A is better than B by 1.24 points (95% interval 0.80 to 1.68, 5 seeds)."
    assert compare(a, b, metric="log_loss", names=("net", "tree")).words.startswith(
        "tree is better than net by 0.0124 (95% interval 0.0080 to"
    )
    assert compare(b, a, metric="accuracy", names=("tree", "net")).words.startswith("net is better than tree by 1.24 points")
    close = compare([0.91, 0.92, 0.95], [0.92, 0.90, 0.95], metric="accuracy")
    assert close.words == "A and B are not distinguishable: difference 0.3 points, 95% interval -3.5 to 4.1, 3 seeds."
    assert compare([5100.0, 5200.0, 5000.0], [9100.0, 9300.0, 9200.0], metric="mean_absolute_error").words == (
        "A is better than B by 4,100 (95% interval 3,852 to 4,348, 3 seeds)."
    )


@pytest.mark.parametrize("metric", ["log_loss", "root_mean_squared_error", "mean_squared_error", "perplexity", "loss"])
def test_less_is_better(metric: str) -> None:
    assert lower_is_better(metric)
    assert compare([1.0, 1.1], [3.0, 3.11], metric=metric).better == "A"
    assert not lower_is_better("accuracy")


def test_equal_values_and_lucky_ones() -> None:
    same = compare([0.9, 0.95], [0.9, 0.95], metric="accuracy")
    assert same.words == "A and B are the same with each of 2 seeds."
    steady = compare([0.9, 0.9], [0.88, 0.88], metric="accuracy")
    assert steady.words.startswith("A is better than B by 2 points with each of 2 seeds. Nothing varies with the seed")
    lucky = compare([0.90, 0.92], [0.88, 0.90], metric="accuracy")  # 45, 46 of 50 right against 44, 45
    assert not lucky.better
    assert not lucky.paired
    assert "differences are equal" in lucky.words
    noisy = compare([0.1 + 0.2, 0.3], [0.3, 0.1 + 0.2], metric="accuracy")
    assert noisy.words == same.words, "rounding is no difference"


@pytest.mark.parametrize(
    ("a", "b", "paired", "code", "words"),
    [
        ([0.9], [0.8], None, "E113", "A: 1 seed; chance can only be told from 2 on"),
        ([], [0.8, 0.9], None, "E113", "A: 0 seeds"),
        ([0.9, 0.8], [0.9], False, "E113", "B: 1 seed"),
        ([0.9, 0.8, 0.7], [0.9, 0.8], True, "E202", "A has 3, B has 2"),
        ([0.9, math.nan], [0.9, 0.8], None, "E202", "A: value 2 of 2 is nan"),
    ],
)
def test_refuses_what_cannot_be_said(a: list[float], b: list[float], paired: bool | None, code: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as refused:
        compare(a, b, metric="accuracy", paired=paired)
    assert refused.value.code == code
    assert refused.value.fix


def answers(n: int, both: float, only_a: float, only_b: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Right and wrong of two models on n samples, by the shares of samples that both, or one alone, answer rightly."""
    u = rng.random(n)
    return u < both + only_a, (u < both) | ((u >= both + only_a) & (u < both + only_a + only_b))


def test_right_and_wrong_is_mcnemar() -> None:
    a, b = answers(400, 0.85, 0.08, 0.02, np.random.default_rng(0))
    found = compare_samples(a, b)
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    assert found.p == pytest.approx(stats.binomtest(only_a, only_a + only_b).pvalue)
    assert found.difference == pytest.approx(a.mean() - b.mean())
    assert found.better == "A"
    assert f"A alone is right {only_a} times" in found.words
    assert "how the next seed would fare, this does not say" in found.words
    assert compare_samples(a.astype(np.uint8), b.astype(np.uint8)) == found
    agreed = compare_samples(a, a)
    assert (agreed.better, agreed.p, agreed.difference) == ("", 1.0, 0.0)
    assert agreed.low < 0 < agreed.high, "400 samples alike do not prove two models equal"


@pytest.mark.parametrize(("n", "only_a", "only_b"), [(50, 0.05, 0.05), (200, 0.10, 0.02), (500, 0.02, 0.005)])
def test_interval_of_shares_covers(n: int, only_a: float, only_b: float) -> None:
    rng = np.random.default_rng(n)
    found = [compare_samples(*answers(n, 0.8, only_a, only_b, rng)) for _ in range(300)]
    truth = only_a - only_b
    assert np.mean([c.low <= truth <= c.high for c in found]) > 0.93
    if truth == 0:
        assert np.mean([bool(c.better) for c in found]) < 0.05
    for c in found[:200]:
        assert bool(c.better) <= (not c.low <= 0 <= c.high), "no claim against its own interval"


def test_losses_are_paired_by_sample() -> None:
    rng = np.random.default_rng(3)
    hard = rng.exponential(1, 300)  # hard samples are hard for both
    a, b = hard + rng.normal(0, 0.05, 300), hard + 0.02 + rng.normal(0, 0.05, 300)
    found = compare_samples(a, b, names=("net", "tree"))
    expected = stats.ttest_rel(a, b).confidence_interval()
    assert (found.low, found.high) == (pytest.approx(expected.low), pytest.approx(expected.high))
    assert found.better == "net"
    assert not compare(a, b, metric="loss", paired=False).better, "the control: unpaired, hard samples hide it"
    assert compare_samples(a, b, metric="r2").better == "A", "losses are lower-is-better whatever the headline"


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        (np.ones(3, bool), np.ones(4, bool), r"\(3,\) and \(4,\)"),
        (np.ones(3, bool), np.ones(3), "One side"),
        (np.full(3, 2, np.uint8), np.ones(3, np.uint8), "other numbers"),
        (np.ones(1, bool), np.ones(1, bool), "1 value"),
        (np.array([1.0, np.inf]), np.ones(2), "inf"),
    ],
)
def test_refuses_other_samples(a: Any, b: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        compare_samples(a, b)
