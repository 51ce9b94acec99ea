"""The multilayer perceptron: linear layers with a nonlinearity between them.

Rumelhart, Hinton and Williams 1986, "Learning representations by back-propagating errors". Different from the paper: ReLU by default
(Glorot, Bordes and Bengio 2011), dropout (Srivastava et al. 2014) after each hidden layer and, if asked for, batch norm (Ioffe and Szegedy
2015) before or after each activation.
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
    "identity": nn.Identity,
}
NORMS = ("none", "before", "after")


class MLP(nn.Module):
    """Linear, activation, dropout for each hidden width, and a linear layer at the end.

    Args:
        in_features: numbers in a sample, however they are arranged.
        out_features: outputs.
        hidden: widths of the hidden layers; none makes a linear model.
        dropout: probability that a hidden unit is left out of a training step, one for all layers or one for each.
        activation: relu, gelu, silu, tanh, sigmoid, or identity, which leaves linear layers one after another.
        norm: where batch norm stands in each hidden layer: none, before the activation, or after it.

    Shape: (B, ...) with in_features numbers a sample -> (B, out_features).

    Raises:
        ValueError: the activation or the norm is none of these, a width is below 1, or dropout has another number of probabilities.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        hidden: Sequence[int] = (256,),
        dropout: float | Sequence[float] = 0.0,
        activation: str = "relu",
        norm: str = "none",
    ) -> None:
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ValueError(f'activation is "{activation}", it must be one of {", ".join(ACTIVATIONS)}')
        if norm not in NORMS:
            raise ValueError(f'norm is "{norm}", it must be one of {", ".join(NORMS)}')
        if any(width < 1 for width in hidden):
            raise ValueError(f"hidden is {tuple(hidden)}, widths must be 1 or more")
        shares = tuple(dropout) if isinstance(dropout, Sequence) else (dropout,) * len(hidden)
        if len(shares) != len(hidden):
            raise ValueError(f"dropout has {len(shares)} probabilities for {len(hidden)} hidden layers; give one, or one for each layer")
        layers: list[nn.Module] = []
        for width, share in zip(hidden, shares, strict=True):
            block = [nn.Linear(in_features, width), ACTIVATIONS[activation]()]
            if norm != "none":
                block.insert(1 if norm == "before" else 2, nn.BatchNorm1d(width))
            layers += block
            if share:
                layers.append(nn.Dropout(share))
            in_features = width
        self.layers = nn.Sequential(*layers, nn.Linear(in_features, out_features))

    def forward(self, x: Tensor) -> Tensor:
        """Outputs of a batch."""
        return self.layers(x.flatten(1))  # (B, out_features)
