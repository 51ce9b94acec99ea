"""Houses: a stand-in for Kaggle's house prices (De Cock 2011, the Ames set), with the best possible score known.

Skewed positive prices, numbers and categories, and cells that are missing for no reason. Everything is invented; columns carry the names of
the real ones, so that one recipe serves both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import numpy as np

from rungbook.data.worlds.world import Limit, Sample, World
from rungbook.plot.style import Picture

NEIGHBOURHOODS = {
    "Harbour": (0.18, 6.8),
    "Hillside": (0.12, 7.0),
    "Mill Lane": (-0.10, 5.2),
    "North End": (0.00, 6.0),
    "Old Town": (-0.05, 5.5),
    "Orchard": (0.05, 6.4),
    "Railway": (-0.16, 4.9),
    "West Park": (0.08, 6.6),
}
"""What a neighbourhood adds to the log price, and the quality houses have there on average."""
STYLES = {"1Story": (0.5, 0.00), "2Story": (0.3, 0.05), "1.5Fin": (0.1, -0.03), "SLvl": (0.1, -0.01)}
"""Share of the houses, and what the style adds to the log price."""
FENCES = ("GdPrv", "GdWo", "MnPrv")
"""Fences, which add nothing."""
AREA, LOT = 7.27, 9.1
"""Logarithms of the typical living area and lot, in square feet."""
FRONTAGE = 0.08
"""What a street frontage one standard deviation above the usual for the lot adds to the log price: it is lost where the cell is missing."""
DRAWS = 200_000
"""Houses drawn for the limits."""


@dataclass(frozen=True)
class Houses(World):
    """log(SalePrice) is a sum over the columns plus noise * N(0, 1).

    A share `missing` of LotFrontage and of Fence is missing whatever the house is like: that a cell is empty says nothing. What an empty
    frontage would have told is lost to every model, and counted in the limits. Each limit belongs to the answer that is best for its
    metric: the mean price for squared errors, the median for absolute ones, the mean of log(1 + price) for the logarithmic error.

    Args:
        noise: standard deviation of the log price that no model can know.
        missing: share of cells missing in the two columns with gaps.
    """

    name: ClassVar[str] = "houses"
    kind: ClassVar[str] = "table"
    task: ClassVar[str] = "regression"
    target: ClassVar[str] = "SalePrice"
    n: int = 1460
    noise: float = 0.12
    missing: float = 0.18

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require(0 <= self.noise <= 1, f"noise is {self.noise}; 0 to 1 (prices within a factor of e)", "noise=0.12")
        self._require(0 <= self.missing <= 0.9, f"missing is {self.missing}; a share of 0 to 0.9", "missing=0.18")

    def sample(self, n: int, seed: int = 0) -> Sample:
        import pandas as pd

        rng = self.rng(seed)
        columns, known, frontage = _houses(rng, n)
        log_price = known + FRONTAGE * frontage + self.noise * rng.standard_normal(n)
        table = pd.DataFrame(columns)
        gap = rng.random(n) < self.missing
        table.loc[gap, "LotFrontage"] = np.nan
        table.loc[rng.random(n) < self.missing, "Fence"] = None
        table["SalePrice"] = np.exp(log_price)
        hidden = {"mean": known + np.where(gap, 0, FRONTAGE * frontage), "sd": np.where(gap, math.hypot(self.noise, FRONTAGE), self.noise)}
        return Sample(table, table["SalePrice"].to_numpy(np.float32)[:, None], hidden)

    def limits(self) -> dict[str, Limit]:
        return dict(_limits(self.noise, self.missing))

    def picture(self, seed: int = 0) -> Picture:
        from rungbook.plot.plane import scatter

        table = self.sample(400, seed).x
        return scatter(table.GrLivArea, table.SalePrice / 1000, x_name="living area (sq ft)", y_name="price (1,000 $)", title="houses")


def _houses(rng: np.random.Generator, n: int) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Columns of `n` houses, what they add to the log price but for the frontage, and the frontage beyond the usual for the lot (0, 1)."""
    place = rng.integers(len(NEIGHBOURHOODS), size=n)
    adds, typical = np.array(list(NEIGHBOURHOODS.values())).T
    quality = np.clip(np.rint(typical[place] + 1.2 * rng.standard_normal(n)), 1, 10)
    area = 0.08 * (quality - 6) + 0.3 * rng.standard_normal(n)
    lot = 0.45 * rng.standard_normal(n)
    frontage = rng.standard_normal(n)
    year = rng.integers(1900, 2011, size=n)
    garage = np.minimum(rng.poisson(0.35 * np.maximum(quality - 1, 0)), 4)
    share, worth = np.array(list(STYLES.values())).T
    style = rng.choice(len(STYLES), size=n, p=share)
    columns = {
        "LotFrontage": np.exp(4.2 + 0.4 * lot + 0.2 * frontage),
        "LotArea": np.exp(LOT + lot),
        "Neighborhood": np.array(list(NEIGHBOURHOODS), dtype=object)[place],
        "HouseStyle": np.array(list(STYLES), dtype=object)[style],
        "OverallQual": quality.astype(np.int64),
        "YearBuilt": year,
        "GrLivArea": np.exp(AREA + area),
        "GarageCars": garage,
        "Fence": np.array(FENCES, dtype=object)[rng.integers(len(FENCES), size=n)],
    }
    known = 11.95 + adds[place] + worth[style] + 0.1 * (quality - 6) + 0.7 * area + 0.1 * lot + 0.003 * (year - 1960) + 0.04 * garage
    return columns, known, frontage


@cache
def _limits(noise: float, missing: float) -> tuple[tuple[str, Limit], ...]:
    """Over houses drawn at random, the best error at each in closed form (the logarithmic one by quadrature), with and without its gap.

    Given its columns a price is log-normal, of log mean m and log sd s: variance e^(2m+s^2) (e^(s^2) - 1), and mean distance to its
    median e^(m+s^2/2) erf(s/sqrt 2).
    """
    _, known, frontage = _houses(np.random.default_rng(1), DRAWS)
    seen = known + FRONTAGE * frontage
    cases = [(1 - missing, seen, noise), (missing, known, math.hypot(noise, FRONTAGE))]
    square = _mixed([share * np.exp(2 * m + s**2) * math.expm1(s**2) for share, m, s in cases])
    absolute = _mixed([share * np.exp(m + s**2 / 2) * math.erf(s / math.sqrt(2)) for share, m, s in cases])
    logarithmic = _mixed([share * _log1p_variance(m[: DRAWS // 10], s) for share, m, s in cases])
    price, price2 = np.exp(seen + noise**2 / 2), np.exp(2 * seen + 2 * noise**2)  # E[price | columns] and E[price^2 | columns]
    spread = price2.mean() - price.mean() ** 2
    unknown = np.mean(square)
    slopes = (-1 / spread, -2 * price.mean() * unknown / spread**2, unknown / spread**2)  # of 1 - unknown / spread
    found = {
        "mean_squared_error": (unknown, _error(square)),
        "root_mean_squared_error": (math.sqrt(unknown), _root_error(square)),
        "mean_absolute_error": (np.mean(absolute), _error(absolute)),
        "root_mean_squared_log_error": (math.sqrt(np.mean(logarithmic)), _root_error(logarithmic)),
        "r2": (1 - unknown / spread, _error(slopes[0] * square + slopes[1] * price + slopes[2] * price2)),
    }
    how = f"Monte Carlo, {DRAWS:,} houses"
    return tuple((metric, Limit(float(value), float(error), how)) for metric, (value, error) in found.items())


def _log1p_variance(mean: np.ndarray, sd: float) -> np.ndarray:
    """Variance of log(1 + price) for a price of that log mean and log sd, by Gauss-Hermite quadrature: (n,)."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(12)
    values = np.log1p(np.exp(mean[:, None] + sd * nodes))  # (n, 12)
    weights = weights / weights.sum()
    return np.square(values - (values @ weights)[:, None]) @ weights


def _mixed(parts: list[np.ndarray]) -> np.ndarray:
    """Sum over the cases, (n,)."""
    return np.sum(parts, axis=0)


def _error(values: np.ndarray) -> float:
    """Standard error of a mean."""
    return float(np.std(values) / math.sqrt(len(values)))


def _root_error(squares: np.ndarray) -> float:
    """Standard error of the root of a mean."""
    root = math.sqrt(np.mean(squares))
    return _error(squares) / (2 * root) if root else 0.0
