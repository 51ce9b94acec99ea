"""`rung list`: recipes, models, data sets and lessons by name."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from rungbook.cli.train import AsJson, Debug


def listing(
    what: Annotated[str, typer.Argument(help="recipes, models, data or lessons.")] = "",
    as_json: AsJson = False,
    debug: Debug = False,
) -> int:
    """List what there is, a line each."""
    from rungbook.cli.answer import console, emit
    from rungbook.errors import UsageError, did_you_mean
    from rungbook.recipes.about_data import paragraph, plain

    if what and what not in LISTS:
        raise UsageError("E201", f'There is no list of "{what}".', did_you_mean(what, LISTS))
    chosen = {name: make() for name, make in LISTS.items() if what in ("", name)}
    out = console(as_json)
    for name, entries in chosen.items():
        out.print(f"[bold]{name}[/]")
        width = max(map(len, entries))
        for key, about in entries.items():
            paragraph(out, f"  {key:<{width}}  ", about)
    plain(out, f"next: {NEXT[what]}", "dim")
    if as_json:
        emit(chosen)
    return 0


def _recipes() -> dict[str, str]:
    from rungbook.recipes.recipe import find_recipe, list_recipes

    return {name: (find_recipe(name).__doc__ or "").splitlines()[0] for name in list_recipes()}


def _models() -> dict[str, str]:
    from rungbook.models.registry import MODELS
    from rungbook.transfer.published import PUBLISHED

    weights = {name: f"; pretrained={' or '.join(tags)}" for name, tags in PUBLISHED.items()}
    return {name: entry.about + weights.get(name, "") for name, entry in MODELS.items()}


def _data() -> dict[str, str]:
    from rungbook.data.named import data_names

    return data_names()


def _lessons() -> dict[str, str]:
    from rungbook.book.lesson import lessons

    return {one.name: f"{one.title} (rung {one.rung}, {one.minutes} minutes)" for one in lessons()}


NEXT = {
    "": "rung train digits",
    "recipes": "rung train digits",
    "models": "rung train digits model=mlp",
    "data": "rung data iris",
    "lessons": "rung lesson 1",
}
"""What to do after each list."""
LISTS: dict[str, Any] = {"recipes": _recipes, "models": _models, "data": _data, "lessons": _lessons}
"""What can be listed."""
