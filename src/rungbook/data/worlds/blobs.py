"""Gaussian blobs around a circle: no classifier is better than the nearest centre, and how good that is can be computed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import numpy as np

from rungbook.data.worlds.world import Limit, Sample, World
from rungbook.plot.style import Picture

RADIUS = math.sqrt(2)
"""Distance of the centres from the origin: two blobs are then at (1, 1) and (-1, -1)."""
SD, LEAST_SD, MOST_SD = 0.8, 0.01, 1e6
"""Default width, and between which the limit can be computed and float32 can hold the samples."""


@dataclass(frozen=True)
class Blobs(World):
    """Equally likely classes, each a round Gaussian blob; the centres stand evenly on a circle.

    The default is the two-class example of logistic regression in an introduction to PyTorch by NCSA: 750 samples, centres (1, 1) and
    (-1, -1), standard deviation 0.8. Best accuracy Phi(sqrt(2) / 0.8) = 0.9615.

    Args:
        classes: 2 to 10.
        sd: standard deviation of each blob along either axis.
        bayes: the best possible accuracy; `sd` is then found to fit.
    """

    name: ClassVar[str] = "blobs"
    n: int = 750
    classes: int = 2
    sd: float = SD
    bayes: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require(2 <= self.classes <= 10, f"classes is {self.classes}; 2 to 10 blobs keep apart on the circle", "classes=3")
        found = f"sd is {self.sd}; {LEAST_SD:g} to {MOST_SD:g} can be computed"
        self._require(LEAST_SD <= self.sd <= MOST_SD, found, f"classes={self.classes}, sd={SD}")
        if self.bayes is None:
            return
        good = f"classes={self.classes}, bayes={0.9 if self.classes < 10 else 0.8}"
        self._require(self.sd == SD, f"sd={self.sd} and bayes={self.bayes} both say how far the blobs reach; give one of them", good)
        least = accuracy(self.classes, MOST_SD).value
        found = f"bayes is {self.bayes}; {self.classes} blobs can have any best accuracy above {least:.6f} (guessing) and below 1"
        self._require(least < self.bayes < 1, found, good)

    @property
    def class_names(self) -> tuple[str, ...]:
        return tuple(map(str, range(self.classes)))

    @property
    def width(self) -> float:
        """Standard deviation of each blob: `sd`, or what gives the accuracy asked for."""
        return self.sd if self.bayes is None else width_for(self.classes, self.bayes)

    def sample(self, n: int, seed: int = 0) -> Sample:
        rng = self.rng(seed)
        y = rng.integers(self.classes, size=n)
        x = centres(self.classes)[y] + self.width * rng.standard_normal((n, 2))
        return Sample(x.astype(np.float32), y)

    def limits(self) -> dict[str, Limit]:
        best = accuracy(self.classes, self.width)  # classes are equally likely: balanced accuracy is the same
        return {"accuracy": best, "balanced_accuracy": best, "log_loss": log_loss(self.classes, self.width)}

    def picture(self, seed: int = 0) -> Picture:
        from rungbook.plot.plane import scatter

        drawn = self.sample(300, seed)
        title = f"{self.classes} blobs, best accuracy {self.limit('accuracy').value:.4f}"
        return scatter(*drawn.x.T, classes=drawn.y, names=self.class_names, x_name="x1", y_name="x2", title=title)


def centres(classes: int) -> np.ndarray:
    """Where the blobs are, (classes, 2): evenly around the circle, the first at (1, 1)."""
    angle = math.pi / 4 + 2 * math.pi * np.arange(classes) / classes
    return RADIUS * np.stack([np.cos(angle), np.sin(angle)], axis=1)


@cache
def accuracy(classes: int, sd: float) -> Limit:
    """How often the nearest centre is the right one.

    Two blobs: Phi(RADIUS / sd). More: a blob lies in a wedge of angle 2 pi / classes, and Craig (1991, "A new, simple and exact result
    for calculating the probability of error for two-dimensional signal constellations", for phase-shift keying) gives how often it
    leaves it as one integral: 1/pi int_0^(pi - pi/classes) exp(-(RADIUS sin(pi/classes))^2 / (2 sd^2 sin^2 t)) dt.
    """
    if classes == 2:
        return Limit(0.5 * math.erfc(-RADIUS / sd / math.sqrt(2)))
    from scipy.integrate import quad

    half = math.pi / classes
    a = (RADIUS * math.sin(half) / sd) ** 2 / 2
    # the integrand is flat zero at t = 0, where sin(t)^2 divides
    missed, error = quad(lambda t: math.exp(-a / max(math.sin(t) ** 2, 1e-300)) / math.pi, 0, math.pi - half, points=[math.pi / 2])
    return Limit(1 - missed, error, "numerical integration")


@cache
def log_loss(classes: int, sd: float) -> Limit:
    """Mean -log of the true class's probability given the sample, in nats.

    E[log sum_j exp((|x - c_0|^2 - |x - c_j|^2) / (2 sd^2))] over a sample x of class 0 (all classes are alike), by the trapezoidal rule
    over +-8.5 standard deviations: for an integrand so smooth its error falls exponentially with the step, and the change from double
    the step is far above it.
    """
    fine, coarse = (_log_loss(classes, sd, step) for step in (0.05, 0.1))
    return Limit(fine, abs(fine - coarse), "numerical integration")


def _log_loss(classes: int, sd: float, step: float) -> float:
    from scipy.special import logsumexp

    to = (centres(classes) - centres(classes)[0]) / sd  # (classes, 2)
    axis = np.arange(-8.5, 8.5 + step / 2, step)
    weight = np.exp(-(axis**2) / 2) * step / math.sqrt(2 * math.pi)
    e = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1)  # (m, m, 2)
    surprise = logsumexp(e @ to.T - (to**2).sum(1) / 2, axis=-1)
    return float(weight @ surprise @ weight)


@cache
def width_for(classes: int, bayes: float) -> float:
    """The standard deviation at which the best accuracy is `bayes`: the wider the blobs, the worse."""
    from scipy.optimize import brentq

    away = lambda log: accuracy(classes, math.exp(log)).value - bayes
    return math.exp(brentq(away, math.log(LEAST_SD), math.log(MOST_SD), xtol=1e-13))
