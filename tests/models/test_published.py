"""The networks of papers: their published numbers of parameters, the names and shapes of published weights, and what sets each apart."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from torch import nn
from zoo import FORMS, made

from rungbook.data.local import cifar10_grids
from rungbook.errors import DataError, UsageError
from rungbook.learner.weights import load_weights, read_weights
from rungbook.models.registry import MODELS, create_model
from rungbook.models.vision.cifar_resnet import MEAN, STD
from rungbook.models.vision.convnext import ConvNextBlock
from rungbook.models.vision.fast_cifar import FastCifarNet
from rungbook.models.vision.googlenet import GoogLeNet
from rungbook.models.vision.resnet import BasicBlock, Bottleneck, ResNet
from rungbook.models.vision.vit import VisionTransformer, sinusoids

COUNTED = [name for name, entry in MODELS.items() if entry.counted]
IMAGES = [name for name in FORMS if MODELS[name].where.startswith("vision.")]
KEYS = {
    "alexnet": (16, "9c198ebdae1863e4"),
    "vgg11": (22, "cb3dc23f2a13e182"),
    "vgg11_bn": (54, "ed7cbe34f4e8f9a2"),
    "vgg13": (26, "67c1dc8b57fde74b"),
    "vgg16": (32, "35c4623e0cd4a39d"),
    "vgg16_bn": (84, "2cfa957eb94f61e2"),
    "vgg19": (38, "4723255af8f6c485"),
    "vgg19_bn": (102, "1ac9475183d6aa98"),
    "googlenet": (305, "d36f5b57402ac156"),
    "resnet18": (102, "f70b90acc4b42e13"),
    "resnet34": (182, "1eddc54194ca6b04"),
    "resnet50": (267, "fa8a2ba5a01c9375"),
    "resnet101": (522, "da89ea62078932e4"),
    "resnet152": (777, "beda52c1587effdf"),
    "resnext50_32x4d": (267, "7887bae2c8c6ae2d"),
    "densenet121": (606, "fa93b13e835d46cd"),
    "densenet161": (806, "8d5e6841c718b273"),
    "vit_b_16": (152, "b124b34d9346c58c"),
    "vit_l_16": (296, "0fd5127fe79be5b3"),
    "convnext_tiny": (182, "2bc10f3450aaa086"),
    "cifar_resnet20": (97, "319224a0f782b8c7"),
    "cifar_resnet56": (277, "41d239f9c4966d03"),
}
"""Name -> tensors in the published weights without batch norm's counters, and SHA-256 (16 digits) of lines "name shape" in their order.
Made from torchvision's files and, for the CIFAR networks, from github.com/akamaster/pytorch_resnet_cifar10."""


def planned(name: str, **options: object) -> nn.Module:
    """A model without memory for its weights."""
    with torch.device("meta"):
        return create_model(name, **options)


@pytest.mark.parametrize("name", COUNTED)
def test_the_number_of_parameters_is_the_published_one(name: str) -> None:
    assert sum(p.numel() for p in planned(name).parameters()) == MODELS[name].counted


@pytest.mark.parametrize("name", KEYS)
def test_names_and_shapes_are_those_of_the_published_weights(name: str) -> None:
    state = planned(name, **({"aux": True} if name == "googlenet" else {})).state_dict()
    lines = [f"{key} {tuple(value.shape)}" for key, value in state.items() if not key.endswith("num_batches_tracked")]
    assert (len(lines), hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]) == KEYS[name]


@pytest.mark.parametrize("name", IMAGES)
def test_larger_pictures_do_as_well(name: str) -> None:
    small = MODELS[name].small
    height, width = small.get("image_size", (28, 28))
    patch = small.get("patch", 1)
    size = (height + 2 * patch, width + 4 * patch)
    model = create_model(name, **{**small, "image_size": size}).eval()
    assert model(torch.randn(2, small["in_channels"], *size)).shape == (2, small["num_classes"])


@pytest.mark.parametrize(
    ("name", "size", "said"),
    [
        ("alexnet", (62, 80), "63 pixels"),
        ("vgg11", (31, 31), "32 pixels"),
        ("nin", (66, 99), "67 pixels"),
        ("densenet121", (28, 28), "29 pixels"),
        ("convnext_tiny", (31, 64), "32 pixels"),
        ("fast_cifar", (8, 8), "9 pixels"),
        ("vit_s_16", (40, 32), "patches of 16 x 16"),
        ("mixer_s_16", (8, 8), "patches of 16 x 16"),
    ],
)
def test_a_picture_that_is_too_small_is_told_with_the_smallest(name: str, size: tuple[int, int], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        create_model(name, image_size=size)


LEAST = {"alexnet": 63, "vgg11": 32, "nin": 67, "densenet121": 29, "convnext_tiny": 32, "fast_cifar": 9}


@pytest.mark.parametrize(("name", "least"), LEAST.items())
def test_the_smallest_is_enough_and_one_pixel_less_is_not(name: str, least: int) -> None:
    small = {key: value for key, value in MODELS[name].small.items() if key not in ("depths", "widths")}
    model = create_model(name, **{**small, "image_size": (least, least)}).eval()
    assert model(torch.randn(1, 3, least, least)).shape == (1, 4)
    with pytest.raises(RuntimeError):
        model(torch.randn(1, 3, least - 1, least - 1))


def test_a_zero_start_makes_every_block_its_shortcut() -> None:
    model = ResNet(3, 4, depths=(2, 2, 2, 2), widths=(4, 8, 8, 8), zero_init_residual=True).eval()
    block, x = model.layer1[1], torch.randn(2, 4, 8, 8).relu()
    assert torch.equal(block(x), x)


@pytest.mark.parametrize(("kind", "channels"), [(BasicBlock, 8), (Bottleneck, 32)])
def test_a_block_is_its_way_and_its_shortcut(kind: type[nn.Module], channels: int) -> None:
    block, x = kind(4, 8, 2).eval(), torch.randn(2, 4, 8, 8)
    assert block(x).shape == (2, channels, 4, 4)
    assert block.downsample[0].stride == (2, 2)
    assert kind(channels, 8).downsample is None
    with pytest.raises(ValueError, match="bottleneck"):
        BasicBlock(4, 8, groups=2)


def test_a_plain_network_has_the_same_weights_and_no_shortcut() -> None:
    plain = create_model("cifar_resnet20", depth=8, widths=(4, 8, 8), shortcut=False).eval()
    residual = create_model("cifar_resnet20", depth=8, widths=(4, 8, 8)).eval()
    residual.load_state_dict(plain.state_dict())
    x = torch.randn(2, 4, 8, 8)
    for conv in (plain.layer1[0].conv2, residual.layer1[0].conv2):
        nn.init.zeros_(conv.weight)
    assert torch.equal(plain.layer1[0](x), torch.zeros_like(x))
    assert torch.equal(residual.layer1[0](x), x.relu())


def test_googlenets_other_classifiers_speak_in_training_only() -> None:
    model, x = GoogLeNet(3, 5, divide=16, aux=True), torch.randn(4, 3, 32, 32)
    assert [out.shape for out in model.train()(x)] == [(4, 5)] * 3
    assert model.eval()(x).shape == (4, 5)


def test_stochastic_depth_leaves_whole_samples_as_they_came() -> None:
    torch.manual_seed(0)
    block, x = ConvNextBlock(4, 1.0, 0.5).train(), torch.randn(64, 4, 5, 5)
    same = (block(x) == x).flatten(1).all(1)
    assert 20 < same.sum() < 44
    assert not (block.eval()(x) == x).flatten(1).all(1).any()


def test_positions_of_a_grid_are_all_different_and_need_no_parameters() -> None:
    grid = sinusoids(4, 6, 16)
    assert grid.shape == (24, 16)
    assert torch.cdist(grid, grid).add(torch.eye(24)).min() > 0.1
    fixed = VisionTransformer(3, 4, image_size=(16, 16), patch=8, width=16, depth=1, heads=2, positions="sinusoidal", pool="mean")
    assert not any("pos_embedding" in name for name, _ in fixed.named_parameters())
    assert fixed(torch.randn(2, 3, 16, 16)).shape == (2, 4)


def test_whitened_patches_have_no_scale_and_no_direction() -> None:
    torch.manual_seed(0)
    images = torch.randn(500, 3, 8, 8).cumsum(3)  # neighbours are alike
    model = FastCifarNet()
    model.fit_whitening(images, eps=0.0)
    out = model.whiten(images) - model.whiten.bias[:, None, None]
    first, second = out[:, :12], out[:, 12:]
    assert torch.allclose(first, -second, atol=1e-4)
    flat = first.transpose(0, 1).flatten(1)
    assert torch.allclose(flat @ flat.T / flat.shape[1], torch.eye(12), atol=1e-2)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("resnet18", {"block": "basics"}),
        ("resnet18", {"depths": (2, 2)}),
        ("cifar_resnet20", {"depth": 21}),
        ("preact_resnet164", {"depth": 100}),
        ("vit_ti_16", {"heads": 5}),
        ("vit_ti_16", {"pool": "max"}),
        ("vgg11", {"depths": (1, 1)}),
    ],
)
def test_what_cannot_be_made_is_told(name: str, options: dict[str, object]) -> None:
    with pytest.raises(UsageError) as refused:
        create_model(name, **options)
    assert refused.value.code == "E202"


@pytest.mark.parametrize(
    ("depth", "file", "right"), [(20, "cifar10_resnet20-12fca82f.th", 0.915), (56, "cifar10_resnet56-4bfd9763.th", 0.926)]
)
def test_published_cifar_weights_load_and_are_as_right_as_they_are_said_to_be(depth: int, file: str, right: float, real_data: Path) -> None:
    model = create_model(f"cifar_resnet{depth}").eval()
    weights = read_weights(real_data / "checkpoints" / file)
    assert "conv1.weight" in weights
    load_weights(model, weights, name=file)
    held = cifar10_grids(real_data / "cifar10")
    assert held is not None
    images, labels = torch.from_numpy(held[2]), torch.from_numpy(held[3])
    x = (images / 255 - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    with torch.no_grad():
        found = torch.cat([model(some).argmax(1) for some in x.split(100)])
    assert abs((found == labels).double().mean().item() - right) <= 0.002
    with pytest.raises(DataError, match="tensors"):
        load_weights(made("resnet18"), weights, name=file)
