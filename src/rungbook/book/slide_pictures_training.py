"""The pictures of the slides about training: gradient descent, its rate, the way back, and batches."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from matplotlib.axes import Axes
from torch import nn

from rungbook.book.slide_table import PICTURES, arrow, blank, draw, few_cars, node, picture, seeded
from rungbook.plot.fit import loss_surface
from rungbook.plot.style import FOURTH, INK, TRAIN, VALID, Picture, number, sheet
from rungbook.recipes.book.cars import closed_form, raw_descent, squared_error, standardised_descent
from rungbook.scratch import functional as F
from rungbook.scratch.autograd import Value
from rungbook.scratch.optim import SGD


@cache
def bowl() -> tuple[np.ndarray, np.ndarray, float, float]:
    """Standardised weight, mileage less its mean, the best slope and its loss."""
    x, y = few_cars()
    z, t = (x - x.mean()) / x.std(), y - y.mean()
    best = closed_form(z, t).slope
    return z, t, best, float(squared_error(z, t, 0.0, best))


@picture
def one_step() -> Picture:
    """A step of gradient descent on one parameter, with the tangent it follows."""
    z, t, best, _ = bowl()
    w, rate = 7.0, 0.2
    loss, slope = float(squared_error(z, t, 0.0, w)), float(2 * ((w * z - t) * z).mean())
    then = w - rate * slope
    after = float(squared_error(z, t, 0.0, then))
    grid = np.linspace(best - 9, 9, 100)

    def paint(ax: Axes) -> None:
        ax.plot(grid, squared_error(z, t, 0.0, grid), color=TRAIN)
        ends = np.array([w - 7, w + 1.5])
        ax.plot(ends, loss + slope * (ends - w), color=VALID, linestyle="--", linewidth=1.2)
        for at, height in ((w, loss), (then, after)):
            ax.plot([at, at], [0, height], color=INK, linewidth=0.8, linestyle=":")
            ax.plot(at, height, "o", color=VALID)
        ax.annotate("", (then, 12), (w, 12), arrowprops={"arrowstyle": "->", "color": VALID, "linewidth": 1.5})
        ax.annotate(f"slope {slope:.1f}", (w, loss), (-8, 4), textcoords="offset points", ha="right", va="center")
        ax.annotate(f"step {then - w:.1f}", ((w + then) / 2, 12), (0, 4), textcoords="offset points", ha="center", color=VALID)
        ax.set(xlabel="w", ylabel="loss", ylim=(0, None))

    said = f"At w = {w:g} the loss is {loss:.1f} and its slope {slope:.1f}; with a rate of {rate:g} the step goes to w = {then:.2f}"
    return draw(paint, f"{said}, where the loss is {after:.1f}.")


@picture
def learning_rates() -> Picture:
    """Ten steps with a rate too small, right, and too large."""
    z, t, best, lowest = bowl()
    ways = {0.03: "too small", 0.3: "about right", 1.04: "too large"}
    grid = np.linspace(best - 17, best + 17, 100)
    paths = {rate: standardised_descent(z, t, lr=rate).path[:, 1] for rate in ways}

    def panel(rate: float) -> Callable[[Axes], None]:
        def paint(ax: Axes) -> None:
            ax.plot(grid, squared_error(z, t, 0.0, grid), color=TRAIN, linewidth=1.2)
            ax.plot(paths[rate], squared_error(z, t, 0.0, paths[rate]), "o-", color=VALID, markersize=3.5, linewidth=0.9)
            ax.set(xlabel="w", title=f"rate {rate:g}: {ways[rate]}", ylim=(0, None))

        return paint

    ends = {rate: float(squared_error(z, t, 0.0, path[-1])) - lowest for rate, path in paths.items()}
    said = "; ".join(f"at rate {rate:g} it is {number(above)} above the lowest" for rate, above in ends.items())
    return sheet([panel(rate) for rate in ways], f"The loss after ten steps from w = 0: {said}.", columns=3, size=(2.2, 2.1))


@picture
def raw_units() -> Picture:
    """Descent in pounds stalls in a valley."""
    x, y = few_cars()
    best = closed_form(x, y)
    return loss_surface(
        lambda b, m: squared_error(x, y, b, m),
        np.linspace(0, 60, 41),
        np.linspace(-0.02, 0.02, 41),
        path=raw_descent(x, y, lr=3e-10).path,
        best=(best.intercept, best.slope),
        names=("intercept", "slope per pound"),
    )


@picture
def backpropagation() -> Picture:
    """A graph of five steps with every number on it, forward and back; torch finds the same."""
    start = {"x": 2.0, "w": 0.5, "b": 1.0, "y": 5.0}
    x, w, b, y = (Value(v, name) for name, v in start.items())
    product = w * x
    z = product + b
    a = z.relu()
    e = a - y
    loss = e**2
    loss.backward()
    leaves = [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in start.values()]
    torchs = (torch.relu(leaves[1] * leaves[0] + leaves[2]) - leaves[3]) ** 2
    slopes = [float(g) for g in torch.autograd.grad(torchs, leaves)]
    assert [v.grad for v in (x, w, b, y)] == slopes
    assert loss.data == torchs.item()
    steps = {
        "x": (x, (0.8, 4.2)),
        "w": (w, (0.8, 1.7)),
        "w x": (product, (3.0, 3.0)),
        "b": (b, (3.0, 0.9)),
        "z = w x + b": (z, (5.2, 3.0)),
        "a = ReLU z": (a, (7.4, 3.0)),
        "y": (y, (7.4, 0.9)),
        "e = a - y": (e, (9.6, 3.0)),
        "L = e²": (loss, (11.8, 3.0)),
    }
    edges = ("x>w x", "w>w x", "w x>z = w x + b", "b>z = w x + b", "z = w x + b>a = ReLU z", "a = ReLU z>e = a - y", "y>e = a - y")

    def paint(ax: Axes) -> None:
        blank(ax, 12.6, 5.2)
        for edge in (*edges, "e = a - y>L = e²"):
            start_name, _, end_name = edge.partition(">")
            arrow(ax, steps[start_name][1], steps[end_name][1], gap=0.62)
        for name, (value, (across, up)) in steps.items():
            node(ax, (across, up), f"{value.data:g}", TRAIN, 0.55)
            ax.text(across, up + 0.7, name, ha="center", fontsize=9)
            ax.text(across, up - 0.72, f"{value.grad:g}", ha="center", va="top", color=VALID, fontsize=9)

    said = "; ".join(f"{name} {value.data:g}, slope of the loss {value.grad:g}" for name, (value, _) in steps.items())
    return draw(paint, f"A graph, forward in circles, backward below them: {said}.", size=(7.2, 3.0))


@picture
def mini_batches() -> Picture:
    """The loss of softmax regression on digits over three passes, by batch size."""
    from sklearn.datasets import load_digits

    stored = load_digits()
    x, y = torch.tensor(stored.data / 16, dtype=torch.float32), torch.tensor(stored.target)
    order, passes = torch.randperm(len(x), generator=torch.Generator().manual_seed(0)), 3
    found: dict[int, tuple[list[float], list[float]]] = {}
    for size in (len(x), 100, 10):
        model = seeded(lambda: nn.Linear(64, 10))
        optimizer = SGD(model.parameters(), lr=0.2)
        seen, losses, batches = [0.0], [float(F.cross_entropy(model(x), y).detach())], order.split(size)
        for step in range(passes * len(batches)):
            index = batches[step % len(batches)]
            optimizer.zero_grad()
            F.cross_entropy(model(x[index]), y[index]).backward()
            optimizer.step()
            if (step + 1) % max(1, len(batches) // 9) == 0:
                seen.append((step + 1) / len(batches))
                losses.append(float(F.cross_entropy(model(x), y).detach()))
        found[size] = seen, losses

    def paint(ax: Axes) -> None:
        for (size, (seen, losses)), colour, mark in zip(found.items(), (FOURTH, VALID, TRAIN), "s^o", strict=True):
            ax.plot(seen, losses, color=colour, marker=mark, markersize=3.5, label=f"{size:,} a step")
        ax.set(xlabel="passes over the samples", ylabel="loss on all samples", ylim=(0, 2.6))
        ax.legend(frameon=False, loc="upper right", bbox_to_anchor=(1.0, 0.84))

    said = "; ".join(f"{size:,} samples a step: from {losses[0]:.2f} to {losses[-1]:.2f}" for size, (_, losses) in found.items())
    return draw(paint, f"Softmax regression on {len(x):,} digits, {passes} passes, one rate. {said}.")


__all__ = ["PICTURES", "bowl"]
