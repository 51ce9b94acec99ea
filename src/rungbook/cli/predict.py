"""`rung predict`: what a finished run says of new files, rows or texts."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from rungbook.cli.train import AsJson, Debug

SHOWN = 50
"""Predictions printed at most; --output and --json give all."""


def predict(
    run: Annotated[str, typer.Argument(help="Path, name or number of a finished run.")],
    inputs: Annotated[list[str] | None, typer.Argument(help="Images or folders of them, a table, or a text; left out: ten test samples.")] = None,
    output: Annotated[str | None, typer.Option("--output", "-o", help="Write all predictions to this CSV file.")] = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> int:
    """Predict new items with a finished run."""
    from rich.markup import escape

    from rungbook.cli.answer import console, emit
    from rungbook.recipes.evaluation import own_test_samples
    from rungbook.recipes.items import read_items
    from rungbook.recipes.predictor import load
    from rungbook.recipes.runs import find_run

    found = find_run(run)
    predictor = load(found)
    truth: list[str] = []
    if inputs:
        names, stored = read_items(predictor, inputs)
    else:
        names, stored, truth = own_test_samples(found, 10)
    predictions = predictor.explain(predictor.decode(predictor.outputs_of(stored)))
    rows = [_row(n, p, t) for n, p, t in zip(names, predictions, truth or [""] * len(names), strict=True)]
    out = console(as_json)
    if not inputs:
        out.print("no input given: ten samples of the run's own test split", style="dim")
    width = max(len(r["item"]) for r in rows)
    for r in rows[:SHOWN]:
        share = f"  {100 * r['probability']:.1f}%" if "probability" in r else ""
        tail = f"  (true: {r['truth']})" if "truth" in r else ""
        out.print(f"{escape(r['item']):<{width}}  [bold]{escape(r['prediction'])}[/]{share}{escape(tail)}", soft_wrap=True)
    if len(rows) > SHOWN and not output:
        out.print(f"... and {len(rows) - SHOWN:,} more: --output predictions.csv writes all", style="dim")
    if output:
        write_csv(output, rows)
        out.print(f"{len(rows):,} predictions written to {output}")
    if as_json:
        emit({"run": str(found.path), "predictions": [{**r, "probabilities": p.probabilities} for r, p in zip(rows, predictions, strict=True)]})
    return 0


def _row(name: str, prediction: Any, truth: str) -> dict[str, Any]:
    row: dict[str, Any] = {"item": name, "prediction": prediction.label}
    if prediction.probabilities:
        row["probability"] = prediction.value
    if truth:
        row["truth"] = truth
    return row


def write_csv(path: str, rows: list[dict[str, Any]]) -> None:
    """Predictions as a table; an existing file is kept and the command refused."""
    import csv
    from pathlib import Path

    from rungbook.errors import EnvironmentProblem, UsageError

    if Path(path).exists():
        raise UsageError("E202", f"{path} is there already and is not overwritten.", "Give another name to --output.")
    try:
        with open(path, "w", newline="") as f:
            writer = csv.DictWriter(f, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    except OSError as error:
        raise EnvironmentProblem("E405", f"{path} cannot be written: {error.strerror}.", "Give another place to --output.") from error
