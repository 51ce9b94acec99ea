"""From the columns of a table to the tensors a model takes, with statistics of the training rows only."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch

from rungbook.data.columns import DATE_PARTS, Column, clean, date_parts, to_dates, to_levels, to_numbers
from rungbook.data.feed import Inputs
from rungbook.data.table import Table
from rungbook.data.table_target import skewness
from rungbook.errors import DataError, nearest

RARE_LEVEL = 3
"""Training rows below which a category's level is not told apart from unknown ones."""
SKEWED_INPUT = 1.0
"""Skewness above which a number is compressed by a logarithm."""
MARGIN = 0.5
"""Inputs are kept within the training range and this share of it beyond, so that no odd cell can blow up a prediction."""


@dataclass(frozen=True)
class NumberFeature:
    """One number a model sees: compressed if skewed, missing ones filled, standardised, kept near the training range.

    Args:
        column: the column it comes from.
        part: which part of a date, "" for a number.
        date_format: how the date is written.
        fill: what a missing value reads (the training median).
        scale: of the signed logarithm sign(v) log(1 + |v| / scale); 0 for none.
        mean, std: of the training rows after that.
        low, high: bounds of the result, in standard deviations.
        indicator: whether a column 0/1 says that the value was missing (some were in training).
    """

    column: str
    part: str = ""
    date_format: str = ""
    fill: float = 0.0
    scale: float = 0.0
    mean: float = 0.0
    std: float = 1.0
    low: float = -10.0
    high: float = 10.0
    indicator: bool = False

    @property
    def name(self) -> str:
        """What the feature is called: the column, with the part of a date."""
        return f"{self.column}.{self.part}" if self.part else self.column

    @classmethod
    def fit(cls, raw: np.ndarray, column: str, part: str = "", date_format: str = "") -> NumberFeature | None:
        """The feature of the training rows' values (n,), NaN where missing; None if they do not vary."""
        known = raw[np.isfinite(raw)]
        if not len(known) or (known.min() == known.max() and len(known) == len(raw)):
            return None
        scale = _log_scale(known) if not part else 0.0
        feature = cls(column, part, date_format, float(np.median(known)), scale, indicator=len(known) < len(raw))
        values = feature._compress(np.where(np.isfinite(raw), raw, feature.fill))
        mean, std = float(values.mean()), float(values.std())
        std = std if std > 1e-12 * max(1.0, abs(mean)) else 1.0
        low, high = float((values.min() - mean) / std), float((values.max() - mean) / std)
        margin = MARGIN * (high - low)
        return cls(**{**asdict(feature), "mean": mean, "std": std, "low": low - margin, "high": high + margin})

    def _compress(self, values: np.ndarray) -> np.ndarray:
        return np.sign(values) * np.log1p(np.abs(values) / self.scale) if self.scale else values

    def read(self, values: np.ndarray) -> np.ndarray:
        """The raw numbers in a column's cleaned values, NaN where missing."""
        return date_parts(to_dates(values, self.date_format))[self.part] if self.part else to_numbers(values)

    def apply(self, raw: np.ndarray) -> np.ndarray:
        """Raw numbers as the model sees them, (n,)."""
        values = self._compress(np.where(np.isfinite(raw), raw, self.fill))
        return np.clip((values - self.mean) / self.std, self.low, self.high)


def _log_scale(values: np.ndarray) -> float:
    """The scale of the signed logarithm that takes the skew out of numbers, 0 if they are better left alone."""
    skew = abs(skewness(values))
    magnitudes = np.abs(values[values != 0])
    if skew <= SKEWED_INPUT or len(np.unique(values)) < 10 or not len(magnitudes):
        return 0.0
    scale = float(np.quantile(magnitudes, 0.1))
    compressed = np.sign(values) * np.log1p(np.abs(values) / scale)
    return scale if abs(skewness(compressed)) < skew else 0.0


@dataclass(frozen=True)
class CategoryFeature:
    """One category a model sees, as a number: 0 for levels unknown, rare or missing, then the levels by name.

    Args:
        column: the column it comes from.
        levels: the levels told apart; None is a missing value that is common enough to be one.
        numeric: whether levels are numbers, to be written one way.
    """

    column: str
    levels: tuple[str | None, ...]
    numeric: bool = False

    @property
    def cardinality(self) -> int:
        """How many different numbers there are, 0 included."""
        return len(self.levels) + 1

    @classmethod
    def fit(cls, values: np.ndarray, column: str, *, numeric: bool = False) -> CategoryFeature | None:
        """The feature of the training rows' cleaned values (n,); None if no two groups of rows can be told apart."""
        levels = to_levels(values, numeric=numeric)
        codes, names = pd.factorize(levels, use_na_sentinel=False)
        counts = np.bincount(codes, minlength=len(names))
        common = [None if pd.isna(n) else n for n, c in zip(names, counts, strict=True) if c >= RARE_LEVEL]
        if not common or (len(common) == 1 and counts.max() == len(values)):
            return None
        return cls(column, tuple(sorted(common, key=lambda n: (n is None, str(n)))), numeric)

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Cleaned values as level numbers, int64 (n,)."""
        number = {level: i for i, level in enumerate(self.levels, 1)}
        codes, names = pd.factorize(to_levels(values, numeric=self.numeric), use_na_sentinel=False)
        of_level = np.array([number.get(None if pd.isna(n) else n, 0) for n in names], dtype=np.int64)
        return of_level[codes]


@dataclass(frozen=True)
class TableEncoder:
    """Numbers and categories of a table, fitted on its training rows.

    `encode` gives `(numbers, categories)`: float32 (n, F) and int64 (n, C).

    Args:
        numbers: the number features, in order; their missing-indicators follow in the same order.
        categories: the category features, in order.
    """

    numbers: tuple[NumberFeature, ...]
    categories: tuple[CategoryFeature, ...]

    kind: ClassVar[str] = "table"

    @classmethod
    def fit(cls, frame: pd.DataFrame, columns: dict[str, Column]) -> TableEncoder:
        """The encoder of the training rows.

        Args:
            frame: training rows, input columns only.
            columns: what each column is (`columns.infer`).
        """
        numbers: list[NumberFeature | None] = []
        categories: list[CategoryFeature | None] = []
        for name in frame.columns:
            info, values = columns[name], clean(frame[name])
            if info.kind == "date":
                parts = date_parts(to_dates(values, info.date_format))
                numbers += [NumberFeature.fit(parts[p], name, p, info.date_format) for p in DATE_PARTS]
            elif info.kind == "number" or (info.kind == "id" and info.numeric):
                numbers.append(NumberFeature.fit(to_numbers(values), name))
            else:
                categories.append(CategoryFeature.fit(values, name, numeric=info.numeric))
        return cls(tuple(n for n in numbers if n), tuple(c for c in categories if c))

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns a table must have to be encoded."""
        return tuple(dict.fromkeys([*(f.column for f in self.numbers), *(c.column for c in self.categories)]))

    @property
    def feature_names(self) -> list[str]:
        """Names of the F numbers: the features, then the missing-indicators."""
        return [f.name for f in self.numbers] + [f"{f.name} is missing" for f in self.numbers if f.indicator]

    @property
    def cardinalities(self) -> tuple[int, ...]:
        """Different values of each of the C categories."""
        return tuple(c.cardinality for c in self.categories)

    def encode(self, items: pd.DataFrame | Table) -> Inputs:
        """Rows as `(numbers, categories)`; columns the model does not know are passed over.

        Raises:
            DataError: a column the model needs is not there (E101), named with the nearest that is.
        """
        frame = items.frame if isinstance(items, Table) else items
        self._refuse_missing(frame)
        cleaned = {name: clean(frame[name]) for name in self.columns}
        n = len(frame)
        raw = [f.read(cleaned[f.column]) for f in self.numbers]
        features = [f.apply(r) for f, r in zip(self.numbers, raw, strict=True)]
        features += [(~np.isfinite(r)).astype(np.float64) for f, r in zip(self.numbers, raw, strict=True) if f.indicator]
        numbers = np.stack(features, axis=1) if features else np.zeros((n, 0))
        codes = [c.apply(cleaned[c.column]) for c in self.categories]
        categories = np.stack(codes, axis=1) if codes else np.zeros((n, 0), dtype=np.int64)
        return torch.from_numpy(numbers.astype(np.float32)), torch.from_numpy(categories)

    def _refuse_missing(self, frame: pd.DataFrame) -> None:
        there = [str(c) for c in frame.columns]
        absent = [c for c in self.columns if c not in there]
        if absent:
            near = nearest(absent[0], there)
            shown = ", ".join(f'"{c}"' for c in absent[:6]) + (f" and {len(absent) - 6} more" if len(absent) > 6 else "")
            raise DataError(
                "E101",
                f"the table lacks {'the column' if len(absent) == 1 else 'columns'} {shown} the model was trained on.",
                f'Rename "{near[0]}" to "{absent[0]}"?' if near else "Give the columns of the training table; empty cells are fine.",
            )

    def prepare(self, x: Inputs) -> Inputs:
        """Rows are stored as the model takes them."""
        return x

    def describe(self) -> dict[str, Any]:
        """A JSON object from which `restore` makes the encoder again."""
        return {"kind": self.kind, "numbers": [asdict(f) for f in self.numbers], "categories": [asdict(c) for c in self.categories]}

    @classmethod
    def restore(cls, description: dict[str, Any]) -> TableEncoder:
        """The encoder that `describe` described."""
        numbers = tuple(NumberFeature(**f) for f in description["numbers"])
        categories = tuple(CategoryFeature(**{**c, "levels": tuple(c["levels"])}) for c in description["categories"])
        return cls(numbers, categories)
