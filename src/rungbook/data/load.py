"""One way in: a name, a path or a pair of arrays becomes `Data`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rungbook.data.data import Data
from rungbook.errors import UsageError, nearest

TABLES = (".csv", ".tsv", ".txt", ".data", ".parquet")
"""Endings of files read as tables."""


def is_path(source: str) -> bool:
    """Whether a word names a path rather than a data set or recipe: it has a separator, a known ending, or is "."."""
    return source in (".", "..") or "/" in source or "\\" in source or source.lower().endswith(TABLES)


def load_data(
    source: str | Path | tuple[Any, Any],
    valid: float = 0.1,
    test: float = 0.1,
    batch_size: int = 64,
    *,
    seed: int = 0,
    workers: int = 0,
    target: str | None = None,
    text: str | None = None,
    keep: Sequence[str] = (),
    image_size: int | None = None,
    augment: str | None = None,
    strict: bool = False,
    audit: bool = False,
) -> Data:
    """Train, valid and test from a source, audited and ready to feed.

    Args:
        source: a data set's name ("mnist"), a path (folder of images, CSV, TSV, parquet), or arrays `(x, y)`.
        valid, test: shares of the samples; 0 means no such split. A set with an official test split keeps it.
        batch_size: samples a batch.
        seed: of the split and of the order.
        workers: processes that read ahead.
        target: column to predict, for tables.
        text: column of text to learn from, for tables; found by itself if it is clear.
        keep: columns the audit must not leave out.
        image_size: side in pixels, for images.
        augment: "flip_crop" for random flips and crops of training images, or None.
        strict: whether an unreadable file or row is an error instead of left out.
        audit: whether arrays are looked through for copies; other sources always are.

    Raises:
        UsageError: no such name or path (the nearest one is offered).
        DataError: the source cannot be learned from.
    """
    common: dict[str, Any] = {"valid": valid, "test": test, "batch_size": batch_size, "seed": seed, "workers": workers}
    if isinstance(source, tuple | list):
        from rungbook.data.arrays import array_data

        return array_data(*source, **common, audit=audit)
    if isinstance(source, str) and not is_path(source):
        from rungbook.data.named import named_data

        return named_data(source, **common, image_size=image_size, augment=augment)
    path = existing(Path(source))
    if path.is_dir():
        from rungbook.data.folder import folder_data

        return folder_data(path, **common, image_size=image_size, augment=augment, strict=strict)
    if path.suffix.lower() not in TABLES:
        raise UsageError("E116", f"{path} is a {path.suffix or 'file without ending'}; tables end in {', '.join(TABLES)}.", "Give a table or a folder.")
    from rungbook.data.table import read_table
    from rungbook.data.tabular import table_data

    return table_data(read_table(path), target=target, name=path.stem, text=text, keep=keep, strict=strict, **common)


def existing(path: Path) -> Path:
    """The path, if something is there. Raises UsageError E105 with the nearest name in its folder."""
    if path.exists():
        return path
    folder = path.parent
    names = [p.name for p in folder.iterdir()] if folder.is_dir() else []
    near = nearest(path.name, names)
    place = folder.resolve() if folder.is_dir() else "a folder that does not exist either"
    raise UsageError("E105", f'No "{path.name}" in {place}.', f"Did you mean {folder / near[0]}?" if near else "Check the path.")


def learns_from_text(path: Path, *, target: str | None, keep: Sequence[str] = ()) -> bool:
    """Whether a table would be learned from by a column of text, as `load_data` decides it. Raises what `load_data` would."""
    from rungbook.data.table import read_table
    from rungbook.data.tabular import audit

    return audit(read_table(path), target=target, name=path.stem, keep=keep).text is not None
