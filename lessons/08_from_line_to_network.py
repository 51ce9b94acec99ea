# %% [markdown]
# # From a line to a network
#
# A line cannot bend. Put a second layer behind it and it still cannot; put one small function between the two and
# it can follow any curve. What does that function add, and does the network then know more about cars, or only
# about the cars it has seen?

# %% tags=["about"]
covers = ["L06", "L07"]
rung = 4
minutes = 50

# %%
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from rungbook.book import Slider, refuses, show, source, table
from rungbook.data.load import load_data
from rungbook.plot.style import FOURTH, INK, TRAIN, VALID, Picture, draw, number, sheet
from rungbook.recipes.book.lines import all_samples, by_autograd, by_formula, least_squares
from rungbook.recipes.quotes import quote

# %% [markdown]
# ## The same line three times
#
# Lesson 7 fitted a line with one input. With two inputs nothing changes but the sizes: a [linear
# layer](#linear-layer) multiplies a batch of rows by a weight for each input and adds a bias. Here are 1,000 points
# of $y = 2 x_1 - 3.4 x_2 + 4.2$ with a little noise, of which 900 are for training, and the training loop three
# times, for three epochs from the same start over the same batches of ten.
#
# First everything by hand, the gradient too:

# %%
show(source(by_formula))
data = load_data("world:line(weights=(2, -3.4), bias=4.2, noise=0.01)", valid=0.1, test=0.1, batch_size=10, seed=0)
x, y = (t.double() for t in all_samples(data, "train"))
batches = [index for epoch in range(3) for index in data.train.order(epoch).split(10)]
torch.manual_seed(0)
start = 0.01 * torch.randn(2, 1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
by_hand = by_formula(x, y, *start, batches, 0.03)
print(f"{len(x)} points, {len(batches)} steps: weights {by_hand[0].flatten().tolist()}, bias {by_hand[1].item():.4f}")
assert len(x) == 900

# %% [markdown]
# Then with the derivatives left to autograd, and last the concise form, as you will write it from now on: a layer,
# a loss, an optimiser. The concise form runs twice, once with torch's parts and once with ours.

# %%
from rungbook.scratch import nn as own_nn
from rungbook.scratch.optim import SGD


def concise(linear: type[nn.Module], optimizer: type[torch.optim.Optimizer]) -> tuple[torch.Tensor, torch.Tensor]:
    """The same three epochs with a layer and an optimiser."""
    model = linear(2, 1, dtype=torch.float64)
    with torch.no_grad():
        model.weight.copy_(start[0].T)
        model.bias.copy_(start[1])
    steps = optimizer(model.parameters(), lr=0.03)
    for index in batches:
        loss = F.mse_loss(model(x[index]), y[index])
        steps.zero_grad()
        loss.backward()
        steps.step()
    return model.weight.detach().T, model.bias.detach()


ways = {
    "formula": by_hand,
    "autograd": by_autograd(x, y, *start, batches, 0.03),
    "torch.nn, torch.optim": concise(nn.Linear, torch.optim.SGD),
    "rungbook.scratch": concise(own_nn.Linear, SGD),
    "least squares": tuple(t.reshape(s.shape) for t, s in zip(least_squares(x, y), start, strict=True)),
}
ends = {name: torch.cat([w.flatten(), b.flatten()]) for name, (w, b) in ways.items()}
show(
    table(
        [
            {
                "way": name,
                "w1": e[0].item(),
                "w2": e[1].item(),
                "b": e[2].item(),
                "from the formula": f"{(e - ends['formula']).abs().max():.0e}",
            }
            for name, e in ends.items()
        ]
    )
)
for name in ("autograd", "torch.nn, torch.optim", "rungbook.scratch"):
    torch.testing.assert_close(ends[name], ends["formula"], rtol=0, atol=1e-12)
torch.testing.assert_close(ends["formula"], ends["least squares"], rtol=0, atol=3e-3)

# %% [markdown]
# The three ways that walk by the formula's gradient end at the same numbers; least squares, which goes all the way,
# is a step further. Over five seeds, on 10,000 new points, the recipe `line_by_hand` finds a mean squared error
# of <!-- ledger: line_by_hand | by hand | test mean_squared_error -->0.000101 ± 1e-06<!-- / --> by hand and
# of <!-- ledger: line_by_hand | Learner | test mean_squared_error -->0.000101 ± 1e-06<!-- / --> by the library's
# Learner. The variance of the noise, below which nothing can go,
# is <!-- ledger: line_by_hand | limit mean_squared_error -->0.0001<!-- / -->.
#
# One trap: the course's version by hand halves the squared error, its short version does not. Half the loss has
# half the gradient, so the two take steps of different length at the same [learning rate](#learning-rate), and end
# at different numbers:

# %%
halved = by_formula(x, y, *start, batches, 0.03 / 2)  # the steps that half the loss would take
apart = (halved[0] - by_hand[0]).abs().max().item()
print(f"with half the loss the weights end {apart:.1e} away from the others")
assert apart > 1e-6

# %% [markdown]
# ## The cars, by a layer and Adam
#
# The cars of lesson 7 again: 392 of a world made like Auto-MPG, and 5,000 new ones to judge by. The course gives
# the line to [Adam](#adam), with a learning rate of 1 and 70 steps. A rate of 1 sounds wild. Adam divides the
# gradient by its own size, so that each weight's first step is as long as the learning rate, whatever the slope:

# %%
from rungbook.recipes.book.cars import cars_table, closed_form, squared_error


class Cars:
    """Cars to learn from and new ones to judge by, standardised by the mean and spread of the former.

    Args:
        n: how many to learn from; as many as the real set has if None.
        seed: of the world's draw.
    """

    def __init__(self, n: int | None, seed: int) -> None:
        self.own, new = cars_table("world:cars", n, seed), cars_table("world:cars", 5000, 1000 + seed)
        self.mean, self.std = self.own.mean(), self.own.std(ddof=0)
        self.z, self.y = self._scaled(self.own)
        self.new_z, self.new_y = self._scaled(new)

    def _scaled(self, cars) -> list[torch.Tensor]:
        scaled = ((cars - self.mean) / self.std).astype("float32")
        return [torch.tensor(scaled[name].to_numpy())[:, None] for name in ("WGT", "MPG")]  # (n, 1) each

    def errors(self, model: nn.Module) -> dict[str, float]:
        """Mean squared error in MPG squared."""
        with torch.no_grad():
            pairs = {"train": (self.z, self.y), "new cars": (self.new_z, self.new_y)}
            return {name: F.mse_loss(model(z), y).item() * self.std.MPG**2 for name, (z, y) in pairs.items()}


first = Cars(None, seed=0)
# as the course has it: only the weight is standardised
mileage = torch.tensor(first.own.MPG.to_numpy(dtype="float32"))[:, None]
torch.manual_seed(0)
model = nn.Linear(1, 1)
adam = torch.optim.Adam(model.parameters(), lr=1.0)
way = [(model.bias.item(), model.weight.item())]
for _ in range(70):
    loss = F.mse_loss(model(first.z), mileage)
    adam.zero_grad()
    loss.backward()
    adam.step()
    way.append((model.bias.item(), model.weight.item()))
weight_lb = first.own.WGT.to_numpy()
exact = closed_form(weight_lb, first.own.MPG.to_numpy())
best = float(squared_error(weight_lb, first.own.MPG.to_numpy(), exact.intercept, exact.slope))
end = F.mse_loss(model(first.z), mileage).item()
print(
    f"first step: {np.round(np.subtract(way[1], way[0]), 3).tolist()}; after 70 steps {end - best:.2g} above the best line"
)
assert np.allclose(np.abs(np.subtract(way[1], way[0])), 1, atol=1e-3)
assert 0 < end - best < 2

# %% [markdown]
# An intercept of about 23 is 23 such steps away: that is why the rate is 1, and why it would be far too much for a
# target that is standardised too, as ours are from here on. The course's 18.776 on the real cars, where the best
# line has 18.677, is the same thing: 70 steps end a little short. The line is no better for being called a layer.
#
# ## Two layers are one
#
# Put a second linear layer behind the first, with any number of units in between. Does the model get richer?
# Multiply it out:
#
# $$W_2 (W_1 x + b_1) + b_2 = (W_2 W_1) x + (W_2 b_1 + b_2).$$
#
# It is a line again, whatever is in between. The library's function does this multiplication for as many layers as
# you like:

# %%
from rungbook.models.tabular.mlp import MLP
from rungbook.recipes.book.cars import stacked_line

show(source(stacked_line))
torch.manual_seed(0)
deep = MLP(1, 1, hidden=(10, 20, 10), activation="identity").double()
z = torch.linspace(-3, 3, 61, dtype=torch.float64)[:, None]
slope, bend = stacked_line(deep)
with torch.no_grad():
    print(
        f"{sum(p.numel() for p in deep.parameters())} weights, and all they say is {slope.item():.4f} z + {bend.item():.4f}"
    )
    torch.testing.assert_close(deep(z), slope * z + bend, rtol=0, atol=1e-12)

# %% [markdown]
# ## What one ReLU adds: a kink
#
# Between the layers belongs a function that is no line, the [activation](#activation). The plainest is the
# [ReLU](#relu), $\max(0, s)$. A hidden unit with weight $w$, bias $c$ and outgoing weight $a$ contributes
# $a \max(0, w z + c)$: nothing on one side of the point $z = -c/w$, a slope of $a w$ on the other. At that point the
# slope jumps by $a |w|$. Nothing else happens: one unit, one kink.

# %%
units = [
    ("relu(z)", [(1.0, 1.0, 0.0)]),
    ("-2 relu(1 - z)", [(-2.0, -1.0, 1.0)]),
    ("both added", [(1.0, 1.0, 0.0), (-2.0, -1.0, 1.0)]),
]


# %% tags=["hide-input"]
def paint_units(name, parts):
    def paint(ax):
        line = np.linspace(-2, 2, 81)
        ax.plot(line, sum(a * np.maximum(0, w * line + c) for a, w, c in parts), color=VALID)
        for _, w, c in parts:
            ax.axvline(-c / w, color=INK, linewidth=0.6, alpha=0.5, linestyle=(0, (3, 2)))
        ax.set(title=name, xlabel="z", ylim=(-6.5, 2.5))

    return paint


said = "; ".join(f"{name}: kinks at {', '.join(f'{-c / w:g}' for _, w, c in parts)}" for name, parts in units)
show(sheet([paint_units(*unit) for unit in units], f"Hidden units and their sum. {said}.", columns=3))

# %% [markdown]
# So a network with one hidden layer of $n$ ReLUs is a chain of at most $n + 1$ straight pieces. Check it on a network
# with random weights: the slope changes at the computed places, by the computed amount, and nowhere else: straight
# lines from kink to kink are the whole network.

# %%
torch.manual_seed(3)
net = MLP(1, 1, hidden=(6,)).double()
inner, outer = net.layers[0], net.layers[2]
w, c, a = inner.weight.detach()[:, 0], inner.bias.detach(), outer.weight.detach()[0]
order = (-c / w).argsort()
kinks, jumps = (-c / w)[order], (a * w.abs())[order]
edges = torch.cat([kinks[:1] - 1, kinks, kinks[-1:] + 1])
with torch.no_grad():
    third = (edges[1:] - edges[:-1]) / 3  # two points inside each straight piece
    left, right = net((edges[:-1] + third)[:, None])[:, 0], net((edges[1:] - third)[:, None])[:, 0]
    slopes = (right - left) / third
show(
    table(
        [
            {"kink at": k.item(), "jump a|w|": j.item(), "slope after - before": d.item()}
            for k, j, d in zip(kinks, jumps, slopes.diff(), strict=True)
        ]
    )
)
torch.testing.assert_close(slopes.diff(), jumps, rtol=0, atol=1e-9)
fine = torch.linspace(edges[0].item(), edges[-1].item(), 1001, dtype=torch.float64)
with torch.no_grad():
    pieces = np.interp(fine, edges, net(edges[:, None])[:, 0])
    torch.testing.assert_close(net(fine[:, None])[:, 0], torch.tensor(pieces), rtol=0, atol=1e-12)

# %% [markdown]
# Enough straight pieces follow any curve. Below, the kinks are put at even distances by hand and only the outgoing
# weights are fitted, by least squares, so that nothing depends on luck. With twice the units the largest error
# falls to about a quarter. Move the number of units:


# %%
grid = torch.linspace(-3, 3, 601, dtype=torch.float64)
curve = torch.sin(2 * grid) + 0.3 * grid


def by_units(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The curve as well as n ReLUs with evenly spread kinks can follow it, and where the kinks are."""
    places = torch.linspace(-3, 3, n + 1, dtype=torch.float64)[:-1]
    hidden = torch.cat(
        [torch.ones(len(grid), 1, dtype=torch.float64), torch.relu(grid[:, None] - places)], 1
    )  # (601, 1 + n)
    return hidden @ torch.linalg.lstsq(hidden, curve[:, None]).solution[:, 0], places


# %% tags=["hide-input"]
def followed(n: int) -> Picture:
    fitted, places = by_units(n)

    def paint(ax):
        ax.plot(grid, curve, color=INK, linewidth=0.8, alpha=0.6)
        ax.plot(grid, fitted, color=VALID)
        ax.plot(places, torch.full_like(places, -2.6), "|", color=TRAIN, markersize=8)
        ax.set(xlabel="z", ylim=(-2.8, 2.8))

    return draw(
        paint,
        f"A wave and a sum of ReLU, {n} in all, that follows it with a largest error of {number((fitted - curve).abs().max().item())}.",
    )


numbers = (1, 2, 4, 8, 16, 32)
show(Slider("units", {str(n): followed(n) for n in numbers}, start="8"))

# %%
worst = {n: (by_units(n)[0] - curve).abs().max().item() for n in (16, 32, 64)}
print({n: round(error, 5) for n, error in worst.items()})
assert 2.5 < worst[16] / worst[32] < 6 and 2.5 < worst[32] / worst[64] < 6

# %% [markdown]
# That one hidden layer can follow any continuous curve is a theorem ([Cybenko, 1989](#cybenko1989); for every
# activation that is no polynomial: [Leshno et al., 1993](#leshno1993)). It says that good weights exist. It says
# neither that gradient descent finds them, nor that a curve through the training points is right between them.
#
# ## Seven models on the same cars
#
# A line, two linear layers, 1 ReLU, 5 ReLU, 5 [sigmoids](#sigmoid) (smooth steps instead of kinks), two hidden
# layers of ten, and 1,000 ReLU. All get the same 100 steps of Adam and the same learning rate, which rises and
# falls; five seeds draw new cars and new weights.

# %%
from rungbook.data.worlds.registry import make_world
from rungbook.recipes.book.cars import CarsNetwork

MSE = "mean_squared_error"


def train(hidden: tuple[int, ...], cars: Cars, seed: int, activation: str = "relu", steps: int = 100) -> nn.Module:
    """A network trained on all its cars at once."""
    torch.manual_seed(seed)
    model = MLP(1, 1, hidden=hidden, activation=activation)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05, foreach=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.05, total_steps=steps)
    for _ in range(steps):
        loss = F.mse_loss(model(cars.z), cars.y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return model


sets = [first, *(Cars(None, seed) for seed in range(1, 5))]
models = {
    name: [train(cars=cars, seed=seed, **kind) for seed, cars in enumerate(sets)]
    for name, kind in CarsNetwork.variants.items()
}
errors = {name: [cars.errors(one) for one, cars in zip(each, sets, strict=True)] for name, each in models.items()}


def told(values: list[float]) -> str:
    return f"{np.mean(values):.2f} ± {np.std(values, ddof=1):.2f}"


splits = ("train", "new cars")
show(table([{"model": name, **{s: told([e[s] for e in each]) for s in splits}} for name, each in errors.items()]))
print("1 ReLU, seed by seed:", [round(float(e["train"]), 1) for e in errors["1 ReLU"]])


# %% tags=["hide-input"]
def paint_model(name):
    def paint(ax):
        ax.plot(first.z[::3, 0], first.y[::3, 0], "o", color=TRAIN, markersize=2, alpha=0.5, markeredgewidth=0)
        line = torch.linspace(-1.6, 2.4, 161)[:, None]
        with torch.no_grad():
            for i, one in enumerate(models[name]):
                ax.plot(
                    line[:, 0],
                    one(line)[:, 0],
                    color=VALID if i == 0 else FOURTH,
                    linewidth=1.8 if i == 0 else 0.7,
                    zorder=3 - i,
                )
        ax.set(title=name, xlabel="weight (standardised)", ylabel="MPG (stand.)", ylim=(-2.8, 2.8))

    return paint


said = "; ".join(f"{name}: on new cars {told([e['new cars'] for e in each])}" for name, each in errors.items())
show(
    sheet(
        [paint_model(name) for name in models],
        f"Curves of seven models, five seeds each, mean squared error. {said}.",
        columns=3,
        size=(2.3, 1.9),
    )
)

# %% [markdown]
# Four things to see.
#
# - *Two linear layers* are the line, as the multiplication said.
# - *One ReLU* is a matter of luck. It can fall dead: where $w z + c$ is below zero for every car, its output is zero,
#   its [gradient](#gradient) is zero, and nothing will ever move it. The model then says the mean for every car.
# - *1,000 ReLU* fit the cars they learned from better than the line at every seed, and new cars worse at every
#   seed. In this world the truth is a line. What the network learned beyond it is the noise of 392 cars:
#   [overfitting](#overfitting).
# - No curve comes below the variance of the noise on new cars, by more than chance.

# %%
line, stacked, wide = errors["a line"], errors["2 linear layers"], errors["1000 ReLU"]
assert all(abs(s["train"] - e["train"]) < 0.1 for s, e in zip(stacked, line, strict=True))
assert all(w["train"] < e["train"] and w["new cars"] > e["new cars"] for w, e in zip(wide, line, strict=True))
noise = make_world("world:cars").limit(MSE).value  # its variance
assert min(e["new cars"] for each in errors.values() for e in each) > noise - 2  # 5,000 cars: give or take about 0.6
for name, one in (("dead at birth", -4.0), ("alive", 0.0)):
    unit = MLP(1, 1, hidden=(1,))
    with torch.no_grad():
        unit.layers[0].weight.fill_(1.0)
        unit.layers[0].bias.fill_(one)  # the kink lies at 4 standard deviations: no car is that heavy
    F.mse_loss(unit(first.z), first.y).backward()
    gradient = unit.layers[0].weight.grad.abs().item()
    print(f"{name}: gradient of the hidden weight {gradient:.3g}")
    assert (gradient == 0) == (name == "dead at birth")
variance = first.y.var(correction=0).item() * first.std.MPG**2
died = [e for e in errors["1 ReLU"] if e["train"] > 40]
print(f"{len(died)} of 5 single ReLUs died; saying the mean for every car costs {variance:.1f}")

# %% [markdown]
# ## With thirty cars
#
# How badly a wide network overfits depends on how much there is to learn from. The same two models, thirty cars and
# five seeds: the wide one has far less error on its own cars, and far more on new ones.

# %%
few = [Cars(30, seed) for seed in range(5)]
small = {
    "a line": [cars.errors(train((), cars, seed)) for seed, cars in enumerate(few)],
    "1000 ReLU": [cars.errors(train((1000,), cars, seed, steps=300)) for seed, cars in enumerate(few)],
}
show(
    table([{"model, 30 cars": name, **{s: told([e[s] for e in each]) for s in splits}} for name, each in small.items()])
)
assert all(
    w["train"] < 0.9 * e["train"] and w["new cars"] > e["new cars"] + 2
    for w, e in zip(small["1000 ReLU"], small["a line"], strict=True)
)
means = {name: {s: np.mean([e[s] for e in each]) for s in splits} for name, each in small.items()}
assert means["1000 ReLU"]["train"] < 0.7 * means["a line"]["train"]
assert means["1000 ReLU"]["new cars"] > 1.4 * means["a line"]["new cars"]


# %% [markdown]
# ## The real cars
#
# The course judges its networks on the cars they were trained on, and there the widest is the best, with 16.569.
# The recipe `cars_network` does the same ("fit"), and beside it holds out a fifth of the cars ("test"):

# %%
KEY = "cars_network data=auto-mpg"
show(
    table(
        [
            {
                "model (real cars)": name,
                "fit, as the course judges": str(quote(KEY, name, "fit", MSE)),
                "test": str(quote(KEY, name, "test", MSE)),
            }
            for name in CarsNetwork.variants
        ]
    )
)
reported = {r.variant: r.value for r in CarsNetwork.reported}
assert reported["1000 ReLU"] == 16.569 and reported["a line"] == 18.776
assert abs(quote("cars data=auto-mpg", "closed form", "fit", MSE).mean - 18.677) < 1e-3
assert quote(KEY, "5 ReLU", "fit", MSE).mean < quote(KEY, "a line", "fit", MSE).mean - 1

from rungbook.recipes.ledger import load_ledger

entry = load_ledger().get(KEY)
single = entry.figure("1 ReLU", "fit", MSE)["values"]
print("1 ReLU on the real cars, seed by seed:", [round(v, 1) for v in single])
assert min(single) < 20 and max(single) > 60
for name in ("5 ReLU", "5 sigmoid", "3 layers", "1000 ReLU"):
    gain = np.subtract(entry.figure("a line", "test", MSE)["values"], entry.figure(name, "test", MSE)["values"])
    print(
        f"{name} against the line on test, split by split: {told(list(gain))} better, {np.sum(gain > 0)} of {len(gain)} splits"
    )
    assert abs(gain.mean()) < gain.std(ddof=1)  # within one standard deviation: no verdict

# %% [markdown]
# On the cars they were fitted to, every curve of five units or more beats the line by far more than the spread: 5
# ReLU have <!-- ledger: cars_network data=auto-mpg | 5 ReLU | fit mean_squared_error -->17.371 ± 0.050<!-- / -->, the
# line <!-- ledger: cars_network data=auto-mpg | a line | fit mean_squared_error -->18.715 ± 0.018<!-- / -->. On test
# the differences drown in the draw of the cars held out: whether a curve is better than a line for real cars cannot
# be told from these five splits. The first column could not have told us that.
#
# So: the function between the layers adds kinks, and kinks can follow any curve. With them the network knows more
# about the cars it has seen. That it knows more about cars, these data do not show.
#
# ## What people get wrong
#
# - Layers are stacked without an activation between them. Nothing fails; the model is a line with many weights.
# - An activation is put behind the *last* layer. A ReLU there can never say a number below zero, and a standardised
#   target is below zero about half of the time.
# - Networks are compared on the points they were trained on. The widest wins.
# - One seed is run. With a single ReLU one person reports less than 20 and the next more than 60.
#
# ## Exercises
#
# ### Exercise 1: collapse
#
# Write `collapse(layers)`: a list of `nn.Linear` one after another becomes a single `nn.Linear` that answers the
# same. A right answer agrees in float64 for every input, for any number of layers.


# %%
def check_collapse(collapse):
    torch.manual_seed(0)
    for widths in ((3, 5, 2), (4, 1, 6, 3), (2, 2)):
        layers = [nn.Linear(i, o, dtype=torch.float64) for i, o in pairwise(widths)]
        x = torch.randn(7, widths[0], dtype=torch.float64)
        one = collapse(layers)
        assert tuple(one.weight.shape) == (widths[-1], widths[0]), (
            f"the weight is {tuple(one.weight.shape)}: which product of matrices?"
        )
        with torch.no_grad():
            assert torch.allclose(one(x), nn.Sequential(*layers)(x)), (
                "it answers something else; do the biases go through later layers?"
            )


# %% tags=["solution"]
def collapsed(layers, biases=True, backwards=False):
    with torch.no_grad():
        weight, bias = layers[0].weight, layers[0].bias
        for layer in layers[1:]:
            bias = layer.weight @ bias + layer.bias if biases else layer.bias
            weight = weight @ layer.weight if backwards else layer.weight @ weight
        one = nn.Linear(weight.shape[1], weight.shape[0], dtype=torch.float64)
        one.weight.copy_(weight)
        one.bias.copy_(bias)
    return one


def last_only(layers):
    return layers[-1]


check_collapse(collapsed)
refuses(check_collapse, lambda layers: collapsed(layers, biases=False), last_only)

# %% [markdown]
# ### Exercise 2: where are the kinks?
#
# Write `kinks(layer)`: for a hidden layer `nn.Linear(1, n)` in front of a ReLU the places of its kinks, sorted. A
# unit whose weight is zero has none. A right answer names each place where the slope of some network with this
# layer jumps.


# %%
def check_kinks(kinks):
    for weights, biases, places in (
        ([2.0, -1.0, 0.0, 0.5], [1.0, 3.0, 1.0, 1.0], [-2.0, -0.5, 3.0]),
        ([0.0, 0.001, -4.0], [0.0, 0.002, -4.0], [-2.0, -1.0]),
    ):
        layer = nn.Linear(1, len(weights))
        with torch.no_grad():
            layer.weight.copy_(torch.tensor(weights)[:, None])
            layer.bias.copy_(torch.tensor(biases))
        got = [float(k) for k in kinks(layer)]
        assert len(got) == len(places), f"{len(got)} kinks, there are {len(places)}: a unit of weight 0 is a constant"
        assert got == sorted(got), f"{got} are not sorted"
        assert np.allclose(got, places), f"{got}: where is w z + c zero?"


# %% tags=["solution"]
def right_kinks(layer):
    w, c = layer.weight.detach()[:, 0], layer.bias.detach()
    return (-c[w != 0] / w[w != 0]).sort().values


check_kinks(right_kinks)
refuses(
    check_kinks,
    lambda layer: (-layer.bias / layer.weight[:, 0]).detach().sort().values,
    lambda layer: (layer.bias / layer.weight[:, 0]).detach()[[0, 1, 3]].sort().values,
    lambda layer: (-layer.bias / layer.weight[:, 0]).detach()[[0, 1, 3]],
    lambda layer: [-2.0, -0.5, 3.0],
    lambda layer: right_kinks(layer)[: (layer.weight.abs() > 0.1).sum()],
)

# %% [markdown]
# ### Exercise 3: a tent
#
# Write `tent()`: a network `nn.Sequential(nn.Linear(1, 3), nn.ReLU(), nn.Linear(3, 1))` that is 0 up to $z = 0$,
# rises to 1 at $z = 1$, falls to 0 at $z = 2$, and stays there. A right answer is exact. Tents side by side build
# any curve of straight pieces.


# %%
def check_tent(tent):
    net = tent()
    assert [type(part).__name__ for part in net] == ["Linear", "ReLU", "Linear"] and net[0].out_features == 3, (
        "three units, one ReLU layer"
    )
    z = torch.tensor([-5.0, 0.0, 0.5, 1.0, 1.5, 2.0, 7.0])[:, None]
    with torch.no_grad():
        got = net(z)[:, 0]
    assert torch.allclose(got, torch.tensor([0.0, 0.0, 0.5, 1.0, 0.5, 0.0, 0.0]), atol=1e-5), (
        f"at {z[:, 0].tolist()} it says {got.tolist()}"
    )


# %% tags=["solution"]
def tent_of(inner_bias, outer):
    net = nn.Sequential(nn.Linear(1, 3), nn.ReLU(), nn.Linear(3, 1))
    with torch.no_grad():
        net[0].weight.fill_(1.0)
        net[0].bias.copy_(torch.tensor(inner_bias))
        net[2].weight.copy_(torch.tensor([outer]))
        net[2].bias.zero_()
    return net


check_tent(lambda: tent_of([0.0, -1.0, -2.0], [1.0, -2.0, 1.0]))
refuses(
    check_tent,
    lambda: tent_of([0.0, -1.0, -2.0], [1.0, -1.0, 0.0]),
    lambda: tent_of([0.0, -1.0, -2.0], [1.0, -2.0, 0.0]),
    lambda: tent_of([0.0, 1.0, 2.0], [1.0, -2.0, 1.0]),
)

# %% [markdown]
# ## Sources
#
# - One hidden layer follows any curve: [Cybenko, 1989](#cybenko1989) for sigmoids, [Leshno et al.,
#   1993](#leshno1993) for every activation that is no polynomial.
# - ReLU in networks: [Nair and Hinton, 2010](#nair2010); units that die: [Maas et al., 2013](#maas2013).
# - Adam: [Kingma and Ba, 2015](#kingma2015).
# - The line by hand and concise: [Zhang et al., 2023](#zhang2023), sections 3.4 and 3.5.
# - The courses this lesson follows: [Fundamentals of Deep Learning](#fdl), notebook 2, and the [Deep Learning
#   Handbook](#dlh), linear regression. The cars: [Quinlan, 1993](#quinlan1993).
