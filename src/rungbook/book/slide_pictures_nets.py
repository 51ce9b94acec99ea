"""The pictures of the slides about what networks are made of: neurons, layers, embeddings, convolution, attention."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import cache, partial

import numpy as np
import torch
from matplotlib.axes import Axes
from torch import Tensor, nn

from rungbook.book.slide_table import PICTURES, arrow, blank, descend, draw, node, picture, seeded, two_moons
from rungbook.data.worlds.registry import make_world
from rungbook.models.tabular.mlp import MLP
from rungbook.plot.plane import decision_boundary
from rungbook.plot.style import FOURTH, INK, THIRD, TRAIN, VALID, Picture, number, sheet
from rungbook.scratch import functional as F


@picture
def neuron() -> Picture:
    """Two inputs, a weighted sum, a bend."""
    inputs, weights, bias = (1.5, -0.5), (0.8, -1.2), -0.3
    total = sum(w * x for w, x in zip(weights, inputs, strict=True)) + bias
    out = float(torch.relu(torch.tensor(total)))

    def paint(ax: Axes) -> None:
        blank(ax, 6.6, 4)
        places = ((0.6, 3.0), (0.6, 1.0))
        for x, w, at in zip(inputs, weights, places, strict=True):
            node(ax, at, f"{x:g}", TRAIN)
            arrow(ax, at, (3, 2), gap=0.5)
            ax.text((at[0] + 3) / 2, (at[1] + 2) / 2 + 0.25, f"w = {w:g}", ha="center", color=VALID)
        node(ax, (3, 2), f"{total:.1f}", INK, 0.5)
        ax.text(3, 0.9, f"b = {bias:g}", ha="center", color=VALID)
        ax.text(3, 2.75, "sum", ha="center")
        arrow(ax, (3, 2), (5.7, 2), gap=0.5)
        ax.text(4.35, 2.2, "ReLU", ha="center")
        node(ax, (5.7, 2), f"{out:.1f}", THIRD)

    terms = " + ".join(f"{w:g} x {x:g}" for w, x in zip(weights, inputs, strict=True))
    return draw(paint, f"A neuron: {terms} + {bias:g} = {total:.1f}, and ReLU gives {out:.1f}.", size=(3.8, 2.4))


@picture
def activations() -> Picture:
    """Four functions that bend."""
    z = torch.linspace(-4, 4, 161, dtype=torch.float64)
    curves = {"ReLU": (torch.relu(z), TRAIN, "-"), "GELU": (F.gelu(z), VALID, "--"), "sigmoid": (F.sigmoid(z), THIRD, "-.")}
    curves["tanh"] = (F.tanh(z), FOURTH, ":")

    def paint(ax: Axes) -> None:
        for name, (values, colour, style) in curves.items():
            ax.plot(z, values, color=colour, linestyle=style, label=name)
        ax.set(xlabel="z", ylabel="activation", ylim=(-1.3, 4))
        ax.legend(frameon=False)

    at = {name: (float(v[40]), float(v[120])) for name, (v, _, _) in curves.items()}  # z is -2 and 2 there
    return draw(paint, "At -2 and at 2: " + "; ".join(f"{n} {number(a)} and {number(b)}" for n, (a, b) in at.items()) + ".")


@picture
def layers() -> Picture:
    """A small network as circles and lines, with its weights counted."""
    widths = (3, 5, 4, 2)
    model = MLP(widths[0], widths[-1], hidden=widths[1:-1])
    counts = [sum(p.numel() for p in layer.parameters()) for layer in model.modules() if isinstance(layer, nn.Linear)]

    def paint(ax: Axes) -> None:
        blank(ax, 8.4, 6.2)
        places = [[(0.6 + 2.4 * i, 3.4 + 1.05 * (j - (n - 1) / 2)) for j in range(n)] for i, n in enumerate(widths)]
        for left, right in itertools.pairwise(places):
            for a in left:
                for b in right:
                    ax.plot([a[0] + 0.35, b[0] - 0.35], [a[1], b[1]], color=INK, linewidth=0.4, alpha=0.6)
        for column, colour in zip(places, (TRAIN, INK, INK, THIRD), strict=True):
            for at in column:
                node(ax, at, "", colour, 0.35)
        for i, count in enumerate(counts):
            ax.text(1.8 + 2.4 * i, 0.1, f"{count} numbers", ha="center", color=VALID)

    said = f"A network with {', '.join(map(str, widths))} units from left to right, each joined with all of the layer before"
    return draw(paint, f"{said}; weights and biases between them: {', '.join(map(str, counts))}, {sum(counts)} in all.", size=(3.9, 2.9))


def _squared(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Mean squared error of a model's answers."""
    return F.mse_loss(model(x), y)


@picture
def bends() -> Picture:
    """The same network with and without a bend in it, on a wave."""
    drawn = make_world("sinusoid").sample(80, 0)
    x, y = torch.tensor(drawn.x), torch.tensor(drawn.y)
    z = (x - x.mean()) / x.std()
    grid = torch.linspace(float(x.min()), float(x.max()), 200)[:, None]
    fits: dict[str, tuple[Tensor, float]] = {}
    for name, activation in (("without ReLU", "identity"), ("with ReLU", "relu")):
        model = seeded(partial(MLP, 1, 1, hidden=(30, 30), activation=activation))
        descend(model, partial(_squared, model, z, y), 350, 0.01)
        with torch.no_grad():
            fits[name] = model((grid - x.mean()) / x.std()), float(F.mse_loss(model(z), y))

    def paint(ax: Axes) -> None:
        ax.plot(x, y, "o", color=TRAIN, markersize=3, markeredgewidth=0, alpha=0.7)
        for (name, (curve, error)), colour in zip(fits.items(), (FOURTH, VALID), strict=True):
            ax.plot(grid, curve, color=colour, label=f"{name}: error {number(error)}")
        ax.set(xlabel="x", ylabel="y")
        ax.legend(frameon=False, fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)

    said = "; ".join(f"{name} {number(error)}" for name, (_, error) in fits.items())
    return draw(paint, f"{len(x)} points on a wave and three linear layers through them; mean squared error {said}.")


@picture
def moons_network() -> Picture:
    """The regions of a network with two hidden layers."""
    x, y = two_moons()
    inputs, classes = torch.tensor(x), torch.tensor(y)
    model = seeded(lambda: MLP(2, 2, hidden=(16, 16)))
    descend(model, lambda: F.cross_entropy(model(inputs), classes), 200, 0.02)

    def predict(at: np.ndarray) -> Tensor:
        with torch.no_grad():
            return F.softmax(model(torch.tensor(at, dtype=torch.float32)), dim=1)

    return decision_boundary(predict, x, y, feature_names=("x1", "x2"))


@cache
def word_vectors() -> dict[str, Tensor]:
    """Words of a small language -> two numbers each, learned by guessing the next word and the one before."""
    sentences = [s.split()[:-1] for s in make_world("translation").sample(1500, 0).x]
    words = sorted({w for s in sentences for w in s})
    number_of = {w: i for i, w in enumerate(words)}
    after = torch.zeros(len(words), len(words))
    for sentence in sentences:
        for a, b in itertools.pairwise(sentence):
            after[number_of[a], number_of[b]] += 1
    model = seeded(lambda: nn.ModuleList([nn.Embedding(len(words), 2), nn.Linear(2, len(words)), nn.Linear(2, len(words))]))
    vectors = model[0].weight  # type: ignore[index]

    def loss() -> Tensor:
        guesses = ((after, model[1]), (after.T, model[2]))  # type: ignore[index]
        return -sum((c * F.log_softmax(head(vectors), dim=1)).sum() / c.sum() for c, head in guesses)  # type: ignore[return-value]

    descend(model, loss, 300, 0.05)
    return dict(zip(words, vectors.detach(), strict=True))


def _groups(vectors: dict[str, Tensor], near: float = 1.1) -> list[list[str]]:
    """Words that lie nearer than `near` to the first of their group."""
    groups: list[list[str]] = []
    for word, at in vectors.items():
        for group in groups:
            if float((vectors[group[0]] - at).norm()) < near:
                group.append(word)
                break
        else:
            groups.append([word])
    return groups


@picture
def embedding() -> Picture:
    """Where the words of the small language have come to lie."""
    vectors = word_vectors()
    place, groups = torch.stack(list(vectors.values())).numpy(), _groups(vectors)
    edge = 0.5 * float(place[:, 0].max())  # what lies further right has its words on the left

    def paint(ax: Axes) -> None:
        ax.plot(*place.T, "o", color=TRAIN, markersize=3.5, markeredgewidth=0)
        for group in groups:
            across, up = torch.stack([vectors[w] for w in group]).mean(0).tolist()
            lines = "\n".join(" ".join(group[i : i + 2]) for i in range(0, len(group), 2))
            ax.annotate(lines, (across, up), (12 if across < edge else -12, 0), textcoords="offset points", fontsize=8, va="center",
                        ha="left" if across < edge else "right")  # fmt: skip
        ax.set(xlabel="first number", ylabel="second number")
        ax.margins(0.08)

    said = "; ".join(" ".join(group) for group in groups)
    return draw(paint, f"{len(vectors)} words, two learned numbers each. Words that lie together: {said}.", size=(3.9, 3.3))


@picture
def convolution() -> Picture:
    """An image, nine weights, and what they make of it."""
    from sklearn.datasets import load_digits

    image = torch.tensor(load_digits().images[7], dtype=torch.float32)
    weights = torch.tensor([[-1.0, -1, -1], [0, 0, 0], [1, 1, 1]])
    result = F.conv2d(image[None, None], weights[None, None])[0, 0]
    sheets = {f"image, {len(image)} x {len(image)}": image, "nine weights": weights, f"map, {len(result)} x {len(result)}": result}

    def panel(name: str, values: Tensor) -> Callable[[Axes], None]:
        def paint(ax: Axes) -> None:
            most = float(values.abs().max())
            ax.imshow(values.numpy(), cmap="RdBu_r", vmin=-most, vmax=most)
            for (i, j), v in np.ndenumerate(values.numpy()):
                ax.text(j, i, f"{v:.0f}", ha="center", va="center", fontsize=6, color="white" if abs(v) > 0.6 * most else "black")
            ax.set(title=name, xticks=[], yticks=[])
            ax.grid(False)

        return paint

    said = f"A digit of {len(image)} x {len(image)} pixels, weights {weights.int().tolist()}, and the map they give, {tuple(result.shape)}"
    edges = f"its largest value {result.max():.0f} stands where bright lies below dark, its smallest {result.min():.0f} where dark does"
    return sheet([panel(*pair) for pair in sheets.items()], f"{said}; {edges}.", columns=3, size=(2.3, 2.3))


@picture
def attention() -> Picture:
    """How much each word of a sentence takes from each other, by the learned vectors."""
    vectors = word_vectors()
    words = make_world("translation").sample(30, 1).x[3].split()[:-1]
    x = torch.stack([vectors[w] for w in words])
    weights = F.scaled_dot_product_attention(x, x, torch.eye(len(words)))  # values that tell the weights themselves
    most = [words[int(i)] for i in weights.argmax(1)]

    def paint(ax: Axes) -> None:
        ax.imshow(weights.numpy(), cmap="Blues", vmin=0, vmax=1)
        for (i, j), v in np.ndenumerate(weights.numpy()):
            ax.text(j, i, f"{v:.2f}".removeprefix("0"), ha="center", va="center", fontsize=7, color="white" if v > 0.5 else "black")
        ax.set_xticks(range(len(words)), words, rotation=40, ha="right")
        ax.set_yticks(range(len(words)), words)
        ax.set(xlabel="takes from", ylabel="word")
        ax.grid(False)

    said = ", ".join(f"{word} most from {other}" for word, other in zip(words, most, strict=True))
    return draw(paint, f'Weights of attention in "{" ".join(words)}", each row adds up to 1: {said}.', size=(3.8, 3.2))


__all__ = ["PICTURES", "word_vectors"]
