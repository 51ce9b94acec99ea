"""GoogLeNet: blocks of four paths side by side.

Szegedy et al. 2015, "Going deeper with convolutions", table 1. As in torchvision's form, whose published weights fit, batch norm
(Ioffe and Szegedy 2015) takes the place of local response normalisation, and the path of 5x5 convolutions has 3x3 ones.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rungbook.errors import UsageError


class ConvNorm(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, padding: int = 0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride=stride, padding=padding, bias=False)
        self.bn = nn.BatchNorm2d(out_channels, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        """The new maps."""
        return F.relu(self.bn(self.conv(x)), inplace=True)


class Inception(nn.Module):
    """1x1; 1x1 then 3x3; 1x1 then 3x3; pooling then 1x1: put side by side.

    Args:
        in_channels: channels that come in.
        one, before_a, a, before_b, b, pooled: maps of the 1x1, before the first 3x3, of it, before the second, of it, after pooling:
            a row of the paper's table.

    Shape: (B, in_channels, H, W) -> (B, one + a + b + pooled, H, W).
    """

    def __init__(self, in_channels: int, one: int, before_a: int, a: int, before_b: int, b: int, pooled: int) -> None:
        super().__init__()
        self.out_channels = one + a + b + pooled
        self.branch1 = ConvNorm(in_channels, one, 1)
        self.branch2 = nn.Sequential(ConvNorm(in_channels, before_a, 1), ConvNorm(before_a, a, 3, padding=1))
        self.branch3 = nn.Sequential(ConvNorm(in_channels, before_b, 1), ConvNorm(before_b, b, 3, padding=1))
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1, ceil_mode=True), ConvNorm(in_channels, pooled, 1))

    def forward(self, x: Tensor) -> Tensor:
        """The maps of all paths."""
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


class Auxiliary(nn.Module):
    """A classifier on the maps of a middle block, whose loss shortens the way of the gradient (section 5 of the paper)."""

    def __init__(self, in_channels: int, num_classes: int, hidden: int) -> None:
        super().__init__()
        self.conv = ConvNorm(in_channels, 128, 1)
        self.fc1 = nn.Linear(128 * 4 * 4, hidden)
        self.fc2 = nn.Linear(hidden, num_classes)
        self.dropout = nn.Dropout(0.7)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        x = self.conv(F.adaptive_avg_pool2d(x, 4)).flatten(1)
        return self.fc2(self.dropout(F.relu(self.fc1(x))))


TABLE = (
    (64, 96, 128, 16, 32, 32),  # 3a
    (128, 128, 192, 32, 96, 64),
    (192, 96, 208, 16, 48, 64),  # 4a
    (160, 112, 224, 24, 64, 64),
    (128, 128, 256, 24, 64, 64),
    (112, 144, 288, 32, 64, 64),
    (256, 160, 320, 32, 128, 128),
    (256, 160, 320, 32, 128, 128),  # 5a
    (384, 192, 384, 48, 128, 128),
)
"""Widths of the paths of each block: table 1 of the paper."""


class GoogLeNet(nn.Module):
    """Three convolutions, nine blocks of four paths, the mean over the picture, one linear layer.

    Args:
        in_channels: channels of the images.
        num_classes: outputs.
        image_size: height and width in pixels, 15 or more; 224 is the published weights' own.
        aux: whether blocks 4a and 4d have classifiers of their own, as the published weights have.
        divide: all widths are divided by it: 1 is the paper's network, 8 a small one.
        dropout: probability of leaving out a feature before the last layer.

    Shape: (B, in_channels, H, W) -> (B, num_classes) logits; with `aux`, in training, a tuple of three: these, those of 4a, those of 4d.
    """

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 1000,
        *,
        image_size: tuple[int, int] = (224, 224),
        aux: bool = False,
        divide: int = 1,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        if min(image_size) < 15:
            raise UsageError(
                "E202", f"image_size {image_size} leaves nothing for GoogLeNet's third pooling: 15 pixels a side or more.", "image_size=15"
            )
        self.conv1 = ConvNorm(in_channels, 64 // divide, 7, stride=2, padding=3)
        self.maxpool1 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.conv2 = ConvNorm(64 // divide, 64 // divide, 1)
        self.conv3 = ConvNorm(64 // divide, 192 // divide, 3, padding=1)
        self.maxpool2 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.maxpool3 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.maxpool4 = nn.MaxPool2d(2, stride=2, ceil_mode=True)
        channels, blocks = [192 // divide], []
        for row in TABLE:
            blocks.append(Inception(channels[-1], *(max(1, width // divide) for width in row)))
            channels.append(blocks[-1].out_channels)
        self.inception3a, self.inception3b, self.inception4a, self.inception4b, self.inception4c = blocks[:5]
        self.inception4d, self.inception4e, self.inception5a, self.inception5b = blocks[5:]
        self.aux1 = Auxiliary(channels[3], num_classes, 1024 // divide) if aux else None
        self.aux2 = Auxiliary(channels[6], num_classes, 1024 // divide) if aux else None
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(channels[-1], num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.01, a=-0.02, b=0.02)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor, Tensor]:
        """Logits of a batch of images."""
        x = self.maxpool1(self.conv1(x))  # (B, 64, H/4, W/4)
        x = self.maxpool2(self.conv3(self.conv2(x)))  # (B, 192, H/8, W/8)
        x = self.maxpool3(self.inception3b(self.inception3a(x)))  # (B, 480, H/16, W/16)
        x = self.inception4a(x)
        first = self.aux1(x) if self.aux1 is not None and self.training else None
        x = self.inception4d(self.inception4c(self.inception4b(x)))
        second = self.aux2(x) if self.aux2 is not None and self.training else None
        x = self.maxpool4(self.inception4e(x))  # (B, 832, H/32, W/32)
        x = self.avgpool(self.inception5b(self.inception5a(x))).flatten(1)  # (B, 1024)
        logits = self.fc(self.dropout(x))
        return logits if first is None or second is None else (logits, first, second)
