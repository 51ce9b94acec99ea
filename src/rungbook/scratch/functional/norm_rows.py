"""What every normalisation comes down to: rows, or channels, to mean 0 and variance 1, then a scale and a shift.

Each stands here in its plain form. Shapes: N rows or samples, D row length, C channels, * positions.
"""

from __future__ import annotations

import torch
from torch import Tensor


def plain_rows(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    """`(x - mean) / sqrt(var + eps) * weight + bias` along each row.

    Args:
        x: (N, D).
        weight, bias: (D).
        eps: added to the variance, which is divided by D.
    """
    centred = x - x.mean(1, keepdim=True)
    y = centred / ((centred * centred).mean(1, keepdim=True) + eps).sqrt()
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


def normalize_rows(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    """`plain_rows`."""
    return plain_rows(x, weight, bias, eps)


def plain_channels(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """`(x - mean) / sqrt(var + eps) * weight + bias` for each channel.

    Args:
        x: (N, C, *).
        weight, bias: (C).
        eps: added to the variance, which is divided by the number of values.

    Returns:
        The result, and mean and variance of each channel, (C).
    """
    dims = [d for d in range(x.dim()) if d != 1]
    mean = x.mean(dims)  # (C)
    side = (-1, *[1] * (x.dim() - 2))  # stands beside (N, C, *)
    centred = x - mean.view(side)
    var = (centred * centred).mean(dims)  # (C)
    scale = 1 / (var + eps).sqrt() if weight is None else weight / (var + eps).sqrt()
    y = centred * scale.view(side)
    return (y if bias is None else y + bias.view(side)), mean, var


def normalize_channels(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """`plain_channels`."""
    return plain_channels(x, weight, bias, eps)
