"""What a test split is known by, and the truth in the user's units."""

from __future__ import annotations

import numpy as np
import torch

from rungbook.data.arrays import array_data
from rungbook.data.images import image_data
from rungbook.data.target import NumberTarget
from rungbook.learner.metrics import OnScale, make_metric
from rungbook.recipes.scores import scores


def pictures(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (n, 1, 8, 8), dtype=np.uint8), np.arange(n) % 2


def test_an_official_test_split_has_one_mark_however_train_is_cut() -> None:
    x, y = pictures(60, 0)
    official, other = pictures(20, 1), pictures(20, 2)
    marks = {
        image_data("set", x, y, ("a", "b"), test=official, valid=valid, seed=seed).test_mark() for seed in (0, 1) for valid in (0.1, 0.3)
    }
    prints = {image_data("set", x, y, ("a", "b"), test=official, seed=seed).fingerprint for seed in (0, 1)}
    assert len(marks) == 1
    assert len(prints) == 2, "the fingerprint of the whole is another for each split: counting by it misses looks"
    assert image_data("set", x, y, ("a", "b"), test=other).test_mark() not in marks


def test_parts_cut_with_another_seed_have_another_mark() -> None:
    x, y = torch.randn(50, 3), torch.arange(50) % 2
    assert array_data(x, y, seed=0).test_mark() == array_data(x, y, seed=0).test_mark() != array_data(x, y, seed=1).test_mark()


def test_truth_is_never_bounded_and_predictions_are() -> None:
    target = NumberTarget.fit(np.array([0.0, 1.0, 2.0, 3.0]))
    truth = target.encode([1000.0, 1.0])
    assert torch.allclose(target.values(truth), torch.tensor([1000.0, 1.0]).double(), rtol=1e-6)
    assert target.decode(truth)[0] < 5
    guess = target.encode([1.0, 1.0])
    right = float(np.sqrt((999.0**2) / 2))
    assert abs(scores(target, truth, guess)["root_mean_squared_error"] - right) < 1e-3
    metric = OnScale(make_metric("root_mean_squared_error"), target.decode, target.values)
    metric.update(guess, truth)
    assert abs(float(metric.compute()) - right) < 1e-3
    bounded = OnScale(make_metric("root_mean_squared_error"), target.decode)
    bounded.update(guess, truth)
    assert float(bounded.compute()) < 5, "bounding the truth too makes an error of 999 look like 3"
