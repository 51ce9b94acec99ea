# %% [markdown]
# # Mini-batches
#
# The gradient of a thousand samples costs a hundred times what the gradient of ten costs. Is it a hundred times as
# good? And if ten are enough for a step, does the size of the batch still matter for what the network learns in the
# end?

# %% tags=["about"]
covers = ["M06", "O13"]
rung = 5
minutes = 45

# %%
import math
import time
from statistics import mean, stdev

import torch
import torch.nn.functional as F

from rungbook import load_data
from rungbook.book import refuses, show, source, table
from rungbook.plot.style import CLASSES, INK, THIRD, TRAIN, VALID, draw, sheet

# %% [markdown]
# ## One network, its gradient by hand
#
# The data are the 1,797 small digits, the network has one hidden layer of 50. There will be tens of thousands of
# steps, so the gradient is written out, as lesson 4 does it and lesson 13 for [softmax](#softmax) with
# [cross-entropy](#cross-entropy): the error at the output is the probability less the truth. And because every
# claim below needs several seeds, all runs go at once: weights and data carry leading dimensions, one entry a run,
# and the matrix products broadcast over them (lesson 1).


# %%
RUNS = 5


def digits():
    """Split -> images (RUNS, n, 64) and classes (RUNS, n): for each run another split of the digits."""
    found = {}
    for seed in range(RUNS):
        for part, feed in load_data("digits", valid=0.16, test=0.2, seed=seed).splits().items():
            raw, y = feed.source.fetch(slice(0, feed.samples))
            found.setdefault(part, []).append((feed.prepare(raw).flatten(1), y))
    return {part: tuple(map(torch.stack, zip(*runs, strict=True))) for part, runs in found.items()}


def start(runs=RUNS):
    """Weights and biases of 64-50-10, drawn as `nn.Linear` draws them: (runs, 64, 50), (runs, 1, 50), (runs, 50, 10), (runs, 1, 10)."""
    drawn = []
    for seed in range(runs):
        torch.manual_seed(seed)
        hidden, out = torch.nn.Linear(64, 50), torch.nn.Linear(50, 10)
        drawn.append([t.detach() for t in (hidden.weight.T, hidden.bias[None], out.weight.T, out.bias[None])])
    return [torch.stack(each) for each in zip(*drawn, strict=True)]


def scores(weights, x):
    w1, b1, w2, b2 = weights
    return (x @ w1 + b1).relu() @ w2 + b2  # (..., B, 10)


def gradient(weights, x, y):
    """Of the mean cross-entropy of the batch (..., B, 64), (..., B), for each of the weights."""
    w1, b1, w2, b2 = weights
    hidden = (x @ w1 + b1).relu()  # (..., B, 50)
    error = (hidden @ w2 + b2).softmax(-1) - F.one_hot(y, 10)  # (..., B, 10)
    error = error / y.shape[-1]
    back = (error @ w2.mT) * (hidden > 0)  # (..., B, 50)
    return [x.mT @ back, back.sum(-2, keepdim=True), hidden.mT @ error, error.sum(-2, keepdim=True)]


data = digits()
x, y = data["train"][0][0].double(), data["train"][1][0]  # the first split, to look at
N = len(y)
w = [t[0].double().requires_grad_() for t in start()]
by_autograd = torch.autograd.grad(F.cross_entropy(scores(w, x), y), w)
w = [t.detach() for t in w]
torch.testing.assert_close(gradient(w, x, y), list(by_autograd), rtol=1e-12, atol=1e-14)
print({part: tuple(y.shape) for part, (_, y) in data.items()}, "runs and samples; the gradient by hand is autograd's")

# %% [markdown]
# ## A batch's gradient is an estimate
#
# The loss is a mean over all $N$ training samples, and so is its gradient. The mean over a few samples drawn at
# random is an [unbiased estimate](#unbiased-estimate) of it: no direction is favoured, its
# [expectation](#expectation) is the full gradient. For the batches of one epoch this is plain to see. If they are
# equally large, the mean of their gradients *is* the full gradient:


# %%
def flat(parts):
    return torch.cat([t.reshape(-1) for t in parts])


full = flat(gradient(w, x, y))
for size in (5, 23, 50, 115, 230):
    assert N % size == 0
    batches = torch.randperm(N, generator=torch.Generator().manual_seed(size)).split(size)
    average = torch.stack([flat(gradient(w, x[b], y[b])) for b in batches]).mean(0)
    torch.testing.assert_close(average, full, rtol=1e-10, atol=1e-14)
print(f"{N} samples in batches of 5, 23, 50, 115 or 230: the mean of their gradients is the full gradient to rounding")

# %% [markdown]
# A single batch misses the full gradient by some distance. How does that shrink with the size $m$? The
# [variance](#variance) of a mean of $m$ independent draws is $\sigma^2/m$; drawing without replacement from $N$
# takes off a little more:
#
# $$E\lVert g_m - g\rVert^2 = \frac{\sigma^2}{m} \cdot \frac{N - m}{N - 1}, \qquad \sigma^2 = \frac{1}{N}\sum_i \lVert g^{(i)} - g\rVert^2$$
#
# where $g^{(i)}$ is the gradient of sample $i$. Measure it with 200 batches of each size, at the start of training:


# %%
def of_each(weights):
    """The gradient of each sample, (N, weights): a batch of its own each."""
    return torch.cat([t.flatten(1) for t in gradient(weights, x[:, None], y[:, None])], 1)


single = of_each(w)
sigma2 = (single - full).square().sum(1).mean().item()
generator = torch.Generator().manual_seed(0)


def drawn_batches(single, size, draws=200):
    """The gradients of random batches (draws, weights), as means of the samples' own gradients."""
    picks = torch.rand(draws, N, generator=generator).argsort(1)[:, :size]
    shares = torch.zeros(draws, N, dtype=single.dtype).scatter_(1, picks, 1 / size)
    return shares @ single


spread, predicted = {}, {}
for size in (1, 4, 16, 64, 256, 1024):
    distance = (drawn_batches(single.float(), size) - full.float()).square().sum(1)
    spread[size] = math.sqrt(distance.mean().item())
    predicted[size] = math.sqrt(sigma2 / size * (N - size) / (N - 1))
    assert abs(spread[size] / predicted[size] - 1) < 0.15


# %% tags=["hide-input"]
def paint_spread(ax):
    sizes = list(spread)
    ax.plot(
        sizes, [math.sqrt(sigma2 / m) for m in sizes], color=INK, linewidth=1, linestyle=(0, (4, 2)), label="σ / √m"
    )
    ax.plot(sizes, list(predicted.values()), color=THIRD, linewidth=1.4, label="without replacement")
    ax.plot(sizes, list(spread.values()), "o", color=TRAIN, markersize=5, markeredgewidth=0, label="200 batches")
    ax.axhline(full.norm().item(), color=VALID, linewidth=1)
    ax.text(1, full.norm().item() * 1.1, "length of the full gradient", color=VALID, fontsize=8)
    ax.set(xscale="log", yscale="log", xlabel="batch size m", ylabel="distance from the full gradient")
    ax.legend(frameon=False, fontsize=8)


words = "Root mean squared distance of a batch's gradient from the full one: " + ", ".join(
    f"{m}: {spread[m]:.3g}" for m in (1, 16, 256, 1024)
)
show(draw(paint_spread, words + f"; the full gradient is {full.norm():.3g} long.", size=(4.6, 3.0)))

# %%
assert 3.4 < spread[1] / spread[16] < 4.6  # 16 times the samples, a quarter of the distance

# %% [markdown]
# A hundred times the samples give ten times the precision. That is a poor bargain, and the reason for mini-batches:
# for the price of one exact step you can take many rough ones, each from a better place than the last. Robbins and
# Monro proved in 1951 that rough steps arrive if they get smaller in the right way.
#
# Early in training even a rough gradient points well. Later the full gradient is short, and a batch is mostly
# noise:


# %%
def train(*, size, rates, epochs, order=None, watch=None, runs=RUNS):
    """Plain gradient descent on the first `runs` splits with each of the rates: weights with leading dimensions (rates, runs).

    The order is drawn anew for each epoch, unless it is given, (runs, N).
    """
    x, y = (t[:runs] for t in data["train"])
    rate = torch.tensor(rates)[:, None, None, None]
    weights = [t.expand(len(rates), *t.shape).clone() for t in start(runs)]
    generator, row = torch.Generator().manual_seed(0), torch.arange(runs)[:, None]
    for _ in range(epochs):
        shuffled = torch.rand(runs, N, generator=generator).argsort(1) if order is None else order
        for batch in shuffled.split(size, dim=1):
            for t, slope in zip(weights, gradient(weights, x[row, batch], y[row, batch]), strict=True):
                t.sub_(rate * slope)
        if watch is not None:
            watch(weights)
    return weights


def judge(weights, part):
    """Loss and accuracy in % on a split, each (rates, runs)."""
    x, y = (t[: weights[0].shape[1]] for t in data[part])
    out = scores(weights, x)
    right = out.argmax(-1) == y
    loss = -out.log_softmax(-1).gather(-1, y[None, ..., None].expand(*out.shape[:-1], 1)).mean((-2, -1))
    return loss, 100 * right.float().mean(-1)


trained = [t[0, 0].double() for t in train(size=32, rates=[0.4], epochs=10, runs=1)]
late = of_each(trained)
late_full = late.mean(0)
late_spread = math.sqrt((drawn_batches(late, 32) - late_full).square().sum(1).mean().item())
early_spread = math.sqrt(sigma2 / 32 * (N - 32) / (N - 1))
early, later = early_spread / full.norm().item(), late_spread / late_full.norm().item()
print(
    f"distance of a batch of 32 from the full gradient, over its length: {early:.2f} at the start, {later:.2f} after ten epochs"
)
assert later > 1.5 * early

# %% [markdown]
# ## Steps and epochs
#
# An [epoch](#epoch) is one pass over the samples, whatever the batch. The work for the gradients of an epoch is the
# same; the number of steps is not. Same rate, same start, 10 epochs:

# %%
SIZES = (8, 32, 128, N)
curves = {}
for size in SIZES:
    losses = []
    train(
        size=size,
        rates=[0.2],
        epochs=10,
        watch=lambda weights, losses=losses: losses.append(judge(weights, "train")[0].mean().item()),
    )
    curves[size] = losses
name = lambda size: "full batch" if size == N else f"batch {size}"


# %% tags=["hide-input"]
def paint_over(what):
    def paint(ax):
        for size, colour in zip(SIZES, CLASSES, strict=False):
            per_epoch = math.ceil(N / size) if what == "step" else 1
            ax.plot([per_epoch * (e + 1) for e in range(10)], curves[size], color=colour, label=name(size))
        ax.set(yscale="log", xlabel=what, ylabel="loss on train", xscale="log" if what == "step" else "linear")
        ax.legend(frameon=False, fontsize=8)

    return paint


words = "; ".join(f"{name(s)}: {math.ceil(N / s) * 10:,} steps, loss {curves[s][-1]:.3g}" for s in SIZES)
show(
    sheet(
        [paint_over("epoch"), paint_over("step")],
        f"Mean of {RUNS} runs after 10 epochs at rate 0.2. {words}.",
        columns=2,
        size=(3.1, 2.7),
    )
)

# %%
assert curves[8][-1] < curves[32][-1] < curves[128][-1] < curves[N][-1]
few = train(size=32, rates=[0.2], epochs=1, order=torch.rand(RUNS, N, generator=generator).argsort(1)[:, : 10 * 32])
print(f"after 10 steps: full batch {curves[N][-1]:.2f}, batch 32 {judge(few, 'train')[0].mean():.2f}")
assert abs(judge(few, "train")[0].mean() / curves[N][-1] - 1) < 0.2

# %% [markdown]
# Over epochs the small batch is far ahead. Over steps the four lie close together for as long as the full batch
# lasts: a step with 32 samples does about what a step with 1,150 does. The full batch is not wrong, it is
# expensive.
#
# ## What an epoch costs
#
# Then why not a batch of one? Because a step costs something whatever the batch: the calls themselves, and the
# weights that are read and written. Seconds belong to the machine they were measured on; these are of yours.

# %%
costs = {}
for size in (1, 8, 32, 128, 512, N):
    took = []
    for _ in range(2):
        begun = time.perf_counter()
        train(size=size, rates=[0.01], epochs=1, runs=1)
        took.append(time.perf_counter() - begun)
    costs[size] = min(took)
show(
    table(
        [
            {
                "batch": s,
                "steps an epoch": math.ceil(N / s),
                "ms an epoch": 1e3 * t,
                "ms a step": 1e3 * t / math.ceil(N / s),
            }
            for s, t in costs.items()
        ]
    )
)


assert costs[1] > 3 * costs[128]

# %% [markdown]
# On a graphics card the fixed cost of a step weighs more still (lesson 13 counts it), so larger batches are usual
# there.
#
# ## The learning rate belongs to the batch
#
# Suppose the gradient hardly changes over $k$ small steps. Then $k$ steps at rate $\eta$ with batches of $m$ go as
# far as one step at rate $k\eta$ with a batch of $km$. That is the linear scaling rule ([Goyal et al.,
# 2017](#goyal2017)): what is to be kept is $\eta/m$, the rate a sample. It holds until $k\eta$ is too long a step
# for the curvature of the loss, and that limit knows nothing of the batch.
#
# Here is the test, with the claim that goes with it. [Masters and Luschi, 2018](#masters2018) trained convolutional
# networks on CIFAR and ImageNet with equal epochs and report that small batches, 2 to 32, generalise best, and that
# the range of usable rates narrows as the batch grows. Four sizes, seven rates a sample, five splits of the digits,
# ten epochs each:

# %%
BASE = (0.0125, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8)  # rates for a batch of 8; others in proportion
TESTED = (8, 32, 128, 512)
grid = {}
for size in TESTED:
    weights = train(size=size, rates=[base * size / 8 for base in BASE], epochs=10)
    grid[size] = {
        part: judge(weights, part) for part in ("train", "valid", "test")
    }  # loss and accuracy, (rates, runs) each


# %% tags=["hide-input"]
def paint_rates(scale, label):
    def paint(ax):
        for size, colour in zip(TESTED, CLASSES, strict=False):
            rates = [base * scale(size) for base in BASE]
            ax.plot(rates, grid[size]["test"][1].mean(1), "o-", color=colour, markersize=3, label=f"batch {size}")
        ax.set(xscale="log", xlabel=label, ylabel="accuracy on test, %", ylim=(0, 102))
        ax.legend(frameon=False, fontsize=8, loc="lower left")

    return paint


# %%
usable = {
    size: [b for b, a in zip(BASE, grid[size]["test"][1].mean(1).tolist(), strict=True) if a > 90] for size in TESTED
}
words = "; ".join(f"batch {s}: above 90 % at {len(usable[s])} of {len(BASE)} rates a sample" for s in TESTED)
left, right = paint_rates(lambda s: 1, "rate × 8 / batch size"), paint_rates(lambda s: s / 8, "rate")
show(sheet([left, right], f"Accuracy by rate, mean of {RUNS} splits. {words}.", columns=2, size=(3.2, 2.8)))
for size in TESTED:
    print(f"batch {size:>3}: above 90 % at the rates {', '.join(f'{b * size / 8:g}' for b in usable[size]) or '-'}")
assert (
    len(usable[8]) >= len(usable[32]) >= len(usable[128]) >= len(usable[512]) and len(usable[8]) >= len(usable[128]) + 2
)
small = [grid[size]["test"][1][0].mean().item() for size in (8, 32, 128)]
assert max(small) - min(small) < 4  # at the smallest rate a sample the sizes do the same

# %% [markdown]
# The left picture shows the rule at work: at small rates a sample the curves lie on one another, whatever the
# batch. Then one after the other breaks off, the largest batch first. The right picture says why: they break off at
# about the same *rate*, near 1. The first part of the claim, that the usable range narrows, shows clearly even on
# this small task.
#
# And the second part, that small batches end up better? Each size with its own best rate, chosen on valid; the
# difference from batch 32 split by split:

# %%
T = 2.776  # of the t distribution with 4 degrees of freedom: 95 %


def compare(values, reference):
    """Mean difference from the reference, its standard error, and a verdict."""
    change = [a - b for a, b in zip(values, reference, strict=True)]
    error = stdev(change) / math.sqrt(len(change))
    verdict = "not distinguishable" if abs(mean(change)) <= T * error else "better" if mean(change) > 0 else "worse"
    return {"against 32": f"{mean(change):+.2f} ± {error:.2f}", "verdict": verdict}


def rows_of(found):
    """A row for each: name -> loss on train and accuracy on test of each run."""
    rows = []
    for name, (loss, values) in found.items():
        compared = {"against 32": "", "verdict": ""} if name == "32" else compare(values, found["32"][1])
        rows.append(
            {
                "batch": name,
                "loss on train": mean(loss),
                "test": f"{mean(values):.1f} ± {stdev(values):.1f} %",
                **compared,
            }
        )
    return rows


best = {size: grid[size]["valid"][0].mean(1).nan_to_num(math.inf).argmin() for size in TESTED}
equal_epochs = {str(s): (grid[s]["train"][0][best[s]].tolist(), grid[s]["test"][1][best[s]].tolist()) for s in TESTED}
print("ten epochs each, rates", {size: f"{BASE[best[size]] * size / 8:g}" for size in TESTED})
show(table(rows_of(equal_epochs)))
lost = [mean(equal_epochs[str(s)][0]) for s in TESTED]
assert max(lost[:2]) < lost[2] < lost[3]

# %% [markdown]
# Where a larger batch is behind on test it is behind on *train* as well: with equal epochs it took fewer steps and
# is not done. That is the speed of learning. [Generalisation](#generalisation) is something else: how much of what
# was learned holds for new samples. To ask for that, give all sizes the same number of steps and the same rate, so
# that nothing differs but the noise:

# %%
equal_steps = {}
for size, epochs in ((8, 6), (32, 24), (128, 96)):
    weights = train(size=size, rates=[0.4], epochs=epochs)
    equal_steps[str(size)] = judge(weights, "train")[0][0].tolist(), judge(weights, "test")[1][0].tolist()
show(table(rows_of(equal_steps)))
assert all(abs(mean(values) - mean(equal_steps["32"][1])) < 1.5 for _, values in equal_steps.values())

# %% [markdown]
# The recipe `batch_sizes` asks the same with Adam and 20 epochs, on the digits and on 10,000 images of MNIST. Its
# runs, compared split by split:

# %%
from rungbook.recipes.book.batches import BatchSizes
from rungbook.recipes.ledger import load_ledger

verdicts = {}
for key in ("batch_sizes", "batch_sizes data=mnist valid=0.2 train_samples=10000"):
    entry = load_ledger().get(key)
    values = {v: [100 * a for a in entry.figure(v, "test", "accuracy")["values"]] for v in entry.results}
    losses = {v: entry.figure(v, "train", "log_loss")["values"] for v in entry.results}
    rows = rows_of({v: (losses[v], values[v]) for v in entry.results})
    verdicts |= {(key, row["batch"]): row["verdict"] for row in rows}
    print(key)
    show(table(rows))
assert all(
    v == ("worse" if variant == "full batch" else "" if variant == "32" else "not distinguishable")
    for (_, variant), v in verdicts.items()
)
theirs = {(r.variant, r.metric): r.value for r in BatchSizes.reported}  # the course's figures, for below
assert theirs["full batch, 1,000 epochs", "accuracy"] == 0.964 and theirs["32, 50 epochs", "accuracy"] == 0.965
assert theirs["8", "log_loss"] == 1.496 and theirs["256", "log_loss"] == 1.513

# %% [markdown]
# What can be told apart, and what cannot:
#
# - With equal epochs the full batch is worse on both data sets, on
#   MNIST <!-- ledger: batch_sizes data=mnist valid=0.2 train_samples=10000 | full batch | test accuracy -->89.7 ± 0.6 %<!-- / -->
#   against <!-- ledger: batch_sizes data=mnist valid=0.2 train_samples=10000 | 32 | test accuracy -->93.9 ± 0.5 %<!-- / -->.
#   It has taken 20 steps and is not done.
# - With twenty times the epochs (the last row of each table) it is level with batch 32, at twenty times the work. A
#   course that compares 1,000 epochs of the full batch with 50 of batch 32 finds the same: .964 and .965, both on
#   images of which more than half were learned from (fault S1-1, lesson 0).
# - Between 8, 32, 64, 128 and 256 nothing is
#   distinguishable: <!-- ledger: batch_sizes data=mnist valid=0.2 train_samples=10000 | 8 | test accuracy -->94.3 ± 0.3 %<!-- / -->
#   for 8, <!-- ledger: batch_sizes data=mnist valid=0.2 train_samples=10000 | 64 | test accuracy -->94.4 ± 0.4 %<!-- / -->
#   for 64 and <!-- ledger: batch_sizes data=mnist valid=0.2 train_samples=10000 | 256 | test accuracy -->93.9 ± 0.3 %<!-- / -->
#   for 256. The same course has its loss grow with the batch, from 1.496 at 8 to 1.513 at 256, in one run
#   each, at one rate for all, on training data: that is the speed of learning and no statement on new images.
#
# So the claim that small batches *generalise* better is neither shown nor refuted at this scale; it was made for
# larger networks and harder pictures. What does show is the range of rates. Counted a sample, small batches have
# more usable rates. Counted by themselves, the upper end is the same for all, and small batches reach further down
# because they take more steps.
#
# ## The last batch
#
# $1150 = 35 \cdot 32 + 30$: the last batch of an epoch is smaller. If its mean gradient counts like the others', each
# of its samples counts a little more. With a last batch of one, a single sample counts as much as a whole batch.
# The mean of the batches' losses is then not the mean loss, either:

# %%
cut = 1 + 8 * 128  # eight batches of 128 and one sample
sample_loss = F.cross_entropy(scores(trained, x), y, reduction="none")
rows_ = torch.cat([sample_loss.argsort()[: cut - 1], sample_loss.argmax()[None]])  # the hardest sample comes last
parts = sample_loss[rows_].split(128)
naive, weighted = torch.stack([p.mean() for p in parts]).mean(), sum(p.mean() * len(p) for p in parts) / cut
print(
    f"mean loss {sample_loss[rows_].mean():.4f}; mean of the batch means {naive:.4f}; weighted by size {weighted:.4f}"
)
torch.testing.assert_close(weighted, sample_loss[rows_].mean())
assert naive > 5 * weighted

from rungbook.scratch.data import BatchSampler, DataLoader, SequentialSampler

show(source(BatchSampler.__iter__))
for drop in (False, True):
    ours = [len(b) for b in BatchSampler(SequentialSampler(range(N)), 32, drop)]
    theirs = [len(b) for b in torch.utils.data.DataLoader(range(N), 32, drop_last=drop)]
    assert ours == theirs == [len(b) for b in DataLoader(range(N), 32, drop_last=drop)]
    print(f"drop_last={drop}: {len(ours)} batches, the last of {ours[-1]}")

# %% [markdown]
# For training both are in use: keep it, or leave it out with `drop_last=True`; with a new order each epoch other
# samples are left out each time. For judging only the weighted mean is right. The library's `Learner` weights each
# batch by its size, in the loss it reports and in gathered gradients.
#
# ## What people get wrong: batches in order
#
# The estimate is unbiased because samples are drawn at random. Files often come sorted by class. Then each batch
# shows one class only:

# %%
kinds = {
    "a new order each epoch": None,
    "shuffled once": torch.rand(RUNS, N, generator=generator).argsort(1),
    "sorted by class": data["train"][1].sort(dim=1, stable=True).indices,
}
results = {
    kind: judge(train(size=32, rates=[0.1], epochs=8, order=order), "test")[1][0].tolist()
    for kind, order in kinds.items()
}
show(
    table(
        [
            {"order": k, "test": f"{mean(v):.1f} ± {stdev(v):.1f} %", "least": f"{min(v):.1f} %"}
            for k, v in results.items()
        ]
    )
)
assert max(results["sorted by class"]) < min(results["a new order each epoch"]) - 3
once = compare(results["shuffled once"], results["a new order each epoch"])
print(f"shuffled once against anew: {once['against 32']}, {once['verdict']}")

by_class, answers, seen = y.argsort(stable=True), [], []
weights = [t[0].double() for t in start()]
for batch in [*by_class.split(32), *by_class.split(32)]:
    for t, slope in zip(weights, gradient(weights, x[batch], y[batch]), strict=True):
        t.sub_(0.1 * slope)
    said = scores(weights, x).argmax(1)
    answers.append((said == y[batch].mode().values).float().mean().item())
    seen.append((said == y).float().mean().item())


# %% tags=["hide-input"]
def paint_sorted(ax):
    ax.plot([100 * a for a in answers], color=VALID, label="answers that name the class of this batch")
    ax.plot([100 * a for a in seen], color=TRAIN, label="right answers")
    ax.set(xlabel="step", ylabel="% of all training images", ylim=(0, 135), yticks=range(0, 101, 25))
    ax.legend(frameon=False, fontsize=8, loc="upper right")


words = f"Sorted by class, two epochs: up to {max(answers):.0%} of all images are said to be of the class just shown;"
words += f" at most {max(seen):.0%} of the answers are right."
show(draw(paint_sorted, words, size=(4.8, 2.5)))

# %%
assert max(answers) > 0.5

# %% [markdown]
# After a run of sevens everything is a seven; the next class wipes it out. The training loss of such batches looks
# fine, low within a class with a jump at each border, and the network has learned the order. One shuffle before
# training repairs nearly all of it. A new one each epoch costs nothing and is what `DataLoader(shuffle=True)` and
# the `Learner` do.
#
# ## Exercises
#
# ### Exercise 1: an epoch of batches
#
# Write `batches(n, size, seed, drop_last)`: a list of index tensors for one epoch. A right answer shows each sample
# once (or leaves out at most `size - 1` of them with `drop_last`, not always the same), in an order that depends on
# the seed.


# %%
def check_batches(batches):
    got = batches(103, 10, 0, False)
    assert [len(b) for b in got] == [10] * 10 + [3], f"sizes {[len(b) for b in got]}: the last batch holds what is left"
    assert sorted(torch.cat(list(got)).tolist()) == list(range(103)), "each sample comes once, none twice"
    assert torch.cat(list(got)).tolist() != list(range(103)), "the samples come in order: shuffle them"
    assert any(max(b) - min(b) > 20 for b in got), "neighbours stay together: shuffle the samples, not the batches"
    short = batches(103, 10, 0, True)
    assert [len(b) for b in short] == [10] * 10, "drop_last leaves out the short batch"
    assert len(set(torch.cat(list(short)).tolist())) == 100, "with drop_last, too, no sample comes twice"
    other = batches(103, 10, 1, True)
    assert set(torch.cat(list(short)).tolist()) != set(torch.cat(list(other)).tolist()), "the same are always left out"
    assert [len(b) for b in batches(100, 10, 0, True)] == [10] * 10, "a full last batch stays"
    a, b = (torch.cat(list(batches(103, 10, s, False))).tolist() for s in (0, 1))
    assert a != b and a == torch.cat(list(got)).tolist(), "another seed is another order, the same seed the same"


# %% tags=["solution"]
def right_batches(n, size, seed, drop_last):
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    return order[: n // size * size if drop_last else n].split(size)


check_batches(right_batches)
refuses(
    check_batches,
    lambda n, size, seed, drop: torch.randint(n, (n,), generator=torch.Generator().manual_seed(seed)).split(size),
    lambda n, size, seed, drop: torch.arange(n)[: n // size * size if drop else n].split(size),
    lambda n, size, seed, drop: right_batches(n, size, seed, False)[: -1 if drop else None],
    lambda n, size, seed, drop: [
        right_batches(n // size * size, size, seed, False),
        right_batches(n, size, seed, False),
    ][not drop],
)

# %% [markdown]
# ### Exercise 2: a large batch on a small machine
#
# A batch of 512 does not fit into memory; batches of 64 do. Write `gathered(gradient, weights, x, y, size)`: the
# gradient of the mean loss over all of `x, y`, from pieces of at most `size` samples. The argument `gradient` is the
# lesson's function. A right answer equals `gradient(weights, x, y)` also where `size` does not divide the batch.


# %%
def check_gathered(gathered):
    pieces = []

    def watched(weights, x, y):
        pieces.append(len(x))
        return gradient(weights, x, y)

    for count, size in ((512, 64), (500, 64), (65, 64), (10, 64)):
        expected = flat(gradient(w, x[:count], y[:count]))
        pieces.clear()
        got = flat(gathered(watched, w, x[:count], y[:count], size))
        assert sum(pieces) == count, f"gradient saw {sum(pieces)} samples of {count}: call it once for each piece"
        assert max(pieces) <= size, f"a piece of {max(pieces)} samples does not fit into memory: {size} at most"
        hint = "weight each piece by its share of the samples" if count % size else "divide by the number of pieces"
        assert torch.allclose(got, expected, rtol=1e-9, atol=1e-12), (
            f"{count} samples in pieces of {size}: not the same gradient; {hint}"
        )


# %% tags=["solution"]
def gathered(gradient, weights, x, y, size):
    pieces = [(len(b), gradient(weights, a, b)) for a, b in zip(x.split(size), y.split(size), strict=True)]
    return [sum(n / len(y) * g[i] for n, g in pieces) for i in range(4)]


def mean_of_pieces(gradient, weights, x, y, size):
    pieces = [gradient(weights, a, b) for a, b in zip(x.split(size), y.split(size), strict=True)]
    return [torch.stack([p[i] for p in pieces]).mean(0) for i in range(4)]


def sum_of_pieces(gradient, weights, x, y, size):
    pieces = [gradient(weights, a, b) for a, b in zip(x.split(size), y.split(size), strict=True)]
    return [torch.stack([p[i] for p in pieces]).sum(0) for i in range(4)]


def all_at_once(gradient, weights, x, y, size):
    return gradient(weights, x, y)


check_gathered(gathered)
refuses(check_gathered, mean_of_pieces, sum_of_pieces, all_at_once)

# %% [markdown]
# ### Exercise 3: how large a batch?
#
# You want the batch's gradient to be within a given share of the full gradient's length, in the root mean square.
# Write `needed(single, share)`: the smallest batch size, drawn without replacement, from the samples' own gradients
# `single` of shape `(N, weights)`. A right answer uses the formula of this lesson and is never above `N`.


# %%
def check_needed(needed):
    output = single[:, -510:]  # the gradients of the output layer are enough to check with
    g = output.mean(0)
    ratio = ((output - g).square().sum(1).mean() / g.square().sum()).item()

    def apart(m):
        return math.sqrt(ratio / m * (N - m) / (N - 1))

    for share in (0.05, 0.2, 0.5, 1.0, 3.0):
        got = needed(output, share)
        assert 1 <= got <= N, f"{got} is no batch size of {N} samples"
        assert apart(got) <= share * (1 + 1e-9), (
            f"at {got} the distance is {apart(got):.3f} of the length, {share} was asked for"
        )
        assert got == 1 or apart(got - 1) > share, (
            f"{got - 1} would be enough for {share}: drawing without replacement is more precise"
        )


# %% tags=["solution"]
def needed(single, share):
    n, g = len(single), single.mean(0)
    ratio = (
        (single - g).square().sum(1).mean() / (share * g.norm()).square()
    ).item()  # m where samples could be drawn again
    return max(1, min(n, math.ceil(ratio * n / (n - 1 + ratio) - 1e-9)))


check_needed(needed)
refuses(
    check_needed,
    lambda single, share: math.ceil(
        (single - single.mean(0)).square().sum(1).mean() / (share * single.mean(0).norm()) ** 2
    ),
    lambda single, share: max(1, math.ceil(1 / share**2)),
    lambda single, share: N,
)

# %% [markdown]
# ## Sources
#
# - Rough steps that arrive: [Robbins and Monro, 1951](#robbins1951). Why they are worth it in learning: [Bottou et
#   al., 2018](#bottou2018).
# - Rates in proportion to the batch: [Goyal et al., 2017](#goyal2017). Small batches: [Masters and Luschi,
#   2018](#masters2018).
# - Sampling without replacement: any book on surveys, as [Cochran, 1977](#cochran1977).
# - The course with 1,000 epochs and with sizes from 8 to 256: [Fundamentals of Deep Learning](#fdl), notebook 8. Its
#   accuracies carry a fault that lesson 0 shows (S1-1: validation images among those learned from), its losses
#   another (S1-2: softmax twice, which keeps them above 1.461).
