"""The pictures of the slides about what goes wrong: overfitting and what helps, and faults that no error message tells of."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from statistics import mean

import numpy as np
import torch
from matplotlib.axes import Axes
from torch import Tensor, nn

from rungbook.book.slide_table import PICTURES, descend, draw, few_cars, figure, measured, picture, seeded
from rungbook.data.augment.flip_crop import FlipCrop
from rungbook.data.bundled import frame_of
from rungbook.data.worlds.registry import make_world
from rungbook.models.tabular.mlp import MLP
from rungbook.plot.style import INK, THIRD, TRAIN, VALID, Picture, number, sheet
from rungbook.recipes.book.cars import cars_table, closed_form
from rungbook.scratch import functional as F
from rungbook.scratch.optim import SGD


@picture
def overfitting() -> Picture:
    """Polynomials of three degrees through a few points of a wave."""
    world = make_world("sinusoid")
    own, new = world.sample(16, 5), world.sample(2000, 6)
    (x, y), (u, v) = ((s.x[:, 0].astype(float), s.y[:, 0].astype(float)) for s in (own, new))
    inside = (u >= x.min()) & (u <= x.max())
    grid = np.linspace(x.min(), x.max(), 300)
    fits = {degree: np.polynomial.Polynomial.fit(x, y, degree) for degree in (1, 5, 11)}
    errors = {d: tuple(float(np.square(f(a) - b).mean()) for a, b in ((x, y), (u[inside], v[inside]))) for d, f in fits.items()}

    def panel(degree: int) -> Callable[[Axes], None]:
        def paint(ax: Axes) -> None:
            ax.plot(x, y, "o", color=TRAIN, markersize=3.5)
            ax.plot(grid, fits[degree](grid), color=VALID, linewidth=1.4)
            ax.set(ylim=(y.min() - 2, y.max() + 2), xlabel=f"error: own {number(errors[degree][0])}, new {number(errors[degree][1])}")
            ax.set_title(f"degree {degree}")

        return paint

    said = "; ".join(f"degree {d}: {number(a)} on its own points, {number(b)} on new ones between them" for d, (a, b) in errors.items())
    return sheet(
        [panel(d) for d in fits], f"Mean squared error of polynomials through {len(x)} points. {said}.", columns=3, size=(2.2, 1.9)
    )


@cache
def patients() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The diabetes patients, standardised: 250 to train on and 100 to judge by, inputs and targets of each."""
    frame, target = frame_of("diabetes")
    order = np.random.default_rng(0).permutation(len(frame))
    x = torch.tensor(frame.drop(columns=target).to_numpy(float)[order], dtype=torch.float32)
    y = torch.tensor(frame[[target]].to_numpy(float)[order], dtype=torch.float32)
    x, y = ((t - t[:250].mean(0)) / t[:250].std(0) for t in (x, y))
    return x[:250], y[:250], x[250:350], y[250:350]


@picture
def early_stopping() -> Picture:
    """Loss on train and valid while a network learns its patients by heart."""
    x, y, u, v = patients()
    model, losses = seeded(lambda: MLP(10, 1, hidden=(100,))), []

    def loss() -> Tensor:
        with torch.no_grad():
            losses.append(float(F.mse_loss(model(u), v)))
        return F.mse_loss(model(x), y)

    own = descend(model, loss, 200, 0.01)
    best = int(np.argmin(losses))

    def paint(ax: Axes) -> None:
        ax.plot(own, color=TRAIN, label="train")
        ax.plot(losses, color=VALID, linestyle="--", label="valid")
        ax.plot(best, losses[best], "o", color=VALID)
        ax.annotate("keep this one", (best, losses[best]), (best + 25, 0.95), arrowprops={"arrowstyle": "->", "color": INK})
        ax.set(xlabel="step", ylabel="loss", ylim=(0, 1.3))
        ax.legend(frameon=False)

    said = f"Training loss falls from {own[0]:.2f} to {own[-1]:.2f}; the loss on valid is lowest at step {best}, {losses[best]:.2f}"
    return draw(paint, f"{said}, and {losses[-1]:.2f} at the end.")


@picture
def weight_decay() -> Picture:
    """What decay does for a network that would learn its patients by heart, from the ledger."""
    what = "test mean_squared_error"
    rows = {"trained to the end": "memorises", "stopped on valid": "best on valid", "stopped, decay 0.6": "decay 0.6"}
    found = {name: figure("diabetes", what, variant) for name, variant in rows.items()}
    return measured({**found, "ridge regression": figure("diabetes", "baseline ridge mean_squared_error")})


@picture
def dropout() -> Picture:
    """Which of thirty units take part in each of ten steps."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        kept = F.dropout(torch.ones(10, 30), 0.5)

    def paint(ax: Axes) -> None:
        for value, mark, colour in ((2.0, "s", TRAIN), (0.0, "x", INK)):
            steps, units = np.nonzero(kept.numpy() == value)
            ax.plot(units, steps, mark, color=colour, markersize=4, markeredgewidth=0.7, alpha=1 if value else 0.35)
        ax.set(xlabel="hidden unit", ylabel="step", yticks=range(0, 10, 3))
        ax.invert_yaxis()
        ax.grid(False)

    shares = (kept > 0).float().mean(1)
    said = f"Ten steps, thirty units: in each step between {shares.min():.0%} and {shares.max():.0%} of them take part"
    return draw(paint, f"{said}, multiplied by {kept.max():g}; the others give 0.")


@picture
def more_data() -> Picture:
    """The line's error on its own cars and on new ones, by how many cars it was fitted to."""
    pool = cars_table("world:cars", 40_000, 2)
    x, y = pool.WGT.to_numpy(), pool.MPG.to_numpy()
    new, floor, rounds = slice(30_000, None), make_world("cars").limits()["mean_squared_error"].value, 60
    sizes = [3, 5, 8, 15, 30, 60, 120, 400]
    errors: dict[str, list[float]] = {"on its own cars": [], "on new cars": []}
    for size in sizes:
        fits = [(part, closed_form(x[part], y[part])) for part in (slice(i * size, (i + 1) * size) for i in range(rounds))]
        errors["on its own cars"].append(mean(float(np.square(line.at(x[part]) - y[part]).mean()) for part, line in fits))
        errors["on new cars"].append(float(np.median([np.square(line.at(x[new]) - y[new]).mean() for _, line in fits])))

    def paint(ax: Axes) -> None:
        for (name, values), colour, mark in zip(errors.items(), (TRAIN, VALID), "os", strict=True):
            ax.plot(sizes, values, color=colour, marker=mark, markersize=4, label=name)
        ax.axhline(floor, color=THIRD, linewidth=1.2, linestyle=":")
        ax.annotate("no model does better", (sizes[-1], floor), (0, -5), textcoords="offset points", ha="right", va="top", fontsize=8)
        ax.set(xscale="log", xlabel="cars to learn from", ylabel="mean squared error", ylim=(0, 60))
        ax.set_xticks(sizes[::2], map(str, sizes[::2]))
        ax.minorticks_off()
        ax.legend(frameon=False)

    said = "; ".join(f"{name} from {number(v[0])} with {sizes[0]} to {number(v[-1])} with {sizes[-1]}" for name, v in errors.items())
    return draw(paint, f"The line's squared error over {rounds} draws: {said}; the variance of the noise is {number(floor)}.")


@picture
def augmentation() -> Picture:
    """A photograph of the world of shapes as it is, and as it comes in eight passes."""
    image = torch.tensor(make_world("shapes(side=32, channels=3, noise=4)").sample(12, 3).x[2:3])
    change = FlipCrop(padding=5)
    seen = [change(image, torch.tensor([2]), epoch, 0) for epoch in range(8)]
    views = {"as it is": image, **{f"pass {i + 1}": view for i, view in enumerate(seen)}}

    def panel(name: str, view: Tensor) -> Callable[[Axes], None]:
        def paint(ax: Axes) -> None:
            ax.imshow(view[0].permute(1, 2, 0).numpy())
            ax.set(title=name)
            ax.set_axis_off()

        return paint

    return sheet([panel(*pair) for pair in views.items()], _changes(image, views), columns=3, size=(1.3, 1.35))


def _changes(image: Tensor, views: dict[str, Tensor]) -> str:
    """How many of the views are mirrored or moved, in words."""
    same = sum(torch.equal(view, image) for view in views.values()) - 1
    return f"An image of a shape, and the {len(views) - 1} versions that training sees of it, mirrored or moved; {same} of them unchanged."


@picture
def split_with_replacement() -> Picture:
    """A forest's accuracy on valid and on test, by how the samples were parted; from the ledger."""
    key = "forest data=mnist train_samples=10000 valid=0.2 trees=900"
    return measured(
        {
            "replacement: valid": figure(key, "valid accuracy", "as the course splits"),
            "replacement: test": figure(key, "test accuracy", "as the course splits"),
            "honest split: valid": figure(key, "valid accuracy", "honest split"),
            "honest split: test": figure(key, "test accuracy", "honest split"),
        }
    )


@picture
def softmax_twice() -> Picture:
    """What a second softmax costs at two learning rates; from the ledger."""
    key = "softmax_twice data=mnist epochs=100 valid=0.2 train_samples=10000"
    rows = {"once, rate 0.01": "50 units", "twice, rate 0.01": "softmax twice"}
    rows |= {"once, rate 0.03": "50 units, rate 0.03", "twice, rate 0.03": "softmax twice, rate 0.03"}
    return measured({name: figure(key, "test accuracy", variant) for name, variant in rows.items()})


@picture
def choosing_on_test() -> Picture:
    """The best score of many models that only guess."""
    samples, rounds, most = 100, 400, 200
    right = np.random.default_rng(0).binomial(samples, 0.5, (rounds, most)) / samples
    best = np.maximum.accumulate(right, axis=1)
    tried = np.arange(1, most + 1)
    middle, low, high = best.mean(0), *np.quantile(best, [0.05, 0.95], axis=0)

    def paint(ax: Axes) -> None:
        ax.fill_between(tried, low, high, color=VALID, alpha=0.25, linewidth=0)
        ax.plot(tried, middle, color=VALID)
        ax.axhline(0.5, color=THIRD, linestyle="--")
        ax.annotate("what each of them is worth", (most, 0.5), (0, -4), textcoords="offset points", ha="right", va="top", fontsize=8)
        ax.set(xscale="log", xlabel="models tried on the test set", ylabel="accuracy of the chosen one", ylim=(0.35, 0.75))

    said = ", ".join(f"{middle[n - 1]:.0%} of {n}" for n in (1, 10, 100, most))
    return draw(paint, f"Models that toss a coin, judged on {samples} test samples; mean accuracy of the best: {said}.")


def _nearest_mean(x: np.ndarray, y: np.ndarray, u: np.ndarray, v: np.ndarray) -> float:
    """Accuracy on (u, v) of answering with the class whose mean over (x, y) is nearer."""
    apart = [np.square(u - x[y == k].mean(0)).sum(1) for k in (0, 1)]
    return float(((apart[1] < apart[0]) == v).mean())


@picture
def leakage() -> Picture:
    """Features chosen by all rows, and by the training rows alone, where there is nothing to learn."""
    scores: dict[str, list[float]] = {"chosen on\nall rows": [], "chosen on\ntrain": []}
    for seed in range(10):
        rng = np.random.default_rng(seed)
        x, y = rng.standard_normal((100, 2000)), rng.permutation(np.repeat([0, 1], 50))
        for name, rows in zip(scores, (slice(None), slice(50)), strict=True):
            agree = np.abs((y[rows] - y[rows].mean()) @ x[rows])
            kept = np.argsort(agree)[-20:]
            scores[name].append(_nearest_mean(x[:50, kept], y[:50], x[50:, kept], y[50:]))

    def paint(ax: Axes) -> None:
        for i, (values, colour) in enumerate(zip(scores.values(), (VALID, TRAIN), strict=True)):
            ax.plot(values, [i] * len(values), "o", color=colour, alpha=0.7, markersize=6, markeredgewidth=0)
            ax.annotate(f"mean {mean(values):.0%}", (max(values), i), (9, 0), textcoords="offset points", va="center")
        ax.axvline(0.5, color=THIRD, linestyle="--")
        ax.annotate("chance", (0.5, -0.55), (-4, 0), textcoords="offset points", ha="right", va="center")
        ax.set_yticks(range(len(scores)), list(scores))
        ax.set(ylim=(1.6, -0.7), xlim=(0.3, 1.15), xlabel="accuracy on test, a dot a draw")

    said = "; ".join(f"{name.replace(chr(10), ' ')} {mean(v):.0%}, from {min(v):.0%} to {max(v):.0%}" for name, v in scores.items())
    return draw(paint, f"Mean accuracy on test over ten draws where chance is 50%, features {said}.")


@picture
def zero_grad() -> Picture:
    """Descent with the gradients emptied before each step, and with the line forgotten."""
    x, y = (torch.tensor((v - v.mean()) / v.std(), dtype=torch.float32)[:, None] for v in few_cars())
    found: dict[str, list[float]] = {}
    for name, empties in (("emptied", True), ("forgotten", False)):
        model, losses = seeded(lambda: nn.Linear(1, 1)), []
        optimizer = SGD(model.parameters(), lr=0.1)
        for _ in range(60):
            if empties:
                optimizer.zero_grad()
            loss = F.mse_loss(model(x), y)
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
        found[name] = losses

    def paint(ax: Axes) -> None:
        for (name, losses), colour, style in zip(found.items(), (TRAIN, VALID), ("-", "--"), strict=True):
            ax.plot(losses, color=colour, linestyle=style, label=f"zero_grad {name}")
        ax.set(xlabel="step", ylabel="loss", ylim=(0, None))
        ax.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, fontsize=8)

    said = "; ".join(
        f"{name}: {v[0]:.2f} at first, {v[-1]:.2f} at the end, {max(v[30:]):.2f} at most in the second half" for name, v in found.items()
    )
    return draw(paint, f"Training loss of a line over 60 steps with zero_grad {said}.")


@picture
def eval_mode() -> Picture:
    """The same patient asked about many times, with dropout left on and with it off."""
    x, y, u, _ = patients()
    model = seeded(lambda: MLP(10, 1, hidden=(100,), dropout=0.5))
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        with torch.enable_grad():
            descend(model, lambda: F.mse_loss(model(x), y), 100, 0.01)
        on = model(u[:1].expand(400, 10))[:, 0].numpy()
        off = float(model.eval()(u[:1]))

    def paint(ax: Axes) -> None:
        ax.hist(on, bins=25, color=TRAIN, alpha=0.7)
        ax.axvline(off, color=VALID, linewidth=2)
        ax.annotate("after model.eval()", (off, 1), (5, -3), xycoords=("data", "axes fraction"), textcoords="offset points", va="top")
        ax.set(xlabel="answer for one patient (standard deviations)", ylabel=f"times of {len(on)}")

    said = f"One patient, asked {len(on)} times in training mode: answers from {on.min():.2f} to {on.max():.2f}"
    return draw(paint, f"{said}, standard deviation {on.std():.2f}. After eval() always {off:.2f}.")


__all__ = ["PICTURES", "patients"]
