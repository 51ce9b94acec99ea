"""Scores by name, equal to scikit-learn's, for outputs of models and for predictions alike."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn import metrics

from rungbook.data.target import ClassTarget, NumberTarget
from rungbook.recipes.scores import scores

rng = np.random.default_rng(0)


def test_classes() -> None:
    target = ClassTarget(("a", "b", "c"))
    logits = torch.tensor(rng.normal(size=(50, 3)))
    truth = torch.tensor(rng.integers(0, 3, 50))
    shares = logits.softmax(1).numpy()
    found = scores(target, truth, logits)
    assert found == pytest.approx(
        {
            "accuracy": metrics.accuracy_score(truth, shares.argmax(1)),
            "balanced_accuracy": metrics.balanced_accuracy_score(truth, shares.argmax(1)),
            "log_loss": metrics.log_loss(truth, shares, labels=[0, 1, 2]),
        },
        abs=1e-6,
    )
    assert found == pytest.approx(scores(target, truth.numpy(), shares), abs=1e-6)


def test_a_class_that_is_not_there_and_a_certain_mistake() -> None:
    found = scores(ClassTarget(("a", "b", "c")), np.array([0, 0, 1]), np.array([[0.0, 0.0, 1.0], [1, 0, 0], [0, 1, 0]]))
    assert found["balanced_accuracy"] == 0.75
    assert np.isfinite(found["log_loss"])


def test_numbers_in_both_units() -> None:
    values = np.exp(rng.normal(3, 1, 40))
    target = NumberTarget.fit(values, log=True)
    guess = values * np.exp(rng.normal(0, 0.1, 40))
    found = scores(target, values, guess)
    assert found == pytest.approx(
        {
            "r2": metrics.r2_score(values, guess),
            "root_mean_squared_error": metrics.root_mean_squared_error(values, guess),
            "mean_absolute_error": metrics.mean_absolute_error(values, guess),
            "root_mean_squared_log_error": metrics.root_mean_squared_log_error(values, guess),
        }
    )
    assert found == pytest.approx(scores(target, target.encode(values), target.encode(guess)), rel=1e-4)


def test_the_logarithm_is_left_out_where_it_does_not_exist() -> None:
    assert "root_mean_squared_log_error" not in scores(NumberTarget(), np.array([-1.0, 2.0]), np.array([1.0, 2.0]))
    assert "root_mean_squared_log_error" not in scores(NumberTarget(), np.array([1.0, 2.0]), np.array([-1.0, 2.0]))
