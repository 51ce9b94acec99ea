"""Whole commands killed, interrupted, starved of disk and started twice: what is resumed ends as if nothing had happened.

RELIABILITY rows 1, 2, 4, 5, 17, 30, 31. The full counts run under `-m soak`.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from commands import Rung, run
from zygote import Zygote

from rungbook.learner.checkpoint import generations, newest

CNN = "digits epochs=3 widths=6,8 batch_size=32 dropout=0.3 checkpoint_seconds=0.001"
MLP = "mlp epochs=3 hidden=32 dropout=0.3 batch_size=32 ema=0.9 clip=1 checkpoint_seconds=0.001"
CONFIGURATIONS = {"cnn": CNN, "cnn-workers": f"{CNN} workers=2", "mlp": MLP, "mlp-workers": f"{MLP} workers=2"}


def marks(run: Path) -> dict[str, str]:
    """SHA-256 of everything that must be equal: the final weights, the last checkpoint with optimiser and random state, the metrics."""
    files = {"metrics": run / "metrics.jsonl"}
    files |= {f"final/{p.name}": p for p in run.glob("checkpoints/final/*")}
    files |= {f"last/{p.name}": p for p in generations(run / "checkpoints")[0].iterdir()}
    return {name: hashlib.sha256(p.read_bytes()).hexdigest() for name, p in sorted(files.items())}


def scores(run: Path) -> dict:
    """What the run's record says of the result, without clock times."""
    return {k: v for k, v in json.loads((run / "run.json").read_text())["result"].items() if k != "seconds"}


def only(runs: Path) -> Path:
    """The one run there is."""
    (found,) = runs.iterdir()
    return found


@dataclass
class Reference:
    """A run nobody disturbed."""

    marks: dict[str, str]
    scores: dict
    seconds: float


@cache
def reference(zygote: Zygote, words: str) -> Reference:
    """The undisturbed run of a command."""
    runs = zygote.folder / hashlib.sha256(words.encode()).hexdigest()[:8]
    begun = time.monotonic()
    command = zygote.start("train", *words.split(), runs=runs)
    assert command.wait() == 0, command.err
    return Reference(marks(only(runs)), scores(only(runs)), time.monotonic() - begun)


def same(run: Path, undisturbed: Reference) -> None:
    """The run ended as the undisturbed one did, and left nothing half-written."""
    assert marks(run) == undisturbed.marks
    assert scores(run) == undisturbed.scores
    assert not [p for p in run.rglob("*") if p.name.startswith(".writing-")]
    assert not (run / "holder.json").exists()


def has_checkpoint(runs: Path) -> bool:
    return any(runs.glob("*/checkpoints/step-*/manifest.json"))


@pytest.mark.parametrize(("name", "kills"), [("cnn", 2), ("mlp-workers", 1)])
def test_killed_while_training(zygote: Zygote, tmp_path: Path, name: str, kills: int) -> None:
    words = CONFIGURATIONS[name]
    undisturbed = reference(zygote, words)
    verb = ["train", *words.split()]
    for _ in range(kills):
        before = last_step(tmp_path)
        command = zygote.start(*verb, runs=tmp_path, slow=0.06)
        command.until(lambda before=before: last_step(tmp_path) > before)
        time.sleep(0.04 * random.random())
        assert command.kill() == -signal.SIGKILL
        assert not list(tmp_path.glob("*/checkpoints/final")), "it was killed in the middle"
        verb = ["resume"]
    again = zygote.start("resume", "--json", runs=tmp_path)
    assert again.wait() == 0, again.err
    assert "restored (exact)" in again.err
    same(only(tmp_path), undisturbed)
    assert again.json["epochs"] == undisturbed.scores["epochs"]


def last_step(runs: Path) -> int:
    """Step of the newest checkpoint; -1 if there is none."""
    return max((int(p.parent.name.split("-")[1]) for p in runs.glob("*/checkpoints/step-*/manifest.json")), default=-1)


def killed(zygote: Zygote, words: str, runs: Path, moment: float) -> bool:
    """Start a command and kill it some seconds later; whether it was still at work, and had a run to resume."""
    command = zygote.start("train", *words.split(), runs=runs)
    time.sleep(moment)
    assert command.kill() in (0, -signal.SIGKILL)
    return runs.is_dir() and any((p / "run.json").exists() for p in runs.iterdir())


@pytest.mark.soak
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_killed_at_twenty_random_moments(zygote: Zygote, tmp_path: Path, name: str) -> None:
    words = CONFIGURATIONS[name]
    undisturbed = reference(zygote, words)
    done = 0
    for trial in range(60):
        runs = tmp_path / str(trial)
        if not killed(zygote, words, runs, random.random() * undisturbed.seconds):
            continue
        last = zygote.start("resume", runs=runs)
        code = last.wait()
        if code == 2 and "No run waits" in last.err:
            continue  # it had finished
        assert code == 0, last.err
        same(only(runs), undisturbed)
        shutil.rmtree(runs)
        done += 1
        if done == 20:
            return
    pytest.fail(f"only {done} kills hit a run at work")


def test_control_without_random_state_differs(zygote: Zygote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same resumption with the random numbers left as they are: it must not end the same, or the tests above prove nothing."""
    undisturbed = reference(zygote, CNN)
    command = zygote.start("train", *CNN.split(), runs=tmp_path, slow=0.1)
    command.until(lambda: has_checkpoint(tmp_path))
    command.kill()
    monkeypatch.setenv("RUNG_RUNS", str(tmp_path))
    monkeypatch.setattr("rungbook.learner.learner.set_random_state", lambda state: None)
    with pytest.MonkeyPatch.context() as patch:
        from commands import quick

        quick(patch)
        assert run("resume").code == 0
    assert marks(only(tmp_path)) != undisturbed.marks


def test_ctrl_c_loses_nothing(zygote: Zygote, tmp_path: Path) -> None:
    undisturbed = reference(zygote, CNN)
    words = CNN.replace("checkpoint_seconds=0.001", "checkpoint_seconds=1000")
    command = zygote.start("train", *words.split(), "--json", runs=tmp_path, slow=0.2)
    command.until(lambda: any(p.stat().st_size for p in tmp_path.glob("*/metrics.jsonl")))
    assert command.kill(signal.SIGINT) == 5, command.err
    run = only(tmp_path)
    record = json.loads((run / "run.json").read_text())
    assert record["status"] == "interrupted"
    step = record["step"]
    assert step >= 45, "an epoch was behind it"
    assert f"everything up to step {step} is saved" in command.err
    assert f"rung resume {run.name}" in command.err.splitlines()[-1]
    assert command.json == {"run": str(run), "status": "interrupted", "step": step, "exit": 5}
    assert "Traceback" not in command.err
    again = zygote.start("resume", runs=tmp_path)
    assert again.wait() == 0
    assert f"from step {step}:" in again.out, "nothing between the interruption and the resumption was done twice"
    final = {k: v for k, v in marks(run).items() if not k.startswith("last/")}
    assert final.items() <= undisturbed.marks.items()


def test_killed_before_the_first_checkpoint(zygote: Zygote, tmp_path: Path) -> None:
    undisturbed = reference(zygote, CNN)
    words = CNN.replace("checkpoint_seconds=0.001", "checkpoint_seconds=1000")
    command = zygote.start("train", *words.split(), runs=tmp_path, slow=0.2)
    command.until(lambda: any(p.stat().st_size for p in tmp_path.glob("*/metrics.jsonl")))
    assert command.kill() == -signal.SIGKILL
    assert not has_checkpoint(tmp_path)
    (only(tmp_path) / ".writing-1-run.json").write_text("half a rec")  # as a kill in the middle of writing leaves it
    again = zygote.start("resume", runs=tmp_path)
    assert again.wait() == 0, again.err
    assert "starts again, with the same result" in again.out
    final = {k: v for k, v in marks(only(tmp_path)).items() if not k.startswith("last/")}
    assert final.items() <= undisturbed.marks.items()
    assert not list(only(tmp_path).glob(".writing-*"))


def test_fresh_processes_agree_bit_for_bit(zygote: Zygote, tmp_path: Path) -> None:
    """Two interpreters of their own, with other hash seeds, and the fork of a third."""
    undisturbed = reference(zygote, CNN)
    environment = {**os.environ, "RUNG_RUNS": str(tmp_path / "runs"), "PYTHONHASHSEED": "77"}
    command = [sys.executable, "-m", "rungbook.cli.main", "train", *CNN.split(), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1
    assert json.loads(done.stdout)["test"] == undisturbed.scores["test"]
    assert marks(only(tmp_path / "runs")) == undisturbed.marks
    other = zygote.start("train", *CNN.split(), "seed=1", runs=tmp_path / "other")
    assert other.wait() == 0
    assert marks(only(tmp_path / "other")) != undisturbed.marks


def interrupted(zygote: Zygote, runs: Path, words: str = CNN) -> Path:
    """A run that waits to be resumed, with two checkpoints."""
    command = zygote.start("train", *words.split(), runs=runs, slow=0.1)
    command.until(lambda: len(list(runs.glob("*/checkpoints/step-*/manifest.json"))) == 2)
    command.kill(signal.SIGINT)
    return only(runs)


@pytest.fixture(scope="module")
def waiting(zygote: Zygote, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that waits to be resumed; tests take copies."""
    return interrupted(zygote, tmp_path_factory.mktemp("waiting"))


def test_a_damaged_checkpoint_is_refused_by_name(zygote: Zygote, rung: Rung, waiting: Path) -> None:
    rung.quick()
    run = rung.use(waiting)
    latest, older = sorted((run / "checkpoints").glob("step-*"), reverse=True)
    damaged = latest / "tensors.safetensors"
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    answer = rung("resume")
    assert answer.code == 0, answer.text
    assert f"E301 damaged and not used: {latest.name}/tensors.safetensors" in answer.text
    assert f"from step {int(older.name.split('-')[1])}:" in answer.text
    same(run, reference(zygote, CNN))


def test_all_checkpoints_damaged(rung: Rung, waiting: Path) -> None:
    run = rung.use(waiting)
    for manifest in run.glob("checkpoints/step-*/manifest.json"):
        manifest.write_text("{}")
    answer = rung("resume --json")
    assert answer.code == 3
    assert answer.json["error"] == "E301"
    assert all(p.name in answer.json["message"] for p in (run / "checkpoints").glob("step-*"))


def test_changed_settings_are_refused_with_a_difference(rung: Rung, waiting: Path) -> None:
    run = rung.use(waiting)
    before = (run / "run.json").read_bytes()
    changes = {
        "lr": "0.5",
        "epochs": "9",
        "batch_size": "8",
        "seed": "3",
        "dropout": "0.1",
        "widths": "4,4",
        "optimizer": "sgd",
        "clip": "2",
    }
    for key, value in changes.items():
        answer = rung(f"resume 1 {key}={value} --json")
        assert answer.code == 2, key
        assert answer.json["error"] == "E204"
        assert f"{key} was " in answer.json["message"]
    both = rung("resume 1 lr=0.5 epochs=9 --json").json["message"]
    assert "lr was 0.005, now 0.5" in both
    assert "epochs was 3, now 9" in both
    assert rung("resume 1 lrr=0.5 --json").json["error"] == "E201"
    assert (run / "run.json").read_bytes() == before


def test_the_same_settings_said_again_are_fine(zygote: Zygote, rung: Rung, waiting: Path) -> None:
    rung.quick()
    run = rung.use(waiting)
    answer = rung("resume 1 lr=0.005 epochs=3 threads=1")
    assert answer.code == 0
    assert "last bits" not in answer.text
    same(run, reference(zygote, CNN))
    finished = rung("resume 1 --json")
    assert finished.code == 2
    assert "is finished" in finished.json["message"]
    assert "rung predict" in finished.json["fix"]
    assert "rung train digits" in finished.json["fix"]


def test_other_threads_device_and_versions_are_said(rung: Rung, waiting: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = rung.use(waiting)
    record = json.loads((run / "run.json").read_text())
    record["versions"]["torch"] = "2.0.0"
    (run / "run.json").write_text(json.dumps(record))
    monkeypatch.setattr("rungbook.recipes.session._carry_out", lambda *work: {})  # what is said comes before
    answer = rung("resume 1 threads=2")
    assert answer.code == 0
    assert "threads was 1 and is 2: the result may differ in the last bits" in answer.text
    assert "torch was 2.0.0" in answer.text
    assert json.loads((run / "run.json").read_text())["threads"] == 2


def test_changed_data_is_refused(rung: Rung) -> None:
    import tables

    rung.quick()
    body = tables.rows(80)
    tables.write(rung.here / "t.csv", body)
    assert rung("train t.csv --target ok epochs=1 hidden=2").code == 0
    (run,) = rung.runs.iterdir()
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**record, "status": "interrupted"}))
    tables.write(rung.here / "t.csv", body[:70])
    for command, fix in (("resume", "rung train"), ("predict 1", "rung eval"), ("eval 1", "rung eval")):
        answer = rung(f"{command} --json")
        assert answer.code == 3, command
        assert answer.json["error"] == "E117"
        assert fix in answer.json["fix"]
    assert "rows 80 -> 70" in rung("resume --json").json["message"]
    tables.write(rung.here / "t.csv", body)
    assert rung("predict 1").code == 0, "and with the data put back it goes on"


def test_two_processes_on_one_run(zygote: Zygote, rung: Rung) -> None:
    command = zygote.start("train", *CNN.split(), "epochs=200", runs=rung.runs)
    command.until(lambda: has_checkpoint(rung.runs))
    name = only(rung.runs).name
    for second in (f"resume {name}", f"runs delete {name} --yes"):
        answer = rung(f"{second} --json")
        assert answer.code == 4, second
        assert answer.json["error"] == "E402"
        assert f"process {command.pid} since 20" in answer.json["message"]
        assert answer.json["fix"].endswith(f"kill -INT {command.pid}")
    assert rung("runs --json").json["runs"][0]["status"] == "running"
    any_run = rung("resume")
    assert any_run.code == 2
    assert f"{name} is being trained right now" in any_run.text
    command.kill()
    assert (only(rung.runs) / "holder.json").exists(), "nobody could tidy up"
    assert rung("runs --json").json["runs"][0]["status"] == "interrupted", "a killed run is not taken for one at work"
    assert rung(f"runs delete {name} --yes").code == 0, "and when it has ended the run is free"


def test_a_full_disk_while_saving(zygote: Zygote) -> None:
    if zygote.no_disk:
        pytest.skip(f"no small disk can be made here: {zygote.no_disk}")
    inside, seen = zygote.folder / "disk" / "runs", zygote.disk / "runs"
    command = zygote.start("train", *CNN.split(), "--json", runs=inside, slow=0.3)
    command.until(lambda: has_checkpoint(seen))
    with open(zygote.disk / "filler", "wb", buffering=0) as f, suppress(OSError):
        while True:
            f.write(bytes(4096))
    assert command.wait() == 4, command.err
    problem = command.json
    assert (problem["error"], problem["exit"]) == ("E401", 4)
    assert "bytes" in problem["message"]
    assert "are free" in problem["message"]
    assert "rung resume" in problem["fix"]
    assert newest(only(seen) / "checkpoints") is not None, "the earlier checkpoint is whole"
    (zygote.disk / "filler").unlink()
    again = zygote.start("resume", runs=inside)
    assert again.wait() == 0, again.err
    same(only(seen), reference(zygote, CNN))


def test_a_disk_too_small_to_begin_on(rung: Rung, monkeypatch: pytest.MonkeyPatch) -> None:
    rung.quick()
    free = shutil.disk_usage(rung.here)._replace(free=10_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: free)
    answer = rung("train softmax_regression epochs=1 --json")
    assert answer.code == 4
    assert answer.json["error"] == "E401"
    assert "10,000 are free" in answer.json["message"]
