"""Lookahead: k steps forward, 1 step back (Zhang, Lucas, Hinton, Ba 2019, algorithm 1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from rungbook.learner.callbacks.average import Average

if TYPE_CHECKING:
    from rungbook.learner.learner import Learner


class Lookahead(Average):
    """Every k steps the slow weights go a share of the way to the fast ones, which go on from there: `slow += alpha * (fast - slow)`.

    Works with any optimiser, whose momentum is kept. The slow weights are what is judged, and what training ends with; buffers stay those
    of the fast ones.

    Args:
        k: steps of the fast weights between two of the slow ones, 1 or more (5 in the paper on CIFAR-10).
        alpha: share of the way, above 0 up to 1.
    """

    def __init__(self, k: int = 5, alpha: float = 0.5) -> None:
        super().__init__()
        if isinstance(k, bool) or not isinstance(k, int) or k < 1:
            raise ValueError(f"k is {k}, it must be a whole number of steps, 1 or more")
        if not 0 < alpha <= 1:
            raise ValueError(f"alpha is {alpha}, it must be above 0 and at most 1")
        self.k, self.alpha = k, alpha

    def after_step(self, learner: Learner) -> None:
        """Move the slow weights when the fast ones have made their steps."""
        if learner.step % self.k == 0:
            torch._foreach_lerp_(self.average, self._weights, self.alpha)
            torch._foreach_copy_(self._weights, self.average)
