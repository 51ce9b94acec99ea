"""Lines, and what is linear in its features: the smallest training, the same by hand, weight decay, polynomials (rows L01, L07-L09)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rungbook.data.data import Data
from rungbook.data.feed import TensorSource
from rungbook.data.load import load_data
from rungbook.data.worlds.curves import Polynomial
from rungbook.data.worlds.line import Line
from rungbook.data.worlds.registry import make_world
from rungbook.errors import UsageError
from rungbook.learner.learner import Learner
from rungbook.models.tabular.linear import LinearRegression
from rungbook.plot.style import Picture
from rungbook.recipes.book.squared import MSE, SquaredContrast
from rungbook.recipes.once import Trained
from rungbook.recipes.recipe import Recipe, recipe
from rungbook.recipes.settings import Above, Count, NotBelow, Optimizer, Rate, Reported, Share
from rungbook.recipes.study import Found, Results, Say, Study, about

MOST_SHOWN = 4
"""Weights that are said one by one."""


def all_samples(data: Data, split: str) -> tuple[Tensor, Tensor]:
    """Inputs (n, features) and targets (n, 1) of a split of arrays."""
    source = data.splits()[split].source
    assert isinstance(source, TensorSource)
    assert isinstance(source.x, Tensor)
    return source.x.flatten(1), source.y


def least_squares(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Weights (features,) and bias of min |y - x w - b|^2 in float64; the shortest such weights where there are several.

    Args:
        x: inputs (n, features).
        y: targets (n, 1).
    """
    design = torch.cat([x.double(), torch.ones(len(x), 1, dtype=torch.float64)], 1)
    found = torch.linalg.lstsq(design, y.double(), driver="gelsd").solution[:, 0]
    return found[:-1], found[-1]


def mean_errors(weight: Tensor, bias: Tensor, data: Data) -> dict[str, dict[str, float]]:
    """Split -> mean squared and mean absolute error of the line x w + b."""
    table = {}
    for split in data.splits():
        x, y = all_samples(data, split)
        error = x.double() @ weight.double().reshape(-1) + bias.double().reshape(()) - y.double()[:, 0]
        table[split] = {MSE: float(error.square().mean()), "mean_absolute_error": float(error.abs().mean())}
    return table


def coefficients(weight: Tensor, bias: Tensor) -> str:
    """Weights and bias as text."""
    values = [f"{w:.4f}" for w in weight.double().reshape(-1).tolist()]
    return f"weights {', '.join(values)}, bias {float(bias.reshape(())):.4f}"


@recipe("line")
@dataclass(frozen=True, kw_only=True)
class LineRecipe(Recipe):
    """Does gradient descent find the line y = 2 + 3x under noise? Weight and bias stand beside least squares and the truth.

    Nothing was chosen: at this rate the distance to least squares shrinks to a millionth in the first epoch, and what is left is the
    jitter of batches of ten.
    """

    covers: ClassVar[tuple[str, ...]] = ("L01",)
    reported: ClassVar[tuple[Reported, ...]] = (
        Reported(
            4.4e-11,
            MSE,
            "HAL training_pytorch (W 3.0000, b 2.0000)",
            split="train",
            fault="fault S0-4: the noise is made and never added, so that points without noise are fitted, and no others are held out",
        ),
    )
    fits: ClassVar[tuple[str, ...]] = ("world:line",)
    data: str = "world:line"
    model: str = "linear"
    optimizer: Optimizer = "sgd"
    momentum: Share = 0.0
    weight_decay: NotBelow = 0.0
    schedule: str = "constant"
    lr: Rate = 0.01
    batch_size: Count = 10
    epochs: Count | None = 10
    final: Literal["best", "last"] = "last"

    def closing(self, model: nn.Module, data: Data) -> list[str]:
        """Weight and bias found, those of least squares on the same rows, and the true ones."""
        world = make_world(self.data)
        if not isinstance(model, LinearRegression) or not isinstance(world, Line):
            return []
        weight, bias = model.linear.weight.detach().cpu(), model.linear.bias.detach().cpu()
        true = torch.tensor(world.weights), torch.tensor(world.bias)
        exact = least_squares(*all_samples(data, "train"))
        lines = [("found", (weight, bias)), ("least squares", exact), ("true", true)]
        if weight.numel() > MOST_SHOWN:
            return [f"{who}: length of the weights {float(w.double().norm()):.4f}, bias {float(b):.4f}" for who, (w, b) in lines[:2]]
        return [f"{who}: {coefficients(w, b)}" for who, (w, b) in lines]


@recipe("line_by_hand")
@dataclass(frozen=True, kw_only=True)
class LineByHand(Study):
    """Is the Learner's training of a line the textbook's? The same three epochs by formula, by autograd and by the Learner.

    All three start at the same weights (normal, standard deviation 0.01, bias 0) and see the same batches in the same order. The course's
    own version from scratch halves the squared error, which halves its steps; here all minimise the mean squared error, as its short
    version does. Settings are the course's.
    """

    metric: ClassVar[str] = MSE
    covers: ClassVar[tuple[str, ...]] = ("L07",)
    fits: ClassVar[tuple[str, ...]] = ("world:line",)
    data: str = "world:line(weights=(2, -3.4), bias=4.2, noise=0.01)"
    batch_size: Count = 10
    lr: Above = 0.03
    epochs: Count = 3

    def find(self, say: Say, *, pictures: bool = False) -> Found:
        """Train three ways, and solve."""
        data = load_data(self.data, valid=0.1, test=0.1, batch_size=self.batch_size, seed=self.seed)
        x, y = all_samples(data, "train")
        start = torch.randn(x.shape[1], 1, generator=torch.Generator().manual_seed(self.seed)) * 0.01, torch.zeros(1)
        orders = [data.train.order(epoch) for epoch in range(self.epochs)]
        batches = [index for order in orders for index in order.split(self.batch_size)]
        found = {
            "by hand": by_formula(x, y, *start, batches, self.lr),
            "autograd": by_autograd(x, y, *start, batches, self.lr),
            "Learner": self.by_learner(data, *start),
            "closed form": least_squares(x, y),
        }
        say(f"seed {self.seed}: three trainings of {len(batches)} steps")
        results: Results = {name: mean_errors(*line, data) for name, line in found.items()}
        assert data.test is not None
        return Found(
            results,
            data.test.samples,
            about(data),
            limit=data.facts.get("limit"),
            sentences=self.sentences(found),
            pictures=self.paint(data, found["Learner"]) if pictures and x.shape[1] == 1 else [],
        )

    def by_learner(self, data: Data, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """The same training by `nn.Linear` and the Learner."""
        model = LinearRegression(len(weight))
        with torch.no_grad():
            model.linear.weight.copy_(weight.T)
            model.linear.bias.copy_(bias)
        Learner(model, data, F.mse_loss, torch.optim.SGD, lr=self.lr, metrics=[], seed=self.seed, device="cpu").fit(self.epochs)
        return model.linear.weight.detach(), model.linear.bias.detach()

    def sentences(self, found: dict[str, tuple[Tensor, Tensor]]) -> list[str]:
        """How far apart the three trainings end, and where."""
        ends = {name: torch.cat([w.reshape(-1), b.reshape(-1)]).double() for name, (w, b) in found.items()}
        apart = max(float((ends[name] - ends["by hand"]).abs().max()) for name in ("autograd", "Learner"))
        close = f"within {apart:.1g} of each other: rounding of float32" if apart else "equal to the last bit"
        said = [f"by hand, by autograd and by the Learner, weights and bias end {close}"]
        if len(ends["by hand"]) <= MOST_SHOWN + 1:
            said += [f"{name}: {coefficients(*found[name])}" for name in ("Learner", "closed form")]
        return said

    def paint(self, data: Data, line: tuple[Tensor, Tensor]) -> list[Picture]:
        """The line with its errors, where there is one feature."""
        from rungbook.plot.fit import regression_line

        x, y = all_samples(data, "train")
        slope, shift = float(line[0].reshape(())), float(line[1].reshape(()))
        return [regression_line(x[:, 0], y[:, 0], lambda v: slope * v + shift, title="found by gradient descent")]


def by_formula(x: Tensor, y: Tensor, weight: Tensor, bias: Tensor, batches: list[Tensor], lr: float) -> tuple[Tensor, Tensor]:
    """Gradient descent on the mean squared error with its gradient written out.

    Args:
        x, y: samples (n, features) and (n, 1).
        weight, bias: where it starts, (features, 1) and (1,).
        batches: sample numbers of each step.
        lr: learning rate.
    """
    for index in batches:
        error = x[index] @ weight + bias - y[index]  # (B, 1)
        slope = 2 / len(index) * x[index].T @ error  # d/dw of the mean of error^2, (features, 1)
        shift = 2 / len(index) * error.sum(0)  # d/db, (1,)
        weight, bias = weight - lr * slope, bias - lr * shift
    return weight, bias


def by_autograd(x: Tensor, y: Tensor, weight: Tensor, bias: Tensor, batches: list[Tensor], lr: float) -> tuple[Tensor, Tensor]:
    """The same with gradients found by autograd; arguments as `by_formula`."""
    weight, bias = weight.clone().requires_grad_(), bias.clone().requires_grad_()
    for index in batches:
        loss = (x[index] @ weight + bias - y[index]).square().mean()
        slope, shift = torch.autograd.grad(loss, (weight, bias))
        with torch.no_grad():
            weight -= lr * slope
            bias -= lr * shift
    return weight.detach(), bias.detach()


@recipe("weight_decay")
@dataclass(frozen=True, kw_only=True)
class WeightDecay(SquaredContrast):
    """Does weight decay help where there are 200 inputs and only 20 rows to learn from?

    Twenty rows say nothing of 180 of the 200 directions: without decay the weights stay there as they were drawn. SGD's `weight_decay`
    adds decay x weight to the gradient: it is that of an L2 penalty, decay / 2 x |w|^2, here of the bias too. Settings are the course's,
    its start of standard normal weights (`start`) included; the third variant was given three times the epochs to end what decay began. It
    comes down to the mean of the targets and no further: twenty rows cannot tell two hundred weights.
    """

    variants: ClassVar[dict[str, dict[str, Any]]] = {
        "no decay": {"weight_decay": 0.0, "epochs": 100},
        "decay 3": {"weight_decay": 3.0, "epochs": 100},
        "decay 3 for 300 epochs": {"weight_decay": 3.0, "epochs": 300},
    }
    covers: ClassVar[tuple[str, ...]] = ("L08",)
    fits: ClassVar[tuple[str, ...]] = ("world:line",)
    data: str = "world:line(n=40, weights=(0.01,), features=200, bias=0.05, noise=0.01)"
    valid: Share = 0.5
    model: str = "linear"
    start: NotBelow = 1.0
    optimizer: Optimizer = "sgd"
    momentum: Share = 0.0
    schedule: str = "constant"
    lr: Rate = 0.003
    batch_size: Count = 5
    final: Literal["best", "last"] = "last"

    def begin(self, model: nn.Module, data: Data) -> None:
        """Draw the weights as the course does."""
        if isinstance(model, LinearRegression):
            nn.init.normal_(model.linear.weight, std=self.start)
            nn.init.zeros_(model.linear.bias)

    def remarks(self, trained: dict[str, Trained], results: Results) -> list[str]:
        """How long the weights are."""
        lengths = {name: float(t.learner.model.linear.weight.detach().norm()) for name, t in trained.items()}  # type: ignore[union-attr, operator]
        said = [f"length of the weights: {', '.join(f'{name} {value:.3g}' for name, value in lengths.items())}"]
        world = make_world(self.data)
        if isinstance(world, Line):
            true = torch.tensor(world.weights if not world.features else world.weights * world.features).norm()
            said[0] += f", true ones {float(true):.3g}"
        return said


@recipe("polynomial")
@dataclass(frozen=True, kw_only=True)
class PolynomialRecipe(SquaredContrast):
    """Which degree of a polynomial fits best: 1 (too few terms), 3 (as the world has) or 20 (too many)?

    One linear layer on x, x^2/2!, ... up to the degree, on the same 100 points. The course takes 400 epochs of plain SGD in batches of ten;
    with momentum and batches of 25, 200 epochs come nearer to least squares on the valid points, where rate and batch were chosen.
    """

    variants: ClassVar[dict[str, dict[str, Any]]] = {
        "degree 3": {"degree": 3},
        "degree 1": {"degree": 1},
        "degree 20": {"degree": 20},
    }
    data_fields: ClassVar[tuple[str, ...]] = ("degree",)
    covers: ClassVar[tuple[str, ...]] = ("L09",)
    fits: ClassVar[tuple[str, ...]] = ("world:polynomial",)
    data: str = "world:polynomial"
    valid: Share = 0.5
    degree: Count = 3
    model: str = "linear"
    optimizer: Optimizer = "sgd"
    momentum: Share = 0.9
    weight_decay: NotBelow = 0.0
    schedule: str = "constant"
    lr: Rate = 0.02
    batch_size: Count = 25
    epochs: Count | None = 200
    final: Literal["best", "last"] = "last"

    def check(self) -> None:
        """Refuse what is compared also where it is said of the world.

        Raises:
            UsageError: E202 besides what `Contrast.check` raises.
        """
        super().check()
        world = make_world(self.data)
        if isinstance(world, Polynomial) and world.degree != Polynomial.degree:
            plain = str(replace(world, degree=Polynomial.degree))
            raise UsageError("E202", f"degree is what polynomial compares: {', '.join(self.variants)}.", f'data="{plain}"')

    def load(self) -> Data:
        """The world's points as the terms of `degree`: the same points for every degree."""
        world = make_world(self.data)
        assert isinstance(world, Polynomial)
        return load_data(str(replace(world, degree=self.degree)), self.valid, self.test, self.batch_size, seed=self.seed)

    def remarks(self, trained: dict[str, Trained], results: Results) -> list[str]:
        """What least squares, which goes all the way, makes of the most terms."""
        name = max(self.variants, key=lambda v: self.variants[v]["degree"])
        data = trained[name].data
        exact = {split: found[MSE] for split, found in mean_errors(*least_squares(*all_samples(data, "train")), data).items()}
        return [
            f"least squares, {name}: {exact['train']:.2g} on train and {exact['test']:.2g} on new points; gradient descent that ends before"
            f" it gets there has {results[name]['test'][MSE]:.2g} on new points"
        ]

    def paint(self, trained: dict[str, Trained]) -> list[Picture]:
        """Each fitted curve through the points it learned from."""
        import numpy as np

        from rungbook.plot.fit import regression_line

        pictures = []
        for name, one in trained.items():
            x, y = all_samples(one.data, "train")
            scale = torch.cumprod(torch.arange(1, x.shape[1] + 1, dtype=torch.float64), 0)

            def curve(v: np.ndarray, one: Trained = one, scale: Tensor = scale) -> Tensor:
                terms = torch.as_tensor(v)[:, None] ** torch.arange(1, len(scale) + 1) / scale
                return one.learner.predict(terms.float())

            pictures.append(regression_line(x[:, 0], y[:, 0], curve, title=name))
        return pictures


__all__ = ["LineByHand", "LineRecipe", "PolynomialRecipe", "WeightDecay"]
