"""A pool of worker processes, as a loader sees it: give tasks, receive batches, notice what dies, leave nothing behind.

Unlike torch's, every worker has a pipe of its own for its batches, not all a queue together. So a worker that is killed in the middle of a
write takes no lock along that others need; and `wait` on all pipes and all processes at once sees a death as soon as it happens, without
a signal handler and without asking again and again.
"""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection, wait
from typing import Any

import torch.multiprocessing

from rungbook.scratch.data.worker import Job, Restart, Task, work

GRACE_SECONDS = 5.0
"""How long workers have to finish what they do when they are told to stop; torch gives as much."""

SIGNALS = {
    "SIGKILL": "killed; the system does that when memory runs out, so try fewer workers or smaller batches",
    "SIGBUS": "shared memory ran out; make /dev/shm larger (docker: --shm-size) or use fewer workers",
    "SIGSEGV": "a library it called crashed; try num_workers=0 to see where",
}
"""Signal -> what it usually means."""
TOO_MANY_FILES = (
    "every tensor from a worker is an open file as long as it is kept: raise the limit (ulimit -n), or call "
    "torch.multiprocessing.set_sharing_strategy('file_system') first"
)


class Pool:
    """Worker processes with a queue to each and a pipe from each.

    Args:
        jobs: one for each worker.
        context: multiprocessing's start method, torch.multiprocessing by default.
    """

    def __init__(self, jobs: Sequence[Job], context: Any = None) -> None:
        context = context or torch.multiprocessing
        self.owner = os.getpid()
        self.listen, self.wake = context.Pipe(duplex=False)
        self.workers: list[Any] = []
        self.tasks: list[Any] = []
        self.pipes: list[Connection] = []
        try:
            for job in jobs:  # all of them before the first task, whose queue starts a thread: a process with threads forks badly
                mine, theirs = context.Pipe(duplex=False)
                tasks = context.Queue()
                tasks.cancel_join_thread()  # tasks that nobody takes any more must not hold up the end of this process
                self.pipes.append(mine)
                self.tasks.append(tasks)
                worker = context.Process(target=work, args=(job, tasks, theirs), daemon=True)
                try:
                    worker.start()
                    self.workers.append(worker)
                finally:
                    theirs.close()  # the next worker must not inherit it: this one's death would not end the pipe
        except BaseException:
            self.close()
            raise

    def give(self, worker: int, task: Task) -> None:
        """Put a task into a worker's queue."""
        self.tasks[worker].put(task)

    def restart(self) -> None:
        """Let every worker go through its dataset anew, after what it has been given already."""
        for tasks in self.tasks:
            tasks.put(Restart())

    def receive(self, timeout: float) -> tuple[int, tuple[int, int, Any]]:
        """The next batch from any worker.

        Args:
            timeout: seconds to wait for it, 0 for ever.

        Returns:
            The worker, and (epoch, number of the task, batch).

        Raises:
            RuntimeError: a worker has died, none has sent anything for so long, or `interrupt` was called.
        """
        sources: dict[Any, int] = {pipe: i for i, pipe in enumerate(self.pipes)}
        sources |= {w.sentinel: i for i, w in enumerate(self.workers)}
        ready = wait([self.listen, *sources], timeout or None)
        if self.listen in ready:
            raise RuntimeError("the DataLoader's workers are being stopped")
        if not ready:
            raise RuntimeError(
                f"DataLoader timed out: no worker has sent a batch for {timeout:g} seconds. Give it a larger timeout, or try num_workers=0 "
                "to see what takes so long"
            )
        worker = next((sources[r] for r in ready if not isinstance(r, int)), None)
        if worker is None:  # only processes that have ended, and whose pipes are empty
            raise self._died(sources[ready[0]])
        try:
            return worker, self.pipes[worker].recv()
        except Exception as error:  # it ended in the middle of a message, or before its shared memory was fetched
            self.workers[worker].join(GRACE_SECONDS)
            if self.workers[worker].exitcode is not None:
                raise self._died(worker) from error
            if getattr(error, "errno", None) == errno.EMFILE or "ancdata" in str(error):
                error.add_note(TOO_MANY_FILES)
            raise

    def _died(self, worker: int) -> RuntimeError:
        process = self.workers[worker]
        process.join(GRACE_SECONDS)
        code = process.exitcode
        how = f"it ended by itself with code {code}"
        if code is not None and code < 0:
            name = signal.Signals(-code).name
            how = f"{name}: {SIGNALS.get(name, 'a signal from outside')}"
        return RuntimeError(f"DataLoader worker {worker} (pid {process.pid}) exited unexpectedly. {how}")

    def interrupt(self) -> None:
        """Let a thread that is in `receive` come out of it, for good."""
        self.wake.send(None)

    def close(self) -> None:
        """End every worker: told first, then made to. May be called again; does nothing in a process that only inherited the pool."""
        if os.getpid() != self.owner:
            return
        for worker, tasks in zip(self.workers, self.tasks, strict=False):
            if worker.is_alive():
                tasks.put(None)
        end = time.monotonic() + GRACE_SECONDS
        open_pipes: set[Any] = {p for p in self.pipes if not p.closed}
        while (left := end - time.monotonic()) > 0 and (alive := [w for w in self.workers if w.is_alive()]):
            # a worker in the middle of sending gets no further until somebody reads
            ready: Any
            for ready in wait([*open_pipes, *(w.sentinel for w in alive)], left):
                if not isinstance(ready, int):
                    try:
                        ready.recv_bytes()
                    except (EOFError, OSError):
                        open_pipes.discard(ready)
        for end_it in ("terminate", "kill"):
            for worker in self.workers:
                if worker.is_alive():
                    getattr(worker, end_it)()
            for worker in self.workers:
                worker.join(GRACE_SECONDS)
        for pipe in (*self.pipes, self.listen, self.wake):
            pipe.close()
        for tasks in self.tasks:
            tasks.close()
        self.workers, self.tasks, self.pipes = [], [], []
