"""LeNet-5 for images of 28 x 28 and more.

LeCun, Bottou, Bengio and Haffner 1998, "Gradient-based learning applied to document recognition", section II.B. Two forms: `LeNet` with
ReLU and max-pooling, as it is taught today, and `LeNetSigmoid` with the average-pooling of the original and the sigmoid that d2l takes for
the paper's scaled tanh. Different from the paper in both: every map of the second convolution sees all maps of the first, and the output
layer is linear.
"""

from __future__ import annotations

from torch import Tensor, nn

from rungbook.errors import UsageError


class LeNet(nn.Module):
    """Two convolutions, each followed by pooling, and three linear layers.

    Args:
        in_channels: channels of the images.
        num_classes: outputs.
        image_size: height and width of the images in pixels, 12 or more each.

    Shape: (B, in_channels, H, W) -> (B, num_classes) logits.

    Raises:
        UsageError: E202 the image is too small for two poolings.
    """

    activation: type[nn.Module] = nn.ReLU
    pooling: type[nn.Module] = nn.MaxPool2d

    def __init__(self, in_channels: int = 1, num_classes: int = 10, *, image_size: tuple[int, int] = (28, 28)) -> None:
        super().__init__()
        height, width = ((side // 2 - 4) // 2 for side in image_size)
        if height < 1 or width < 1:
            raise UsageError(
                "E202", f"image_size {image_size} leaves nothing for LeNet's second pooling: 12 pixels a side or more.", "image_size=12"
            )
        self.conv1 = nn.Conv2d(in_channels, 6, 5, padding=2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.pool = self.pooling(2)
        self.act = self.activation()
        self.fc1 = nn.Linear(16 * height * width, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch of images."""
        x = self.pool(self.act(self.conv1(x)))  # (B, 6, H/2, W/2)
        x = self.pool(self.act(self.conv2(x)))  # (B, 16, H/4 - 2, W/4 - 2)
        x = x.flatten(1)  # (B, 16 * h * w)
        return self.fc3(self.act(self.fc2(self.act(self.fc1(x)))))  # (B, num_classes)


class LeNetSigmoid(LeNet):
    """LeNet with sigmoid and average-pooling, started by Glorot and Bengio 2010 (torch's own start leaves the sigmoids flat)."""

    activation = nn.Sigmoid
    pooling = nn.AvgPool2d

    def __init__(self, in_channels: int = 1, num_classes: int = 10, *, image_size: tuple[int, int] = (28, 28)) -> None:
        super().__init__(in_channels, num_classes, image_size=image_size)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.xavier_uniform_(module.weight)
