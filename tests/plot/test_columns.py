"""Columns are counted as they are: numbers, categories, what is missing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from rungbook.plot.columns import COLUMNS, DIVIDED, histograms
from rungbook.plot.style import CLASSES, TRAIN, VALID


def table(n: int = 600) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {
        "age": rng.normal(40, 12, n),
        "income": np.where(np.arange(n) < n // 10, np.nan, rng.lognormal(10, 1, n)),
        "colour": np.array(["red", "green", "blue", None] * (n // 4), dtype=object),
        "rooms": rng.integers(1, 6, n),
        "label": np.array(["yes", "no", "no"] * (n // 3)),
    }


def test_words_count_the_columns() -> None:
    columns = table()
    alt = histograms(columns).alt
    assert alt.startswith("5 columns of 600 rows. “age”: ")
    assert "10.0% missing" in alt
    assert "“colour”: 3 different values, blue 150, green 150, red 150, 25.0% missing" in alt
    rooms = np.bincount(columns["rooms"])
    assert f"“rooms”: 5 different values, 1 {rooms[1]}, 2 {rooms[2]}" in alt
    assert "“label”: 2 different values, no 400, yes 200." in alt


def test_the_target_comes_first_and_divides_the_bars() -> None:
    columns = table()
    picture = histograms(columns, target="label")
    assert "“label” is to be predicted. “label”: 2" in picture.alt
    text = str(picture.data)
    assert CLASSES[0] in text
    assert CLASSES[1] in text
    assert CLASSES[2] not in text
    alone = str(histograms(columns).data)
    assert CLASSES[1] not in alone, "without a target one colour serves"
    numeric = str(histograms(columns, target="age").data)
    assert VALID in numeric
    assert TRAIN in numeric
    assert text.index(">label<") < text.index(">age<")


def test_categories_beyond_a_few_are_gathered() -> None:
    names = np.array([f"city {i}" for i in range(30) for _ in range(30 - i)])
    text = str(histograms({"city": names}).data)
    assert "23 others" in text
    assert "city 6" in text
    assert "city 7" not in text


def test_wide_and_long_tables_stay_light() -> None:
    rng = np.random.default_rng(0)
    wide = {f"column {i}": rng.normal(size=5_000) for i in range(60)}
    wide["class"] = rng.integers(0, 6, 5_000)
    for target, drawn in ((None, COLUMNS), ("class", DIVIDED)):
        picture = histograms(wide, target=target)
        assert f"61 columns of 5,000 rows, the first {drawn} drawn" in picture.alt
        assert len(picture.data) < 150_000
    few = {k: wide[k] for k in list(wide)[:2]}
    assert histograms(few).data == histograms(few).data


def test_strange_columns() -> None:
    strange = {
        "empty": np.full(4, np.nan),
        "infinite": np.array([1.5, 2.0, np.inf, -np.inf]),
        "flags": np.array([True, False, True, True]),
        "mixed": np.array([1, "a", None, 2.5], dtype=object),
        "constant": np.full(4, 3.3),
        "pandas": pd.Series(["a", pd.NA, "b", "a"]),
        "<b>$x$": np.arange(4),
    }
    picture = histograms(strange)
    assert "“empty”: no values. " in picture.alt
    assert "“infinite”: 1.5 to 2, median 1.75, 50.0% missing" in picture.alt
    assert "“flags”: 2 different values, True 3, False 1" in picture.alt
    assert "“pandas”: 2 different values, a 2, b 1, 25.0% missing" in picture.alt
    assert "<b>" not in str(picture.data)
    assert histograms({}).data
    assert histograms({"a": []}).alt == "1 column of 0 rows. “a”: no values."
    with pytest.raises(ValueError, match="no column 'prize'"):
        histograms({"price": [1, 2]}, target="prize")
    with pytest.raises(ValueError, match="a 1, b 2"):
        histograms({"a": [1], "b": [1, 2]})
