"""Image files to `Data`, one readable step after the other, for any layout of files.

    Items.from_folder("imagenette2-160").split_by_folder(valid="val").label_by_folder().images(size=128).data(batch_size=64)

The steps are those of fast.ai's data block (Howard and Gugger 2020, section 4.1): items, split, label, transform, batch. The split comes
before the labels, so that classes are those of the training images alone. What a folder of classes goes through (`folder_data`: every file
decoded once, copies kept on one side, what cannot be read listed) all items go through here, by the same code.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rungbook.data.block_rules import (
    Finder,
    by_pattern,
    called,
    cells_of,
    classes_of,
    listed_names,
    numbers_of,
    parts_by_folder,
    refuse_empty,
    suffix_set,
)
from rungbook.data.data import Data
from rungbook.data.feed import Augment
from rungbook.data.folder import MAX_MEMORY, layout_data
from rungbook.data.layout import SPLITS, Layout, existing_folder, walk_images
from rungbook.errors import DataError, UsageError, nearest

TASKS = ("classification", "regression")
PARTS = ("train", "valid", "test")
SHARE = 0.1
"""Share of the training files that is cut for valid and for test where nothing is said."""


@dataclass(frozen=True)
class Items:
    """Image files on their way to `Data`. Every step gives new Items and leaves these as they are.

    Begin with `from_folder`, `from_files` or `from_table`; then one `split_by_...`, one `label_by_...`, `images` if the size or the
    augmentation matters, and `data`. A step in the wrong place raises UsageError E202 and names the right one.

    Args:
        root: the folder that names are relative to.
        files: the image files.
        beside: what was not used, with the reason.
        parts: "train", "valid" or "test" of each file, "" where a share decides; None before the split.
        shares: of the training files, cut for valid and for test where no file is named for them.
        split_seed: of those shares.
        together: group number of each file, if files must stay together.
        classes: names of the classes.
        labels: class number of each file; None before the labels.
        values: the number to be predicted of each file, if it is one.
        target: what that number is called.
        size: side, or height and width, in pixels; the median short side, at most 48, if None.
        augment: of training images.
    """

    root: Path
    files: tuple[Path, ...]
    beside: tuple[str, ...] = ()
    parts: tuple[str, ...] | None = None
    shares: tuple[float, float] = (0.0, 0.0)
    split_seed: int = 0
    together: tuple[int, ...] | None = None
    classes: tuple[str, ...] = ()
    labels: tuple[int, ...] | None = None
    values: tuple[float, ...] | None = None
    target: str = "value"
    size: int | tuple[int, int] | None = None
    augment: str | Augment | None = None
    other: Counter[str] = field(default_factory=Counter, repr=False)

    @classmethod
    def from_folder(cls, path: str | Path, *, suffixes: Sequence[str] | None = None) -> Items:
        """All image files below a folder, however deep; hidden ones are passed over.

        Args:
            path: the folder.
            suffixes: only files with these endings, as (".jpg", ".jpeg"); by default every kind of image that is read.

        Raises:
            UsageError: E105 there is no such folder, E201 files of that kind are not read.
            DataError: E107 it holds no image.
        """
        root = existing_folder(Path(path))
        layout, wanted = Layout(root), suffix_set(suffixes)
        files = [file for file in walk_images(layout, root) if file.suffix.lower() in wanted]
        if not files:
            seen = ", ".join(f"{n:,} {suffix}" for suffix, n in layout.other.most_common(4)) or "nothing"
            raise DataError(
                "E107", f"{root} holds no file that ends in {', '.join(sorted(wanted))}; I see {seen}.", "Is it the right folder?"
            )
        return cls(root, tuple(files), other=layout.other)

    @classmethod
    def from_files(cls, files: Iterable[str | Path], *, root: str | Path = ".") -> Items:
        """The given files, in the given order.

        Args:
            files: paths, relative ones below `root`.
            root: the folder that names are relative to.

        Raises:
            UsageError: E105 a file is not there, E202 there are none or one is there twice.
        """
        base = Path(root)
        paths = [base / file for file in files]
        if twice := [p for p, n in Counter(paths).items() if n > 1]:
            raise UsageError("E202", f"{len(twice):,} files are given twice, e.g. {twice[0]}.", "Items.from_files(sorted(set(files)))")
        if missing := [p for p in paths if not p.is_file()]:
            raise UsageError("E105", f"{len(missing):,} of {len(paths):,} files are not there, e.g. {missing[0]}.", f"Check root: {base}")
        if not paths:
            raise UsageError("E202", "There are no files in the list.", 'Items.from_folder("photos")')
        return cls(base, tuple(paths))

    @classmethod
    def from_table(cls, table: str | Path, *, file: str, folder: str | Path | None = None, suffix: str = "") -> Items:
        """The files that a column of a table names, in its order.

        Args:
            table: a CSV, TSV or parquet file.
            file: the column of names.
            folder: what the names are relative to; by default the folder of the table.
            suffix: put behind each name, as ".jpg" where the column has none.

        Raises:
            DataError: E105 or E106 the table, E111 there is no such column.
            UsageError: E105 a file is not there.
        """
        root = Path(table).parent if folder is None else Path(folder)
        return cls.from_files([f"{cell}{suffix}" for cell in cells_of(Path(table), file)[file]], root=root)

    def keep(self, wanted: Callable[[Path], bool]) -> Items:
        """Only the files for which `wanted(path)` is true. Raises DataError E107 if none is."""
        self._before_labels("keep")
        kept = self._only([bool(called(wanted, file, "keep")) for file in self.files])
        if not kept.files:
            raise DataError("E107", f"None of the {len(self.files):,} files is kept.", f"Look at one: {self.files[0]}")
        return kept

    def split_by_folder(
        self, *, train: str = "train", valid: str | float | None = None, test: str | float | None = None, seed: int = 0
    ) -> Items:
        """Parts by the names of folders, anywhere on the way to the file.

        Args:
            train: name of the folder to learn from.
            valid, test: names of folders, or shares of the training files; by default the usual names ("val", "validation", "test"), and
                a tenth of the training files for a part that has no such folder.
            seed: of the shares.

        Raises:
            DataError: E107 no file lies below a folder of that name.
        """
        self._unsplit()
        said = {"train": train, "valid": valid, "test": test}
        parts = parts_by_folder(self.root, self.files, said)
        shares = [_share(said[part], part in parts) for part in ("valid", "test")]
        return self._cut(parts, shares, seed=seed, left="lie in no folder of a part")

    def split_by_share(self, valid: float = SHARE, test: float = SHARE, *, seed: int = 0) -> Items:
        """Valid and test as shares of the files, dealt at random: the same share of each class, exact copies in one part.

        Args:
            valid, test: shares, 0 for no such part.
            seed: of the deal.
        """
        self._unsplit()
        return self._cut([""] * len(self.files), [_checked(valid), _checked(test)], seed=seed)

    def split_by_group(self, group: Callable[[Path], Hashable] | str, valid: float = SHARE, test: float = SHARE, *, seed: int = 0) -> Items:
        """As `split_by_share`, but files of one group stay in one part: pictures of one patient, frames of one film.

        Args:
            group: a function of a file's path, or a pattern whose first group (or whole match) is found in its name.
            valid, test, seed: as `split_by_share`.
        """
        self._unsplit()
        rule = by_pattern(group, self.files, "split_by_group") if isinstance(group, str) else group
        number: dict[Hashable, int] = {}
        together = tuple(number.setdefault(called(rule, file, "split_by_group"), len(number)) for file in self.files)
        if len(number) < 2:
            raise UsageError("E202", f"All {len(self.files):,} files are of one group: nothing could be held back.", "split_by_share(0.1)")
        return replace(self._cut([""] * len(self.files), [_checked(valid), _checked(test)], seed=seed), together=together)

    def split_by_file(
        self,
        valid: str | Path | Iterable[str] | float = SHARE,
        test: str | Path | Iterable[str] | float = SHARE,
        *,
        train: str | Path | Iterable[str] | None = None,
        seed: int = 0,
    ) -> Items:
        """Parts by lists of names.

        Args:
            valid, test: a text file with a name a line (its first word, if the line is no name), a list of names, or a share of the
                training files. A name is a path below the folder, a file's name, or that without its suffix.
            train: the same for what to learn from; by default all that is in no other list. What is in no list is left out.
            seed: of the shares.

        Raises:
            DataError: E105 a list is missing or names a file that is not there, E106 it is no text, E107 it is empty.
            UsageError: E202 a file is in two lists.
        """
        self._unsplit()
        finder = Finder(self.root, self.files)
        parts: list[str | None] = ["train" if train is None else None] * len(self.files)
        seen: dict[int, str] = {}
        for part, listed in (("train", train), ("valid", valid), ("test", test)):
            if listed is None or isinstance(listed, int | float):
                continue
            for i in listed_names(listed, finder, part):
                if seen.setdefault(i, part) != part:
                    raise UsageError("E202", f"{self.files[i]} is listed for {seen[i]} and for {part}.", "Take it out of one of the lists")
                parts[i] = part
        shares = [_checked(listed) if isinstance(listed, int | float) else 0.0 for listed in (valid, test)]
        return self._cut(parts, shares, seed=seed, left="are in no list")

    def split_by_function(self, part: Callable[[Path], str | None], valid: float = SHARE, test: float = SHARE, *, seed: int = 0) -> Items:
        """Parts as a function of a file's path says them.

        Args:
            part: gives "train", "valid" or "test" (or "val", ...), or None to leave the file out.
            valid, test: shares of the training files, for a part the function never names.
            seed: of the shares.
        """
        self._unsplit()
        parts: list[str | None] = []
        for file in self.files:
            said = called(part, file, "split_by_function")
            if said is not None and str(said).lower() not in SPLITS:
                message = f"split_by_function gave {said!r} for {file}; train, valid, test or None is needed."
                raise UsageError("E202", message, "return 'train'")
            parts.append(None if said is None else SPLITS[str(said).lower()])
        shares = [_share(share, name in parts) for name, share in (("valid", valid), ("test", test))]
        return self._cut(parts, shares, seed=seed, left="were left out by the function")

    def label_by_folder(self) -> Items:
        """The class of a file is the name of the folder it lies in."""
        return self._label([file.parent.name for file in self.files], "label_by_folder", "classification")

    def label_by_name(self, pattern: str) -> Items:
        """The class is what a regular expression finds in the file's name: its first group, or the whole match.

        Args:
            pattern: as `r"^(.+)_\\d+\\.jpg$"` for Abyssinian_1.jpg.

        Raises:
            UsageError: E202 it is no regular expression, or a name does not match.
        """
        rule = by_pattern(pattern, self.files, "label_by_name")
        return self._label([rule(file) for file in self.files], "label_by_name", "classification")

    def label_by_function(self, label: Callable[[Path], Any], *, task: str | None = None, name: str = "value") -> Items:
        """The class or number is what a function of the file's path gives.

        Args:
            label: a text or whole number for a class, a float for a number to be predicted.
            task: "classification" or "regression", where the type does not say it.
            name: what a number is called.
        """
        self._before_labels("label_by_function")
        return self._label([called(label, file, "label_by_function") for file in self.files], "label_by_function", task, name)

    def label_by_table(self, table: str | Path, *, file: str, label: str, task: str | None = None, missing: str = "refuse") -> Items:
        """The class or number stands in a table.

        Args:
            table: a CSV, TSV or parquet file.
            file: the column of names: a path below the folder, a file's name, or that without its suffix.
            label: the column to learn; numbers with a decimal point are predicted as numbers, everything else is a class.
            task: "classification" or "regression", where that is not what is meant.
            missing: "refuse" files that the table does not name, or "drop" them.

        Raises:
            DataError: E105 or E106 the table, E111 there is no such column, E102 a file has no row or two different labels.
        """
        self._before_labels("label_by_table")
        if missing not in ("refuse", "drop"):
            raise UsageError("E202", f'missing is "{missing}"; "refuse" or "drop" is needed.', 'missing="drop"')
        columns = cells_of(Path(table), file, label)
        finder, found = Finder(self.root, self.files), dict[int, Any]()
        unknown = []
        for cell, value in zip(columns[file], columns[label], strict=True):
            if (i := finder.find(str(cell))) is None:
                unknown.append(str(cell))
            elif str(found.setdefault(i, value)) != str(value):
                raise DataError("E102", f"{table} has two labels for {cell}: {found[i]} and {value}.", "Correct one of the rows")
        lacking = [i for i in range(len(self.files)) if i not in found]
        if lacking and (missing == "refuse" or not found):
            example = finder.names[lacking[0]]
            message = f'{len(lacking):,} of {len(self.files):,} images have no row in {table} (column "{file}"), e.g. {example}'
            near = nearest(Path(example).name, unknown)
            fix = f'the table has "{near[0]}"' if near else f'label_by_table("{table}", file="{file}", label="{label}", missing="drop")'
            raise DataError("E102", f"{message}.", fix if found else f"Which column holds the names? file is {file!r} now; {fix}")
        items = self._only([i in found for i in range(len(self.files))])
        if unknown:
            items = replace(
                items, beside=(*items.beside, f"{len(unknown):,} rows of {Path(table).name} without an image, e.g. {unknown[0]}")
            )
        return items._label([found[i] for i in sorted(found)], "label_by_table", task, label)

    def images(self, *, size: int | tuple[int, int] | None = None, augment: str | Augment | None = None) -> Items:
        """How a file becomes an input: its largest centred box of the right shape, scaled.

        Args:
            size: side, or height and width, in pixels; by default the median short side, at least 8 and at most 48.
            augment: for training: "flip", "crop", "flip_crop", a function, or None.
        """
        return replace(self, size=size, augment=augment)

    def data(
        self,
        batch_size: int = 64,
        *,
        workers: int | None = None,
        seed: int = 0,
        strict: bool = False,
        max_memory: int = MAX_MEMORY,
        show: bool | None = None,
    ) -> Data:
        """Train, valid and test, audited and ready to feed.

        Args:
            batch_size: images a training batch.
            workers: worker processes; by default none for images in memory, else one for each core, up to 4.
            seed: of the order and the augmentation.
            strict: whether a file that cannot be read is an error instead of left out.
            max_memory: bytes of decoded images to keep in memory.
            show: whether to draw a progress bar; by default on a terminal.

        Raises:
            UsageError: E202 a step is missing.
            DataError: as `folder_data`.
        """
        if self.parts is None:
            raise UsageError("E202", f"The {len(self.files):,} images are not split yet.", ".split_by_share(0.1).label_by_folder().data()")
        if self.labels is None and self.values is None:
            raise UsageError("E202", f"The {len(self.files):,} images have no labels yet.", ".label_by_folder().data()")
        layout = Layout(self.root, self.classes, list(self.files), list(self.labels or ()), list(self.parts), other=self.other)
        layout.beside = list(self.beside)
        layout.values, layout.target = (None if self.values is None else list(self.values)), self.target
        return layout_data(
            layout,
            self.root.name or self.root.resolve().name,
            *self.shares,
            seed=seed,
            split_seed=self.split_seed,
            together=self.together,
            batch_size=batch_size,
            workers=workers,
            image_size=self.size,
            augment=self.augment,
            strict=strict,
            max_memory=max_memory,
            show=show,
        )

    def __str__(self) -> str:
        said = [f"{len(self.files):,} images in {self.root}"]
        if self.parts is not None:
            counts = Counter(self.parts)
            named = [f"{part} {counts[part]:,}" for part in PARTS if counts[part]]
            cut = [f"{share:.0%} {part}" for part, share in zip(("valid", "test"), self.shares, strict=True) if share]
            said.append("split: " + ", ".join([*named, *cut]))
        if self.labels is not None:
            said.append(f"{len(self.classes):,} classes: {', '.join(self.classes[:6])}{', ...' if len(self.classes) > 6 else ''}")
        if self.values is not None:
            said.append(f'number "{self.target}", {min(self.values):g} to {max(self.values):g}')
        return "; ".join(said)

    def _unsplit(self) -> None:
        if self.parts is not None:
            raise UsageError("E202", "The images are split already.", "Take out one of the two split_by_... steps")

    def _before_labels(self, step: str) -> None:
        if self.labels is not None or self.values is not None:
            raise UsageError(
                "E202", f"{step} comes after the labels; they are made of what is there then.", f"Put {step} before label_by_..."
            )

    def _only(self, wanted: Sequence[bool]) -> Items:
        """The files that are wanted, with what is known of them."""
        chosen = [i for i, w in enumerate(wanted) if w]
        picked: dict[str, Any] = {
            name: tuple(value[i] for i in chosen)
            for name in ("files", "parts", "together", "labels", "values")
            if (value := getattr(self, name)) is not None
        }
        return replace(self, **picked)

    def _cut(self, parts: Sequence[str | None], shares: Sequence[float], *, seed: int, left: str = "") -> Items:
        """With these parts; what is in none is left out and said."""
        if "train" not in parts and "" not in parts:
            raise DataError("E107", f"None of the {len(parts):,} images is in train: there is nothing to learn from.", "Name a train part")
        if sum(shares) >= 1:
            raise UsageError(
                "E202", f"valid and test take {sum(shares):g} of the images; together below 1 is needed.", "split_by_share(0.1)"
            )
        kept = self._only([part is not None for part in parts])
        out = [file for file, part in zip(self.files, parts, strict=True) if part is None]
        beside = (*self.beside, f"{len(out):,} images that {left}, e.g. {out[0]}") if out else self.beside
        known = tuple(part for part in parts if part is not None)
        return replace(kept, parts=known, shares=(shares[0], shares[1]), split_seed=seed, beside=beside)

    def _label(self, found: Sequence[Any], step: str, task: str | None = None, name: str = "value") -> Items:
        """With these labels: classes are those of the training files; Raises DataError E102 for one that only another part has."""
        self._before_labels(step)
        if self.parts is None:
            message = f"{step} comes after a split: the classes are those of the training images."
            raise UsageError("E202", message, f".split_by_share(0.1).{step}(...)")
        if task not in (None, *TASKS):
            raise UsageError(
                "E202", f'task is "{task}"; {" or ".join(TASKS)} is needed.', f'task="{(nearest(str(task), TASKS) or TASKS)[0]}"'
            )
        refuse_empty(found, self.files, step)
        numbers = numbers_of(found, self.files, step, task)
        if numbers is not None:
            return replace(self, values=numbers, target=name)
        classes, labels = classes_of(found, self.parts, self.files)
        return replace(self, classes=classes, labels=labels)


def _checked(share: float) -> float:
    if not 0 <= share < 1:
        raise UsageError("E202", f"A share is {share:g}; 0 to below 1 is needed.", "split_by_share(valid=0.1, test=0.1)")
    return float(share)


def _share(said: str | float | None, named: bool) -> float:
    """The share to cut for a part: as said, a tenth where nothing is said, nothing where files are named for it."""
    if named or isinstance(said, str):
        return 0.0
    return SHARE if said is None else _checked(said)
