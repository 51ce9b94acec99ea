"""Recipes for a user's own files: a folder of images, a table, a table with a column of text.

`rung train PATH` chooses one by looking at the path; the options `--target --text --keep --strict` say what the source is.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from rungbook.data.data import Data
from rungbook.recipes.recipe import NotBelow, Recipe, Share, recipe

Widths = tuple[int, ...]


@recipe("images", listed=False)
@dataclass(frozen=True, kw_only=True)
class Images(Recipe):
    """A folder of images, a class a folder: convolution and batch norm, random flip and crop."""

    options: ClassVar[tuple[str, ...]] = ("strict",)
    model: str = "conv_net"
    batch_size: int = 32
    lr: float = 3e-3
    weight_decay: float = 0.02
    steps: int = 1200
    dropout: Share = 0.3
    widths: Widths | None = None
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
            strict=self.strict,
        )


@recipe("table", listed=False)
@dataclass(frozen=True, kw_only=True)
class Table(_OwnTable):
    """A table of numbers and categories: embeddings, an MLP, and a linear path that starts at the ridge solution."""

    model: str = "tabular_mlp"
    batch_size: int = 64
    lr: float = 2e-3
    weight_decay: float = 0.05
    steps: int = 1500
    hidden: Widths = (128, 64)
    dropout: Share = 0.2
    ridge_start: bool = True
    target: str | None = None
    text: str | None = None
    keep: tuple[str, ...] = ()
    strict: bool = False


@recipe("text", listed=False)
@dataclass(frozen=True, kw_only=True)
class Text(_OwnTable):
    """A table with a column of text: the mean of word and word-pair embeddings."""

    model: str = "bag"
    batch_size: int = 64
    lr: float = 1e-2
    weight_decay: NotBelow = 0.01
    steps: int = 1500
    dropout: Share = 0.3
    embed_dim: int = 64
    target: str | None = None
    text: str | None = None
    keep: tuple[str, ...] = ()
    strict: bool = False


__all__ = ["Images", "Table", "Text"]
