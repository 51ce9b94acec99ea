# %% [markdown]
# # Training in two bytes
#
# Half as many bytes a number, and graphics cards multiply such numbers several times as fast. A network that is
# turned into float16 and trained ends in NaN all the same, or stands still. Three repairs make it work. What does
# each of them repair, and what happens without it?

# %% tags=["about"]
covers = ["P07", "P02"]
rung = 8
minutes = 55

# %%
import copy
import math
from itertools import pairwise
from statistics import mean, stdev

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

from rungbook.book import refuses, show, source, table
from rungbook.learner.casting import Casting
from rungbook.learner.learner import Learner
from rungbook.plot.style import INK, TRAIN, VALID, draw
from rungbook.scale.precision import Float16, HalfByHand, LossScale, Scaled, static_scale

# %% [markdown]
# ## What half precision holds
#
# Lesson 3 took the formats apart. What matters here: float16 ends at 65,504, its last number above 0 is about 6 in a
# hundred million, and from a number to the next is about a thousandth of it. [bfloat16](#bfloat16) has the range of
# float32 and steps of a hundredth. So three things can go wrong: too small, too large, and too small beside another.
#
# The plain way is one word. All of a network in float16, the [optimiser](#optimiser) Adam, 500 digits:

# %%
stored = load_digits()
pixels, digit = torch.tensor(stored.data, dtype=torch.float32) / 16, torch.tensor(stored.target)
HALF, BF16 = torch.float16, torch.bfloat16


def network(seed):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


net = network(0).half()
optimiser = torch.optim.Adam(net.parameters(), lr=0.01)
losses = []
for _ in range(3):
    loss = F.cross_entropy(net(pixels[:500].half()), digit[:500])
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    losses.append(loss.item())
print("losses of the first three steps:", losses)
print("Adam's eps, 1e-8, as a float16:", torch.tensor(1e-8, dtype=HALF).item())
assert math.isfinite(losses[0]) and math.isnan(losses[2])
assert not pixels[:, 0].any() and net[0].weight[:, 0].isnan().all()  # the first pixel is black in all

# %% [markdown]
# Adam divides by the root of a mean square plus `eps`, which is there so that nothing is divided by 0. In float16
# `eps` *is* 0, some pixels are black in all pictures, and 0 / 0 is [NaN](#nan). This is the shape of all that
# follows: nothing is wrong with the program, and the numbers it needs do not exist.
#
# [Micikevicius et al., 2018](#micikevicius2018) have three cures, and together they are called [mixed
# precision](#mixed-precision): weights kept in float32, the loss scaled, and sums made in float32.
#
# ## A loop with all three
#
# A network in half precision computes, a second one in float32 holds the [master weights](#master-weights). The
# loss is made in float32 and multiplied by a scale. The gradients are turned to float32 and divided by it. If one
# of them is not finite the step is left out and the scale halved; after a number of good steps in a row it is
# doubled.


# %%
def by_hand(batches, scale, interval):
    """Weights, and the scale after each step."""
    master = network(0)
    half = copy.deepcopy(master).half()
    optimiser = torch.optim.SGD(master.parameters(), lr=0.1, momentum=0.9, foreach=False)
    good, scales = 0, []
    for x, y in batches:
        half.zero_grad()
        loss = F.cross_entropy(half(x.half()).float(), y)
        (loss * scale).backward()
        for p, q in zip(master.parameters(), half.parameters(), strict=True):
            p.grad = q.grad.float() / scale
        if all(p.grad.isfinite().all() for p in master.parameters()):
            optimiser.step()
            good += 1
            if good == interval:
                scale, good = scale * 2, 0
        else:
            scale, good = scale / 2, 0
        with torch.no_grad():
            for p, q in zip(master.parameters(), half.parameters(), strict=True):
                q.copy_(p)  # rounded
        scales.append(scale)
    return list(master.parameters()), scales


# %% [markdown]
# The library has no second network: for each forward pass it puts rounded copies in the places of the weights. The
# rest is the same, with no question to the device in between, so that a graphics card need not wait.

# %%
show(source(HalfByHand.forward), source(Scaled.differentiate), source(LossScale.update))


def by_library(batches, casting):
    model = network(0)
    params, scales = list(model.parameters()), []
    optimiser = torch.optim.SGD(params, lr=0.1, momentum=0.9, foreach=False)
    forward = casting.forward(model, model)
    for x, y in batches:
        optimiser.zero_grad()
        with casting.cast(x.device):
            loss = F.cross_entropy(forward(x), y)
        casting.differentiate(loss, 1, params)
        if not casting.end_step():
            optimiser.step()
        scales.append(float(casting.scale.value))
    return params, scales


# %% [markdown]
# Torch's own way is [autocast](#autocast) for the forward pass, which decides operation by operation what may be
# done in half, and `GradScaler` for the scale. The library's `Float16` is autocast with our scale. A start at
# $2^{24}$, too large on purpose, and growth after 15 good steps:


# %%
def by_torch(batches, scale, interval):
    model, scales = network(0), []
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, foreach=False)
    scaler = torch.amp.GradScaler("cpu", init_scale=scale, growth_interval=interval)
    for x, y in batches:
        optimiser.zero_grad()
        with torch.autocast("cpu", HALF):
            loss = F.cross_entropy(model(x), y)
        scaler.scale(loss).backward()
        scaler.step(optimiser)
        scaler.update()
        scales.append(scaler.get_scale())
    return list(model.parameters()), scales


g = torch.Generator().manual_seed(0)
batches = [
    (pixels[chosen], digit[chosen]) for chosen in (torch.randint(0, 1000, (64,), generator=g) for _ in range(80))
]
pairs = {
    "two networks, and copies in place": (
        by_hand(batches, 2.0**24, 15),
        by_library(batches, HalfByHand(LossScale(2.0**24, interval=15))),
    ),
    "GradScaler, and our scale": (
        by_torch(batches, 2.0**24, 15),
        by_library(batches, Float16(LossScale(2.0**24, interval=15))),
    ),
}
for name, ((weights, scales), (our_weights, our_scales)) in pairs.items():
    assert scales == our_scales and all(torch.equal(a, b) for a, b in zip(weights, our_weights, strict=True))
    fell = sum(b < a for a, b in zip([2.0**24, *scales], scales, strict=False))
    print(f"{name}: the same scales and weights to the last bit; {fell} of 80 steps left out")
    assert 2 <= fell < 30 and any(b > a for a, b in pairwise(scales))


# %% tags=["hide-input"]
def paint_scale(ax):
    ax.step(range(1, 81), [math.log2(s) for s in scales], where="post", color=TRAIN)
    ax.set(xlabel="step", ylabel="scale, power of 2")


show(
    draw(
        paint_scale,
        f"The scale over 80 steps: from 2 to the 24 it falls at once, to 2 to the {math.log2(min(scales)):.0f} at the lowest, then tries "
        f"twice as much every 15 good steps and falls back where that overflows; at the end it is 2 to the {math.log2(scales[-1]):.0f}.",
        size=(4.4, 2.4),
    )
)

# %% [markdown]
# The dynamic scale finds its place within a few steps and goes on trying. A static one (the course takes 512;
# [fast.ai, part 2](#fastai2019), notebook 10c, without results) is a guess that holds for one network.
#
# ## Without the scale
#
# Is it needed? A loss has a unit. In the same task let it be $2^k$ times smaller, as it would be if it were a mean
# over many places of which few count, and let the [learning rate](#learning-rate) be $2^k$ times larger. In exact
# numbers that is the same training. In float32 it is, too, bit for bit, since powers of two only move the exponent:


# %%
def train(seed, casting=None, k=0, lr=0.5, steps=60, masters=True):
    """Loss over all digits, and the share of updates so small that a float16 weight would not move."""
    model, casting = network(seed), casting or Casting()
    params = list(model.parameters())
    optimiser = torch.optim.SGD(params, lr=lr * 2.0**k, foreach=False)
    forward, g, lost = casting.forward(model, model), torch.Generator().manual_seed(seed), []
    for _ in range(steps):
        chosen = torch.randint(len(digit), (64,), generator=g)
        optimiser.zero_grad()
        casting.differentiate(F.cross_entropy(forward(pixels[chosen]), digit[chosen]) * 2.0**-k, 1, params)
        if casting.end_step():
            continue
        before = [p.detach().half() for p in params]
        optimiser.step()
        with torch.no_grad():
            still = [(p.half() == b)[p.grad != 0] for p, b in zip(params, before, strict=True)]
            lost.append(torch.cat(still).double().mean().item())
            if not masters:
                for p in params:
                    p.copy_(p.half())
    with torch.no_grad():
        return F.cross_entropy(model(pixels), digit).item(), mean(lost)


powers = (0, 8, 12, 16, 20)
sweep = {
    "float16, no scale": [train(0, HalfByHand(static_scale(1.0)), k)[0] for k in powers],
    "float16, scaled": [train(0, HalfByHand(LossScale(interval=10)), k)[0] for k in powers],
}
exact = train(0)[0]
plain, scaled = sweep["float16, no scale"], sweep["float16, scaled"]
assert abs(plain[0] - exact) < 0.05 and plain[3] > exact + 0.5 and max(scaled) < exact + 0.3
assert train(0, k=20)[0] == exact  # float32: the same to the last bit
assert train(0, HalfByHand(static_scale(1.0), BF16), 20) == train(0, HalfByHand(static_scale(1.0), BF16), 0)


# %% tags=["hide-input"]
def paint_sweep(ax):
    ax.axhline(exact, color=INK, alpha=0.4, linewidth=1, linestyle=(0, (2, 2)), label="float32, all the same")
    for (name, of), colour in zip(sweep.items(), (VALID, TRAIN), strict=True):
        ax.plot(powers, of, "o-", color=colour, label=name)
    ax.set(xticks=powers, xlabel="loss smaller by 2 to the power of", ylabel="loss after 60 steps")
    ax.legend(frameon=False)


show(
    draw(
        paint_sweep,
        f"Loss after 60 steps against how small the loss is made: float32 {exact:.2f} throughout; "
        + "; ".join(
            f"{name} " + ", ".join(f"{v:.2f} at 2 to the {k}" for k, v in zip(powers, of, strict=True))
            for name, of in sweep.items()
        )
        + ".",
        size=(4.4, 2.6),
    )
)

# %%
ways = {
    "float32": Casting,
    "float16, no scale": lambda: HalfByHand(static_scale(1.0)),
    "float16, scaled": lambda: HalfByHand(LossScale(interval=10)),
    "bfloat16, no scale": lambda: HalfByHand(static_scale(1.0), BF16),
}
ends = {name: [train(seed, way(), k=20)[0] for seed in range(5)] for name, way in ways.items()}
start = mean(F.cross_entropy(network(seed)(pixels), digit).item() for seed in range(5))
rows = [{"loss 2^20 times smaller": "before training", "loss after 60 steps": f"{start:.3f}"}]
rows += [
    {"loss 2^20 times smaller": name, "loss after 60 steps": f"{mean(of):.3f} ± {stdev(of):.3f}"}
    for name, of in ends.items()
]
show(table(rows))
assert min(ends["float16, no scale"]) > start - 0.1 and max(ends["float32"]) < 0.5 * start
for name in ("float16, scaled", "bfloat16, no scale"):
    assert max(abs(a - b) for a, b in zip(ends["float32"], ends[name], strict=True)) < 0.3 * (
        start - mean(ends["float32"])
    )

# %% [markdown]
# Without a scale the network has not moved: all its gradients were 0. On the way there training gets worse by and
# by, for what is left of the gradients has one or two digits. With the scale nothing is to be seen of it, only a
# few steps are left out where it tries too high. bfloat16 needs no scale, as it has the exponents of float32.
#
# At $k = 0$, on the other hand, float16 does without: the gradients of a small network and an ordinary loss fit. The
# scale is an insurance. It costs one multiplication of the loss and, for each gradient, one more and the question
# whether it is finite.
#
# ## Without the master weights
#
# An update is small beside its weight. Where it is less than half a step of the weight's format, the weight stays.
# How many are lost, by learning rate, if weights are held in float16? Counted in the trainings that have masters:

# %%
lost = {lr: train(0, HalfByHand(), lr=lr)[1] for lr in (0.5, 0.05, 0.005, 0.0005)}
for lr, share in lost.items():
    print(f"learning rate {lr:<6g} {share:.0%} of the updates would leave a float16 weight where it is")
fell = {True: [], False: []}
for seed in range(5):
    with torch.no_grad():
        began = F.cross_entropy(network(seed)(pixels), digit).item()
    for masters, of in fell.items():
        of.append(began - train(seed, HalfByHand(), lr=0.0005, masters=masters)[0])
print(f"at a rate of 0.0005 the loss falls by {mean(fell[True]):.5f} ± {stdev(fell[True]):.5f} with masters,")
print(f"                              and by {mean(fell[False]):.5f} ± {stdev(fell[False]):.5f} without")
assert lost[0.5] < lost[0.05] < lost[0.005] < lost[0.0005] and lost[0.5] < 0.2 and lost[0.0005] > 0.7
assert all(b < 0.5 * a for a, b in zip(fell[True], fell[False], strict=True))

# %% [markdown]
# At a large rate most updates arrive; at the small rates with which every [schedule](#schedule) ends most do not.
# Lesson 3 has the same with bfloat16, whose steps are eight times as wide: there it decides at ordinary rates. So
# bfloat16 needs masters more, and a scale less.
#
# The masters cost memory: 4 bytes beside the 2 of the copy. What is saved are the [activations](#activation), which
# are the larger part in training ([Micikevicius et al., 2018](#micikevicius2018), section 3.1).
#
# ## Without float32 for sums
#
# A mean over many numbers is a sum first. Half precision is at its end soon, and a running average that moves by
# small steps stands still. So batch norm, softmax and losses are made in float32:

# %%
channel = torch.full((64, 28, 28), 30.0, dtype=HALF)  # one channel of a batch of 64
print("sum", channel.sum().item(), " sum in float32", channel.float().sum().item())
running = torch.tensor(30.0, dtype=HALF)
for _ in range(100):
    running += 0.01 * (torch.tensor(30.5, dtype=HALF) - running)
print(
    f"running mean, 100 steps of a hundredth towards 30.5: {running.item()}, in exact numbers {30.5 - 0.5 * 0.99**100:.3f}"
)
assert channel.sum().isinf() and running < 30.1
with torch.autocast("cpu", HALF):
    layer = nn.Linear(64, 10)
    scores = layer(pixels[:8])
    print("in autocast: scores", scores.dtype, " loss", F.cross_entropy(scores, digit[:8]).dtype)
    assert scores.dtype == HALF and F.cross_entropy(scores, digit[:8]).dtype == torch.float32

# %% [markdown]
# torch's kernels for batch norm add in float32 inside, whatever comes in; what is kept between steps is the caller's
# business. `HalfByHand` leaves the layers of batch norm in float32 altogether.
#
# ## Gathering gradients
#
# The memory that two bytes save goes into larger batches. If it is still too little, the [gradients of several
# batches are gathered](#gradient-accumulation) before one step. For a loss that is a mean, weighted by the sizes,
# that is the gradient of one large batch, exactly:

# %%
show(source(Learner._backward))


def gathered(net, sizes, weighted=True):
    """Gradients of 29 digits, in parts of these sizes, put together."""
    net.zero_grad()
    for x, y in zip(pixels[:29].double().split(sizes), digit[:29].split(sizes), strict=True):
        share = len(y) / 29 if weighted else 1 / len(sizes)
        (F.cross_entropy(net(x), y) * share).backward()
    return torch.cat([p.grad.flatten() for p in net.parameters()])


plain = network(0).double()
whole = gathered(plain, [29])
torch.testing.assert_close(gathered(plain, [8, 8, 8, 5]), whole, rtol=1e-10, atol=1e-12)
uneven = gathered(plain, [8, 8, 8, 5], weighted=False)
normed = nn.Sequential(nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 10)).double()
one, four = gathered(normed, [29]), gathered(normed, [8, 8, 8, 5])
for name, got, want in (("mean of the parts' means", uneven, whole), ("with batch norm", four, one)):
    print(f"{name}: off by {(got - want).norm() / want.norm():.0%} of the gradient's length")
assert (uneven - whole).norm() > 0.01 * whole.norm() and (four - one).norm() > 0.1 * one.norm()

# %% [markdown]
# The smaller last part is a slip that is found by counting. Batch norm is no slip: each part is normalised by its
# own mean and deviation, so it is another function of the data (lesson 23). Dropout draws other masks. The whole
# training, by the Learner, two epochs of four batches of 8 against one of 32:

# %%
ends = {}
for size, accumulate in ((32, 1), (8, 4)):
    model = network(1).double()
    data = [(pixels[i : i + size].double(), digit[i : i + size]) for i in range(0, 256, size)]
    learner = Learner(model, (data, None), lr=0.1, metrics=[], accumulate=accumulate)
    ends[size] = learner.fit(2).model
for a, b in zip(ends[32].parameters(), ends[8].parameters(), strict=True):
    torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)
print("8 x 4 and 32: the same weights after two epochs")

# %% [markdown]
# A course trains once with batches of 128 and once with 8 x 16, and reports 0.416 for one and 0.343 for the other after
# an epoch ([PyTorch-Adventures](#pytorchadventures)). By the algebra the two are the same training, unless a layer
# looks at the batch as a whole or draws at random. The difference comes of that, or of the seed; it speaks for
# neither way.
#
# What people get wrong: `model.half()` and on with it. Clipping gradients before they are divided by the scale, so
# that the limit depends on the scale (torch: `scaler.unscale_(optimizer)` first). Counting steps left out as steps of
# the schedule. Taking a scale that falls for ever as bad luck: the gradients themselves are NaN then, and no scale
# helps (the library gives up after 40 in a row).
#
# So what do the three repair? The scale what is too small, the masters what is too small beside another, and
# float32 for sums what is too large. In bfloat16 the first falls away.
#
# ## Exercises
#
# ### Exercise 1: the scale's next step
#
# Write `update(scale, good, finite, interval)`: scale and number of good steps in a row after a step whose gradients
# were all finite, or were not. It starts with `good` = 0. A right answer does what `LossScale` does.


# %%
def check_update(update):
    g = torch.Generator().manual_seed(0)
    for interval in (1, 3):
        theirs, scale, good = LossScale(2.0**10, interval=interval), 2.0**10, 0
        for step, bad in enumerate((torch.rand(60, generator=g) < 0.25).tolist()):
            theirs.update(torch.tensor(bad))
            scale, good = update(scale, good, not bad, interval)
            want = float(theirs.value)
            assert scale == want, (
                f"interval {interval}, step {step}: the scale is {scale:g}, {want:g} is right; when does counting begin anew?"
            )


# %% tags=["solution"]
def right_update(scale, good, finite, interval):
    if not finite:
        return scale / 2, 0
    return (scale * 2, 0) if good + 1 == interval else (scale, good + 1)


check_update(right_update)
refuses(
    check_update,
    lambda scale, good, finite, interval: right_update(scale, good, finite, interval) if finite else (scale / 2, good),
    lambda scale, good, finite, interval: (
        (scale * 2, good) if finite and good >= interval else right_update(scale, good, finite, interval + 1)
    ),
    lambda scale, good, finite, interval: (scale, good + 1) if finite else (scale / 2, 0),
)

# %% [markdown]
# ### Exercise 2: clip
#
# Write `clip(gradients, scale, limit)`: `gradients` are float16 tensors, of a loss times `scale`. Give back float32
# gradients of the loss itself, shortened together so that their length is at most `limit`, or None if any is not
# finite. Lengths of 300 x scale must not overflow.


# %%
def check_clip(clip):
    g = torch.Generator().manual_seed(1)
    true = [torch.randn(20, 5, generator=g), 3 * torch.randn(7, generator=g)]
    length = torch.cat([t.flatten() for t in true]).norm().item()
    for scale in (1.0, 4096.0):
        given = [(t * scale).half() for t in true]
        for limit in (1.0, 100.0):
            got = clip([t.clone() for t in given], scale, limit)
            assert all(t.dtype == torch.float32 for t in got), "float32 gradients are asked for"
            factor = min(1.0, limit / length)
            for a, b in zip(got, true, strict=True):
                assert torch.allclose(a, b * factor, rtol=5e-3, atol=1e-3), (
                    f"scale {scale:g}, limit {limit:g}: is the length that of the unscaled gradients, of all together, in float32?"
                )
    assert clip([torch.tensor([1.0, math.inf]).half()], 1.0, 1.0) is None, "an infinite gradient: None"


# %% tags=["solution"]
def right_clip(gradients, scale, limit, first=True, together=True, wide=True):
    if not all(t.isfinite().all() for t in gradients):
        return None
    unscaled = [t.float() / scale for t in gradients]
    by = unscaled if first else [t.float() for t in gradients]
    if not wide:
        by = gradients
    norm = torch.cat([t.flatten() for t in by]).pow(2).sum().sqrt().float()
    norms = [norm if together else t.norm() for t in by]
    return [t * min(1.0, limit / n.item()) for t, n in zip(unscaled, norms, strict=True)]


check_clip(right_clip)
refuses(
    check_clip,
    lambda gradients, scale, limit: right_clip(gradients, scale, limit, first=False),
    lambda gradients, scale, limit: right_clip(gradients, scale, limit, together=False),
    lambda gradients, scale, limit: right_clip(gradients, scale, limit, wide=False),
    lambda gradients, scale, limit: [t.float() / scale for t in gradients],
)

# %% [markdown]
# ## Sources
#
# - The three cures: [Micikevicius et al., 2018](#micikevicius2018), section 3. bfloat16: [Kalamkar et al.,
#   2019](#kalamkar2019).
# - Half the model, batch norm in float32, a static scale of 512: [fast.ai, part 2](#fastai2019), notebook 10c.
# - Gathered gradients, 128 against 8 x 16: [PyTorch-Adventures](#pytorchadventures).
