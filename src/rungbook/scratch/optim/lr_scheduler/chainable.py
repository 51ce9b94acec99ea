"""Schedules in two forms: the change from one step to the next, which lets several act on one rate, and the rate at any time at once.

In the formulas t is `last_epoch` and `lr[0]` the rate the optimiser was made with. `step()` multiplies the present rate, whoever set it,
by `change()`; `step(epoch)` sets `lr[0] * so_far()`.
"""

from __future__ import annotations

import math
import types
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from torch.optim import Optimizer

from rungbook.scratch.optim.lr_scheduler.base import LRScheduler, Rate, rates


class Chainable(LRScheduler):
    """A schedule whose rate is a factor times that of the beginning, the same for all groups."""

    def change(self) -> float:
        """`lr[t] / lr[t - 1]`."""
        raise NotImplementedError

    def so_far(self) -> float:
        """`lr[t] / lr[0]`."""
        raise NotImplementedError

    def get_lr(self) -> list[Rate]:
        self._warn_outside_step()
        change = self.change()
        return [group["lr"] * change for group in self.optimizer.param_groups]

    def _get_closed_form_lr(self) -> list[Rate]:
        so_far = self.so_far()
        return [base * so_far for base in self.base_lrs]


class StepLR(Chainable):
    """`lr[0] * gamma**(t // step_size)`: a stair.

    Args:
        optimizer, last_epoch: see `LRScheduler`.
        step_size: steps between two drops.
        gamma: factor of a drop.
    """

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1) -> None:
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def change(self) -> float:
        return self.gamma if self.last_epoch != 0 and self.last_epoch % self.step_size == 0 else 1.0

    def so_far(self) -> float:
        return self.gamma ** (self.last_epoch // self.step_size)


class MultiStepLR(Chainable):
    """`lr[0] * gamma**(number of milestones up to t)`.

    Args:
        optimizer, last_epoch: see `LRScheduler`.
        milestones: steps at which the rate drops; one named twice drops twice.
        gamma: factor of a drop.
    """

    def __init__(self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1, last_epoch: int = -1) -> None:
        self.milestones, self.gamma = Counter(milestones), gamma
        super().__init__(optimizer, last_epoch)

    def change(self) -> float:
        return self.gamma ** self.milestones[self.last_epoch]

    def so_far(self) -> float:
        return self.gamma ** bisect_right(sorted(self.milestones.elements()), self.last_epoch)


class ConstantLR(Chainable):
    """`lr[0] * factor` for the first steps, then `lr[0]`.

    Args:
        optimizer, last_epoch: see `LRScheduler`.
        factor: 0 to 1.
        total_iters: steps it lasts.

    Raises:
        ValueError: a factor outside 0 to 1.
    """

    def __init__(self, optimizer: Optimizer, factor: float = 1.0 / 3, total_iters: int = 5, last_epoch: int = -1) -> None:
        within("factor", factor, 0, 1)
        self.factor, self.total_iters = factor, total_iters
        super().__init__(optimizer, last_epoch)

    def change(self) -> float:
        if self.last_epoch == 0:
            return self.factor
        return 1 / self.factor if self.last_epoch == self.total_iters else 1.0

    def so_far(self) -> float:
        return self.factor if self.last_epoch < self.total_iters else 1.0


class LinearLR(Chainable):
    """`lr[0] * (start + (end - start) * min(t / T, 1))`: warm-up, where the start is below the end.

    Args:
        optimizer, last_epoch: see `LRScheduler`.
        start_factor: above 0, up to 1.
        end_factor: 0 to 1.
        total_iters: T, steps from start to end.

    Raises:
        ValueError: a factor outside its range.
    """

    def __init__(
        self, optimizer: Optimizer, start_factor: float = 1.0 / 3, end_factor: float = 1.0, total_iters: int = 5, last_epoch: int = -1
    ) -> None:
        within("start_factor", start_factor, 0, 1)
        within("end_factor", end_factor, 0, 1)
        if start_factor == 0:
            raise ValueError("start_factor is 0, from which no multiplication leads away; needed is a number above 0")
        self.start_factor, self.end_factor, self.total_iters = start_factor, end_factor, total_iters
        super().__init__(optimizer, last_epoch)

    def change(self) -> float:
        if self.last_epoch == 0:
            return self.start_factor
        if self._is_initial or self.last_epoch > self.total_iters:
            return 1.0
        rise = self.end_factor - self.start_factor
        return 1.0 + rise / (self.total_iters * self.start_factor + (self.last_epoch - 1) * rise)

    def so_far(self) -> float:
        return self.start_factor + (self.end_factor - self.start_factor) * min(self.total_iters, self.last_epoch) / self.total_iters


class ExponentialLR(Chainable):
    """`lr[0] * gamma**t`.

    Args:
        optimizer, last_epoch: see `LRScheduler`.
        gamma: factor of each step.
    """

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def change(self) -> float:
        return 1.0 if self._is_initial else self.gamma

    def so_far(self) -> float:
        return self.gamma**self.last_epoch


class PolynomialLR(Chainable):
    """`lr[0] * (1 - min(t / T, 1))**power`.

    Args:
        optimizer, last_epoch: see `LRScheduler`.
        total_iters: T, steps down to 0.
        power: 1 falls linearly.
    """

    def __init__(self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1) -> None:
        self.total_iters, self.power = total_iters, power
        super().__init__(optimizer, last_epoch)

    def change(self) -> float:
        if self._is_initial or self.last_epoch > self.total_iters:
            return 1.0
        left = [1.0 - t / self.total_iters for t in (self.last_epoch - 1, self.last_epoch)]
        return (left[1] / left[0]) ** self.power

    def so_far(self) -> float:
        return (1.0 - min(self.total_iters, self.last_epoch) / self.total_iters) ** self.power


class CosineAnnealingLR(LRScheduler):
    """`eta_min + (lr[0] - eta_min) * (1 + cos(pi * t / T_max)) / 2` (Loshchilov and Hutter, 2017); after T_max it rises again.

    Args:
        optimizer, last_epoch: see `LRScheduler`.
        T_max: steps down to the smallest rate.
        eta_min: the smallest rate.
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Rate]:
        self._warn_outside_step()
        if self._is_initial:
            return rates(self.optimizer)
        groups, low = self.optimizer.param_groups, self.eta_min
        if (self.last_epoch - 1 - self.T_max) % (2 * self.T_max) == 0:
            # the step before was the lowest, where the ratio below would divide by 0
            rise = (1 - math.cos(math.pi / self.T_max)) / 2
            return [group["lr"] + (base - low) * rise for base, group in zip(self.base_lrs, groups, strict=True)]
        now, before = (1 + math.cos(math.pi * t / self.T_max) for t in (self.last_epoch, self.last_epoch - 1))
        return [now / before * (group["lr"] - low) + low for group in groups]

    def _get_closed_form_lr(self) -> list[Rate]:
        share = (1 + math.cos(math.pi * self.last_epoch / self.T_max)) / 2
        return [self.eta_min + (base - self.eta_min) * share for base in self.base_lrs]


class ByFunction(LRScheduler):
    """A schedule from functions t -> factor, one for all groups or one each.

    Args:
        optimizer, last_epoch: see `LRScheduler`.
        lr_lambda: function, or a list of one for each group.

    Raises:
        ValueError: a list of another length.
        TypeError: something that cannot be called.
    """

    _left_out = ("optimizer", "lr_lambdas")

    def __init__(
        self, optimizer: Optimizer, lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]], last_epoch: int = -1
    ) -> None:
        self.optimizer = optimizer
        groups = len(optimizer.param_groups)
        self.lr_lambdas: list[Any] = list(lr_lambda) if isinstance(lr_lambda, list | tuple) else [lr_lambda] * groups
        if len(self.lr_lambdas) != groups:
            raise ValueError(f"lr_lambda has {len(self.lr_lambdas)} functions, needed is one for each of the optimizer's {groups} groups")
        for function in self.lr_lambdas:
            if not callable(function):
                raise TypeError(f"lr_lambda is a {type(function).__name__}, needed is a function of the step")
        super().__init__(optimizer, last_epoch)

    def state_dict(self) -> dict[str, Any]:
        """What a function remembers is saved if it is an object; a plain function remembers nothing."""
        kept = [None if isinstance(f, types.FunctionType) else dict(vars(f)) for f in self.lr_lambdas]
        return {**super().state_dict(), "lr_lambdas": kept}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict({name: value for name, value in state_dict.items() if name != "lr_lambdas"})
        for function, kept in zip(self.lr_lambdas, state_dict["lr_lambdas"], strict=True):
            if kept is not None:
                vars(function).update(kept)


class LambdaLR(ByFunction):
    """`lr[0] * lr_lambda(t)`; arguments as of `ByFunction`."""

    def get_lr(self) -> list[Rate]:
        self._warn_outside_step()
        return [base * function(self.last_epoch) for base, function in zip(self.base_lrs, self.lr_lambdas, strict=True)]


class MultiplicativeLR(ByFunction):
    """`lr[t - 1] * lr_lambda(t)`; arguments as of `ByFunction`."""

    def get_lr(self) -> list[Rate]:
        self._warn_outside_step()
        if self._is_initial:
            return rates(self.optimizer)
        groups = self.optimizer.param_groups
        return [group["lr"] * function(self.last_epoch) for group, function in zip(groups, self.lr_lambdas, strict=True)]


def within(name: str, value: float, low: float, high: float) -> None:
    """Refuse a value outside a range.

    Raises:
        ValueError: it is.
    """
    if not low <= value <= high:
        raise ValueError(f"{name} is {value}, needed is {low} to {high}")
