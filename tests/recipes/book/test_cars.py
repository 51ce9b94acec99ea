"""Cars: five ways to a line, which of them stalls, and networks that are a line or more."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
import torch

from rungbook.errors import UsageError
from rungbook.models.tabular.mlp import MLP
from rungbook.recipes.book import cars
from rungbook.recipes.book.cars import CarsNetwork, CarsStudy, cars_table, closed_form, raw_descent, squared_error, stacked_line
from rungbook.recipes.book.squared import MSE
from rungbook.recipes.settings import parse_settings
from rungbook.scratch.swap import swap


def quiet(line: str) -> None:
    """Somebody who does not listen."""


def real() -> None:
    """Skip without the real cars."""
    if not os.environ.get("RUNG_DATA"):
        pytest.skip("RUNG_DATA is not set: the real cars are not read")


@pytest.fixture(scope="module")
def found() -> Any:
    return CarsStudy(seeds=1).find(quiet, pictures=True)


def test_raw_units_stall_and_standardised_ones_do_not(found: Any) -> None:
    fit = {name: splits["fit"][MSE] for name, splits in found.results.items()}
    assert fit["raw units"] > fit["closed form"] + 5
    assert fit["standardised"] == pytest.approx(fit["closed form"], abs=1e-3)
    assert fit["autograd"] == pytest.approx(fit["standardised"], abs=1e-9)
    assert fit["closed form"] < fit["grid search 100 x 100"] < fit["grid search 5 x 5"], "a grid comes near, no line is better"
    assert found.limit[MSE] == pytest.approx(18.677)
    assert all(splits["test"][MSE] < found.baselines["mean"][MSE] for splits in found.results.values())
    assert len(found.pictures) == 3


def test_the_closed_form_is_numpys() -> None:
    table = cars_table("world:cars(n=50)", None, 3)
    x, y = table.WGT.to_numpy(), table.MPG.to_numpy()
    slope, intercept = np.polyfit(x, y, 1)
    line = closed_form(x, y)
    assert (line.slope, line.intercept) == (pytest.approx(slope), pytest.approx(intercept))
    b, m = np.array([20.0, 40.0]), np.array([-0.001, -0.006])
    direct = [np.square(y - b[i] - m[i] * x).mean() for i in range(2)]
    assert squared_error(x, y, b, m) == pytest.approx(direct)


def test_raw_units_stall_because_of_the_intercept() -> None:
    table = cars_table("world:cars", None, 0)
    x, y = table.WGT.to_numpy(), table.MPG.to_numpy()
    line, exact = raw_descent(x, y), closed_form(x, y)
    assert line.intercept == pytest.approx(35, abs=1e-4)
    expected = np.square(y - exact.at(x)).mean() + (exact.intercept - 35) ** 2 * x.var() / np.square(x).mean()
    assert np.square(y - line.at(x)).mean() == pytest.approx(expected, rel=1e-6)
    assert abs(raw_descent(x, y, lr=5e-10).slope) > 1, "control: a rate ten times as large flies off"


def test_each_car_is_judged_by_a_line_that_never_saw_it() -> None:
    """A line that knows its cars by heart scores 0 on fit and nothing on test."""
    x, y = np.arange(20.0), np.random.default_rng(0).normal(size=20)

    class ByHeart:
        def __init__(self, x: np.ndarray, y: np.ndarray) -> None:
            self.known = dict(zip(x.tolist(), y.tolist(), strict=True))

        def at(self, x: np.ndarray) -> np.ndarray:
            return np.array([self.known.get(v, 99.0) for v in x.tolist()])

    parts = cars.folds(20, 10, seed=0)
    assert set(cars._over_folds(x, y, parts, ByHeart)) == {99.0}  # type: ignore[arg-type]


def test_the_real_cars_give_the_courses_figures() -> None:
    real()
    found = CarsStudy(data="auto-mpg", seeds=1).find(quiet)
    fit = {name: splits["fit"] for name, splits in found.results.items()}
    for name in ("standardised", "autograd", "closed form"):
        assert fit[name][MSE] == pytest.approx(18.677, abs=0.001)
        assert fit[name]["mean_absolute_error"] == pytest.approx(3.28, abs=0.005)
    assert fit["raw units"][MSE] == pytest.approx(28.12, abs=0.005)
    assert fit["raw units"]["mean_absolute_error"] == pytest.approx(4.03, abs=0.005)
    assert "slope -6.487, intercept 23.446" in found.sentences[0]
    assert found.results["standardised"]["test"][MSE] > fit["standardised"][MSE]


@pytest.mark.parametrize(
    ("recipe", "settings", "words"),
    [
        (CarsStudy, {"data": "digits"}, "data=world:cars, data=auto-mpg"),
        (CarsNetwork, {"data": "digits"}, "data=world:cars, data=auto-mpg"),
        (CarsNetwork, {"hidden": (7,)}, "Leave out hidden=..."),
        (CarsNetwork, {"activation": "gelu"}, "Leave out activation=..."),
    ],
)
def test_what_does_not_fit_is_refused(recipe: Any, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError) as error:
        recipe(**settings).check()
    assert error.value.code == "E202"
    assert words in error.value.fix
    recipe(data="world:cars(n=50)").check()


def test_a_study_has_no_epochs() -> None:
    with pytest.raises(UsageError) as error:
        parse_settings(CarsStudy, ["epochs=3"])
    assert error.value.code == "E201"
    assert error.value.message == 'cars has no setting "epochs".'
    with pytest.raises(UsageError, match="2 or more"):
        parse_settings(CarsStudy, ["folds=1"])
    with pytest.raises(UsageError) as error:
        parse_settings(CarsStudy, ["seed_=3"])
    assert "seed=..." in error.value.fix


def test_two_linear_layers_are_a_line_and_a_wide_network_fits_its_own_cars_better(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = {k: v for k, v in CarsNetwork.variants.items() if k in ("a line", "2 linear layers", "1000 ReLU")}
    monkeypatch.setattr(CarsNetwork, "variants", kept)
    found = CarsNetwork(seeds=1, epochs=40).find(quiet, pictures=True)
    error = {name: {split: m[MSE] for split, m in splits.items()} for name, splits in found.results.items()}
    assert error["2 linear layers"]["test"] == pytest.approx(error["a line"]["test"], rel=0.02)
    assert error["1000 ReLU"]["train"] < error["a line"]["train"]
    assert error["1000 ReLU"]["test"] > error["a line"]["test"], "on a world of lines bending gains nothing"
    assert set(error["a line"]) == {"fit", "train", "valid", "test"}
    assert found.samples == cars.NEW
    assert found.limit is not None
    assert "within" in found.sentences[0]
    assert len(found.pictures) == 3


def test_stacked_linear_layers_are_the_line_of_their_product() -> None:
    torch.manual_seed(0)
    model = MLP(1, 1, hidden=(10, 5), activation="identity")
    slope, shift = stacked_line(model)
    x = torch.linspace(-3, 3, 7)[:, None]
    assert torch.allclose(model(x), slope * x + shift, atol=1e-6)
    assert torch.equal(stacked_line(swap(model))[0], slope), "by hand they are linear layers too"
    bent = MLP(1, 1, hidden=(10, 5))
    slope, shift = stacked_line(bent)
    assert not torch.allclose(bent(x), slope * x + shift, atol=1e-2), "control: with ReLU between them they are not"
