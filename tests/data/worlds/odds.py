"""Whether a stated limit stands, and whether a model goes beyond it: the checks every world's tests use."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from rungbook.data.worlds.world import Limit

SIGMAS = 3
"""Standard errors a claim may be off before it counts as wrong."""


def losses(metric: str, truth: Any, answer: Any) -> np.ndarray:
    """What each sample costs, so that the metric is a function of the mean: (n,).

    Args:
        metric: accuracy and log_loss take probabilities (n, classes), the others numbers (n,).
        truth: class numbers or numbers (n,) or (n, 1).
        answer: what was predicted.
    """
    truth, answer = np.asarray(truth).reshape(-1), np.asarray(answer, dtype=np.float64)
    if metric == "accuracy":
        return (answer.argmax(1) != truth).astype(float)
    if metric == "log_loss":
        return -np.log(np.clip(answer[np.arange(len(truth)), truth], 1e-15, None))
    if metric == "mean_absolute_error":
        return np.abs(answer.reshape(-1) - truth)
    if metric == "root_mean_squared_log_error":
        return np.square(np.log1p(answer.reshape(-1)) - np.log1p(truth))
    assert metric in ("mean_squared_error", "root_mean_squared_error"), metric
    return np.square(answer.reshape(-1) - truth)


def as_mean(metric: str, limit: Limit) -> tuple[float, float]:
    """The limit, and its error, as a mean of `losses`."""
    if metric == "accuracy":
        return 1 - limit.value, limit.error
    if metric.startswith("root_"):
        return limit.value**2, 2 * limit.value * limit.error
    return limit.value, limit.error


def error(values: np.ndarray) -> float:
    """Standard error of a mean."""
    return float(np.std(values, ddof=1) / math.sqrt(len(values)))


def check_limit(metric: str, limit: Limit, best: np.ndarray) -> None:
    """Fail unless the best rule's losses on new samples are those the limit states, within three standard errors."""
    stated, unsure = as_mean(metric, limit)
    found, spread = float(best.mean()), error(best)
    bound = SIGMAS * math.hypot(spread, unsure)
    assert abs(found - stated) <= bound, f"{metric}: stated {stated:.6g}, the best rule has {found:.6g}, {SIGMAS} errors are {bound:.2g}"


def check_model(name: str, metric: str, model: np.ndarray, best: np.ndarray) -> float:
    """Fail if a model's losses are below the best rule's on the same samples by more than three standard errors; gives how far above."""
    difference = model - best
    behind, bound = float(difference.mean()), SIGMAS * error(difference)
    assert behind >= -bound - 1e-12, f"{name} goes beyond the limit of {metric} by {-behind:.3g}, {SIGMAS} errors are {bound:.2g}"
    return behind


def check_reached(metric: str, behind: dict[str, float], slack: float) -> None:
    """Fail unless some model comes within `slack` of the best rule."""
    nearest = min(behind, key=lambda name: behind[name])
    assert behind[nearest] <= slack, f"{metric}: nearest is {nearest}, {behind[nearest]:.4g} short, more than {slack:.4g}"
