"""Fractional max pooling (Graham, 2014): windows at steps that vary at random, so that sizes shrink by any factor between 1 and 2.

Shapes: N samples, C channels, L sizes of the D dimensions, O the sizes asked for, K the window.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

from rungbook.scratch.functional.max_pool import Ints, Pooled, first_maximum
from rungbook.scratch.functional.spatial import check_pool, each

Ratios = float | Sequence[float] | None


def fractional_max_pool2d(
    input: Tensor,
    kernel_size: Ints,
    output_size: Ints | None = None,
    output_ratio: Ratios = None,
    return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> Pooled:
    """Largest element of each of O windows that start at `floor((o + u) a) - floor(u a)`, a = (L - K) / (O - 1), u drawn from [0, 1).

    Args:
        input: (N, C, H, W), or (C, H, W) for one image.
        kernel_size: K, one number or two.
        output_size: O.
        output_ratio: O / L, instead.
        return_indices: also where the maxima stood, row by row.
        _random_samples: u, (N, C, 2); drawn if None.

    Returns:
        (N, C, O, O') or (C, O, O'), and the indices if asked for.

    Raises:
        ValueError: neither size nor ratio.
        RuntimeError: windows do not fit, or samples of another shape.
    """
    return _fractional(input, kernel_size, output_size, output_ratio, return_indices, _random_samples, 2)


def fractional_max_pool3d(
    input: Tensor,
    kernel_size: Ints,
    output_size: Ints | None = None,
    output_ratio: Ratios = None,
    return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> Pooled:
    """`fractional_max_pool2d` over volumes (N, C, D, H, W); samples are (N, C, 3)."""
    return _fractional(input, kernel_size, output_size, output_ratio, return_indices, _random_samples, 3)


def fractional_max_pool2d_with_indices(
    input: Tensor,
    kernel_size: Ints,
    output_size: Ints | None = None,
    output_ratio: Ratios = None,
    return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> Pooled:
    """`fractional_max_pool2d` with its indices, whatever `return_indices` says: the name torch has for it when it is set."""
    return _fractional(input, kernel_size, output_size, output_ratio, True, _random_samples, 2)


def fractional_max_pool3d_with_indices(
    input: Tensor,
    kernel_size: Ints,
    output_size: Ints | None = None,
    output_ratio: Ratios = None,
    return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> Pooled:
    """`fractional_max_pool3d` with its indices, whatever `return_indices` says: the name torch has for it when it is set."""
    return _fractional(input, kernel_size, output_size, output_ratio, True, _random_samples, 3)


def _fractional(
    input: Tensor,
    kernel_size: Ints,
    output_size: Ints | None,
    output_ratio: Ratios,
    return_indices: bool,
    samples: Tensor | None,
    dims: int,
) -> Pooled:
    name = f"fractional_max_pool{dims}d"
    x, had_batch = check_pool(input, dims, name)
    N, C, *sizes = x.shape
    kernel = each(kernel_size, dims, "kernel_size", 1)
    if output_size is None:
        if output_ratio is None:
            raise ValueError(f"{name}: one of output_size and output_ratio is needed")
        ratios = (output_ratio,) * dims if isinstance(output_ratio, float | int) else output_ratio
        output_size = [int(n * r) for n, r in zip(sizes, ratios, strict=True)]
    count = each(output_size, dims, "output_size", 1)
    if any(o + k - 1 > n for o, k, n in zip(count, kernel, sizes, strict=True)):
        raise RuntimeError(f"{name}: {count} windows {kernel} do not fit into {tuple(sizes)} at different places")
    if samples is None:
        samples = torch.rand(N, C, dims, dtype=x.dtype, device=x.device)
    if samples.shape[1:] != (C, dims) or samples.shape[0] < N:
        raise RuntimeError(f"{name}: _random_samples {tuple(samples.shape)} must be {(N, C, dims)} for input {tuple(input.shape)}")
    # of an image torch takes the width's first, of a volume the depth's
    draws = samples[:N].flip(-1) if dims == 2 else samples[:N]
    place = x.new_zeros(N, C, *(1,) * (2 * dims), dtype=torch.int64)  # (N, C, O..., K...), flat
    for i in range(dims):
        first = _starts(draws[..., i], sizes[i], count[i], kernel[i])  # (N, C, O)
        at = first.unsqueeze(-1) + torch.arange(kernel[i], device=x.device)  # (N, C, O, K)
        shape = [1] * (2 * dims)
        shape[i], shape[dims + i] = count[i], kernel[i]
        place = place + at.view(N, C, *shape) * prod(sizes[i + 1 :])
    place = place.flatten(-dims)  # (N, C, O..., K)
    seen = x.flatten(2).gather(2, place.flatten(2)).view(place.shape)  # (N, C, O..., K)
    best, where = first_maximum(seen.unbind(-1), place.unbind(-1))  # (N, C, O...)
    best, where = (best, where) if had_batch else (best.squeeze(0), where.squeeze(0))
    return (best, where) if return_indices else best


def _starts(u: Tensor, size: int, count: int, kernel: int) -> Tensor:
    """Where the windows start: the first at 0, the last at the end, steps of two neighbouring lengths between."""
    last = torch.full((*u.shape, 1), size - kernel, device=u.device)
    if count == 1:
        return last
    step = (size - kernel) / (count - 1)
    o = torch.arange(count - 1, device=u.device, dtype=u.dtype)
    start = ((u.unsqueeze(-1) + o) * step).long() - (u.unsqueeze(-1) * step).long()
    return torch.cat([start, last], -1)  # (N, C, O)
