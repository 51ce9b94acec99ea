"""Anything that gives batches, as the Learner needs it: `len`, and `batches(epoch, start, device)`."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from typing import Any

import torch

from rungbook.errors import UsageError
from rungbook.learner.random_state import get_random_state, keep_random_state, set_random_state


class IterableFeed:
    """A DataLoader or another re-iterable of (x, y) pairs as a feed.

    Its order belongs to the loader. Where that is drawn from the global generators or from the loader's or its sampler's own, a fit
    interrupted in mid-epoch continues bit for bit: the epoch is begun again with the numbers it had, and the batches seen are passed over.
    """

    def __init__(self, loader: Any) -> None:
        self.loader = loader

    def __len__(self) -> int:
        return len(self.loader)

    @property
    def generators(self) -> list[torch.Generator]:
        """The loader's and its sampler's own random number generators."""
        own = [getattr(part, "generator", None) for part in (self.loader, getattr(self.loader, "sampler", None))]
        return [g for i, g in enumerate(own) if isinstance(g, torch.Generator) and not any(g is o for o in own[:i])]

    def batches(
        self, epoch: int = 0, start: int = 0, device: torch.device | None = None, *, passed: Callable[[], None] | None = None
    ) -> Iterator[tuple[Any, Any]]:
        """The loader's batches from `start` on, moved to the device; `passed` is called when those before it have been passed over."""
        sampler: Any = getattr(self.loader, "sampler", None)
        if hasattr(sampler, "set_epoch"):
            sampler.set_epoch(epoch)
        loaded = iter(self.loader)
        for _ in range(start):
            next(loaded, None)
        if passed is not None:
            passed()
        for x, y in loaded:
            x = tuple(t.to(device) for t in x) if isinstance(x, tuple | list) else x.to(device)
            yield x, y.to(device)


def own_generators(feed: Any) -> list[torch.Generator]:
    """The random number generators a feed has besides the global ones; a `rungbook.data` Feed has none."""
    return feed.generators if isinstance(feed, IterableFeed) else []


def replayed(
    feed: Any, epoch: int, start: int, device: torch.device, began: dict[str, Any] | None
) -> Generator[tuple[Any, Any], None, None]:
    """The batches of an epoch from `start` on; an IterableFeed draws its order from `began`, the random numbers the epoch began with."""
    if not isinstance(feed, IterableFeed) or not start or began is None:
        yield from feed.batches(epoch, start, device)
        return
    own = feed.generators
    now = get_random_state()
    set_random_state(began, *own)
    yield from feed.batches(epoch, start, device, passed=lambda: set_random_state(now))  # its own have come to where they were


def peek(feed: Any, device: torch.device) -> tuple[Any, Any] | None:
    """The first batch of the first epoch, None if there is none; no random number is used up."""

    def first() -> Generator[tuple[Any, Any], None, None]:
        yield from feed.batches(0, 0, device)

    with keep_random_state(*own_generators(feed)), closing(first()) as batches:
        return next(batches, None)


def as_feed(loader: Any, device: torch.device) -> Any:
    """A feed out of a feed, a DataLoader or an iterable; in-memory samples move to the device once."""
    if hasattr(loader, "batches"):
        source: Any = getattr(loader, "source", None)
        if device.type != "cpu" and hasattr(source, "to") and not loader.workers:
            loader.source = source.to(device)
        return loader
    if hasattr(loader, "__iter__") and hasattr(loader, "__len__"):
        return IterableFeed(loader)
    raise UsageError("E202", f"{type(loader).__name__} cannot be iterated for batches.", "Give a Data, a DataLoader or a list of (x, y).")
