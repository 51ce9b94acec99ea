"""What a loader's worker process does: take a task, fetch, send the batch back, until told to stop or left alone.

A worker has a queue of its own for tasks and a pipe of its own for batches. It pickles a batch before it sends it, so what cannot be
sent is reported like any other error. Tensors go as handles of shared memory.
"""

from __future__ import annotations

import multiprocessing
import os
import queue
import random
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from typing import Any

import torch
import torch.multiprocessing
import torch.utils.data

from rungbook.scratch.data.fetch import Fetcher, IterableFetcher

WATCH_SECONDS = 5.0
"""How often a worker without tasks looks whether the process that started it still lives."""


@dataclass(frozen=True)
class WorkerInfo:
    """Who a worker is.

    Args:
        id: from 0.
        num_workers: how many there are.
        seed: of random, torch and (hashed) numpy in it.
        dataset: its own copy.
        rng: no worker of ours has one; torch's threads do.
        worker_method: how it runs.
    """

    id: int
    num_workers: int
    seed: int
    dataset: Any
    rng: Any = None
    worker_method: str = "multiprocessing"


_info: WorkerInfo | None = None


def get_worker_info() -> Any:
    """In a worker, who it is (`WorkerInfo`); else None. Knows torch's workers too."""
    return _info or torch.utils.data.get_worker_info()


@dataclass(frozen=True)
class Task:
    """One batch to fetch: its number, the epoch it belongs to, and the indices."""

    epoch: int
    number: int
    index: Any


@dataclass(frozen=True)
class Restart:
    """Go through the dataset anew."""


@dataclass(frozen=True)
class End:
    """An iterable dataset has no more samples in this worker."""


class _Words(str):
    """Text whose repr is itself: KeyError shows the repr of its argument, which would put line breaks as \\n."""

    def __repr__(self) -> str:
        return self


@dataclass(frozen=True)
class Failure:
    """An exception on its way from a worker: only its type and words travel, since an exception need not be picklable.

    Args:
        kind: its class, or the first of its bases that the other side can look up.
        words: where it was raised and its traceback there.
    """

    kind: type[BaseException]
    words: str

    @classmethod
    def of(cls, error: BaseException, where: str) -> Failure:
        """What an exception says."""
        at = ", ".join([where, *getattr(error, "__notes__", [])])
        said = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        kind = next(k for k in type(error).__mro__ if _picklable(k))
        return cls(kind, f"{type(error).__name__} in {at}: {error}\n\nIn the worker:\n{said}")

    def raise_again(self) -> None:
        """Raise an exception of the same type with these words; RuntimeError if the type is not made from one text."""
        try:
            error = self.kind(_Words(self.words))
        except Exception:
            error = RuntimeError(self.words)
        if self.words not in str(error):  # a type that says something of its own, whatever it is given
            error.add_note(self.words)
        raise error


def _picklable(x: Any) -> bool:
    try:
        ForkingPickler.dumps(x)
    except Exception:
        return False
    return True


@dataclass(frozen=True)
class Job:
    """What a worker is given when it starts.

    Args:
        dataset: to fetch from.
        make_fetcher: the dataset -> its fetcher, anew for each epoch.
        init: called with the worker's number before anything is fetched.
        base_seed: of the epoch; the worker's own is its number more.
        id, num_workers: which of how many.
    """

    dataset: Any
    make_fetcher: Callable[[Any], Fetcher]
    init: Callable[[int], Any] | None
    base_seed: int
    id: int
    num_workers: int


def _settle(job: Job) -> None:
    """One thread, seeds of its own, and signals as a process wants them that is only ever stopped by its parent."""
    global _info
    # Ctrl-C reaches every process of a terminal: what happens then is the parent's business, which may want one more batch to end with
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    torch.set_num_threads(1)
    seed = job.base_seed + job.id
    random.seed(seed)
    torch.manual_seed(seed)
    if numpy := sys.modules.get("numpy"):
        # seeds that follow each other give numpy's generator streams alike, so they are hashed; torch's workers have the same state
        entropy = (job.id, job.base_seed & 0xFFFFFFFF, job.base_seed >> 32, 0)
        numpy.random.seed(numpy.random.SeedSequence(entropy).generate_state(4))
    _info = WorkerInfo(job.id, job.num_workers, seed, job.dataset)
    # datasets that others wrote ask torch who they are; in this process nobody else answers
    torch.utils.data._utils.worker._worker_info = _info  # type: ignore[assignment]


def work(job: Job, tasks: Any, out: Connection) -> None:
    """Be a worker.

    Args:
        job: what to do.
        tasks: queue of `Task`, `Restart`, and None to stop.
        out: pipe for (epoch, number, batch or `End` or `Failure`).
    """
    parent = os.getppid()
    try:
        _settle(job)
        try:
            if job.init is not None:
                job.init(job.id)
        except Exception as error:
            broken: Failure | None = Failure.of(error, f"worker_init_fn of DataLoader worker {job.id}")
        else:
            broken = None
        fetcher: Fetcher | None = None
        ended = False
        while (task := _next(tasks, parent)) is not None:
            if isinstance(task, Restart):
                fetcher, ended = None, False
            if isinstance(task, Restart) or ended:
                continue
            answer: Any = broken
            if broken is None:
                try:
                    fetcher = fetcher or job.make_fetcher(job.dataset)
                    answer = fetcher.fetch(task.index)
                except StopIteration as stop:
                    ended = isinstance(fetcher, IterableFetcher)
                    answer = End() if ended else Failure.of(stop, f"DataLoader worker {job.id}")
                except Exception as error:
                    answer = Failure.of(error, f"DataLoader worker {job.id}")
            _send(out, task, answer, job.id)
            del answer  # a batch that has been sent is not kept until the next is ready
    except (BrokenPipeError, ConnectionResetError):
        pass  # nobody reads any more


def _next(tasks: Any, parent: int) -> Task | Restart | None:
    """The next task; None when there is none to come, also because the process that would give it is gone."""
    while True:
        try:
            return tasks.get(timeout=WATCH_SECONDS)
        except queue.Empty:
            if os.getppid() != parent or not _parent_lives():
                return None


def _parent_lives() -> bool:
    parent = multiprocessing.parent_process()
    return parent is None or parent.is_alive()


def _send(out: Connection, task: Task, answer: Any, worker: int) -> None:
    try:
        data = ForkingPickler.dumps((task.epoch, task.number, answer))
    except Exception as error:
        failure = Failure.of(error, f"DataLoader worker {worker}, which cannot send its batch {str(task.index)[:200]}")
        data = ForkingPickler.dumps((task.epoch, task.number, failure))
    out.send_bytes(data)
