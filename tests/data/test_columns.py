"""What columns are taken for, where it is right and where it must not be."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from rungbook.data.columns import clean, date_parts, infer, to_dates, to_levels, to_numbers

rng = np.random.default_rng(0)
N = 60
WORDS = [f"{a} {b} {c} {d}" for a in "pqr" for b in "stu" for c in "vwx" for d in "yz"] + ["a b c d"] * 6

COLUMNS = {
    "real numbers, all different": ([f"{v:.6f}" for v in rng.normal(size=N)], "number"),
    "whole numbers, all different, scattered": ([str(v) for v in rng.permutation(10_000)[:N]], "number"),
    "small whole numbers": ([str(v) for v in rng.integers(1, 6, N)], "number"),
    "counting up": ([str(i) for i in range(1, N + 1)], "id"),
    "counting, shuffled": ([str(i) for i in rng.permutation(N)], "id"),
    "counting, rows taken out": ([str(i) for i in range(N + 3) if i not in (5, 9, 30)], "id"),
    "codes, one a row": ([f"A{i * 7919 % 1000}x" for i in range(N)], "id"),
    "sentences": (WORDS, "text"),
    "few levels": ([["red", "green"][i % 2] for i in range(N)], "category"),
    "codes with zeros in front": ([f"{i % 9:05d}" for i in range(N)], "category"),
    "truth values": ([bool(i % 2) for i in range(N)], "category"),
    "days": ([f"2024-01-{i % 28 + 1:02d}" for i in range(N)], "date"),
    "European days": ([f"{i % 28 + 1:02d}.01.2024" for i in range(N)], "date"),
    "one value": (["x"] * N, "constant"),
    "one value or none": (["x", ""] * (N // 2), "category"),
    "nothing": (["", "NA", "?", "null"] * (N // 4), "missing"),
    "numbers with a stray word": (["1.5", "2.25"] * (N // 2 - 1) + ["abc", "7"], "number"),
    "half numbers": (["1.5", "abc"] * (N // 2), "category"),
    "money": ([f"${i},{i % 10}00.50" for i in range(1, N + 1)], "number"),
}


@pytest.mark.parametrize("case", COLUMNS)
def test_kind(case: str) -> None:
    values, kind = COLUMNS[case]
    assert infer(pd.Series(values, name="c", dtype=object)).kind == kind


def test_a_name_that_says_class_makes_numbers_levels() -> None:
    values = [str(v) for v in rng.integers(1, 6, N)]
    assert infer(pd.Series(values, name="SubClass", dtype=object)).kind == "category"
    assert infer(pd.Series(values, name="Classic", dtype=object)).kind == "number"


def test_typed_columns_are_read_as_their_text_would_be() -> None:
    frame = pd.DataFrame({"x": [1.0, np.nan, 3.0], "d": pd.to_datetime(["2024-01-01", None, "2024-03-01"]), "s": ["a", None, "b"]})
    assert list(clean(frame["x"])) == [1.0, None, 3.0]
    assert clean(frame["d"])[1] is None
    assert list(clean(frame["s"].astype("category"))) == ["a", None, "b"]


@pytest.mark.parametrize("spelling", ["", " ", "NA", "n/a", "NaN", "null", "None", "?", "<NA>"])
def test_spellings_of_missing(spelling: str) -> None:
    assert list(clean(pd.Series(["x", spelling], dtype=object))) == ["x", None]


def test_numbers_and_levels() -> None:
    values = np.array(["1,234.5", "$12", "7%", "1e3", "inf", "abc", None, " 3 ".strip()], dtype=object)
    assert np.array_equal(to_numbers(values), [1234.5, 12, 7, 1000, np.nan, np.nan, np.nan, 3], equal_nan=True)
    assert list(to_levels(np.array(["1.0", "1", "x", None], dtype=object), numeric=True)) == ["1", "1", "x", None]
    assert list(to_levels(np.array(["1.0", "1"], dtype=object), numeric=False)) == ["1.0", "1"]


def test_date_parts() -> None:
    parts = date_parts(to_dates(np.array(["2024-02-29", None, "never"], dtype=object), "%Y-%m-%d"))
    assert {k: v[0] for k, v in parts.items()} == {"year": 2024, "month": 2, "day_of_week": 3, "days": 19782}
    assert all(np.isnan(v[1:]).all() for v in parts.values())


def test_day_or_month_first() -> None:
    assert infer(pd.Series(["03/25/2024", "03/04/2024"] * 15, dtype=object)).date_format == "%m/%d/%Y"
    assert infer(pd.Series(["25/03/2024", "03/04/2024"] * 15, dtype=object)).date_format == "%d/%m/%Y"
