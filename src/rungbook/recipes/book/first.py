"""The named recipes. Beside each stands what it promises; measured results are in the ledger."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rungbook.recipes.recipe import Recipe, recipe
from rungbook.recipes.settings import Count, NotBelow, Rate, Share

Widths = tuple[Count, ...]


@recipe("digits")
@dataclass(frozen=True, kw_only=True)
class Digits(Recipe):
    """Handwritten digits of 8 x 8 pixels (scikit-learn's), a small convolutional network: the first run."""

    data: str = "digits"
    model: str = "conv_net"
    widths: Widths = (16, 32, 64)
    dropout: Share = 0.2
    epochs: Count | None = 15
    lr: Rate = 5e-3
    promise: ClassVar[dict[str, dict[str, float]]] = {"digits": {"accuracy": 0.96}}


@recipe("lenet")
@dataclass(frozen=True, kw_only=True)
class LeNetRecipe(Recipe):
    """LeNet-5 on images of 28 x 28; offline on digits scaled up, `data=mnist` or `data=fashion-mnist` for the real ones."""

    data: str = "digits"
    model: str = "lenet"
    image_size: Count | None = 28
    lr: Rate = 4e-3
    steps: Count = 1500
    promise: ClassVar[dict[str, dict[str, float]]] = {"mnist": {"accuracy": 0.988}, "fashion-mnist": {"accuracy": 0.89}}


@recipe("mlp")
@dataclass(frozen=True, kw_only=True)
class MLPRecipe(Recipe):
    """A multilayer perceptron on flattened images or tables; `hidden=256,128` sets the widths."""

    data: str = "digits"
    model: str = "mlp"
    hidden: Widths = (256,)
    dropout: Share = 0.1
    lr: Rate = 3e-3
    steps: Count = 4000
    promise: ClassVar[dict[str, dict[str, float]]] = {"mnist": {"accuracy": 0.97}}


@recipe("softmax_regression")
@dataclass(frozen=True, kw_only=True)
class SoftmaxRegressionRecipe(Recipe):
    """One linear layer and softmax: the smallest classifier, the measure for all others."""

    data: str = "digits"
    model: str = "softmax_regression"
    lr: Rate = 1e-2
    weight_decay: NotBelow = 1e-4


__all__ = ["Digits", "LeNetRecipe", "MLPRecipe", "SoftmaxRegressionRecipe"]
