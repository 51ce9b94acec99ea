"""Fetching the registry's files: checked by size and digest, in the cache whole or not at all, once for all processes.

`resume` brings the bytes, continuing where an earlier try was cut; pooch checks and renames them into place; a lock for each data set
lets two processes share one download.
"""

from __future__ import annotations

import errno
import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rungbook.data.registry import Download, RemoteFile
from rungbook.data.resume import Failed, Progress, complete, megabytes, note_of, published
from rungbook.errors import EnvironmentProblem

LOCK_SECONDS = 3600.0
"""How long to wait for another process that is downloading the same set."""


def cache_folder() -> Path:
    """Where downloads are kept: `RUNG_CACHE`, or the user's cache folder."""
    if folder := os.environ.get("RUNG_CACHE"):
        return Path(folder).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("rungbook"))


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch(download: Download, *, show: bool | None = None) -> dict[str, Path]:
    """The files of a data set, from the cache or else from the network.

    Args:
        download: entry of the registry.
        show: whether to draw a progress bar; by default if standard error is a terminal.

    Returns:
        File name -> path; each file has the size and digest of the registry.

    Raises:
        EnvironmentProblem: E403 no address gave the file, E401 the disk is full, E405 the cache cannot be written.
    """
    folder = cache_folder() / "data" / download.name
    paths = {file.name: folder / file.name for file in download.files}
    if all(file.is_at(paths[file.name]) for file in download.files):
        return paths  # without the lock, so that a cache that may only be read serves too
    with disk_problems(download.name, download.size, folder):
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder, download.name):
            for leftover in folder.glob("tmp*"):  # pooch's temporary name, where a process was killed
                leftover.unlink(missing_ok=True)
            for file in download.files:
                _fetch_file(download, file, folder, show)
    return paths


@contextmanager
def locked(folder: Path, name: str) -> Iterator[None]:
    """Hold the lock of a data set's cache folder; wait for the process that has it."""
    from filelock import FileLock, Timeout

    lock = FileLock(folder / ".lock", timeout=LOCK_SECONDS)
    try:
        lock.acquire()
    except Timeout as error:
        raise EnvironmentProblem(
            "E403",
            f"Another process has been downloading {name} for more than {LOCK_SECONDS / 60:.0f} minutes.",
            f"Wait for it or stop it; the lock is {folder / '.lock'}",
        ) from error
    try:
        yield
    finally:
        lock.release()


def _fetch_file(download: Download, file: RemoteFile, folder: Path, show: bool | None) -> None:
    """One file into the folder: each of its addresses in turn."""
    import pooch

    pooch.get_logger().setLevel("WARNING")  # it announces each download; the progress bar does so already
    part = folder / f"{file.name}.part"
    failures = []
    for url in file.urls:
        with progress_bar(file, show) as progress:
            try:
                pooch.retrieve(
                    url,
                    known_hash=":".join(file.digest),
                    fname=file.name,
                    path=folder,
                    downloader=_Downloader(file, part, progress),
                )
                return
            except Failed as failure:
                failures.append(f"{url}: {failure}")
    kept = f" {megabytes(part.stat().st_size)} are kept, the next try continues there." if part.exists() else ""
    raise EnvironmentProblem(
        "E403",
        f"{file.name} ({published(file.size)}) of {download.name} could not be downloaded. {'; '.join(failures)}.{kept}",
        f"Try again later, or put the file at {folder / file.name}, or set RUNG_DATA to a folder that holds {download.name}/{file.name}",
    )


class _Downloader:
    """What pooch calls with an address and a temporary file: fills our part, then gives it that name."""

    def __init__(self, file: RemoteFile, part: Path, progress: Progress) -> None:
        self.file, self.part, self.progress = file, part, progress

    def __call__(self, url: str, output_file: str, pooch: Any, check_only: bool | None = False) -> bool | None:
        complete(url, self.part, self.file, self.progress)
        os.replace(self.part, output_file)
        note_of(self.part).unlink(missing_ok=True)
        return None


@contextmanager
def disk_problems(name: str, needed: int, folder: Path) -> Iterator[None]:
    """Say what it means when `folder` cannot take the `needed` bytes of a data set."""
    try:
        yield
    except EnvironmentProblem:
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise EnvironmentProblem(
                "E401",
                f"The disk is full: {name} needs {published(needed)} in {folder}.",
                "Free some space, or set RUNG_CACHE to a folder on another disk",
            ) from error
        raise EnvironmentProblem(
            "E405", f"The cache folder {folder} cannot be used: {error.strerror or error}.", "Set RUNG_CACHE to a folder you can write"
        ) from error


@contextmanager
def progress_bar(file: RemoteFile, show: bool | None) -> Iterator[Progress]:
    """A progress bar on the terminal, or nothing."""
    if not (sys.stderr.isatty() if show is None else show):
        yield lambda done: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(file.name, total=file.size or None)
        yield lambda done: bar.update(task, completed=done)
