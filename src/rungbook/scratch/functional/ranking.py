"""Losses of margins: a right answer has to be ahead of a wrong one by some distance, and what is ahead enough costs nothing.

Two kinds of hinge stand here, as in torch: one whose slope at its kink is 1 (clamp), and one whose slope there is 0 (`_hinge`).

Shapes: N rows, C classes, D entries of a vector, * any shape.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from rungbook.scratch.functional.activation import logsigmoid
from rungbook.scratch.functional.loss_common import check_broadcast, check_classes, reduced, reduction_named, wide
from rungbook.scratch.functional.vector import pairwise_distance


def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """`max(0, margin - y (x1 - x2))`: y = 1 wants the first ahead, y = -1 the second.

    Args:
        input1, input2: scores x1, x2, of the same number of dimensions.
        target: y, 1 or -1, of that number of dimensions too.
        margin: how far ahead is enough.
        size_average, reduce: deprecated, see reduction.
        reduction: "mean", "sum" or "none".

    Raises:
        ValueError: there is no such reduction.
        RuntimeError: the shapes do not fit.
    """
    reduction = reduction_named(reduction, size_average, reduce)
    if not input1.dim() == input2.dim() == target.dim():
        raise RuntimeError(
            f"margin_ranking_loss: input1 {tuple(input1.shape)}, input2 {tuple(input2.shape)} and target {tuple(target.shape)} "
            "need the same number of dimensions"
        )
    check_broadcast("margin_ranking_loss", input1=input1, input2=input2, target=target)
    input1, input2, target = wide(input1, input2, target)
    return reduced((margin - target * (input1 - input2)).clamp(min=0), reduction)


def hinge_embedding_loss(
    input: Tensor,
    target: Tensor,
    margin: float = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """`x` where y = 1, `max(0, margin - x)` where y = -1, for distances x of pairs that belong together or do not.

    Args:
        input: distances, (*).
        target: y, 1 or -1, of a shape that broadcasts.
        margin: how far apart is enough.
        size_average, reduce: deprecated, see reduction.
        reduction: "mean", "sum" or "none".

    Raises:
        ValueError: there is no such reduction.
        RuntimeError: the shapes do not broadcast.
    """
    reduction = reduction_named(reduction, size_average, reduce)
    check_broadcast("hinge_embedding_loss", input=input, target=target)
    input, target = wide(input, target)
    apart = torch.where(target == 1, 0, (margin - input).clamp(min=0))
    together = torch.where(target == -1, 0, input)
    return reduced(apart + together, reduction)


def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """`1 - cos(x1, x2)` where y = 1, `max(0, cos(x1, x2) - margin)` where y = -1.

    Args:
        input1, input2: x1, x2, (N, D) or (D).
        target: y, 1 or -1, (N) or ().
        margin: a cosine that is far enough for vectors that do not belong together, -1 to 1.
        size_average, reduce: deprecated, see reduction.
        reduction: "mean", "sum" or "none".

    Raises:
        ValueError: there is no such reduction.
        RuntimeError: the shapes do not fit.
    """
    reduction = reduction_named(reduction, size_average, reduce)
    if target.dim() > 1 or input1.dim() != target.dim() + 1 or input2.dim() != target.dim() + 1:
        raise RuntimeError(
            f"cosine_embedding_loss: input1 {tuple(input1.shape)}, input2 {tuple(input2.shape)} and target {tuple(target.shape)} "
            "need the shapes (N, D), (N, D) and (N), or (D), (D) and ()"
        )
    check_broadcast("cosine_embedding_loss", input1=input1, input2=input2, target=target.unsqueeze(-1))
    input1, input2, target = wide(input1, input2, target)
    tiny = 1e-12  # added to squared lengths, so that a vector of zeros has a cosine
    lengths = ((input1 * input1).sum(-1) + tiny) * ((input2 * input2).sum(-1) + tiny)  # (N)
    cosine = (input1 * input2).sum(-1) / lengths.sqrt()  # (N)
    together = torch.where(target == 1, 1 - cosine, 0)
    apart = torch.where(target == -1, (cosine - margin).clamp(min=0), 0)
    return reduced(together + apart, reduction)


def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """`max(0, margin + |anchor - positive| - |anchor - negative|)` (Weinberger and Saul, 2009; Schroff et al., 2015).

    Args:
        anchor, positive, negative: (N, D) or (D).
        margin: how much farther the negative has to be.
        p: order of the norm.
        eps: added to each difference.
        swap: take the positive's distance from the negative, where that is smaller than the anchor's (Balntas et al., 2016).
        size_average, reduce: deprecated, see reduction.
        reduction: "mean", "sum" or "none".

    Raises:
        ValueError: the margin is not above 0, or there is no such reduction.
        RuntimeError: the shapes do not fit.
    """
    reduction = reduction_named(reduction, size_average, reduce)
    anchor, positive, negative = wide(anchor, positive, negative)
    loss = _triplets("triplet_margin_loss", anchor, positive, negative, lambda a, b: pairwise_distance(a, b, p, eps), margin, swap)
    return reduced(loss, reduction)


def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """`max(0, margin + distance(anchor, positive) - distance(anchor, negative))`.

    Args:
        anchor, positive, negative: (N, D), or what the distance takes.
        distance_function: distance of two tensors; by default Euclid's.
        margin: how much farther the negative has to be.
        swap: take the positive's distance from the negative, where that is smaller than the anchor's.
        reduction: "mean", "sum" or "none".

    Raises:
        ValueError: the margin is not above 0, or there is no such reduction.
        RuntimeError: the shapes do not fit.
    """
    reduction = reduction_named(reduction, old_name=False)
    distance = distance_function if distance_function is not None else pairwise_distance
    return reduced(_triplets("triplet_margin_with_distance_loss", anchor, positive, negative, distance, margin, swap), reduction)


def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """`sum over c != y of weight[y] max(0, margin - x[y] + x[c])^p / C`: y has to be ahead of all others (Crammer and Singer, 2001).

    Args:
        input: scores x, (N, C) or (C).
        target: classes y as int64, (N), or () or (1) for one row.
        p: 1 or 2.
        margin: how far ahead is enough.
        weight: of each class, (C).
        size_average, reduce: deprecated, see reduction.
        reduction: "mean", "sum" or "none".

    Raises:
        ValueError: p is neither 1 nor 2, the weights have not one dimension, or there is no such reduction.
        RuntimeError: shapes or types do not fit, or a class is negative or not below C.
    """
    reduction = reduction_named(reduction, size_average, reduce)
    if p not in (1, 2):
        raise ValueError(f"multi_margin_loss: p is {p}, 1 or 2 is needed")
    if weight is not None and weight.dim() != 1:
        raise ValueError(f"multi_margin_loss: weight {tuple(weight.shape)} needs one dimension, (C,)")
    x = _rows("multi_margin_loss", input)  # (N, C)
    N, C = x.shape
    if target.dim() > 1 or target.numel() != N:
        raise RuntimeError(f"multi_margin_loss: target {tuple(target.shape)} needs one class for each of {N} rows, ({N},)")
    _check_integers("multi_margin_loss", target)
    if weight is not None and len(weight) != C:
        raise RuntimeError(f"multi_margin_loss: weight {tuple(weight.shape)} needs one entry for each of {C} classes, ({C},)")
    check_classes("multi_margin_loss", target, (target < 0) | (target >= C), f"{C} classes are 0 to {C - 1}", RuntimeError)
    (x,) = wide(x)
    if weight is not None:
        (weight,) = wide(weight)
        if weight.dtype != x.dtype:
            raise RuntimeError(f"multi_margin_loss: weight is {weight.dtype} and input {x.dtype}; one type is needed")
    y = target.reshape(N, 1)  # (N, 1)
    behind = _hinge(margin - x.gather(1, y) + x)  # (N, C)
    behind = behind * behind if p == 2 else behind
    others = torch.arange(C, device=x.device) != y  # (N, C)
    loss = torch.where(others, behind if weight is None else behind * weight[y], 0).sum(1) / C  # (N)
    return reduced(loss.reshape(target.shape), reduction)


def multilabel_margin_loss(
    input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean"
) -> Tensor:
    """`sum over y in Y, c not in Y of max(0, 1 - x[y] + x[c]) / C`: each class in Y has to be ahead of each that is not.

    Args:
        input: scores x, (N, C) or (C).
        target: classes Y of each row as int64, ended by -1 where they are fewer than C; of the input's shape.
        size_average, reduce: deprecated, see reduction.
        reduction: "mean", "sum" or "none".

    Raises:
        ValueError: there is no such reduction.
        RuntimeError: shapes or types do not fit, or a class is below -1 or not below C.
    """
    reduction = reduction_named(reduction, size_average, reduce)
    x = _rows("multilabel_margin_loss", input)  # (N, C)
    N, C = x.shape
    if target.shape != input.shape:
        raise RuntimeError(f"multilabel_margin_loss: target {tuple(target.shape)} needs the shape of input {tuple(input.shape)}")
    _check_integers("multilabel_margin_loss", target)
    allowed = f"{C} classes are 0 to {C - 1}, and -1 ends them"
    check_classes("multilabel_margin_loss", target, (target < -1) | (target >= C), allowed, RuntimeError)
    (x,) = wide(x)
    y = target.reshape(N, C)
    listed = (y < 0).cumsum(1) == 0  # (N, C), up to the first -1
    y = torch.where(listed, y, 0)
    among = ((y.unsqueeze(2) == torch.arange(C, device=x.device)) & listed.unsqueeze(2)).any(1)  # (N, C), by class
    behind = _hinge(1 - x.gather(1, y).unsqueeze(2) + x.unsqueeze(1))  # (N, C, C): y before c
    loss = torch.where(listed.unsqueeze(2) & ~among.unsqueeze(1), behind, 0).sum((1, 2)) / C  # (N)
    return reduced(loss.reshape(input.shape[:-1]), reduction)


def soft_margin_loss(
    input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean"
) -> Tensor:
    """`log(1 + exp(-y x))`, finite for any finite x (torch's overflows where -y x is large).

    Args:
        input: scores x, (*).
        target: y, 1 or -1, of a shape that broadcasts.
        size_average, reduce: deprecated, see reduction.
        reduction: "mean", "sum" or "none".

    Raises:
        ValueError: there is no such reduction.
        RuntimeError: the shapes do not broadcast.
    """
    reduction = reduction_named(reduction, size_average, reduce)
    check_broadcast("soft_margin_loss", input=input, target=target)
    input, target = wide(input, target)
    return reduced(-logsigmoid(target * input), reduction)


def multilabel_soft_margin_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """`-mean over c of weight[c] (y[c] log(sigmoid(x[c])) + (1 - y[c]) log(sigmoid(-x[c])))`.

    Args:
        input: scores x, (*, C).
        target: y, 0 or 1, of a shape that broadcasts.
        weight: of a shape that broadcasts.
        size_average, reduce: deprecated, see reduction.
        reduction: "mean", "sum" or "none", of the rows.

    Raises:
        ValueError: there is no such reduction.
        RuntimeError: the shapes do not broadcast.
    """
    reduction = reduction_named(reduction, size_average, reduce, old_name=False)
    check_broadcast("multilabel_soft_margin_loss", input=input, target=target, **({} if weight is None else {"weight": weight}))
    loss = -(target * logsigmoid(input) + (1 - target) * logsigmoid(-input))
    loss = loss if weight is None else loss * weight
    return reduced(loss.sum(input.dim() - 1) / input.shape[-1], reduction)


def _hinge(x: Tensor) -> Tensor:
    """`max(0, x)`, with slope 0 at 0."""
    return torch.where(x > 0, x, 0)


def _triplets(
    name: str,
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    distance: Callable[[Tensor, Tensor], Tensor],
    margin: float,
    swap: bool,
) -> Tensor:
    """The loss of each triplet."""
    if margin <= 0:
        raise ValueError(f"{name}: margin is {margin}, above 0 is needed")
    if not anchor.dim() == positive.dim() == negative.dim():
        raise RuntimeError(
            f"{name}: anchor {tuple(anchor.shape)}, positive {tuple(positive.shape)} and negative {tuple(negative.shape)} "
            "need the same number of dimensions"
        )
    check_broadcast(name, anchor=anchor, positive=positive, negative=negative)
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = torch.minimum(far, distance(positive, negative))
    return (margin + near - far).clamp(min=0)


def _rows(name: str, input: Tensor) -> Tensor:
    """The input as (N, C)."""
    if input.dim() > 2 or (input.dim() > 0 and input.shape[-1] == 0):
        raise RuntimeError(f"{name}: input {tuple(input.shape)} needs the shape (N, C) or (C), with at least one class")
    return input if input.dim() == 2 else input.reshape(1, -1)


def _check_integers(name: str, target: Tensor) -> None:
    if target.dtype != torch.int64:
        raise RuntimeError(f"{name}: target {tuple(target.shape)} is {target.dtype}; classes are needed as torch.int64")
