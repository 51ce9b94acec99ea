"""Impossible parameters are refused, and the way out that is offered works."""

from __future__ import annotations

import re

import pytest

from rungbook.data.worlds.registry import make_world
from rungbook.errors import UsageError

IMPOSSIBLE = {
    "line(weights=())": "empty",
    "line(noise=-1.0)": "0 or more",
    "line(weights=(1.0, 1e999))": "finite",
    "line(weights=(1, 2), features=3)": "a single weight",
    "line(features=-1)": "a single weight",
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
