"""Linear and softmax regression: one linear layer.

Linear regression goes back to Legendre 1805 and Gauss 1809; softmax regression is the multinomial logit of McFadden 1974. The softmax
itself belongs to the loss (cross-entropy), so that both give the weighted sums as they are.
"""

from __future__ import annotations

from torch import Tensor, nn


class LinearRegression(nn.Module):
    """A weighted sum of all inputs, y = W x + b.

    Args:
        in_features: numbers in a sample, however they are arranged.
        out_features: numbers to predict.

    Shape: (B, ...) with in_features numbers a sample -> (B, out_features).
    """

    def __init__(self, in_features: int, out_features: int = 1) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)

    def forward(self, x: Tensor) -> Tensor:
        """Predictions of a batch."""
        return self.linear(x.flatten(1))  # (B, out_features)


class SoftmaxRegression(LinearRegression):
    """A score for each class, linear in the inputs; on two classes it is logistic regression.

    Starts at zero, where every class is as likely as any other (the loss is convex: the start decides nothing else).

    Args:
        in_features: numbers in a sample, however they are arranged.
        out_features: classes.

    Shape: (B, ...) with in_features numbers a sample -> (B, out_features) logits.
    """

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(in_features, out_features)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)
