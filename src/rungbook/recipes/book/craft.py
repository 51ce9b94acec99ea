"""The craft of training, one trick at a time: label smoothing, the one-cycle rate, mixed and changed images, averaged weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from rungbook.recipes.book.few_images import FewImagesContrast
from rungbook.recipes.recipe import recipe
from rungbook.recipes.settings import Count, Final, NotBelow, Optimizer, Rate, Reported, Share, Widths

SOURCE = "d2l, readers' runs"


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

    Of 0.01, 0.03, 0.1 and 0.3 each schedule did best with the last on the shapes' valid part (one seed), so none is compared at another's
    rate; over more seeds the constant one varies widely there, and a smaller rate may be fairer to it. On Fashion-MNIST the rate is 0.03,
    at which the constant one does as well as at 0.01 and better than at 0.1 and 0.3. SGD with momentum, which the one-cycle schedule moves
    the other way.
    """

    variants: ClassVar[dict[str, dict[str, Any]]] = {
        "constant": {"schedule": "constant"},
        "cosine": {"schedule": "cosine"},
        "one cycle": {"schedule": "one_cycle"},
    }
    covers: ClassVar[tuple[str, ...]] = ("O04", "O06")
    real: ClassVar[tuple[str, ...]] = ("data=fashion-mnist train_samples=10000 lr=0.03",)
    data: str = "world:shapes(n=2000)"
    optimizer: Optimizer = "sgd"
    momentum: Share = 0.9
    lr: Rate = 0.3
    weight_decay: NotBelow = 5e-4
    epochs: Count | None = 10


@recipe("mixtures")
@dataclass(frozen=True, kw_only=True)
class Mixtures(Craft):
    """Does it help to train on mixtures of two images, and of their labels?

    Mixup (Zhang et al. 2018) adds up two images, CutMix (Yun et al. 2019) pastes a piece of one into the other. Both papers train for
    hundreds of epochs; twenty of few images show whether it helps where somebody has no more.
    """

    variants: ClassVar[dict[str, dict[str, Any]]] = {"as they are": {}, "mixup": {"mix": "mixup"}, "CutMix": {"mix": "cutmix"}}
    covers: ClassVar[tuple[str, ...]] = ("D05",)
    real: ClassVar[tuple[str, ...]] = ("data=fashion-mnist train_samples=5000", "data=cifar10 train_samples=5000")
    data: str = "world:shapes(n=1000)"
    epochs: Count | None = 20


@recipe("changed_images")
@dataclass(frozen=True, kw_only=True)
class ChangedImages(Craft):
    """Which random changes of the training images help?

    Valid and test are never changed. The course compares none, flips and colours on CIFAR-10 with a ResNet-18.
    """

    variants: ClassVar[dict[str, dict[str, Any]]] = {
        "none": {},
        "flip": {"augment": "flip"},
        "flip and crop": {"augment": "flip_crop"},
        "flip, crop, erase": {"augment": "flip_crop+erase"},
        "RandAugment": {"augment": "randaugment"},
    }
    data_fields: ClassVar[tuple[str, ...]] = ("train_samples", "augment")
    covers: ClassVar[tuple[str, ...]] = ("D06",)
    real: ClassVar[tuple[str, ...]] = ("data=cifar10 train_samples=5000",)
    reported: ClassVar[tuple[Reported, ...]] = (
        Reported(0.941, "accuracy", SOURCE, variant="flip", split="train", data="cifar10"),
        Reported(0.851, "accuracy", SOURCE, variant="flip", split="test", fault="judged after every epoch", data="cifar10"),
    )
    data: str = "world:shapes(n=1000)"
    epochs: Count | None = 20


@recipe("averages")
@dataclass(frozen=True, kw_only=True)
class Averages(Craft):
    """Does an average of weights do better than the last weights, and does a flatter minimum?

    EMA averages all along the way; SWA (Izmailov et al. 2018) the ends of the last quarter of the epochs; SAM (Foret et al. 2021) takes its
    gradient where the loss nearby is worst, and a step of it costs two; Lookahead (Zhang et al. 2019) goes back half the way every five
    steps. A constant rate for all, for a rate that falls to zero leaves little to average.
    """

    variants: ClassVar[dict[str, dict[str, Any]]] = {
        "last weights": {},
        "EMA 0.99": {"ema": 0.99},
        "SWA": {"swa": 0.25},
        "SAM 0.05": {"sam": 0.05},
        "Lookahead": {"lookahead": 5},
    }
    covers: ClassVar[tuple[str, ...]] = ("O09",)
    real: ClassVar[tuple[str, ...]] = ("data=fashion-mnist train_samples=5000",)
    data: str = "world:shapes(n=1000)"
    schedule: str = "constant"
    epochs: Count | None = 12


__all__ = ["Averages", "ChangedImages", "Craft", "Mixtures", "OneCycle", "SmoothedLabels"]
