"""Pictures of what augmentation does: operations by strength, and steps as training draws them, masks and boxes along with the image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from rungbook.data.augment.boxes import Scene
from rungbook.data.augment.named import named_augment
from rungbook.data.augment.policy import OPERATIONS, AugMix, OneOf
from rungbook.data.augment.step import Chain, Step
from rungbook.plot.augment import View, view_grid
from rungbook.plot.style import Picture, number


def operations_picture(image: Tensor, names: Sequence[str] = (), *, strengths: Sequence[float] = (0.25, 0.5, 0.75, 1.0)) -> Picture:
    """Each operation of `OPERATIONS` at several strengths.

    Args:
        image: (C, H, W) uint8.
        names: which operations; all by default.
        strengths: from 0, which leaves the image, to 1; operations that have none are shown once.
    """
    rows = {"as it is": [View(image)]}
    for name in names or [name for name in OPERATIONS if name != "identity"]:
        of_it = strengths if OPERATIONS[name].least != OPERATIONS[name].most else strengths[-1:]
        changed = [OneOf((name,), low=s, high=s)(image[None], torch.zeros(1, dtype=torch.int64), 0, 0)[0] for s in of_it]
        titles = [number(s) for s in of_it] if len(of_it) > 1 else [""]
        rows[name] = [View(one, title=title) for one, title in zip(changed, titles, strict=True)]
    return view_grid(rows)


def steps_picture(
    image: Tensor,
    names: Sequence[str],
    *,
    mask: Tensor | None = None,
    boxes: Tensor | None = None,
    draws: int = 6,
    seed: int = 0,
) -> Picture:
    """An image as it comes in several epochs under each augmentation, its mask and boxes moved along.

    Args:
        image: (C, H, W) uint8.
        names: as `augment=` takes them.
        mask: a label for each pixel, (H, W).
        boxes: (N, 4), x1, y1, x2, y2 in pixels.
        draws: epochs shown.
        seed: of the draws.
    """
    H, W = image.shape[1:]
    scene = Scene(image[None], None if mask is None else mask[None], None if boxes is None else boxes[None])
    rows = {"as it is": [View(image, mask, boxes)]}
    for name in names:
        step = named_augment(name, H, W)
        assert isinstance(step, Step)
        start = Scene(image[None]) if _mixes(step) else scene
        rows[name] = [_view(step.together(start, torch.zeros(1, dtype=torch.int64), epoch, seed)) for epoch in range(draws)]
    return view_grid(rows)


def _mixes(step: object) -> bool:
    """Whether a step lays several moved images over each other, so that masks and boxes cannot follow."""
    return isinstance(step, AugMix) or (isinstance(step, Chain) and any(map(_mixes, step.steps)))


def _view(scene: Scene) -> View:
    boxes = scene.boxes
    if boxes is not None and scene.present is not None:
        boxes = boxes[:, scene.present[0]]
    return View(scene.images[0], None if scene.masks is None else scene.masks[0], None if boxes is None else boxes[0])
