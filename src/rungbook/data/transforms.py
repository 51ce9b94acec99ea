"""Random changes of training images, on stored uint8 batches, each draw keyed by (seed, epoch, sample).

A flip and a crop are both "which pixel goes where", so together they are one gather. Krizhevsky, Sutskever, Hinton 2012, section 4.1,
used them on ImageNet; padding by 4 before the crop is He et al. 2016, section 4.2, for CIFAR-10.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rungbook.data import draws
from rungbook.data.feed import Augment
from rungbook.errors import UsageError, did_you_mean

FLIP, ROW, COLUMN = 11, 12, 13
"""Streams of `draws`: one number for each random decision about a sample."""


class FlipCrop:
    """Mirror half of the images left to right, then cut each out of its padded self at a random place.

    Args:
        flip: whether to mirror.
        padding: pixels added on each side before the crop; 0 leaves the place as it is.
        mode: what is in the padding: "reflect" (the image's own edge, mirrored) or "zero" (black).

    Raises:
        ValueError: the mode is unknown or the padding negative; when called: reflecting needs more pixels than the padding has.
    """

    def __init__(self, *, flip: bool = True, padding: int = 4, mode: str = "reflect") -> None:
        if mode not in ("reflect", "zero") or padding < 0:
            raise ValueError(f'padding is {padding} with mode "{mode}"; it must be 0 or more, the mode "reflect" or "zero"')
        self.flip, self.padding, self.mode = flip, padding, mode

    def __call__(self, x: Tensor, samples: Tensor, epoch: int, seed: int) -> Tensor:
        """Stored images (B, C, H, W), any type, and their sample numbers (B,) -> changed images of the same shape and type."""
        B, C, H, W = x.shape
        if self.mode == "reflect" and self.padding >= min(H, W):
            raise ValueError(f"reflecting {self.padding} pixels needs images larger than that, these are {H}x{W}")
        row = torch.arange(H, device=x.device).expand(B, H)  # (B, H): where each row of the result comes from
        column = torch.arange(W, device=x.device).expand(B, W)  # (B, W)
        if self.padding:
            places = 2 * self.padding + 1
            row = row + (draws.integers(seed, epoch, ROW, samples, places) - self.padding)[:, None]
            column = column + (draws.integers(seed, epoch, COLUMN, samples, places) - self.padding)[:, None]
        outside = self.padding and self.mode == "zero"
        inside = ((row >= 0) & (row < H))[:, :, None] & ((column >= 0) & (column < W))[:, None, :] if outside else None  # (B, H, W)
        row, column = _into(row, H, self.mode), _into(column, W, self.mode)
        if self.flip:
            mirrored = draws.uniform(seed, epoch, FLIP, samples) < 0.5
            column = torch.where(mirrored[:, None], W - 1 - column, column)
        where = (row[:, :, None] * W + column[:, None, :]).reshape(B, 1, H * W).expand(B, C, H * W)
        out = x.reshape(B, C, H * W).gather(2, where).reshape(B, C, H, W)
        return out if inside is None else out * inside[:, None]

    def __repr__(self) -> str:
        return f'FlipCrop(flip={self.flip}, padding={self.padding}, mode="{self.mode}")'


def _into(place: Tensor, size: int, mode: str) -> Tensor:
    """Places beyond the edge, back inside: mirrored at the edge pixel, or held there (a zero padding overwrites them)."""
    if mode == "zero":
        return place.clamp(0, size - 1)
    place = place.abs()
    return torch.where(place >= size, 2 * (size - 1) - place, place)


class Chain:
    """Several changes, one after the other."""

    def __init__(self, *steps: Augment) -> None:
        self.steps = steps

    def __call__(self, x: Tensor, samples: Tensor, epoch: int, seed: int) -> Tensor:
        """As each step."""
        for step in self.steps:
            x = step(x, samples, epoch, seed)
        return x

    def __repr__(self) -> str:
        return f"Chain({', '.join(map(repr, self.steps))})"


NAMES = ("none", "flip", "crop", "flip_crop")
"""What `augment=` may be called."""


def named_augment(name: str | Augment | None, height: int, width: int) -> Augment | None:
    """The change called `name`, for images of the given size; the crop is padded by an eighth of the shorter side (4 of CIFAR's 32).

    Raises:
        UsageError: E201 there is none of that name.
    """
    if name is None or callable(name):
        return name
    if name not in NAMES:
        raise UsageError("E201", f'There is no augmentation called "{name}".', did_you_mean(name, NAMES, "augment={}"))
    if name == "none":
        return None
    padding = max(1, min(height, width) // 8) if "crop" in name and min(height, width) > 1 else 0
    return FlipCrop(flip="flip" in name, padding=padding)
