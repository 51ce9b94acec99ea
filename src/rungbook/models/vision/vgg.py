"""VGG-11, -13, -16 and -19, with and without batch norm.

Simonyan and Zisserman 2015, "Very deep convolutional networks for large-scale image recognition", table 1, columns A, B, D and E.
Names are torchvision's, so its published weights fit.
"""

from __future__ import annotations

from torch import Tensor, nn

from rungbook.errors import UsageError


class VGG(nn.Module):
    """Stages of 3x3 convolutions, each ended by a pooling, and three linear layers.

    Args:
        in_channels: channels of the images.
        num_classes: outputs.
        image_size: height and width in pixels, 32 or more each; 224 is the published weights' own.
        depths: convolutions of each stage: (1, 1, 2, 2, 2) makes VGG-11.
        widths: channels of each stage.
        batch_norm: whether one follows each convolution.
        hidden: units of the two hidden linear layers.
        dropout: probability of leaving out one of these.
        pooled: side of the map that the linear layers read, whatever the size of the image.

    Shape: (B, in_channels, H, W) -> (B, num_classes) logits.

    Raises:
        UsageError: E202 nothing would be left of the image after the last pooling.
    """

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 1000,
        *,
        image_size: tuple[int, int] = (224, 224),
        depths: tuple[int, ...] = (1, 1, 2, 2, 2),
        widths: tuple[int, ...] = (64, 128, 256, 512, 512),
        batch_norm: bool = False,
        hidden: int = 4096,
        dropout: float = 0.5,
        pooled: int = 7,
    ) -> None:
        super().__init__()
        if len(depths) != len(widths):
            raise ValueError(f"depths {depths} and widths {widths} must have one entry a stage each")
        if min(image_size) < 2 ** len(depths):
            raise UsageError(
                "E202",
                f"image_size {image_size} leaves nothing for VGG's last pooling: {2 ** len(depths)} pixels a side or more.",
                f"image_size={2 ** len(depths)}",
            )
        layers: list[nn.Module] = []
        channels = in_channels
        for depth, width in zip(depths, widths, strict=True):
            for _ in range(depth):
                layers.append(nn.Conv2d(channels, width, 3, padding=1))
                layers += [nn.BatchNorm2d(width)] if batch_norm else []
                layers.append(nn.ReLU(inplace=True))
                channels = width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(pooled)
        self.classifier = nn.Sequential(
            nn.Linear(channels * pooled**2, hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(hidden, num_classes),
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, 0, 0.01)
            if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch of images."""
        x = self.avgpool(self.features(x)).flatten(1)  # (B, 512 * 7 * 7)
        return self.classifier(x)  # (B, num_classes)
