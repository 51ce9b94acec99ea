"""Reading an image at any places: spatial transformers (Jaderberg et al., 2015), optical flow, warping.

Places are given in the image's own measure, from -1 (left, top) to 1 (right, bottom). With align_corners these are the middles of the
outermost pixels, without it their outer edges.

Shapes: N samples, C channels, L sizes of the D dimensions (D is 2 or 3), O sizes of the result.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import torch
from torch import Tensor

from rungbook.scratch.functional.interpolate import keys


def affine_grid(theta: Tensor, size: Sequence[int], align_corners: bool | None = None) -> Tensor:
    """Places of a grid under an affine map: `theta @ (x, y, 1)`.

    Args:
        theta: (N, D, D + 1).
        size: (N, C, O...) of the result wanted.
        align_corners: whether -1 and 1 are the outermost pixels' middles.

    Returns:
        (N, O..., D), for `grid_sample`.

    Raises:
        ValueError: theta is not of a floating type, or its shape does not fit the size.
        RuntimeError: theta has another N.
        NotImplementedError: size has neither 4 nor 5 numbers.
    """
    if not theta.is_floating_point():
        raise ValueError(f"affine_grid: theta must be of a floating type, found {theta.dtype}")
    dims = len(size) - 2
    if dims not in (2, 3):
        raise NotImplementedError(f"affine_grid: size {tuple(size)} must have 4 numbers, or 5 for volumes")
    if theta.dim() != 3 or theta.shape[1:] != (dims, dims + 1) or min(size) < 1:
        raise ValueError(f"affine_grid: theta {tuple(theta.shape)} must be {(size[0], dims, dims + 1)} for a size {tuple(size)} above 0")
    if theta.shape[0] != size[0]:
        raise RuntimeError(f"affine_grid: theta {tuple(theta.shape)} has {theta.shape[0]} maps, size {tuple(size)} has {size[0]} samples")
    lines = []
    for n in size[2:]:
        o = torch.arange(n, device=theta.device, dtype=theta.dtype)
        lines.append((2 * o / (n - 1) - 1 if n > 1 else o) if align_corners else (2 * o + 1) / n - 1)
    places = torch.meshgrid(*lines, indexing="ij")
    ones = torch.ones_like(places[0])
    base = torch.stack([*reversed(places), ones], -1)  # (O..., D + 1), x first
    grid = base.view(1, -1, dims + 1) @ theta.mT  # (N, prod O, D)
    return grid.view(size[0], *size[2:], dims)  # (N, O..., D)


def grid_sample(
    input: Tensor, grid: Tensor, mode: str = "bilinear", padding_mode: str = "zeros", align_corners: bool | None = None
) -> Tensor:
    """The input at the places of a grid, between its pixels by interpolation.

    Args:
        input: (N, C, L...), two or three L.
        grid: (N, O..., D), x before y before z, from -1 to 1.
        mode: "bilinear" (also for volumes), "nearest", or "bicubic" (images only).
        padding_mode: what is outside: "zeros", "border" (its nearest pixel) or "reflection" (the mirror image).
        align_corners: whether -1 and 1 are the outermost pixels' middles.

    Returns:
        (N, C, O...).

    Raises:
        ValueError: an unknown mode or padding mode.
        RuntimeError: shapes or dtypes that do not fit, or an empty image.
    """
    _check(input, grid, mode, padding_mode)
    sizes = list(input.shape[2:])
    align = bool(align_corners)
    # x is the last dimension of an image and the first number of a place
    at = [_pixel(c, n, align) for c, n in zip(grid.unbind(-1), reversed(sizes), strict=True)][::-1]  # D times (N, O...)
    if mode != "bicubic":
        at = [_outside(c, n, padding_mode, align) for c, n in zip(at, sizes, strict=True)]
    if mode == "nearest":
        return _read(input, [c.round() for c in at], padding_mode, align)
    lefts = [c.floor() for c in at]
    shares = [c - left for c, left in zip(at, lefts, strict=True)]
    offsets = (-1, 0, 1, 2) if mode == "bicubic" else (0, 1)
    total = torch.zeros((), device=input.device, dtype=input.dtype)
    for ks in product(offsets, repeat=len(sizes)):
        weight = torch.ones_like(shares[0])  # (N, O...)
        for share, k in zip(shares, ks, strict=True):
            near = share if k else 1 - share  # bilinear: the nearer of two pixels counts more
            weight = weight * (keys(share - k, -0.75) if mode == "bicubic" else near)
        seen = _read(input, [left + k for left, k in zip(lefts, ks, strict=True)], padding_mode, align)  # (N, C, O...)
        total = total + seen * weight.unsqueeze(1)
    return total


def _pixel(place: Tensor, size: int, align_corners: bool) -> Tensor:
    """From [-1, 1] to pixels."""
    return (place + 1) / 2 * (size - 1) if align_corners else ((place + 1) * size - 1) / 2


def _outside(at: Tensor, size: int, padding_mode: str, align_corners: bool) -> Tensor:
    """A place outside moved to the one inside whose value it has."""
    if padding_mode == "zeros":
        return at
    if padding_mode == "reflection":
        low, span = (0.0, size - 1) if align_corners else (-0.5, size)
        if span == 0:
            return torch.zeros_like(at)
        away = (at - low).abs()
        turns, rest = (away / span).floor(), away.fmod(span)
        at = torch.where(turns % 2 == 0, rest, span - rest) + low
    return at.clamp(0, size - 1)


def _read(input: Tensor, at: list[Tensor], padding_mode: str, align_corners: bool) -> Tensor:
    """Pixels at whole places, each (N, O...)."""
    sizes = input.shape[2:]
    inside = torch.ones_like(at[0], dtype=torch.bool)
    flat = torch.zeros_like(at[0], dtype=torch.int64)
    for c, n in zip(at, sizes, strict=True):
        moved = _outside(c.detach(), n, padding_mode, align_corners)
        inside = inside & (moved >= 0) & (moved <= n - 1)  # NaN is not inside
        flat = flat * n + torch.where(inside, moved, 0).long()
    index = flat.flatten(1).unsqueeze(1).expand(-1, input.shape[1], -1)  # (N, C, prod O)
    seen = input.flatten(2).gather(2, index).view(*input.shape[:2], *flat.shape[1:])  # (N, C, O...)
    return torch.where(inside.unsqueeze(1), seen, 0)


def _check(input: Tensor, grid: Tensor, mode: str, padding_mode: str) -> None:
    """Raise where torch does."""
    if mode not in ("bilinear", "nearest", "bicubic"):
        raise ValueError(f"grid_sample: mode {mode!r} is none of bilinear, nearest, bicubic")
    if padding_mode not in ("zeros", "border", "reflection"):
        raise ValueError(f"grid_sample: padding_mode {padding_mode!r} is none of zeros, border, reflection")
    dims = input.dim() - 2
    if dims not in (2, 3) or grid.dim() != input.dim() or grid.shape[-1] != dims or grid.shape[0] != input.shape[0]:
        raise RuntimeError(f"grid_sample: input {tuple(input.shape)} (N, C, L...) and grid {tuple(grid.shape)} (N, O..., D) do not fit")
    if mode == "bicubic" and dims == 3:
        raise RuntimeError(f"grid_sample: mode 'bicubic' is for images (N, C, H, W), input is {tuple(input.shape)}")
    if input.dtype != grid.dtype or 0 in input.shape[2:]:
        raise RuntimeError(
            f"grid_sample: input {tuple(input.shape)} is {input.dtype}, grid {grid.dtype}; they must be the same, and not empty"
        )
