"""A second process that fits baselines while this one starts and trains, and draws the report's pictures.

`rung train` spends its first seconds importing torch, and what scikit-learn and matplotlib need nearly as long again, while a second core
stands idle. So the command line starts a helper before anything else (`helping`); it never loads torch. `each` gives it work; without a
helper, or where it has died, the same work is done by this process when its result is asked for: results do not depend on it.

The helper is started afresh (spawned), not forked: a copy of a process with threads may hang. It ignores Ctrl-C, which is this process's
to answer, says nothing, is killed when the command ends, and ends by itself when this process is gone.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from typing import Any


class Helper:
    """A process that carries out functions of rungbook's; what it answers are results, in order.

    Raises:
        OSError: no process can be started here.
    """

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,), name="rung-helper", daemon=True)
        self._owed = 0
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # what is started now ignores Ctrl-C from its first moment
        try:
            self._process.start()
        finally:
            signal.signal(signal.SIGINT, before)
            theirs.close()

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid or 0

    def give(self, function: Callable[[Any], Any], items: Sequence[Any]) -> bool:
        """Hand over work; says whether the helper has taken it: it does one such lot at a time."""
        if self._owed or not items:
            return False
        try:
            self._pipe.send((function, items))
        except Exception:  # it is gone, or cannot be told of these
            return False
        self._owed = len(items)
        return True

    def take(self) -> tuple[bool, Any]:
        """Whether the next item was done, and its result; waits for it. Raises EOFError or OSError where the helper has died."""
        done, result = self._pipe.recv()
        self._owed -= 1
        return done, result

    def end(self) -> None:
        """Kill it, whatever it is doing."""
        self._process.kill()
        self._process.join()
        self._pipe.close()


_helper: Helper | None = None


def cores() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def helping() -> Iterator[Helper | None]:
    """A helper for the calls of `each` inside; none where there is a single core or no process can be started."""
    global _helper
    if cores() > 1:
        with suppress(OSError):
            _helper = Helper()
    try:
        yield _helper
    finally:
        ending, _helper = _helper, None
        if ending is not None:
            ending.end()


def each(function: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[Any]:
    """`function(item)` of each item, in order.

    The helper begins now, if there is one that has nothing else to do; what it does not do is done here, when asked for.

    Args:
        function: a function of a module, best of one that does not import torch, which the helper would load too.
        items: its arguments; they and the results can be sent to another process.
    """
    helper = _helper if _helper is not None and _helper.give(function, items) else None
    return _results(helper, function, items)


def _results(helper: Helper | None, function: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[Any]:
    for item in items:
        done, result = False, None
        if helper is not None:
            try:
                done, result = helper.take()
            except (EOFError, OSError):
                helper = None
        yield result if done else function(item)  # what fails there fails here, with its message


def _serve(pipe: Connection) -> None:
    """What the helper does until it is killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (1, 2):  # what reads the command's output must not wait for the helper, nor see anything of it
        os.dup2(nowhere, stream)
    try:
        import sklearn.ensemble
        import sklearn.linear_model  # noqa: F401  # now, while the other process still imports torch

        pictures_too = False
        while True:
            function, items = pipe.recv()
            for item in items:
                pipe.send(_attempt(function, item))
            pictures_too = pictures_too or _ready_to_draw()
    except (EOFError, OSError):
        pass  # the other process is gone


def _ready_to_draw() -> bool:
    """Load matplotlib and let it draw its first picture, which takes it longest: after the first work, so that nothing waits for it."""
    with suppress(Exception):  # what cannot be drawn says so when it is asked for
        from rungbook.plot.style import draw

        draw(lambda ax: ax.set_title("0"), "")
    return True


def _attempt(function: Callable[[Any], Any], item: Any) -> tuple[bool, Any]:
    try:
        return True, function(item)
    except Exception:
        return False, None


def _end_with(sentinel: int) -> None:
    """End this process at once when the other has ended, however that was."""
    wait([sentinel])
    os._exit(1)
