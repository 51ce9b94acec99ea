"""`Data` from a folder of images: scanned first, copies on one side, in memory where it fits and from the files where it does not."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rungbook.data.data import Data, Finding, fingerprint
from rungbook.data.feed import Augment, Batch, Source, TensorSource
from rungbook.data.folder_findings import copies, notes, see_each_class, unreadable
from rungbook.data.image_audit import copy_groups, moments, uneven_classes
from rungbook.data.images import FEWEST, Feeding, ImageEncoder, as_size, assemble
from rungbook.data.layout import Layout, find_layout
from rungbook.data.scan import Scan, read_headers, scan
from rungbook.data.split import Parts, split_indices
from rungbook.data.target import ClassTarget, NumberTarget, Target
from rungbook.errors import DataError

LARGEST, SMALLEST = 48, 8
"""Sides, in pixels, between which the input size is chosen. 48 keeps a small network's epoch over 1,000 photographs at 2 s on one core
(64 takes twice that, and was no better on the valid part of 1,399 dogs and cats) and shows what most everyday classes differ in;
`image_size` says otherwise."""
MAX_MEMORY = 1_000_000_000
"""Bytes up to which the decoded images are kept in memory."""


class ImageFiles:
    """Pictures that stay in their files and are decoded batch by batch, best by worker processes.

    Args:
        paths: one file a sample.
        y: class numbers, int64 (n,).
        encoder: how a file becomes an input.
        names: what each sample is called in messages.
    """

    in_memory = False

    def __init__(self, paths: Sequence[Path], y: Tensor, encoder: ImageEncoder, names: Sequence[str] | None = None) -> None:
        self.paths, self.y, self.encoder, self._names = list(paths), y, encoder, names

    def __len__(self) -> int:
        return len(self.paths)

    def fetch(self, index: Tensor | slice) -> Batch:
        """Stored images and class numbers. Raises DataError E106 if a file has changed since it was looked at."""
        chosen = self.paths[index] if isinstance(index, slice) else [self.paths[i] for i in index.tolist()]
        return self.encoder.encode(chosen), self.y[index]

    def targets(self) -> Tensor:
        """All class numbers."""
        return self.y

    def name(self, i: int) -> str:
        """The file of a sample."""
        return self._names[i] if self._names else str(self.paths[i])


def folder_data(
    path: str | Path,
    *,
    valid: float = 0.1,
    test: float = 0.1,
    seed: int = 0,
    batch_size: int = 64,
    workers: int | None = None,
    image_size: int | tuple[int, int] | None = None,
    augment: str | Augment | None = None,
    strict: bool = False,
    max_memory: int = MAX_MEMORY,
    show: bool | None = None,
) -> Data:
    """Images sorted into a folder for each class, as `Data`.

    Args:
        path: the folder; `train`, `valid` and `test` folders in it are kept as parts, a missing one is cut from train.
        valid, test: shares to cut where no folder is given, 0 for none.
        seed: of the split, the order and the augmentation.
        batch_size: images a training batch.
        workers: worker processes; by default none for images in memory, else one for each core, up to 4.
        image_size: side, or height and width, in pixels; by default the median short side, at least 8 and at most 48.
        augment: for training: a name of `augment.named`, a function, or None.
        strict: whether a file that cannot be read is an error instead of left out.
        max_memory: bytes of decoded images to keep in memory.
        show: whether to draw a progress bar; by default on a terminal.

    Raises:
        UsageError: E105 no such folder.
        DataError: E107 no images, E106 none can be read (or one, if strict), E110 one class, E113 too few images, E102 a class that
            train/ lacks.
    """
    path = Path(path)
    return layout_data(
        find_layout(path),
        path.name or path.resolve().name,
        valid,
        test,
        seed=seed,
        batch_size=batch_size,
        workers=workers,
        image_size=image_size,
        augment=augment,
        strict=strict,
        max_memory=max_memory,
        show=show,
    )


def layout_data(
    layout: Layout,
    name: str,
    valid: float = 0.1,
    test: float = 0.1,
    *,
    seed: int = 0,
    split_seed: int | None = None,
    together: Sequence[int] | None = None,
    batch_size: int = 64,
    workers: int | None = None,
    image_size: int | tuple[int, int] | None = None,
    augment: str | Augment | None = None,
    strict: bool = False,
    max_memory: int = MAX_MEMORY,
    show: bool | None = None,
) -> Data:
    """The images of a layout, however it was found, as `Data`: all that `folder_data` does after it has looked at the folders.

    Args:
        layout: files, their classes or numbers, and their parts.
        name: what the set is called.
        valid, test: shares to cut for the parts that the layout does not name.
        seed: of the order and the augmentation, and of the split if `split_seed` is None.
        together: a group number for each file; a group stays in one part, as copies do.
        batch_size, workers, image_size, augment, strict, max_memory, show: as `folder_data`.
    """
    headers = [h for h in read_headers(layout.files) if h is not None]
    size = as_size(image_size) if image_size else _choose_size(headers)
    guess = 1 if headers and all(grey for _, _, grey in headers) else 3
    keep = len(layout.files) * guess * size[0] * size[1] <= max_memory
    seen = scan(layout.files, size, keep=keep, show=show)
    findings = unreadable(layout, seen, strict)
    labels, classes = _usable_classes(layout, seen, name) if layout.values is None else (_usable_values(layout, seen, name), ())
    groups = copy_groups(seen.digests)
    tied = groups if together is None else merged_groups(groups, np.asarray(together)[seen.good])
    given = np.array([layout.parts[i] for i in seen.good])
    strata = labels if classes else np.zeros(len(labels), int)
    parts, said = _parts(given, strata, tied, valid=valid, test=test, seed=seed if split_seed is None else split_seed)
    if classes:
        said += [*see_each_class(layout, labels, classes, parts, given), *uneven_classes(labels, classes)]
    findings += [*said, *copies(layout, seen, labels, groups, parts), *notes(layout, seen)]
    target: Target = ClassTarget(classes)
    y = labels
    if not classes:
        target = NumberTarget.fit(labels[parts["train"]], name=layout.target)
        y = target.encode(labels).numpy()
    encoder = _encoder(seen, parts["train"], size)
    if workers is None:
        workers = 0 if keep else min(4, os.cpu_count() or 1)
    return assemble(
        name,
        target,
        _sources(layout, seen, y, parts, encoder),
        encoder,
        findings=findings,
        facts=_facts(layout, seen, groups),
        mark=fingerprint([b"".join(seen.digests), labels, *parts.values(), str(size), *classes]),
        feeding=Feeding(seed, batch_size, workers, augment),
    )


def scan_folder(path: str | Path) -> tuple[list[Path], list[str]]:
    """The readable images of a folder and the class of each, to judge a model by; of a folder with parts, those of its test part.

    Raises:
        UsageError, DataError: as `folder_data`.
    """
    layout = find_layout(Path(path))
    wanted = "test" if "test" in layout.parts else None
    chosen = [i for i, part in enumerate(layout.parts) if wanted in (None, part)]
    seen = scan([layout.files[i] for i in chosen], (SMALLEST, SMALLEST), keep=False)
    good = [chosen[i] for i in seen.good]
    return [layout.files[i] for i in good], [layout.classes[layout.labels[i]] for i in good]


def _choose_size(headers: list[tuple[int, int, bool]]) -> tuple[int, int]:
    """A square of the median short side, within limits."""
    side = int(np.median([min(h, w) for h, w, _ in headers])) if headers else LARGEST
    side = max(SMALLEST, min(LARGEST, side))
    return side, side


def _usable_classes(layout: Layout, seen: Scan, name: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Class numbers of the good files and the names of the classes that have any."""
    raw = np.array(layout.labels, np.int64)[seen.good]
    kept, labels = np.unique(raw, return_inverse=True)
    classes = tuple(layout.classes[i] for i in kept)
    if len(classes) < 2:
        raise DataError("E110", f'{layout.root} has one class only, "{classes[0]}" ({len(raw):,} images).', "Add a second folder beside it")
    if len(raw) < FEWEST:
        raise DataError("E113", f"{name} has {len(raw)} usable images, {FEWEST} are needed.", "Add images")
    return labels.astype(np.int64), classes


def _usable_values(layout: Layout, seen: Scan, name: str) -> np.ndarray:
    """The numbers to be predicted of the good files, float64 (n,)."""
    values = np.array(layout.values, np.float64)[seen.good]
    if len(values) < FEWEST:
        raise DataError("E113", f"{name} has {len(values)} usable images, {FEWEST} are needed.", "Add images")
    if values.min() == values.max():
        raise DataError(
            "E112", f'"{layout.target}" is {values[0]:g} for all {len(values):,} images: there is nothing to learn.', "Check it"
        )
    return values


def merged_groups(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Groups in which two samples are together if either grouping has them together, by a chain of any length: numbers, int64 (n,)."""
    kinds = [np.unique(groups, return_inverse=True)[1] for groups in (first, second)]
    number = np.arange(len(first))
    while True:  # the lowest number of each group goes to all of it, in one grouping and then in the other, until nothing changes
        before = number
        for group in kinds:
            lowest = np.full(len(first), len(first))
            np.minimum.at(lowest, group, number)
            number = lowest[group]
        if np.array_equal(number, before):
            return number


def _facts(layout: Layout, seen: Scan, groups: np.ndarray) -> dict[str, Any]:
    """What is worth recording about the files."""
    return {
        "files": len(layout.files),
        "unreadable": len(seen.bad),
        "copies": len(groups) - len(set(groups.tolist())),
        "test": "given" if "test" in layout.parts else "cut",
        "in_memory": seen.images is not None,
    }


def _encoder(seen: Scan, train: np.ndarray, size: tuple[int, int]) -> ImageEncoder:
    """The encoder of these pictures: grey only if all are, mean and deviation of the training ones."""
    channels = 1 if seen.grey.all() else 3
    sums, squares = seen.sums[train, :channels].sum(0), seen.squares[train, :channels].sum(0)
    return ImageEncoder(size, channels, *moments(sums, squares, len(train) * size[0] * size[1]))


def _sources(layout: Layout, seen: Scan, labels: np.ndarray, parts: Parts, encoder: ImageEncoder) -> dict[str, Source]:
    """The samples of each part: the pictures the scan kept, or their files."""
    sources: dict[str, Source] = {}
    for part, index in parts.items():
        if len(index):
            y, files = torch.from_numpy(labels[index]), seen.good[index]
            names = [layout.name(i) for i in files]
            if seen.images is not None:
                sources[part] = TensorSource(torch.from_numpy(seen.stored(index, encoder.channels)), y, names)
            else:
                sources[part] = ImageFiles([layout.files[i] for i in files], y, encoder, names)
    return sources


def _parts(
    given: np.ndarray, labels: np.ndarray, groups: np.ndarray, *, valid: float, test: float, seed: int
) -> tuple[Parts, list[Finding]]:
    """The parts the folders name; a missing one is cut from train."""
    train = np.flatnonzero((given == "train") | (given == ""))
    if not len(train):
        raise DataError("E107", "train/ holds no image that can be read.")
    fixed = {part: np.flatnonzero(given == part) for part in ("valid", "test")}
    shares = {part: 0.0 if len(index) else share for (part, index), share in zip(fixed.items(), (valid, test), strict=True)}
    cut = split_indices(len(train), **shares, seed=seed, strata=labels[train], groups=groups[train])
    parts = {part: train[index] for part, index in cut.items()}
    parts |= {part: index for part, index in fixed.items() if len(index)}
    findings = []
    if (given != "").any():
        for part, share in shares.items():
            if share:
                findings.append(
                    Finding(
                        "note",
                        f"no {part} part is given: {len(parts[part]):,} of the {len(train):,} images of train are cut off for it",
                    )
                )
    return parts, findings
