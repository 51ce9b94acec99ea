"""What all schedulers share: they read and write the learning rates of an optimiser's groups, once a step or epoch.

Ours are torch's by type, so that whatever takes one of torch's takes ours; every method is written here. The clock is `last_epoch`, which
counts calls of `step`: call it after each epoch, or after each batch, as the schedule is meant.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

Rate = float | Tensor


class LRScheduler(torch.optim.lr_scheduler.LRScheduler):
    """The frame: `step` moves the clock and sets each group's rate to what `get_lr` says.

    Args:
        optimizer: of torch or ours.
        last_epoch: the clock's state; -1 starts anew.

    Raises:
        TypeError: no optimiser.
        KeyError: a start in the middle, with groups that do not hold the rate of the beginning (`initial_lr`).
    """

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        self.optimizer = checked(optimizer)
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", copied(group["lr"]))
            elif "initial_lr" not in group:
                raise KeyError(
                    f"group {i} of the optimizer has no 'initial_lr', which last_epoch={last_epoch} needs; "
                    "load the optimizer's state first, or leave last_epoch out"
                )
        self.base_lrs = rates(optimizer, "initial_lr")
        self.last_epoch = last_epoch
        note_steps(optimizer)
        self._initial_step()

    def _initial_step(self) -> None:
        """From -1 to 0: sets the first rates."""
        self._step_count = 0
        self._is_initial = True
        try:
            self.step()
        finally:
            self._is_initial = False

    def step(self, epoch: int | None = None) -> None:
        if self._step_count == 1 and not getattr(self.optimizer, "_opt_called", False):
            warnings.warn(
                "the scheduler moves before the optimizer does, so its first rate is never used; call optimizer.step() first", stacklevel=2
            )
        self._step_count += 1
        if epoch is not None:
            warnings.warn("scheduler.step(epoch) is kept for old code; call scheduler.step() once an epoch instead", stacklevel=2)
        self._update_lr(epoch)

    def _update_lr(self, epoch: int | None = None) -> None:
        """Move the clock by one, or to an epoch; there by the closed form where one is known, since the present rate says nothing."""
        self._get_lr_called_within_step = True
        try:
            self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
            closed_form = getattr(self, "_get_closed_form_lr", self.get_lr)
            values = self.get_lr() if epoch is None else closed_form()
        finally:
            self._get_lr_called_within_step = False
        self._set(values)

    def _set(self, values: Sequence[Rate]) -> None:
        for group, value in zip(self.optimizer.param_groups, values, strict=True):
            put(group, "lr", value)
        self._last_lr = rates(self.optimizer)

    def get_lr(self) -> list[Rate]:
        raise NotImplementedError(f"{type(self).__name__} does not say which rates come next: it has no `get_lr`")

    def get_last_lr(self) -> list[Rate]:
        return self._last_lr

    def state_dict(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in self._left_out}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        vars(self).update(state_dict)

    _left_out: tuple[str, ...] = ("optimizer",)
    """Attributes that `state_dict` does not take as they are."""

    def _warn_outside_step(self) -> None:
        if not self._get_lr_called_within_step:
            warnings.warn("get_lr() computes the next rate from the present one; get_last_lr() tells the present one", stacklevel=3)


def checked(optimizer: Any) -> Optimizer:
    """The optimiser itself.

    Raises:
        TypeError: it is none.
    """
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"optimizer is a {type(optimizer).__name__}, needed is a torch.optim.Optimizer")
    return optimizer


def copied(value: Rate) -> Rate:
    """A rate that later changes do not reach."""
    return value.clone() if isinstance(value, Tensor) else value


def rates(optimizer: Optimizer, name: str = "lr") -> list[Rate]:
    """A setting of all groups."""
    return [copied(group[name]) for group in optimizer.param_groups]


def put(group: dict[str, Any], name: str, value: Rate) -> None:
    """Set a group's setting; one that is a tensor stays the same tensor, since a captured graph reads it."""
    if isinstance(group[name], Tensor):
        group[name].fill_(value.squeeze() if isinstance(value, Tensor) else value)
    else:
        group[name] = value


def per_group(name: str, optimizer: Optimizer, value: Any) -> list[Any]:
    """One value a group, from one for all or a list.

    Raises:
        ValueError: a list of another length.
    """
    groups = len(optimizer.param_groups)
    if not isinstance(value, list | tuple):
        return [copied(value) for _ in range(groups)]
    if len(value) != groups:
        raise ValueError(f"{name} has {len(value)} values, needed is one for each of the optimizer's {groups} groups")
    return [copied(v) for v in value]


def note_steps(optimizer: Optimizer) -> None:
    """Have the optimiser remember that it was used."""
    if not getattr(optimizer, "_steps_are_noted", False):
        optimizer._steps_are_noted = True  # type: ignore[attr-defined]
        optimizer.register_step_pre_hook(_note)


def _note(optimizer: Optimizer, args: Any, kwargs: Any) -> None:
    optimizer._opt_called = True  # type: ignore[attr-defined]
