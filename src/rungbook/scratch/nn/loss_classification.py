"""Losses for classes; the mathematics is in `functional.classification`."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from rungbook.scratch import functional as F
from rungbook.scratch.nn.linear import Linear
from rungbook.scratch.nn.loss import Loss, WeightedLoss


class CrossEntropyLoss(WeightedLoss):
    """`-log_softmax(input)[target]`, or its mean under a target's probabilities.

    Args:
        weight: of each class, (C).
        size_average, reduce, reduction: as `Loss`.
        ignore_index: rows of this class count for nothing.
        label_smoothing: so much of each target's probability is spread over all classes.
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        self.ignore_index, self.label_smoothing = ignore_index, label_smoothing

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(
            input,
            target,
            weight=self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )


class LinearCrossEntropyLoss(WeightedLoss):
    """A linear map to classes and the cross entropy of its logits.

    Args:
        in_features: I, of the input.
        num_classes: C.
        out_features: sizes of further dimensions of the target.
        bias: whether the map has one.
        reduction: as `Loss`.
        weight: of each class, (C).
        ignore_index: rows of this class count for nothing.
        label_smoothing: so much of each target's probability is spread over all classes.
        options: torch's, for memory; without effect here.

    Raises:
        RuntimeError: weight has another shape, or label_smoothing is no probability.
    """

    linear: Linear

    def __init__(
        self,
        in_features: int,
        num_classes: int,
        *,
        out_features: tuple[int, ...] = (),
        bias: bool = False,
        device: Any = None,
        dtype: torch.dtype | None = None,
        reduction: str = "mean",
        weight: Tensor | None = None,
        ignore_index: int | None = None,
        label_smoothing: float = 0.0,
        options: Any = None,
    ) -> None:
        if weight is not None and weight.shape != (num_classes,):
            raise RuntimeError(f"LinearCrossEntropyLoss: weight {tuple(weight.shape)} needs one entry for each class, ({num_classes},)")
        if not 0 <= label_smoothing <= 1:
            raise RuntimeError(f"LinearCrossEntropyLoss: label_smoothing is {label_smoothing}, a probability from 0 to 1 is needed")
        super().__init__(weight, reduction=reduction)
        self.num_classes, self.out_features = num_classes, out_features
        self.ignore_index, self.label_smoothing, self.options = ignore_index, label_smoothing, options
        self.linear = Linear(in_features, math.prod(out_features, start=num_classes), bias, device, dtype)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        shape = (self.num_classes, *self.out_features)
        bias: Any = self.linear.bias
        return F.linear_cross_entropy(
            input,
            self.linear.weight.reshape(*shape, self.linear.in_features),
            target,
            linear_bias=None if bias is None else bias.reshape(shape),
            weight=self.weight,
            reduction=self.reduction,
            ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing,
            options=self.options,
        )

    def extra_repr(self) -> str:
        return (
            f"in_features={self.linear.in_features}, num_classes={self.num_classes}, out_features={self.out_features}, "
            f"bias={self.linear.bias is not None}, reduction={self.reduction}, ignore_index={self.ignore_index}, "
            f"label_smoothing={self.label_smoothing}, options={self.options}"
        )


class NLLLoss(WeightedLoss):
    """`-input[target]` of log-probabilities.

    Args:
        weight: of each class, (C).
        size_average, reduce, reduction: as `Loss`.
        ignore_index: rows of this class count for nothing.
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        self.ignore_index = ignore_index

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.nll_loss(input, target, weight=self.weight, ignore_index=self.ignore_index, reduction=self.reduction)


class BCELoss(WeightedLoss):
    """Cross entropy of yes-or-no questions, of probabilities; arguments as `WeightedLoss`."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.binary_cross_entropy(input, target, weight=self.weight, reduction=self.reduction)


class BCEWithLogitsLoss(WeightedLoss):
    """Cross entropy of yes-or-no questions, of logits.

    Args:
        weight, size_average, reduce, reduction: as `WeightedLoss`.
        pos_weight: how much more a positive target counts.
    """

    pos_weight: Tensor | None

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        pos_weight: Tensor | None = None,
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        self.register_buffer("pos_weight", pos_weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(input, target, self.weight, pos_weight=self.pos_weight, reduction=self.reduction)


class KLDivLoss(Loss):
    """`target (log(target) - input)`, the divergence of distributions.

    Args:
        size_average, reduce: deprecated, see reduction.
        reduction: "batchmean", "sum", "none" or "mean".
        log_target: the target is logarithms too.
    """

    def __init__(
        self, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean", log_target: bool = False
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.log_target = log_target

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.kl_div(input, target, reduction=self.reduction, log_target=self.log_target)
