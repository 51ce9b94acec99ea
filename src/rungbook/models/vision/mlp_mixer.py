"""MLP-Mixer: patches without attention, mixed by linear layers along the patches and along the channels in turn.

Tolstikhin et al. 2021, "MLP-Mixer: an all-MLP architecture for vision", section 2 and table 1.
"""

from __future__ import annotations

import math

from torch import Tensor, nn

from rungbook.errors import UsageError


class Mlp(nn.Module):
    """Linear, GELU, linear, along the last dimension."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(features, hidden)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(hidden, features)

    def forward(self, x: Tensor) -> Tensor:
        """(..., features) -> the same."""
        return self.fc2(self.act(self.fc1(x)))


class MixerBlock(nn.Module):
    """One network for each channel along the patches, one for each patch along the channels; both after a layer norm, beside a shortcut.

    Shape: (B, patches, width) -> the same.
    """

    def __init__(self, patches: int, width: int, hidden_tokens: int, hidden_channels: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.mlp_tokens = Mlp(patches, hidden_tokens)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp_channels = Mlp(width, hidden_channels)

    def forward(self, x: Tensor) -> Tensor:
        """The mixed patches."""
        x = x + self.mlp_tokens(self.norm1(x).mT).mT
        return x + self.mlp_channels(self.norm2(x))


class MLPMixer(nn.Module):
    """Patches, mixer blocks, layer norm, the mean of the patches, one linear layer.

    Args:
        in_channels: channels of the images.
        num_classes: outputs.
        image_size: height and width in pixels; the patches must fill them.
        patch: side of a patch in pixels.
        width: features of a patch.
        depth: blocks.
        hidden_tokens, hidden_channels: units of the networks along patches and along channels.

    Shape: (B, in_channels, H, W) -> (B, num_classes) logits.

    Raises:
        UsageError: E202 the patches do not fill the image.
    """

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 1000,
        *,
        image_size: tuple[int, int] = (224, 224),
        patch: int = 16,
        width: int = 512,
        depth: int = 8,
        hidden_tokens: int = 256,
        hidden_channels: int = 2048,
    ) -> None:
        super().__init__()
        rows, columns = (side // patch for side in image_size)
        if (rows * patch, columns * patch) != tuple(image_size) or not rows * columns:
            raise UsageError(
                "E202",
                f"image_size {tuple(image_size)} is not filled by patches of {patch} x {patch}.",
                f"image_size={patch * max(1, math.ceil(max(image_size) / patch))}",
            )
        self.stem = nn.Conv2d(in_channels, width, patch, stride=patch)
        self.blocks = nn.Sequential(*(MixerBlock(rows * columns, width, hidden_tokens, hidden_channels) for _ in range(depth)))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch of images."""
        x = self.stem(x).flatten(2).mT  # (B, patches, width)
        return self.head(self.norm(self.blocks(x)).mean(1))  # (B, num_classes)
