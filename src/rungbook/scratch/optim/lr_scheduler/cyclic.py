"""Schedules that come again, and the one cycle: each has the rate at any time in closed form.

Warm restarts: Loshchilov and Hutter (2017). Cyclic rates: Smith (2017). One cycle: Smith and Topin (2018), where momentum moves against the
rate. In the formulas t is `last_epoch`.
"""

from __future__ import annotations

import math
import types
from collections.abc import Callable
from typing import Any

from torch.optim import Optimizer

from rungbook.scratch.optim.lr_scheduler.base import LRScheduler, Rate, checked, per_group, put


class CosineAnnealingWarmRestarts(LRScheduler):
    """`eta_min + (lr[0] - eta_min) * (1 + cos(pi * T_cur / T_i)) / 2`, where T_cur starts again at 0 after each T_i steps.

    Args:
        optimizer, last_epoch: see `LRScheduler`.
        T_0: steps of the first run.
        T_mult: how much longer each run is than the one before.
        eta_min: the smallest rate.

    Raises:
        ValueError: a number outside its range, or not whole where it must be.
    """

    def __init__(self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        for name, value in (("T_0", T_0), ("T_mult", T_mult)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} is {value!r}, needed is a whole number of 1 or more")
        if not isinstance(eta_min, float | int):
            raise ValueError(f"eta_min is a {type(eta_min).__name__}, needed is a number")  # noqa: TRY004 - torch's type
        self.T_0, self.T_i, self.T_mult, self.eta_min = T_0, T_0, T_mult, eta_min
        self.T_cur: float = last_epoch
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Rate]:
        self._warn_outside_step()
        share = (1 + math.cos(math.pi * self.T_cur / self.T_i)) / 2
        return [self.eta_min + (base - self.eta_min) * share for base in self.base_lrs]

    def step(self, epoch: float | None = None) -> None:
        """Move the clock by one, or to an epoch, which may be a fraction: `step(epoch + batch / batches)`.

        Raises:
            ValueError: an epoch below 0.
        """
        if epoch is None and self.last_epoch >= 0:
            epoch = self.last_epoch + 1
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur %= self.T_i
                self.T_i *= self.T_mult
        else:
            epoch = 0 if epoch is None else epoch
            if epoch < 0:
                raise ValueError(f"epoch is {epoch}, needed is 0 or more")
            self._find(epoch)
        self.last_epoch = math.floor(epoch)
        self._get_lr_called_within_step = True
        try:
            self._set(self.get_lr())
        finally:
            self._get_lr_called_within_step = False

    def _find(self, epoch: float) -> None:
        """Set T_cur and T_i to the run that an epoch falls into."""
        if epoch < self.T_0:
            self.T_cur, self.T_i = epoch, self.T_0
        elif self.T_mult == 1:
            self.T_cur = epoch % self.T_0
        else:
            # n runs last T_0 * (T_mult**n - 1) / (T_mult - 1) steps
            n = int(math.log(epoch / self.T_0 * (self.T_mult - 1) + 1, self.T_mult))
            self.T_cur = epoch - self.T_0 * (self.T_mult**n - 1) / (self.T_mult - 1)
            self.T_i = self.T_0 * self.T_mult**n


class WithMomentum(LRScheduler):
    """A schedule that may move momentum too: `momentum`, or the first of `betas`."""

    cycle_momentum: bool
    use_beta1: bool

    def _prepare_momentum(self, base: Any, largest: Any, fresh: bool) -> tuple[list[Any], list[Any]]:
        """Smallest and largest momentum of each group; a fresh schedule starts at the largest.

        Raises:
            ValueError: the optimiser has no momentum.
        """
        defaults = self.optimizer.defaults
        if "momentum" not in defaults and "betas" not in defaults:
            raise ValueError(f"cycle_momentum=True needs an optimizer with momentum or betas, {type(self.optimizer).__name__} has neither")
        self.use_beta1 = "betas" in defaults
        low, high = per_group("base_momentum", self.optimizer, base), per_group("max_momentum", self.optimizer, largest)
        if fresh:
            for group, smallest, start in zip(self.optimizer.param_groups, low, high, strict=True):
                self._put_momentum(group, start)
                group["max_momentum"], group["base_momentum"] = start, smallest
        return low, high

    def _put_momentum(self, group: dict[str, Any], value: float) -> None:
        if self.use_beta1:
            group["betas"] = (value, *group["betas"][1:])
        else:
            group["momentum"] = value


SCALES: dict[str, tuple[str, Callable[[float, float], float]]] = {
    "triangular": ("cycle", lambda gamma, x: 1.0),
    "triangular2": ("cycle", lambda gamma, x: 1 / 2.0 ** (x - 1)),
    "exp_range": ("iterations", lambda gamma, x: gamma**x),
}
"""Mode of `CyclicLR` -> what its scale counts, and (gamma, count) -> scale."""


class CyclicLR(WithMomentum):
    """A saw tooth: up from base_lr to max_lr and down again, the height of each tooth scaled by a function of its number or of t.

    `base_lr + (max_lr - base_lr) * h * scale` with h from 0 to 1 and back; momentum likewise from max_momentum down to base_momentum.

    Args:
        optimizer, last_epoch: see `LRScheduler`.
        base_lr, max_lr: lowest and highest rate, for all groups or one each.
        step_size_up, step_size_down: steps of both flanks; None is as long as up.
        mode: "triangular" scale 1, "triangular2" half of the last tooth's, "exp_range" `gamma**t`.
        gamma: of the last.
        scale_fn: own scale in place of these.
        scale_mode: "cycle" calls it with the tooth's number, counted from 1, "iterations" with t.
        cycle_momentum: whether momentum moves.
        base_momentum, max_momentum: its lowest and highest value, for all groups or one each.

    Raises:
        ValueError: an unknown mode; lists of another length; an optimiser without momentum.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: Any,
        max_lr: Any,
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: Any = 0.8,
        max_momentum: Any = 0.9,
        last_epoch: int = -1,
    ) -> None:
        self.optimizer = checked(optimizer)
        base_lrs = per_group("base_lr", optimizer, base_lr)
        if last_epoch == -1:
            for lr, group in zip(base_lrs, optimizer.param_groups, strict=True):
                put(group, "lr", lr)
        self.max_lrs = per_group("max_lr", optimizer, max_lr)
        up = float(step_size_up)
        self.total_size = up + (up if step_size_down is None else float(step_size_down))
        self.step_ratio = up / self.total_size
        if mode not in SCALES and scale_fn is None:
            raise ValueError(f"mode is {mode!r}, needed is one of {sorted(SCALES)}, or a scale_fn")
        self.mode, self.gamma = mode, gamma
        self._scale_fn_custom = scale_fn
        self.scale_mode = scale_mode if scale_fn is not None else SCALES[mode][0]
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            low, high = self._prepare_momentum(base_momentum, max_momentum, last_epoch == -1)
            self.base_momentums, self.max_momentums = low, high
        super().__init__(optimizer, last_epoch)
        self.base_lrs = base_lrs

    def scale_fn(self, x: float) -> float:
        """Height of a tooth."""
        return self._scale_fn_custom(x) if self._scale_fn_custom is not None else SCALES[self.mode][1](self.gamma, x)

    def get_lr(self) -> list[Rate]:
        self._warn_outside_step()
        cycle = math.floor(1 + self.last_epoch / self.total_size)
        x = 1.0 + self.last_epoch / self.total_size - cycle  # 0 to 1 within the tooth
        height = x / self.step_ratio if x <= self.step_ratio else (x - 1) / (self.step_ratio - 1)
        scale = self.scale_fn(cycle if self.scale_mode == "cycle" else self.last_epoch)
        if self.cycle_momentum:
            for group, low, high in zip(self.optimizer.param_groups, self.base_momentums, self.max_momentums, strict=True):
                self._put_momentum(group, high - (high - low) * height * scale)
        return [low + (high - low) * height * scale for low, high in zip(self.base_lrs, self.max_lrs, strict=True)]

    def state_dict(self) -> dict[str, Any]:
        """What a scale_fn remembers is saved if it is an object; a plain function remembers nothing."""
        state, own = super().state_dict(), self._scale_fn_custom
        del state["_scale_fn_custom"]
        return {**state, "_scale_fn_custom": None if own is None or isinstance(own, types.FunctionType) else dict(vars(own))}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        kept = state_dict["_scale_fn_custom"]
        super().load_state_dict({name: value for name, value in state_dict.items() if name != "_scale_fn_custom"})
        if kept is not None:
            vars(self._scale_fn_custom).update(kept)


class OneCycleLR(WithMomentum):
    """Up from `max_lr / div_factor` to max_lr, then down to `max_lr / div_factor / final_div_factor`, once; momentum goes the other way.

    Args:
        optimizer, last_epoch: see `LRScheduler`.
        max_lr: highest rate, for all groups or one each.
        total_steps: of the cycle; or
        epochs, steps_per_epoch: whose product it is.
        pct_start: share of the steps that go up, 0 to 1.
        anneal_strategy: "cos" or "linear".
        cycle_momentum: whether momentum moves.
        base_momentum, max_momentum: its lowest and highest value, for all groups or one each.
        div_factor: highest rate over the first.
        final_div_factor: first rate over the last.
        three_phase: come down as long as up went, and fall from the first rate to the last then.

    Raises:
        ValueError: a number outside its range; no length; lists of another length; an optimiser without momentum; a step after the last.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: Any,
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: Any = 0.85,
        max_momentum: Any = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        self.optimizer = checked(optimizer)
        self.total_steps = cycle_length(total_steps, epochs, steps_per_epoch)
        if not isinstance(pct_start, float) or not 0 <= pct_start <= 1:
            raise ValueError(f"pct_start is {pct_start!r}, needed is a float of 0 to 1")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"anneal_strategy is {anneal_strategy!r}, needed is 'cos' or 'linear'")
        self._schedule_phases = phases(self.total_steps, pct_start, three_phase)
        self._anneal_func_type = anneal_strategy
        largest = per_group("max_lr", optimizer, max_lr)
        if last_epoch == -1:
            for group, top in zip(optimizer.param_groups, largest, strict=True):
                group["initial_lr"], group["max_lr"] = top / div_factor, top
                group["min_lr"] = group["initial_lr"] / final_div_factor
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self._prepare_momentum(base_momentum, max_momentum, last_epoch == -1)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Rate]:
        self._warn_outside_step()
        if self.last_epoch > self.total_steps:
            raise ValueError(f"step {self.last_epoch} of a cycle of {self.total_steps}; give total_steps as many as there are")
        start = 0.0
        for phase in self._schedule_phases:
            if self.last_epoch <= phase["end_step"] or phase is self._schedule_phases[-1]:
                break
            start = phase["end_step"]
        position = (self.last_epoch - start) / (phase["end_step"] - start)
        if self.cycle_momentum:
            for group in self.optimizer.param_groups:
                self._put_momentum(group, self._between(group[phase["start_momentum"]], group[phase["end_momentum"]], position))
        return [self._between(group[phase["start_lr"]], group[phase["end_lr"]], position) for group in self.optimizer.param_groups]

    def _between(self, start: Any, end: Any, position: float) -> Any:
        """From start at position 0 to end at 1."""
        if self._anneal_func_type == "cos":
            return end + (start - end) / 2.0 * (1 + math.cos(math.pi * position))
        return (end - start) * position + start


def cycle_length(total_steps: int | None, epochs: int | None, steps_per_epoch: int | None) -> int:
    """Steps of a cycle.

    Raises:
        ValueError: not given, or not positive and whole.
    """
    given = {"total_steps": total_steps} if total_steps is not None else {"epochs": epochs, "steps_per_epoch": steps_per_epoch}
    length = 1
    for name, value in given.items():
        if not isinstance(value, int) or value <= 0:
            raise ValueError(f"{name} is {value!r}, needed is a whole number above 0; give total_steps, or epochs and steps_per_epoch")
        length *= value
    return length


def phases(total_steps: int, pct_start: float, three_phase: bool) -> list[dict[str, Any]]:
    """The flanks of one cycle: the step each ends at, and the names of the settings of a group it goes from and to."""
    top = float(pct_start * total_steps) - 1
    bends: list[tuple[float, str, str]] = [(top, "max_lr", "base_momentum"), (total_steps - 1, "min_lr", "max_momentum")]
    if three_phase:
        bends.insert(1, (float(2 * pct_start * total_steps) - 2, "initial_lr", "max_momentum"))
    lr, momentum, found = "initial_lr", "max_momentum", []
    for end, next_lr, next_momentum in bends:
        found.append({"end_step": end, "start_lr": lr, "end_lr": next_lr, "start_momentum": momentum, "end_momentum": next_momentum})
        lr, momentum = next_lr, next_momentum
    return found
