"""ResNet-18 to -152, and ResNeXt with grouped convolutions.

He, Zhang, Ren and Sun 2016, "Deep residual learning for image recognition", table 1; Xie et al. 2017, "Aggregated residual
transformations for deep neural networks", table 1. Names are torchvision's, so its published weights fit. As there, the stride of a
bottleneck sits in its 3x3 convolution (the paper has it in the first 1x1; Goyal et al. 2017 found this better by half a point).
"""

from __future__ import annotations

from torch import Tensor, nn


def conv3x3(in_channels: int, out_channels: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """A convolution that keeps the size but for the stride; batch norm brings the bias."""
    return nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, groups=groups, bias=False)


def conv1x1(in_channels: int, out_channels: int, stride: int = 1) -> nn.Conv2d:
    """A linear layer at every pixel, or at every `stride`-th."""
    return nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut.

    Args:
        in_channels, width: channels that come in, and of the block.
        stride: of the first convolution.
        groups, width_per_group: 1 and 64; grouped blocks are bottlenecks.

    Shape: (B, in_channels, H, W) -> (B, width, H / stride, W / stride).
    """

    expansion = 1

    def __init__(self, in_channels: int, width: int, stride: int = 1, *, groups: int = 1, width_per_group: int = 64) -> None:
        super().__init__()
        if (groups, width_per_group) != (1, 64):
            raise ValueError("grouped convolutions stand in bottleneck blocks: block='bottleneck'")
        self.conv1 = conv3x3(in_channels, width, stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = conv3x3(width, width)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = shortcut(in_channels, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """The block's output."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return self.relu(out + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    """1x1 to fewer channels, 3x3 among these, 1x1 to four times `width`, beside a shortcut.

    Args:
        in_channels, width: channels that come in, and a quarter of those that go out.
        stride: of the 3x3 convolution.
        groups: of the 3x3 convolution.
        width_per_group: its channels a group at `width` 64.

    Shape: (B, in_channels, H, W) -> (B, 4 width, H / stride, W / stride).
    """

    expansion = 4

    def __init__(self, in_channels: int, width: int, stride: int = 1, *, groups: int = 1, width_per_group: int = 64) -> None:
        super().__init__()
        inner, out_channels = width * width_per_group // 64 * groups, width * self.expansion
        self.conv1 = conv1x1(in_channels, inner)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = conv3x3(inner, inner, stride, groups)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = conv1x1(inner, out_channels)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = shortcut(in_channels, out_channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """The block's output."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        return self.relu(out + (x if self.downsample is None else self.downsample(x)))


def shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Sequential | None:
    """A projection where the shapes differ (option B of the paper), None where the input itself is added."""
    if stride == 1 and in_channels == out_channels:
        return None
    return nn.Sequential(conv1x1(in_channels, out_channels, stride), nn.BatchNorm2d(out_channels))


BLOCKS: dict[str, type[BasicBlock] | type[Bottleneck]] = {"basic": BasicBlock, "bottleneck": Bottleneck}


class ResNet(nn.Module):
    """A 7x7 convolution and a pooling, four stages of residual blocks, the mean over the picture, one linear layer.

    Args:
        in_channels: channels of the images.
        num_classes: outputs.
        image_size: height and width in pixels; any size will do, 224 is the published weights' own.
        block: "basic" or "bottleneck".
        depths: blocks of each stage; the picture is halved before each but the first.
        widths: channels of each stage, before the fourfold growth of bottlenecks.
        groups, width_per_group: of the 3x3 convolutions of bottlenecks; 32 and 4 make ResNeXt-50 (32x4d).
        zero_init_residual: whether each block starts as its shortcut (Goyal et al. 2017, section 5.1).

    Shape: (B, in_channels, H, W) -> (B, num_classes) logits.
    """

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 1000,
        *,
        image_size: tuple[int, int] = (224, 224),
        block: str = "basic",
        depths: tuple[int, ...] = (2, 2, 2, 2),
        widths: tuple[int, ...] = (64, 128, 256, 512),
        groups: int = 1,
        width_per_group: int = 64,
        zero_init_residual: bool = False,
    ) -> None:
        super().__init__()
        if block not in BLOCKS:
            raise ValueError(f"block is {block!r}, it must be one of {', '.join(BLOCKS)}")
        if len(depths) != 4 or len(widths) != 4:
            raise ValueError(f"depths {depths} and widths {widths} must have four entries each, one a stage")
        kind = BLOCKS[block]
        self.conv1 = nn.Conv2d(in_channels, widths[0], 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        channels, stages = widths[0], []
        for i, (depth, width) in enumerate(zip(depths, widths, strict=True)):
            blocks: list[nn.Module] = []
            for j in range(depth):
                stride = 2 if i > 0 and j == 0 else 1
                blocks.append(kind(channels, width, stride, groups=groups, width_per_group=width_per_group))
                channels = width * kind.expansion
            stages.append(nn.Sequential(*blocks))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, num_classes)
        self._start(zero_init_residual)

    def _start(self, zero_init_residual: bool) -> None:
        """He et al. 2015, by the number of outputs, for convolutions; blocks may start as nothing but their shortcut."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        for module in self.modules() if zero_init_residual else ():
            if isinstance(module, BasicBlock | Bottleneck):
                last = module.bn3 if isinstance(module, Bottleneck) else module.bn2
                nn.init.zeros_(last.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch of images."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))  # (B, 64, H/4, W/4)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))  # (B, 512 expansion, H/32, W/32)
        return self.fc(self.avgpool(x).flatten(1))  # (B, num_classes)
