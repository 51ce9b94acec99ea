"""Three optimisers that torch does not have, each a few parts of `stateful`: LARS, LAMB and Lion.

LARS (You, Gitman, Ginsburg, 2017) and LAMB (You et al., 2020) let each layer move by a share of its own size, for large batches; Lion
(Chen et al., 2023) moves every weight by the same amount. In the formulas p is a layer's parameter, g its gradient, |x| the root of the sum
of squares.
"""

from __future__ import annotations

from typing import Any

import torch

from rungbook.scratch.optim.optimizer import Group, Scalar, scalar
from rungbook.scratch.optim.stateful import (
    Slot,
    StatefulOptimizer,
    adam_direction,
    decoupled_decay,
    exponential_average,
    first_moment,
    second_moment,
    step_count,
    trust_ratio,
)


class LARS(StatefulOptimizer):
    """`b = momentum * b + lr * ratio * (g + weight_decay * p); p -= b`, `ratio = trust * |p| / (|g| + weight_decay * |p|)` (algorithm 1).

    The ratio is 1 where p or g is 0. b holds past learning rates, as in the paper: a schedule acts on new gradients only.

    Args:
        params, lr, weight_decay, maximize: see `PerParameter`.
        momentum: share of the last step that is kept.
        trust: share of its size by which a layer moves at lr 1 (eta in the paper).

    Raises:
        ValueError: a hyperparameter outside its range.
        NotImplementedError: a complex parameter.
    """

    def __init__(
        self,
        params: Any,
        lr: Scalar = 0.1,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        trust: float = 1e-3,
        *,
        maximize: bool = False,
    ) -> None:
        if not trust > 0:
            raise ValueError(f"trust is {trust}, needed is a number above 0")
        velocity = exponential_average("velocity", keep=lambda h: h["momentum"], take=lambda h: 1)
        hyper = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "trust": trust, "maximize": maximize}
        super().__init__(params, [lars_step_size, velocity], [velocity_step], **hyper)


def lars_step_size(slot: Slot, hyper: Group) -> None:
    """A statistic: the gradient becomes the step it is worth, `lr * ratio * (g + weight_decay * p)`."""
    decay, weights, length = hyper["weight_decay"], slot.p.norm(), slot.grad.norm()
    ratio = torch.where((weights > 0) & (length > 0), hyper["trust"] * weights / (length + decay * weights), 1.0)
    slot.grad = scalar(hyper["lr"]) * ratio * (slot.grad + decay * slot.p)


def velocity_step(slot: Slot, hyper: Group) -> None:
    """`p -= velocity`."""
    slot.p.sub_(slot.state["velocity"])


class LAMB(StatefulOptimizer):
    """Adam's direction with decoupled decay, as long as the layer: `r = adam_direction + weight_decay * p; p -= lr * |p| / |r| * r`.

    Algorithm 2 with phi the identity; the ratio is 1 where p or r is 0.

    Args:
        params, lr, weight_decay, maximize: see `PerParameter`; lr is the share of its size by which a layer moves.
        betas: shares of both averages that are kept.
        eps: keeps the denominator above 0.

    Raises:
        ValueError: a hyperparameter outside its range.
        NotImplementedError: a complex parameter.
    """

    def __init__(
        self,
        params: Any,
        lr: Scalar = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        hyper = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "maximize": maximize}
        super().__init__(params, [step_count, first_moment, second_moment], [lamb_step], **hyper)


def lamb_step(slot: Slot, hyper: Group) -> None:
    """A stepper: `p -= lr * trust_ratio * (adam_direction + weight_decay * p)`."""
    direction = adam_direction(slot, hyper) + hyper["weight_decay"] * slot.p
    slot.p.sub_(scalar(hyper["lr"]) * trust_ratio(slot.p, direction) * direction)


class Lion(StatefulOptimizer):
    """`p -= lr * (sign(beta1 * m + (1 - beta1) * g) + weight_decay * p); m = beta2 * m + (1 - beta2) * g` (algorithm 2).

    Args:
        params, lr, weight_decay, maximize: see `PerParameter`; lr is what each weight moves by, about a tenth of AdamW's.
        betas: weight of m in the step, and share of m that is kept.

    Raises:
        ValueError: a hyperparameter outside its range.
        NotImplementedError: a complex parameter.
    """

    def __init__(
        self,
        params: Any,
        lr: Scalar = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        hyper = {"lr": lr, "betas": betas, "weight_decay": weight_decay, "maximize": maximize}
        # the average is brought up to date last: the step mixes the gradient into that of the steps before
        super().__init__(params, [], [decoupled_decay, lion_step, _slow_average], **hyper)


_slow_average = exponential_average("exp_avg", keep=lambda h: h["betas"][1])


def lion_step(slot: Slot, hyper: Group) -> None:
    """A stepper: `p -= lr * sign(beta1 * exp_avg + (1 - beta1) * g)`."""
    beta1 = hyper["betas"][0]
    before = slot.state.get("exp_avg")
    mixed = (1 - beta1) * slot.grad if before is None else beta1 * before + (1 - beta1) * slot.grad
    slot.p.sub_(mixed.sign() * scalar(hyper["lr"]))
