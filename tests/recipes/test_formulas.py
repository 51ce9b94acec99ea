"""The formulas give scikit-learn's figures to the last bit."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn import metrics

from rungbook.recipes.formulas import class_scores, number_scores


@pytest.mark.parametrize("seed", range(20))
def test_classes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, classes = int(rng.integers(1, 400)), int(rng.integers(2, 11))
    truth = rng.integers(0, classes, n)
    shares = rng.random((n, classes)) ** rng.integers(1, 9)
    shares[rng.random(shares.shape) < 0.2 * (seed % 2)] = 0  # sure, and wrong
    found = class_scores(truth, shares)
    shares = np.clip(shares, np.finfo(np.float64).eps, None)
    shares /= shares.sum(axis=1, keepdims=True)
    assert found["accuracy"] == metrics.accuracy_score(truth, shares.argmax(1))
    assert found["log_loss"] == metrics.log_loss(truth, shares, labels=range(classes))
    recall = metrics.recall_score(truth, shares.argmax(1), labels=np.unique(truth), average=None)
    assert found["balanced_accuracy"] == recall.mean()


@pytest.mark.parametrize("seed", range(20))
def test_numbers(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 400))
    truth = np.exp(rng.normal(3, 1, n))
    guess = truth * np.exp(rng.normal(0, 0.1, n))
    assert number_scores(truth, guess) == {
        "r2": metrics.r2_score(truth, guess),
        "root_mean_squared_error": metrics.root_mean_squared_error(truth, guess),
        "mean_absolute_error": metrics.mean_absolute_error(truth, guess),
        "root_mean_squared_log_error": metrics.root_mean_squared_log_error(truth, guess),
    }


def test_truths_that_are_all_equal_and_a_single_one() -> None:
    same = np.full(3, 2.0)
    for guess in (same, np.array([2.0, 2.0, 2.0 + 1e-8]), same + 1):
        assert number_scores(same, guess)["r2"] == metrics.r2_score(same, guess)
    assert math.isnan(number_scores(same[:1], same[:1])["r2"])
