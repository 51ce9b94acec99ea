"""What stands between the layers, and what the layers begin with: norms in tiny batches, initialisations, activations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import nn

from rungbook.data.data import Data
from rungbook.learner.hooks import replace_layers
from rungbook.recipes.book.few_images import FewImagesContrast
from rungbook.recipes.recipe import recipe
from rungbook.recipes.settings import Count, Final, NotBelow, Rate, Reported, Share, Widths
from rungbook.scratch.nn import GeneralReLU, RunningBatchNorm

SOURCE = "fast.ai dl2/07, MNIST, 1 epoch"
GROUPS = 4
"""Groups of group norm: maps that are normalised together."""

NORMS: dict[str, Callable[[int], nn.Module]] = {
    "running": RunningBatchNorm,
    "group": lambda maps: nn.GroupNorm(GROUPS, maps),
    "layer": lambda maps: nn.GroupNorm(1, maps),
    "instance": lambda maps: nn.GroupNorm(maps, maps),
    "none": lambda maps: nn.Identity(),
}
"""What can stand in batch norm's place; layer and instance norm are group norm with one group, and with a group a map (Wu and He 2018)."""


@recipe("norms")
@dataclass(frozen=True, kw_only=True)
class Norms(FewImagesContrast):
    """What becomes of batch norm where a batch holds two samples, and what does better there?

    Batch norm takes mean and variance from the batch; with two samples these are mostly chance, and the running statistics it is judged
    with are of another kind. Running batch norm trains with the running ones, group norm looks at one sample at a time. One rate for all,
    as in the course; nobody looked for the best of each.
    """

    variants: ClassVar[dict[str, dict[str, Any]]] = {
        "batch norm": {"norm": "batch"},
        "running batch norm": {"norm": "running"},
        "group norm": {"norm": "group"},
        "layer norm": {"norm": "layer"},
        "no norm": {"norm": "none"},
    }
    covers: ClassVar[tuple[str, ...]] = ("I06", "I07", "I08")
    real: ClassVar[tuple[str, ...]] = ("data=fashion-mnist train_samples=3000", "data=fashion-mnist train_samples=3000 batch_size=64")
    reported: ClassVar[tuple[Reported, ...]] = (
        Reported(0.26, "accuracy", SOURCE, variant="batch norm", data="mnist"),
        Reported(0.973, "accuracy", SOURCE, variant="running batch norm", data="mnist"),
    )
    data: str = "world:shapes(n=800)"
    model: str = "conv_net"
    widths: Widths = (8, 16, 32)
    dropout: Share = 0.0
    norm: Literal["batch", "running", "group", "layer", "instance", "none"] = "batch"
    batch_size: Count = 2
    epochs: Count | None = 4
    lr: Rate = 3e-3
    weight_decay: NotBelow = 0.0
    final: Final = "last"

    def begin(self, model: nn.Module, data: Data) -> None:
        """Put the other norm in batch norm's place."""
        if self.norm != "batch":
            replace_layers(model, nn.BatchNorm2d, lambda layer: NORMS[self.norm](layer.num_features))


@recipe("starts")
@dataclass(frozen=True, kw_only=True)
class Starts(FewImagesContrast):
    """Does it matter what a deep network without norms begins with?

    Twenty layers of 64 units with ReLU: torch's own start, Kaiming's for ReLU (He et al. 2015), and LSUV (Mishkin and Matas 2016), which
    measures where Kaiming derives.
    """

    variants: ClassVar[dict[str, dict[str, Any]]] = {
        "torch's start": {},
        "Kaiming for ReLU": {"start": "kaiming"},
        "LSUV": {"init": "lsuv"},
    }
    covers: ClassVar[tuple[str, ...]] = ("I02", "I03", "I04")
    real: ClassVar[tuple[str, ...]] = ("data=fashion-mnist train_samples=10000",)
    reported: ClassVar[tuple[Reported, ...]] = (
        Reported(
            0.9733, "accuracy", "fast.ai dl2/07a, a small convolutional network, epoch 2; 0.9588 before", variant="LSUV", data="mnist"
        ),
    )
    data: str = "digits"
    model: str = "mlp"
    hidden: Widths = (64,) * 20
    start: Literal["own", "kaiming"] = "own"
    epochs: Count | None = 10
    lr: Rate = 1e-3
    weight_decay: NotBelow = 0.0
    final: Final = "last"

    def begin(self, model: nn.Module, data: Data) -> None:
        """Draw the weights by Kaiming's rule, biases 0."""
        if self.start == "kaiming":
            for module in model.modules():
                if isinstance(module, nn.Linear | nn.Conv2d):
                    nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                    if module.bias is not None:
                        nn.init.zeros_(module.bias)


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "general_relu": lambda: GeneralReLU(leak=0.1, sub=0.4, maxv=6.0),
    "mish": nn.Mish,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "sigmoid": nn.Sigmoid,
}


@recipe("activations")
@dataclass(frozen=True, kw_only=True)
class Activations(FewImagesContrast):
    """Do newer activations do better than ReLU in a small convolutional network?

    General ReLU is the course's: leak 0.1, lowered by 0.4, cut at 6. No batch norm, as there.
    """

    variants: ClassVar[dict[str, dict[str, Any]]] = {
        "ReLU": {"activation": "relu"},
        "general ReLU": {"activation": "general_relu"},
        "GELU": {"activation": "gelu"},
        "Mish": {"activation": "mish"},
        "sigmoid": {"activation": "sigmoid"},
    }
    covers: ClassVar[tuple[str, ...]] = ("I11", "I12")
    real: ClassVar[tuple[str, ...]] = ("data=fashion-mnist train_samples=10000",)
    reported: ClassVar[tuple[Reported, ...]] = (
        Reported(0.9826, "accuracy", "fast.ai dl2/06, 8 epochs; 0.9822 with a uniform start", variant="general ReLU", data="mnist"),
    )
    data: str = "digits"
    model: str = "conv_net"
    widths: Widths = (16, 32, 64)
    dropout: Share = 0.0
    activation: Literal["relu", "general_relu", "mish", "gelu", "silu", "sigmoid"] = "relu"
    epochs: Count | None = 8
    lr: Rate = 3e-3
    final: Final = "last"

    def begin(self, model: nn.Module, data: Data) -> None:
        """Take batch norm out, put the activation in."""
        replace_layers(model, nn.BatchNorm2d, lambda layer: nn.Identity())
        replace_layers(model, nn.ReLU, lambda layer: ACTIVATIONS[self.activation]())


__all__ = ["Activations", "Norms", "Starts"]
