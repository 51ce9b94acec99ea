"""Moons, circles and spirals: classes no straight line parts, with a known share of wrong labels.

The usual generators add Gaussian noise to the points, so that classes overlap somewhere and nobody knows by how much. Here points
are spread evenly over a band of bounded width around each shape, bands never touch, and a label is wrong with probability `flip`: the best
accuracy is 1 - flip exactly.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rungbook.data.worlds.world import Limit, Sample, World
from rungbook.plot.style import Picture


@dataclass(frozen=True)
class Bands(World):
    """Equally likely classes, each a band around a shape; subclasses say which shape.

    Args:
        width: how far points lie from the shape at most, in units of x; half of what makes bands touch if none.
        flip: probability of a wrong label; with more than two classes each wrong one is as likely.
    """

    width: float | None = None
    flip: float = 0.05

    def __post_init__(self) -> None:
        super().__post_init__()
        K, most = self.count, self.most_width()
        found = f"width is {self.width}; bands of {most:.4g} touch, so it must be below that and 0 or more"
        self._require(self.width is None or 0 <= self.width < most, found, self._with(f"width={float(f'{most / 2:.2g}')}"))
        found = f"flip is {self.flip}; 0 to {(K - 1) / K:.4g}, where {K} labels say nothing any more"
        self._require(0 <= self.flip <= (K - 1) / K, found, self._with("flip=0.1"))

    @property
    def count(self) -> int:
        """How many classes there are."""
        return 2

    @property
    def reach(self) -> float:
        """How far points lie from the shape at most."""
        return self.most_width() / 2 if self.width is None else self.width

    @property
    def class_names(self) -> tuple[str, ...]:
        return tuple(map(str, range(self.count)))

    @abstractmethod
    def most_width(self) -> float:
        """The `width` at which bands of two classes touch."""

    @abstractmethod
    def points(self, clean: np.ndarray, along: np.ndarray, across: np.ndarray) -> np.ndarray:
        """Points (n, 2) of the classes `clean`, at `along` (0 to 1) of the shape and `across` (-reach to reach) beside it."""

    def sample(self, n: int, seed: int = 0) -> Sample:
        rng = self.rng(seed)
        K = self.count
        clean = rng.integers(K, size=n)
        x = self.points(clean, rng.random(n), self.reach * rng.uniform(-1, 1, n))
        wrong = rng.random(n) < self.flip
        y = np.where(wrong, (clean + rng.integers(1, K, size=n)) % K, clean)
        return Sample(x.astype(np.float32), y, {"clean": clean})

    def limits(self) -> dict[str, Limit]:
        right, wrong = 1 - self.flip, self.flip / (self.count - 1)
        entropy = sum(p * math.log(1 / p) for p in (right, *[wrong] * (self.count - 1)) if p)
        return {"accuracy": Limit(right), "balanced_accuracy": Limit(right), "log_loss": Limit(entropy)}

    def picture(self, seed: int = 0) -> Picture:
        from rungbook.plot.plane import scatter

        drawn = self.sample(400, seed)
        title = f"{self.name}, {self.flip:.0%} of the labels wrong"
        return scatter(*drawn.x.T, classes=drawn.y, names=self.class_names, x_name="x1", y_name="x2", title=title)

    def _with(self, fix: str) -> str:
        """A way out that keeps the other parameters it depends on."""
        return fix


@dataclass(frozen=True)
class Moons(Bands):
    """Two half circles of radius 1, each reaching into the other: one around (0, 0) upwards, one around (1, 0.5) downwards.

    Args:
        width: how far points lie from the half circle at most, below 0.375; half of that if none.
        flip: probability of a wrong label.
    """

    name: ClassVar[str] = "moons"

    def most_width(self) -> float:
        # both bands are narrowest apart on the lines y = 0 and y = 0.5, where one of them ends: at (x, 0.5) the first is
        # 1 - sqrt(x^2 + 1/4) away and the second |1 - |x - 1||, which is 0.375 for both at x = +-0.375
        return 0.375

    def points(self, clean: np.ndarray, along: np.ndarray, across: np.ndarray) -> np.ndarray:
        angle = math.pi * (along + clean)
        radius = 1 + across
        return np.stack([clean + radius * np.cos(angle), 0.5 * clean + radius * np.sin(angle)], axis=1)


@dataclass(frozen=True)
class Circles(Bands):
    """A circle of radius 1 and one inside it.

    Args:
        width: how far points lie from the circle at most, below half the gap between the two; half of that if none.
        flip: probability of a wrong label.
        inner: radius of the inner circle, below 1.
    """

    name: ClassVar[str] = "circles"
    inner: float = 0.5

    def __post_init__(self) -> None:
        self._require(0 < self.inner < 1, f"inner is {self.inner}; a radius above 0 and below 1", "inner=0.5")
        super().__post_init__()

    def most_width(self) -> float:
        return (1 - self.inner) / 2

    def points(self, clean: np.ndarray, along: np.ndarray, across: np.ndarray) -> np.ndarray:
        radius = np.where(clean == 1, self.inner, 1.0) + across
        return (radius * np.stack([np.cos(2 * math.pi * along), np.sin(2 * math.pi * along)])).T

    def _with(self, fix: str) -> str:
        return f"inner={self.inner}, {fix}"


@dataclass(frozen=True)
class Spirals(Bands):
    """Arms that wind outwards from radius 0.6 to 3, moving 3 / `turns` away from the centre each turn (Archimedes).

    Args:
        width: how far points lie from the arm at most, measured along the ray from the centre; half of what makes arms touch if none.
        flip: probability of a wrong label.
        arms: how many, each a class, 2 to 10.
        turns: how often an arm would wind around the centre from there to radius 3.
    """

    name: ClassVar[str] = "spirals"
    arms: int = 2
    turns: float = 1.5

    _START: ClassVar[float] = 0.6
    _END: ClassVar[float] = 3.0

    def __post_init__(self) -> None:
        self._require(2 <= self.arms <= 10, f"arms is {self.arms}; 2 to 10", "arms=3")
        self._require(0.5 <= self.turns <= 5, f"turns is {self.turns}; 0.5 to 5", "turns=1.5")
        super().__post_init__()

    @property
    def count(self) -> int:
        return self.arms

    def most_width(self) -> float:
        # along a ray, neighbouring arms are END / (turns * arms) apart; a band wider than START would reach past the centre
        return min(self._END / (self.turns * self.arms) / 2, self._START)

    def points(self, clean: np.ndarray, along: np.ndarray, across: np.ndarray) -> np.ndarray:
        along = self._START / self._END + (1 - self._START / self._END) * along
        angle = 2 * math.pi * (self.turns * along + clean / self.arms)
        return ((self._END * along + across) * np.stack([np.cos(angle), np.sin(angle)])).T

    def _with(self, fix: str) -> str:
        return f"arms={self.arms}, turns={self.turns}, {fix}"
