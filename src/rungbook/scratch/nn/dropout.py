"""Dropout as layers: at work in training, the identity in evaluation. The mathematics is in `functional`."""

from __future__ import annotations

from torch import Tensor
from torch.nn import Module

from rungbook.scratch import functional as F


class _Dropout(Module):
    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if p < 0 or p > 1:
            raise ValueError(f"{type(self).__name__}: p is {p}, a probability between 0 and 1 is needed")
        self.p, self.inplace = p, inplace

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_Dropout):
    """Each element is 0 with probability p, else divided by 1 - p.

    Args:
        p: probability of becoming 0.
        inplace: write the result over the input.
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout(input, self.p, self.training, self.inplace)


class Dropout1d(_Dropout):
    """Each channel of (N, C, L) or (C, L) as a whole is 0 with probability p, else divided by 1 - p.

    Args:
        p: probability of becoming 0.
        inplace: write the result over the input.
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout1d(input, self.p, self.training, self.inplace)


class Dropout2d(_Dropout):
    """Each channel of (N, C, H, W) as a whole is 0 with probability p, else divided by 1 - p.

    Args:
        p: probability of becoming 0.
        inplace: write the result over the input.
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout2d(input, self.p, self.training, self.inplace)


class Dropout3d(_Dropout):
    """Each channel of (N, C, D, H, W) or (C, D, H, W) as a whole is 0 with probability p, else divided by 1 - p.

    Args:
        p: probability of becoming 0.
        inplace: write the result over the input.
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout3d(input, self.p, self.training, self.inplace)


class AlphaDropout(_Dropout):
    """Each element is set to selu's lower limit with probability p, and mean 0 and variance 1 are kept.

    Args:
        p: probability of being set.
        inplace: has no effect, as in torch.
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.alpha_dropout(input, self.p, self.training)


class FeatureAlphaDropout(_Dropout):
    """`AlphaDropout` of whole channels of (N, C, *).

    Args:
        p: probability of being set.
        inplace: has no effect, as in torch.
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.feature_alpha_dropout(input, self.p, self.training)
