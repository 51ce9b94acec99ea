"""Checkpoints are whole or not there, a changed byte is noticed, and the earlier one is there until the new one is safe.

The controls: overwriting in place leaves nothing that loads; safetensors alone loads most damaged files without a word.
"""

from __future__ import annotations

import builtins
import errno
import json
import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from rungbook.errors import EnvironmentProblem
from rungbook.learner import checkpoint
from rungbook.learner.checkpoint import MANIFEST, STATE, TEMPORARY, TENSORS, DamagedCheckpoint, generations, newest, save, save_generation
from rungbook.learner.pack import digest

CALLS = ("open", "write", "fsync", "close", "replace", "mkdir", "unlink", "rmdir")


def state(step: int) -> dict[str, Any]:
    """Weights, an optimiser's state and numbers, all different at each step."""
    generator = torch.Generator().manual_seed(step)
    return {
        "model": {"weight": torch.randn(16, 8, generator=generator), "bias": torch.randn(16, generator=generator), "n": torch.tensor(step)},
        "optimizer": {"state": {0: {"step": torch.tensor(float(step)), "exp_avg": torch.randn(16, 8, generator=generator)}}},
        "position": {"step": step, "epoch": 0},
        "history": [{"epoch": i, "loss": 1 / (i + 1)} for i in range(step % 7)],
    }


def save_step(folder: Path, step: int) -> Path:
    return save_generation(folder, state(step), step=step, epoch=0)


class Dead(BaseException):
    """The process is gone: nothing after this happens."""


@contextmanager
def failing(at: int, error: BaseException | None, *, dead: bool = False, torn: bool = False) -> Iterator[list[str]]:
    """Count calls of the operating system; fail in call `at`, and where `dead` in every one after it.

    `torn`: a write that fails has written half.
    """
    calls: list[str] = []
    originals = {name: getattr(os, name) for name in CALLS}

    def watched(name: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            calls.append(name)
            if error is not None and (len(calls) == at + 1 or (dead and len(calls) > at)):
                if torn and name == "write" and len(calls) == at + 1:
                    originals["write"](args[0], bytes(args[1])[: len(args[1]) // 2])
                raise error
            return originals[name](*args, **kwargs)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in CALLS:
            patch.setattr(os, name, watched(name))
        yield calls


def calls_of_a_save(folder: Path) -> int:
    for step in (1, 2):
        save_step(folder, step)
    with failing(0, None) as calls:
        save_step(folder, 3)
    assert {"open", "write", "fsync", "replace", "mkdir", "rmdir"} <= set(calls), "what is to fail is really called"
    return len(calls)


ERRORS = {
    "disk full": OSError(errno.ENOSPC, "No space left on device"),
    "input/output error": OSError(errno.EIO, "Input/output error"),
    "forbidden": PermissionError(errno.EACCES, "Permission denied"),
    "Ctrl-C": KeyboardInterrupt(),
    "killed": Dead(),
    "killed, half written": Dead(),
}


@pytest.mark.parametrize("same_step", [False, True], ids=["next step", "same step again"])
@pytest.mark.parametrize("name", ERRORS)
def test_a_failure_at_any_call(name: str, same_step: bool, tmp_path: Path) -> None:
    dead, torn = name.startswith("killed"), name.endswith("written")
    steps = calls_of_a_save(tmp_path / "count") if (tmp_path / "count").mkdir() is None else 0
    for k in range(steps):
        folder = tmp_path / str(k)
        folder.mkdir()
        for step in (1, 2):
            save_step(folder, step)
        new = 2 if same_step else 3
        before, after = digest(state(2)), digest(state(new))
        with failing(k, ERRORS[name], dead=dead, torn=torn) as calls, suppress(Dead, KeyboardInterrupt, EnvironmentProblem):
            save_step(folder, new)
        if len(calls) <= k:
            continue  # the same step again has fewer calls
        found = newest(folder)
        assert found is not None, f"call {k} ({calls[k]})"
        assert digest(found.state) in (before, after)
        assert found.refused == [], "nothing half-written has a checkpoint's name"
        checkpoint.clear_leftovers(folder)
        assert not list(folder.glob(f"{TEMPORARY}*"))
        again = save_step(folder, 4)  # nothing left over stands in the way
        found = newest(folder)
        assert found is not None
        assert found.folder == again
        assert len(generations(folder)) == 2


def test_the_only_checkpoint_survives_being_saved_again(tmp_path: Path) -> None:
    """As Ctrl-C does, right after the clock's own checkpoint of the same step."""
    (tmp_path / "count").mkdir()
    for k in range(calls_of_a_save(tmp_path / "count")):
        folder = tmp_path / str(k)
        folder.mkdir()
        save_step(folder, 2)
        with failing(k, Dead(), dead=True), suppress(Dead):
            save_step(folder, 2)
        found = newest(folder)
        assert found is not None, f"call {k}"
        assert digest(found.state) == digest(state(2))


def test_control_overwriting_in_place(tmp_path: Path) -> None:
    """What most loops do: for some moments of the kill nothing loads afterwards."""

    def overwrite(folder: Path, step: int) -> None:
        checkpoint.write_bytes(folder / "state.pt", safetensors.torch.save({"w": state(step)["model"]["weight"]}))

    lost = 0
    with failing(0, None) as calls:
        overwrite(tmp_path, 1)
    for k in range(len(calls)):
        with failing(k, Dead(), dead=True, torn=True), suppress(Dead):
            overwrite(tmp_path, 2)
        try:
            safetensors.torch.load((tmp_path / "state.pt").read_bytes())
        except safetensors.SafetensorError:
            lost += 1
    assert lost > 0


def test_errors_are_told_with_bytes(tmp_path: Path) -> None:
    save_step(tmp_path, 1)
    with failing(3, ERRORS["disk full"]), pytest.raises(EnvironmentProblem, match=r"E401 .* needs [\d,]+ bytes, [\d,]+ are free") as caught:
        save_step(tmp_path, 2)
    assert caught.value.exit_code == 4
    with failing(3, ERRORS["forbidden"]), pytest.raises(EnvironmentProblem, match=r"E405 .* cannot be written: Permission denied"):
        save_step(tmp_path, 2)


def test_too_little_room_is_seen_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_step(tmp_path, 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10_000, 9_000, 1_000))
    with failing(0, None) as calls, pytest.raises(EnvironmentProblem, match="1,000 are free"):
        save_step(tmp_path, 2)
    assert calls == []
    monkeypatch.undo()
    assert digest(newest(tmp_path).state) == digest(state(1))  # type: ignore[union-attr]


FULL_DISK = """
import shutil, sys
from pathlib import Path
import torch
from rungbook.errors import RungError
from rungbook.learner import checkpoint
usage = shutil.disk_usage
for seen in (True, False):
    folder = Path(sys.argv[1], str(seen))
    folder.mkdir()
    for step in (1, 2, 3):
        checkpoint.save_generation(folder, {"w": torch.full((90_000,), float(step))}, step=step, epoch=0)
    (folder / "junk").write_bytes(b"x" * (usage(folder).free - 200_000))
    if not seen:  # as if another process took the room in the meantime
        shutil.disk_usage = lambda path: type("Usage", (), {"free": 1 << 30})
    try:
        checkpoint.save_generation(folder, {"w": torch.full((90_000,), 4.0)}, step=4, epoch=0)
    except RungError as error:
        print(error.code, error.exit_code, error)
    shutil.disk_usage = usage
    (folder / "junk").unlink()
    found = checkpoint.newest(folder)
    print(found.folder.name, float(found.state["w"][0]), len(found.refused), sorted(p.name for p in folder.iterdir()))
    checkpoint.save_generation(folder, {"w": torch.full((90_000,), 9.0)}, step=9, epoch=0)
    print(checkpoint.newest(folder).folder.name)
    shutil.rmtree(folder)
"""


def test_a_full_disk(tmp_path: Path) -> None:
    """A file system of 2.9 MB: saving fails with needed and free bytes, and the previous checkpoint is there."""
    if sys.platform != "linux" or subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode:
        pytest.skip("a file system of one's own (unshare -rm) is not permitted here")
    mount = 'mount -t tmpfs -o size=2900k none "$1" && shift && exec "$@"'
    command = ["unshare", "-rm", "sh", "-c", mount, "sh", str(tmp_path), sys.executable, "-c", FULL_DISK, str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr
    lines = ran.stdout.splitlines()
    assert len(lines) == 6
    for refused, kept, after in (lines[:3], lines[3:]):
        assert re.match(r"E401 4 E401 Saving to .* needs 36\d,\d{3} bytes, [\d,]+ are free\. Earlier checkpoints are untouched\.", refused)
        assert kept == "step-00000003-00000 3.0 0 ['step-00000002-00000', 'step-00000003-00000']"
        assert after == "step-00000009-00000"


# ---------------------------------------------------------------- damage


def offsets(content: bytes, name: str, rng: random.Random) -> list[int]:
    """A place of every kind: first and last byte, header, first, middle and last byte of each tensor, anywhere."""
    found = [0, len(content) - 1, rng.randrange(len(content))]
    if name == TENSORS:
        header = int.from_bytes(content[:8], "little")
        found += [1, 7, 8, 8 + header // 2, 7 + header]
        for entry in json.loads(content[8 : 8 + header]).values():
            if "data_offsets" in entry:
                start, end = (8 + header + o for o in entry["data_offsets"])
                found += [start, (start + end) // 2, end - 1]
    return found


def flip(content: bytes, at: int, rng: random.Random) -> bytes:
    return content[:at] + bytes([content[at] ^ (1 << rng.randrange(8))]) + content[at + 1 :]


def truncate(content: bytes, at: int, rng: random.Random) -> bytes:
    return content[:at]


def zero(content: bytes, at: int, rng: random.Random) -> bytes:
    n = rng.choice([1, 16, 512])
    return content[:at] + bytes(min(n, len(content) - at)) + content[at + n :]


def append(content: bytes, at: int, rng: random.Random) -> bytes:
    return content + rng.choice([b"\0", b"\n", b" ", b"{}", content[at : at + 64]])


def swap(content: bytes, at: int, rng: random.Random) -> bytes:
    other, n = rng.randrange(len(content)), rng.choice([1, 8])
    low, high = sorted((at, other))
    if high < low + n:
        return content
    return content[:low] + content[high : high + n] + content[low + n : high] + content[low : low + n] + content[high + n :]


DAMAGE = {"flip": flip, "truncate": truncate, "zero": zero, "append": append, "swap": swap}


def silently_loaded(content: bytes) -> bool:
    """Whether safetensors reads the bytes without complaint."""
    try:
        safetensors.torch.load(content)
    except Exception:
        return False
    return True


def damage_all(folder: Path, rounds: int, rng: random.Random) -> tuple[int, int, int]:
    """Damage the newer of two checkpoints in every way: (cases, cases in tensors, of these loaded silently by safetensors)."""
    save_step(folder, 1)
    target = save_step(folder, 2)
    good = digest(state(1))
    cases = tensors = silent = 0
    for _ in range(rounds):
        for name in (TENSORS, STATE, MANIFEST):
            content = (target / name).read_bytes()
            for at in offsets(content, name, rng):
                kind = rng.choice(list(DAMAGE))
                bad = DAMAGE[kind](content, at, rng)
                if bad == content:
                    continue
                (target / name).write_bytes(bad)
                found = newest(folder)
                assert found is not None, f"{kind} at {at} of {name}"
                assert digest(found.state) == good, f"{kind} at {at} of {name}: {found.folder.name} was used"
                assert len(found.refused) == 1
                assert f"{target.name}/{name}" in found.refused[0], found.refused[0]
                cases += 1
                if name == TENSORS and kind == "flip":
                    tensors += 1
                    silent += silently_loaded(bad)
            (target / name).write_bytes(content)
    found = newest(folder)
    assert found is not None
    assert found.folder == target
    assert found.refused == [], "undamaged again"
    return cases, tensors, silent


def test_every_damage_is_refused_by_name_and_the_earlier_one_used(tmp_path: Path) -> None:
    cases, tensors, silent = damage_all(tmp_path, 12, random.Random(0))
    assert cases > 300
    assert silent > tensors / 2, "control: safetensors alone loads most flipped bits without a word"


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_ten_thousand_damages(tmp_path: Path) -> None:
    cases, tensors, silent = damage_all(tmp_path, 400, random.Random())
    print(f"{cases} damages refused; safetensors alone loaded {silent} of {tensors} flipped files")
    assert cases >= 10_000


def test_files_of_two_generations_mixed_or_missing(tmp_path: Path) -> None:
    one, two = save_step(tmp_path, 1), save_step(tmp_path, 2)
    for name in (TENSORS, STATE, MANIFEST):
        kept = (two / name).read_bytes()
        for change in (lambda p: p.write_bytes((one / p.name).read_bytes()), Path.unlink, lambda p: (p.unlink(), p.mkdir())):
            change(two / name)
            found = newest(tmp_path)
            assert found is not None
            assert found.folder == one
            assert two.name in found.refused[0]
            if (two / name).is_dir():
                (two / name).rmdir()
            (two / name).write_bytes(kept)
    both = [*one.iterdir(), *two.iterdir()]
    for path in both:
        path.write_bytes(flip(path.read_bytes(), 0, random.Random(0)))
    with pytest.raises(DamagedCheckpoint, match=rf"{two.name}/.*{one.name}/"):
        newest(tmp_path)


def test_a_bad_sector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = save_step(tmp_path, 1), save_step(tmp_path, 2)
    read = Path.read_bytes

    def read_bytes(path: Path) -> bytes:
        if path == two / TENSORS:
            raise OSError(errno.EIO, "Input/output error")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    found = newest(tmp_path)
    assert found is not None
    assert found.folder == one
    assert "tensors.safetensors cannot be read (Input/output error)" in found.refused[0]


def test_what_the_disk_gives_back_is_compared_before_the_old_one_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that swallows a byte: the new checkpoint is never named one, the old ones stay."""
    save_step(tmp_path, 1)
    write = checkpoint.write_bytes
    monkeypatch.setattr(checkpoint, "write_bytes", lambda path, content: write(path, content[:-1] if path.name == TENSORS else content))
    with pytest.raises(DamagedCheckpoint, match=r"tensors\.safetensors has"):
        save_step(tmp_path, 2)
    monkeypatch.undo()
    assert [p.name for p in tmp_path.iterdir()] == ["step-00000001-00000"]


def test_generations(tmp_path: Path) -> None:
    assert newest(tmp_path) is None
    for step in range(1, 6):
        save_step(tmp_path, step)
    assert [p.name for p in generations(tmp_path)] == ["step-00000005-00000", "step-00000004-00000"]
    for expected in (["5-00000.1", "5-00000"], ["5-00000.2", "5-00000.1"]):
        save_step(tmp_path, 5)
        assert [p.name for p in generations(tmp_path)] == [f"step-0000000{e}" for e in expected]
    save_step(tmp_path, 3)  # training went back, or began anew: what is later is of another one
    assert [p.name for p in generations(tmp_path)] == ["step-00000003-00000"]
    save_step(tmp_path, 4)
    assert [p.name for p in generations(tmp_path)] == ["step-00000004-00000", "step-00000003-00000"]


def test_training_goes_back_behind_a_damaged_checkpoint(tmp_path: Path) -> None:
    """The damaged one takes no place: two good ones are there again after two saves."""
    save_step(tmp_path, 5)
    (save_step(tmp_path, 10) / STATE).write_bytes(b"{}")
    found = newest(tmp_path)
    assert found is not None
    assert found.state["position"]["step"] == 5
    for step in (7, 9):
        save_step(tmp_path, step)
    assert [p.name for p in generations(tmp_path)] == ["step-00000009-00000", "step-00000007-00000"]


def test_a_process_with_the_number_of_a_killed_one(tmp_path: Path) -> None:
    """In a container every training may be process 7: what the killed one left must not stop it."""
    target = "step-00000002-00000"
    for left in (f"{TEMPORARY}{os.getpid()}-{target}", f"{TEMPORARY}old-{os.getpid()}-{target}"):
        (tmp_path / left).mkdir()
        (tmp_path / left / TENSORS).write_bytes(b"half")
    save_step(tmp_path, 2)
    assert [p.name for p in tmp_path.iterdir()] == [target]


def test_a_newer_format_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "FORMAT", 2)
    save_step(tmp_path, 1)
    monkeypatch.undo()
    with pytest.raises(EnvironmentProblem, match=r"E304 .* has format 2, this rungbook reads up to 1"):
        newest(tmp_path)


def test_one_file_is_old_or_new(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    checkpoint.write_atomically(path, b"old")
    with failing(0, None) as calls:
        checkpoint.write_atomically(path, b"old")
    for error in ERRORS.values():
        for k in range(len(calls)):
            with failing(k, error, dead=isinstance(error, Dead), torn=True), suppress(Dead, KeyboardInterrupt, EnvironmentProblem):
                checkpoint.write_atomically(path, b"new")
            assert path.read_bytes() in (b"old", b"new")
            checkpoint.clear_leftovers(tmp_path)
            assert [p.name for p in tmp_path.iterdir()] == ["run.json"]
            checkpoint.write_atomically(path, b"old")


def test_replacing_a_folder_keeps_its_extra_files(tmp_path: Path) -> None:
    folder = tmp_path / "final"
    for n in (1, 2):
        save(folder, state(n), {"model.json": b"%d" % n})
        found, files = checkpoint.read(folder)
        assert digest(found) == digest(state(n))
        assert files["model.json"] == b"%d" % n
    assert [p.name for p in tmp_path.iterdir()] == ["final"]
    (folder / "model.json").write_bytes(b"3")
    with pytest.raises(DamagedCheckpoint, match=r"final/model\.json was changed"):
        checkpoint.read(folder)


def test_nothing_is_executed_while_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_step(tmp_path, 1)
    monkeypatch.setattr(builtins, "eval", None)
    monkeypatch.setattr(builtins, "exec", None)
    assert newest(tmp_path) is not None
