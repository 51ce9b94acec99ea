"""Averages and p-norms over sliding windows. Both are sums, and a sum over a rectangle is a sum over rows of sums over columns.

Shapes: N samples, C channels, L sizes of the D dimensions, O the number of windows in each.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

from rungbook.scratch.functional.max_pool import max_pool1d, max_pool2d, max_pool3d
from rungbook.scratch.functional.pad import pad
from rungbook.scratch.functional.spatial import check_pool, each, pool_sides, pool_stride, taps

Ints = int | Sequence[int]


def avg_pool1d(
    input: Tensor, kernel_size: Ints, stride: Ints | None = None, padding: Ints = 0, ceil_mode: bool = False, count_include_pad: bool = True
) -> Tensor:
    """Mean of each window.

    Args:
        input: (N, C, L), or (C, L) for one sample.
        kernel_size: elements in a window.
        stride: from one window to the next; as large as the window if None.
        padding: zeros on both sides, at most half a window.
        ceil_mode: whether a last window may run over the end.
        count_include_pad: whether the zeros count in the mean (what runs over the end never does).

    Returns:
        (N, C, O) or (C, O).

    Raises:
        RuntimeError: no window fits, or a number out of range.
        NotImplementedError: the input has whole numbers.
    """
    return _avg_pool(input, kernel_size, stride, padding, ceil_mode, count_include_pad, None, 1)


def avg_pool2d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """`avg_pool1d` over images (N, C, H, W); each sum is divided by `divisor_override` if there is one, else by its count."""
    return _avg_pool(input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override, 2)


def avg_pool3d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """`avg_pool2d` over volumes (N, C, D, H, W)."""
    return _avg_pool(input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override, 3)


def _avg_pool(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None,
    padding: Ints,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
    dims: int,
) -> Tensor:
    name = f"avg_pool{dims}d"
    x, had_batch = check_pool(input, dims, name)
    if not (x.is_floating_point() or x.is_complex()):
        raise NotImplementedError(f"{name}: means of {x.dtype}; convert the input to a floating type")
    kernel, sizes, ones = each(kernel_size, dims, "kernel_size", 1), x.shape[2:], (1,) * dims
    stride, padding = pool_stride(stride, kernel), each(padding, dims, "padding")
    count, sides = pool_sides(sizes, kernel, stride, padding, ones, ceil_mode, name)
    if divisor_override == 0:
        raise RuntimeError(f"{name}: divisor_override must not be 0")
    x = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x  # a sum may not fit where the mean does
    x = pad(x, sides) if any(sides) else x
    for i in range(dims):
        seen = taps(x, i - dims, kernel[i], stride[i], 1)
        x = sum(seen[1:], seen[0])  # O in place of L in one dimension
    if divisor_override is not None or (not ceil_mode and (count_include_pad or not any(padding))):
        x = x / (prod(kernel) if divisor_override is None else divisor_override)
    else:
        for i in range(dims):
            start = torch.arange(count[i], device=x.device) * stride[i] - padding[i]
            beyond = padding[i] if count_include_pad else 0
            covered = (start + kernel[i]).clamp(max=sizes[i] + beyond) - start.clamp(min=-beyond)  # (O)
            x = x / covered.to(x.dtype).view(-1, *(1,) * (dims - 1 - i))
    x = x.to(input.dtype)
    return x if had_batch else x.squeeze(0)


def lp_pool1d(input: Tensor, norm_type: float, kernel_size: Ints, stride: Ints | None = None, ceil_mode: bool = False) -> Tensor:
    """`(sum over the window of x ^ p) ^ (1 / p)` for p = norm_type: between a sum (1) and, for x >= 0, a maximum (large p).

    An odd p does not take absolute values, nor does torch: a negative sum has no root and gives NaN.

    Args:
        input: (N, C, L), or (C, L) for one sample.
        norm_type: p; infinity takes the largest absolute value, minus infinity the smallest.
        kernel_size, stride, ceil_mode: as `avg_pool1d`'s.
    """
    return _lp_pool(input, norm_type, kernel_size, stride, ceil_mode, 1)


def lp_pool2d(input: Tensor, norm_type: float, kernel_size: Ints, stride: Ints | None = None, ceil_mode: bool = False) -> Tensor:
    """`lp_pool1d` over images (N, C, H, W)."""
    return _lp_pool(input, norm_type, kernel_size, stride, ceil_mode, 2)


def lp_pool3d(input: Tensor, norm_type: float, kernel_size: Ints, stride: Ints | None = None, ceil_mode: bool = False) -> Tensor:
    """`lp_pool1d` over volumes (N, C, D, H, W)."""
    return _lp_pool(input, norm_type, kernel_size, stride, ceil_mode, 3)


def _lp_pool(input: Tensor, p: float, kernel_size: Ints, stride: Ints | None, ceil_mode: bool, dims: int) -> Tensor:
    if math.isinf(p):
        sign = 1 if p > 0 else -1
        best = (max_pool1d, max_pool2d, max_pool3d)[dims - 1](sign * input.abs(), kernel_size, stride, ceil_mode=ceil_mode)
        assert isinstance(best, Tensor)  # no indices are asked for
        return sign * best
    # torch takes the mean and multiplies it by the whole window, also where a last window runs over the end
    mean = _avg_pool(input.pow(p), kernel_size, stride, 0, ceil_mode, True, None, dims)
    total = mean * prod(each(kernel_size, dims, "kernel_size", 1))
    # a root has no slope at 0, and torch gives none: the 0 there is a constant
    return torch.where(total != 0, total, 0).pow(1 / p)
