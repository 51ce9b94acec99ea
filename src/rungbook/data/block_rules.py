"""What the steps of a data block ask of names, lists, tables and functions, with an error that names the file where they fail."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from rungbook.data.layout import SPLITS
from rungbook.data.pil import SUFFIXES
from rungbook.errors import DataError, UsageError, did_you_mean, nearest


class Finder:
    """Finds files by what people call them: a path below the folder, a file's name, or that without its suffix; what is not clear is none.

    Args:
        root: the folder.
        files: the files.
    """

    def __init__(self, root: Path, files: Sequence[Path]) -> None:
        self.root, self.files = root, files
        self.names = [(f.relative_to(root) if f.is_relative_to(root) else f).as_posix() for f in files]
        self._index: dict[str, int | None] = {}
        for i, name in enumerate(self.names):
            path = Path(name)
            for said in {name, path.name, path.stem, path.with_suffix("").as_posix(), files[i].as_posix()}:
                self._index[said] = None if said in self._index and self._index[said] != i else i
        self._index |= {name: i for i, name in enumerate(self.names)}  # a whole path is always clear

    def find(self, said: str) -> int | None:
        """The number of the file that is meant, or None."""
        return self._index.get(said.strip().replace("\\", "/").removeprefix("./"))

    def why(self, said: str) -> str:
        """Why `find` gave None, as the end of a sentence."""
        alike = sum(Path(name).name == said or Path(name).stem == said for name in self.names)
        return f"is the name of {alike} files: a path below {self.root} is needed" if alike > 1 else f"is no image in {self.root}"


def suffix_set(suffixes: Sequence[str] | None) -> set[str]:
    """The endings to look for, in lower case with a dot. Raises UsageError E201 for one that is not read."""
    if suffixes is None:
        return set(SUFFIXES)
    wanted = {f".{s.lower().lstrip('.')}" for s in ([suffixes] if isinstance(suffixes, str) else suffixes)}
    for suffix in sorted(wanted - set(SUFFIXES)):
        raise UsageError("E201", f'"{suffix}" is no kind of image that is read.', did_you_mean(suffix, SUFFIXES))
    return wanted


def called(function: Callable[[Path], Any], file: Path, step: str) -> Any:
    """`function(file)`; whatever it raises becomes UsageError E202 with the file's name."""
    try:
        return function(file)
    except Exception as error:  # the caller's own function: any kind
        raise UsageError(
            "E202", f"{step}: the function raised {type(error).__name__} for {file}: {error}.", f"Try it alone: f({str(file)!r})"
        ) from error


def by_pattern(pattern: str, files: Sequence[Path], step: str) -> Callable[[Path], str]:
    """A function that finds a pattern in a file's name: its first group, or the whole match.

    Raises:
        UsageError: E202 it is no regular expression, or a name does not match.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise UsageError("E202", f"{step}: {pattern!r} is no regular expression: {error}.", r'as r"^(.+)_\d+\.jpg$"') from None

    def rule(file: Path) -> str:
        match = compiled.search(file.name)
        assert match is not None
        return match[1] if compiled.groups else match[0]

    if lost := [f for f in files if not (m := compiled.search(f.name)) or (compiled.groups and m[1] is None)]:
        message = f"{step}: {len(lost):,} of {len(files):,} names do not match {pattern!r}, e.g. {lost[0].name}."
        raise UsageError("E202", message, f"Loosen it, or leave them out first: .keep(lambda file: re.search({pattern!r}, file.name))")
    return rule


def listed_names(listed: str | Path | Iterable[str], finder: Finder, part: str) -> list[int]:
    """The files that a list names.

    Args:
        listed: a text file with a name a line, or the names. Empty lines and those that begin with # are passed over.
        finder: of the files.
        part: what the list is for.

    Raises:
        DataError: E105 the list is missing or a name is not there, E106 it cannot be read, E107 it is empty.
    """
    if isinstance(listed, str | Path):
        path = Path(listed)
        if not path.is_file():
            beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
            near = nearest(path.name, beside)
            raise DataError(
                "E105", f"The list for {part}, {path}, is not there.", f"Did you mean {path.parent / near[0]}?" if near else "Check it"
            )
        try:
            lines = [(f"line {n} of {path}", line.strip()) for n, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1)]
        except (OSError, UnicodeDecodeError) as error:
            raise DataError("E106", f"{path} cannot be read as text: {error}.", "Save it as UTF-8, a name a line") from error
    else:
        lines = [(f"name {n} of the list for {part}", str(name)) for n, name in enumerate(listed, 1)]
    found = []
    for where, line in lines:
        if not line or line.startswith("#"):
            continue
        i = finder.find(line)
        if i is None:
            word = line.split()[0]
            if (i := finder.find(word)) is None:
                near = nearest(word, (Path(n).name for n in finder.names))
                raise DataError(
                    "E105", f'{where}: "{word}" {finder.why(word)}.', f'Did you mean "{near[0]}"?' if near else "Check the list"
                )
        found.append(i)
    if not found:
        raise DataError("E107", f"The list for {part} names no file.", f"Leave it out: {part}=0.1 cuts a share")
    return found


def cells_of(table: Path, *columns: str) -> dict[str, list[Any]]:
    """The cells of some columns of a table. Raises DataError E105, E106, E111."""
    from rungbook.data.table import read_table

    frame = read_table(table).frame
    for column in columns:
        if column not in frame.columns:
            raise DataError("E111", f'{table} has no column "{column}".', did_you_mean(column, [str(c) for c in frame.columns]))
    return {column: frame[column].tolist() for column in columns}


def refuse_empty(found: Sequence[Any], files: Sequence[Path], step: str) -> None:
    """Raise DataError E111, with the first file, if labels are None, blank or not a number's value (NaN)."""
    empty = [f for v, f in zip(found, files, strict=True) if v is None or not str(v).strip() or (isinstance(v, float) and math.isnan(v))]
    if empty:
        message = f"{step}: {len(empty):,} of {len(found):,} images have no label, e.g. {empty[0]}."
        raise DataError("E111", message, "Give them one, or leave them out with keep(...)")


def numbers_of(found: Sequence[Any], files: Sequence[Path], step: str, task: str | None) -> tuple[float, ...] | None:
    """The labels as numbers to be predicted, or None if they are classes. Raises DataError E103 for one that is no number."""
    numbers = [_number(value) for value in found]
    if task is None:
        broken = [isinstance(v, float) or (isinstance(v, str) and not v.strip().lstrip("+-").isdigit()) for v in found]
        task = "regression" if any(broken) and all(n is not None for n in numbers) else "classification"
    if task == "classification":
        return None
    for value, number, file in zip(found, numbers, files, strict=True):
        if number is None:
            message = f'{step}: the label of {file} is "{value}", a number is needed for regression.'
            raise DataError("E103", message, 'task="classification" takes the labels as names')
    return tuple(n for n in numbers if n is not None)


def _number(value: Any) -> float | None:
    """The finite number a label is, or None."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def parts_by_folder(root: Path, files: Sequence[Path], said: dict[str, Any]) -> list[str | None]:
    """The part of each file by the folders on the way to it: "train", "valid", "test" or None.

    Args:
        root: the folder; what lies above it names no part.
        files: the files.
        said: part -> name of its folder, a share (no folder), or None for the usual names.

    Raises:
        DataError: E107 no file lies below a folder that is named.
    """
    names = {name.lower(): part for part, name in said.items() if isinstance(name, str)}
    known = {name: part for name, part in SPLITS.items() if said[part] is None} | names
    above = [(f.relative_to(root) if f.is_relative_to(root) else f).parts[:-1] for f in files]
    parts = [next((known[name.lower()] for name in folders if name.lower() in known), None) for folders in above]
    for name, part in names.items():
        if part not in parts:
            there = sorted({folder for folders in above for folder in folders})
            near = nearest(name, there)
            fix = f'split_by_folder({part}="{near[0]}")' if near else "split_by_share(0.1) needs no folders"
            raise DataError("E107", f'No image lies below a folder "{name}" of {root}; I see {", ".join(there[:6]) or "none"}.', fix)
    return parts


def classes_of(found: Sequence[Any], parts: Sequence[str], files: Sequence[Path]) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Names of the classes of the training files, sorted, and the class number of every file.

    Raises:
        DataError: E102 a class is in another part only.
    """
    texts = [str(value) for value in found]
    known = {text for text, part in zip(texts, parts, strict=True) if part in ("train", "")}
    for text, part, file in zip(texts, parts, files, strict=True):
        if text not in known:
            n, near = texts.count(text), nearest(text, known)
            message = f'{part} has the class "{text}" ({n:,} image{"s" * (n > 1)}, e.g. {file}), of which train has no image.'
            fix = f'Is it "{near[0]}"? Use one name' if near else f'Put images of "{text}" into train, or leave it out with keep(...)'
            raise DataError("E102", message, fix)
    classes = tuple(sorted(known))
    number = {name: i for i, name in enumerate(classes)}
    return classes, tuple(number[text] for text in texts)
