"""Strong models reach the limits on new samples, and nothing goes beyond them.

Models learn from `LEARN` samples and are judged, against the best rule on the same samples, on `FRESH` new ones. How near the best of them
must come (`slack`, in the mean loss) is what learning from finitely many samples costs it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from odds import SIGMAS, check_limit, check_model, check_reached, losses
from scipy import stats
from sklearn.compose import TransformedTargetRegressor, make_column_transformer
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.mixture import GaussianMixture
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KernelDensity, KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, PolynomialFeatures, SplineTransformer, StandardScaler
from sklearn.svm import SVC

from rungbook.data.worlds.blobs import Blobs
from rungbook.data.worlds.density import Density
from rungbook.data.worlds.registry import make_world

LEARN, FRESH = 4000, 20_000

NUMBERS: dict[str, tuple[Any, float]] = {
    "line": (LinearRegression(), 2 / LEARN),
    "line(weights=(2, -3.4), bias=4.2, noise=0.01)": (LinearRegression(), 3 / LEARN),
    "line(weights=(0.01,), features=200, bias=0.05, noise=0.01)": (Ridge(alpha=1e-3), 201 / LEARN),
    "polynomial": (LinearRegression(), 4 / LEARN),
    "polynomial(degree=8)": (make_pipeline(StandardScaler(), LinearRegression()), 9 / LEARN),
    "sinusoid": (make_pipeline(SplineTransformer(12), Ridge(alpha=1e-3)), 15 / LEARN),
    "parabola": (make_pipeline(PolynomialFeatures(2), LinearRegression()), 3 / LEARN),
}
"""World -> a model of its form, and how many parameters a sample it fits: what that costs, in variances of the noise."""


def beside() -> dict[str, Any]:
    """Models of no particular form."""
    return {
        "boosting": HistGradientBoostingRegressor(max_iter=60, random_state=0),
        "neighbours": make_pipeline(StandardScaler(), KNeighborsRegressor(30)),
        "ridge": Ridge(alpha=1.0),
    }


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers(name: str):
    world = make_world(name)
    known, new = world.sample(LEARN, 1), world.sample(FRESH, 2)
    model, share = NUMBERS[name]
    answers = {"own form": model.fit(known.x, known.y[:, 0]).predict(new.x)}
    if new.x.shape[1] < 10:
        answers |= {k: m.fit(known.x, known.y[:, 0]).predict(new.x) for k, m in beside().items()}
    for metric in ("root_mean_squared_error", "mean_absolute_error"):
        limit, best = world.limit(metric), losses(metric, new.y, new.hidden["mean"])
        check_limit(metric, limit, best)
        behind = {k: check_model(k, metric, losses(metric, new.y, answer), best) for k, answer in answers.items()}
        check_reached(metric, behind, 4 * share * best.mean())
    r2 = 1 - np.mean((new.y[:, 0] - new.hidden["mean"]) ** 2) / new.y.var()
    assert world.limit("r2").value == pytest.approx(r2, abs=4 * (1 - r2) * math.sqrt(2 / FRESH) * 2 + 1e-6)


CLASSES = ["blobs", "blobs(classes=5, bayes=0.8)", "blobs(classes=10, sd=0.2)", "moons", "circles(flip=0.2)", "spirals(arms=3)"]


def class_answers(world: Any, known: Any, new: Any) -> dict[str, np.ndarray]:
    """Probabilities on new samples of a handful of models that learned from the known ones."""
    models = {
        "logistic": LogisticRegression(),
        "quadratic": QuadraticDiscriminantAnalysis(),
        "naive": GaussianNB(),
        "neighbours": KNeighborsClassifier(60),
        "boosting": HistGradientBoostingClassifier(max_iter=20, max_leaf_nodes=12, random_state=0),
    }
    answers = {k: m.fit(known.x, known.y).predict_proba(new.x) for k, m in models.items()}
    half, K = LEARN // 2, len(world.class_names)
    svm = SVC(gamma=4.0).fit(known.x[:half], known.y[:half])
    wrong = (svm.predict(known.x[half:]) != known.y[half:]).mean()  # as sure of each answer as it is right on the other half
    answers["svm"] = np.where(np.eye(K, dtype=bool)[svm.predict(new.x)], 1 - wrong, wrong / (K - 1))
    return answers


def best_class_rule(world: Any, new: Any) -> np.ndarray:
    """Probabilities by whoever knows the world: (n, classes)."""
    K = len(world.class_names)
    if isinstance(world, Blobs):
        angle = np.pi / 4 + 2 * np.pi * np.arange(K) / K
        normal = [stats.multivariate_normal([math.sqrt(2) * math.cos(a), math.sqrt(2) * math.sin(a)], world.width**2) for a in angle]
        density = np.stack([blob.logpdf(new.x) for blob in normal], axis=1)
        density = np.exp(density - density.max(1, keepdims=True))
        return density / density.sum(1, keepdims=True)
    return np.where(np.eye(K, dtype=bool)[new.hidden["clean"]], 1 - world.flip, world.flip / (K - 1))


@pytest.mark.parametrize("name", CLASSES)
def test_classes(name: str):
    world = make_world(name)
    known, new = world.sample(LEARN, 1), world.sample(FRESH, 2)
    rule, answers = best_class_rule(world, new), class_answers(world, known, new)
    for metric, slack in (("accuracy", 0.001), ("log_loss", 0.003)):
        best = losses(metric, new.y, rule)
        check_limit(metric, world.limit(metric), best)
        behind = {k: check_model(k, metric, losses(metric, new.y, a), best) for k, a in answers.items()}
        check_reached(metric, behind, slack)
    recall = [(rule.argmax(1) == k)[new.y == k].mean() for k in range(rule.shape[1])]
    spread = math.sqrt(0.25 / FRESH)
    assert world.limit("balanced_accuracy").value == pytest.approx(np.mean(recall), abs=SIGMAS * spread)


def test_cars():
    world = make_world("cars")
    known, new = world.sample(LEARN, 1), world.sample(FRESH, 2)
    inputs = ["WGT", "HP"]
    noise = stats.gamma(2.5, loc=-2.5 * math.sqrt(18.677 / 2.5), scale=math.sqrt(18.677 / 2.5))
    answers = {k: m.fit(known.x[inputs], known.x.MPG).predict(new.x[inputs]) for k, m in beside().items()}
    squared = losses("root_mean_squared_error", new.x.MPG, new.hidden["mean"])
    check_limit("root_mean_squared_error", world.limit("root_mean_squared_error"), squared)
    behind = {k: check_model(k, "mse", losses("mean_squared_error", new.x.MPG, a), squared) for k, a in answers.items()}
    check_reached("mse", behind, 3 * 3 / LEARN * 18.677)  # three parameters
    absolute = losses("mean_absolute_error", new.x.MPG, new.hidden["mean"] + noise.median())
    check_limit("mean_absolute_error", world.limit("mean_absolute_error"), absolute)
    answers["median boosting"] = (
        HistGradientBoostingRegressor(loss="absolute_error", max_iter=100, learning_rate=0.05, max_leaf_nodes=8, random_state=0)
        .fit(known.x[inputs], known.x.MPG)
        .predict(new.x[inputs])
    )
    behind = {k: check_model(k, "mae", losses("mean_absolute_error", new.x.MPG, a), absolute) for k, a in answers.items()}
    check_reached("mae", behind, 0.05)
    assert behind["ridge"] > 0.05, "the mean is not the best answer for absolute errors"
    assert world.limit("r2").value == pytest.approx(1 - squared.mean() / new.x.MPG.var(), abs=0.015)


def test_cars_are_like_the_published_set(real_data: Any):
    real = pd.read_csv(real_data / "auto-mpg" / "cars.csv")
    z = (real.WGT - real.WGT.mean()) / real.WGT.std(ddof=0)
    slope, intercept = np.polyfit(z, real.MPG, 1)
    invented = make_world("cars").sample(200_000, 1)
    assert slope == pytest.approx(-6.487, abs=1e-3)
    assert intercept == pytest.approx(23.446, abs=1e-3)
    assert np.var(real.MPG - intercept - slope * z) == pytest.approx(18.677, abs=1e-3)
    assert invented.x.WGT.mean() == pytest.approx(real.WGT.mean(), abs=8)
    assert invented.x.WGT.std() == pytest.approx(real.WGT.std(), abs=8)
    assert real.WGT.min() <= invented.x.WGT.min() < 1650
    assert 5080 < invented.x.WGT.max() <= real.WGT.max()
    assert invented.x.WGT.skew() == pytest.approx(real.WGT.skew(), abs=0.2)
    assert np.corrcoef(invented.x.WGT, invented.x.HP)[0, 1] == pytest.approx(0.8645, abs=0.003)
    assert invented.x.MPG.min() > 0
    assert invented.x.HP.min() > 31


def house_model(regressor: Any) -> Any:
    """Logarithms of the areas and of the price, a column for each gap, levels as 0/1."""
    logs = make_pipeline(FunctionTransformer(np.log), SimpleImputer(add_indicator=True), PolynomialFeatures(2, include_bias=False))
    columns = make_column_transformer(
        (logs, ["LotFrontage", "LotArea"]),
        (FunctionTransformer(np.log), ["GrLivArea"]),
        (OneHotEncoder(handle_unknown="ignore"), ["Neighborhood", "HouseStyle", "Fence"]),
        remainder="passthrough",
        sparse_threshold=0,
    )
    return TransformedTargetRegressor(make_pipeline(columns, StandardScaler(), regressor), func=np.log, inverse_func=np.exp)


def test_houses():
    world = make_world("houses")
    known, new = world.sample(LEARN, 1), world.sample(FRESH, 2)
    price, mean, sd = new.x.SalePrice, new.hidden["mean"], new.hidden["sd"]
    rules = {
        "root_mean_squared_log_error": np.exp(mean),
        "root_mean_squared_error": np.exp(mean + sd**2 / 2),
        "mean_absolute_error": np.exp(mean),
    }
    models = {"ridge": house_model(Ridge(1.0)), "boosting": house_model(HistGradientBoostingRegressor(max_iter=80, random_state=0))}
    answers = {k: m.fit(known.x.drop(columns="SalePrice"), known.x.SalePrice).predict(new.x) for k, m in models.items()}
    for metric, rule in rules.items():
        best = losses(metric, price, rule)
        check_limit(metric, world.limit(metric), best)
        behind = {k: check_model(k, metric, losses(metric, price, answer), best) for k, answer in answers.items()}
        # 26 columns; and for squared errors of prices exp(mean of the logarithm) is half a variance low
        check_reached(metric, behind, (3 * 26 / LEARN + (0.01 if metric == "root_mean_squared_error" else 0)) * best.mean())
    squared = losses("mean_squared_error", price, rules["root_mean_squared_error"])
    assert world.limit("r2").value == pytest.approx(1 - squared.mean() / price.var(), abs=0.01)


def test_gaps_in_the_houses_say_nothing():
    drawn = make_world("houses").sample(FRESH, 1).x
    for column in ("LotFrontage", "Fence"):
        gap = drawn[column].isna()
        assert gap.mean() == pytest.approx(0.18, abs=0.01)
        for other in ("SalePrice", "LotArea", "OverallQual", "YearBuilt", "GrLivArea"):
            assert stats.ttest_ind(drawn[other][gap], drawn[other][~gap]).pvalue > 1e-3, (column, other)
    assert (drawn.SalePrice > 0).all()
    assert drawn.SalePrice.skew() > 1


def test_density():
    world = make_world("density")
    assert isinstance(world, Density)
    known, chosen_on, new = (world.sample(n, seed).x.astype(float) for n, seed in ((LEARN, 1), (1000, 2), (FRESH // 4, 3)))
    best = -world.log_density(new)
    check_limit("log_loss", world.limit("log_loss"), best)
    makers: dict[str, list[Any]] = {
        "mixture": [GaussianMixture(k, random_state=0) for k in (1, 6, 9, 12)],
        "kernels": [KernelDensity(bandwidth=b) for b in (0.08, 0.15, 0.3)],
    }
    behind = {}
    for name, makes in makers.items():
        model = max((m.fit(known) for m in makes), key=lambda m: m.score_samples(chosen_on).mean())
        behind[name] = check_model(name, "log_loss", -model.score_samples(new), best)
    check_reached("log_loss", behind, 0.03)  # nats
    with pytest.raises(AssertionError, match="beyond"):  # what does not integrate to one is no density
        check_model("no density", "log_loss", -1.02 * world.log_density(new) - 0.1, best)


@pytest.mark.parametrize("name", ["line", "sinusoid", "blobs", "moons", "spirals", "density", "cars", "houses"])
def test_samples_of_different_seeds_are_independent(name: str):
    world = make_world(name)
    x, y = (pd.DataFrame(world.sample(5000, seed).x).iloc[:, 0].astype(float) for seed in (0, 1))
    assert abs(x.corr(y)) < 4 / math.sqrt(5000)
    assert len(set(x.dropna()) & set(y.dropna())) < 50, "float32 has 2^24 numbers a factor of two, so that a few meet"
    assert stats.ks_2samp(x.dropna(), y.dropna()).pvalue > 1e-4
