"""The first classifiers: softmax regression, an MLP, LeNet, and the two networks of the first tutorial.

Settings are the courses' or were chosen on valid, as each says; what a recipe reaches on test stands in the ledger, its promise keeps some
distance below that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from rungbook.recipes.contrast import Contrast
from rungbook.recipes.once import Trained
from rungbook.recipes.recipe import Recipe, recipe
from rungbook.recipes.settings import Count, Final, NotBelow, Optimizer, Rate, Reported, Share, Widths
from rungbook.recipes.study import Results


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

    real: ClassVar[tuple[str, ...]] = ("data=mnist", "data=fashion-mnist")
    data: str = "digits"
    model: str = "lenet"
    image_size: Count | None = 28
    lr: Rate = 4e-3
    steps: Count = 1500
    promise: ClassVar[dict[str, dict[str, float]]] = {"mnist": {"accuracy": 0.988}, "fashion-mnist": {"accuracy": 0.88}}


@recipe("mlp")
@dataclass(frozen=True, kw_only=True)
class MLPRecipe(Recipe):
    """A multilayer perceptron on flattened images or tables; `hidden=256,128` sets the widths.

    d2l's (784-256-10, SGD at 0.1, 10 epochs) in its settings: `optimizer=sgd momentum=0 weight_decay=0 lr=0.1 schedule=constant dropout=0
    final=last batch_size=256 epochs=10 data=fashion-mnist`. Ours of as many epochs, AdamW with a one-cycle rate, was better on valid.
    """

    covers: ClassVar[tuple[str, ...]] = ("M11",)
    real: ClassVar[tuple[str, ...]] = ("data=fashion-mnist batch_size=256 epochs=10", "data=mnist")
    reported: ClassVar[tuple[Reported, ...]] = (
        Reported(0.381, "log_loss", "d2l, readers' runs, 10 epochs", split="train", data="fashion-mnist"),
        Reported(0.866, "accuracy", "d2l, readers' runs, 10 epochs", split="train", data="fashion-mnist"),
        Reported(
            0.854,
            "accuracy",
            "d2l, readers' runs, 10 epochs",
            split="test",
            fault="judged after every epoch",
            data="fashion-mnist",
        ),
    )
    data: str = "digits"
    model: str = "mlp"
    hidden: Widths = (256,)
    dropout: Share = 0.1
    lr: Rate = 3e-3
    steps: Count = 2500
    promise: ClassVar[dict[str, dict[str, float]]] = {"mnist": {"accuracy": 0.97}, "fashion-mnist": {"accuracy": 0.87}}


@recipe("softmax_regression")
@dataclass(frozen=True, kw_only=True)
class SoftmaxRegressionRecipe(Recipe):
    """One linear layer and softmax: the smallest classifier, the measure for all others."""

    covers: ClassVar[tuple[str, ...]] = ("M10",)
    real: ClassVar[tuple[str, ...]] = ("data=fashion-mnist batch_size=256 epochs=10",)
    reported: ClassVar[tuple[Reported, ...]] = (
        Reported(
            0.83,
            "accuracy",
            "d2l, readers' runs",
            split="test",
            fault="0.83 to 0.85 are told, no run is stored",
            data="fashion-mnist",
        ),
    )
    data: str = "digits"
    model: str = "softmax_regression"
    lr: Rate = 1e-2
    weight_decay: NotBelow = 1e-4
    promise: ClassVar[dict[str, dict[str, float]]] = {"fashion-mnist": {"accuracy": 0.83}}


@recipe("fully_connected")
@dataclass(frozen=True, kw_only=True)
class FullyConnected(Recipe):
    """Three hidden layers of 64 units on handwritten digits, Adam at 0.008, five epochs: the first tutorial's network.

    Settings are the course's, which shows its valid curve to readers; `too_long` trains on, `timing` compares CPU and GPU.
    """

    covers: ClassVar[tuple[str, ...]] = ("M08",)
    real: ClassVar[tuple[str, ...]] = ("data=mnist",)
    reported: ClassVar[tuple[Reported, ...]] = (Reported(0.97, "accuracy", "NCSA HAL, 5 epochs", split="test", data="mnist"),)
    data: str = "digits"
    model: str = "mlp"
    image_size: Count | None = 28
    hidden: Widths = (64, 64, 64)
    optimizer: Optimizer = "adam"
    lr: Rate = 8e-3
    weight_decay: NotBelow = 0.0
    batch_size: Count = 128
    schedule: str = "constant"
    epochs: Count | None = 5
    final: Final = "last"
    promise: ClassVar[dict[str, dict[str, float]]] = {"mnist": {"accuracy": 0.95}}


@recipe("too_long")
@dataclass(frozen=True, kw_only=True)
class TooLong(Contrast):
    """Does a longer training help, or does the network learn its training samples by heart?

    The network of `fully_connected`. Offline on shapes of which a tenth have wrong labels: what is learned by heart there is wrong, and
    the valid loss turns up within the 20 epochs.
    """

    variants: ClassVar[dict[str, dict[str, Any]]] = {
        "5 epochs": {"epochs": 5},
        "20 epochs": {"epochs": 20},
        "20 epochs, best kept": {"epochs": 20, "final": "best"},
    }
    metric: ClassVar[str] = "log_loss"
    with_baselines: ClassVar[bool] = False
    covers: ClassVar[tuple[str, ...]] = ("M08",)
    real: ClassVar[tuple[str, ...]] = ("data=mnist",)
    reported: ClassVar[tuple[Reported, ...]] = (
        Reported(0.1244, "log_loss", "PyTorch-Adventures", variant="the best epoch, the 3rd", data="mnist"),
        Reported(0.156, "log_loss", "PyTorch-Adventures", variant="20 epochs", data="mnist"),
    )
    data: str = "world:shapes"
    model: str = "mlp"
    image_size: Count | None = 28
    hidden: Widths = (64, 64, 64)
    optimizer: Optimizer = "adam"
    lr: Rate = 8e-3
    weight_decay: NotBelow = 0.0
    batch_size: Count = 128
    schedule: str = "constant"
    final: Final = "last"

    def remarks(self, trained: dict[str, Trained], results: Results) -> list[str]:
        """Where the valid loss was lowest, and where it ended."""
        history = trained["20 epochs"].learner.history
        best = min(history, key=lambda row: row["valid_loss"])
        last = history[-1]
        return [
            f"20 epochs: valid loss {best['valid_loss']:.3f} after epoch {best['epoch']}, {last['valid_loss']:.3f} after epoch "
            f"{last['epoch']}; train loss {best['train_loss']:.3f} then, {last['train_loss']:.3f} at the end"
        ]


@recipe("two_conv")
@dataclass(frozen=True, kw_only=True)
class TwoConv(Recipe):
    """Two convolutions of 10 and 20 maps, 64 units: the first tutorial's convolutional network.

    The tutorial saves it in two ways. `state_dict` alone is what safetensors files hold; the whole model, for torch, is a pickle, and a
    pickle is a program that runs when it is opened. Here a finished run is the whole model: its weights, and as text how to make the
    network and read its inputs (`rungbook.load(RUN)`), so that nothing in it can run. On the valid part of MNIST a rate of 0.008 did better
    than 0.003 (0.992 and 0.990 after 5 epochs, one seed).
    """

    covers: ClassVar[tuple[str, ...]] = ("M09",)
    real: ClassVar[tuple[str, ...]] = ("data=mnist epochs=4",)
    reported: ClassVar[tuple[Reported, ...]] = (Reported(0.98, "accuracy", "NCSA HAL", split="test", data="mnist"),)
    data: str = "digits"
    model: str = "two_conv"
    image_size: Count | None = 28
    batch_size: Count = 128
    optimizer: Optimizer = "adam"
    lr: Rate = 8e-3
    weight_decay: NotBelow = 0.0
    epochs: Count | None = 6


__all__ = ["Digits", "FullyConnected", "LeNetRecipe", "MLPRecipe", "SoftmaxRegressionRecipe", "TooLong", "TwoConv"]
