"""How good predictions are, by the names all reports use; the same for models and for baselines."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from rungbook.data.target import ClassTarget, Target
from rungbook.recipes.formulas import class_scores, number_scores

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
        return class_scores(np.asarray(torch.as_tensor(truth).cpu()).reshape(-1).astype(np.int64), shares)
    known = target.values(truth).cpu().numpy() if isinstance(truth, Tensor) else np.asarray(truth, dtype=np.float64).reshape(-1)
    guess = (
        target.decode(prediction).cpu().numpy() if isinstance(prediction, Tensor) else np.asarray(prediction, dtype=np.float64).reshape(-1)
    )
    return number_scores(known, guess)
