"""DenseNet-121 to -201: every layer reads all maps of its block so far.

Huang, Liu, van der Maaten and Weinberger 2017, "Densely connected convolutional networks", table 1 (DenseNet-BC, compression 0.5).
Names are torchvision's; its published weights fit (the oldest files write `norm.1` for `norm1`).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rungbook.errors import UsageError


class DenseLayer(nn.Module):
    """Norm, ReLU, 1x1 to four times `growth`, norm, ReLU, 3x3 to `growth` new maps, which are put behind those that came in.

    Shape: (B, in_channels, H, W) -> (B, in_channels + growth, H, W).
    """

    def __init__(self, in_channels: int, growth: int, bottleneck: int = 4) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv1 = nn.Conv2d(in_channels, bottleneck * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(bottleneck * growth)
        self.relu2 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(bottleneck * growth, growth, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """The maps that came in and the new ones."""
        new = self.conv1(self.relu1(self.norm1(x)))
        new = self.conv2(self.relu2(self.norm2(new)))
        return torch.cat([x, new], 1)


class Transition(nn.Sequential):
    """Half the maps by a 1x1 convolution, half the size by mean pooling."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(in_channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.pool = nn.AvgPool2d(2)


class DenseNet(nn.Module):
    """A 7x7 convolution and a pooling, dense blocks with transitions between them, the mean over the picture, one linear layer.

    Args:
        in_channels: channels of the images.
        num_classes: outputs.
        image_size: height and width in pixels; 29 or more each for four blocks.
        growth: new maps of each layer.
        depths: layers of each block.
        stem: maps of the first convolution.

    Shape: (B, in_channels, H, W) -> (B, num_classes) logits.

    Raises:
        UsageError: E202 nothing would be left of the image after the last transition.
    """

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 1000,
        *,
        image_size: tuple[int, int] = (224, 224),
        growth: int = 32,
        depths: tuple[int, ...] = (6, 12, 24, 16),
        stem: int = 64,
    ) -> None:
        super().__init__()
        least = 2 ** (len(depths) + 1) - 3  # two halvings that round up, then one a transition that rounds down
        if min(image_size) < least:
            raise UsageError(
                "E202",
                f"image_size {image_size} leaves nothing for DenseNet's last transition: {least} pixels a side or more.",
                f"image_size={least}",
            )
        self.features = nn.Sequential()
        self.features.add_module("conv0", nn.Conv2d(in_channels, stem, 7, stride=2, padding=3, bias=False))
        self.features.add_module("norm0", nn.BatchNorm2d(stem))
        self.features.add_module("relu0", nn.ReLU(inplace=True))
        self.features.add_module("pool0", nn.MaxPool2d(3, stride=2, padding=1))
        channels = stem
        for i, depth in enumerate(depths, 1):
            block = nn.Sequential()
            for j in range(1, depth + 1):
                block.add_module(f"denselayer{j}", DenseLayer(channels, growth))
                channels += growth
            self.features.add_module(f"denseblock{i}", block)
            if i < len(depths):
                self.features.add_module(f"transition{i}", Transition(channels, channels // 2))
                channels //= 2
        self.features.add_module(f"norm{len(depths) + 1}", nn.BatchNorm2d(channels))
        self.relu = nn.ReLU(inplace=True)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(channels, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
            elif isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch of images."""
        x = self.avgpool(self.relu(self.features(x))).flatten(1)  # (B, channels)
        return self.classifier(x)  # (B, num_classes)
