"""Diabetes: what a forest knows by heart, a network that memorises, and what choosing on the reported patients adds."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from rungbook.data.load import load_data
from rungbook.errors import UsageError
from rungbook.recipes.book.diabetes import FAULTY, HONEST, Diabetes, DiabetesBatchNorm, DiabetesForest, in_own_units
from rungbook.recipes.book.squared import MSE
from rungbook.recipes.once import train_once


def quiet(line: str) -> None:
    """Somebody who does not listen."""


def test_a_forest_knows_its_own_patients_best() -> None:
    found = DiabetesForest(trees=60, seeds=1).find(quiet)
    grown = found.results["500 trees"]
    assert grown["train"]["r2"] > 0.9
    assert grown["valid"]["r2"] < 0.6
    assert grown["test"]["r2"] < 0.6
    held = found.results["500 trees, leaves of 5"]
    assert held["train"][MSE] > 2 * grown["train"][MSE], "control: leaves of five patients cannot know each by heart"
    assert held["test"][MSE] == pytest.approx(grown["test"][MSE], rel=0.15)
    assert "random_forest" not in found.baselines


def test_the_target_keeps_its_units_and_its_patients() -> None:
    data = load_data("diabetes", valid=0.2, test=0.2)
    own = in_own_units(data)
    for part, feed in data.splits().items():
        values = data.target.values(feed.source.targets())  # type: ignore[union-attr]
        mine = own.splits()[part].source.targets()
        assert torch.allclose(mine[:, 0].double(), values, atol=1e-3)
        assert float(mine.min()) > 24.9
        assert own.splits()[part].source.name(0) == feed.source.name(0)
    assert float(data.train.source.targets().std()) == pytest.approx(1, abs=0.01), "control: as read it is standardised"


@pytest.fixture(scope="module")
def found() -> Any:
    kept = {k: v for k, v in Diabetes.variants.items() if k in (HONEST, "memorises", FAULTY)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Diabetes, "variants", {**kept, "memorises": {"final": "last", "epochs": 400}})
        return Diabetes().find(quiet, pictures=True)


def test_the_network_memorises(found: Any) -> None:
    error = {split: m[MSE] for split, m in found.results["memorises"].items()}
    assert error["train"] < error["test"] / 10
    assert error["test"] > found.results[HONEST]["test"][MSE], "keeping the best epoch on valid is better"
    assert found.results[HONEST]["test"][MSE] < found.baselines["mean"][MSE]


def test_choosing_on_the_reported_patients_flatters(found: Any) -> None:
    honest, faulty = (found.results[name] for name in (HONEST, FAULTY))
    assert faulty["test"][MSE] <= honest["test"][MSE]
    assert faulty["valid"][MSE] >= honest["valid"][MSE], "the same training, stopped at another epoch"
    gap = honest["test"][MSE] - faulty["test"][MSE]
    assert f"{gap:,.0f} smaller" in Diabetes(seeds=1).together([found])[0]


def test_swapped_parts_leave_training_alone() -> None:
    histories = [train_once(Diabetes(epochs=3, choose_on=part)).learner.history for part in ("valid", "test")]  # type: ignore[arg-type]
    assert [row["train_loss"] for row in histories[0]] == [row["train_loss"] for row in histories[1]]
    assert histories[0][0]["valid_loss"] != histories[1][0]["valid_loss"]


def test_weight_decay_keeps_weights_small() -> None:
    ends = [train_once(Diabetes(epochs=60, weight_decay=d, final="last")).learner.model for d in (0.0, 1.5)]
    lengths = [sum(float(p.detach().square().sum()) for p in model.parameters()) for model in ends]
    assert lengths[1] < lengths[0]


def test_batch_norm_stands_where_it_is_said() -> None:
    found = DiabetesBatchNorm(seeds=1, epochs=60, lr=0.05).find(quiet)
    assert list(found.results) == ["no norm", "norm before ReLU", "norm after ReLU"]
    assert all(splits["valid"][MSE] < found.baselines["mean"][MSE] for splits in found.results.values())
    assert found.results["norm after ReLU"]["train"][MSE] < found.results["no norm"]["train"][MSE], "it learns its own patients faster"


@pytest.mark.parametrize(
    ("recipe", "settings", "words"),
    [
        (Diabetes, {"data": "iris"}, "data=diabetes"),
        (Diabetes, {"weight_decay": 0.1}, "Leave out weight_decay=..."),
        (Diabetes, {"choose_on": "test"}, "Leave out choose_on=..."),
        (DiabetesBatchNorm, {"norm": "after"}, "Leave out norm=..."),
        (DiabetesForest, {"data": "wine"}, "data=diabetes"),
    ],
)
def test_what_does_not_fit_is_refused(recipe: Any, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError) as error:
        recipe(**settings).check()
    assert error.value.code == "E202"
    assert words in error.value.fix
