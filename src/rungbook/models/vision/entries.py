"""The image models by name; small forms are what tests train."""

from __future__ import annotations

from typing import Any

from rungbook.models.entry import Entry

_DIGITS = {"in_channels": 1, "num_classes": 10}
_SMALL = {"in_channels": 3, "num_classes": 4, "image_size": (32, 32)}
_STAGES = {"depths": (1, 1, 1, 1), "widths": (4, 8, 8, 12)}


def _vgg(layers: int, depths: tuple[int, ...], *, batch_norm: bool, counted: int) -> Entry:
    about = f"{layers - 3} convolutions, {'batch norm, ' if batch_norm else ''}3 linear layers (Simonyan 2015)"
    small = {**_SMALL, "depths": (1, 1, 2), "widths": (4, 8, 8), "hidden": 16, "pooled": 2, "dropout": 0.2}
    return Entry("vision.vgg:VGG", "image", about, {"depths": depths, "batch_norm": batch_norm}, small, counted)


def _resnet(layers: int, depths: tuple[int, ...], counted: int, **options: Any) -> Entry:
    block = "basic" if layers < 50 else "bottleneck"
    about = f"{layers} layers with shortcuts (He 2016)" if not options else f"{layers} layers, grouped convolutions (Xie 2017)"
    small = {**_SMALL, **_STAGES, **({"groups": 2, "width_per_group": 32} if options else {})}
    return Entry("vision.resnet:ResNet", "image", about, {"block": block, "depths": depths, **options}, small, counted)


def _xresnet(layers: int, depths: tuple[int, ...]) -> Entry:
    small = {**_SMALL, **_STAGES, "stem": (4, 4, 4)}
    options = {"depths": depths, "expansion": 1 if layers < 50 else 4}
    return Entry("vision.xresnet:XResNet", "image", f"ResNet-{layers} with the bag of tricks (He 2019, fast.ai)", options, small)


def _densenet(layers: int, growth: int, depths: tuple[int, ...], stem: int, counted: int) -> Entry:
    small = {**_SMALL, "growth": 4, "depths": (2, 2), "stem": 8}
    options = {"growth": growth, "depths": depths, "stem": stem}
    return Entry("vision.densenet:DenseNet", "image", f"{layers} layers, each reads all before it (Huang 2017)", options, small, counted)


def _cifar(depth: int, counted: int) -> Entry:
    about = f"{depth} layers for 32 x 32, shortcuts without parameters (He 2016)"
    small = {**_SMALL, "image_size": (16, 16), "depth": 8, "widths": (4, 8, 8)}
    return Entry("vision.cifar_resnet:CifarResNet", "image", about, {"depth": depth}, small, counted)


def _fixup(depth: int) -> Entry:
    small = {**_SMALL, "image_size": (16, 16), "depth": 8, "widths": (4, 8, 8)}
    about = f"{depth} layers for 32 x 32, no normalisation (Zhang 2019)"
    return Entry("vision.fixup_resnet:FixupResNet", "image", about, {"depth": depth}, small)


def _preact(depth: int, *, bottleneck: bool) -> Entry:
    small = {**_SMALL, "image_size": (16, 16), "depth": 11 if bottleneck else 8, "widths": (4, 8, 8)}
    about = f"{depth} layers for 32 x 32, norm before convolution (He 2016b)"
    return Entry("vision.preact_resnet:PreActResNet", "image", about, {"depth": depth, "bottleneck": bottleneck}, small)


def _vit(size: str, width: int, depth: int, heads: int, counted: int) -> Entry:
    small = {**_SMALL, "image_size": (16, 16), "patch": 8, "width": 16, "depth": 2, "heads": 2}
    options = {"width": width, "depth": depth, "heads": heads}
    return Entry(
        "vision.vit:VisionTransformer", "image", f"patches of 16 as tokens, size {size} (Dosovitskiy 2021)", options, small, counted
    )


def _mixer(size: str, options: dict[str, int], counted: int) -> Entry:
    small = {**_SMALL, "image_size": (16, 16), "patch": 8, "width": 16, "depth": 2, "hidden_tokens": 8, "hidden_channels": 16}
    about = f"linear layers along patches and along channels, size {size} (Tolstikhin 2021)"
    return Entry("vision.mlp_mixer:MLPMixer", "image", about, options, small, counted)


VISION: dict[str, Entry] = {
    "lenet": Entry("vision.lenet:LeNet", "image", "LeNet-5 with ReLU and max-pooling (LeCun 1998)", small=_DIGITS),
    "lenet_sigmoid": Entry("vision.lenet:LeNetSigmoid", "image", "LeNet-5 with sigmoid and average-pooling", small=_DIGITS),
    "two_conv": Entry("vision.two_conv:TwoConvNet", "image", "two convolutions of 10 and 20 maps", small=_DIGITS),
    "conv_net": Entry(
        "vision.conv_net:ConvNet",
        "image",
        "convolution, batch norm, ReLU blocks",
        small={**_DIGITS, "image_size": (16, 16), "widths": (4, 8)},
    ),
    "alexnet": Entry(
        "vision.alexnet:AlexNet",
        "image",
        "5 convolutions, 3 linear layers (Krizhevsky 2014)",
        small={**_SMALL, "image_size": (64, 64), "widths": (4, 8, 8, 8, 8), "hidden": 16, "pooled": 1, "dropout": 0.2},
        counted=61_100_840,
    ),
    "vgg11": _vgg(11, (1, 1, 2, 2, 2), batch_norm=False, counted=132_863_336),
    "vgg13": _vgg(13, (2, 2, 2, 2, 2), batch_norm=False, counted=133_047_848),
    "vgg16": _vgg(16, (2, 2, 3, 3, 3), batch_norm=False, counted=138_357_544),
    "vgg19": _vgg(19, (2, 2, 4, 4, 4), batch_norm=False, counted=143_667_240),
    "vgg11_bn": _vgg(11, (1, 1, 2, 2, 2), batch_norm=True, counted=132_868_840),
    "vgg13_bn": _vgg(13, (2, 2, 2, 2, 2), batch_norm=True, counted=133_053_736),
    "vgg16_bn": _vgg(16, (2, 2, 3, 3, 3), batch_norm=True, counted=138_365_992),
    "vgg19_bn": _vgg(19, (2, 2, 4, 4, 4), batch_norm=True, counted=143_678_248),
    "nin": Entry(
        "vision.nin:NiN",
        "image",
        "small networks in place of filters, no linear layer (Lin 2014)",
        small={**_SMALL, "image_size": (67, 67), "widths": (16, 16, 16), "dropout": 0.2},
    ),
    "googlenet": Entry(
        "vision.googlenet:GoogLeNet", "image", "blocks of four paths (Szegedy 2015)", small={**_SMALL, "divide": 16}, counted=6_624_904
    ),
    "resnet18": _resnet(18, (2, 2, 2, 2), 11_689_512),
    "resnet34": _resnet(34, (3, 4, 6, 3), 21_797_672),
    "resnet50": _resnet(50, (3, 4, 6, 3), 25_557_032),
    "resnet101": _resnet(101, (3, 4, 23, 3), 44_549_160),
    "resnet152": _resnet(152, (3, 8, 36, 3), 60_192_808),
    "resnext50_32x4d": _resnet(50, (3, 4, 6, 3), 25_028_904, groups=32, width_per_group=4),
    "se_resnet50": Entry(
        "vision.se_resnet:SEResNet",
        "image",
        "ResNet-50 that weighs its maps (Hu 2018)",
        small={**_SMALL, **_STAGES, "reduction": 4},
        counted=28_088_024,
    ),
    "cifar_resnet20": _cifar(20, 269_722),
    "cifar_resnet32": _cifar(32, 464_154),
    "cifar_resnet44": _cifar(44, 658_586),
    "cifar_resnet56": _cifar(56, 853_018),
    "cifar_resnet110": _cifar(110, 1_727_962),
    "fixup_resnet20": _fixup(20),
    "fixup_resnet32": _fixup(32),
    "fixup_resnet56": _fixup(56),
    "fixup_resnet110": _fixup(110),
    "preact_resnet110": _preact(110, bottleneck=False),
    "preact_resnet164": _preact(164, bottleneck=True),
    "xresnet18": _xresnet(18, (2, 2, 2, 2)),
    "xresnet34": _xresnet(34, (3, 4, 6, 3)),
    "xresnet50": _xresnet(50, (3, 4, 6, 3)),
    "xresnet101": _xresnet(101, (3, 4, 23, 3)),
    "xresnet152": _xresnet(152, (3, 8, 36, 3)),
    "densenet121": _densenet(121, 32, (6, 12, 24, 16), 64, 7_978_856),
    "densenet161": _densenet(161, 48, (6, 12, 36, 24), 96, 28_681_000),
    "densenet169": _densenet(169, 32, (6, 12, 32, 32), 64, 14_149_480),
    "densenet201": _densenet(201, 32, (6, 12, 48, 32), 64, 20_013_928),
    "fast_cifar": Entry(
        "vision.fast_cifar:FastCifarNet",
        "image",
        "learns CIFAR-10 in seconds on a card (Jordan 2024)",
        small={**_SMALL, "image_size": (12, 12), "widths": (8, 8, 8), "scale": 1.0},
    ),
    "convnext_tiny": Entry(
        "vision.convnext:ConvNeXt",
        "image",
        "a ResNet with a transformer's habits (Liu 2022)",
        small={**_SMALL, "depths": (1, 1), "widths": (4, 8), "scale": 0.1, "drop_path": 0.1},
        counted=28_589_128,
    ),
    "vit_ti_16": _vit("Ti", 192, 12, 3, 5_717_416),
    "vit_s_16": _vit("S", 384, 12, 6, 22_050_664),
    "vit_b_16": _vit("B", 768, 12, 12, 86_567_656),
    "vit_l_16": _vit("L", 1024, 24, 16, 304_326_632),
    "mixer_s_16": _mixer("S", {}, 18_528_264),
    "mixer_b_16": _mixer("B", {"width": 768, "depth": 12, "hidden_tokens": 384, "hidden_channels": 3072}, 59_880_472),
}
