"""The multilayer perceptron: linear layers with a nonlinearity between them.

Rumelhart, Hinton and Williams 1986, "Learning representations by back-propagating errors". Different from the paper: ReLU by default
(Glorot, Bordes and Bengio 2011) and dropout (Srivastava et al. 2014) after each hidden layer.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}


class MLP(nn.Module):
    """Linear, activation, dropout for each hidden width, and a linear layer at the end.

    Args:
        in_features: numbers in a sample, however they are arranged.
        out_features: outputs.
        hidden: widths of the hidden layers; none makes a linear model.
        dropout: probability that a hidden unit is left out of a training step.
        activation: relu, gelu, silu, tanh or sigmoid.

    Shape: (B, ...) with in_features numbers a sample -> (B, out_features).

    Raises:
        ValueError: the activation is none of these, or a width is below 1.
    """

    def __init__(
        self, in_features: int, out_features: int, *, hidden: Sequence[int] = (256,), dropout: float = 0.0, activation: str = "relu"
    ) -> None:
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ValueError(f'activation is "{activation}", it must be one of {", ".join(ACTIVATIONS)}')
        if any(width < 1 for width in hidden):
            raise ValueError(f"hidden is {tuple(hidden)}, widths must be 1 or more")
        layers: list[nn.Module] = []
        for width in hidden:
            layers += [nn.Linear(in_features, width), ACTIVATIONS[activation]()]
            if dropout:
                layers.append(nn.Dropout(dropout))
            in_features = width
        self.layers = nn.Sequential(*layers, nn.Linear(in_features, out_features))

    def forward(self, x: Tensor) -> Tensor:
        """Outputs of a batch."""
        return self.layers(x.flatten(1))  # (B, out_features)
