"""Logarithms and exponentials that neither overflow nor cancel.

exp leaves float32 above 88.7 and float64 above 709.7, and log(1 + x) forgets an x below the last digit of 1. All forms here rest on two
moves: take the largest exponent out before anything is exponentiated, so that the largest term is exp(0); and leave 1 + x and exp(x) - 1 to
`log1p` and `expm1`, which never form the sum. Blanchard, Higham and Higham (2021) bound the errors of the first, Maechler (2012) gives
the second.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

Dims = int | tuple[int, ...]


def _largest(x: Tensor, dim: Dims) -> Tensor:
    """What to subtract before exp: the maximum, 0 where that is infinite (inf - inf would be nan); no gradient goes through it."""
    top = x.detach().amax(dim, keepdim=True)
    return torch.where(top.isinf(), 0.0, top)


def logsumexp(x: Tensor, dim: Dims, keepdim: bool = False) -> Tensor:
    """`log(sum(exp(x)))` over one or several dimensions, as `m + log(sum(exp(x - m)))` with m the largest.

    Args:
        x: any shape.
        dim: what to sum over, () for everything.
        keepdim: whether these dimensions stay, with size 1.
    """
    if not x.is_floating_point():
        x = x.to(torch.get_default_dtype())
    if x.numel() == 0:  # nothing to take the maximum of
        return x.exp().sum(dim, keepdim).log()
    top = _largest(x, dim)
    total = (x - top).exp().sum(dim, keepdim=True).log() + top
    return total if keepdim else total.squeeze(tuple(range(x.dim())) if dim == () else dim)


def softmax(x: Tensor, dim: int) -> Tensor:
    """`exp(x) / sum(exp(x))`: the largest exponent is 0, so the sum is at least 1."""
    if x.numel() == 0:
        return x.clone()
    powers = (x - _largest(x, dim)).exp()
    return powers / powers.sum(dim, keepdim=True)


def log_softmax(x: Tensor, dim: int) -> Tensor:
    """`x - logsumexp(x)`: the logarithm of `softmax`, which keeps what softmax rounds to 0."""
    return x - logsumexp(x, dim, keepdim=True)


def logaddexp(a: Tensor, b: Tensor) -> Tensor:
    """`log(exp(a) + exp(b))`, as `max + log1p(exp(-|a - b|))`."""
    apart = torch.where(a == b, 0.0, a - b)  # of two equal infinities too
    return torch.maximum(a, b) + (-apart.abs()).exp().log1p()


def log1mexp(x: Tensor) -> Tensor:
    """`log(1 - exp(x))` for x <= 0: the logarithm of the other probability.

    Near 0, `1 - exp(x)` would cancel, so expm1; far below, exp(x) would drown in 1, so log1p. They change places at -log 2 (Maechler).
    """
    near = x > -math.log(2)
    # each branch sees only what it is made for: the gradient of the other would be nan, and 0 times nan is nan
    return torch.where(near, (-torch.where(near, x, -1.0).expm1()).log(), (-torch.where(near, -1.0, x).exp()).log1p())


def _distance(x: Tensor) -> Tensor:
    """|x|, with the slope 1 instead of 0 at 0, for functions that are smooth there."""
    return torch.where(x >= 0, x, -x)


def sigmoid(x: Tensor) -> Tensor:
    """`1 / (1 + exp(-x))`, below 0 as `exp(x) / (1 + exp(x))`: only exponents below 0 are used."""
    power = (-_distance(x)).exp()
    return torch.where(x >= 0, 1.0, power) / (1 + power)


def softplus(x: Tensor) -> Tensor:
    """`log(1 + exp(x))`, as `max(x, 0) + log1p(exp(-|x|))`."""
    return torch.where(x >= 0, x, 0.0) + (-_distance(x)).exp().log1p()


def log_sigmoid(x: Tensor) -> Tensor:
    """`log(1 / (1 + exp(-x)))`, which is `-softplus(-x)`."""
    return -softplus(-x)
