"""What is to be predicted: classes or a number, and the way from the user's values to the model's and back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class ClassTarget:
    """One of several classes; the model gives one logit a class.

    Args:
        classes: class names; a target is an index into them.
        name: what is predicted (the column's name).
    """

    classes: tuple[str, ...]
    name: str = "class"
    task = "classification"

    @property
    def outputs(self) -> int:
        """How many numbers the model gives for a sample."""
        return len(self.classes)

    def encode(self, values: Sequence[Any]) -> Tensor:
        """Class names -> indices, int64 (n,); a name that is no class raises KeyError."""
        number = {c: i for i, c in enumerate(self.classes)}
        return torch.tensor([number[str(v)] for v in values], dtype=torch.int64)

    def decode(self, output: Tensor) -> Tensor:
        """Logits (n, classes) -> probabilities (n, classes)."""
        return output.float().softmax(-1)

    def describe(self) -> dict[str, Any]:
        """A JSON object that `restore` turns back."""
        return {"task": self.task, **asdict(self)}


@dataclass(frozen=True)
class NumberTarget:
    """A number; the model works on (t(y) - mean) / std with t the logarithm log(y + shift) or nothing.

    Args:
        mean, std: of t(y) over the training samples.
        log: whether t is the logarithm; for positive skewed values.
        low, high: the training samples' range of t(y); predictions are kept within twice that range, so that a
            logarithmic model cannot answer 1e30 for one odd row.
        name: what is predicted (the column's name).
    """

    mean: float = 0.0
    std: float = 1.0
    log: bool = False
    low: float = -math.inf
    high: float = math.inf
    name: str = "value"
    task = "regression"
    outputs = 1

    @classmethod
    def fit(cls, values: np.ndarray, *, log: bool = False, name: str = "value") -> NumberTarget:
        """The target of the training samples' values, (n,)."""
        t = np.log(values) if log else np.asarray(values, float)
        std = float(t.std())
        return cls(float(t.mean()), std if std > 0 else 1.0, log, float(t.min()), float(t.max()), name)

    def encode(self, values: Any) -> Tensor:
        """The user's values (n,) -> what the model is trained on, float32 (n, 1)."""
        t = np.log(np.asarray(values, float)) if self.log else np.asarray(values, float)
        return torch.as_tensor((t - self.mean) / self.std, dtype=torch.float32).reshape(-1, 1)

    def decode(self, output: Tensor) -> Tensor:
        """Model outputs (n, 1) -> the user's units, float64 (n,)."""
        t = output.double().reshape(-1) * self.std + self.mean
        if math.isfinite(self.low):
            margin = (self.high - self.low) / 2
            t = t.clamp(self.low - margin, self.high + margin)
        return t.exp() if self.log else t

    def values(self, encoded: Tensor) -> Tensor:
        """What `encode` gave (n, 1) -> the user's units, float64 (n,): the truth, which unlike a prediction is never bounded."""
        t = encoded.double().reshape(-1) * self.std + self.mean
        return t.exp() if self.log else t

    def describe(self) -> dict[str, Any]:
        """A JSON object that `restore` turns back."""
        return {"task": self.task, **{k: None if isinstance(v, float) and math.isinf(v) else v for k, v in asdict(self).items()}}


Target = ClassTarget | NumberTarget


def restore(description: dict[str, Any]) -> Target:
    """The target that `describe` described."""
    fields = {k: v for k, v in description.items() if k != "task" and v is not None}
    if description["task"] == "classification":
        return ClassTarget(**{**fields, "classes": tuple(fields["classes"])})
    return NumberTarget(**fields)
