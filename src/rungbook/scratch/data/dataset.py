"""Datasets: what can be asked for its i-th sample, or for its next one; and ways to put several together or to part one.

They are `torch.utils.data.Dataset`s too, as layers are `torch.nn.Module`s, so that either loader takes either's.
"""

from __future__ import annotations

import bisect
import itertools
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import torch
import torch.utils.data
from torch import Generator, Tensor

T_co = TypeVar("T_co", covariant=True)


class Dataset(torch.utils.data.Dataset[T_co]):
    """Samples that can be asked for by their index: a subclass has `__getitem__`, and `__len__` unless a sampler knows the indices.

    It may have `__getitems__(indices)` too, which gives the samples of a whole batch as a list.
    """

    def __getitem__(self, index: Any) -> T_co:
        raise NotImplementedError(f"{type(self).__name__} has no __getitem__: a Dataset gives its sample at an index")

    def __add__(self, other: torch.utils.data.Dataset[T_co]) -> ConcatDataset[T_co]:  # type: ignore[override]
        return ConcatDataset([self, other])


class IterableDataset(Dataset[T_co], torch.utils.data.IterableDataset[T_co]):
    """Samples that come one after another: a subclass has `__iter__`.

    Every worker of a loader goes through a copy of its own, from the start; `get_worker_info` tells it which part is its.
    """

    def __add__(self, other: torch.utils.data.Dataset[T_co]) -> ChainDataset:  # type: ignore[override]
        return ChainDataset([self, other])


class TensorDataset(Dataset[tuple[Tensor, ...]]):
    """Sample i is a tuple of the i-th rows of some tensors.

    Args:
        tensors: each (N, ...).

    Raises:
        AssertionError: they are not equally long.
    """

    def __init__(self, *tensors: Tensor) -> None:
        lengths = [t.size(0) for t in tensors]
        if len(set(lengths)) > 1:
            raise AssertionError(f"tensors of a TensorDataset have {lengths} rows: they must have as many")
        self.tensors = tensors

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        return tuple(t[index] for t in self.tensors)

    def __len__(self) -> int:
        return self.tensors[0].size(0)


class StackDataset(Dataset[Any]):
    """Sample i is a tuple, or a dict, of the i-th samples of some datasets.

    Args:
        args: datasets of a tuple.
        kwargs: datasets of a dict, by key.

    Raises:
        ValueError: both forms are mixed, none is given, or the datasets are not equally long.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if bool(args) == bool(kwargs):
            given = "both are given" if args else "none is given"
            raise ValueError(f"StackDataset takes datasets by position (samples are tuples) or by name (dicts): {given}")
        self.datasets: Any = args or kwargs
        lengths = [len(d) for d in (args or kwargs.values())]
        if len(set(lengths)) > 1:
            raise ValueError(f"datasets of a StackDataset have {lengths} samples: they must have as many")
        self._length = lengths[0]

    def _together(self, parts: Callable[[Any], Any]) -> Any:
        if isinstance(self.datasets, dict):
            return {key: parts(d) for key, d in self.datasets.items()}
        return tuple(parts(d) for d in self.datasets)

    def __getitem__(self, index: Any) -> Any:
        return self._together(lambda d: d[index])

    def __getitems__(self, indices: list[Any]) -> list[Any]:
        columns = self._together(lambda d: _samples(d, indices))
        if isinstance(columns, dict):
            return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        return list(zip(*columns, strict=True))

    def __len__(self) -> int:
        return self._length


def _samples(dataset: Any, indices: Sequence[Any]) -> Any:
    """The samples at several indices, at once where the dataset can."""
    if not callable(getattr(dataset, "__getitems__", None)):
        return [dataset[i] for i in indices]
    samples = dataset.__getitems__(indices)
    if len(samples) != len(indices):
        raise ValueError(f"{type(dataset).__name__}.__getitems__ gave {len(samples)} samples for {len(indices)} indices")
    return samples


class ConcatDataset(Dataset[T_co]):
    """The samples of one dataset after those of another.

    Args:
        datasets: at least one, each with a length.

    Raises:
        AssertionError: there is none, or one has no length because it is iterable.
    """

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise AssertionError("ConcatDataset needs at least one dataset")
        for i, d in enumerate(self.datasets):
            if isinstance(d, torch.utils.data.IterableDataset):
                words = f"dataset {i} of a ConcatDataset is an IterableDataset, which has no index: use ChainDataset"
                raise AssertionError(words)  # noqa: TRY004 (torch's choice)
        self.cumulative_sizes = list(itertools.accumulate(len(d) for d in self.datasets))

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]

    def __getitem__(self, index: int) -> T_co:
        if index < -len(self):
            raise ValueError(f"index {index} of a ConcatDataset with {len(self)} samples")
        index += len(self) if index < 0 else 0
        which = bisect.bisect_right(self.cumulative_sizes, index)
        if which == len(self.datasets):
            raise IndexError(f"index {index} of a ConcatDataset with {len(self)} samples")
        return self.datasets[which][index - ([0, *self.cumulative_sizes][which])]


class ChainDataset(IterableDataset[Any]):
    """The samples of one iterable dataset after those of another.

    Args:
        datasets: iterable ones.
    """

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = datasets

    def _each(self) -> Iterator[Any]:
        for i, d in enumerate(self.datasets):
            if not isinstance(d, torch.utils.data.IterableDataset):
                words = f"dataset {i} of a ChainDataset, {type(d).__name__}, is no IterableDataset: use ConcatDataset"
                raise AssertionError(words)  # noqa: TRY004 (torch's choice)
            yield d

    def __iter__(self) -> Iterator[Any]:
        for d in self._each():
            yield from d

    def __len__(self) -> int:
        return sum(len(d) for d in self._each())


class Subset(Dataset[T_co]):
    """Some samples of a dataset, by their indices in it.

    Args:
        dataset: the whole.
        indices: of the samples, in the order they are to have.

    Raises:
        NotImplementedError: a subclass changes `__getitem__` and not `__getitems__`, by which a loader fetches.
    """

    def __init__(self, dataset: Any, indices: Sequence[int]) -> None:
        cls = type(self)
        if cls.__getitem__ is not Subset.__getitem__ and cls.__getitems__ is Subset.__getitems__:
            raise NotImplementedError(
                f"{cls.__name__} has its own __getitem__, so it needs a __getitems__ too: a loader fetches batches by it"
            )
        self.dataset, self.indices = dataset, indices

    def __getitem__(self, index: Any) -> T_co:
        return self.dataset[[self.indices[i] for i in index] if isinstance(index, list) else self.indices[index]]

    def __getitems__(self, indices: list[int]) -> list[T_co]:
        inner = [self.indices[i] for i in indices]
        if callable(getattr(self.dataset, "__getitems__", None)):
            return self.dataset.__getitems__(inner)
        return [self.dataset[i] for i in inner]

    def __len__(self) -> int:
        return len(self.indices)


def random_split(dataset: Any, lengths: Sequence[int | float], generator: Generator | None = torch.default_generator) -> list[Subset[Any]]:
    """A dataset parted at random: every sample falls into exactly one part.

    Args:
        dataset: the whole, N samples.
        lengths: samples of each part, together N; or fractions, together 1: each part gets its share rounded down, and what is left goes
            to the parts one by one, from the first.
        generator: of the permutation.

    Raises:
        ValueError: the lengths do not make up N, or a fraction is not between 0 and 1.
    """
    n = len(dataset)
    if math.isclose(sum(lengths), 1) and sum(lengths) <= 1:
        for i, share in enumerate(lengths):
            if not 0 <= share <= 1:
                raise ValueError(f"fraction {i} of random_split is {share}: fractions are between 0 and 1")
        sizes = [math.floor(n * share) for share in lengths]
        for i in range(n - sum(sizes)):
            sizes[i % len(sizes)] += 1
        for i, size in enumerate(sizes):
            if not size:
                warnings.warn(f"part {i} of random_split is empty: {lengths[i]} of {n} samples", stacklevel=2)
    else:
        sizes = list(lengths)  # type: ignore[arg-type]
    if sum(sizes) != n:
        raise ValueError(f"lengths {list(lengths)} of random_split make {sum(sizes)} samples, the dataset has {n}")
    order = torch.randperm(n, generator=generator).tolist()
    return [Subset(dataset, order[end - size : end]) for end, size in zip(itertools.accumulate(sizes), sizes, strict=True)]
