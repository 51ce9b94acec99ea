"""All of a network that knows other pictures learns on: at one rate, or its head faster, or its first layers slower, or later."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from torch import nn

from rungbook.data.data import Data
from rungbook.recipes.book.transfer import Transfer
from rungbook.recipes.once import Trained
from rungbook.recipes.recipe import recipe
from rungbook.recipes.settings import Reported
from rungbook.recipes.study import Results


@recipe("fine_tuning")
@dataclass(frozen=True, kw_only=True)
class FineTuning(Transfer):
    """Does it help to let the new head learn faster than the rest, or the first layers slower or later?

    The networks and pictures are those of `transfer`. A head that learns ten times faster is d2l's for hot dogs; a factor for each layer is
    Howard and Ruder's (2018, section 3.2), and so is letting go from the head down, one group more after each of the first epochs (section
    3.3). One rate for all variants, that of `transfer`: nobody looked for the best of each.
    """

    variants: ClassVar[dict[str, dict[str, Any]]] = {
        "one rate": {},
        "head ten times faster": {"head_lr": 10.0},
        "slower towards the input": {"layer_decay": 0.8},
        "let go from the head down": {"freeze": "body", "unfreeze": (1, 2, 3)},
    }
    covers: ClassVar[tuple[str, ...]] = ("V13", "V14", "V16")
    fits: ClassVar[tuple[str, ...]] = (*Transfer.fits, "hot-dog")
    reported: ClassVar[tuple[Reported, ...]] = ()
    full: ClassVar[str] = "data=hot-dog model=resnet18 image_size=224 epochs=5 batch_size=128 lr=0.00005"

    def begin(self, model: nn.Module, data: Data) -> None:
        """All begin with the same network: what they differ in belongs to the second training only."""
        Transfer.begin(replace(self, freeze=None, unfreeze=(), head_lr=None, layer_decay=None), model, data)

    def remarks(self, trained: dict[str, Trained], results: Results) -> list[str]:
        """The slowest and the fastest layer of each."""
        told = []
        for name, t in trained.items():
            factors = [group.get("lr_scale", 1.0) for group in t.learner.optimizer.param_groups]
            told.append(f"{name} {min(factors):.2g} to {max(factors):.2g}")
        return ["factors of the learning rate, slowest to fastest layer: " + "; ".join(told)]


__all__ = ["FineTuning"]
