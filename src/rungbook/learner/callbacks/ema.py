"""Exponential moving average of the weights (Polyak and Juditsky 1992; as used for evaluation in Tarvainen and Valpola 2017)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from rungbook.learner.callbacks.average import Average

if TYPE_CHECKING:
    from rungbook.learner.learner import Learner


class EMA(Average):
    """Judges, and ends training, with averaged weights: average = decay * average + (1 - decay) * weights after each step.

    Early on the decay is (1 + step) / (10 + step) where that is smaller, so that the average forgets the initial weights. Whole-number
    buffers are copied.

    Args:
        decay: share of the old average kept each step, 0 to below 1.
    """

    def __init__(self, decay: float = 0.999) -> None:
        super().__init__()
        if not 0 <= decay < 1:
            raise ValueError(f"decay is {decay}, it must be from 0 to below 1")
        self.decay = decay

    def weights_of(self, learner: Learner) -> list[Tensor]:
        """Parameters and buffers."""
        return [t.detach() for t in (*learner.model.parameters(), *learner.model.buffers())]

    def before_fit(self, learner: Learner) -> None:
        """Begin with the weights there are."""
        super().before_fit(learner)
        self._floats = [i for i, t in enumerate(self._weights) if t.is_floating_point()]
        self._others = [i for i, t in enumerate(self._weights) if not t.is_floating_point()]

    def after_step(self, learner: Learner) -> None:
        """Move the average towards the weights."""
        decay = min(self.decay, (1 + learner.step) / (10 + learner.step))
        torch._foreach_lerp_([self.average[i] for i in self._floats], [self._weights[i] for i in self._floats], 1 - decay)
        for i in self._others:
            self.average[i].copy_(self._weights[i])
