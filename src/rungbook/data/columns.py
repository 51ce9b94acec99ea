"""What the columns of a table mean: numbers, categories, dates, texts, identifiers, or nothing.

Everything here takes a column as it stands (strings of a text file, or a typed column of a DataFrame) and reads it the same way when a
model is fitted and when it is used later on another file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from rungbook.data.delimited import is_missing

Kind = Literal["number", "category", "date", "text", "id", "constant", "missing"]

MOSTLY = 0.95
"""Share of values that must read as numbers (or dates) for a column to be one; the others count as missing and are listed."""
TEXT_WORDS = 3
"""Words of the median value from which strings that are mostly distinct are texts and not names."""
DATE_FORMATS = (
    "%Y-%m-%d",
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%dT%H:%M",
    "%Y-%m-%dT%H:%M:%SZ",
    "%Y-%m-%d %H:%M:%S.%f",
    "%Y-%m-%dT%H:%M:%S.%f",
    "%Y/%m/%d",
    "%Y-%m",
    "%d.%m.%Y",
    "%m/%d/%Y",
    "%d/%m/%Y",
    "%m/%d/%Y %H:%M",
    "%d/%m/%Y %H:%M",
    "%d %b %Y",
    "%b %d, %Y",
    "%d-%b-%Y",
)
"""Tried in order; of two that read equally many values the first wins, so 03/04/2024 is March."""
DATE_PARTS = ("year", "month", "day_of_week", "days")

_CODE_WORDS = {"code", "zip", "zipcode", "postcode", "postal", "class", "type"}
_WORDS_OF_NAME = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_DECORATED = re.compile(r"[$€£]?\s*([+-]?)[$€£]?(\d{1,3}(?:,\d{3})+|\d+)(\.\d+)?\s*[%€£]?")


@dataclass(frozen=True)
class Column:
    """What was found out about a column.

    Args:
        name: its name.
        kind: what it is.
        missing: cells without a value.
        distinct: different values.
        numeric: whether a category's values are numbers ("1" and "1.0" are then the same level).
        date_format: how a date is written; "" for a typed column.
        odd: some cells that do not read as the others do (a word among numbers).
        odd_count: how many such cells there are.
    """

    name: str
    kind: Kind
    missing: int = 0
    distinct: int = 0
    numeric: bool = False
    date_format: str = ""
    odd: tuple[str, ...] = ()
    odd_count: int = 0


def clean(column: pd.Series) -> np.ndarray:
    """The values of a column without surrounding blanks, None where missing: object array, shape (rows,)."""
    if column.dtype != object and not isinstance(column.dtype, (pd.StringDtype, pd.CategoricalDtype)):
        return column.astype(object).where(column.notna(), None).to_numpy(dtype=object)
    codes, levels = _factorize(column)
    cleaned = np.empty(len(levels) + 1, dtype=object)
    for i, value in enumerate(levels):
        if isinstance(value, str):
            cleaned[i] = None if is_missing(value) else value.strip()
        else:
            cleaned[i] = value
    return cleaned[codes]  # code -1 (missing) reads the last place, which is None


def _factorize(column: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Code of each cell (-1 where missing) and the different values."""
    values = column.astype(object).to_numpy()
    try:
        codes, levels = pd.factorize(values)
    except TypeError:  # lists and the like cannot be hashed
        codes, levels = pd.factorize(np.array([None if v is None else str(v) for v in values], dtype=object))
    return codes, np.asarray(levels, dtype=object)


def present(values: np.ndarray) -> np.ndarray:
    """Which cleaned values there are: bool, shape (rows,)."""
    return np.array([v is not None for v in values], dtype=bool)


def to_numbers(values: np.ndarray) -> np.ndarray:
    """Cleaned values as float64, NaN where missing, infinite or no number. Reads 1,234.5 and $12 and 7% too."""
    codes, levels = pd.factorize(values)
    numbers = pd.to_numeric(pd.Series(levels, dtype=object), errors="coerce").to_numpy(dtype=np.float64, copy=True)
    for i in np.flatnonzero(np.isnan(numbers)):
        if isinstance(levels[i], str) and (match := _DECORATED.fullmatch(levels[i])):
            numbers[i] = float(match[1] + match[2].replace(",", "") + (match[3] or ""))
    numbers[~np.isfinite(numbers)] = np.nan
    return np.append(numbers, np.nan)[codes]


def to_levels(values: np.ndarray, *, numeric: bool) -> np.ndarray:
    """Cleaned values as strings (None where missing); with `numeric`, numbers are written one way ("1.0" becomes "1")."""
    codes, levels = pd.factorize(values)
    written = np.empty(len(levels) + 1, dtype=object)
    numbers = to_numbers(np.asarray(levels, dtype=object)) if numeric and len(levels) else np.full(len(levels), np.nan)
    for i, level in enumerate(levels):
        number = numbers[i]
        plain = np.isnan(number) or isinstance(level, (bool, np.bool_))  # True reads as 1, and is not meant so
        written[i] = str(level) if plain else number_text(number)
    return written[codes]


def number_text(number: float) -> str:
    """A number as it is written in class names and levels: whole ones without a point."""
    return str(int(number)) if float(number).is_integer() and abs(number) < 1e15 else repr(float(number))


def to_dates(values: np.ndarray, date_format: str) -> np.ndarray:
    """Cleaned values as datetime64[s], NaT where missing or not so written. An empty format takes typed dates."""
    series = pd.Series(values, dtype=object)
    if date_format:
        dates = pd.to_datetime(series.where(series.map(lambda v: isinstance(v, str)), None), format=date_format, errors="coerce")
    else:
        dates = pd.to_datetime(series, errors="coerce", utc=True).dt.tz_localize(None)
    return dates.to_numpy().astype("datetime64[s]")


def date_parts(dates: np.ndarray) -> dict[str, np.ndarray]:
    """Year, month, day of the week (Monday 0) and days since 1970 of dates: float64, NaN where missing."""
    index = pd.DatetimeIndex(dates)
    missing = np.isnat(dates)
    days = (dates - np.datetime64(0, "s")) / np.timedelta64(86400, "s")
    parts = {"year": index.year, "month": index.month, "day_of_week": index.day_of_week, "days": days}
    return {k: np.where(missing, np.nan, np.asarray(v, dtype=np.float64)) for k, v in parts.items()}


def infer(column: pd.Series) -> Column:
    """What a column is.

    Args:
        column: one column of the table, all rows in file order (identifiers are known by counting up).
    """
    name, values = str(column.name), clean(column)
    there = values[present(values)]
    n, missing = len(there), len(values) - len(there)
    distinct = len(pd.unique(there)) if n else 0
    if n == 0:
        return Column(name, "missing", missing)
    if distinct == 1 and not missing:
        return Column(name, "constant", 0, 1)
    if isinstance(column.dtype, pd.CategoricalDtype) or all(isinstance(v, (bool, np.bool_)) for v in there):
        return Column(name, "category", missing, distinct)
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        return Column(name, "date", missing, distinct)
    numbers = to_numbers(there)
    if np.isfinite(numbers).mean() >= MOSTLY and not _written_codes(there):
        return _number(name, there, numbers, missing, distinct)
    if found := _date_format(there):
        read = ~np.isnat(to_dates(there, found))
        return Column(name, "date", missing, distinct, date_format=found, odd=_odd(there[~read]), odd_count=int((~read).sum()))
    return Column(name, _strings(there, distinct), missing, distinct)


def _written_codes(values: np.ndarray) -> bool:
    """Whether digits are written with leading zeros, as postal codes and article numbers are and numbers are not."""
    strings = [v for v in values if isinstance(v, str)]
    return any(len(v) > 1 and v[0] == "0" and v.isdecimal() for v in strings) and all(v.isdecimal() for v in strings)


def _number(name: str, values: np.ndarray, numbers: np.ndarray, missing: int, distinct: int) -> Column:
    """A column of numbers: an identifier if it counts up, a category if a single level or its name says code, else a number."""
    good = np.isfinite(numbers)
    odd, odd_count = _odd(values[~good]), int((~good).sum())
    found = numbers[good]
    whole = bool((found == np.floor(found)).all())
    if whole and not missing and not odd_count and _counts_up(found):
        return Column(name, "id", missing, distinct, numeric=True)
    if distinct == 1 or (whole and distinct <= 50 and _CODE_WORDS & {w.lower() for w in _WORDS_OF_NAME.findall(name)}):
        return Column(name, "category", missing, distinct, numeric=True, odd=odd, odd_count=odd_count)
    return Column(name, "number", missing, distinct, odd=odd, odd_count=odd_count)


def _counts_up(numbers: np.ndarray) -> bool:
    """Whether whole numbers are consecutive: each once, without gaps, or rising down the file with few gaps (rows were taken out)."""
    n = len(numbers)
    if n < 20 or len(np.unique(numbers)) < n:
        return False
    span = numbers.max() - numbers.min() + 1
    return bool(span == n or (span <= 1.1 * n and (np.diff(numbers) > 0).all()))


def _strings(values: np.ndarray, distinct: int) -> Kind:
    """Text if mostly distinct and of several words, an identifier if nearly all distinct and short, else a category."""
    n = len(values)
    words = np.median([str(v).count(" ") + 1 for v in values])
    if distinct >= 0.5 * n and words >= TEXT_WORDS and distinct > 10:
        return "text"
    return "id" if distinct >= 0.9 * n and n >= 20 else "category"


def _date_format(values: np.ndarray) -> str:
    """The format that reads the most values as dates, "" if none reads `MOSTLY` all of them."""
    sample = values[:: max(1, len(values) // 200)]
    if not all(isinstance(v, str) for v in sample) or not any(c.isdigit() for c in sample[0]):
        return ""
    best, best_share = "", MOSTLY - 1e-9
    for date_format in DATE_FORMATS:
        share = float((~np.isnat(to_dates(values if best else sample, date_format))).mean())
        if share > best_share:
            share = float((~np.isnat(to_dates(values, date_format))).mean())
        if share > best_share:
            best, best_share = date_format, share
        if best_share == 1:
            break
    return best


def _odd(values: np.ndarray) -> tuple[str, ...]:
    return tuple(str(v) for v in pd.unique(values)[:3]) if len(values) else ()


def infer_all(frame: pd.DataFrame) -> dict[str, Column]:
    """What each column of a table is, by name."""
    return {str(name): infer(frame[name]) for name in frame.columns}


def describe_value(value: Any) -> str:
    """A value in a message: short, and in quotes if it is a string."""
    text = str(value)
    text = text if len(text) <= 40 else text[:37] + "..."
    return f'"{text}"' if isinstance(value, str) else text
