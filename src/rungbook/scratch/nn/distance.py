"""Distances and angles of vectors as layers; the mathematics is in `functional`."""

from __future__ import annotations

from torch import Tensor
from torch.nn import Module

from rungbook.scratch import functional as F


class PairwiseDistance(Module):
    """`norm(x1 - x2 + eps)` along the last dimension.

    Args:
        p: order of the norm.
        eps: added to each difference.
        keepdim: leave a dimension of one entry.
    """

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> None:
        super().__init__()
        self.norm, self.eps, self.keepdim = p, eps, keepdim

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        return F.pairwise_distance(x1, x2, self.norm, self.eps, self.keepdim)


class CosineSimilarity(Module):
    """`x1 . x2 / (max(|x1|, eps) max(|x2|, eps))`.

    Args:
        dim: the vectors' dimension.
        eps: smallest divisor of each.
    """

    def __init__(self, dim: int = 1, eps: float = 1e-8) -> None:
        super().__init__()
        self.dim, self.eps = dim, eps

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        return F.cosine_similarity(x1, x2, self.dim, self.eps)
