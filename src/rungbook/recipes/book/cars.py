"""Mileage of cars from their weight: five ways to a line, and networks that bend it (rows L02-L06)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from pydantic import Field
from torch import nn

from rungbook.data.data import Data, fingerprint
from rungbook.data.split import folds
from rungbook.data.worlds.registry import is_world, make_world
from rungbook.models.tabular.mlp import MLP
from rungbook.plot.style import Picture
from rungbook.recipes.book.squared import MSE, Scores, SquaredContrast
from rungbook.recipes.build import fit_data
from rungbook.recipes.once import Trained, train_once
from rungbook.recipes.recipe import recipe
from rungbook.recipes.settings import Count, NotBelow, Optimizer, Rate, Reported, Share, Widths
from rungbook.recipes.study import Found, Results, Say, Study

if TYPE_CHECKING:
    import pandas as pd

INPUT, TARGET = "WGT", "MPG"
REAL = "auto-mpg"
FITS = ("world:cars", REAL)
NEW = 5000
"""Cars drawn anew for the test part of the world."""


def cars_table(name: str, n: int | None, seed: int) -> pd.DataFrame:
    """Weight (lb) and mileage (miles per gallon) of the cars.

    Args:
        name: the real set, or a world of cars.
        n: how many of the world, as many as it has if None.
        seed: of the world's draw.
    """
    if is_world(name):
        world = make_world(name)
        frame = world.sample(world.n if n is None else n, seed).x
    else:
        import pandas as pd

        from rungbook.data.local import files_of
        from rungbook.data.registry import DOWNLOADS

        (path,) = files_of(DOWNLOADS[name]).values()
        frame = pd.read_csv(path)
    return frame[[INPUT, TARGET]].astype(float)


class Line(NamedTuple):
    """y = slope x + intercept in pounds and miles per gallon, and the way there in the units of the search, (steps, 2) of (b, m)."""

    slope: float
    intercept: float
    path: np.ndarray

    def at(self, x: np.ndarray) -> np.ndarray:
        """Mileage at weights."""
        return self.slope * x + self.intercept


def squared_error(x: np.ndarray, y: np.ndarray, intercept: Any, slope: Any) -> np.ndarray:
    """Mean squared error of the lines intercept + slope x, for arrays of lines.

    From the sums alone: E(y - b - m x)^2 = E y^2 - 2 b E y - 2 m E xy + b^2 + 2 b m E x + m^2 E x^2.
    """
    b, m = np.asarray(intercept, float), np.asarray(slope, float)
    return (y @ y - 2 * m * (x @ y) + m**2 * (x @ x)) / len(x) - 2 * b * y.mean() + b**2 + 2 * b * m * x.mean()


def closed_form(x: np.ndarray, y: np.ndarray) -> Line:
    """Least squares: slope = cov(x, y) / var(x)."""
    slope = float(np.cov(x, y, bias=True)[0, 1] / x.var())
    return Line(slope, float(y.mean() - slope * x.mean()), np.zeros((0, 2)))


def grid_search(x: np.ndarray, y: np.ndarray, steps: int) -> Line:
    """The best line of a grid of slopes from -0.01 to 0 and intercepts from 30 to 51.

    With five steps a side the grid holds the course's best line, -0.0075 x + 45.75; its own ranges are not in its notes.
    """
    slopes, intercepts = np.linspace(-0.01, 0.0, steps), np.linspace(30.0, 51.0, steps)
    b, m = np.meshgrid(intercepts, slopes, indexing="ij")
    best = int(squared_error(x, y, b, m).argmin())
    return Line(float(m.ravel()[best]), float(b.ravel()[best]), np.zeros((0, 2)))


def raw_descent(x: np.ndarray, y: np.ndarray, *, lr: float = 5e-11, epochs: int = 100) -> Line:
    """Gradient descent on the sum of squared errors in pounds.

    The bowl is ten million times steeper along the slope than along the intercept: the rate that the slope bears does not move the
    intercept, which stays at its start. The start of 35 is what the course's figure tells: with the intercept held at b the best error is
    18.68 + (46.2 - b)^2 var(x) / mean(x^2), which is 28.12 for b = 35.
    """
    b, m = 35.0, 0.0
    path = [(b, m)]
    for _ in range(epochs):
        error = b + m * x - y
        b, m = b - lr * 2 * float(error.sum()), m - lr * 2 * float(error @ x)
        path.append((b, m))
    return Line(m, b, np.array(path))


def standardised_descent(x: np.ndarray, y: np.ndarray, *, lr: float = 0.3, epochs: int = 10) -> Line:
    """Gradient descent on the mean squared error over standardised weights, gradients written out."""
    z = (x - x.mean()) / x.std()
    b, m = 0.0, 0.0
    path = [(b, m)]
    for _ in range(epochs):
        error = b + m * z - y
        b, m = b - lr * 2 * float(error.mean()), m - lr * 2 * float((error * z).mean())
        path.append((b, m))
    return _from_standardised(x, path)


def autograd_descent(x: np.ndarray, y: np.ndarray, *, lr: float = 0.3, epochs: int = 10) -> Line:
    """The same with gradients found by autograd."""
    z = torch.tensor((x - x.mean()) / x.std())
    mileage = torch.tensor(y)
    line = torch.zeros(2, dtype=torch.float64, requires_grad=True)  # b, m
    path = [(0.0, 0.0)]
    for _ in range(epochs):
        loss = (line[0] + line[1] * z - mileage).square().mean()
        (gradient,) = torch.autograd.grad(loss, line)
        with torch.no_grad():
            line -= lr * gradient
            path.append((float(line[0]), float(line[1])))
    return _from_standardised(x, path)


def _from_standardised(x: np.ndarray, path: list[tuple[float, float]]) -> Line:
    b, m = path[-1]
    slope = m / float(x.std())
    return Line(slope, b - slope * float(x.mean()), np.array(path))


Method = Callable[[np.ndarray, np.ndarray], Line]
METHODS: dict[str, Method] = {
    "closed form": closed_form,
    "grid search 5 x 5": lambda x, y: grid_search(x, y, 5),
    "grid search 100 x 100": lambda x, y: grid_search(x, y, 100),
    "raw units": raw_descent,
    "standardised": standardised_descent,
    "autograd": autograd_descent,
}


@recipe("cars")
@dataclass(frozen=True, kw_only=True)
class CarsStudy(Study):
    """Which ways lead to the best line from a car's weight to its mileage, and why does plain gradient descent stall?

    "fit" judges each line on the cars it was fitted to, as the course does; "test" is the error over ten folds, each car judged by a line
    that never saw it. Rates and epochs are the course's.

    Args:
        folds: into how many parts the cars are dealt.
    """

    metric: ClassVar[str] = MSE
    covers: ClassVar[tuple[str, ...]] = ("L02", "L03", "L04", "L05")
    fits: ClassVar[tuple[str, ...]] = FITS
    real: ClassVar[tuple[str, ...]] = (f"data={REAL}",)
    reported: ClassVar[tuple[Reported, ...]] = (
        Reported(28.12, MSE, "FDL 1", variant="raw units", split="fit", data="auto-mpg"),
        Reported(4.03, "mean_absolute_error", "FDL 1", variant="raw units", split="fit", data="auto-mpg"),
        Reported(18.677, MSE, "FDL 1 (slope -6.487, intercept 23.446)", variant="standardised", split="fit", data="auto-mpg"),
        Reported(3.28, "mean_absolute_error", "FDL 1", variant="standardised", split="fit", data="auto-mpg"),
        Reported(18.677, MSE, "FDL 1", variant="autograd", split="fit", data="auto-mpg"),
    )
    seeds: Count = 5
    data: str = "world:cars"
    folds: Annotated[int, Field(ge=2, le=1000)] = 10

    def find(self, say: Say, *, pictures: bool = False) -> Found:
        """Fit every way, to all cars and to each nine tenths of them."""
        table = cars_table(self.data, None, self.seed)
        x, y = table[INPUT].to_numpy(), table[TARGET].to_numpy()
        parts = folds(len(x), min(self.folds, len(x) // 2), seed=self.seed)
        lines = {name: method(x, y) for name, method in METHODS.items()}
        results: Results = {
            name: {"fit": _errors(y, lines[name].at(x)), "test": _errors(y, _over_folds(x, y, parts, method))}
            for name, method in METHODS.items()
        }
        say(f"seed {self.seed}: {len(METHODS)} ways")
        mark = fingerprint([x, y])
        limits = {k: limit.value for k, limit in make_world(self.data).limits().items()} if is_world(self.data) else None
        return Found(
            results,
            len(x),
            {"name": self.data, "fingerprint": mark, "test": mark, "facts": {"rows": len(x), "columns": [INPUT], "target": TARGET}},
            {"mean": _errors(y, _over_folds(x, y, parts, lambda a, b: Line(0.0, float(b.mean()), np.zeros((0, 2)))))},
            limits,
            self.sentences(x, y, lines, results),
            self.paint(x, y, lines) if pictures else [],
        )

    def sentences(self, x: np.ndarray, y: np.ndarray, lines: dict[str, Line], results: Results) -> list[str]:
        """The lines themselves, and what separates them."""
        exact, mean, sd = lines["closed form"], float(x.mean()), float(x.std())
        best = results["closed form"]["fit"][MSE]

        def scaled(line: Line) -> str:
            return f"slope {line.slope * sd:.3f}, intercept {line.intercept + line.slope * mean:.3f}"

        far = {name: results[name]["fit"][MSE] - best for name in results}
        raw = lines["raw units"]
        apart = abs(lines["standardised"].slope - lines["autograd"].slope) * sd
        same = f"autograd gives the same line to {apart:.0e}" if apart else "autograd gives the same line"
        return [
            f"on the cars fitted to, the closed form has a mean squared error of {best:.3f}, with a standard deviation of weight as unit:"
            f" {scaled(exact)}",
            f"standardised, 10 epochs: {scaled(lines['standardised'])}, {far['standardised']:.1g} above it; {same}",
            f"raw units stall {far['raw units']:.2f} above it: 100 epochs moved the intercept by {abs(raw.intercept - 35):.1g}, the best is"
            f" {abs(exact.intercept - 35):.1f} away",
            f"grid search: {lines['grid search 5 x 5'].slope:.4f} x + {lines['grid search 5 x 5'].intercept:.2f} is the best of 25 lines,"
            f" {far['grid search 5 x 5']:.2g} above it; of 10,000 lines the best is {far['grid search 100 x 100']:.1g} above it",
        ]

    def paint(self, x: np.ndarray, y: np.ndarray, lines: dict[str, Line]) -> list[Picture]:
        """The line with its errors, and the loss with the way down, in pounds and in standard deviations."""
        from rungbook.plot.fit import loss_surface, regression_line

        exact, mean, sd = lines["closed form"], float(x.mean()), float(x.std())
        z = (x - mean) / sd
        scaled = exact.intercept + exact.slope * mean, exact.slope * sd
        return [
            regression_line(x, y, exact.at, x_name="weight (lb)", y_name="MPG", title="the best line"),
            loss_surface(
                lambda b, m: squared_error(x, y, b, m),
                np.linspace(0, 60, 61),
                np.linspace(-0.02, 0.02, 61),
                path=lines["raw units"].path,
                best=(exact.intercept, exact.slope),
                title="raw units: 100 steps",
            ),
            loss_surface(
                lambda b, m: squared_error(z, y, b, m),
                np.linspace(-5, 45, 61),
                np.linspace(-30, 20, 61),
                path=lines["standardised"].path,
                best=scaled,
                title="standardised: 10 steps",
            ),
        ]


def _over_folds(x: np.ndarray, y: np.ndarray, parts: list[np.ndarray], method: Method) -> np.ndarray:
    """What each car is said to do by the line fitted to the other folds, (n,)."""
    said = np.empty(len(x))
    for part in parts:
        rest = np.setdiff1d(np.arange(len(x)), part)
        said[part] = method(x[rest], y[rest]).at(x[part])
    return said


def _errors(truth: np.ndarray, said: np.ndarray) -> dict[str, float]:
    error = said - truth
    mse = float(np.square(error).mean())
    return {
        MSE: mse,
        "root_mean_squared_error": math.sqrt(mse),
        "mean_absolute_error": float(np.abs(error).mean()),
        "r2": 1 - mse / float(truth.var()),
    }


Activation = Literal["relu", "gelu", "silu", "tanh", "sigmoid", "identity"]


@recipe("cars_network")
@dataclass(frozen=True, kw_only=True)
class CarsNetwork(SquaredContrast):
    """Does a network predict mileage from weight better than a line, and when does it only memorise?

    "fit" is the error after training on all cars, judged on the same, as the course does; train, valid and test are of a second training
    on a part of them. Both keep the last weights. Rate and epochs were chosen on the valid parts of three splits, one for all variants; the
    course's 70 epochs at a rate of 1 belong to a target that is not standardised. A single ReLU can die where it starts.
    """

    variants: ClassVar[dict[str, dict[str, Any]]] = {
        "a line": {"hidden": ()},
        "2 linear layers": {"hidden": (10,), "activation": "identity"},
        "1 ReLU": {"hidden": (1,)},
        "5 ReLU": {"hidden": (5,)},
        "5 sigmoid": {"hidden": (5,), "activation": "sigmoid"},
        "3 layers": {"hidden": (10, 10)},
        "1000 ReLU": {"hidden": (1000,)},
    }
    covers: ClassVar[tuple[str, ...]] = ("L06",)
    fits: ClassVar[tuple[str, ...]] = FITS
    real: ClassVar[tuple[str, ...]] = (f"data={REAL}",)
    reported: ClassVar[tuple[Reported, ...]] = tuple(
        Reported(value, MSE, "FDL 2", variant=variant, split="fit", fault=fault, data="auto-mpg")
        for variant, value, fault in (
            ("a line", 18.776, "the exact line has 18.677: 70 epochs end short of it"),
            ("2 linear layers", 18.682, ""),
            ("1 ReLU", 18.753, ""),
            ("5 ReLU", 18.310, ""),
            ("5 sigmoid", 18.017, ""),
            ("1000 ReLU", 16.569, "judged on the cars it was fitted to: this says nothing of other cars"),
        )
    )
    data: str = "world:cars"
    valid: Share = 0.2
    test: Share = 0.2
    model: str = "mlp"
    hidden: Widths = ()
    activation: Activation = "relu"
    optimizer: Optimizer = "adam"
    weight_decay: NotBelow = 0.0
    schedule: str = "one_cycle"
    lr: Rate = 0.05
    batch_size: Count = 128
    epochs: Count | None = 60
    final: Literal["best", "last"] = "last"

    def load(self) -> Data:
        """Weight and mileage; a world has new cars for test."""
        return self._data(self.valid, self.test)

    def _data(self, valid: float, test: float) -> Data:
        import pandas as pd

        from rungbook.data.tabular import table_data
        from rungbook.data.worlds.samples import test_seed

        table = cars_table(self.data, None, self.seed)
        parts = None
        if is_world(self.data) and test:
            n, new = len(table), cars_table(self.data, NEW, test_seed(self.seed))
            table = pd.concat([table, new], ignore_index=True)
            parts = {"train": np.arange(n), "test": np.arange(n, n + NEW)}
        shares: dict[str, Any] = {"valid": valid, "test": 0.0 if parts else test, "parts": parts}
        data = table_data(table, target=TARGET, name=self.data, seed=self.seed, batch_size=self.batch_size, log=False, **shares)
        if is_world(self.data):
            data.facts["limit"] = {k: limit.value for k, limit in make_world(self.data).limits().items()}
        return data

    def judge(self, name: str, trained: Trained) -> Scores:
        """The honest scores, and those on the cars fitted to after training on all of them."""
        variant = replace(self, **self.variants[name], final="last")
        fitted = train_once(variant, fit_data(variant, self._data(0.0, 0.0))).scores("train")["train"]
        return {"fit": {MSE: fitted["root_mean_squared_error"] ** 2, **fitted}, **super().judge(name, trained)}

    def remarks(self, trained: dict[str, Trained], results: Results) -> list[str]:
        """That linear layers one after another are one line, and what the widest network gains where."""
        model = trained["2 linear layers"].learner.model
        assert isinstance(model, MLP)
        slope, bend = stacked_line(model)
        z = torch.linspace(-3, 3, 61)[:, None]
        with torch.no_grad():
            bent = float((model(z) - (slope * z + bend)).abs().max())
        wide, line = results["1000 ReLU"], results["a line"]
        gains = [f"{split} {wide[split][MSE] - line[split][MSE]:+.2f}" for split in ("fit", "train", "test")]
        return [
            f"two linear layers are one line: what they answer is the line of their product to within {bent:.0e}",
            f"1000 ReLU against a line: {', '.join(gains)}",
        ]

    def paint(self, trained: dict[str, Trained]) -> list[Picture]:
        """What each network says of every weight, through the cars it learned from."""
        from rungbook.plot.fit import regression_line

        pictures = []
        for name, one in trained.items():
            target: Any = one.data.target
            x, y = one.data.train.source.fetch(slice(0, one.data.train.samples))
            assert isinstance(x, tuple)

            def curve(v: np.ndarray, one: Trained = one) -> torch.Tensor:
                return one.data.target.decode(one.learner.predict(torch.as_tensor(v, dtype=torch.float32)[:, None]))

            pictures.append(regression_line(x[0][:, 0], target.values(y), curve, x_name="weight (standardised)", y_name="MPG", title=name))
        return pictures


def stacked_line(model: nn.Module) -> tuple[torch.Tensor, torch.Tensor]:
    """Slope and intercept of linear layers one after another: W2 (W1 x + b1) + b2 = (W2 W1) x + (W2 b1 + b2)."""
    slope: torch.Tensor | None = None
    shift = torch.zeros(1, 1)
    for layer in model.modules():
        own = dict(layer.named_parameters(recurse=False))
        if own:  # a linear layer: torch's, by hand or the user's
            weight, bias = own["weight"].detach(), own["bias"].detach()[:, None]
            slope = weight if slope is None else weight @ slope
            shift = bias if slope is weight else weight @ shift + bias
    assert slope is not None
    return slope, shift


__all__ = ["CarsNetwork", "CarsStudy"]
