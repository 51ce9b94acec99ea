"""`rung runs compare`: what differs between two runs, and whether one is better."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from rungbook.cli.train import AsJson, Debug

if TYPE_CHECKING:
    from rungbook.recipes.siblings import Group, Verdict


def compare(
    first: Annotated[str, typer.Argument(help="A run.")],
    second: Annotated[str, typer.Argument(help="Another run.")],
    as_json: AsJson = False,
    debug: Debug = False,
) -> int:
    """What differs between two runs, and whether one is better by more than chance.

    Each run stands for its siblings too: the finished runs of the same settings with other seeds.
    """
    from rungbook.cli.answer import console, emit
    from rungbook.recipes.runs import find_run
    from rungbook.recipes.siblings import compare_runs

    verdict = compare_runs(find_run(first), find_run(second))
    differing = _differences(verdict.first.record, verdict.second.record)
    out = console(as_json)
    _print_differences(out, verdict, differing)
    _print_results(out, verdict)
    _print_next(out, verdict)
    if as_json:
        emit(_as_json(verdict, differing))
    return 0


_COMPARED = ("recipe", "settings", "threads", "device", "versions", "data", "status")
_UNSAID = ("data.fingerprint", "data.test", "settings.threads")
"""Differences that are for programs: marks, and what was asked for where what was taken is shown."""


def _differences(left: dict[str, Any], right: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Dotted names of the facts in which two records differ -> both values."""
    a, b = _flat(left), _flat(right)
    return {k: (a.get(k), b.get(k)) for k in dict.fromkeys([*a, *b]) if a.get(k) != b.get(k)}


def _flat(record: dict[str, Any]) -> dict[str, Any]:
    """The facts worth comparing as one level of dotted names."""
    found: dict[str, Any] = {}
    for key in _COMPARED:
        value = record.get(key)
        if isinstance(value, dict):
            found |= {f"{key}.{k}": v for k, v in value.items() if k != "facts"}
        else:
            found[key] = value
    result = record.get("result", {})
    for split in ("valid", "test"):
        scores = result.get(split)
        found |= {f"{split}.{k}": v for k, v in scores.items()} if isinstance(scores, dict) else {}
    return found | {k: result[k] for k in ("epochs", "parameters", "seconds") if k in result}


def _print_differences(out: Any, verdict: Verdict, differing: dict[str, tuple[Any, Any]]) -> None:
    """A table of what differs, with the figures of the two runs where they are all there is."""
    from rich.markup import escape
    from rich.table import Table

    from rungbook.recipes.about_data import plain

    if verdict.first.run.path == verdict.second.run.path:
        return
    # one run's figures would be read as the answer where there are more seeds, or where nothing may be compared
    told = {f"{split}.{verdict.metric}" for split in ("valid", "test")} if len(verdict.seeds) < 2 else set()
    shown = {k: v for k, v in differing.items() if k not in _UNSAID and (k in told or not k.startswith(("valid.", "test.")))}
    if not shown:
        plain(out, "the two runs have the same settings and data")
        return
    table = Table("", verdict.first.run.name, verdict.second.run.name, box=None, header_style="bold")
    for key, values in shown.items():
        table.add_row(escape(key), *("-" if v is None else escape(f"{v:.6g}" if isinstance(v, float) else str(v)) for v in values))
    out.print(table)


def _print_results(out: Any, verdict: Verdict) -> None:
    """Means, spreads, and the comparison in words."""
    from rungbook.recipes.about_data import paragraph, plain
    from rungbook.recipes.comparison import summarise
    from rungbook.recipes.speak import number

    metric, found = verdict.metric, verdict.comparison
    groups = [verdict.first] if verdict.same else [verdict.first, verdict.second]
    if len(verdict.seeds) > 1:
        plain(out, f"\ntest {metric.replace('_', ' ')}, mean ± standard deviation over seeds {', '.join(map(str, verdict.seeds))}")
        width = max(len(g.run.name) for g in groups)
        for group in groups:
            s = summarise(group.values(metric, verdict.seeds))
            spread = number(metric, s.sd).rstrip("%")
            plain(out, f"  {group.run.name:<{width}}  {number(metric, s.mean)} ± {spread}")
    elif found is not None:
        plain(out, f"\n{found.metric.replace('_', ' ')} on the same {found.n:,} test samples")
    if found is not None:
        paragraph(out, "", found.words, body="bold")
    if verdict.why:
        paragraph(out, "", verdict.why + ".", body="" if verdict.same else "yellow")


def _print_next(out: Any, verdict: Verdict) -> None:
    """The most useful commands, the last one last."""
    from rungbook.recipes.about_data import plain

    if verdict.commands:
        plain(out, "more seeds would tell more:" if verdict.comparison or verdict.same else "make it comparable with more seeds:", "dim")
        for command in verdict.commands:
            plain(out, f"  {command}", "dim")
        return
    a, b = verdict.first.run, verdict.second.run
    if verdict.comparison and verdict.comparison.better:
        plain(out, f"use it: rung predict {verdict.comparison.better} INPUT", "dim")
    else:
        plain(out, f"look closer: the report.html in {a.path}" + (f" and in {b.path}" if a.path != b.path else ""), "dim")


def _as_json(verdict: Verdict, differing: dict[str, tuple[Any, Any]]) -> dict[str, Any]:
    def group(g: Group) -> dict[str, Any]:
        return {
            "run": g.run.name,
            "seeds": {str(s): {"run": r.get("name"), "test": r.get("result", {}).get("test")} for s, r in g.by_seed.items()},
        }

    found = verdict.comparison
    return {
        "runs": [verdict.first.run.name, verdict.second.run.name],
        "differences": {k: list(v) for k, v in differing.items()},
        "groups": [group(verdict.first), group(verdict.second)],
        "seeds": verdict.seeds,
        "metric": found.metric if found else verdict.metric,
        "comparison": found.describe() if found else {},
        "why": verdict.why,
        "commands": verdict.commands,
    }
