"""`rung runs`: list, compare, tag and delete runs."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from rungbook.cli.compare import compare
from rungbook.cli.train import AsJson, Debug

app = typer.Typer(invoke_without_command=True, help="List runs (the default), compare, tag or delete them.", rich_markup_mode="rich")


@app.callback()
def runs(context: typer.Context, as_json: AsJson = False, debug: Debug = False) -> int:
    """List runs (the default), compare, tag or delete them."""
    if context.invoked_subcommand is not None:
        return 0
    return list_runs(as_json, debug)


@app.command("list")
def list_runs(as_json: AsJson = False, debug: Debug = False) -> int:
    """One line a run: status, test result, tags."""
    from rich.markup import escape
    from rich.table import Column, Table

    from rungbook.cli.answer import console, emit
    from rungbook.recipes.about_data import plain
    from rungbook.recipes.runs import runs_folder

    rows = [_summary(run) for run in _readable()]
    out = console(as_json)
    if rows:
        table = Table("run", Column("data", max_width=14, no_wrap=True), "status", "test", "tags", box=None, header_style="bold")
        for i, key in ((0, "name"), (2, "status"), (3, "shown")):  # where the terminal is narrow, data and tags give way
            table.columns[i].min_width = max(len(str(r[key])) for r in rows)
        for r in rows:
            table.add_row(*(escape(str(r[k])) for k in ("name", "data", "status", "shown")), escape(", ".join(r["tags"])))
        out.print(table)
        last = rows[-1]["name"]
        waiting = [r["name"] for r in rows if r["status"] == "interrupted"]
        first = f"continue: rung resume {waiting[-1]}" if waiting else f"use: rung predict {last}"
        other = f"    compare: rung runs compare {rows[-2]['name']} {last}" if len(rows) > 1 else ""
        plain(out, first + other, "dim")
    else:
        plain(out, f"no runs in {runs_folder()} yet; make one: rung train digits")
    if as_json:
        emit({"runs": [{k: v for k, v in r.items() if k != "shown" and v != ""} for r in rows]})
    return 0


def _readable() -> list[Any]:
    from rungbook.errors import RungError
    from rungbook.recipes.runs import all_runs

    found = []
    for run in all_runs():
        try:
            run.record()
        except RungError:
            continue
        found.append(run)
    return found


def _summary(run: Any) -> dict[str, Any]:
    from rungbook.recipes.speak import number, short

    record = run.record()
    status = record["status"]
    if status == "started":  # a killed process could not write that it ended
        status = "running" if run.holder() else "interrupted"
    test = record.get("result", {}).get("test", {})
    metric = record.get("headline")
    return {
        "name": run.name,
        "recipe": record["recipe"],
        "data": record["data"]["name"],
        "status": status,
        "shown": f"{short(metric)} {number(metric, test[metric])}" if metric in test else "",
        "test": test,
        "epochs": record.get("result", {}).get("epochs", ""),
        "tags": record.get("tags", []),
    }


app.command("compare")(compare)


@app.command("tag")
def tag(
    run: Annotated[str, typer.Argument(help="A run.")],
    tags: Annotated[list[str] | None, typer.Argument(help="Words to add.")] = None,
    remove: Annotated[list[str] | None, typer.Option("--remove", help="Word to take away; may be repeated.")] = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> int:
    """Add words to a run, to find it again, or take them away."""
    from rungbook.cli.answer import console, emit
    from rungbook.errors import UsageError, did_you_mean
    from rungbook.recipes.about_data import plain
    from rungbook.recipes.runs import find_run

    found = find_run(run)
    have = list(found.record().get("tags", []))
    for word in remove or ():
        if word not in have:
            raise UsageError("E201", f'{found.name} has no tag "{word}".', did_you_mean(word, have))
    have = [t for t in dict.fromkeys([*have, *(tags or ())]) if t not in (remove or ())]
    found.update(tags=have)
    out = console(as_json)
    plain(out, f"{found.name}: {', '.join(have) or 'no tags'}")
    plain(out, "see all: rung runs", "dim")
    if as_json:
        emit({"run": str(found.path), "tags": have})
    return 0


@app.command("delete")
def delete(
    names: Annotated[list[str], typer.Argument(help="Runs to delete.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> int:
    """Delete runs for good; asks first, and refuses a run in use."""
    import sys

    from rungbook.cli.answer import console, emit
    from rungbook.errors import UsageError
    from rungbook.recipes.about_data import plain
    from rungbook.recipes.runs import delete_run, find_run
    from rungbook.recipes.speak import plural

    found = list({run.path: run for run in map(find_run, names)}.values())
    if not yes:
        if not sys.stdin.isatty():
            command = f"rung runs delete {' '.join(r.name for r in found)} --yes"
            raise UsageError("E202", f"Deleting {plural(len(found), 'run')} needs a yes, and nobody can be asked.", command)
        if not typer.confirm(f"Delete {', '.join(r.name for r in found)}?", err=as_json):
            return 0
    for run in found:
        delete_run(run)
    out = console(as_json)
    plain(out, f"deleted {', '.join(r.name for r in found)}")
    plain(out, "see what is left: rung runs", "dim")
    if as_json:
        emit({"deleted": [r.name for r in found]})
    return 0
