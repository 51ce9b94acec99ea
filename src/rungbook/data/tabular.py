"""Tables: from a file's rows to the three splits a model trains on, audited."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import numpy as np
import pandas as pd

from rungbook.data import audit_table
from rungbook.data.columns import Column, clean, infer_all
from rungbook.data.data import Data, Finding, fingerprint, make_feeds
from rungbook.data.feed import TensorSource
from rungbook.data.split import Parts, folds, split_indices
from rungbook.data.table import Table
from rungbook.data.table_encoder import TableEncoder
from rungbook.data.table_target import MIN_ROWS, Labels, find_target, ordered_classes, read_labels, wants_log
from rungbook.data.target import ClassTarget, NumberTarget, Target
from rungbook.errors import DataError, UsageError, did_you_mean

SMALL = 2000
"""Rows below which one test part is too small to trust and 5-fold scores are reported."""
LONG_TEXT = 6
"""Words of the median value from which a text column is learned from although there are other columns."""

Log = Literal["auto"] | bool


@dataclass
class AuditedTable:
    """A table after the audit: usable rows and columns, the target, and what was found.

    Args:
        name: what the table is called.
        frame: input columns at the usable rows.
        columns: what every column of the file is.
        labels: the target.
        rows: place of each usable row in the table given, (usable,).
        lines: its line in the file.
        groups: rows with equal inputs share a group, or None.
        text: the text column to learn from, None for numbers and categories.
        findings, facts: for `Data`.
    """

    name: str
    frame: pd.DataFrame
    columns: dict[str, Column]
    labels: Labels
    rows: np.ndarray
    lines: np.ndarray
    groups: np.ndarray | None
    text: str | None
    findings: list[Finding] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def strata(self) -> np.ndarray:
        """What each part gets its share of: the classes, or tenths of the target's range by rank."""
        if self.labels.task == "classification":
            return self.labels.values
        rank = pd.Series(self.labels.values).rank(method="first").to_numpy() - 1
        return (rank * 10 / len(rank)).astype(int)


def table_data(
    table: Table | pd.DataFrame,
    *,
    target: str | None,
    name: str,
    text: str | None = None,
    keep: Sequence[str] = (),
    valid: float = 0.1,
    test: float = 0.1,
    seed: int = 0,
    batch_size: int = 64,
    workers: int = 0,
    log: Log = "auto",
    parts: Parts | None = None,
    strict: bool = False,
) -> Data:
    """A table as `Data`: audited, split, encoded.

    Args:
        table: what `read_table` gave, or a DataFrame.
        target: the column to predict.
        name: what the table is called in messages and runs.
        text: the column to learn from as text; without it a text column is found if there is one.
        keep: columns to use although the audit would leave them out.
        valid, test: shares of the rows (groups of equal rows stay together, every class and target range gets its share).
        seed: of split and order.
        batch_size: rows a batch.
        workers: worker processes; tables are in memory and need none.
        log: whether a number is modelled in the logarithm; "auto" where it is positive and strongly skewed.
        parts: places of the rows of each part in `table`, instead of a split; a part that is not there is cut from train.
        strict: whether a row of the file that is no row of the table is an error instead of left out.

    Raises:
        DataError: no such target (E111), one that cannot be learned (E110, E112), too few rows (E113), a ragged row if `strict` (E114).
        UsageError: a name in `keep` or `text` is no column (E201).
    """
    table = as_table(table, name)
    if strict and table.rejected:
        line, reason = table.rejected[0]
        rest = f" ({len(table.rejected):,} such rows)" if len(table.rejected) > 1 else ""
        raise DataError("E114", f'"{table.name}" line {line}: {reason}{rest}.', "Correct the row, or leave out --strict.")
    audited = audit(table, target=target, name=name, text=text, keep=keep)
    dealt = _given_parts(audited, parts, valid, test, seed) if parts else _split(audited, np.arange(len(audited.rows)), valid, test, seed)
    data = build(audited, dealt, seed=seed, batch_size=batch_size, workers=workers, log=log)
    if not parts:
        data.folds = lambda k: table_folds(
            table,
            target=target,
            name=name,
            k=k,
            text=text,
            keep=keep,
            valid=valid,
            seed=seed,
            batch_size=batch_size,
            workers=workers,
            log=log,
        )
    return data


def table_folds(
    table: Table | pd.DataFrame,
    *,
    target: str | None,
    name: str,
    k: int = 5,
    text: str | None = None,
    keep: Sequence[str] = (),
    valid: float = 0.1,
    seed: int = 0,
    batch_size: int = 64,
    workers: int = 0,
    log: Log = "auto",
) -> Iterator[Data]:
    """The `k` data sets of a k-fold score: each row is in the test part of exactly one, valid is cut from the rest.

    Arguments as in `table_data`; each fold is encoded anew from its own training rows.
    """
    audited = audit(table, target=target, name=name, text=text, keep=keep)
    n = len(audited.rows)
    for tested in folds(n, k, seed=seed, strata=audited.strata, groups=audited.groups):
        rest = np.setdiff1d(np.arange(n), tested)
        dealt = _split(audited, rest, valid, 0.0, seed)
        yield build(audited, {**dealt, "test": tested}, seed=seed, batch_size=batch_size, workers=workers, log=log)


def audit(table: Table | pd.DataFrame, *, target: str | None, name: str, text: str | None = None, keep: Sequence[str] = ()) -> AuditedTable:
    """The usable rows and columns of a table with everything its owner should know. Arguments and errors as in `table_data`."""
    table = as_table(table, name)
    target = find_target(table.frame, target, name)
    _refuse_unknown(table.frame, [*keep, *([text] if text else [])], name)
    if target in (text, *keep):
        raise UsageError("E202", f'"{target}" is the target; it cannot be an input too.', "Leave it out of --text and --keep.")
    columns = infer_all(table.frame)
    labels = read_labels(table.frame[target], columns[target], name=name)
    rows = np.flatnonzero(labels.usable)
    lines = table.lines[rows]
    findings = [*_reading(table), *labels.findings]

    dropped, found = audit_table.unusable_columns(columns, target, [*keep, text or ""])
    findings += found
    usable = [c for c in columns if c != target and c not in dropped]
    values = {c: clean(table.frame[c])[rows] for c in usable}
    text_column = _text_column(usable, values, columns, text, keep, findings)
    if text_column:
        usable = [text_column]
    else:
        _drop_leaks(usable, values, columns, labels, keep, findings)
    values = {c: values[c] for c in usable}
    if not usable:
        raise DataError("E112", f'"{name}" has no column to predict "{target}" from.', "Use --keep COLUMN for one that was left out.")

    hashes = audit_table.row_hashes(values)
    copies = audit_table.find_copies(hashes, labels, lines)
    findings += [*copies.findings, *audit_table.near_copies(hashes, usable, columns, lines)]
    if labels.task == "classification":
        findings += audit_table.imbalance(labels)
    findings += audit_table.gaps((columns[c] for c in usable), len(table.frame))
    facts = {
        "rows": len(rows),
        "rows_in_file": len(table.frame) + len(table.rejected),
        "target": target,
        "columns": {c: columns[c].kind for c in columns if c != target},
        "used": usable,
    }
    if labels.task == "classification":
        names, counts = np.unique(labels.values.astype(str), return_counts=True)
        facts["class_shares"] = {str(n): float(c) / len(rows) for n, c in zip(names, counts, strict=True)}
    frame = table.frame.iloc[rows][usable].reset_index(drop=True)
    return AuditedTable(name, frame, columns, labels, rows, lines, copies.groups, text_column, findings, facts)


def as_table(table: Table | pd.DataFrame, name: str) -> Table:
    """A DataFrame as a table whose lines are its rows, counted from 1."""
    if isinstance(table, Table):
        return table
    frame = table.reset_index(drop=True)
    frame.columns = pd.Index([str(c) for c in frame.columns], dtype=object)
    return Table(frame, np.arange(1, len(frame) + 1), name=name)


def _refuse_unknown(frame: pd.DataFrame, names: Iterable[str], name: str) -> None:
    there = [str(c) for c in frame.columns]
    for column in names:
        if column not in there:
            raise UsageError("E201", f'"{name}" has no column "{column}".', did_you_mean(column, there, '"{}"'))


def _reading(table: Table) -> list[Finding]:
    """What was noticed while the file was read."""
    findings = [Finding("note", note) for note in table.notes]
    if table.rejected:
        shown = "; ".join(f"line {line}: {reason}" for line, reason in table.rejected[:3])
        more = f"; and {len(table.rejected) - 3} more" if len(table.rejected) > 3 else ""
        items = tuple(f"line {line}: {reason}" for line, reason in table.rejected)
        findings.append(Finding("W209", f"{len(table.rejected)} rows left out ({shown}{more})", items=items))
    return findings


def _text_column(
    usable: list[str],
    values: dict[str, np.ndarray],
    columns: dict[str, Column],
    text: str | None,
    keep: Sequence[str],
    findings: list[Finding],
) -> str | None:
    """The column to learn from as text, if any; text columns that are not used are taken off `usable`."""
    texts = [c for c in usable if columns[c].kind == "text"]
    others = [c for c in usable if c not in texts]
    chosen = text
    if not chosen and texts:
        words = {c: float(np.median([len(str(v).split()) for v in values[c] if v is not None])) for c in texts}
        longest = max(texts, key=lambda c: words[c])
        if not others or words[longest] >= LONG_TEXT:
            chosen = longest
    if chosen:
        if rest := [c for c in usable if c != chosen]:
            findings.append(
                Finding(
                    "note",
                    f'text of column "{chosen}" is learned from; not used beside it: {", ".join(rest)}',
                    "Take the text out to use the others.",
                    tuple(rest),
                )
            )
        return chosen
    for column in texts:
        usable.remove(column)
    if texts:
        findings.append(
            Finding(
                "note",
                f"text left out: {', '.join(texts)}",
                f"--text {texts[0]} learns from it instead of the other columns.",
                tuple(texts),
            )
        )
    return None


def _drop_leaks(
    usable: list[str],
    values: dict[str, np.ndarray],
    columns: dict[str, Column],
    labels: Labels,
    keep: Sequence[str],
    findings: list[Finding],
) -> None:
    """Take columns that give the target away off `usable`, unless kept by name or nothing would remain."""
    leaks = {c: why for c, why in audit_table.leaking_columns({c: values[c] for c in usable}, columns, labels).items() if c not in keep}
    if leaks and len(leaks) == len(usable):
        shown = ", ".join(f'"{c}" {why}' for c, why in leaks.items())
        findings.append(Finding("W207", f"{shown}: used all the same, there is no other column", items=tuple(leaks)))
        return
    for column, why in leaks.items():
        usable.remove(column)
        findings.append(
            Finding("W207", f'column "{column}" {why}: left out, probable leak', f"--keep {column} uses it all the same.", (column,))
        )


def _split(audited: AuditedTable, rows: np.ndarray, valid: float, test: float, seed: int) -> Parts:
    """Deal some usable rows; a class that went wholly to valid and test is taken back to train."""
    groups = None if audited.groups is None else audited.groups[rows]
    dealt = split_indices(len(rows), valid=valid, test=test, seed=seed, strata=audited.strata[rows], groups=groups)
    parts = {k: rows[v] for k, v in dealt.items()}
    if audited.labels.task == "classification":
        unseen = set(audited.labels.values[rows]) - set(audited.labels.values[parts["train"]])
        if unseen:
            back = np.array([r for r in rows if audited.labels.values[r] in unseen])
            if audited.groups is not None:
                back = rows[np.isin(audited.groups[rows], audited.groups[back])]
            parts = {k: np.setdiff1d(v, back) for k, v in parts.items()}
            parts["train"] = np.union1d(parts["train"], back)
    return parts


def _given_parts(audited: AuditedTable, parts: Parts, valid: float, test: float, seed: int) -> Parts:
    """Parts the caller fixed, without the rows that cannot be used; what is missing is cut from train and said so."""
    place = {int(row): i for i, row in enumerate(audited.rows)}
    dealt = {k: np.array(sorted(place[int(r)] for r in rows if int(r) in place), dtype=np.int64) for k, rows in parts.items()}
    missing = [k for k, share in (("valid", valid), ("test", test)) if share and not len(dealt.get(k, ()))]
    if missing:
        cut = _split(audited, dealt["train"], valid if "valid" in missing else 0.0, test if "test" in missing else 0.0, seed)
        dealt |= {k: cut[k] for k in ("train", *missing)}
        audited.findings.append(Finding("note", f"{' and '.join(missing)} cut from train"))
    if audited.groups is not None:
        seen = set(audited.groups[dealt["train"]])
        if shared := sum(audited.groups[i] in seen for k in ("valid", "test") for i in dealt.get(k, ())):
            audited.findings.append(Finding("W207", f"{shared} rows of valid and test have the inputs of a training row"))
    return {k: dealt.get(k, np.zeros(0, dtype=np.int64)) for k in ("train", "valid", "test")}


def fit_target(audited: AuditedTable, train: np.ndarray, log: Log) -> tuple[Target, list[Finding]]:
    """The target of the training rows, and a note if it is modelled in the logarithm."""
    labels = audited.labels
    if labels.task == "classification":
        return ClassTarget(ordered_classes(labels.values), labels.name), []
    values = labels.values[train]
    positive = bool(labels.values.min() > 0)
    if log is True and not positive:
        raise DataError("E112", f'the target "{labels.name}" has values of 0 or below: it has no logarithm.', "Use log=false.")
    use_log = positive and (wants_log(values) if log == "auto" else bool(log))
    notes = []
    if use_log and log == "auto":
        notes.append(
            Finding(
                "note",
                f'target "{labels.name}" is positive and strongly skewed: its logarithm is modelled',
                "log=false models it as it is.",
            )
        )
    return NumberTarget.fit(values, log=use_log, name=labels.name), notes


def _cells(frame: pd.DataFrame, rows: np.ndarray, i: int) -> dict[str, Any]:
    """Row `i` of a part as the user wrote it."""
    return {str(k): v for k, v in frame.iloc[rows[i]].items()}


def build(audited: AuditedTable, parts: Parts, *, seed: int, batch_size: int, workers: int, log: Log) -> Data:
    """`Data` of an audited table cut into parts (places among its usable rows)."""
    if len(parts["train"]) < MIN_ROWS // 2:
        raise DataError(
            "E113", f'"{audited.name}" leaves {len(parts["train"])} rows to train on.', "Add rows, or ask for smaller valid and test."
        )
    target, notes = fit_target(audited, parts["train"], log)
    y = target.encode(list(audited.labels.values))
    names = {k: [f"{audited.name} line {line}" for line in audited.lines[rows]] for k, rows in parts.items()}
    facts = {**audited.facts, "parts": {k: len(v) for k, v in parts.items()}}
    if audited.text is not None:
        from rungbook.data.text import TextEncoder

        texts = clean(audited.frame[audited.text])
        encoder: Any = TextEncoder.fit(texts[parts["train"]], column=audited.text)
        sources: dict[str, Any] = {k: encoder.source(texts[rows], y[rows], names[k]) for k, rows in parts.items()}
        facts |= {"vocabulary": len(encoder.vocabulary) + 2}
    else:
        encoder = TableEncoder.fit(audited.frame.iloc[parts["train"]], audited.columns)
        numbers, categories = encoder.encode(audited.frame)
        sources = {
            k: TensorSource((numbers[rows], categories[rows]), y[rows], names[k], partial(_cells, audited.frame, rows))
            for k, rows in parts.items()
        }
        if not numbers.shape[1] and not categories.shape[1]:
            message = (
                f'no column of "{audited.name}" says anything about the training rows: no number varies, no level occurs often enough.'
            )
            raise DataError("E112", message, "Add rows, or columns.")
        facts |= {"numbers": numbers.shape[1], "categories": categories.shape[1]}
    feeds = make_feeds(sources, batch_size=batch_size, seed=seed, workers=workers, encoder=encoder)
    train = feeds["train"]
    assert train is not None
    print_of = fingerprint(
        [*(clean(audited.frame[c]) for c in audited.frame), audited.labels.values, *(parts[k] for k in ("train", "valid", "test"))]
    )
    return Data(audited.name, target, train, feeds["valid"], feeds["test"], encoder, [*audited.findings, *notes], facts, print_of)
