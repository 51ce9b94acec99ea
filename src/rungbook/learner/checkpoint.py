"""Checkpoints that are either whole or not there, and that notice a flipped bit.

A checkpoint is a folder: `tensors.safetensors`, `state.json` and `manifest.json` with the SHA-256 of both (and of itself: no common
weights format notices bit rot). It is written under a temporary name, synced, renamed, read back, and only then is an older one deleted.
Two generations are kept.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

from rungbook.errors import EnvironmentProblem, RungError
from rungbook.learner.pack import pack, unpack
from rungbook.learner.untrusted import read_small

FORMAT = 1
TENSORS, STATE, MANIFEST = "tensors.safetensors", "state.json", "manifest.json"
GENERATIONS = 2
TEMPORARY = ".writing-"


class DamagedCheckpoint(RungError):
    """A checkpoint's bytes are not those that were written: exit code 3."""

    exit_code = 3


@dataclass(frozen=True)
class Loaded:
    """A checkpoint read back: its state, folder, and what was refused on the way to it."""

    state: Any
    folder: Path
    refused: list[str]


def write_bytes(path: Path, content: bytes) -> None:
    """Write and sync a file; the caller renames."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Make renames inside `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def disk_errors(folder: Path, needed: int) -> Iterator[None]:
    """Turn a full disk or a forbidden folder into a message with needed and free bytes."""
    try:
        yield
    except OSError as error:
        if isinstance(error, RungError):
            raise
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise full(folder, needed) from error
        raise EnvironmentProblem(
            "E405", f"{folder} cannot be written: {error.strerror or error}.", "Set RUNG_RUNS to a folder you may write."
        ) from error


def full(folder: Path, needed: int) -> EnvironmentProblem:
    """The message of a full disk; earlier checkpoints are untouched."""
    free = shutil.disk_usage(folder if folder.exists() else folder.parent).free
    return EnvironmentProblem(
        "E401",
        f"Saving to {folder} needs {needed:,} bytes, {free:,} are free. Earlier checkpoints are untouched.",
        "Free some space, or set RUNG_RUNS to a larger disk; then: rung resume",
    )


def write_atomically(path: Path, content: bytes) -> None:
    """A file that is either the old or the new content, whatever happens."""
    temporary = path.with_name(f"{TEMPORARY}{os.getpid()}-{path.name}")
    with disk_errors(path.parent, len(content)):
        try:
            write_bytes(temporary, content)
            os.replace(temporary, path)
            sync_folder(path.parent)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise


def write_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """Tensors as one safetensors file, atomically; tied ones are stored under each of their names."""
    plain = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
    write_atomically(path, safetensors.torch.save(plain))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _manifest(files: dict[str, bytes]) -> bytes:
    entries = {name: {"sha256": _digest(content), "bytes": len(content)} for name, content in files.items()}
    return _signed({"format": FORMAT, "files": entries})


def _signed(body: dict[str, Any]) -> bytes:
    """The manifest as it is written: with its own SHA-256, and in one form only, so that any other byte is noticed."""
    return json.dumps({**body, "sha256": _digest(json.dumps(body, sort_keys=True).encode())}, indent=1, sort_keys=True).encode()


def save(folder: Path, state: Any, extra: dict[str, bytes] | None = None) -> None:
    """Write a checkpoint folder; if one of that name exists, it is replaced once the new one is safe.

    Args:
        folder: its final place; the parent exists.
        state: any nesting of dicts, lists, numbers, strings and tensors.
        extra: further files for the folder.

    Raises:
        EnvironmentProblem: E401 disk full, E405 not writable; what was there before is still there.
    """
    tree, tensors = pack(state)
    files = {TENSORS: safetensors.torch.save(tensors), STATE: json.dumps(tree).encode(), **(extra or {})}
    needed = sum(map(len, files.values())) + 4096
    temporary = folder.with_name(f"{TEMPORARY}{os.getpid()}-{folder.name}")
    aside = folder.with_name(f"{TEMPORARY}old-{os.getpid()}-{folder.name}")
    with disk_errors(folder.parent, needed):
        if shutil.disk_usage(folder.parent).free < needed:
            raise full(folder.parent, needed)
        for leftover in (temporary, aside):  # of a process that was killed and had this one's number
            shutil.rmtree(leftover, ignore_errors=True)
        try:
            os.mkdir(temporary)
            for name, content in files.items():
                write_bytes(temporary / name, content)
            write_bytes(temporary / MANIFEST, _manifest(files))
            sync_folder(temporary)
            read_files(temporary)  # what the disk gives back is what was meant
            if folder.exists():
                os.replace(folder, aside)
            os.replace(temporary, folder)
            sync_folder(folder.parent)
        except BaseException:
            if aside.exists() and not folder.exists():
                os.replace(aside, folder)
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        shutil.rmtree(aside, ignore_errors=True)


def read_files(folder: Path) -> dict[str, bytes]:
    """All files of a checkpoint, each checked against the manifest.

    Raises:
        DamagedCheckpoint: naming the file that is missing, cut short or changed.
    """

    def damaged(what: str) -> DamagedCheckpoint:
        return DamagedCheckpoint("E301", f"{folder.name}/{what}", "An earlier checkpoint is used if there is one.")

    try:
        written = read_small(folder / MANIFEST)
        manifest = json.loads(written)
        body = {"format": manifest["format"], "files": manifest["files"]}
        if manifest["sha256"] != _digest(json.dumps(body, sort_keys=True).encode()):
            raise damaged(f"{MANIFEST} was changed.")
        entries = {str(name): (int(entry["bytes"]), str(entry["sha256"])) for name, entry in manifest["files"].items()}
        newer = int(manifest["format"]) > FORMAT
    except DamagedCheckpoint:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise damaged(f"{MANIFEST} cannot be read ({type(error).__name__}).") from error
    if newer:
        raise EnvironmentProblem(
            "E304", f"{folder.name} has format {manifest['format']}, this rungbook reads up to {FORMAT}.", "pip install -U rungbook"
        )
    if written != _signed(body):
        raise damaged(f"{MANIFEST} was changed.")
    files = {}
    for name, (size, digest) in entries.items():
        path = folder / name
        if Path(name).name != name or not path.is_file():
            raise damaged(f"{name} is missing.")
        if path.stat().st_size != size:
            raise damaged(f"{name} has {path.stat().st_size:,} of {size:,} bytes.")
        try:
            files[name] = path.read_bytes()
        except OSError as error:  # a bad sector
            raise damaged(f"{name} cannot be read ({error.strerror or error}).") from error
        if _digest(files[name]) != digest:
            raise damaged(f"{name} was changed: its SHA-256 is not the manifest's.")
    if not {TENSORS, STATE} <= files.keys():
        raise damaged("manifest.json names no state.")
    return files


def read(folder: Path) -> tuple[Any, dict[str, bytes]]:
    """State and files of one checkpoint. Raises DamagedCheckpoint."""
    files = read_files(folder)
    try:
        return unpack(json.loads(files[STATE]), safetensors.torch.load(files[TENSORS])), files
    except (ValueError, KeyError, TypeError, RecursionError, safetensors.SafetensorError) as error:
        raise DamagedCheckpoint("E301", f"{folder.name} holds no state ({type(error).__name__}).", "Use an earlier checkpoint.") from error


def generations(folder: Path) -> list[Path]:
    """Checkpoints of training in `folder`, newest first."""
    return sorted((p for p in folder.glob("step-*") if p.is_dir()), key=_age, reverse=True)


def _age(path: Path) -> tuple[str, int]:
    """What generations are sorted by: step and epoch, then how often that step was saved."""
    name, _, again = path.name.partition(".")
    return name, int(again) if again.isdecimal() else 0


def save_generation(folder: Path, state: Any, *, step: int, epoch: int) -> Path:
    """Save as the newest generation; once it has been read back, all are deleted but this one and the newest before it.

    A checkpoint of the same step is never replaced but stands beside the new one until that is safe. Those of later steps belong to a
    training that was given up, or are damaged: they go as well.
    """
    name = f"step-{step:08d}-{epoch:05d}"
    times = [again for same, again in map(_age, generations(folder)) if same == name]
    target = folder / (f"{name}.{max(times) + 1}" if times else name)
    save(target, state)
    there = generations(folder)
    place = there.index(target)
    for old in there[:place] + there[place + GENERATIONS :]:
        shutil.rmtree(old, ignore_errors=True)
    return target


def newest(folder: Path) -> Loaded | None:
    """The newest checkpoint that is whole; None if there never was one.

    Raises:
        DamagedCheckpoint: there are checkpoints, and all are damaged.
    """
    refused: list[str] = []
    for candidate in generations(folder):
        try:
            return Loaded(read(candidate)[0], candidate, refused)
        except DamagedCheckpoint as error:
            refused.append(error.message)
    if refused:
        raise DamagedCheckpoint("E301", f"All checkpoints in {folder} are damaged: {' '.join(refused)}", "Start again: rung train ...")
    return None


def clear_leftovers(folder: Path) -> None:
    """Remove what a killed process left half-written."""
    for path in folder.glob(f"{TEMPORARY}*"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
