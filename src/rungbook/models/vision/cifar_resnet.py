"""ResNet-20 to -110 for images of 32 x 32: three stages, and shortcuts without parameters.

He, Zhang, Ren and Sun 2016, "Deep residual learning for image recognition", section 4.2. Where the shape changes, the shortcut takes
every second pixel and adds channels of zeros (option A). Names of layers are those of the weights published with
github.com/akamaster/pytorch_resnet_cifar10, which fit; images are normalised with `MEAN` and `STD` for these.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of red, green and blue in 0..1, as the published weights were trained."""


class CifarBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut without parameters, or without one: the paper's "plain" network.

    Shape: (B, in_channels, H, W) -> (B, width, H / stride, W / stride).
    """

    def __init__(self, in_channels: int, width: int, stride: int = 1, *, shortcut: bool = True) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.stride, self.more, self.shortcut = stride, width - in_channels, shortcut

    def forward(self, x: Tensor) -> Tensor:
        """The block's output."""
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if not self.shortcut:
            return F.relu(out)
        before = self.more // 2
        same = F.pad(
            x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, before, self.more - before)
        )  # zeros on both sides of the channels
        return F.relu(out + same)


class CifarResNet(nn.Module):
    """A 3x3 convolution, three stages of n blocks, the mean over the picture, one linear layer: 6n + 2 layers.

    Args:
        in_channels: channels of the images.
        num_classes: outputs.
        image_size: height and width in pixels; any size will do, 32 is the paper's.
        depth: layers, 6n + 2.
        widths: channels of the stages; the picture is halved before each but the first.
        shortcut: without, each layer only sees the one before it (the paper's section 4.2, "plain").

    Shape: (B, in_channels, H, W) -> (B, num_classes) logits.
    """

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 10,
        *,
        image_size: tuple[int, int] = (32, 32),
        depth: int = 20,
        widths: tuple[int, int, int] = (16, 32, 64),
        shortcut: bool = True,
    ) -> None:
        super().__init__()
        if depth < 8 or (depth - 2) % 6:
            raise ValueError(f"depth is {depth}, it must be 6n + 2: 8, 14, 20, 32, 44, 56, 110")
        self.conv1 = nn.Conv2d(in_channels, widths[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        n, channels, stages = (depth - 2) // 6, widths[0], []
        for i, width in enumerate(widths):
            blocks = []
            for j in range(n):
                blocks.append(CifarBlock(channels, width, 2 if i > 0 and j == 0 else 1, shortcut=shortcut))
                channels = width
            stages.append(nn.Sequential(*blocks))
        self.layer1, self.layer2, self.layer3 = stages
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(channels, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch of images."""
        x = F.relu(self.bn1(self.conv1(x)))  # (B, 16, H, W)
        x = self.layer3(self.layer2(self.layer1(x)))  # (B, 64, H/4, W/4)
        return self.linear(self.avgpool(x).flatten(1))  # (B, num_classes)
