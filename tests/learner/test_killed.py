"""SIGKILL at random moments: the continued training ends with the same bits as one that was never disturbed."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

CONFIGURATIONS = [("mlp", 0), ("mlp", 2), ("cnn", 0), ("cnn", 2)]


@dataclass
class Nursery:
    """The process whose forks train, and are killed."""

    process: subprocess.Popen[str]

    def ask(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def run(self, folder: Path, model: str, workers: int, *, kill_after: float | None = None, forget: bool = False) -> tuple[int, float]:
        """Train in a fork; kill it after so many seconds. Its exit code (-9: killed) and the seconds it ran."""
        folder.mkdir(exist_ok=True)
        assert self.process.stdin is not None
        order = {"folder": str(folder), "model": model, "workers": workers, "forget": forget, "kill_after": kill_after}
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        answer = self.ask()
        return answer["ended"], answer["seconds"]

    def result(self, folder: Path) -> dict[str, Any]:
        return json.loads((folder / "result.json").read_text())


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    script = Path(__file__).with_name("killed.py")
    with subprocess.Popen([sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        found = Nursery(process)
        assert "ready" in found.ask()
        yield found
        process.stdin.close()


def bits(result: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in result.items() if k != "begun at"}


def kill_and_continue(nursery: Nursery, folder: Path, model: str, workers: int, kills: int, rng: random.Random) -> tuple[int, int]:
    """Kill a training so many times, over as many trainings as that takes; how many kills hit, and how many trainings ended."""
    code, seconds = nursery.run(folder / "whole", model, workers)
    assert code == 0
    expected = bits(nursery.result(folder / "whole"))
    hits, ended = 0, 0
    while hits < kills or ended == 0:
        here = folder / f"killed {ended}"
        allowed = min(2, kills - hits)  # per training, so that checkpoints of continued trainings are continued too
        while allowed > 0:
            code, _ = nursery.run(here, model, workers, kill_after=rng.uniform(0.02, 0.9) * seconds)
            assert code in (0, -signal.SIGKILL)
            hits, allowed = hits + (code != 0), allowed - 1
            if code == 0:
                break
        if code != 0:
            code, _ = nursery.run(here, model, workers)
            assert code == 0
        ended += 1
        assert bits(nursery.result(here)) == expected, f"{model}, {workers} workers, training {ended}"
    return hits, ended


@pytest.mark.parametrize(("model", "workers"), CONFIGURATIONS)
def test_two_kills(nursery: Nursery, model: str, workers: int, tmp_path: Path) -> None:
    hits, _ = kill_and_continue(nursery, tmp_path, model, workers, 2, random.Random(f"{model}{workers}"))
    assert hits >= 2


@pytest.mark.soak
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("model", "workers"), CONFIGURATIONS)
def test_twenty_kills(nursery: Nursery, model: str, workers: int, tmp_path: Path) -> None:
    hits, ended = kill_and_continue(nursery, tmp_path, model, workers, 20, random.Random(time.time_ns()))
    print(f"{model}, {workers} workers: {hits} kills over {ended} trainings")
    assert hits >= 20


def test_control_without_the_random_numbers_dropout_ends_elsewhere(nursery: Nursery, tmp_path: Path) -> None:
    _, seconds = nursery.run(tmp_path / "whole", "cnn", 0)
    for attempt in range(20):
        here = tmp_path / str(attempt)
        code, _ = nursery.run(here, "cnn", 0, kill_after=seconds / 2)
        if code != 0 and any((here / "checkpoints").glob("step-*")):
            break
    assert nursery.run(here, "cnn", 0, forget=True)[0] == 0
    result = nursery.result(here)
    assert result["begun at"] > 0
    assert bits(result) != bits(nursery.result(tmp_path / "whole"))
