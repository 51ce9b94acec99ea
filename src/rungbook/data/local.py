"""Local copies of named data sets: the folder `RUNG_DATA`, one folder below it for each set, named as in the registry.

A file with the registry's name must be the registry's file. CIFAR-10 and the dogs and cats may also lie there in a smaller form than the
official archive (grids of images as WebP, a zip with some of the photographs); this module is the one place that knows it.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from rungbook.data.download import fetch
from rungbook.data.registry import Download
from rungbook.errors import DataError

TILE = 32
"""Width and height of a CIFAR image."""


def local_folder(name: str) -> Path | None:
    """The folder of a set below `RUNG_DATA`, if both are there.

    Raises:
        DataError: E105 `RUNG_DATA` names no folder.
    """
    root = os.environ.get("RUNG_DATA")
    if not root:
        return None
    base = Path(root).expanduser()
    if not base.is_dir():
        raise DataError("E105", f"RUNG_DATA is {root}, which is not a folder.", "Correct it, or unset RUNG_DATA to download")
    folder = base / name
    return folder if folder.is_dir() else None


def files_of(download: Download) -> dict[str, Path]:
    """The files of a set: its local copies if all are there, else fetched.

    Raises:
        DataError: E106 a local copy is not the file of the registry.
        EnvironmentProblem: E403 and its kin, as `fetch`.
    """
    folder = local_folder(download.name)
    if folder is None or not all((folder / f.name).is_file() for f in download.files):
        return fetch(download)
    for file in download.files:
        if not file.is_at(folder / file.name):
            size = f"{file.size:,} bytes, " if file.size else ""
            raise DataError(
                "E106",
                f"{folder / file.name} is not the file of {download.name}: its size or {file.checked_by} differs from the registry's "
                f"({size}{file.digest[1][:12]}...).",
                "Replace it, or unset RUNG_DATA to download the official file",
            )
    return {file.name: folder / file.name for file in download.files}


def cifar10_grids(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray] | None:
    """CIFAR-10 from `train_batch_1..5.webp`, `test_first1000.webp` and `labels.npz`, or None if they are not there.

    The training pixels are rounded to 32 levels (largest error 4 of 255) and only the first 1,000 test images are held, exactly.

    Returns:
        Train images (n, 3, 32, 32) uint8 and labels (n,) int64, then the same of the test set.

    Raises:
        DataError: E106 a file is damaged or the counts differ.
    """
    grids = [folder / f"train_batch_{k}.webp" for k in range(1, 6)]
    test_grid, labels = folder / "test_first1000.webp", folder / "labels.npz"
    if not all(p.is_file() for p in (*grids, test_grid, labels)):
        return None
    train, test = np.concatenate([_tiles(p) for p in grids]), _tiles(test_grid)
    try:
        with np.load(labels, allow_pickle=False) as stored:
            train_y, test_y = stored["train"].astype(np.int64), stored["test"].astype(np.int64)[: len(test)]
    except (OSError, ValueError, KeyError) as error:
        raise DataError("E106", f"{labels} cannot be read: {error}.", "Replace it, or unset RUNG_DATA") from error
    if len(train) != len(train_y) or len(test) != len(test_y):
        raise DataError(
            "E106",
            f"{folder} holds {len(train):,} + {len(test):,} images for {len(train_y):,} + {len(test_y):,} labels.",
            "Replace the files",
        )
    return train, train_y, test, test_y


def some_dogs_and_cats() -> Path | None:
    """The zip in `dogs-vs-cats-1400`: 1,399 of the photographs in train and valid folders; None if it is not there."""
    folder = local_folder("dogs-vs-cats-1400")
    found = sorted(folder.glob("*.zip")) if folder else []
    return found[0] if found else None


def _tiles(path: Path) -> np.ndarray:
    """The 32x32 tiles of a grid, row by row: (n, 3, 32, 32) uint8."""
    from rungbook.data.pil import BadImage, decode

    try:
        pixels = decode(path).pixels  # (rows * 32, columns * 32, 3)
    except BadImage as error:
        raise DataError("E106", f"{path} {error}.", "Replace it, or unset RUNG_DATA") from error
    rows, columns = pixels.shape[0] // TILE, pixels.shape[1] // TILE
    tiles = pixels.reshape(rows, TILE, columns, TILE, 3).transpose(0, 2, 4, 1, 3)  # (rows, columns, 3, 32, 32)
    return np.ascontiguousarray(tiles.reshape(rows * columns, 3, TILE, TILE))
