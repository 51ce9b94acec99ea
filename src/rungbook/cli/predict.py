"""`rung predict`: what a finished run says of new files, rows or texts."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from rungbook.cli.train import AsJson, Debug

SHOWN = 20
"""Predictions printed at most; --output and --json give all."""
OWN_SAMPLES = 10
"""Test samples predicted if nothing is given."""


def predict(
    run: Annotated[str, typer.Argument(help="Path, name or number of a finished run.")],
    inputs: Annotated[
        list[str] | None,
        typer.Argument(help="Images or folders of them, a table, or texts; left out: some of the run's own test samples."),
    ] = None,
    output: Annotated[str | None, typer.Option("--output", "-o", help="Write all predictions to this CSV file.")] = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> int:
    """Predict new items with a finished run."""
    from pathlib import Path

    from rungbook.cli.answer import console, emit
    from rungbook.errors import UsageError
    from rungbook.recipes.about_data import plain, some
    from rungbook.recipes.evaluation import own_test_samples
    from rungbook.recipes.items import Items, read_items
    from rungbook.recipes.predictor import load
    from rungbook.recipes.runs import find_run

    if output and Path(output).exists():
        raise UsageError("E202", f"{output} is there already and is not overwritten.", "Give another name to --output.")
    found = find_run(run)
    predictor = load(found)
    truth: list[str] = []
    if inputs:
        items = read_items(predictor, inputs)
    else:
        names, stored, truth = own_test_samples(found, OWN_SAMPLES)
        items = Items(names, stored)
    predictions = predictor.explain(predictor.decode(predictor.outputs_of(items.inputs)))
    rows = [_row(n, p, t) for n, p, t in zip(items.names, predictions, truth or [""] * len(items.names), strict=True)]
    out = console(as_json)
    if not inputs:
        out.print(f"no input given: {len(rows)} samples of the run's own test split", style="dim")
    show(out, rows, 3 if output else SHOWN)
    if items.left_out:
        plain(out, f"left out, cannot be read: {some(items.left_out, 3)}", "yellow")
    if output:
        write_csv(output, rows)
        plain(out, f"{len(rows):,} predictions written to {output}")
    elif len(rows) > SHOWN:
        out.print(f"... and {len(rows) - SHOWN:,} more; all of them: --output predictions.csv", style="dim")
    if inputs:
        plain(out, f"judge it where the answers are known: rung eval {found.name} PATH", "dim")
    else:
        plain(out, f"use it: {_use(found, predictor)}", "dim")
    if as_json:
        full = [{**r, "probabilities": p.probabilities} if p.probabilities else r for r, p in zip(rows, predictions, strict=True)]
        emit({"run": str(found.path), "predictions": full, "left_out": items.left_out})
    return 0


def _use(run: Any, predictor: Any) -> str:
    from rungbook.recipes.speak import usage

    return usage(run, predictor.encoder.kind).partition("    ")[0]


def show(out: Any, rows: list[dict[str, Any]], most: int) -> None:
    """The first predictions, a line each, in columns."""
    from rungbook.recipes.about_data import plain

    width = max(len(r["item"]) for r in rows[:most])
    answer = max(len(str(r["prediction"])) for r in rows[:most])
    for r in rows[:most]:
        share = f"  {100 * r['probability']:5.1f}%" if "probability" in r else ""
        tail = "" if "truth" not in r else "  right" if r["truth"] == r["prediction"] else f"  true: {r['truth']}"
        plain(out, f"{r['item']:<{width}}  {r['prediction']:<{answer}}{share}{tail}")


def _row(name: str, prediction: Any, truth: str) -> dict[str, Any]:
    row: dict[str, Any] = {"item": name, "prediction": prediction.label}
    row["probability" if prediction.probabilities else "value"] = prediction.value
    if truth:
        row["truth"] = truth
    return row


def write_csv(path: str, rows: list[dict[str, Any]]) -> None:
    """Predictions as a table. Raises UsageError E202 if the file exists, EnvironmentProblem E405 if it cannot be written."""
    import csv

    from rungbook.errors import EnvironmentProblem, UsageError

    try:
        with open(path, "x", newline="", encoding="utf-8") as f:
            writer = csv.DictWriter(f, list(rows[0]))
            writer.writeheader()
            # a predicted number is shown with six digits and written with all
            writer.writerows({**r, "prediction": repr(r["value"])} if "value" in r else r for r in rows)
    except FileExistsError as error:
        raise UsageError("E202", f"{path} is there already and is not overwritten.", "Give another name to --output.") from error
    except OSError as error:
        raise EnvironmentProblem("E405", f"{path} cannot be written: {error.strerror}.", "Give another place to --output.") from error
