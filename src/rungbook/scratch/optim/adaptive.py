"""Each weight has its own rate, from the squares of its gradients so far.

Adagrad: Duchi, Hazan, Singer (2011). RMSprop: Tieleman and Hinton (2012), centred: Graves (2013). Adadelta: Zeiler (2012).
In the formulas p is a parameter, g its gradient, t the number of the step, counted from 1; all operations are elementwise.
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
    add_quotient_,
    advance,
    average_,
    counter,
    plain,
    scalar,
    with_l2,
)


class Adagrad(PerParameter):
    """`s += g**2; p -= lr / (1 + (t - 1) * lr_decay) * g / (sqrt(s) + eps)`.

    Args:
        params, lr, weight_decay, maximize, differentiable, foreach, fused: see `PerParameter`.
        lr_decay: how fast it falls, a step.
        initial_accumulator_value: s at the start.
        eps: keeps the denominator above 0.

    Raises:
        ValueError: a hyperparameter outside its range.
        RuntimeError: weight decay with a sparse gradient.
    """

    takes_sparse = True

    def __init__(
        self,
        params: Any,
        lr: Scalar = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        for name, value in (("lr_decay", lr_decay), ("initial_accumulator_value", initial_accumulator_value)):
            if not value >= 0:
                raise ValueError(f"{name} is {value}, needed is 0 or more")
        super().__init__(
            params,
            {
                "lr": lr,
                "lr_decay": lr_decay,
                "eps": eps,
                "weight_decay": weight_decay,
                "initial_accumulator_value": initial_accumulator_value,
                "foreach": foreach,
                "maximize": maximize,
                "differentiable": differentiable,
                "fused": fused,
            },
        )
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p] = self.start(p, group)

    def share_memory(self) -> None:
        """Let other processes see the sums of squares."""
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p]["sum"].share_memory_()

    def start(self, p: Tensor, group: Group) -> State:
        first = group["initial_accumulator_value"]
        total = torch.full_like(p, complex(first, first) if p.is_complex() else first)
        return {"step": counter(p, group), "sum": total}

    def update(self, p: Tensor, grad: Tensor, state: State, group: Group) -> None:
        t = advance(state, group)
        rate = scalar(group["lr"]) / (1 + (t - 1) * group["lr_decay"])
        if grad.is_sparse:
            self._update_rows(p, grad, state["sum"], rate, group)
            return
        grad = with_l2(grad, p, group["weight_decay"])
        total = state["sum"]
        total.addcmul_(grad, grad)
        add_quotient_(p, grad, total.sqrt() + group["eps"], -rate)

    def _update_rows(self, p: Tensor, grad: Tensor, total: Tensor, rate: Scalar, group: Group) -> None:
        """The same for those entries alone that a sparse gradient names."""
        if group["weight_decay"] != 0:
            raise RuntimeError(f"Adagrad: weight_decay={group['weight_decay']} needs dense gradients; a parameter has a sparse one")
        grad = grad.coalesce()  # squares of sums, not sums of squares
        at, values = tuple(grad.indices()), grad.values()
        total[at] += values**2
        p[at] -= plain(rate) * values / (total[at].sqrt() + group["eps"])


class RMSprop(PerParameter):
    """`v = alpha * v + (1 - alpha) * g**2; p -= lr * g / (sqrt(v) + eps)`.

    Centred, v becomes the variance: `v - a**2`, a being the same average of g. With momentum, the quotients are summed:
    `b = momentum * b + g / (sqrt(v) + eps); p -= lr * b`.

    Args:
        params, lr, weight_decay, maximize, capturable, differentiable, foreach: see `PerParameter`.
        alpha: share of the average of squares that is kept.
        eps: keeps the denominator above 0.
        momentum: share of the last step's direction that is kept.
        centered: divide by the standard deviation instead.

    Raises:
        ValueError: a hyperparameter outside its range.
    """

    def __init__(
        self,
        params: Any,
        lr: Scalar = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        if not alpha >= 0:
            raise ValueError(f"alpha is {alpha}, needed is 0 or more")
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "alpha": alpha,
                "eps": eps,
                "centered": centered,
                "weight_decay": weight_decay,
                "capturable": capturable,
                "foreach": foreach,
                "maximize": maximize,
                "differentiable": differentiable,
            },
        )

    def start(self, p: Tensor, group: Group) -> State:
        state: State = {"step": counter(p, group), "square_avg": torch.zeros_like(p)}
        if group["momentum"] > 0:
            state["momentum_buffer"] = torch.zeros_like(p)
        if group["centered"]:
            state["grad_avg"] = torch.zeros_like(p)
        return state

    def update(self, p: Tensor, grad: Tensor, state: State, group: Group) -> None:
        lr, alpha, square = scalar(group["lr"]), group["alpha"], state["square_avg"]
        advance(state, group)
        grad = with_l2(grad, p, group["weight_decay"])
        average_(square, grad * grad, 1 - alpha)
        if group["centered"]:
            mean = state["grad_avg"]
            average_(mean, grad, 1 - alpha)
            square = square.addcmul(mean, mean, value=-1)
        spread = square.sqrt() + group["eps"]
        if group["momentum"] > 0:
            velocity = state["momentum_buffer"]
            velocity.mul_(group["momentum"]).addcdiv_(grad, spread)
            add_(p, velocity, -lr)
        else:
            add_quotient_(p, grad, spread, -lr)


class Adadelta(PerParameter):
    """Steps in the parameter's own unit: the gradient times the ratio of past steps' size to past gradients' size.

    `v = rho * v + (1 - rho) * g**2; d = sqrt(u + eps) / sqrt(v + eps) * g; u = rho * u + (1 - rho) * d**2; p -= lr * d`.

    Args:
        params, weight_decay, maximize, capturable, differentiable, foreach: see `PerParameter`.
        lr: factor of the step; 1 in the paper.
        rho: share of both averages that is kept.
        eps: the size of the first steps, and keeps the denominator above 0.

    Raises:
        ValueError: a hyperparameter outside its range.
    """

    def __init__(
        self,
        params: Any,
        lr: Scalar = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        if not 0 <= rho <= 1:
            raise ValueError(f"rho is {rho}, needed is 0 to 1")
        super().__init__(
            params,
            {
                "lr": lr,
                "rho": rho,
                "eps": eps,
                "weight_decay": weight_decay,
                "maximize": maximize,
                "capturable": capturable,
                "foreach": foreach,
                "differentiable": differentiable,
            },
        )

    def start(self, p: Tensor, group: Group) -> State:
        return {"step": counter(p, group), "square_avg": torch.zeros_like(p), "acc_delta": torch.zeros_like(p)}

    def update(self, p: Tensor, grad: Tensor, state: State, group: Group) -> None:
        rho, eps = group["rho"], group["eps"]
        square, steps = state["square_avg"], state["acc_delta"]
        advance(state, group)
        grad = with_l2(grad, p, group["weight_decay"])
        average_(square, grad * grad, 1 - rho)
        delta = (steps + eps).sqrt() / (square + eps).sqrt() * grad
        average_(steps, delta * delta, 1 - rho)
        add_(p, delta, -scalar(group["lr"]))
