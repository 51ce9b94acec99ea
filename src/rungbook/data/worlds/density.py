"""A density in the plane: a ring of Gaussian bumps around a bent one. What has no target can still be told a limit: the entropy."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import numpy as np

from rungbook.data.worlds.world import Limit, Sample, World
from rungbook.plot.style import Picture

RADIUS, BUMP = 3.0, 0.35
"""Of the ring, and standard deviation of its bumps."""
BANANA, LONG, THIN, BEND = 0.3, 1.2, 0.3, 0.6
"""Share of the bent bump, its length and thickness, and how much it bends."""


@dataclass(frozen=True)
class Density(World):
    """Seven points in ten are of `modes` round bumps on a circle of radius 3, the others of a bent bump inside.

    The bent one is (1.2 u, 0.3 v + 0.6 (u^2 - 1)) with u, v standard normal: such a bend (Haario, Saksman, Tamminen 1999, "Adaptive
    proposal distribution for random walk Metropolis algorithm") moves points without stretching, so that the density stays in closed form.
    No density has a smaller mean -log on new points than this one itself; that value is its differential entropy.

    Args:
        modes: bumps on the ring, 1 to 12.
    """

    name: ClassVar[str] = "density"
    kind: ClassVar[str] = ""
    task: ClassVar[str] = "density"
    target: ClassVar[str] = ""
    modes: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require(1 <= self.modes <= 12, f"modes is {self.modes}; 1 to 12 bumps fit on the ring", "modes=5")

    def sample(self, n: int, seed: int = 0) -> Sample:
        rng = self.rng(seed)
        part = np.where(rng.random(n) < BANANA, self.modes, rng.integers(self.modes, size=n))
        normal = rng.standard_normal((n, 2))
        x = np.empty((n, 2))
        for k in range(self.modes + 1):
            x[part == k] = _points(self.modes, k, normal[part == k])
        return Sample(x.astype(np.float32), None, {"part": part})

    def log_density(self, x: np.ndarray) -> np.ndarray:
        """Natural logarithm of the density at points (..., 2): (...)."""
        return _log_density(self.modes, np.asarray(x, dtype=np.float64))

    def limits(self) -> dict[str, Limit]:
        fine, coarse = (_entropy(self.modes, step) for step in (0.07, 0.1))
        return {"log_loss": Limit(fine, abs(fine - coarse), "numerical integration")}

    def picture(self, seed: int = 0) -> Picture:
        from rungbook.plot.plane import scatter

        drawn = self.sample(600, seed)
        return scatter(*drawn.x.T, x_name="x1", y_name="x2", title="a density: a ring of bumps around a bent one")


def _ring(modes: int) -> np.ndarray:
    """Centres of the bumps, (modes, 2)."""
    angle = 2 * math.pi * np.arange(modes) / modes
    return RADIUS * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _points(modes: int, part: int, normal: np.ndarray) -> np.ndarray:
    """Standard normal points (..., 2) as points of a part: a bump of the ring, or (the last) the bent one."""
    if part < modes:
        return _ring(modes)[part] + BUMP * normal
    u, v = normal[..., 0], normal[..., 1]
    return np.stack([LONG * u, THIN * v + BEND * (u**2 - 1)], axis=-1)


def _log_density(modes: int, x: np.ndarray) -> np.ndarray:
    from scipy.special import logsumexp

    squared = np.square(x[..., None, :] - _ring(modes)).sum(-1) / BUMP**2  # (..., modes)
    ring = math.log((1 - BANANA) / modes) - squared / 2 - math.log(2 * math.pi * BUMP**2)
    u = x[..., 0] / LONG
    v = (x[..., 1] - BEND * (u**2 - 1)) / THIN
    bent = math.log(BANANA) - (u**2 + v**2) / 2 - math.log(2 * math.pi * LONG * THIN)
    return logsumexp(np.concatenate([ring, bent[..., None]], axis=-1), axis=-1)


@cache
def _entropy(modes: int, step: float) -> float:
    """-E[log density] in nats: for each part over +-7.5 standard deviations of its own, by the trapezoidal rule."""
    axis = np.arange(-7.5, 7.5 + step / 2, step)
    weight = np.exp(-(axis**2) / 2) * step / math.sqrt(2 * math.pi)
    normal = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1)  # (m, m, 2)
    total = 0.0
    for part in range(modes + 1):
        share = BANANA if part == modes else (1 - BANANA) / modes
        total -= share * float(weight @ _log_density(modes, _points(modes, part, normal)) @ weight)
    return total
