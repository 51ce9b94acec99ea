"""One machine that makes them all: an optimiser is a list of statistics of the gradient, and a list of steppers that act on them.

A statistic or stepper is a function of one parameter's `Slot` and its group's hyperparameters. Each step calls, for each parameter, first
all statistics in their order, then all steppers. SGD with momentum is `[l2, average_grad]` and `[momentum_step]`; exchange one entry and it
is another optimiser. The idea is from fastai's course of 2019 (part 2, notebook 09), whose L2 stepper ran after the averages, so that they
did not see it; here it is the first statistic.

Shapes: all tensors of a slot are as large as its parameter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rungbook.scratch.optim.optimizer import Group, PerParameter, State, add_, scalar, shrink_, with_l2


@dataclass
class Slot:
    """One parameter during one step.

    Args:
        p: the parameter; steppers change it in place.
        grad: its gradient; a statistic may put another in its place.
        state: what is remembered until the next step.
    """

    p: Tensor
    grad: Tensor
    state: State


Part = Callable[[Slot, Group], None]
"""A statistic or a stepper."""


class StatefulOptimizer(PerParameter):
    """Statistics of the gradient, then steppers.

    Args:
        params: see `PerParameter`.
        stats: called first, in their order.
        steppers: called then, in their order.
        hyper: hyperparameters that the parts ask for; `lr` must be among them.

    Raises:
        ValueError: a hyperparameter outside its range.
        NotImplementedError: a complex parameter.
    """

    def __init__(self, params: Any, stats: Sequence[Part], steppers: Sequence[Part], **hyper: Any) -> None:
        self.parts = [*stats, *steppers]
        super().__init__(params, hyper)

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "parts": self.parts}  # a copy of the optimiser goes on as it does

    def start(self, p: Tensor, group: Group) -> State:
        if p.is_complex():
            raise NotImplementedError(f"complex parameters: {type(self).__name__} takes real ones only, found {p.dtype}")
        return {}

    def update(self, p: Tensor, grad: Tensor, state: State, group: Group) -> None:
        slot = Slot(p, grad, state)
        for part in self.parts:
            part(slot, group)


# Statistics


def step_count(slot: Slot, hyper: Group) -> None:
    """`step`: t, counted from 1."""
    slot.state["step"] = slot.state.get("step", 0) + 1


def l2(slot: Slot, hyper: Group) -> None:
    """The gradient of the regularised loss, for all parts that follow: `g + weight_decay * p`."""
    slot.grad = with_l2(slot.grad, slot.p, hyper["weight_decay"])


def exponential_average(
    name: str, *, keep: Callable[[Group], float], take: Callable[[Group], float] | None = None, of: Callable[[Tensor], Tensor] = lambda g: g
) -> Part:
    """A statistic: `a = keep * a + take * of(g)`, from 0.

    Args:
        name: of a in the state.
        keep, take: from the hyperparameters; take is `1 - keep` (dampened) unless given.
        of: what is averaged.
    """

    def update(slot: Slot, hyper: Group) -> None:
        if name not in slot.state:
            slot.state[name] = torch.zeros_like(slot.p)
        weight = 1 - keep(hyper) if take is None else take(hyper)
        slot.state[name].mul_(keep(hyper)).add_(of(slot.grad), alpha=weight)

    return update


average_grad = exponential_average("grad_avg", keep=lambda h: h["momentum"], take=lambda h: 1 - h.get("dampening", 0))
"""`grad_avg`: of the gradient, by `momentum` and `dampening`: 0 sums gradients up, the momentum itself averages them."""

first_moment = exponential_average("exp_avg", keep=lambda h: h["betas"][0])
"""`exp_avg`: of the gradient, by the first of `betas`, dampened."""

second_moment = exponential_average("exp_avg_sq", keep=lambda h: h["betas"][1], of=torch.square)
"""`exp_avg_sq`: of its square, by the second of `betas`, dampened."""


# Steppers


def sgd_step(slot: Slot, hyper: Group) -> None:
    """`p -= lr * g`."""
    add_(slot.p, slot.grad, -scalar(hyper["lr"]))


def momentum_step(slot: Slot, hyper: Group) -> None:
    """`p -= lr * grad_avg`."""
    add_(slot.p, slot.state["grad_avg"], -scalar(hyper["lr"]))


def decoupled_decay(slot: Slot, hyper: Group) -> None:
    """`p *= 1 - lr * weight_decay`: decoupled, no statistic sees it."""
    shrink_(slot.p, scalar(hyper["lr"]) * hyper["weight_decay"])


def adam_direction(slot: Slot, hyper: Group) -> Tensor:
    """`m / (1 - beta1**t) / (sqrt(v / (1 - beta2**t)) + eps)`: both averages freed from their start at 0 (debiased)."""
    beta1, beta2 = hyper["betas"]
    m, v = debiased(slot.state["exp_avg"], beta1, slot), debiased(slot.state["exp_avg_sq"], beta2, slot)
    return m / (v.sqrt() + hyper["eps"])


def debiased(average: Tensor, beta: float, slot: Slot) -> Tensor:
    """A dampened average from 0 over the sum of its weights, `1 - beta**t`."""
    return average / (1 - beta ** slot.state["step"])


def adam_step(slot: Slot, hyper: Group) -> None:
    """`p -= lr * adam_direction`."""
    slot.p.sub_(adam_direction(slot, hyper) * scalar(hyper["lr"]))


def trust_ratio(p: Tensor, direction: Tensor) -> Tensor:
    """`|p| / |direction|`, and 1 where either is 0, so that a new layer can leave 0. A scalar tensor, on the parameter's device."""
    weights, length = p.norm(), direction.norm()
    return torch.where((weights > 0) & (length > 0), weights / length, 1.0)


# Optimisers made of them


def composed_sgd(params: Any, lr: float = 1e-3, momentum: float = 0, dampening: float = 0, weight_decay: float = 0) -> StatefulOptimizer:
    """SGD as parts; equal to `SGD` but for dampening, which here weighs the first gradient too.

    Args:
        params, lr, momentum, dampening, weight_decay: see `SGD`.
    """
    hyper = {"lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay}
    return StatefulOptimizer(params, [l2, average_grad], [momentum_step], **hyper)


def composed_adam(
    params: Any,
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0,
    decoupled: bool = False,
) -> StatefulOptimizer:
    """Adam as parts, or AdamW: the same two parts for the decay, at another place.

    Args:
        params, lr, betas, eps, weight_decay: see `Adam`.
        decoupled: whether the decay is a stepper (AdamW) instead of the first statistic.
    """
    stats = [step_count, first_moment, second_moment]
    hyper = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
    if decoupled:
        return StatefulOptimizer(params, stats, [decoupled_decay, adam_step], **hyper)
    return StatefulOptimizer(params, [l2, *stats], [adam_step], **hyper)
