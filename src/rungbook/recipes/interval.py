"""How far a figure measured on n samples may lie from the truth: 95% intervals."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

Score = Callable[[np.ndarray], float]
Z = 1.959963984540054
"""The normal distribution holds 95% within this many standard deviations."""


def wilson(right: int, n: int) -> tuple[float, float]:
    """The interval of a share, `right` of `n` (Wilson 1927): sensible at 0 and 1 and for small n; (nan, nan) for n = 0."""
    if n == 0:
        return math.nan, math.nan
    p, z2 = right / n, Z * Z
    middle = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = Z * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return (0.0 if right == 0 else middle - half), (1.0 if right == n else middle + half)


def bootstrap(score: Score, n: int, *, resamples: int = 1000, seed: int = 0) -> tuple[float, float]:
    """The middle 95% of a score over samples drawn again with replacement (Efron 1979); the same every time.

    Args:
        score: sample numbers (n,) -> score.
        n: number of samples.
        resamples: draws; fewer for many samples, where the interval is narrow anyway.
    """
    if n < 2:
        return math.nan, math.nan
    rng = np.random.default_rng(seed)
    values = [score(rng.integers(0, n, n)) for _ in range(max(200, min(resamples, 20_000_000 // n)))]
    good = [v for v in values if math.isfinite(v)]
    if not good:
        return math.nan, math.nan
    low, high = np.percentile(good, [2.5, 97.5])
    return float(low), float(high)


def interval(metric: str, truth: Any, prediction: Any) -> tuple[float, float] | None:
    """The 95% interval of a metric on these samples; None for a metric without a rule here.

    Args:
        metric: a name of `rungbook.learner.metrics.METRICS`.
        truth: class numbers, or values in the user's units, (n,).
        prediction: probabilities (n, classes), or values (n,).
    """
    truth, prediction = np.asarray(truth), np.asarray(prediction)
    if prediction.ndim == 2 and prediction.shape[1] > 1:
        if metric == "accuracy":
            return wilson(int((prediction.argmax(1) == truth).sum()), len(truth))
        score = _class_score(metric, truth.astype(int), prediction)
    else:
        score = _number_score(metric, truth.astype(float).ravel(), prediction.astype(float).ravel())
    return bootstrap(score, len(truth)) if score else None


def _class_score(metric: str, truth: np.ndarray, probability: np.ndarray) -> Score | None:
    if metric in ("log_loss", "perplexity"):
        losses = -np.log(probability[np.arange(len(truth)), truth].clip(np.finfo(float).tiny))
        return (lambda i: float(losses[i].mean())) if metric == "log_loss" else (lambda i: float(np.exp(losses[i].mean())))
    K = probability.shape[1]
    cell = truth * K + probability.argmax(1)

    def counts(i: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        matrix = np.bincount(cell[i], minlength=K * K).reshape(K, K)
        return matrix.diagonal(), matrix.sum(1), matrix.sum(0)

    def balanced(i: np.ndarray) -> float:
        hits, true, _ = counts(i)
        return float((hits[true > 0] / true[true > 0]).mean())

    def f1(i: np.ndarray) -> float:
        hits, true, said = counts(i)
        there = true + said > 0
        return float((2 * hits[there] / (true + said)[there]).mean())

    return {"balanced_accuracy": balanced, "f1": f1}.get(metric)


def _number_score(metric: str, truth: np.ndarray, predicted: np.ndarray) -> Score | None:
    error = predicted - truth
    if metric == "r2":

        def r2(i: np.ndarray) -> float:
            spread = truth[i].var()
            return float(1 - (error[i] ** 2).mean() / spread) if spread > 0 else math.nan

        return r2
    if metric == "mean_absolute_error":
        return lambda i: float(np.abs(error[i]).mean())
    if metric == "mean_squared_error":
        return lambda i: float((error[i] ** 2).mean())
    if metric == "root_mean_squared_error":
        return lambda i: float(np.sqrt((error[i] ** 2).mean()))
    if metric == "root_mean_squared_log_error" and (truth > -1).all():
        logs = (np.log1p(predicted.clip(0)) - np.log1p(truth)) ** 2
        return lambda i: float(np.sqrt(logs[i].mean()))
    return None
