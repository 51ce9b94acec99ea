"""A study is a recipe that compares, or computes something else than one training: a grid search, a forest, five weight decays.

It is run over several seeds, ends in a table of variants by split, and says which differences are more than chance. It is short, and is
not continued but done again where it was stopped.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from rungbook.data.data import Data
from rungbook.plot.style import Picture
from rungbook.recipes.drawing import Sketch
from rungbook.recipes.settings import Count, Settings
from rungbook.recipes.speak import number

Results = dict[str, dict[str, dict[str, float]]]
"""Variant -> split -> metric -> value. Splits are train, valid, test, and "fit" for samples a method was fitted to and judged on."""
Say = Callable[[str], None]


@dataclass
class Found:
    """What a study, or one training, found with one seed.

    Args:
        results: the figures; a single training has the one variant "".
        samples: judged for the headline figure, which says how exact it can be.
        data: name, fingerprint and test mark of what it was found on.
        baselines: who -> metric -> value on test.
        limit: metric -> best possible, where it is known.
        sentences: what else was found, in words.
        pictures: of what was found.
        threads: of the CPU that its largest training had, where that chose for itself.
    """

    results: Results
    samples: int
    data: dict[str, Any]
    baselines: dict[str, dict[str, float]] = field(default_factory=dict)
    limit: dict[str, float] | None = None
    sentences: list[str] = field(default_factory=list)
    pictures: Sequence[Picture | Sketch] = ()
    threads: int = 1


@dataclass(frozen=True, kw_only=True)
class Study(Settings):
    """What every study can be told.

    Args:
        seeds: how many times to do it, with `seed`, `seed + 1`, ...: other splits, weights and orders.
    """

    metric: ClassVar[str] = "accuracy"
    """The figure variants are compared by."""
    split: ClassVar[str] = "test"
    """The split it is compared on."""
    timed: ClassVar[bool] = False
    """Whether its figures are times: they belong to the machine, so that no test of chance is made of them, and none holds them fast."""

    alone: ClassVar[bool] = False
    """Whether it takes times of any kind, which trainings beside it would spoil."""

    seeds: Count = 3

    @abstractmethod
    def find(self, say: Say, *, pictures: bool = False) -> Found:
        """Do it once, with `self.seed`.

        Args:
            say: takes a line for whoever waits.
            pictures: whether to draw as well.
        """

    def together(self, found: list[Found]) -> list[str]:
        """What there is to say of all seeds together, besides the table."""
        return []


def figures(found: Found, split: str, metric: str) -> str:
    """One figure of each variant, in a line; the split and the metric first."""
    table = {v: splits.get(split, {}).get(metric, math.nan) for v, splits in found.results.items()}
    return f"{split} {metric.replace('_', ' ')} " + "; ".join(f"{v} {number(metric, value)}".strip() for v, value in table.items())


def about(data: Data) -> dict[str, Any]:
    """How a run records which data it was made with."""
    return {"name": data.name, "fingerprint": data.fingerprint, "test": data.test_mark(), "facts": data.facts}


def gather(found: list[Found]) -> dict[str, dict[str, dict[str, list[float]]]]:
    """The values over the seeds: variant -> split -> metric -> one value a seed."""
    together: dict[str, dict[str, dict[str, list[float]]]] = {}
    for one in found:
        for variant, splits in one.results.items():
            for split, metrics in splits.items():
                for metric, value in metrics.items():
                    together.setdefault(variant, {}).setdefault(split, {}).setdefault(metric, []).append(value)
    return together


def mean_scores(scores: list[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Name -> metric -> mean over the seeds, of what every seed has."""
    first = scores[0] if scores else {}
    return {
        name: {m: sum(s[name][m] for s in scores) / len(scores) for m in metrics if all(m in s.get(name, {}) for s in scores)}
        for name, metrics in first.items()
    }


__all__ = ["Found", "Results", "Say", "Study", "about", "figures", "gather", "mean_scores"]
