# %% [markdown]
# # How to begin
#
# Before a network learns anything it is filled with random numbers: its [initialisation](#initialisation). They carry no knowledge at all. Why does their
# size decide whether a deep network ever learns, and why does torch take the square root of five for it?

# %% tags=["about"]
covers = ["I01", "I02", "I03"]
rung = 8
minutes = 45

# %%
import math
from itertools import pairwise
from statistics import mean, stdev

import torch
from sklearn.datasets import load_digits
from torch import nn

from rungbook.book import refuses, show, source, table
from rungbook.learner.variance import layer_scales, propagate, random_matrices, survives
from rungbook.plot.style import INK, TRAIN, VALID, draw
from rungbook.plot.variants import variants
from rungbook.recipes.comparison import compare
from rungbook.scratch.nn import init

# %% [markdown]
# ## One hundred products
#
# Take 64 rows of 512 numbers, each drawn from the [normal distribution](#normal-distribution) with
# [mean](#mean) 0 and standard deviation 1. Multiply by a 512 x 512 [matrix](#matrix-product) of such numbers, and the
# result by another, a hundred times: a network with a hundred [layers](#layer) and nothing else in it. Three sizes
# of weights:

# %%
WIDTH, DEPTH = 512, 100
sizes = {"1": 1.0, "0.01": 0.01, "1 / sqrt(512)": 1 / math.sqrt(WIDTH)}
torch.manual_seed(0)
x = torch.randn(64, WIDTH)
runs = {}
for name, size in sizes.items():
    matrices = random_matrices(WIDTH, DEPTH, lambda weight, size=size: init.normal_(weight, std=size))
    runs[name] = propagate(x, matrices)
    went, last = survives(runs[name]), runs[name][-1]
    print(f"weights of size {name:<13}: {went:>3} products, then mean {last.mean:.3g}, deviation {last.std:.3g}")
assert (
    26 <= survives(runs["1"]) <= 29 and 65 <= survives(runs["0.01"]) <= 75 and survives(runs["1 / sqrt(512)"]) == DEPTH
)
assert 0.3 < runs["1 / sqrt(512)"][-1].std < 3

# %% tags=["hide-input"]
colours = dict(zip(sizes, (VALID, TRAIN, INK), strict=True))


def paint_scales(ax):
    for name, scales in runs.items():
        kept = [s for s in scales if s.finite and s.std > 0]
        ax.plot([int(s.name) for s in kept], [s.std for s in kept], color=colours[name], label=name)
    ax.set(yscale="log", xlabel="products", ylabel="standard deviation", ylim=(1e-46, 1e40))
    ax.legend(frameon=False, title="size of the weights")


show(
    draw(
        paint_scales,
        "Standard deviation after each product, on a logarithmic axis: with weights of size 1 it rises in a straight "
        f"line to the end of float32 after {survives(runs['1'])} products, with 0.01 it falls in a straight line to 0 after "
        f"{survives(runs['0.01'])}, with 1 / sqrt(512) it stays near 1 for all {DEPTH}.",
        size=(4.6, 2.8),
    )
)

# %% [markdown]
# With weights of size 1 the numbers leave the range of float32 (lesson 3) and become infinite, then
# [NaN](#nan). With 0.01 all of them become zero. In either case there is no [gradient](#gradient) left to learn
# from. The lines are straight because every layer multiplies the size by the same factor, and the factor follows
# from one sum. An output is $y = \sum_{i=1}^{n} w_i x_i$. If the weights have mean 0 and are independent of each
# other and of $x$, all mixed terms vanish from the [expectation](#expectation) of the square:
#
# $$E[y^2] = \sum_{i=1}^{n} E[w_i^2]\, E[x_i^2] = n \, \text{Var}(w) \, E[x^2]$$
#
# So the mean square grows by $n \text{Var}(w)$ a layer. Weights of size 1: by 512, the deviation by 22.6. Weights of
# size 0.01: the deviation by 0.226. It stays only where $\text{Var}(w) = 1/n$. The predictions for the two that fail:

# %%
largest, smallest = torch.finfo(torch.float32).max, 2.0**-149  # the last number above 0
for name, end in (("1", largest), ("0.01", smallest)):
    factor = sizes[name] * math.sqrt(WIDTH)
    predicted = abs(math.log(end)) / abs(math.log(factor))
    print(f"weights of size {name}: deviation times {factor:.3g} a product, the end after {predicted:.1f}")
    assert abs(predicted - survives(runs[name])) < 4

# %% [markdown]
# The course reports 28 products for the first, 0 for the second, and a deviation of 0.927 at the end of the third
# ([fast.ai, part 2, 02b](#fastai2019)). Ours of the last line differs from seed to seed: the factor is right on
# average, and the errors of a hundred layers add up.
#
# ## A half is lost at every ReLU
#
# Real networks have an [activation](#activation) behind each product. A ReLU sets what is below 0 to 0. For numbers
# that are as often negative as positive this takes away half of the mean square, and $\text{Var}(w) = 1/n$ is too
# small by a factor of two. [He et al., 2015](#he2015) put it back: $\text{Var}(w) = 2/n$.

# %%
show(source(init.kaiming_normal_))
ways = {
    "1 / n": lambda weight: init.normal_(weight, std=1 / math.sqrt(WIDTH)),
    "2 / n (Kaiming)": lambda weight: init.kaiming_normal_(weight, nonlinearity="relu"),
    "torch's default": lambda weight: init.kaiming_uniform_(weight, a=math.sqrt(5)),
}
deep = {}
for name, way in ways.items():
    torch.manual_seed(1)
    deep[name] = propagate(x, random_matrices(WIDTH, 50, way, activation=torch.relu))
    first, last = deep[name][0], deep[name][-1]
    print(f"{name:<16} deviation {first.std:.3f} after the first layer, {last.std:.2g} after the 50th")
assert 0.1 < deep["2 / n (Kaiming)"][-1].std < 5
assert deep["1 / n"][-1].std < 1e-6 and deep["torch's default"][-1].std < 1e-18

# %% [markdown]
# Half of the mean square a layer is a factor of $\sqrt{0.5} = 0.707$ for the deviation: $0.707^{50}$ is 3 in a
# hundred million, and that is what is left. For a normal $z$ all of this can be written down, also what a ReLU makes
# of the mean, which is no longer 0:
#
# $$E[\text{relu}(z)] = \frac{1}{\sqrt{2\pi}} = 0.399, \quad E[\text{relu}(z)^2] = \frac12, \quad
# \text{Var} = \frac12 - \frac{1}{2\pi} = 0.341$$

# %%
torch.manual_seed(2)
z = torch.randn(1_000_000, dtype=torch.float64).relu()
assert abs(z.mean() - 1 / math.sqrt(2 * math.pi)) < 0.003 and abs((z**2).mean() - 0.5) < 0.005
assert abs(z.var() - (0.5 - 1 / (2 * math.pi))) < 0.005
lower = z - 0.5
print(
    f"ReLU: mean {z.mean():.3f}, deviation {z.std():.3f}; lowered by 0.5: mean {lower.mean():.3f}, the deviation stays"
)

# %% [markdown]
# The rule of He looks at the mean square and not at the deviation, so the mean does it no harm. A course that wants
# the mean near 0 all the same lowers the ReLU by 0.5. It reports a mean of 0.107 behind a layer then
# ([fast.ai, 02](#fastai2019)).
#
# ## The way back
#
# The [gradient](#gradient) travels through the same matrices, the other way round: through a weight of shape
# (out, in) the forward sum has "in" terms and the backward one "out" terms. Where a layer is not square both cannot
# be kept. [Glorot and Bengio, 2010](#glorot2010) take the middle, $\text{Var}(w) = 2/(n_{in} + n_{out})$. Here a
# network whose layers narrow from 512 to 32, then widen again, without activations:

# %%
widths = [512, 256, 128, 64, 32, 64, 128, 256, 512]


def funnel(way, seed):
    torch.manual_seed(seed)
    layers = [nn.Linear(a, b, bias=False) for a, b in pairwise(widths)]
    for layer in layers:
        way(layer.weight)
    return nn.Sequential(*layers)


rules = {
    "1 / in": lambda w: init.normal_(w, std=1 / math.sqrt(w.shape[1])),
    "1 / out": lambda w: init.normal_(w, std=1 / math.sqrt(w.shape[0])),
    "2 / (in + out)": init.xavier_normal_,
}
rows = []
for name, way in rules.items():
    forward, backward = [], []
    for seed in range(5):
        torch.manual_seed(100 + seed)
        direction = torch.randn(256, 512)
        scales = layer_scales(funnel(way, seed), torch.randn(256, 512), lambda out, d=direction: (out * d).sum())
        middle = scales[3]  # 32 wide
        forward.append(middle.std)
        backward.append(middle.gradient)
    rows.append({"variance": name, "outputs in the middle": mean(forward), "gradient in the middle": mean(backward)})
show(table(rows))
assert 0.7 < rows[0]["outputs in the middle"] < 1.3 and 0.7 < rows[1]["gradient in the middle"] < 1.3
for what in ("outputs in the middle", "gradient in the middle"):
    low, high = sorted(row[what] for row in (rows[0], rows[1]))
    assert low < rows[2][what] < high

# %% [markdown]
# Each of the first two rules keeps one direction and lets the other grow or shrink fourfold; Glorot's lies between.
#
# ## Why the square root of five?
#
# torch fills `nn.Linear` and `nn.Conv2d` by `kaiming_uniform_(weight, a=sqrt(5))`. The `a` is meant to be the slope
# of a [leaky ReLU](#activation) below 0, and no network has a slope of 2.24 there. What does it amount to? For a
# slope $a$ the rule is $\text{Var}(w) = \frac{2}{(1 + a^2)\, n}$, which with $a^2 = 5$ is $\frac{1}{3n}$. And a
# variance of $\frac{1}{3n}$ is that of numbers drawn evenly between $-1/\sqrt{n}$ and $1/\sqrt{n}$, which is how
# Torch7, written in Lua, filled its layers before there was PyTorch. The square root of five says the old rule in the
# words of a new function. It was not chosen for any network. The older advice had been a *deviation* of $1/\sqrt n$
# ([LeCun et al., 1998](#lecun1998b)); a bound of that size gives a third of its variance.

# %%
torch.manual_seed(3)
ours = torch.empty(1000, 300)
init.kaiming_uniform_(ours, a=math.sqrt(5))
bound = 1 / math.sqrt(300)
assert ours.abs().max() <= bound and ours.abs().max() > 0.999 * bound
assert abs(ours.var().item() * 3 * 300 - 1) < 0.01
torch.manual_seed(3)
assert torch.equal(ours, nn.init.kaiming_uniform_(torch.empty(1000, 300), a=math.sqrt(5)))
torch.manual_seed(4)
assert torch.equal(
    nn.Linear(300, 7).weight, (torch.manual_seed(4), init.kaiming_uniform_(torch.empty(7, 300), math.sqrt(5)))[1]
)
print(f"a = sqrt(5): evenly between -{bound:.4f} and {bound:.4f} = 1/sqrt(300), the same numbers as nn.Linear draws")

# %% [markdown]
# Behind a ReLU each layer then multiplies the mean square by $n \cdot \frac{1}{3n} \cdot \frac12 = \frac16$, six
# times too little for ReLU. The course looks at four convolutions with stride 2 on handwritten digits and finds that
# outputs of the whole network have a deviation of 0.0065, and of 0.404 once the weights are drawn by Kaiming's rule
# for ReLU ([fast.ai, 02a](#fastai2019)). The same network here, on other digits, ten seeds:

# %%
stored = load_digits()
digits = torch.tensor(stored.images, dtype=torch.float32).unsqueeze(1) / 16
digits = nn.functional.interpolate(digits[:256], size=28, mode="bilinear")
digits = (digits - digits.mean()) / digits.std()


def four_convolutions(kaiming):
    channels = [1, 8, 16, 32, 1]
    layers = []
    for i, (a, b) in enumerate(pairwise(channels)):
        layers += [nn.Conv2d(a, b, 5 if i == 0 else 3, stride=2, padding=2 if i == 0 else 1), nn.ReLU()]
    for layer in layers[::2]:
        if kaiming:
            init.kaiming_uniform_(layer.weight)
            init.zeros_(layer.bias)
    return nn.Sequential(*layers[:-1])


ends = {"torch's default": [], "Kaiming for ReLU": []}
for seed in range(10):
    for name, spread in ends.items():
        torch.manual_seed(seed)
        spread.append(layer_scales(four_convolutions(name != "torch's default"), digits)[-1].std)
for name, spread in ends.items():
    print(f"{name:<17} deviation of the outputs {mean(spread):.4f} ± {stdev(spread):.4f}")
assert all(10 * a < b for a, b in zip(*ends.values(), strict=True))

# %% [markdown]
# ## Does it matter for learning?
#
# That a signal is small need not harm: an [optimiser](#optimiser) such as Adam does not care for the size of
# gradients. So we train. Networks of 3 and of 30 layers with 64 units, ReLU between them, Adam, 40 steps on 500
# digits, judged on the other 797. Five seeds.

# %%
pixels, digit = torch.tensor(stored.data, dtype=torch.float32) / 16, torch.tensor(stored.target)


def tower(depth, kaiming, seed):
    torch.manual_seed(seed)
    layers = [nn.Linear(64, 64) for _ in range(depth - 1)] + [nn.Linear(64, 10)]
    if kaiming:
        for layer in layers:
            init.kaiming_normal_(layer.weight, nonlinearity="relu")
            init.zeros_(layer.bias)
    return nn.Sequential(*(part for layer in layers for part in (layer, nn.ReLU())))[:-1]


def accuracy(net, seed, steps=40):
    order = torch.randperm(len(pixels), generator=torch.Generator().manual_seed(seed))
    learn, rest = order[:500], order[1000:]
    optimiser = torch.optim.Adam(net.parameters(), lr=0.002, foreach=True)
    for _ in range(steps):
        loss = nn.functional.cross_entropy(net(pixels[learn]), digit[learn])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        return (net(pixels[rest]).argmax(1) == digit[rest]).double().mean().item()


right = {}
for depth in (3, 30):
    for name, kaiming in (("torch's default", False), ("Kaiming for ReLU", True)):
        right[depth, name] = [accuracy(tower(depth, kaiming, seed), seed) for seed in range(5)]
show(variants({f"{depth} layers, {name}": {"test": found} for (depth, name), found in right.items()}, name="accuracy"))
for depth in (3, 30):
    found = [right[depth, name] for name in ("torch's default", "Kaiming for ReLU")]
    print(f"{depth} layers:", compare(*found, metric="accuracy", names=("torch's default", "Kaiming for ReLU")).words)
assert mean(right[30, "torch's default"]) < 0.3 < 0.6 < mean(right[30, "Kaiming for ReLU"])
assert mean(right[3, "torch's default"]) > 0.8

# %% [markdown]
# With three layers both learn, the default more slowly. With thirty it does not leave the level of guessing: its
# outputs are the same for every digit, and so are the gradients. This is why nobody trains thirty plain layers with it, and why the
# default does so little harm in practice: deep networks of today have [normalisation](#normalisation) between their
# layers, which sets the scale anew each time, or shortcuts around them.
#
# What people get wrong: they trust a default because it has a famous name. Look at the deviation after each layer
# before the first step; `layer_scales(model, batch)` takes one line. And if a network of your own has layers no rule
# was made for, do not derive a rule but measure: `lsuv(model, batch)` does that, layer by layer
# ([Mishkin and Matas, 2016](#mishkin2016)).
#
# So why does the size of the first numbers decide? Because each layer multiplies by a factor, and a deep network
# takes that factor to the power of its depth. And the square root of five? An old habit in a new notation.
#
# ## Exercises
#
# ### Exercise 1: the rule for a leaky ReLU
#
# Write `fill(weight, slope)`, which draws a weight (out, in) in place, so that the mean square stays the same from
# layer to layer if each is followed by `leaky_relu` with that slope.


# %%
def check_fill(fill):
    for slope in (0.0, 0.2, 0.7, 1.0):
        torch.manual_seed(5)
        x = torch.randn(64, 400)
        for _ in range(30):
            weight = torch.full((400, 400), math.nan)
            fill(weight, slope)
            assert not weight.isnan().any(), "the weight must be filled in place"
            x = nn.functional.leaky_relu(x @ weight.T, slope)
        square = (x**2).mean().item()
        assert 0.3 < square < 3, f"slope {slope}: the mean square went from 1 to {square:.3g} in 30 layers"
    weight = torch.empty(50, 2000)
    fill(weight, 0.0)
    size = weight.var().item() * 2000
    assert abs(size - 2) < 0.2, f"in and out differ: the variance times 'in' is {size:.2f}, 2 is needed for slope 0"


# %% tags=["solution"]
check_fill(lambda w, slope: w.normal_(std=math.sqrt(2 / (1 + slope**2) / w.shape[1])))
refuses(
    check_fill,
    lambda w, slope: w.normal_(std=math.sqrt(2 / w.shape[1])),
    lambda w, slope: w.normal_(std=math.sqrt(2 / (1 + slope) / w.shape[1])),
    lambda w, slope: w.normal_(std=math.sqrt(2 / (1 + slope**2) / w.shape[0])),
    lambda w, slope: w.uniform_(-1, 1).mul_(math.sqrt(2 / (1 + slope**2) / w.shape[1])),
    lambda w, slope: torch.randn_like(w),
)

# %% [markdown]
# ### Exercise 2: the gain of any activation
#
# For ReLU the factor is $\sqrt 2$. Write `gain(activation)`, the factor by which weights of variance $1/n$ must be
# multiplied so that the mean square of the sums before the activation stays 1 from layer to layer. No derivation is
# asked for: measure.


# %%
def check_gain(gain):
    expected = {
        torch.relu: math.sqrt(2),
        torch.tanh: 1.593,
        nn.functional.gelu: 1.533,
        torch.abs: 1.0,
        torch.sin: 1.521,
    }
    for activation, right in expected.items():
        torch.manual_seed(6)
        found = float(gain(activation))
        name = activation.__name__
        assert abs(found - right) < 0.02, f"{name}: {found:.3f}, about {right:.3f} is needed; which mean has to stay 1?"


# %% tags=["solution"]
check_gain(lambda f: 1 / math.sqrt((f(torch.randn(300_000)) ** 2).mean()))
refuses(
    check_gain,
    lambda f: 1 / f(torch.randn(300_000)).std(),
    lambda f: 1 / (f(torch.randn(300_000)) ** 2).mean(),
    lambda f: math.sqrt((f(torch.randn(300_000)) ** 2).mean()),
    lambda f: math.sqrt(2),
    lambda f: 1 / math.sqrt((f(torch.rand(300_000)) ** 2).mean()),
)

# %% [markdown]
# ## Sources
#
# - The two rules: [Glorot and Bengio, 2010](#glorot2010), section 4.2; [He et al., 2015](#he2015), section 2.2.
# - The older advice: [LeCun et al., 1998](#lecun1998b), section 4.6. Torch7's rule: `Linear.lua`. That torch's
#   `a=sqrt(5)` is the bound $1/\sqrt{n}$ stands in a comment of its source, `torch/nn/modules/linear.py`.
# - Matrices at right angles in place of random ones: [Saxe et al., 2014](#saxe2014).
# - The hundred products, the four convolutions and their figures: [fast.ai, part 2](#fastai2019), lessons 8 and 9,
#   notebooks 02, 02a and 02b.
