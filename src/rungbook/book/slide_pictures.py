"""The pictures of the slides, each drawn from data by the code the lessons use."""

from __future__ import annotations

from collections.abc import Callable

import torch

from rungbook.plot.style import TRAIN, VALID, Picture, draw

PICTURES: dict[str, Callable[[], Picture]] = {}
"""Name in a slide -> what draws it."""


def picture(make: Callable[[], Picture]) -> Callable[[], Picture]:
    """Enter a function into the table under its own name."""
    PICTURES[make.__name__] = make
    return make


@picture
def line() -> Picture:
    """Cars' weight and mileage with the best line."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(60, generator=generator) * 3000 + 2000
    y = 46 - 0.0076 * x + 4 * torch.randn(60, generator=generator)
    slope = ((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum()
    at = torch.tensor([2000.0, 5000.0])

    def paint(ax):
        ax.plot(x, y, "o", color=TRAIN, markersize=3)
        ax.plot(at, y.mean() + slope * (at - x.mean()), color=VALID)
        ax.set(xlabel="weight in pounds", ylabel="miles a gallon")

    return draw(paint, f"60 cars: mileage falls with weight, by {-1000 * slope:.1f} miles a gallon for 1,000 pounds.")
