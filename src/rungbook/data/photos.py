"""A folder of picture files made from a world of images, as people have them: of many sizes, some broken, some there twice.

The world gives the pictures and their labels; what is added is what files bring with them, so that the real loading code has its work.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import tempfile
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import numpy as np
from PIL import Image

from rungbook.data.download import cache_folder, disk_problems, locked
from rungbook.data.worlds.world import World
from rungbook.errors import UsageError

VERSION = 1
"""Counted up when the same world and seed give other files."""
SMALLEST, LARGEST = 40, 160
"""Shorter sides of the pictures, in pixels."""
WIDER = 0.5
"""The longer side is up to this share longer."""
QUALITY = 88
"""Of the JPEG files."""
COPY_EVERY, PNG_EVERY, MISNAMED_EVERY = 100, 4, 150
"""One picture in so many is there a second time, is PNG, is PNG although its name says JPEG."""
STAMP = ".made.json"
"""Written last; hidden, so that the reader of folders passes over it."""
BYTES = 10_000
"""What a file takes about; for the message of a full disk."""


def picture_folder(world: World, seed: int = 0) -> Path:
    """The folder of a world's pictures in the cache: made once, whole or not at all, and used again while nothing in it changed.

    Args:
        world: one of images with a class each; its `n` says how many.
        seed: of the pictures.

    Raises:
        UsageError: E202 the world has no images.
        EnvironmentProblem: E401 the disk is full, E405 the cache cannot be written.
    """
    if world.kind != "image":
        raise UsageError("E202", f"{world} has no images that could be put into files.", "data=world:shapes")
    base = cache_folder() / "photos"
    mark = sha256(f"{VERSION}|{world}|{seed}".encode()).hexdigest()[:12]
    folder = base / f"{world.name}-{mark}"
    if _whole(folder):
        return folder  # without the lock, so that a cache that may only be read serves too
    with disk_problems(f"a folder of {world.n:,} pictures", world.n * BYTES, base):
        base.mkdir(parents=True, exist_ok=True)
        with locked(base, "the pictures"):
            for leftover in base.glob(f".{folder.name}.*"):  # where a process was killed
                shutil.rmtree(leftover)
            if not _whole(folder):
                _make(world, seed, folder)
    return folder


def write_pictures(world: World, seed: int, root: Path) -> None:
    """Write a world's pictures into `root`, a folder for each class, with three broken files, some copies and a text beside them."""
    drawn = world.sample(world.n, seed)
    rng = world.rng(seed)
    for name in world.class_names:
        (root / name).mkdir(parents=True)
    for i, (pixels, label) in enumerate(zip(drawn.x, drawn.y, strict=True)):
        suffix = ".png" if i % PNG_EVERY == 0 else ".jpg"
        raw = _encoded(_photographed(pixels, rng), suffix)
        wrong = i % MISNAMED_EVERY == MISNAMED_EVERY - PNG_EVERY  # a multiple of PNG_EVERY, so that it is one
        folder = root / world.class_names[int(label)]
        (folder / f"{i:05d}{'.jpg' if wrong and suffix == '.png' else suffix}").write_bytes(raw)
        if i % COPY_EVERY == 0:
            (folder / f"copy of {i:05d}{suffix}").write_bytes(raw)
    first, second = (root / name for name in world.class_names[:2])
    whole = next(p for p in sorted(first.iterdir()) if p.suffix == ".jpg").read_bytes()
    (first / "cut off.jpg").write_bytes(whole[: len(whole) // 2])
    (first / "empty.jpg").write_bytes(b"")
    (second / "not found.jpg").write_text("<html><body>404 Not Found</body></html>")
    (root / "about.txt").write_text(f"{world}, seed {seed}: pictures made by rungbook\n")


def _photographed(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A picture (C, S, S) in a size of its own, (H, W) or (H, W, 3), wider or higher than square by its edge pixels."""
    plane = pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0))
    side = int(rng.integers(SMALLEST, LARGEST + 1))
    scaled = np.asarray(Image.fromarray(plane).resize((side, side), Image.Resampling.BICUBIC))
    more, wide = int(side * rng.uniform(0, WIDER)) // 2, rng.random() < 0.5
    pad = [(0, 0), (more, more)] if wide else [(more, more), (0, 0)]
    return np.pad(scaled, pad + [(0, 0)] * (scaled.ndim - 2), mode="edge")


def _encoded(pixels: np.ndarray, suffix: str) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG") if suffix == ".png" else Image.fromarray(pixels).save(out, "JPEG", quality=QUALITY)
    return out.getvalue()


def _make(world: World, seed: int, folder: Path) -> None:
    """Write beside it, then move it into its place; what was there and not whole goes."""
    work = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        made = work / "out"
        made.mkdir()
        write_pictures(world, seed, made)
        (made / STAMP).write_text(json.dumps({"world": str(world), "seed": seed, "files": _sizes(made)}))
        if folder.exists():
            shutil.rmtree(folder)
        os.rename(made, folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _whole(folder: Path) -> bool:
    """Whether the files are those that were written."""
    with suppress(OSError, ValueError, KeyError):
        return bool(json.loads((folder / STAMP).read_text())["files"] == _sizes(folder))
    return False


def _sizes(folder: Path) -> dict[str, int]:
    """Name and bytes of every file but the stamp."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != STAMP)
    return {p.relative_to(folder).as_posix(): p.stat().st_size for p in files}
