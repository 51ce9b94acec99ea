"""Curves plus Gaussian noise: a polynomial given as its terms, a sine on a slope, a parabola. Whoever finds the curve is at the limit."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rungbook.data.worlds.line import LARGEST, normal_limits, too_coarse
from rungbook.data.worlds.world import Limit, Sample, World
from rungbook.plot.style import Picture

MOST_TERMS = 20
"""Largest degree: d2l goes to 20 terms, and beyond that x^i / i! adds nothing float32 can show."""


@dataclass(frozen=True)
class Polynomial(World):
    """y = sum_i weights[i] x^i / i! + noise * N(0, 1), with x standard normal, given to the model as x, x^2/2!, ... x^degree/degree!.

    The example of under- and overfitting of Zhang et al. ("Dive into Deep Learning", section on polynomial regression). The limit is
    that of any method: x is always among the inputs, so too small a degree hinders a linear model but not one that bends.

    Args:
        weights: of x^0/0!, x^1/1!, ...
        degree: how many terms the model is given, 1 to 20: fewer than `weights` has make a linear model underfit.
        noise: standard deviation of what no model can know.
    """

    name: ClassVar[str] = "polynomial"
    task: ClassVar[str] = "regression"
    target: ClassVar[str] = "y"
    n: int = 200
    weights: tuple[float, ...] = (5.0, 1.2, -3.4, 5.6)
    degree: int = 3
    noise: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "weights", tuple(self.weights))
        self._require(1 <= self.degree <= MOST_TERMS, f"degree is {self.degree}; 1 to {MOST_TERMS} terms can be given", "degree=3")
        found = f"{len(self.weights)} weights; 1 to {MOST_TERMS + 1}, of x^0, x^1, ..."
        self._require(1 <= len(self.weights) <= MOST_TERMS + 1, found, "weights=(5, 1.2, -3.4, 5.6)")
        finite = all(map(math.isfinite, (*self.weights, self.noise)))
        self._require(finite and self.noise >= 0, f"noise is {self.noise}, weights {self.weights}; finite and noise 0 or more", "noise=0.1")
        # by size the terms rank as their second moments do; their sum bounds that of the polynomial from above
        size = sum(abs(c) * math.sqrt(_normal_moment(2 * i)) for i, c in enumerate(self._coefficients()))
        if problem := too_coarse(self.noise, size):
            self._require(False, problem, "weights=(5, 1.2, -3.4, 5.6), noise=0.1")

    def sample(self, n: int, seed: int = 0) -> Sample:
        rng = self.rng(seed)
        x = rng.standard_normal(n)
        terms = np.stack([x**i / math.factorial(i) for i in range(1, self.degree + 1)], axis=1)
        mean = np.polynomial.Polynomial(self._coefficients())(x)
        y = mean + self.noise * rng.standard_normal(n)
        return Sample(terms.astype(np.float32), y[:, None].astype(np.float32), {"mean": mean, "x": x})

    def limits(self) -> dict[str, Limit]:
        c = [0.0, *self._coefficients()[1:]]  # a constant adds nothing to the spread, but a large one would swallow its digits
        moments = [_normal_moment(i) for i in range(2 * len(c) - 1)]
        mean = sum(c[i] * moments[i] for i in range(len(c)))
        square = sum(c[i] * c[j] * moments[i + j] for i in range(len(c)) for j in range(len(c)))
        return normal_limits(self.noise, float(square - mean**2))

    def picture(self, seed: int = 0) -> Picture:
        from rungbook.plot.plane import scatter

        drawn = self.sample(200, seed)
        return scatter(drawn.x[:, 0], drawn.y[:, 0], x_name="x", y_name="y", title="a polynomial and noise")

    def _coefficients(self) -> list[float]:
        """Of x^0, x^1, ..."""
        return [w / math.factorial(i) for i, w in enumerate(self.weights)]


def _normal_moment(k: int) -> float:
    """E[x^k] for x standard normal: (k - 1)!! for even k."""
    return 0.0 if k % 2 else float(math.prod(range(1, k, 2)))


@dataclass(frozen=True)
class Curve(World):
    """y = curve(x) + noise * N(0, 1), with x evenly spread over a stretch; subclasses say which curve.

    Args:
        noise: standard deviation of what no model can know.
    """

    task: ClassVar[str] = "regression"
    target: ClassVar[str] = "y"
    noise: float = 1.0

    @abstractmethod
    def curve(self, x: np.ndarray) -> np.ndarray:
        """The mean of y at x."""

    @abstractmethod
    def stretch(self) -> tuple[float, float]:
        """Where x lies."""

    def sample(self, n: int, seed: int = 0) -> Sample:
        rng = self.rng(seed)
        x = rng.uniform(*self.stretch(), (n, 1)).astype(np.float32)
        mean = self.curve(x[:, 0].astype(np.float64))
        y = mean + self.noise * rng.standard_normal(n)
        return Sample(x, y[:, None].astype(np.float32), {"mean": mean})

    def picture(self, seed: int = 0) -> Picture:
        from rungbook.plot.plane import scatter

        drawn = self.sample(200, seed)
        return scatter(drawn.x[:, 0], drawn.y[:, 0], x_name="x", y_name="y", title=f"a {self.name} and noise")


@dataclass(frozen=True)
class Sinusoid(Curve):
    """y = amplitude sin(frequency x) + x^power + noise * N(0, 1), x in [0, high).

    The curve on which Zhang et al. ("Dive into Deep Learning", section on attention pooling) show Nadaraya-Watson regression.

    Args:
        noise: standard deviation of what no model can know.
        amplitude, frequency: of the sine; `frequency` in radians a unit of x.
        power: of the slope under it, 0 or more.
        high: end of the stretch x is drawn from.
    """

    name: ClassVar[str] = "sinusoid"
    noise: float = 0.5
    amplitude: float = 2.0
    frequency: float = 1.0
    power: float = 0.8
    high: float = 5.0

    def __post_init__(self) -> None:
        super().__post_init__()
        numbers = (self.noise, self.amplitude, self.frequency, self.power, self.high)
        good = all(map(math.isfinite, numbers)) and min(self.noise, self.power) >= 0 and self.high > 0
        found = f"noise, amplitude, frequency, power, high are {numbers}; finite, noise and power 0 or more, high above 0"
        self._require(good, found, "noise=0.5, power=0.8, high=5")
        waves = abs(self.frequency) * self.high / (2 * math.pi)
        self._require(waves <= 100, f"frequency={self.frequency}, high={self.high} make {waves:.0f} waves; 100 at most", "frequency=2")
        self._require(self.power <= 5, f"power is {self.power}; above 5 nothing is left of the sine", "power=2")
        slope = self.high**self.power if self.high <= LARGEST else math.inf
        if problem := too_coarse(self.noise, abs(self.amplitude) + slope):
            self._require(False, problem, "noise=0.5, amplitude=2, high=5")

    def curve(self, x: np.ndarray) -> np.ndarray:
        return self.amplitude * np.sin(self.frequency * x) + x**self.power

    def stretch(self) -> tuple[float, float]:
        return 0.0, self.high

    def limits(self) -> dict[str, Limit]:
        from scipy.integrate import quad

        mean, _ = quad(lambda x: self.curve(x) / self.high, 0, self.high, limit=2000)
        spread, error = quad(lambda x: (self.curve(x) - mean) ** 2 / self.high, 0, self.high, limit=2000)
        return normal_limits(self.noise, spread, error=error, how="numerical integration")


@dataclass(frozen=True)
class Parabola(Curve):
    """y = curvature x^2 + offset + noise * N(0, 1), x in [-reach, reach).

    Args:
        noise: standard deviation of what no model can know.
        curvature: of the parabola.
        offset: value at x = 0.
        reach: half the stretch x is drawn from.
    """

    name: ClassVar[str] = "parabola"
    noise: float = 5.0
    curvature: float = 3.0
    offset: float = 2.0
    reach: float = 10.0

    def __post_init__(self) -> None:
        super().__post_init__()
        numbers = (self.noise, self.curvature, self.offset, self.reach)
        good = all(map(math.isfinite, numbers)) and self.noise >= 0 and self.reach > 0
        self._require(good, f"noise, curvature, offset, reach are {numbers}; finite, noise 0 or more, reach above 0", "noise=5, reach=10")
        if problem := too_coarse(self.noise, abs(self.curvature) * self.reach * self.reach + abs(self.offset)):
            self._require(False, problem, "noise=5, curvature=3, offset=2, reach=10")

    def curve(self, x: np.ndarray) -> np.ndarray:
        return self.curvature * x**2 + self.offset

    def stretch(self) -> tuple[float, float]:
        return -self.reach, self.reach

    def limits(self) -> dict[str, Limit]:
        return normal_limits(self.noise, self.curvature**2 * self.reach**4 * (1 / 5 - 1 / 9))  # E[x^4] - E[x^2]^2, x uniform
