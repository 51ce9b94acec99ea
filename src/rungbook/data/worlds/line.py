"""A weighted sum plus Gaussian noise: the world linear regression was made for (Gauss 1809, Theoria motus, section 179)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rungbook.data.worlds.world import Limit, Sample, World
from rungbook.plot.style import Picture

DIGITS = 1e6
"""How far above the noise values may lie: float32 then rounds them by at most an eighth of the noise, which adds 0.1% to its variance."""
LARGEST = 1e15
"""Of the values: their squares, and the squares' sums, still fit into float32."""
MOST_FEATURES = 10_000


@dataclass(frozen=True)
class Line(World):
    """y = x . weights + bias + noise * N(0, 1), with x standard normal.

    The high-dimensional case of Zhang et al. ("Dive into Deep Learning", section on weight decay), more features than samples, is
    "line(weights=(0.01,), features=200, bias=0.05, noise=0.01)".

    Args:
        weights: one a feature, or a single one for all `features`.
        bias: the value at x = 0.
        noise: standard deviation of what no model can know.
        features: how many, where one weight stands for all; 0 for one a weight.
    """

    name: ClassVar[str] = "line"
    task: ClassVar[str] = "regression"
    target: ClassVar[str] = "y"
    weights: tuple[float, ...] = (3.0,)
    bias: float = 2.0
    noise: float = 1.0
    features: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "weights", tuple(self.weights))  # a list in a setting is as good as a tuple
        self._require(len(self.weights) > 0, "weights is empty; one a feature is needed", "weights=(2, -3.4)")
        finite = all(map(math.isfinite, (*self.weights, self.bias, self.noise)))
        found = f"noise is {self.noise}, bias {self.bias}, weights {self.weights}; finite and noise 0 or more"
        self._require(finite and self.noise >= 0, found, "noise=1.0")
        found = f"features is {self.features} with {len(self.weights)} weights; one weight can stand for 1 to {MOST_FEATURES:,} features"
        fits = self.features in (0, len(self.weights)) or (len(self.weights) == 1 and 0 < self.features <= MOST_FEATURES)
        self._require(fits, found, "weights=(0.01,), features=200")
        if problem := too_coarse(self.noise, math.hypot(*self._all_weights(), self.bias)):
            self._require(False, problem, "weights=(3,), bias=2, noise=1")

    def sample(self, n: int, seed: int = 0) -> Sample:
        rng = self.rng(seed)
        weights = self._all_weights()
        x = rng.standard_normal((n, len(weights))).astype(np.float32)
        mean = x.astype(np.float64) @ weights + self.bias
        y = mean + self.noise * rng.standard_normal(n)
        return Sample(x, y[:, None].astype(np.float32), {"mean": mean})

    def limits(self) -> dict[str, Limit]:
        return normal_limits(self.noise, float(np.square(self._all_weights()).sum()))

    def picture(self, seed: int = 0) -> Picture:
        from rungbook.plot.plane import scatter

        drawn = self.sample(200, seed)
        return scatter(drawn.x[:, 0], drawn.y[:, 0], x_name="x", y_name="y", title="a line and noise")

    def _all_weights(self) -> np.ndarray:
        """One a feature."""
        return np.full(self.features, self.weights[0], float) if self.features else np.asarray(self.weights, float)


def too_coarse(noise: float, size: float) -> str:
    """Why float32 cannot hold what a regression world generates, or "": a limit would be missed by rounding alone.

    Args:
        noise: its standard deviation.
        size: of the values without it, about; inf where it cannot be computed.
    """
    if not max(size, noise) <= LARGEST:
        return f"the values reach about {max(size, noise):.1g}; {LARGEST:.0e} at most can be squared in float32"
    if noise and size > DIGITS * noise:
        least = f"0 or {size / DIGITS:.2g} and more"
        return f"noise is {noise:g} beside values of about {size:.2g}, where float32 rounds it away; {least} would show"
    return ""


def normal_limits(noise: float, spread: float, *, error: float = 0.0, how: str = "closed form") -> dict[str, Limit]:
    """Limits of predicting a mean under Gaussian noise.

    Args:
        noise: its standard deviation.
        spread: variance of the mean over the inputs.
        error: of `spread`.
        how: `spread` was found; the others are in closed form.
    """
    total = spread + noise**2
    return {
        "mean_squared_error": Limit(noise**2),
        "root_mean_squared_error": Limit(noise),
        "mean_absolute_error": Limit(noise * math.sqrt(2 / math.pi)),
        "r2": Limit(1 - noise**2 / total, noise**2 / total**2 * error, how) if total else Limit(math.nan),
    }
