"""Bringing a published file of weights: from `RUNG_DATA/checkpoints`, from the cache, else from its official address."""

from __future__ import annotations

import os
from pathlib import Path

from rungbook.data.download import cache_folder, disk_problems, locked, progress_bar, sha256
from rungbook.data.local import local_folder
from rungbook.data.registry import RemoteFile
from rungbook.data.resume import CONNECT_SECONDS, READ_SECONDS, Failed, complete, note_of, reason
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
    local = local_folder("checkpoints")
    for folder in (local, weights_folder()):
        path = folder / one.file if folder else None
        if path is not None and path.is_file():
            _check(path, one)
            return path
    folder = weights_folder()
    with disk_problems(one.file, 0, folder):
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder, one.file):
            path = folder / one.file
            if not path.is_file():  # another process may have brought it meanwhile
                _download(one, path, show)
    return path


def _check(path: Path, one: Published) -> None:
    found = sha256(path)
    if not found.startswith(one.sha256):
        raise DataError(
            "E106",
            f"{path} is not the published file: its SHA-256 begins with {found[:8]}, that of {one.file} with {one.sha256[:8]}.",
            "Delete it, and it is downloaded again",
        )


def _download(one: Published, path: Path, show: bool | None) -> None:
    part = path.with_name(path.name + ".part")
    try:
        file = RemoteFile(one.file, (one.url,), _size(one.url), one.sha256)
        with progress_bar(file, show) as progress:
            complete(one.url, part, file, progress)
    except Failed as failure:
        raise EnvironmentProblem(
            "E403",
            f"The weights {one.tag} of {one.model} could not be downloaded from {one.url}: {failure}.",
            f"Try again later, or put the file at {path}",
        ) from failure
    os.replace(part, path)
    note_of(part).unlink(missing_ok=True)


def _size(url: str) -> int:
    """Bytes of the file as its server states them, since nobody publishes them. Raises Failed."""
    import requests

    headers = {"Accept-Encoding": "identity", "User-Agent": "rungbook"}
    try:
        answer = requests.head(url, headers=headers, allow_redirects=True, timeout=(CONNECT_SECONDS, READ_SECONDS))
    except requests.RequestException as error:
        raise Failed(reason(error)) from error
    length = answer.headers.get("Content-Length", "")
    if answer.status_code != 200 or not length.isdigit():
        raise Failed(f"the server answered {answer.status_code} {answer.reason} and no size")
    return int(length)
