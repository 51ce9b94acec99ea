"""`rung eval`: judge a finished run again, on its own test split or on other labelled data."""

from __future__ import annotations

from typing import Annotated

import typer

from rungbook.cli.train import AsJson, Debug


def evaluate(
    run: Annotated[str, typer.Argument(help="Path, name or number of a finished run.")],
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PATH|tta=VERSIONS",
            help="Labelled data of the same kind: a folder with the same classes, or a table with the same columns; "
            "or data=PLACE, where the run's own data has moved. "
            "tta=flip, crop or flip_crop judges by the mean over versions of each image, tta=none by the image alone.",
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

    path, how = _place_and_versions(words or [])
    result, (low, high) = evaluate_run(run, path, tta=how)
    out, name = console(as_json), Path(result["run"]).name
    versions = f", by the mean over tta={result['tta']}" if "tta" in result else ""
    plain(out, f"{name} on {result['on']}, {plural(result['samples'], 'sample')}{versions}")
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


def _place_and_versions(words: list[str]) -> tuple[str | None, str | None]:
    """Where the data is, and `tta`: "" if nothing was said of it. Raises UsageError E202 for more than one place."""
    from rungbook.errors import UsageError

    said = [w.removeprefix("tta=") for w in words if w.startswith("tta=")]
    places = [w for w in words if not w.startswith("tta=")]
    if len(places) > 1 or len(said) > 1:
        message = f"One place of data and one tta=... at most; here are {' and '.join(words)}."
        raise UsageError("E202", message, "rung eval RUN PATH tta=flip")
    how = said[0] if said else ""
    return (places[0] if places else None), None if how.lower() == "none" else how
