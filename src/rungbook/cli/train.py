"""`rung train`: from a recipe's name or a path to a trained, saved, explained model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rungbook.recipes.recipe import Recipe

AsJson = Annotated[bool, typer.Option("--json", help="End standard output with one line of JSON; everything else goes to standard error.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


def train(
    what: Annotated[str, typer.Argument(help="A recipe (rung list recipes), or a path: a folder of images, a CSV, TSV or parquet file.")],
    settings: Annotated[list[str] | None, typer.Argument(help="key=value: epochs=5 lr=0.01 seed=1 data=mnist ...", metavar="[KEY=VALUE]...")] = None,
    target: Annotated[str | None, typer.Option("--target", help="Column to predict, for a table.")] = None,
    text: Annotated[str | None, typer.Option("--text", help="Column of text to learn from, for a table.")] = None,
    keep: Annotated[list[str] | None, typer.Option("--keep", help="Column the audit must not leave out; may be repeated.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at an unreadable file or row instead of leaving it out.")] = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> int:
    """Train a model; ends with a saved model, a report and its result beside its baselines.

    Ctrl-C stops safely (exit code 5); rung resume continues exactly.
    """
    from rungbook.cli.answer import INTERRUPTED, console, emit
    from rungbook.learner.learner import Interrupted
    from rungbook.recipes import session

    recipe, label = choose(what, settings or [], {"target": target, "text": text, "keep": tuple(keep or ()), "strict": strict})
    out = console(as_json)
    try:
        result = session.train(recipe, label=label, console=out)
    except Interrupted:
        say_interrupted(out)
        return INTERRUPTED
    if as_json:
        emit(result)
    return 0


def say_interrupted(out: Any) -> None:
    """What to do after Ctrl-C."""
    out.print("[yellow]stopped safely; everything up to this step is saved.[/] Continue exactly: rung resume")


def choose(what: str, words: list[str], options: dict[str, Any]) -> tuple[Recipe, str]:
    """The recipe WHAT stands for, with its settings, and a label for the run.

    Raises:
        UsageError: E203 a word that is no recipe but a folder, E201 nothing of that name, E105 no such path.
    """
    from pathlib import Path

    from rungbook.data.load import existing, is_path
    from rungbook.errors import UsageError
    from rungbook.recipes.recipe import RECIPES, find_recipe, list_recipes, load_recipes, parse_settings

    load_recipes()
    said = {k: v for k, v in options.items() if v}
    if is_path(what):
        path = existing(Path(what))
        name = recipe_for(path, options)
        label = path.resolve().stem
    else:
        names = list_recipes()
        if what not in names and Path(what).is_dir():
            raise UsageError("E203", f'"{what}" is no recipe, but there is a folder of that name.', f"Say it as a path: rung train ./{what}")
        if what in names and Path(what).exists():
            import sys

            print(f"note: {what} is taken as the recipe; for the folder say ./{what}", file=sys.stderr)
        name = label = what if what in names else find_recipe(what).name
    cls = find_recipe(name)
    for option in said:
        if option not in cls.options:
            raise UsageError("E201", f"--{option} is for tables and folders; {what} takes none.", f"Leave out --{option}.")
    values = parse_settings(cls, words)
    if is_path(what):
        if "data" in values:
            raise UsageError("E201", "The path is the data already.", "Leave out data=...")
        values["data"] = str(path.resolve())
    assert cls.name in RECIPES
    return cls(**values, **{k: v for k, v in said.items() if k in cls.options}), label


def recipe_for(path: Any, options: dict[str, Any]) -> str:
    """Which recipe a path wants: images for a folder, text or table for a file."""
    if path.is_dir():
        return "images"
    if options.get("text"):
        return "text"
    from rungbook.data.load import TABLES, learns_from_text

    if path.suffix.lower() not in TABLES:
        return "table"  # which says what it reads
    return "text" if learns_from_text(path, target=options.get("target"), keep=options.get("keep") or ()) else "table"
