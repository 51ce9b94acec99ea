"""The craft of training, one trick at a time: label smoothing, the one-cycle rate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from rungbook.recipes.book.few_images import FewImagesContrast
from rungbook.recipes.recipe import recipe
from rungbook.recipes.settings import Count, Final, NotBelow, Optimizer, Rate, Share, Widths


@dataclass(frozen=True, kw_only=True)
class Craft(FewImagesContrast):
    """What the tricks are tried on: a small convolutional network with batch norm."""

    model: str = "conv_net"
    widths: Widths = (16, 32, 64)
    dropout: Share = 0.0
    batch_size: Count = 64
    lr: Rate = 3e-3
    final: Final = "last"


@recipe("smoothed_labels")
@dataclass(frozen=True, kw_only=True)
class SmoothedLabels(Craft):
    """Does label smoothing help (Szegedy et al. 2016, section 7)?

    A tenth of the target is spread over all classes. Offline on shapes of which a tenth have wrong labels. Accuracy is compared; the log
    loss, in the table too, says whether the probabilities became better or worse for it.
    """

    variants: ClassVar[dict[str, dict[str, Any]]] = {"labels as they are": {}, "smoothed by 0.1": {"label_smoothing": 0.1}}
    covers: ClassVar[tuple[str, ...]] = ("V12",)
    real: ClassVar[tuple[str, ...]] = ("data=fashion-mnist train_samples=10000", "data=cifar10 train_samples=10000")
    data: str = "world:shapes(n=2000)"
    epochs: Count | None = 10


@recipe("one_cycle")
@dataclass(frozen=True, kw_only=True)
class OneCycle(Craft):
    """Does a rate that rises and falls do better than a constant one (Smith and Topin 2018)?

    Each schedule has the rate it did best with on valid, of 0.01, 0.03, 0.1 and 0.3, so that none is compared at another's rate. SGD with
    momentum, which the one-cycle schedule moves the other way.
    """

    variants: ClassVar[dict[str, dict[str, Any]]] = {
        "constant": {"schedule": "constant", "lr": 0.03},
        "cosine": {"schedule": "cosine", "lr": 0.1},
        "one cycle": {"schedule": "one_cycle", "lr": 0.1},
    }
    covers: ClassVar[tuple[str, ...]] = ("O04", "O06")
    real: ClassVar[tuple[str, ...]] = ("data=fashion-mnist train_samples=10000", "data=cifar10 train_samples=10000")
    data: str = "world:shapes(n=2000)"
    optimizer: Optimizer = "sgd"
    momentum: Share = 0.9
    weight_decay: NotBelow = 5e-4
    epochs: Count | None = 10


__all__ = ["Craft", "OneCycle", "SmoothedLabels"]
