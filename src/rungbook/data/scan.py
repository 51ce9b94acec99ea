"""Looking at every image file once before training: what cannot be read and why, which pictures are the same, which nearly.

Near-copies are found by difference hashes (the sign of the step from each of 8x8 cells to the next; Krawetz 2013, "Kind of like that"):
two pictures that agree in one of four bands of the hash are compared as 16x16 thumbnails.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from rungbook.data.pil import BadImage, Picture, as_channels, decode, fit, quiet, read_header

THUMB = 16
"""Side of the thumbnails that near-copies are judged by, in pixels."""
NEAR = 2.0
"""Mean difference of two thumbnails, of 255 levels, up to which they count as near-copies. Measured on 1,399 photographs of cats and
dogs: saved again as JPEG at quality 50 or at half the size they differ from themselves by at most 0.8, different ones by 13 or more."""
FLAT = 8.0
"""Standard deviation of a thumbnail below which it is too uniform to tell pictures apart."""
CROWD = 256
"""Pictures that share one band of the hash from which on the band says nothing."""


@dataclass
class Scan:
    """What the scan of a list of files found.

    Args:
        good: numbers of the files that give a picture, ascending, (n,).
        bad: (number, reason) of the others.
        digests: SHA-256 of each good picture's pixels as they were decoded, before it is scaled.
        thumbs: uint8 (n, 16, 16), the good pictures in grey.
        grey: whether each good picture has no colour, (n,).
        sums, squares: of the scaled pictures' pixels, for each of three channels, int64 (n, 3).
        notes: what decoding did to each good picture (see `pil.Picture`).
        images: the scaled pictures, (H, W) or (H, W, 3), or None if they were not to be kept.
    """

    good: np.ndarray
    bad: list[tuple[int, str]]
    digests: list[bytes]
    thumbs: np.ndarray
    grey: np.ndarray
    sums: np.ndarray
    squares: np.ndarray
    notes: list[tuple[str, ...]]
    images: list[np.ndarray] | None

    def stored(self, index: np.ndarray, channels: int) -> np.ndarray:
        """The kept pictures of some good ones, uint8 (m, channels, H, W)."""
        assert self.images is not None
        return np.stack([as_channels(self.images[i], channels) for i in index])


@dataclass
class _Seen:
    """What is kept of one picture."""

    digest: bytes
    thumb: np.ndarray
    sums: np.ndarray
    squares: np.ndarray
    notes: tuple[str, ...]
    grey: bool
    image: np.ndarray | None


def read_headers(paths: Sequence[Path]) -> list[tuple[int, int, bool] | None]:
    """Height, width and greyness of each file by its header; None where there is none."""
    with quiet(), ThreadPoolExecutor(_threads()) as pool:
        return list(pool.map(read_header, paths, chunksize=64))


def scan(paths: Sequence[Path], size: tuple[int, int], *, keep: bool, show: bool | None = None) -> Scan:
    """Decode every file once.

    Args:
        paths: the files.
        size: height and width to scale to, in pixels.
        keep: whether to keep the scaled pictures.
        show: whether to draw a progress bar; by default on a terminal, for 500 files or more.
    """

    def look(path: Path) -> _Seen | str:
        try:
            return _seen(decode(path, side=max(size)), size, keep)
        except BadImage as reason:
            return str(reason)

    seen: list[_Seen] = []
    good: list[int] = []
    bad: list[tuple[int, str]] = []
    with quiet(), ThreadPoolExecutor(_threads()) as pool, _bar(len(paths), show) as advance:
        for start in range(0, len(paths), 1024):  # in pieces, so that what is decoded ahead stays bounded
            for i, found in enumerate(pool.map(look, paths[start : start + 1024]), start):
                if isinstance(found, str):
                    bad.append((i, found))
                else:
                    good.append(i)
                    seen.append(found)
                advance()
    return Scan(
        np.array(good, np.int64),
        bad,
        [s.digest for s in seen],
        np.array([s.thumb for s in seen], np.uint8).reshape(-1, THUMB, THUMB),
        np.array([s.grey for s in seen], bool),
        np.array([s.sums for s in seen], np.int64).reshape(-1, 3),
        np.array([s.squares for s in seen], np.int64).reshape(-1, 3),
        [s.notes for s in seen],
        [s.image for s in seen if s.image is not None] if keep else None,
    )


def _seen(picture: Picture, size: tuple[int, int], keep: bool) -> _Seen:
    pixels = picture.pixels
    digest = hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).digest()
    thumb = Image.fromarray(pixels).resize((THUMB, THUMB), Image.Resampling.BILINEAR).convert("L")
    scaled = fit(pixels, *size)
    flat = scaled.reshape(-1, 1 if scaled.ndim == 2 else 3).astype(np.int64)
    sums, squares = np.broadcast_to(flat.sum(0), 3), np.broadcast_to((flat * flat).sum(0), 3)
    return _Seen(digest, np.asarray(thumb), sums, squares, picture.notes, pixels.ndim == 2, scaled if keep else None)


def near_copies(thumbs: np.ndarray, groups: np.ndarray) -> list[tuple[int, int]]:
    """Pairs of pictures that look the same without being equal, each with the first it resembles, ascending.

    Args:
        thumbs: uint8 (n, 16, 16).
        groups: group of exact copies of each, (n,); pairs within a group are left out.
    """
    if len(thumbs) < 2:
        return []
    cells = thumbs.reshape(-1, 8, 2, 8, 2).mean((2, 4))  # (n, 8, 8)
    steps = (cells[:, :, 1:] > cells[:, :, :-1]).reshape(len(thumbs), 4, 14)  # (n, 4, 14): four bands of 56 bits
    bands = steps @ (1 << np.arange(14))  # (n, 4)
    usable = np.flatnonzero(thumbs.reshape(len(thumbs), -1).std(1) >= FLAT)
    pairs: set[tuple[int, int]] = set()
    for band in range(4):
        order = usable[np.argsort(bands[usable, band], kind="stable")]
        edges = np.flatnonzero(np.diff(bands[order, band])) + 1
        for crowd in np.split(order, edges):
            if 1 < len(crowd) <= CROWD:
                pairs.update(_alike(crowd, thumbs, groups))
    return sorted(pairs)


def _alike(crowd: np.ndarray, thumbs: np.ndarray, groups: np.ndarray) -> Iterator[tuple[int, int]]:
    """The near pairs among a few pictures."""
    small = thumbs[crowd].reshape(len(crowd), -1).astype(np.int16)
    for k in range(1, len(crowd)):
        near = np.flatnonzero((np.abs(small[:k] - small[k]).mean(1) <= NEAR) & (groups[crowd[:k]] != groups[crowd[k]]))
        if len(near):
            yield int(crowd[near[0]]), int(crowd[k])


def _threads() -> int:
    """Decoding releases the interpreter's lock: a thread for each core, up to 8."""
    return min(8, os.cpu_count() or 1)


@contextmanager
def _bar(total: int, show: bool | None) -> Iterator:
    """A progress bar on the terminal, or nothing."""
    if not (sys.stderr.isatty() and total >= 500 if show is None else show):
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("looking at images", total=total)
        yield lambda: bar.advance(task)
