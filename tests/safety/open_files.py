"""Opens hostile files, each in a process of its own with little memory, and prints as JSON what each of them managed to do.

    python open_files.py < cases.json      # [[name, how, path], ...]

torch is imported once; a case is a fork. `how` says who opens the file: rungbook ("weights", "checkpoint", "run"), or the naive way
("naive"), which is the control: it must run what is hidden in the file.
"""

from __future__ import annotations

import json
import os
import pickle
import resource
import select
import signal
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import torch

from rungbook.errors import RungError
from rungbook.learner import checkpoint
from rungbook.learner.weights import load_weights, read_weights
from rungbook.recipes.predictor import load
from rungbook.recipes.runs import Run

LIMIT_SECONDS = 20.0  # of the harness; the test asks for far less
ROOM = 6 << 30  # bytes of address space a case may add: room to be caught using too much, not enough to hurt the machine
DEEDS = (
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.spawn",
    "os.fork",
    "os.forkpty",
    "pty.spawn",
    "subprocess.Popen",
    "socket.",
    "os.remove",
)
"""Audit events that no file may cause."""


def naive(path: Path) -> object:
    """What a careless reader does."""
    if path.suffix == ".pkl":
        return pickle.loads(path.read_bytes())
    return torch.load(path, weights_only=False)


def weights(path: Path) -> object:
    """Into a model that fits what the files say they hold."""
    return load_weights(torch.nn.Linear(2, 2), read_weights(path), name=str(path))


OPENERS = {"weights": weights, "checkpoint": checkpoint.read, "run": load, "record": lambda path: Run(path).record(), "naive": naive}


def watch(deeds: list[str]) -> None:
    """Note every process, connection and written file from now on."""

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event.startswith(DEEDS) or (event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+")):
            deeds.append(f"{event} {args[:2]}")

    sys.addaudithook(hook)


def open_one(how: str, path: Path) -> dict[str, Any]:
    """Open a file and say how that went; runs in the child."""
    deeds: list[str] = []
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + ROOM, size + ROOM))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    watch(deeds)
    start, wall = time.process_time(), time.perf_counter()
    result: dict[str, Any] = {"outcome": "opened"}
    try:
        OPENERS[how](path)
    except RungError as error:
        result = {"outcome": "refused", "code": error.code, "exit": error.exit_code, "message": str(error), "fix": error.fix}
    except BaseException as error:
        result = {"outcome": "crashed", "message": f"{type(error).__name__}: {error}"[:300]}
    megabytes = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return {**result, "seconds": time.process_time() - start, "wall": time.perf_counter() - wall, "megabytes": megabytes, "deeds": deeds}


def forked(how: str, path: Path) -> dict[str, Any]:
    """`open_one` in a child that is killed if it hangs."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read_end)
        answer = json.dumps(open_one(how, path)).encode()
        os.write(write_end, answer[:60_000])
        os._exit(0)
    os.close(write_end)
    ready, _, _ = select.select([read_end], [], [], LIMIT_SECONDS)
    if not ready:
        os.kill(child, signal.SIGKILL)
    with os.fdopen(read_end, "rb") as pipe:
        answer = pipe.read()
    _, status = os.waitpid(child, 0)
    return (
        json.loads(answer)
        if answer
        else {"outcome": "died", "message": f"status {status}", "seconds": LIMIT_SECONDS, "megabytes": 0, "deeds": []}
    )


def main() -> None:
    """Open all cases of standard input."""
    warnings.simplefilter("ignore")
    sys.dont_write_bytecode = True  # a module that nobody has imported before would be written down compiled, which is not the file's deed
    torch.set_num_threads(1)
    print(json.dumps({name: forked(how, Path(path)) for name, how, path in json.load(sys.stdin)}))


if __name__ == "__main__":
    main()
