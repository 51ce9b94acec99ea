"""Intervals hold the truth as often as they say."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from rungbook.learner.metrics import make_metric
from rungbook.recipes.interval import bootstrap, interval, wilson


def test_wilson_against_published_values() -> None:
    # Newcombe 1998, "Two-sided confidence intervals for the single proportion", table 1, method 3
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=1e-4)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
    assert wilson(29, 29) == pytest.approx((0.8830, 1.0), abs=1e-4)
    assert all(math.isnan(v) for v in wilson(0, 0))


def test_coverage_of_accuracy_and_of_the_naive_interval() -> None:
    rng = np.random.default_rng(0)
    p, n = 0.98, 50
    rights = rng.binomial(n, p, 4000)
    inside = np.mean([low <= p <= high for low, high in (wilson(int(r), n) for r in rights)])
    assert 0.92 <= inside <= 0.99
    naive = rights / n
    half = 1.96 * np.sqrt(naive * (1 - naive) / n)
    assert np.mean((naive - half <= p) & (p <= naive + half)) < 0.70  # the control


@pytest.mark.parametrize("metric", ["balanced_accuracy", "f1", "log_loss", "perplexity", "accuracy"])
def test_class_intervals_hold_the_metrics_value(metric: str) -> None:
    rng = np.random.default_rng(1)
    logits = torch.tensor(rng.normal(0, 1, (300, 4)))
    truth = torch.tensor(rng.integers(0, 4, 300))
    logits[torch.arange(300), truth] += 1.5
    m = make_metric(metric)
    m.update(logits, truth)
    ends = interval(metric, truth, logits.softmax(1))
    assert ends is not None
    assert ends[0] < m.compute() < ends[1]
    assert ends == interval(metric, truth, logits.softmax(1))  # the same every time
    assert ends[1] - ends[0] < 0.4 * float(m.compute())


@pytest.mark.parametrize(
    "metric", ["r2", "mean_absolute_error", "mean_squared_error", "root_mean_squared_error", "root_mean_squared_log_error"]
)
def test_number_intervals_hold_the_metrics_value(metric: str) -> None:
    rng = np.random.default_rng(1)
    truth = rng.gamma(3, 10, 200)
    predicted = truth + rng.normal(0, 4, 200)
    m = make_metric(metric)
    m.update(torch.tensor(predicted), torch.tensor(truth))
    ends = interval(metric, truth, predicted)
    assert ends is not None
    assert ends[0] < m.compute() < ends[1]


def test_bootstrap_of_a_mean_is_as_wide_as_theory_says() -> None:
    x = np.random.default_rng(0).normal(0, 1, 400)
    low, high = bootstrap(lambda i: float(x[i].mean()), 400)
    assert high - low == pytest.approx(2 * 1.96 * x.std() / 20, rel=0.15)


def test_no_rule_no_interval() -> None:
    assert interval("my_metric", np.zeros(3), np.zeros(3)) is None
    assert interval("my_metric", np.zeros(3), np.full((3, 2), 0.5)) is None
    assert all(math.isnan(v) for v in bootstrap(lambda i: 0.0, 1))
