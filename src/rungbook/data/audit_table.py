"""What the owner of a table should know before a model learns from it: columns left out, leaks, copies, contradictions, imbalance.

Tone and codes: W207 for what makes scores too good, W208 for rare classes, W209 for rows and cells left out, W210 for rows that contradict
each other, "note" for what was done without harm.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rungbook.data.columns import Column, describe_value, to_numbers
from rungbook.data.data import Finding
from rungbook.data.table_target import Labels

LEAK = 0.999
"""Correlation with the target from which a column counts as the target in other words."""
RARE = 0.1
"""Share below which a class counts as rare; with many classes, half of an equal share."""
NEAR_COLUMNS = 5
"""Columns from which equal rows but for one number are worth a word: with fewer, rows resemble each other by chance."""
NEAR_CELLS = 20_000_000
"""Cells up to which near-copies are looked for (a few seconds)."""


@dataclass(frozen=True)
class Copies:
    """Rows with equal inputs.

    Args:
        groups: group of each row, shape (rows,); rows with equal inputs share one. None if grouping would leave nothing to split.
        findings: what there is to say.
    """

    groups: np.ndarray | None
    findings: tuple[Finding, ...]


def unusable_columns(columns: dict[str, Column], target: str, keep: Iterable[str]) -> tuple[list[str], list[Finding]]:
    """Columns nothing can be learned from, and the findings that say why."""
    reasons = {
        "constant": ("never changes", "never change"),
        "missing": ("has no values", "have no values"),
        "id": ("unique per row, like an identifier", "unique per row, like identifiers"),
    }
    dropped, findings = [], []
    for kind, (one, many) in reasons.items():
        names = [c.name for c in columns.values() if c.kind == kind and c.name != target and c.name not in set(keep)]
        if names:
            dropped += names
            fix = f"--keep {names[0]} uses it all the same." if kind == "id" else ""
            findings.append(Finding("note", f"{_columns(names)} {one if len(names) == 1 else many}: left out", fix, tuple(names)))
    return dropped, findings


def _columns(names: Sequence[str], most: int = 6) -> str:
    shown = ", ".join(f'"{n}"' for n in names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
    return f"column {shown}" if len(names) == 1 else f"columns {shown}"


def leaking_columns(values: dict[str, np.ndarray], columns: dict[str, Column], labels: Labels) -> dict[str, str]:
    """Columns that give the target away, with the evidence.

    Args:
        values: cleaned values of each input column at the usable rows.
        columns: what the columns are.
        labels: the target.
    """
    found = {}
    for name, column in values.items():
        if labels.task == "regression":
            if columns[name].kind in ("number", "id") and (r := _correlation(to_numbers(column), labels.values)):
                found[name] = f"predicts the target exactly (r={r:.3f})"
        elif columns[name].kind in ("number", "category") and _one_to_one(column, labels.values):
            found[name] = "has one value for each class of the target"
    return found


def _correlation(x: np.ndarray, y: np.ndarray) -> float | None:
    """Pearson's r, or that of the ranks (a monotone copy such as the logarithm), where it is beyond `LEAK`; else None."""
    both = np.isfinite(x)
    if both.mean() < 0.5 or both.sum() < 20 or len(np.unique(x[both])) < 3:
        return None
    pairs = [(x[both], y[both]), (pd.Series(x[both]).rank().to_numpy(), pd.Series(y[both]).rank().to_numpy())]
    for a, b in pairs:
        if a.std() > 0 and b.std() > 0 and abs(r := float(np.corrcoef(a, b)[0, 1])) > LEAK:
            return r
    return None


def _one_to_one(x: np.ndarray, y: np.ndarray) -> bool:
    """Whether each value stands for one class and each class for one value; a missing value counts as one."""
    code, levels = pd.factorize(x, use_na_sentinel=False)
    classes, names = pd.factorize(y)
    pairs = len(np.unique(code * len(names) + classes))
    return len(levels) == len(names) == pairs


def row_hashes(values: dict[str, np.ndarray]) -> np.ndarray:
    """A hash of each cell, uint64, shape (columns, rows); the wrapping sum over columns is the hash of a row."""
    hashes = []
    for i, column in enumerate(values.values()):
        codes, levels = pd.factorize(column)
        of_level = pd.util.hash_array(np.array([str(v) for v in levels], dtype=object), hash_key=f"{i:016d}")
        hashes.append(np.append(of_level, np.uint64(0))[codes])
    return np.array(hashes, dtype=np.uint64)


def find_copies(hashes: np.ndarray, labels: Labels, lines: np.ndarray) -> Copies:
    """Rows with equal inputs, to be kept on one side of the split, and those whose targets differ all the same."""
    groups, first, sizes = _groups(hashes.sum(axis=0, dtype=np.uint64))
    n = len(groups)
    copies = n - len(sizes)
    if not copies:
        return Copies(groups, ())
    if len(sizes) < n / 2 or sizes.max() > max(2, 0.1 * n):
        message = f"the inputs take only {len(sizes)} different values in {n} rows: equal rows are split like any others"
        return Copies(None, (Finding("note", message, "The score is then one on inputs already seen."),))
    repeated = sizes[groups] > 1
    example = lines[groups == groups[int(np.flatnonzero(repeated)[0])]][:2]
    found = f"{rows_that(copies, 'repeat')} the inputs of another (lines {example[0]} and {example[1]}, for example)"
    findings = [Finding("note", f"{found}: kept on one side of the split", items=_line_names(lines[repeated]))]
    if labels.task == "classification":
        findings += _contradictions(groups, first, labels, lines)
    return Copies(groups, tuple(findings))


def _contradictions(groups: np.ndarray, first: np.ndarray, labels: Labels, lines: np.ndarray) -> list[Finding]:
    """W210 for rows with equal inputs and different classes. (Numbers differ by noise; that is no contradiction.)"""
    codes = pd.factorize(labels.values)[0]
    differ = codes != codes[first][groups]
    if not differ.any():
        return []
    j = int(np.flatnonzero(differ)[0])
    k = int(first[groups[j]])
    message = (
        f'{rows_that(int(differ.sum()), "have")} the inputs of another but a different "{labels.name}": line {lines[k]} says '
        f"{describe_value(labels.values[k])}, line {lines[j]} {describe_value(labels.values[j])}"
    )
    bad = np.isin(groups, groups[differ])
    return [Finding("W210", message, "No model can tell these classes apart; correct the rows if one is wrong.", _line_names(lines[bad]))]


def rows_that(n: int, verb: str) -> str:
    """ "1 row repeats", "2 rows repeat"."""
    return f"{n} rows {verb}" if n != 1 else f"1 row {'has' if verb == 'have' else verb + 's'}"


def _groups(hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Group of each row (by equal hash), first row of each group, size of each group; groups count in order of appearance."""
    groups, names = pd.factorize(hashes)
    _, first = np.unique(groups, return_index=True)
    return groups, first, np.bincount(groups, minlength=len(names))


def near_copies(hashes: np.ndarray, names: list[str], columns: dict[str, Column], lines: np.ndarray) -> list[Finding]:
    """One finding for rows that equal another in all columns but one number."""
    if len(names) < NEAR_COLUMNS or hashes.size > NEAR_CELLS:
        return []
    total = hashes.sum(axis=0, dtype=np.uint64)
    near = np.zeros(len(total), dtype=bool)
    by_column: dict[str, int] = {}
    example: tuple[int, int] | None = None
    for i, name in enumerate(names):
        if columns[name].kind != "number":
            continue
        groups, first, sizes = _groups(total - hashes[i])
        alike = (sizes[groups] > 1) & (total != total[first][groups])  # an exact copy is no near one
        if alike.any():
            j = int(np.flatnonzero(alike)[0])
            example = example or (int(lines[first[groups[j]]]), int(lines[j]))
            alike = np.isin(groups, groups[alike])  # the first of each group too
            by_column[name] = int(alike.sum())
            near |= alike
    if example is None:
        return []
    most = max(by_column, key=lambda n: by_column[n])
    where = f'(most often "{most}"; lines {example[0]} and {example[1]}, for example)'
    message = f"{rows_that(int(near.sum()), 'equal')} another in all columns but one number {where}"
    fix = "Where these are the same case twice, keep one: a twin in the test part makes the score too good."
    return [Finding("W207", message, fix, _line_names(lines[near]))]


def _line_names(lines: np.ndarray, most: int = 50) -> tuple[str, ...]:
    return tuple(f"line {line}" for line in lines[:most])


def imbalance(labels: Labels) -> list[Finding]:
    """W208 if a class is rare."""
    names, counts = np.unique(labels.values.astype(str), return_counts=True)
    shares = counts / counts.sum()
    rare = shares < min(RARE, 0.5 / len(names))
    if not rare.any():
        return []
    order = [i for i in np.argsort(shares) if rare[i]]
    shown = ", ".join(f'"{names[i]}" is {shares[i]:.1%}' for i in order[:3]) + (
        f" and {len(order) - 3} more classes are rare" if len(order) > 3 else ""
    )
    most = int(np.argmax(shares))
    message = f'{shown}: balanced accuracy is shown too; always answering "{names[most]}" scores {shares[most]:.1%}'
    return [Finding("W208", message, "class_weights=balanced weights the loss.", tuple(str(names[i]) for i in order))]


def gaps(columns: Iterable[Column], rows: int) -> list[Finding]:
    """Missing values for each column, and cells that do not read as the rest of their column does."""
    columns = list(columns)
    findings = []
    with_gaps = sorted((c for c in columns if c.missing), key=lambda c: -c.missing)
    if with_gaps:
        shown = ", ".join(
            f"{c.name} {int(100 * c.missing / rows)}%" if c.missing >= 0.01 * rows else f"{c.name} {c.missing}" for c in with_gaps[:8]
        )
        more = f" and {len(with_gaps) - 8} more" if len(with_gaps) > 8 else ""
        where = f"{len(with_gaps)} columns" if len(with_gaps) > 1 else "1 column"
        message = f"missing values in {where}: {shown}{more}; filled with the median, or a level of their own"
        findings.append(Finding("note", message, items=tuple(f"{c.name}: {c.missing}" for c in with_gaps)))
    for c in columns:
        if c.odd_count:
            shown = ", ".join(describe_value(v) for v in c.odd)
            findings.append(Finding("W209", f'column "{c.name}": {c.odd_count} cells are no {c.kind} ({shown}): they count as missing'))
    return findings
