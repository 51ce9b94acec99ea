"""Samplers: in which order a loader asks for samples, one by one or in batches.

Those that draw do so when they are gone through, from the generator given to them, so that a seed fixes the order of an epoch.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import Any, Generic, TypeVar

import torch
from torch import Generator

T_co = TypeVar("T_co", covariant=True)

CHUNK = 32
"""With replacement, indices are drawn in chunks of so many: torch's number, and with another one a seed would give another order."""


def _positive(value: Any, name: str) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        raise ValueError(f"{name} ({value!r}) must be a whole number above 0")


class Sampler(Generic[T_co]):
    """Something that yields indices, or lists of them: a subclass has `__iter__`, and `__len__` if it knows how many."""

    def __iter__(self) -> Iterator[T_co]:
        raise NotImplementedError(f"{type(self).__name__} has no __iter__: a Sampler yields indices")


class SequentialSampler(Sampler[int]):
    """0, 1, 2 and so on.

    Args:
        data_source: whose length counts.
    """

    def __init__(self, data_source: Sized) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class RandomSampler(Sampler[int]):
    """Every index once, in random order; or with replacement, any index any time.

    Args:
        data_source: whose length counts, n.
        replacement: whether an index may come again before all have come.
        num_samples: how many to draw, n by default. Without replacement, more than n are several orders one after another.
        generator: of the draws; by default a fresh one for each epoch, seeded by one draw of torch's own.

    Raises:
        TypeError: replacement is no bool.
        ValueError: num_samples is no whole number above 0.
    """

    def __init__(
        self, data_source: Sized, replacement: bool = False, num_samples: int | None = None, generator: Generator | None = None
    ) -> None:
        if not isinstance(replacement, bool):
            raise TypeError(f"replacement ({replacement!r}) must be True or False")
        self.data_source, self.replacement, self._num_samples, self.generator = data_source, replacement, num_samples, generator
        if not isinstance(self.num_samples, int) or self.num_samples <= 0:
            raise ValueError(f"num_samples ({self.num_samples!r}) must be a whole number above 0; is the dataset empty?")

    @property
    def num_samples(self) -> int:
        """How many indices an epoch has; follows a dataset that grows."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def __iter__(self) -> Iterator[int]:
        n, wanted, generator = len(self.data_source), self.num_samples, self.generator
        if generator is None:
            generator = torch.Generator()
            generator.manual_seed(int(torch.empty((), dtype=torch.int64).random_().item()))
        if self.replacement:
            for size in [*[CHUNK] * (wanted // CHUNK), wanted % CHUNK]:
                yield from torch.randint(n, (size,), dtype=torch.int64, generator=generator).tolist()
        else:
            for size in [*[n] * (wanted // n), wanted % n]:
                yield from torch.randperm(n, generator=generator).tolist()[:size]

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(Sampler[int]):
    """Given indices, in random order.

    Args:
        indices: to yield.
        generator: of the order.
    """

    def __init__(self, indices: Sequence[int], generator: Generator | None = None) -> None:
        self.indices, self.generator = indices, generator

    def __iter__(self) -> Iterator[int]:
        for i in torch.randperm(len(self.indices), generator=self.generator).tolist():
            yield self.indices[i]

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(Sampler[int]):
    """Indices drawn in proportion to weights, as against classes of unequal size.

    Args:
        weights: one for each index, 0 or more; their sum does not matter.
        num_samples: how many to draw.
        replacement: whether an index may be drawn again.
        generator: of the draws.

    Raises:
        ValueError: num_samples is no whole number above 0, replacement no bool, or weights are no single row.
    """

    def __init__(self, weights: Sequence[float], num_samples: int, replacement: bool = True, generator: Generator | None = None) -> None:
        _positive(num_samples, "num_samples")
        if not isinstance(replacement, bool):
            raise ValueError(f"replacement ({replacement!r}) must be True or False")  # noqa: TRY004 (torch's choice)
        self.weights = torch.as_tensor(weights, dtype=torch.double)
        if self.weights.dim() != 1:
            raise ValueError(f"weights {tuple(self.weights.shape)} must be one row, a weight for each index")
        self.num_samples, self.replacement, self.generator = num_samples, replacement, generator

    def __iter__(self) -> Iterator[int]:
        yield from torch.multinomial(self.weights, self.num_samples, self.replacement, generator=self.generator).tolist()

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler[list[int]]):
    """The indices of another sampler in lists.

    Args:
        sampler: anything that can be gone through.
        batch_size: indices in a list.
        drop_last: whether to leave out a last list that is shorter.

    Raises:
        ValueError: batch_size is no whole number above 0, or drop_last no bool.
    """

    def __init__(self, sampler: Iterable[Any], batch_size: int, drop_last: bool) -> None:
        _positive(batch_size, "batch_size")
        if not isinstance(drop_last, bool):
            raise ValueError(f"drop_last ({drop_last!r}) must be True or False")  # noqa: TRY004 (torch's choice)
        self.sampler, self.batch_size, self.drop_last = sampler, batch_size, drop_last

    def __iter__(self) -> Iterator[list[int]]:
        indices = iter(self.sampler)
        while batch := list(itertools.islice(indices, self.batch_size)):
            if len(batch) < self.batch_size and self.drop_last:
                return
            yield batch

    def __len__(self) -> int:
        count = len(self.sampler)  # type: ignore[arg-type]
        return count // self.batch_size if self.drop_last else -(-count // self.batch_size)


class DistributedSampler(Sampler[int]):
    """The share of one process of several that train together: every `num_replicas`-th index, from its own `rank` on.

    All processes draw the same order, from the seed and the epoch, so call `set_epoch` before each epoch or all epochs are alike. Where the
    number of samples does not divide, some come twice, or with `drop_last` the last ones are left out.

    Args:
        dataset: whose length counts.
        num_replicas: how many processes there are; by default those of torch.distributed.
        rank: which of them this is.
        shuffle: whether the order is random.
        seed: of the order, the same in all processes.
        drop_last: leave samples out instead of repeating some.

    Raises:
        RuntimeError: no process group is set up and num_replicas or rank is left to it.
        ValueError: rank is not one of them.
    """

    def __init__(
        self,
        dataset: Sized,
        num_replicas: int | None = None,
        rank: int | None = None,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
    ) -> None:
        if (num_replicas is None or rank is None) and not torch.distributed.is_available():
            raise RuntimeError("this build of torch has no torch.distributed: say num_replicas and rank")
        self.num_replicas = torch.distributed.get_world_size() if num_replicas is None else num_replicas
        self.rank = torch.distributed.get_rank() if rank is None else rank
        if not 0 <= self.rank < self.num_replicas:
            raise ValueError(f"rank ({self.rank}) must be from 0 to {self.num_replicas - 1}, the last of num_replicas")
        self.dataset, self.shuffle, self.seed, self.drop_last, self.epoch = dataset, shuffle, seed, drop_last, 0
        n = len(dataset)
        self.num_samples = n // self.num_replicas if drop_last else math.ceil(n / self.num_replicas)
        self.total_size = self.num_samples * self.num_replicas

    def __iter__(self) -> Iterator[int]:
        n = len(self.dataset)
        order: Sequence[int] = range(n)
        if self.shuffle:
            order = torch.randperm(n, generator=torch.Generator().manual_seed(self.seed + self.epoch)).tolist()
        # once around, and around again from the start until everybody has as many
        shared = itertools.islice(itertools.cycle(order), self.total_size)
        return iter(list(itertools.islice(shared, self.rank, None, self.num_replicas)))

    def __len__(self) -> int:
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch comes, so that its order differs from the others'."""
        self.epoch = epoch
