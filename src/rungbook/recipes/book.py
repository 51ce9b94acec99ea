"""The named recipes. Beside each stands what it promises; measured results are in the ledger."""

from __future__ import annotations

from dataclasses import dataclass

from rungbook.recipes.recipe import Recipe, Share, recipe

Widths = tuple[int, ...]


@recipe("digits")
@dataclass(frozen=True, kw_only=True)
class Digits(Recipe):
    """Handwritten digits of 8 x 8 pixels (scikit-learn's), a small convolutional network: the first run."""

    data: str = "digits"
    model: str = "conv_net"
    widths: Widths = (16, 32, 64)
    dropout: Share = 0.2
    epochs: int | None = 15
    lr: float = 5e-3
    promise = {"digits": {"accuracy": 0.96}}


@recipe("lenet")
@dataclass(frozen=True, kw_only=True)
class LeNetRecipe(Recipe):
    """LeNet-5 on images of 28 x 28; offline on digits scaled up, `data=mnist` or `data=fashion-mnist` for the real ones."""

    data: str = "digits"
    model: str = "lenet"
    image_size: int | None = 28
    lr: float = 4e-3
    steps: int = 1500
    promise = {"mnist": {"accuracy": 0.988}, "fashion-mnist": {"accuracy": 0.89}}


@recipe("mlp")
@dataclass(frozen=True, kw_only=True)
class MLPRecipe(Recipe):
    """A multilayer perceptron on flattened images or tables; `hidden=256,128` sets the widths."""

    data: str = "digits"
    model: str = "mlp"
    hidden: Widths = (256,)
    dropout: Share = 0.1
    lr: float = 3e-3
    steps: int = 4000
    promise = {"mnist": {"accuracy": 0.97}}


@recipe("softmax_regression")
@dataclass(frozen=True, kw_only=True)
class SoftmaxRegressionRecipe(Recipe):
    """One linear layer and softmax: the smallest classifier, the measure for all others."""

    data: str = "digits"
    model: str = "softmax_regression"
    lr: float = 1e-2
    weight_decay: float = 1e-4


__all__ = ["Digits", "LeNetRecipe", "MLPRecipe", "SoftmaxRegressionRecipe"]
