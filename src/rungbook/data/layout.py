"""Finding classes and splits in a folder of images, as people lay them out.

A folder for each class; around that, if they are there, `train`, `valid` (also `val`, `validation`) and `test`; around that, one or two
folders that hold nothing else (as archives unpack).
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from rungbook.data.pil import SUFFIXES
from rungbook.errors import DataError, UsageError, nearest

SPLITS = {"train": "train", "training": "train", "valid": "valid", "val": "valid", "validation": "valid", "test": "test", "testing": "test"}
"""Folder names, in lower case, that name a part."""
_HIDDEN = {"thumbs.db", "desktop.ini", "__macosx"}
_OF_PHONES = {".heic", ".heif", ".avif"}
_ARCHIVES = {".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar"}


@dataclass
class Layout:
    """The image files of a folder.

    Args:
        root: the folder that holds the classes or parts.
        classes: class names, sorted.
        files: image files, sorted within each class.
        labels: class number of each file.
        parts: "train", "valid" or "test" for each file where folders say so, else "".
        hidden: how many hidden files were passed over.
        other: suffix -> how many files that are no images.
        beside: images and folders that were not used, with the reason.
        values: the number to be predicted of each file, where it is one; there are no classes then.
        target: what that number is called.
    """

    root: Path
    classes: tuple[str, ...] = ()
    files: list[Path] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    hidden: int = 0
    other: Counter[str] = field(default_factory=Counter)
    beside: list[str] = field(default_factory=list)
    values: list[float] | None = None
    target: str = "value"

    def name(self, i: int) -> str:
        """File `i` relative to the root where it lies below it, with forward slashes."""
        file = self.files[i]
        return (file.relative_to(self.root) if file.is_relative_to(self.root) else file).as_posix()


def find_layout(path: Path) -> Layout:
    """The classes, files and parts below a folder.

    Raises:
        UsageError: E105 there is no such folder.
        DataError: E107 it holds no images in class folders; E102 a class is missing from train/.
    """
    root = _descend(existing_folder(path))
    layout = Layout(root)
    folders, images = _folders(root), _images_in(root)
    split_folders = [d for d in folders if d.name.lower() in SPLITS]
    if any(SPLITS[d.name.lower()] == "train" and _folders(d) and not _images_in(d) for d in split_folders):
        _read_parts(layout, folders, split_folders)
    elif folders and len(split_folders) == len(folders) and any(_folders(d) for d in folders):
        raise DataError(
            "E107",
            f"{root} has {_list(folders)}, but no train/ to learn from.",
            f"Name the folder with the training images {root / 'train'}",
        )
    else:
        found = {d: walk_images(layout, d) for d in folders}
        _take(layout, {d.name: files for d, files in found.items()}, "")
    if images and layout.files:
        layout.beside.append(f"{len(images)} images beside the folders, e.g. {images[0].name}")
    if not layout.files:
        raise _nothing(path, root, images)
    return layout


def existing_folder(path: Path) -> Path:
    """The folder, if it is one. Raises UsageError E105 with the nearest name beside it."""
    if path.is_dir():
        return path
    beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    near = nearest(path.name, beside)
    raise UsageError("E105", f"There is no folder {path}.", f"Did you mean {path.parent / near[0]}?" if near else "Check the path.")


def _read_parts(layout: Layout, folders: list[Path], split_folders: list[Path]) -> None:
    """Files of train/, valid/ and test/, each with class folders."""
    by_part: dict[str, dict[str, list[Path]]] = {"train": {}, "valid": {}, "test": {}}
    for folder in split_folders:
        part = SPLITS[folder.name.lower()]
        for d in _folders(folder):
            by_part[part].setdefault(d.name, []).extend(walk_images(layout, d))
        if loose := _images_in(folder):
            layout.beside.append(f"{len(loose)} images in {folder.name}/ without a class folder: predict on them later")
    layout.beside += [f"the folder {d.name}/" for d in folders if d not in split_folders]
    known = {c for c, files in by_part["train"].items() if files}
    for part in ("valid", "test"):
        for c in sorted(c for c, files in by_part[part].items() if files and c not in known):
            near = nearest(c, known)
            raise DataError(
                "E102",
                f'{layout.root / part} has the class "{c}", of which train/ has no image.',
                f"Is it train/{near[0]}? Use one name" if near else f"Remove {layout.root / part / c}, or add images to train/{c}",
            )
    for part, classes in by_part.items():
        _take(layout, {c: files for c, files in classes.items() if c in known}, part, tuple(sorted(known)))


def _take(layout: Layout, found: dict[str, list[Path]], part: str, classes: tuple[str, ...] | None = None) -> None:
    """Add the files of some classes; a folder without images is no class."""
    layout.beside += [f"the folder {name}/, which holds no images" for name, files in sorted(found.items()) if not files]
    layout.classes = classes or tuple(sorted(name for name, files in found.items() if files))
    for label, name in enumerate(layout.classes):
        files = found.get(name, [])
        layout.files += files
        layout.labels += [label] * len(files)
        layout.parts += [part] * len(files)


def walk_images(layout: Layout, folder: Path) -> list[Path]:
    """The image files below a folder, sorted; the others are counted in `layout`."""
    found = []
    for here, inner, names in os.walk(folder, onerror=_unreadable):
        layout.hidden += sum(_is_hidden(n) for n in inner)
        inner[:] = sorted(n for n in inner if not _is_hidden(n))
        for name in sorted(names):
            suffix = os.path.splitext(name)[1].lower()
            if _is_hidden(name):
                layout.hidden += 1
            elif suffix in SUFFIXES:
                found.append(Path(here, name))
            else:
                layout.other[suffix or "no suffix"] += 1
    return found


def _unreadable(error: OSError) -> None:
    """A folder that cannot be opened is no empty folder: what it holds would be missing without a word."""
    raise DataError("E106", f"{error.filename} cannot be opened: {error.strerror}.", f"chmod -R u+rX {error.filename}") from error


def _descend(path: Path) -> Path:
    """Past folders that hold one folder and nothing else of use."""
    for _ in range(2):
        folders = _folders(path)
        if len(folders) != 1 or _images_in(path) or not _folders(folders[0]) or folders[0].name.lower() in SPLITS:
            break
        path = folders[0]
    return path


def _folders(path: Path) -> list[Path]:
    return sorted(p for p in path.iterdir() if p.is_dir() and not _is_hidden(p.name))


def _images_in(path: Path) -> list[Path]:
    return sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file() and not _is_hidden(p.name))


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in _HIDDEN


def _list(folders: list[Path]) -> str:
    return ", ".join(f"{d.name}/" for d in folders[:6]) + (", ..." if len(folders) > 6 else "")


def _nothing(path: Path, root: Path, loose: list[Path]) -> DataError:
    """E107: what was looked for, what was seen."""
    kinds = ", ".join(sorted({s[1:] for s in SUFFIXES if s in (".jpg", ".png", ".bmp", ".gif", ".webp", ".tiff")}))
    if loose:
        return DataError(
            "E107",
            f"{root} holds {len(loose):,} images, but no class folders: one folder is looked for per class, its name is the class.",
            f"Make them: mkdir {root / 'cat'} and move its images there",
        )
    seen = Counter(os.path.splitext(n)[1].lower() for _, _, names in os.walk(path) for n in names if not _is_hidden(n))
    folders = _folders(root)
    what = [f"{n} {s[1:]} file{'s' * (n > 1)}" if s else f"{n} file{'s' * (n > 1)} without suffix" for s, n in seen.most_common(4)]
    what += [f"{len(folders)} folder{'s' * (len(folders) > 1)} ({_list(folders)})"] if folders else []
    packed = sum(n for s, n in seen.items() if s in _ARCHIVES)
    return DataError(
        "E107",
        f"{path} has 0 images; {kinds} are looked for in one folder per class. {'I see ' + ' and '.join(what) if what else 'It is empty'}.",
        f"Unpack {'it' if packed == 1 else 'them'} first?"
        if packed
        else "Save the pictures as JPEG first: what phones save as HEIC or AVIF is not read"
        if set(seen) & _OF_PHONES
        else "Is it the right folder?",
    )
