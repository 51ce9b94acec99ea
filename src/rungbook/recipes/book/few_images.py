"""What recipes of images share: a part of a large set's training images, so that a contrast over several seeds takes minutes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rungbook.data.data import Data
from rungbook.data.registry import DOWNLOADS
from rungbook.errors import UsageError
from rungbook.recipes.contrast import Contrast
from rungbook.recipes.recipe import Recipe
from rungbook.recipes.settings import Count


@dataclass(frozen=True, kw_only=True)
class FewImages(Recipe):
    """A training on a part of a set's training images.

    Args:
        train_samples: training images for train and valid together, drawn by the seed without replacement; all there are if none.
    """

    train_samples: Count | None = None

    def check(self) -> None:
        """Refuse a number of training images where a set is not downloaded. Raises UsageError E202 besides what the others raise."""
        super().check()
        if self.train_samples is not None and self.data not in DOWNLOADS:
            message = f"train_samples draws from the official training images of a data set; {self.data} has none."
            raise UsageError("E202", message, "Leave out train_samples=..., or say data=cifar10")

    def load(self) -> Data:
        """The images, split and ready to feed."""
        if self.train_samples is None:
            return super().load()
        from rungbook.data.named import named_data

        shares = {"valid": self.valid, "test": self.test, "seed": self.seed, "train_samples": self.train_samples}
        return named_data(self.data, batch_size=self.batch_size, **shares, **self.source_options())


@dataclass(frozen=True, kw_only=True)
class FewImagesContrast(FewImages, Contrast):
    """Trainings on the same part of a set's training images."""

    data_fields: ClassVar[tuple[str, ...]] = ("train_samples",)


__all__ = ["FewImages", "FewImagesContrast"]
