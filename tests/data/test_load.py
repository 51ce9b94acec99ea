"""One way in: names, paths, arrays, and what is said of words that are none of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pictures
import pytest

import rungbook
from rungbook.data.load import TABLES, as_word, existing, is_path, learns_from_text
from rungbook.errors import DataError, UsageError


def table(path: Path, rows: int = 40, header: str = "size,weight,ok") -> Path:
    """A small CSV file."""
    rng = np.random.default_rng(0)
    body = [f"{a:.3f},{b:.3f},{'yes' if a > b else 'no'}" for a, b in rng.random((rows, 2))]
    path.write_text("\n".join([header, *body]) + "\n")
    return path


@pytest.mark.parametrize(
    "word", [".", "..", "./photos", "a/b", "C:\\photos", "sales.csv", "SALES.CSV", "x.parquet", "x.zip", "cat.jpg", "x.xlsx"]
)
def test_words_that_are_paths(word: str) -> None:
    assert is_path(word)


@pytest.mark.parametrize("word", ["digits", "fashion-mnist", "photos", "csv", "my.model", "v1.2", ""])
def test_words_that_are_names(word: str) -> None:
    assert not is_path(word)


def test_names() -> None:
    data = rungbook.load_data("digits", 0.2, 0.1, 32, seed=3)
    assert (data.name, data.task, len(data.classes)) == ("digits", "classification", 10)
    assert data.train.batch_size == 32
    assert data.splits()["valid"].samples == pytest.approx(1797 * 0.2, abs=3)
    assert rungbook.load_data("digits", image_size=28).facts["shape"] == [1, 28, 28]
    assert rungbook.load_data("diabetes").task == "regression"
    with pytest.raises(UsageError, match='no data set called "digit"') as error:
        rungbook.load_data("digit")
    assert error.value.fix == "Did you mean digits?"


@pytest.mark.parametrize("option", [{"target": "species"}, {"text": "x"}, {"image_size": 8}])
def test_options_a_named_set_does_not_have_are_refused(option: dict) -> None:
    with pytest.raises(UsageError) as error:
        rungbook.load_data("iris", **option)
    assert error.value.code == "E201"


def test_no_share_means_no_split() -> None:
    for shares, parts in (({"valid": 0}, {"train", "test"}), ({"test": 0}, {"train", "valid"}), ({"valid": 0, "test": 0}, {"train"})):
        assert set(rungbook.load_data("iris", **shares).splits()) == parts


@pytest.mark.parametrize("shares", [{"valid": -0.1}, {"valid": 0.5, "test": 0.5}, {"test": 1.0}])
@pytest.mark.parametrize("source", ["digits", "iris", (np.zeros((9, 2)), np.arange(9.0))])
def test_shares_that_leave_nothing(source: object, shares: dict) -> None:
    with pytest.raises(UsageError, match="shares of the samples") as error:
        rungbook.load_data(source, **shares)  # type: ignore[arg-type]
    assert error.value.code == "E202"


def test_paths(tmp_path: Path) -> None:
    folder = pictures.folder(tmp_path / "photos", each=12)
    images = rungbook.load_data(folder, image_size=10, augment="flip_crop")
    assert images.classes == ("cat", "dog")
    assert images.facts["shape"][1:] == [10, 10]
    csv = table(tmp_path / "t.csv")
    rows = rungbook.load_data(str(csv), target="ok", keep=("size",))
    assert rows.facts["used"] == ["size", "weight"]
    for ending in TABLES:
        if ending not in (".parquet", ".pq"):
            assert rungbook.load_data(table(tmp_path / f"t{ending}"), target="ok").task == "classification"
    import pandas as pd

    for ending in (".parquet", ".pq"):
        pd.read_csv(csv).to_parquet(tmp_path / f"t{ending}")
        assert rungbook.load_data(tmp_path / f"t{ending}", target="ok").train.samples == rows.train.samples


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("x.zip", "Unpack"),
        ("x.xlsx", "Save the sheet as CSV"),
        ("x.png", "Give the folder"),
        ("x.json", "Save it as CSV or parquet"),
        ("x.weird", "Give a table"),
    ],
)
def test_files_of_other_kinds(tmp_path: Path, name: str, remedy: str) -> None:
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(UsageError) as error:
        rungbook.load_data(tmp_path / name)
    assert error.value.code == "E116"
    assert name in error.value.message
    assert error.value.fix.startswith(remedy)


def test_missing_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    table(tmp_path / "my sales.csv")
    (tmp_path / "photos").mkdir()
    for word, fix in (
        ("./photo", "Did you mean ./photos?"),
        ("my_sales.csv", "Did you mean 'my sales.csv'?"),
        ("./quite-other", "See what there is: ls ."),
        ("photos/x/y/z.csv", "See what there is: ls ./photos"),
    ):
        with pytest.raises(UsageError) as error:
            existing(Path(word))
        assert (error.value.code, error.value.fix) == ("E105", fix)
    assert existing(tmp_path) == tmp_path


def test_paths_as_they_are_typed() -> None:
    assert as_word(Path("photos")) == "./photos", "a bare word would be taken for a name"
    assert as_word(Path("a/b")) == "a/b"
    assert as_word(Path("my sales.csv")) == "'my sales.csv'"
    assert as_word(Path("sales.csv")) == "sales.csv"
    assert as_word(Path(".")) == "."


def test_no_target_names_the_candidates_and_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    table(tmp_path / "t.csv")
    for call in (lambda: rungbook.load_data("t.csv"), lambda: learns_from_text(Path("t.csv"), target=None)):
        with pytest.raises(DataError) as error:
            call()
        assert error.value.code == "E111"
        assert "ok, size, weight" in error.value.message
        assert error.value.fix == "Name it: rung train t.csv --target ok"


def test_strict_tables(tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv")
    path.write_text(path.read_text() + "1,2\n")
    data = rungbook.load_data(path, target="ok")
    assert any(f.code == "W209" and "line 42" in f.message for f in data.findings)
    with pytest.raises(DataError, match="line 42: 2 fields, the header has 3") as error:
        rungbook.load_data(path, target="ok", strict=True)
    assert error.value.code == "E114"


def test_log_is_passed_on(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=60)
    (tmp_path / "t.csv").write_text("x,y\n" + "".join(f"{a},{np.exp(2 * a):.6f}\n" for a in x))
    logs = {log: rungbook.load_data(tmp_path / "t.csv", target="y", log=log).target.log for log in ("auto", True, False)}  # type: ignore[union-attr]
    assert logs == {"auto": True, True: True, False: False}


def test_folds_of_small_tables(tmp_path: Path) -> None:
    data = rungbook.load_data(table(tmp_path / "t.csv", 50), target="ok", seed=2)
    assert data.folds is not None
    tested = [fold.test.source.name(i) for fold in data.folds(5) for i in range(fold.test.samples)]  # type: ignore[union-attr]
    assert len(tested) == len(set(tested)) == 50, "each row is tested once"
    assert rungbook.load_data("iris").folds is not None
    assert rungbook.load_data("digits").folds is None


def test_a_text_column_decides(tmp_path: Path) -> None:
    path = tmp_path / "films.csv"
    path.write_text("opinion,label\n" + "".join(f"a film with {i} good scenes and a plot,{'pos' if i % 2 else 'neg'}\n" for i in range(40)))
    assert learns_from_text(path, target="label")
    assert not learns_from_text(table(tmp_path / "t.csv"), target="ok")


@pytest.mark.parametrize("arrays", [(), (1,), (1, 2, 3)])
def test_arrays_come_in_pairs(arrays: tuple) -> None:
    with pytest.raises(UsageError, match="it takes two"):
        rungbook.load_data(arrays)  # type: ignore[arg-type]
