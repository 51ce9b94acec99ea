"""Batch norm that trains and judges by the same running statistics: fast.ai's "Deep learning from the foundations", notebook 07 (2019)."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module

from rungbook.scratch.nn.norm import register_affine, reset_affine

FEW_SAMPLES, LEAST_VARIANCE = 20, 0.01
"""Until so many samples were seen, the variance counts as at least this: that of two samples may be 0 by chance (fast.ai's figures)."""


class RunningBatchNorm(Module):
    """`(x - mean) / sqrt(var + eps) * weight + bias` for each channel, with running statistics in training too, down to batches of one.

    How it differs from `BatchNorm`, which fails where a batch holds few samples because their own statistics are mostly chance:

    - Training normalises by the running statistics, into which the batch goes first. Evaluation uses the same formula and the same
      numbers, so that the two modes do not drift apart.
    - Gradients go through the batch's part in these statistics; what earlier batches left in them is constant.
    - Sums, sums of squares and counts are averaged in place of means and variances: a mean of the variances of tiny batches is no
      variance (of two samples it misses half), and batches of different sizes weigh what they should. All three start at 0 and are
      averaged alike, so the bias of that start cancels in their ratios, mean = sums / count.
    - A batch of n samples has the share `1 - (1 - momentum) / sqrt(n - 1)`: `momentum` for two samples, more for more.
    - It tracks always, and its buffers are others: no checkpoint of one loads into the other.

    Args:
        num_features: C.
        eps: added to the variance.
        momentum: share of a batch of one or two samples in the running statistics, above 0 to 1.
        affine: whether there are weight and bias, (C).

    Shape: (N, C, *) of any number of dimensions from two on -> the same.

    Raises:
        ValueError: momentum is not above 0 and at most 1; or an input has too few dimensions or another number of channels.
    """

    sums: Tensor
    squares: Tensor
    count: Tensor
    num_samples_tracked: Tensor
    weight: Tensor | None
    bias: Tensor | None
    track_running_stats = True

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = True,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if not 0 < momentum <= 1:
            raise ValueError(f"RunningBatchNorm: momentum is {momentum}, it must be above 0 and at most 1")
        self.num_features, self.eps, self.momentum, self.affine = num_features, eps, momentum, affine
        register_affine(self, (num_features,), affine, affine, device, dtype)
        self.register_buffer("sums", torch.zeros(num_features, device=device, dtype=dtype))
        self.register_buffer("squares", torch.zeros(num_features, device=device, dtype=dtype))
        self.register_buffer("count", torch.zeros((), device=device, dtype=dtype))
        self.register_buffer("num_samples_tracked", torch.tensor(0, dtype=torch.long, device=device))
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Forget all batches; until one is seen, mean 0 and variance 1 are used."""
        for buffer in (self.sums, self.squares, self.count, self.num_samples_tracked):
            buffer.zero_()

    def reset_parameters(self) -> None:
        """Scale 1, shift 0, no batches seen."""
        self.reset_running_stats()
        reset_affine(self)

    def forward(self, input: Tensor) -> Tensor:
        if input.dim() < 2 or input.shape[1] != self.num_features:
            raise ValueError(f"RunningBatchNorm: input {tuple(input.shape)}, (N, {self.num_features}, ...) is needed")
        x = input.to(self.sums.dtype)  # sums of half precision numbers would round
        mean, var = self._statistics(*self._averages(x))
        scale = (var + self.eps).rsqrt()
        if self.weight is not None:
            scale = scale * self.weight
        shift = -mean * scale
        if self.bias is not None:
            shift = shift + self.bias
        shape = (1, -1, *[1] * (x.dim() - 2))
        return (x * scale.view(shape) + shift.view(shape)).to(input.dtype)

    def _averages(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Running sums, sums of squares (C) and count; in training with this batch's part, which stays differentiable."""
        if not self.training:
            return self.sums, self.squares, self.count
        dims = [d for d in range(x.dim()) if d != 1]
        share = 1 - (1 - self.momentum) / math.sqrt(max(len(x) - 1, 1))
        sums = self.sums.detach() * (1 - share) + x.sum(dims) * share
        squares = self.squares.detach() * (1 - share) + (x * x).sum(dims) * share
        count = self.count * (1 - share) + math.prod(x.shape[d] for d in dims) * share
        with torch.no_grad():
            for buffer, value in ((self.sums, sums), (self.squares, squares), (self.count, count)):
                buffer.copy_(value.detach())
            self.num_samples_tracked.add_(len(x))
        return sums, squares, count

    def _statistics(self, sums: Tensor, squares: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance (C); which case holds is decided on the device."""
        seen = count > 0
        count = torch.where(seen, count, 1)
        mean = sums / count
        var = (squares / count - mean * mean).clamp(min=0)  # rounding could take it below
        var = torch.where(self.num_samples_tracked < FEW_SAMPLES, var.clamp(min=LEAST_VARIANCE), var)
        return mean, torch.where(seen, var, 1)

    def extra_repr(self) -> str:
        return f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}"
