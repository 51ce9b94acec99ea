"""Several schedules on one optimiser: one after another, or all at once."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

import torch
from torch.optim import Optimizer

from rungbook.scratch.optim.lr_scheduler.base import LRScheduler, put, rates


class Several(LRScheduler):
    """Schedules of one optimiser, whose states are saved with it."""

    _left_out = ("optimizer", "_schedulers")
    _schedulers: Sequence[torch.optim.lr_scheduler.LRScheduler]

    def _check(self, schedulers: Sequence[Any], optimizer: Optimizer | None) -> Optimizer:
        """The optimiser of all.

        Raises:
            ValueError: no schedule; one that needs a metric; one of another optimiser.
            TypeError: something without an optimiser.
        """
        if len(schedulers) < 1:
            raise ValueError(f"{type(self).__name__} needs at least one scheduler, found none")
        for i, scheduler in enumerate(schedulers):
            if not hasattr(scheduler, "optimizer"):
                raise TypeError(f"scheduler {i} of {type(self).__name__} is a {type(scheduler).__name__}, which has no optimizer")
            if isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
                raise ValueError(  # noqa: TRY004 - torch's type
                    f"scheduler {i} of {type(self).__name__} is a ReduceLROnPlateau, whose step needs a metric; step it apart"
                )
            optimizer = optimizer or scheduler.optimizer
            if scheduler.optimizer is not optimizer:
                raise ValueError(f"scheduler {i} of {type(self).__name__} has another optimizer than the rest; needed is one for all")
        assert optimizer is not None
        return optimizer

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "_schedulers": [scheduler.state_dict() for scheduler in self._schedulers]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict({name: value for name, value in state_dict.items() if name != "_schedulers"})
        for scheduler, state in zip(self._schedulers, state_dict["_schedulers"], strict=True):
            scheduler.load_state_dict(state)


class SequentialLR(Several):
    """One schedule up to the first milestone, the next from there, which starts at its own 0.

    Args:
        optimizer: of all.
        schedulers: in their order.
        milestones: steps at which the next takes over, one fewer than schedules.
        last_epoch: the clock's state; -1 starts anew.

    Raises:
        ValueError: no schedule; another number of milestones; one that needs a metric; one of another optimiser.
        TypeError: something without an optimiser.
    """

    def __init__(self, optimizer: Optimizer, schedulers: list[Any], milestones: list[int], last_epoch: int = -1) -> None:
        self._check(schedulers, optimizer)
        if len(milestones) != len(schedulers) - 1:
            raise ValueError(f"{len(schedulers)} schedulers need {len(schedulers) - 1} milestones between them, found {len(milestones)}")
        self._schedulers, self._milestones = schedulers, milestones
        self.last_epoch = last_epoch + 1
        self.optimizer = optimizer
        # each took its first step when it was made: take those back, and let the one whose turn it is take it again
        for group in optimizer.param_groups:
            put(group, "lr", group["initial_lr"])
        take_back(self)
        first = schedulers[bisect_right(milestones, 0)]
        first._initial_step()
        self._last_lr = first.get_last_lr()

    def step(self) -> None:  # type: ignore[override]
        self.last_epoch += 1
        turn = bisect_right(self._milestones, self.last_epoch)
        scheduler = self._schedulers[turn]
        if turn > 0 and self._milestones[turn - 1] == self.last_epoch:
            scheduler._update_lr(0)
        else:
            scheduler.step()
        self._last_lr = scheduler.get_last_lr()


def take_back(scheduler: Any) -> None:
    """Set the clock of a schedule, or of all it is made of, back by one."""
    if hasattr(scheduler, "_schedulers"):
        for part in scheduler._schedulers:
            take_back(part)
    elif hasattr(scheduler, "last_epoch"):
        scheduler.last_epoch -= 1


class ChainedScheduler(Several):
    """All schedules at each step, one on top of the other: their factors multiply.

    Args:
        schedulers: in their order.
        optimizer: of all; None is the first one's.

    Raises:
        ValueError: no schedule; one that needs a metric; one of another optimiser.
        TypeError: something without an optimiser.
    """

    def __init__(self, schedulers: Sequence[Any], optimizer: Optimizer | None = None) -> None:
        self.optimizer = self._check(schedulers, optimizer)
        self._schedulers = schedulers
        self._last_lr = rates(self.optimizer)

    def step(self) -> None:  # type: ignore[override]
        for scheduler in self._schedulers:
            scheduler.step()
        self._last_lr = rates(self.optimizer)
