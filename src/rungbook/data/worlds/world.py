"""What every world is: a generator with a seed, and the best score anything can reach on what it generates.

A result on a world reads "0.02 below the optimum" instead of "0.94". A world is a frozen dataclass, its parameters are the fields; worlds
are found by name in `registry.py`, and `samples.py` makes `Data` of one.
"""

from __future__ import annotations

import dataclasses
import zlib
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from rungbook.errors import UsageError, did_you_mean
from rungbook.plot.style import Picture

MOST_SAMPLES = 10_000_000
"""Samples a world is asked for at most: more do not fit into the memory of small machines."""


@dataclass(frozen=True)
class Limit:
    """The best that can be expected of any method that does not know the random numbers.

    Args:
        value: of the metric, on new samples without end.
        error: standard error of `value`; 0 where it is exact.
        how: how it was found: "closed form", "numerical integration", "Monte Carlo, 100,000 samples".
    """

    value: float
    error: float = 0.0
    how: str = "closed form"


@dataclass
class Sample:
    """What a world generated.

    Args:
        x: inputs: float32 (n, features), uint8 (n, C, H, W), a DataFrame with the target in it, a text, a list of sentences.
        y: class numbers int64 (n,), values float32 (n, 1), sentences, or None where nothing is to be predicted from `x` (it is in `x`).
        hidden: what no model is shown: labels before noise, boxes, masks, states.
    """

    x: Any
    y: Any = None
    hidden: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class World(ABC):
    """A generator of samples with a computable optimum; subclasses add their parameters as fields and refuse impossible ones when made.

    Args:
        n: samples for train and valid together (characters for texts) when the world becomes `Data`.
    """

    name: ClassVar[str] = ""
    kind: ClassVar[str] = "array"
    """"array", "table", "image", "characters": what kind of `Data` it becomes; "" for none."""
    task: ClassVar[str] = "classification"
    target: ClassVar[str] = "class"
    """What is predicted; for a table its column."""
    n: int = 1000

    def __post_init__(self) -> None:
        self._require(self.n >= 10, f"n is {self.n}; a world of fewer than 10 samples has nothing to split", "n=1000")
        self._require(self.n <= MOST_SAMPLES, f"n is {self.n:,}; {MOST_SAMPLES:,} samples at most can be held in memory", "n=100000")

    @abstractmethod
    def sample(self, n: int, seed: int = 0) -> Sample:
        """`n` new samples, the same for the same seed; samples of different seeds are independent."""

    @abstractmethod
    def limits(self) -> dict[str, Limit]:
        """Metric name -> the best possible, for every metric where it is known."""

    @abstractmethod
    def picture(self, seed: int = 0) -> Picture:
        """What its samples look like."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """What the classes are called, by their numbers; nothing where numbers are predicted."""
        return ()

    def limit(self, metric: str) -> Limit:
        """The best possible of one metric. Raises UsageError E201 for a metric without a known limit here."""
        known = self.limits()
        if metric not in known:
            raise UsageError("E201", f'The limit of "{metric}" is not known in {self}.', did_you_mean(metric, known))
        return known[metric]

    def rng(self, seed: int) -> np.random.Generator:
        """The random numbers of a seed, other ones in every kind of world. Raises UsageError E202 for a seed below 0."""
        if seed < 0:
            raise UsageError("E202", f"{self}: seed is {seed}; seeds are whole numbers of 0 or more.", "seed=0")
        return np.random.default_rng([seed, zlib.crc32(self.name.encode())])

    def __str__(self) -> str:
        """The world as it is written in a setting: parameters that are not the defaults are named."""
        said = []
        for f in dataclasses.fields(self):
            if f.init and getattr(self, f.name) != f.default:
                said.append(f"{f.name}={getattr(self, f.name)!r}")
        return f"world:{self.name}" + (f"({', '.join(said)})" if said else "")

    def _require(self, condition: bool, message: str, fix: str) -> None:
        """Refuse a parameter. Raises UsageError E202."""
        if not condition:
            raise UsageError("E202", f"world:{self.name}: {message}.", f'Try "world:{self.name}({fix})"')
