"""AlexNet in its one-column form.

Krizhevsky 2014, "One weird trick for parallelizing convolutional neural networks", the form without the split over two cards of
Krizhevsky, Sutskever and Hinton 2012. Names are torchvision's, so its published weights fit.
"""

from __future__ import annotations

from torch import Tensor, nn

from rungbook.errors import UsageError


class AlexNet(nn.Module):
    """Five convolutions, three poolings, three linear layers with dropout before the first two.

    Args:
        in_channels: channels of the images.
        num_classes: outputs.
        image_size: height and width in pixels, 63 or more each; 224 is the published weights' own.
        widths: channels of the five convolutions.
        hidden: units of the two hidden linear layers.
        dropout: probability of leaving out a unit.
        pooled: side of the map that the linear layers read, whatever the size of the image.

    Shape: (B, in_channels, H, W) -> (B, num_classes) logits.

    Raises:
        UsageError: E202 nothing would be left of the image after the third pooling.
    """

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 1000,
        *,
        image_size: tuple[int, int] = (224, 224),
        widths: tuple[int, ...] = (64, 192, 384, 256, 256),
        hidden: int = 4096,
        dropout: float = 0.5,
        pooled: int = 6,
    ) -> None:
        super().__init__()
        if min(image_size) < 63:
            raise UsageError(
                "E202", f"image_size {image_size} leaves nothing for AlexNet's third pooling: 63 pixels a side or more.", "image_size=63"
            )
        a, b, c, d, e = widths
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, a, 11, stride=4, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2),
            nn.Conv2d(a, b, 5, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2),
            nn.Conv2d(b, c, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(c, d, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(d, e, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2),
        )
        self.avgpool = nn.AdaptiveAvgPool2d(pooled)
        self.classifier = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(e * pooled**2, hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, num_classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch of images."""
        x = self.avgpool(self.features(x)).flatten(1)  # (B, 256 * 6 * 6)
        return self.classifier(x)  # (B, num_classes)
