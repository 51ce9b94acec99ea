"""Progressive resizing: training images start small and grow.

Howard et al. 2018 in the fast.ai entry to DAWNBench (batches of 128, 224, then 288 pixels); Karras et al. 2018 grew the network with the
pictures, here it stays. Small images cost less by the square of the side, and a network that ends in a mean over the picture takes any
size. Valid and test keep the full size.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor

from rungbook.errors import RungError, UsageError
from rungbook.learner.callback import Callback

if TYPE_CHECKING:
    from rungbook.learner.learner import Learner


class Resizing(Callback):
    """Scales training images to one size after the other; each is kept for an equal share of the epochs.

    The prepared batch is scaled, by bilinear interpolation with antialiasing; the longer side follows the shorter. Which size it is
    follows from the epoch alone, so a continued training goes on as it would have.

    Args:
        sizes: length of the images' shorter side in pixels, ascending; the last may be the images' own, which leaves them as they are.

    Raises:
        UsageError: E202 sizes that do not grow; while training: more than the images have, inputs that are no images, fewer epochs than
            sizes, a model that does not take a size.
    """

    changes_training = True
    order = -20  # before what mixes the images

    def __init__(self, sizes: Sequence[int]) -> None:
        self.sizes = tuple(sizes)
        check_sizes(self.sizes)
        self._tried = False

    def before_fit(self, learner: Learner) -> None:
        """Model and data may be others than in the last fit."""
        self._tried = False
        if learner.plan.epochs < len(self.sizes):
            message = f"{len(self.sizes)} sizes in {learner.plan.epochs} epochs: each takes one epoch or more."
            raise UsageError("E202", message, f"epochs={len(self.sizes)} or more")

    def before_batch(self, learner: Learner) -> None:
        """Scale the batch."""
        if not self._tried:
            self._try(learner)
        size = self.sizes[learner.epoch * len(self.sizes) // learner.plan.epochs]
        learner.x = resized(learner.x, size)

    def _try(self, learner: Learner) -> None:
        """Give each size to the model once, before the first hour is spent on the smaller ones."""
        x = learner.x
        if not isinstance(x, Tensor) or x.ndim != 4 or not x.is_floating_point():
            raise UsageError("E202", "Only batches of images (n, channels, height, width) can be resized.", "Leave sizes out.")
        side = min(x.shape[2:])
        if self.sizes[-1] > side:
            message = f"sizes ends with {self.sizes[-1]}, the images' shorter side has {side} pixels."
            raise UsageError("E202", message, f"Sizes up to {side}, or larger images: image_size={self.sizes[-1]}")
        for size in self.sizes:
            small = resized(x[:2], size)
            try:
                learner.predict(small)
            except (RungError, RuntimeError, ValueError, IndexError) as error:
                message = f"{type(learner.model).__name__} does not take images of {small.shape[2]} x {small.shape[3]} pixels ({error})."
                fix = "Take larger sizes, or a model that ends in a mean over the picture, as a ResNet."
                raise UsageError("E202", message, fix) from error
        self._tried = True


def check_sizes(sizes: tuple[int, ...]) -> None:
    """Raise UsageError E202 unless there are sizes, each larger than the one before it."""
    if not sizes or sizes[0] < 1 or any(b <= a for a, b in pairwise(sizes)):
        found = ",".join(map(str, sizes)) or "empty"
        raise UsageError("E202", f"sizes is {found}; images grow, from 1 pixel or more.", "sizes=96,128")


def resized(x: Tensor, size: int) -> Tensor:
    """Images (B, C, H, W) with `size` pixels on the shorter side; themselves where they have that already."""
    H, W = x.shape[2:]
    short = min(H, W)
    if size == short:
        return x
    height, width = (max(1, round(side * size / short)) for side in (H, W))
    return F.interpolate(x, (height, width), mode="bilinear", antialias=True, align_corners=False)
