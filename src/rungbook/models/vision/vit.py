"""Vision transformer: an image as a sequence of patches.

Dosovitskiy et al. 2021, "An image is worth 16x16 words", section 3.1 and table 1; Ti and S are from Touvron et al. 2021 (DeiT), table 1.
Names are torchvision's, so its published weights fit. Mean pooling and fixed sinusoidal positions: Beyer, Zhai and Kolesnikov 2022.
"""

from __future__ import annotations

import math
from collections import OrderedDict

import torch
from torch import Tensor, nn

from rungbook.errors import UsageError


class EncoderLayer(nn.Module):
    """Attention and a two-layer network, each after a layer norm and beside a shortcut.

    Args:
        width: features of a token.
        heads: of the attention; they share `width` between them.
        hidden: units between the two linear layers.
        dropout: probability of leaving out a unit after attention and after each linear layer.
        eps: of the layer norms.

    Shape: (B, T, width) -> the same.
    """

    def __init__(self, width: int, heads: int, hidden: int, dropout: float, eps: float = 1e-6) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(width, eps=eps)
        self.self_attention = nn.MultiheadAttention(width, heads, dropout=dropout, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.ln_2 = nn.LayerNorm(width, eps=eps)
        linears = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.mlp = nn.Sequential(linears[0], nn.GELU(), nn.Dropout(dropout), linears[1], nn.Dropout(dropout))
        for linear in linears:
            nn.init.xavier_uniform_(linear.weight)
            nn.init.normal_(linear.bias, std=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        """The tokens, each having looked at all others."""
        normed = self.ln_1(x)
        x = x + self.dropout(self.self_attention(normed, normed, normed, need_weights=False)[0])
        return x + self.mlp(self.ln_2(x))


class Encoder(nn.Module):
    """Positions, layers, a last layer norm."""

    def __init__(
        self, tokens: int, width: int, depth: int, heads: int, hidden: int, dropout: float, positions: Tensor | None, eps: float = 1e-6
    ) -> None:
        super().__init__()
        if positions is None:
            self.pos_embedding = nn.Parameter(torch.empty(1, tokens, width).normal_(std=0.02))
        else:
            self.register_buffer("pos_embedding", positions[None], persistent=False)
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.Sequential()
        for i in range(depth):
            self.layers.add_module(f"encoder_layer_{i}", EncoderLayer(width, heads, hidden, dropout, eps))
        self.ln = nn.LayerNorm(width, eps=eps)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, width) -> the same."""
        return self.ln(self.layers(self.dropout(x + self.pos_embedding)))


def sinusoids(height: int, width: int, features: int) -> Tensor:
    """Positions of a grid as sines and cosines of row and column, a quarter of the features each: (height * width, features)."""
    if features % 4:
        raise ValueError(f"width is {features}, with sinusoidal positions it must be divisible by 4")
    rate = 10_000.0 ** (-torch.arange(features // 4) / max(1, features // 4 - 1))
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    angles = [place.flatten()[:, None] * rate for place in (columns, rows)]
    return torch.cat([wave(a) for a in angles for wave in (torch.sin, torch.cos)], 1)


class VisionTransformer(nn.Module):
    """Patches as tokens, a transformer encoder, one linear layer on a class token or on the mean of all.

    Args:
        in_channels: channels of the images.
        num_classes: outputs.
        image_size: height and width in pixels; the patches must fill them.
        patch: side of a patch in pixels.
        width: features of a token.
        depth: layers.
        heads: of each layer's attention.
        hidden: units of each layer's network; four times `width` if 0.
        dropout: probability of leaving out a unit.
        pool: "cls" reads a token that stands for the class, "mean" the mean of all patches.
        positions: "learned", or "sinusoidal" without parameters.
        norm_eps: added to the variance in layer norms; torchvision takes 1e-6, the weights of Hugging Face 1e-12.

    Shape: (B, in_channels, H, W) -> (B, num_classes) logits.

    Raises:
        ValueError: patches that do not fill the image (UsageError E202), heads that do not share the width, unknown `pool` or `positions`.
    """

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 1000,
        *,
        image_size: tuple[int, int] = (224, 224),
        patch: int = 16,
        width: int = 768,
        depth: int = 12,
        heads: int = 12,
        hidden: int = 0,
        dropout: float = 0.0,
        pool: str = "cls",
        positions: str = "learned",
        norm_eps: float = 1e-6,
    ) -> None:
        super().__init__()
        rows, columns = (side // patch for side in image_size)
        if (rows * patch, columns * patch) != tuple(image_size) or not rows * columns:
            raise UsageError(
                "E202",
                f"image_size {tuple(image_size)} is not filled by patches of {patch} x {patch}.",
                f"image_size={patch * max(1, math.ceil(max(image_size) / patch))}",
            )
        if width % heads:
            raise ValueError(f"width {width} cannot be shared by {heads} heads")
        if pool not in ("cls", "mean") or positions not in ("learned", "sinusoidal"):
            raise ValueError(f'pool is {pool!r} ("cls" or "mean"), positions is {positions!r} ("learned" or "sinusoidal")')
        self.conv_proj = nn.Conv2d(in_channels, width, patch, stride=patch)
        fixed = None
        if positions == "sinusoidal":
            fixed = sinusoids(rows, columns, width)
            fixed = torch.cat([torch.zeros(1, width), fixed]) if pool == "cls" else fixed
        self.class_token = nn.Parameter(torch.zeros(1, 1, width)) if pool == "cls" else None
        self.encoder = Encoder(rows * columns + (pool == "cls"), width, depth, heads, hidden or 4 * width, dropout, fixed, norm_eps)
        head = nn.Linear(width, num_classes)
        self.heads = nn.Sequential(OrderedDict(head=head))
        for part in (self.conv_proj, head):
            assert part.bias is not None
            nn.init.zeros_(part.bias)
        nn.init.trunc_normal_(self.conv_proj.weight, std=math.sqrt(1 / (in_channels * patch**2)))
        nn.init.zeros_(head.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch of images."""
        x = self.conv_proj(x).flatten(2).mT  # (B, patches, width)
        if self.class_token is not None:
            x = torch.cat([self.class_token.expand(len(x), -1, -1), x], 1)
        x = self.encoder(x)
        return self.heads(x[:, 0] if self.class_token is not None else x.mean(1))  # (B, num_classes)
