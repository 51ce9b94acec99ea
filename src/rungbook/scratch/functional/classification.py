"""Losses for classes: the negative logarithm of the probability given to what was the case.

Shapes: N rows, C classes, * any further dimensions (of an image's pixels, say); one row may come without N.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rungbook.scratch.functional.activation import logsigmoid
from rungbook.scratch.functional.linear import linear
from rungbook.scratch.functional.loss_common import check_broadcast, check_classes, reduced, reduction_named, values_known, wide
from rungbook.scratch.functional.notice import warn
from rungbook.scratch.functional.softmax import log_softmax


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """`-sum over c of target[c] weight[c] log_softmax(input)[c]`.

    Args:
        input: logits, (N, C, *) or (C).
        target: classes as int64 or uint8, (N, *) or (); or a probability for each class, of the input's shape.
        weight: of each class, (C).
        size_average, reduce: deprecated, see reduction.
        ignore_index: rows of this class count for nothing.
        reduction: "none", "sum" or "mean"; for classes the mean is over the weights of the targets that count, for probabilities over rows.
        label_smoothing: so much of each target's probability is spread over all classes evenly (Szegedy et al., 2016, section 7).

    Raises:
        IndexError: a class is negative or not below C.
        ValueError: input and target have different N, or there is no such reduction.
        RuntimeError: shapes or types do not fit, or an argument is out of its range.
    """
    reduction = reduction_named(reduction, size_average, reduce)
    if not 0 <= label_smoothing <= 1:
        raise RuntimeError(f"cross_entropy: label_smoothing is {label_smoothing}, a probability from 0 to 1 is needed")
    if input.dim() == 0:
        raise RuntimeError("cross_entropy: input is a single number, (N, C, *) or (C) is needed")
    input, target = wide(input, target)
    classes = 0 if input.dim() == 1 else 1
    log_p = log_softmax(input, classes)
    if target.shape == input.shape:
        return reduced(_against_probabilities(log_p, target, weight, ignore_index, label_smoothing, classes), reduction)
    loss, share = _against_classes("cross_entropy", log_p, target, weight, ignore_index)
    if label_smoothing:
        spread = -(log_p if weight is None else log_p * _along(weight, log_p, classes)).mean(classes).reshape(share.shape)
        spread = torch.where(target.reshape(share.shape) == ignore_index, 0, spread)
        loss = (1 - label_smoothing) * loss + label_smoothing * spread
    return loss.sum() / share.sum() if reduction == "mean" else reduced(loss, reduction)


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """`-weight[y] input[y]` for the target class y.

    Args:
        input: log-probabilities, (N, C, *) or (C).
        target: classes as int64 or uint8, (N, *) or ().
        weight: of each class, (C).
        size_average, reduce: deprecated, see reduction.
        ignore_index: rows of this class count for nothing.
        reduction: "none", "sum" or "mean", which divides by the sum of the weights of the targets that count.

    Raises:
        IndexError: a class is negative or not below C.
        ValueError: input and target have different N, or there is no such reduction.
        RuntimeError: other dimensions, the weights or the types do not fit.
    """
    reduction = reduction_named(reduction, size_average, reduce)
    (input,) = wide(input)
    loss, share = _against_classes("nll_loss", input, target, weight, ignore_index)
    return loss.sum() / share.sum() if reduction == "mean" else reduced(loss, reduction)


def linear_cross_entropy(
    input: Tensor,
    linear_weight: Tensor,
    target: Tensor,
    *,
    linear_bias: Tensor | None = None,
    weight: Tensor | None = None,
    reduction: str = "mean",
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    options: object = None,
) -> Tensor:
    """The cross entropy of `input @ linear_weight.T + linear_bias`.

    Args:
        input: (N, I) or (I).
        linear_weight: (C, *, I).
        target: classes, (N, *) or (); or a probability for each, (N, C, *).
        linear_bias: (C, *).
        weight: of each class, (C).
        reduction: "mean", "sum" or "none".
        ignore_index: rows of this class count for nothing; not with probabilities.
        label_smoothing: so much of each target's probability is spread over all classes evenly.
        options: asks torch to go through the rows in chunks, which holds fewer logits and gives the same. Here all go at once.

    Raises:
        RuntimeError, ValueError, IndexError: as `cross_entropy`, and where input, linear_weight and linear_bias do not fit.
    """
    _check_head(input, linear_weight, linear_bias)
    C, *extra, _ = linear_weight.shape
    logits_shape = (*input.shape[:-1], C, *extra)
    if target.shape == logits_shape and ignore_index is not None:
        raise RuntimeError(f"linear_cross_entropy: ignore_index ({ignore_index}) is for classes, the target has probabilities")
    if options is not None and (extra or label_smoothing or target.dtype != torch.int64):
        warn("linear_cross_entropy: options have no effect with smoothing, probabilities or further dimensions", stacklevel=2)
    logits = linear(input, linear_weight.flatten(0, -2), None if linear_bias is None else linear_bias.flatten())  # (N, C * ...)
    return cross_entropy(
        logits.reshape(logits_shape),
        target,
        weight,
        ignore_index=-100 if ignore_index is None else ignore_index,
        reduction=reduction,
        label_smoothing=label_smoothing,
    )


def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """`-weight (y log(p) + (1 - y) log(1 - p))`, with logarithms of at least -100.

    Its slope is `(p - y) / (p (1 - p))`, of which torch takes the divisor as at least 1e-12; so does this function.
    For the target the slope ends at +-100 as the logarithms do, where torch's is infinite.

    Args:
        input: probabilities p, any shape.
        target: y, probabilities or 0 and 1, of the same shape and type.
        weight: of a shape that broadcasts.
        size_average, reduce: deprecated, see reduction.
        reduction: "mean", "sum" or "none".

    Raises:
        ValueError: shapes differ, or there is no such reduction.
        RuntimeError: an entry is no probability, or target is of another type.
    """
    reduction = reduction_named(reduction, size_average, reduce)
    input, target = wide(input, target)
    _check_binary("binary_cross_entropy", input, target)
    if target.dtype != input.dtype:
        raise RuntimeError(f"binary_cross_entropy: target is {target.dtype} and input {input.dtype}; one type is needed")
    for name, x in (("input", input), ("target", target)):
        if values_known(x) and not bool(((x >= 0) & (x <= 1)).all()):
            raise RuntimeError(f"binary_cross_entropy: {name} has entries that are no probabilities from 0 to 1")
    # near 0 and 1 the logarithms are constants, and a parabola that is 0 brings in the slope
    edge = input * (1 - input) < 1e-12
    p, end = torch.where(edge, 0.5, input), input.detach()
    log_p = torch.where(edge, end.log().clamp(min=-100), p.log())
    log_q = torch.where(edge, (-end).log1p().clamp(min=-100), (-p).log1p())
    parabola = torch.where(edge, input * (input / 2 - target.detach()) * 1e12, 0)
    loss = (target - 1) * log_q - target * log_p + (parabola - parabola.detach())
    if weight is not None:
        check_broadcast("binary_cross_entropy", input=input, weight=weight)
        loss = loss * weight.to(loss.dtype)
    return reduced(loss, reduction)


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """`-weight (pos_weight y log(sigmoid(x)) + (1 - y) log(1 - sigmoid(x)))`.

    As `log(1 - sigmoid(x)) = log(sigmoid(x)) - x`, one stable logarithm serves both.

    Args:
        input: logits x, any shape.
        target: y, probabilities or 0 and 1, of the same shape.
        weight: of a shape that broadcasts.
        size_average, reduce: deprecated, see reduction.
        reduction: "mean", "sum" or "none".
        pos_weight: how much more a positive target counts; of a shape that broadcasts, (C) for C yes-or-no questions in the last dimension.

    Raises:
        ValueError: shapes differ, or there is no such reduction.
        RuntimeError: the weights do not broadcast.
    """
    reduction = reduction_named(reduction, size_average, reduce)
    _check_binary("binary_cross_entropy_with_logits", input, target)
    input, target = wide(input, target)
    positive: Tensor | int = 1
    if pos_weight is not None:
        check_broadcast("binary_cross_entropy_with_logits", target=target, pos_weight=pos_weight)
        positive = (pos_weight - 1) * target + 1
    loss = (1 - target) * input - positive * logsigmoid(input)
    if weight is not None:
        check_broadcast("binary_cross_entropy_with_logits", input=input, weight=weight)
        loss = loss * weight
    return reduced(loss, reduction)


def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Tensor:
    """`p (log(p) - log(q))`, 0 where p is 0; its sum is the divergence KL(p || q) (Kullback and Leibler, 1951).

    Note the order: `kl_div(log(q), p)`, the prediction first.

    Args:
        input: log(q), any shape.
        target: p, of a shape that broadcasts.
        size_average, reduce: deprecated, see reduction.
        reduction: "batchmean" (the sum over the first dimension's size: the divergence of a row), "sum", "none",
            or "mean", which divides by the number of entries, is no divergence, and warns.
        log_target: the target is log(p).

    Raises:
        ValueError: there is no such reduction.
        RuntimeError: the shapes do not broadcast.
    """
    by_row = reduction == "batchmean" and size_average is None and reduce is None
    if reduction == "mean" and size_average is None and reduce is None:
        warn("kl_div: reduction='mean' divides by all entries; 'batchmean' is the divergence of a row", stacklevel=2)
    reduction = "sum" if by_row else reduction_named(reduction, size_average, reduce)
    check_broadcast("kl_div", input=input, target=target)
    input, target = wide(input, target)
    if log_target:
        loss = target.exp() * (target - input)
    else:
        loss = target * torch.where(target == 0, 1, target).log() - target * input
    loss = reduced(loss, reduction)
    return loss / len(input) if by_row and input.dim() else loss


def _against_classes(name: str, log_p: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int) -> tuple[Tensor, Tensor]:
    """For each target its weighted loss, and the weight: 0 for those that are ignored. Both (N, *), or () for one row without N."""
    _check_targets(name, log_p, target)
    shape = () if log_p.dim() == 1 else target.shape
    if log_p.dim() == 1:
        log_p, target = log_p.unsqueeze(0), target.reshape(1)  # (1, C), (1)
    C = log_p.shape[1]
    if weight is not None:
        (weight,) = wide(weight)
        _check_weight(name, weight, C)
        if weight.dtype != log_p.dtype:
            raise RuntimeError(f"{name}: weight is {weight.dtype} and input {log_p.dtype}; one type is needed")
    ignored = target == ignore_index
    check_classes(name, target, ~ignored & ((target < 0) | (target >= C)), f"{C} classes are 0 to {C - 1} (ignored is {ignore_index})")
    y = torch.where(ignored, 0, target).long()  # (N, *)
    share = torch.ones_like(y, dtype=log_p.dtype) if weight is None else weight[y]
    share = torch.where(ignored, 0, share)
    # no class to take where there are none at all: then there is no row either
    picked = log_p.gather(1, y.unsqueeze(1)).squeeze(1) if C else log_p.sum(1)  # (N, *)
    return torch.where(ignored, 0, -picked * share).reshape(shape), share.reshape(shape)


def _check_targets(name: str, input: Tensor, target: Tensor) -> None:
    """Raise unless the classes' type and shape fit the input's."""
    if input.dim() == 0:
        raise ValueError(f"{name}: input is a single number, (N, C, *) or (C) is needed")
    found = f"{name}: target {tuple(target.shape)} does not fit input {tuple(input.shape)}"
    if input.dim() == 1:
        if target.numel() != 1 or target.dim() > 1:
            raise ValueError(f"{found}, which is one row and needs one class, ()")
    elif target.dim() == 0 or target.shape[0] != input.shape[0]:
        raise ValueError(f"{found}: (N, *) with N = {input.shape[0]} rows is needed")
    if target.dtype not in (torch.int64, torch.uint8):
        raise RuntimeError(f"{name}: target {tuple(target.shape)} is {target.dtype}; classes are needed as torch.int64 or torch.uint8")
    if input.dim() > 1 and target.shape[1:] != input.shape[2:]:
        raise RuntimeError(f"{found}: {(input.shape[0], *input.shape[2:])} is needed")


def _against_probabilities(
    log_p: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int, label_smoothing: float, classes: int
) -> Tensor:
    """For each row the cross entropy of two distributions, (N, *) or ()."""
    if not target.is_floating_point():
        raise RuntimeError(f"cross_entropy: target has the input's shape, and needs floating-point probabilities; it is {target.dtype}")
    if ignore_index >= 0:
        raise RuntimeError(f"cross_entropy: ignore_index ({ignore_index}) is for classes, the target has probabilities")
    C = log_p.shape[classes]
    if weight is not None:
        _check_weight("cross_entropy", weight, C)
        log_p = log_p * _along(weight, log_p, classes)
    if label_smoothing:
        target = target * (1 - label_smoothing) + label_smoothing / C
    return -(log_p * target).sum(classes)


def _along(weight: Tensor, x: Tensor, dim: int) -> Tensor:
    """Weights of classes in a shape that broadcasts against theirs in x."""
    return weight.reshape([-1 if d == dim else 1 for d in range(x.dim())])


def _check_weight(name: str, weight: Tensor, C: int) -> None:
    if weight.shape != (C,):
        raise RuntimeError(f"{name}: weight {tuple(weight.shape)} needs one entry for each of {C} classes, ({C},)")


def _check_binary(name: str, input: Tensor, target: Tensor) -> None:
    if target.shape != input.shape:
        raise ValueError(f"{name}: target {tuple(target.shape)} needs the shape of input {tuple(input.shape)}")


def _check_head(input: Tensor, weight: Tensor, bias: Tensor | None) -> None:
    """Raise unless the arguments of a linear map to classes fit."""
    name, shapes = "linear_cross_entropy", f"input {tuple(input.shape)}, linear_weight {tuple(weight.shape)}"
    if input.dim() not in (1, 2):
        raise RuntimeError(f"{name}: {shapes}: an input (N, I) or (I) is needed")
    if weight.dim() < 2:
        raise RuntimeError(f"{name}: {shapes}: a weight (C, *, I) is needed")
    if input.shape[-1] != weight.shape[-1]:
        raise RuntimeError(f"{name}: {shapes}: their last dimensions need to be equal")
    if bias is not None and bias.shape != weight.shape[:-1]:
        raise RuntimeError(
            f"{name}: linear_bias {tuple(bias.shape)} needs linear_weight's shape but for its last, {tuple(weight.shape[:-1])}"
        )
    if weight.dim() > 2 and input.dim() == 1:
        raise RuntimeError(f"{name}: {shapes}: further dimensions need an input with rows, (N, I)")
