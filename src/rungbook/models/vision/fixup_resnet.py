"""The CIFAR ResNet without normalisation, made trainable by its start alone.

Zhang, Dauphin and Ma 2019, "Fixup initialization: residual learning without normalization", section 3.2: (1) the last layer of the network
and of each residual branch starts at zero, (2) the other layers start as He et al. (2015) have it, those within branches scaled by
L^(-1/(2m-2)) for L branches of m layers, (3) each branch has one multiplier, starting at 1, and a bias of one number, starting at 0, stands
before each convolution, linear layer and activation. Names of layers are those of the authors' code for CIFAR-10
(github.com/hongyi-zhang/Fixup). They train the single numbers (biases and multipliers) with a tenth of the learning rate and use mixup for
what normalisation did against overfitting; neither is part of the model.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def _number(value: float) -> nn.Parameter:
    return nn.Parameter(torch.full((1,), value))


class FixupBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut, with single numbers where batch norm stood.

    Shape: (B, in_channels, H, W) -> (B, width, H / stride, W / stride); width is in_channels or twice that.
    """

    def __init__(self, in_channels: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.bias1a = _number(0.0)
        self.conv1 = nn.Conv2d(in_channels, width, 3, stride=stride, padding=1, bias=False)
        self.bias1b = _number(0.0)
        self.bias2a = _number(0.0)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.scale = _number(1.0)
        self.bias2b = _number(0.0)
        self.stride, self.more = stride, width - in_channels

    def forward(self, x: Tensor) -> Tensor:
        """The block's output."""
        out = self.conv1(x + self.bias1a)
        out = F.relu(out + self.bias1b)
        out = self.conv2(out + self.bias2a) * self.scale + self.bias2b
        same = x
        if self.stride > 1 or self.more:
            same = (x + self.bias1a)[:, :, :: self.stride, :: self.stride]
            same = F.pad(same, (0, 0, 0, 0, 0, self.more))  # channels of zeros after the others
        return F.relu(out + same)


class FixupResNet(nn.Module):
    """A 3x3 convolution, three stages of n blocks, the mean over the picture, one linear layer: 6n + 2 layers.

    Args:
        in_channels: channels of the images.
        num_classes: outputs.
        image_size: height and width in pixels; any size will do, 32 is the paper's.
        depth: layers, 6n + 2.
        widths: channels of the stages; the picture is halved before each but the first.

    Shape: (B, in_channels, H, W) -> (B, num_classes) logits, all 0 before training.
    """

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 10,
        *,
        image_size: tuple[int, int] = (32, 32),
        depth: int = 20,
        widths: tuple[int, int, int] = (16, 32, 64),
    ) -> None:
        super().__init__()
        if depth < 8 or (depth - 2) % 6:
            raise ValueError(f"depth is {depth}, it must be 6n + 2: 8, 14, 20, 32, 44, 56, 110")
        if sorted(widths) != list(widths):
            raise ValueError(f"widths is {widths}; shortcuts without parameters can add channels, not take any away")
        self.conv1 = nn.Conv2d(in_channels, widths[0], 3, padding=1, bias=False)
        self.bias1 = _number(0.0)
        n, channels, stages = (depth - 2) // 6, widths[0], []
        for i, width in enumerate(widths):
            blocks = [FixupBlock(channels if j == 0 else width, width, 2 if i > 0 and j == 0 else 1) for j in range(n)]
            stages.append(nn.Sequential(*blocks))
            channels = width
        self.layer1, self.layer2, self.layer3 = stages
        self.bias2 = _number(0.0)
        self.fc = nn.Linear(channels, num_classes)
        self.reset_parameters(branches=3 * n)

    def reset_parameters(self, branches: int) -> None:
        """The paper's start for a network with so many residual branches; here m is 2, so the first layer of each is scaled by L^(-1/2)."""
        nn.init.kaiming_normal_(self.conv1.weight)
        for block in self.modules():
            if isinstance(block, FixupBlock):
                # like the authors, variance 2 / (outputs of a pixel): what keeps gradients rather than outputs as they are
                nn.init.kaiming_normal_(block.conv1.weight, mode="fan_out", nonlinearity="relu")
                with torch.no_grad():
                    block.conv1.weight.mul_(1 / math.sqrt(branches))
                nn.init.zeros_(block.conv2.weight)
        nn.init.zeros_(self.fc.weight)
        nn.init.zeros_(self.fc.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch of images."""
        x = F.relu(self.conv1(x) + self.bias1)  # (B, 16, H, W)
        x = self.layer3(self.layer2(self.layer1(x)))  # (B, 64, H/4, W/4)
        return self.fc(x.mean((2, 3)) + self.bias2)  # (B, num_classes)
