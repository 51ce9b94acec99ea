"""A data set's archive as a folder in the cache: fetched, checked and unpacked once, whole or not at all."""

from __future__ import annotations

import shutil
from pathlib import Path

from rungbook.data.archive import unpack
from rungbook.data.download import cache_folder, disk_problems, locked
from rungbook.data.local import files_of
from rungbook.data.registry import Download

SLACK = 50_000_000
"""Bytes that a small archive may grow by: the headers of many small pictures are alike, and shrink."""


def unpacked(download: Download, file: int = 0, *, declared_bytes: int = 0, archive: Path | None = None, name: str = "unpacked") -> Path:
    """The folder with an archive's files.

    Args:
        download: entry of the registry.
        file: which of its files is the archive.
        declared_bytes: what its members may take together; by default twice the archive, since pictures hardly shrink.
        archive: another archive in its place, as a smaller local form.
        name: of the folder below the set's own in the cache.

    Raises:
        DataError: E118 the archive is refused, E106 it is damaged.
        EnvironmentProblem: as `fetch`.
    """
    base = cache_folder() / "data" / download.name
    target = base / name
    if not target.is_dir():
        path = files_of(download)[download.files[file].name] if archive is None else archive
        packed = path.stat().st_size
        limit = declared_bytes or packed + max(packed, SLACK)
        with disk_problems(download.name, limit, base):
            base.mkdir(parents=True, exist_ok=True)
            with locked(base, download.name):
                for leftover in base.glob(f".{target.name}.*"):  # where a process was killed while it unpacked
                    shutil.rmtree(leftover)
                if not target.is_dir():
                    unpack(path, target, declared_bytes=limit)
    return target
