"""`rung train`: from a recipe's name or a path to a trained, saved, explained model."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rungbook.recipes.session import Stopped
    from rungbook.recipes.settings import Settings

AsJson = Annotated[bool, typer.Option("--json", help="End standard output with one line of JSON; everything else goes to standard error.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


def train(
    what: Annotated[str, typer.Argument(help="A recipe (rung list recipes), or a path: a folder of images, a CSV, TSV or parquet file.")],
    settings: Annotated[
        list[str] | None, typer.Argument(help="key=value: epochs=5 lr=0.01 seed=1 data=mnist ...", metavar="[KEY=VALUE]...")
    ] = None,
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
    from rungbook.recipes import session

    recipe, label = choose(what, settings or [], {"target": target, "text": text, "keep": tuple(keep or ()), "strict": strict})
    return carry_out(lambda out: session.train(recipe, label=label, console=out), as_json)


def carry_out(training: Callable[[Any], dict[str, Any]], as_json: bool) -> int:
    """Run a training that prints to the console it is given, and answer with its result or with how to go on; gives the exit code."""
    from rungbook.cli.answer import console, emit
    from rungbook.recipes.session import Stopped

    out = console(as_json)
    try:
        result = training(out)
    except Stopped as stopped:
        return say_stopped(out, stopped, as_json)
    if as_json:
        emit(result)
    return 0


def say_stopped(out: Any, stopped: Stopped, as_json: bool) -> int:
    """What to do after Ctrl-C; gives the exit code."""
    from rungbook.cli.answer import INTERRUPTED, emit

    kept = "the last checkpoint is kept" if stopped.run.checkpoints.is_dir() else "there is no checkpoint yet, it will start again"
    saved = kept if stopped.step is None else f"everything up to step {stopped.step:,} is saved"
    out.print(f"[yellow]stopped safely, {saved}.[/] Continue exactly: rung resume {stopped.run.name}", soft_wrap=True)
    if as_json:
        emit({"run": stopped.run.path, "status": "interrupted", "step": stopped.step, "exit": INTERRUPTED})
    return INTERRUPTED


def choose(what: str, words: list[str], options: dict[str, Any]) -> tuple[Settings, str]:
    """The recipe WHAT stands for, with its settings, and a label for the run.

    Raises:
        UsageError: E203 a word that is no recipe but a folder, E201 nothing of that name, E105 no such path.
    """
    from pathlib import Path

    from rungbook.data.load import existing, is_path
    from rungbook.errors import UsageError
    from rungbook.recipes.recipe import find_recipe
    from rungbook.recipes.settings import parse_settings

    if is_path(what):
        path = existing(Path(what))
        name, label = recipe_for(path, options), path.resolve().stem
    else:
        name = label = named_recipe(what)
    cls = find_recipe(name)
    said = {k: v for k, v in options.items() if v}
    for option in said:
        if option not in cls.options:
            suits = "for a path of your own data" if option == "strict" else "for a table"
            raise UsageError("E201", f"--{option} is {suits}; {what} takes none.", f"Leave out --{option}")
    values = parse_settings(cls, words)
    if is_path(what):
        if "data" in values:
            raise UsageError("E201", f"{what} is the data already.", "Leave out data=...")
        values["data"] = str(path.resolve())
    return cls(**values, **said), label


def named_recipe(what: str) -> str:
    """The recipe of a name. Raises UsageError E203 for the name of a folder, E201 for other words, with what was probably meant."""
    import sys
    from pathlib import Path

    from rungbook.data.named import data_names
    from rungbook.data.worlds.registry import is_world
    from rungbook.errors import UsageError
    from rungbook.models.registry import MODELS
    from rungbook.recipes.recipe import find_recipe, is_listed

    if is_listed(what):
        if Path(what).exists():
            print(f"note: {what} is taken as the recipe; for what lies here say ./{what}", file=sys.stderr)
        return what
    if Path(what).is_dir():
        message = f'"{what}" is no recipe, but there is a folder of that name.'
        raise UsageError("E203", message, f"Say it as a path: rung train ./{what}")
    if what in data_names() or is_world(what):
        raise UsageError("E201", f'"{what}" is a data set, not a recipe.', f"Name a recipe for it: {command_for(what)}")
    if what in MODELS:
        raise UsageError("E201", f'"{what}" is a model, not a recipe.', f"Name a recipe for it: rung train digits model={what}")
    beside = [p.name for p in Path().iterdir() if p.stem == what and p.is_file()]
    if beside:
        raise UsageError("E201", f'There is no recipe "{what}", but there is a file {beside[0]}.', f"rung train ./{beside[0]}")
    find_recipe(what)  # which raises, with the nearest name
    raise UsageError("E201", f'"{what}" is not trained by name: it needs data of yours.', "rung train PATH")


def command_for(data: str) -> str:
    """The command that trains on a data set of that name; one that looks at it where no recipe fits it."""
    import shlex

    from rungbook.data.named import kind_of
    from rungbook.recipes.recipe import find_recipe, is_listed
    from rungbook.recipes.study import Study

    if is_listed(data) and not issubclass(find_recipe(data), Study):  # a study compares; it leaves no model to use
        return f"rung train {data}"
    recipe = {"image": "lenet", "table": "mlp", "array": "mlp"}.get(kind_of(data))
    return f"rung train {recipe} data={shlex.quote(data)}" if recipe else f"rung data {shlex.quote(data)}"


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
