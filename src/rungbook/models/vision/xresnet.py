"""XResNet: ResNet with the small changes that were found to help.

He et al. 2019, "Bag of tricks for image classification with convolutional neural networks", sections 3.1 and 4 (ResNet-C and -D: three
3x3 convolutions at the start, mean pooling in the shortcut; each block starts as its shortcut), in the form of fast.ai's course (2019).
"""

from __future__ import annotations

from torch import Tensor, nn


def conv_norm(
    in_channels: int, out_channels: int, kernel_size: int = 3, stride: int = 1, *, act: bool = True, zero: bool = False
) -> nn.Sequential:
    """Convolution, batch norm (whose factor starts at 0 if `zero`) and ReLU (if `act`)."""
    norm = nn.BatchNorm2d(out_channels)
    nn.init.constant_(norm.weight, 0.0 if zero else 1.0)
    conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride=stride, padding=kernel_size // 2, bias=False)
    return nn.Sequential(conv, norm, *([nn.ReLU(inplace=True)] if act else []))


class XBlock(nn.Module):
    """Two 3x3 convolutions, or 1x1, 3x3, 1x1, beside a shortcut that pools where the picture is halved.

    Shape: (B, in_channels, H, W) -> (B, expansion * width, H / stride, W / stride), rounded up.
    """

    def __init__(self, in_channels: int, width: int, stride: int, expansion: int) -> None:
        super().__init__()
        out_channels = expansion * width
        if expansion == 1:
            convs = [conv_norm(in_channels, width, 3, stride), conv_norm(width, out_channels, 3, act=False, zero=True)]
        else:
            convs = [
                conv_norm(in_channels, width, 1),
                conv_norm(width, width, 3, stride),
                conv_norm(width, out_channels, 1, act=False, zero=True),
            ]
        self.convs = nn.Sequential(*convs)
        self.pool = nn.AvgPool2d(2, ceil_mode=True) if stride == 2 else nn.Identity()
        self.idconv = nn.Identity() if in_channels == out_channels else conv_norm(in_channels, out_channels, 1, act=False)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """The block's output."""
        return self.act(self.convs(x) + self.idconv(self.pool(x)))


class XResNet(nn.Module):
    """Three convolutions and a pooling, four stages of blocks, the mean over the picture, one linear layer.

    Args:
        in_channels: channels of the images.
        num_classes: outputs.
        image_size: height and width in pixels; any size will do, 128 is the course's.
        depths: blocks of each stage; the picture is halved before each but the first.
        expansion: 1 for blocks of two convolutions, 4 for bottlenecks.
        stem: maps of the three convolutions at the start.
        widths: of each stage.

    Shape: (B, in_channels, H, W) -> (B, num_classes) logits.
    """

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 1000,
        *,
        image_size: tuple[int, int] = (224, 224),
        depths: tuple[int, ...] = (2, 2, 2, 2),
        expansion: int = 1,
        stem: tuple[int, int, int] = (32, 64, 64),
        widths: tuple[int, ...] = (64, 128, 256, 512),
    ) -> None:
        super().__init__()
        channels = (in_channels, *stem)
        self.stem = nn.Sequential(*(conv_norm(channels[i], channels[i + 1], 3, 2 if i == 0 else 1) for i in range(3)))
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        blocks: list[nn.Module] = []
        before = stem[-1]
        for i, (depth, width) in enumerate(zip(depths, widths, strict=True)):
            for j in range(depth):
                blocks.append(XBlock(before, width, 2 if i > 0 and j == 0 else 1, expansion))
                before = expansion * width
        self.blocks = nn.Sequential(*blocks)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(before, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch of images."""
        x = self.blocks(self.maxpool(self.stem(x)))  # (B, 512 expansion, H/32, W/32)
        return self.fc(self.avgpool(x).flatten(1))  # (B, num_classes)
