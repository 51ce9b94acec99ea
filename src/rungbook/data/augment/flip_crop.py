"""Flip and crop, the two changes that need no arithmetic on pixels and so cost little more than copying them.

Krizhevsky, Sutskever, Hinton 2012, section 4.1, used them on ImageNet; padding by 4 before the crop is He et al. 2016, section 4.2, for
CIFAR-10. Both are "which pixel goes where", so together they are one gather.
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
        mirrored, down, right = self._draw(samples, epoch, seed)
        if not p:
            return where(mirrored, x.flip(3), x)
        rows, columns = (_windows(size, p, self.mode, x.device) for size in (H, W))
        columns = torch.cat([columns, W - 1 - columns])  # the windows of the mirror image behind those of the image
        up, across = rows[down + p], columns[right + p + mirrored * (2 * p + 1)]  # (B, H) and (B, W): where each row and column comes from
        source = ((up * W)[:, :, None] + across[:, None]).view(B, 1, H * W).expand(B, C, H * W)
        out = x.reshape(B, C, H * W).gather(2, source).view(B, C, H, W)
        if self.mode == "reflect":
            return out
        inside = _inside(down, H)[:, :, None] & _inside(right, W)[:, None]  # (B, H, W)
        return out.mul_(inside[:, None])

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


def _windows(size: int, padding: int, mode: str, device: torch.device) -> Tensor:
    """The rows or columns that each place of the crop shows: (2 padding + 1, size), the first a `padding` before the image's own.

    Beyond the edge the image is mirrored at its outermost pixel, or held there (black overwrites it).
    """
    at = torch.arange(-padding, size + padding, device=device)
    into = size - 1 - (size - 1 - at.abs()).abs() if mode == "reflect" else at.clamp(0, size - 1)
    return into.unfold(0, size, 1)


def _inside(shift: Tensor, size: int) -> Tensor:
    """Which rows or columns of a crop that is shifted by so much (B,) lie in the image; bool, (B, size)."""
    at = torch.arange(size, device=shift.device) + shift[:, None]
    return (at >= 0) & (at < size)
