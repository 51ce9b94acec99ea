"""What a user hands to `rung predict`, by the kind of model: images and folders, tables, texts."""

from __future__ import annotations

from pathlib import Path

from rungbook.data.feed import Inputs
from rungbook.data.load import existing, is_path
from rungbook.errors import DataError, UsageError
from rungbook.recipes.predictor import Predictor


def read_items(predictor: Predictor, words: list[str]) -> tuple[list[str], Inputs]:
    """Names and encoded inputs of what the words stand for.

    Raises:
        UsageError: E105 no such path, E116 not what this model reads.
        DataError: a file that cannot be read, a column that is missing.
    """
    kind = predictor.encoder.kind
    if kind == "image":
        files = [f for word in words for f in _images(Path(word))]
        return [str(f) for f in files], predictor.encoder.encode(files)
    if kind in ("table", "one_hot", "text"):
        if kind == "text" and not any(is_path(w) or Path(w).is_file() for w in words):
            return words, predictor.encoder.encode(words)
        return _rows(predictor, words)
    raise UsageError("E116", "This run was trained on arrays; files cannot be read for it.", "From Python: rungbook.load(run)(array)")


def _images(path: Path) -> list[Path]:
    from rungbook.data.pil import IMAGE_SUFFIXES

    if not existing(path).is_dir():
        return [path]
    found = sorted(p for p in path.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file())
    if not found:
        raise DataError("E107", f"{path} has no images ({', '.join(sorted(IMAGE_SUFFIXES))}).", "Give image files, or a folder of them.")
    return found


def _rows(predictor: Predictor, words: list[str]) -> tuple[list[str], Inputs]:
    if len(words) != 1:
        raise UsageError("E116", f"This run reads one table at a time, {len(words)} inputs were given.", "Call it once a table.")
    from rungbook.data.table import read_table

    path = existing(Path(words[0]))
    if path.is_dir():
        raise UsageError("E116", f"{path} is a folder; this run reads a table.", "Give a CSV, TSV or parquet file.")
    table = read_table(path)
    if not len(table.frame):
        raise DataError("E113", f"{path} has no rows.", "Give a table with rows.")
    return [f"{path.name} line {line}" for line in table.lines], predictor.encoder.encode(table.frame)
