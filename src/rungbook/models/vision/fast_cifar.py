"""A small network that learns CIFAR-10 in seconds on a card.

After Jordan 2024, "94% on CIFAR-10 in 3.29 seconds on a single GPU" (airbench), section 3: a first layer that whitens patches of 2 x 2 and
is not trained, three groups of two convolutions with batch norm that has no factor, convolutions that start by handing on what they get.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rungbook.errors import UsageError


class ConvGroup(nn.Module):
    """Convolution, pooling, norm, GELU, convolution, norm, GELU.

    Shape: (B, in_channels, H, W) -> (B, out_channels, H / 2, W / 2).
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
        self.pool = nn.MaxPool2d(2)
        self.norm1 = nn.BatchNorm2d(out_channels, momentum=0.4, eps=1e-12)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels, momentum=0.4, eps=1e-12)
        for conv in (self.conv1, self.conv2):
            nn.init.dirac_(conv.weight[: conv.in_channels].data)  # the first maps are those that came in
        for norm in (self.norm1, self.norm2):
            norm.weight.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        """The new maps."""
        x = F.gelu(self.norm1(self.pool(self.conv1(x))))
        return F.gelu(self.norm2(self.conv2(x)))


class FastCifarNet(nn.Module):
    """Whitening, three groups, the largest value of each map, one linear layer.

    Args:
        in_channels: channels of the images.
        num_classes: outputs.
        image_size: height and width in pixels, 9 or more each.
        widths: maps of the three groups.
        scale: factor of the logits.

    Shape: (B, in_channels, H, W) -> (B, num_classes) logits.

    Raises:
        UsageError: E202 nothing would be left of the image after the third group.
    """

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 10,
        *,
        image_size: tuple[int, int] = (32, 32),
        widths: tuple[int, int, int] = (64, 256, 256),
        scale: float = 1 / 9,
    ) -> None:
        super().__init__()
        if min(image_size) < 9:
            raise UsageError(
                "E202", f"image_size {image_size} leaves nothing for the third group's pooling: 9 pixels a side or more.", "image_size=9"
            )
        patch = 4 * in_channels  # values of a patch of 2 x 2
        self.whiten = nn.Conv2d(in_channels, 2 * patch, 2)
        self.whiten.weight.requires_grad_(False)
        channels = (2 * patch, *widths)
        self.groups = nn.Sequential(*(ConvGroup(channels[i], channels[i + 1]) for i in range(3)))
        self.head = nn.Linear(widths[-1], num_classes, bias=False)
        self.scale = scale

    @torch.no_grad()
    def fit_whitening(self, images: Tensor, eps: float = 5e-4) -> None:
        """Set the first layer to the principal directions of patches, each divided by its spread, and to their negatives.

        Args:
            images: (B, in_channels, H, W), normalised as those to come; some thousands are enough.
            eps: added to the variances.
        """
        size = self.whiten.weight[0].numel()
        patches = F.unfold(images, 2).mT.reshape(-1, size)
        variances, directions = torch.linalg.eigh(patches.mT @ patches / len(patches))
        scaled = (directions / (variances + eps).sqrt()).mT.flip(0).reshape(size, *self.whiten.weight.shape[1:])
        self.whiten.weight.copy_(torch.cat([scaled, -scaled]))

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch of images."""
        x = self.groups(F.gelu(self.whiten(x)))  # (B, 256, h, w)
        return self.scale * self.head(x.amax((2, 3)))  # (B, num_classes)
