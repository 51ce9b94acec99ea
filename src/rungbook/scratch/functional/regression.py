"""Losses for numbers: how far predictions are from what was measured.

The functions of a difference d = input - target are, but for a constant, negative log-likelihoods of an error: Gaussian (mse),
Laplace (l1), between the two (Huber); the last two losses here are written as likelihoods.

Shapes: * any shape; input and target broadcast, with a warning.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rungbook.scratch.functional.loss_common import check_broadcast, reduced, reduction_named, values_known, warn_of_broadcast, wide


def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """`d^2`.

    Args:
        input, target: (*).
        size_average, reduce: deprecated, see reduction.
        reduction: "mean", "sum" or "none". With weights the mean is `sum(weight d^2) / sum(weight)`.
        weight: (*), of the input's shape.

    Raises:
        ValueError: the weights' shape is another, or there is no such reduction.
        RuntimeError: the shapes do not broadcast.
    """
    warn_of_broadcast("mse_loss", input, target)
    reduction = reduction_named(reduction, size_average, reduce)
    input, target = wide(input, target)
    d = input - target
    return _weighted_mean(d * d, input, weight, reduction)


def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """`|d|`, with slope 0 at 0.

    Args:
        input, target: (*), real or complex.
        size_average, reduce: deprecated, see reduction.
        reduction: "mean", "sum" or "none". With weights the mean is `sum(weight |d|) / sum(weight)`.
        weight: (*), of the input's shape.

    Raises:
        ValueError: the weights' shape is another, or there is no such reduction.
        RuntimeError: the shapes do not broadcast.
    """
    warn_of_broadcast("l1_loss", input, target)
    reduction = reduction_named(reduction, size_average, reduce)
    input, target = wide(input, target)
    return _weighted_mean((input - target).abs(), input, weight, reduction)


def huber_loss(input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0, weight: Tensor | None = None) -> Tensor:
    """`d^2 / 2` where |d| <= delta, `delta (|d| - delta / 2)` beyond: an outlier pulls no harder than delta (Huber, 1964).

    Args:
        input, target: (*).
        reduction: "mean", "sum" or "none". With weights the mean still divides by the number of entries.
        delta: where the parabola ends.
        weight: (*), of the input's shape.

    Raises:
        ValueError: the weights' shape is another, or there is no such reduction.
        RuntimeError: the shapes do not broadcast, or delta is not above 0.
    """
    warn_of_broadcast("huber_loss", input, target)
    reduction = reduction_named(reduction)
    if delta <= 0:
        raise RuntimeError(f"huber_loss: delta is {delta}, above 0 is needed")
    input, target = wide(input, target)
    loss = _huber(input - target, delta)
    if weight is not None:
        _check_weight(input, weight)
        loss = loss * weight
    return reduced(loss, reduction)


def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Tensor:
    """`d^2 / (2 beta)` where |d| < beta, `|d| - beta / 2` beyond: Huber's loss over its delta, with slope 1 at the end (Girshick, 2015).

    Args:
        input, target: (*).
        size_average, reduce: deprecated, see reduction.
        reduction: "mean", "sum" or "none".
        beta: where the parabola ends; with 0 it is the l1 loss.

    Raises:
        ValueError: there is no such reduction.
        RuntimeError: the shapes do not broadcast, or beta is below 0.
    """
    warn_of_broadcast("smooth_l1_loss", input, target)
    reduction = reduction_named(reduction, size_average, reduce)
    if beta < 0:
        raise RuntimeError(f"smooth_l1_loss: beta is {beta}, at least 0 is needed")
    input, target = wide(input, target)
    d = input - target
    return reduced(_huber(d, beta) / beta if beta else d.abs(), reduction)


def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: float = 1e-8,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Negative log-likelihood of counts with a predicted rate: `rate - count log(rate) [+ log(count!)]`.

    Args:
        input: logarithm of the rate, or the rate itself; (*).
        target: counts, (*).
        log_input: which of the two the input is.
        full: add `log(count!)` for counts above 1, by Stirling's formula `c log(c) - c + log(2 pi c) / 2`.
        size_average, reduce: deprecated, see reduction.
        eps: added to a rate before its logarithm is taken.
        reduction: "mean", "sum" or "none".

    Raises:
        ValueError: there is no such reduction.
        RuntimeError: the shapes do not broadcast.
    """
    reduction = reduction_named(reduction, size_average, reduce, old_name=False)
    check_broadcast("poisson_nll_loss", input=input, target=target)
    input, target = wide(input, target)
    loss = input.exp() - target * input if log_input else input - target * (input + eps).log()
    if full:
        several = target > 1
        count = torch.where(several, target, 1)
        loss = loss + torch.where(several, count * count.log() - count + 0.5 * (2 * math.pi * count).log(), 0)
    return reduced(loss, reduction)


def gaussian_nll_loss(
    input: Tensor, target: Tensor, var: Tensor | float, full: bool = False, eps: float = 1e-6, reduction: str = "mean"
) -> Tensor:
    """Negative log-likelihood of numbers with a predicted mean and variance: `(log(var) + d^2 / var) / 2` (Nix and Weigend, 1994).

    Args:
        input: means, (*).
        target: (*).
        var: variances, of the input's shape, or without its last dimension, or with one dimension of 1 entry; or one number for all.
        full: add the constant `log(2 pi) / 2`.
        eps: a smaller variance counts as this one. What is then returned as its slope is the slope there, so that it can still grow.
        reduction: "mean", "sum" or "none".

    Raises:
        ValueError: a variance is negative, var has another shape, or there is no such reduction.
        RuntimeError: input and target do not broadcast.
    """
    var = _variance(input, var)
    reduction = reduction_named(reduction, old_name=False)
    check_broadcast("gaussian_nll_loss", input=input, target=target, var=var)
    var = var + (var.clamp(min=eps) - var).detach()
    d = input - target
    loss = 0.5 * (var.log() + d * d / var)
    return reduced(loss + 0.5 * math.log(2 * math.pi) if full else loss, reduction)


def _huber(d: Tensor, delta: float) -> Tensor:
    """The clipped difference is the slope: `c (d - c / 2)` is d^2 / 2 where c = d, and a straight line where c = +-delta."""
    c = d.clamp(-delta, delta)
    return c * (d - c / 2)


def _check_weight(input: Tensor, weight: Tensor) -> None:
    if weight.shape != input.shape:
        raise ValueError(f"weight {tuple(weight.shape)} and input {tuple(input.shape)} need the same shape")


def _weighted_mean(loss: Tensor, input: Tensor, weight: Tensor | None, reduction: str) -> Tensor:
    if weight is None:
        return reduced(loss, reduction)
    _check_weight(input, weight)
    return (loss * weight).sum() / weight.sum() if reduction == "mean" else reduced(loss * weight, reduction)


def _variance(input: Tensor, var: Tensor | float) -> Tensor:
    """The variances in a shape that broadcasts against the input's."""
    if not isinstance(var, Tensor):
        var = torch.full_like(input, var)
    if values_known(var) and bool((var < 0).any()):
        raise ValueError(f"gaussian_nll_loss: var has a negative entry, {float(var.detach().min()):g}; variances are at least 0")
    if var.shape == input.shape:
        return var
    if var.shape == input.shape[:-1]:
        return var.unsqueeze(-1)  # (*, 1)
    other = [b for a, b in zip(input.shape, var.shape, strict=False) if a != b]
    if var.dim() != input.dim() or other != [1]:
        raise ValueError(f"gaussian_nll_loss: var {tuple(var.shape)} needs input's shape {tuple(input.shape)}, but for one dimension of 1")
    return var
