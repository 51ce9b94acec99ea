"""What a source holds, in words: its classes or numbers, its columns, its split, what was found in it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from rich.text import Text

from rungbook.data.data import Data, Finding
from rungbook.data.target import NumberTarget

WIDEST = 110
"""Characters a line of prose takes at most, however wide the terminal."""
SHOWN = 8
"""Names of a list that are shown; the rest is counted."""
CLASSES = 30
"""Classes whose counts are shown."""
UNBROKEN = "\N{NO-BREAK SPACE}"
"""Stands where a line must not be broken; printed as a blank."""
PLURAL = {"number": "numbers", "category": "categories", "date": "dates", "text": "text", "id": "identifiers"}


def paragraph(console: Any, head: str, text: str, *, style: str = "", body: str = "") -> None:
    """Print text after a head, later lines set in as far as the first.

    Args:
        console: a rich Console.
        head: what stands before the first line, with its blanks.
        text: printed as it is: nothing in it is markup.
        style: of the head.
        body: style of the text.
    """
    room = max(40, min(console.width, WIDEST) - len(head) - 1)
    for i, line in enumerate(textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False) or [""]):
        start = Text(head, style=style) if i == 0 else Text(" " * len(head))
        console.print(start + Text(line.replace(UNBROKEN, " "), style=body), soft_wrap=True)


def plain(console: Any, text: str, style: str = "") -> None:
    """Print a line as it is: not broken, so that it can be copied, and nothing in it is markup."""
    console.print(text, style=style, markup=False, soft_wrap=True)


def some(names: Sequence[str], most: int = SHOWN) -> str:
    """The first few names, and how many there are in all."""
    return ", ".join(names[:most]) + (f", ... ({len(names):,} in all)" if len(names) > most else "")


def headline_of(data: Data) -> str:
    """What is predicted from what, in one line without the name."""
    facts, n = data.facts, sum(feed.samples for feed in data.splits().values())
    kind = data.encoder.kind if data.encoder else "array"
    what = f"{len(data.classes)} classes" if data.classes else f'numbers "{data.target.name}"'
    if kind == "image":
        files = facts.get("files", n)
        return f"{n:,} images of {what}" + (f" ({files:,} files)" if files != n else "")
    if kind in ("table", "one_hot"):
        what = f'"{data.target.name}" ({what})' if data.classes else f'the number "{data.target.name}"'
        columns = len(facts.get("used", ()))
        return f"{n:,} rows, {what} from {columns} column{'s' * (columns != 1)}"
    return f'{n:,} texts, "{data.target.name}" ({what})' if kind == "text" else f"{n:,} samples, {what}"


def splits_of(data: Data) -> str:
    """Samples of each split."""
    return ", ".join(f"{name} {feed.samples:,}" for name, feed in data.splits().items())


def targets_of(data: Data) -> str:
    """Samples of each class, or the range of the numbers."""
    targets = [feed.source.targets() for feed in data.splits().values()]
    if not data.classes:
        values = np.concatenate(
            [np.asarray(data.target.values(t) if isinstance(data.target, NumberTarget) else t).ravel() for t in targets]
        )
        low, high = np.quantile(values, [0.25, 0.75])
        return f"{values.min():g} to {values.max():g}, mean {values.mean():g}, the middle half {low:g} to {high:g}"
    counts = np.sum([np.bincount(t.numpy(), minlength=len(data.classes)) for t in targets], axis=0)
    names = [name if name.strip() else repr(name) for name in data.classes[:CLASSES]]
    shown = "   ".join(f"{name}{UNBROKEN}{n:,}" for name, n in zip(names, counts.tolist(), strict=False))
    return shown + (f"   ... ({len(data.classes):,} in all)" if len(data.classes) > CLASSES else "")


def lines_of(data: Data) -> Iterable[tuple[str, str]]:
    """What else there is to know of a source: (label, text)."""
    facts = data.facts
    yield ("classes" if data.classes else "values"), targets_of(data)
    if "shape" in facts:
        channels, height, width = facts["shape"]
        yield "images", f"{height} x {width} pixels for the network, {'grey' if channels == 1 else 'colour'}"
    if "columns" in facts:
        by_kind: dict[str, list[str]] = {}
        for name in facts["used"]:
            by_kind.setdefault(facts["columns"][name], []).append(name)
        yield "columns", "; ".join(f"{PLURAL.get(kind, kind)}: {some(names)}" for kind, names in by_kind.items())
        if unused := [name for name in facts["columns"] if name not in facts["used"]]:
            yield "not used", some(unused)
    if "vocabulary" in facts:
        yield "words", f"{facts['vocabulary']:,} words and pairs of words in the training texts"
    origin = {"official": "; the test part is the official one", "given": "; the test part is the folder's own"}
    yield "split", splits_of(data) + origin.get(str(facts.get("test")), "")
    if not facts.get("in_memory", True):
        yield "memory", "the images do not fit: they are read from their files, batch by batch"
    for key in ("licence", "citation"):
        if key in facts:
            yield key, str(facts[key])


def print_findings(console: Any, findings: Iterable[Finding], *, items: int = 0) -> None:
    """Each finding with its code, its fix and the first of the files, rows or columns concerned.

    Args:
        console: a rich Console.
        findings: of `Data`.
        items: how many names to show below each warning.
    """
    for finding in findings:
        note = finding.code == "note"
        text = finding.message.rstrip(".") + "." + (f" {finding.fix}" if finding.fix else "")
        paragraph(console, "  -     " if note else f"  {finding.code}  ", text, style="" if note else "yellow", body="dim" if note else "")
        if items and finding.items and not note:
            paragraph(console, " " * 10, some(finding.items, items), body="dim")
