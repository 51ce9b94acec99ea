"""Dogs and cats (Elson, Douceur, Howell, Saul 2007): photographs of all sizes in a folder a class, some of which cannot be read."""

from __future__ import annotations

from typing import Any

from rungbook.data.data import Data, Finding
from rungbook.data.download import sha256
from rungbook.data.folder import folder_data
from rungbook.data.local import local_folder, some_dogs_and_cats
from rungbook.data.registry import Download
from rungbook.data.unpacked import unpacked

UNPACKED = 1_000_000_000
"""Bytes allowed: photographs hardly shrink in a zip, and this one has 824,887,076."""
PICTURES = "PetImages"
"""The folder of the archive that holds the two classes; two texts lie beside it."""


def load(download: Download, *, valid: float = 0.1, test: float = 0.1, workers: int = 0, **options: Any) -> Data:
    """The photographs, through the code that reads any folder.

    Args:
        download: entry of the registry.
        valid, test: shares to cut; a smaller local copy that has a valid folder keeps it.
        workers: worker processes; none for images in memory.
        options: `seed`, `batch_size`, `image_size`, `augment` as `folder_data`.
    """
    folder, archive = local_folder(download.name), download.files[0].name
    small = None if folder and (folder / archive).is_file() else some_dogs_and_cats()
    if small is None:
        root = unpacked(download, declared_bytes=UNPACKED) / PICTURES
    else:
        root = unpacked(download, declared_bytes=UNPACKED, archive=small, name=f"some-{sha256(small)[:12]}")
    data = folder_data(root, valid=valid, test=test, workers=workers or None, **options)
    data.name = download.name
    if small is not None:
        data.findings.append(
            Finding(
                "note",
                f"{small} holds {data.facts['files']:,} of the 25,000 photographs, smaller than they were",
                f"For all of them put {archive} into a folder {download.name} beside it, or unset RUNG_DATA",
            )
        )
        data.facts["form"] = "some"
    return data
