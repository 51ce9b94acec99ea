"""What every normalisation comes down to: rows, or channels, to mean 0 and variance 1, then a scale and a shift.

Each stands here twice: in its plain form, which is the reference, and with the backward pass written out, which goes over the numbers far
less often. With `h = (x - mean) / s` and `g` the gradient of h, the gradient of x is `(g - mean(g) - h mean(g h)) / s`: what only moved
the mean or the variance is taken out (Ioffe and Szegedy, 2015, section 3). `closed_form` says when the second may stand for the first.

Shapes: N rows or samples, D row length, C channels, P positions, * any further dimensions.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rungbook.scratch.functional.closed_form import closed_form_applies, gradients_of_plain_form


def normalize_rows(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    """`(x - mean) / sqrt(var + eps) * weight + bias` along each row, by the faster form where it serves.

    Args:
        x: (N, D).
        weight, bias: (D).
        eps: added to the variance, which is divided by D.
    """
    if closed_form_applies(*(t for t in (x, weight, bias) if t is not None)):
        return _ClosedRows.apply(x, weight, bias, eps)
    return plain_rows(x, weight, bias, eps)


def normalize_channels(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """`(x - mean) / sqrt(var + eps) * weight + bias` for each channel, by the faster form where it serves.

    Args:
        x: (N, C, *).
        weight, bias: (C).
        eps: added to the variance, which is divided by the number of values.

    Returns:
        The result, and mean and variance of each channel, (C), which are for running statistics and not to be differentiated.
    """
    # of other layouts the plain form keeps the layout
    if x.is_contiguous() and closed_form_applies(*(t for t in (x, weight, bias) if t is not None)):
        return _ClosedChannels.apply(x, weight, bias, eps)
    return plain_channels(x, weight, bias, eps)


def plain_rows(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    """`normalize_rows` without a backward of its own."""
    centred = x - x.mean(1, keepdim=True)
    y = centred * ((centred * centred).mean(1, keepdim=True) + eps).rsqrt()
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


def plain_channels(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """`normalize_channels` without a backward of its own."""
    dims = [d for d in range(x.dim()) if d != 1]
    beside = (-1, *[1] * (x.dim() - 2))  # (C) stands so beside (N, C, *)
    mean = x.mean(dims)  # (C)
    centred = x - mean.view(beside)
    var = (centred * centred).mean(dims)  # (C)
    inverse = (var + eps).rsqrt()
    scale = inverse if weight is None else inverse * weight
    y = centred * scale.view(beside)
    return (y if bias is None else y + bias.view(beside)), mean, var


class _ClosedRows(torch.autograd.Function):
    """`plain_rows` with its backward pass written out."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
        centred = x - x.mean(1, keepdim=True)
        length = torch.linalg.vector_norm(centred, dim=1, keepdim=True)  # (N, 1); squares and sum in one pass
        scale = (length * length / x.shape[1] + eps).rsqrt()
        hat = centred.mul_(scale)
        ctx.save_for_backward(x, weight, bias, hat, scale)
        ctx.eps = eps
        if weight is None:  # not hat itself: the caller may write over the result
            return hat.clone() if bias is None else hat + bias
        return hat * weight if bias is None else torch.addcmul(bias, hat, weight)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias, hat, scale = ctx.saved_tensors
        if torch.is_grad_enabled():
            plain = lambda x, weight, bias: (plain_rows(x, weight, bias, ctx.eps),)
            return *gradients_of_plain_form(plain, (x, weight, bias), ctx.needs_input_grad[:3], (gradient,)), None
        product = gradient * hat
        of_weight = product.sum(0) if ctx.needs_input_grad[1] else None  # (D)
        of_bias = gradient.sum(0) if ctx.needs_input_grad[2] else None  # (D)
        if not ctx.needs_input_grad[0]:
            return None, of_weight, of_bias, None
        D = x.shape[1]
        # means of of_hat, and of of_hat * hat, where of_hat is gradient * weight
        level, along = (t.mean(1) if weight is None else t @ weight / D for t in (gradient, product))  # (N)
        of_x = torch.mul(hat, -along.unsqueeze(1), out=product).sub_(level.unsqueeze(1))  # the product is not needed any more
        of_x = of_x.add_(gradient) if weight is None else of_x.addcmul_(gradient, weight)
        return of_x.mul_(scale), of_weight, of_bias, None


class _ClosedChannels(torch.autograd.Function):
    """`plain_channels` with its backward pass written out.

    Factors that differ by channel are spread over one sample, (C, P): then product and sum with all samples are a single fast pass.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> tuple[Tensor, Tensor, Tensor]:
        N, C = x.shape[:2]
        samples = x.view(N, C, -1)  # (N, C, P)
        n, P = x.numel() // C, samples.shape[2]
        mean = samples.sum(2).sum(0) / n  # (C)
        centred = samples - mean.unsqueeze(1)
        length = torch.linalg.vector_norm(centred, dim=2)  # (N, C); squares and sum in one pass
        var = (length * length).sum(0) / n  # (C)
        inverse = (var + eps).rsqrt()
        scale = inverse if weight is None else inverse * weight
        y = torch.empty_like(x)  # and no view of something else: the caller may write over the result
        if bias is None:
            torch.mul(centred, scale.unsqueeze(1), out=y.view(N, C, P))
        else:
            torch.addcmul(_spread(bias, P), centred, _spread(scale, P), out=y.view(N, C, P))
        ctx.save_for_backward(x, weight, bias, centred, inverse)
        ctx.eps = eps
        ctx.mark_non_differentiable(mean, var)
        return y, mean, var

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, of_mean: Tensor, of_var: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias, centred, inverse = ctx.saved_tensors
        if torch.is_grad_enabled():
            plain = lambda x, weight, bias: plain_channels(x, weight, bias, ctx.eps)[:1]
            return *gradients_of_plain_form(plain, (x, weight, bias), ctx.needs_input_grad[:3], (gradient,)), None
        n, P = x.numel() // x.shape[1], centred.shape[2]
        g = gradient.reshape(centred.shape)  # (N, C, P)
        total = g.sum(2).sum(0)  # (C)
        along = (g * centred).sum(2).sum(0) * inverse  # (C), sum of g * hat
        of_x = None
        if ctx.needs_input_grad[0]:
            scale = inverse if weight is None else inverse * weight
            shift, slope = -scale * total / n, -scale * along * inverse / n
            of_x = torch.addcmul(_spread(shift, P), centred, _spread(slope, P)).addcmul_(g, _spread(scale, P)).view(x.shape)
        return of_x, along if ctx.needs_input_grad[1] else None, total if ctx.needs_input_grad[2] else None, None


def _spread(channels: Tensor, positions: int) -> Tensor:
    """(C) repeated for each position, (C, P)."""
    return channels.unsqueeze(1).expand(-1, positions).contiguous()
