"""What a network has learned from other pictures, and what to do with it: train all of it, its head, its head and its norms."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import torch
from torch import nn

from rungbook.data.data import Data
from rungbook.data.feed import Feed, TensorSource
from rungbook.data.target import ClassTarget
from rungbook.recipes.book.few_images import FewImagesContrast
from rungbook.recipes.once import Trained
from rungbook.recipes.recipe import Recipe, recipe
from rungbook.recipes.settings import Count, Final, Rate, Reported, Share, Widths
from rungbook.recipes.study import Results

SOURCE = "NCSA HAL, ResNet-18"
SHARED = "S0-1: train and valid shared one transform, and so nothing was augmented"
KNOWN, NEW = ("0", "1", "2", "3", "4"), ("5", "6", "7", "8", "9")
"""Digits a network has learned before, and those it is to learn."""


def only(data: Data, classes: tuple[str, ...], most: int | None = None) -> Data:
    """The samples of some classes, as classes of their own.

    Args:
        data: images in memory.
        classes: names of those to keep; they become 0, 1, ...
        most: of each class for train; all if none.
    """
    numbers = [data.classes.index(name) for name in classes]

    def feed(whole: Feed, most: int | None) -> Feed:
        x, y = whole.source.fetch(slice(0, whole.samples))
        assert isinstance(x, torch.Tensor)
        kept = torch.cat([torch.nonzero(y == number)[:most, 0] for number in numbers])
        labels = torch.cat([torch.full((int((y[kept] == number).sum()),), i) for i, number in enumerate(numbers)])
        order = kept.argsort()
        source = TensorSource(x[kept[order]], labels[order])
        return Feed(
            source, batch_size=whole.batch_size, shuffle=whole.shuffle, seed=whole.seed, prepare=whole.prepare, augment=whole.augment
        )

    feeds: dict[str, Any] = {part: feed(split, most if part == "train" else None) for part, split in data.splits().items()}
    mark = f"{data.fingerprint}-{''.join(classes)}-{most}"
    return replace(data, target=ClassTarget(classes), fingerprint=mark, folds=None, **feeds)


@recipe("transfer")
@dataclass(frozen=True, kw_only=True)
class Transfer(FewImagesContrast):
    """Does it help to begin with a network that knows other pictures, and how much of it should learn?

    Offline a network that was trained on the digits 0 to 4 learns 5 to 9 from ten pictures of each. On dogs and cats it is the ResNet-20
    that learned CIFAR-10 (which has cats and dogs among its ten classes; published weights), the course's is a ResNet-18 that learned
    ImageNet. A held body keeps its running statistics too; in the third way the norms of the body learn and all else of it is held.
    """

    variants: ClassVar[dict[str, dict[str, Any]]] = {
        "from scratch": {"begun": False},
        "all of it learns": {},
        "head and norms": {"freeze": "all_but_norm"},
        "head alone": {"freeze": "body"},
    }
    covers: ClassVar[tuple[str, ...]] = ("V15", "V13")
    real: ClassVar[tuple[str, ...]] = ("data=dogs-vs-cats model=cifar_resnet20 image_size=32 epochs=6 test=0.2",)
    fits: ClassVar[tuple[str, ...]] = ("digits", "dogs-vs-cats")
    reported: ClassVar[tuple[Reported, ...]] = (
        Reported(0.873, "accuracy", f"{SOURCE}, 5 epochs", variant="from scratch", fault=SHARED, data="dogs-vs-cats"),
        Reported(0.9674, "accuracy", f"{SOURCE}, 2 epochs", variant="all of it learns", fault=SHARED, data="dogs-vs-cats"),
        Reported(0.9815, "accuracy", f"{SOURCE}, 2 epochs", variant="head alone", fault=SHARED, data="dogs-vs-cats"),
    )
    data: str = "digits"
    model: str = "conv_net"
    widths: Widths = (16, 32, 64)
    dropout: Share = 0.2
    begun: bool = True
    a_class: Count = 10
    epochs: Count | None = 20
    batch_size: Count = 32
    lr: Rate = 3e-3
    test: Share = 0.4
    final: Final = "last"

    def vary(self, settings: dict[str, Any]) -> Self:
        """A variant; on photographs those that are begun take the published weights."""
        variant = replace(self, **settings)
        return replace(variant, pretrained="true") if variant.begun and self.data != "digits" else variant

    def load(self) -> Data:
        """Ten of each of the new digits to learn from, or the photographs."""
        data = super().load()
        return only(data, NEW, self.a_class) if self.data == "digits" else data

    def begin(self, model: nn.Module, data: Data) -> None:
        """Offline: what the network learned from the other digits, but for its head."""
        if not self.begun or self.data != "digits":
            return
        from rungbook.recipes.build import build_learner
        from rungbook.transfer.parts import split_body_head

        other = only(Recipe.load(self), KNOWN)
        learner = build_learner(replace(self, begun=False, freeze=None), other, model, torch.device("cpu"), float(self.lr))
        learner.fit(5, self.schedule)
        for module in model.get_submodule(split_body_head(model).head_name).modules():
            if isinstance(module, nn.Linear):
                module.reset_parameters()

    def remarks(self, trained: dict[str, Trained], results: Results) -> list[str]:
        """How much of each learns."""
        shares = []
        for name, t in trained.items():
            learning = sum(p.numel() for p in t.learner.params)
            shares.append(f"{name} {learning:,}")
        whole = sum(p.numel() for p in trained["from scratch"].learner.model.parameters())
        return [f"parameters that learn, of {whole:,}: " + "; ".join(shares)]


__all__ = ["Transfer", "only"]
