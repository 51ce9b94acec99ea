"""Adafactor: Adam's second moment kept as a row and a column, so that a matrix of n x m needs n + m numbers (Shazeer and Stern, 2018).

Differs from the paper as torch does: `lr` bounds the relative step size (the paper has 0.01 there), and eps[0] is a lower bound of the
estimate instead of a term in it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rungbook.scratch.optim.optimizer import Group, PerParameter, Scalar, State, add_, advance, average_, counter, scalar, shrink_


class Adafactor(PerParameter):
    """`u = g / sqrt(V); p -= max(eps[1], rms(p)) * min(lr, 1 / sqrt(t)) * u / max(1, rms(u) / d)`.

    With `b = t**beta2_decay`: `R += b * (row means of g**2 - R)`, `C` alike of columns, `V = R C / mean(R)`; for a vector V is the average
    itself. rms is the root of the mean square of all elements.

    Args:
        params, lr, weight_decay, maximize, foreach: see `PerParameter`; lr is the largest relative step, decay is decoupled.
        beta2_decay: power with which the newest gradient's weight falls.
        eps: smallest root of V (None: the type's own precision), and smallest rms(p).
        d: largest rms of a step, in units of the step size.

    Raises:
        ValueError: a hyperparameter outside its range.
        RuntimeError: a complex parameter or sparse gradient.
    """

    def __init__(
        self,
        params: Any,
        lr: Scalar = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
    ) -> None:
        if not beta2_decay <= 0:
            raise ValueError(f"beta2_decay is {beta2_decay}, needed is 0 or less")
        if not all(value is None or value >= 0 for value in eps):
            raise ValueError(f"eps is {eps}, needed are values of 0 or more")
        if not d >= 1:
            raise ValueError(f"d is {d}, needed is 1 or more")
        super().__init__(
            params,
            {
                "lr": lr,
                "beta2_decay": beta2_decay,
                "eps": eps,
                "d": d,
                "weight_decay": weight_decay,
                "foreach": foreach,
                "maximize": maximize,
            },
        )

    def start(self, p: Tensor, group: Group) -> State:
        if p.is_complex():
            raise RuntimeError(f"Adafactor needs real parameters, found {p.dtype}")
        if p.dim() < 2:
            return {"step": counter(p, group), "variance": torch.zeros_like(p)}
        *leading, n, m = p.shape
        return {"step": counter(p, group), "row_var": p.new_zeros(*leading, n, 1), "col_var": p.new_zeros(*leading, 1, m)}

    def update(self, p: Tensor, grad: Tensor, state: State, group: Group) -> None:
        lr, (least, least_rms) = scalar(group["lr"]), group["eps"]
        least = torch.finfo(p.dtype).eps if least is None else least
        t = advance(state, group)
        weight = t ** group["beta2_decay"]
        size = max(least_rms, rms(p)) * min(lr, 1 / t**0.5)
        if group["weight_decay"] != 0:
            shrink_(p, lr * group["weight_decay"])
        if p.dim() > 1:
            rows, columns = state["row_var"], state["col_var"]
            square = grad * grad
            average_(rows, square.mean(dim=-1, keepdim=True), weight)  # (..., n, 1)
            average_(columns, square.mean(dim=-2, keepdim=True), weight)  # (..., 1, m)
            variance = rows @ columns / rows.mean(dim=-2, keepdim=True).clamp(min=least)  # (..., n, m)
        else:
            variance = state["variance"]
            average_(variance, grad * grad, weight)
        update = grad * variance.clamp(min=least * least).rsqrt()
        add_(p, update, -size / max(1.0, rms(update) / group["d"]))


def rms(x: Tensor) -> float:
    """Root of the mean square of all elements."""
    return x.norm().item() / x.numel() ** 0.5
