"""What every random change is: a `Step`, called as a feed calls it, that can also say where its pixels come from.

Images move and change colour; masks and boxes only move. So a step that moves pixels gives a `Grid` (`grid.py`), and images, masks and
boxes are all moved by it; one that changes colours has none.
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from rungbook.data.augment.boxes import Scene
from rungbook.data.augment.grid import Grid
from rungbook.data.feed import Augment

FLIP, ROW, COLUMN = 11, 12, 13
TURN, AFFINE, PERSPECTIVE, ZOOM = 20, 22, 30, 40
COLOUR, GREY, BLUR, NOISE = 50, 55, 60, 65
ERASE, CUTOUT = 70, 80
LAYER, TRIVIAL, MIX = 100, 190, 200
"""Streams of `draws`: one number for each random decision about a sample. A step that makes several counts on from its own, and no two
kinds of step share one: they would not be independent of each other."""


class Step:
    """A random change of stored images, the same for a sample whatever batch it comes in.

    Called as `step(x, samples, epoch, seed)`: images (B, C, H, W) and their sample numbers (B,) -> images of the same shape and type.
    """

    def __call__(self, x: Tensor, samples: Tensor, epoch: int, seed: int) -> Tensor:
        """Changed images."""
        raise NotImplementedError

    def grid(self, samples: Tensor, epoch: int, seed: int, size: tuple[int, int]) -> Grid | None:
        """Where the pixels of images of `size` (height, width) come from; None if all stay in their place."""
        return None

    def together(self, scene: Scene, samples: Tensor, epoch: int, seed: int) -> Scene:
        """Images changed, and their masks and boxes moved along."""
        images = self(scene.images, samples, epoch, seed)
        if scene.masks is None and scene.boxes is None:
            return replace(scene, images=images)
        H, W = scene.images.shape[2:]
        grid = self.grid(samples, epoch, seed, (H, W))
        return replace(scene, images=images) if grid is None else scene.moved(grid, images)


class Chain(Step):
    """Several changes, one after the other."""

    def __init__(self, *steps: Augment) -> None:
        self.steps = steps

    def __call__(self, x: Tensor, samples: Tensor, epoch: int, seed: int) -> Tensor:
        """As each step."""
        for step in self.steps:
            x = step(x, samples, epoch, seed)
        return x

    def together(self, scene: Scene, samples: Tensor, epoch: int, seed: int) -> Scene:
        """Each step's move in turn.

        Raises:
            TypeError: a step is a bare function, which cannot say where its pixels come from.
        """
        for step in self.steps:
            if not isinstance(step, Step):
                raise TypeError(f"{step!r} is no Step: it does not say where its pixels come from, so masks and boxes cannot follow")
            scene = step.together(scene, samples, epoch, seed)
        return scene

    def __repr__(self) -> str:
        return f"Chain({', '.join(map(repr, self.steps))})"
