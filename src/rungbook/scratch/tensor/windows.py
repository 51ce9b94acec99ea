"""Sliding windows by strides: what a convolution or a pooling looks at, laid out without copying a single number.

A window's place and the place within a window both move through the same memory, only by different steps: if going one right costs s
elements, then the next window is `stride * s` further and the next element of a window is `dilation * s` further. So every window is there
already, and a view with twice the dimensions shows them all. Written out as a matrix this is im2col (Chellapilla et al., 2006).

Shapes: * leading dimensions (as N, C), L sizes of the D dimensions slid over, K sizes of the window,
O = (L - dilation (K - 1) - 1) // stride + 1 windows.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor


def _each(value: int | Sequence[int], dims: int, name: str) -> tuple[int, ...]:
    """One number for each dimension."""
    values = (value,) * dims if isinstance(value, int) else tuple(value)
    if len(values) != dims:
        raise ValueError(f"{name} {values} has {len(values)} numbers, the window has {dims} dimensions")
    if any(v < 1 for v in values):
        raise ValueError(f"{name} {values} must be at least 1 in every dimension")
    return values


def windows_out(size: int, kernel_size: int, stride: int = 1, dilation: int = 1) -> int:
    """How many windows fit along one dimension: `(size - dilation * (kernel_size - 1) - 1) // stride + 1`, less than 1 if none does."""
    return (size - dilation * (kernel_size - 1) - 1) // stride + 1


def windows(x: Tensor, kernel_size: int | Sequence[int], stride: int | Sequence[int] = 1, dilation: int | Sequence[int] = 1) -> Tensor:
    """All windows of the last dimensions of a tensor, as a view: `out[..., o, k] = x[..., o * stride + k * dilation]`.

    Args:
        x: (*, L...), of any strides; padding is the caller's.
        kernel_size: K, its length says how many of the last dimensions are slid over; a number means one.
        stride: from one window to the next, in elements.
        dilation: from one element of a window to the next, in elements.

    Returns:
        (*, O..., K...), sharing x's memory: windows overlap, so write to it only if they do not.

    Raises:
        ValueError: x has fewer dimensions than the window, or a number is below 1.
        RuntimeError: a window does not fit.
    """
    kernel = (kernel_size,) if isinstance(kernel_size, int) else tuple(kernel_size)
    dims = len(kernel)
    kernel = _each(kernel, dims, "kernel_size")
    stride, dilation = _each(stride, dims, "stride"), _each(dilation, dims, "dilation")
    if x.dim() < dims:
        raise ValueError(f"x {tuple(x.shape)} has {x.dim()} dimensions, a window {kernel} needs at least {dims}")
    first = x.dim() - dims
    lead, sizes = x.shape[:first], x.shape[first:]
    out = tuple(windows_out(n, k, s, d) for n, k, s, d in zip(sizes, kernel, stride, dilation, strict=True))
    if any(o < 1 for o in out):
        spans = tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True))
        raise RuntimeError(f"a window {kernel} with dilation {dilation} spans {spans} and does not fit into {tuple(sizes)}")
    steps = x.stride()
    between = tuple(step * s for step, s in zip(steps[first:], stride, strict=True))
    within = tuple(step * d for step, d in zip(steps[first:], dilation, strict=True))
    return x.as_strided((*lead, *out, *kernel), (*steps[:first], *between, *within))  # (*, O..., K...)
