"""Flips and crops under the name they had before `data.augment` was a package."""

from rungbook.data.augment.flip_crop import FlipCrop
from rungbook.data.augment.named import named_augment
from rungbook.data.augment.step import Chain

__all__ = ["Chain", "FlipCrop", "named_augment"]
