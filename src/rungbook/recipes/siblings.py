"""Two runs compared: each stands for its siblings, the runs that differ from it in nothing but the seed.

Where two seeds or more were run of both, the pairs of equal seeds decide; where there is one seed each on the same test samples, the
samples do; else it cannot be said, and the missing trainings are named.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rungbook.errors import RungError
from rungbook.recipes.comparison import Comparison, compare, compare_samples
from rungbook.recipes.per_sample import PerSample, fits_record, read_per_sample
from rungbook.recipes.recipe import restore_recipe
from rungbook.recipes.runs import Run, all_runs

FREE = ("seed", "threads", "device", "workers", "checkpoint_seconds")
"""Settings in which siblings may differ: chance, and how fast it goes."""
WANTED = 3
"""Seeds that are asked for where there are fewer: with two, Student's t is 13 standard errors wide."""
LARGEST = 1e300
"""No figure is as large; integers beyond it are no floats."""
MORE = 3
"""Further seeds that are proposed where those there are do not tell two runs apart."""


@dataclass(frozen=True)
class Group:
    """A run and its siblings.

    Args:
        run: that stands for them.
        record: its run.json.
        by_seed: seed -> run.json of the finished run with that seed.
    """

    run: Run
    record: dict[str, Any]
    by_seed: dict[int, dict[str, Any]]

    def values(self, metric: str, seeds: list[int]) -> list[float]:
        """The test metric by seed."""
        return [_test(self.by_seed[s])[metric] for s in seeds]


@dataclass(frozen=True)
class Verdict:
    """What can be said of two runs.

    Args:
        first, second: the groups.
        metric: test metric they are compared by; "" if none.
        comparison: None where nothing can be said.
        seeds: that were compared in pairs.
        why: why there is no comparison, or none by seeds.
        commands: trainings that would tell more.
        same: whether both are of one group.
    """

    first: Group
    second: Group
    metric: str = ""
    comparison: Comparison | None = None
    seeds: list[int] = field(default_factory=list)
    why: str = ""
    commands: list[str] = field(default_factory=list)
    same: bool = False


def group_of(run: Run) -> Group:
    """The finished runs with the recipe, data and settings of this one, by seed; of several with one seed this one, else the newest."""
    record = run.record()
    found: dict[int, dict[str, Any]] = {}
    for other in all_runs():
        try:
            theirs = record if other.path == run.path else other.record()
        except RungError:
            continue
        seed = _seed(theirs)
        if seed is not None and theirs.get("status") == "finished" and _test(theirs) and _alike(record, theirs):
            found[seed] = theirs
    own = _seed(record)
    if own is not None and record.get("status") == "finished" and _test(record):
        found[own] = record
    return Group(run, record, dict(sorted(found.items())))


def compare_runs(a: Run, b: Run) -> Verdict:
    """Whether one of two runs is better than the other, each standing for its siblings.

    Raises:
        UsageError: E204 a folder is no run or its record is damaged.
    """
    first, second = group_of(a), group_of(b)
    metric = _metric(first.record, second.record)
    if _alike(first.record, second.record):
        return _one_group(first, second, metric)
    names = [str(g.record.get("data", {}).get("name")) for g in (first, second)]
    if names[0] != names[1]:
        why = f"the runs were judged on different data ({names[0]}, {names[1]}): their results cannot be compared directly"
        return Verdict(first, second, why=why)
    for group in (first, second):
        if group.record.get("status") != "finished":
            return Verdict(first, second, why=f"{group.run.name} is not finished: its results cannot be compared")
        if "variants" in group.record.get("result", {}):
            return Verdict(first, second, why=f"{group.run.name} is a study, which compares its variants itself: see its report")
    if not metric:
        return Verdict(first, second, why="the runs have no test metric in common: their results cannot be compared")
    return _judge(first, second, metric)


def _judge(first: Group, second: Group, metric: str) -> Verdict:
    common = [s for s in first.by_seed if s in second.by_seed]
    seeds = [s for s in common if _same_test(first.by_seed[s], second.by_seed[s]) and _has(first, second, s, metric)]
    names = (first.run.name, second.run.name)
    if len(seeds) > 1:
        found = compare(first.values(metric, seeds), second.values(metric, seeds), metric=metric, paired=True, names=names)
        return Verdict(first, second, metric, found, seeds, commands=[] if found.better else _more(first, second, len(seeds) + MORE))
    if not _same_test(first.record, second.record) and (common or _seed(first.record) == _seed(second.record)):
        why = "the runs were judged on different test samples: their results cannot be compared directly"
        return Verdict(first, second, metric, why=f"{why} (the data changed, or is split or read differently)")
    commands = _more(first, second, WANTED)
    samples = _by_sample(first, second, metric) if _same_test(first.record, second.record) else "the test samples are not the same"
    if isinstance(samples, Comparison):
        return Verdict(first, second, metric, samples, seeds, commands=commands)
    why = f"one seed each cannot be compared, and not sample by sample either: {samples}"
    return Verdict(first, second, metric, seeds=seeds, why=why, commands=commands)


def _one_group(first: Group, second: Group, metric: str) -> Verdict:
    seeds = [s for s, record in first.by_seed.items() if metric in _test(record)]
    if first.run.path == second.run.path:
        why = f"{first.run.name} is one run: it has the same settings, data and results as itself"
    elif _seed(first.record) == _seed(second.record) and _data_mark(first.record) != _data_mark(second.record):
        why = "the two runs have the same settings and seed, but the data changed between them: their results cannot be compared"
    elif _seed(first.record) == _seed(second.record):
        why = "the two runs have the same settings and seed: where their results differ, versions, threads or device do"
    else:
        why = "the two runs have the same settings but the seed: what differs between their results is chance"
    commands = _more(first, first, WANTED) if len(seeds) < WANTED else []
    return Verdict(first, second, metric, seeds=seeds, why=why, same=True, commands=commands)


def _by_sample(first: Group, second: Group, metric: str) -> Comparison | str:
    """The comparison by test samples, or why there is none."""
    kept: list[PerSample] = []
    for group in (first, second):
        found = read_per_sample(group.run.path)
        if isinstance(found, str):
            return found
        if not fits_record(found, _test(group.record)):
            return f"test.safetensors of {group.run.name} does not give the results of its run.json"
        kept.append(found)
    a, b = kept
    if a.order != b.order or len(a.loss) != len(b.loss) or (a.right is None) != (b.right is None):
        return "the test samples are not the same, or not in the same order"
    names = (first.run.name, second.run.name)
    if a.right is not None and b.right is not None:
        return compare_samples(a.right, b.right, metric="accuracy", names=names)
    assert a.error is not None
    assert b.error is not None
    if metric == "root_mean_squared_log_error":  # the model was trained on logarithms: its loss is the squared error of those
        return compare_samples(a.loss.astype(float), b.loss.astype(float), metric="loss", names=names)
    if metric == "mean_absolute_error":
        return compare_samples(np.abs(a.error).astype(float), np.abs(b.error).astype(float), metric=metric, names=names)
    # on the same samples R² and the root of the mean squared error order two models as the mean squared error does
    return compare_samples(a.error.astype(float) ** 2, b.error.astype(float) ** 2, metric="mean_squared_error", names=names)


def _more(first: Group, second: Group, wanted: int) -> list[str]:
    """The trainings still missing until both groups have `wanted` seeds in common."""
    recipes = []
    for group in (first, second):
        try:
            recipes.append(restore_recipe(group.record["recipe"], group.record["settings"]))
        except (RungError, KeyError, TypeError):
            return []
    have = [set(g.by_seed) for g in (first, second)]
    there = len(have[0] & have[1])
    ahead = sorted((have[0] | have[1]) - (have[0] & have[1]))
    new = (s for s in range(max(have[0] | have[1], default=-1) + wanted + 1) if s not in have[0] | have[1])
    take = [*ahead, *new][: max(0, wanted - there)]
    lacking = [(recipe, owned, s) for recipe, owned in zip(recipes, have, strict=True) for s in take if s not in owned]
    return list(dict.fromkeys(recipe.command(seed=s) for recipe, _, s in lacking))


def _metric(first: dict[str, Any], second: dict[str, Any]) -> str:
    """The headline metric of the first that both have, else of the second."""
    common = [m for m in _test(first) if m in _test(second)]
    return next((str(r.get("headline")) for r in (first, second) if r.get("headline") in common), next(iter(common), ""))


def _test(record: dict[str, Any]) -> dict[str, float]:
    """The finite test figures of a record, which somebody may have changed by hand."""
    test = record.get("result", {}).get("test")
    figures = test.items() if isinstance(test, dict) else ()
    return {k: float(v) for k, v in figures if isinstance(v, int | float) and abs(v) < LARGEST}


def _has(first: Group, second: Group, seed: int, metric: str) -> bool:
    return all(metric in _test(g.by_seed[seed]) for g in (first, second))


def _same_test(first: dict[str, Any], second: dict[str, Any]) -> bool:
    marks = [r.get("data", {}).get("test", r.get("data", {}).get("fingerprint")) for r in (first, second)]
    return bool(marks[0]) and marks[0] == marks[1]


def _data_mark(record: dict[str, Any]) -> Any:
    """What the run was trained and judged on, in short."""
    return record.get("data", {}).get("fingerprint")


def _seed(record: dict[str, Any]) -> int | None:
    seed = record.get("settings", {}).get("seed")
    return seed if isinstance(seed, int) else None


def _alike(first: dict[str, Any], second: dict[str, Any]) -> bool:
    """Whether two records are of one group."""
    if first.get("recipe") != second.get("recipe") or first.get("data", {}).get("name") != second.get("data", {}).get("name"):
        return False
    a, b = ({k: v for k, v in r.get("settings", {}).items() if k not in FREE} for r in (first, second))
    if a.keys() != b.keys():  # an older rungbook had fewer settings: they count with their defaults
        a, b = _with_defaults(first, a), _with_defaults(second, b)
    return a == b


def _with_defaults(record: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    try:
        whole = restore_recipe(record["recipe"], record["settings"]).settings()
    except (RungError, KeyError, TypeError):
        return settings
    return {k: list(v) if isinstance(v, tuple) else v for k, v in whole.items() if k not in FREE}
