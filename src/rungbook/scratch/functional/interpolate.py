"""Resizing: every new pixel is a weighted sum of a few old ones, along one dimension after the other.

Which old ones and with which weights is all that the modes differ in. A pixel is a small square and its place is its middle: new pixel o
lies at `(o + 1/2) L / O - 1/2` among the old ones. With align_corners pixels are points, and the outermost ones of both images coincide.

Shapes: N samples, C channels, L old sizes of the D dimensions, O new ones, K old pixels that a new one looks at.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from rungbook.scratch.functional.adaptive_pool import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d

DIMS = {
    "nearest": (1, 2, 3),
    "nearest-exact": (1, 2, 3),
    "area": (1, 2, 3),
    "linear": (1,),
    "bilinear": (2,),
    "bicubic": (2,),
    "trilinear": (3,),
}
"""Mode -> dimensions it is for."""

Sizes = int | Sequence[int] | None
Scales = float | Sequence[float] | None


def interpolate(
    input: Tensor,
    size: Sizes = None,
    scale_factor: Scales = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """Resize images, sequences or volumes.

    Args:
        input: (N, C, L...) with one to three L.
        size: new sizes.
        scale_factor: new over old size, instead of `size`; what is no whole pixel is cut off.
        mode: "nearest" (rounds places down, a half pixel off, as OpenCV once did), "nearest-exact", "linear", "bilinear", "trilinear",
            "bicubic" (Keys, 1981, with a = -3/4) or "area" (means: `adaptive_avg_pool`).
        align_corners: whether the outermost pixels' middles coincide; for the linear and cubic modes only.
        recompute_scale_factor: whether places are computed from the sizes, not from `scale_factor` (they differ if part of a pixel is cut).
        antialias: whether a pixel of a smaller image looks at all that it covers; for "bilinear" and "bicubic".

    Returns:
        (N, C, O...).

    Raises:
        RuntimeError: a size is 0.
        ValueError: both or neither of size and scale_factor, or an argument the mode does not have.
        NotImplementedError: a mode that is not for this number of dimensions; linear and cubic modes of integers.
    """
    dims = input.dim() - 2
    align_corners = _check_mode(input, mode, align_corners, antialias)
    sizes, scales = _sizes(input, size, scale_factor, recompute_scale_factor, mode)
    if mode == "area":
        return (adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d)[dims - 1](input, sizes)
    x = input
    # torch computes half precision's weights and sums in single precision
    dtype = torch.float32 if x.dtype in (torch.float16, torch.bfloat16) else x.dtype
    for dim in range(-1, -dims - 1, -1):
        old, new, scale = x.shape[dim], sizes[dim], scales[dim]
        if mode in ("nearest", "nearest-exact"):
            x = x.index_select(dim, _nearest(old, new, scale, mode == "nearest-exact", dims, x.device))  # (..., O, ...)
            continue
        step = _step(old, new, scale, align_corners)
        if antialias:
            place, weight = _covered(old, new, step, mode == "bicubic", dtype, x.device)  # (K, O)
        else:
            place, weight = (_cubic if mode == "bicubic" else _linear)(old, new, step, align_corners, dtype, x.device)  # (K, O)
        weight = weight.view(*weight.shape, *(1,) * (-dim - 1))
        seen = [x.index_select(dim, p) * w for p, w in zip(place.unbind(), weight.unbind(), strict=True)]
        x = sum(seen[1:], seen[0])  # (..., O, ...)
    return x.to(input.dtype)


def upsample(
    input: Tensor, size: Sizes = None, scale_factor: Scales = None, mode: str = "nearest", align_corners: bool | None = None
) -> Tensor:
    """`interpolate` under its older name."""
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(input: Tensor, size: Sizes = None, scale_factor: Scales = None) -> Tensor:
    """`interpolate` with mode "nearest"."""
    return interpolate(input, size, scale_factor, "nearest")


def upsample_bilinear(input: Tensor, size: Sizes = None, scale_factor: Scales = None) -> Tensor:
    """`interpolate` with mode "bilinear" and aligned corners."""
    return interpolate(input, size, scale_factor, "bilinear", True)


def _step(old: int, new: int, scale: float | None, align_corners: bool) -> float:
    """From one new pixel to the next, in old pixels."""
    if align_corners:
        return (old - 1) / (new - 1) if new > 1 else 0.0
    return old / new if scale is None else 1 / scale


def _nearest(old: int, new: int, scale: float | None, exact: bool, dims: int, device: torch.device) -> Tensor:
    """The one old pixel of each new one; in single precision, as torch, since rounding decides.

    Torch takes images of the same or twice the size for what they are, whatever scale_factor says; sequences and volumes it does not (and
    then returns the gradient as if it had: ours is that of the result).
    """
    o = torch.arange(new, device=device, dtype=torch.float32)
    step = _step(old, new, scale, False)
    if not exact and dims == 2 and new in (old, 2 * old):
        step = old / new
    return ((o + 0.5 if exact else o) * step).floor().clamp(max=old - 1).long()


def _source(old: int, new: int, step: float, align_corners: bool, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Where each new pixel lies among the old ones."""
    o = torch.arange(new, device=device, dtype=dtype)
    return o * step if align_corners else (o + 0.5) * step - 0.5


def _linear(old: int, new: int, step: float, align_corners: bool, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """The two old pixels around each place, weighted by nearness."""
    if new == old:  # torch takes each pixel for itself, also where scale_factor says otherwise
        return torch.arange(new, device=device)[None], torch.ones(1, new, device=device, dtype=dtype)
    at = _source(old, new, step, align_corners, dtype, device).clamp(min=0)
    left = at.floor().clamp(max=old - 1)
    share = (at - left).clamp(0, 1)
    return torch.stack([left, (left + 1).clamp(max=old - 1)]).long(), torch.stack([1 - share, share])  # (2, O)


def _cubic(old: int, new: int, step: float, align_corners: bool, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """The four old pixels around each place, weighted by the cubic kernel; those outside are the border's."""
    at = _source(old, new, step, align_corners, dtype, device)
    left = at.floor().clamp(max=old - 1)
    share = (at - left).clamp(0, 1)
    offsets = torch.arange(-1, 3, device=device, dtype=dtype)[:, None]
    return (left + offsets).clamp(0, old - 1).long(), keys(share - offsets, -0.75)  # (4, O)


def keys(distance: Tensor, a: float) -> Tensor:
    """Cubic convolution kernel (Keys, 1981, equation 4): two cubics that meet at distance 1, where the slope is `a`; 0 from 2 on."""
    x = distance.abs()
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return torch.where(x <= 1, near, torch.where(x < 2, far, 0))


def _covered(old: int, new: int, step: float, cubic: bool, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """All old pixels that a new one covers, when smaller images are made with the kernel as wide as the step; weights sum to 1."""
    width = max(step, 1.0)
    reach = (2.0 if cubic else 1.0) * width
    middle = (torch.arange(new, device=device, dtype=dtype) + 0.5) * step  # (O)
    first = (middle - reach + 0.5).clamp(min=0).floor()
    stop = (middle + reach + 0.5).clamp(max=old).floor()
    place = first + torch.arange(math.ceil(reach) * 2 + 1, device=device, dtype=dtype)[:, None]  # (K, O)
    distance = (place - middle + 0.5) / width
    # Pillow's cubic, which torch follows here, has a = -1/2
    weight = keys(distance, -0.5) if cubic else (1 - distance.abs()).clamp(min=0)
    weight = torch.where(place < stop, weight, 0)
    return place.clamp(max=old - 1).long(), weight / weight.sum(0)


def _check_mode(input: Tensor, mode: str, align_corners: bool | None, antialias: bool) -> bool:
    """Raise unless mode and arguments fit together; whether corners are aligned."""
    if mode not in DIMS or input.dim() - 2 not in DIMS[mode]:
        raise NotImplementedError(f"interpolate: mode {mode!r} of input {tuple(input.shape)}; it is one of {DIMS}, dimensions after (N, C)")
    copies = mode in ("nearest", "nearest-exact", "area")
    if copies and align_corners is not None:
        raise ValueError(f"interpolate: mode {mode!r} has no align_corners, found {align_corners}")
    if antialias and mode not in ("bilinear", "bicubic"):
        raise ValueError(f"interpolate: antialias is for modes 'bilinear' and 'bicubic', found {mode!r}")
    if not copies and not input.is_floating_point():
        raise NotImplementedError(f"interpolate: mode {mode!r} of {input.dtype}; convert the input to a floating type")
    return bool(align_corners)


def _sizes(input: Tensor, size: Sizes, scale_factor: Scales, recompute: bool | None, mode: str) -> tuple[list[int], Sequence[float | None]]:
    """New sizes, and the scales to compute places with (None: from the sizes)."""
    dims, old = input.dim() - 2, input.shape[2:]
    if (size is None) == (scale_factor is None):
        raise ValueError(f"interpolate: one of size and scale_factor is needed, found {size} and {scale_factor}")
    given = size if scale_factor is None else scale_factor
    values: list[Any] = list(given) if isinstance(given, tuple | list) else [given] * dims
    if len(values) != dims:
        raise ValueError(f"interpolate: {values} has {len(values)} numbers, input {tuple(input.shape)} needs {dims} or one")
    if size is not None:
        if recompute:
            raise ValueError("interpolate: recompute_scale_factor is for scale_factor, found size")
        sizes: list[int] = values
        scales: list[float | None] = [None] * dims
    else:
        sizes = [math.floor(n * scale) for n, scale in zip(old, values, strict=True)]
        scales = [None] * dims if recompute or mode == "area" else values
    if any(n < 1 for n in [*sizes, *input.shape[1:]]):
        raise RuntimeError(f"interpolate: all of input {tuple(input.shape)} but its batch, and sizes {tuple(sizes)}, must be at least 1")
    return sizes, scales
