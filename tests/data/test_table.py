"""Reading tables: every record of the file is a row or is listed with its line (RELIABILITY row 28)."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rungbook.data.delimited import decode, has_header, physical_lines, records, sniff
from rungbook.data.table import Table, parse_table, read_table
from rungbook.errors import DataError


def read(tmp_path: Path, content: bytes, name: str = "t.csv") -> Table:
    path = tmp_path / name
    path.write_bytes(content)
    return read_table(path)


# What the bytes are, and what must come out: columns, first row, words of a note.
GOOD = {
    "plain": (b"a,b\n1,2\n3,4\n", ["a", "b"], ["1", "2"], ""),
    "utf-8 mark": (b"\xef\xbb\xbfa,b\n1,2\n3,4\n", ["a", "b"], ["1", "2"], ""),
    "utf-16 little": ("\ufeffä,b\n1,2\n3,4\n".encode("utf-16-le"), ["ä", "b"], ["1", "2"], "UTF-16-LE"),
    "utf-16 big": ("\ufeffä,b\n1,2\n3,4\n".encode("utf-16-be"), ["ä", "b"], ["1", "2"], "UTF-16-BE"),
    "utf-16 unmarked": ("a,b\n1,2\n3,4\n".encode("utf-16-le"), ["a", "b"], ["1", "2"], "no byte order mark"),
    "latin-1": (b"stra\xdfe,b\n1,2\n3,4\n", ["straße", "b"], ["1", "2"], "Latin-1"),
    "semicolon": (b"a;b\nx;2\ny;4\n", ["a", "b"], ["x", "2"], ""),
    "decimal comma": (b"a;b\n1,5;2\n3;4\n", ["a", "b"], ["1.5", "2"], "decimal commas in a"),
    "tab": (b"a\tb\n1,0\t2\n3\t4\n", ["a", "b"], ["1,0", "2"], ""),
    "pipe": (b"a|b\n1|2\n3|4\n", ["a", "b"], ["1", "2"], ""),
    "declared": (b"sep=;\na;b\n1;2\n3;4\n", ["a", "b"], ["1", "2"], ""),
    "crlf": (b"a,b\r\n1,2\r\n3,4\r\n", ["a", "b"], ["1", "2"], ""),
    "cr": (b"a,b\r1,2\r3,4\r", ["a", "b"], ["1", "2"], ""),
    "quotes": (b'a,b\n"x, ""y""",2\n3,4\n', ["a", "b"], ['x, "y"', "2"], ""),
    "line in a cell": (b'a,b\n"x\ny",2\n3,4\n', ["a", "b"], ["x\ny", "2"], ""),
    "nul": (b"a,b\n1\x00,2\n3,4\n", ["a", "b"], ["1", "2"], "1 NUL"),
    "one column": (b"a\n1\n2\n", ["a"], ["1"], ""),
    "no end of line": (b"a,b\n1,2", ["a", "b"], ["1", "2"], ""),
    "blank lines": (b"\n\na,b\n\n1,2\n  \n3,4\n", ["a", "b"], ["1", "2"], "empty lines"),
    "cells beyond": (b"a,b\n1,2,\n3,4,,\n", ["a", "b"], ["1", "2"], ""),
    "unnamed": (b",b\n1,2\n3,4\n", ["column_1", "b"], ["1", "2"], "without a name"),
    "huge cell": (b"a,b\n" + b"x" * 300_000 + b",2\n3,4\n", ["a", "b"], ["x" * 300_000, "2"], ""),
    "numbers without header": (b"1.5,2\n3,4\n5,6\n", ["column_1", "column_2"], ["1.5", "2"], "no header: line 1"),
    "text and label": (
        b"a fine film\t1\na bad one\t0\nso so film\t1\nno no no\t0\n",
        ["column_1", "column_2"],
        ["a fine film", "1"],
        "no header",
    ),
}


@pytest.mark.parametrize("case", GOOD)
def test_reads(tmp_path: Path, case: str) -> None:
    content, columns, first, note = GOOD[case]
    table = read(tmp_path, content)
    assert list(table.frame.columns) == columns
    assert list(table.frame.iloc[0]) == first
    assert not table.rejected
    assert note in "; ".join(table.notes)
    assert len(table.frame) == len(table.lines)


BAD = {
    "empty": (b"", "E114", "empty"),
    "blank": (b"\n \n\r\n", "E114", "empty"),
    "duplicate header": (b"id,x,id\nq,2,3\n", "E114", '"id" (columns 1, 3)'),
    "ragged": (b"a,b\n1,2\n3\n4,5,6\n7,8\n", "E114", "line 3 has 1 field, the header has 2; line 4 has 3 fields"),
    "workbook": (b"PK\x03\x04rest", "E116", "Excel"),
    "image": (b"\x89PNG\r\n", "E116", "PNG"),
}


@pytest.mark.parametrize("case", BAD)
def test_refuses(tmp_path: Path, case: str) -> None:
    content, code, words = BAD[case]
    with pytest.raises(DataError) as caught:
        read(tmp_path, content)
    assert caught.value.code == code
    assert words in caught.value.message
    assert caught.value.fix


def test_missing_file_offers_the_nearest_name(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match=r"Did you mean .*train\.csv") as caught:
        read_table(tmp_path / "trian.csv")
    assert caught.value.code == "E105"


def test_few_ragged_rows_are_left_out_with_their_lines() -> None:
    rows = [f"{i},{i}" for i in range(30)]
    rows[4] = "4"
    rows[20] = "20,20,x"
    table = parse_table("a,b\n" + "\n".join(rows))
    assert table.rejected == [(6, "1 field, the header has 2"), (22, "3 fields, the header has 2")]
    assert len(table.frame) == 28
    assert 6 not in table.lines
    assert 22 not in table.lines


def test_lines_are_those_of_the_file() -> None:
    table = parse_table('a,b\n"x\ny\nz",1\n\nq,2\n')
    assert list(table.lines) == [2, 6]
    assert table.blank_lines == 1


def test_an_open_quote_swallows_nothing() -> None:
    text = "a,b\n" + "".join(f"{i},{i}\n" for i in range(5)) + '"open,5\n' + "".join(f"{i},{i}\n" for i in range(6, 10))
    table = parse_table(text)
    assert list(table.frame["a"]) == ["0", "1", "2", "3", "4", '"open', "6", "7", "8", "9"]
    naive = list(csv.reader(io.StringIO(text)))  # control: the csv module alone loses four rows
    assert len(naive) - 1 < 10


def test_quotes_in_tab_separated_texts_are_characters() -> None:
    text = 'text\tlabel\n" good\t1\nbad "\t0\nfine film this\t1\n'
    assert list(parse_table(text, name="x.tsv").frame["label"]) == ["1", "0", "1"]
    assert len(list(csv.reader(io.StringIO(text), delimiter="\t"))) == 3  # control: two rows became one


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        (["0", "1", "2"], True),  # how pandas writes unnamed columns
        (["2019", "2020", "2021"], True),
        (["5.1", "3.5", "1.4"], False),
        (["name", "2020", "2021"], True),
    ],
)
def test_header_of_numbers(first: list[str], expected: bool) -> None:
    body = [["5.5", "3.1", "1.2"], ["4.9", "3.0", "1.4"], ["6.1", "2.5", "1.9"]]
    assert has_header(first, body) is expected


def test_header_of_words_over_words_stays() -> None:
    assert has_header(["colour", "size"], [["red", "big"], ["blue", "big"], ["red", "small"], ["red", "small"]])
    assert not has_header(["red", "big"], [["red", "big"], ["blue", "big"], ["red", "small"], ["red", "small"]])


def test_parquet_keeps_types_and_says_what_it_leaves_out(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": [1.5, None], "day": pd.to_datetime(["2024-01-01", "2024-01-02"]), "many": [[1], [2, 3]]})
    frame.to_parquet(tmp_path / "t.parquet")
    table = read_table(tmp_path / "t.parquet")
    assert list(table.frame.columns) == ["x", "day"]
    assert "many" in table.notes[0]
    (tmp_path / "cut.parquet").write_bytes((tmp_path / "t.parquet").read_bytes()[:-50])
    with pytest.raises(DataError) as caught:
        read_table(tmp_path / "cut.parquet")
    assert caught.value.code == "E106"


# ------------------------------------------------------------------ properties

CELL = st.text(st.characters(codec="utf-8", exclude_characters="\ufeff\0"), max_size=8)
JUNK = st.lists(
    st.sampled_from(
        [b"a", b"1", b",", b";", b"\t", b'"', b'""', b"\n", b"\r", b"\r\n", b"\0", b"\xff", b"\xe4", b" ", b"nan", b"\xef\xbb\xbf"]
    )
)


def accounted(content: bytes) -> None:
    """Nothing but DataError, and no line that is neither in a row, nor rejected, nor empty."""
    text, _ = decode(content)
    try:
        table = parse_table(text)
    except DataError:
        return
    lines = physical_lines(text)
    starts = sorted([*table.lines.tolist(), *(line for line, _ in table.rejected)])
    assert len(starts) == len(set(starts)) == len(table.frame) + len(table.rejected)
    if '"' not in text:  # then a record is a line, and each line must be there
        filled = [i for i, line in enumerate(lines, 1) if line.strip("\r\n")]
        words = [i for i in filled if lines[i - 1].strip()]  # blanks alone are a row only where they are delimiters, or the one column
        headed = 0 if any("no header" in n for n in table.notes) else 1
        declared = bool(words) and lines[words[0] - 1].startswith("sep=")
        assert set(words[headed + declared :]) <= set(starts) <= set(filled)


def round_trip(rows: list[list[str]], delimiter: str, end: str) -> None:
    """Cells written by the csv module come back as they were, in number and content."""
    width = len(rows[0])
    names = [f"name{i} of column" for i in range(width)]
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerows([names, *rows])
    found = [cells for _, cells in records(physical_lines(out.getvalue()), delimiter)]
    if delimiter == "\t" and any("\t" in c for row in rows for c in row):
        return  # tabs within cells are not read from tab-separated files
    assert found == [names, *rows]


def table_of(draw_cells: st.SearchStrategy[str]) -> st.SearchStrategy[list[list[str]]]:
    return st.integers(1, 4).flatmap(lambda w: st.lists(st.lists(draw_cells, min_size=w, max_size=w), min_size=1, max_size=6))


FEW = settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
MANY = settings(max_examples=10_000, deadline=None, suppress_health_check=list(HealthCheck))


@FEW
@given(JUNK.map(b"".join))
def test_any_bytes(content: bytes) -> None:
    accounted(content)


@FEW
@given(table_of(CELL), st.sampled_from(",;\t|"), st.sampled_from(["\n", "\r\n"]))
def test_round_trip(rows: list[list[str]], delimiter: str, end: str) -> None:
    round_trip(rows, delimiter, end)


@pytest.mark.soak
@MANY
@given(st.one_of(JUNK.map(b"".join), st.binary(max_size=200)))
def test_any_bytes_soak(content: bytes) -> None:
    accounted(content)


@pytest.mark.soak
@MANY
@given(table_of(CELL), st.sampled_from(",;\t|"), st.sampled_from(["\n", "\r\n"]))
def test_round_trip_soak(rows: list[list[str]], delimiter: str, end: str) -> None:
    round_trip(rows, delimiter, end)


def test_sniff_prefers_what_cuts_every_line() -> None:
    assert sniff(["a,b;c\n", "1,2;3\n", "4;5\n"], ",") == ";"
    assert sniff(["word\n", "other\n"], "\t") == "\t"
