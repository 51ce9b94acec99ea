"""Points and regions: nothing hidden, nothing heavy, and the words count what the picture shows."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
import torch

from rungbook.plot.plane import BYTES, LEAST, POINTS, decision_boundary, look, scatter
from rungbook.plot.style import CLASSES


def blobs(n: int, k: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, k, n)
    angle = 2 * np.pi * y / k
    return np.stack([4 * np.cos(angle), 4 * np.sin(angle)], 1) + rng.normal(0, 0.5, (n, 2)), y


def nearest(centres: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """A classifier by distance to the centres, as probabilities."""

    def predict(x: np.ndarray) -> np.ndarray:
        score = np.exp(-((x[:, None] - centres) ** 2).sum(-1))
        return (score + 1e-30) / (score + 1e-30).sum(1, keepdims=True)

    return predict


def test_every_class_has_its_colour_and_shape() -> None:
    assert len({look(k) for k in range(40)}) == 40
    assert len({look(k)[0] for k in range(10)}) == 10 == len({look(k)[1] for k in range(10)})
    x, y = blobs(300, 3)
    picture = scatter(x[:, 0], x[:, 1], classes=y, names=["cat", "dog", "fox"], x_name="width", y_name="height")
    text = str(picture.data)
    shapes = set(re.findall(r'href="(#[\w-]+)"', text))
    assert len(shapes) >= 3, "shape tells them apart as well"
    for name, colour in zip(("cat", "dog", "fox"), CLASSES, strict=False):
        assert name in text
        assert colour in text
    n = np.bincount(y)
    assert picture.alt.startswith("300 points, in 3 classes. Width goes from")
    for name, count in zip(("cat", "dog", "fox"), n, strict=True):
        assert f"“{name}” {count} around (" in picture.alt


def test_many_points_are_thinned_and_no_class_is_lost() -> None:
    x, y = blobs(30_000, 4)
    y[:] = np.where(y == 3, 2, y)
    y[:25] = 3  # a rare one
    picture = scatter(x[:, 0], x[:, 1], classes=y)
    drawn = str(picture.data).count("<use ")
    assert POINTS - 5 <= drawn <= POINTS + LEAST + 50
    assert "30,000 points" in picture.alt
    assert "“3” 25 around" in picture.alt
    rare = re.findall(rf'<g[^>]*fill="var\(--fourth, {CLASSES[3]}\)"[^>]*>(.*?)</g>', str(picture.data))
    assert max(group.count("<use ") for group in rare) == LEAST
    assert len(picture.data) < 60_000


def test_what_is_not_finite_is_said() -> None:
    picture = scatter([1, 2, np.nan, np.inf], [1, 2, 3, 4], classes=[0, -1, 0, 0])
    assert picture.alt.startswith("2 points")
    assert picture.alt.endswith("2 points are not finite and not drawn.")
    assert "“no class” 1" in picture.alt
    assert scatter([], []).alt == "No finite points."
    assert scatter([1], [1]).alt.startswith("1 point.")
    with pytest.raises(ValueError, match="2 x, 3 y"):
        scatter([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="1 classes"):
        scatter([1, 2], [1, 2], classes=[0])


def test_the_same_points_give_the_same_bytes() -> None:
    x, y = blobs(2000, 3)
    predict = nearest(np.stack([x[y == k].mean(0) for k in range(3)]))
    assert decision_boundary(predict, x, y).data == decision_boundary(predict, x.copy(), y.copy()).data
    assert scatter(x[:, 0], x[:, 1], classes=y).data == scatter(x[:, 0], x[:, 1], classes=y).data
    assert decision_boundary(predict, x, y).data != decision_boundary(predict, x, (y + 1) % 3).data


def test_regions_say_how_many_lie_on_their_own_side() -> None:
    x, y = blobs(400, 2)
    predict = nearest(np.array([[4.0, 0.0], [-4.0, 0.0]]))
    picture = decision_boundary(predict, x, y, names=["right", "left"], feature_names=("u", "v"), title="two")
    own = predict(x).argmax(1) == y
    assert f"{own.sum()} of 400 points ({own.mean():.1%}) lie on their own side" in picture.alt
    swapped = decision_boundary(predict, x, 1 - y)
    assert f"{400 - own.sum()} of 400 points" in swapped.alt, "the control"
    unknown = decision_boundary(predict, x, np.where(np.arange(400) < 100, y, -1))
    assert f"{own[:100].sum()} of 100 points" in unknown.alt


def test_the_line_of_two_classes_is_where_both_are_equally_likely() -> None:
    x, y = blobs(200, 2)
    edge = 1.0

    def predict(points: np.ndarray) -> torch.Tensor:
        first = torch.sigmoid(torch.from_numpy(3 * (points[:, 0] - edge)))
        return torch.stack([first, 1 - first], 1).requires_grad_()

    text = str(decision_boundary(predict, x, y).data)
    lines = re.findall(r'<path d="([^"]+)"[^>]*stroke="currentColor"[^>]*stroke-width="0.9"', text) or re.findall(
        r'<path (?=[^>]*stroke="currentColor")(?=[^>]*stroke-width="0.9")[^>]*d="([^"]+)"', text
    )
    assert len(lines) == 1
    at = [float(v) for v in re.findall(r"[ML] ?(-?[\d.]+)", lines[0])]
    assert max(at) - min(at) < 0.5, "an upright line"


@pytest.mark.parametrize("classes", [2, 6])
def test_ragged_regions_stay_light(classes: int) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(4000, 2)), rng.integers(0, classes, 4000)

    def noise(points: np.ndarray) -> np.ndarray:
        shares = np.random.default_rng(len(points)).random((len(points), classes)) ** 8
        return shares / shares.sum(1, keepdims=True)

    assert len(decision_boundary(noise, x, y).data) <= BYTES


def test_what_a_classifier_gives_is_checked() -> None:
    x, y = blobs(50, 2)
    for wrong in (lambda p: p[:, 0], lambda p: p[:10], lambda p: p[:, :1]):
        with pytest.raises(ValueError, match="predict gave"):
            decision_boundary(wrong, x, y)
    with pytest.raises(ValueError, match=r"\(50, 3\), needed \(n, 2\)"):
        decision_boundary(nearest(np.zeros((2, 2))), np.zeros((50, 3)), y)
    holes = decision_boundary(lambda p: np.full((len(p), 2), np.nan), x, y)
    assert len(holes.data) > 1000
    assert decision_boundary(nearest(np.zeros((2, 2))), np.zeros((0, 2)), []).alt == "No finite points."


def test_names_that_begin_with_an_underscore_are_in_the_legend() -> None:
    picture = scatter([0, 1], [0, 1], classes=[0, 1], names=["_noise_", "word"])
    assert "_noise_" in str(picture.data)


def test_a_classifier_that_gives_no_numbers_is_right_nowhere() -> None:
    picture = decision_boundary(lambda at: np.full((len(at), 2), np.nan), [[0, 0], [1, 1]], [0, 0])
    assert "0 of 2 points (0.0%)" in picture.alt
