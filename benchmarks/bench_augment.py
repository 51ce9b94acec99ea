"""What does each change of training images cost? uint8 images as of CIFAR-10, 3x32x32, batches of 256, crop and flip through a whole Feed.

    python benchmarks/bench_augment.py [--rounds 15] [--images 5120]

The floor is the feed without changes (`index_select`, targets, loader's Python). Microseconds are of CPU time a sample. Beside crop and
flip stands Pillow, image by image as per-image pipelines do it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from common import Row, Timing, compare, interleave, record, settle
from rungbook.data.augment.flip_crop import FlipCrop
from rungbook.data.augment.named import NAMES, named_augment
from rungbook.data.augment.policy import OPERATIONS, OneOf
from rungbook.data.feed import Augment, Feed, TensorSource

BATCH, SIDE = 256, 32
TARGET = 4.5
"""Microseconds a sample for crop and flip, the loader's Python included."""
FLOOR = "feed, no change"


def through_feed(x: Tensor, augment: Augment | None) -> Callable[[], int]:
    """One epoch of a Feed, shuffled."""
    feed = Feed(TensorSource(x, torch.zeros(len(x), dtype=torch.int64)), batch_size=BATCH, shuffle=True, augment=augment)
    return lambda: sum(len(y) for _, y in feed)


def by_pillow(x: Tensor) -> Callable[[], int]:
    """Pad, crop and flip image by image with Pillow, from arrays and back."""
    arrays = x.permute(0, 2, 3, 1).contiguous().numpy()
    rng = np.random.default_rng(0)

    def one(array: np.ndarray) -> Tensor:
        image = ImageOps.expand(Image.fromarray(array), 4)
        left, top = rng.integers(0, 9, 2)
        image = image.crop((left, top, left + SIDE, top + SIDE))
        image = ImageOps.mirror(image) if rng.random() < 0.5 else image
        return torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)

    return lambda: len([torch.stack([one(a) for a in arrays[i : i + BATCH]]) for i in range(0, len(arrays), BATCH)])


def show(rows: list[Row], n: int) -> None:
    """Each row in microseconds a sample."""
    for row in rows:
        print(f"{row.name:<40}{row.seconds / n * 1e6:>9.2f} us/sample {row.ratio:>8.2f}  ({row.low:.2f}-{row.high:.2f})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--images", type=int, default=5120)
    args = parser.parse_args()
    settle()
    n = args.images
    x = torch.randint(0, 256, (n, 3, SIDE, SIDE), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    fast = {FLOOR: None, "flip_crop": FlipCrop(), "flip_crop, black padding": FlipCrop(mode="zero")}
    times = interleave({name: through_feed(x, augment) for name, augment in fast.items()}, rounds=args.rounds)
    crops = compare(times, FLOOR)
    pillow = interleave({FLOOR: through_feed(x, None), "Pillow, image by image": by_pillow(x)}, rounds=7)
    crops.append(compare(pillow, FLOOR)[1])
    show(crops, n)

    steps: dict[str, Augment | None] = {name: named_augment(name, SIDE, SIDE) for name in NAMES}
    operations = {f"operation {name}": OneOf((name,), low=0.9, high=0.9) for name in OPERATIONS}
    every: dict[str, Timing] = interleave({k: through_feed(x, a) for k, a in {FLOOR: None, **steps, **operations}.items()}, rounds=7)
    rows = compare(every, FLOOR)
    print()
    show(rows, n)
    per_sample = {row.name: round(row.seconds / n * 1e6, 2) for row in (*crops, *rows)}
    least = {name: round(min(t.cpu) / n * 1e6, 2) for name, t in {**times, **every}.items()}
    tables = {"crop and flip": crops, "steps": rows}
    print(record("augment", tables, data="random bytes", images=n, batch=BATCH, target_us=TARGET, us_per_sample=per_sample, least_us=least))


if __name__ == "__main__":
    main()
