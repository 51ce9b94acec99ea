"""Pictures of watched layers: what they say and show, of many layers, of numbers that are not finite."""

from __future__ import annotations

import base64
import io
import math
import re
from dataclasses import dataclass, field
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from rungbook.plot.activations import activation_pictures, dead_shares, histograms, means_and_deviations, some
from rungbook.plot.style import Picture

covers = ["I13"]


@dataclass
class Layer:
    """A layer's record, as the learner gives it."""

    steps: list[int] = field(default_factory=lambda: [0, 1, 2, 3])
    mean: list[float] = field(default_factory=lambda: [0.0, 0.1, 0.2, 0.3])
    std: list[float] = field(default_factory=lambda: [1.0, 0.9, 0.8, 0.7])
    dead: list[float] = field(default_factory=lambda: [0.5, 0.5, 0.6, 0.75])
    histogram: list[list[float]] = field(default_factory=lambda: [[0.0, 0.1, 0.9, 0.0]] * 3 + [[1.0, 0.0, 0.0, 0.0]])
    low: float = -2.0
    high: float = 2.0


def bitmap(picture: Picture) -> np.ndarray:
    """The first histogram's pixels, (bins, rows, 4), bottom bin first."""
    found = re.search(r"data:image/png;base64,\s*([^\"]+)", str(picture.data))
    assert found
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(found[1]))).convert("RGBA"))


def test_what_is_said_comes_from_the_data() -> None:
    layers = {"conv1": Layer(), "fc": Layer(mean=[5.0, 4.0, 3.0, 2.0])}
    means, dead, hist = activation_pictures(layers)
    assert "of 2 layers. conv1: mean 0 to 0.3, deviation 1 to 0.7; fc: mean 5 to 2, deviation 1 to 0.7." in means.alt
    assert "conv1: 0.5 to 0.75" in dead.alt
    assert "conv1: nine tenths lie from -1 to 1 at first, from -2 to -1 in the end" in hist.alt
    for picture in (means, dead, hist):
        root = ElementTree.fromstring(str(picture.data))  # an attribute without a name space would not be read
        assert root.get("aria-label") == picture.alt
        assert "style=" not in str(picture.data)
        assert "currentColor" in str(picture.data)
    assert activation_pictures({}) == []


def test_colours_follow_the_shares_and_empty_bins_are_transparent() -> None:
    picture = histograms({"a": Layer(histogram=[[1e-3, 0.0, 0.1, 0.9]] * 4)})
    pixels = bitmap(picture)
    assert pixels.shape == (4, 4, 4)
    column = pixels[:, 0]
    assert column[:, 3].tolist() == [255, 0, 255, 255]
    assert len({tuple(c) for c in column.tolist()}) == 4
    factor = re.search(r"matrix\(([\d.]+) ", str(picture.data))
    assert factor
    assert len(factor[1].partition(".")[2]) > 2, "rounded to tenths, 64 bins would be off by several points"


def test_bins_beyond_the_used_ones_take_no_room() -> None:
    shares = [0.0] * 20 + [0.5, 0.5] + [0.0] * 20
    assert bitmap(histograms({"a": Layer(histogram=[shares] * 4)})).shape[0] <= 4, "of 42"


def test_of_many_layers_some_are_shown_and_counted() -> None:
    layers = {f"blocks.{i}.conv": Layer() for i in range(40)}
    assert list(some(layers, 5)) == ["blocks.0.conv", "blocks.10.conv", "blocks.20.conv", "blocks.29.conv", "blocks.39.conv"]
    for picture, shown in ((means_and_deviations(layers), 6), (dead_shares(layers), 6), (histograms(layers), 11)):
        assert f"of {shown} of 40 layers" in picture.alt
        assert "blocks.0.conv" in picture.alt
        assert "blocks.39.conv" in picture.alt
        assert len(picture.alt) < 700


@pytest.mark.filterwarnings("error")
def test_what_is_not_finite_or_one_step_long() -> None:
    nan = math.nan
    broken = Layer(
        mean=[0.0, nan, nan, nan], std=[1.0, math.inf, nan, nan], dead=[nan] * 4, histogram=[[0.5, 0.5, 0.0, 0.0], *[[0.0] * 4] * 3]
    )
    means, dead, hist = activation_pictures({"a": broken})
    assert "mean 0 (not finite in 3 places)" in means.alt
    assert "a: not finite" in dead.alt
    assert "nowhere (not finite) in the end" in hist.alt
    short = Layer([0], [0.1], [1.0], [0.0], [[0.25] * 4])
    assert "mean 0.1, deviation 1" in activation_pictures({"a": short})[0].alt


def test_a_strangers_name_is_a_name() -> None:
    picture = means_and_deviations({"<script>\u202ex$a$": Layer()})
    assert "<script>" not in str(picture.data)
    assert "\u202e" not in picture.alt
