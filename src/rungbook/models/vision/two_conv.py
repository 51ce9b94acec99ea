"""The two-convolution network of NCSA's first PyTorch tutorial: 10 and 20 maps, 64 units.

The number of inputs of the first linear layer is found by sending one blank image through the convolutions, so that any image size
works. (The tutorial: "HAL training", MNIST CNN.)
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rungbook.errors import UsageError


class TwoConvNet(nn.Module):
    """conv 10 - pool - conv 20 - pool - linear 64 - linear.

    Args:
        in_channels: channels of the images.
        num_classes: outputs.
        image_size: height and width in pixels, 16 or more each.
        dropout: probability of leaving out a unit before the last layer.

    Shape: (B, in_channels, H, W) -> (B, num_classes) logits.
    """

    def __init__(
        self, in_channels: int = 1, num_classes: int = 10, *, image_size: tuple[int, int] = (28, 28), dropout: float = 0.0
    ) -> None:
        super().__init__()
        if min(image_size) < 16:
            raise UsageError(
                "E202",
                f"image_size {image_size} leaves nothing for TwoConvNet's second pooling: 16 pixels a side or more.",
                "image_size=16",
            )
        self.conv1 = nn.Conv2d(in_channels, 10, 5)
        self.conv2 = nn.Conv2d(10, 20, 5)
        with torch.no_grad():
            features = self._maps(torch.zeros(1, in_channels, *image_size)).shape[1]
        self.fc1 = nn.Linear(features, 64)
        self.dropout = nn.Dropout(dropout)
        self.fc2 = nn.Linear(64, num_classes)

    def _maps(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)  # (B, 10, (H - 4)/2, (W - 4)/2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)  # (B, 20, h, w)
        return x.flatten(1)  # (B, 20 * h * w)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch of images."""
        return self.fc2(self.dropout(F.relu(self.fc1(self._maps(x)))))  # (B, num_classes)
