"""From the bytes of a delimited text file to its records, with the line each began on and nothing dropped in silence.

Python's csv module reads the records (RFC 4180 quoting). It is lenient: a quote that is opened and never closed swallows the rest of the
file into one field. Here such a record is noticed, its first line is read with the quote as a plain character, and reading goes on with
the next line.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator
from itertools import islice, pairwise
from statistics import median

DELIMITERS = "\t;|,"
"""Tried in this order; the earlier wins when two cut every line equally well ("1,5;2,5" has decimal commas)."""
MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "?", "<na>"})
"""Spellings of a missing value, lower case, without surrounding blanks."""
LONGEST_RECORD = 1000
"""Lines after which a quoted field that has not ended counts as never closed."""

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?")


def decode(raw: bytes) -> tuple[str, list[str]]:
    """The text of a file and what was noticed: a byte order mark decides, else UTF-8, else the Western single-byte set.

    Args:
        raw: the whole file.

    Returns:
        The text without mark and NUL characters, and notes for the user (empty for plain UTF-8).
    """
    notes = []
    for mark, encoding in _BOMS:
        if raw.startswith(mark):
            text = raw[len(mark) :].decode(encoding, errors="replace")
            if encoding != "utf-8":
                notes.append(f"read as {encoding.upper()}")
            break
    else:
        if encoding := _utf16_without_mark(raw):
            text = raw.decode(encoding, errors="replace")
            notes.append(f"read as {encoding.upper()} (it has no byte order mark)")
        else:
            text, note = _unmarked(raw)
            notes += note
    if broken := text.count("\ufffd"):
        notes.append(f"{broken} characters cannot be decoded and read \ufffd")
    if nul := text.count("\0"):
        text = text.replace("\0", "")
        notes.append(f"{nul} NUL characters left out")
    return text, notes


def _utf16_without_mark(raw: bytes) -> str:
    """UTF-16 text is mostly ASCII here: every second byte is then 0."""
    sample = raw[: 4096 - 4096 % 2]
    if len(sample) < 8:
        return ""
    half = len(sample) / 2
    if sample[1::2].count(0) > 0.6 * half and sample[::2].count(0) < 0.1 * half:
        return "utf-16-le"
    if sample[::2].count(0) > 0.6 * half and sample[1::2].count(0) < 0.1 * half:
        return "utf-16-be"
    return ""


def _unmarked(raw: bytes) -> tuple[str, list[str]]:
    try:
        return raw.decode("utf-8"), []
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
    note = f"not UTF-8 (first at line {line}): read as Latin-1 (Windows-1252)"
    try:
        return raw.decode("cp1252"), [note]
    except UnicodeDecodeError:  # five bytes have no meaning there; Latin-1 has one for all
        return raw.decode("latin-1"), [note]


class _Unclosed(Exception):
    """A quoted field runs over more than `LONGEST_RECORD` lines."""


def physical_lines(text: str) -> list[str]:
    """The lines of a text with their ends (LF, CRLF or CR)."""
    return io.StringIO(text, newline="").readlines()


def records(lines: list[str], delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The records of a file: the line each begins on (from 1) and its cells; no cells for an empty line.

    Args:
        lines: the file's lines with their ends.
        delimiter: one character.
    """
    limit = csv.field_size_limit(2**31 - 1)
    try:
        start = 0
        while start < len(lines):
            first, restart = start, None
            span = [start]  # where the record being read began; shared with the generator below

            def fed(begin: int = start, span: list[int] = span) -> Iterator[str]:
                for number, line in enumerate(islice(lines, begin, None), begin):
                    if number - span[0] > LONGEST_RECORD:
                        raise _Unclosed
                    yield line

            reader = csv.reader(fed(), delimiter=delimiter)
            while True:
                try:
                    cells = next(reader)
                except StopIteration:
                    break
                except _Unclosed:
                    restart = first
                    break
                end = start + reader.line_num
                if end - first > 1 and not _well_formed(lines[first:end], cells, delimiter):
                    restart = first
                    break
                yield first + 1, cells
                first = end
                span[0] = first
            if restart is None:
                return
            yield restart + 1, next(csv.reader([lines[restart]], delimiter=delimiter, quoting=csv.QUOTE_NONE), [])
            start = restart + 1
    finally:
        csv.field_size_limit(limit)


def _well_formed(lines: list[str], cells: list[str], delimiter: str) -> bool:
    """Whether a record over several lines is one by the strict rules: quotes closed, and followed by a delimiter."""
    if delimiter == "\t" and any("\t" in c for c in cells):
        return False  # tab-separated texts often have stray quotes, and never a tab within a field
    try:
        return len(list(csv.reader(lines, delimiter=delimiter, strict=True))) == 1
    except csv.Error:
        return False


def sniff(lines: list[str], prefer: str = ",") -> str:
    """The delimiter: it occurs in the first line, and cuts the others into as many fields.

    Args:
        lines: the file's lines.
        prefer: what to answer when nothing cuts (a single column).
    """
    if declared := re.fullmatch(r"sep=([\t;|,:])\s*", lines[0]) if lines else None:
        return declared[1]
    best, best_share = prefer, 0.0
    for delimiter in DELIMITERS:
        widths = [len(cells) for _, cells in islice(records(lines[:400], delimiter), 200) if cells]
        if not widths or widths[0] < 2:
            continue
        share = widths.count(widths[0]) / len(widths)
        if share > best_share + 0.01:
            best, best_share = delimiter, share
    return best


def is_missing(cell: str) -> bool:
    """Whether a cell's text stands for a missing value."""
    return cell.strip().lower() in MISSING


def looks_numeric(cell: str) -> bool:
    """Whether a cell's text is written as a number."""
    return _NUMBER.fullmatch(cell.strip()) is not None


def has_header(first: list[str], body: list[list[str]]) -> bool:
    """Whether the first record names the columns; only when it looks like data in every column does it not.

    Args:
        first: the first record.
        body: some of the records after it, as wide as the first.
    """
    if len(body) < 2:
        return not all(looks_numeric(c) for c in first)
    if _counted(first):
        return True
    verdicts = [_as_data(cell, [row[i] for row in body]) for i, cell in enumerate(first)]
    return False in verdicts or "evidence" not in verdicts


def _counted(cells: list[str]) -> bool:
    """Whether the cells are 0, 1, 2, ... or 1, 2, 3, ... or years in a row: numbers that name columns."""
    if len(cells) < 3 or not all(c.strip().isdecimal() for c in cells):
        return False
    numbers = [int(c) for c in cells]
    steps = {b - a for a, b in pairwise(numbers)}
    return steps == {1} and (numbers[0] in (0, 1) or 1800 <= numbers[0] <= 2100)


def _as_data(cell: str, values: list[str]) -> bool | str:
    """Whether a first cell could be a value of its column: False, "maybe" or "evidence"."""
    values = [v.strip() for v in values if not is_missing(v)]
    if is_missing(cell) or not values:
        return "maybe"
    if all(looks_numeric(v) for v in values):
        return "evidence" if looks_numeric(cell) else False
    if len(set(values)) <= min(20, len(values) / 2):
        return "evidence" if cell.strip() in values else False
    if median(len(v.split()) for v in values) >= 3:
        return "maybe" if len(cell.split()) >= 3 else False
    return False
