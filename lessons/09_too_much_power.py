# %% [markdown]
# # Too much power
#
# A model with more freedom comes closer to the points it is given. From some point on it gets worse on points it
# has not seen. Where is that point, how do you notice it, and what can you do about it?

# %% tags=["about"]
covers = ["L08", "L09", "L11", "L12", "L13", "S1-3"]
rung = 4
minutes = 50

# %%
import math
from itertools import pairwise
from statistics import mean, median, stdev

import torch
import torch.nn.functional as F

from rungbook.book import Slider, refuses, show, source, table
from rungbook.data.worlds.registry import make_world
from rungbook.plot.style import FOURTH, INK, THIRD, TRAIN, VALID, Picture, draw, sheet

# %% [markdown]
# ## Thirty points and a polynomial
#
# In a *world* the data are made by a rule we know, so the best possible score is known too. Here $y$ is a
# polynomial of degree 3 in $x$ plus [noise](#noise) with variance 1, and $x$ is drawn from the standard normal
# distribution. A model that knew the polynomial itself would have a [mean squared error](#mean-squared-error) of 1.
# Nothing can do better on new points.

# %%
world = make_world("world:polynomial(noise=1)")
LIMIT = world.limit("mean_squared_error").value
print(f"best possible mean squared error on new points: {LIMIT:.4f}")
assert math.isclose(LIMIT, 1.0)


def points(n, seed):
    """x and y, float64 (n,)."""
    drawn = world.sample(n, seed)
    return torch.tensor(drawn.hidden["x"]), torch.tensor(drawn.y[:, 0]).double()


def terms(x, degree):
    """x, x^2/2!, ..., x^degree/degree!: (n, degree)."""
    return torch.stack([x**i / math.factorial(i) for i in range(1, degree + 1)], 1)


# %% [markdown]
# The model is a straight line in the terms $x, x^2/2!, x^3/3!, \ldots$ The [degree](#degree) says how many terms it
# is given. Lesson 7 found the best line by least squares in one go; the same function does it here.

# %%
from rungbook.recipes.book.lines import least_squares

show(source(least_squares))


def truth(x):
    """The rule: y without its noise."""
    return world.weights[0] + terms(x, 3) @ torch.tensor(world.weights[1:]).double()


def fit(x, y, degree):
    """A function: x -> what the polynomial fitted to (x, y) says."""
    weight, bias = least_squares(terms(x, degree), y[:, None])
    return lambda new: terms(new, degree) @ weight + bias


x, y = points(30, seed=0)
new_x, new_y = points(2000, seed=1000)
inside = (new_x >= x.min()) & (new_x <= x.max())


def fitted_curve(degree) -> Picture:
    model = fit(x, y, degree)
    train = (model(x) - y).square().mean().item()
    test = (model(new_x) - new_y)[inside].square().mean().item()
    line = torch.linspace(x.min(), x.max(), 300, dtype=torch.float64)

    def paint(ax):
        ax.plot(line, truth(line), color=THIRD, linestyle=(0, (4, 2)), label="the rule")
        ax.plot(line, model(line), color=VALID, label=f"degree {degree}")
        ax.plot(x, y, "o", color=TRAIN, markersize=4, markeredgewidth=0, label="30 points")
        ax.set(xlabel="x", ylabel="y", ylim=(float(y.min()) - 4, float(y.max()) + 4))
        ax.legend(frameon=False, fontsize=8)

    words = f"Degree {degree}: mean squared error {train:.3g} on the 30 points, {test:.3g} on new points of the same stretch; 1 is best."
    return draw(paint, words, size=(4.2, 2.9))


show(Slider("degree", {str(d): fitted_curve(d) for d in (1, 2, 3, 8, 20)}, start="3"))

# %% [markdown]
# Degree 1 cannot bend: it [underfits](#underfitting). Degree 20 comes closest to the points and swings
# between them: it [overfits](#overfitting). One draw of 30 points may be lucky, so here are twenty, with the error on
# the points fitted and on new points. New points outside the stretch of the thirty are left out for now.

# %%
DEGREES = (1, 2, 3, 4, 5, 6, 8, 12, 20)
DRAWS = 20
errors = {d: {"train": [], "inside": [], "all": []} for d in DEGREES}
for seed in range(DRAWS):
    px, py = points(30, seed)
    qx, qy = points(2000, 1000 + seed)
    within = (qx >= px.min()) & (qx <= px.max())
    for d in DEGREES:
        model = fit(px, py, d)
        squares = (model(qx) - qy).square()
        errors[d]["train"].append((model(px) - py).square().mean().item())
        errors[d]["inside"].append(squares[within].mean().item())
        errors[d]["all"].append(squares.mean().item())

middle = {d: {k: median(v) for k, v in errors[d].items()} for d in DEGREES}
show(
    table(
        [
            {"degree": d, "train": m["train"], "new, inside": m["inside"], "new, all": m["all"]}
            for d, m in middle.items()
        ]
    )
)


# %% tags=["hide-input"]
def paint_errors(ax):
    for part, colour, name in (("train", TRAIN, "the 30 points"), ("inside", VALID, "new points")):
        for seed in range(DRAWS):
            ax.plot(
                range(len(DEGREES)), [errors[d][part][seed] for d in DEGREES], color=colour, alpha=0.15, linewidth=0.8
            )
        ax.plot(range(len(DEGREES)), [middle[d][part] for d in DEGREES], "o-", color=colour, label=name)
    ax.axhline(LIMIT, color=THIRD, linewidth=1.2)
    ax.text(len(DEGREES) - 0.8, LIMIT * 1.15, "best possible", color=THIRD, ha="right", fontsize=8)
    ax.set(
        xticks=range(len(DEGREES)),
        xticklabels=DEGREES,
        xlabel="degree",
        ylabel="mean squared error",
        yscale="log",
        ylim=(0.2, 1e4),
    )
    ax.legend(frameon=False)


best = min(DEGREES, key=lambda d: middle[d]["inside"])
words = f"Over {DRAWS} draws: the error on the points fitted falls with every degree, from {middle[1]['train']:.3g} to"
words += (
    f" {middle[20]['train']:.3g}; on new points it falls to {middle[best]['inside']:.3g} at degree {best} and rises to"
)
words += f" {middle[20]['inside']:.3g} at degree 20."
show(draw(paint_errors, words, size=(5.2, 3.2)))


# %%
for seed in range(
    DRAWS
):  # a polynomial of degree 4 can be one of degree 3: more freedom never fits its own points worse
    on_own = [errors[d]["train"][seed] for d in DEGREES]
    assert all(b <= a * (1 + 1e-9) for a, b in pairwise(on_own))
assert best == 3 and middle[3]["inside"] < 1.2 and middle[1]["inside"] > 3 and middle[12]["inside"] > 3
assert middle[3]["train"] < LIMIT and middle[12]["train"] < middle[3]["train"]

# %% [markdown]
# Read the two lines together. On the points it learned from, the error falls all the way, and goes *below* the best
# possible. What lies below 1 is noise learned by heart: it will not come again. So the error on the training points
# cannot tell you when to stop. Only points that were not learned from can.
#
# The last column of the table takes all new points, also those outside the stretch of the thirty. There a high
# power of $x$ grows without bound. That is [extrapolation](#extrapolation), and it is nearly all of the error from
# degree 5 on.

# %%
print(
    f"new points, all of them: degree 3 {middle[3]['all']:.3g}, degree 5 {middle[5]['all']:.3g}, degree 12 {middle[12]['all']:.2g}"
)
assert middle[12]["all"] > 1e6 * middle[12]["inside"]
assert all(middle[d]["all"] > 4 * middle[d]["inside"] for d in DEGREES if d >= 5)

# %% [markdown]
# The recipe `polynomial` repeats this on 100 points with a tenth of the noise (best possible 0.01), by gradient
# descent. On new points degree 3
# has <!-- ledger: polynomial | degree 3 | test mean_squared_error -->0.01090 ± 0.00095<!-- / -->, degree
# 1 <!-- ledger: polynomial | degree 1 | test mean_squared_error -->11.42 ± 0.98<!-- / -->, and degree
# 20 <!-- ledger: polynomial | degree 20 | test mean_squared_error -->0.0356 ± 0.0075<!-- / -->, too much
# and yet tame. Its degree 20 fits its own points worse than degree 3
# does: <!-- ledger: polynomial | degree 20 | train mean_squared_error -->0.0107 ± 0.0014<!-- / -->
# against <!-- ledger: polynomial | degree 3 | train mean_squared_error -->0.0090 ± 0.0011<!-- / -->. Least squares
# could not do that; descent that stops early can. It never reached the wild curve. Stopping early holds a model
# back, a fact we meet again below.

# %% [markdown]
# ## Two ways to be wrong
#
# Suppose you could draw the noise again, many times, and fit each time. You would get a bundle of curves. Two
# things can be wrong with a bundle, [bias and variance](#bias-and-variance): its middle may be off the rule, and it
# may be wide.

# %%
xs = x.sort().values
FITS = 400
noise = torch.randn(FITS, 30, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
bundles = {d: torch.stack([fit(xs, truth(xs) + e, d)(xs) for e in noise]) for d in (1, 3, 12)}  # (FITS, 30) each


# %% tags=["hide-input"]
line = torch.linspace(xs.min(), xs.max(), 200, dtype=torch.float64)
drawn = {d: torch.stack([fit(xs, truth(xs) + e, d)(line) for e in noise[:30]]) for d in bundles}


def paint_bundle(degree):
    def paint(ax):
        away = drawn[degree] - truth(line)
        ax.plot(line, away.T, color=VALID, alpha=0.25, linewidth=0.7)
        ax.plot(line, away.mean(0), color=TRAIN, linewidth=1.6)
        ax.axhline(0, color=INK, linewidth=1, linestyle=(0, (4, 2)))
        ax.set(title=f"degree {degree}", xlabel="x", ylabel="fit less rule", ylim=(-8, 8))

    return paint


# %%
def parts(bundle, rule):
    """Squared bias and variance of a bundle of answers (fits, points), each the mean over the points."""
    middle = bundle.mean(0)
    return (middle - rule).square().mean().item(), (bundle - middle).square().mean().item()


split_up = {d: parts(b, truth(xs)) for d, b in bundles.items()}

# %% tags=["hide-input"]
words = "; ".join(f"degree {d}: squared bias {b:.3g}, variance {v:.3g}" for d, (b, v) in split_up.items())
show(
    sheet(
        [paint_bundle(d) for d in bundles],
        f"How far thirty fits, each to new noise at the same x, are from the rule, and their mean. {words}.",
        columns=3,
        size=(2.3, 2.2),
    )
)

# %% [markdown]
# The error on new values at the same $x$ is a sum of three parts. Write $f$ for the rule, $\hat f$ for a fit,
# $\bar f$ for the middle of the bundle:
#
# $$E(y - \hat f)^2 = \underbrace{\sigma^2}_{\text{noise}} + \underbrace{(f - \bar f)^2}_{\text{squared bias}}
# + \underbrace{E(\hat f - \bar f)^2}_{\text{variance}}$$
#
# For least squares the variance is known exactly: with $p$ numbers to be found (the degree and the bias term) from
# $n$ points it is $\sigma^2 p / n$ on average over the points. Each number you let a model find costs one share of
# noise.

# %%
rows = []
for d, bundle in bundles.items():
    bias2, variance = split_up[d]
    distance = (bundle - truth(xs)).square().mean().item()
    torch.testing.assert_close(bias2 + variance, distance, rtol=1e-10, atol=0)  # the two parts make up the whole
    theory = (d + 1) / 30
    rows.append(
        {
            "degree": d,
            "squared bias": bias2,
            "variance": variance,
            "(degree + 1) / 30": theory,
            "error on new values": 1 + distance,
        }
    )
    assert abs(variance / theory - 1) < 0.15
show(table(rows))
assert split_up[1][0] > 1 and split_up[3][0] < 0.01  # degree 1 is off the rule, degree 3 is not
assert split_up[1][1] < split_up[3][1] < split_up[12][1]

# %% [markdown]
# Degree 1 is wrong in the same way each time. Degree 12 is right on average and wrong each time. With more points
# the variance shrinks as $1/n$ and the bias stays, so the degree that pays grows with the data.
#
# ## 200 inputs, 20 samples
#
# Now there are more inputs than samples: $y = 0.05 + \sum_{i=1}^{200} 0.01\,x_i + 0.01\,\varepsilon$, twenty samples
# to learn from. Infinitely many lines go through all of them. [Weight decay](#weight-decay) makes the choice: it
# adds $\frac{\lambda}{2}\lVert w\rVert^2$ to the loss, so that long weights must earn their length. First by hand, as
# a penalty in the loss; here the bias is penalised too.

# %%
from rungbook import load_data
from rungbook.recipes.book.lines import all_samples

wide = load_data("world:line(n=40, weights=(0.01,), features=200, bias=0.05, noise=0.01)", valid=0.5, seed=0)
wx, wy = (t.double() for t in all_samples(wide, "train"))
tx, ty = (t[:2000].double() for t in all_samples(wide, "test"))
assert wx.shape == (20, 200)
LR, DECAY, EPOCHS = 0.003, 3.0, 100
start = torch.cat(
    [
        torch.randn(200, generator=torch.Generator().manual_seed(0), dtype=torch.float64),
        torch.zeros(1, dtype=torch.float64),
    ]
)
orders = [torch.randperm(20, generator=torch.Generator().manual_seed(e)) for e in range(3 * EPOCHS)]


def wide_error(theta, x=tx, y=ty):
    return (x @ theta[:200] + theta[200] - y[:, 0]).square().mean()


def by_hand(decay, epochs):
    """Weights and bias in one vector (201,), after each epoch; the penalty stands in the loss."""
    theta, after = start.clone().requires_grad_(), [start]
    for order in orders[:epochs]:
        for batch in order.split(5):
            loss = wide_error(theta, wx[batch], wy[batch]) + decay / 2 * theta.square().sum()
            (slope,) = torch.autograd.grad(loss, theta)
            theta = (theta - LR * slope).detach().requires_grad_()
        after.append(theta.detach())
    return after


def built_in(make, decay, epochs):
    """The same with an optimiser that has weight decay."""
    theta = start.clone().requires_grad_()
    optimizer = make([theta], lr=LR, weight_decay=decay)
    for order in orders[:epochs]:
        for batch in order.split(5):
            optimizer.zero_grad()
            wide_error(theta, wx[batch], wy[batch]).backward()
            optimizer.step()
    return theta.detach()


from rungbook.scratch import optim

paths = {decay: by_hand(decay, 3 * EPOCHS) for decay in (0.0, DECAY)}
torch.testing.assert_close(paths[DECAY][30], built_in(torch.optim.SGD, DECAY, 30), rtol=1e-10, atol=1e-14)
torch.testing.assert_close(paths[DECAY][30], built_in(optim.SGD, DECAY, 30), rtol=1e-10, atol=1e-14)

# %% [markdown]
# By hand, by torch and by our own `SGD` the weights are equal. What an optimiser does for it is one line: the
# derivative of $\frac{\lambda}{2}\lVert w\rVert^2$ is $\lambda w$, and that is added to the gradient.

# %%
from rungbook.scratch.optim.optimizer import with_l2

show(source(with_l2))
mean_error = (wy.mean() - ty).square().mean().item()
ends = {decay: wide_error(path[-1]).item() for decay, path in paths.items()}
# nothing wrong on train, everything on new samples
assert wide_error(paths[0.0][-1], wx, wy) < 1e-8 and ends[0.0] > 100
assert ends[DECAY] < 0.05


# %% tags=["hide-input"]
def paint_decay(ax):
    for decay, colour in ((0.0, TRAIN), (DECAY, VALID)):
        some = range(0, len(paths[decay]), 5)
        ax.plot(
            some,
            [wide_error(paths[decay][i]).item() for i in some],
            color=colour,
            label=f"decay {decay:g}, new samples",
        )
        on_train = [wide_error(paths[decay][i], wx, wy).item() for i in some]
        ax.plot(some, on_train, color=colour, linestyle=(0, (2, 2)), label=f"decay {decay:g}, train")
    ax.axhline(mean_error, color=FOURTH, linewidth=1.2)
    ax.text(300, mean_error * 1.2, "always the mean", color=FOURTH, ha="right", fontsize=8)
    ax.axhline(1e-4, color=THIRD, linewidth=1.2)
    ax.text(300, 1.2e-4, "best possible", color=THIRD, ha="right", fontsize=8)
    ax.set(yscale="log", xlabel="epoch", ylabel="mean squared error", ylim=(1e-5, 3e4))
    ax.legend(frameon=False, fontsize=8, ncols=2, loc="upper center")


words = (
    f"Mean squared error on new samples over 300 epochs: {ends[0.0]:.3g} without decay, {ends[DECAY]:.3g} with decay 3;"
)
show(
    draw(
        paint_decay,
        f"{words} always answering the mean gives {mean_error:.3g}, the best possible is 0.0001.",
        size=(5.2, 3.1),
    )
)
# %% [markdown]
# Why does it not learn without decay? Twenty samples span at most twenty of the 201 directions of (weights, bias),
# and a gradient is made of samples, so it lies in those twenty. In the other 181 the weights stay what they were
# drawn as. With decay each step shrinks them there by the factor $1 - \eta\lambda$ and nothing else happens to them.
# Both can be checked to rounding:

# %%
design = torch.cat([wx, torch.ones(20, 1, dtype=torch.float64)], 1)
unseen = torch.eye(201, dtype=torch.float64) - torch.linalg.pinv(design) @ design  # projects on what no sample shows
steps = 4 * EPOCHS
torch.testing.assert_close(unseen @ paths[0.0][EPOCHS], unseen @ start, rtol=0, atol=1e-10)
torch.testing.assert_close(
    unseen @ paths[DECAY][EPOCHS], (1 - LR * DECAY) ** steps * (unseen @ start), rtol=0, atol=1e-10
)
print(
    f"directions no sample shows: {unseen.trace():.0f} of 201; left of the start there after {steps} steps: {(1 - LR * DECAY) ** steps:.4f}"
)
assert round(unseen.trace().item()) == 181

# %% [markdown]
# This explains the measured figures. Without decay the error on new samples
# is <!-- ledger: weight_decay | no decay | test mean_squared_error -->177 ± 25<!-- / -->: the squared
# length of 181 random numbers with variance 1. After 100 epochs with decay 3 it
# is <!-- ledger: weight_decay | decay 3 | test mean_squared_error -->0.150 ± 0.020<!-- / -->, after
# 300 <!-- ledger: weight_decay | decay 3 for 300 epochs | test mean_squared_error -->0.02048 ± 0.00076<!-- / -->.
#
# Is that success? Answering the mean of the targets every time
# has <!-- ledger: weight_decay | baseline mean mean_squared_error -->0.02085<!-- / -->, and the best possible
# is <!-- ledger: weight_decay | limit mean_squared_error -->0.0001<!-- / -->. Decay removed the harm; it found next
# to nothing of the rule. Twenty samples cannot tell two hundred weights. Courses that show only the fall from 177
# leave this out.
#
# ## 442 patients
#
# Now real data: ten measurements of 442 people with diabetes, and how far the disease had gone a year later. No
# rule is known. First something strong that needs no tuning, a [random forest](#random-forest) of 500 trees. Each
# tree is grown on patients drawn with replacement, so it leaves some out; judging each patient by the trees that
# left it out is called [out of bag](#out-of-bag).

# %%
from sklearn.ensemble import RandomForestRegressor

from rungbook.data.one_hot import one_hot
from rungbook.recipes.book.diabetes import in_own_units


def patients(seed):
    """Split -> standardised measurements (n, 10) and progression (n, 1)."""
    data = one_hot(in_own_units(load_data("diabetes", valid=0.2, test=0.2, seed=seed, batch_size=265)))
    found = {}
    for part, feed in data.splits().items():
        raw, y = feed.source.fetch(slice(0, feed.samples))
        found[part] = feed.prepare(raw), y
    return found, data


cohort, data = patients(seed=0)
print({part: tuple(x.shape) for part, (x, _) in cohort.items()})
forest = RandomForestRegressor(500, oob_score=True, random_state=0).fit(cohort["train"][0], cohort["train"][1][:, 0])
on_test = forest.score(cohort["test"][0], cohort["test"][1][:, 0])
own = forest.score(*cohort["train"])
print(
    f"share of the variance explained: {own:.2f} on its own patients, {forest.oob_score_:.2f} out of bag, {on_test:.2f} on others"
)
assert own > 0.88 and on_test < 0.65 and forest.oob_score_ < 0.55

# %% [markdown]
# Over five splits it explains <!-- ledger: diabetes_forest | 500 trees | train r2 -->0.9246 ± 0.0021<!-- / --> of the
# variance of its own patients and <!-- ledger: diabetes_forest | 500 trees | test r2 -->0.382 ± 0.062<!-- / --> of
# others'; out of bag it is <!-- ledger: diabetes_forest | 500 trees | valid r2 -->0.442 ± 0.015<!-- / -->. A forest
# memorises too, and out of bag tells you so at no cost. The course reports the same gap from one split:

# %%
from rungbook.recipes.book.diabetes import Diabetes, DiabetesForest


def told(recipe, variant):
    """What the course reports."""
    return "; ".join(f"{r.metric} {r.value:,g} on {r.split}" for r in recipe.reported if r.variant == variant)


print("500 trees, the course:", told(DiabetesForest, "500 trees"))

# %% [markdown]
#
# ## A network that memorises
#
# One hidden layer of 150 units has 1,801 weights for 265 patients. The course trains it for 8,000 epochs with Adam
# at a rate of 0.02; at 0.1, all patients in one step, 600 are enough:

# %%
from rungbook.models.tabular.mlp import MLP


def train(cohort, *, epochs, seed):
    """The mean squared error on each split at each epoch: split -> list."""
    torch.manual_seed(seed)
    model = MLP(10, 1, hidden=(150,))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1, foreach=True)
    history = {part: [] for part in cohort}
    x, y = cohort["train"]
    for _ in range(epochs):
        optimizer.zero_grad()
        loss = F.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
        history["train"].append(loss.item())  # before the step, which saves looking twice
        with torch.no_grad():
            for part in ("valid", "test"):
                history[part].append(F.mse_loss(model(cohort[part][0]), cohort[part][1]).item())
    return history


print("8,000 epochs, the course:", told(Diabetes, "memorises"))


def argmin(values):
    return min(range(len(values)), key=values.__getitem__)


long = train(cohort, epochs=600, seed=0)
turn = argmin(long["valid"])


# %% tags=["hide-input"]
def paint_long(ax):
    for part, colour in (("train", TRAIN), ("valid", VALID)):
        ax.plot(range(1, 601), long[part], color=colour, label=part)
    ax.plot(turn + 1, long["valid"][turn], "o", markersize=7, markerfacecolor="none", markeredgecolor=VALID)
    ax.set(yscale="log", xlabel="epoch", ylabel="mean squared error")
    ax.legend(frameon=False)


words = f"The error on train falls from {long['train'][0]:,.0f} to {long['train'][-1]:,.0f} over 600 epochs; on valid it falls to"
show(
    draw(
        paint_long,
        f"{words} {long['valid'][turn]:,.0f} at epoch {turn + 1} and rises to {long['valid'][-1]:,.0f}.",
        size=(4.6, 2.8),
    )
)

# %%
assert sum(p.numel() for p in MLP(10, 1, hidden=(150,)).parameters()) == 1801
assert long["train"][-1] < 500 and turn < 250 and long["valid"][-1] > 1.3 * long["valid"][turn]

# %% [markdown]
# The [validation set](#validation-set) is a third part of the data: not learned from, and not the one reported. It
# shows the turn. The cheapest remedy is to keep a copy of the weights whenever they are the best yet on valid, and
# to end with those. In the library a callback does it:

# %%
from rungbook import Learner
from rungbook.learner.callbacks import KeepBest

show(source(KeepBest))
keep = KeepBest()
torch.manual_seed(0)
learner = Learner(
    MLP(10, 1, hidden=(150,)), data, F.mse_loss, torch.optim.Adam, lr=0.1, metrics=[], callbacks=[keep], device="cpu"
).fit(120)
with torch.no_grad():
    kept = F.mse_loss(learner.model.eval()(cohort["valid"][0]), cohort["valid"][1]).item()
on_valid = [row["valid_loss"] for row in learner.history]
print(f"best on valid at epoch {keep.best_epoch}: {min(on_valid):,.0f}; the last epoch had {on_valid[-1]:,.0f}")
print(f"the model it ends with has {kept:,.0f} on valid")
assert keep.best_epoch == argmin(on_valid) + 1
assert abs(kept / min(on_valid) - 1) < 1e-4

# %% [markdown]
# ## What people get wrong: choosing on the set you report
#
# The course this row comes from has two sets. It takes the epoch that is best on the second one, 117 of 8,000, and
# reports the error of that epoch on that same set. Among many epochs the smallest error is partly good weights and
# partly luck with these patients. The luck is counted as skill.
#
# How much is it? Take three sets and train once. Let $A$ and $B$ be the two that are not learned from. Choose the
# epoch by $A$: what $A$ itself says of it is the course's figure, what $B$ says is honest. One set may be harder
# than the other, so do it both ways round and average: the difference in difficulty cancels.

# %%
SEEDS = 12
histories = [train(patients(seed)[0], epochs=120, seed=seed) for seed in range(SEEDS)]

course, honest = [], []
for history in histories:
    a, b = history["valid"], history["test"]
    by_a, by_b = argmin(a), argmin(b)
    course.append((a[by_a] + b[by_b]) / 2)  # chosen and judged by the same patients
    honest.append((b[by_a] + a[by_b]) / 2)  # chosen by some, judged by others
gap = [h - c for h, c in zip(honest, course, strict=True)]
error_of_gap = stdev(gap) / math.sqrt(SEEDS)
assert any(r.value == 3085.8 and "117" in r.source and r.fault for r in Diabetes.reported)
print(f"judged by the patients that chose:  {mean(course):6,.0f}")
print(f"judged by other patients:           {mean(honest):6,.0f}")
print(
    f"optimism:                           {mean(gap):6,.0f} ± {error_of_gap:,.0f} (standard error over {SEEDS} splits)"
)


# %% tags=["hide-input"]
def paint_gap(ax):
    for c, h in zip(course, honest, strict=True):
        ax.plot([0, 1], [c, h], "o-", color=INK, alpha=0.45, markersize=4, linewidth=0.9)
    ax.set(
        xticks=[0, 1],
        xticklabels=["the patients\nthat chose", "other\npatients"],
        ylabel="mean squared error",
        xlim=(-0.35, 1.35),
    )


words = f"The error of the chosen epoch for each of {SEEDS} splits, by the patients that chose it and by others:"
words += f" mean {mean(course):,.0f} and {mean(honest):,.0f}."
show(draw(paint_gap, words + " No line falls.", size=(3.2, 2.8)))

# %%
assert min(gap) >= 0 and mean(gap) > error_of_gap

# %% [markdown]
# No line can fall: a set's own best epoch is by definition at least as good on it as the epoch that the other set
# chose. The network is the same, and the difference is bookkeeping. Measured by the recipe on one and the same test
# part: choosing by it
# makes <!-- ledger: diabetes | best on test (fault S1-3) | test mean_squared_error -->3037 ± 136<!-- / -->
# of <!-- ledger: diabetes | best on valid | test mean_squared_error -->3253 ± 256<!-- / -->. The course's 3,085.8 is
# of the first kind.
#
# So: learn from train, choose by valid, report test once. Choosing means everything you decide by looking: the
# epoch, the rate, the width, the decay.

# %% [markdown]
# ## Decay on the network
#
# Without any remedy 600 epochs end
# at <!-- ledger: diabetes | memorises | test mean_squared_error -->6050 ± 1285<!-- / --> on test. Keeping the best
# epoch gives <!-- ledger: diabetes | best on valid | test mean_squared_error -->3253 ± 256<!-- / -->. With decay 0.3,
# 0.6 and 1.5 as well:
#
# - decay 0.3: <!-- ledger: diabetes | decay 0.3 | test mean_squared_error -->3230 ± 264<!-- / -->
# - decay 0.6: <!-- ledger: diabetes | decay 0.6 | test mean_squared_error -->3172 ± 224<!-- / -->
# - decay 1.5: <!-- ledger: diabetes | decay 1.5 | test mean_squared_error -->3141 ± 230<!-- / -->
#
# The spread is far larger than the differences. But much of it comes from which patients fell into test, and those
# are the same for all decays. Compare split by split:

# %%
from rungbook.recipes.ledger import load_ledger

measured = load_ledger().get("diabetes")
variants = ("best on valid", "decay 0.3", "decay 0.6", "decay 1.5")
values = {name: measured.figure(name, "test", "mean_squared_error")["values"] for name in variants}
rows = []
for name in variants[1:]:
    change = [a - b for a, b in zip(values[name], values["best on valid"], strict=True)]
    error = stdev(change) / math.sqrt(len(change))
    verdict = "not distinguishable" if abs(mean(change)) < 2.78 * error else "lower" if mean(change) < 0 else "higher"
    rows.append(
        {"variant": name, "change of the error": f"{mean(change):,.0f} ± {error:,.0f}", "against no decay": verdict}
    )
    assert abs(mean(change)) < 0.05 * mean(values["best on valid"]) and verdict == "not distinguishable"
show(table(rows))

# %% [markdown]
# The three point the same way, and none of them is more than five splits can make by chance (2.78 standard errors,
# from the t distribution with four degrees of freedom). A course with one split found 1.5 the best; with one split
# there is always a best. Both remedies hold the same network back, so the second finds little left to do. And the
# simplest model holds its own: [ridge regression](#ridge-regression), a straight line with weight decay,
# has <!-- ledger: diabetes | baseline ridge mean_squared_error -->3249<!-- / --> on the same splits, within the
# spread of all of these. The network's 1,801 weights bought nothing that these splits can show.
#
# ## The three answers
#
# Where is the point? Where one more freedom costs more variance than it takes away bias; it depends on how many
# samples there are. How do you notice it? Only by samples that were not learned from: their error turns while the
# error on train goes on falling. What can you do? Hold the model back, with fewer terms, decay or an early stop,
# choose how much on valid, and report on a third part.
#
# ## Exercises
#
# ### Exercise 1: decay the weights, not the bias
#
# A penalty on the bias pulls the answers towards zero, which is nobody's wish. Write `groups(model, decay)`:
# parameter groups for an optimiser in which every matrix of weights decays and no bias does. A right answer names
# every parameter once.


# %%
def check_groups(groups):
    model = MLP(10, 1, hidden=(7,))
    for decay in (0.5, 2.0):
        before = {name: p.detach().clone() for name, p in model.named_parameters()}
        made = groups(model, decay)
        ids = [id(p) for g in made for p in g["params"]]
        assert sorted(ids) == sorted(id(p) for p in model.parameters()), "a parameter is missing, or named twice"
        optimizer = torch.optim.SGD(made, lr=0.1)
        for p in model.parameters():
            p.grad = torch.zeros_like(p)  # with no gradient a step is decay alone
        optimizer.step()
        for name, p in model.named_parameters():
            factor = 1.0 if name.endswith("bias") else 1 - 0.1 * decay
            assert torch.allclose(p, factor * before[name]), f"{name} should be multiplied by {factor} in this step"


# %% tags=["solution"]
def groups(model, decay):
    named = dict(model.named_parameters())
    return [
        {"params": [p for n, p in named.items() if n.endswith("weight")], "weight_decay": decay},
        {"params": [p for n, p in named.items() if n.endswith("bias")], "weight_decay": 0.0},
    ]


check_groups(groups)
refuses(
    check_groups,
    lambda model, decay: [{"params": list(model.parameters()), "weight_decay": decay}],
    lambda model, decay: [{"params": [p for p in model.parameters() if p.ndim == 2], "weight_decay": decay}],
    lambda model, decay: [
        {"params": [p], "weight_decay": 2 * decay if p.ndim == 2 else 0.0} for p in model.parameters()
    ],
)

# %% [markdown]
# ### Exercise 2: bias and variance
#
# Write `decompose(answers, rule)`: from the answers of many fits, `(fits, points)`, and the rule at the points,
# `(points,)`, the squared bias and the variance, each averaged over the points. A right answer adds up: bias
# squared plus variance is the mean squared distance from the rule.


# %%
def check_decompose(decompose):
    torch.manual_seed(3)
    rule = torch.randn(6, dtype=torch.float64)
    shift = torch.tensor([1.0, -1.0, 1.0, -1.0, 2.0, -2.0], dtype=torch.float64)  # wrong in turn above and below
    spread = torch.tensor([[0.5], [-0.5], [0.5], [-0.5]], dtype=torch.float64)  # four fits around a middle
    bias2, variance = map(float, decompose(rule + shift + spread * shift.sign(), rule))
    assert abs(bias2 - 2) < 1e-9, (
        "the bias is the distance of the middle from the rule; each point has its own: square, then average"
    )
    assert abs(variance - 0.25) < 1e-9, (
        "the variance is the mean square distance of the fits from their own middle: divide by their number"
    )


# %% tags=["solution"]
check_decompose(parts)
refuses(
    check_decompose,
    lambda a, r: ((a.mean() - r.mean()) ** 2, a.var(0, correction=0).mean()),
    lambda a, r: ((a.mean(0) - r).square().mean(), a.var(0).mean()),
    lambda a, r: ((a - r).square().mean(), 0.0),
    lambda a, r: ((a.mean(0) - r).abs().mean(), a.var(0, correction=0).mean()),
    lambda a, r: ((a.mean(0) - r).square().mean(), a.mean(1).var(correction=0)),
)

# %% [markdown]
# ### Exercise 3: an honest report
#
# You have trained several networks and stored each one's errors on valid and test after each epoch: a list of
# dictionaries with the lists `"valid"` and `"test"`. Write `report(histories)`: the one figure you would publish,
# for the one network and epoch you would ship. A right answer does not depend on any other value of test.


# %%
def check_report(report):
    runs = [
        {"valid": [9.0, 4.0, 5.0], "test": [8.0, 6.0, 2.0]},
        {"valid": [7.0, 3.0, 6.0], "test": [1.0, 6.5, 0.5]},
        {"valid": [8.0, 5.0, 3.5], "test": [9.0, 5.0, 7.0]},
    ]
    got = float(report(runs))
    assert got != 0.5, "that is the best on test: chosen by what is reported"
    assert got != 3.0, "that is the valid error of the choice: it chose itself, so it is optimistic"
    assert got != 6.0, "epochs are chosen by valid, but the network by test: that is choosing, too"
    assert got == 6.5, "choose network and epoch by valid, over all networks, and report test there"


# %% tags=["solution"]
def report(histories):
    best = min(histories, key=lambda h: min(h["valid"]))
    return best["test"][argmin(best["valid"])]


check_report(report)
refuses(
    check_report,
    lambda hs: min(min(h["test"]) for h in hs),
    lambda hs: min(min(h["valid"]) for h in hs),
    lambda hs: min(h["test"][argmin(h["valid"])] for h in hs),
    lambda hs: hs[-1]["test"][argmin(hs[-1]["valid"])],
)

# %% [markdown]
# ## Sources
#
# - The polynomial and the 200 inputs are examples of [Zhang et al., 2023](#zhang2023), "Dive into Deep Learning".
# - Weight decay as ridge regression: [Hoerl and Kennard, 1970](#hoerl1970); in networks: [Krogh and Hertz,
#   1991](#krogh1991).
# - Bias and variance: [Geman et al., 1992](#geman1992). The errors of what was chosen by looking: [Cawley and
#   Talbot, 2010](#cawley2010).
# - Random forests and out of bag: [Breiman, 2001](#breiman2001). The patients: [Efron et al., 2004](#efron2004).
# - The course whose figures stand beside ours: [Fundamentals of Deep Learning](#fdl), notebook 3.
