"""Which column of a table is predicted, and whether as classes or as a number."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from rungbook.data.columns import Column, clean, describe_value, infer_all, present, to_levels, to_numbers
from rungbook.data.data import Finding
from rungbook.errors import DataError, did_you_mean

MIN_ROWS = 20
"""Rows with a target below which nothing can be judged: a test part of two rows says nothing."""
MAX_CLASSES = 20
"""Different whole numbers up to which they count as classes, if there are at least ten rows for each."""
SKEWED = 1.0
"""Skewness above which a positive target is modelled in the logarithm, if that at least halves it."""

_USUAL_NAMES = ("target", "label", "class", "y", "price", "outcome", "result")


@dataclass(frozen=True)
class Labels:
    """The target column, read.

    Args:
        name: the column.
        task: "classification" or "regression".
        values: class names (object) or numbers (float64) of the usable rows, shape (usable,).
        usable: which rows of the table have a target that can be learned, bool, shape (rows,).
        findings: what was left out and what was decided.
    """

    name: str
    task: str
    values: np.ndarray
    usable: np.ndarray
    findings: tuple[Finding, ...] = ()


def find_target(frame: pd.DataFrame, target: str | None, name: str) -> str:
    """The target column, or the error that names the nearest (E111) or, if none is given, all columns that could be it."""
    names = [str(c) for c in frame.columns]
    if target is None:
        columns = infer_all(frame)
        candidates = [n for n in names if columns[n].kind in ("number", "category")] or names
        candidates.sort(key=lambda n: (n.lower() not in _USUAL_NAMES, n != names[-1]))  # likely ones first, then file order
        shown = ", ".join(candidates[:12]) + (f", ... ({len(candidates)} in all)" if len(candidates) > 12 else "")
        raise DataError(
            "E111",
            f'"{name}": which column is to be predicted? It could be: {shown}.',
            f"Name it: rung train {name} --target {_quoted(candidates[0])}",
        )
    if target not in names:
        raise DataError("E111", f'"{name}" has no column "{target}".', did_you_mean(target, names, '--target "{}"'))
    return target


def _quoted(name: str) -> str:
    return f'"{name}"' if any(not (c.isalnum() or c in "_-.") for c in name) else name


def read_labels(column: pd.Series, info: Column, *, name: str) -> Labels:
    """What the target column holds.

    Args:
        column: the target column, all rows.
        info: what `columns.infer` found.
        name: what messages call the table.

    Raises:
        DataError: the target never changes (E112 a number, E110 a class), is a date or free text (E112), or fewer than
            `MIN_ROWS` rows have one (E113).
    """
    target = str(column.name)
    values = clean(column)
    usable = present(values)
    if usable.sum() < MIN_ROWS:
        raise DataError(
            "E113",
            f'"{name}" has {usable.sum()} rows with a value of "{target}", it takes {MIN_ROWS}.',
            "Add rows, or name another --target.",
        )
    findings: list[Finding] = []
    if info.kind == "date":
        raise DataError(
            "E112",
            f'the target "{target}" is a date; I predict classes or numbers.',
            "Make it a number (days, say) in a column of its own.",
        )
    task = _task(values[usable], info)
    if task == "regression":
        numbers = to_numbers(values)
        good = np.isfinite(numbers)
        _left_out(findings, column, ~good)
        if good.sum() < MIN_ROWS:
            raise DataError("E113", f'"{name}" has {good.sum()} rows with a number in "{target}", it takes {MIN_ROWS}.', "Add rows.")
        if numbers[good].min() == numbers[good].max():
            raise DataError(
                "E112", f'the target "{target}" is {numbers[good][0]:g} in every row: there is nothing to learn.', "Name another --target."
            )
        return Labels(target, task, numbers[good], good, tuple(findings))
    levels = to_levels(values, numeric=info.kind == "number" or info.numeric or _is_whole(values[usable]))
    usable, kept = _classes(levels, usable, target, name, findings)
    _left_out(findings, column, ~present(values))
    if info.kind == "number" and (distinct := len(set(kept))) > 2:
        said = f'target "{target}" has {distinct} different whole numbers: taken as classes'
        findings.append(Finding("note", said))
    return Labels(target, task, kept, usable, tuple(findings))


def label_values(column: pd.Series, task: str, classes: tuple[str, ...] = ()) -> np.ndarray:
    """The target column of another file, read as the one that was learned.

    Args:
        column: the column.
        task: "classification" or "regression".
        classes: class names of the model; tell whether classes are numbers.

    Returns:
        Class names (object, None where missing) or numbers (float64, NaN where missing), shape (rows,).
    """
    values = clean(column)
    if task == "regression":
        return to_numbers(values)
    return to_levels(values, numeric=bool(classes) and bool(np.isfinite(to_numbers(np.array(classes, dtype=object))).all()))


def _is_whole(values: np.ndarray) -> bool:
    numbers = to_numbers(values)
    return bool(np.isfinite(numbers).all() and (numbers == np.floor(numbers)).all())


def _task(values: np.ndarray, info: Column) -> str:
    """Classes are strings, truth values or few whole numbers; everything else is a number to be predicted."""
    if isinstance(values[0], (bool, np.bool_)) or info.kind == "category":
        return "classification"
    if info.kind in ("number", "id", "constant"):
        numbers = to_numbers(values)
        if not np.isfinite(numbers).any():
            return "classification"
        numbers = numbers[np.isfinite(numbers)]
        distinct = len(np.unique(numbers))
        whole = bool((numbers == np.floor(numbers)).all())
        if distinct == 1:
            return "regression"  # says that the number never changes
        few = distinct == 2 or (whole and distinct <= MAX_CLASSES and distinct * 10 <= len(numbers))
        return "classification" if few else "regression"
    return "classification"


def _classes(levels: np.ndarray, usable: np.ndarray, target: str, name: str, findings: list[Finding]) -> tuple[np.ndarray, np.ndarray]:
    """Rows whose class has at least two rows, and their classes."""
    names, counts = np.unique(levels[usable].astype(str), return_counts=True)
    if len(names) > 1 and len(names) > 0.5 * usable.sum():
        raise DataError(
            "E112",
            f'the target "{target}" has {len(names)} different values in {usable.sum()} rows, such as {describe_value(levels[usable][0])}: '
            "these are neither numbers nor classes.",
            "Name another --target.",
        )
    single = set(names[counts == 1])
    kept = [n for n in names if n not in single]
    if len(kept) < 2:
        found = f'is "{names[0]}" in every row' if len(names) == 1 else f'has one class of more than a row, "{kept[0]}"'
        raise DataError(
            "E110", f'the target "{target}" of "{name}" {found}: it takes two classes to tell apart.', "Add rows of another class."
        )
    if single:
        shown = ", ".join(f'"{n}"' for n in sorted(single)[:5])
        findings.append(
            Finding(
                "W209",
                f"classes with a single row left out: {shown} ({len(single)} in all); one row cannot be both learned and tested",
                items=tuple(sorted(single)),
            )
        )
        usable = usable & np.array([v not in single for v in levels])
    if usable.sum() < MIN_ROWS:
        raise DataError("E113", f'"{name}" has {usable.sum()} usable rows, it takes {MIN_ROWS}.', "Add rows.")
    return usable, levels[usable]


def _left_out(findings: list[Finding], column: pd.Series, missing: np.ndarray) -> None:
    """One finding for the rows without a target, with how the gaps are written."""
    if count := int(missing.sum()):
        written = pd.unique(column[missing].map(lambda v: v if isinstance(v, str) and v.strip() else "empty"))
        spelled = ", ".join(str(w) for w in written[:5])
        findings.append(Finding("W209", f'{count} of {len(missing)} rows have no usable "{column.name}" ({spelled}): left out'))


def skewness(values: np.ndarray) -> float:
    """The third standardised moment of numbers; 0 for constant ones."""
    centred = np.asarray(values, dtype=np.float64) - np.mean(values)
    spread = centred.std()
    return float((centred**3).mean() / spread**3) if spread > 0 else 0.0


def wants_log(values: np.ndarray) -> bool:
    """Whether a target is positive and so skewed that its logarithm is modelled instead."""
    if values.min() <= 0:
        return False
    skew = skewness(values)
    return skew > SKEWED and abs(skewness(np.log(values))) < skew / 2


def ordered_classes(values: np.ndarray) -> tuple[str, ...]:
    """Class names in order: by number where all are numbers, else by letter."""
    names = sorted(set(values))
    numbers = to_numbers(np.array(names, dtype=object))
    return tuple(n for _, n in sorted(zip(numbers, names, strict=True))) if np.isfinite(numbers).all() else tuple(names)
