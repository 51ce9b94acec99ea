"""`rung resume`: continue an interrupted run, bit for bit."""

from __future__ import annotations

from typing import Annotated

import typer

from rungbook.cli.train import AsJson, Debug, carry_out


def resume(
    run: Annotated[str | None, typer.Argument(help="Path, name or number of the run; the newest resumable one if left out.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Argument(help="threads=, workers=, device= may change, and data= where the same data has moved.", metavar="[KEY=VALUE]..."),
    ] = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> int:
    """Continue a run where it stopped, exactly as if it had not."""
    from rungbook.recipes import session
    from rungbook.recipes.recipe import find_recipe
    from rungbook.recipes.runs import find_run
    from rungbook.recipes.settings import parse_settings

    words = list(settings or [])
    if run is not None and "=" in run:  # only settings were given
        words, run = [run, *words], None
    found = find_run(run) if run is not None else session.newest_resumable()
    changes = parse_settings(find_recipe(found.record()["recipe"]), words)
    return carry_out(lambda out: session.resume(found, changes=changes, console=out), as_json)
