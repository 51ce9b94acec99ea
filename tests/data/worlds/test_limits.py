"""Every limit of the worlds of points and tables against a computation of another kind."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from rungbook.data.worlds.bands import Bands
from rungbook.data.worlds.density import Density
from rungbook.data.worlds.registry import make_world


def grid(low: float, high: float, m: int, *, low2: float | None = None, high2: float | None = None) -> tuple[np.ndarray, float]:
    """Midpoints of m x m cells, (m * m, 2), and the area of a cell."""
    a = low + (np.arange(m) + 0.5) * (high - low) / m
    low2, high2 = low if low2 is None else low2, high if high2 is None else high2
    b = low2 + (np.arange(m) + 0.5) * (high2 - low2) / m
    return np.stack(np.meshgrid(a, b, indexing="ij"), -1).reshape(-1, 2), (high - low) * (high2 - low2) / m**2


def blob_densities(classes: int, sd: float, x: np.ndarray) -> np.ndarray:
    """Density of each class at x, (n, classes)."""
    turn = [np.exp(1j * (np.pi / 4 + 2 * np.pi * k / classes)) * np.sqrt(2) for k in range(classes)]
    return np.stack([stats.norm.pdf(x[:, 0], c.real, sd) * stats.norm.pdf(x[:, 1], c.imag, sd) for c in turn], axis=1)


@pytest.mark.parametrize(("classes", "sd"), [(2, 0.8), (2, 3.0), (3, 0.5), (4, 0.8), (5, 0.3), (7, 1.0), (10, 0.4)])
def test_blobs_by_integration_over_the_plane(classes: int, sd: float):
    x, area = grid(-2 - 7 * sd, 2 + 7 * sd, 700)
    joint = blob_densities(classes, sd, x) / classes
    total = joint.sum(1, keepdims=True)
    accuracy = joint.max(1).sum() * area
    entropy = -(joint * np.log(np.maximum(joint, 1e-300) / np.maximum(total, 1e-300))).sum() * area
    limits = make_world(f"blobs(classes={classes}, sd={sd})").limits()
    assert limits["accuracy"].value == pytest.approx(accuracy, abs=2e-5)  # the seams between classes cut through cells
    assert limits["balanced_accuracy"] == limits["accuracy"]
    assert limits["log_loss"].value == pytest.approx(entropy, abs=1e-7)
    assert max(limit.error for limit in limits.values()) < 1e-7


def test_blobs_where_there_is_a_closed_form():
    default = make_world("blobs")
    assert default.limit("accuracy").value == pytest.approx(stats.norm.cdf(math.sqrt(2) / 0.8), abs=1e-14)
    assert round(default.limit("accuracy").value, 4) == 0.9615
    for sd in (0.3, 0.8, 2.0):  # four quadrants: both coordinates must have the right sign
        assert make_world(f"blobs(classes=4, sd={sd})").limit("accuracy").value == pytest.approx(stats.norm.cdf(1 / sd) ** 2, abs=1e-8)
    wide = make_world("blobs(classes=6, sd=1e5)").limits()
    assert wide["accuracy"].value == pytest.approx(1 / 6, abs=1e-4)
    assert wide["log_loss"].value == pytest.approx(math.log(6), abs=1e-4)


@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("bayes", [0.55, 0.9, 0.999])
def test_blobs_have_the_accuracy_asked_for(classes: int, bayes: float):
    world = make_world(f"blobs(classes={classes}, bayes={bayes})")
    assert world.limit("accuracy").value == pytest.approx(bayes, abs=1e-9)
    drawn = world.sample(40_000, 1)
    nearest = blob_densities(classes, 1.0, drawn.x).argmax(1)
    assert abs((nearest == drawn.y).mean() - bayes) < 3 * math.sqrt(bayes * (1 - bayes) / 40_000)


def in_moon(x: np.ndarray, k: int, w: float) -> np.ndarray:
    r = np.hypot(x[:, 0] - k, x[:, 1] - k / 2)
    return (np.abs(r - 1) <= w) & ((x[:, 1] >= 0) if k == 0 else (x[:, 1] <= 0.5))


def in_arm(x: np.ndarray, k: int, w: float, arms: int, turns: float) -> np.ndarray:
    r, phi = np.hypot(*x.T), np.arctan2(x[:, 1], x[:, 0]) / (2 * np.pi)
    found = np.zeros(len(x), bool)
    for m in range(-3, 9):
        t = (phi - k / arms + m) / turns
        found |= (t >= 0.2) & (t <= 1) & (np.abs(r - 3 * t) <= w)
    return found


SHAPES = {
    "moons": lambda x, k, w: in_moon(x, k, w),
    "circles": lambda x, k, w: np.abs(np.hypot(*x.T) - (1.0, 0.5)[k]) <= w,
    "circles(inner=0.8)": lambda x, k, w: np.abs(np.hypot(*x.T) - (1.0, 0.8)[k]) <= w,
    "spirals": lambda x, k, w: in_arm(x, k, w, 2, 1.5),
    "spirals(arms=5, turns=2)": lambda x, k, w: in_arm(x, k, w, 5, 2.0),
}
"""World -> whether points lie in the band of width w of class k."""


@pytest.mark.parametrize("name", SHAPES)
def test_bands_touch_at_the_largest_width_and_not_before(name: str):
    world = make_world(name)
    assert isinstance(world, Bands)
    member, most = SHAPES[name], world.most_width()
    drawn = world.sample(3000, 1)
    own = np.stack([member(drawn.x.astype(float), k, world.reach + 1e-6) for k in range(world.count)], axis=1)
    assert (own.sum(1) == 1).all()
    assert (own.argmax(1) == drawn.hidden["clean"]).all()
    x, _ = grid(-3.6, 3.6, 700)
    for factor, touch in ((0.995, False), (1.02, True)):
        shared = sum(member(x, k, factor * most).astype(int) for k in range(world.count)) > 1
        assert shared.any() == touch, f"at {factor} of the largest width {shared.sum()} cells belong to two classes"


@pytest.mark.parametrize("name", ["moons(flip=0.1)", "circles(flip=0.0)", "spirals(arms=4, flip=0.3)"])
def test_wrong_labels_are_as_many_as_stated_and_go_to_every_other_class(name: str):
    world = make_world(name)
    assert isinstance(world, Bands)
    drawn, K, flip = world.sample(60_000, 1), world.count, world.flip
    counts = np.zeros((K, K))
    np.add.at(counts, (drawn.hidden["clean"], drawn.y), 1)
    expected = np.where(np.eye(K, dtype=bool), 1 - flip, flip / (K - 1))
    share = counts / counts.sum(1, keepdims=True)
    assert np.abs(share - expected).max() <= 4 * math.sqrt(0.25 / 60_000 * K)
    assert world.limit("log_loss").value == pytest.approx(float(stats.entropy(expected[0])), abs=1e-12)
    assert world.limit("accuracy").value == 1 - flip == world.limit("balanced_accuracy").value


def test_curves_by_quadrature_and_by_hand():
    nodes, weights = np.polynomial.hermite_e.hermegauss(30)
    weights = weights / weights.sum()
    for weight in [(5.0, 1.2, -3.4, 5.6), (1.0,), (0.0, 0.0, 0.0, 0.0, 0.0, 3.0)]:
        mean = sum(w * nodes**i / math.factorial(i) for i, w in enumerate(weight))
        spread = weights @ np.square(mean - weights @ mean)
        assert make_world(f"polynomial(weights={weight})").limit("r2").value == pytest.approx(1 - 0.01 / (spread + 0.01), abs=1e-9)
    x = np.linspace(0, 5, 2_000_001)
    spread = (2 * np.sin(x) + x**0.8).var()
    assert make_world("sinusoid").limit("r2").value == pytest.approx(1 - 0.25 / (0.25 + spread), abs=1e-6)
    x = np.linspace(-10, 10, 2_000_001)
    assert make_world("parabola").limit("r2").value == pytest.approx(1 - 25 / (25 + (3 * x**2 + 2).var()), abs=1e-6)
    assert make_world("line(weights=(0.01,), features=200, noise=0.01)").limit("r2").value == pytest.approx(1 - 1 / 201, abs=1e-12)
    for name, noise in (("polynomial", 0.1), ("sinusoid", 0.5), ("parabola", 5.0), ("line", 1.0)):
        limits = make_world(name).limits()
        assert limits["root_mean_squared_error"].value == noise
        assert limits["mean_squared_error"].value == pytest.approx(noise**2, abs=1e-15)
        assert limits["mean_absolute_error"].value == pytest.approx(noise * stats.halfnorm.mean(), abs=1e-12)


def test_cars_noise_by_integration():
    noise = stats.gamma(2.5, loc=-2.5 * math.sqrt(18.677 / 2.5), scale=math.sqrt(18.677 / 2.5))
    assert noise.mean() == pytest.approx(0, abs=1e-12)
    assert noise.var() == pytest.approx(18.677, abs=1e-9)
    limits = make_world("cars").limits()
    assert limits["mean_absolute_error"].value == pytest.approx(noise.expect(lambda e: abs(e - noise.median())), abs=1e-5)
    assert limits["r2"].value == pytest.approx(1 - 18.677 / (18.677 + 6.487**2), abs=1e-12)
    assert limits["root_mean_squared_error"].value == pytest.approx(4.3217, abs=1e-4)


def test_houses_by_simulating_the_noise_of_single_houses():
    for noise, gap in ((0.12, 0.0), (0.3, 0.4)):
        world = make_world(f"houses(noise={noise}, missing={gap})")
        drawn = world.sample(4000, 7)
        mean, sd = drawn.hidden["mean"][:, None], drawn.hidden["sd"][:, None]
        prices = np.exp(mean + sd * np.random.default_rng(3).standard_normal((4000, 500)))
        limits = world.limits()
        squares = prices.var(1, ddof=1)
        logs = np.log1p(prices).var(1, ddof=1)
        distances = np.abs(prices - np.median(prices, axis=1, keepdims=True)).mean(1)
        for metric, values in (("mean_squared_error", squares), ("mean_absolute_error", distances)):
            assert abs(values.mean() - limits[metric].value) < 3.5 * values.std() / math.sqrt(4000), metric
        found = limits["root_mean_squared_log_error"]
        assert abs(logs.mean() - found.value**2) < 3.5 * logs.std() / math.sqrt(4000)
        by_hand = math.sqrt((1 - gap) * noise**2 + gap * (noise**2 + 0.08**2))  # of log, not log1p
        assert found.value == pytest.approx(by_hand, rel=1e-4)
        assert found.value < by_hand
        assert limits["root_mean_squared_error"].value == pytest.approx(math.sqrt(limits["mean_squared_error"].value))
        assert limits["r2"].value == pytest.approx(1 - squares.mean() / prices.var(), abs=0.01)


def test_the_error_of_a_simulated_limit_is_as_large_as_it_says(monkeypatch: pytest.MonkeyPatch):
    from rungbook.data.worlds import houses

    found: dict[str, list[float]] = {}
    said: dict[str, float] = {}
    monkeypatch.setattr(houses, "DRAWS", 2000)
    original = np.random.default_rng
    for seed in range(60):
        monkeypatch.setattr(np.random, "default_rng", lambda _, seed=seed: original([seed, 11]))
        for metric, limit in houses._limits.__wrapped__(0.2, 0.3):
            found.setdefault(metric, []).append(limit.value)
            said[metric] = limit.error
    for metric in ("mean_squared_error", "root_mean_squared_error", "mean_absolute_error", "r2"):
        assert said[metric] == pytest.approx(np.std(found[metric]), rel=0.4), metric  # 60 repeats know a deviation to 9 %


@pytest.mark.parametrize("modes", [1, 5])
def test_a_density_integrates_to_one_and_has_the_entropy_stated(modes: int):
    world = make_world(f"density(modes={modes})")
    assert isinstance(world, Density)
    x, area = grid(-7.5, 7.5, 700, low2=-5.0, high2=23.0)
    log = world.log_density(x)
    assert np.exp(log).sum() * area == pytest.approx(1, abs=1e-6)
    assert -(np.exp(log) * log).sum() * area == pytest.approx(world.limit("log_loss").value, abs=1e-5)


def test_samples_of_the_density_lie_where_it_says():
    world = make_world("density")
    assert isinstance(world, Density)
    x, area = grid(-4.5, 4.5, 450)
    expected = np.exp(world.log_density(x)).reshape(30, 15, 30, 15).sum((1, 3)) * area  # 30 x 30 squares
    drawn = world.sample(50_000, 1).x
    counts, *_ = np.histogram2d(*drawn.T, bins=30, range=[(-4.5, 4.5)] * 2)
    many = expected > 20 / 50_000
    squares = np.square(counts[many] - 50_000 * expected[many]) / (50_000 * expected[many])
    assert many.sum() > 100
    assert stats.chi2.sf(squares.sum(), many.sum()) > 1e-3
