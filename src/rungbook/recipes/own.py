"""Recipes for a user's own files: a folder of images, a table, a table with a column of text.

`rung train PATH` chooses one by looking at the path; the options `--target --text --keep --strict` say what the source is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field
from torch import nn

from rungbook.data.data import Data
from rungbook.recipes.recipe import Changes, Recipe, augmentation, recipe
from rungbook.recipes.settings import Count, NotBelow, Rate, Share, Widths


@recipe("images", listed=False)
@dataclass(frozen=True, kw_only=True)
class Images(Recipe):
    """A folder of images, a class a folder: convolution and batch norm, random flip and crop."""

    options: ClassVar[tuple[str, ...]] = ("strict",)
    model: str = "conv_net"
    batch_size: Count = 32
    lr: Rate = 2e-3
    weight_decay: NotBelow = 0.05
    steps: Count = 1300
    dropout: Share = 0.3
    ema: Share | None = 0.99
    widths: Widths = (16, 32, 64, 128)
    augment: Changes | None = True
    strict: bool = False

    def source_options(self) -> dict[str, Any]:
        """Size, augmentation, strictness."""
        return {"image_size": self.image_size, "augment": augmentation(self.augment), "strict": self.strict}


class _OwnTable(Recipe):
    """Loading shared by the two recipes on tables."""

    options: ClassVar[tuple[str, ...]] = ("target", "text", "keep", "strict")
    target: str | None
    text: str | None
    keep: tuple[str, ...]
    strict: bool
    log: Literal["auto"] | bool = "auto"

    def source_options(self) -> dict[str, Any]:
        """Which columns are what."""
        return {name: getattr(self, name) for name in ("target", "text", "keep", "log", "strict")}


@recipe("table", listed=False)
@dataclass(frozen=True, kw_only=True)
class Table(_OwnTable):
    """A table of numbers and categories: embeddings and an MLP; a number is the average of its answer and ridge regression's.

    `ridge_share` is how much ridge counts: 0.65 was as good as any on the valid parts of 12 splits of the Ames house prices, where the
    average beat both. The last weights are kept, not the best on valid: choosing among epochs by some hundred rows adds noise.
    """

    model: str = "tabular_mlp"
    batch_size: Count = 64
    lr: Rate = 1e-3
    weight_decay: NotBelow = 0.05
    steps: Count = 1000
    hidden: Widths = (256,)
    dropout: Share = 0.5
    final: Literal["best", "last"] = "last"
    ridge_share: Annotated[float, Field(ge=0, le=1)] = 0.65
    log: Literal["auto"] | bool = "auto"
    target: str | None = None
    text: str | None = None
    keep: tuple[str, ...] = ()
    strict: bool = False

    def begin(self, model: nn.Module, data: Data) -> None:
        """Put the ridge solution of the training rows beside the MLP."""
        from rungbook.models.tabular.tabular_mlp import TabularMLP, start_from_ridge

        if self.ridge_share and isinstance(model, TabularMLP):
            start_from_ridge(model, data, share=self.ridge_share)


@recipe("text", listed=False)
@dataclass(frozen=True, kw_only=True)
class Text(_OwnTable):
    """A table with a column of text: the mean of word and word-pair embeddings."""

    model: str = "bag"
    batch_size: Count = 64
    lr: Rate = 3e-3
    weight_decay: NotBelow = 0.3
    steps: Count = 1000
    dropout: Share = 0.6
    embed_dim: Count = 64
    target: str | None = None
    text: str | None = None
    keep: tuple[str, ...] = ()
    strict: bool = False


__all__ = ["Images", "Table", "Text"]
