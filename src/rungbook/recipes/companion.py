"""A second process of a command's own: it works for this one, says nothing, and never outlives it.

It is started afresh (spawned), not forked: a copy of a process with threads may hang. It does not hear Ctrl-C, which is this process's to
answer, is killed when the command has no more use for it, and ends by itself when this process is gone.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Any


def cores() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_sharing = 1


def cores_each() -> int:
    """Processors for one training: all there are, or its part of them where several run at once (`sharing_cores`)."""
    return max(1, cores() // _sharing)


@contextmanager
def sharing_cores(processes: int) -> Iterator[None]:
    """Say that as many processes train at once, each inside such a block of its own."""
    global _sharing
    before, _sharing = _sharing, processes
    try:
        yield
    finally:
        _sharing = before


def seldom_collect() -> None:
    """Let Python look for garbage seldom: going through the many objects of imported modules again and again takes a tenth of the time."""
    gc.set_threshold(200_000, 20, 50)


class Companion:
    """A process that does what a function does with its end of a pipe; `pipe` is this end.

    Args:
        work: a function of a module. What it raises ends the process.
        name: of the process, for whoever looks at a list of them.

    Raises:
        OSError: no process can be started here.
    """

    def __init__(self, work: Callable[[Connection], None], name: str) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self._process = context.Process(target=_begin, args=(work, theirs), name=name, daemon=True)
        try:
            with _ctrl_c_waits():
                self._process.start()
        except BaseException:
            self.end()
            raise
        finally:
            theirs.close()

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid or 0

    def kill(self) -> None:
        """Stop it, whatever it is doing."""
        if self._process.pid is not None:
            self._process.kill()

    def end(self) -> None:
        """Stop it, and give back what it held here."""
        self.kill()
        if self._process.pid is not None:
            self._process.join()
        self.pipe.close()


@contextmanager
def _ctrl_c_waits() -> Iterator[None]:
    """Ctrl-C is answered when the block is done; a process that is started inside never hears it."""
    if threading.current_thread() is not threading.main_thread():  # where signals are answered
        yield
        return
    pressed: list[int] = []
    answer = signal.signal(signal.SIGINT, lambda number, frame: pressed.append(number))
    try:
        with _blocked(signal.SIGINT):  # for the process that is started; here another thread may still be told of it
            yield
    finally:
        signal.signal(signal.SIGINT, answer)
        if pressed:
            signal.raise_signal(signal.SIGINT)


@contextmanager
def _blocked(number: signal.Signals) -> Iterator[None]:
    """Keep a signal from this thread, and for good from a process that is started inside; Windows has no such thing."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # a process of Python's own, whose start would let the signal through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {number})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(work: Callable[[Connection], None], pipe: Connection) -> None:
    """What the process does until it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where it could not be blocked
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (1, 2):  # what reads the command's output must not wait for this process, nor see anything of it
        os.dup2(nowhere, stream)
    seldom_collect()
    with suppress(EOFError, OSError):  # the other process is gone
        work(pipe)


def attempt(function: Callable[[], Any]) -> tuple[bool, Any]:
    """Whether a call succeeded, and what it gave: what fails here is done again, and fails with its message, where it was asked for."""
    try:
        return True, function()
    except Exception:
        return False, None


def _end_with(sentinel: int) -> None:
    """End this process at once when the other has ended, however that was."""
    wait([sentinel])
    os._exit(1)
