"""Moves between channels and pixels, and among channels: nothing is computed, only rearranged."""

from __future__ import annotations

import torch
from torch import Tensor


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """r * r channels become r * r pixels of one: the last step of sub-pixel convolution (Shi et al., 2016).

    Args:
        input: (*, C * r * r, H, W).
        upscale_factor: r.

    Returns:
        (*, C, H * r, W * r).

    Raises:
        RuntimeError: the channels are no multiple of r * r.
    """
    r = upscale_factor
    if input.dim() < 3 or r < 1 or input.shape[-3] % (r * r):
        raise RuntimeError(f"pixel_shuffle: input {tuple(input.shape)} needs (*, C, H, W) with C a multiple of upscale_factor {r} squared")
    *lead, C, H, W = input.shape
    x = input.reshape(*lead, C // (r * r), r, r, H, W)
    x = x.movedim((-4, -3), (-3, -1))  # (*, C, H, r, W, r)
    return _copy(x).view(*lead, C // (r * r), H * r, W * r)  # (*, C, H r, W r)


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """r * r neighbouring pixels become channels: `pixel_shuffle` undone.

    Args:
        input: (*, C, H * r, W * r).
        downscale_factor: r.

    Returns:
        (*, C * r * r, H, W).

    Raises:
        RuntimeError: height or width is no multiple of r.
    """
    r = downscale_factor
    if input.dim() < 3 or r < 1 or input.shape[-2] % r or input.shape[-1] % r:
        raise RuntimeError(f"pixel_unshuffle: input {tuple(input.shape)} needs (*, C, H, W) with H and W multiples of downscale_factor {r}")
    *lead, C, H, W = input.shape
    x = input.reshape(*lead, C, H // r, r, W // r, r)
    x = x.movedim((-3, -1), (-4, -3))  # (*, C, r, r, H, W)
    return _copy(x).view(*lead, C * r * r, H // r, W // r)  # (*, C r r, H, W)


def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """Channels dealt out like cards, so that every group of the next layer sees one of each group: ShuffleNet (Zhang et al., 2018).

    Args:
        input: (N, C, *).
        groups: G, divides C.

    Returns:
        (N, C, *): channel `c * G + g` is what was `g * C / G + c`.

    Raises:
        RuntimeError: G does not divide C, or the input has no dimensions after C.
    """
    if input.dim() < 3 or groups < 1 or input.shape[1] % groups:
        raise RuntimeError(f"channel_shuffle: input {tuple(input.shape)} needs (N, C, *) with C a multiple of groups {groups}")
    return _copy(input.unflatten(1, (groups, -1)).transpose(1, 2)).flatten(1, 2)  # (N, C, *)


def _copy(x: Tensor) -> Tensor:
    """In order in memory, and never the input itself: who writes on the result means only that."""
    return x.clone(memory_format=torch.contiguous_format)
