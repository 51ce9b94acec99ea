"""The line, its errors and the way down are where the numbers say."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from rungbook.plot.fit import LEVELS, loss_levels, loss_surface, regression_line
from rungbook.plot.style import THIRD, VALID


def points(n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 10, n)
    return x, 2 * x + 1 + rng.normal(0, 2, n)


def test_errors_are_told_and_drawn() -> None:
    x, y = points(60)
    picture = regression_line(x, y, lambda v: 2 * v + 1, x_name="hours", y_name="mark", title="a fit")
    error = np.sqrt(((y - 2 * x - 1) ** 2).mean())
    assert picture.alt.startswith(f"60 points. Root mean squared error of the line {error:.3f}"[:-1])
    worse = regression_line(x, y, lambda v: 0 * v)
    assert float(re.findall(r"line ([\d.]+)", worse.alt)[0]) > 5 * error, "the control"
    strokes = [d for d in re.findall(r'd="([^"]+)"', str(picture.data)) if d.count("M") == 60]
    assert len(strokes) == 1, "one stroke a point, in one path"
    assert "hours" in str(picture.data)
    assert picture.data == regression_line(x, y, lambda v: 2 * v + 1, x_name="hours", y_name="mark", title="a fit").data


def test_networks_predict_as_well() -> None:
    x, y = points(40)
    net = torch.nn.Linear(1, 1).double()
    assert regression_line(x, y, lambda v: net(torch.from_numpy(v)[:, None])).alt.startswith("40 points")


def test_many_points_and_none() -> None:
    x, y = points(50_000)
    picture = regression_line(x, y, lambda v: v)
    assert picture.alt.startswith("50,000 points, 500 of them drawn")
    assert len(picture.data) < 60_000
    assert regression_line([], [], lambda v: v).alt == "No finite points."
    assert "1 points are not finite" in regression_line([1.0, 2.0, np.nan], [1.0, 2.0, 3.0], lambda v: v).alt
    with pytest.raises(ValueError, match="1 x, 2 y"):
        regression_line([1], [1, 2], lambda v: v)
    with pytest.raises(ValueError, match="predict gave"):
        regression_line([1, 2], [1, 2], lambda v: v[:1])


def bowl(b: np.ndarray, m: np.ndarray) -> np.ndarray:
    return (b - 1) ** 2 + 25 * (m - 2) ** 2 + 3


B, M = np.linspace(-4, 6, 51), np.linspace(-3, 7, 41)


def test_surface_tells_bottom_path_and_best() -> None:
    path = [(-3.0 + 0.1 * i, 6 - 0.1 * i) for i in range(41)]
    picture = loss_surface(bowl, B, M, path=path, best=(1.0, 2.0), title="loss")
    assert "lowest 3 at b 1, m 2" in picture.alt
    assert "starts at b -3, m 6 and after 40 steps is at b 1, m 2." in picture.alt
    assert picture.alt.endswith("The best is at b 1, m 2.")
    assert THIRD in str(picture.data)
    assert VALID in str(picture.data)
    bare = loss_surface(bowl(*np.meshgrid(B, M, indexing="ij")), B, M)
    assert VALID not in str(bare.data)
    assert THIRD not in str(bare.data)
    assert "outside" in loss_surface(bowl, B, M, path=[(50.0, 0.0), (1.0, 2.0)]).alt
    assert len(picture.data) < 150_000
    assert picture.data == loss_surface(bowl, B, M, path=path, best=(1.0, 2.0), title="loss").data


def test_first_goes_along_and_second_up() -> None:
    picture = loss_surface(lambda b, m: (b - 5) ** 2 + 0 * m, B, M, names=("bias", "slope"))
    assert "at bias 5" in picture.alt
    assert "at bias 5" not in loss_surface(lambda b, m: (m - 5) ** 2 + 0 * b, B, M, names=("bias", "slope")).alt


def test_levels_are_even_in_the_logarithm() -> None:
    values = bowl(*np.meshgrid(B, M, indexing="ij"))
    levels = loss_levels(values)
    assert len(levels) == LEVELS
    steps = np.diff(np.log(levels - values.min()))
    assert steps == pytest.approx(steps[0])
    assert (values < levels[0]).mean() == pytest.approx(0.01, abs=0.01), "the lowest is no speck"
    assert len(loss_levels(np.full((3, 3), 2.0))) == 0


def test_long_paths_and_broken_losses() -> None:
    way = np.stack([np.linspace(-4, 1, 100_000), np.linspace(7, 2, 100_000)], 1)
    assert len(loss_surface(bowl, B, M, path=way).data) < 150_000
    with np.errstate(divide="ignore", invalid="ignore"):
        holed = loss_surface(lambda b, m: np.log(b) + m**2, B, M)
    assert "lowest" in holed.alt
    with pytest.raises(ValueError, match="No loss"):
        loss_surface(np.full((51, 41), np.nan), B, M)
    with pytest.raises(ValueError, match=r"\(41, 51\); needed \(51, 41\)"):
        loss_surface(bowl(*np.meshgrid(B, M)), B, M)
    assert loss_surface(np.ones((51, 41)), B, M).alt
