"""`rung eval`: judge a finished run again, on its own test split or on other labelled data."""

from __future__ import annotations

from typing import Annotated

import typer

from rungbook.cli.train import AsJson, Debug


def evaluate(
    run: Annotated[str, typer.Argument(help="Path, name or number of a finished run.")],
    path: Annotated[str | None, typer.Argument(help="Labelled data of the same kind: a folder with the same classes, or a table with the same columns.")] = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> int:
    """Scores of a finished run, with a 95% interval."""
    from rich.markup import escape

    from rungbook.cli.answer import console, emit
    from rungbook.recipes.evaluation import evaluate_run
    from rungbook.recipes.speak import number

    result, interval = evaluate_run(run, path)
    out = console(as_json)
    out.print(f"{escape(result['recipe'])} on {escape(result['on'])}, {result['samples']:,} samples")
    for metric, value in result["test"].items():
        tail = f"  (95% interval {100 * interval[0]:.1f}-{100 * interval[1]:.1f})" if metric == "accuracy" else ""
        out.print(f"  {metric:<28} {number(metric, value)}{tail}")
    if result["looks"] > 1:
        out.print(f"[yellow]this test split has been looked at {result['looks']} times; choose on valid, or the figure grows too good[/]")
    if as_json:
        emit(result)
    return 0
