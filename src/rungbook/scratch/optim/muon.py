"""Muon: momentum whose matrix is replaced by the nearest orthogonal one (Jordan et al., 2024).

All singular values of a step are then about equal, so that rare directions move as far as frequent ones. For the weight matrices of hidden
layers; biases, embeddings and the output layer are left to AdamW.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from rungbook.scratch.optim.optimizer import Group, PerParameter, Scalar, State, add_, average_, scalar, shrink_

COEFFICIENTS = (3.4445, -4.775, 2.0315)
"""Of the polynomial a x + b x**3 + c x**5: as steep at 0 as possible while values up to 1 stay within 0.7 to 1.2 (Jordan's article)."""


class Muon(PerParameter):
    """`b = momentum * b + (1 - momentum) * g; p = (1 - lr * weight_decay) * p - lr * scale * orthogonal(b)`.

    Nesterov's form takes `momentum * b + (1 - momentum) * g` once more in place of b.

    Args:
        params, lr, weight_decay: see `PerParameter`; parameters are matrices, decay is decoupled.
        momentum: share of the last step's direction that is kept.
        nesterov: look ahead.
        ns_coefficients: a, b, c of the polynomial.
        eps: smallest norm that is divided by.
        ns_steps: how often the polynomial is applied, fewer than 100.
        adjust_lr_fn: the scale of an n x m matrix: "original" (or None) `sqrt(max(1, n / m))`; "match_rms_adamw" `0.2 * sqrt(max(n, m))`,
            with which steps are as large as AdamW's (Liu et al., 2025).

    Raises:
        ValueError: a hyperparameter outside its range; a parameter that is no matrix.
        RuntimeError: a complex parameter or sparse gradient.
    """

    def __init__(
        self,
        params: Any,
        lr: Scalar = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = COEFFICIENTS,
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
    ) -> None:
        if adjust_lr_fn not in (None, "original", "match_rms_adamw"):
            raise ValueError(f"adjust_lr_fn is {adjust_lr_fn!r}, needed is 'original' or 'match_rms_adamw'")
        super().__init__(
            params,
            {
                "lr": lr,
                "weight_decay": weight_decay,
                "momentum": momentum,
                "nesterov": nesterov,
                "ns_coefficients": ns_coefficients,
                "eps": eps,
                "ns_steps": ns_steps,
                "adjust_lr_fn": adjust_lr_fn,
            },
        )
        for group in self.param_groups:
            for p in group["params"]:
                if p.dim() != 2:
                    raise ValueError(f"Muon needs matrices, found a parameter {tuple(p.shape)}; leave it to AdamW")

    def start(self, p: Tensor, group: Group) -> State:
        if p.is_complex():
            raise RuntimeError(f"Muon needs real parameters, found {p.dtype}")
        return {"momentum_buffer": torch.zeros_like(p)}

    def update(self, p: Tensor, grad: Tensor, state: State, group: Group) -> None:
        lr, momentum, mean = scalar(group["lr"]), group["momentum"], state["momentum_buffer"]
        average_(mean, grad, 1 - momentum)
        direction = grad.lerp(mean, momentum) if group["nesterov"] else mean
        step = orthogonal(direction, group["ns_coefficients"], group["ns_steps"], group["eps"])
        n, m = p.shape
        scale = 0.2 * math.sqrt(max(n, m)) if group["adjust_lr_fn"] == "match_rms_adamw" else math.sqrt(max(1, n / m))
        shrink_(p, lr * group["weight_decay"])
        add_(p, step, -(lr * scale))


def orthogonal(x: Tensor, coefficients: tuple[float, float, float] = COEFFICIENTS, steps: int = 5, eps: float = 1e-7) -> Tensor:
    """About `u @ v.T` of `x = u @ s @ v.T`, in bfloat16, by the Newton-Schulz iteration `x <- a x + b x x' x + c x x' x x' x`.

    Args:
        x: (n, m).
        coefficients: a, b, c.
        steps: how often, fewer than 100.
        eps: smallest norm of x that is divided by.

    Returns:
        (n, m) of bfloat16, its singular values between about 0.7 and 1.2.

    Raises:
        ValueError: 100 steps or more, or not three coefficients.
    """
    if steps >= 100:
        raise ValueError(f"ns_steps is {steps}, needed are fewer than 100; 5 will do")
    if len(coefficients) != 3:
        raise ValueError(f"ns_coefficients has {len(coefficients)} values, needed are 3")
    a, b, c = coefficients
    tall = x.shape[0] > x.shape[1]
    y = x.bfloat16().T if tall else x.bfloat16()  # (n, m) with n <= m: the products below are of the smaller side
    y = y / y.norm().clamp(min=eps)  # no singular value above 1, else the iteration diverges
    for _ in range(steps):
        gram = y @ y.T  # (n, n)
        y = torch.addmm(y, torch.addmm(gram, gram, gram, beta=b, alpha=c), y, beta=a)  # (n, m)
    return y.T if tall else y
