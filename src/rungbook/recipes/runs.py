"""Run folders: `runs/NNN-name/` with everything about one training, written so that nothing is ever half there."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rungbook.errors import EnvironmentProblem, UsageError, did_you_mean
from rungbook.learner.checkpoint import disk_errors, write_atomically
from rungbook.learner.pack import restore_floats, strict_json
from rungbook.learner.untrusted import read_small

FORMAT = 1
"""Version of `run.json`; `migrations` lead up to it."""

RECORDED = ("torch", "numpy", "rungbook", "scikit-learn", "pandas")
"""Packages whose versions a run records: an allow-list, so that nothing of the user's environment gets into a run."""


def runs_folder() -> Path:
    """Where runs are kept: `RUNG_RUNS`, else ./runs."""
    return Path(os.environ.get("RUNG_RUNS") or "runs").expanduser()


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that can change a result."""
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for package in RECORDED:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


SHAPES: dict[str, type] = {"recipe": str, "settings": dict, "data": dict, "versions": dict, "threads": int, "result": dict, "tags": list}
"""What `run.json` holds under these names, where it holds anything."""


class Run:
    """One run folder.

    Args:
        path: the folder; it holds a `run.json`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def name(self) -> str:
        """The folder's name, as NNN-recipe."""
        return self.path.name

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def final(self) -> Path:
        """The finished model."""
        return self.checkpoints / "final"

    def record(self) -> dict[str, Any]:
        """What `run.json` says, brought to today's format.

        Raises:
            UsageError: E204 the folder is no run or its record is damaged.
            EnvironmentProblem: E304 a later rungbook wrote it.
        """
        try:
            record = json.loads(read_small(self.path / "run.json"), object_hook=restore_floats)
            version = int(record["format"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UsageError(
                "E204", f"{self.path} holds no readable run.json ({type(error).__name__}).", "List the runs: rung runs"
            ) from error
        if version > FORMAT:
            raise EnvironmentProblem(
                "E304", f"{self.name} has format {version}, this rungbook reads up to {FORMAT}.", "pip install -U rungbook"
            )
        for step in range(version, FORMAT):
            record = MIGRATIONS[step](record)
        wrong = [k for k, kind in SHAPES.items() if not isinstance(record.get(k, kind()), kind)]
        if wrong:
            raise UsageError(
                "E204", f"run.json of {self.name} was changed by hand: {wrong[0]} is no {SHAPES[wrong[0]].__name__}.", "rung runs"
            )
        return record

    def update(self, **facts: Any) -> dict[str, Any]:
        """Merge facts into `run.json`, atomically."""
        record = {**self.record(), **facts}
        write_atomically(self.path / "run.json", (strict_json(record, indent=1) + "\n").encode())
        return record

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the run for this process.

        Raises:
            EnvironmentProblem: E402 another process holds it; its number and start are named.
        """
        from filelock import FileLock, Timeout

        holder = self.path / "holder.json"
        lock = FileLock(self.path / ".lock", timeout=0)
        try:
            lock.acquire()
        except Timeout as error:
            pid, since = self.holder() or (0, "")
            who = f"process {pid} since {since}" if pid else "another process"
            fix = f"Wait for it, or stop it: kill -INT {pid}" if pid else "Wait for it, or stop it."
            raise EnvironmentProblem("E402", f"{self.name} is in use by {who}.", fix) from error
        except OSError as error:
            with disk_errors(self.path, 4096):
                raise error from None
        try:
            since = datetime.now(UTC).isoformat(timespec="seconds")
            write_atomically(holder, json.dumps({"pid": os.getpid(), "since": since}).encode())
            yield
        finally:
            holder.unlink(missing_ok=True)
            lock.release()

    def holder(self) -> tuple[int, str] | None:
        """Number and start of the process that works on the run; None if none does."""
        from filelock import FileLock, Timeout

        try:
            who = json.loads((self.path / "holder.json").read_text())
            pid, since = int(who["pid"]), str(who["since"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        try:
            FileLock(self.path / ".lock", timeout=0).acquire().lock.release()  # a killed process leaves the file, not the lock
        except (Timeout, OSError):
            return pid, since
        return None


MIGRATIONS: dict[int, Any] = {}
"""Format n -> function that makes a record of format n + 1 of it."""


def create_run(name: str, facts: dict[str, Any]) -> Run:
    """A new folder with the next free number and a first `run.json`."""
    folder = runs_folder()
    slug = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")[:40] or "run"
    with disk_errors(folder, 4096):
        folder.mkdir(parents=True, exist_ok=True)
        number = max((_number(p.name) for p in folder.iterdir()), default=0) + 1
        while True:
            try:
                path = folder / f"{number:03d}-{slug}"
                path.mkdir()
                if any(_number(p.name) == number and p != path for p in folder.iterdir()):
                    path.rmdir()  # another process took the number under another name
                    raise FileExistsError
                break
            except FileExistsError:
                number += 1
    run = Run(path.resolve())
    record = {"format": FORMAT, "name": run.name, "created": datetime.now(UTC).isoformat(timespec="seconds"), "status": "started", **facts}
    try:
        write_atomically(run.path / "run.json", (strict_json(record, indent=1) + "\n").encode())
    except BaseException:
        shutil.rmtree(run.path, ignore_errors=True)  # a folder without a record would be no run
        raise
    return run


def _number(name: str) -> int:
    match = re.match(r"(\d+)-", name)
    return int(match[1]) if match else 0


def all_runs() -> list[Run]:
    """The runs there are, oldest first."""
    folder = runs_folder()
    if not folder.is_dir():
        return []
    found = [p for p in folder.iterdir() if (p / "run.json").is_file()]
    return [Run(p.resolve()) for p in sorted(found, key=lambda p: (_number(p.name), p.name))]


def find_run(reference: str) -> Run:
    """A run by path, folder name, number or the name of its recipe (the newest).

    Raises:
        UsageError: E201, with the nearest name.
    """
    path = Path(reference)
    if (path / "run.json").is_file():
        return Run(path.resolve())
    runs = all_runs()
    if reference.isdigit():
        matching = [r for r in runs if _number(r.name) == int(reference)]
    else:
        matching = [r for r in runs if reference in (r.name, r.name.partition("-")[2])]
    if matching:
        return matching[-1]
    hint = did_you_mean(reference, [r.name for r in runs]) if runs else "There are no runs yet: rung train digits"
    raise UsageError("E201", f'There is no run "{reference}" in {runs_folder()}.', hint)


def delete_run(run: Run) -> None:
    """Remove a run's folder; refused while another process uses it."""
    with run.lock():
        aside = run.path.with_name(f".deleting-{os.getpid()}-{run.name}")
        os.replace(run.path, aside)  # gone at once, even if removing the files is cut short
    shutil.rmtree(aside, ignore_errors=True)


def looks_at(mark: str) -> int:
    """How often the test samples with this mark (`Data.test_mark`) have been looked at by the runs there are."""
    total = 0
    for run in all_runs():
        try:
            record = run.record()
        except (UsageError, EnvironmentProblem):
            continue
        data = record.get("data", {})
        if data.get("test", data.get("fingerprint")) == mark:
            total += int(record.get("looks", 0))
    return total
