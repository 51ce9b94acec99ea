"""Lengths, angles and distances of vectors, and classes as vectors.

Shapes: N vectors, D entries, * any shape.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rungbook.scratch.functional.number_types import need_fractions


def p_norm(x: Tensor, p: float, dim: int | tuple[int, ...] | list[int], keepdim: bool = False) -> Tensor:
    """`sum(|x|^p)^(1/p)`; for p = inf the largest, for -inf the smallest, for 0 the number of entries that are not 0.

    Its slope at 0 is 0, where the formula has none. Half precision is summed in float32: the square of 256 is more than float16 holds.

    Raises:
        RuntimeError: the largest, or smallest, of no entries.
    """
    if x.dtype in (torch.bfloat16, torch.float16):
        return p_norm(x.float(), p, dim, keepdim).to(x.dtype)
    if abs(p) == math.inf and x.numel() == 0 and any(x.shape[d] == 0 for d in ((dim,) if isinstance(dim, int) else dim)):
        raise RuntimeError(f"norm: x {tuple(x.shape)} is empty, the norm of order {p} needs entries along dimension {dim}")
    a = x.abs()
    if p == math.inf:
        return a.amax(dim, keepdim)
    if p == -math.inf:
        return a.amin(dim, keepdim)
    if p == 0:
        return (a != 0).to(a.dtype).sum(dim, keepdim)
    if p == 1:
        return a.sum(dim, keepdim)
    total = (a * a if p == 2 else a**p).sum(dim, keepdim)
    # a root has no slope at 0: there, another number is put into it
    nothing = total == 0
    return torch.where(nothing, 0, torch.where(nothing, 1, total) ** (1 / p))


def normalize(input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12, out: Tensor | None = None) -> Tensor:
    """`x / max(norm(x), eps)`.

    Args:
        input: any shape.
        p: order of the norm.
        dim: the vectors' dimension.
        eps: smallest divisor.
        out: the result is written over it; then there is no gradient.

    Raises:
        RuntimeError: the input has whole numbers.
    """
    need_fractions("normalize", input, RuntimeError)
    if out is not None:
        with torch.no_grad():
            return out.resize_(input.shape).copy_(normalize(input, p, dim, eps))
    return input / p_norm(input, p, dim, keepdim=True).clamp(min=eps)


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """`x1 . x2 / (max(|x1|, eps) max(|x2|, eps))`.

    As in torch, the gradient is that of the lengths also where eps stands for one.

    Args:
        x1, x2: shapes that broadcast.
        dim: the vectors' dimension, after broadcasting.
        eps: smallest divisor of each.

    Returns:
        The broadcast shape without dim.

    Raises:
        RuntimeError: both have whole numbers.
    """
    if not (x2.is_floating_point() or x2.is_complex()):
        need_fractions("cosine_similarity", x1, RuntimeError, "x1", ", or one of x2")
        x2 = x2.to(x1.dtype)
    elif not (x1.is_floating_point() or x1.is_complex()):
        x1 = x1.to(x2.dtype)
    x1, x2 = torch.broadcast_tensors(x1, x2)
    lengths = (p_norm(x, 2.0, dim, keepdim=True) for x in (x1, x2))
    n1, n2 = (torch.where(n < eps, eps + (n - n.detach()), n) for n in lengths)
    return (x1 / n1 * (x2 / n2)).sum(dim)


def pairwise_distance(x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Tensor:
    """`norm(x1 - x2 + eps)`.

    Args:
        x1, x2: (*, D), shapes that broadcast.
        p: order of the norm.
        eps: added to each difference, so that the norm of equal vectors has a slope.
        keepdim: leave a dimension of one entry.

    Returns:
        (*) or (*, 1).
    """
    return p_norm(x1 - x2 + eps, p, -1, keepdim)


def pdist(input: Tensor, p: float = 2.0) -> Tensor:
    """Distances between all pairs of rows, (0, 1), (0, 2), ..., (N-2, N-1).

    Args:
        input: (N, D).
        p: order of the norm, at least 0.

    Returns:
        (N (N - 1) / 2).

    Raises:
        RuntimeError: the input is no matrix, or p is negative.
    """
    if input.dim() != 2:
        raise RuntimeError(f"pdist: input {tuple(input.shape)} has {input.dim()} dimensions, (N, D) is needed")
    if p < 0:
        raise RuntimeError(f"pdist: p is {p}, at least 0 is needed")
    N = len(input)
    i, j = torch.triu_indices(N, N, 1, device=input.device)
    difference = input.index_select(0, i) - input.index_select(0, j)  # (N (N - 1) / 2, D)
    return p_norm(difference, p, 1) if input.shape[1] else difference.sum(1)


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """1 at each class's place, 0 elsewhere.

    Args:
        tensor: classes 0, 1, ... as int64, (*).
        num_classes: K; -1 takes the largest class + 1.

    Returns:
        (*, K), int64.

    Raises:
        RuntimeError: a class is negative or not below num_classes, or the type is another; or there is nothing to take K from.
    """
    if tensor.dtype != torch.int64:
        raise RuntimeError(f"one_hot: tensor is {tensor.dtype}, classes are needed as torch.int64")
    if tensor.numel() == 0 and num_classes <= 0:
        raise RuntimeError(f"one_hot: of an empty tensor {tuple(tensor.shape)} the number of classes cannot be told; give num_classes")
    if num_classes == -1:
        num_classes = int(tensor.max()) + 1
    elif num_classes < 1:
        raise RuntimeError(f"one_hot: num_classes is {num_classes}, at least 1 is needed")
    if tensor.numel() and tensor.device.type == "cpu" and not torch.compiler.is_compiling():
        low, high = int(tensor.min()), int(tensor.max())
        if low < 0 or high >= num_classes:
            raise RuntimeError(f"one_hot: classes from {low} to {high}, num_classes={num_classes} needs 0 to {num_classes - 1}")
    return (tensor.unsqueeze(-1) == torch.arange(num_classes, device=tensor.device)).to(torch.int64)  # (*, K)
