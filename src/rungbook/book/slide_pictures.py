"""The pictures of the slides, each drawn from data by the code the lessons use: here learning from data, linear models and trees.

Networks are in `slide_pictures_nets`, their training in `slide_pictures_training`, overfitting and faults in `slide_pictures_faults`; all
are in one table, `PICTURES`.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from torch import nn

from rungbook.book import slide_pictures_faults, slide_pictures_nets, slide_pictures_training
from rungbook.book.slide_table import PICTURES, descend, draw, few_cars, figure, measured, picture, seeded, two_moons
from rungbook.data.bundled import frame_of
from rungbook.data.split import split_indices
from rungbook.data.worlds.registry import make_world
from rungbook.plot.fit import regression_line
from rungbook.plot.plane import decision_boundary, scatter
from rungbook.plot.style import FOURTH, INK, THIRD, TRAIN, VALID, Picture, number, sheet
from rungbook.recipes.book.cars import cars_table, closed_form, squared_error
from rungbook.scratch.functional import binary_cross_entropy_with_logits, softmax

assert (
    slide_pictures_faults.PICTURES is slide_pictures_nets.PICTURES is slide_pictures_training.PICTURES is PICTURES
)  # filled by importing them

WEIGHT, MILEAGE = "weight (lb)", "miles per gallon"


@picture
def cars() -> Picture:
    """Sixty cars as points."""
    x, y = few_cars()
    return scatter(x, y, x_name=WEIGHT, y_name=MILEAGE)


@picture
def features_and_target() -> Picture:
    """The first cars as a table: two features, one target."""
    frame = make_world("cars").sample(60, 0).x.head(6)
    heads = {"WGT": "weight (lb)", "HP": "horsepower", "MPG": "miles per gallon"}

    def paint(ax: Axes) -> None:
        ax.set(xlim=(-0.55, 2.55), ylim=(7.0, -1.6))
        ax.set_axis_off()
        ax.text(0.5, -1.2, "features, x", ha="center", color=TRAIN, fontsize=11)
        ax.text(2, -1.2, "target, y", ha="center", color=VALID, fontsize=11)
        for j, (name, head) in enumerate(heads.items()):
            ax.text(j, -0.4, head, ha="center", fontsize=9)
            for i, value in enumerate(frame[name]):
                ax.text(j, i + 0.7, f"{value:,.0f}", ha="center", color=VALID if name == "MPG" else TRAIN, fontsize=10)
        ax.axhline(0.0, color=INK, linewidth=0.8)
        ax.axvline(1.5, color=INK, linewidth=0.8, linestyle=":")

    rows = "; ".join(f"{row.WGT:,.0f} lb and {row.HP:.0f} horsepower: {row.MPG:.0f}" for row in frame.itertuples())
    return draw(paint, f"{len(frame)} rows of a table of cars, two features and the target, miles per gallon. {rows}.")


@picture
def three_lines() -> Picture:
    """One model, three settings of its parameters."""
    x, y = few_cars()
    best, ends = closed_form(x, y), np.array([x.min(), x.max()])
    settings = {THIRD: (best.slope, best.intercept), VALID: (best.slope / 3, best.intercept - 10), FOURTH: (-1.7 * best.slope, 0.0)}

    def paint(ax: Axes) -> None:
        ax.plot(x, y, "o", color=TRAIN, markersize=3, alpha=0.6, markeredgewidth=0)
        for colour, (w, b) in settings.items():
            ax.plot(ends, w * ends + b, color=colour, label=f"w = {w:.4f}, b = {b:.1f}")
        ax.set(xlabel=WEIGHT, ylabel=MILEAGE)
        ax.legend(frameon=False, fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=1)

    errors = [f"w {w:.4f}, b {b:.1f}: {number(float(squared_error(x, y, b, w)))}" for w, b in settings.values()]
    return draw(paint, f"{len(x)} cars and three lines w x + b, with their mean squared errors. {'; '.join(errors)}.", size=(3.6, 2.9))


@picture
def squared_errors() -> Picture:
    """The error of each of a few cars as a square on the line."""
    x, y = (values[:9] for values in few_cars())
    z, t = (x - x.mean()) / x.std(), (y - y.mean()) / y.std()
    slope = closed_form(z, t).slope * 0.6  # not the best line: the squares can still shrink
    error = t - slope * z

    def paint(ax: Axes) -> None:
        for a, b, e in zip(z, slope * z, error, strict=True):
            ax.add_patch(Rectangle((a, min(b, b + e)), abs(e) * (1 if e > 0 else -1), abs(e), color=VALID, alpha=0.25))
        ax.plot(z, t, "o", color=TRAIN, markersize=5)
        ax.plot([-2, 2], [-2 * slope, 2 * slope], color=VALID)
        ax.set(xlabel="weight, standardised", ylabel="mileage, standardised", aspect="equal")
        ax.margins(0.1)

    said = f"{len(z)} points, a line, and on each error a square; the mean of their areas is {number(float((error**2).mean()))}"
    return draw(paint, f"{said}, of the best line it would be {number(1 - closed_form(z, t).slope ** 2)}.", size=(3.4, 3.0))


@picture
def loss_of_slope() -> Picture:
    """The loss as a function of one parameter."""
    x, y = few_cars()
    z = (x - x.mean()) / x.std()
    best = closed_form(z, y)
    slopes = np.linspace(best.slope - 12, best.slope + 12, 121)
    losses = squared_error(z, y, best.intercept, slopes)

    def paint(ax: Axes) -> None:
        ax.plot(slopes, losses, color=TRAIN)
        ax.plot(best.slope, losses.min(), "o", color=VALID)
        ax.annotate("the best slope", (best.slope, losses.min()), (0, 16), textcoords="offset points", ha="center")
        ax.set(xlabel="slope", ylabel="loss: mean squared error", ylim=(0, None))

    said = f"The loss over the slope is a bowl: {number(losses[0])} at {number(slopes[0])}, lowest at slope {number(best.slope)}"
    return draw(paint, f"{said} with {number(float(losses.min()))}, {number(losses[-1])} at {number(slopes[-1])}.")


@picture
def memoriser() -> Picture:
    """What learns by heart against a line, on their own cars and on new ones."""
    x, y = (values[30:] for values in few_cars())
    new = cars_table("world:cars", 5000, 1)
    line, grid = closed_form(x, y), np.linspace(x.min(), x.max(), 600)

    def nearest(at: np.ndarray) -> np.ndarray:
        return y[np.abs(at[:, None] - x).argmin(1)]

    errors = {
        name: [float(np.square(f(a) - b).mean()) for a, b in ((x, y), (new.WGT.to_numpy(), new.MPG.to_numpy()))]
        for name, f in (("nearest car", nearest), ("line", line.at))
    }

    def paint(ax: Axes) -> None:
        for (name, (own, others)), at, colour in zip(errors.items(), (nearest(grid), line.at(grid)), (VALID, THIRD), strict=True):
            ax.plot(grid, at, color=colour, linewidth=1.4, label=f"{name}: {own:.1f} on its own cars, {others:.1f} on new ones")
        ax.plot(x, y, "o", color=TRAIN, markersize=4)
        ax.set(xlabel=WEIGHT, ylabel=MILEAGE)
        ax.legend(frameon=False, fontsize=8, loc="lower center", bbox_to_anchor=(0.45, 1.0), title="mean squared error", title_fontsize=8)

    said = "; ".join(
        f"{name} {own:.1f} on its own {len(x)} cars and {others:.1f} on 5,000 new ones" for name, (own, others) in errors.items()
    )
    return draw(paint, f"Mean squared error of two models: {said}.", size=(3.6, 3.0))


@picture
def splits() -> Picture:
    """A hundred samples dealt to train, valid and test by the library's own split."""
    parts = split_indices(100, valid=0.2, test=0.2, seed=0)
    colours = {"train": TRAIN, "valid": VALID, "test": THIRD}

    def paint(ax: Axes) -> None:
        for (name, samples), mark in zip(parts.items(), "sDo", strict=True):
            ax.plot(
                samples % 10, samples // 10, mark, color=colours[name], markersize=8, markeredgewidth=0, label=f"{name}: {len(samples)}"
            )
        ax.set(xlim=(-0.7, 9.7), ylim=(9.7, -0.7), aspect="equal")
        ax.set_axis_off()
        ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5), labelspacing=1.4)

    return draw(paint, f"A hundred samples dealt at random: {', '.join(f'{len(s)} {n}' for n, s in parts.items())}.", size=(3.8, 2.7))


@cache
def two_growers() -> tuple[np.ndarray, np.ndarray]:
    """Alcohol and proline of the wines of two growers, standardised, (n, 2), and the grower, (n,)."""
    frame, target = frame_of("wine")
    kept = frame[frame[target].isin(sorted(frame[target].unique())[:2])]
    x = kept[["alcohol", "proline"]].to_numpy(float)
    return (x - x.mean(0)) / x.std(0), (kept[target] == kept[target].max()).to_numpy(int)


def _logistic(x: np.ndarray, y: np.ndarray) -> nn.Module:
    """Logistic regression by our own Adam and loss."""
    inputs, targets = torch.tensor(x, dtype=torch.float32), torch.tensor(y, dtype=torch.float32)
    model = seeded(lambda: nn.Linear(x.shape[1], 1))
    descend(model, lambda: binary_cross_entropy_with_logits(model(inputs)[:, 0], targets), 200, 0.1)
    return model


@picture
def two_tasks() -> Picture:
    """A number to predict, and a class to predict."""
    (x, y), (wines, grower) = few_cars(), two_growers()
    line, ends = closed_form(x, y), np.array([x.min(), x.max()])
    model = _logistic(wines, grower)
    assert isinstance(model, nn.Linear)
    (w1, w2), b = model.weight[0].tolist(), model.bias.item()
    at = np.array([-2.4, 2.4])
    right = float(((wines @ [w1, w2] + b > 0) == grower).mean())

    def regression(ax: Axes) -> None:
        ax.plot(x, y, "o", color=TRAIN, markersize=3, markeredgewidth=0)
        ax.plot(ends, line.at(ends), color=VALID)
        ax.set(xlabel=WEIGHT, ylabel=MILEAGE, title="regression: how much?")

    def classification(ax: Axes) -> None:
        for k, (colour, mark) in enumerate(((TRAIN, "o"), (FOURTH, "^"))):
            ax.plot(*wines[grower == k].T, mark, color=colour, markersize=3.5, markeredgewidth=0)
        ax.plot(at, -(w1 * at + b) / w2, color=VALID)
        ax.set(xlabel="alcohol, standardised", ylabel="proline, standardised", title="classification: which?", ylim=(-2, 3))

    said = f"Left, {len(x)} cars and the best line; right, {len(wines)} wines of two growers and the straight border that"
    return sheet([regression, classification], f"{said} has {right:.0%} of them on the right side.", columns=2, size=(3.0, 2.5))


@picture
def best_line() -> Picture:
    """The least squares line with the errors it leaves."""
    x, y = few_cars()
    return regression_line(x, y, closed_form(x, y).at, x_name=WEIGHT, y_name=MILEAGE)


@picture
def many_features() -> Picture:
    """Least squares on the ten measures of the diabetes patients."""
    frame, target = frame_of("diabetes")
    x = frame.drop(columns=target)
    z = ((x - x.mean()) / x.std()).to_numpy()
    design = np.column_stack([np.ones(len(z)), z])
    weights = dict(zip(x.columns, np.linalg.lstsq(design, frame[target].to_numpy(float), rcond=None)[0][1:], strict=True))
    names = ["age", "sex", "bmi", "bp"]

    def paint(ax: Axes) -> None:
        ax.barh(names, [weights[n] for n in names], color=TRAIN, height=0.6)
        ax.axvline(0, color=INK, linewidth=0.8)
        ax.invert_yaxis()
        ax.set(xlabel="weight, for a standard deviation")

    said = ", ".join(f"{n} {weights[n]:.1f}" for n in names)
    return draw(paint, f"Four of the ten weights of a linear model of {len(z)} patients' progression: {said}.")


@picture
def logistic() -> Picture:
    """The probability of a grower over the alcohol of the wine."""
    wines, grower = two_growers()
    model, grid = _logistic(wines[:, :1], grower), np.linspace(-2.6, 2.6, 200)
    with torch.no_grad():
        curve = model(torch.tensor(grid[:, None], dtype=torch.float32)).sigmoid()[:, 0].numpy()
    border = float(grid[np.abs(curve - 0.5).argmin()])

    def paint(ax: Axes) -> None:
        ax.plot(wines[:, 0], grower, "|", color=TRAIN, markersize=10)
        ax.plot(grid, curve, color=VALID)
        ax.axvline(border, color=INK, linewidth=0.8, linestyle=":")
        ax.set(xlabel="alcohol, standardised", ylabel="probability of the second grower", yticks=[0, 0.5, 1])

    said = f"{len(wines)} wines at 0 or 1, and the curve of the probability: {curve[0]:.2f} at {grid[0]:.1f}"
    return draw(paint, f"{said}, one half at {border:.2f}, {curve[-1]:.2f} at {grid[-1]:.1f}.")


@picture
def softmax_scores() -> Picture:
    """Scores, their softmax, and what each probability would cost."""
    scores = torch.tensor([2.0, 1.0, -1.0, 0.0], dtype=torch.float64)
    p = softmax(scores, dim=0).numpy()
    grid = np.linspace(0.02, 1, 200)

    def left(ax: Axes) -> None:
        ax.bar([f"z = {z:g}" for z in scores], p, color=TRAIN, width=0.6)
        for i, value in enumerate(p):
            ax.text(i, value + 0.02, f"{value:.2f}", ha="center", fontsize=9)
        ax.set(ylim=(0, 1), title="scores become probabilities")
        ax.tick_params(axis="x", labelsize=8, length=0)

    def right(ax: Axes) -> None:
        ax.plot(grid, -np.log(grid), color=VALID)
        ax.plot(p, -np.log(p), "o", color=TRAIN)
        ax.set(xlabel="probability of the true class", ylabel="loss", title="and what each costs")

    said = ", ".join(f"{z:g} gives {q:.2f}, loss {-np.log(q):.2f}" for z, q in zip(scores.tolist(), p, strict=True))
    return sheet([left, right], f"Four scores through softmax, with the loss if that class is true: {said}.", columns=2, size=(3.0, 2.3))


@picture
def tree() -> Picture:
    """The regions of a tree of depth 3."""
    from sklearn.tree import DecisionTreeClassifier

    x, y = two_moons()
    return decision_boundary(DecisionTreeClassifier(max_depth=3, random_state=0).fit(x, y).predict_proba, x, y, feature_names=("x1", "x2"))


@picture
def forest() -> Picture:
    """The regions of a forest of forty trees."""
    from sklearn.ensemble import RandomForestClassifier

    x, y = two_moons()
    trees = RandomForestClassifier(40, min_samples_leaf=2, random_state=0).fit(x, y)
    return decision_boundary(trees.predict_proba, x, y, feature_names=("x1", "x2"))


@picture
def baselines() -> Picture:
    """Fashion-MNIST by five models, from the ledger."""
    mlp = "mlp data=fashion-mnist epochs=10 batch_size=256"
    return measured(
        {
            "the commonest class": figure(mlp, "baseline majority accuracy"),
            "random forest": figure(mlp, "baseline random_forest accuracy"),
            "softmax regression": figure("softmax_regression data=fashion-mnist epochs=10 batch_size=256", "test accuracy"),
            "LeNet": figure("lenet data=fashion-mnist", "test accuracy"),
            "two layers of weights": figure(mlp, "test accuracy"),
        }
    )


__all__ = ["PICTURES"]
