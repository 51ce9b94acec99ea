"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009): from the official binary archives; CIFAR-10 also from the smaller local form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from rungbook.data.data import Data, Finding
from rungbook.data.local import cifar10_grids, local_folder
from rungbook.data.registry import Download
from rungbook.data.split import some_of_training
from rungbook.data.unpacked import unpacked
from rungbook.errors import DataError

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
PIXELS = 3 * 32 * 32
"""Bytes of one image: red, green and blue planes row by row. Before them lie its labels."""
BATCH = 10_000
UNPACKED = 185_000_000
"""Six files of 30,730,000 bytes and two short texts; CIFAR-100 has files of 153,700,000 and 30,740,000 bytes and three texts."""


def read_batches(paths: list[Path], classes: int = 10, labels: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Images (n, 3, 32, 32) uint8 and class numbers (n,) int64 of the binary format's files, one after the other.

    Args:
        paths: the files.
        classes: class numbers lie below it.
        labels: bytes of labels before the pixels of an image; the last one is the class (CIFAR-100 has a coarse one before it).

    Raises:
        DataError: E106 a file does not consist of whole records with such labels.
    """
    records, record = [], labels + PIXELS
    for path in paths:
        raw = np.fromfile(path, np.uint8) if path.is_file() else np.zeros(0, np.uint8)
        if len(raw) == 0 or len(raw) % record or raw[labels - 1 :: record].max() >= classes:
            raise DataError(
                "E106",
                f"{path} does not hold records of {record:,} bytes with a label of 0 to {classes - 1} ({len(raw):,} bytes).",
                f"Remove {path.parent}",
            )
        records.append(raw.reshape(-1, record))
    x, y = np.concatenate([r[:, labels:] for r in records]), np.concatenate([r[:, labels - 1] for r in records])
    return x.reshape(-1, 3, 32, 32), y.astype(np.int64)


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
        root = unpacked(download, declared_bytes=UNPACKED) / "cifar-10-batches-bin"
        train, train_y = read_batches([root / f"data_batch_{k}.bin" for k in range(1, 6)])
        test_x, test_y = read_batches([root / "test_batch.bin"])
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


def load_100(download: Download, *, valid: float = 0.1, test: float = 0.1, train_samples: int | None = None, **options: Any) -> Data:
    """CIFAR-100 with its 100 fine classes: its official test set, and valid cut from train. Arguments as of `load`."""
    from rungbook.data.images import image_data

    root = unpacked(download, declared_bytes=UNPACKED) / "cifar-100-binary"
    try:
        classes = (root / "fine_label_names.txt").read_text(encoding="ascii").split()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError("E106", f"{root} has no names of the classes: {error}.", f"Remove {root.parent}; it is unpacked again") from error
    train, train_y = read_batches([root / "train.bin"], len(classes), labels=2)
    official = read_batches([root / "test.bin"], len(classes), labels=2) if test else None
    if train_samples is not None:
        train, train_y = some_of_training(train, train_y, train_samples, seed=options.get("seed", 0), name=download.name)
    return image_data(download.name, train, train_y, classes, test=official, test_share=0.0, valid=valid, **options)
