"""Cars: weight, horsepower and mileage shaped like the published Auto-MPG set, for lessons without a download."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rungbook.data.worlds.world import Limit, Sample, World
from rungbook.plot.style import Picture

LIGHTEST, HEAVIEST, MEAN_WEIGHT, SD_WEIGHT = 1613.0, 5140.0, 2977.584, 848.318
"""Pounds: range, mean and standard deviation over the 392 cars of Auto-MPG (Quinlan 1993)."""
MEAN_HP, SD_HP, CORRELATION = 104.469, 38.442, 0.8645
"""Horsepower of the same cars, and its correlation with weight."""
INTERCEPT, SLOPE, VARIANCE = 23.446, -6.487, 18.677
"""The published regression of mileage on standardised weight: MPG = 23.446 - 6.487 z, mean squared error 18.677."""
SHAPE = 2.5
"""Of the gamma distribution of the noise: the largest round one with which the heaviest car, at 6.9 MPG, never falls below 0."""


@dataclass(frozen=True)
class Cars(World):
    """MPG = 23.446 - 6.487 z + noise of variance 18.677, z the standardised weight; a table with WGT (lb), HP and MPG.

    Weight is beta distributed over the real range with the real mean and standard deviation; horsepower follows it as closely as in the
    real set and tells nothing more about mileage. The noise is a gamma variable less its mean: skewed upwards as the real residuals are,
    and bounded below, so that no car has a mileage below 0 without any being cut off, which would change the limits. They are exact. The
    least squared error belongs to the mean at a weight, the least absolute error to the median, 0.9 MPG lower.
    """

    name: ClassVar[str] = "cars"
    kind: ClassVar[str] = "table"
    task: ClassVar[str] = "regression"
    target: ClassVar[str] = "MPG"
    n: int = 392

    def sample(self, n: int, seed: int = 0) -> Sample:
        import pandas as pd

        rng = self.rng(seed)
        weight = LIGHTEST + (HEAVIEST - LIGHTEST) * rng.beta(*_beta(), n)
        z = (weight - MEAN_WEIGHT) / SD_WEIGHT
        own = rng.standard_exponential(n) - 1  # above -1: the lightest car keeps 31 horsepower
        power = MEAN_HP + SD_HP * (CORRELATION * z + math.sqrt(1 - CORRELATION**2) * own)
        mean = INTERCEPT + SLOPE * z
        mileage = mean + math.sqrt(VARIANCE / SHAPE) * (rng.standard_gamma(SHAPE, n) - SHAPE)
        return Sample(pd.DataFrame({"WGT": weight, "HP": power, "MPG": mileage}), mileage[:, None].astype(np.float32), {"mean": mean})

    def limits(self) -> dict[str, Limit]:
        return {
            "mean_squared_error": Limit(VARIANCE),
            "root_mean_squared_error": Limit(math.sqrt(VARIANCE)),
            "mean_absolute_error": Limit(_absolute_error()),
            "r2": Limit(SLOPE**2 / (SLOPE**2 + VARIANCE)),
        }

    def picture(self, seed: int = 0) -> Picture:
        from rungbook.plot.plane import scatter

        table = self.sample(self.n, seed).x
        return scatter(table.WGT, table.MPG, x_name="weight (lb)", y_name="MPG", title="weight and mileage")


def _beta() -> tuple[float, float]:
    """The two parameters of the beta distribution with the mean and variance of the weights."""
    mean = (MEAN_WEIGHT - LIGHTEST) / (HEAVIEST - LIGHTEST)
    total = mean * (1 - mean) / (SD_WEIGHT / (HEAVIEST - LIGHTEST)) ** 2 - 1
    return mean * total, (1 - mean) * total


def _absolute_error() -> float:
    """E|G - median| of the noise: for a gamma variable of shape k with median m it is k (1 - 2 F_{k+1}(m))."""
    from scipy.special import gammainc, gammaincinv

    median = gammaincinv(SHAPE, 0.5)
    return math.sqrt(VARIANCE / SHAPE) * SHAPE * (1 - 2 * float(gammainc(SHAPE + 1, median)))
