"""ConvNeXt: a ResNet rebuilt with the habits of vision transformers.

Liu et al. 2022, "A ConvNet for the 2020s", section 2 and table 9. Names are torchvision's, so its published weights fit.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rungbook.errors import UsageError


class LayerNorm2d(nn.LayerNorm):
    """Layer norm over the channels of each pixel, (B, C, H, W)."""

    def forward(self, input: Tensor) -> Tensor:
        """The normalised maps."""
        return super().forward(input.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ToLast(nn.Module):
    """(B, C, H, W) -> (B, H, W, C)."""

    def forward(self, x: Tensor) -> Tensor:
        """A view."""
        return x.permute(0, 2, 3, 1)


class ToFirst(nn.Module):
    """(B, H, W, C) -> (B, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        """A view."""
        return x.permute(0, 3, 1, 2)


class ConvNextBlock(nn.Module):
    """7x7 convolution of each map by itself, layer norm, linear to four times the channels, GELU, linear back; scaled, beside a shortcut.

    Args:
        channels: in and out.
        scale: what the new part is multiplied with at the start, a number a channel (section 2.6 of the paper's appendix A).
        drop: probability of leaving out the new part of a sample altogether (stochastic depth, Huang et al. 2016).

    Shape: (B, channels, H, W) -> the same.
    """

    def __init__(self, channels: int, scale: float, drop: float) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv2d(channels, channels, 7, padding=3, groups=channels),
            ToLast(),
            nn.LayerNorm(channels, eps=1e-6),
            nn.Linear(channels, 4 * channels),
            nn.GELU(),
            nn.Linear(4 * channels, channels),
            ToFirst(),
        )
        self.layer_scale = nn.Parameter(torch.full((channels, 1, 1), scale))
        self.drop = drop

    def forward(self, x: Tensor) -> Tensor:
        """The block's output."""
        new = self.layer_scale * self.block(x)
        if self.training and self.drop:
            kept = torch.empty(len(x), 1, 1, 1, device=x.device, dtype=x.dtype).bernoulli_(1 - self.drop)
            new = new * kept / (1 - self.drop)
        return x + new


class ConvNeXt(nn.Module):
    """A 4x4 convolution with stride 4, four stages of blocks with 2x2 convolutions between, the mean over the picture, one linear layer.

    Args:
        in_channels: channels of the images.
        num_classes: outputs.
        image_size: height and width in pixels, 32 or more each; 224 is the published weights' own.
        depths: blocks of each stage.
        widths: channels of each stage.
        scale: start of the blocks' scale.
        drop_path: probability of leaving out the last block; earlier ones by where they stand.

    Shape: (B, in_channels, H, W) -> (B, num_classes) logits.

    Raises:
        UsageError: E202 nothing would be left of the image before the last stage.
    """

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 1000,
        *,
        image_size: tuple[int, int] = (224, 224),
        depths: tuple[int, ...] = (3, 3, 9, 3),
        widths: tuple[int, ...] = (96, 192, 384, 768),
        scale: float = 1e-6,
        drop_path: float = 0.1,
    ) -> None:
        super().__init__()
        if len(depths) != len(widths):
            raise ValueError(f"depths {depths} and widths {widths} must have one entry a stage each")
        least = 4 * 2 ** (len(depths) - 1)
        if min(image_size) < least:
            raise UsageError(
                "E202",
                f"image_size {image_size} leaves nothing for ConvNeXt's last stage: {least} pixels a side or more.",
                f"image_size={least}",
            )
        self.features = nn.Sequential(
            nn.Sequential(nn.Conv2d(in_channels, widths[0], 4, stride=4), LayerNorm2d(widths[0], eps=1e-6)),
        )
        drops = [drop_path * i / max(1, sum(depths) - 1) for i in range(sum(depths))]
        for i, (depth, width) in enumerate(zip(depths, widths, strict=True)):
            if i > 0:
                before = widths[i - 1]
                self.features.append(nn.Sequential(LayerNorm2d(before, eps=1e-6), nn.Conv2d(before, width, 2, stride=2)))
            done = sum(depths[:i])
            self.features.append(nn.Sequential(*(ConvNextBlock(width, scale, drops[done + j]) for j in range(depth))))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(LayerNorm2d(widths[-1], eps=1e-6), nn.Flatten(1), nn.Linear(widths[-1], num_classes))
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch of images."""
        return self.classifier(self.avgpool(self.features(x)))  # (B, num_classes)
