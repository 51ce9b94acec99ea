"""The checks fail where they must: a limit stated wrongly, a model that knows the noise, models that are all far away."""

from __future__ import annotations

import numpy as np
import pytest
from odds import check_limit, check_model, check_reached, losses

from rungbook.data.worlds.registry import make_world
from rungbook.data.worlds.world import Limit


def test_a_wrong_limit_is_noticed():
    drawn = make_world("line").sample(20_000, 1)
    best = losses("root_mean_squared_error", drawn.y, drawn.hidden["mean"])
    check_limit("root_mean_squared_error", Limit(1.0), best)
    for wrong in (0.97, 1.03):
        with pytest.raises(AssertionError, match="stated"):
            check_limit("root_mean_squared_error", Limit(wrong), best)
    check_limit("root_mean_squared_error", Limit(0.97, error=0.02), best)  # it said that it was unsure
    drawn = make_world("moons").sample(20_000, 1)
    best = losses("accuracy", drawn.y, np.eye(2)[drawn.hidden["clean"]])
    with pytest.raises(AssertionError, match="stated"):
        check_limit("accuracy", Limit(0.96), best)


def test_knowing_the_noise_is_noticed():
    drawn = make_world("line").sample(20_000, 1)
    y = drawn.y[:, 0]
    best = losses("mean_absolute_error", y, drawn.hidden["mean"])
    cheat = losses("mean_absolute_error", y, 0.95 * drawn.hidden["mean"] + 0.05 * y)
    with pytest.raises(AssertionError, match="beyond"):
        check_model("cheat", "mean_absolute_error", cheat, best)
    honest = losses("mean_absolute_error", y, drawn.hidden["mean"] + 0.5)
    assert check_model("honest", "mean_absolute_error", honest, best) > 0.05


def test_models_far_away_are_noticed():
    check_reached("accuracy", {"far": 0.2, "near": 0.001}, 0.002)
    with pytest.raises(AssertionError, match=r"nearest is b, 0\.1 short"):
        check_reached("accuracy", {"a": 0.2, "b": 0.1}, 0.05)
