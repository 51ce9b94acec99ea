"""CIFAR-10 (Krizhevsky 2009): from the official binary archive, or from the smaller local form."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from rungbook.data.archive import unpack
from rungbook.data.data import Data, Finding
from rungbook.data.download import cache_folder, disk_problems, locked
from rungbook.data.local import cifar10_grids, files_of, local_folder
from rungbook.data.registry import Download
from rungbook.data.split import some_of_training
from rungbook.errors import DataError

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
RECORD = 1 + 3 * 32 * 32
"""Bytes of one image: its label, then red, green and blue planes row by row."""
BATCH = 10_000
UNPACKED = 185_000_000
"""Six files of 30,730,000 bytes, and two short texts."""


def read_batches(paths: list[Path]) -> tuple[np.ndarray, np.ndarray]:
    """Images (n, 3, 32, 32) uint8 and labels (n,) int64 of the binary format's files, one after the other.

    Raises:
        DataError: E106 a file does not consist of whole records with labels 0 to 9.
    """
    records = []
    for path in paths:
        raw = np.fromfile(path, np.uint8)
        if len(raw) == 0 or len(raw) % RECORD or raw[::RECORD].max() > 9:
            raise DataError(
                "E106",
                f"{path} does not hold records of {RECORD:,} bytes with a label of 0 to 9 ({len(raw):,} bytes).",
                f"Remove {path.parent}",
            )
        records.append(raw.reshape(-1, RECORD))
    return np.concatenate([r[:, 1:] for r in records]).reshape(-1, 3, 32, 32), np.concatenate([r[:, 0] for r in records]).astype(np.int64)


def load(download: Download, *, valid: float = 0.1, test: float = 0.1, train_samples: int | None = None, **options: Any) -> Data:
    """CIFAR-10: its official test set, and valid cut from train.

    Args:
        download: entry of the registry.
        valid: share of the official training set for choosing.
        test: 0 leaves the test set out; any other value keeps all of it.
        train_samples: training images for train and valid together, drawn without replacement; all of them if None.
        options: as `image_data`.

    Raises:
        UsageError: E202 `train_samples` is not between 20 and the number of official training images.
    """
    from rungbook.data.images import image_data

    folder = local_folder(download.name)
    archive = download.files[0].name
    held = cifar10_grids(folder) if folder and not (folder / archive).is_file() else None
    if held is None:
        unpacked = _unpacked(download)
        train, train_y = read_batches([unpacked / f"data_batch_{k}.bin" for k in range(1, 6)])
        test_x, test_y = read_batches([unpacked / "test_batch.bin"])
    else:
        train, train_y, test_x, test_y = held
    if train_samples is not None:
        train, train_y = some_of_training(train, train_y, train_samples, seed=options.get("seed", 0), name=download.name)
    data = image_data(
        download.name, train, train_y, CLASSES, test=(test_x, test_y) if test else None, test_share=0.0, valid=valid, **options
    )
    if held is not None:
        data.findings.append(
            Finding(
                "note",
                f"{folder} holds CIFAR-10 in a smaller form: training pixels rounded to 32 levels, the first {len(test_x):,} test images",
                f"For the official images put {archive} there, or unset RUNG_DATA",
            )
        )
        data.facts["form"] = "grids"
    return data


def _unpacked(download: Download) -> Path:
    """The folder with the archive's files, unpacked once."""
    base = cache_folder() / "data" / download.name
    target = base / "unpacked"
    if not target.is_dir():
        path = files_of(download)[download.files[0].name]
        with disk_problems(download.name, UNPACKED, base):
            base.mkdir(parents=True, exist_ok=True)
            with locked(base, download.name):
                for leftover in base.glob(f".{target.name}.*"):  # where a process was killed while it unpacked
                    shutil.rmtree(leftover)
                if not target.is_dir():
                    unpack(path, target, declared_bytes=UNPACKED)
    return target / "cifar-10-batches-bin"
