"""What convolution, pooling, folding and padding share: sizes, and windows taken and put back one dimension after the other.

A window of k elements that slides along one dimension shows, at its position j, every stride-th element from `j * dilation` on: a slice.
So k slices are all windows, and D dimensions need the sum of their k slices, not the product, when the second dimension slides over what
the first one gathered. `tensor.windows` gives the same numbers as one view, but a view of overlapping windows has a slow gradient, which
must add them up element by element; a slice's gradient is a slice.

Shapes: A, B any one dimension, D the number of dimensions slid over, L their sizes, K the window, O the number of windows in each.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor

from rungbook.scratch.tensor.windows import windows_out


def each(value: int | Sequence[int] | None, dims: int, name: str, least: int | None = None) -> tuple[int, ...]:
    """One number for each dimension; a single one stands for all.

    Raises:
        RuntimeError: there are more or fewer, or one is below `least`.
    """
    values: tuple[Any, ...] = tuple(value) if isinstance(value, tuple | list) else (value,)
    values = values * dims if len(values) == 1 else values
    if len(values) != dims:
        raise RuntimeError(f"{name} {values} has {len(values)} numbers, {dims} or 1 are needed")
    if least is not None and any(v < least for v in values):
        raise RuntimeError(f"{name} {values} must be at least {least} in every dimension")
    return values


def batched(input: Tensor, dims: int, name: str) -> tuple[Tensor, bool]:
    """The input with a batch dimension, and whether it had one.

    Args:
        input: (N, C, L...), or (C, L...) for one sample.
        dims: D.
        name: of the caller, for the error.

    Raises:
        RuntimeError: it has neither D + 1 nor D + 2 dimensions.
    """
    if input.dim() not in (dims + 1, dims + 2):
        raise RuntimeError(
            f"{name}: input {tuple(input.shape)} has {input.dim()} dimensions, needed are {dims + 1} (C, L) or {dims + 2} (N, C, L)"
        )
    had = input.dim() == dims + 2
    return (input if had else input.unsqueeze(0)), had


def strided(x: Tensor, dim: int, start: int, count: int, step: int) -> Tensor:
    """`count` elements of a dimension from `start` on, each `step` after the one before.

    Args:
        dim: counted from the end, as -1.
    """
    index: tuple[Any, ...] = (..., slice(start, start + (count - 1) * step + 1, step), *(slice(None),) * (-dim - 1))
    return x[index]


def taps(x: Tensor, dim: int, kernel: int, stride: int, dilation: int) -> list[Tensor]:
    """What each position of a window sees as it slides along one dimension: position j sees the elements `o * stride + j * dilation`."""
    count = windows_out(x.shape[dim], kernel, stride, dilation)
    return [strided(x, dim, j * dilation, count, stride) for j in range(kernel)]


def gather(x: Tensor, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]) -> Tensor:
    """All windows as rows of a matrix: im2col (Chellapilla et al., 2006), one dimension after the other.

    Args:
        x: (A, B, L...).

    Returns:
        (A, K..., B, O...): `out[a, k, b, o] = x[a, b, o * stride + k * dilation]`. Windows of which none overlaps are a view.
    """
    dims = len(kernel)
    for i in reversed(range(dims)):
        dim, k, s, d = i - dims, kernel[i], stride[i], dilation[i]
        if k == s and d == 1:
            count = x.shape[dim] // k
            x = strided(x, dim, 0, count * k, 1).unflatten(dim, (count, k)).movedim(dim, 1)  # (A, k, ..., O, ...)
        else:
            x = torch.stack(taps(x, dim, k, s, d), 1)  # (A, k, ..., O, ...)
    return x


def overlap_add(x: Tensor, sizes: Sequence[int], stride: Sequence[int], dilation: Sequence[int]) -> Tensor:
    """Windows put back where they were taken, added up where they overlap: what `gather` does to gradients (its adjoint).

    Args:
        x: (A, K..., B, O...).
        sizes: L.

    Returns:
        (A, B, L...).
    """
    dims = len(sizes)
    for i, (size, s, d) in enumerate(zip(sizes, stride, dilation, strict=True)):
        dim = i - dims
        k, count = x.shape[1], x.shape[dim]
        zeros = x.new_zeros(x.shape[:1] + x.shape[2:dim] + (size,) + (x.shape[dim + 1 :] if dim < -1 else ()))
        placed = [
            torch.slice_scatter(zeros, tap, zeros.dim() + dim, j * d, j * d + (count - 1) * s + 1, s) for j, tap in enumerate(x.unbind(1))
        ]
        x = placed[0] if k == 1 else sum(placed[1:], placed[0])  # (A, K later, B, L so far, O later)
    return x


def pooled_size(size: int, span: int, stride: int, padding: int, ceil_mode: bool) -> int:
    """How many windows a pooling has: with ceil_mode also a last one that runs over the end, if it starts within input or left padding."""
    room = size + 2 * padding - span
    count = (-(-room // stride) if ceil_mode else room // stride) + 1
    return count - 1 if ceil_mode and (count - 1) * stride >= size + padding else count


def pool_stride(stride: int | Sequence[int] | None, kernel: tuple[int, ...]) -> tuple[int, ...]:
    """From one window of a pooling to the next: as large as the window if nothing is said (torch takes an empty list for that, too)."""
    unsaid = stride is None or stride == [] or stride == ()
    return kernel if unsaid else each(stride, len(kernel), "stride", 1)


def check_pool(input: Tensor, dims: int, name: str) -> tuple[Tensor, bool]:
    """`batched`, and no size but the batch's is 0."""
    x, had = batched(input, dims, name)
    if prod(x.shape[1:]) == 0:
        raise RuntimeError(f"{name}: input {tuple(input.shape)} has a dimension of size 0; only the batch may be empty")
    return x, had


def pool_sides(
    sizes: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    ceil_mode: bool,
    name: str,
) -> tuple[list[int], list[int]]:
    """How many windows a pooling has in each dimension, and what to pad the input with on each side, last dimension first.

    Raises:
        RuntimeError: the padding is more than half a window, or no window fits.
    """
    spans = tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True))
    if any(p < 0 or p > span // 2 for p, span in zip(padding, spans, strict=True)):
        raise RuntimeError(f"{name}: padding {tuple(padding)} must be at least 0 and at most half of what the window spans, {spans}")
    count = [pooled_size(n, span, s, p, ceil_mode) for n, span, s, p in zip(sizes, spans, stride, padding, strict=True)]
    if any(n < 1 for n in count):
        raise RuntimeError(f"{name}: a window that spans {spans} does not fit into {tuple(sizes)} with padding {tuple(padding)}")
    # on the right, as much as the last window needs: more than the padding with ceil_mode, less where a stride steps over it
    needed = zip(sizes, spans, stride, padding, count, strict=True)
    right = [max(0, (o - 1) * s + span - n - p) for n, span, s, p, o in needed]
    return count, [side for pair in zip(reversed(padding), reversed(right), strict=True) for side in pair]
