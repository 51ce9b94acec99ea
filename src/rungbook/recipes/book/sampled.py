"""Samples of large image sets, and the courses' split that is none: drawn with replacement before it is cut."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rungbook.data.data import Data, fingerprint
from rungbook.data.feed import Feed, TensorSource
from rungbook.data.idx import CLASSES
from rungbook.errors import UsageError
from rungbook.recipes.recipe import Recipe
from rungbook.recipes.settings import Count, Settings, Share
from rungbook.recipes.study import Study

RESAMPLED = "fault S1-1: judged on images of which 55 % were trained on"
TWICE = "fault S1-2: softmax twice"
BOTH = f"{RESAMPLED}; {TWICE}"


@dataclass(frozen=True, kw_only=True)
class Sampled(Settings):
    """Settings of recipes that learn from a part of a set's training images.

    Args:
        train_samples: training images for train and valid together, drawn by the seed without replacement; all there are if none.
    """

    train_samples: Count | None = None

    def check(self) -> None:
        """Refuse a number of training images where the set has no official ones.

        Raises:
            UsageError: E202 besides what the others raise.
        """
        super().check()
        if self.train_samples is not None and self.data not in CLASSES:
            message = f"train_samples draws from the official training images of {' or '.join(CLASSES)}; {self.data} has none."
            raise UsageError("E202", message, "Leave out train_samples=..., or say data=mnist")

    def read(self, **options: Any) -> Data:
        """The data, with options as `load_data` takes them."""
        from rungbook.data.load import load_data
        from rungbook.data.named import named_data

        if self.train_samples is None:
            return load_data(self.data, **options)
        return named_data(self.data, train_samples=self.train_samples, **options)


@dataclass(frozen=True, kw_only=True)
class SampledRecipe(Sampled, Recipe):
    """A training on a part of a set's training images."""

    def load(self) -> Data:
        """The sample, split and ready to feed."""
        shares = {"valid": self.valid, "test": self.test}
        return self.read(**shares, batch_size=self.batch_size, seed=self.seed, workers=self.workers, **self.source_options())


@dataclass(frozen=True, kw_only=True)
class SampledStudy(Sampled, Study):
    """A study of a set of images, or of a part of its training images.

    Args:
        valid: share of the training images to choose on.
        test: share of all images to report on, where the set has no official ones.
    """

    valid: Share = 0.16
    test: Share = 0.2

    def check(self) -> None:
        """Refuse shares that leave a part empty. Raises UsageError E202 besides what the others raise."""
        super().check()
        if self.valid + self.test >= 1 or not self.valid or not self.test:
            message = f"valid={self.valid:g} test={self.test:g}: both are above 0 and together below 1."
            raise UsageError("E202", message, "valid=0.16 test=0.2")


def resampled(data: Data, seed: int) -> tuple[Data, Tensor]:
    """The same samples with train and valid cut as the course cuts them (fault S1-1), for showing what comes of it.

    The samples of both are drawn anew *with* replacement, as many as there are, and the first so many become train, the rest valid: a
    sample drawn twice can be in both. The test split stays as it was.

    Args:
        data: an honest split of images in memory.
        seed: of the draws.

    Returns:
        The data, and which of its valid samples are also trained on, (n_valid,). Their share is in `facts["overlap"]`;
        1 - (1 - 1/n)^t of them are to be expected for t of n draws that become train, about 1 - exp(-t/n).
    """
    assert data.valid is not None
    x, y = pooled(data.train, data.valid)
    n, cut = len(y), data.train.samples
    drawn = torch.from_numpy(np.random.default_rng([seed, 1]).integers(0, n, n))
    train, valid = drawn[:cut], drawn[cut:]

    def feed(like: Feed, index: Tensor) -> Feed:
        source = TensorSource(x.index_select(0, index), y.index_select(0, index))
        return Feed(source, batch_size=like.batch_size, shuffle=like.shuffle, seed=like.seed, prepare=like.prepare)

    both = torch.isin(valid, train)
    mark = fingerprint([data.fingerprint, train.numpy(), valid.numpy()])
    facts = {**data.facts, "overlap": float(both.float().mean())}
    return replace(data, train=feed(data.train, train), valid=feed(data.valid, valid), fingerprint=mark, facts=facts, folds=None), both


def pooled(*feeds: Feed) -> tuple[Tensor, Tensor]:
    """Stored images and classes of several splits in one."""
    fetched = [feed.source.fetch(slice(0, feed.samples)) for feed in feeds]
    images = [x for x, _ in fetched if isinstance(x, Tensor)]
    return torch.cat(images), torch.cat([y for _, y in fetched])


def refuse_other(data: Data, name: str) -> None:
    """Refuse what is no set of images with classes in memory. Raises UsageError E202."""
    kind = data.encoder.kind if data.encoder else ""
    if kind != "image" or not data.train.source.in_memory:
        message = f"{name} asks its question of small images in memory; {data.name} is none."
        raise UsageError("E202", message, "data=digits, data=mnist or data=world:shapes")


__all__ = ["BOTH", "RESAMPLED", "TWICE", "Sampled", "SampledRecipe", "SampledStudy", "pooled", "refuse_other", "resampled"]
