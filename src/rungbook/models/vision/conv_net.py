"""A small convolutional network with batch normalisation: the default for a folder of images.

Blocks of (3x3 convolution, batch norm, ReLU) with pooling between them, then the mean over the picture (Lin, Chen and Yan 2014,
"Network in network", section 3.2), so that any image size works. Batch norm: Ioffe and Szegedy 2015.
"""

from __future__ import annotations

from torch import Tensor, nn

from rungbook.errors import UsageError


def _conv(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False),  # batch norm brings the bias
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


class ConvNet(nn.Module):
    """One convolution block for each entry of `widths`, halving the picture after each but the last.

    Args:
        in_channels: channels of the images.
        num_classes: outputs.
        image_size: height and width in pixels; at least 2 to the power of the number of blocks less one.
        widths: output channels of the blocks.
        dropout: probability of leaving out a feature before the last layer.

    Shape: (B, in_channels, H, W) -> (B, num_classes) logits.
    """

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 10,
        *,
        image_size: tuple[int, int] = (64, 64),
        widths: tuple[int, ...] = (32, 64, 128, 256),
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        least = 2 ** (len(widths) - 1)
        if min(image_size) < least:
            raise UsageError(
                "E202",
                f"image_size {image_size} leaves nothing for ConvNet's block {len(widths)}: {least} pixels a side or more.",
                f"image_size={least}",
            )
        layers: list[nn.Module] = []
        for i, width in enumerate(widths):
            layers.append(_conv(in_channels if i == 0 else widths[i - 1], width))
            if i + 1 < len(widths):
                layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(widths[-1], num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch of images."""
        x = self.pool(self.features(x)).flatten(1)  # (B, widths[-1])
        return self.fc(self.dropout(x))  # (B, num_classes)
