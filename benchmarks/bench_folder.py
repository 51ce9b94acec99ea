"""Does training ResNet-18 wait for a folder of JPEGs? Pictures at 128 pixels, read from their files by two workers.

    python benchmarks/bench_folder.py [--rounds 7] [--images 96]

Two questions. What one picture costs: opened, decoded and scaled by `rungbook.data.pil`, against the usual Pillow lines (open, convert,
resize the shorter side, cut the middle) for pictures of 0.2, 3 and 12 megapixels. And what an epoch costs: ResNet-18 trains on the
same pictures held in memory and read from their files; where the two take equally long, training is bound by computing.

The pictures are noise whose amplitude falls with its frequency as in photographs (Field 1987), saved as JPEG of quality 90.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from common import compare, interleave, record, settle
from rungbook.data.data import Data
from rungbook.data.folder import folder_data
from rungbook.data.pil import decode, fit, quiet
from rungbook.models.registry import create_model

SIDE = 128
BATCH = 16
WORKERS = 2
SIZES = {"0.2 MP": (375, 500), "3 MP": (1536, 2048), "12 MP": (3000, 4000)}
TARGET = 1.1
"""Wall time of an epoch from the files, in epochs from memory: what is above one is waiting."""


def photograph(height: int, width: int, seed: int) -> np.ndarray:
    """A colour picture (H, W, 3) with the spectrum of a photograph."""
    rng = np.random.default_rng(seed)
    y, x = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
    falling = 1 / np.maximum(np.hypot(y, x), 1 / max(height, width))
    planes = [np.fft.irfft2(np.fft.rfft2(rng.standard_normal((height, width))) * falling, (height, width)) for _ in range(2)]
    grey, tint = (p / p.std() for p in planes)
    mixed = np.stack([grey + share * tint for share in (0.3, -0.1, -0.3)], 2)
    return (128 + 50 * mixed).clip(0, 255).astype(np.uint8)


def write_folder(root: Path, images: int, size: tuple[int, int]) -> None:
    """Pictures in two class folders."""
    for i in range(images):
        folder = root / ("a" if i % 2 else "b")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photograph(*size, seed=i)).save(folder / f"{i:03d}.jpg", quality=90)


def as_usual(paths: list[Path]) -> Callable[[], object]:
    """Open, convert, resize, cut the middle."""

    def one(path: Path) -> np.ndarray:
        with Image.open(path) as image:
            rgb = image.convert("RGB")
        scale = SIDE / min(rgb.size)
        width, height = (round(s * scale) for s in rgb.size)
        left, top = (width - SIDE) // 2, (height - SIDE) // 2
        return np.asarray(rgb.resize((width, height), Image.Resampling.BILINEAR).crop((left, top, left + SIDE, top + SIDE)))

    return lambda: [one(path) for path in paths]


def ours(paths: list[Path]) -> Callable[[], object]:
    """As a folder's files are read, batch by batch and when they are first looked at."""

    def run() -> list[np.ndarray]:
        with quiet():
            return [fit(decode(path, side=SIDE).pixels, SIDE, SIDE) for path in paths]

    return run


def epoch(data: Data) -> Callable[[], float]:
    """One epoch of training ResNet-18 from the same weights, and the last loss."""

    def run() -> float:
        torch.manual_seed(0)
        model = create_model("resnet18", num_classes=2, image_size=(SIDE, SIDE))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
        loss = torch.zeros(())
        for x, y in data.train.batches(0):
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        return float(loss.detach())

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--images", type=int, default=96)
    args = parser.parse_args()
    settle()
    tables, facts = {}, {}
    with tempfile.TemporaryDirectory() as name:
        for title, size in SIZES.items():
            root, few = Path(name) / title, max(2, args.images * 375 * 500 // (8 * size[0] * size[1]))
            write_folder(root, few, size)
            paths = sorted(root.glob("*/*.jpg"))
            rows = compare(interleave({"Pillow": as_usual(paths), "rungbook": ours(paths)}, rounds=args.rounds), "Pillow")
            tables[f"one picture of {title}"] = rows
            facts[title] = {row.name: round(row.seconds / few * 1e6) for row in rows}
            print(f"{title}, {few} pictures of {sum(p.stat().st_size for p in paths) / few / 1e3:.0f} kB")
            for row in rows:
                print(f"  {row}  {row.seconds / few * 1e6:,.0f} us a picture")
        root = Path(name) / "train"
        write_folder(root, args.images, SIZES["0.2 MP"])
        options = {"valid": 0.0, "test": 0.0, "image_size": SIDE, "batch_size": BATCH}
        held = folder_data(root, **options)
        read = folder_data(root, **options, max_memory=0, workers=WORKERS)
        alone = folder_data(root, **options, max_memory=0, workers=0)
        assert epoch(held)() == epoch(read)(), "the same batches, or the comparison says nothing"
        runs = {"from memory": epoch(held), f"from files, {WORKERS} workers": epoch(read), "from files, no worker": epoch(alone)}
        rows = compare(interleave(runs, rounds=args.rounds, warmup=0), "from memory")
        tables[f"an epoch of ResNet-18, {args.images} pictures"] = rows
        print(f"ResNet-18 at {SIDE} pixels, {args.images} pictures of 0.2 MP, batch {BATCH}; target: wall below {TARGET}")
        for row in rows:
            print(f"  {row}")
        print(
            f"  one picture costs {rows[0].seconds / args.images * 1e3:.1f} ms of training, {facts['0.2 MP']['rungbook'] / 1e3:.1f} to read"
        )
    where = record("folder", tables, side=SIDE, batch=BATCH, workers=WORKERS, images=args.images, target=TARGET, microseconds=facts)
    print(where)


if __name__ == "__main__":
    main()
