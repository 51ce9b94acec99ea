"""Tables up to `Data`: what is learned from training rows only, what the audit finds and what it must leave alone."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from rungbook.data.columns import infer_all
from rungbook.data.data import Data
from rungbook.data.table import parse_table, read_table
from rungbook.data.table_encoder import MARGIN, NumberFeature, TableEncoder
from rungbook.data.table_target import label_values, wants_log
from rungbook.data.tabular import table_data, table_folds
from rungbook.errors import DataError, RungError, UsageError

N = 200


def frame(n: int = N, seed: int = 0) -> pd.DataFrame:
    """Numbers with gaps, a skewed number, levels, dates, and a class and a number to predict."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    colour = rng.choice(["red", "green", "blue"], n)
    return pd.DataFrame(
        {
            "x": np.where(rng.random(n) < 0.1, np.nan, x),
            "area": np.exp(rng.normal(5, 1.5, n)),
            "colour": colour,
            "when": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 700, n), unit="D"),
            "kind": np.where(x + (colour == "red") + rng.normal(size=n) > 0.3, "yes", "no"),
            "value": 2 * x + (colour == "red") + rng.normal(size=n),
        }
    )


def data_of(table: pd.DataFrame, target: str = "value", **options: object) -> Data:
    return table_data(table, target=target, name="t", **options)  # type: ignore[arg-type]


def codes(data: Data) -> list[str]:
    return [f.code for f in data.findings]


def finding(data: Data, words: str) -> str:
    return next((f.message for f in data.findings if words in f.message), "")


# ------------------------------------------------------------------ encoder


def test_statistics_are_those_of_the_training_rows() -> None:
    table = frame().drop(columns="kind")
    table.loc[N - 1, "x"] = 1e9
    columns = infer_all(table)
    parts = {"train": np.arange(N - 20), "valid": np.arange(N - 20, N - 10), "test": np.arange(N - 10, N)}
    data = data_of(table, parts=parts)
    inputs = table.drop(columns="value")
    assert data.encoder == TableEncoder.fit(inputs.iloc[parts["train"]], columns)
    assert data.encoder != TableEncoder.fit(inputs, columns)  # control: all rows give other statistics


def test_an_odd_test_row_stays_near_the_training_range() -> None:
    rng = np.random.default_rng(0)
    raw = rng.normal(size=100)
    feature = NumberFeature.fit(raw, "x")
    assert feature is not None
    low, high = feature.apply(np.array([raw.min(), raw.max()]))
    assert feature.apply(np.array([1e12]))[0] == pytest.approx(high + MARGIN * (high - low))


def test_gaps_are_filled_and_shown() -> None:
    table = frame()
    data = data_of(table.drop(columns="kind"))
    encoder = data.encoder
    assert isinstance(encoder, TableEncoder)
    numbers, _ = encoder.encode(table)
    assert torch.isfinite(numbers).all()
    indicator = numbers[:, encoder.feature_names.index("x is missing")]
    assert torch.equal(indicator.bool(), torch.tensor(table["x"].isna().to_numpy()))


def test_unknown_rare_and_missing_levels() -> None:
    table = pd.DataFrame({"c": ["a"] * 50 + ["b"] * 40 + ["odd"] * 2 + [None] * 8})
    encoder = TableEncoder.fit(table, infer_all(table))
    _, found = encoder.encode(pd.DataFrame({"c": ["a", "b", "odd", None, "new"]}))
    assert found[:, 0].tolist() == [1, 2, 0, 3, 0]
    assert encoder.cardinalities == (4,)


def test_describe_and_restore() -> None:
    table = frame()
    encoder = data_of(table.drop(columns="kind")).encoder
    assert isinstance(encoder, TableEncoder)
    again = TableEncoder.restore(json.loads(json.dumps(encoder.describe())))
    assert again == encoder
    for a, b in zip(encoder.encode(table), again.encode(table), strict=True):
        assert torch.equal(a, b)


def test_a_file_read_as_text_is_encoded_as_the_typed_table(tmp_path: Path) -> None:
    table = frame()
    encoder = data_of(table.drop(columns="kind")).encoder
    assert encoder is not None
    table.to_csv(tmp_path / "t.csv", index=False)
    from_text = data_of(read_table(tmp_path / "t.csv").frame.drop(columns="kind")).encoder
    assert isinstance(from_text, TableEncoder)
    for a, b in zip(encoder.encode(table), from_text.encode(read_table(tmp_path / "t.csv")), strict=True):
        assert torch.allclose(a, b, atol=1e-5)


def test_new_files_may_have_more_columns_but_not_fewer() -> None:
    table = frame().drop(columns="kind")
    encoder = data_of(table).encoder
    assert encoder is not None
    encoder.encode(table.drop(columns="value").assign(more=1))
    with pytest.raises(DataError, match='"area"') as caught:
        encoder.encode(table.rename(columns={"area": "Area"}))
    assert caught.value.code == "E101"
    assert 'Rename "Area" to "area"' in caught.value.fix


# ------------------------------------------------------------------ splits


def test_copies_stay_on_one_side() -> None:
    table = pd.concat([frame(), frame().iloc[:30]], ignore_index=True)
    data = data_of(table.drop(columns="kind"), valid=0.2, test=0.2)
    rows = {part: {tuple(row) for row in feed.source.fetch(slice(0, feed.samples))[0][0].tolist()} for part, feed in data.splits().items()}
    assert not rows["train"] & rows["test"]
    assert not rows["train"] & rows["valid"]
    assert "30 rows repeat" in finding(data, "repeat")
    naive = np.random.default_rng(0).permutation(len(table))  # control: rows dealt one by one part copies
    test, train = naive[:46], naive[92:]
    assert {i % N for i in test if i % N < 30} & {i % N for i in train if i % N < 30}


def test_parts_are_disjoint_and_stratified() -> None:
    data = data_of(frame().drop(columns="value"), "kind", valid=0.2, test=0.2)
    assert sum(f.samples for f in data.splits().values()) == N
    shares = [float(f.source.targets().float().mean()) for f in data.splits().values()]
    assert max(shares) - min(shares) < 0.05
    assert data.fingerprint != data_of(frame().drop(columns="value"), "kind", valid=0.2, test=0.2, seed=1).fingerprint
    assert data.fingerprint == data_of(frame().drop(columns="value"), "kind", valid=0.2, test=0.2).fingerprint


def test_folds_test_each_row_once() -> None:
    found = list(table_folds(frame().drop(columns="kind"), target="value", name="t"))
    names = [d.test.source.name(i) for d in found if d.test for i in range(d.test.samples)]
    assert len(found) == 5
    assert sorted(names) == sorted(f"t line {i}" for i in range(1, N + 1))
    assert len({d.encoder.describe()["numbers"][0]["mean"] for d in found if d.encoder}) == 5  # each fold is fitted anew


def test_given_parts_lose_rows_without_target_and_get_a_valid() -> None:
    table = frame().drop(columns="kind")
    table.loc[[3, 190], "value"] = np.nan
    data = data_of(table, parts={"train": np.arange(180), "test": np.arange(180, N)})
    assert data.test is not None
    assert data.test.samples == 19
    assert data.valid is not None
    assert data.valid.samples + data.train.samples == 179
    assert "valid cut from train" in finding(data, "cut from train")


def test_every_class_is_learned() -> None:
    table = frame().drop(columns="value")
    table.loc[:1, "kind"] = "maybe"
    for seed in range(10):
        data = data_of(table, "kind", valid=0.3, test=0.3, seed=seed)
        assert set(data.train.source.targets().tolist()) == {0, 1, 2}


# ------------------------------------------------------------------ audit


def test_leaks_and_identifiers_are_left_out_and_nothing_else() -> None:
    table = frame().drop(columns="kind")
    clear = data_of(table)
    assert clear.facts["used"] == ["x", "area", "colour", "when"]
    assert "W207" not in codes(clear)
    table = table.assign(id=range(1, N + 1), code=[f"Q{i * 7919 % 997}" for i in range(N)], value_eur=table["value"] * 0.9 + 1)
    table["rank"] = table["value"].rank() ** 3
    data = data_of(table)
    assert data.facts["used"] == clear.facts["used"]
    assert "predicts the target exactly (r=1.000): left out, probable leak" in finding(data, "value_eur")
    assert "value_eur" in data_of(table, keep=["value_eur"]).facts["used"]
    assert "id" in data_of(table, keep=["id"]).facts["used"]


def test_a_strong_but_honest_column_is_kept() -> None:
    table = frame().drop(columns="kind")
    table["near"] = table["value"] + np.random.default_rng(1).normal(0, 0.2, N) * table["value"].std()
    assert "near" in data_of(table).facts["used"]  # r = 0.98


def test_a_class_in_other_words_is_a_leak() -> None:
    table = frame().drop(columns="value")
    table["kind_code"] = np.where(table["kind"] == "yes", 7, 3)
    data = data_of(table, "kind")
    assert "kind_code" not in data.facts["used"]
    table.loc[0, "kind_code"] = 10 - table.loc[0, "kind_code"]  # one exception, and it is no copy
    assert "kind_code" in data_of(table, "kind").facts["used"]


def test_the_only_column_is_used_even_if_it_predicts_exactly() -> None:
    x = np.random.default_rng(0).normal(size=50)
    data = data_of(pd.DataFrame({"x": x, "y": 2 * x + 1}), "y")
    assert data.facts["used"] == ["x"]
    assert "no other column" in finding(data, "no other column")


def test_contradictions_imbalance_near_copies_and_gaps_are_said() -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame({f"n{i}": rng.normal(size=100) for i in range(5)})
    table["kind"] = ["rare"] * 5 + ["often"] * 95
    plain = data_of(table, "kind")
    assert codes(plain) == ["W208"]
    assert '"rare" is 5.0%' in finding(plain, "rare")
    assert "95.0%" in finding(plain, "rare")
    table.iloc[50] = table.iloc[0]
    table.loc[50, "kind"] = "often"
    table.iloc[60] = table.iloc[61]
    table.loc[60, "n2"] += 1e-3
    table.loc[70, "n0"] = np.nan
    data = data_of(table, "kind")
    assert 'line 1 says "rare", line 51 "often"' in finding(data, "different")
    assert "2 rows equal another" in finding(data, "all columns but one")
    assert "n0 1%" in finding(data, "missing values")


def test_most_rows_alike_are_not_grouped() -> None:
    table = pd.DataFrame({"c": ["a", "b"] * 50, "kind": ["p", "q", "q", "p"] * 25})
    data = data_of(table, "kind")
    assert {k: f.samples for k, f in data.splits().items()} == {"train": 80, "valid": 10, "test": 10}
    assert "only 2 different values" in finding(data, "different values")


# ------------------------------------------------------------------ targets


def table_with(target: list[object]) -> pd.DataFrame:
    return pd.DataFrame({"x": np.random.default_rng(0).normal(size=len(target)), "y": target})


REFUSED = {
    "typo": (table_with([1.5, 2.5] * 20).rename(columns={"y": "price"}), "prise", "E111", 'Did you mean --target "price"'),
    "none given": (table_with([1.5, 2.5] * 20), None, "E111", "rung train t --target y"),
    "constant number": (table_with([3] * 40), "y", "E112", "3 in every row"),
    "one class": (table_with(["a"] * 40), "y", "E110", 'is "a" in every row'),
    "few rows": (table_with(["a", "b"] * 9), "y", "E113", "18 rows"),
    "few with a target": (table_with(["a", "b"] * 9 + [None] * 30), "y", "E113", "18 rows"),
    "a date": (table_with([f"2024-01-{i:02d}" for i in range(1, 29)]), "y", "E112", "is a date"),
    "a name a row": (table_with([f"n{i * 7919 % 991}" for i in range(40)]), "y", "E112", "neither numbers nor classes"),
    "target as input": (table_with([1.5, 2.5] * 20), "y", "E202", "is the target"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_targets(case: str) -> None:
    table, target, code, words = REFUSED[case]
    with pytest.raises(RungError) as caught:
        data_of(table, target, keep=["y"] if case == "target as input" else ())  # type: ignore[arg-type]
    assert caught.value.code == code
    assert words in str(caught.value)


def test_unknown_kept_column_offers_the_nearest() -> None:
    with pytest.raises(UsageError, match='Did you mean "area"'):
        data_of(frame(), keep=["aria"])


@pytest.mark.parametrize(
    ("target", "task", "classes"),
    [
        (["a", "b"] * 30, "classification", ("a", "b")),
        (["1.0", "2.0", "10"] * 20, "classification", ("1", "2", "10")),
        ([True, False] * 30, "classification", ("False", "True")),
        ([0.5, 1.5] * 30, "classification", ("0.5", "1.5")),
        (list(range(60)), "regression", ()),
        ([i / 7 for i in range(60)], "regression", ()),
        ([i % 15 for i in range(60)], "regression", ()),  # four rows for each value are too few for a class
    ],
)
def test_task(target: list[object], task: str, classes: tuple[str, ...]) -> None:
    data = data_of(table_with(target), "y")
    assert (data.task, data.classes) == (task, classes)


def test_rows_without_target_and_single_classes_are_left_out_and_counted() -> None:
    data = data_of(table_with(["a", "b"] * 20 + [None, "?", "c"]), "y")
    assert data.facts["rows"] == 40
    assert "2 of 43 rows" in finding(data, "no usable")
    assert '"c"' in finding(data, "single row")


def test_other_files_are_labelled_as_the_first() -> None:
    assert list(label_values(pd.Series(["1.0", "2", None], dtype=object), "classification", ("1", "2"))) == ["1", "2", None]
    assert list(label_values(pd.Series(["01", "b"], dtype=object), "classification", ("01", "b"))) == ["01", "b"]
    assert np.isnan(label_values(pd.Series(["x"], dtype=object), "regression")).all()


def test_logarithm() -> None:
    rng = np.random.default_rng(0)
    skewed = np.exp(rng.normal(10, 0.8, 300))
    assert wants_log(skewed)
    assert not wants_log(rng.normal(50, 5, 300))
    assert not wants_log(np.append(skewed, 0.0))
    table = pd.DataFrame({"x": rng.normal(size=300), "y": skewed})
    assert data_of(table, "y").target.log  # type: ignore[union-attr]
    assert "logarithm" in finding(data_of(table, "y"), "skewed")
    assert not data_of(table, "y", log=False).target.log  # type: ignore[union-attr]
    with pytest.raises(DataError, match="no logarithm"):
        data_of(table.assign(y=table["x"]), "y", log=True)


def test_ragged_rows_are_reported() -> None:
    rows = [f"{i * 0.37 % 5:.2f},{i * 0.91 % 7:.3f}" for i in range(60)]
    rows[10] = "1"
    data = table_data(parse_table("x,y\n" + "\n".join(rows)), target="y", name="t")
    assert "line 12: 1 field" in finding(data, "left out")
    assert data.facts["rows_in_file"] == 60
    assert data.facts["rows"] == 59


@pytest.mark.skipif("RUNG_DATA" not in os.environ, reason="RUNG_DATA is not set: no local copy of the house prices")
def test_house_prices() -> None:
    path = Path(os.environ["RUNG_DATA"]) / "kaggle-house" / "kaggle_house_pred_train.csv"
    data = table_data(read_table(path), target="SalePrice", name="houses")
    assert data.target.log  # type: ignore[union-attr]
    assert "Id" not in data.facts["used"]
    assert len(data.facts["used"]) == 79
    assert "W207" not in [f.code for f in data.findings if "leak" in f.message]
