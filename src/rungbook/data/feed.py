"""Feeding: from stored samples to batches a model can take, without a DataLoader where none is needed.

A `Source` stores the samples of one split (tensors in memory, ragged texts, image files). A `Feed` decides their order, fetches several
batches in one gather, augments and prepares them. Samples stay in storage form (uint8 pixels, token ids) until the batch is made.
Every random draw is keyed by (seed, epoch, sample) (see `draws`), so batches are the same with 0, 1, 2 or 4 worker processes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import torch
from torch import Tensor

from rungbook.data import draws
from rungbook.errors import EnvironmentProblem

Inputs = Tensor | tuple[Tensor, ...]
Batch = tuple[Inputs, Tensor]
Augment = Callable[[Tensor, Tensor, int, int], Tensor]
"""`augment(x, samples, epoch, seed)`: stored inputs (B, ...) and their sample numbers (B,) -> inputs of the same type."""

CHUNK_BYTES = 1 << 20
"""Batches are gathered together up to this size: fewer calls, still within a core's cache (benchmarks/bench_feed.py)."""
AUGMENTED_BYTES = 4 << 20
"""The same where they are augmented: that takes many calls, which cost more than the cache saves (a third of RandAugment's time)."""
WORKER_TIMEOUT = 120.0
"""Seconds without a batch after which a worker process counts as hung."""


def map_inputs(x: Inputs, f: Callable[[Tensor], Tensor]) -> Inputs:
    """`f` applied to the one input tensor, or to each of several."""
    return tuple(f(t) for t in x) if isinstance(x, tuple) else f(x)


class Source(Protocol):
    """The samples of one split, in storage form."""

    in_memory: bool
    """Whether `fetch` is a cheap gather, so that several batches may be fetched at once."""

    def __len__(self) -> int: ...

    def fetch(self, index: Tensor | slice) -> Batch:
        """Stored inputs and targets of the given samples (int64 numbers, or a range)."""

    def targets(self) -> Tensor:
        """All targets, shape (n, ...)."""

    def name(self, i: int) -> str:
        """What sample `i` is called in a message: its file or row."""


class TensorSource:
    """Samples held in tensors whose first dimension counts them.

    Args:
        x: inputs, (n, ...), or a tuple of such tensors for a model with several inputs.
        y: targets, (n, ...).
        names: what each sample is called in messages; "sample i" if not given.
        cells: sample number -> its row as the user wrote it, for reports; none for samples that are no rows.
    """

    in_memory = True

    def __init__(self, x: Inputs, y: Tensor, names: list[str] | None = None, cells: Callable[[int], dict[str, Any]] | None = None) -> None:
        self.x, self.y, self._names, self.cells = x, y, names, cells

    def __len__(self) -> int:
        return len(self.y)

    def fetch(self, index: Tensor | slice) -> Batch:
        if isinstance(index, slice):
            return map_inputs(self.x, lambda t: t[index]), self.y[index]
        if index.device != self.y.device:
            index = index.to(self.y.device)
        return map_inputs(self.x, lambda t: t.index_select(0, index)), self.y.index_select(0, index)

    def targets(self) -> Tensor:
        return self.y

    @property
    def named(self) -> bool:
        """Whether the samples have names of their own."""
        return self._names is not None

    def name(self, i: int) -> str:
        return self._names[i] if self._names else f"sample {i}"

    def to(self, device: torch.device) -> TensorSource:
        """The same samples on another device: in-memory data is moved once, not once a batch."""
        return TensorSource(map_inputs(self.x, lambda t: t.to(device)), self.y.to(device), self._names, self.cells)


class RaggedSource:
    """Sequences of different lengths, stored end to end; a batch is padded to its longest.

    Args:
        values: all sequences joined, (total,) int64.
        lengths: length of each, (n,) int64.
        y: targets, (n, ...).
        pad: the value that fills up; the token id no text contains.
    """

    in_memory = True

    def __init__(self, values: Tensor, lengths: Tensor, y: Tensor, names: list[str] | None = None, pad: int = 0) -> None:
        self.values, self.lengths, self.y, self.pad, self._names = values, lengths, y, pad, names
        self.starts = lengths.cumsum(0) - lengths

    def __len__(self) -> int:
        return len(self.y)

    def fetch(self, index: Tensor | slice) -> Batch:
        starts, lengths = self.starts[index], self.lengths[index]
        width = max(1, int(lengths.max())) if len(lengths) else 1
        column = torch.arange(width)
        inside = column < lengths[:, None]  # (B, T)
        where = (starts[:, None] + column).clamp_(max=max(0, len(self.values) - 1))
        x = self.values[where] if len(self.values) else where.zero_()
        return x.masked_fill_(~inside, self.pad), self.y[index]

    def targets(self) -> Tensor:
        return self.y

    @property
    def named(self) -> bool:
        """Whether the texts have names of their own."""
        return self._names is not None

    def name(self, i: int) -> str:
        return self._names[i] if self._names else f"text {i}"


class _BatchDataset(torch.utils.data.Dataset[tuple[Tensor, Batch]]):
    """One epoch's batches as the items of a torch data set, for its worker processes."""

    def __init__(self, source: Source, index: list[Tensor]) -> None:
        self.source, self.index = source, index

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, i: int) -> tuple[Tensor, Batch]:
        return self.index[i], self.source.fetch(self.index[i])


def _as_it_is(item: Any) -> Any:
    return item


class Feed:
    """The batches of one split.

    Args:
        source: where the samples are.
        batch_size: samples a batch. A last batch of a single sample joins the one before it (batch norm cannot train on one).
        shuffle: a new order each epoch, keyed by (seed, epoch), or the stored order.
        seed: of the order and of the augmentation.
        workers: worker processes that fetch batches ahead; 0 fetches in this process.
        prepare: stored inputs -> what the model takes (uint8 to float, normalising).
        augment: random changes of the stored inputs, for training only.
    """

    def __init__(
        self,
        source: Source,
        *,
        batch_size: int = 64,
        shuffle: bool = False,
        seed: int = 0,
        workers: int = 0,
        prepare: Callable[[Inputs], Inputs] | None = None,
        augment: Augment | None = None,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}, it must be 1 or more")
        self.source, self.batch_size, self.shuffle, self.seed = source, batch_size, shuffle, seed
        self.workers, self.prepare, self.augment = workers, prepare, augment
        self.epoch = 0
        self.loader: Any = None
        """A DataLoader class to fetch every batch through, also in this process; torch's, for worker processes only, if None."""

    @property
    def samples(self) -> int:
        """How many samples the split holds."""
        return len(self.source)

    def __len__(self) -> int:
        """How many batches an epoch has."""
        n, size = self.samples, self.batch_size
        batches = -(-n // size)
        return batches - 1 if size > 1 and batches > 1 and n % size == 1 else batches

    def batch_samples(self, i: int) -> int:
        """How many samples batch `i` of an epoch holds."""
        return self.samples - i * self.batch_size if i == len(self) - 1 else self.batch_size

    def order(self, epoch: int) -> Tensor:
        """The sample numbers in the order of an epoch, int64, shape (samples,)."""
        return draws.permutation(self.seed, epoch, self.samples) if self.shuffle else torch.arange(self.samples)

    def batches(self, epoch: int = 0, start: int = 0, device: torch.device | None = None) -> Iterator[Batch]:
        """The batches of an epoch from batch `start` on, ready for the model.

        Raises:
            EnvironmentProblem: a worker process died or gave nothing for `WORKER_TIMEOUT` seconds.
        """
        fetched = self._from_loader(epoch, start) if self.workers or self.loader else self._from_here(epoch, start)
        for index, (x, y), count in fetched:
            if device is not None and y.device != device:
                x, y = map_inputs(x, lambda t: t.to(device, non_blocking=True)), y.to(device, non_blocking=True)
            if self.augment is not None and isinstance(x, Tensor):
                x = self.augment(x, index.to(x.device), epoch, self.seed)
            if self.prepare is not None:
                x = self.prepare(x)
            if count == 1:
                yield x, y
            else:
                yield from self._cut(x, y)

    def __iter__(self) -> Iterator[Batch]:
        epoch, self.epoch = self.epoch, self.epoch + 1
        return self.batches(epoch)

    def _bounds(self, start: int, together: int) -> Iterator[tuple[int, int, int]]:
        """First sample, end and number of batches of each group of up to `together` batches."""
        last = len(self)
        for first in range(start, last, together):
            end = min(first + together, last)
            stop = self.samples if end == last else end * self.batch_size
            yield first * self.batch_size, stop, end - first

    def _from_here(self, epoch: int, start: int) -> Iterator[tuple[Tensor, Batch, int]]:
        order = self.order(epoch)
        for a, b, count in self._bounds(start, self._together()):
            index = order[a:b]
            yield index, self.source.fetch(index if self.shuffle else slice(a, b)), count

    def _together(self) -> int:
        """How many batches to gather at once: as many as fit `CHUNK_BYTES`, or `AUGMENTED_BYTES`."""
        if not self.source.in_memory or not self.samples or isinstance(self.source, RaggedSource):
            return 1  # ragged batches are padded each to its own longest
        x, _ = self.source.fetch(slice(0, 1))
        width = sum(t.numel() * t.element_size() for t in (x if isinstance(x, tuple) else (x,)))
        return max(1, (AUGMENTED_BYTES if self.augment else CHUNK_BYTES) // max(1, width * self.batch_size))

    def _cut(self, x: Inputs, y: Tensor) -> Iterator[Batch]:
        """Batches out of a group: `batch_size` each, the group's last takes a single sample left over."""
        size, n = self.batch_size, len(y)
        sizes = [size] * (n // size)
        if left := n % size:
            if left == 1 and sizes:
                sizes[-1] += 1
            else:
                sizes.append(left)
        if isinstance(x, tuple):
            yield from zip(zip(*(t.split(sizes) for t in x), strict=True), y.split(sizes), strict=True)
        else:
            yield from zip(x.split(sizes), y.split(sizes), strict=True)

    def _from_loader(self, epoch: int, start: int) -> Iterator[tuple[Tensor, Batch, int]]:
        order = self.order(epoch)
        index = [order[a:b].clone() for a, b, _ in self._bounds(start, 1)]
        loader = (self.loader or torch.utils.data.DataLoader)(
            _BatchDataset(self.source, index),
            batch_size=None,
            num_workers=self.workers,
            collate_fn=_as_it_is,
            timeout=WORKER_TIMEOUT if self.workers else 0,
            generator=torch.Generator(),  # its own: the run's random numbers stay untouched
        )
        try:
            for batch_index, batch in loader:
                yield batch_index, batch, 1
        except RuntimeError as error:
            if "worker" not in str(error):
                raise
            raise EnvironmentProblem(
                "E406", f"A worker process that reads the data stopped: {error}", "Try workers=0 to see the cause."
            ) from error
