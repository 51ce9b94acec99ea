"""Measuring: a recipe carried out with several seeds, its figures, what they took, and on what machine, as a line of the ledger.

Nothing is chosen here. With one thread unless told otherwise: the number of threads belongs to the result (sums are taken in another
order), and a line should not depend on how many cores somebody has.
"""

from __future__ import annotations

import math
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from statistics import mean, median, stdev
from typing import Any

import torch

from rungbook.data.bundled import BUNDLED
from rungbook.data.worlds.registry import is_world
from rungbook.errors import UsageError
from rungbook.recipes.baseline import baselines
from rungbook.recipes.companion import cores
from rungbook.recipes.ledger import Entry, Ledger, key_of, recipe_of
from rungbook.recipes.once import train_once
from rungbook.recipes.prepare import keep_threads, pick_device
from rungbook.recipes.recipe import Recipe, find_recipe, list_recipes
from rungbook.recipes.runs import versions
from rungbook.recipes.settings import Settings
from rungbook.recipes.speak import headline
from rungbook.recipes.stamp import Stamp, counted, stamp
from rungbook.recipes.study import Found, Study, about, figures, gather, mean_scores

SEEDS = 5
"""Seeds of a line where nothing else is asked for."""
Say = Callable[[str], None]


@dataclass(frozen=True)
class Figures:
    """What one seed gave.

    Args:
        found: the figures and what stands beside them.
        metric, split: of the figure it is told by.
        seconds, cpu_seconds: it took, by the clock and by the processor, in all threads and worker processes.
    """

    found: Found
    metric: str
    split: str
    seconds: float
    cpu_seconds: float


@keep_threads()
def measure_seed(recipe: Settings, say: Say, *, beside: bool = True) -> Figures:
    """Carry out a recipe once, with its own seed.

    Args:
        recipe: a training, whose figures are those `rung train` gives with the same number of threads, or a study.
        say: takes a line for whoever waits.
        beside: whether baselines are wanted of a training (a study decides itself).

    Raises:
        RungError: with a message for the user.
    """
    torch.set_num_threads(recipe.threads or 1)
    wall, cpu = time.monotonic(), cpu_clock()
    if isinstance(recipe, Study):
        found = replace(recipe, seed=recipe.seed, seeds=1).find(say)
        metric, split = recipe.metric, recipe.split
    else:
        assert isinstance(recipe, Recipe)
        trained = train_once(recipe)
        data = trained.data
        assert data.test is not None
        scores = trained.scores("valid", "test")
        others = baselines(data, seed=recipe.seed, threads=torch.get_num_threads()) if beside else {}
        found = Found({"": scores}, data.test.samples, about(data), others, data.facts.get("limit"))
        metric, split = headline(data, scores), "test"
    return Figures(found, metric, split, time.monotonic() - wall, cpu_clock() - cpu)


def cpu_clock() -> float:
    """Processor seconds of this process and of its finished children so far."""
    return sum(os.times()[:4])


def measure(recipe: Settings, seeds: int, say: Say, *, stamped: Stamp | None = None) -> Entry:
    """Carry out a recipe with the seeds `recipe.seed`, `recipe.seed + 1`, ... and give the line of the ledger.

    Args:
        seeds: how many.
        say: takes a line for whoever waits.
        stamped: the recipe's stamp where it was taken when the process began. What is measured is the code as it was loaded; a file
            that somebody edits meanwhile must not pass for it.

    Raises:
        UsageError: E202 fewer than two seeds, settings no key can name, or parts of somebody's own.
        RungError: with a message for the user.
    """
    stamped = stamp(recipe) if stamped is None else stamped
    check_seeds(key_of(recipe), seeds)
    own_parts_only(recipe)
    recipe.check()
    key = key_of(recipe)
    if counted(recipe_of(key)) != counted(recipe):
        raise UsageError("E202", f"{key} does not name these settings exactly: a number has too many digits.", "Round it to 6 digits.")
    threads = recipe.threads or 1
    done: list[Figures] = []
    for seed in range(recipe.seed, recipe.seed + seeds):
        one = measure_seed(replace(recipe, seed=seed, threads=threads), lambda line: None)
        done.append(one)
        say(f"seed {seed}: {figures(one.found, one.split, one.metric)}   {one.cpu_seconds:.1f} s")
    first = done[0]
    return Entry(
        key=key,
        recipe=recipe.name,
        settings=counted(recipe),
        stamp=stamped,
        seeds=list(range(recipe.seed, recipe.seed + seeds)),
        metric=first.metric,
        split=first.split,
        results=summary([d.found for d in done]),
        baselines=mean_scores([d.found.baselines for d in done]),
        limit=limits(first.found),
        samples=first.found.samples,
        data={k: str(first.found.data.get(k, "")) for k in ("name", "fingerprint")},
        seconds=[round(d.seconds, 2) for d in done],
        cpu_seconds=[round(d.cpu_seconds, 2) for d in done],
        threads=threads,
        device=str(pick_device(getattr(recipe, "device", None))),
        machine=machine(),
        versions=versions(),
        date=datetime.now(UTC).date().isoformat(),
    )


def check_seeds(what: str, seeds: int) -> None:
    """Refuse what shows no spread. Raises UsageError E202."""
    if seeds < 2:
        shown = "One seed shows" if seeds == 1 else f"{seeds} seeds show"
        raise UsageError("E202", f"{shown} no spread, and a figure without it says little.", f"rung measure {what} --seeds {SEEDS}")


def summary(found: list[Found]) -> dict[str, Any]:
    """Mean, standard deviation and values of every figure that each seed has; nothing but the values where one is not finite."""
    table: dict[str, Any] = {}
    for variant, splits in gather(found).items():
        for split, metrics in splits.items():
            for metric, values in metrics.items():
                if len(values) == len(found):
                    finite = all(map(math.isfinite, values))
                    figure = {"mean": mean(values) if finite else None, "sd": stdev(values) if finite else None, "values": values}
                    table.setdefault(variant, {}).setdefault(split, {})[metric] = figure
    return table


def limits(found: Found) -> dict[str, dict[str, float]]:
    """The best possible of each metric where it is known, with its standard error (0 where it is exact)."""
    errors = found.data.get("facts", {}).get("limit_error", {})
    return {m: {"value": float(v), "error": float(errors.get(m, 0.0))} for m, v in (found.limit or {}).items() if v is not None}


def machine() -> dict[str, Any]:
    """Processor, cores and system: what a time depends on, and nothing that names the machine or its owner."""
    model = platform.processor()
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            model = next((line.partition(":")[2].strip() for line in file if line.startswith("model name")), model)
    except OSError:
        pass
    return {"cpu": model or platform.machine(), "cores": cores(), "system": f"{platform.system()} {platform.machine()}"}


def own_parts_only(recipe: Settings) -> None:
    """Refuse a recipe with parts of somebody's own: nobody else could measure it, and a ledger must not name code to run.

    Raises:
        UsageError: E202.
    """
    if getattr(recipe, "mine", ()):
        raise UsageError("E202", "figures in the ledger are of rungbook's own parts.", "Leave out mine=...")


def is_offline(recipe: Settings) -> bool:
    """Whether it can be carried out without anything that would have to be downloaded."""
    return not recipe.data or is_world(recipe.data) or recipe.data in BUNDLED


def real_keys(name: str) -> list[str]:
    """The keys of a recipe's lines on real data. Raises UsageError E201 where it names none."""
    cls = find_recipe(name)
    if not cls.real:
        example = f"rung measure {name}" + ("" if cls.fits else " data=mnist")
        raise UsageError("E201", f"{name} names no settings on real data.", example)
    return [key_of(recipe_of(f"{name} {words}")) for words in cls.real]


def planned(*, real: bool) -> list[str]:
    """Every key the ledger should have: each listed recipe as it is, and on real data if that is asked for."""
    keys = [key for name in list_recipes() for key in [name, *(real_keys(name) if find_recipe(name).real else [])]]
    return [k for k in dict.fromkeys(keys) if real or is_offline(recipe_of(k))]


def outstanding(ledger: Ledger, *, missing: bool, real: bool) -> list[str]:
    """Keys to be measured: those whose line is stale, and, if asked for, those without one."""
    wanted = [k for k in planned(real=real) if missing and k not in ledger.entries]
    for key, entry in ledger.entries.items():
        if entry.stale():
            try:
                recipe = recipe_of(key)
            except UsageError:
                continue  # the recipe is gone: there is nothing to measure again
            if real or is_offline(recipe):
                wanted.append(key)
    return wanted


def expected_seconds(entry: Entry | None, seeds: int) -> float:
    """Processor seconds a measurement will take, by the last one; nan where there was none."""
    return median(entry.cpu_seconds) * seeds if entry else math.nan


__all__ = [
    "SEEDS",
    "check_seeds",
    "expected_seconds",
    "is_offline",
    "machine",
    "measure",
    "measure_seed",
    "outstanding",
    "planned",
    "real_keys",
]
