"""Impossible parameters are refused, and the way out that is offered works."""

from __future__ import annotations

import re

import pytest

from rungbook.data.load import load_data
from rungbook.data.worlds.registry import make_world
from rungbook.errors import DataError, UsageError

IMPOSSIBLE = {
    "line(weights=())": "empty",
    "line(noise=-1.0)": "0 or more",
    "line(weights=(1.0, 1e999))": "finite",
    "line(weights=(1, 2), features=3)": "one weight can stand",
    "line(features=-1)": "one weight can stand",
    "polynomial(degree=0)": "1 to 20",
    "polynomial(degree=21)": "1 to 20",
    "polynomial(weights=())": "1 to 21",
    "polynomial(noise=-0.1)": "0 or more",
    "sinusoid(high=0.0)": "high above 0",
    "sinusoid(power=-1.0)": "0 or more",
    "sinusoid(power=9)": "above 5",
    "sinusoid(frequency=1e6)": "100 at most",
    "parabola(reach=-1.0)": "reach above 0",
    "parabola(curvature=1e999)": "finite",
    "houses(noise=3)": "0 to 1",
    "houses(missing=0.95)": "0 to 0.9",
    "blobs(classes=1)": "2 to 10",
    "blobs(classes=11)": "2 to 10",
    "blobs(sd=0)": "0.01",
    "blobs(sd=-1)": "0.01",
    "blobs(bayes=0.5)": "above 0.5000",
    "blobs(bayes=0.3)": "above 0.5000",
    "blobs(bayes=1)": "below 1",
    "blobs(bayes=1.2)": "below 1",
    "blobs(classes=4, bayes=0.25)": "4 blobs can have any best accuracy above 0.25000",
    "blobs(classes=3, sd=0.5, bayes=0.9)": "give one of them",
    "moons(width=0.375)": "below that",
    "moons(width=-0.1)": "0 or more",
    "moons(flip=0.6)": "0 to 0.5",
    "moons(flip=-0.1)": "0 to 0.5",
    "circles(inner=1.0)": "above 0 and below 1",
    "circles(inner=0.9, width=0.1)": "0.05 touch",
    "circles(width=0.25)": "0.25 touch",
    "spirals(arms=1)": "2 to 10",
    "spirals(arms=4, width=0.3)": "0.25 touch",
    "spirals(turns=0.1)": "0.5 to 5",
    "spirals(turns=5, width=0.2)": "0.15 touch",
    "spirals(arms=3, flip=0.7, width=0.1)": "0.6667",
    "density(modes=0)": "1 to 12",
    "blobs(n=9)": "nothing to split",
    "blobs(n=1000000000000)": "10,000,000 samples at most",
    "shapes(n=10000000, side=128)": "8 at most",
    "line(weights=(1.0,), features=100000000)": "1 to 10,000 features",
    "line(noise=1e200)": "squared in float32",
    "line(bias=1e9)": "float32 rounds it away",
    "polynomial(weights=(1e6, 0.01), noise=0.01)": "float32 rounds it away",
    "sinusoid(amplitude=1e300)": "squared in float32",
    "sinusoid(high=1e300, frequency=0.0)": "squared in float32",
    "parabola(reach=1e200)": "squared in float32",
    "parabola(offset=1e12)": "float32 rounds it away",
    "density(modes=13)": "1 to 12",
}
"""What nothing can satisfy -> what the message says is possible."""


@pytest.mark.parametrize("text", IMPOSSIBLE)
def test_refused_with_what_is_possible_and_a_fix_that_works(text: str):
    with pytest.raises(UsageError) as caught:
        make_world(text)
    error = caught.value
    assert error.code == "E202"
    assert IMPOSSIBLE[text] in error.message
    offered = re.search(r'"(world:.+)"', error.fix)
    assert offered, error.fix
    world = make_world(offered.group(1))
    world.sample(20)
    world.limits()


@pytest.mark.parametrize(
    "text",
    [
        "blobs(classes=10, bayes=0.11)",
        "blobs(bayes=0.500001)",
        "blobs(bayes=0.999999999)",
        "blobs(classes=7, sd=0.01)",
        "moons(width=0.3749)",
        "moons(width=0, flip=0.5)",
        "circles(width=0)",
        "spirals(arms=10, turns=5, width=0.029)",
        "polynomial(degree=20)",
        "polynomial(weights=[1])",
        "line(noise=0)",
        "houses(noise=0, missing=0)",
        "circles(inner=0.9)",
        "spirals(arms=10, turns=5)",
        "density(modes=1)",
        "sinusoid(frequency=0, power=0)",
    ],
)
def test_what_is_barely_possible_is_accepted(text: str):
    world = make_world(text)
    assert len(world.sample(20).x) == 20
    assert world.limits()
    hash(world)


def test_seeds_below_0_are_refused():
    with pytest.raises(UsageError, match="seed is -1"):
        make_world("blobs").sample(10, seed=-1)


@pytest.mark.parametrize("name", ["cars", "shapes"])
def test_too_few_samples_are_told_how_to_get_more(name: str):
    with pytest.raises(DataError, match="E113") as caught:
        load_data(f"world:{name}(n=10)")
    offered = re.search(r"world:.+", caught.value.fix)
    assert offered, caught.value.fix
    assert len(load_data(offered.group()).train.source) > 100


def test_a_parameter_given_twice_is_refused():
    with pytest.raises(UsageError, match="E202"):
        make_world("blobs(classes=4, classes=5)")


def test_a_large_constant_does_not_swallow_the_spread():
    """A constant adds nothing to the variance; the difference of two large numbers has lost it."""
    plain, lifted = (make_world(f"polynomial(weights=({c}, 1.0), noise=1.0)").limit("r2").value for c in (0.0, 999_000.0))
    assert lifted == plain == pytest.approx(0.5, abs=1e-12)
