"""A second process that fits baselines while this one starts and trains, and draws the report's pictures.

`rung train` spends its first seconds importing torch, and what scikit-learn and matplotlib need nearly as long again, while a second core
stands idle. So the command line starts a helper before anything else (`helping`); it never loads torch. `each` gives it work; without a
helper, or where it has died, the same work is done by this process when its result is asked for: results do not depend on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

from rungbook.recipes.companion import Companion, attempt, cores


class Helper(Companion):
    """A process that carries out functions of rungbook's; what it answers are results, in order.

    Raises:
        OSError: no process can be started here.
    """

    def __init__(self) -> None:
        super().__init__(_serve, "rung-helper")
        self._owed = 0

    def give(self, function: Callable[[Any], Any], items: Sequence[Any]) -> bool:
        """Hand over work; says whether the helper has taken it: it does one such lot at a time."""
        if self._owed or not items:
            return False
        try:
            self.pipe.send((function, items))
        except Exception:  # it is gone, or cannot be told of these
            return False
        self._owed = len(items)
        return True

    def take(self) -> tuple[bool, Any]:
        """Whether the next item was done, and its result; waits for it. Raises EOFError or OSError where the helper has died."""
        done, result = self.pipe.recv()
        self._owed -= 1
        return done, result


_helper: Helper | None = None


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


def may_start_processes() -> bool:
    """Whether this process is a command of ours, which has a helper and may start others; a program that calls us may not bear that."""
    return _helper is not None


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
    import sklearn.ensemble
    import sklearn.linear_model  # noqa: F401  # now, while the other process still imports torch

    pictures_too = False
    while True:
        function, items = pipe.recv()
        for item in items:
            pipe.send(attempt(partial(function, item)))
        pictures_too = pictures_too or _ready_to_draw()


def _ready_to_draw() -> bool:
    """Load matplotlib and let it draw its first picture, which takes it longest: after the first work, so that nothing waits for it."""
    with suppress(Exception):  # what cannot be drawn says so when it is asked for
        from rungbook.plot.style import draw

        draw(lambda ax: ax.set_title("0"), "")
    return True
