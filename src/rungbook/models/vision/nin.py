"""Network in network: small networks slide over the picture in place of filters, and no linear layer at the end.

Lin, Chen and Yan 2014, "Network in network", sections 3.1 and 3.2; the sizes of Zhang et al., "Dive into deep learning", section 8.3.
"""

from __future__ import annotations

from torch import Tensor, nn

from rungbook.errors import UsageError


def nin_block(in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, padding: int = 0) -> nn.Sequential:
    """A convolution and two 1x1 convolutions, each with ReLU: the same small network at every place."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size, stride=stride, padding=padding),
        nn.ReLU(inplace=True),
        nn.Conv2d(out_channels, out_channels, 1),
        nn.ReLU(inplace=True),
        nn.Conv2d(out_channels, out_channels, 1),
        nn.ReLU(inplace=True),
    )


class NiN(nn.Module):
    """Four such blocks with pooling between them; the last has a map a class, whose mean is the class's score.

    Args:
        in_channels: channels of the images.
        num_classes: outputs.
        image_size: height and width in pixels, 67 or more each.
        widths: maps of the first three blocks.
        dropout: probability of leaving out a feature before the last block.

    Shape: (B, in_channels, H, W) -> (B, num_classes) logits, none below 0.

    Raises:
        UsageError: E202 nothing would be left of the image after the third pooling.
    """

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 1000,
        *,
        image_size: tuple[int, int] = (224, 224),
        widths: tuple[int, int, int] = (96, 256, 384),
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        if min(image_size) < 67:
            raise UsageError(
                "E202", f"image_size {image_size} leaves nothing for NiN's third pooling: 67 pixels a side or more.", "image_size=67"
            )
        a, b, c = widths
        self.features = nn.Sequential(
            nin_block(in_channels, a, 11, stride=4),
            nn.MaxPool2d(3, stride=2),
            nin_block(a, b, 5, padding=2),
            nn.MaxPool2d(3, stride=2),
            nin_block(b, c, 3, padding=1),
            nn.MaxPool2d(3, stride=2),
            nn.Dropout(dropout),
            nin_block(c, num_classes, 3, padding=1),
        )
        self.avgpool = nn.AdaptiveAvgPool2d(1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch of images."""
        return self.avgpool(self.features(x)).flatten(1)  # (B, num_classes)
