"""Reading a user's table: CSV, TSV and other delimited text, or parquet, with the line every row came from.

Cells of a text file stay the strings they are; `columns` decides what they mean. No row is dropped in silence: each record of the file is
a row of the frame or stands in `rejected` with its line and the reason.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from rungbook.data.delimited import decode, has_header, is_missing, physical_lines, records, sniff
from rungbook.errors import DataError, did_you_mean

MAX_RAGGED = 0.1
"""Share of rows of the wrong width above which the file is refused: then the delimiter or the header is wrong, not a row."""
_MAGIC = (
    (b"PK\x03\x04", "a zip archive or an Excel workbook"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"%PDF", "a PDF document"),
    (b"SQLite format 3", "an SQLite data base"),
)
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")


@dataclass
class Table:
    """A table as it stands in its file.

    Args:
        frame: the rows; cells of text files are strings, those of parquet have their type.
        lines: line of the file on which each row begins (from 1; row number for parquet), shape (rows,).
        rejected: line and reason of each record that is no row of the frame.
        notes: what was noticed while reading.
        name: the file's name.
        blank_lines: empty lines between the records, which count neither as row nor as rejected.
    """

    frame: pd.DataFrame
    lines: np.ndarray
    rejected: list[tuple[int, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    name: str = "table"
    blank_lines: int = 0


def read_table(path: str | Path) -> Table:
    """The table in a file.

    Args:
        path: a delimited text file (delimiter, encoding and header are found out) or a parquet file.

    Raises:
        DataError: the file is missing (E105), cannot be read (E106), is of another kind (E116) or malformed (E114).
    """
    path = Path(path)
    if not path.exists():
        beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise DataError("E105", f'There is no "{path}".', did_you_mean(path.name, beside, str(path.parent / "{}")))
    if path.is_dir():
        raise DataError("E116", f'"{path}" is a folder, not a table.', "Name a file in it.")
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError("E106", f'"{path}" cannot be read: {error.strerror}.', "Check its permissions.") from error
    if raw.startswith(b"PAR1"):
        return _read_parquet(path)
    if path.suffix.lower() in (".parquet", ".pq"):
        raise DataError("E106", f'"{path}" is no parquet file: it does not begin with PAR1.', "Was it written completely?")
    for magic, kind in _MAGIC:
        if raw.startswith(magic):
            raise DataError("E116", f'"{path}" is {kind}, not a text table.', "Save the table as CSV.")
    text, notes = decode(raw)
    return parse_table(text, name=path.name, notes=notes)


def parse_table(text: str, *, name: str = "table", notes: list[str] | None = None) -> Table:
    """The table in a delimited text.

    Args:
        text: the whole file.
        name: what messages call it; a name that ends in .tsv or .tab prefers tabs.
        notes: what was noticed before.

    Raises:
        DataError: there is nothing in it, two columns share a name, or more than `MAX_RAGGED` of the rows do not fit the header (E114).
    """
    notes = list(notes or ())
    lines = physical_lines(text)
    if not text.strip():
        raise DataError("E114", f'"{name}" is empty: it has no header and no rows.', "Was it written completely?")
    begin = next(i for i, line in enumerate(lines) if line.strip())
    delimiter = sniff(lines[begin:], "\t" if name.lower().endswith((".tsv", ".tab")) else ",")
    if re.fullmatch(r"sep=.\s*", lines[begin]):
        begin += 1
    numbered = [(line + begin, cells) for line, cells in records(lines[begin:], delimiter)]
    one_column = all(len(cells) < 2 for _, cells in numbered[:50])
    full = [(line, cells) for line, cells in numbered if cells and (one_column or len(cells) > 1 or cells[0].strip())]
    if not full:
        raise DataError("E114", f'"{name}" has no header and no rows.', "Was it written completely?")
    width = len(full[0][1])
    names, data = _header(full, width, notes)
    rows, rejected = _fit(data, width)
    _refuse_ragged(name, names, rows, rejected, width)
    _refuse_duplicates(name, names)
    columns = list(zip(*(cells for _, cells in rows), strict=True)) if rows else [()] * width
    frame = pd.DataFrame(
        {n: pd.Series(list(c), dtype=object) for n, c in zip(names, columns, strict=True)}, columns=pd.Index(names, dtype=object)
    )
    if delimiter == ";":
        _decimal_commas(frame, notes)
    blank = len(numbered) - len(full)
    if blank:
        notes.append(f"{blank} empty lines skipped")
    return Table(frame, np.array([line for line, _ in rows], dtype=np.int64), rejected, notes, name, blank)


def _header(full: list[tuple[int, list[str]]], width: int, notes: list[str]) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The column names and the records that are data."""
    first = full[0][1]
    body = [cells for _, cells in full[1:201] if len(cells) == width]
    if not has_header(first, body):
        notes.append(
            f"no header: line {full[0][0]} is data, the columns are called " + ("column_1" if width == 1 else f"column_1 to column_{width}")
        )
        return [f"column_{i + 1}" for i in range(width)], full
    names = [c.strip() for c in first]
    for i, name in enumerate(names):
        if not name:
            names[i] = next(n for n in (f"column_{i + 1}" + "_" * k for k in range(width + 1)) if n not in names)
    if unnamed := [n for n, c in zip(names, first, strict=True) if not c.strip()]:
        notes.append("columns without a name are called " + ", ".join(unnamed))
    return names, full[1:]


def _fit(data: list[tuple[int, list[str]]], width: int) -> tuple[list[tuple[int, list[str]]], list[tuple[int, str]]]:
    """Rows as wide as the header, and the others with the reason. Empty cells beyond the header hold nothing and are cut off."""
    rows, rejected = [], []
    for line, cells in data:
        while len(cells) > width and not cells[-1].strip():
            cells = cells[:-1]
        if len(cells) == width:
            rows.append((line, cells))
        else:
            rejected.append((line, f"{len(cells)} field{'s' * (len(cells) != 1)}, the header has {width}"))
    return rows, rejected


def _refuse_ragged(name: str, names: list[str], rows: list, rejected: list[tuple[int, str]], width: int) -> None:
    total = len(rows) + len(rejected)
    if len(rejected) <= MAX_RAGGED * total:
        return
    shown = "; ".join(f"line {line} has {reason}" for line, reason in rejected[:3])
    raise DataError(
        "E114",
        f'"{name}": {len(rejected)} of {total} rows ({len(rejected) / total:.0%}) do not have the {width} fields of the header '
        f"({', '.join(names[:5])}{', ...' if width > 5 else ''}): {shown}.",
        "Put texts that contain the delimiter in double quotes, or correct the header.",
    )


def _refuse_duplicates(name: str, names: list[str]) -> None:
    twice = [f'"{n}" (columns {", ".join(str(i + 1) for i, m in enumerate(names) if m == n)})' for n, k in Counter(names).items() if k > 1]
    if twice:
        raise DataError("E114", f'"{name}": two columns have the same name: {"; ".join(twice)}.', "Rename one of them in the header.")


def _decimal_commas(frame: pd.DataFrame, notes: list[str]) -> None:
    """In files cut by ";" numbers are often written 3,14: such columns are rewritten with points."""
    changed = []
    for name in frame.columns:
        cells = [c.strip() for c in frame[name] if not is_missing(c)]
        if any(_DECIMAL_COMMA.fullmatch(c) for c in cells) and all(
            _DECIMAL_COMMA.fullmatch(c) or c.lstrip("+-").isdecimal() for c in cells
        ):
            frame[name] = frame[name].str.replace(",", ".", regex=False).astype(object)
            changed.append(name)
    if changed:
        notes.append("decimal commas in " + ", ".join(changed))


def _read_parquet(path: Path) -> Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        arrow = pq.read_table(path)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(
            "E106", f'"{path}" cannot be read as parquet: {str(error).splitlines()[0]}.', "Was it written completely?"
        ) from error
    _refuse_duplicates(path.name, arrow.column_names)
    notes = []
    nested = [f.name for f in arrow.schema if pa.types.is_nested(f.type) or pa.types.is_binary(f.type)]
    if nested:
        notes.append("columns that hold lists, records or bytes left out: " + ", ".join(nested))
    index = [n for n in arrow.column_names if n.startswith("__index_level_")]  # pandas' own row labels
    frame = arrow.drop_columns(nested + [n for n in index if n not in nested]).to_pandas(ignore_metadata=True)
    if frame.empty:
        raise DataError(
            "E114", f'"{path.name}" has {len(frame)} rows and {frame.shape[1]} columns to learn from.', "Was it written completely?"
        )
    return Table(frame, np.arange(1, len(frame) + 1), [], notes, path.name)
