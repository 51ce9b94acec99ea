"""ResNets whose blocks weigh their maps by what the whole picture holds.

Hu, Shen and Sun 2018, "Squeeze-and-excitation networks", sections 3 and 4 (SE-ResNet-50: table 1).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rungbook.models.vision.resnet import BasicBlock, Bottleneck, ResNet


class SqueezeExcite(nn.Module):
    """The mean of each map, two linear layers, a sigmoid: a factor for each map.

    Args:
        channels: maps.
        reduction: how many times fewer units lie between the linear layers.

    Shape: (B, channels, H, W) -> the same.
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, max(1, channels // reduction))
        self.fc2 = nn.Linear(max(1, channels // reduction), channels)

    def forward(self, x: Tensor) -> Tensor:
        """The maps, each times its factor."""
        factor = torch.sigmoid(self.fc2(torch.relu(self.fc1(x.mean((2, 3))))))
        return x * factor[:, :, None, None]


class SEResNet(ResNet):
    """`ResNet` with a squeeze-and-excitation at the end of each block, before its shortcut is added.

    Args:
        in_channels, num_classes, image_size, block, depths, widths: as of `ResNet`.
        reduction: as of `SqueezeExcite`.

    Shape: (B, in_channels, H, W) -> (B, num_classes) logits.
    """

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 1000,
        *,
        image_size: tuple[int, int] = (224, 224),
        block: str = "bottleneck",
        depths: tuple[int, ...] = (3, 4, 6, 3),
        widths: tuple[int, ...] = (64, 128, 256, 512),
        reduction: int = 16,
    ) -> None:
        super().__init__(in_channels, num_classes, image_size=image_size, block=block, depths=depths, widths=widths)
        for one in list(self.modules()):
            if isinstance(one, BasicBlock | Bottleneck):
                last = "bn3" if isinstance(one, Bottleneck) else "bn2"
                norm = getattr(one, last)
                setattr(one, last, nn.Sequential(norm, SqueezeExcite(norm.num_features, reduction)))
