# %% [markdown]
# # Schedules
#
# A learning rate that is right for the first steps keeps the last ones from arriving, and one that is right for the
# last steps wastes the first. When should it fall, how fast, and why do some trainings start with a rate that
# rises?

# %% tags=["about"]
covers = ["O03", "O04", "O06"]
rung = 5
minutes = 50

# %%
from functools import partial

import torch
from torch import nn
from torch.nn import functional as F

from rungbook.book import Slider, refuses, show, source, table
from rungbook.plot.curves import lr_curve
from rungbook.plot.style import FOURTH, THIRD, TRAIN, VALID, draw, sheet

# %% [markdown]
# ## A ball of noise around the best point
#
# [Stochastic gradient descent](#stochastic-gradient-descent) steps by gradients that are right only on average. The
# smallest case: one number $p$, the loss $\frac12 (p - y)^2$, and a fresh sample $y$ at every step, drawn around 0
# with standard deviation 1. The best $p$ is 0. Each step is
#
# $$p \leftarrow p - lr\,(p - y) = (1 - lr)\, p + lr\, y.$$
#
# How far from 0 will $p$ be, in the mean square? The old error shrinks, and new noise comes in:
# $E[p^2] \leftarrow (1 - lr)^2 E[p^2] + lr^2$. For a fixed rate that comes to rest at $lr / (2 - lr)$ and goes no
# lower, however long you train. Below, 5,000 trainings that start at 5 are beside the formula:


# %%
def mean_squares(rate_at, steps, runs=5000):
    """Mean of p squared after each step: over many trainings, and by the formula."""
    torch.manual_seed(0)
    p, theory, found = torch.full((runs,), 5.0, dtype=torch.float64), 25.0, []
    for t in range(steps):
        lr = rate_at(t)
        p = p - lr * (p - torch.randn(runs, dtype=torch.float64))
        theory = (1 - lr) ** 2 * theory + lr**2
        found.append((p.pow(2).mean().item(), theory))
    return torch.tensor(found)


from rungbook.scratch.optim.schedules import cosine, square_root

STEPS = 300
ways = {
    "0.5 throughout": lambda t: 0.5,
    "0.02 throughout": lambda t: 0.02,
    "0.5, half a cosine down": cosine(top=0.5, last=0.0, steps=STEPS),
    "0.5 over the root of the step": square_root(0.5),
    "1 over the step": lambda t: 1 / (t + 1),
}
noisy = {name: mean_squares(rate_at, STEPS) for name, rate_at in ways.items()}
rows = [{"rate": name, "measured": found[-1, 0].item(), "theory": found[-1, 1].item()} for name, found in noisy.items()]
show(table(rows))
for name, found in noisy.items():
    assert (found[:, 0] / found[:, 1] - 1).abs().max() < 0.15, name
assert abs(noisy["0.5 throughout"][-1, 1] - 0.5 / (2 - 0.5)) < 1e-9
last = {name: found[-1, 1] for name, found in noisy.items()}
early = {name: found[9, 1] for name, found in noisy.items()}  # after ten steps
falling = list(ways)[2:]
assert max(early[name] for name in falling) < 1 < early["0.02 throughout"]
assert max(last[name] for name in falling) < 2 * last["0.02 throughout"] < 0.1 * last["0.5 throughout"]


# %% tags=["hide-input"]
def paint_noise(ax):
    for (name, found), colour in zip(noisy.items(), (VALID, FOURTH, TRAIN, THIRD, "#7f7f7f"), strict=True):
        ax.plot(range(1, STEPS + 1), found[:, 1], color=colour, label=name)
        ax.plot(range(1, STEPS + 1, 20), found[::20, 0], ".", color=colour, markersize=4)
    ax.set(xscale="log", yscale="log", xlabel="step", ylabel="mean squared distance")
    ax.legend(fontsize=7, frameon=False)


told = "; ".join(f"{row['rate']}: {row['measured']:.3f}" for row in rows)
show(
    draw(
        paint_noise,
        f"Mean squared distance over 300 steps, formula and 5,000 trainings, which agree. At the end {told}.",
        size=(4.8, 3.2),
    )
)

# %% [markdown]
# A large rate arrives early and then rattles about. A small one comes close, late. Falling rates arrive early and come
# about as close, or closer. The line for `1 / (t + 1)` ends lowest, and not by luck: with that rate the step is the
# formula of a running mean, so after $t$ steps $p$ is the mean of all samples so far, whatever it was at first:

# %%
torch.manual_seed(1)
samples = torch.randn(1000, dtype=torch.float64)
p, path = torch.tensor(5.0, dtype=torch.float64), []
for t, y in enumerate(samples):
    p = p - (p - y) / (t + 1)
    path.append(p)
torch.testing.assert_close(torch.stack(path), samples.cumsum(0) / torch.arange(1, 1001))
torch.testing.assert_close(noisy["1 over the step"][:, 1], 1 / torch.arange(1, STEPS + 1))
assert min(last, key=last.get) == "1 over the step"

# %% [markdown]
# Then why not always? Because it takes the curvature for granted. If the loss is ten times as flat as you took it
# to be, each step is a tenth as long, and the same schedule has cooled down long before it arrives. Half a cosine
# still arrives:

# %%
flat = {  # a tenth of the gradient is a tenth of the rate
    "1 over the step": lambda t: 0.1 / (t + 1),
    "half a cosine": lambda t: 0.1 * cosine(top=0.5, last=0.0, steps=STEPS)(t),
}


def flat_bowl(rate_at):
    square = 25.0
    for t in range(STEPS):
        square = (1 - rate_at(t)) ** 2 * square + rate_at(t) ** 2
    return square


left = {name: flat_bowl(rate_at) for name, rate_at in flat.items()}
show(
    table(
        [{"rate": name, "mean squared distance with a tenth of the curvature": value} for name, value in left.items()]
    )
)
assert left["1 over the step"] > 100 * left["half a cosine"]

# %% [markdown]
# [Robbins and Monro, 1951](#robbins1951) ask two things of rates, for a training without end: their sum is
# infinite, so that $p$ gets everywhere, and the sum of their squares is finite, so that the noise dies out.
# `1 / (t + 1)` keeps both. `1 / sqrt(t + 1)` keeps the first only: its ball still shrinks, but no faster than the rate
# does, to about half of it:

# %%
root = noisy["0.5 over the root of the step"][:, 1]
print(
    f"mean square after 300 steps {root[-1]:.4f}, half of the rate {ways['0.5 over the root of the step'](299) / 2:.4f}"
)
assert abs(root[-1] / (0.5 / 300**0.5 / 2) - 1) < 0.1

# %% [markdown]
# ## A schedule is a function
#
# A [schedule](#schedule) needs no class. It is a function: of the position in training, from 0 to 1, or of the
# step. The library's are in `rungbook.scratch.optim.schedules`:

# %%
from rungbook.scratch.optim.schedules import combine, cos, exp, factor, lin, multi_step, no

show(*(source(f) for f in (no, lin, cos, exp, combine)))

# %% [markdown]
# `combine` puts schedules one after the other, each squeezed into its share. The course this comes from uses 30 %
# of the time to rise and 70 % to fall [fast.ai, 2019](#fastai2019). Then those of the step:

# %%
show(*(source(f) for f in (square_root, factor, multi_step, cosine)))
of_position = {
    "no": no(1, 0.1),
    "lin": lin(1, 0.1),
    "cos": cos(1, 0.1),
    "exp": exp(1, 0.1),
    "combine 30/70": combine([0.3, 0.7], [cos(0.3, 1), cos(1, 0.1)]),
}
of_step = {
    "square_root": square_root(1.0),
    "factor": factor(1.0, 0.97, lowest=0.2),
    "multi_step": multi_step(1.0, [30, 60], 0.3),
    "cosine with warm-up": cosine(top=1.0, last=0.1, steps=90, warmup=20),
}
drawn = {name: [f(t / 100) for t in range(101)] for name, f in of_position.items()}
drawn |= {name: [f(t) for t in range(101)] for name, f in of_step.items()}


# %% tags=["hide-input"]
def paint_schedule(name):
    def paint(ax):
        ax.plot(drawn[name], color=TRAIN)
        ax.set(title=name, ylim=(0, 1.08), xlabel="step of 100", ylabel="rate")

    return paint


told = "; ".join(f"{name} from {v[0]:.2g} over {v[30]:.2g} at step 30 to {v[-1]:.2g}" for name, v in drawn.items())
show(
    sheet(
        [paint_schedule(name) for name in drawn], f"Nine schedules over 100 steps: {told}.", columns=3, size=(2.1, 1.6)
    )
)

# %% [markdown]
# ## Equal to torch's classes
#
# torch has its schedules as classes that change an optimiser's rate at each `step()`. Ours have the same names.
# Each case below is run for 100 steps with torch's class, with our class, and as a plain function that drives the
# optimiser; all three give the same rates.

# %%
from torch.optim import lr_scheduler as theirs

from rungbook.scratch.optim import SGD
from rungbook.scratch.optim import lr_scheduler as ours


def rates(make, steps=100, groups=1):
    """The rate of each group before each step, (steps, groups), and its momentum."""
    params = [nn.Parameter(torch.zeros(1, dtype=torch.float64)) for _ in range(groups)]
    optimizer = SGD([{"params": [p]} for p in params], lr=0.5, momentum=0.9)
    scheduler, seen = make(optimizer), []
    for _ in range(steps):
        seen.append([[group["lr"], group["momentum"]] for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step()
    return torch.tensor(seen, dtype=torch.float64).unbind(-1)


def build(package, name, options, optimizer):
    if options is not None:
        return getattr(package, name)(optimizer, **options)
    up = package.LinearLR(optimizer, start_factor=0.01, total_iters=20)
    return package.SequentialLR(optimizer, [up, package.CosineAnnealingLR(optimizer, T_max=80)], milestones=[20])


cases = {
    "ConstantLR": ({"factor": 1.0}, no(1, 1)),
    "LinearLR": ({"start_factor": 1.0, "end_factor": 0.1, "total_iters": 100}, lambda t: lin(1, 0.1)(t / 100)),
    "CosineAnnealingLR": ({"T_max": 100}, lambda t: cos(1, 0)(t / 100)),
    "ExponentialLR": ({"gamma": 0.1 ** (1 / 100)}, lambda t: exp(1, 0.1)(t / 100)),
    "MultiplicativeLR": ({"lr_lambda": lambda t: 0.97}, factor(1.0, 0.97)),
    "MultiStepLR": ({"milestones": [30, 60], "gamma": 0.3}, multi_step(1.0, [30, 60], 0.3)),
    "StepLR": ({"step_size": 25, "gamma": 0.5}, multi_step(1.0, [25, 50, 75, 100], 0.5)),
    "PolynomialLR": ({"total_iters": 100, "power": 2.0}, lambda t: (1 - t / 100) ** 2),
    "warm-up, then cosine": (None, cosine(top=1.0, last=0.0, steps=100, warmup=20, first=0.01)),
}
compared = []
for name, (options, function) in cases.items():
    torchs, mine = (rates(partial(build, package, name, options))[0] for package in (theirs, ours))
    by_function = rates(partial(ours.LambdaLR, lr_lambda=function))[0]
    torch.testing.assert_close(mine, torchs, rtol=1e-12, atol=1e-15)
    torch.testing.assert_close(by_function, torchs, rtol=1e-9, atol=1e-12)
    compared.append(
        {
            "schedule": name,
            "first": torchs[0, 0].item(),
            "last": torchs[-1, 0].item(),
            "largest gap": (by_function - torchs).abs().max().item(),
        }
    )
show(table(compared))

# %% [markdown]
# Why are the gaps of some rows not exactly 0? torch's classes multiply the present rate by the ratio of two
# neighbours, step after step, so that several schedules can act on one rate; rounding adds up. A function computes
# each rate afresh. It also needs no state to continue an interrupted run.
#
# What people get wrong: the *clock*. A class counts calls of `step()` and does not know whether they are steps or
# epochs. Plan 1,000 steps and call once an epoch, and the rate never falls. Plan 10 epochs and call at each step,
# and the cosine is at 0 after 10 steps, and then rises again:

# %%
planned_steps = rates(partial(theirs.CosineAnnealingLR, T_max=1000), steps=10)[0]  # called once in each of 10 epochs
planned_epochs = rates(partial(theirs.CosineAnnealingLR, T_max=10), steps=21)[
    0
]  # called at each of 1,000 steps; the first 21
print(f"planned in steps, called by epoch: {planned_steps[0, 0]:.4f} at first, {planned_steps[-1, 0]:.4f} at the end")
print("planned in epochs, called by step:", [round(planned_epochs[t, 0].item(), 3) for t in (0, 5, 10, 15, 20)])
assert planned_steps[-1] > 0.99 * planned_steps[0] and planned_epochs[10] < 1e-12 < 0.49 < planned_epochs[20]

# %% [markdown]
# ## One cycle, and momentum the other way
#
# [One cycle](#one-cycle) [Smith, 2018](#smith2018) raises the rate from a 25th of its top, and lets it fall to
# nearly nothing. While the rate is high the momentum is low, and the other way round. Under a steady gradient a
# step is `lr / (1 - momentum)` long; while the rate grows 25-fold, that grows about 8-fold. Two `combine`s say it
# all:

# %%
top_at = (0.3 * 100 - 1) / 99  # torch counts so that the top is reached at step 29 of 0 to 99
shares = [top_at, 1 - top_at]
rate_of = combine(shares, [cos(1 / 25, 1), cos(1, 1 / 25e4)])
momentum_of = combine(shares, [cos(0.95, 0.85), cos(0.85, 0.95)])
for package in (theirs, ours):
    lr, momentum = rates(partial(package.OneCycleLR, max_lr=0.5, total_steps=100))
    torch.testing.assert_close(lr[:, 0], torch.tensor([0.5 * rate_of(t / 99) for t in range(100)], dtype=torch.float64))
    torch.testing.assert_close(
        momentum[:, 0], torch.tensor([momentum_of(t / 99) for t in range(100)], dtype=torch.float64)
    )


reach = lr / (1 - momentum)
print(f"the rate grows {lr.max() / lr[0, 0]:.1f}-fold, lr / (1 - momentum) {reach[29, 0] / reach[0, 0]:.1f}-fold")
assert abs(reach[29, 0] / reach[0, 0] - 25 / 3) < 1e-6


# %% tags=["hide-input"]
def paint_one(values, title, colour):
    def paint(ax):
        ax.plot(values, color=colour)
        ax.set(title=title, xlabel="step of 100", ylabel="value")

    return paint


told = f"One cycle. The rate goes from {lr[0, 0]:.3f} to {lr.max():.3f} at step {lr.argmax()} and to {lr[-1, 0]:.4f}; the momentum from"
told += f" {momentum[0, 0]:.2f} to {momentum.min():.2f} and back to {momentum[-1, 0]:.2f}."
show(
    sheet(
        [paint_one(lr[:, 0], "learning rate", TRAIN), paint_one(momentum[:, 0], "momentum", VALID)],
        told,
        columns=2,
        size=(2.9, 2.1),
    )
)

# %% [markdown]
# An optimiser has [parameter groups](#parameter-group), each with its own rate. A network whose first layers were
# trained before gets a lower rate there, so a schedule must act on each group. Most multiply every group's own
# rate; `OneCycleLR` takes a list of tops, and `LambdaLR` a list of functions. Here the first group waits for 30
# steps and then joins at a tenth of the rate:

# %%
lr, _ = rates(partial(ours.OneCycleLR, max_lr=[0.05, 0.5], total_steps=100), groups=2)
torch.testing.assert_close(10 * lr[:, 0], lr[:, 1])
late = lambda t: 0.0 if t < 30 else 0.1 * cos(1, 0)(t / 100)
lists = [
    rates(partial(package.LambdaLR, lr_lambda=[late, lambda t: cos(1, 0)(t / 100)]), groups=2)[0]
    for package in (theirs, ours)
]
torch.testing.assert_close(*lists)


# %% tags=["hide-input"]
def paint_groups(ax):
    ax.plot(lists[0][:, 1], color=TRAIN, label="second group")
    ax.plot(lists[0][:, 0], color=VALID, linestyle="--", label="first group")
    ax.set(xlabel="step of 100", ylabel="rate")
    ax.legend(fontsize=8, frameon=False)


told = f"Rates of two groups. The second falls from {lists[0][0, 1]:.2f} along a cosine; the first is 0 until step 30, then a tenth of it."
show(draw(paint_groups, told, size=(3.8, 2.2)))

# %% [markdown]
# ## In a training, with a recorder
#
# The `Learner` takes a schedule of the position: a name, such a name with arguments, or any function. Step $i$ of
# $N$ is at the position $i / N$. To see what it does, a [callback](#callback) writes down rate and momentum after
# each step. (The library's own `Recorder` notes them at each report, and a line an epoch into the run's folder.)

# %%
import rungbook
from rungbook.learner.schedule import SCHEDULES, make_schedule, one_cycle


class Rates(rungbook.Callback):
    def before_fit(self, learner):
        self.lr, self.momentum = [], []

    def after_step(self, learner):
        group = learner.optimizer.param_groups[0]
        self.lr.append(group["lr"])
        self.momentum.append(group["momentum"])


show(source(one_cycle))
data = rungbook.load_data("digits")
torch.manual_seed(0)
recorder = Rates()
model = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
learner = rungbook.Learner(model, data, lr=0.5, optimizer=partial(torch.optim.SGD, momentum=0.9), callbacks=[recorder])
learner.fit(3, "one_cycle")
cycle, steps = one_cycle(), learner.plan.steps
torch.testing.assert_close(recorder.lr, [0.5 * cycle(i / steps) for i in range(steps)])
torch.testing.assert_close(recorder.momentum, [cycle.momentum(i / steps) for i in range(steps)])
top = max(recorder.lr)
print(
    f"{steps} steps; highest rate {top:.3f} at step {recorder.lr.index(top)}; valid accuracy {learner.row['valid_accuracy']:.3f}"
)

# %% [markdown]
# At the command line the same words follow `schedule=`. Without them it is `one_cycle`, unless the recipe says
# otherwise:
#
# ```sh
# rung train digits schedule=cosine
# rung train digits schedule=warm_up_linear lr=0.02
# rung train digits "schedule=one_cycle(pct_start=0.25, div=10)"
# rung train digits "schedule=step(milestones=(0.6, 0.8), gamma=0.2)"
# ```
#
# Shares of the run are positions, not steps, so the words stay right when the number of epochs changes. Move the
# slider over all names:

# %%
from rungbook.recipes.recipe import Recipe

assert Recipe().schedule == "one_cycle"
print(", ".join(SCHEDULES))
spoken = [
    "constant",
    "linear",
    "cosine",
    "exponential",
    "inverse_sqrt",
    "step",
    "warm_up_cosine",
    "one_cycle",
    "one_cycle(pct_start=0.6, div=5)",
]
show(Slider("schedule", {words: lr_curve(make_schedule(words), base=0.1) for words in spoken}, start="one_cycle"))
try:
    make_schedule("warmup_cosine")
except rungbook.RungError as error:
    print(error)

# %% [markdown]
# ## Why start low?
#
# A falling rate is explained by noise. A rising one, [warm-up](#warm-up), is not: at the start there is most to
# gain. Watch Adam at its first steps. It divides an average of gradients by the root of an average of their squares
# (lesson 15). Give it pure noise, so that there is nothing to learn and the right thing to do is nothing. How long
# are its steps?
#
# At step 1 both averages hold one gradient, and the quotient is 1 or -1: a full step. Later, the average of the
# gradients has shrunk towards 0, and the denominator has not. If the squares are averaged evenly, the mean square
# of the quotient is the sum of the squared weights of the debiased average, exactly
# $\frac{1 - \beta}{1 + \beta} \cdot \frac{1 + \beta^t}{1 - \beta^t}$ with $\beta = \beta_1$:

# %%
from rungbook.scratch.optim.stateful import Slot, adam_direction, first_moment, second_moment, step_count

hyper = {"betas": (0.9, 0.999), "eps": 0.0}
torch.manual_seed(0)
slot = Slot(torch.zeros(20_000, dtype=torch.float64), torch.zeros(()), {})
length, spread = [], []
for t in range(1, 101):
    slot.grad = torch.randn(20_000, dtype=torch.float64)
    for part in (step_count, first_moment, second_moment):
        part(slot, hyper)
    length.append(adam_direction(slot, hyper).pow(2).mean().sqrt().item())
    adaptive = (slot.state["exp_avg_sq"] / (1 - 0.999**t)).rsqrt()  # what Adam multiplies the rate by, weight by weight
    spread.append((adaptive.quantile(0.95) / adaptive.quantile(0.05)).item())
steps = torch.arange(1, 101, dtype=torch.float64)
theory = ((1 - 0.9) / (1 + 0.9) * (1 + 0.9**steps) / (1 - 0.9**steps)).sqrt()
assert (torch.tensor(length) / theory - 1).abs().max() < 0.05
print(f"step 1: {length[0]:.2f} of the rate; step 10: {length[9]:.2f}; step 100: {length[99]:.2f}")
print(
    f"adaptive rates, 95 % quantile over 5 % quantile: step 1: {spread[0]:.0f}, step 10: {spread[9]:.1f}, step 100: {spread[99]:.2f}"
)
assert length[0] > 4 * length[99] and spread[0] > 10 * spread[99]


# %% tags=["hide-input"]
def paint_lengths(ax):
    ax.plot(steps, theory, color=TRAIN, label="theory")
    ax.plot(steps[::4], length[::4], ".", color=VALID, label="20,000 weights")
    ax.set(xlabel="step", ylabel="length of a step over the rate", ylim=(0, 1.05))
    ax.legend(fontsize=8, frameon=False)


told = f"Adam's steps on pure noise, as theory has them: {length[0]:.2f} of the rate at step 1, {length[99]:.2f} at step 100."
show(draw(paint_lengths, told, size=(4.0, 2.4)))

# %% [markdown]
# Adam's first steps are more than four times as long as its later ones, on nothing but noise. Warm-up takes that
# back. The early denominators are also wildly uneven, since each rests on a few squares. [Liu et al.,
# 2020](#liu2020) hold this variance to be the reason for warm-up; [Ma and Yarats, 2021](#ma2021) the length of the
# steps, and they advise a straight line up over $2 / (1 - \beta_2)$ steps, 2,000 for Adam's usual $\beta_2$. SGD with
# very large batches is warmed up for another reason: the large rate that suits such batches is too large for the
# first epochs, when the network changes fast [Goyal et al., 2017](#goyal2017).
#
# ## Does it pay on digits?
#
# The fair search of lesson 15: each schedule with its own best of five rates by the valid split, ten seeds side by
# side, Adam, five epochs, judged on the test split.

# %%
from sklearn.datasets import load_digits

from rungbook.recipes.comparison import compare_all

pixels, digit = load_digits(return_X_y=True)
pixels, digit = torch.tensor(pixels, dtype=torch.float32) / 16, torch.tensor(digit)
SEEDS = 10
orders = [torch.randperm(len(pixels), generator=torch.Generator().manual_seed(seed)) for seed in range(SEEDS)]
parts = [slice(0, 1197), slice(1197, 1497), slice(1497, None)]
x_train, x_valid, x_test = (torch.stack([pixels[order[part]] for order in orders]) for part in parts)
y_train, y_valid, y_test = (torch.stack([digit[order[part]] for order in orders]) for part in parts)


def forward(weights, x):
    w1, b1, w2, b2 = weights
    return torch.baddbmm(b2, torch.baddbmm(b1, x, w1).relu(), w2)  # (seeds, batch, 10)


def judged(lr, schedule, epochs=5, batch=32):
    """Cross-entropy of each seed on valid and test."""
    torch.manual_seed(0)
    weights = [(torch.rand(SEEDS, *s) * 2 - 1).div(8).requires_grad_() for s in ((64, 32), (1, 32), (32, 10), (1, 10))]
    optimizer, seed, done = torch.optim.Adam(weights, lr, foreach=True), torch.arange(SEEDS)[:, None], 0
    planned = epochs * -(-x_train.shape[1] // batch)
    for _ in range(epochs):
        for now in torch.stack([torch.randperm(x_train.shape[1]) for _ in range(SEEDS)]).split(batch, dim=1):
            optimizer.param_groups[0]["lr"] = lr * schedule(done / planned)
            optimizer.zero_grad()
            loss = F.cross_entropy(forward(weights, x_train[seed, now]).flatten(0, 1), y_train[seed, now].flatten())
            (SEEDS * loss).backward()  # each network's own mean
            optimizer.step()
            done += 1
    with torch.no_grad():
        sets = ((x_valid, y_valid), (x_test, y_test))
        return [F.cross_entropy(forward(weights, x).transpose(1, 2), y, reduction="none").mean(1) for x, y in sets]


choices = {
    "constant": no(1, 1),
    "warm-up, then constant": combine([0.1, 0.9], [lin(0.01, 1), no(1, 1)]),
    "linear": lin(1, 0),
    "cosine": cos(1, 0),
    "30/70": combine([0.3, 0.7], [cos(0.04, 1), cos(1, 0)]),
}
tested, rows = {}, []
for name, schedule in choices.items():
    found = {lr: judged(lr, schedule) for lr in (0.01, 0.02, 0.04, 0.08, 0.16)}
    lr = min(found, key=lambda lr: found[lr][0].mean().item())
    test = found[lr][1]
    assert 0.01 < lr < 0.16  # a best rate at the end of the grid would mean that the grid is too short
    tested[name] = test.tolist()
    rows.append({"schedule": name, "best rate": lr, "test loss": f"{test.mean():.3f} ± {test.std():.3f}"})
show(table(rows))
for comparison in compare_all(tested, "constant", metric="loss").values():
    print(comparison.words)

means = {name: torch.tensor(values).mean().item() for name, values in tested.items()}
assert max(means[name] for name in ("linear", "cosine", "30/70")) < min(
    means["constant"], means["warm-up, then constant"]
)


# %% tags=["hide-input"]
def paint_tested(ax):
    for i, values in enumerate(tested.values()):
        ax.plot(values, [i] * SEEDS, ".", color=TRAIN)
        ax.plot([sum(values) / SEEDS] * 2, [i - 0.25, i + 0.25], color=VALID)
    ax.set_yticks(range(len(tested)), list(tested))
    ax.set(xlabel="test loss", ylim=(len(tested) - 0.5, -0.5))


told = "; ".join(f"{name} {mean:.3f}" for name, mean in means.items())
show(draw(paint_tested, f"Test loss of ten seeds for each schedule, mean: {told}.", size=(4.6, 2.2)))

# %% [markdown]
# The means of the three schedules that end near 0 lie below those of the two that do not; which differences are
# more than chance, the sentences say. Search the rate again when you change the schedule: the best rate is not the
# same for all.
#
# So: a rate should fall when noise, no longer distance, keeps the weights from the best point, which is towards the
# end of every run. It should fall slowly enough to arrive first: half a cosine forgives a wrong guess of the curvature,
# `1 / (t + 1)` does not. And it rises at first where the first steps would be too long: Adam's, or those of a rate that
# only a trained network bears.
#
# ## Exercises
#
# ### Exercise 1: up, level, down
#
# Write `trapezoid(position)`: from 0 in a straight line to 1 over the first tenth, level, and over the last fifth
# in a straight line to 0.


# %%
def check_trapezoid(trapezoid):
    for position, value in {0: 0, 0.025: 0.25, 0.1: 1, 0.5: 1, 0.8: 1, 0.85: 0.75, 0.9: 0.5, 1: 0}.items():
        got = trapezoid(position)
        assert abs(got - value) < 1e-9, (
            f"at {position} it is {got:.3f}, expected {value}; it rises until 0.1 and falls from 0.8"
        )


# %% tags=["solution"]
check_trapezoid(combine([0.1, 0.7, 0.2], [lin(0, 1), no(1, 1), lin(1, 0)]))
check_trapezoid(lambda x: min(x / 0.1, 1, (1 - x) / 0.2))
refuses(
    check_trapezoid,
    combine([0.1, 0.9], [lin(0, 1), lin(1, 0)]),
    combine([0.1, 0.7, 0.2], [cos(0, 1), no(1, 1), cos(1, 0)]),
    combine([0.1, 0.7, 0.2], [lin(0, 1), no(1, 1), cos(1, 0)]),
    combine([0.2, 0.7, 0.1], [lin(0, 1), no(1, 1), lin(1, 0)]),
)

# %% [markdown]
# ### Exercise 2: warm restarts
#
# [Loshchilov and Hutter, 2017](#loshchilov2017) let the cosine fall to 0 and then begin again. Write `restarts(t)`,
# the factor at step `t` with 10 steps a cycle. A right answer equals
# `torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(T_0=10)` over 35 steps.


# %%
def check_restarts(restarts):
    torchs = rates(partial(theirs.CosineAnnealingWarmRestarts, T_0=10), steps=35)[0][:, 0] / 0.5
    for t, value in enumerate(torchs.tolist()):
        assert abs(restarts(t) - value) < 1e-9, (
            f"at step {t} it is {restarts(t):.4f}, torch's is {value:.4f}; step 10 starts a new cycle"
        )


# %% tags=["solution"]
check_restarts(lambda t: cos(1, 0)(t % 10 / 10))
refuses(check_restarts, lambda t: cos(1, 0)(t / 10), lambda t: cos(1, 0)(t % 10 / 9), lambda t: cos(1, 0)(t % 11 / 10))
refuses(check_restarts, lambda t: lin(1, 0)(t % 10 / 10), lambda t: 0.5 * cos(1, 0)(t % 10 / 10))

# %% [markdown]
# ### Exercise 3: the rate for a ball of a given size
#
# You want the noise ball of the first section to come to rest at a mean square of `v`, for a curvature of 1 and
# noise of standard deviation `sd`: the step is $p \leftarrow (1 - lr)\, p + lr\, sd\, \epsilon$. Write
# `rate_for(v, sd)`. A right answer comes to rest there.


# %%
def check_rate_for(rate_for):
    for v, sd in ((0.01, 1.0), (0.5, 1.0), (0.1, 3.0)):
        lr, square = rate_for(v, sd), 25.0
        assert 0 < lr < 2, f"a rate of {lr} diverges or stands still"
        for _ in range(5000):
            square = (1 - lr) ** 2 * square + lr**2 * sd**2
        assert abs(square / v - 1) < 1e-6, (
            f"it rests at {square:.4f}, not at {v}; solve v = lr * sd**2 / (2 - lr) for lr"
        )


# %% tags=["solution"]
check_rate_for(lambda v, sd: 2 * v / (sd**2 + v))
refuses(check_rate_for, lambda v, sd: 2 * v / sd**2, lambda v, sd: 2 * v / (sd + v), lambda v, sd: v / sd**2)
refuses(check_rate_for, lambda v, sd: 2 * v / (1 + v), lambda v, sd: 2 * v / (sd**2 - v))

# %% [markdown]
# ## Sources
#
# - Steps that must add up while their squares must not: [Robbins and Monro, 1951](#robbins1951).
# - Schedules as functions, put together 30/70: fast.ai 2019, part 2, notebook 05, [Howard and Gugger](#fastai2019);
#   square root, factor, multi-step and cosine with warm-up: [Zhang et al., 2023](#zhang2023), section 12.11.
# - Cosines and restarts: [Loshchilov and Hutter, 2017](#loshchilov2017); one cycle: [Smith, 2018](#smith2018).
# - Warm-up for Adam: [Liu et al., 2020](#liu2020); [Ma and Yarats, 2021](#ma2021).
