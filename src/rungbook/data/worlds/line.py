"""A weighted sum plus Gaussian noise: the world linear regression was made for (Gauss 1809, Theoria motus, section 179)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rungbook.data.worlds.world import Limit, Sample, World
from rungbook.plot.style import Picture


@dataclass(frozen=True)
class Line(World):
    """y = x . weights + bias + noise * N(0, 1), with x standard normal.

    Args:
        weights: one a feature.
        bias: the value at x = 0.
        noise: standard deviation of what no model can know.
    """

    name: ClassVar[str] = "line"
    task: ClassVar[str] = "regression"
    target: ClassVar[str] = "y"
    weights: tuple[float, ...] = (3.0,)
    bias: float = 2.0
    noise: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require(len(self.weights) > 0, "weights is empty; one a feature is needed", "weights=(2, -3.4)")
        finite = all(map(math.isfinite, (*self.weights, self.bias, self.noise)))
        self._require(finite and self.noise >= 0, f"noise is {self.noise}, weights {self.weights}; finite and noise 0 or more", "noise=1.0")

    def sample(self, n: int, seed: int = 0) -> Sample:
        rng = self.rng(seed)
        x = rng.standard_normal((n, len(self.weights))).astype(np.float32)
        mean = x.astype(np.float64) @ np.asarray(self.weights) + self.bias
        y = mean + self.noise * rng.standard_normal(n)
        return Sample(x, y[:, None].astype(np.float32), {"mean": mean})

    def limits(self) -> dict[str, Limit]:
        return normal_limits(self.noise, math.hypot(*self.weights) ** 2)

    def picture(self, seed: int = 0) -> Picture:
        from rungbook.plot.plane import scatter

        drawn = self.sample(200, seed)
        return scatter(drawn.x[:, 0], drawn.y[:, 0], x_name="x", y_name="y", title=f"200 samples of {self}")


def normal_limits(noise: float, spread: float) -> dict[str, Limit]:
    """Limits of predicting a mean under Gaussian noise.

    Args:
        noise: its standard deviation.
        spread: variance of the mean over the inputs.
    """
    total = spread + noise**2
    return {
        "root_mean_squared_error": Limit(noise),
        "mean_absolute_error": Limit(noise * math.sqrt(2 / math.pi)),
        "r2": Limit(1 - noise**2 / total if total else math.nan),
    }
