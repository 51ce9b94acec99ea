"""Plain gradient descent, its momentum, its average over time, and its sign.

SGD: Robbins and Monro (1951); momentum: Polyak (1964), Nesterov (1983) in the form of Sutskever et al. (2013). ASGD: Polyak and Juditsky
(1992). Rprop: Riedmiller and Braun (1993). In the formulas p is a parameter, g its gradient, t the number of the step, counted from 1.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rungbook.scratch.optim.optimizer import (
    Group,
    PerParameter,
    Scalar,
    State,
    add_,
    advance,
    counter,
    plain,
    scalar,
    scalar_dtype,
    shrink_,
    with_l2,
)


class SGD(PerParameter):
    """`b = momentum * b + (1 - dampening) * g; p -= lr * b`, where g includes `weight_decay * p`, and b is g at the first step.

    Nesterov's form steps along `g + momentum * b` instead.

    Args:
        params, lr, weight_decay, maximize, differentiable, foreach, fused: see `PerParameter`.
        momentum: share of the last step's direction that is kept; 0 remembers nothing.
        dampening: share of the gradient that momentum leaves out.
        nesterov: look ahead.

    Raises:
        ValueError: a hyperparameter outside its range; nesterov without momentum or with dampening.
    """

    takes_sparse = True
    as_real = False

    def __init__(
        self,
        params: Any,
        lr: Scalar = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: Scalar = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError(f"nesterov=True needs momentum above 0 and no dampening, found momentum={momentum}, dampening={dampening}")
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "dampening": dampening,
                "weight_decay": weight_decay,
                "nesterov": nesterov,
                "maximize": maximize,
                "foreach": foreach,
                "differentiable": differentiable,
                "fused": fused,
            },
        )

    def update(self, p: Tensor, grad: Tensor, state: State, group: Group) -> None:
        momentum = group["momentum"]
        grad = with_l2(grad, p, group["weight_decay"])
        if momentum != 0:
            velocity = state.get("momentum_buffer")
            if velocity is None:
                velocity = state["momentum_buffer"] = grad.clone()
            else:
                velocity.mul_(momentum).add_(grad, alpha=1 - group["dampening"])
            grad = grad.add(velocity, alpha=momentum) if group["nesterov"] else velocity
        add_(p, grad, -scalar(group["lr"]))


class ASGD(PerParameter):
    """Gradient descent at a rate that falls, and beside it the average of all parameters after step t0, in `state[p]["ax"]`.

    `p -= eta * (g + lambd * p); ax += mu * (p - ax)` with `eta = lr / (1 + lambd * lr * t)**alpha` and `mu = 1 / max(1, t - t0)`.

    Args:
        params, weight_decay, maximize, capturable, differentiable, foreach: see `PerParameter`.
        lr: learning rate at the start.
        lambd: how fast it falls, and how strongly parameters decay.
        alpha: power of the fall.
        t0: steps before averaging starts.

    Raises:
        ValueError: a hyperparameter outside its range.
    """

    def __init__(
        self,
        params: Any,
        lr: Scalar = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "lambd": lambd,
                "alpha": alpha,
                "t0": t0,
                "weight_decay": weight_decay,
                "foreach": foreach,
                "maximize": maximize,
                "differentiable": differentiable,
                "capturable": capturable,
            },
        )

    def start(self, p: Tensor, group: Group) -> State:
        one = torch.ones((), dtype=scalar_dtype(), device=p.device)
        return {"step": one * 0, "eta": one * plain(scalar(group["lr"])), "mu": one, "ax": torch.zeros_like(p)}

    def update(self, p: Tensor, grad: Tensor, state: State, group: Group) -> None:
        lr, lambd = scalar(group["lr"]), group["lambd"]
        eta, mu, mean = state["eta"], state["mu"], state["ax"]
        t = advance(state, group)
        grad = with_l2(grad, p, group["weight_decay"])
        shrink_(p, lambd * plain(eta))
        add_(p, grad, -eta)
        add_(mean, p - mean, mu)  # mu is 1 until step t0: the average is p itself
        averaged = t - group["t0"]
        eta.copy_(torch.as_tensor(lr / (1 + lambd * lr * t) ** group["alpha"]))
        mu.copy_(1 / averaged.clamp(min=1) if isinstance(averaged, Tensor) else torch.as_tensor(1 / max(1, averaged)))


class Rprop(PerParameter):
    """Only the gradient's sign counts: each weight has a step size, which grows while the sign stays and shrinks when it flips.

    `s *= etas[1]` where `g * g_before > 0`, `s *= etas[0]` where it is negative (and g counts as 0 there); `p -= s * sign(g)`.

    Args:
        params, maximize, capturable, differentiable, foreach: see `PerParameter`.
        lr: step size at the start.
        etas: factors below and above 1.
        step_sizes: smallest and largest step size.

    Raises:
        ValueError: a hyperparameter outside its range.
    """

    def __init__(
        self,
        params: Any,
        lr: Scalar = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        if not 0 < etas[0] < 1 < etas[1]:
            raise ValueError(f"etas is {etas}, needed is one factor between 0 and 1 and one above 1")
        super().__init__(
            params,
            {
                "lr": lr,
                "etas": etas,
                "step_sizes": step_sizes,
                "foreach": foreach,
                "maximize": maximize,
                "differentiable": differentiable,
                "capturable": capturable,
            },
        )

    def start(self, p: Tensor, group: Group) -> State:
        lr = scalar(group["lr"])
        size = complex(lr, lr) if p.is_complex() else lr  # both parts of a complex number have a step size
        return {"step": counter(p, group), "prev": torch.zeros_like(p), "step_size": torch.full_like(p, size)}  # type: ignore[arg-type]

    def update(self, p: Tensor, grad: Tensor, state: State, group: Group) -> None:
        shrink, grow = group["etas"]
        before, size = state["prev"], state["step_size"]
        advance(state, group)
        agreement = (grad * before).sign()
        factor = torch.ones_like(size).masked_fill(agreement > 0, grow).masked_fill(agreement < 0, shrink)
        size.mul_(factor).clamp_(*group["step_sizes"])
        # after a flip the step is left out, and so is the comparison at the next one
        grad = grad.masked_fill(agreement < 0, 0)
        p.addcmul_(grad.sign(), size, value=-1)
        before.copy_(grad)
