"""The courses' faults, shown as faults: a split with replacement, softmax twice; samples of large sets."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path
from statistics import mean

import pytest
import torch
from commands import Rung
from torch import Tensor, nn

from rungbook.data.load import load_data
from rungbook.errors import UsageError
from rungbook.recipes.book.honest_split import Forest, SoftmaxTwice, loss_floor
from rungbook.recipes.book.sampled import pooled, resampled
from rungbook.recipes.once import train_once
from rungbook.recipes.prepare import make_model, prepare_data


def rows(x: Tensor) -> set[bytes]:
    return {image.numpy().tobytes() for image in x}


def test_a_split_with_replacement_mixes_train_into_valid() -> None:
    honest = load_data("digits", 0.16, 0.2)
    assert honest.valid is not None
    n = honest.train.samples + honest.valid.samples
    expected = 1 - (1 - 1 / n) ** honest.train.samples
    assert expected == pytest.approx(1 - math.exp(-0.8), abs=2e-3)
    made = [resampled(honest, seed) for seed in range(40)]
    drawn, both = [data for data, _ in made], made[0][1]
    assert mean(d.facts["overlap"] for d in drawn) == pytest.approx(expected, abs=3 * 0.03 / math.sqrt(40))
    (xt, _), (xv, _) = (pooled(feed) for feed in (drawn[0].train, drawn[0].valid))  # type: ignore[arg-type]
    trained = rows(xt)
    seen = torch.tensor([image.numpy().tobytes() in trained for image in xv])
    assert float(both.float().mean()) == pytest.approx(drawn[0].facts["overlap"])
    assert float((seen != both).float().mean()) < 0.005, "as the pixels say, but for a few equal images"
    assert not rows(pooled(honest.train)[0]) & rows(pooled(honest.valid)[0]), "control: the honest split shares none"
    for one in drawn[:2]:
        assert one.test is honest.test
        assert (one.train.samples, one.valid.samples) == (honest.train.samples, honest.valid.samples)  # type: ignore[union-attr]
        assert rows(pooled(one.train)[0]) <= rows(pooled(honest.train, honest.valid)[0])
    assert len({d.fingerprint for d in drawn} | {honest.fingerprint}) == 41
    assert resampled(honest, 3)[0].fingerprint == drawn[3].fingerprint


def test_the_forest_looks_better_than_it_is() -> None:
    found = [Forest(trees=30, seed=seed).find(lambda line: None) for seed in range(8)]

    def gap(variant: str) -> float:
        """How much better the forests look on valid than they are on test."""
        return mean(f.results[variant]["valid"]["accuracy"] - f.results[variant]["test"]["accuracy"] for f in found)

    assert gap("as the course splits") > 0.015
    assert gap("honest split") < gap("as the course splits") - 0.005, "control"
    shares = [re.findall(r"([\d.]+)%", f.sentences[1]) for f in found]
    assert mean(float(seen) for seen, _ in shares) > 99, "images it learned by heart"
    assert mean(float(new) for _, new in shares) < 97.5
    assert "55.1% are to be expected" in found[0].sentences[0]
    assert found[0].samples == 359
    (said,) = Forest().together(found)
    assert re.search(r"on valid the course's split shows [\d.]+ points more right .* has [\d.]+ points fewer right", said), said


def test_no_loss_is_below_the_floor_with_softmax_twice() -> None:
    assert loss_floor(10) == pytest.approx(1.461150, abs=1e-6)
    sure = torch.full((1, 10), -1000.0).index_fill(1, torch.tensor([3]), 1000.0)
    target = torch.tensor([3])
    assert float(nn.functional.cross_entropy(sure.softmax(1), target)) == pytest.approx(loss_floor(10), abs=1e-6)
    assert float(nn.functional.cross_entropy(sure, target)) == 0, "control: logits can be as sure as they like"
    study = SoftmaxTwice(seeds=1, epochs=40)
    found = study.find(lambda line: None)
    for variant in ("softmax twice", "both faults"):
        assert all(scores["log_loss"] > loss_floor(10) for scores in found.results[variant].values())
    for variant in ("50 units", "300 units", "split with replacement"):
        assert found.results[variant]["train"]["log_loss"] < 0.3
    assert found.results["50 units"]["test"]["accuracy"] > 0.9
    assert found.results["split with replacement"]["valid"]["accuracy"] > found.results["split with replacement"]["test"]["accuracy"]
    assert "no loss can be below 1.46115" in found.sentences[0]


def test_a_step_takes_the_gradient_of_all_training_images() -> None:
    study = SoftmaxTwice(epochs=1, optimizer="sgd", momentum=0.0, lr=0.1, final="last", image_size=None)
    data = prepare_data(study)
    model, _ = make_model(study, data)
    x, y = pooled(data.train)
    loss = nn.functional.cross_entropy(model(data.train.prepare(x)), y)  # type: ignore[misc]
    gradient = torch.autograd.grad(loss, list(model.parameters()))
    trained = train_once(study)
    assert trained.learner.step == 1
    for before, after, slope in zip(model.parameters(), trained.learner.model.parameters(), gradient, strict=True):
        assert torch.allclose(after, before - 0.1 * slope, atol=1e-6)


def test_softmax_is_put_in_only_where_it_is_named() -> None:
    data = prepare_data(SoftmaxTwice())
    for variant, settings in SoftmaxTwice.variants.items():
        model, _ = make_model(replace(SoftmaxTwice(), **settings), data)
        assert any(isinstance(m, nn.Softmax) for m in model.modules()) == ("softmax" in variant or variant == "both faults")


def test_a_sample_of_the_official_training_images(real_data: Path) -> None:
    study = SoftmaxTwice(data="mnist", train_samples=500, valid=0.2)
    study.check()
    data, again, other = study.load(), study.load(), replace(study, seed=1).load()
    assert {k: f.samples for k, f in data.splits().items()} == {"train": 400, "valid": 100, "test": 10_000}
    assert data.fingerprint == again.fingerprint != other.fingerprint
    assert data.test_mark() == other.test_mark(), "the official test images are all there, whatever is drawn"
    assert len(rows(pooled(data.train, data.valid)[0])) == 500, "without replacement"  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="train_samples is 60,001; mnist has 60,000 training images") as error:
        replace(study, train_samples=60_001).load()
    assert error.value.fix == "train_samples=60000"
    with pytest.raises(UsageError, match="20 are needed") as error:
        replace(study, train_samples=3).load()
    assert error.value.fix == "train_samples=20"


def test_what_is_refused(rung: Rung) -> None:
    for words, found in {
        "forest train_samples=100": "digits has none",
        "softmax_twice train_samples=0": "1 or more",
        "softmax_twice hidden=20": "hidden is what softmax_twice compares",
        "softmax_twice twice=true": "twice is what softmax_twice compares",
        "softmax_twice model=softmax_regression": "changes the end of an mlp",
        "forest data=iris": "asks its question of small images",
        "forest valid=0.5 test=0.6": "together below 1",
        "forest tree=10": "trees=",
    }.items():
        result = rung("train", *words.split())
        assert result.code == 2, words
        assert found in " ".join(result.err.split()), words
