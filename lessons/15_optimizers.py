# %% [markdown]
# # Optimisers from steppers
#
# Gradient descent fits on one line. Adam's update takes half a page. Is Adam another machine, or the same machine
# with other parts in it, and what does each part buy?

# %% tags=["about"]
covers = ["O08", "O09", "O11"]
rung = 5
minutes = 60

# %%
import math
from functools import partial

import torch
from torch import nn
from torch.nn import functional as F

from rungbook.book import Slider, refuses, show, source, table
from rungbook.plot.fit import loss_surface
from rungbook.plot.style import FOURTH, THIRD, TRAIN, VALID, draw, sheet

# %% [markdown]
# ## A valley that is long and narrow
#
# [Gradient descent](#gradient-descent) takes a step against the gradient: `p -= lr * g`, where `lr` is the [learning
# rate](#learning-rate). The smallest problem on which it struggles has two parameters and one bowl, steep across
# and flat along: $L(a, b) = \frac12 (a^2 + 100\, b^2)$. Here it is, as a learner would write it first:


# %%
def bowl(p):
    return 0.5 * (p[0] ** 2 + 100 * p[1] ** 2)


def naive(lr, steps):
    p = torch.tensor([1.0, 1.0], dtype=torch.float64, requires_grad=True)
    distances = []
    for _ in range(steps):
        (g,) = torch.autograd.grad(bowl(p), p)
        with torch.no_grad():
            p -= lr * g
        distances.append(p.detach().norm().item())
    return torch.tensor([math.sqrt(2), *distances], dtype=torch.float64)


for lr in (0.001, 2 / 101, 0.0201):
    print(f"rate {lr:.4f}: distance from the bottom after 200 steps {naive(lr, 200)[-1]:.3g}")
assert naive(0.0201, 200)[-1] > 1 > naive(0.001, 200)[-1]

# %% [markdown]
# One step multiplies `b` by `1 - 100 lr` and `a` by `1 - lr`. Above `lr = 2 / 100` the first factor is below -1, and
# `b` grows without end: the steep direction sets the limit. At the limit the flat direction creeps. The best
# compromise makes both factors equally large, at `lr = 2 / (100 + 1)`, and then every single step shrinks the
# distance by the same factor, (100 - 1) / (100 + 1). The ratio of the largest to the smallest curvature, here 100, is
# the [condition number](#condition-number); it decides how slow the descent is.

# %%
shrinks = naive(2 / 101, 200)
torch.testing.assert_close(
    shrinks[1:] / shrinks[:-1], torch.full((200,), 99 / 101, dtype=torch.float64), rtol=1e-9, atol=0
)
print(
    f"each step keeps {99 / 101:.4f} of the distance; a factor of 10,000 takes {math.log(1e-4) / math.log(99 / 101):.0f} steps"
)

# %% [markdown]
# ## One machine, two kinds of parts
#
# Plain descent forgets every gradient after its step. An optimiser that remembers needs a memory for each parameter,
# and its update splits in two: *statistics* bring the memory up to date, *steppers* move the parameter. In
# `rungbook.scratch.optim.stateful` every optimiser is two lists of such parts. This is all of the machine:

# %%
from rungbook.scratch.optim import stateful
from rungbook.scratch.optim.stateful import Slot, StatefulOptimizer, average_grad, sgd_step

show(source(Slot), source(StatefulOptimizer.update))

# %% [markdown]
# A part is a function of one parameter's `Slot` and of the hyperparameters. Plain gradient descent has no
# statistics and one stepper. [Momentum](#momentum) has one statistic, a running sum of gradients in which old ones
# fade, and steps along that sum. The statistic, `average_grad`, is made by `exponential_average`: `momentum` says
# how much of the sum a step keeps.

# %%
show(
    source(stateful.sgd_step),
    source(stateful.exponential_average),
    source(stateful.momentum_step),
    source(stateful.composed_sgd),
)


# %%
def walk(make, loss, start, steps):
    """The points that an optimiser visits, (steps + 1, 2)."""
    p = torch.tensor(start, dtype=torch.float64, requires_grad=True)
    optimizer, points = make([p]), [p.detach().clone()]
    for _ in range(steps):
        optimizer.zero_grad()
        loss(p).backward()
        optimizer.step()
        points.append(p.detach().clone())
    return torch.stack(points)


parts_only = walk(lambda p: StatefulOptimizer(p, [], [sgd_step], lr=2 / 101), bowl, [1.0, 1.0], 200)
torch.testing.assert_close(parts_only.norm(dim=1), shrinks, rtol=1e-9, atol=0)  # the naive loop, from parts

# %% [markdown]
# On the bowl, momentum can be computed too. With condition number $\kappa$ the best settings keep
# $(\sqrt\kappa - 1) / (\sqrt\kappa + 1)$ of the distance a step, where plain descent keeps
# $(\kappa - 1) / (\kappa + 1)$ [Polyak, 1964](#polyak1964). For $\kappa = 100$ that is 9 / 11 in place of 99 / 101:

# %%
best_rate, best_momentum = 4 / (10 + 1) ** 2, ((10 - 1) / (10 + 1)) ** 2
heavy = walk(lambda p: stateful.composed_sgd(p, best_rate, momentum=best_momentum), bowl, [1.0, 1.0], 400).norm(dim=1)


def steps_until(distances, part):
    return int((distances < part * distances[0]).nonzero()[0])


plain_steps, heavy_steps = steps_until(naive(2 / 101, 600), 1e-4), steps_until(heavy, 1e-4)
late = (heavy[200] / heavy[100]).item() ** (1 / 100)
print(
    f"steps to a 10,000th of the distance: plain {plain_steps}, momentum {heavy_steps}; late in the run it keeps {late:.3f} a step"
)
assert plain_steps > 5 * heavy_steps and abs(late - 9 / 11) < 0.01

# %% [markdown]
# ## What an exponentially weighted average does to noise
#
# Momentum, Adam and the averaged weights of lesson 18 all rest on one formula, the [exponentially weighted
# average](#exponentially-weighted-average):
#
# $$a_t = \beta\, a_{t-1} + (1 - \beta)\, y_t, \qquad a_0 = 0.$$
#
# A value that is $k$ steps old has the weight $(1 - \beta) \beta^k$. After about $1 / (1 - \beta)$ steps its weight has
# fallen to $1 / e$, so that is roughly how many values it averages. Below, the library's statistic runs over noisy
# numbers around a slow wave. The dashed line is the average as it stands; the full one is debiased, which comes
# next.


# %%
def averaged(y, beta):
    """The library's dampened average over the values of y, (steps, ...), and the same debiased."""
    count, average = stateful.step_count, stateful.exponential_average("average", keep=lambda hyper: beta)
    slot, raw, free = Slot(torch.zeros_like(y[0]), y[0], {}), [], []
    for value in y:
        slot.grad = value
        count(slot, {})
        average(slot, {})
        raw.append(slot.state["average"].clone())
        free.append(stateful.debiased(slot.state["average"], beta, slot))
    return torch.stack(raw), torch.stack(free)


# %% tags=["hide-input"]
torch.manual_seed(7)
time = torch.arange(200, dtype=torch.float64)
wave = 1 + 0.5 * torch.sin(time / 30)
noisy = wave + 0.4 * torch.randn(200, dtype=torch.float64)


def smoothed(beta):
    raw, free = averaged(noisy, beta)

    def paint(ax):
        ax.plot(time, noisy, ".", color=FOURTH, markersize=3, label="data")
        ax.plot(time, wave, color=THIRD, linewidth=1, label="without noise")
        ax.plot(time, raw, "--", color=VALID, label="from 0")
        ax.plot(time, free, color=TRAIN, label="debiased")
        ax.set(xlabel="step", ylabel="value")
        ax.legend(fontsize=7, frameon=False, ncols=2)

    off = (free - wave).abs().mean()
    words = f"beta {beta}: after ten steps the average from 0 is at {raw[9]:.2f} and the debiased one at {free[9]:.2f}, where the wave is at"
    return draw(paint, f"{words} {wave[9]:.2f}; the debiased one is off by {off:.2f} on average.", size=(4.6, 2.6))


show(Slider("beta", {str(beta): smoothed(beta) for beta in (0.5, 0.9, 0.98)}, start="0.9"))

# %% [markdown]
# Two forces pull on $\beta$. Noise: of independent noise the average keeps the share
# $\sqrt{(1 - \beta) / (1 + \beta)}$ of its standard deviation. Lag: behind a value that rises steadily the average
# stays $\beta / (1 - \beta)$ steps. Large $\beta$ is smooth and late:

# %%
rows = []
noise = torch.randn(300, 5000, dtype=torch.float64)  # 5,000 series of 300 steps
for beta in (0.5, 0.9, 0.98):
    kept = averaged(noise, beta)[0][-1].std().item()
    lag = (999 - averaged(torch.arange(1000.0, dtype=torch.float64), beta)[0][-1]).item()
    rows.append(
        {
            "beta": beta,
            "noise kept": kept,
            "theory": math.sqrt((1 - beta) / (1 + beta)),
            "lag": lag,
            "in theory": beta / (1 - beta),
        }
    )
    assert abs(kept / rows[-1]["theory"] - 1) < 0.05 and abs(lag - rows[-1]["in theory"]) < 1e-3 * (1 + lag)
show(table(rows))

# %% [markdown]
# The third force is the start. The average begins at 0, so at first it is too small: its weights sum to $1 - \beta^t$
# and not to 1. [Debiasing](#debiasing) divides by that sum. Of a constant, the debiased average is that constant from
# the first step on:

# %%
raw, free = averaged(torch.full((300,), 5.0, dtype=torch.float64), 0.98)
print(
    "average of fives after 1, 10, 100 steps:",
    [round(raw[t - 1].item(), 3) for t in (1, 10, 100)],
    " debiased:",
    free[0].item(),
)
torch.testing.assert_close(free, torch.full_like(free, 5.0))
torch.testing.assert_close(raw, 5 * (1 - 0.98 ** torch.arange(1, 301, dtype=torch.float64)))

# %% [markdown]
# What people get wrong: torch's momentum is *not* an average. It is the sum $b_t = \beta\, b_{t-1} + g_t$, without
# the factor $1 - \beta$, which torch calls `1 - dampening`. Under a steady gradient it grows to $g / (1 - \beta)$.
# Whoever turns momentum 0.9 on and leaves the rate has made the steps ten times as long:

# %%
steady = lambda p: p.sum()  # a gradient of 1 everywhere
far = walk(lambda p: stateful.composed_sgd(p, 0.1, momentum=0.9), steady, [0.0, 0.0], 300)
near = walk(lambda p: stateful.composed_sgd(p, 0.1, momentum=0.9, dampening=0.9), steady, [0.0, 0.0], 300)
print(f"last step with the sum {(far[-2] - far[-1])[0]:.3f}, with the average {(near[-2] - near[-1])[0]:.3f}; rate 0.1")
torch.testing.assert_close(far[-2] - far[-1], 10 * (near[-2] - near[-1]))

# %% [markdown]
# ## Adam: every weight its own measure
#
# Momentum still has one rate for all weights. [Adam](#adam) [Kingma and Ba, 2015](#kingma2015) keeps a second
# average, of the *squared* gradient, and divides by its root. Both averages are debiased. In the machine that is
# one more statistic and another stepper:

# %%
show(source(stateful.adam_direction), source(stateful.adam_step), source(stateful.composed_adam))

# %% [markdown]
# Two things follow. The first step moves every weight by the rate itself, whatever its gradient: $g / \sqrt{g^2}$ is
# 1 or -1. And multiplying the loss by any number changes nothing. On the bowl, Adam does not see that one direction
# is a hundred times as steep. The first step also shows why debiasing matters: without it, it would be
# $(1 - 0.9) / \sqrt{1 - 0.999}$ times as long.

# %%
adam = lambda p: stateful.composed_adam(p, lr=0.05, eps=0)
one, scaled = walk(adam, bowl, [1.0, 1.0], 100), walk(adam, lambda p: 1000 * bowl(p), [1.0, 1.0], 100)
print(
    "first step:",
    (one[0] - one[1]).tolist(),
    " without debiasing it would be",
    round(0.1 / math.sqrt(0.001), 2),
    "times that",
)
torch.testing.assert_close(one[0] - one[1], torch.full((2,), 0.05, dtype=torch.float64))
torch.testing.assert_close(one, scaled)
torch.testing.assert_close(one[:, 0], one[:, 1])  # the same path along the flat and the steep direction

# %% [markdown]
# Now a valley that bends: Rosenbrock's, $(1 - a)^2 + 100 (b - a^2)^2$, whose bottom lies at (1, 1) [Rosenbrock,
# 1960](#rosenbrock1960). Each optimiser gets the best of five rates for 150 steps. Move the slider:


# %%
def rosenbrock(p):
    return (1 - p[0]) ** 2 + 100 * (p[1] - p[0] ** 2) ** 2


makers = {
    "SGD": lambda lr, p: stateful.composed_sgd(p, lr),
    "momentum 0.9": lambda lr, p: stateful.composed_sgd(p, lr, momentum=0.9),
    "Adam": lambda lr, p: stateful.composed_adam(p, lr),
}
rates = torch.logspace(-3.2, -0.5, 5, dtype=torch.float64).tolist()
a, b = torch.linspace(-1.8, 1.8, 50), torch.linspace(-0.8, 2.6, 50)
frames, ends = {}, {}
for name, make in makers.items():
    paths = {lr: walk(partial(make, lr), rosenbrock, [-1.2, 1.0], 150) for lr in rates}
    last = {lr: rosenbrock(path[-1]).item() for lr, path in paths.items()}
    lr = min((lr for lr in rates if math.isfinite(last[lr])), key=last.__getitem__)
    ends[name] = last[lr]
    title = f"{name}, rate {lr:.2g}: loss {last[lr]:.2g}"
    surface = lambda x, y: (1 - x) ** 2 + 100 * (y - x**2) ** 2
    frames[name] = loss_surface(surface, a, b, path=paths[lr].tolist(), names=("a", "b"), best=(1, 1), title=title)
show(
    Slider("optimiser", frames),
    table([{"optimiser": name, "loss after 150 steps": loss} for name, loss in ends.items()]),
)
assert ends["momentum 0.9"] < ends["SGD"] / 10 and ends["Adam"] < ends["SGD"]
assert ends["momentum 0.9"] < ends["Adam"]

# %% [markdown]
# Plain descent leaps across the valley and crawls along it. In this valley momentum gets lowest, while on the
# straight one it was Adam that did not feel the condition number: neither is best in both.
#
# ## Equal to torch's
#
# A network on handwritten digits, 50 steps, float64: the machine with its parts against torch's classes. The table
# has the largest difference of any weight.

# %%
from sklearn.datasets import load_digits

pixels, digit = load_digits(return_X_y=True)
pixels, digit = torch.tensor(pixels) / 16, torch.tensor(digit)


def trained(make, steps=50):
    """The weights after some steps of full batches of 200 digits, as one vector."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 16), nn.Tanh(), nn.Linear(16, 10)).double()
    optimizer = make(model.parameters())
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(model(pixels[:200]), digit[:200]).backward()
        optimizer.step()
    return torch.cat([p.detach().ravel() for p in model.parameters()])


pairs = {
    "SGD": (partial(StatefulOptimizer, stats=[], steppers=[sgd_step], lr=0.1), partial(torch.optim.SGD, lr=0.1)),
    "SGD, L2": tuple(partial(made, lr=0.1, weight_decay=0.1) for made in (stateful.composed_sgd, torch.optim.SGD)),
    "momentum": tuple(
        partial(made, lr=0.1, momentum=0.9, weight_decay=0.1) for made in (stateful.composed_sgd, torch.optim.SGD)
    ),
    "Adam": tuple(partial(made, lr=0.01) for made in (stateful.composed_adam, torch.optim.Adam)),
    "Adam, L2": tuple(partial(made, lr=0.01, weight_decay=0.1) for made in (stateful.composed_adam, torch.optim.Adam)),
    "AdamW": (
        partial(stateful.composed_adam, lr=0.01, weight_decay=0.1, decoupled=True),
        partial(torch.optim.AdamW, lr=0.01, weight_decay=0.1),
    ),
}
compared = []
for name, (ours, torchs) in pairs.items():
    mine, theirs = trained(ours), trained(torchs)
    torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-10)
    compared.append({"optimiser": name, "largest difference": (mine - theirs).abs().max().item()})
show(table(compared))

# %% [markdown]
# Dampening is the exception that shows what a part is worth. torch lets the very first gradient into the sum whole
# and dampens only from the second on. With one statistic exchanged, the machine does the same:


# %%
def average_as_torch(slot, hyper):
    if "grad_avg" not in slot.state:
        slot.state["grad_avg"] = slot.grad.clone()
    else:
        average_grad(slot, hyper)


options = {"lr": 0.1, "momentum": 0.9, "dampening": 0.9}
theirs = trained(partial(torch.optim.SGD, **options))
torch.testing.assert_close(
    trained(partial(StatefulOptimizer, stats=[average_as_torch], steppers=[stateful.momentum_step], **options)),
    theirs,
    rtol=1e-9,
    atol=1e-10,
)
from_zero = trained(partial(stateful.composed_sgd, **options))
print(f"with the library's part, which starts from 0, weights differ by up to {(from_zero - theirs).abs().max():.3f}")
assert (from_zero - theirs).abs().max() > 0.001

# %% [markdown]
# LAMB [You et al., 2020](#you2020) is Adam with one number more: each tensor's step, whatever its own length, is made
# as long as the tensor times the rate. torch does not have it, so the measure is the paper's algorithm 2, written out:

# %%
from rungbook.scratch.optim import LAMB
from rungbook.scratch.optim.layerwise import lamb_step

show(source(lamb_step), source(stateful.trust_ratio))


class LambOnPaper(torch.optim.Optimizer):
    def __init__(self, params, lr):
        super().__init__(params, {"lr": lr})
        self.t = 0

    @torch.no_grad()
    def step(self):
        self.t += 1
        for p in self.param_groups[0]["params"]:
            m, v = self.state[p].get("mv", (0, 0))
            m, v = 0.9 * m + 0.1 * p.grad, 0.999 * v + 0.001 * p.grad**2
            self.state[p]["mv"] = m, v
            r = (m / (1 - 0.9**self.t)) / ((v / (1 - 0.999**self.t)).sqrt() + 1e-6) + 0.1 * p
            p -= self.param_groups[0]["lr"] * p.norm() / r.norm() * r


torch.testing.assert_close(
    trained(partial(LAMB, lr=0.01, weight_decay=0.1)), trained(partial(LambOnPaper, lr=0.01)), rtol=1e-9, atol=1e-10
)

# %% [markdown]
# ## Weight decay is not L2
#
# To keep weights small, either add $\frac{\lambda}{2} |p|^2$ to the loss ([L2 regularisation](#l2-regularisation)),
# so that the gradient becomes $g + \lambda p$; or shrink the weights themselves at each step,
# $p \leftarrow (1 - lr\, \lambda)\, p$ ([weight decay](#weight-decay)). As parts, the first is a statistic that comes
# before the averages, the second a stepper that no average sees:

# %%
show(source(stateful.l2), source(stateful.decoupled_decay))
hyper = {"lr": 0.1, "weight_decay": 0.1}
as_l2 = trained(partial(StatefulOptimizer, stats=[stateful.l2], steppers=[sgd_step], **hyper))
as_decay = trained(partial(StatefulOptimizer, stats=[], steppers=[stateful.decoupled_decay, sgd_step], **hyper))
torch.testing.assert_close(as_l2, as_decay)  # for plain SGD they are one and the same ...

adam_l2, adamw = (
    trained(partial(stateful.composed_adam, lr=0.01, weight_decay=0.1, decoupled=d)) for d in (False, True)
)
gap = (adam_l2 - adamw).abs().max()
print(f"Adam: weights differ by up to {gap:.2f} after 50 steps; lengths {adam_l2.norm():.2f} and {adamw.norm():.2f}")
assert gap > 0.1  # ... and for Adam they are not

# %% [markdown]
# Why? Adam divides by the size of the gradient, and with L2 the pull $\lambda p$ is divided along with it. A weight
# with large gradients is then hardly pulled at all. Take weights that start at 1 and whose gradients are pure
# noise, small for some and large for others. There is nothing to learn, so only the decay moves them:


# %%
def remaining(decoupled, sizes, steps=250):
    """Mean over 500 weights for each size of their gradients' noise."""
    torch.manual_seed(0)
    p = torch.ones(len(sizes), 500, dtype=torch.float64)
    optimizer = stateful.composed_adam([p], lr=0.004, weight_decay=0.5, decoupled=decoupled)
    for _ in range(steps):
        p.grad = torch.tensor(sizes, dtype=torch.float64)[:, None] * torch.randn_like(p)
        optimizer.step()
    return p.mean(1)


sizes = [0.1, 0.3, 1.0, 3.0, 10.0, 30.0]
left = {"Adam with L2": remaining(False, sizes), "AdamW": remaining(True, sizes)}


def paint(ax):
    for (name, values), colour in zip(left.items(), (VALID, TRAIN), strict=True):
        ax.plot(sizes, values, "o-", color=colour, label=name)
    ax.set(xscale="log", xlabel="size of the gradient's noise", ylabel="weight after 250 steps")
    ax.legend(frameon=False, fontsize=8)


told = "; ".join(
    f"{name}: from {values[0]:.2f} at noise {sizes[0]} to {values[-1]:.2f} at noise {sizes[-1]:g}"
    for name, values in left.items()
)
show(draw(paint, f"What is left of a weight of 1 after 250 steps of decay. {told}.", size=(4.2, 2.6)))
promised = (1 - 0.004 * 0.5) ** 250
assert (left["AdamW"] - promised).abs().max() < 0.02  # decoupled: every weight shrinks as said
assert left["Adam with L2"][0] < 0.4 and left["Adam with L2"][-1] > 0.9  # L2: by how noisy it is

# %% [markdown]
# This is the case of [Loshchilov and Hutter, 2019](#loshchilov2019) for [AdamW](#adamw). And the *place* of a part
# matters: in the course this machine comes from
# [fast.ai, 2019](#fastai2019), all statistics ran before all steppers, and L2 was a stepper. Put there, it changes
# the gradient after the averages have read it, and Adam never notices. No error, no warning, no regularisation:

# %%
late_l2 = partial(
    StatefulOptimizer,
    stats=[stateful.step_count, stateful.first_moment, stateful.second_moment],
    steppers=[stateful.l2, stateful.adam_step],  # too late
    lr=0.01,
    betas=(0.9, 0.999),
    eps=1e-8,
)
assert torch.equal(trained(partial(late_l2, weight_decay=100.0)), trained(partial(late_l2, weight_decay=0.0)))

# %% [markdown]
# ## With normalisation, weight decay is a learning rate
#
# If [batch normalisation](#batch-normalisation) follows a layer, or its weights themselves are normalised, then their
# size is divided away: doubling them leaves every output as it was. What can a decay of such weights do at all? [Van
# Laarhoven, 2017](#vanlaarhoven2017) gives the answer from one property. If $f(c\, w) = f(w)$ for every $c > 0$, then
# the gradient at $c\, w$ is $1 / c$ of that at $w$, and it stands at a right angle to $w$:


# %%
def normalised_net():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(64, 32, bias=False),
        nn.BatchNorm1d(32, eps=1e-30),  # with torch's 1e-5 what follows holds nearly, with 0 exactly
        nn.ReLU(),
        nn.Linear(32, 10),
    ).double()


def output_and_gradient(scale):
    model = normalised_net()
    with torch.no_grad():
        model[0].weight *= scale
    output = model(pixels[:200])
    F.cross_entropy(output, digit[:200]).backward()
    return output.detach(), model[0].weight.grad, model[0].weight.detach()


(output, grad, weight), (same, tenth, _) = output_and_gradient(1.0), output_and_gradient(10.0)
torch.testing.assert_close(same, output)
torch.testing.assert_close(tenth, grad / 10)
cosine = (grad * weight).sum() / grad.norm() / weight.norm()
print(f"weights times 10: same outputs, a tenth of the gradient; cosine between gradient and weights {cosine:.1e}")
assert abs(cosine) < 1e-10

# %% [markdown]
# So what counts for such weights is their direction, and a step of plain descent turns it by about
# $lr\,|g|\,/\,|w|$, with $|g|$ itself going like $1 / |w|$. The [effective rate](#effective-learning-rate) is $lr / |w|^2$.
# Since the gradient stands at a right angle, every step makes $|w|$ longer, and the effective rate falls by itself.
# Weight decay makes $|w|$ shorter, and the effective rate grows. That is all it does.
#
# "All" can be proven. Train once with decay $\lambda$ at the rate $lr$. Train again *without any decay*, while the
# rate of the layer grows with each step as $lr / (1 - lr\, \lambda)^{2t + 1}$ [Li and Arora, 2020](#li2020). The
# weights differ by a growing factor; the function, at every step, does not:


# %%
def two_hundred_steps(decay, rate_at):
    """Losses, outputs and the layer's squared length at each step; the rate of the layer is rate_at(step)."""
    model = normalised_net()
    layer, rest = model[0].weight, [p for name, p in model.named_parameters() if name != "0.weight"]
    optimizer = StatefulOptimizer(
        [{"params": [layer], "weight_decay": decay}, {"params": rest, "weight_decay": 0.0}],
        [],
        [stateful.decoupled_decay, sgd_step],
        lr=0.2,
        weight_decay=0.0,
    )
    generator, losses, outputs, lengths = torch.Generator().manual_seed(1), [], [], []
    for t in range(200):
        batch = torch.randint(1200, (64,), generator=generator)
        optimizer.param_groups[0]["lr"] = rate_at(t)
        output = model(pixels[batch])
        loss = F.cross_entropy(output, digit[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        outputs.append(output.detach())
        lengths.append(layer.detach().pow(2).sum().item())
    return losses, torch.stack(outputs), torch.tensor(lengths)


keep = 1 - 0.2 * 0.05  # what a step with decay 0.05 leaves of a weight
decayed = two_hundred_steps(0.05, lambda t: 0.2)
growing = two_hundred_steps(0.0, lambda t: 0.2 / keep ** (2 * t + 1))
neither = two_hundred_steps(0.0, lambda t: 0.2)
torch.testing.assert_close(decayed[1], growing[1], rtol=1e-6, atol=1e-7)
effective = {
    "decay": 0.2 / decayed[2],
    "growing rate": 0.2 / keep ** (2 * torch.arange(200) + 1) / growing[2],
    "neither": 0.2 / neither[2],
}
print(
    f"squared length after 200 steps: decay {decayed[2][-1]:.2f}, growing rate {growing[2][-1]:.2f}, neither {neither[2][-1]:.2f}"
)
assert neither[2].diff().min() > 0 and decayed[2][-1] < neither[2][-1] < growing[2][-1]

# %% tags=["hide-input"]
looks = {"decay": (TRAIN, "-"), "growing rate": (VALID, (0, (2, 2))), "neither": (THIRD, "-")}


def paint_lines(what, values, log):
    def paint(ax):
        for name, (colour, style) in looks.items():
            ax.plot(values[name], color=colour, linestyle=style, label=name)
        ax.set(title=what, xlabel="step", yscale="log" if log else "linear")
        ax.legend(frameon=False, fontsize=7)

    return paint


runs = {"decay": decayed, "growing rate": growing, "neither": neither}
told = ", ".join(f"{name} {values[-1]:.3f}" for name, values in effective.items())
told = f"Squared length and effective rate of the layer over 200 steps. At the end the effective rate is: {told}; the first two fall together."
panels = [
    ("squared length", {name: run[2] for name, run in runs.items()}, True),
    ("effective rate, lr / |w|²", effective, False),
]
show(sheet([paint_lines(*panel) for panel in panels], told, columns=2, size=(2.9, 2.4)))

# %% [markdown]
# The dashed line covers the full one: with decay or with a growing rate, it is the same training. What people get
# wrong is to say that such decay keeps the function simple. It keeps its rate up. (Weights that nothing normalises,
# as in the last layer, do have a size that matters.) A common rule of another origin, to spare biases and the
# parameters of normalisation, is exercise 3.
#
# ## Does the choice matter on digits?
#
# A claim "A beats B" needs a fair search: every optimiser with its own best rate, chosen on the valid split, judged
# once on the test split, over several seeds. Ten networks with ten splits train side by side here, as one tensor
# whose first dimension is the seed. SGD and Adam treat each number alone, so no network notices the others.


# %%
def split(seed):
    order = torch.randperm(len(pixels), generator=torch.Generator().manual_seed(seed))
    return order[:1197], order[1197:1497], order[1497:]


SEEDS = 10
cuts = [split(seed) for seed in range(SEEDS)]
x_train, x_valid, x_test = (torch.stack([pixels[cut[part]].float() for cut in cuts]) for part in range(3))
y_train, y_valid, y_test = (torch.stack([digit[cut[part]] for cut in cuts]) for part in range(3))


def forward(weights, x):
    w1, b1, w2, b2 = weights
    return torch.baddbmm(b2, torch.baddbmm(b1, x, w1).relu(), w2)  # (seeds, batch, 10)


def judged(make, epochs=4, batch=64):
    """Cross-entropy of each seed on valid and on test after a few epochs of batches of 64."""
    torch.manual_seed(0)
    shapes = ((64, 64), (1, 64), (64, 10), (1, 10))
    weights = [
        (torch.rand(SEEDS, *shape) * 2 - 1).div(8).requires_grad_() for shape in shapes
    ]  # torch's start, 1 / sqrt(64)
    optimizer, seed = make(weights), torch.arange(SEEDS)[:, None]
    for _ in range(epochs):
        order = torch.stack([torch.randperm(x_train.shape[1]) for _ in range(SEEDS)])
        for now in order.split(batch, dim=1):
            loss = F.cross_entropy(forward(weights, x_train[seed, now]).flatten(0, 1), y_train[seed, now].flatten())
            optimizer.zero_grad()
            (SEEDS * loss).backward()  # each network's own mean
            optimizer.step()
    with torch.no_grad():
        sets = ((x_valid, y_valid), (x_test, y_test))
        return [F.cross_entropy(forward(weights, x).transpose(1, 2), y, reduction="none").mean(1) for x, y in sets]


choices = {
    "SGD": (lambda lr: partial(stateful.composed_sgd, lr=lr), 1.5),
    "momentum 0.9": (lambda lr: partial(stateful.composed_sgd, lr=lr, momentum=0.9), 0.4),
    "Adam": (lambda lr: partial(stateful.composed_adam, lr=lr), 0.1),
    "AdamW": (lambda lr: partial(stateful.composed_adam, lr=lr, weight_decay=0.1, decoupled=True), 0.1),
}
searched, best = {}, {}
for name, (make, largest) in choices.items():
    searched[name] = {largest / 3**k: judged(make(largest / 3**k)) for k in range(5)}  # as many rates for each
    best[name] = min(searched[name], key=lambda lr: searched[name][lr][0].mean().item())
    assert min(searched[name]) < best[name] < largest  # inside the grid: at its end the grid would be too short

# %%
from rungbook.recipes.comparison import compare_all

tests = {name: searched[name][lr][1].tolist() for name, lr in best.items()}
rows = [
    {
        "optimiser": n,
        "rate": round(best[n], 4),
        "test loss": f"{torch.tensor(t).mean():.3f} ± {torch.tensor(t).std():.3f}",
    }
    for n, t in tests.items()
]
show(table(rows))
for comparison in compare_all(tests, "SGD", metric="loss").values():
    print(comparison.words)


# %% tags=["hide-input"]
def paint_search(ax):
    for (name, found), colour, mark in zip(searched.items(), (TRAIN, VALID, THIRD, FOURTH), "osD^", strict=True):
        ax.plot(
            [lr / best[name] for lr in found],
            [valid.mean() for valid, _ in found.values()],
            mark + "-",
            color=colour,
            label=name,
            markersize=4,
        )
    ax.set(xscale="log", yscale="log", xlabel="rate over the best rate", ylabel="valid loss", ylim=(0.1, 3))
    ax.legend(frameon=False, fontsize=7)


told = "; ".join(
    f"{name} {min(v.mean() for v, _ in f.values()):.2f} at best, {f[min(f)][0].mean():.2f} at its smallest rate"
    for name, f in searched.items()
)
show(draw(paint_search, f"Mean valid loss of ten seeds over the rate, for four optimisers: {told}.", size=(4.4, 2.8)))

# %% [markdown]
# Read the sentences above, not the order of the means: only what they call better is more than the spread over the
# seeds. A rate that is far too small costs more than the wrong optimiser:

# %%
wrong_rate = {
    name: (found[min(found)][0].mean() / found[best[name]][0].mean()).item() for name, found in searched.items()
}
wrong_optimiser = max(torch.tensor(t).mean() for t in tests.values()) / min(
    torch.tensor(t).mean() for t in tests.values()
)
print("loss at the smallest rate over loss at the best:", {name: round(ratio, 1) for name, ratio in wrong_rate.items()})
print(f"loss of the worst optimiser over that of the best, each at its best rate: {wrong_optimiser:.2f}")
assert min(wrong_rate.values()) > 1.5 * wrong_optimiser

# %% [markdown]
# ## One machine
#
# So Adam is the same machine. Remembered gradients buy speed along a narrow valley: the root of the condition number in
# place of the number itself. Squares buy each weight a measure of its own, deaf to the size of the loss. Debiasing buys
# first steps of the right length. Decay beside the averages shrinks every weight alike. None of them spares you the
# search for the rate.
#
# ## Exercises
#
# ### Exercise 1: look ahead
#
# Nesterov's momentum keeps the same sum $b$ as momentum and steps along $g + \beta\, b$, with $b$ already brought up
# to date. Write the stepper `nesterov_step(slot, hyper)`. A right answer equals `torch.optim.SGD(..., nesterov=True)`
# over 50 steps.


# %%
torchs_nesterov = trained(partial(torch.optim.SGD, lr=0.05, momentum=0.9, nesterov=True))


def check_nesterov(nesterov_step):
    yours = trained(partial(StatefulOptimizer, stats=[average_grad], steppers=[nesterov_step], lr=0.05, momentum=0.9))
    assert torch.allclose(yours, torchs_nesterov, rtol=1e-8, atol=1e-9), (
        "not torch's weights: the step is lr * (g + momentum * grad_avg)"
    )


# %% tags=["solution"]
def nesterov_step(slot, hyper):
    slot.p.sub_(hyper["lr"] * (slot.grad + hyper["momentum"] * slot.state["grad_avg"]))


check_nesterov(nesterov_step)
refuses(
    check_nesterov, stateful.momentum_step, lambda s, h: s.p.sub_(h["lr"] * (s.grad + s.state["grad_avg"])), sgd_step
)

# %% [markdown]
# ### Exercise 2: RMSprop
#
# RMSprop divides the gradient by the root of an average of its square, `p -= lr * g / (sqrt(v) + eps)`, with
# `v = alpha * v + (1 - alpha) * g**2`, not debiased. Write `rmsprop(params)`, an optimiser made of parts, with rate
# 0.001, alpha 0.99 and eps 1e-8. A right answer equals `torch.optim.RMSprop`.


# %%
torchs_rmsprop = trained(partial(torch.optim.RMSprop, lr=0.001, alpha=0.99, eps=1e-8))


def check_rmsprop(rmsprop):
    assert isinstance(rmsprop([torch.zeros(1)]), StatefulOptimizer), "make it of parts: return a StatefulOptimizer"
    assert torch.allclose(trained(rmsprop), torchs_rmsprop, rtol=1e-8, atol=1e-9), (
        "not torch's weights: is v of squares, not debiased, and rooted?"
    )


# %% tags=["solution"]
def made_of(of, step):
    statistic = stateful.exponential_average("v", keep=lambda h: h["alpha"], of=of)
    return partial(StatefulOptimizer, stats=[statistic], steppers=[step], lr=0.001, alpha=0.99, eps=1e-8)


check_rmsprop(made_of(torch.square, lambda s, h: s.p.sub_(h["lr"] * s.grad / (s.state["v"].sqrt() + h["eps"]))))
refuses(
    check_rmsprop,
    made_of(torch.square, lambda s, h: s.p.sub_(h["lr"] * s.grad / (s.state["v"] + h["eps"]))),
    made_of(torch.abs, lambda s, h: s.p.sub_(h["lr"] * s.grad / (s.state["v"] + h["eps"]))),
    partial(stateful.composed_adam, betas=(0.0, 0.99)),
    partial(torch.optim.RMSprop, lr=0.001),
    made_of(torch.square, lambda s, h: s.p.sub_(h["lr"] * s.grad / (s.state["v"] + h["eps"]).sqrt())),
)

# %% [markdown]
# ### Exercise 3: what is not to decay
#
# Write `groups(model, decay)`: a list of two parameter groups for an optimiser. Weights of two or more dimensions
# decay with `decay`; biases and the parameters of normalisation, which have one dimension, with 0. A right answer
# names each parameter exactly once.


# %%
def check_groups(groups):
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 10))
    found = groups(model, 0.07)
    every = [p for group in found for p in group["params"]]
    assert len(every) == len({id(p) for p in every}) == 6, "each of the six parameters belongs into one group"
    decay = {p: group["weight_decay"] for group in found for p in group["params"]}
    assert decay[model[0].weight] == decay[model[4].weight] == 0.07, "weights of layers are to decay"
    assert decay[model[1].weight] == decay[model[1].bias] == 0, "a normalisation's parameters are not to decay"
    assert decay[model[0].bias] == decay[model[4].bias] == 0, "biases are not to decay"
    torch.optim.AdamW(found, lr=0.1)


# %% tags=["solution"]
def groups_by(decays):
    def groups(model, decay):
        named = list(model.named_parameters())
        return [
            {"params": [p for n, p in named if decays(n, p) == yes], "weight_decay": decay * yes}
            for yes in (True, False)
        ]

    return groups


check_groups(groups_by(lambda name, p: p.dim() > 1))
refuses(check_groups, groups_by(lambda name, p: "weight" in name), groups_by(lambda name, p: True))
refuses(
    check_groups, groups_by(lambda name, p: p.dim() > 2), groups_by(lambda name, p: p.dim() > 1 or name == "1.bias")
)

# %% [markdown]
# ## Sources
#
# - The machine of statistics and steppers: fast.ai 2019, part 2, notebook 09, [Howard and Gugger](#fastai2019).
# - Momentum and its rate on a bowl: [Polyak, 1964](#polyak1964); the bent valley: [Rosenbrock,
#   1960](#rosenbrock1960).
# - Adam: [Kingma and Ba, 2015](#kingma2015); decoupled decay: [Loshchilov and Hutter, 2019](#loshchilov2019); LAMB:
#   [You et al., 2020](#you2020).
# - Decay under normalisation: [van Laarhoven, 2017](#vanlaarhoven2017); the equal growing rate: [Li and Arora,
#   2020](#li2020).
