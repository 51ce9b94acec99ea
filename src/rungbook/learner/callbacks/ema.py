"""Exponential moving average of the weights (Polyak and Juditsky 1992; as used for evaluation in Tarvainen and Valpola 2017)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from rungbook.learner.callback import Callback

if TYPE_CHECKING:
    from rungbook.learner.learner import Learner


class EMA(Callback):
    """Judges, and ends training, with averaged weights: average = decay * average + (1 - decay) * weights after each step.

    Early on the decay is (1 + step) / (10 + step) where that is smaller, so that the average forgets the initial weights. Whole-number
    buffers are copied.

    Args:
        decay: share of the old average kept each step, 0 to below 1.
    """

    changes_training = True
    order = 30  # before KeepBest copies weights

    def __init__(self, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"decay is {decay}, it must be from 0 to below 1")
        self.decay = decay
        self.average: list[Tensor] = []
        self._swapped = False

    def before_fit(self, learner: Learner) -> None:
        """Begin with the weights there are."""
        self._weights = [t.detach() for t in (*learner.model.parameters(), *learner.model.buffers())]
        self.average = [t.clone() for t in self._weights]
        self._swapped = False
        self._floats = [i for i, t in enumerate(self._weights) if t.is_floating_point()]
        self._others = [i for i, t in enumerate(self._weights) if not t.is_floating_point()]

    def after_step(self, learner: Learner) -> None:
        """Move the average towards the weights."""
        decay = min(self.decay, (1 + learner.step) / (10 + learner.step))
        torch._foreach_lerp_([self.average[i] for i in self._floats], [self._weights[i] for i in self._floats], 1 - decay)
        for i in self._others:
            self.average[i].copy_(self._weights[i])

    def _swap(self) -> None:
        for average, weight in zip(self.average, self._weights, strict=True):
            kept = weight.clone()
            weight.copy_(average)
            average.copy_(kept)

    def before_validate(self, learner: Learner) -> None:
        """Judge the average; it stays in until callbacks that keep weights have seen it."""
        self._swap()
        self._swapped = True

    def before_epoch(self, learner: Learner) -> None:
        """Train on from the weights, not from the average."""
        if self._swapped:
            self._swap()
            self._swapped = False

    def after_fit(self, learner: Learner) -> None:
        """End with the average in the model."""
        if not self._swapped:
            self._swap()
            self._swapped = True

    def state_dict(self) -> dict[str, Any]:
        """The average, and whether model and average have changed places."""
        return {"average": list(self.average), "swapped": self._swapped}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what `state_dict` gave."""
        for mine, saved in zip(self.average, state["average"], strict=True):
            mine.copy_(saved)
        self._swapped = state["swapped"]
