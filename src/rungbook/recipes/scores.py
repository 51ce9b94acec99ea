"""How good predictions are, by the names all reports use; the same for models and for baselines."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rungbook.data.target import ClassTarget, Target

LOWER_IS_BETTER = frozenset({"log_loss", "root_mean_squared_error", "mean_absolute_error", "root_mean_squared_log_error"})


def scores(target: Target, truth: Any, prediction: Any) -> dict[str, float]:
    """The metrics of a split.

    Args:
        target: what is predicted.
        truth: what is so: class numbers (n,); or numbers, as a Tensor in the model's units (n, 1), as an array in the user's (n,).
        prediction: what was predicted: a Tensor holds a model's outputs (logits, numbers in its units), an array holds
            probabilities (n, classes) or numbers in the user's units (n,).

    Returns:
        Classes: accuracy, balanced_accuracy, log_loss. Numbers: r2, root_mean_squared_error, mean_absolute_error, and
        root_mean_squared_log_error where truth and predictions are all above 0.
    """
    if isinstance(target, ClassTarget):
        shares = (
            (target.decode(prediction) if isinstance(prediction, Tensor) else torch.as_tensor(np.asarray(prediction)))
            .double()
            .cpu()
            .numpy()
        )
        return _class_scores(np.asarray(torch.as_tensor(truth).cpu()).reshape(-1).astype(np.int64), shares, target.classes)
    known = target.values(truth).cpu().numpy() if isinstance(truth, Tensor) else np.asarray(truth, dtype=np.float64).reshape(-1)
    guess = (
        target.decode(prediction).cpu().numpy() if isinstance(prediction, Tensor) else np.asarray(prediction, dtype=np.float64).reshape(-1)
    )
    return _number_scores(known, guess)


def _class_scores(truth: np.ndarray, shares: np.ndarray, classes: tuple[str, ...]) -> dict[str, float]:
    from sklearn.metrics import accuracy_score, confusion_matrix, log_loss

    labels = np.arange(len(classes))
    answer = shares.argmax(axis=1)
    table = confusion_matrix(truth, answer, labels=labels)
    there = table.sum(axis=1) > 0  # balanced accuracy is over the classes the split has
    recall = table.diagonal()[there] / table.sum(axis=1)[there]
    tiny = np.finfo(np.float64).eps
    shares = np.clip(shares, tiny, None)
    return {
        "accuracy": float(accuracy_score(truth, answer)),
        "balanced_accuracy": float(recall.mean()),
        "log_loss": float(log_loss(truth, shares / shares.sum(axis=1, keepdims=True), labels=labels)),
    }


def _number_scores(truth: np.ndarray, guess: np.ndarray) -> dict[str, float]:
    from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error, root_mean_squared_log_error

    found = {
        "r2": float(r2_score(truth, guess)) if len(truth) > 1 else math.nan,
        "root_mean_squared_error": float(root_mean_squared_error(truth, guess)),
        "mean_absolute_error": float(mean_absolute_error(truth, guess)),
    }
    if truth.min() > 0 and guess.min() > 0:
        found["root_mean_squared_log_error"] = float(root_mean_squared_log_error(truth, guess))
    return found
