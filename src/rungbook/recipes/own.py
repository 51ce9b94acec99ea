"""Recipes for a user's own files: a folder of images, a table, a table with a column of text.

`rung train PATH` chooses one by looking at the path; the options `--target --text --keep --strict` say what the source is.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from torch import nn

from rungbook.data.data import Data
from rungbook.recipes.recipe import Count, NotBelow, Rate, Recipe, Share, recipe

Widths = tuple[Count, ...]


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
    augment: bool = True
    strict: bool = False

    def load(self) -> Data:
        """The folder, scanned and split."""
        from rungbook.data.load import load_data

        return load_data(
            Path(self.data),
            self.valid,
            self.test,
            self.batch_size,
            seed=self.seed,
            workers=self.workers,
            image_size=self.image_size,
            augment="flip_crop" if self.augment else None,
            strict=self.strict,
        )


class _OwnTable(Recipe):
    """Loading shared by the two recipes on tables."""

    options: ClassVar[tuple[str, ...]] = ("target", "text", "keep", "strict")
    target: str | None
    text: str | None
    keep: tuple[str, ...]
    strict: bool
    log: Literal["auto"] | bool = "auto"

    def load(self) -> Data:
        """The table, read and split."""
        from rungbook.data.load import load_data

        return load_data(
            Path(self.data),
            self.valid,
            self.test,
            self.batch_size,
            seed=self.seed,
            workers=self.workers,
            target=self.target,
            text=self.text,
            keep=self.keep,
            log=self.log,
            strict=self.strict,
        )


@recipe("table", listed=False)
@dataclass(frozen=True, kw_only=True)
class Table(_OwnTable):
    """A table of numbers and categories: embeddings, an MLP, and a linear path that starts at the ridge solution."""

    model: str = "tabular_mlp"
    batch_size: Count = 64
    lr: Rate = 2e-3
    weight_decay: NotBelow = 0.05
    steps: Count = 1500
    hidden: Widths = (128, 64)
    dropout: Share = 0.2
    ridge_start: bool = True
    log: Literal["auto"] | bool = "auto"
    target: str | None = None
    text: str | None = None
    keep: tuple[str, ...] = ()
    strict: bool = False

    def begin(self, model: nn.Module, data: Data) -> None:
        """Numbers start at the ridge solution of the training rows; training can only add to it, and valid decides."""
        from rungbook.models.tabular.tabular_mlp import TabularMLP, start_from_ridge

        if self.ridge_start and isinstance(model, TabularMLP):
            start_from_ridge(model, data)


@recipe("text", listed=False)
@dataclass(frozen=True, kw_only=True)
class Text(_OwnTable):
    """A table with a column of text: the mean of word and word-pair embeddings."""

    model: str = "bag"
    batch_size: Count = 64
    lr: Rate = 1e-2
    weight_decay: NotBelow = 0.01
    steps: Count = 1500
    dropout: Share = 0.3
    embed_dim: Count = 64
    target: str | None = None
    text: str | None = None
    keep: tuple[str, ...] = ()
    strict: bool = False


__all__ = ["Images", "Table", "Text"]
