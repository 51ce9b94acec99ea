"""Does feeding cost more than the gather itself? uint8 Fashion-MNIST, batch 256, one epoch of 60,000.

    RUNG_DATA=folder python benchmarks/bench_feed.py [--rounds 15] [--chunks]

The floor is `x.index_select(0, i).float().div_(255), y.index_select(0, i)` for each batch of a permutation; ours is a `Feed` over the same
tensors with the same preparation. A DataLoader over a TensorDataset stands beside it. `--chunks` tries other values of `CHUNK_BYTES`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from torch import Tensor

from common import compare, fashion_mnist, interleave, record, settle
from rungbook.data import feed as feed_module
from rungbook.data.feed import Feed, TensorSource

BATCH = 256
TARGET = 1.3


def divide(x: Tensor) -> Tensor:
    """Stored pixels (B, 28, 28) as an image model takes them: float32 in [0, 1]."""
    return x.float().div_(255)


def floor(x: Tensor, y: Tensor) -> Callable[[], int]:
    """The bare gather, with a new permutation each epoch as the Feed makes one."""

    def run() -> int:
        seen = 0
        for i in torch.randperm(len(y)).split(BATCH):
            xb, yb = x.index_select(0, i).float().div_(255), y.index_select(0, i)
            seen += len(xb) + len(yb)
        return seen

    return run


def ours(x: Tensor, y: Tensor, chunk_bytes: int | None = None) -> Callable[[], int]:
    """A Feed over the same tensors; `chunk_bytes` replaces the library's constant for the time of the run."""
    feed = Feed(TensorSource(x, y), batch_size=BATCH, shuffle=True, prepare=divide)
    standard = feed_module.CHUNK_BYTES

    def run() -> int:
        feed_module.CHUNK_BYTES = chunk_bytes or standard
        seen = 0
        for xb, yb in feed:
            seen += len(xb) + len(yb)
        feed_module.CHUNK_BYTES = standard
        return seen

    return run


def data_loader(x: Tensor, y: Tensor) -> Callable[[], int]:
    """torch's DataLoader over a TensorDataset, item by item."""
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=BATCH, shuffle=True)

    def run() -> int:
        seen = 0
        for xb, yb in loader:
            seen += len(divide(xb)) + len(yb)
        return seen

    return run


def check_same(x: Tensor, y: Tensor) -> None:
    """The Feed gives exactly the batches of the floor for the same order: a fast wrong feed is no feed."""
    feed = Feed(TensorSource(x, y), batch_size=BATCH, shuffle=True, prepare=divide)
    for i, (xb, yb) in zip(feed.order(0).split(BATCH), feed.batches(0), strict=True):
        assert torch.equal(xb, x.index_select(0, i).float().div_(255))
        assert torch.equal(yb, y.index_select(0, i))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--chunks", action="store_true", help="also try other values of CHUNK_BYTES")
    args = parser.parse_args()
    settle()
    x, y, data = fashion_mnist()
    check_same(x, y)
    runs = {"index_select, float, div_(255)": floor(x, y), "Feed": ours(x, y), "DataLoader(TensorDataset)": data_loader(x, y)}
    if args.chunks:
        runs |= {f"Feed, CHUNK_BYTES = {kb} kB": ours(x, y, kb << 10) for kb in (1, 256, 512, 1024, 2048, 4096, 16384)}
    rows = compare(interleave(runs, rounds=args.rounds), "index_select, float, div_(255)")
    print(f"{data}, {len(y)} rows, batch {BATCH}, target {TARGET}")
    for row in rows:
        print(f"{row}  {row.seconds / len(y) * 1e6:.2f} us/sample")
    print(record("feed", {f"batch {BATCH}": rows}, data=data, rows=len(y), target=TARGET, chunk_bytes=feed_module.CHUNK_BYTES))


if __name__ == "__main__":
    main()
