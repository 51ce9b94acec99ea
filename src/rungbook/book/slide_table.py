"""The table of the slides' pictures, and what several of them are drawn with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter
from torch import Tensor, nn

from rungbook.data.worlds.registry import make_world
from rungbook.plot import style
from rungbook.plot.style import INK, TRAIN, Picture, few_ticks, spoken
from rungbook.recipes.book.cars import cars_table
from rungbook.recipes.ledger import Ledger, load_ledger
from rungbook.recipes.quotes import Figure, fresh, pick
from rungbook.scratch.optim import Adam

PICTURES: dict[str, Callable[[], Picture]] = {}
"""Name in a slide -> what draws it."""


def picture(make: Callable[[], Picture]) -> Callable[[], Picture]:
    """Enter a function into the table under its own name."""
    assert make.__name__ not in PICTURES, f"two pictures are called {make.__name__}"
    PICTURES[make.__name__] = make
    return make


def draw(paint: Callable[[Axes], object], alt: str, *, size: tuple[float, float] = (3.6, 2.95)) -> Picture:
    """As the style's `draw`, as high as a slide has room for beside its text."""
    return style.draw(paint, alt, size=size)


@cache
def _ledger() -> Ledger:
    return load_ledger()


def figure(key: str, what: str, variant: str = "") -> Figure:
    """A measured figure: what of a key's line, as "test accuracy" or "baseline ridge mean_squared_error"; raises what `quote` does."""
    return pick(fresh(_ledger(), key), variant, what)


def measured(rows: Mapping[str, Figure], *, log: bool = False) -> Picture:
    """Figures of the ledger, a row each: a dot with its standard deviation, and the figure as text.

    Args:
        rows: what it is -> the figure, all of one metric.
        log: whether the axis is logarithmic.
    """
    metric = next(iter(rows.values())).metric

    def paint(ax: Axes) -> None:
        for i, one in enumerate(rows.values()):
            ax.plot([one.mean - one.sd, one.mean + one.sd], [i, i], color=TRAIN, linewidth=2, alpha=0.5)
            ax.plot(one.mean, i, "o", color=TRAIN, markersize=6)
            ax.annotate(str(one), (one.mean, i), (0, 7), textcoords="offset points", ha="center", fontsize=9)
        if log:
            ax.set_xscale("log")
        else:
            few_ticks(ax)
        if metric == "accuracy":
            ax.xaxis.set_major_formatter(PercentFormatter(1, 0))
        ax.set_yticks(range(len(rows)), list(rows))
        ax.set_ylim(len(rows) - 0.6, -0.7)
        ax.margins(x=0.25)
        ax.set_xlabel(spoken(metric) + (" (logarithmic)" if log else ""))
        ax.tick_params(axis="y", length=0)

    said = "; ".join(f"{name}: {one}" for name, one in rows.items())
    return draw(paint, f"{spoken(metric)[:1].upper()}{spoken(metric)[1:]}, mean and spread over the seeds. {said}.", size=(3.9, 3.2))


@cache
def few_cars() -> tuple[np.ndarray, np.ndarray]:
    """Weight and mileage of 60 cars of the world, each (60,)."""
    table = cars_table("world:cars", 60, 0)
    return table.WGT.to_numpy(), table.MPG.to_numpy()


@cache
def two_moons() -> tuple[np.ndarray, np.ndarray]:
    """Two hundred points of two classes that no line parts."""
    drawn = make_world("moons(width=0.37, flip=0.03)").sample(200, 0)
    return drawn.x, drawn.y


def descend(model: nn.Module, loss: Callable[[], Tensor], steps: int, lr: float) -> list[float]:
    """Train in place by Adam on all samples at once; gives the loss before each step."""
    optimizer, losses = Adam(model.parameters(), lr=lr), []
    for _ in range(steps):
        optimizer.zero_grad()
        now = loss()
        now.backward()
        optimizer.step()
        losses.append(float(now.detach()))
    return losses


def seeded(make: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    """A model whose start depends on the seed alone; the global generator is left as it was."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return make()


def blank(ax: Axes, width: float, height: float) -> None:
    """Make the axes a sheet for a diagram: units of length alike, nothing drawn."""
    ax.set(xlim=(0, width), ylim=(0, height), aspect="equal")
    ax.set_axis_off()


def node(ax: Axes, at: tuple[float, float], words: str, colour: str = INK, radius: float = 0.42) -> None:
    """A circle with words in it."""
    from matplotlib.patches import Circle

    ax.add_patch(Circle(at, radius, facecolor="none", edgecolor=colour, linewidth=1.4))
    ax.text(*at, words, ha="center", va="center", color=colour, fontsize=9)


def arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float], colour: str = INK, gap: float = 0.45) -> None:
    """An arrow between two nodes that ends where their circles begin."""
    length = max(((end[0] - start[0]) ** 2 + (end[1] - start[1]) ** 2) ** 0.5, 1e-9)
    dx, dy = (end[0] - start[0]) / length * gap, (end[1] - start[1]) / length * gap
    way = {"arrowstyle": "->", "color": colour, "linewidth": 1.0}
    ax.annotate("", (end[0] - dx, end[1] - dy), (start[0] + dx, start[1] + dy), arrowprops=way)


__all__ = ["PICTURES", "arrow", "blank", "descend", "draw", "few_cars", "figure", "measured", "node", "picture", "seeded", "two_moons"]
