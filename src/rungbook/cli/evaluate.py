"""`rung eval`: judge a finished run again, on its own test split or on other labelled data."""

from __future__ import annotations

from typing import Annotated

import typer

from rungbook.cli.train import AsJson, Debug


def evaluate(
    run: Annotated[str, typer.Argument(help="Path, name or number of a finished run.")],
    path: Annotated[
        str | None,
        typer.Argument(
            help="Labelled data of the same kind: a folder with the same classes, or a table with the same columns; "
            "or data=PLACE, where the run's own data has moved."
        ),
    ] = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> int:
    """Scores of a finished run, on its own test split or on other data."""
    from pathlib import Path

    from rungbook.cli.answer import console, emit
    from rungbook.recipes.about_data import plain, some
    from rungbook.recipes.evaluation import evaluate_run
    from rungbook.recipes.speak import number, plural, too_many_looks

    result, (low, high) = evaluate_run(run, path)
    out, name = console(as_json), Path(result["run"]).name
    plain(out, f"{name} on {result['on']}, {plural(result['samples'], 'sample')}")
    for metric, value in result["test"].items():
        tail = f"  (95% interval {100 * low:.1f}-{100 * high:.1f})" if metric == "accuracy" else ""
        out.print(f"  {metric:<28} {number(metric, value):>8}{tail}")
    if left_out := result.get("left_out"):
        plain(out, f"left out: {some(left_out, 3)}", "yellow")
    if result["looks"] > 1:
        out.print(too_many_looks(result["looks"]), style="yellow")
    plain(out, f"single answers: rung predict {name}" + (f" {path}" if path and not path.startswith("data=") else ""), "dim")
    if as_json:
        emit(result)
    return 0
