"""MNIST's file format, idx (LeCun, http://yann.lecun.com/exdb/mnist/), and the sets that come in it."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from rungbook.data.data import Data
from rungbook.data.local import files_of
from rungbook.data.registry import Download
from rungbook.data.split import some_of_training
from rungbook.errors import DataError

CLASSES: dict[str, tuple[str, ...]] = {
    "mnist": tuple("0123456789"),
    "fashion-mnist": ("T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"),
}
"""Class names in the order of the labels."""

_MAX_BYTES = 1 << 30
"""A header that asks for more is damaged: the largest file of the family (EMNIST) unpacks to 0.6 GB."""


def read_idx(path: Path) -> np.ndarray:
    """The uint8 array in an idx file, packed with gzip or not; shape as its header says.

    Raises:
        DataError: E106 it is no idx file of uint8, or shorter or longer than its header says.
    """
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        with gzip.open(path) if packed else path.open("rb") as stream:
            head = stream.read(4)
            if len(head) < 4 or head[:3] != b"\x00\x00\x08" or not 1 <= head[3] <= 4:
                raise DataError(
                    "E106", f"{path} does not begin as an idx file of bytes (00 00 08 n), but with {head.hex(' ') or 'nothing'}."
                )
            dims = stream.read(4 * head[3])
            if len(dims) < 4 * head[3]:
                raise DataError("E106", f"{path} ends within its header.", "Download it again")
            shape = tuple(np.frombuffer(dims, ">u4").astype(int).tolist())
            needed = math.prod(shape)
            body = stream.read(min(needed, _MAX_BYTES) + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError("E106", f"{path} cannot be read: {error}.", "Download it again") from error
    if len(body) != needed:
        raise DataError(
            "E106", f"{path} should hold {'x'.join(map(str, shape))} bytes, it holds {len(body):,}{'+' if len(body) > needed else ''}."
        )
    return np.frombuffer(body, np.uint8).reshape(shape)


def load(
    download: Download, *, valid: float = 0.1, test: float = 0.1, seed: int = 0, train_samples: int | None = None, **options: Any
) -> Data:
    """A set in MNIST's layout: its official test set, and valid cut from train.

    Args:
        download: entry of the registry.
        valid: share of the training images for choosing.
        test: 0 leaves the official test set out; any other value keeps all of it.
        seed: of the split, the order, and the choice of training images.
        train_samples: training images for train and valid together, drawn without replacement; all of them if None.
        options: as `image_data`.

    Raises:
        UsageError: E202 `train_samples` is not between 20 and the number of official training images.
    """
    from rungbook.data.images import image_data

    files = files_of(download)
    arrays = {name.removesuffix("-ubyte.gz"): read_idx(path) for name, path in files.items()}
    x, y = arrays["train-images-idx3"], arrays["train-labels-idx1"]
    if train_samples is not None:
        x, y = some_of_training(x, y, train_samples, seed=seed, name=download.name)
    return image_data(
        download.name,
        x,
        y,
        CLASSES[download.name],
        test=(arrays["t10k-images-idx3"], arrays["t10k-labels-idx1"]) if test else None,
        test_share=0.0,
        valid=valid,
        seed=seed,
        **options,
    )
