"""The formulas behind the scores, in numpy alone: importing scikit-learn for them costs two seconds, and torch is not needed.

The figures are scikit-learn's to the last bit, which a test holds fast.
"""

from __future__ import annotations

import math

import numpy as np


def class_scores(truth: np.ndarray, shares: np.ndarray) -> dict[str, float]:
    """Accuracy, balanced accuracy and log loss.

    Args:
        truth: class numbers, int64 (n,).
        shares: what each class was given, float64 (n, classes); brought to a sum of 1, and kept away from 0, whose logarithm is infinite.
    """
    right = shares.argmax(axis=1) == truth
    there = np.bincount(truth, minlength=shares.shape[1])
    hits = np.bincount(truth[right], minlength=shares.shape[1])
    recall = hits[there > 0] / there[there > 0]  # balanced accuracy is over the classes the split has
    tiny = np.finfo(np.float64).eps
    shares = np.clip(shares, tiny, None)
    shares = np.clip(shares / shares.sum(axis=1, keepdims=True), tiny, 1 - tiny)
    given = shares[np.arange(len(truth)), truth]
    return {
        "accuracy": float(right.mean()),
        "balanced_accuracy": float(recall.mean()),
        # numpy's own logarithm may differ from the C library's in the last bit
        "log_loss": float(np.mean([-math.log(share) for share in given.tolist()])),
    }


def number_scores(truth: np.ndarray, guess: np.ndarray) -> dict[str, float]:
    """R2, root mean squared and mean absolute error, and the root mean squared logarithmic error where all is above 0.

    R2 is not a number for one sample; for truths that are all equal it is 1 where they were all met and 0 otherwise.

    Args:
        truth, guess: float64 (n,), in the user's units.
    """
    error, spread = np.square(truth - guess).sum(), np.square(truth - truth.mean()).sum()
    r2 = 1 - error / spread if spread else float(error == 0)
    found = {
        "r2": float(r2) if len(truth) > 1 else math.nan,
        "root_mean_squared_error": float(np.sqrt(np.square(truth - guess).mean())),
        "mean_absolute_error": float(np.abs(guess - truth).mean()),
    }
    if truth.min() > 0 and guess.min() > 0:
        found["root_mean_squared_log_error"] = float(np.sqrt(np.square(np.log1p(truth) - np.log1p(guess)).mean()))
    return found
