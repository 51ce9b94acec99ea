"""The rate drops when a metric stops improving."""

from __future__ import annotations

import math
import warnings
from typing import Any

import torch
from torch.optim import Optimizer

from rungbook.scratch.optim.lr_scheduler.base import Rate, checked, per_group, put, rates


class ReduceLROnPlateau(torch.optim.lr_scheduler.ReduceLROnPlateau):
    """`lr = max(lr * factor, min_lr)` once the metric has not improved for more than `patience` epochs.

    Args:
        optimizer: of torch or ours.
        mode: "min" if less is better, "max" if more is.
        factor: of a drop, below 1.
        patience: epochs without improvement that are allowed.
        threshold: what counts as improvement: beyond `best * (1 -+ threshold)`, or `best -+ threshold`.
        threshold_mode: "rel" or "abs".
        cooldown: epochs after a drop in which nothing is counted.
        min_lr: lowest rate, for all groups or one each.
        eps: smaller drops are left out.

    Raises:
        ValueError: a factor of 1 or more; an unknown mode; a list of another length.
        TypeError: no optimiser.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: Any = 0,
        eps: float = 1e-8,
    ) -> None:
        if factor >= 1.0:
            raise ValueError(f"factor is {factor}, needed is a number below 1")
        if mode not in ("min", "max"):
            raise ValueError(f"mode is {mode!r}, needed is 'min' or 'max'")
        if threshold_mode not in ("rel", "abs"):
            raise ValueError(f"threshold_mode is {threshold_mode!r}, needed is 'rel' or 'abs'")
        self.factor = factor
        self.optimizer = checked(optimizer)
        self.default_min_lr = None if isinstance(min_lr, list | tuple) else min_lr
        self.min_lrs = per_group("min_lr", optimizer, min_lr)
        self.patience, self.cooldown, self.eps = patience, cooldown, eps
        self.last_epoch = 0
        self._last_lr = rates(optimizer)
        self.mode_worse = math.inf if mode == "min" else -math.inf
        self.mode, self.threshold, self.threshold_mode = mode, threshold, threshold_mode
        self._reset()

    def _reset(self) -> None:
        self.best, self.cooldown_counter, self.num_bad_epochs = self.mode_worse, 0, 0

    def step(self, metrics: Any, epoch: int | None = None) -> None:  # type: ignore[override]
        """Take in the metric of an epoch, and lower the rates if it has not improved for too long."""
        if epoch is not None:
            warnings.warn("scheduler.step(metric, epoch) is kept for old code; call scheduler.step(metric) instead", stacklevel=2)
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        value = float(metrics)
        if self._is_better(value, self.best):
            self.best, self.num_bad_epochs = value, 0
        else:
            self.num_bad_epochs += 1
        if self.in_cooldown:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce_lr(self.last_epoch)
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
        self._last_lr = rates(self.optimizer)

    def _reduce_lr(self, epoch: int) -> None:
        groups = self.optimizer.param_groups
        if len(groups) != len(self.min_lrs):
            if self.default_min_lr is None:
                raise RuntimeError(f"the optimizer has {len(groups)} groups now, min_lr has {len(self.min_lrs)} values; set min_lrs anew")
            self.min_lrs = [self.default_min_lr] * len(groups)
        for group, lowest in zip(groups, self.min_lrs, strict=True):
            before = float(group["lr"])
            after = max(before * self.factor, lowest)
            if before - after > self.eps:
                put(group, "lr", after)

    @property
    def in_cooldown(self) -> bool:
        """Whether the last drop is too recent to count."""
        return self.cooldown_counter > 0

    def _is_better(self, a: float, best: float) -> bool:
        sign = -1 if self.mode == "min" else 1
        bar = best * (1.0 + sign * self.threshold) if self.threshold_mode == "rel" else best + sign * self.threshold
        return sign * a > sign * bar

    def get_last_lr(self) -> list[Rate]:
        return self._last_lr

    def state_dict(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        vars(self).update(state_dict)
        self.mode_worse = math.inf if self.mode == "min" else -math.inf
