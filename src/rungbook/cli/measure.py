"""`rung measure`: a recipe's figures over several seeds, as a line of the ledger."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rungbook.cli.train import AsJson, Debug

if TYPE_CHECKING:
    from rungbook.recipes.ledger import Entry, Ledger


def measure(
    recipe: Annotated[str, typer.Argument(help="A recipe (rung list recipes).")] = "",
    settings: Annotated[list[str] | None, typer.Argument(help="key=value, as rung train takes them.", metavar="[KEY=VALUE]...")] = None,
    seeds: Annotated[int, typer.Option("--seeds", help="How many seeds, from seed=0 on; at least 2.")] = 5,
    real: Annotated[bool, typer.Option("--real", help="The recipe's lines on real data; with --all and --stale these too.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Every recipe whose line is missing or stale.")] = False,
    stale: Annotated[bool, typer.Option("--stale", help="Every line whose recipe has changed since.")] = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> int:
    """Measure a recipe and write the result into the ledger, where README and lessons quote it.

    Each line is written when its last seed is done, whole. Ctrl-C keeps the lines before it (exit code 5).
    """
    from rungbook.cli.answer import INTERRUPTED, console, emit
    from rungbook.errors import RungError
    from rungbook.recipes.about_data import plain
    from rungbook.recipes.ledger import check_writable, read_ledger
    from rungbook.recipes.measure import check_seeds

    check_seeds(" ".join([recipe or ("--stale" if stale else "--all"), *(settings or [])]), seeds)
    out, ledger = console(as_json), read_ledger()
    recipes = _chosen(recipe, settings or [], ledger, real=real, everything=everything, stale=stale)
    check_writable()
    done: list[Entry] = []
    failed: list[tuple[str, RungError]] = []
    try:
        for i, one in enumerate(recipes):
            _announce(out, [k.key for k in recipes], i, ledger, seeds)
            try:
                done.append(_measure(out, one, seeds))
            except RungError as error:
                if len(recipes) == 1:
                    raise
                failed.append((one.key, error))
                plain(out, f"  {error.code} {error.message}", "red")
    except KeyboardInterrupt:
        kept = f"{len(done)} of {len(recipes)} lines written" if done else "no line was written"
        words = ["--all" if everything else "--stale" if stale else one.key, *(["--real"] if real and not recipe else [])]
        again = " ".join(["rung measure", *words, f"--seeds {seeds}"])
        out.print(f"[yellow]stopped; {kept}, {one.key} is not among them.[/] Go on: {again}", soft_wrap=True)
        if as_json:
            emit({"status": "interrupted", "lines": [_answer(e) for e in done], "exit": INTERRUPTED})
        return INTERRUPTED
    if not recipes:
        plain(out, "nothing is missing or stale" + ("" if real else " offline; on real data: --real"))
    for key, why in failed:
        plain(out, f"not measured: {key} ({why.code}). {why.fix}", "yellow")
    plain(out, "see all: rung ledger", "dim")
    if as_json:
        several = {"lines": [_answer(e) for e in done], "failed": {k: why.describe() for k, why in failed}}
        emit(several if everything or stale or real else _answer(done[0]))
    return failed[0][1].exit_code if failed else 0


class _Asked:
    """A recipe to be measured, with the stamp of its code as it is loaded now: the last of many is measured hours later.

    Args:
        recipe: with its settings.
    """

    def __init__(self, recipe: Any) -> None:
        from rungbook.recipes.ledger import key_of
        from rungbook.recipes.stamp import stamp

        self.recipe, self.key, self.stamp = recipe, key_of(recipe), stamp(recipe)


def _chosen(name: str, words: list[str], ledger: Ledger, *, real: bool, everything: bool, stale: bool) -> list[_Asked]:
    """What is to be measured. Raises UsageError E201, E202 for what cannot be."""
    from rungbook.cli.train import choose
    from rungbook.data.load import is_path
    from rungbook.errors import UsageError
    from rungbook.recipes.ledger import recipe_of
    from rungbook.recipes.measure import outstanding, real_keys

    if everything or stale:
        if name:
            raise UsageError("E201", f"--{'all' if everything else 'stale'} is for all recipes, {name} is one.", f"rung measure {name}")
        return [_Asked(recipe_of(key)) for key in outstanding(ledger, missing=everything, real=real)]
    if not name:
        raise UsageError("E201", "Which recipe is to be measured?", "rung measure digits, or all that is missing: rung measure --all")
    if is_path(name):
        raise UsageError("E201", f"{name} is a path; the ledger holds recipes, which others can measure again.", f"rung train {name}")
    if told := [w for w in words if w.startswith("seeds=")]:
        raise UsageError("E201", f"{told[0]} is said as an option here.", f"rung measure {name} --seeds {told[0][6:] or 5}")
    if real and words:
        raise UsageError(
            "E201", f"--real measures the settings {name} names itself; {words[0]} is another.", f"rung measure {name} {words[0]}"
        )
    recipe, _ = choose(name, words, {})
    return [_Asked(recipe_of(key)) for key in real_keys(name)] if real else [_Asked(recipe)]


def _announce(out: Any, keys: list[str], i: int, ledger: Ledger, seeds: int) -> None:
    """Which line is measured next, and how long this one and all the rest will take where it was measured before."""
    from rungbook.recipes.about_data import plain
    from rungbook.recipes.measure import expected_seconds
    from rungbook.recipes.speak import duration

    times = [expected_seconds(ledger.entries.get(k), seeds) for k in keys[i:]]
    known = [t for t in times if math.isfinite(t)]
    text = f"{i + 1}/{len(keys)} " if len(keys) > 1 else ""
    text += f"{keys[i]}, {seeds} seeds" + (f": about {duration(times[0])}" if math.isfinite(times[0]) else "")
    if len(keys) > 1 and known:
        unknown = f" and {len(times) - len(known)} of unknown length" if len(known) < len(times) else ""
        text += f" ({duration(sum(known))}{unknown} to go)"
    plain(out, text, "bold")


def _measure(out: Any, asked: _Asked, seeds: int) -> Entry:
    """Measure one line and write it."""
    from rungbook.recipes import ledger
    from rungbook.recipes.about_data import plain
    from rungbook.recipes.measure import measure as measured
    from rungbook.recipes.speak import duration, shown_path

    said = 0

    def say(line: str) -> None:
        nonlocal said
        said += 1
        plain(out, f"  {line}", "dim")
        seconds = float(line.split()[-2])
        if said == 1 and seconds * (seeds - 1) >= 5:
            plain(out, f"  about {duration(seconds * (seeds - 1))} to go", "dim")

    entry = measured(asked.recipe, seeds, say, stamped=asked.stamp)
    path = ledger.append(entry)
    tell(out, entry)
    plain(out, f"  written: {shown_path(path)}", "dim")
    return entry


def tell(out: Any, entry: Entry) -> None:
    """A line of the ledger by the figure it is told by: variants, baselines, limit, what a course reports."""
    from rungbook.recipes.about_data import paragraph, plain
    from rungbook.recipes.quotes import best_possible, has_figure, pick, reported, with_spread
    from rungbook.recipes.speak import course_lines

    plain(out, f"  {entry.split} {entry.metric.replace('_', ' ')}, mean ± standard deviation over {len(entry.seeds)} seeds")
    rows = [(v or entry.recipe, str(pick(entry, v, f"{entry.split} {entry.metric}"))) for v in entry.results if has_figure(entry, v)]
    if entry.split == "test":
        rows += [
            (w.replace("_", " "), with_spread(entry.metric, s[entry.metric], 0.0)) for w, s in entry.baselines.items() if entry.metric in s
        ]
    if entry.metric in entry.limit:
        rows.append(("best possible", best_possible(entry, entry.metric)))
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        plain(out, f"    {name:<{width}}  {value}")
    for line in course_lines(reported(entry), entry.data["name"]):
        paragraph(out, "    course: ", line, body="dim")


def _answer(entry: Entry) -> dict[str, Any]:
    """DESIGN's JSON object, with the figures of every variant and seed beside it."""
    first = next(iter(entry.results.values()))
    means = {split: {m: f["mean"] for m, f in metrics.items()} for split, metrics in first.items()}
    return {
        "key": entry.key,
        "recipe": entry.recipe,
        **means,
        "baselines": entry.baselines,
        "limit": {m: limit["value"] for m, limit in entry.limit.items()} or None,
        "variants": entry.results,
        "seeds": entry.seeds,
        "seconds": round(sum(entry.seconds), 2),
        "cpu_seconds": round(sum(entry.cpu_seconds), 2),
    }


__all__ = ["measure"]
