"""ResNets whose shortcuts nothing stands in the way of: norm and ReLU before each convolution, for images of 32 x 32.

He, Zhang, Ren and Sun 2016, "Identity mappings in deep residual networks", figure 4e; depths and counts of table 4 and section 4:
ResNet-110 of basic blocks, ResNet-164 and -1001 of bottlenecks.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class PreActBlock(nn.Module):
    """Norm, ReLU, convolution, twice or (as bottleneck) three times, beside the untouched input.

    Args:
        in_channels, width: channels that come in, and of the 3x3 convolutions.
        stride: of the (first) 3x3 convolution.
        bottleneck: whether a 1x1 convolution stands before and one after, to four times `width`.

    Shape: (B, in_channels, H, W) -> (B, width or 4 width, H / stride, W / stride).
    """

    def __init__(self, in_channels: int, width: int, stride: int, *, bottleneck: bool) -> None:
        super().__init__()
        out_channels = 4 * width if bottleneck else width
        if bottleneck:
            plan = [(in_channels, width, 1, 1), (width, width, 3, stride), (width, out_channels, 1, 1)]
        else:
            plan = [(in_channels, width, 3, stride), (width, width, 3, 1)]
        self.norms = nn.ModuleList(nn.BatchNorm2d(i) for i, _, _, _ in plan)
        self.convs = nn.ModuleList(nn.Conv2d(i, o, k, stride=s, padding=k // 2, bias=False) for i, o, k, s in plan)
        changes = stride != 1 or in_channels != out_channels
        self.shortcut = nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False) if changes else None

    def forward(self, x: Tensor) -> Tensor:
        """The block's output; where the shape changes, the projection reads what the first norm and ReLU give."""
        out = first = F.relu(self.norms[0](x))
        out = self.convs[0](out)
        for norm, conv in zip(list(self.norms)[1:], list(self.convs)[1:], strict=True):
            out = conv(F.relu(norm(out)))
        return out + (x if self.shortcut is None else self.shortcut(first))


class PreActResNet(nn.Module):
    """A 3x3 convolution, three stages of blocks, a last norm and ReLU, the mean over the picture, one linear layer.

    Args:
        in_channels: channels of the images.
        num_classes: outputs.
        image_size: height and width in pixels; any size will do, 32 is the paper's.
        depth: layers: 6n + 2 of basic blocks, 9n + 2 of bottlenecks.
        bottleneck: which of them.
        widths: channels of the stages; the picture is halved before each but the first.

    Shape: (B, in_channels, H, W) -> (B, num_classes) logits.
    """

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 10,
        *,
        image_size: tuple[int, int] = (32, 32),
        depth: int = 164,
        bottleneck: bool = True,
        widths: tuple[int, int, int] = (16, 32, 64),
    ) -> None:
        super().__init__()
        layers = 9 if bottleneck else 6
        if depth < layers + 2 or (depth - 2) % layers:
            raise ValueError(f"depth is {depth}, it must be {layers}n + 2: {layers + 2}, {2 * layers + 2}, {3 * layers + 2}, ...")
        self.conv1 = nn.Conv2d(in_channels, widths[0], 3, padding=1, bias=False)
        channels, blocks = widths[0], []
        for i, width in enumerate(widths):
            for j in range((depth - 2) // layers):
                blocks.append(PreActBlock(channels, width, 2 if i > 0 and j == 0 else 1, bottleneck=bottleneck))
                channels = 4 * width if bottleneck else width
        self.blocks = nn.Sequential(*blocks)
        self.bn = nn.BatchNorm2d(channels)
        self.fc = nn.Linear(channels, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch of images."""
        x = F.relu(self.bn(self.blocks(self.conv1(x))))  # (B, channels, H/4, W/4)
        return self.fc(x.mean((2, 3)))  # (B, num_classes)
