"""What holds for every world of the table."""

from __future__ import annotations

import dataclasses
import math
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rungbook.data.load import load_data
from rungbook.data.worlds.registry import WORLDS, make_world, world_class
from rungbook.data.worlds.samples import TEST_SAMPLES
from rungbook.data.worlds.world import Limit, Sample, World
from rungbook.errors import UsageError
from rungbook.plot.style import Picture

N = 60


@pytest.fixture(scope="module", params=sorted(WORLDS))
def world(request: pytest.FixtureRequest) -> World:
    return make_world(request.param)


def equal(a: Any, b: Any) -> bool:
    """Whether two samples, or parts of them, are the same to the last bit."""
    if isinstance(a, Sample):
        return equal([a.x, a.y, a.hidden], [b.x, b.y, b.hidden])
    if isinstance(a, pd.DataFrame):
        return a.equals(b)
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    if isinstance(a, dict):
        return list(a) == list(b) and all(equal(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    return bool(a == b)


def test_the_same_seed_gives_the_same_samples_and_another_seed_others(world: World):
    first = world.sample(N, 3)
    assert equal(first, world.sample(N, 3))
    assert not equal(first.x, world.sample(N, 4).x)
    assert not equal(first.x, make_world(str(world)).sample(N).x)  # the default seed is none of the two
    assert len(first.x) >= N * 0.9, "as many as were asked for"


def test_a_seed_means_other_numbers_in_every_world():
    drawn = [make_world(name).rng(0).random() for name in WORLDS]
    assert len(set(drawn)) == len(WORLDS)


def test_it_is_written_as_it_is_read(world: World):
    assert str(world) == f"world:{world.name}"
    changed = dataclasses.replace(world, n=77)
    assert str(changed) == f"world:{world.name}(n=77)"
    assert make_world(str(changed)) == changed
    assert type(world) is world_class(world.name)
    assert WORLDS[world.name][0].endswith(":" + type(world).__name__)


def test_every_limit_is_a_number_with_an_error_and_how_it_was_found(world: World):
    limits = world.limits()
    assert limits
    for metric, limit in limits.items():
        assert isinstance(limit, Limit)
        assert math.isfinite(limit.value), metric
        assert 0 <= limit.error < math.inf, metric
        assert limit.how, metric
        assert limit == world.limit(metric)
        if limit.how != "closed form":
            assert limit.error >= 0, metric
        if metric in ("accuracy", "balanced_accuracy", "r2"):
            assert limit.value <= 1, metric
    with pytest.raises(UsageError, match=r"E201 .*BLEU"):
        world.limit("BLEU")


def test_what_limits_returns_belongs_to_the_caller(world: World):
    world.limits().clear()
    assert world.limits()


def test_it_has_a_picture_in_words_too(world: World):
    picture = world.picture()
    assert isinstance(picture, Picture)
    assert len(picture.alt) > 20
    assert world.picture() == picture


def test_too_few_samples_are_refused_with_a_way_out(world: World):
    with pytest.raises(UsageError, match="E202") as caught:
        make_world(f"{world.name}(n=3)")
    make_world(re.search(r'"(world:.+)"', caught.value.fix).group(1))  # type: ignore[union-attr]


def test_it_becomes_data_with_its_limit(world: World):
    if world.kind == "":
        with pytest.raises(UsageError, match="E116") as caught:
            load_data(str(world))
        assert f'make_world("{world.name}").sample(100)' in caught.value.fix
        return
    if world.kind not in ("array", "table"):
        pytest.skip(f"data of kind {world.kind} is tested beside its world")
    data = load_data(str(world), seed=5)
    again, other = load_data(str(world), seed=5), load_data(str(world), seed=6)
    assert data.fingerprint == again.fingerprint != other.fingerprint
    assert data.facts["limit"] == {metric: limit.value for metric, limit in world.limits().items()}
    assert data.facts["limit_error"].keys() == data.facts["limit"].keys()
    assert (data.task, data.classes) == (world.task, world.class_names)
    assert data.valid is not None
    assert data.test is not None
    assert len(data.train.source) + len(data.valid.source) == world.n
    assert len(data.test.source) == TEST_SAMPLES[world.kind]
    assert not [f for f in data.findings if f.code != "note"], "the audit has something against it"


def test_no_test_sample_is_one_of_train_or_valid():
    data = load_data("world:line(n=2000)", seed=3)
    assert data.valid is not None
    assert data.test is not None
    seen, new = ({x.item() for source in part for x in source.x} for part in ([data.train.source, data.valid.source], [data.test.source]))
    assert len(seen) > 1990
    assert len(seen & new) < 5, "rounded to float32 a few meet by chance"


def test_more_features_than_samples():
    data = load_data("world:line(n=40, weights=[0.01], features=200, bias=0.05, noise=0.01)", valid=0.5)
    x, y = data.one_batch(100)
    assert (tuple(x.shape), tuple(y.shape)) == ((20, 200), (20, 1))
    assert data.facts["limit"]["root_mean_squared_error"] == 0.01


def test_unknown_worlds_and_parameters_are_named():
    with pytest.raises(UsageError, match=r"E201 .*world:blobs"):
        make_world("world:blob")
    with pytest.raises(UsageError, match=r"E201 .*classes=\.\.\."):
        make_world("blobs(class_=3)")
    for text in ("blobs(classes=2.5)", "blobs(classes=True)", "blobs(bayes='high')", "line(weights=3)", "moons(n='many')"):
        with pytest.raises(UsageError, match="E202"):
            make_world(text)
