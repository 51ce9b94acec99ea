"""Softmax and its kin as layers; the mathematics is in `functional`."""

from __future__ import annotations

from torch import Tensor
from torch.nn import Module

from rungbook.scratch import functional as F


class _Along(Module):
    """A layer whose only argument is a dimension.

    Args:
        dim: along this dimension probabilities sum to 1; None is deprecated, and chosen by the number of dimensions.
    """

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class Softmax(_Along):
    """`exp(x) / sum(exp(x))`.

    Args:
        dim: along this dimension the results sum to 1; None is deprecated.
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.softmax(input, self.dim, 5)


class Softmin(_Along):
    """`softmax(-x)`.

    Args:
        dim: along this dimension the results sum to 1; None is deprecated.
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.softmin(input, self.dim, 5)


class LogSoftmax(_Along):
    """`x - log(sum(exp(x)))`.

    Args:
        dim: along this dimension the exponentials of the results sum to 1; None is deprecated.
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.log_softmax(input, self.dim, 5)


class Softmax2d(Module):
    """Softmax over the channels at each position.

    Shape:
        (N, C, H, W) or (C, H, W).

    Raises:
        ValueError: the input has another number of dimensions.
    """

    def forward(self, input: Tensor) -> Tensor:
        if input.dim() not in (3, 4):
            raise ValueError(f"Softmax2d: input {tuple(input.shape)} has {input.dim()} dimensions, (N, C, H, W) or (C, H, W) is needed")
        return F.softmax(input, -3, 5)
