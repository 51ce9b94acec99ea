"""Photographs in folders: from files somebody has to a model, through the code that reads any folder of images.

The courses' two faults in it are these. In one notebook (FEATURES S0-1) train and valid share one dataset object, so that setting the plain
transform for valid takes the flips from train as well; in the others (S0-2) one transform with a random flip serves both, so that valid is
another set every epoch. Here random changes belong to the feed of the train split alone (`data/feed.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from rungbook.data.data import Data
from rungbook.data.load import is_path
from rungbook.data.worlds.registry import is_world, make_world
from rungbook.errors import UsageError
from rungbook.recipes.recipe import Changes, Recipe, augmentation, recipe
from rungbook.recipes.settings import FOLDER, Count, NotBelow, Rate, Share, Widths

KNOWN = ("accuracy", "balanced_accuracy", "log_loss")
"""Limits of a world of images that speak of its classes; others are of boxes and masks."""

WORLD_SIDE = 32
"""Pixels at which a world's pictures are read: its shapes are plain enough."""


@recipe("image_folder")
@dataclass(frozen=True, kw_only=True)
class Photos(Recipe):
    """Photographs in a folder for each class, of all sizes, some broken, some there twice: convolutions, random flip and crop.

    Offline a world's pictures are written as files first and read like anybody's, at 32 pixels; `data=dogs-vs-cats` are photographs,
    `data=FOLDER` your own, both at up to 48 unless `image_size` says otherwise. The courses read 24,931 of the 25,000
    dogs and cats, keep 2,494 for valid and none for test. Settings are those of `rung train FOLDER`, chosen on valid, with fewer steps: of
    1,399 dogs and cats 600 gave a valid loss of 0.469, 1,300 one of 0.457 (one seed).
    """

    covers: ClassVar[tuple[str, ...]] = ("D01",)
    real: ClassVar[tuple[str, ...]] = ("data=dogs-vs-cats test=0.2 steps=1000",)
    fits: ClassVar[tuple[str, ...]] = ("world:shapes", "dogs-vs-cats", FOLDER)
    data: str = "world:shapes(n=800, side=48, channels=3, flip=0.05)"
    model: str = "conv_net"
    batch_size: Count = 32
    lr: Rate = 2e-3
    weight_decay: NotBelow = 0.05
    steps: Count = 300
    dropout: Share = 0.3
    ema: Share | None = 0.99
    widths: Widths = (16, 32, 64, 128)
    augment: Changes | None = True

    def check(self) -> None:
        """Refuse a file besides what `Recipe.check` refuses. Raises UsageError E116."""
        super().check()
        if is_path(self.data):
            from pathlib import Path

            from rungbook.data.load import as_word, existing

            path = existing(Path(self.data))
            if not path.is_dir():
                raise UsageError("E116", f"{path} is a file; image_folder reads a folder.", f"rung train {as_word(path)}")

    def source_options(self) -> dict[str, Any]:
        """Size and augmentation."""
        size = self.image_size or (WORLD_SIDE if is_world(self.data) else None)
        return {"image_size": size, "augment": augmentation(self.augment)}

    def load(self) -> Data:
        """The folder of a world's pictures, the named set, or the folder that was said."""
        if not is_world(self.data):
            return super().load()
        from rungbook.data.folder import folder_data
        from rungbook.data.photos import picture_folder

        world = make_world(self.data)
        shares: dict[str, Any] = {"valid": self.valid, "test": self.test, "seed": self.seed, "batch_size": self.batch_size}
        data = folder_data(picture_folder(world, self.seed), **shares, workers=self.workers or None, **self.source_options())
        limits = world.limits()
        data.name = str(world)
        data.facts |= {
            "world": str(world),
            "limit": {k: limits[k].value for k in KNOWN if k in limits},
            "limit_error": {k: limits[k].error for k in KNOWN if k in limits},
        }
        return data


__all__ = ["Photos"]
