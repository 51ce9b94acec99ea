"""Rows of a table as one flat vector: the numbers, then each category spread over its levels."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from rungbook.data.data import Data
from rungbook.data.feed import Inputs


class OneHotEncoder:
    """A table's encoder whose batches are flat: for models that know nothing of categories.

    Args:
        table: the encoder of numbers and categories.
    """

    kind: ClassVar[str] = "one_hot"

    def __init__(self, table: Any) -> None:
        self.table = table

    def encode(self, items: Any) -> Inputs:
        """Rows as numbers and category numbers."""
        return self.table.encode(items)

    def prepare(self, x: Inputs) -> Tensor:
        """(numbers (B, F), categories (B, C)) -> (B, F + sum of cardinalities), float32."""
        numbers, categories = x
        spread = [F.one_hot(categories[:, i], n).to(numbers.dtype) for i, n in enumerate(self.table.cardinalities)]
        return torch.cat([numbers, *spread], dim=1)

    def describe(self) -> dict[str, Any]:
        """The table encoder's description."""
        return {"table": self.table.describe()}

    @classmethod
    def restore(cls, description: dict[str, Any]) -> OneHotEncoder:
        """The encoder that `describe` described."""
        from rungbook.data.table_encoder import TableEncoder

        return cls(TableEncoder.restore(description["table"]))


def one_hot(data: Data) -> Data:
    """The same data with flat batches; `data` itself stays as it is."""
    encoder = OneHotEncoder(data.encoder)
    feeds = {part: copy(feed) for part, feed in data.splits().items()}
    for feed in feeds.values():
        feed.prepare = encoder.prepare
    return replace(data, encoder=encoder, train=feeds["train"], valid=feeds.get("valid"), test=feeds.get("test"))
