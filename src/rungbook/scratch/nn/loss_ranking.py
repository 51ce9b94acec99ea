"""Losses of margins; the mathematics is in `functional.ranking`."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from rungbook.scratch import functional as F
from rungbook.scratch.nn.distance import PairwiseDistance
from rungbook.scratch.nn.loss import Loss, WeightedLoss


class _Margin(Loss):
    """A loss with a margin of 0 unless another is given."""

    def __init__(self, margin: float = 0.0, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean") -> None:
        super().__init__(size_average, reduce, reduction)
        self.margin = margin


class MarginRankingLoss(_Margin):
    """`max(0, margin - target (input1 - input2))`.

    Args:
        margin: how far ahead is enough.
        size_average, reduce, reduction: as `Loss`.
    """

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        return F.margin_ranking_loss(input1, input2, target, margin=self.margin, reduction=self.reduction)


class CosineEmbeddingLoss(_Margin):
    """`1 - cos(input1, input2)` for a target of 1, `max(0, cos(input1, input2) - margin)` for -1.

    Args:
        margin: a cosine that is far enough.
        size_average, reduce, reduction: as `Loss`.
    """

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        return F.cosine_embedding_loss(input1, input2, target, margin=self.margin, reduction=self.reduction)


class HingeEmbeddingLoss(_Margin):
    """A distance for a target of 1, `max(0, margin - distance)` for -1.

    Args:
        margin: how far apart is enough.
        size_average, reduce, reduction: as `Loss`.
    """

    def __init__(self, margin: float = 1.0, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean") -> None:
        super().__init__(margin, size_average, reduce, reduction)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.hinge_embedding_loss(input, target, margin=self.margin, reduction=self.reduction)


class MultiMarginLoss(WeightedLoss):
    """`max(0, margin - input[target] + input[c])^p`, averaged over classes.

    Args:
        p: 1 or 2.
        margin: how far ahead the target has to be.
        weight: of each class, (C).
        size_average, reduce, reduction: as `Loss`.

    Raises:
        ValueError: p is another number, or the weights have not one dimension.
    """

    def __init__(
        self,
        p: int = 1,
        margin: float = 1.0,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        if p not in (1, 2):
            raise ValueError(f"MultiMarginLoss: p is {p}, 1 or 2 is needed")
        if weight is not None and weight.dim() != 1:
            raise ValueError(f"MultiMarginLoss: weight {tuple(weight.shape)} needs one dimension, (C,)")
        self.p, self.margin = p, margin

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.multi_margin_loss(input, target, self.p, self.margin, self.weight, reduction=self.reduction)


class MultiLabelMarginLoss(Loss):
    """`max(0, 1 - input[y] + input[c])` for classes y in the target and c not in it; arguments as `Loss`."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.multilabel_margin_loss(input, target, reduction=self.reduction)


class SoftMarginLoss(Loss):
    """`log(1 + exp(-target input))`; arguments as `Loss`."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.soft_margin_loss(input, target, reduction=self.reduction)


class MultiLabelSoftMarginLoss(WeightedLoss):
    """Cross entropy of yes-or-no questions, averaged over classes; arguments as `WeightedLoss`."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.multilabel_soft_margin_loss(input, target, weight=self.weight, reduction=self.reduction)


class TripletMarginLoss(Loss):
    """`max(0, margin + |anchor - positive| - |anchor - negative|)`.

    Args:
        margin: how much farther the negative has to be.
        p: order of the norm.
        eps: added to each difference.
        swap: take the positive's distance from the negative where that is smaller.
        size_average, reduce, reduction: as `Loss`.

    Raises:
        ValueError: the margin is not above 0.
    """

    def __init__(
        self,
        margin: float = 1.0,
        p: float = 2.0,
        eps: float = 1e-6,
        swap: bool = False,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        if margin <= 0:
            raise ValueError(f"TripletMarginLoss: margin is {margin}, above 0 is needed")
        self.margin, self.p, self.eps, self.swap = margin, p, eps, swap

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        return F.triplet_margin_loss(anchor, positive, negative, self.margin, self.p, self.eps, self.swap, reduction=self.reduction)


class TripletMarginWithDistanceLoss(Loss):
    """`max(0, margin + distance(anchor, positive) - distance(anchor, negative))`.

    Args:
        distance_function: distance of two tensors; by default Euclid's.
        margin: how much farther the negative has to be.
        swap: take the positive's distance from the negative where that is smaller.
        reduction: as `Loss`.

    Raises:
        ValueError: the margin is not above 0.
    """

    def __init__(
        self,
        *,
        distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
        margin: float = 1.0,
        swap: bool = False,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction=reduction)
        if margin <= 0:
            raise ValueError(f"TripletMarginWithDistanceLoss: margin is {margin}, above 0 is needed")
        self.distance_function = distance_function if distance_function is not None else PairwiseDistance()
        self.margin, self.swap = margin, swap

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        return F.triplet_margin_with_distance_loss(
            anchor,
            positive,
            negative,
            distance_function=self.distance_function,
            margin=self.margin,
            swap=self.swap,
            reduction=self.reduction,
        )
