"""From AlexNet to the vision transformer: each network in a form that trains on a processor in a minute.

The small forms keep what the paper brought and cut the numbers of maps; `full` says the form of the course or paper, for a graphics card.
Settings are one choice for all (AdamW, one-cycle rate, flips and crops where left and right do not matter), with a rate for each that did
best on valid; what one network reaches here says little of what it reaches at full size, which is what the papers are about.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rungbook.recipes.book.few_images import FewImages
from rungbook.recipes.recipe import recipe
from rungbook.recipes.settings import Count, Final, Rate, Reported, Share, Widths

SOURCE = "d2l, readers' runs"
LOOKED = "judged after every epoch"
FASHION = "data=fashion-mnist train_samples=10000"


@dataclass(frozen=True, kw_only=True)
class Network(FewImages):
    """What the networks share."""

    full: ClassVar[str] = ""
    """Settings of the full form, for a graphics card."""
    data: str = "world:shapes(n=1500, side=32, channels=3)"
    image_size: Count | None = 32
    epochs: Count | None = 8
    batch_size: Count = 64
    lr: Rate = 2e-3
    final: Final = "last"


def _reported(train: float, test: float, told: str = "") -> tuple[Reported, ...]:
    """Accuracies of readers' runs of d2l's notebooks, 10 epochs of Fashion-MNIST; the best where several are `told`."""
    source = f"{SOURCE}; {told}" if told else SOURCE
    return (
        Reported(train, "accuracy", source, split="train", data="fashion-mnist"),
        Reported(test, "accuracy", source, split="test", fault=LOOKED, data="fashion-mnist"),
    )


@recipe("alexnet")
@dataclass(frozen=True, kw_only=True)
class AlexNetRecipe(Network):
    """AlexNet (Krizhevsky 2012): five convolutions, ReLU, dropout; pictures are read at 64 pixels, for its stem takes a sixteenth."""

    covers: ClassVar[tuple[str, ...]] = ("V03",)
    real: ClassVar[tuple[str, ...]] = (FASHION,)
    full: ClassVar[str] = (
        "data=fashion-mnist image_size=224 widths=64,192,384,256,256 hidden=4096 pooled=6 epochs=10 batch_size=128 "
        "optimizer=sgd momentum=0 weight_decay=0 lr=0.01 schedule=constant"
    )
    reported: ClassVar[tuple[Reported, ...]] = (
        *_reported(0.881, 0.885),
        Reported(0.863, "accuracy", "PyTorch-Adventures, 57.0 M parameters, 5 epochs; 0.822 in another run", data="dogs-vs-cats"),
    )
    model: str = "alexnet"
    image_size: Count | None = 64
    widths: Widths = (24, 48, 64, 48, 48)
    hidden: Count = 128
    pooled: Count = 1
    dropout: Share = 0.2
    lr: Rate = 1e-3


@recipe("vgg")
@dataclass(frozen=True, kw_only=True)
class VGGRecipe(Network):
    """VGG-11 (Simonyan 2015) with a quarter of its maps or less: stages of 3 x 3 convolutions, each half the size of the one before."""

    covers: ClassVar[tuple[str, ...]] = ("V04",)
    real: ClassVar[tuple[str, ...]] = (FASHION,)
    full: ClassVar[str] = (
        "data=fashion-mnist image_size=224 widths=16,32,64,128,128 hidden=4096 pooled=7 epochs=10 batch_size=128 "
        "optimizer=sgd momentum=0 weight_decay=0 lr=0.05 schedule=constant"
    )
    reported: ClassVar[tuple[Reported, ...]] = _reported(0.927, 0.916, "0.918 to 0.927 on train, 0.900 to 0.916 on test")
    model: str = "vgg11_bn"
    widths: Widths = (16, 32, 48, 64, 64)
    hidden: Count = 64
    pooled: Count = 1
    dropout: Share = 0.2


@recipe("nin")
@dataclass(frozen=True, kw_only=True)
class NiNRecipe(Network):
    """Network in network (Lin 2014): 1 x 1 convolutions after each filter, the mean over the picture in place of linear layers."""

    covers: ClassVar[tuple[str, ...]] = ("V05",)
    real: ClassVar[tuple[str, ...]] = (FASHION,)
    full: ClassVar[str] = (
        "data=fashion-mnist image_size=224 widths=96,256,384 epochs=10 batch_size=128 "
        "optimizer=sgd momentum=0 weight_decay=0 lr=0.1 schedule=constant"
    )
    reported: ClassVar[tuple[Reported, ...]] = _reported(0.866, 0.862)
    model: str = "nin"
    image_size: Count | None = 67
    widths: Widths = (24, 48, 64)
    dropout: Share = 0.2


@recipe("googlenet")
@dataclass(frozen=True, kw_only=True)
class GoogLeNetRecipe(Network):
    """GoogLeNet (Szegedy 2015) with an eighth of its maps: blocks that look with four kinds of filters at once."""

    covers: ClassVar[tuple[str, ...]] = ("V06",)
    real: ClassVar[tuple[str, ...]] = (FASHION,)
    full: ClassVar[str] = (
        "data=fashion-mnist image_size=96 divide=1 epochs=10 batch_size=128 "
        "optimizer=sgd momentum=0 weight_decay=0 lr=0.1 schedule=constant"
    )
    model: str = "googlenet"
    divide: Count = 8
    dropout: Share = 0.2


@recipe("resnet")
@dataclass(frozen=True, kw_only=True)
class ResNetRecipe(Network):
    """ResNet-18 (He 2016) with a quarter of its maps: each block adds to what came in."""

    covers: ClassVar[tuple[str, ...]] = ("V07",)
    real: ClassVar[tuple[str, ...]] = (FASHION,)
    full: ClassVar[str] = (
        "data=fashion-mnist image_size=96 widths=64,128,256,512 epochs=10 batch_size=256 "
        "optimizer=sgd momentum=0 weight_decay=0 lr=0.05 schedule=constant"
    )
    reported: ClassVar[tuple[Reported, ...]] = _reported(0.998, 0.922, "0.921 to 0.922 on test")
    model: str = "resnet18"
    widths: Widths = (16, 32, 64, 128)


@recipe("densenet")
@dataclass(frozen=True, kw_only=True)
class DenseNetRecipe(Network):
    """A small DenseNet (Huang 2017): each layer reads the maps of all before it and adds a few."""

    covers: ClassVar[tuple[str, ...]] = ("V09",)
    real: ClassVar[tuple[str, ...]] = (FASHION,)
    full: ClassVar[str] = "data=fashion-mnist image_size=96 growth=32 depths=6,12,24,16 stem=64 epochs=10 batch_size=256"
    model: str = "densenet121"
    growth: Count = 8
    depths: Widths = (2, 2, 2, 2)
    stem: Count = 16


@recipe("xresnet")
@dataclass(frozen=True, kw_only=True)
class XResNetRecipe(Network):
    """XResNet-18 (He 2019's bag of tricks, as fast.ai has it): three small convolutions for a stem, blocks that start as shortcuts."""

    covers: ClassVar[tuple[str, ...]] = ("V10",)
    real: ClassVar[tuple[str, ...]] = (FASHION,)
    full: ClassVar[str] = (
        "data=imagenette-160 image_size=128 model=xresnet50 depths=3,4,6,3 widths=64,128,256,512 stem=32,64,64 epochs=5 batch_size=64 "
        "label_smoothing=0.1 lr=0.003"
    )
    reported: ClassVar[tuple[Reported, ...]] = (
        Reported(0.824, "accuracy", "fast.ai dl2/11, XResNet-18 at 128 pixels, 5 epochs, 38 s each", data="imagenette-160"),
    )
    model: str = "xresnet18"
    depths: Widths = (2, 2, 2, 2)
    widths: Widths = (16, 32, 64, 128)
    stem: Widths = (16, 16, 16)


@recipe("vit")
@dataclass(frozen=True, kw_only=True)
class ViTRecipe(Network):
    """A small vision transformer (Dosovitskiy 2021): patches as words, one word more to say the class."""

    covers: ClassVar[tuple[str, ...]] = ("V17",)
    real: ClassVar[tuple[str, ...]] = (FASHION,)
    full: ClassVar[str] = "data=dogs-vs-cats image_size=224 patch=16 width=384 depth=6 heads=6 epochs=10 batch_size=128 lr=0.0005"
    reported: ClassVar[tuple[Reported, ...]] = (
        Reported(0.7335, "accuracy", "PyTorch-Adventures, 11,019,650 parameters, 10 epochs", data="dogs-vs-cats"),
    )
    model: str = "vit_ti_16"
    patch: Count = 4
    width: Count = 64
    depth: Count = 4
    heads: Count = 4
    lr: Rate = 2e-3


__all__ = [
    "AlexNetRecipe",
    "DenseNetRecipe",
    "GoogLeNetRecipe",
    "Network",
    "NiNRecipe",
    "ResNetRecipe",
    "VGGRecipe",
    "ViTRecipe",
    "XResNetRecipe",
]
