"""Fixup's network: its start as the paper has it, its size worked out, and that depth does not blow it up."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rungbook.errors import UsageError
from rungbook.models.registry import create_model
from rungbook.models.vision.fixup_resnet import FixupBlock, FixupResNet

covers = ["I05"]


def test_the_numbers_of_parameters() -> None:
    """Convolutions and linear layer of the CIFAR ResNet, without batch norm's 2 x 688, with 5 numbers a block and 2 besides."""
    convolutions = 9 * (3 * 16 + 6 * 16 * 16 + 16 * 32 + 5 * 32 * 32 + 32 * 64 + 5 * 64 * 64)
    assert sum(p.numel() for p in create_model("fixup_resnet20").parameters()) == convolutions + 64 * 10 + 10 + 9 * 5 + 2
    deep = create_model("fixup_resnet110")
    assert sum(isinstance(m, nn.Conv2d) for m in deep.modules()) + 1 == 110
    assert not any(isinstance(m, nn.BatchNorm2d) for m in deep.modules())


def test_the_start_is_the_papers() -> None:
    torch.manual_seed(0)
    model = create_model("fixup_resnet56")
    blocks = [m for m in model.modules() if isinstance(m, FixupBlock)]
    assert len(blocks) == 27
    for block in blocks:
        width = block.conv1.out_channels
        assert block.conv1.weight.std().item() == pytest.approx(math.sqrt(2 / (9 * width)) / math.sqrt(27), rel=0.1)
        assert not block.conv2.weight.any()
        numbers = [block.bias1a, block.bias1b, block.bias2a, block.bias2b, block.scale]
        assert [p.item() for p in numbers] == [0, 0, 0, 0, 1]
    assert not model.fc.weight.any()
    assert not model(torch.randn(2, 3, 32, 32)).any()
    assert list(FixupBlock(4, 4).state_dict()) == ["bias1a", "bias1b", "bias2a", "scale", "bias2b", "conv1.weight", "conv2.weight"]


def test_a_block_is_its_shortcut_at_first_and_its_formula_later() -> None:
    torch.manual_seed(0)
    block, x = FixupBlock(4, 4), torch.randn(2, 4, 6, 6).relu()
    nn.init.zeros_(block.conv2.weight)
    assert torch.equal(block(x), x)
    wide = FixupBlock(3, 6, 2)
    for p in wide.parameters():
        nn.init.normal_(p)
    x = torch.randn(2, 3, 6, 6)
    inner = F.relu(F.conv2d(x + wide.bias1a, wide.conv1.weight, stride=2, padding=1) + wide.bias1b)
    out = F.conv2d(inner + wide.bias2a, wide.conv2.weight, padding=1) * wide.scale + wide.bias2b
    same = torch.cat([(x + wide.bias1a)[:, :, ::2, ::2], torch.zeros(2, 3, 3, 3)], 1)
    torch.testing.assert_close(wide(x), F.relu(out + same))


def first_steps(model: nn.Module, rate: float = 0.05) -> list[float]:
    """Losses of a few steps of plain gradient descent."""
    x, y = torch.randn(16, 3, 8, 8, generator=torch.Generator().manual_seed(1)), torch.arange(16) % 4
    found = []
    for _ in range(8):
        loss = F.cross_entropy(model(x), y)
        found.append(loss.item())
        model.zero_grad()
        loss.backward()
        with torch.no_grad():
            for p in model.parameters():
                p -= rate * p.grad
    return found


class WithoutFixup(FixupResNet):
    """The same network, started as He and others have it everywhere."""

    def reset_parameters(self, branches: int) -> None:
        """Variance 2 / fan-in, zeros nowhere."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight)


def test_a_deep_one_learns_from_the_first_step_where_he_alone_explodes() -> None:
    losses: list[list[float]] = []
    for make in (FixupResNet, WithoutFixup):
        torch.manual_seed(0)
        losses.append(first_steps(make(3, 4, depth=56, widths=(4, 8, 8))))
    fixup, he = losses
    assert fixup[0] == pytest.approx(math.log(4))
    assert fixup[-1] < fixup[0]
    assert he[0] > 100 or not math.isfinite(he[-1]), "control"


def test_refusals() -> None:
    for wrong in ({"depth": 21}, {"widths": (8, 4, 4)}):
        with pytest.raises(UsageError, match="E202"):
            create_model("fixup_resnet20", **wrong)


def test_any_size_of_picture() -> None:
    model: nn.Module = create_model("fixup_resnet20", depth=8)
    sizes: list[Tensor] = [torch.randn(1, 3, *s) for s in ((7, 9), (32, 32))]
    assert [model(x).shape for x in sizes] == [(1, 10), (1, 10)]
