"""The seeds of a study, shared out among processes: two trainings of one thread each take hardly longer side by side than one alone.

This process begins at once. A partner is ready when it has imported torch; from then on whoever is free takes the next seed, so that a
short study waits for nobody. What a seed gives does not depend on who took it: both run the same code on as many threads. (That number, of
a large model, is its part of the cores, and so another than where nothing is shared out: `pick_threads`.) A seed that fails with a partner,
or whose partner dies, is done by this process.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from rungbook.errors import UsageError
from rungbook.recipes.companion import Companion, attempt, cores, sharing_cores
from rungbook.recipes.helper import may_start_processes

if TYPE_CHECKING:
    from rungbook.recipes.study import Found, Say, Study

VARIABLE = "RUNG_PARTNERS"
"""Of the environment: how many partners at most."""
MOST = 7
"""Where nothing is said. Each holds torch and the data anew, half a gigabyte or more."""
LEAVES = 10.0
"""Seconds in which the leader of a partner that is gone has certainly noticed."""
SAID, FOUND, FAILED, READY = "said", "found", "failed", "ready"
"""What a partner may answer."""


def partners_for(study: Study) -> int:
    """How many partners a study is carried out with.

    None where times are taken, which others would spoil; on a GPU, which is one; where loading has processes of its own; where a user's own
    code runs, which may print; nor outside a command.

    Raises:
        UsageError: E202 the environment does not name a number.
    """
    from rungbook.recipes.prepare import pick_device

    said = os.environ.get(VARIABLE) or str(MOST)
    if not (said.isascii() and said.isdigit()):
        raise UsageError("E202", f'{VARIABLE} is "{said}"; it must be a whole number, 0 or more.', f"{VARIABLE}=0 for one process")
    apart = study.alone or any(getattr(study, setting, None) for setting in ("workers", "mine"))
    if apart or not may_start_processes() or pick_device(getattr(study, "device", "cpu")).type != "cpu":
        return 0
    processes = min(cores() // (study.threads or 1), study.seeds, 1 + int(said))
    return max(0, processes - 1)


def share_out(study: Study, say: Say, done: Callable[[int, Found], None], *, partners: int) -> list[Found]:
    """What each seed of a study gives, in the order of the seeds; pictures are of the first.

    Args:
        say: takes a line for whoever waits; partners' lines come from another thread.
        done: is told of each seed and what it gave, in order.
        partners: processes that take seeds beside this one; those that cannot be started are done without.
    """
    seeds = range(study.seed, study.seed + study.seeds)
    lot = _Lot(deque(seeds))
    with sharing_cores(1 + partners), _led(study, lot, say, partners):
        for seed in seeds:
            while seed not in lot.found:
                if not lot.do_one(lambda taken: _carry_out(study, taken, say)):
                    lot.wait_for(seed)
            done(seed, lot.found[seed])
    return [lot.found[seed] for seed in seeds]


class _Lot:
    """Seeds that wait for somebody to take them, and what came of the others."""

    def __init__(self, waiting: deque[int]) -> None:
        self.waiting = waiting
        self.found: dict[int, Found] = {}
        self.changed = threading.Condition()

    def do_one(self, do: Callable[[int], Found | None]) -> bool:
        """Take the first seed that waits and do it; says whether that was done. What was not done waits again."""
        with self.changed:
            if not self.waiting:
                return False
            seed = self.waiting.popleft()
        result = None
        try:
            result = do(seed)
        finally:
            with self.changed:
                if result is None:
                    self.waiting.appendleft(seed)
                else:
                    self.found[seed] = result
                self.changed.notify_all()
        return result is not None

    def wait_for(self, seed: int) -> None:
        """Wait until somebody else has done it, or nobody does any more."""
        with self.changed:
            self.changed.wait_for(lambda: seed in self.found or self.waiting)


def _carry_out(study: Study, seed: int, say: Say) -> Found:
    return replace(study, seed=seed, seeds=1).find(say, pictures=seed == study.seed)


@contextmanager
def _led(study: Study, lot: _Lot, say: Say, partners: int) -> Iterator[None]:
    """Partners that take seeds of a lot, each led by a thread of this process; whatever they do, they are gone after the block."""
    with ExitStack() as ending:  # in the reverse order: kill it, let its leader notice, give back what it held
        with suppress(OSError, RuntimeError):  # no more processes, no more threads
            for _ in range(partners):
                partner = Companion(_serve, "rung-partner")
                ending.callback(partner.end)
                leader = threading.Thread(target=_lead, args=(partner, study, 1 + partners, lot, say), daemon=True)
                leader.start()
                ending.callback(leader.join, LEAVES)
                ending.callback(partner.kill)
        yield


def _lead(partner: Companion, study: Study, processes: int, lot: _Lot, say: Say) -> None:
    """Let a partner do seeds until none waits, it fails, or it is gone."""
    pipe = partner.pipe

    def there(seed: int) -> Found | None:
        pipe.send(seed)
        kind, answer = pipe.recv()
        while kind == SAID:
            say(answer)
            kind, answer = pipe.recv()
        return answer

    with suppress(Exception):  # it is gone, or cannot be told of this study
        pipe.send((study, processes))
        pipe.recv()  # it is ready
        while lot.do_one(there):
            pass
    partner.kill()  # it holds memory


def _serve(pipe: Connection) -> None:
    """What a partner does until it is killed."""
    study, processes = pipe.recv()  # which imports torch

    import torch

    torch.set_num_threads(study.threads or 1)
    with sharing_cores(processes):
        pipe.send((READY, None))
        while True:
            done, found = attempt(partial(_carry_out, study, pipe.recv(), lambda line: pipe.send((SAID, line))))
            pipe.send((FOUND if done else FAILED, found))
