"""A lesson executed as a notebook, once for each content: the tests and the site use the same execution.

The kernel starts in an empty folder, with one thread, without a network and without the reader's data, so that a lesson cannot lean on
what only this machine has. What an execution gave is kept under a name made of everything it depends on.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import json
import os
import platform
import tempfile
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rungbook.book.disk import writing
from rungbook.book.lesson import Lesson
from rungbook.book.notebook import notebook
from rungbook.errors import DataError
from rungbook.extras import require
from rungbook.learner.checkpoint import write_atomically
from rungbook.recipes.companion import cores
from rungbook.recipes.shipped import shipped

TIMEOUT = 600
"""Seconds after which a cell is given up: far above any lesson's budget, so that a busy machine does not decide."""
CODE = ("*.py", "*.c", "*.toml", "*.css", "*.jinja")
"""Files of the package that a lesson's outputs depend on ..."""
APART = ("book/lesson.py", "book/pages.py", "book/site.py", "book/slide", "book/walk.py", "cli/")
"""... but for these, which come before or after an execution."""
BEFORE = """
from rungbook.book.offline import go_offline as _go_offline
_go_offline()
del _go_offline
"""
AFTER = """
import os as _os
print(sum(_os.times()[:4]))
"""
"""Processor time of the kernel and of what it started, in seconds: what a lesson costs, whatever else the machine does."""


@dataclass(frozen=True)
class Executed:
    """A lesson with its outputs.

    Args:
        notebook: all cells, hidden ones too, with what they gave.
        seconds: processor time.
    """

    notebook: Any
    seconds: float

    def complaints(self) -> list[str]:
        """What was written to standard error: warnings among it."""
        return [
            "".join(out["text"]).strip()
            for cell in self.notebook.cells
            for out in cell.get("outputs", ())
            if out["output_type"] == "stream" and out["name"] == "stderr"
        ]


@functools.cache
def library_hash() -> str:
    """SHA-256 of the package's code, of the figures it quotes, and of the versions it runs on."""
    import torch

    found = hashlib.sha256(f"{platform.python_version()} {torch.__version__} {platform.machine()}".encode())
    package = Path(__file__).resolve().parents[1]
    every = sorted(path for pattern in CODE for path in package.rglob(pattern))
    files = [path for path in every if not path.relative_to(package).as_posix().startswith(APART)]
    for path in (*files, shipped("ledger.jsonl"), shipped("twins.json")):
        found.update(path.name.encode() + b"\0" + (path.read_bytes() if path.is_file() else b""))
    return found.hexdigest()


def kept_at(lesson: Lesson, folder: Path) -> Path:
    """Where the execution of a lesson as it is now would be kept."""
    content = hashlib.sha256(lesson.path.read_bytes() + library_hash().encode()).hexdigest()
    return folder / f"{lesson.name}-{content[:20]}.ipynb"


def executions_folder() -> Path:
    """Where executions are kept: with other things that can be made again."""
    from rungbook.data.download import cache_folder

    return cache_folder() / "lessons"


def execute(lesson: Lesson, folder: Path | None = None, stop: threading.Event | None = None) -> Executed:
    """Execute a lesson, or take up what it gave before.

    Args:
        lesson: which.
        folder: where executions are kept; `executions_folder()` if None.
        stop: once it is set, the kernel is taken down and the lesson left.

    Raises:
        EnvironmentProblem: E404 what executes notebooks is not installed, E405 the folder cannot be written, E401 the disk is full.
        DataError: E307 a cell fails; the lesson, the cell and the error are named.
    """
    require("book", "Executing a lesson")
    place = kept_at(lesson, folder or executions_folder())
    if kept := _kept(place):
        return kept
    with writing(place.parent, "executed lessons are kept", "RUNG_CACHE"):
        place.parent.mkdir(parents=True, exist_ok=True)
    done = _execute(lesson, stop or threading.Event())
    with writing(place.parent, "executed lessons are kept", "RUNG_CACHE"):
        write_atomically(place, json.dumps(done, indent=1).encode())
        for old in set(place.parent.glob(f"{lesson.name}-*.ipynb")) - {place}:
            old.unlink(missing_ok=True)
    return Executed(done, done.metadata["rungbook"]["seconds"])


def _kept(place: Path) -> Executed | None:
    """What was kept there; None where there is nothing, or a file that was cut off or is something else."""
    import nbformat

    try:
        whole = nbformat.read(place, as_version=4)
        return Executed(whole, float(whole.metadata["rungbook"]["seconds"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, nbformat.ValidationError):
        return None


def _execute(lesson: Lesson, stop: threading.Event) -> Any:
    """The notebook with outputs and, in its metadata, the processor time."""
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError
    from nbclient.util import ensure_async
    from traitlets.config import Config

    whole = nbformat.from_dict(notebook(lesson, hidden=True))

    async def run(folder: str, sockets: str) -> float:
        private = {"transport": "ipc", "ip": f"{sockets}/kernel"}  # files of this user's own: no ports for others to listen at
        client = NotebookClient(
            whole,
            timeout=TIMEOUT,
            startup_timeout=TIMEOUT,
            kernel_name="python3",
            resources={"metadata": {"path": folder}},
            record_timing=False,
            config=Config({"KernelManager": private} if os.name == "posix" else {}),
        )
        async with client.async_setup_kernel(env=_environment(Path(folder)), cwd=folder):
            cells = asyncio.ensure_future(through(client))
            while not cells.done():
                await asyncio.wait({cells}, timeout=0.2)
                if stop.is_set() and not cells.done() and client.km is not None:
                    # asked politely it would finish its cell, and complain of sockets that are gone
                    await ensure_async(client.km.shutdown_kernel(now=True))
                    cells.cancel()
            return await cells

    async def through(client: NotebookClient) -> float:
        await _aside(client, BEFORE)
        for index, cell in enumerate(whole.cells):
            try:
                await client.async_execute_cell(cell, index)
            except CellExecutionError as error:
                first = next((line for line in cell.source.splitlines() if line.strip()), "")
                said = f'{lesson.path.name}, cell {index + 1} ("{first.strip()}"): {error.ename}: {error.evalue}'
                raise DataError("E307", said, f"python {lesson.path}") from error
        return float(await _aside(client, AFTER))

    with tempfile.TemporaryDirectory(prefix="rung-lesson-") as empty, tempfile.TemporaryDirectory(prefix="rung-ipc-") as sockets:
        seconds = asyncio.run(run(empty, sockets))
    whole.metadata["rungbook"] = {"seconds": round(seconds, 2)}
    return whole


async def _aside(client: Any, code: str) -> str:
    """Run code in the kernel that is no part of the lesson; gives what it prints."""
    import nbformat

    cell = nbformat.v4.new_code_cell(code)
    client.nb.cells.append(cell)
    try:
        await client.async_execute_cell(cell, len(client.nb.cells) - 1, store_history=False)
    finally:
        client.nb.cells.remove(cell)
    return "".join(out["text"] for out in cell.outputs if out["output_type"] == "stream")


def _environment(empty: Path) -> dict[str, str]:
    """The variables of the kernel: one thread, nothing of the reader's, no network for libraries that ask."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("RUNG_")}
    one = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    own = {"RUNG_RUNS": str(empty / "runs"), "RUNG_CACHE": str(empty / "cache"), "HF_HUB_OFFLINE": "1", "MPLBACKEND": "agg"}
    return {**kept, **one, **own, "PYTHONHASHSEED": "0", "IPYTHONDIR": str(empty / "ipython")}


@contextmanager
def executing(chosen: Iterable[Lesson], folder: Path | None = None) -> Iterator[dict[str, Future[Executed]]]:
    """Execute lessons side by side, one kernel a core, while the block lasts; what makes it end in an error stops those still running.

    Args:
        chosen: which.
        folder: as in `execute`.

    Yields:
        lesson's name -> its execution, begun in their order.
    """
    stop, pool = threading.Event(), ThreadPoolExecutor(cores())
    try:
        yield {lesson.name: pool.submit(execute, lesson, folder, stop) for lesson in chosen}
    except BaseException:
        stop.set()
        raise
    finally:
        pool.shutdown(cancel_futures=stop.is_set())


__all__ = ["Executed", "execute", "executing", "executions_folder", "kept_at", "library_hash"]
