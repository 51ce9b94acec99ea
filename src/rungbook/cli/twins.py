"""`rung twins`: what is by hand and how it compares with torch; with a recipe, the recipe trained both ways."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from rungbook.cli.train import AsJson, Debug


def twins(
    recipe: Annotated[str | None, typer.Argument(help="A recipe, to train it both ways; left out: the table of parts.")] = None,
    settings: Annotated[
        list[str] | None, typer.Argument(help="key=value of the recipe: scratch=layers,optim data=mnist ...", metavar="[KEY=VALUE]...")
    ] = None,
    steps: Annotated[int, typer.Option("--steps", help="Optimiser steps of each training.", min=1)] = 50,
    as_json: AsJson = False,
    debug: Debug = False,
) -> int:
    """Every part by hand beside PyTorch's own: cases passed and costs, or one recipe trained with both."""
    return _both_ways(recipe, settings or [], steps, as_json)


def _both_ways(name: str, words: list[str], steps: int, as_json: bool) -> int:
    """Train both ways, draw it and say it in a sentence; 1 if they differ by more than rounding."""
    from rungbook.cli.answer import console, emit
    from rungbook.cli.train import choose
    from rungbook.errors import UsageError
    from rungbook.plot.twins import side_by_side as picture
    from rungbook.recipes.about_data import paragraph, plain
    from rungbook.recipes.recipe import Recipe
    from rungbook.recipes.runs import runs_folder
    from rungbook.recipes.side_by_side import ALLOWED, side_by_side
    from rungbook.recipes.study import Study

    chosen, label = choose(name, words, {})
    if isinstance(chosen, Study) or not isinstance(chosen, Recipe):
        raise UsageError("E202", f"{name} is a study of several trainings; one training is compared here.", "rung twins lenet")
    chosen.check()
    out = console(as_json)
    with out.status(f"{label}: {steps} steps with torch, {steps} by hand") as status:
        found = side_by_side(chosen, steps, lambda step: status.update(f"{label}: step {step} of {steps}"))
    drawn = picture(found.torch, found.ours, ALLOWED, title=label)
    runs_folder().mkdir(parents=True, exist_ok=True)
    path = drawn.save(runs_folder() / f"twins-{label}.svg").resolve()
    plain(out, found.parts)
    if found.left:
        plain(out, f"not by hand: {', '.join(sorted(set(found.left.values())))}", "yellow")
    verdict = "the same but for rounding" if found.same else "NOT the same"
    sentence = (
        f"{len(found.ours)} steps in float64, loss {found.torch[0]:.4f} to {found.torch[-1]:.4f}: {verdict}; "
        f"the two losses differ by at most {found.worst:.1e} ({ALLOWED:.0e} is allowed)."
    )
    paragraph(out, "", sentence, body="bold" if found.same else "bold red")
    plain(out, f"picture: {path}", "dim")
    plain(out, f"next: {chosen.command(scratch=chosen.scratch or ('all',))}", "dim")
    if as_json:
        result: dict[str, Any] = {"recipe": chosen.name, "steps": len(found.ours), "torch": found.torch, "ours": found.ours}
        emit({**result, "worst": found.worst, "allowed": ALLOWED, "same": found.same, "not_by_hand": found.left, "picture": path})
    return 0 if found.same else 1
