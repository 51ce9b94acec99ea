"""Figures in texts: quoted from the ledger by key, written by `rung ledger --write`, and checked against it by the tests.

In Markdown, also that of lessons, a figure stands between two comments nobody sees once it is rendered:

    <!-- ledger: dropout data=fashion-mnist | dropout 0.5 | test accuracy -->88.1 ± 0.3 %<!-- / -->

The parts are key, variant (left out for a single training) and what of it: "test accuracy", "baseline random_forest accuracy",
"limit accuracy" or "seconds" (of one seed). A table of whole lines stands between `<!-- ledger table -->` and `<!-- /ledger table -->`;
after "table:" the keys it is to have, with semicolons between, else it has every line. Code blocks are left alone. From Python: `quote`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from rungbook.errors import DataError, RungError, UsageError
from rungbook.learner.checkpoint import write_atomically
from rungbook.recipes.comparison import lower_is_better
from rungbook.recipes.ledger import Entry, Ledger, load_ledger
from rungbook.recipes.recipe import RECIPES, load_recipes
from rungbook.recipes.settings import Reported
from rungbook.recipes.speak import digits_of, with_spread

QUOTE = re.compile(r"<!--\s*ledger:(?P<spec>.*?)-->(?P<text>.*?)<!--\s*/\s*-->", re.DOTALL)
TABLE = re.compile(r"<!--\s*ledger table(?::(?P<spec>.*?))?\s*-->(?P<text>.*?)<!--\s*/ledger table\s*-->", re.DOTALL)
OPEN = re.compile(r"<!--\s*ledger\b.*?-->", re.DOTALL)
CODE = re.compile(
    r"^ {0,3}(?P<fence>`{3,}|~{3,}).*?^ {0,3}(?P=fence)[^\n]*$|(?P<tick>`+)(?!`)[^\n]*?(?<!`)(?P=tick)(?!`)", re.DOTALL | re.MULTILINE
)
CLOSE = re.compile(r"<!--\s*/(?:ledger table)?\s*-->")
MOST_REPORTED = 3
"""Figures of courses that a row of a table shows; `rung ledger KEY` has them all."""
EXACT = 1e-5
"""Error of a limit, as a share of it, below which it says nothing."""
MOST_VARIANTS = 4
"""Variants of a study that a table shows; the report of a run has them all."""


@dataclass(frozen=True)
class Figure:
    """A measured figure; as text it is "88.1 ± 0.3 %".

    Args:
        metric: what it is.
        mean, sd: over the seeds; nan for both where a value was not finite, sd 0 for what has no spread of its own.
        n: seeds.
    """

    metric: str
    mean: float
    sd: float
    n: int

    def __str__(self) -> str:
        return with_spread(self.metric, self.mean, self.sd)


@dataclass(frozen=True)
class Quote:
    """A place in a text that shows the ledger.

    Args:
        line: in the file, from 1.
        start, end: of what is written between the comments.
        spec: what is asked for.
        text: what stands there.
        table: whether it is a table.
    """

    line: int
    start: int
    end: int
    spec: str
    text: str
    table: bool = False

    def keys(self, ledger: Ledger) -> list[str]:
        """The keys it quotes."""
        if not self.table:
            return [self.spec.split("|")[0].strip()]
        return [k.strip() for k in self.spec.split(";") if k.strip()] or sorted(ledger.entries)

    def render(self, ledger: Ledger) -> str:
        """What should stand there. Raises RungError for what the ledger cannot say."""
        if self.table:
            return "\n" + table([fresh(ledger, key) for key in self.keys(ledger)]) + "\n"
        parts = [p.strip() for p in self.spec.split("|")]
        if len(parts) not in (2, 3) or not all(parts):
            raise UsageError(
                "E202", f'"{self.spec.strip()}" is no quote.', 'Write "key | test accuracy" or "key | variant | test accuracy".'
            )
        return str(pick(fresh(ledger, parts[0]), parts[1] if len(parts) == 3 else "", parts[-1]))


def find_quotes(text: str) -> list[Quote]:
    """The quotes of a Markdown text, in order; none in code blocks.

    Raises:
        DataError: E306 a quote is opened and not closed, or closed and not opened, as where "ledger" is misspelt.
    """
    masked = CODE.sub(lambda m: re.sub(r"[^\n]", "\0", m[0]), text)
    found = [
        Quote(
            text.count("\n", 0, m.start()) + 1,
            *m.span("text"),
            spec=(m["spec"] or "").strip(),
            text=text[slice(*m.span("text"))],
            table=kind is TABLE,
        )
        for kind in (QUOTE, TABLE)
        for m in kind.finditer(masked)
    ]
    inside = [q.start for q in found]
    for m in OPEN.finditer(masked):
        closing = "<!-- /ledger table -->" if "ledger table" in m[0] else "<!-- / -->"
        broken = m.end() not in inside or any(q.start == m.end() and OPEN.search(q.text) for q in found)
        if broken:
            line = text.count("\n", 0, m.start()) + 1
            raise DataError("E306", f"Line {line}: {' '.join(m[0].split())} is opened and not closed.", f"End it with {closing}")
    ends = [q.end for q in found]
    for m in CLOSE.finditer(masked):
        if m.start() not in ends:
            line = text.count("\n", 0, m.start()) + 1
            opening = "<!-- ledger table -->" if "ledger table" in m[0] else "<!-- ledger: KEY | test accuracy -->"
            raise DataError("E306", f"Line {line}: {m[0]} closes nothing.", f"Begin with {opening}, or take it away.")
    return sorted(found, key=lambda q: q.start)


def fresh(ledger: Ledger, key: str) -> Entry:
    """The line of a key, if its recipe still is what was measured.

    Raises:
        UsageError: E201 there is none; the nearest key is named.
        DataError: E306 the recipe has changed since.
    """
    entry = ledger.get(key)
    if said := entry.stale():
        raise DataError("E306", f"{entry.key} changed since it was measured: {'; '.join(said)}.", f"rung measure {entry.key}")
    return entry


def pick(entry: Entry, variant: str, what: str) -> Figure:
    """What a quote asks for of a line. Raises UsageError E201, E202."""
    words = what.split()
    n = len(entry.seeds)
    if words == ["seconds"]:
        return Figure("seconds", median(entry.cpu_seconds), 0.0, n)
    if words[0] == "limit" and len(words) == 2:
        if words[1] not in entry.limit:
            raise UsageError("E201", f"The limit of {words[1]} is not known for {entry.key}.", "Leave the quote out.")
        best, error = entry.limit[words[1]]["value"], entry.limit[words[1]]["error"]
        return Figure(words[1], best, error if error > EXACT * abs(best) else 0.0, n)
    if words[0] == "baseline" and len(words) == 3:
        value = entry.baselines.get(words[1], {}).get(words[2])
        if value is None:
            known = ", ".join(f'"baseline {who} {m}"' for who, ms in entry.baselines.items() for m in ms) or "none"
            raise UsageError("E201", f'{entry.key} has no "{what}".', f"Known: {known}.")
        return Figure(words[2], value, 0.0, n)
    if len(words) != 2:
        raise UsageError("E202", f'"{what}" names no figure.', f'For example "{entry.split} {entry.metric}".')
    found = entry.figure(variant, *words)
    value, sd = (math.nan if found[k] is None else found[k] for k in ("mean", "sd"))
    return Figure(words[1], value, sd, n)


def quote(key: str, variant: str, split: str, metric: str, *, ledger: Ledger | None = None) -> Figure:
    """A measured figure, for lessons and other Python code.

    Args:
        key: of the ledger, as "dropout data=fashion-mnist".
        variant: of a study, "" for a single training.
        split: fit, train, valid or test.
        metric: as "accuracy".
        ledger: read if None.

    Raises:
        UsageError: E201 there is no such key, variant, split or metric; the nearest is named.
        DataError: E306 the recipe has changed since it was measured, E305 the ledger is damaged.
    """
    return pick(fresh(load_ledger() if ledger is None else ledger, key), variant, f"{split} {metric}")


def texts(root: Path) -> list[Path]:
    """The Markdown files of a checkout that may quote, and its lessons, whose prose is Markdown behind "# "."""
    found = (root / "README.md", *sorted((root / "docs").rglob("*.md")), *sorted((root / "lessons").glob("*.py")))
    return [path for path in found if path.is_file()]


def check_quotes(paths: Iterable[Path], ledger: Ledger) -> Iterator[tuple[Path, RungError]]:
    """What is wrong with the quotes of some files: missing keys, stale lines, texts that say something else, each with file and line."""
    for path in paths:
        try:
            found = find_quotes(path.read_text(encoding="utf-8"))
        except DataError as error:
            yield path, _placed(error, path, 0)
            continue
        for one in found:
            try:
                wanted = one.render(ledger)
            except RungError as error:
                yield path, _placed(error, path, one.line)
                continue
            if wanted != one.text:
                said = "the table" if one.table else f'"{one.text.strip()}"'
                what = "the ledger has another" if one.table else f'the ledger says "{wanted}"'
                yield path, DataError("E306", f"{path.name}, line {one.line}: {said} stands there, {what}.", "rung ledger --write")


def _placed(error: RungError, path: Path, line: int) -> DataError:
    where = f"{path.name}, line {line}: " if line else f"{path.name}: "
    return DataError("E306", where + error.message, error.fix)


def quoted_keys(paths: Iterable[Path], ledger: Ledger) -> dict[str, list[str]]:
    """Key -> where it is quoted, as "README.md line 12"."""
    found: dict[str, list[str]] = {}
    for path in paths:
        for one in find_quotes(path.read_text(encoding="utf-8")):
            for key in one.keys(ledger):
                found.setdefault(key, []).append(f"{path.name} line {one.line}")
    return found


def write_quotes(paths: Iterable[Path], ledger: Ledger) -> list[Path]:
    """Bring every quote up to date; gives the files that changed. Raises DataError E306 where one cannot be, and writes nothing then."""
    changed = []
    for path in paths:
        text = path.read_text(encoding="utf-8")
        try:
            found = find_quotes(text)
        except DataError as error:
            raise _placed(error, path, 0) from error
        new = text
        for one in reversed(found):  # from the end, so that earlier places stay where they are
            try:
                new = new[: one.start] + one.render(ledger) + new[one.end :]
            except RungError as error:
                raise _placed(error, path, one.line) from error
        if new != text:
            changed.append((path, new))
    for path, new in changed:
        write_atomically(path, new.encode())
    return [path for path, _ in changed]


HEAD = ("recipe", "data", "figure", "ours: mean ± sd (seeds)", "baseline", "limit", "the course's")


def table(entries: Iterable[Entry]) -> str:
    """A Markdown table, a row a line of the ledger: our figure beside baseline, limit and what a course reports."""
    rows = [row(e) for e in entries]
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in r) + " |" for r in [HEAD, *rows]]
    return "\n".join([lines[0], "|" + "---|" * len(HEAD), *lines[1:]])


def row(entry: Entry) -> tuple[str, ...]:
    """The cells of a line."""
    metric, split = entry.metric, entry.split
    ours = []
    for variant in shown_variants(entry):
        figure = pick(entry, variant, f"{split} {metric}")
        ours.append(f"{variant}: {figure}" if variant else f"{figure}")
    hidden = sum(has_figure(entry, v) for v in entry.results) - len(ours)
    more = [f"and {hidden} more"] if hidden > 0 else []
    return (
        f"`{entry.key}`",
        entry.data["name"],
        f"{split} {metric.replace('_', ' ')}",
        "<br>".join([*ours, *more]) + f" ({len(entry.seeds)})",
        best_baseline(entry),
        best_possible(entry, metric),
        "<br>".join(course_cell(entry)),
    )


def has_figure(entry: Entry, variant: str) -> bool:
    """Whether a variant has the figure the line is told by."""
    return entry.metric in entry.results[variant].get(entry.split, {})


def shown_variants(entry: Entry) -> list[str]:
    """The first variant, those a course reports, and as many of the others as there is room for, in their order."""
    have = [v for v in entry.results if has_figure(entry, v)]
    first = [v for v in (*have[:1], *(r.variant for r in reported(entry, entry.metric)), *have) if v in have]
    kept = list(dict.fromkeys(first))[:MOST_VARIANTS]
    return [v for v in have if v in kept]


def best_baseline(entry: Entry) -> str:
    """The strongest baseline by the metric of the line, or ""."""
    values = {who: ms[entry.metric] for who, ms in entry.baselines.items() if entry.metric in ms}
    if not values or entry.split != "test":
        return ""
    who = (min if lower_is_better(entry.metric) else max)(values, key=lambda k: values[k])
    return f"{with_spread(entry.metric, values[who], 0.0)} ({who.replace('_', ' ')})"


def best_possible(entry: Entry, metric: str) -> str:
    """The limit as text, or ""."""
    return str(pick(entry, "", f"limit {metric}")) if metric in entry.limit else ""


def reported(entry: Entry, metric: str = "") -> list[Reported]:
    """What courses report, on the same data, of one metric or of any; nothing where the recipe is gone."""
    load_recipes()
    cls = RECIPES.get(entry.recipe)
    return [r for r in cls.reported if metric in ("", r.metric) and r.data in ("", entry.settings.get("data"))] if cls else []


def course_cell(entry: Entry) -> list[str]:
    """What courses report of the line's figure, those of its own variants first, as many as there is room for."""
    told = sorted(reported(entry, entry.metric), key=lambda r: r.variant not in entry.results)
    more = len(told) - MOST_REPORTED
    return [*map(course_figure, told[:MOST_REPORTED]), *([f"and {more} more"] if more > 0 else [])]


def course_figure(one: Reported) -> str:
    """A course's figure with its source and the mark of its fault."""
    fault = re.match(r"(?:fault )?(S\d-\d+)", one.fault)
    mark = f"; fault {fault[1]}" if fault else f"; {one.fault}" if one.fault else ""
    variant = f"{one.variant}: " if one.variant else ""
    return f"{variant}{digits_of(one).replace('%', ' %')} on {one.split} ({one.source}{mark})"


__all__ = ["Figure", "Quote", "check_quotes", "find_quotes", "fresh", "pick", "quote", "quoted_keys", "table", "texts", "write_quotes"]
