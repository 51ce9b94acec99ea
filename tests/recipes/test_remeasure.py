"""The ledger is measured again, one seed of each line; the figure it is told by must lie where it says, for every variant and split.

In the default run: recipes of at most `QUICK` processor seconds (a study with all its seeds), the cheapest first, as many as `BUDGET`
allows; those there is no time left for are named. The rest under `-m measure`. Real data where RUNG_DATA has it.

A figure must lie inside mean ± 4 sd of its line, and never has less room than three standard errors of the samples it was judged on:
accuracies by the binomial distribution (two right and two wrong added, Agresti and Coull 1998, so that 100 % has an error too); squared
errors by sqrt(2/n) of themselves, their roots by sqrt(1/2n), absolute errors by 0.76/sqrt(n), as normal errors have; R2 by sqrt(2/n) of
1 - R2; losses, perplexity's logarithm and what else there may be by 1/sqrt(n) of themselves, as an exponential distribution has.
"""

from __future__ import annotations

import dataclasses
import math
import os
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from rungbook.errors import UsageError
from rungbook.recipes.comparison import lower_is_better
from rungbook.recipes.contrast import Contrast
from rungbook.recipes.ledger import Entry, load_ledger, read_ledger
from rungbook.recipes.measure import Figures, is_offline, measure_seed
from rungbook.recipes.settings import Settings

QUICK = 5.0
BUDGET = 50.0
"""Processor seconds of all lines of the default run together, as recorded: below the minute they may take."""
ROOM = 1e-6
"""Share of a figure that rounding may move, where nothing else gives it room."""


def standard_error(metric: str, value: float, n: int) -> float:
    """Of a figure judged on n samples, by the rules above."""
    if "accuracy" in metric:
        share = (value * n + 2) / (n + 4)
        return math.sqrt(max(share * (1 - share), 0) / (n + 4))
    if metric == "r2":
        return abs(1 - value) * math.sqrt(2 / n)
    if metric == "perplexity":
        return value * abs(math.log(value)) / math.sqrt(n)
    rules = {"mean_squared": math.sqrt(2), "root_mean": math.sqrt(0.5), "absolute": 0.76}
    factor = next((f for part, f in sorted(rules.items(), reverse=True) if metric.startswith(part) or part in metric), 1.0)
    return abs(value) * factor / math.sqrt(n)


def outside(entry: Entry, again: Figures) -> list[str]:
    """The figures of a new measurement that do not lie where the line says, in words; and those that one of both lacks."""
    wrong = []
    for variant, splits in entry.results.items():
        for split, metrics in splits.items():
            if entry.metric not in metrics:
                continue
            mean, sd = (metrics[entry.metric][k] for k in ("mean", "sd"))
            value = again.found.results.get(variant, {}).get(split, {}).get(entry.metric)
            name = f"{variant} {split} {entry.metric}".strip()
            if value is None:
                wrong.append(f"{name} is no longer measured")
            elif mean is None or not math.isfinite(value):
                wrong += [] if mean is None and not math.isfinite(value) else [f"{name} was {mean} and is {value}"]
            else:
                room = max(4 * sd, 3 * standard_error(entry.metric, mean, entry.samples), ROOM * abs(mean))
                if abs(value - mean) > room:
                    wrong.append(f"{name} is {value:.6g}, the ledger says {mean:.6g}, and {room:.2g} of room")
    return wrong + [f"{v} is not in the ledger" for v in again.found.results if v not in entry.results]


def again(entry: Entry, seed: int = 0, **changes: Any) -> Figures:
    """The line's recipe carried out with one seed, on the processor, with as many threads as then."""
    recipe: Settings = entry.rebuild()
    fixed = {"seed": seed, "threads": entry.threads, **({"device": "cpu"} if hasattr(recipe, "device") else {}), **changes}
    return measure_seed(dataclasses.replace(recipe, **fixed), lambda line: None, beside=False)


def why_not(entry: Entry) -> str:
    """Why a line cannot be measured again here, or ""."""
    if getattr(type(entry.rebuild()), "timed", False):
        return "its figures are times, which belong to the machine they were measured on"
    if not is_offline(entry.rebuild()):
        folder = os.environ.get("RUNG_DATA")
        if not folder:
            return "RUNG_DATA is not set to a folder of real data sets"
        if not any(p.name.startswith(entry.settings["data"]) for p in Path(folder).iterdir()):
            return f"RUNG_DATA has no {entry.settings['data']}"
    return ""


def known(entry: Entry) -> bool:
    """Whether the recipe of a line still exists; one that is gone is told as a stale line."""
    try:
        entry.rebuild()
    except UsageError:
        return False
    return True


def whole(entry: Entry) -> float:
    """Processor seconds of the recipe as it is carried out by default: a study over all its seeds."""
    return median(entry.cpu_seconds) * getattr(type(entry.rebuild())(), "seeds", 1)


def quick(entries: list[Entry]) -> list[str]:
    """Keys of the lines measured again in the default run."""
    chosen, used = [], 0.0
    for entry in sorted(entries, key=lambda e: (median(e.cpu_seconds), e.key)):
        if known(entry) and whole(entry) <= QUICK and used + median(entry.cpu_seconds) <= BUDGET:
            chosen.append(entry.key)
            used += median(entry.cpu_seconds)
    return chosen


ENTRIES = read_ledger().entries
CHOSEN = quick(list(ENTRIES.values()))


@pytest.mark.parametrize("key", [k if k in CHOSEN else pytest.param(k, marks=pytest.mark.measure) for k in sorted(ENTRIES)])
def test_the_ledger_is_right(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Contrast, "with_baselines", False)  # they are not compared
    entry = load_ledger().get(key)
    if changed := entry.stale():
        pytest.skip(f"stale ({'; '.join(changed)}), and told by rung ledger: rung measure {key}")
    if reason := why_not(entry):
        pytest.skip(reason)
    assert outside(entry, again(entry)) == []


def test_the_default_run_keeps_its_budget() -> None:
    assert sum(median(ENTRIES[k].cpu_seconds) for k in CHOSEN) <= BUDGET
    costly = [dataclasses.replace(e, cpu_seconds=[40.0]) for e in ENTRIES.values()]
    assert quick(costly) == []
    many = [dataclasses.replace(next(iter(ENTRIES.values())), key=f"k{i}", cpu_seconds=[4.0]) for i in range(40)]
    assert quick(many) == [], "keys without a recipe are not measured"


def test_what_the_budget_leaves_out_is_named() -> None:
    left = [k for k, e in ENTRIES.items() if k not in CHOSEN and known(e) and whole(e) <= QUICK]
    if left:
        pytest.skip(f"measured again under -m measure only, for the default run has {BUDGET:g} s: {', '.join(left)}")


def test_a_wrong_figure_a_changed_training_and_a_missing_variant_are_noticed() -> None:
    entry = ENTRIES["softmax_regression"]
    right = again(entry)
    assert outside(entry, right) == []
    assert right.found.results[""]["test"]["accuracy"] == entry.figure("", "test", "accuracy")["values"][entry.seeds.index(0)]

    def says(**figure: float) -> Entry:
        table = {"": {"test": {"accuracy": {**entry.figure("", "test", "accuracy"), **figure}}}}
        return dataclasses.replace(entry, results=table)

    (found,) = outside(says(mean=0.85), right)
    assert "test accuracy is 0.97" in found
    assert "the ledger says 0.85" in found
    assert outside(says(mean=0.96, sd=0.0), right) == [], "chance of 180 samples"
    assert outside(entry, again(entry, steps=1, lr=1e-5)), "a training that learns nothing"
    other = dataclasses.replace(entry, results={"wide": entry.results[""]})
    assert outside(other, right) == [
        "wide valid accuracy is no longer measured",
        "wide test accuracy is no longer measured",
        " is not in the ledger",
    ]


def test_the_floors_are_the_spread_of_normal_errors() -> None:
    import numpy as np

    from rungbook.data.target import NumberTarget
    from rungbook.recipes.scores import scores

    rng, n = np.random.default_rng(0), 400
    values: dict[str, list[float]] = {}
    for _ in range(400):
        truth = rng.normal(0, 3, n)
        found = scores(NumberTarget(), truth, truth + rng.normal(0, 1, n))
        for metric, value in {**found, "mean_squared_error": found["root_mean_squared_error"] ** 2}.items():
            values.setdefault(metric, []).append(value)
    assert len(values) == 4
    for metric, spread in values.items():
        assert standard_error(metric, float(np.mean(spread)), n) == pytest.approx(np.std(spread), rel=0.5 if metric == "r2" else 0.15), (
            metric
        )


def test_the_floor_of_an_accuracy() -> None:
    assert standard_error("accuracy", 0.9, 10_000) == pytest.approx(0.003, rel=0.01)
    assert 0.002 < standard_error("accuracy", 1.0, 180) < 0.01


def test_promises_are_kept_by_the_ledger() -> None:
    kept = 0
    for entry in ENTRIES.values():
        promised = type(entry.rebuild()).promise.get(entry.settings["data"].partition("(")[0], {})
        for metric, value in promised.items():
            mean = next(iter(entry.results.values()))["test"][metric]["mean"]
            assert mean <= value if lower_is_better(metric) else mean >= value, f"{entry.key}: {metric} {mean:.4g}, promised {value:g}"
            kept += 1
    assert kept >= 5
