"""`rung ledger`: what was measured, what is stale, what is missing; and the texts that quote it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rungbook.cli.train import AsJson, Debug

if TYPE_CHECKING:
    from rungbook.recipes.ledger import Entry, Ledger

FRESH, NEVER, QUOTED = "fresh", "never measured", "quoted but missing"
WRITE = "rung ledger --write"


def ledger(
    key: Annotated[list[str] | None, typer.Argument(help="A line: the recipe and its settings; left out: all.", metavar="[KEY]...")] = None,
    write: Annotated[bool, typer.Option("--write", help="Bring the figures in README.md and docs up to date.")] = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> int:
    """The measured results: each beside its baseline, its limit and the course's figure, fresh or stale.

    Exit code 1 where a quoted figure is stale, missing or another, or a line of the ledger is damaged.
    """
    from rungbook.errors import UsageError
    from rungbook.recipes.ledger import load_ledger, read_ledger
    from rungbook.recipes.shipped import checkout

    root = checkout()
    if write and key:
        raise UsageError("E201", "--write is for all texts, not for a line.", WRITE)
    if write:
        return _write(root, load_ledger(), as_json)
    if key:
        return _one(load_ledger().get(" ".join(key)), as_json)
    return _all(root, read_ledger(), as_json)


def _write(root: Path | None, found: Ledger, as_json: bool) -> int:
    from rungbook.cli.answer import console, emit
    from rungbook.errors import UsageError
    from rungbook.recipes.about_data import plain
    from rungbook.recipes.quotes import texts, write_quotes

    if root is None:
        raise UsageError("E201", "There are no texts here: rungbook runs from an installed package.", "Run it in a checkout.")
    changed = [str(p.relative_to(root)) for p in write_quotes(texts(root), found)]
    out = console(as_json)
    plain(out, f"written: {', '.join(changed)}" if changed else "every text says what the ledger says")
    plain(out, "see what was measured: rung ledger", "dim")
    if as_json:
        emit({"written": changed})
    return 0


def _all(root: Path | None, found: Ledger, as_json: bool) -> int:
    from rungbook.cli.answer import console, emit
    from rungbook.recipes.about_data import plain
    from rungbook.recipes.quotes import check_quotes, texts

    files = texts(root) if root else []
    wrong = [error for _, error in check_quotes(files, found)]
    damaged = [d.error() for d in found.damaged]
    rows = _rows(files, found)
    out = console(as_json)
    _table(out, rows)
    for error in [*damaged, *wrong]:
        plain(out, f"{error.code} {error.message} {error.fix}", "red")
    counts = {state: sum(_kind(r) == state for r in rows) for state in dict.fromkeys(map(_kind, rows))}
    plain(out, ", ".join(f"{n} {state}" for state, n in counts.items()))
    plain(out, f"next: {_next(rows, damaged, wrong)}", "dim")
    if as_json:
        problems = [e.describe() for e in [*damaged, *wrong]]
        emit({"lines": [{k: v for k, v in r.items() if v not in ("", None)} for r in rows], "counts": counts, "problems": problems})
    return 1 if damaged or wrong else 0


def _rows(files: list[Path], found: Ledger) -> list[dict[str, Any]]:
    """A row for every line there is, should be, or is quoted."""
    from rungbook.errors import RungError
    from rungbook.recipes.measure import planned
    from rungbook.recipes.quotes import quoted_keys

    quoted: dict[str, list[str]] = {}
    for file in files:
        try:
            for key, places in quoted_keys([file], found).items():
                quoted.setdefault(key, []).extend(places)
        except RungError:
            continue  # told as a problem of that file
    rows = []
    for key in sorted({*planned(real=True), *found.entries, *quoted}):
        entry = found.entries.get(key)
        if entry is None:
            try:
                entry = found.get(key)
                continue  # the same line under another order of its settings
            except RungError:
                rows.append({"key": key, "state": QUOTED if key in quoted else NEVER, "quoted": quoted.get(key, [])})
                continue
        changed = entry.stale()
        state = f"stale: {'; '.join(changed)}" if changed else FRESH
        rows.append({"key": key, "state": state, "quoted": quoted.get(key, []), **_cells(entry)})
    return rows


def _cells(entry: Entry) -> dict[str, Any]:
    """What the table says of a line."""
    from statistics import median

    from rungbook.recipes.quotes import best_baseline, best_possible, course_figure, has_figure, pick, reported, shown_variants

    shown = shown_variants(entry)
    return {
        "seeds": len(entry.seeds),
        "figure": f"{entry.split} {entry.metric}",
        "ours": {v: str(pick(entry, v, f"{entry.split} {entry.metric}")) for v in shown},
        "more": sum(has_figure(entry, v) for v in entry.results) - len(shown),
        "baseline": best_baseline(entry),
        "limit": best_possible(entry, entry.metric),
        "course": "; ".join(map(course_figure, reported(entry, entry.metric))),
        "seconds": median(entry.cpu_seconds),
    }


def _kind(row: dict[str, Any]) -> str:
    """The state without its reasons."""
    return row["state"].partition(":")[0]


def _table(out: Any, rows: list[dict[str, Any]]) -> None:
    """Each measured line with what stands beside it, then the names of those that are missing."""
    from rungbook.recipes.about_data import paragraph, plain

    for r in (r for r in rows if "ours" in r):
        at = r["state"]
        paragraph(out, r["key"], "" if at == FRESH else f"  {at}", style="bold", body="yellow")
        ours = ", ".join(text + (f" ({variant})" if variant else "") for variant, text in r["ours"].items())
        more = f" and {r['more']} more" if r["more"] else ""
        beside = [f"{name} {text}" for name, text in (("baseline", r["baseline"]), ("best possible", r["limit"])) if text]
        words = [f"{r['figure'].replace('_', ' ')}: {ours}{more}", *beside, f"{r['seeds']} seeds, {r['seconds']:.1f} s each"]
        paragraph(out, "    ", "; ".join(words), body="dim" if at == FRESH else "")
    for state in (QUOTED, NEVER):
        if missing := [r["key"] for r in rows if r["state"] == state]:
            plain(out, f"{state}:", "yellow" if state == QUOTED else "dim")
        for key in missing:
            plain(out, f"    {key}", "dim")


def _next(rows: list[dict[str, Any]], damaged: list[Any], wrong: list[Any]) -> str:
    """The command that mends most."""
    if damaged:
        return str(damaged[0].fix)
    states = [_kind(r) for r in rows]
    if "stale" in states:
        return "rung measure --stale --real"
    if wrong and QUOTED not in states:
        return next((str(e.fix) for e in wrong if e.fix != WRITE), WRITE)
    return "rung measure --all --real" if NEVER in states or QUOTED in states else f"rung ledger {rows[0]['key']}"


def _one(entry: Entry, as_json: bool) -> int:
    """A line in full."""
    import dataclasses

    from rich.markup import escape
    from rich.table import Table

    from rungbook.cli.answer import console, emit
    from rungbook.cli.measure import tell
    from rungbook.recipes.about_data import paragraph, plain
    from rungbook.recipes.quotes import pick
    from rungbook.recipes.speak import plural

    changed = entry.stale()
    out = console(as_json)
    plain(out, f"{entry.key}: stale" if changed else f"{entry.key}: {FRESH}", "bold yellow" if changed else "bold")
    for what in changed:
        paragraph(out, "  changed: ", what, body="yellow")
    tell(out, entry)
    table = Table("variant", "split", "metric", "mean ± sd", "values", box=None, header_style="bold")
    for variant, splits in entry.results.items():
        for split, metrics in splits.items():
            for metric, figure in metrics.items():
                values = " ".join("-" if v is None else f"{v:.5g}" for v in figure["values"])
                table.add_row(*map(escape, (variant or "-", split, metric, str(pick(entry, variant, f"{split} {metric}")), values)))
    out.print(table)
    seconds, cpu = (", ".join(f"{s:.1f}" for s in values) for values in (entry.seconds, entry.cpu_seconds))
    machine = f"{entry.machine['cpu']}, {entry.machine['cores']} cores, {entry.machine['system']}"
    facts = {
        "seeds": ", ".join(map(str, entry.seeds)),
        "judged on": f"{entry.samples:,} samples of {entry.data['name']}",
        "settings": ", ".join(f"{k}={','.join(map(str, v)) if isinstance(v, list) else v}" for k, v in entry.settings.items()),
        "seconds": f"{seconds} by the clock; {cpu} of the processor",
        "machine": f"{machine}; {entry.device}, {plural(entry.threads, 'thread')}",
        "versions": ", ".join(f"{k} {v}" for k, v in entry.versions.items()),
        "date": entry.date,
    }
    for name, text in facts.items():
        paragraph(out, f"  {name:<10} ", text, body="dim")
    plain(out, f"measure it again: rung measure {entry.key}", "dim")
    if as_json:
        emit({**dataclasses.asdict(entry), "stale": changed})
    return 0


__all__ = ["ledger"]
