"""Gradients of torch's own layers and losses, by torch's own backward kernels: a model that nobody swapped works under the tape too.

These are torch's arithmetic, not ours: with twins in the model none of them is met, and their second derivatives need twins.
Letters: g gradient of the output, y output, x input, w weight, b bias, t target.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rungbook.scratch.autograd.faults import MissingRule
from rungbook.scratch.autograd.rules.form import Joint, Rule

aten = torch.ops.aten


def _first(g: list[Tensor | None]) -> Tensor:
    """The gradient of a layer's output, where that of the statistics it also returns is not asked for."""
    if g[0] is None or any(part is not None for part in g[1:]):
        raise MissingRule("this layer's rule knows the gradient of its output, not of the mean and deviation it returns besides")
    return g[0]


def _layer_norm(wanted: list[bool], g: list[Tensor | None], y: list[Tensor], x: Tensor, shape: Any, w: Any, b: Any, eps: float) -> Any:
    dx, dw, db = aten.native_layer_norm_backward(_first(g), x, shape, y[1], y[2], w, b, [wanted[0], wanted[2], wanted[3]])
    return dx, None, dw, db


def _group_norm(wanted: list[bool], g: Any, y: Any, x: Tensor, w: Any, b: Any, n: int, c: int, hw: int, groups: int, eps: float) -> Any:
    return aten.native_group_norm_backward(_first(g).contiguous(), x.contiguous(), y[1], y[2], w, n, c, hw, groups, wanted[:3])


def _batch_norm(
    wanted: list[bool], g: Any, y: Any, x: Tensor, w: Any, b: Any, mean: Any, var: Any, training: bool, momentum: float, eps: float
) -> Any:
    return aten.native_batch_norm_backward(_first(g), x, w, mean, var, y[1], y[2], training, eps, wanted[:3])


def _max_pool(g: Any, y: Any, x: Tensor, size: Any, stride: Any = (), padding: Any = 0, dilation: Any = 1, ceil: bool = False) -> Tensor:
    pair = lambda n: [n, n] if isinstance(n, int) else list(n)
    return aten.max_pool2d_with_indices_backward(g[0], x, pair(size), pair(stride), pair(padding), pair(dilation), ceil, y[1])


def _average_pool(
    g: Tensor, y: Tensor, x: Tensor, size: Any, stride: Any = (), padding: Any = 0, ceil: bool = False, inside: bool = True, by: Any = None
) -> Tensor:
    pair = lambda n: [n, n] if isinstance(n, int) else list(n)
    return aten.avg_pool2d_backward(g, x, pair(size), pair(stride), pair(padding), ceil, inside, by)


def _nll(g: Any, y: Any, x: Tensor, t: Tensor, w: Any, reduction: int, ignored: int) -> Tensor:
    return aten.nll_loss_backward(g[0], x, t, w, reduction, ignored, y[1])


def _nll_2d(g: Any, y: Any, x: Tensor, t: Tensor, w: Any, reduction: int, ignored: int) -> Tensor:
    return aten.nll_loss2d_backward(g[0].contiguous(), x, t, w, reduction, ignored, y[1])


def _reduced(g: Tensor, x: Tensor, reduction: int) -> Tensor:
    """The gradient of each term of a loss: torch writes 0 for none, 1 for mean, 2 for sum."""
    return g / max(x.numel(), 1) if reduction == 1 else g


def _squared(g: Tensor, x: Tensor, t: Tensor, reduction: int) -> Tensor:
    return _reduced(g, x + t, reduction) * 2 * (x - t)


def _smooth(g: Tensor, x: Tensor, t: Tensor, reduction: int, beta: float) -> Tensor:
    d = x - t
    return _reduced(g, d, reduction) * torch.where(d.abs() < beta, d / beta if beta else d, torch.sign(d))


def _huber(g: Tensor, x: Tensor, t: Tensor, reduction: int, delta: float) -> Tensor:
    d = x - t
    return _reduced(g, d, reduction) * d.clamp(-delta, delta)


def _cross_entropy(g: Tensor, y: Tensor, x: Tensor, t: Tensor, w: Any = None, reduction: int = 1) -> Tensor:
    d = _reduced(g, x, reduction) * (x - t) / ((1 - x) * x).clamp(min=1e-12)
    return d if w is None else d * w


def _cross_entropy_target(g: Tensor, y: Tensor, x: Tensor, t: Tensor, w: Any = None, reduction: int = 1) -> Tensor:
    d = _reduced(g, x, reduction) * (torch.log1p(-x) - x.log())
    return d if w is None else d * w


LAYERS: dict[Any, Rule] = {
    aten.native_layer_norm.default: Joint(_layer_norm),
    aten.native_group_norm.default: Joint(_group_norm),
    aten.native_batch_norm.default: Joint(_batch_norm),
    aten.max_pool2d_with_indices.default: (_max_pool,),
    aten.avg_pool2d.default: (_average_pool,),
    aten._adaptive_avg_pool2d.default: (lambda g, y, x, size: aten._adaptive_avg_pool2d_backward(g, x),),
    aten.native_dropout.default: (lambda g, y, x, p, train: g[0] * y[1] * (1 / (1 - p) if p < 1 else 0) if train is not False else g[0],),
    aten.nll_loss_forward.default: (_nll,),
    aten.nll_loss2d_forward.default: (_nll_2d,),
    aten.mse_loss.default: (
        lambda g, y, x, t, reduction=1: _squared(g, x, t, reduction),
        lambda g, y, x, t, reduction=1: _squared(g, t, x, reduction),
    ),
    aten.smooth_l1_loss.default: (
        lambda g, y, x, t, reduction=1, beta=1.0: _smooth(g, x, t, reduction, beta),
        lambda g, y, x, t, reduction=1, beta=1.0: _smooth(g, t, x, reduction, beta),
    ),
    aten.huber_loss.default: (
        lambda g, y, x, t, reduction=1, delta=1.0: _huber(g, x, t, reduction, delta),
        lambda g, y, x, t, reduction=1, delta=1.0: _huber(g, t, x, reduction, delta),
    ),
    aten.binary_cross_entropy.default: (_cross_entropy, _cross_entropy_target),
}
