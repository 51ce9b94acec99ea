"""Sets of photographs that come as an archive of folders: Imagenette and Imagewoof, ants and bees, hot dogs, Oxford's pets.

Each has an official part to report on, called val or test. It is our test part, looked at once; what is used for choosing is cut from the
training images.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rungbook.data.block import Items
from rungbook.data.data import Data
from rungbook.data.registry import Download
from rungbook.data.unpacked import unpacked
from rungbook.errors import DataError

IMAGENETTE = {
    "n01440764": "tench", "n02102040": "English springer", "n02979186": "cassette player", "n03000684": "chain saw", "n03028079": "church",
    "n03394916": "French horn", "n03417042": "garbage truck", "n03425413": "gas pump", "n03445777": "golf ball", "n03888257": "parachute",
}  # fmt: skip
IMAGEWOOF = {
    "n02086240": "Shih-Tzu", "n02087394": "Rhodesian ridgeback", "n02088364": "beagle", "n02089973": "English foxhound",
    "n02093754": "Border terrier", "n02096294": "Australian terrier", "n02099601": "golden retriever", "n02105641": "Old English sheepdog",
    "n02111889": "Samoyed", "n02115641": "dingo",
}  # fmt: skip
WORDNET = IMAGENETTE | IMAGEWOOF
"""WordNet number of a folder -> the class as the set's authors call it."""
ANNOTATIONS = 20
"""Unpacked to packed size allowed for the pets' lists and outlines, which shrink more than photographs."""


def load_parts(download: Download, *, valid: float = 0.1, test: float = 0.1, **options: Any) -> Data:
    """A set with a folder of classes in train and in val or test.

    Args:
        download: entry of the registry.
        valid: share of the training images for choosing.
        test: 0 leaves the official part out; any other value keeps all of it.
        options: `seed`, `batch_size`, `workers`, `image_size`, `augment` as `folder_data`.
    """
    root = _descend(unpacked(download))
    official = "val" if (root / "val").is_dir() else "test"
    items = Items.from_folder(root)
    if not test:
        items = items.keep(lambda file: file.relative_to(root).parts[0] != official)
    split = items.split_by_folder(valid=valid, test=official if test else 0.0, seed=options.get("seed", 0))
    return _data(download, split.label_by_function(lambda file: WORDNET.get(file.parent.name, file.parent.name)), **options)


def load_pets(download: Download, *, valid: float = 0.1, test: float = 0.1, **options: Any) -> Data:
    """Oxford's pets: 37 breeds by the names of the files, the authors' lists for train and test.

    Args:
        download: entry of the registry: photographs, then annotations.
        valid, test, options: as `load_parts`.
    """
    photographs, lists = unpacked(download, 0, name="images") / "images", _annotations(download)
    items = Items.from_folder(photographs, suffixes=[".jpg"])
    trainval, official = _names(lists / "trainval.txt"), _names(lists / "test.txt")
    split = items.split_by_file(train=trainval, valid=valid, test=official if test else 0.0, seed=options.get("seed", 0))
    return _data(download, split.label_by_name(r"^(.+)_\d+\.jpg$"), **options)


def _annotations(download: Download) -> Path:
    limit = ANNOTATIONS * (download.files[1].size or 1_000_000)
    return unpacked(download, 1, name="annotations", declared_bytes=limit) / "annotations"


def _names(listed: Path) -> list[str]:
    """The file names of a list of the pets: the first word of each line that is no comment."""
    if not listed.is_file():
        raise DataError("E106", f"The archive of the annotations holds no {listed.name}.", f"Remove {listed.parent}; it is unpacked again")
    return [f"{line.split()[0]}.jpg" for line in listed.read_text(encoding="utf-8").splitlines() if line.strip() and line[0] != "#"]


def _descend(folder: Path) -> Path:
    """The archive's one folder."""
    inner = [p for p in folder.iterdir() if p.is_dir() and not p.name.startswith((".", "__"))]
    return inner[0] if len(inner) == 1 and not (folder / "train").is_dir() else folder


def _data(download: Download, items: Items, *, image_size: Any = None, augment: Any = None, workers: int = 0, **options: Any) -> Data:
    """`Data` under the set's own name; the part that is there for reporting is the official one."""
    data = items.images(size=image_size, augment=augment).data(workers=workers or None, **options)
    data.name = download.name
    if data.test is not None:
        data.facts["test"] = "official"
    return data
