"""What a user hands to `rung predict`, by the kind of model: images and folders of them, a table, texts."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from rungbook.data.feed import Inputs
from rungbook.data.load import existing, is_path
from rungbook.errors import DataError, UsageError
from rungbook.recipes.predictor import Predictor


@dataclass
class Items:
    """What is to be predicted.

    Args:
        names: what each item is called.
        inputs: the items as the run's encoder stores them.
        left_out: files or rows that cannot be read, with the reason.
    """

    names: list[str]
    inputs: Inputs
    left_out: list[str] = field(default_factory=list)


def read_items(predictor: Predictor, words: list[str]) -> Items:
    """What the words stand for.

    Raises:
        UsageError: E105 no such path, E116 not what this model reads.
        DataError: E106 a file that was named cannot be read, or none in a folder can; E101 a column is missing; E107, E113 nothing there.
    """
    kind = predictor.encoder.kind
    if kind == "image":
        return _images(predictor, words)
    if kind == "text" and not any(_names_a_file(w) for w in words):
        return Items(words, predictor.encoder.encode(words))
    if kind in ("table", "one_hot", "text"):
        return _rows(predictor, words)
    raise UsageError("E116", "This run was trained on arrays; files cannot be read for it.", "From Python: rungbook.load(run)(array)")


def _names_a_file(word: str) -> bool:
    """Whether a word is rather a path than a text to judge."""
    return (is_path(word) and not any(c.isspace() for c in word)) or (len(word) < 1000 and os.path.exists(word))


def _images(predictor: Predictor, words: list[str]) -> Items:
    paths = [existing(Path(word)) for word in words]
    named = {p for p in paths if not p.is_dir()}
    names, stored, left_out = [], [], []
    for file in (f for p in paths for f in (_images_in(p) if p.is_dir() else [p])):
        try:
            encoded = predictor.encoder.encode([file])
        except DataError as error:
            if file in named:
                raise
            left_out.append(error.message)
            continue
        assert isinstance(encoded, Tensor)
        names.append(str(file))
        stored.append(encoded)
    if not stored:
        raise DataError("E106", f"None of {len(left_out):,} image files can be read: {left_out[0]}", "Are these image files?")
    return Items(names, torch.cat(stored), left_out)


def _images_in(folder: Path) -> list[Path]:
    from rungbook.data.pil import SUFFIXES

    found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file() and not p.name.startswith("."))
    if not found:
        raise DataError("E107", f"{folder} has no images ({', '.join(SUFFIXES)}).", "Give image files, or a folder of them.")
    return found


def _rows(predictor: Predictor, words: list[str]) -> Items:
    if len(words) != 1:
        raise UsageError("E116", f"This run reads one table at a time, {len(words)} inputs were given.", "Call it once for each table.")
    from rungbook.data.table import read_table

    path = existing(Path(words[0]))
    if path.is_dir():
        raise UsageError("E116", f"{path} is a folder; this run reads a table.", "Give a CSV, TSV or parquet file.")
    table = read_table(path)
    if not len(table.frame):
        raise DataError("E113", f"{path} has no rows.", "Give a table with rows.")
    left_out = [f"line {line}: {reason}" for line, reason in table.rejected]
    return Items([f"{path.name} line {line}" for line in table.lines], predictor.encoder.encode(table.frame), left_out)
