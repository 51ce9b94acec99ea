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
    write: Annotated[bool, typer.Option("--write", help="Bring docs/twins.md up to date.")] = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> int:
    """Every part by hand beside PyTorch's own: cases passed and costs, or one recipe trained with both."""
    if recipe is not None:
        if write:
            from rungbook.errors import UsageError

            raise UsageError("E201", "--write is for the table of parts, not for a recipe.", "rung twins --write")
        return _both_ways(recipe, settings or [], steps, as_json)
    return _table(write, as_json)


def _table(write: bool, as_json: bool) -> int:
    """All parts with their cases and costs; written into the docs if asked."""
    from rungbook.cli.answer import console, emit
    from rungbook.errors import UsageError
    from rungbook.recipes.about_data import plain
    from rungbook.recipes.parts import KINDS, load_parts, page
    from rungbook.recipes.shipped import checkout

    out, table = console(as_json), load_parts()
    if write:
        root = checkout()
        if root is None:
            raise UsageError("E201", "There are no texts here: rungbook runs from an installed package.", "Run it in a checkout.")
        (root / "docs" / "twins.md").write_text(page(table))
        plain(out, "written: docs/twins.md")
    else:
        for kind in KINDS:
            _kind(out, kind, table)
        passed, left = sum(p.passed for p in table.parts), sum(p.left_out for p in table.parts)
        share = left / max(1, passed + left)
        plain(out, f"{len(table.parts)} parts, {passed:,} cases agree with torch {table.torch}, {left:,} left out ({share:.1%})", "bold")
    plain(out, "next: rung twins lenet    compare again: pytest tests/conformance", "dim")
    if as_json:
        rows = {p.name: {"passed": p.passed, "listed": p.listed, "cost": list(p.cost) or None} for p in table.parts}
        emit({"torch": table.torch, "machine": table.machine, "parts": rows})
    return 0


def _kind(out: Any, kind: str, table: Any) -> None:
    """The rows of one kind, and below them why cases are left out."""
    from rich.table import Table

    from rungbook.recipes.about_data import paragraph, plain
    from rungbook.recipes.parts import KINDS, cost_words

    rows, (title, ours, _) = table.of(kind), KINDS[kind]
    if not rows:
        return
    plain(out, f"{title}  {ours}", "bold")
    if kind == "tape":
        operations = sum(not p.short.startswith(("nn.", "functional.")) for p in rows)
        plain(out, f"  every layer and function above and {operations} operations, {sum(p.passed for p in rows):,} cases; by name: --json")
        return
    costs = ["time / torch's (range)"] if any(p.cost for p in rows) else []
    shown = Table("  part", "cases", "left out", *costs, box=None, header_style="dim")
    for p in rows:
        shown.add_row(f"  {p.short}", str(p.passed), str(p.left_out or ""), *([cost_words(p)] if costs else []))
    out.print(shown)
    for p in rows:
        for reason, n in p.listed.items():
            paragraph(out, f"  {p.short} leaves out {n}: ", reason, style="dim", body="dim")


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
    from rungbook.recipes.speak import plural
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
    apart = f"differ by at most {found.worst:.1e} ({ALLOWED:.0e} is allowed)" if found.worst else "are equal to the last bit"
    steps_done = f"{plural(len(found.ours), 'step')} in float64, loss {found.torch[0]:.4f} to {found.torch[-1]:.4f}"
    sentence = f"{steps_done}: {verdict if found.worst else 'the same'}; the two losses {apart}."
    paragraph(out, "", sentence, body="bold" if found.same else "bold red")
    plain(out, f"picture: {path}", "dim")
    plain(out, f"next: {chosen.command(scratch=chosen.scratch or (() if chosen.mine else ('all',)))}", "dim")
    if as_json:
        result: dict[str, Any] = {"recipe": chosen.name, "steps": len(found.ours), "torch": found.torch, "ours": found.ours}
        emit({**result, "worst": found.worst, "allowed": ALLOWED, "same": found.same, "not_by_hand": found.left, "picture": path})
    return 0 if found.same else 1
