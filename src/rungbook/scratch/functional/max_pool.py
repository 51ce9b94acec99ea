"""Maxima over sliding windows, and their way back.

The largest of a rectangle is the largest over rows of the largest in each row. Comparing with `>` keeps the first of equal ones, in reading
order, and the gradient goes to that one alone, where `amax` would share it out.

Shapes: N samples, C channels, L sizes of the D dimensions, O the number of windows in each.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

from rungbook.scratch.functional.pad import pad
from rungbook.scratch.functional.spatial import batched, check_pool, each, pool_sides, pool_stride, taps

Ints = int | Sequence[int]
Pooled = Tensor | tuple[Tensor, Tensor]


def max_pool1d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Pooled:
    """Largest element of each window (Ranzato et al., 2007; in cats' eyes and Riesenhuber and Poggio, 1999, before).

    Args:
        input: (N, C, L), or (C, L) for one sample.
        kernel_size: elements in a window.
        stride: from one window to the next; as large as the window if None.
        padding: elements on both sides that are smaller than all others, at most half a window.
        dilation: from one element of a window to the next.
        ceil_mode: whether a last window may run over the end.
        return_indices: also where the maxima stood, counted through L (row by row in images).

    Returns:
        (N, C, O) or (C, O), and the indices if asked for.

    Raises:
        RuntimeError: no window fits, or a number out of range.
    """
    return _max_pool(input, kernel_size, stride, padding, dilation, ceil_mode, return_indices, 1)


def max_pool2d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Pooled:
    """`max_pool1d` over images (N, C, H, W)."""
    return _max_pool(input, kernel_size, stride, padding, dilation, ceil_mode, return_indices, 2)


def max_pool3d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Pooled:
    """`max_pool1d` over volumes (N, C, D, H, W)."""
    return _max_pool(input, kernel_size, stride, padding, dilation, ceil_mode, return_indices, 3)


def max_pool1d_with_indices(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Pooled:
    """`max_pool1d` with its indices, whatever `return_indices` says: the name torch has for it when it is set."""
    return _max_pool(input, kernel_size, stride, padding, dilation, ceil_mode, True, 1)


def max_pool2d_with_indices(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Pooled:
    """`max_pool2d` with its indices, whatever `return_indices` says: the name torch has for it when it is set."""
    return _max_pool(input, kernel_size, stride, padding, dilation, ceil_mode, True, 2)


def max_pool3d_with_indices(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Pooled:
    """`max_pool3d` with its indices, whatever `return_indices` says: the name torch has for it when it is set."""
    return _max_pool(input, kernel_size, stride, padding, dilation, ceil_mode, True, 3)


def _max_pool(
    input: Tensor, kernel_size: Ints, stride: Ints | None, padding: Ints, dilation: Ints, ceil_mode: bool, return_indices: bool, dims: int
) -> Pooled:
    name = f"max_pool{dims}d"
    x, had_batch = check_pool(input, dims, name)
    kernel, sizes = each(kernel_size, dims, "kernel_size", 1), x.shape[2:]
    stride, padding, dilation = pool_stride(stride, kernel), each(padding, dims, "padding"), each(dilation, dims, "dilation", 1)
    _, sides = pool_sides(sizes, kernel, stride, padding, dilation, ceil_mode, name)
    place = torch.arange(prod(sizes), device=x.device).view(sizes)  # (L...)
    if any(sides):
        x = pad(x, sides, value=-float("inf") if x.is_floating_point() else torch.iinfo(x.dtype).min)
        # where all is minus infinity the padding comes first, and stands for the border's place
        place = pad(place.unsqueeze(0), sides, "replicate").squeeze(0) if return_indices else place
    for dim in range(-1, -dims - 1, -1):
        slide = dim, kernel[dim], stride[dim], dilation[dim]
        x, place = first_maximum(taps(x, *slide), taps(place, *slide) if return_indices else None)
    x = x.clone() if prod(kernel) == 1 else x  # no comparison made a new tensor
    x = x if had_batch else x.squeeze(0)
    # with one-element windows nothing was compared, and all samples share their places
    return (x, place.expand(x.shape) if place.dim() < x.dim() else place.view(x.shape)) if return_indices else x


def first_maximum(seen: Sequence[Tensor], places: Sequence[Tensor] | None) -> tuple[Tensor, Tensor]:
    """The largest of several tensors, element by element, and what `places` has beside it: the first of equal ones, the last of NaNs.

    Without `places` the second result says nothing.
    """
    best, place = seen[0], (seen if places is None else places)[0]
    for j, other in enumerate(seen[1:], 1):
        larger = (other > best) | (other != other)  # NaN is not itself, and is larger than all
        if places is not None:
            place = torch.where(larger, places[j], place)
        best = torch.where(larger, other, best)
    return best, place


def max_unpool1d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """Maxima put back where `max_pool1d(return_indices=True)` found them; zero elsewhere (Zeiler and Fergus, 2014).

    Args:
        input: (N, C, O), or (C, O) for one sample.
        indices: of the same shape: where in L.
        kernel_size, stride, padding: the pooling's, from which L follows: `(O - 1) stride - 2 padding + kernel_size`.
        output_size: L, or the whole shape: which of the sizes that give O is meant.

    Returns:
        (N, C, L) or (C, L).

    Raises:
        RuntimeError: indices have another shape or point outside.
        ValueError: an output_size that the pooling does not shrink to O.
    """
    return _max_unpool(input, indices, kernel_size, stride, padding, output_size, 1)


def max_unpool2d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """`max_unpool1d` over images (N, C, H, W)."""
    return _max_unpool(input, indices, kernel_size, stride, padding, output_size, 2)


def max_unpool3d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """`max_unpool1d` over volumes (N, C, D, H, W)."""
    return _max_unpool(input, indices, kernel_size, stride, padding, output_size, 3)


def _max_unpool(
    input: Tensor, indices: Tensor, kernel_size: Ints, stride: Ints | None, padding: Ints, output_size: Sequence[int] | None, dims: int
) -> Tensor:
    name = f"max_unpool{dims}d"
    batched(input, dims, name)
    if indices.shape != input.shape:
        raise RuntimeError(f"{name}: indices {tuple(indices.shape)} must have the shape of the input, {tuple(input.shape)}")
    kernel = each(kernel_size, dims, "kernel_size", 1)
    stride = kernel if stride is None else each(stride, dims, "stride", 1)
    default = [
        (n - 1) * s + k - 2 * p for n, s, k, p in zip(input.shape[-dims:], stride, kernel, each(padding, dims, "padding"), strict=True)
    ]
    sizes = default
    if output_size is not None:
        if len(output_size) not in (dims, dims + 2):
            raise ValueError(f"{name}: output_size {tuple(output_size)} needs {dims} numbers, or a whole shape of {dims + 2}")
        sizes = list(output_size)[-dims:]
        if any(not d - s < n < d + s for n, d, s in zip(sizes, default, stride, strict=True)):
            raise ValueError(f"{name}: output_size {tuple(sizes)} must be less than a stride {stride} away from {tuple(default)}")
    flat = input.new_zeros(*input.shape[:-dims], prod(sizes))  # (N, C, L)
    return flat.scatter(-1, indices.flatten(-dims), input.flatten(-dims)).unflatten(-1, sizes)  # (N, C, L...)
