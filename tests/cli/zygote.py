"""Whole commands as real processes that cost what they do and not what their imports cost.

A fresh Python imports everything once and forks for each command. A fork is a process like any other: it can be killed, and nothing it did
stays with the next.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

DISK = "2900k"
"""Size of the small disk: enough to begin a small training on."""


class Command:
    """A running command.

    Args:
        zygote: which started it.
        pid: its process.
        folder: of its output.
    """

    def __init__(self, zygote: Zygote, pid: int, folder: Path) -> None:
        self.zygote, self.pid, self.folder = zygote, pid, folder

    def wait(self) -> int:
        """The exit code; minus the signal's number if it was killed."""
        return int(self.zygote.ask(do="wait", pid=self.pid))

    def kill(self, how: signal.Signals = signal.SIGKILL) -> int:
        """Send a signal and wait for the end."""
        os.kill(self.pid, how)
        return self.wait()

    def until(self, ready: Callable[[], Any], seconds: float = 60.0) -> None:
        """Wait for something that the command does."""
        end = time.monotonic() + seconds
        while not ready():
            assert time.monotonic() < end, f"nothing happened: {self.err}"
            time.sleep(0.002)

    @property
    def out(self) -> str:
        """Standard output so far."""
        return (self.folder / "out").read_text()

    @property
    def err(self) -> str:
        """Standard error so far."""
        return (self.folder / "err").read_text()

    @property
    def json(self) -> Any:
        """The last line of standard output."""
        return json.loads(self.out.splitlines()[-1])


class Zygote:
    """Starts commands.

    They have a small disk at `folder / "disk"`, which others see as `disk`, unless `no_disk` says why none could be made.

    Args:
        folder: for their output.
    """

    disk: Path
    no_disk: str

    def __init__(self, folder: Path) -> None:
        self.folder, self._count = folder, 0

    def __enter__(self) -> Zygote:
        inside = self.folder / "disk"
        inside.mkdir()
        small = ["unshare", "-rm", "sh", "-c", f'mount -t tmpfs -o size={DISK} none "$0" && exec "$@"', str(inside)]
        self.no_disk = _why_not([*small, "true"])
        command = [*([] if self.no_disk else small), sys.executable, __file__]
        environment = {**os.environ, "COLUMNS": "80"}
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        self.disk = Path(f"/proc/{self._process.pid}/root{inside}")
        assert self.ask(do="ready") == "ready"
        return self

    def __exit__(self, *error: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def ask(self, **question: Any) -> Any:
        """One question, one answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def start(self, *words: str, runs: Path, quick: bool = True, slow: float = 0.0) -> Command:
        """Start a command.

        Args:
            words: after `rung`.
            runs: where runs go.
            quick: judge in a moment, see `commands.quick`.
            slow: seconds to wait after each epoch and each checkpoint, so that a signal meets a training on any machine.
        """
        self._count += 1
        folder = self.folder / str(self._count)
        folder.mkdir()
        pid = self.ask(do="start", words=words, runs=str(runs), quick=quick, slow=slow, folder=str(folder))
        return Command(self, pid, folder)


def _why_not(command: list[str]) -> str:
    """Why a command does not work here; "" if it does."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        return str(error)
    return "" if done.returncode == 0 else done.stderr.strip() or f"exit code {done.returncode}"


def _start(question: dict[str, Any]) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 99
    try:
        os.environ["RUNG_RUNS"] = question["runs"]
        os.chdir(question["folder"])
        for number, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(Path(question["folder"]) / name, os.O_WRONLY | os.O_CREAT, 0o644), number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        sys.stdout, sys.stderr = (os.fdopen(n, "w", buffering=1) for n in (1, 2))
        if question["quick"]:
            import pytest
            from commands import quick

            quick(pytest.MonkeyPatch())
        if question["slow"]:
            _slow_down(question["slow"])
        from rungbook.cli.answer import run_command
        from rungbook.cli.main import app

        code = run_command(app, question["words"])
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _slow_down(seconds: float) -> None:
    """Wait after each epoch's row and each checkpoint; nothing that is saved depends on it."""
    from rungbook.learner.callbacks import Checkpoints, Recorder

    def waiting(do: Callable[..., Any]) -> Callable[..., Any]:
        def done(*words: Any) -> Any:
            value = do(*words)
            time.sleep(seconds)
            return value

        return done

    Recorder.after_epoch = waiting(Recorder.after_epoch)  # type: ignore[method-assign]
    Checkpoints.save = waiting(Checkpoints.save)  # type: ignore[method-assign]


def _warm_up() -> None:
    """A small training in this process: what it imports and sets up, no fork needs to do again."""
    import tempfile

    import pytest
    import torch
    from commands import quick, run

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as runs, pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUNG_RUNS", runs)
        quick(patch)
        for words in ("train digits epochs=1 widths=2", "train mlp epochs=1 hidden=2 batch_size=512"):
            assert run(words).code == 0


def _serve() -> None:
    _warm_up()
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    for line in sys.stdin:
        question = json.loads(line)
        if question["do"] == "ready":
            answer: Any = "ready"
        elif question["do"] == "start":
            answer = _start(question)
        else:
            answer = os.waitstatus_to_exitcode(os.waitpid(question["pid"], 0)[1])
        answers.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    _serve()
