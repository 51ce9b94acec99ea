"""The image models: sizes worked out by hand, and what sets each apart."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rungbook.models.vision.conv_net import ConvNet
from rungbook.models.vision.lenet import LeNet, LeNetSigmoid
from rungbook.models.vision.two_conv import TwoConvNet


def count(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def test_lenet_has_the_papers_numbers() -> None:
    """Filters, biases and units of LeCun et al. 1998 with every map seeing all maps, on 28 x 28 with padding 2 (32 x 32 in the paper)."""
    by_hand = (25 + 1) * 6 + (6 * 25 + 1) * 16 + (16 * 25 + 1) * 120 + (120 + 1) * 84 + (84 + 1) * 10
    assert by_hand == 61_706
    assert count(LeNet()) == count(LeNetSigmoid()) == 61_706
    assert count(LeNet(3, 7, image_size=(32, 40))) == (75 + 1) * 6 + 151 * 16 + (16 * 6 * 8 + 1) * 120 + 121 * 84 + 85 * 7


def test_lenet_step_by_step() -> None:
    model, x = LeNet(), torch.randn(2, 1, 28, 28)
    maps = model.pool(torch.relu(model.conv1(x)))
    assert maps.shape == (2, 6, 14, 14)
    maps = model.pool(torch.relu(model.conv2(maps)))
    assert maps.shape == (2, 16, 5, 5)
    units = torch.relu(model.fc2(torch.relu(model.fc1(maps.flatten(1)))))
    assert torch.allclose(model(x), model.fc3(units))


def test_the_original_differs_in_activation_pooling_and_start() -> None:
    model = LeNetSigmoid()
    assert isinstance(model.act, nn.Sigmoid)
    assert isinstance(model.pool, nn.AvgPool2d)
    bound = (6 / (256 + 120)) ** 0.5
    assert LeNetSigmoid(image_size=(24, 24)).fc1.weight.shape == (120, 16 * 4 * 4)
    weights = LeNetSigmoid(image_size=(24, 24)).fc1.weight.detach()
    assert weights.abs().max() <= bound, "Glorot's uniform distribution"
    assert weights.std().item() == pytest.approx(bound / 3**0.5, rel=0.02)
    assert model.state_dict().keys() == LeNet().state_dict().keys(), "the two forms can exchange their weights"


@pytest.mark.parametrize("size", [(12, 12), (28, 28), (33, 47)])
def test_lenet_of_other_sizes(size: tuple[int, int]) -> None:
    assert LeNet(image_size=size)(torch.zeros(1, 1, *size)).shape == (1, 10)


@pytest.mark.parametrize(
    ("make", "size", "needed"), [(LeNet, (11, 28), "12 pixels"), (TwoConvNet, (15, 15), "16 pixels"), (ConvNet, (7, 99), "8 pixels")]
)
def test_too_small_is_said(make: type[nn.Module], size: tuple[int, int], needed: str) -> None:
    with pytest.raises(ValueError, match=needed):
        make(image_size=size)


def test_two_conv_finds_its_features() -> None:
    assert count(TwoConvNet()) == (25 + 1) * 10 + (250 + 1) * 20 + (20 * 4 * 4 + 1) * 64 + (64 + 1) * 10
    assert TwoConvNet(3, 5, image_size=(32, 48))(torch.zeros(2, 3, 32, 48)).shape == (2, 5)
    state = torch.get_rng_state()
    torch.manual_seed(0)
    one = TwoConvNet()
    torch.manual_seed(0)
    two = TwoConvNet(dropout=0.5)
    torch.set_rng_state(state)
    assert torch.equal(one.fc2.weight, two.fc2.weight), "dropout takes no draw from the start"


def test_conv_net_works_on_any_size_and_counts() -> None:
    model = ConvNet(1, 4, image_size=(8, 8), widths=(4, 8))
    assert count(model) == 9 * 4 + 2 * 4 + 4 * 9 * 8 + 2 * 8 + 8 * 4 + 4, "no bias where batch norm has one"
    for size in ((8, 8), (9, 31), (64, 64)):
        assert model.eval()(torch.randn(2, 1, *size)).shape == (2, 4)


def test_conv_net_is_in_two_minds() -> None:
    """Batch norm and dropout: batches matter in training, not afterwards."""
    torch.manual_seed(0)
    model, x = ConvNet(1, 3, image_size=(16, 16), widths=(8, 8), dropout=0.5), torch.randn(6, 1, 16, 16)
    assert not torch.equal(model.train()(x), model(x))
    assert torch.equal(model.eval()(x), model(x))
    assert torch.allclose(model(x)[:1], model(x[:1]), atol=1e-6)
