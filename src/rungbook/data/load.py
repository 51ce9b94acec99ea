"""One way in: a name, a path or a pair of arrays becomes `Data`."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rungbook.data.data import Data
from rungbook.errors import UsageError, nearest

if TYPE_CHECKING:
    from rungbook.data.table import Table

TABLES = (".csv", ".tsv", ".tab", ".txt", ".data", ".parquet", ".pq")
"""Endings of files read as tables."""
_NOT_READ = {
    (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar"): "Unpack it, and give the folder or the table in it.",
    (".xlsx", ".xls", ".ods"): "Save the sheet as CSV, and give that.",
    (".json", ".jsonl", ".npy", ".npz", ".h5", ".pkl"): "Save it as CSV or parquet, and give that.",
    (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp"): "Give the folder that holds a folder of images for each class.",
}
"""Endings of files that people try all the same, and what to do instead."""
_ENDINGS = (*TABLES, *(ending for endings in _NOT_READ for ending in endings))


def is_path(source: str) -> bool:
    """Whether a word names a path rather than a data set or recipe: it has a separator, a known ending, or is "."."""
    return source in (".", "..") or "/" in source or "\\" in source or source.lower().endswith(_ENDINGS)


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
    log: Literal["auto"] | bool = "auto",
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
        log: for tables, whether a number is modelled in the logarithm; "auto" where it is positive and strongly skewed.
        image_size: side in pixels, for images.
        augment: random changes of training images, as "flip_crop" or "randaugment(m=5)+erase" (`data.augment.named`), or None.
        strict: whether an unreadable file or row is an error instead of left out.
        audit: whether arrays are looked through for copies; other sources always are.

    Raises:
        UsageError: no such name or path (E201, E105, the nearest one is offered), or shares that leave nothing to train on (E202).
        DataError: the source cannot be learned from.
    """
    common = {**_checked_shares(valid, test), "batch_size": batch_size, "seed": seed, "workers": workers}
    if isinstance(source, tuple | list):
        from rungbook.data.arrays import array_data

        if len(source) != 2:
            raise UsageError("E202", f"{len(source)} arrays were given; it takes two, inputs and targets.", "load_data((x, y))")
        return array_data(*source, **common, audit=audit)
    if isinstance(source, str) and not is_path(source):
        from rungbook.data.named import named_data

        said = {"target": target, "text": text, "keep": keep or None, "log": None if log == "auto" else log}
        return named_data(source, **common, **said, image_size=image_size, augment=augment)
    path = existing(Path(source))
    if path.is_dir():
        from rungbook.data.folder import folder_data

        common["workers"] = workers or None  # a folder larger than memory takes worker processes by itself
        return folder_data(path, **common, image_size=image_size, augment=augment, strict=strict)
    from rungbook.data.tabular import table_data

    return table_data(_table(path, target), target=target, name=path.stem, text=text, keep=keep, log=log, strict=strict, **common)


def _checked_shares(valid: float, test: float) -> dict[str, Any]:
    if min(valid, test) < 0 or valid + test >= 1:
        message = f"valid={valid:g} and test={test:g} are shares of the samples: 0 or more, together below 1."
        raise UsageError("E202", message, "valid=0.1 test=0.1")
    return {"valid": valid, "test": test}


def _no_table(path: Path) -> UsageError:
    kind = f"a {path.suffix} file" if path.suffix else "a file without ending"
    remedy = next((fix for endings, fix in _NOT_READ.items() if path.suffix.lower() in endings), "Give a table, or a folder of images.")
    return UsageError("E116", f"{path} is {kind}; tables end in {', '.join(TABLES)}.", remedy)


def _table(path: Path, target: str | None) -> Table:
    """The table of a file. Raises UsageError E116 for a file of another kind, DataError E111, with a command, if no target is said."""
    if path.suffix.lower() not in TABLES:
        raise _no_table(path)
    from rungbook.data.table import read_table
    from rungbook.data.table_target import find_target

    table = read_table(path)
    if target is None:
        find_target(table.frame, None, as_word(path))
    return table


def as_word(path: Path) -> str:
    """A path as it is said on the command line: quoted where a shell needs it, and never to be taken for a name."""
    text = str(path)
    return shlex.quote(text if is_path(text) else f"./{text}")


def existing(path: Path) -> Path:
    """The path, if something is there. Raises UsageError E105 with the nearest name in its folder."""
    if path.exists():
        return path
    folder = path.parent
    if not folder.is_dir():
        message = f'No "{path}": the folder {folder} does not exist either.'
        raise UsageError("E105", message, f"See what there is: ls {as_word(_deepest(folder))}")
    near = nearest(path.name, [p.name for p in folder.iterdir()])
    fix = f"Did you mean {as_word(folder / near[0])}?" if near else f"See what there is: ls {as_word(folder)}"
    raise UsageError("E105", f'No "{path.name}" in {folder.resolve()}.', fix)


def _deepest(folder: Path) -> Path:
    """The nearest folder above that exists."""
    return next(p for p in (folder, *folder.parents, Path()) if p.is_dir())


def learns_from_text(path: Path, *, target: str | None, keep: Sequence[str] = ()) -> bool:
    """Whether a table would be learned from by a column of text, as `load_data` decides it. Raises what `load_data` would."""
    from rungbook.data.tabular import audit

    return audit(_table(path, target), target=target, name=path.stem, keep=keep).text is not None
