"""Fetching: from indices to a batch, the same in this process and in a worker."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

NAMED = 16
"""Of a batch, at most so many samples are named in an error."""


class MapFetcher:
    """Gets samples by their indices.

    Args:
        dataset: with `__getitem__`, perhaps `__getitems__`.
        batched: whether an index is a list of indices, whose samples are collated.
        collate_fn: of a list of samples, or of one sample where they are not batched.
    """

    def __init__(self, dataset: Any, batched: bool, collate_fn: Callable[[Any], Any], drop_last: bool) -> None:
        self.dataset, self.batched, self.collate_fn = dataset, batched, collate_fn
        self.together = batched and bool(getattr(dataset, "__getitems__", None))

    def fetch(self, index: Any) -> Any:
        """The batch; an error on the way carries a note that says at which sample."""
        doing, at = "", index  # put into words only where they are needed: an index may be a long list
        try:
            if not self.batched:
                data = self.dataset[index]
            elif self.together:
                data = self.dataset.__getitems__(index)
            else:
                data = []
                for at in index:
                    data.append(self.dataset[at])
            doing, at = "collating ", index
            return self.collate_fn(data)
        except StopIteration as stop:  # would end the epoch without a word
            raise RuntimeError(f"StopIteration {self._where(doing, at)}: {stop}") from stop
        except Exception as error:
            error.add_note(self._where(doing, at))
            raise

    def _where(self, doing: str, index: Any) -> str:
        samples = f"sample {index}"
        if isinstance(index, list | tuple):
            samples = f"samples {list(index[:NAMED])}{' and more' if len(index) > NAMED else ''}"
        return f"at {doing}{samples} of {type(self.dataset).__name__}"


class IterableFetcher:
    """Gets the next samples, as many as there are indices.

    Args:
        dataset: with `__iter__`.
        batched, collate_fn: as for `MapFetcher`.
        drop_last: whether a last batch that is shorter is left out.
    """

    def __init__(self, dataset: Any, batched: bool, collate_fn: Callable[[Any], Any], drop_last: bool) -> None:
        self.samples, self.name = iter(dataset), type(dataset).__name__
        self.batched, self.collate_fn, self.drop_last = batched, collate_fn, drop_last
        self.taken, self.ended = 0, False

    def fetch(self, index: Sequence[Any]) -> Any:
        """The batch.

        Raises:
            StopIteration: there is none.
        """
        if self.ended:
            raise StopIteration
        try:
            if not self.batched:
                return self.collate_fn(self._next())
            data: list[Any] = []
            try:
                while len(data) < len(index):
                    data.append(self._next())
            except StopIteration:
                self.ended = True
            if not data or (self.drop_last and len(data) < len(index)):
                raise StopIteration
            return self.collate_fn(data)
        except StopIteration:
            raise
        except Exception as error:
            error.add_note(f"after {self.taken} samples of {self.name}")
            raise

    def _next(self) -> Any:
        sample = next(self.samples)
        self.taken += 1
        return sample


Fetcher = MapFetcher | IterableFetcher
