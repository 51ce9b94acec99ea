"""Stochastic weight averaging (Izmailov et al. 2018, "Averaging weights leads to wider optima and better generalization", algorithm 1)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from rungbook.learner.buffers import update_statistics
from rungbook.learner.callbacks.average import Average

if TYPE_CHECKING:
    from rungbook.learner.learner import Learner


class SWA(Average):
    """Ends training with the mean of the weights at the ends of the last epochs, its batch norm statistics taken anew.

    The weights when the last share of the fit begins count as the first. The mean is judged once, after the last epoch. In the paper the
    rate stays high meanwhile (constant, or going up and down): with one that ends near 0 the weights to average lie close together. Beside
    `KeepBest` training ends with the mean only if no epoch before was better on valid.

    Args:
        share: last share of the fit, above 0 and below 1; of less than an epoch the mean is the last weights alone.

    Raises:
        ValueError: another share.
    """

    def __init__(self, share: float = 0.25) -> None:
        super().__init__()
        if not 0 < share < 1:
            raise ValueError(f"share is {share}, it must be above 0 and below 1")
        self.share = share
        self.count = 0

    def weights_of(self, learner: Learner) -> list[Tensor]:
        """Parameters and buffers: the statistics of the mean change places with those of the weights."""
        return [t.detach() for t in (*learner.model.parameters(), *learner.model.buffers())]

    def before_fit(self, learner: Learner) -> None:
        """Nothing is averaged yet."""
        super().before_fit(learner)
        self.count, self._parameters = 0, sum(1 for _ in learner.model.parameters())
        self._first = first_epoch(learner.plan.epochs, self.share)

    def before_validate(self, learner: Learner) -> None:
        """The epoch's weights enter the mean; after the last epoch it is the mean that is judged."""
        self._take(learner, learner.epoch + 1)

    def after_epoch(self, learner: Learner) -> None:
        """The same where there is no valid split."""
        if learner.valid_feed is None:
            self._take(learner, learner.epoch)

    def _take(self, learner: Learner, done: int) -> None:
        if done < self._first:
            return
        self.count += 1
        n = self._parameters
        torch._foreach_lerp_(self.average[:n], self._weights[:n], 1 / self.count)
        if done == learner.plan.epochs:
            self._put_in(learner)

    def _put_in(self, learner: Learner) -> None:
        for mine, now in zip(self.average[self._parameters :], self._weights[self._parameters :], strict=True):
            mine.copy_(now)
        self.swap()
        update_statistics(learner)

    def after_fit(self, learner: Learner) -> None:
        """A fit that was ended early ends with the mean there is, if any."""
        if not self._swapped and self.count:
            self._put_in(learner)

    def state_dict(self) -> dict[str, Any]:
        """The mean and how many weights are in it."""
        return {**super().state_dict(), "count": self.count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what `state_dict` gave."""
        super().load_state_dict(state)
        self.count = state["count"]


def first_epoch(epochs: int, share: float) -> int:
    """The epoch, counted from 1, after which weights are averaged: when the last `share` of all begins."""
    return max(1, math.ceil(epochs * (1 - share) - 1e-9))
