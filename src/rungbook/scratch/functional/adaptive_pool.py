"""Pooling to a size that is asked for, whatever the input's: each output looks at its share of the input.

Output o of O looks at the elements from `floor(o L / O)` up to `ceil((o + 1) L / O)`: shares differ by at most one element, and overlap
where O does not divide L. They are gathered with the longest one's length, and what one has too many is masked.

Shapes: N samples, C channels, L sizes of the D dimensions, O the sizes asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor

from rungbook.scratch.functional.max_pool import first_maximum
from rungbook.scratch.functional.spatial import batched

Sizes = int | None | Sequence[int | None]


def adaptive_avg_pool1d(input: Tensor, output_size: Sizes) -> Tensor:
    """Mean of each of O shares of the input.

    Args:
        input: (N, C, L), or (C, L) for one sample.
        output_size: O; None keeps L.

    Returns:
        (N, C, O) or (C, O).

    Raises:
        RuntimeError: a size below 0, their count is not the dimensions', or the input has others than above.
        ValueError: the input has too few for several sizes (for 2-D and 3-D, as in torch).
    """
    return _adaptive_avg(input, output_size, 1)


def adaptive_avg_pool2d(input: Tensor, output_size: Sizes) -> Tensor:
    """`adaptive_avg_pool1d` over images (N, C, H, W)."""
    return _adaptive_avg(input, output_size, 2)


def adaptive_avg_pool3d(input: Tensor, output_size: Sizes) -> Tensor:
    """`adaptive_avg_pool1d` over volumes (N, C, D, H, W)."""
    return _adaptive_avg(input, output_size, 3)


def adaptive_max_pool1d(input: Tensor, output_size: Sizes, return_indices: bool = False) -> Tensor | tuple[Tensor, Tensor]:
    """Largest element of each of O shares of the input; of equal ones the first.

    Args:
        input: (N, C, L), or (C, L) for one sample.
        output_size: O; None keeps L.
        return_indices: also where they stood, counted through L (row by row in images).

    Returns:
        (N, C, O) or (C, O), and the indices if asked for.

    Raises:
        RuntimeError: a size below 0, their count is not the dimensions', or the input has others than above.
        ValueError: the input has too few for several sizes (for 2-D and 3-D, as in torch).
    """
    return _adaptive_max(input, output_size, return_indices, 1)


def adaptive_max_pool2d(input: Tensor, output_size: Sizes, return_indices: bool = False) -> Tensor | tuple[Tensor, Tensor]:
    """`adaptive_max_pool1d` over images (N, C, H, W)."""
    return _adaptive_max(input, output_size, return_indices, 2)


def adaptive_max_pool3d(input: Tensor, output_size: Sizes, return_indices: bool = False) -> Tensor | tuple[Tensor, Tensor]:
    """`adaptive_max_pool1d` over volumes (N, C, D, H, W)."""
    return _adaptive_max(input, output_size, return_indices, 3)


def adaptive_max_pool1d_with_indices(input: Tensor, output_size: Sizes, return_indices: bool = False) -> Tensor | tuple[Tensor, Tensor]:
    """`adaptive_max_pool1d` with its indices, whatever `return_indices` says: the name torch has for it when it is set."""
    return _adaptive_max(input, output_size, True, 1)


def adaptive_max_pool2d_with_indices(input: Tensor, output_size: Sizes, return_indices: bool = False) -> Tensor | tuple[Tensor, Tensor]:
    """`adaptive_max_pool2d` with its indices, whatever `return_indices` says: the name torch has for it when it is set."""
    return _adaptive_max(input, output_size, True, 2)


def adaptive_max_pool3d_with_indices(input: Tensor, output_size: Sizes, return_indices: bool = False) -> Tensor | tuple[Tensor, Tensor]:
    """`adaptive_max_pool3d` with its indices, whatever `return_indices` says: the name torch has for it when it is set."""
    return _adaptive_max(input, output_size, True, 3)


def _adaptive_avg(input: Tensor, output_size: Sizes, dims: int) -> Tensor:
    sizes = _sizes(input, output_size, dims, f"adaptive_avg_pool{dims}d")
    x = input
    for i, size in enumerate(sizes):
        dim = i - dims
        if size == 1:
            x = x.mean(dim, keepdim=True)
            continue
        place, inside = _shares(x.shape[dim], size, x.device)  # (O, K)
        inside = inside.view(*inside.shape, *(1,) * (-dim - 1))
        seen = torch.where(inside, _taken(x, dim, place), 0)  # (..., O, K, ...)
        x = seen.sum(dim) / inside.sum(1).to(x.dtype)  # (..., O, ...)
    return x


def _adaptive_max(input: Tensor, output_size: Sizes, return_indices: bool, dims: int) -> Tensor | tuple[Tensor, Tensor]:
    sizes = _sizes(input, output_size, dims, f"adaptive_max_pool{dims}d")
    x = input
    index = torch.arange(prod(x.shape[-dims:]), device=x.device).view(x.shape[-dims:])  # (L...)
    for dim in range(-1, -dims - 1, -1):
        place, _ = _shares(x.shape[dim], sizes[dim], x.device)  # (O, K)
        # the last element again, where a share is shorter, is no larger than itself
        x, index = first_maximum(_taken(x, dim, place).unbind(dim), _taken(index, dim, place).unbind(dim))  # (..., O, ...)
    return (x, index.expand(x.shape)) if return_indices else x


def _shares(size: int, count: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """For each of `count` outputs the elements it looks at, padded with its last, and which are no padding."""
    longest = max([1, *(-(-(o + 1) * size // count) - o * size // count for o in range(count))])
    o = torch.arange(count, device=device).unsqueeze(1)  # (O, 1)
    start, stop = o * size // count, -(-(o + 1) * size // count)
    place = start + torch.arange(longest, device=device)  # (O, K)
    return torch.minimum(place, stop - 1), place < stop


def _taken(x: Tensor, dim: int, place: Tensor) -> Tensor:
    """Elements at (O, K) places of a dimension, which becomes two."""
    return x.index_select(dim, place.flatten()).unflatten(dim, place.shape)


def _sizes(input: Tensor, output_size: Sizes, dims: int, name: str) -> list[int]:
    """The sizes asked for, checked."""
    asked: list[Any] = list(output_size) if isinstance(output_size, tuple | list) else [output_size] * dims
    if len(asked) != dims:
        raise RuntimeError(f"{name}: output_size {output_size} has {len(asked)} numbers, {dims} are needed")
    if input.dim() <= dims and dims > 1 and isinstance(output_size, tuple | list):
        raise ValueError(f"{name}: input {tuple(input.shape)} has {input.dim()} dimensions, at least {dims + 1} are needed")
    batched(input, dims, name)
    sizes = [n if o is None else o for o, n in zip(asked, input.shape[-dims:], strict=True)]
    if any(size < 0 for size in sizes):
        raise RuntimeError(f"{name}: output_size {output_size} must be at least 0 in every dimension")
    if 0 in input.shape[-dims - 1 :]:
        raise RuntimeError(f"{name}: input {tuple(input.shape)} has a dimension of size 0; only the batch may be empty")
    return sizes
