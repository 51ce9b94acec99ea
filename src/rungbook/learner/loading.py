"""Anything that gives batches, as the Learner needs it: `len`, and `batches(epoch, start, device)`."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import torch

from rungbook.errors import UsageError


class IterableFeed:
    """A DataLoader or another re-iterable of (x, y) pairs as a feed.

    Its order belongs to the loader, so a fit interrupted in mid-epoch is not continued bit for bit.
    """

    def __init__(self, loader: Any) -> None:
        self.loader = loader

    def __len__(self) -> int:
        return len(self.loader)

    def batches(self, epoch: int = 0, start: int = 0, device: torch.device | None = None) -> Iterator[tuple[Any, Any]]:
        """The loader's batches from `start` on, moved to the device."""
        sampler = getattr(self.loader, "sampler", None)
        if hasattr(sampler, "set_epoch"):
            sampler.set_epoch(epoch)
        for x, y in islice(iter(self.loader), start, None):
            x = tuple(t.to(device) for t in x) if isinstance(x, tuple | list) else x.to(device)
            yield x, y.to(device)


def as_feed(loader: Any, device: torch.device) -> Any:
    """A feed out of a feed, a DataLoader or an iterable; in-memory samples move to the device once."""
    if hasattr(loader, "batches"):
        source = getattr(loader, "source", None)
        if device.type != "cpu" and hasattr(source, "to") and not loader.workers:
            loader.source = source.to(device)
        return loader
    if hasattr(loader, "__iter__") and hasattr(loader, "__len__"):
        return IterableFeed(loader)
    raise UsageError("E202", f"{type(loader).__name__} cannot be iterated for batches.", "Give a Data, a DataLoader or a list of (x, y).")
