"""Logistic regression reaches the best line between blobs; two growers' wines, with pictures of the boundaries."""

from __future__ import annotations

import math
import re
from statistics import mean

import numpy as np
import pytest
import torch
from commands import Rung

from rungbook.data.worlds.registry import make_world
from rungbook.errors import UsageError
from rungbook.recipes.book.points import FEATURES, GROWERS, BlobsRecipe, Wine, shares, wines
from rungbook.recipes.once import train_once
from rungbook.recipes.prepare import prepare_data

BAYES = 0.5 * math.erfc(-math.sqrt(2) / 0.8 / math.sqrt(2))
"""Phi(sqrt(2) / 0.8): how often the nearest of two centres at (1, 1) and (-1, -1) is the right one."""


def test_blobs_come_within_chance_of_the_best_line() -> None:
    assert pytest.approx(0.9615, abs=5e-5) == BAYES
    error = math.sqrt(BAYES * (1 - BAYES) / 10_000)
    for seed in range(2):
        trained = train_once(BlobsRecipe(seed=seed))
        assert trained.data.train.samples + trained.data.valid.samples == 750  # type: ignore[union-attr]
        assert trained.data.test is not None
        assert trained.data.test.samples == 10_000
        reached = trained.scores("test")["test"]["accuracy"]
        assert abs(reached - BAYES) < 3 * error + 0.001  # the line itself is fitted to 675 points: a tenth of a point
        assert trained.scores("test")["test"]["log_loss"] > 0.08
    short = train_once(BlobsRecipe(data="world:blobs(sd=2.0)")).scores("test")["test"]["accuracy"]
    assert short < BAYES - 0.1, "wider blobs have another limit"


def test_blobs_tell_the_log_odds_of_the_world() -> None:
    recipe = BlobsRecipe(data="world:blobs(n=30000)", epochs=4, batch_size=256)
    trained = train_once(recipe)
    (said,) = recipe.closing(trained.learner.model, trained.data)
    numbers = [float(x) for x in re.findall(r"[-+]?\d+\.\d+", said)]
    assert numbers[3:] == [3.125, 3.125, 0.0], "2 * 1 / 0.8^2"
    assert numbers[:2] == pytest.approx([3.125, 3.125], abs=0.15)
    assert abs(numbers[2]) < 0.1
    three = BlobsRecipe(data="world:blobs(classes=3)", epochs=1)
    assert three.closing(train_once(three).learner.model, trained.data) == []


def test_the_course_is_above_what_can_be() -> None:
    (reported,) = BlobsRecipe.reported
    best = make_world("world:blobs").limit("accuracy").value
    assert best < reported.value < best + 2 * math.sqrt(best * (1 - best) / 750)
    assert "chance" in reported.fault


def test_wines_are_the_courses_130() -> None:
    table = wines()
    assert table.shape == (130, 3)
    assert set(table["grower"]) == set(GROWERS)
    data = prepare_data(Wine())
    assert {k: f.samples for k, f in data.splits().items()} == {"train": 78, "valid": 26, "test": 26}
    x, _ = data.one_batch(78)
    assert torch.allclose(x.mean(0), torch.zeros(2), atol=1e-5)  # type: ignore[union-attr]
    assert torch.allclose(x.std(0, correction=0), torch.ones(2), atol=1e-4)  # type: ignore[union-attr]


def test_wine_is_told_apart_and_drawn() -> None:
    found = Wine(seeds=1).find(lambda line: None, pictures=True)
    assert list(found.results) == ["straight line", "3 sigmoid units", "10 sigmoid units"]
    for splits in found.results.values():
        assert set(splits) == {"fit", "train", "valid", "test"}
        assert splits["fit"]["accuracy"] == pytest.approx(0.9615, abs=0.03), "the course's 125 of 130, give or take a few"
        assert splits["test"]["accuracy"] > 0.8
    assert len(found.pictures) == 3
    assert "own side" in found.pictures[0].alt
    assert "Proline goes from 278 to 1,680, alcohol from 11.03 to 14.83" in found.pictures[0].alt, "not standardised"


def test_boundaries_are_drawn_in_the_units_of_the_wines() -> None:
    trained = train_once(Wine(hidden=(3,)))
    table = wines()
    answer = shares(trained, table[[*FEATURES]].to_numpy())
    truth = trained.data.target.encode(table["grower"].tolist())
    assert torch.allclose(answer.sum(1), torch.ones(130, dtype=answer.dtype), atol=1e-5)
    assert float((answer.argmax(1) == truth).float().mean()) > 0.9
    upside_down = shares(trained, table[[*FEATURES]].to_numpy()[:, ::-1])
    assert float((upside_down.argmax(1) == truth).float().mean()) < 0.7, "control: with the columns exchanged it knows nothing"
    assert np.isfinite(shares(trained, np.array([[1e6, -1e6]])).numpy()).all()


def test_what_wine_refuses(rung: Rung) -> None:
    result = rung("train", "wine", "data=digits")
    assert result.code == 2
    assert "wine asks its question of certain data; digits is none of it" in result.err
    with pytest.raises(UsageError, match="hidden is what wine compares"):
        Wine(hidden=(5,)).check()
    with pytest.raises(UsageError, match="none of it"):
        BlobsRecipe(data="world:moons").check()


def test_ten_seeds_are_asked_for_where_one_wine_is_four_points() -> None:
    assert Wine().seeds == 10
    spread = [train_once(Wine(seed=s)).scores("test")["test"]["accuracy"] for s in range(4)]
    assert len(set(spread)) > 1
    assert mean(spread) > 0.88
