"""DataLoader: batches from a dataset, fetched in this process or ahead of time by workers.

For the same dataset, arguments and seeds the batches are torch's, bit for bit, with and without workers: the same draws are made from the
same generators at the same moments. What differs is behind that: see `pool`, and `worker` for what errors say. And a batch out of tensors
of different types has their common type with workers as without; torch's workers make it the first one's.
"""

from __future__ import annotations

import functools
import itertools
import multiprocessing.context
import os
import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

import torch
import torch.multiprocessing
import torch.utils.data
from torch import Generator

from rungbook.scratch.data.collate import default_collate, default_convert
from rungbook.scratch.data.fetch import Fetcher, IterableFetcher, MapFetcher
from rungbook.scratch.data.pin import PinThread, pin_memory
from rungbook.scratch.data.pool import Pool
from rungbook.scratch.data.sampler import BatchSampler, RandomSampler, SequentialSampler
from rungbook.scratch.data.worker import End, Failure, Job, Task

T_co = TypeVar("T_co", covariant=True)


class _Endless:
    """The sampler of an iterable dataset, which has no indices: None for every sample asked for."""

    def __iter__(self) -> Iterator[None]:
        return itertools.repeat(None)


def _check_dataset(dataset: Any, shuffle: bool | None, sampler: Any, batch_sampler: Any) -> None:
    """What goes with an iterable dataset."""
    if isinstance(dataset, torch.utils.data.IterDataPipe | torch.utils.data.MapDataPipe):
        raise NotImplementedError(f"dataset {type(dataset).__name__}: DataPipes, which torch has given up, are not supported")
    if isinstance(dataset, torch.utils.data.IterableDataset):
        for name, value in (("shuffle", shuffle or None), ("sampler", sampler), ("batch_sampler", batch_sampler)):
            if value is not None:
                raise ValueError(f"{name}={value!r} cannot order {type(dataset).__name__}, an IterableDataset: its samples have no index")


def _check_sampling(batch_size: int | None, shuffle: bool | None, sampler: Any, batch_sampler: Any, drop_last: bool) -> None:
    """Which ways to say the order and the batches exclude each other."""
    if sampler is not None and shuffle:
        raise ValueError("shuffle=True and a sampler both say the order: give one of them")
    if batch_sampler is not None and (batch_size != 1 or shuffle or sampler is not None or drop_last):
        raise ValueError("a batch_sampler says everything that batch_size, shuffle, sampler and drop_last say: give it alone")
    if batch_size is None and batch_sampler is None and drop_last:
        raise ValueError("drop_last=True needs batches: batch_size=None turns them off")


def _check_workers(num_workers: int, timeout: float, prefetch_factor: int | None, persistent_workers: bool) -> None:
    """What goes with how many workers."""
    if num_workers < 0:
        raise ValueError(f"num_workers ({num_workers}) must be 0, for this process alone, or more")
    if timeout < 0:
        raise ValueError(f"timeout ({timeout}) must be 0 seconds, for ever, or more")
    if num_workers == 0 and prefetch_factor is not None:
        raise ValueError(f"prefetch_factor ({prefetch_factor}) is for workers, and num_workers is 0")
    if prefetch_factor is not None and prefetch_factor < 0:
        raise ValueError(f"prefetch_factor ({prefetch_factor}) must be at least 1")
    if persistent_workers and num_workers == 0:
        raise ValueError("persistent_workers=True needs num_workers > 0")


class DataLoader(Generic[T_co]):
    """Goes through a dataset in batches; each `iter` is an epoch.

    Args:
        dataset: with `__getitem__`, or an IterableDataset; torch's or ours.
        batch_size: samples in a batch; None gives single samples, converted and not collated.
        shuffle: whether the order is random, anew in each epoch.
        sampler: yields the indices, instead of shuffle.
        batch_sampler: yields lists of indices, instead of batch_size, shuffle, sampler and drop_last.
        num_workers: processes that fetch; 0 fetches in this one.
        collate_fn: list of samples -> batch; by default `default_collate`, without batches `default_convert`.
        pin_memory: whether batches go to pinned memory, if there is an accelerator.
        drop_last: whether to leave out a last batch that is smaller.
        timeout: seconds to wait for a batch from workers, 0 for ever.
        worker_init_fn: called in each worker with its number.
        multiprocessing_context: how workers start, a name as "spawn" or a context.
        generator: of the order and of the workers' seeds; by default torch's own.
        prefetch_factor: batches each worker fetches ahead, 2 by default.
        persistent_workers: whether workers stay from epoch to epoch.
        pin_memory_device: torch's old way to say which; the current accelerator is used.
        in_order: whether batches come in the sampler's order, or as they are ready.

    Raises:
        ValueError: arguments exclude each other or are out of range.
        NotImplementedError: the dataset is a DataPipe.
    """

    _fixed = False

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Iterable[Any] | None = None,
        batch_sampler: Iterable[Any] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[Any], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], Any] | None = None,
        multiprocessing_context: Any = None,
        generator: Generator | None = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
    ) -> None:
        _check_workers(num_workers, timeout, prefetch_factor, persistent_workers)
        _check_dataset(dataset, shuffle, sampler, batch_sampler)
        _check_sampling(batch_size, shuffle, sampler, batch_sampler, drop_last)
        self.dataset, self.num_workers, self.pin_memory, self.pin_memory_device = dataset, num_workers, pin_memory, pin_memory_device
        self.prefetch_factor = 2 if prefetch_factor is None and num_workers else prefetch_factor
        self.timeout, self.worker_init_fn, self.in_order, self.generator = timeout, worker_init_fn, in_order, generator
        self.multiprocessing_context = multiprocessing_context
        self._iterable = isinstance(dataset, torch.utils.data.IterableDataset)
        if sampler is None:
            sampler = (
                _Endless() if self._iterable else RandomSampler(dataset, generator=generator) if shuffle else SequentialSampler(dataset)
            )
        if batch_sampler is not None:
            batch_size = None
        elif batch_size is not None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.batch_size, self.drop_last, self.sampler, self.batch_sampler = batch_size, drop_last, sampler, batch_sampler
        self.collate_fn = collate_fn or (default_convert if batch_sampler is None else default_collate)
        self.persistent_workers = persistent_workers
        self._iterator: _WorkerEpoch | None = None
        self._told_length: int | None = None
        self.check_worker_number_rationality()
        self._fixed = True

    def __setattr__(self, name: str, value: Any) -> None:
        if self._fixed and name in ("batch_size", "batch_sampler", "sampler", "drop_last", "dataset", "persistent_workers"):
            raise ValueError(f"{name} of a {type(self).__name__} cannot be changed any more, others were made from it: make a new one")
        super().__setattr__(name, value)

    @property
    def multiprocessing_context(self) -> Any:
        """How workers start: a context of multiprocessing, None for torch's default."""
        return self._context

    @multiprocessing_context.setter
    def multiprocessing_context(self, context: Any) -> None:
        if context is not None:
            if not self.num_workers:
                raise ValueError(f"multiprocessing_context={context!r} is for workers, and num_workers is 0")
            if isinstance(context, str):
                methods = torch.multiprocessing.get_all_start_methods()
                if context not in methods:
                    raise ValueError(f"multiprocessing_context={context!r} is no start method; here there are {methods}")
                context = torch.multiprocessing.get_context(context)
            if not isinstance(context, multiprocessing.context.BaseContext):
                raise TypeError(f"multiprocessing_context={context!r} must be a context or the name of a start method")
        self._context = context

    def check_worker_number_rationality(self) -> None:
        """Warn if there are more workers than processors that this process may use."""
        processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        if processors and self.num_workers > processors:
            warnings.warn(
                f"num_workers ({self.num_workers}) is more than the {processors} processors for this process: the worker processes will "
                "wait for each other",
                stacklevel=3,
            )

    @property
    def _index_sampler(self) -> Any:
        return self.sampler if self.batch_sampler is None else self.batch_sampler

    def _make_fetcher(self) -> Callable[[Any], Fetcher]:
        """Dataset -> what fetches from it."""
        kind: Any = IterableFetcher if self._iterable else MapFetcher
        batched = self.batch_sampler is not None
        return functools.partial(kind, batched=batched, collate_fn=self.collate_fn, drop_last=self.drop_last)

    def __iter__(self) -> Iterator[Any]:
        if not self.num_workers:
            return _Epoch(self)
        if not self.persistent_workers:
            return _WorkerEpoch(self)
        if self._iterator is None or self._iterator.closed:
            self._iterator = _WorkerEpoch(self)
        else:
            self._iterator.restart(self)
        return self._iterator

    def __len__(self) -> int:
        if not self._iterable:
            return len(self._index_sampler)
        self._told_length = length = len(self.dataset)
        if self.batch_size is not None:
            length = length // self.batch_size if self.drop_last else -(-length // self.batch_size)
        return length


def _pins(loader: DataLoader[Any]) -> bool:
    """Whether batches are to be pinned, and can be."""
    if not loader.pin_memory:
        return False
    if loader.pin_memory_device:
        warnings.warn(f"pin_memory_device={loader.pin_memory_device!r} is ignored: the current accelerator is used", stacklevel=4)
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if accelerator is None or accelerator.type == "mps":
        warnings.warn(f"pin_memory=True, and {accelerator or 'there is no accelerator, which'} has no use for it", stacklevel=4)
        return False
    return True


class _Epoch:
    """Going through the dataset once, in this process."""

    def __init__(self, loader: DataLoader[Any]) -> None:
        self.loader, self.pins = loader, _pins(loader)
        self._begin(loader)
        # drawn without workers too, so that their number changes nothing in what is drawn after it
        self.base_seed = int(torch.empty((), dtype=torch.int64).random_(generator=loader.generator).item())
        self._start(loader)

    def _begin(self, loader: DataLoader[Any]) -> None:
        self.indices = iter(loader._index_sampler)
        self.yielded, self.told_length = 0, loader._told_length

    def _start(self, loader: DataLoader[Any]) -> None:
        if loader.timeout:
            raise AssertionError(f"timeout ({loader.timeout}) is for workers, and num_workers is 0")
        self.fetcher = loader._make_fetcher()(loader.dataset)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __len__(self) -> int:
        return len(self.loader._index_sampler)

    def _next_batch(self) -> Any:
        batch = self.fetcher.fetch(next(self.indices))
        return pin_memory(batch) if self.pins else batch

    def __next__(self) -> Any:
        batch = self._next_batch()
        self.yielded += 1
        if self.told_length is not None and self.yielded > self.told_length:
            each = ": each worker goes through all of it unless it asks get_worker_info for its part" if self.loader.num_workers else ""
            warnings.warn(
                f"{type(self.loader.dataset).__name__} said its length is {self.told_length}, and batch {self.yielded} has come{each}",
                stacklevel=2,
            )
        return batch


def _stop(pool: Pool, pinning: PinThread | None) -> None:
    """End the workers and the thread that listens to them."""
    if pinning is not None and pinning.thread.is_alive() and os.getpid() == pool.owner:
        pinning.closed.set()
        pool.interrupt()
        pinning.thread.join()
    pool.close()


class _WorkerEpoch(_Epoch):
    """Going through the dataset once, by workers; with persistent workers, again and again.

    Tasks go round all workers in turn, so which worker gets which batch depends on nothing but their number. Batches that come early wait.
    """

    def _start(self, loader: DataLoader[Any]) -> None:
        n = loader.num_workers
        if not loader.prefetch_factor:
            raise AssertionError(f"prefetch_factor ({loader.prefetch_factor}) must be at least 1 with workers")
        make = loader._make_fetcher()
        jobs = [Job(loader.dataset, make, loader.worker_init_fn, self.base_seed, i, n) for i in range(n)]
        self.timeout, self.in_order, self.most = loader.timeout, loader.in_order, loader.prefetch_factor * n
        self.pool, self.epoch = Pool(jobs, loader.multiprocessing_context), 0
        self.pinning: PinThread | None = None
        if self.pins:
            receive = functools.partial(self.pool.receive, 0)
            self.pinning = PinThread(receive, _pinned, torch.accelerator.current_device_index())
        self.receive: Callable[[float], Any] = self.pinning.receive if self.pinning else self.pool.receive
        # runs when nobody holds this any more, as after a break, and when Python ends
        self._end = weakref.finalize(self, _stop, self.pool, self.pinning)
        self._begin_epoch()

    def _begin_epoch(self) -> None:
        # torch asks the sampler a second time here, and one that draws at once (a generator function does not) draws a second time
        self._begin(self.loader)
        self.active = dict.fromkeys(range(self.loader.num_workers), 0)  # worker -> its tasks under way
        self.turns = itertools.cycle(range(self.loader.num_workers))
        self.numbers = itertools.count()
        self.waiting: dict[int, int] = {}  # task -> worker, in the order of the sampler, of all that have not been handed out
        self.arrived: dict[int, Any] = {}
        self._fill()

    def restart(self, loader: DataLoader[Any]) -> None:
        """Begin another epoch with the same workers; what is still on its way is thrown away when it comes."""
        self.epoch += 1
        self.pool.restart()
        self._begin_epoch()

    @property
    def closed(self) -> bool:
        """Whether the workers are gone."""
        return not self._end.alive

    def close(self) -> None:
        """End the workers."""
        self._end()

    def _fill(self) -> None:
        """Give tasks until enough are under way."""
        while len(self.waiting) < self.most and self.active:
            try:
                index = next(self.indices)
            except StopIteration:
                return
            worker = next(w for w in self.turns if w in self.active)
            if not self.in_order:
                worker = min(self.active, key=self.active.__getitem__)
            number = next(self.numbers)
            self.waiting[number] = worker
            self.active[worker] += 1
            self.pool.give(worker, Task(self.epoch, number, index))

    def _next_batch(self) -> Any:
        try:
            number = self._arrival()
        except BaseException:  # a worker died, Ctrl-C: nothing can come any more
            self.waiting.clear()
            self.close()
            raise
        if number is None:
            if not self.loader.persistent_workers:
                self.close()
            raise StopIteration
        del self.waiting[number]
        batch = self.arrived.pop(number)
        self._fill()
        if isinstance(batch, Failure):
            batch.raise_again()
        return batch

    def _arrival(self) -> int | None:
        """Wait for the batch that is next; its number, or None if none is to come."""
        while self.waiting:
            number = next(iter(self.waiting)) if self.in_order else next(iter(self.arrived), -1)
            if number in self.arrived:
                return number
            worker, (epoch, number, batch) = self.receive(self.timeout)
            if epoch != self.epoch:
                continue
            if isinstance(batch, End):
                del self.active[worker]
                for void in [t for t, w in self.waiting.items() if w == worker and t not in self.arrived]:
                    del self.waiting[void]
                self._fill()
            else:
                self.active[worker] -= 1
                self.arrived[number] = batch
        return None


def _pinned(message: Any) -> Any:
    worker, (epoch, number, batch) = message
    return worker, (epoch, number, batch if isinstance(batch, Failure | End) else pin_memory(batch))
