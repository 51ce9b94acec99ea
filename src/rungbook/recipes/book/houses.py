"""House prices by the error of their logarithm (row L10)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field
from torch import nn

from rungbook.data.data import Data
from rungbook.recipes.recipe import Recipe, recipe
from rungbook.recipes.settings import Count, NotBelow, Rate, Share, Widths


@recipe("house_prices")
@dataclass(frozen=True, kw_only=True)
class HousePrices(Recipe):
    """How well do a house's columns tell the logarithm of its price? An MLP with embeddings, averaged with ridge regression.

    The error is that of log price, so that cheap and dear houses count alike; small tables get 5-fold scores beside. Settings are those of
    `rung train YOUR.csv`, chosen on the valid parts of twelve splits of the real prices. The real set is the competition's train file: its
    test file has no prices.
    """

    covers: ClassVar[tuple[str, ...]] = ("L10",)
    real: ClassVar[tuple[str, ...]] = ("data=kaggle-house",)
    fits: ClassVar[tuple[str, ...]] = ("world:houses", "kaggle-house")
    data: str = "world:houses"
    model: str = "tabular_mlp"
    batch_size: Count = 64
    lr: Rate = 1e-3
    weight_decay: NotBelow = 0.05
    steps: Count = 1000
    hidden: Widths = (256,)
    dropout: Share = 0.5
    final: Literal["best", "last"] = "last"
    ridge_share: Annotated[float, Field(ge=0, le=1)] = 0.65

    def source_options(self) -> dict[str, Any]:
        """The logarithm of the price is modelled."""
        return {"log": True}

    def begin(self, model: nn.Module, data: Data) -> None:
        """Put the ridge solution of the training rows beside the MLP."""
        from rungbook.models.tabular.tabular_mlp import TabularMLP, start_from_ridge

        if self.ridge_share and isinstance(model, TabularMLP):
            start_from_ridge(model, data, share=self.ridge_share)


__all__ = ["HousePrices"]
