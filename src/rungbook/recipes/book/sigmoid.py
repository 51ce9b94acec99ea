"""LeNet as it was, with sigmoids, at two learning rates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from rungbook.recipes.book.sampled import SampledRecipe
from rungbook.recipes.contrast import Contrast
from rungbook.recipes.recipe import recipe
from rungbook.recipes.settings import Count, Final, NotBelow, Optimizer, Rate, Reported, Share

SOURCE = "d2l, readers' runs"


@recipe("sigmoid_lenet")
@dataclass(frozen=True, kw_only=True)
class SigmoidLeNet(SampledRecipe, Contrast):
    """Does LeNet with sigmoids learn at a rate of 0.9, and at 0.05?

    d2l trains it for ten epochs of Fashion-MNIST in batches of 256 at 0.9; the handbook that follows d2l sets 0.05 and stores no result. A
    sigmoid's slope is a quarter at most, so four of them leave a gradient a 256th of its size or less, and the rate must make up for it.
    """

    variants: ClassVar[dict[str, dict[str, Any]]] = {"rate 0.9": {"lr": 0.9}, "rate 0.05": {"lr": 0.05}}
    data_fields: ClassVar[tuple[str, ...]] = ("train_samples",)
    covers: ClassVar[tuple[str, ...]] = ("V02",)
    real: ClassVar[tuple[str, ...]] = ("data=fashion-mnist batch_size=256 epochs=10",)
    reported: ClassVar[tuple[Reported, ...]] = (
        Reported(0.461, "log_loss", SOURCE, variant="rate 0.9", split="train", data="fashion-mnist"),
        Reported(0.829, "accuracy", SOURCE, variant="rate 0.9", split="train", data="fashion-mnist"),
        Reported(0.789, "accuracy", SOURCE, variant="rate 0.9", split="test", fault="judged after every epoch", data="fashion-mnist"),
    )
    data: str = "digits"
    model: str = "lenet_sigmoid"
    image_size: Count | None = 28
    optimizer: Optimizer = "sgd"
    momentum: Share = 0.0
    weight_decay: NotBelow = 0.0
    schedule: str = "constant"
    lr: Rate = 0.9
    batch_size: Count = 32
    epochs: Count | None = 18
    final: Final = "last"


__all__ = ["SigmoidLeNet"]
