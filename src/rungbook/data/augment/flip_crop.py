"""Flip and crop, the two changes that need no arithmetic on pixels and so cost little more than copying them.

Krizhevsky, Sutskever, Hinton 2012, section 4.1, used them on ImageNet; padding by 4 before the crop is He et al. 2016, section 4.2, for
CIFAR-10. A row of the result is a run of neighbouring pixels in a row of the image that has its own continuation and its mirror
image beside it, so a batch is one `index_select` over runs, which costs less than a gather pixel by pixel.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rungbook.data import draws
from rungbook.data.augment.grid import Grid
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
        strips, first, turned = self._strips(x)
        wide = strips.shape[3]
        row = torch.arange(H, device=x.device) + down[:, None]  # (B, H): where each row of the result comes from
        inside = H - 1 - (H - 1 - row.abs()).abs() if self.mode == "reflect" else row.clamp(0, H - 1)
        column = first + turned * mirrored + right + torch.arange(B, device=x.device) * (C * H * wide)
        start = (inside * wide + column[:, None])[:, None] + torch.arange(C, device=x.device)[:, None] * (H * wide)  # (B, C, H)
        out = strips.view(-1).unfold(0, W, 1).index_select(0, start.view(-1)).view(B, C, H, W)
        return out.mul_((row == inside)[:, None, :, None]) if p and self.mode == "zero" else out

    def _strips(self, x: Tensor) -> tuple[Tensor, int, int]:
        """Each row with all that a window on it may show, where the row begins, and how far from there its mirror image does.

        A reflected row goes there and back again, 0 1 2 3 2 1 0 1, so its mirror image is part of it: 3 2 1 0.
        """
        p, last = self.padding, x.shape[3] - 1
        back = x.flip(3)
        if self.mode == "zero":
            black = x.new_zeros(1).expand(*x.shape[:3], p)
            return torch.cat([black, x, black, *([back, black] if self.flip else [])], 3), p, p + last + 1
        beyond = [back[..., 1:], x[..., 1 : p + 1]] if self.flip else [back[..., 1 : p + 1]]
        return torch.cat([back[..., last - p : last], x, *beyond], 3), p, last

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
