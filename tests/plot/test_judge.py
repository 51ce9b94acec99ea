"""Pictures of predictions count what they say they count."""

from __future__ import annotations

import re

import numpy as np
import pytest

from rungbook.plot import judge
from rungbook.plot.style import THIRD, VALID


def test_confusion_names_the_commonest_errors() -> None:
    counts = np.array([[5, 1, 0], [3, 4, 0], [0, 0, 7]])
    picture = judge.confusion(counts, ["cat", "dog", "fox"])
    assert picture.alt == (
        "16 of 20 samples on the diagonal (right). Most frequent errors: “dog” taken for “cat” (3 times), “cat” taken for “dog” (once)."
    )
    shown = re.findall(r">(\d+)</text>", str(picture.data))
    assert sorted(map(int, shown)) == [1, 3, 4, 5, 7]  # one number a cell, none for empty ones
    assert str(picture.data).count(VALID) == 2


def test_no_errors_no_mention() -> None:
    assert judge.confusion(np.eye(2, dtype=int) * 3, ["a", "b"]).alt == "6 of 6 samples on the diagonal (right)."
    assert judge.confusion(np.zeros((25, 25), int), [str(i) for i in range(25)]).data


def test_many_classes_show_only_the_worst_pairs() -> None:
    counts = np.random.default_rng(0).integers(0, 9, (30, 30))
    picture = judge.confusion(counts, [f"kind number {i}" for i in range(30)])
    wrong = counts - np.diag(counts.diagonal())
    t, p = np.unravel_index(wrong.argmax(), wrong.shape)
    assert f"“kind number {t}” taken for “kind number {p}” ({wrong.max()} times)" in picture.alt
    assert len(re.findall(r"\d+ of \d+</text>", str(picture.data))) == 15
    assert len(str(picture.data)) < 40_000


def test_reliability_counts_by_sureness() -> None:
    p = np.array([[0.95, 0.05], [0.92, 0.08], [0.4, 0.6], [0.35, 0.65]])
    r = judge.reliability(p, np.array([0, 1, 1, 1]))
    assert r.n.tolist() == [2, 2]
    assert r.said == pytest.approx([0.625, 0.935])
    assert r.was == pytest.approx([1.0, 0.5])
    assert r.error == pytest.approx((0.375 + 0.435) / 2)


def test_calibrated_probabilities_show_no_error() -> None:
    rng = np.random.default_rng(0)
    p = rng.uniform(0.5, 1, 40_000)
    truth = np.where(rng.uniform(size=len(p)) < p, 0, 1)
    honest = judge.reliability(np.stack([p, 1 - p], 1), truth)
    assert honest.error < 0.01
    boastful = judge.reliability(np.stack([np.sqrt(p), 1 - np.sqrt(p)], 1), truth)  # the control
    assert boastful.error > 0.05
    assert "too sure" in judge.calibration(np.stack([np.sqrt(p), 1 - np.sqrt(p)], 1), truth).alt


def test_regression_pictures_tell_of_all_samples_and_draw_some() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(50, 10, 2000)
    predicted = truth + rng.normal(1, 2, 2000)
    picture = judge.predicted_versus_true(truth, predicted, name="price $")
    assert picture.alt.startswith("2,000 samples, 500 of them drawn.")
    assert "true price $" in str(picture.data)
    assert str(picture.data).count("<use") < 600
    error = predicted - truth
    words = judge.residuals(truth, predicted).alt
    assert f"mean {error.mean():.4f}".rstrip("0")[:8] in words
    assert "half lie between" in words


def test_infinite_predictions_do_not_break_the_picture() -> None:
    truth, predicted = np.array([1.0, 2.0, 3.0]), np.array([1.0, np.inf, np.nan])
    assert judge.predicted_versus_true(truth, predicted).alt.startswith("1 samples")
    assert judge.residuals(truth, predicted).data
    assert judge.residuals(np.zeros(0), np.zeros(0)).alt == "No finite errors."


def test_scores_put_the_model_first_and_the_limit_apart() -> None:
    picture = judge.scores({"this model": 0.9, "random_forest": 0.8, "broken": float("nan")}, name="r2", interval=(0.85, 0.93), limit=0.95)
    assert picture.alt == "R²: this model 0.9, random forest 0.8; 95% interval of the first 0.85 to 0.93; best possible 0.95."
    assert THIRD in str(picture.data)
    assert THIRD not in str(judge.scores({"this model": 0.9}, name="r2").data)
