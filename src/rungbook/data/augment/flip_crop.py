"""Flip and crop, the two changes that need no arithmetic on pixels and so cost little more than copying them.

Krizhevsky, Sutskever, Hinton 2012, section 4.1, used them on ImageNet; padding by 4 before the crop is He et al. 2016, section 4.2, for
CIFAR-10. Each row of a crop is a piece of one row of the padded image, so all of them are one gather of rows, copied whole; a gather of
single pixels takes half as long again.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rungbook.data import draws
from rungbook.data.augment.grid import Grid
from rungbook.data.augment.pixels import where
from rungbook.data.augment.step import COLUMN, FLIP, ROW, Step


class FlipCrop(Step):
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

    def _draw(self, samples: Tensor, epoch: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
        """Whether each sample is mirrored, and by how many rows and columns its crop is off the middle; (B,) each."""
        u = draws.uniform(seed, epoch, (FLIP, ROW, COLUMN), samples)
        down, right = (u[1:] * (2 * self.padding + 1)).long() - self.padding
        return u[0] < (0.5 if self.flip else 0.0), down, right

    def __call__(self, x: Tensor, samples: Tensor, epoch: int, seed: int) -> Tensor:
        """Stored images (B, C, H, W), any type, and their sample numbers (B,) -> changed images of the same shape and type."""
        B, C, H, W = x.shape
        p = self.padding
        if self.mode == "reflect" and p >= min(H, W):
            raise ValueError(f"reflecting {p} pixels needs images larger than that, these are {H}x{W}")
        if not x.numel():
            return x
        mirrored, down, right = self._draw(samples.to(x.device), epoch, seed)
        if not p:
            return where(mirrored, x.flip(3), x)
        order = mirrored.int().argsort()  # those to mirror are the last, so that they are mirrored in one piece
        wide = _widened(x.index_select(0, order), B - int(mirrored.sum()), p, self.mode)
        up, width = _windows(H, p, self.mode, x.device)[down + p], W + 2 * p  # (B, H): which row each row of the crop shows
        begin = (order.argsort() * C * H * width + right + p)[:, None] + up * width  # (B, H): where it begins in the first channel
        start = begin[:, None] + torch.arange(C, device=x.device)[:, None] * (H * width)
        if self.mode == "zero":
            start = start.where(_inside(down, H)[:, None], wide.numel() - W)
        return wide.unfold(0, W, 1).index_select(0, start.view(-1)).view(B, C, H, W)

    def grid(self, samples: Tensor, epoch: int, seed: int, size: tuple[int, int]) -> Grid:
        """Where the pixels come from: whole rows and columns away."""
        mirrored, down, right = self._draw(samples, epoch, seed)
        matrix = torch.eye(3, dtype=torch.float64, device=samples.device).repeat(len(samples), 1, 1)
        matrix[:, 0, 0] = torch.where(mirrored, -1.0, 1.0)
        matrix[:, 0, 2] = torch.where(mirrored, size[1] - right, right)
        matrix[:, 1, 2] = down
        return Grid(matrix, size, size, edge=self.mode)

    def __repr__(self) -> str:
        return f'FlipCrop(flip={self.flip}, padding={self.padding}, mode="{self.mode}")'


def _widened(x: Tensor, plain: int, padding: int, mode: str) -> Tensor:
    """The images, those after the first `plain` mirrored, with padding left and right: pixel after pixel, and a row of black at the end."""
    B, C, H, W = x.shape
    flat = x.new_empty(B * C * H * (W + 2 * padding) + W)
    flat[-W:] = 0
    wide = flat[:-W].view(B, C, H, W + 2 * padding)
    middle = wide[..., padding : padding + W]
    middle[:plain], middle[plain:] = x[:plain], x[plain:].flip(3)
    if mode == "zero":
        wide[..., :padding] = wide[..., padding + W :] = 0
        return flat
    for j in range(padding):  # column by column: mirroring a few columns at once is slower
        wide[..., padding - 1 - j], wide[..., padding + W + j] = middle[..., 1 + j], middle[..., W - 2 - j]
    return flat


def _windows(size: int, padding: int, mode: str, device: torch.device) -> Tensor:
    """The rows that each place of the crop shows: (2 padding + 1, size), the first a `padding` before the image's own.

    Beyond the edge the image is mirrored at its outermost pixel, or held there (what is black is not looked up).
    """
    at = torch.arange(-padding, size + padding, device=device)
    into = size - 1 - (size - 1 - at.abs()).abs() if mode == "reflect" else at.clamp(0, size - 1)
    return into.unfold(0, size, 1)


def _inside(shift: Tensor, size: int) -> Tensor:
    """Which rows of a crop that is shifted by so much (B,) lie in the image; bool, (B, size)."""
    at = torch.arange(size, device=shift.device) + shift[:, None]
    return (at >= 0) & (at < size)
