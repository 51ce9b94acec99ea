"""Bringing a published file of weights: from `RUNG_DATA/checkpoints`, from the cache, else from its official address."""

from __future__ import annotations

import os
from pathlib import Path

from rungbook.data.download import cache_folder, disk_problems, locked, progress_bar, sha256
from rungbook.data.local import local_folder
from rungbook.data.registry import RemoteFile
from rungbook.data.resume import Failed, complete, note_of
from rungbook.errors import DataError, EnvironmentProblem
from rungbook.transfer.published import Published


def weights_folder() -> Path:
    """Where downloaded weights are kept, and where somebody without a network puts them."""
    return cache_folder() / "weights"


def fetch_weights(one: Published, *, show: bool | None = None) -> Path:
    """The file of published weights, checked by as much of its SHA-256 as is known.

    Args:
        one: which.
        show: whether to draw a progress bar; by default if standard error is a terminal.

    Raises:
        DataError: E106 a local copy is another file.
        EnvironmentProblem: E403 it could not be downloaded; E401, E405 the cache cannot take it.
    """
    file = RemoteFile(one.file, (one.url,), 0, one.sha256)
    local = local_folder("checkpoints")
    for folder in (local, weights_folder()):
        path = folder / one.file if folder else None
        if path is not None and path.is_file():
            _check(path, file)
            return path
    folder = weights_folder()
    with disk_problems(one.file, 0, folder):
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder, one.file):
            path = folder / one.file
            if not path.is_file():  # another process may have brought it meanwhile
                _download(file, path, show)
    return path


def _check(path: Path, file: RemoteFile) -> None:
    if not file.is_at(path):
        raise DataError(
            "E106",
            f"{path} is not the published file: its SHA-256 begins with {sha256(path)[:8]}, that of {file.name} with {file.sha256[:8]}.",
            "Delete it, and it is downloaded again",
        )


def _download(file: RemoteFile, path: Path, show: bool | None) -> None:
    """Bring the file whole or not at all."""
    part = path.with_name(path.name + ".part")
    try:
        with progress_bar(file, show) as progress:
            complete(file.urls[0], part, file, progress)
    except Failed as failure:
        raise EnvironmentProblem(
            "E403",
            f"The weights {file.name} could not be downloaded from {file.urls[0]}: {failure}.",
            f"Try again later, or put the file at {path}",
        ) from failure
    os.replace(part, path)
    note_of(part).unlink(missing_ok=True)
