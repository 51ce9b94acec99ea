"""`rung coverage`: which of the subjects rungbook sets out to show are shown, by what, and which by nothing yet."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from rungbook.cli.train import AsJson, Debug

FAULTS = "S"
"""Letter under which the courses' own mistakes are asked for."""


def coverage(
    what: Annotated[
        list[str] | None,
        typer.Argument(help="Letters of sections, rows, S for the courses' own faults; left out: all.", metavar="[SECTION|ROW]..."),
    ] = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> int:
    """What recipes, lessons and tests show, and what nothing shows yet."""
    from rungbook.cli.answer import console, emit
    from rungbook.errors import UsageError, did_you_mean
    from rungbook.recipes.about_data import plain
    from rungbook.recipes.coverage import KINDS, covered, load_features, missing_folders, state
    from rungbook.recipes.shipped import checkout

    features, asked = load_features(), list(dict.fromkeys(word.upper() for word in what or []))
    known = [*features.sections, FAULTS, *features.ids()]
    for word in asked:
        if word not in known:
            raise UsageError("E201", f'There is no section and no row "{word}".', did_you_mean(word, known, "rung coverage {}"))
    table = covered()
    titles = {**{row.id: row.title for row in features.rows.values()}, **features.faults}
    chosen = [id for id in table if id.startswith(tuple(asked))] if asked else list(features.rows)
    out = console(as_json)
    for word in asked:
        if word in titles:
            _one(out, word, table[word])
        else:
            _section(out, word, [id for id in table if id.startswith(word)], table)
    if not asked:
        _all(out, table)
    if missing := missing_folders(checkout()):
        plain(out, f"no {' and no '.join(f'{kind}s' for kind in missing)} here to be counted", "dim")
    plain(out, f"next: {_next(asked, chosen, table)}", "dim")
    if as_json:
        states = [state(table[id]) for id in chosen]
        rows = {id: {"title": titles[id], "state": at, **table[id]} for id, at in zip(chosen, states, strict=True)}
        emit({"rows": rows, "counts": {at: states.count(at) for at in (*KINDS, "nothing")}, "not_here": missing})
    return 0


def _all(out: Any, table: Any) -> None:
    """Every row that nothing covers, then the counts of each section."""
    from rungbook.recipes.about_data import paragraph, plain
    from rungbook.recipes.coverage import KINDS, load_features, state

    features = load_features()
    bare = [row for row in features.rows.values() if state(table[row.id]) == "nothing"]
    if bare:
        out.print(f"[bold]nothing covers[/] ({len(bare)})")
    for row in bare:
        paragraph(out, f"  {row.id}  ", row.title + (" (later)" if row.later else ""), body="dim" if row.later else "")
    widths = {"rows": 4, **{kind: len(kind) for kind in KINDS}, "nothing": 7}
    plain(out, "    " + "  ".join(f"{name:>{width}}" for name, width in widths.items()), "bold")
    groups = {letter: [row.id for row in features.section(letter)] for letter in features.sections}
    for letter, title, ids in (*((k, features.sections[k], v) for k, v in groups.items()), ("all", "", list(features.rows))):
        numbers = [len(ids), *(sum(bool(table[id][kind]) for id in ids) for kind in KINDS)]
        numbers.append(sum(state(table[id]) == "nothing" for id in ids))
        cells = "  ".join(f"{n:>{width}}" for n, width in zip(numbers, widths.values(), strict=True))
        plain(out, f"{letter:<4}{cells}  {title}".rstrip(), "" if title else "bold")
    exposed = sum(bool(table[id]["lesson"]) for id in features.faults)
    out.print(f"faults of the courses: {exposed} of {len(features.faults)} exposed by a lesson", style="dim")


def _section(out: Any, letter: str, ids: list[str], table: Any) -> None:
    """Each row of a section with what covers it, and the count."""
    from rungbook.recipes.about_data import paragraph, plain
    from rungbook.recipes.coverage import KINDS, load_features

    features = load_features()
    plain(out, f"{letter}  {features.sections.get(letter, 'Faults of the courses, which lessons expose')}", "bold")
    for id in ids:
        row = features.rows.get(id)
        by = _by(table[id])
        title = (row.title + (" (later)" if row.later else "")) if row else features.faults[id]
        paragraph(out, f"{id}  ", title, style="bold" if by else "", body="" if by else "dim")
        if by:
            paragraph(out, " " * (len(id) + 4), by, body="green")
    first, *others = (f"{sum(bool(table[id][kind]) for id in ids)} {{}}by a {kind}" for kind in KINDS)
    parts = [first.format(f"of {len(ids)} "), *(o.format("") for o in others)]
    plain(out, f"{letter}  {', '.join(parts)}, {sum(not _by(table[id]) for id in ids)} by nothing", "bold")


def _one(out: Any, id: str, by: dict[str, list[str]]) -> None:
    """One row: what it is, what it wants, what covers it."""
    from rungbook.recipes.about_data import paragraph, plain
    from rungbook.recipes.coverage import load_features

    features = load_features()
    row = features.rows.get(id)
    paragraph(out, f"{id}  ", row.title if row else features.faults[id], style="bold")
    if row:
        plain(out, f"     section {features.sections[id[0]]}; run class {row.run}{'; later' if row.later else ''}", "dim")
    for kind, names in by.items():
        paragraph(out, f"     {kind:<7} ", ", ".join(names) or "none", body="green" if names else "dim")


def _by(by: dict[str, list[str]]) -> str:
    """What covers a row, in words; empty for nothing."""
    return "; ".join(f"{kind} {', '.join(names)}" for kind, names in by.items() if names)


def _next(asked: list[str], ids: list[str], table: Any) -> str:
    """What to do with what was shown: train what there is, or look at the section that wants most."""
    from rungbook.recipes.coverage import load_features, state

    recipes = [name for id in ids for name in table[id]["recipe"]]
    if asked and recipes:
        return f"rung train {recipes[0]}"
    if asked:
        return "rung coverage"
    bare = {k: sum(state(table[r.id]) == "nothing" for r in load_features().section(k)) for k in load_features().sections}
    return f"rung coverage {max(bare, key=lambda k: bare[k])}"


__all__ = ["coverage"]
