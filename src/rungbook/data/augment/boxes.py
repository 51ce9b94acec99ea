"""What moves along with an image: its label map and its boxes.

A box (x1, y1, x2, y2) is measured in pixels between edges, so one that covers the first pixel alone is (0, 0, 1, 1). It is moved by its
corners: the result is the upright box around them, cut at the frame. Images have different numbers of boxes, so they are filled up to
the most, and `present` tells which there are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from rungbook.data.augment.grid import Grid

LEAST_SHARE, LEAST_SIDE = 0.1, 1.0
"""A moved box is dropped if less of its area, or a shorter side in pixels, is left within the frame."""


@dataclass(frozen=True)
class Scene:
    """Images with what is known of them.

    Args:
        images: (B, C, H, W).
        masks: a label for each pixel, (B, H, W) of a whole-number type.
        boxes: (B, N, 4) floats, x1, y1, x2, y2 in pixels.
        present: which of the boxes there are, (B, N); all by default.
        fill: label of pixels that come from beyond the image.
    """

    images: Tensor
    masks: Tensor | None = None
    boxes: Tensor | None = None
    present: Tensor | None = None
    fill: int = 0

    def moved(self, grid: Grid, images: Tensor) -> Scene:
        """The scene with `images` in place of its own, masks and boxes moved by the grid that moved them."""
        scene = replace(self, images=images, masks=None if self.masks is None else grid.masks(self.masks, fill=self.fill))
        if self.boxes is None:
            return scene
        boxes, present = move_boxes(self.boxes, grid, present=self.present)
        return replace(scene, boxes=boxes, present=present)


def move_boxes(
    boxes: Tensor, grid: Grid, *, present: Tensor | None = None, least_share: float = LEAST_SHARE, least_side: float = LEAST_SIDE
) -> tuple[Tensor, Tensor]:
    """Boxes where the grid moves them, and which are left.

    A mirrored copy in a reflecting edge is not the object: the box stays with the original.

    Args:
        boxes: (B, N, 4), x1, y1, x2, y2 in pixels of the source.
        grid: what moved the image.
        present: which there are, (B, N).
        least_share: of the moved box's area that must lie within the frame.
        least_side: of what lies within, in pixels.

    Returns:
        Boxes (B, N, 4), zero where there is none, and which are present, (B, N).
    """
    B, N, _ = boxes.shape
    x1, y1, x2, y2 = boxes.double().unbind(2)
    ends = torch.stack([x1, y1, x2, y1, x2, y2, x1, y2], 2).view(B, N * 4, 2)
    at = grid.points(ends).view(B, N, 4, 2)
    low, high = at.amin(2), at.amax(2)  # (B, N, 2); not a number where a corner is
    frame = torch.tensor([grid.size[1], grid.size[0]], dtype=torch.float64, device=boxes.device)
    low_in, high_in = low.clamp(min=0).minimum(frame), high.clamp(min=0).minimum(frame)
    sides = high_in - low_in
    whole = (high - low).prod(2)
    left = (sides >= least_side).all(2) & (sides.prod(2) >= least_share * whole)  # false of what is not a number
    left = left if present is None else left & present
    moved = torch.cat([low_in, high_in], 2).to(boxes.dtype)
    return moved.masked_fill(~left[:, :, None], 0), left
