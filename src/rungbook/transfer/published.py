"""The published weights rungbook knows: one table with address, checksum, classes, size and normalisation of each.

torchvision publishes no whole checksums: the eight hexadecimal digits in a file's name are the beginning of its SHA-256, and so it is
with the CIFAR networks. What is checked is that beginning, and the whole SHA-256 of the two files of which it is known here
(`sha256` tells which). Eight digits notice a file that is damaged or another one; they would not keep out somebody who makes a file
on purpose. Against that stands that weights are read as data only (`learner.weights.read_weights`).

Addresses, accuracies, sizes of images and normalisation are those of torchvision 0.2x (`torchvision/models/*.py`) and of
github.com/akamaster/pytorch_resnet_cifar10.
"""

from __future__ import annotations

from dataclasses import dataclass

from rungbook.errors import UsageError, did_you_mean

Channels = tuple[float, ...]
IMAGENET: tuple[Channels, Channels] = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and deviation of red, green and blue (0 to 1) that torchvision's training takes."""
HALF: tuple[Channels, Channels] = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@dataclass(frozen=True)
class Published:
    """One file of weights.

    Args:
        model: name of `list_models()` that they fit.
        tag: what they are called, as "imagenet1k_v1".
        file: name at the address and in the cache.
        url: official address.
        sha256: hexadecimal SHA-256 of the file, or its first eight digits where no more is published.
        accuracy: share right on the data's own test set, as published.
        num_classes: outputs.
        image_size: side in pixels they were trained for.
        normalisation: mean and deviation of each channel.
        home: who publishes them.
    """

    model: str
    tag: str
    file: str
    url: str
    sha256: str
    accuracy: float
    num_classes: int = 1000
    image_size: int = 224
    normalisation: tuple[Channels, Channels] = IMAGENET
    home: str = "torchvision"


def _torchvision(model: str, file: str, accuracy: float, *, tag: str = "imagenet1k_v1", size: int = 224, half: bool = False) -> Published:
    name = f"{file}.pth"
    return Published(
        model,
        tag,
        name,
        f"https://download.pytorch.org/models/{name}",
        file.rpartition("-")[2],
        accuracy,
        image_size=size,
        normalisation=HALF if half else IMAGENET,
    )


def _cifar(depth: int, sha256: str, accuracy: float) -> Published:
    name = f"resnet{depth}-{sha256[:8]}.th"
    address = f"https://github.com/akamaster/pytorch_resnet_cifar10/raw/master/pretrained_models/{name}"
    home = "akamaster/pytorch_resnet_cifar10"
    return Published(
        f"cifar_resnet{depth}", "cifar10", f"cifar10_{name}", address, sha256, accuracy, num_classes=10, image_size=32, home=home
    )


_V2 = "imagenet1k_v2"
_END, _LINEAR = "imagenet1k_swag_e2e_v1", "imagenet1k_swag_linear_v1"

FILES: tuple[Published, ...] = (
    _torchvision("alexnet", "alexnet-owt-7be5be79", 0.56522),
    _torchvision("vgg11", "vgg11-8a719046", 0.69020),
    _torchvision("vgg13", "vgg13-19584684", 0.69928),
    _torchvision("vgg16", "vgg16-397923af", 0.71592),
    _torchvision("vgg19", "vgg19-dcbb9e9d", 0.72376),
    _torchvision("vgg11_bn", "vgg11_bn-6002323d", 0.70370),
    _torchvision("vgg13_bn", "vgg13_bn-abd245e5", 0.71586),
    _torchvision("vgg16_bn", "vgg16_bn-6c64b313", 0.73360),
    _torchvision("vgg19_bn", "vgg19_bn-c79401a0", 0.74218),
    # torchvision's model turns its usual normalisation back into that of the original before its first layer
    _torchvision("googlenet", "googlenet-1378be20", 0.69778, half=True),
    _torchvision("resnet18", "resnet18-f37072fd", 0.69758),
    _torchvision("resnet34", "resnet34-b627a593", 0.73314),
    _torchvision("resnet50", "resnet50-0676ba61", 0.76130),
    _torchvision("resnet50", "resnet50-11ad3fa6", 0.80858, tag=_V2),
    _torchvision("resnet101", "resnet101-63fe2227", 0.77374),
    _torchvision("resnet101", "resnet101-cd907fc2", 0.81886, tag=_V2),
    _torchvision("resnet152", "resnet152-394f9c45", 0.78312),
    _torchvision("resnet152", "resnet152-f82ba261", 0.82284, tag=_V2),
    _torchvision("resnext50_32x4d", "resnext50_32x4d-7cdf4587", 0.77618),
    _torchvision("resnext50_32x4d", "resnext50_32x4d-1a0047aa", 0.81198, tag=_V2),
    _torchvision("densenet121", "densenet121-a639ec97", 0.74434),
    _torchvision("densenet161", "densenet161-8d451a50", 0.77138),
    _torchvision("densenet169", "densenet169-b2777c0a", 0.75600),
    _torchvision("densenet201", "densenet201-c1103571", 0.76896),
    _torchvision("convnext_tiny", "convnext_tiny-983f1562", 0.82520),
    _torchvision("vit_b_16", "vit_b_16-c867db91", 0.81072),
    _torchvision("vit_b_16", "vit_b_16_swag-9ac1b537", 0.85304, tag=_END, size=384),
    _torchvision("vit_b_16", "vit_b_16_lc_swag-4e70ced5", 0.81886, tag=_LINEAR),
    _torchvision("vit_l_16", "vit_l_16-852ce7e3", 0.79662),
    _torchvision("vit_l_16", "vit_l_16_swag-4f3808c9", 0.88064, tag=_END, size=512),
    _torchvision("vit_l_16", "vit_l_16_lc_swag-4d563306", 0.85146, tag=_LINEAR),
    _cifar(20, "12fca82f0bebc4135bf1f32f6e3710e61d5108578464b84fd6d7f5c1b04036c8", 0.9173),
    _cifar(32, "d509ac18", 0.9263),
    _cifar(44, "014dd654", 0.9310),
    _cifar(56, "4bfd97631478d6b638d2764fd2baff3edb1d7d82252d54439343b6596b9b5367", 0.9339),
    _cifar(110, "1d1ed7c2", 0.9368),
)

PUBLISHED = {model: {one.tag: one for one in FILES if one.model == model} for model in dict.fromkeys(one.model for one in FILES)}
"""Model -> tag -> weights; a model's first tag is what `pretrained=True` stands for."""


def published(model: str, tag: str = "") -> Published:
    """The weights of a model by tag, by default its first.

    Raises:
        UsageError: E201 none are published for the model (those that have some are listed), or none of that tag.
    """
    if model not in PUBLISHED:
        raise UsageError(
            "E201",
            f"No weights are published for the model {model}; there are for {', '.join(sorted(PUBLISHED))}.",
            "Give a file or folder of your own: pretrained=./weights.safetensors",
        )
    tags = PUBLISHED[model]
    if tag and tag not in tags:
        raise UsageError("E201", f'The model {model} has no published weights called "{tag}".', did_you_mean(tag, tags, "pretrained={}"))
    return tags[tag or next(iter(tags))]


def by_file(name: str) -> Published | None:
    """The entry whose file has that name, also without the "cifar10_" that tells local copies apart."""
    return next((one for one in FILES if name in (one.file, one.file.removeprefix("cifar10_"))), None)
