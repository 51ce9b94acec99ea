"""Dropout against none, in the network of d2l's lesson."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from rungbook.errors import UsageError
from rungbook.recipes.book.sampled import SampledRecipe
from rungbook.recipes.contrast import Contrast
from rungbook.recipes.recipe import recipe
from rungbook.recipes.settings import Count, Final, NotBelow, Optimizer, Rate, Reported, Share, Widths

SOURCE = "d2l, readers' runs"


@recipe("dropout")
@dataclass(frozen=True, kw_only=True)
class Dropout(SampledRecipe, Contrast):
    """Does dropout help an MLP with two hidden layers of 256 units?

    Settings are the course's: SGD at 0.5 without momentum, ten epochs in batches of 256, a fifth of the first and half of the second
    layer's units left out of each step. Ten epochs of 54,000 images leave little to learn by heart; the second real line takes 5,000
    images for sixty epochs, where there is more (at 0.2, better on valid than 0.5 either way).
    """

    variants: ClassVar[dict[str, dict[str, Any]]] = {
        "no dropout": {"dropout": (0.0, 0.0)},
        "dropout 0.2, 0.5": {"dropout": (0.2, 0.5)},
    }
    data_fields: ClassVar[tuple[str, ...]] = ("train_samples",)
    covers: ClassVar[tuple[str, ...]] = ("M12",)
    real: ClassVar[tuple[str, ...]] = ("data=fashion-mnist", "data=fashion-mnist train_samples=5000 epochs=60 lr=0.2")
    reported: ClassVar[tuple[Reported, ...]] = (
        Reported(
            0.358, "log_loss", SOURCE, variant="dropout 0.2, 0.5", split="train", fault="judged with units left out", data="fashion-mnist"
        ),
        Reported(
            0.869, "accuracy", SOURCE, variant="dropout 0.2, 0.5", split="train", fault="judged with units left out", data="fashion-mnist"
        ),
        Reported(
            0.880, "accuracy", SOURCE, variant="dropout 0.2, 0.5", split="test", fault="judged after every epoch", data="fashion-mnist"
        ),
    )
    data: str = "digits"
    model: str = "mlp"
    hidden: Widths = (256, 256)
    dropout: tuple[Share, ...] = (0.0, 0.0)
    optimizer: Optimizer = "sgd"
    momentum: Share = 0.0
    weight_decay: NotBelow = 0.0
    schedule: str = "constant"
    lr: Rate = 0.5
    batch_size: Count = 256
    epochs: Count | None = 10
    final: Final = "last"

    def check(self) -> None:
        """Refuse models that have no dropout a layer. Raises UsageError E202 besides what the others raise."""
        super().check()
        if self.model != "mlp" or len(self.hidden) != 2:
            widths = ",".join(map(str, self.hidden))
            message = f"{self.name} sets the dropout of an mlp with two hidden layers; model is {self.model}, hidden is {widths}."
            raise UsageError("E202", message, "model=mlp hidden=256,256")


__all__ = ["Dropout"]
