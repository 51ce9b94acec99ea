"""Measuring: the figures are those of `rung train`, a line has all that is needed to judge it, and what is missing is found."""

from __future__ import annotations

import dataclasses
import io
import math
import platform
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pytest
from commands import quick
from measured import drawn
from rich.console import Console

from rungbook.errors import UsageError
from rungbook.recipes import session
from rungbook.recipes.ledger import Ledger
from rungbook.recipes.measure import expected_seconds, is_offline, limits, machine, measure, measure_seed, outstanding, planned, real_keys
from rungbook.recipes.recipe import RECIPES, find_recipe
from rungbook.recipes.study import Found


def silent(line: str) -> None:
    """Nobody waits."""


@pytest.mark.parametrize("seed", [0, 3])
def test_the_figures_are_those_of_rung_train(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    quick(monkeypatch)  # few trees in the forest, an empty report
    recipe = find_recipe("softmax_regression")(seed=seed, steps=60)
    found = measure_seed(recipe, silent)
    result = session.train(recipe, label="x", console=Console(file=io.StringIO()))
    assert found.found.results == {"": {"valid": result["valid"], "test": result["test"]}}
    assert found.found.baselines == result["baselines"]
    assert (found.metric, found.split, found.found.samples) == ("accuracy", "test", 180)
    assert measure_seed(dataclasses.replace(recipe, seed=seed + 1), silent).found.results != found.found.results


def test_a_world_brings_its_limit_and_its_error() -> None:
    recipe = find_recipe("mlp")(data="world:blobs", steps=20)
    line = measure(recipe, 2, silent)
    assert line.limit["accuracy"]["value"] == pytest.approx(0.9615, abs=1e-3)
    assert line.limit["accuracy"]["error"] >= 0
    assert "world" in line.stamp
    assert (line.key, line.data["name"]) == ("mlp data=world:blobs steps=20", "world:blobs")
    assert (line.threads, line.device) == (1, "cpu")


def test_a_contrast_is_measured_seed_by_seed(place: Path) -> None:
    recipe: Any = RECIPES["width_test"](seed=2, seeds=7)
    said: list[str] = []
    line = measure(recipe, 2, said.append)
    assert line.seeds == [2, 3], "--seeds counts, not the study's own number"
    for i, seed in enumerate(line.seeds):
        alone = dataclasses.replace(recipe, seed=seed, seeds=1).find(silent).results
        for variant, splits in line.results.items():
            for split, metrics in splits.items():
                assert {m: f["values"][i] for m, f in metrics.items()} == alone[variant][split]
    figure = line.figure("64 units", "test", "accuracy")
    assert figure["mean"] == pytest.approx(mean(figure["values"]))
    assert figure["sd"] == pytest.approx(stdev(figure["values"]))
    assert [s.split(":")[0] for s in said] == ["seed 2", "seed 3"]
    assert "2 units" in said[0]
    assert len(line.seconds) == len(line.cpu_seconds) == 2
    assert 0 < line.cpu_seconds[1] < 60


@pytest.mark.parametrize(("seeds", "said"), [(1, "One seed shows no spread"), (0, "0 seeds show no spread"), (-3, "-3 seeds show")])
def test_fewer_than_two_seeds_are_refused(place: Path, seeds: int, said: str) -> None:
    with pytest.raises(UsageError, match=said) as error:
        measure(RECIPES["draw_test"](), seeds, silent)
    assert error.value.code == "E202"
    assert error.value.fix == "rung measure draw_test --seeds 5"


def test_settings_no_key_can_name_are_refused(place: Path) -> None:
    with pytest.raises(UsageError, match="too many digits"):
        measure(RECIPES["draw_test"](shift=0.123456789), 2, silent)
    assert measure(RECIPES["draw_test"](shift=0.123456), 2, silent).key == "draw_test shift=0.123456"


def test_figures_some_seeds_lack_are_left_out_and_those_that_diverge_have_no_mean() -> None:
    from rungbook.recipes.measure import summary

    def found(**metrics: float) -> Found:
        return Found({"": {"test": metrics}}, 10, {})

    table = summary([found(r2=0.5, rmsle=1.0, loss=1.0), found(r2=0.7, loss=math.nan)])[""]["test"]
    assert set(table) == {"r2", "loss"}
    assert table["r2"]["mean"] == pytest.approx(0.6)
    assert (table["loss"]["mean"], table["loss"]["sd"]) == (None, None)


def test_a_limit_without_an_error_is_exact() -> None:
    assert limits(Found({}, 1, {}, limit={"r2": 0.9})) == {"r2": {"value": 0.9, "error": 0.0}}
    assert limits(Found({}, 1, {})) == {}


def test_what_the_machine_is_says_nothing_of_its_owner() -> None:
    assert set(machine()) == {"cpu", "cores", "system"}
    assert platform.node() not in str(machine())


def test_what_should_be_there(place: Path) -> None:
    assert planned(real=False) == ["draw_test", "softmax_regression", "width_test"]
    assert "draw_test data=mnist shift=0.1" in planned(real=True)
    assert real_keys("draw_test") == ["draw_test data=mnist shift=0.1"]
    with pytest.raises(UsageError, match="width_test names no settings on real data"):
        real_keys("width_test")
    assert is_offline(RECIPES["draw_test"](data="world:line"))
    assert not is_offline(RECIPES["draw_test"](data="mnist"))


def test_what_is_missing_or_stale(place: Path) -> None:
    good, old = drawn(2), drawn(2, shift=0.1)
    old = dataclasses.replace(old, stamp={**old.stamp, "code": "0" * 16})
    real = dataclasses.replace(drawn(2, data="mnist"), stamp={})
    ledger = Ledger({e.key: e for e in (good, old, real)})
    assert outstanding(ledger, missing=True, real=False) == ["softmax_regression", "width_test", "draw_test shift=0.1"]
    assert outstanding(ledger, missing=False, real=False) == ["draw_test shift=0.1"]
    assert outstanding(ledger, missing=False, real=True) == ["draw_test shift=0.1", "draw_test data=mnist"]
    assert expected_seconds(dataclasses.replace(good, cpu_seconds=[9.0, 2.0, 2.5]), 4) == 10.0
    assert math.isnan(expected_seconds(None, 5))
