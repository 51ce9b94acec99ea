"""What is to be known about a set of images before it trains: which are the same, how bright they are, how even the classes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np

from rungbook.data.data import Finding

UNEVEN = 4.0
"""Largest to smallest class from which on the imbalance is reported."""


def image_digests(images: np.ndarray | Iterable[np.ndarray]) -> list[bytes]:
    """SHA-256 of each image's pixels."""
    return [hashlib.sha256(np.ascontiguousarray(image).data).digest() for image in images]


def copy_groups(digests: Sequence[bytes]) -> np.ndarray:
    """A group number for each image, equal for equal pixels; numbered by first occurrence."""
    number: dict[bytes, int] = {}
    return np.array([number.setdefault(d, len(number)) for d in digests], np.int64)


def pixel_sums(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sum and sum of squares of each channel of uint8 images (n, C, H, W): whole numbers, so no order of adding changes them."""
    wide = images.astype(np.uint16)
    return images.sum((0, 2, 3), dtype=np.int64), (wide * wide).sum((0, 2, 3), dtype=np.int64)


def moments(sums: np.ndarray, squares: np.ndarray, pixels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel on the scale 0 to 1, to six decimals; a constant channel gets deviation 1."""
    mean = sums / pixels
    std = np.sqrt(np.maximum(squares / pixels - mean**2, 0))
    return tuple(round(float(m) / 255, 6) for m in mean), tuple(round(float(s) / 255, 6) if s > 1e-3 else 1.0 for s in std)


def uneven_classes(labels: np.ndarray, classes: Sequence[str]) -> list[Finding]:
    """W208 where the largest class is at least `UNEVEN` times the smallest."""
    counts = np.bincount(labels, minlength=len(classes))
    seen = np.flatnonzero(counts)
    small, large = int(seen[counts[seen].argmin()]), int(seen[counts[seen].argmax()])
    if counts[large] < UNEVEN * counts[small]:
        return []
    n = len(labels)
    return [
        Finding(
            "W208",
            f'class "{classes[small]}" is {counts[small] / n:.1%} of {n:,} images, "{classes[large]}" {counts[large] / n:.1%}: '
            f'always answering "{classes[large]}" scores {counts[large] / n:.1%}',
            "Look at balanced accuracy; class_weights=balanced weights the loss",
            tuple(f"{classes[i]} {counts[i]}" for i in seen.tolist()),
        )
    ]


def copies_found(digests: list[bytes], labels: np.ndarray, classes: Sequence[str], groups: np.ndarray) -> list[Finding]:
    """A note on exact copies, and W210 on those that bear two labels."""
    copies = len(digests) - int(groups.max()) - 1
    if not copies:
        return []
    found = [Finding("note", f"{copies:,} images are exact copies of another; copies stay in one part")]
    first = {int(g): i for i, g in reversed(list(enumerate(groups)))}
    torn = [(first[int(g)], i) for i, g in enumerate(groups) if labels[first[int(g)]] != labels[i]]
    if torn:
        items = tuple(f'image {a} "{classes[labels[a]]}" = image {b} "{classes[labels[b]]}"' for a, b in torn)
        found.append(
            Finding(
                "W210",
                f"{len(torn):,} images have the pixels of another with a different label, e.g. {items[0]}",
                "Correct the labels",
                items,
            )
        )
    return found


def also_in_test(digests: list[bytes], test: list[bytes]) -> list[Finding]:
    """W207 where official test images are also among the others."""
    where = {d: i for i, d in enumerate(digests)}
    both = [f"test {j} = image {where[d]}" for j, d in enumerate(test) if d in where]
    if not both:
        return []
    return [
        Finding(
            "W207",
            f"{len(both):,} of {len(test):,} test images are also in training, e.g. {both[0]}",
            "Their share of the score says nothing",
            tuple(both),
        )
    ]
