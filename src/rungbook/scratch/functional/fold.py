"""Windows of an image as columns, and columns added up to an image: what a convolution does before, and after, its matrix product."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from torch import Tensor

from rungbook.scratch.functional.pad import pad
from rungbook.scratch.functional.spatial import batched, check_pool, each, gather, overlap_add, strided
from rungbook.scratch.tensor.windows import windows_out

Ints = int | Sequence[int]


def unfold(input: Tensor, kernel_size: Ints, dilation: Ints = 1, padding: Ints = 0, stride: Ints = 1) -> Tensor:
    """Every window of an image as a column: im2col.

    Args:
        input: (N, C, H, W), or (C, H, W) for one image.
        kernel_size: K of a window, one number or two.
        dilation: from one element of a window to the next.
        padding: zeros on all sides.
        stride: from one window to the next.

    Returns:
        (N, C * K * K', P) or (C * K * K', P), P the number of windows, row by row.

    Raises:
        RuntimeError: no window fits, or a number out of range.
    """
    x, had_batch = check_pool(input, 2, "unfold")
    kernel, dilation = each(kernel_size, 2, "kernel_size", 1), each(dilation, 2, "dilation", 1)
    padding, stride = each(padding, 2, "padding", 0), each(stride, 2, "stride", 1)
    places = _places(x.shape[2:], kernel, dilation, padding, stride, "unfold")
    x = pad(x, [padding[1], padding[1], padding[0], padding[0]]) if any(padding) else x
    columns = gather(x.reshape(-1, 1, *x.shape[2:]), kernel, stride, dilation)  # (N C, K, K', 1, P, P')
    # windows side by side are a view of the input, and the result is not to be one
    columns = columns.clone() if kernel == stride else columns
    out = columns.reshape(x.shape[0], x.shape[1] * prod(kernel), prod(places))  # (N, C K K', P)
    return out if had_batch else out.squeeze(0)


def fold(input: Tensor, output_size: Ints, kernel_size: Ints, dilation: Ints = 1, padding: Ints = 0, stride: Ints = 1) -> Tensor:
    """Columns put back as windows of an image and added up where they overlap: the adjoint of `unfold`, not its inverse.

    Args:
        input: (N, C * K * K', P), or without N.
        output_size: (H, W) of the image.
        kernel_size, dilation, padding, stride: those of the `unfold` that makes P columns of such an image.

    Returns:
        (N, C, H, W) or (C, H, W).

    Raises:
        RuntimeError: the number of rows or columns does not fit, or a number is out of range.
    """
    sizes, kernel = each(output_size, 2, "output_size", 1), each(kernel_size, 2, "kernel_size", 1)
    dilation, padding, stride = each(dilation, 2, "dilation", 1), each(padding, 2, "padding", 0), each(stride, 2, "stride", 1)
    x, had_batch = batched(input, 1, "fold")
    if x.shape[1] % prod(kernel):
        raise RuntimeError(
            f"fold: input {tuple(input.shape)} has {x.shape[1]} rows, kernel_size {kernel} needs a multiple of {prod(kernel)}"
        )
    places = _places(sizes, kernel, dilation, padding, stride, "fold")
    if x.shape[2] != prod(places):
        raise RuntimeError(f"fold: input {tuple(input.shape)} has {x.shape[2]} columns, {places} = {prod(places)} windows fit into {sizes}")
    N, C = x.shape[0], x.shape[1] // prod(kernel)
    padded = [n + 2 * p for n, p in zip(sizes, padding, strict=True)]
    image = overlap_add(x.reshape(N * C, *kernel, 1, *places), padded, stride, dilation)  # (N C, 1, H + 2p, W + 2p')
    for i in range(2):
        image = strided(image, i - 2, padding[i], sizes[i], 1)  # (N C, 1, H, W)
    out = image.reshape(N, C, *sizes)  # (N, C, H, W)
    return out if had_batch else out.squeeze(0)


def _places(
    sizes: Sequence[int], kernel: Sequence[int], dilation: Sequence[int], padding: Sequence[int], stride: Sequence[int], name: str
) -> list[int]:
    """How many windows fit in each dimension, at least one."""
    places = [windows_out(n + 2 * p, k, s, d) for n, k, d, p, s in zip(sizes, kernel, dilation, padding, stride, strict=True)]
    if any(n < 1 for n in places):
        raise RuntimeError(
            f"{name}: a window {tuple(kernel)} of dilation {tuple(dilation)} does not fit into {tuple(sizes)} with padding {tuple(padding)}"
        )
    return places
