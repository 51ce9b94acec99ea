"""Choosing on the valid split: keep the best weights, stop when nothing gets better."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from rungbook.errors import UsageError, did_you_mean
from rungbook.learner.callback import Callback
from rungbook.learner.metrics import make_metric
from rungbook.learner.pack import clone

if TYPE_CHECKING:
    from rungbook.learner.learner import Learner


class _Watch(Callback):
    """Follows one column of the epoch rows and knows which way is better.

    Args:
        monitor: column of `learner.row`: "valid_loss", or "valid_" and a metric's name.
    """

    def __init__(self, monitor: str = "valid_loss") -> None:
        self.monitor = monitor
        name = monitor.removeprefix("valid_").removeprefix("train_")
        self.sign = 1.0 if name != "loss" and make_metric(name).higher_is_better else -1.0
        self.best, self.best_epoch = -math.inf, 0

    def before_fit(self, learner: Learner) -> None:
        """Nothing is known yet: what an earlier fit found is no measure of this one."""
        self.best, self.best_epoch = -math.inf, 0

    def improved(self, learner: Learner) -> bool:
        """Whether this epoch beat all before; a value that is not a number never does."""
        if self.monitor not in learner.row:
            raise UsageError("E201", f'"{self.monitor}" is not measured.', did_you_mean(self.monitor, learner.row))
        value = self.sign * float(learner.row[self.monitor])
        if not value > self.best:
            return False
        self.best, self.best_epoch = value, learner.row["epoch"]
        return True

    def state_dict(self) -> dict[str, Any]:
        """Best value so far and its epoch."""
        return {"best": self.best, "best_epoch": self.best_epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what `state_dict` gave."""
        self.best, self.best_epoch = state["best"], state["best_epoch"]


class KeepBest(_Watch):
    """Ends training with the weights of the epoch that was best on valid (choosing; the test split has no part in it)."""

    changes_training = True  # not the course of it, but the weights it ends with
    order = 40

    def __init__(self, monitor: str = "valid_loss") -> None:
        super().__init__(monitor)
        self.weights: dict[str, Any] | None = None

    def before_fit(self, learner: Learner) -> None:
        """Forget the weights of an earlier fit."""
        super().before_fit(learner)
        self.weights = None

    def after_epoch(self, learner: Learner) -> None:
        """Copy the weights if they are the best yet."""
        if self.improved(learner):
            self.weights = clone(learner.model.state_dict())

    def after_fit(self, learner: Learner) -> None:
        """Put the best weights in."""
        if self.weights is not None:
            learner.model.load_state_dict(self.weights)

    def state_dict(self) -> dict[str, Any]:
        """Best value, epoch and weights."""
        return {**super().state_dict(), "weights": self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what `state_dict` gave."""
        super().load_state_dict(state)
        self.weights = clone(state["weights"])


class EarlyStopping(_Watch):
    """Ends training when `monitor` has not improved for `patience` epochs."""

    changes_training = True
    order = 50

    def __init__(self, monitor: str = "valid_loss", patience: int = 5) -> None:
        super().__init__(monitor)
        self.patience = patience

    def after_epoch(self, learner: Learner) -> None:
        """Stop when patience is at an end."""
        if not self.improved(learner) and learner.row["epoch"] - self.best_epoch >= self.patience:
            learner.stop = True
