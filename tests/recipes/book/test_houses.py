"""House prices: the logarithm's error beside ridge, a forest and the limit."""

from __future__ import annotations

import os

import pytest

from rungbook.data.local import files_of
from rungbook.data.named import named_data
from rungbook.data.registry import DOWNLOADS
from rungbook.errors import UsageError
from rungbook.recipes.baseline import baselines
from rungbook.recipes.book.houses import HousePrices
from rungbook.recipes.once import train_once

RMSLE = "root_mean_squared_log_error"


def test_between_the_limit_and_the_baselines() -> None:
    trained = train_once(HousePrices(data="world:houses(n=700)", steps=300))
    assert trained.data.target.log  # type: ignore[union-attr]
    found = trained.scores("test")["test"][RMSLE]
    beside = baselines(trained.data)
    assert trained.data.facts["limit"][RMSLE] < found < beside["random_forest"][RMSLE] < beside["mean"][RMSLE]
    assert found < 1.02 * beside["ridge"][RMSLE]


def test_other_tables_are_refused() -> None:
    with pytest.raises(UsageError) as error:
        HousePrices(data="iris").check()
    assert error.value.fix == "These fit: data=world:houses, data=kaggle-house."
    HousePrices(data="world:houses(noise=0.2)").check()


def test_the_real_prices() -> None:
    if not os.environ.get("RUNG_DATA"):
        pytest.skip("RUNG_DATA is not set: the real house prices are not read")
    data = named_data("kaggle-house", log=True)
    assert sum(feed.samples for feed in data.splits().values()) == 1460
    assert data.target.name == "SalePrice"
    assert data.target.log  # type: ignore[union-attr]
    assert "Id" not in data.facts["columns"]
    assert len(data.facts["columns"]) == 79
    (path,) = files_of(DOWNLOADS["kaggle-house"]).values()
    assert path.stat().st_size == DOWNLOADS["kaggle-house"].size
