"""Texts: words and pairs of neighbouring words as numbers, with a vocabulary of the training texts only.

Pairs ("not good") give a bag of words some of the order back (Wang and Manning 2012, "Baselines and bigrams").
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from rungbook.data.columns import clean
from rungbook.data.feed import Inputs, RaggedSource
from rungbook.data.table import Table
from rungbook.errors import DataError, did_you_mean

PAD, UNKNOWN = 0, 1
MIN_COUNT = 2
"""Training texts a word or pair must occur in: those of one text only cannot be learned from."""
MAX_VOCABULARY = 100_000

_WORD = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]")


def split_words(text: str) -> list[str]:
    """Lower-cased words and punctuation marks of a text, in order."""
    return _WORD.findall(text.lower())


def words_and_pairs(text: str) -> Iterator[str]:
    """The words of a text, then each two neighbours joined by a blank."""
    words = split_words(text)
    yield from words
    for a, b in pairwise(words):
        yield f"{a} {b}"


@dataclass(frozen=True)
class TextEncoder:
    """Texts as the numbers of their words and pairs: 0 pads, 1 is an unknown word; unknown pairs are left out.

    Args:
        vocabulary: words and pairs, numbered from 2 on.
        column: the column of a table that holds the text.
    """

    vocabulary: tuple[str, ...]
    column: str = "text"

    kind: ClassVar[str] = "text"

    @classmethod
    def fit(
        cls, texts: Iterable[str | None], *, column: str = "text", min_count: int = MIN_COUNT, max_size: int = MAX_VOCABULARY
    ) -> TextEncoder:
        """The encoder of the training texts.

        Args:
            texts: training texts; None is an empty one.
            column: what the column is called.
            min_count: texts a word or pair must occur in.
            max_size: largest vocabulary; the most frequent are kept.
        """
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(set(words_and_pairs(_text(text))))
        common = sorted(((-c, w) for w, c in counts.items() if c >= min_count))[:max_size]  # ties by letter: order is reproducible
        return cls(tuple(w for _, w in common), column)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {w: i for i, w in enumerate(self.vocabulary, 2)}

    @property
    def vocab_size(self) -> int:
        """Rows an embedding needs: the vocabulary, the pad and the unknown."""
        return len(self.vocabulary) + 2

    def ids(self, text: str | None) -> list[int]:
        """The numbers of one text."""
        numbers = self._numbers
        found = (numbers.get(w, UNKNOWN if " " not in w else PAD) for w in words_and_pairs(_text(text)))
        return [i for i in found if i != PAD]

    def source(self, texts: Iterable[str | None], y: Tensor, names: list[str] | None = None) -> RaggedSource:
        """Texts with their targets, stored end to end."""
        ids = [self.ids(t) for t in texts]
        lengths = torch.tensor([len(i) for i in ids], dtype=torch.int64)
        values = torch.tensor([n for i in ids for n in i], dtype=torch.int64)
        return RaggedSource(values, lengths, y, names, pad=PAD)

    def encode(self, items: Table | pd.DataFrame | Iterable[str | None]) -> Inputs:
        """Texts, or a table with the column, as numbers padded to the longest: int64 (n, T).

        Raises:
            DataError: the table has no such column (E101).
        """
        if isinstance(items, str):
            items = [items]
        texts = (
            self._column(items.frame if isinstance(items, Table) else items) if isinstance(items, (Table, pd.DataFrame)) else list(items)
        )
        source = self.source(texts, torch.zeros(len(texts)))
        x, _ = source.fetch(slice(0, len(texts)))
        return x

    def _column(self, frame: pd.DataFrame) -> np.ndarray:
        if self.column not in frame.columns:
            offered = did_you_mean(self.column, map(str, frame.columns))
            raise DataError("E101", f'the table lacks the column "{self.column}" with the text the model was trained on.', offered)
        return clean(frame[self.column])

    def prepare(self, x: Inputs) -> Inputs:
        """Texts are stored as the model takes them."""
        return x

    def describe(self) -> dict[str, Any]:
        """A JSON object from which `restore` makes the encoder again."""
        return {"kind": self.kind, "column": self.column, "vocabulary": list(self.vocabulary)}

    @classmethod
    def restore(cls, description: dict[str, Any]) -> TextEncoder:
        """The encoder that `describe` described."""
        return cls(tuple(description["vocabulary"]), description["column"])


def _text(value: Any) -> str:
    return "" if value is None else str(value)
