"""A companion never hears Ctrl-C and never outlives its command; the cores are shared out among those that train."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from beside_work import gone

from rungbook.recipes import companion, partner
from rungbook.recipes.companion import Companion, cores, cores_each, sharing_cores


def sleeper() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], stderr=subprocess.DEVNULL)


def test_ctrl_c_waits_until_a_companion_has_begun() -> None:
    """And does not reach the companion, though other threads listen; the control: a process begun without care dies of it."""
    begun, over = [], threading.Event()

    def begin() -> None:
        with companion._ctrl_c_waits():
            begun.append(sleeper())
            os.kill(os.getpid(), signal.SIGINT)  # as a terminal does: whichever thread is told
            time.sleep(0.05)
            begun.append(sleeper())

    listening = threading.Thread(target=over.wait)
    listening.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            begin()
        begun.append(sleeper())
        assert len(begun) == 3, "the block went on to its end"
        for one in begun:
            one.send_signal(signal.SIGINT)
        assert begun[2].wait(10) != 0
        assert [one.poll() for one in begun[:2]] == [None, None]
    finally:
        over.set()
        for one in begun:
            one.kill()
            one.wait()


def test_ctrl_c_while_a_companion_begins_leaves_none(monkeypatch: pytest.MonkeyPatch) -> None:
    pids: list[int] = []
    start = multiprocessing.get_context("spawn").Process.start

    def pressed(self: Any) -> None:
        start(self)
        pids.append(self.pid)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(multiprocessing.get_context("spawn").Process, "start", pressed)
    with pytest.raises(KeyboardInterrupt):
        Companion(partner._serve, "rung-partner")
    (pid,) = pids
    assert gone(pid, fetched=True)


def test_cores_are_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    assert cores_each() == 2
    with sharing_cores(2):
        assert cores_each() == 1
        with sharing_cores(5):
            assert cores_each() == 1
    with pytest.raises(KeyError), sharing_cores(2):
        raise KeyError
    assert cores_each() == 2


def children(group: int) -> int:
    """Processes of a group, but for its first."""
    found = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            found += int(stat.read_text().rpartition(")")[2].split()[2]) == group
        except OSError:
            continue
    return found - 1


Begun = Callable[[Path, int], bool]
COMMANDS: dict[str, tuple[list[str], Begun]] = {
    "a training": (["blobs", "device=cpu"], lambda runs, pid: bool(list(runs.glob("*/metrics.jsonl")))),
    # the helper, the partner, and Python's own process for shared resources
    "a study": (["polynomial"], lambda runs, pid: children(pid) >= 3),
}


COUNTABLE = Path("/proc/self/stat").exists() and cores() > 1


@pytest.mark.parametrize(
    "kind",
    [
        "a training",
        pytest.param("a study", marks=pytest.mark.skipif(not COUNTABLE, reason="needs two cores, and /proc to count processes")),
    ],
)
def test_ctrl_c_for_the_whole_group_leaves_nothing(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(partner.VARIABLE, raising=False)
    words, begun = COMMANDS[kind]
    with subprocess.Popen(
        [sys.executable, "-m", "rungbook.cli.main", "train", *words, "epochs=100000"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "RUNG_RUNS": str(tmp_path)},
        start_new_session=True,
    ) as command:
        end = time.monotonic() + 120
        while not begun(tmp_path, command.pid):
            assert time.monotonic() < end
            assert command.poll() is None
            time.sleep(0.05)
        os.killpg(command.pid, signal.SIGINT)  # as a terminal does
        _, said = command.communicate()
    assert command.returncode == 5, said
    assert "Traceback" not in said
    end = time.monotonic() + 10
    while time.monotonic() < end:
        try:
            os.killpg(command.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    pytest.fail("a process of the command is left")
