# %% [markdown]
# # What a floating-point number is
#
# In Python `0.1 + 0.2 == 0.3` is false. A sum of positive numbers can stop growing. A network whose gradient is right
# can stop learning, and learn again when every weight is kept in four bytes instead of two. What is a number, to a
# computer?

# %% tags=["about"]
covers = ["F13"]
rung = 1
minutes = 50

# %%
import math
from fractions import Fraction
from itertools import pairwise

import torch
from matplotlib.patches import Rectangle
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy

from rungbook.book import Slider, refuses, show, source, table
from rungbook.plot.style import FOURTH, THIRD, TRAIN, VALID, draw, number

torch.set_num_threads(1)
FP32, FP16, BF16 = torch.float32, torch.float16, torch.bfloat16
NAMES = {FP32: "float32", FP16: "float16", BF16: "bfloat16"}
COLOURS = {FP32: TRAIN, FP16: VALID, BF16: THIRD}

# %% [markdown]
# ## A tenth is not there
#
# Python can show which number it holds when you write `0.1`: as a fraction, to the last digit.

# %%
print("0.1 is held as", Fraction(0.1))
print("0.1 + 0.2 =", repr(0.1 + 0.2), " 0.3 =", 0.3)
assert Fraction(0.1) == Fraction(3602879701896397, 2**55) != Fraction(1, 10)
assert 0.1 + 0.2 != 0.3
assert 0.5 + 0.25 == 0.75

# %% [markdown]
# The bottom of the fraction is a power of two. A [floating-point number](#floating-point-number) is always a whole
# number times a power of two, and a tenth is none: in binary it is 0.000110011001100... without end, as a third is
# 0.333... in decimal. What is held is the nearest number there is. Halves and quarters are held exactly.
#
# ## Sign, exponent, fraction
#
# The bits of a number fall into three groups, as [IEEE 754](#ieee2019) lays down. The *sign* $s$ is one bit. The
# [exponent](#exponent) $e$ says between which two powers of two the number lies. The *fraction* $f$, often called
# [mantissa](#mantissa), says where between them, in even steps:
#
# $$(-1)^s \cdot 2^{e - b} \cdot \left(1 + \frac{f}{2^p}\right)$$
#
# with $p$ bits of fraction, and $b$, the bias, half the range of the exponent, so that it can be negative. Two
# exponents are reserved. All zeros mean that the leading 1 is left out, which gives 0 and the
# [subnormal](#subnormal) numbers, the last ones before it. All ones mean infinity, or with a fraction "not a
# number".


# %%
def decode(bits, exponent_bits, fraction_bits):
    """The value of a pattern of bits; Python's own numbers have 64 bits and hold each of these exactly."""
    f = bits & (2**fraction_bits - 1)
    e = bits >> fraction_bits & (2**exponent_bits - 1)
    sign = -1.0 if bits >> (fraction_bits + exponent_bits) else 1.0
    bias = 2 ** (exponent_bits - 1) - 1
    if e == 2**exponent_bits - 1:
        return math.nan if f else sign * math.inf
    if e == 0:
        return sign * f / 2**fraction_bits * 2.0 ** (1 - bias)
    return sign * (1 + f / 2**fraction_bits) * 2.0 ** (e - bias)


GROUPS = {FP32: (8, 23), FP16: (5, 10), BF16: (8, 7)}  # bits of exponent and of fraction

# %% [markdown]
# Is that all? With 16 bits there are 65,536 patterns, few enough to try every one, for both formats of that size:
# float16, and [bfloat16](#bfloat16), which is float32 with the last half cut off. Of float32, a sample.


# %%
def same(bits, dtype):
    """Whether torch reads these bits as the formula does."""
    ours = torch.tensor(
        [decode(i % 2 ** (8 * dtype.itemsize), *GROUPS[dtype]) for i in bits.tolist()], dtype=torch.float64
    )
    return torch.equal(ours.nan_to_num(12345), bits.view(dtype).double().nan_to_num(12345))


every = torch.arange(-(2**15), 2**15).to(torch.int16)
assert same(every, FP16) and same(every, BF16)
torch.manual_seed(0)
assert same(torch.randint(-(2**31), 2**31, (20_000,)).to(torch.int32), FP32)
print("all 65,536 patterns of float16 and of bfloat16, and 20,000 of float32, mean what the formula says")


# %% tags=["hide-input"]
def bits_of(x, dtype):
    """The bits of a number as a string."""
    size = dtype.itemsize * 8
    whole = torch.tensor(x, dtype=dtype).view(torch.int32 if size == 32 else torch.int16).item()
    return format(whole % 2**size, f"0{size}b")


def picture_of_bits(x):
    """The bits of one number in three formats, the groups in colour."""

    def paint(ax):
        for row, (dtype, (wide, _)) in enumerate(GROUPS.items()):
            for i, bit in enumerate(bits_of(x, dtype)):
                colour = FOURTH if i == 0 else VALID if i <= wide else TRAIN
                ax.add_patch(Rectangle((i, row + 0.15), 0.9, 0.7, color=colour, alpha=0.85 if bit == "1" else 0.25))
                ax.text(i + 0.45, row + 0.5, bit, ha="center", va="center", fontsize=7)
        ax.set(xlim=(0, 32), ylim=(3, 0), title=f"{x}: sign, exponent, fraction", xlabel="bit")
        ax.set_yticks([0.5, 1.5, 2.5], [NAMES[dtype] for dtype in GROUPS])
        ax.grid(False)

    said = "; ".join(
        f"{NAMES[d]} {b[0]} {b[1 : 1 + w]} {b[1 + w :]}" for d, (w, _) in GROUPS.items() for b in [bits_of(x, d)]
    )
    return draw(paint, f"The bits of {x}, as sign, exponent, fraction: {said}.", size=(6.4, 1.7))


show(picture_of_bits(0.1))

# %%
for dtype, groups in GROUPS.items():
    held = decode(int(bits_of(0.1, dtype), 2), *groups)
    print(
        f"0.1 in {NAMES[dtype]}: {held:.10f}, off by {float(abs(Fraction(held) - Fraction(1, 10)) * 10):.1e} of itself"
    )
assert bits_of(0.1, BF16)[:9] == bits_of(0.1, FP32)[:9]  # the same sign and exponent

# %% [markdown]
# More exponent bits reach further; more fraction bits lie closer. With 16 bits one pays for the other. Range and
# precision of the three follow from the formula:

# %%
rows = []
for dtype, (wide, p) in GROUPS.items():
    bias, info = 2 ** (wide - 1) - 1, torch.finfo(dtype)
    assert info.eps == 2.0**-p and info.tiny == 2.0 ** (1 - bias) and info.max == (2 - 2.0**-p) * 2.0**bias
    row = {"format": NAMES[dtype], "bits of exponent": wide, "of fraction": p, "largest": f"{info.max:.3g}"}
    rows.append(
        row
        | {
            "smallest normal": f"{info.tiny:.2g}",
            "last above 0": f"{2.0 ** (1 - bias - p):.2g}",
            "step above 1": f"{info.eps:.2g}",
        }
    )
show(table(rows))
assert torch.finfo(FP16).max == 65504 and torch.tensor(65520.0).half().isinf()

# %% [markdown]
# ## The steps grow with the numbers
#
# Between two powers of two the numbers stand evenly. At each power the step doubles. A format small enough to draw,
# with 3 bits of exponent and 2 of fraction, shows all that it has:

# %%
small = [decode(i, 3, 2) for i in range(28)]  # the positive finite ones
steps = sorted({b - a for a, b in pairwise(small)})
assert steps == [2.0**k for k in range(-4, 2)]  # each doubles; from 0 to the second power the step is the smallest


# %% tags=["hide-input"]
def paint_line(ax):
    ax.plot(small, [0] * len(small), "|", markersize=16, color=TRAIN)
    ax.set(yticks=[], xlabel="value", title="every number from 0 up, of a format with 3 + 2 bits")
    ax.spines["left"].set_visible(False)
    ax.set_ylim(-1, 1)


show(
    draw(
        paint_line,
        f"{len(small)} numbers from 0 to {small[-1]:g}; steps between neighbours are {', '.join(f'{s:g}' for s in steps)}.",
        size=(5.6, 1.0),
    )
)


# %%
def step_at(x, dtype):
    """From a positive number to the next larger one: 2 to the power of (exponent - p), at least the last step before 0."""
    _, p = GROUPS[dtype]
    return 2.0 ** (max(math.floor(math.log2(x)), math.log2(torch.finfo(dtype).tiny)) - p)


x = torch.rand(1000) * 100 + 1e-3
assert torch.equal(torch.nextafter(x, x + 1) - x, torch.tensor([step_at(v, FP32) for v in x.tolist()]))

# %% tags=["hide-input"]
sizes = [2.0 ** (k / 2) for k in range(-60, 61)]


def paint_steps(ax):
    for dtype in GROUPS:
        inside = [x for x in sizes if step_at(x, dtype) / 2 < x < torch.finfo(dtype).max]
        ax.plot(inside, [step_at(x, dtype) for x in inside], color=COLOURS[dtype])
        ax.annotate(
            NAMES[dtype],
            (inside[-1], step_at(inside[-1], dtype)),
            (4, 0),
            textcoords="offset points",
            color=COLOURS[dtype],
            fontsize=8,
            annotation_clip=False,
        )
    ax.set(xlabel="size of the number, power of 2", ylabel="step to the next, power of 2", xscale="log", yscale="log")
    ax.set_xticks([2.0**k for k in range(-30, 31, 10)], range(-30, 31, 10), minor=False)
    ax.set_yticks([2.0**k for k in range(-50, 31, 10)], range(-50, 31, 10), minor=False)
    ax.minorticks_off()
    ax.set_title("precision is relative, until the range ends")


powers = ", ".join(f"{NAMES[d]} 2 to the {math.log2(step_at(1.0, d)):.0f}" for d in GROUPS)
words = f"Step from a number to the next, against its size. At 1 it is {powers}. It doubles with the number. float16 stays at"
words += f" {step_at(1e-9, FP16):.0e} below {torch.finfo(FP16).tiny:.0e} and ends at {torch.finfo(FP16).max:,.0f}."
show(draw(paint_steps, words, size=(4.6, 2.8)))

# %% [markdown]
# Each format has a place where adding 1 does nothing, because the step there is 2: a sum of ones stops at it.

# %%
for dtype, stop in ((FP32, 2**24), (FP16, 2**11), (BF16, 2**8)):
    at = torch.tensor(stop, dtype=dtype)
    print(f"{NAMES[dtype]}: {stop:,} + 1 = {int((at + 1).item()):,}")
    assert at + 1 == at and at - 1 != at

# %% [markdown]
# ## Every operation rounds
#
# The sum or product of two such numbers is rarely one itself. The standard asks for the exact result, rounded to
# the nearest number there is, and to the one with an even fraction where two are equally near. So a single
# operation is off by at most half a step: at most $u = 2^{-p-1}$ of its own size. Checked against exact fractions:

# %%
torch.manual_seed(1)
u = Fraction(1, 2**24)  # float32: p = 23
a, b = torch.randn(3000), torch.randn(3000)
worst = Fraction(0)
for got, how in ((a + b, Fraction.__add__), (a * b, Fraction.__mul__), (a / b, Fraction.__truediv__)):
    for p, q, r in zip(a.tolist(), b.tolist(), got.tolist(), strict=True):
        exact = how(Fraction(p), Fraction(q))
        worst = max(worst, abs(Fraction(r) - exact) / abs(exact))
print(f"worst of 9,000 results: off by {float(worst / u):.3f} u")
assert worst <= u
assert torch.tensor(2049.0).half() == 2048 and torch.tensor(2051.0).half() == 2052  # halfway: to the even one
assert (0.1 + 0.2) + 0.3 != 0.1 + (0.2 + 0.3)  # rounded at other places: addition is not associative

# %% [markdown]
# So a comparison with `==` asks for luck. Ask whether two numbers are near:
# `torch.testing.assert_close(a, b, rtol, atol)`, with a tolerance that says how many roundings you expect.
#
# ## Cancellation
#
# One rounding is harmless. What makes it harmful is a subtraction of two nearly equal numbers. The subtraction
# itself is exact, but the leading digits cancel, and what is left are the last ones, those that were rounded
# before. Lesson 1 had two formulas for the variance. One takes the mean of the squares less the square of the mean.
# Measure something that lies around 10,000 with a spread of 1:

# %%
torch.manual_seed(0)
x = 10_000 + torch.randn(1000)
honest = x.double().var(correction=0).item()
one_pass = ((x**2).mean() - x.mean() ** 2).item()
two_passes = ((x - x.mean()) ** 2).mean().item()
print(
    f"float64: {honest:.4f}   mean of squares less square of mean: {one_pass:.4f}   mean of squared distances: {two_passes:.4f}"
)
assert abs(two_passes - honest) < 1e-3 and abs(one_pass - honest) > 0.5
print(f"one step at 10,000 squared is {step_at(1e8, FP32):g}: the variance is smaller than that")
assert step_at(1e8, FP32) == 8

# %% [markdown]
# [Goldberg, 1991](#goldberg1991) calls this catastrophic cancellation. The remedy is an algebra that subtracts
# before it squares.
#
# ## A sum depends on its order
#
# Add 0.1 thirty thousand times. One after the other, the sum grows, its steps grow, and each new tenth is rounded
# to a coarser step. In *pairs*, neighbours are added first, then neighbours of those: a number passes through 15
# additions instead of up to 30,000. [Kahan's sum](#kahan-summation) goes one after the other, too, but computes
# what each addition lost and adds it to the next number.


# %%
def in_turn(x):
    total = x.new_zeros(())
    return torch.stack([total := total + v for v in x])[-1]


def in_pairs(x):
    while len(x) > 1:
        x = torch.cat([x, x.new_zeros(len(x) % 2)])
        x = x[0::2] + x[1::2]
    return x[0]


def kahan(x):
    total = lost = x.new_zeros(())
    for v in x:
        v = v - lost
        grown = total + v
        lost = (grown - total) - v  # zero, if numbers were exact
        total = grown
    return total


ways = {"in turn": in_turn, "in pairs": in_pairs, "Kahan": kahan, "torch.sum": torch.sum}
counts = [10, 30, 100, 300, 1000, 3000, 10_000, 30_000]
error = {name: [] for name in ways}
for n in counts:
    tenths = torch.full((n,), 0.1)
    exact = n * Fraction(tenths[0].item())
    for name, way in ways.items():
        error[name].append(float(abs(Fraction(way(tenths).item()) - exact) / exact))
assert error["in turn"][-1] > 100 * error["in pairs"][-1]
assert all(e <= 2 * 2.0**-24 for e in error["Kahan"])  # whatever the number of terms
assert all(
    e <= math.ceil(math.log2(n)) * 2.0**-24 for e, n in zip(error["in pairs"], counts, strict=True)
)  # one rounding a level


# %% tags=["hide-input"]
def paint_sums(ax):
    for (name, off), colour in zip(error.items(), (VALID, TRAIN, THIRD, FOURTH), strict=True):
        style = (0, (4, 2)) if name == "Kahan" else "-"
        ax.plot(counts, [max(e, 1e-9) for e in off], marker=".", linestyle=style, color=colour, label=name)
    ax.axhline(2.0**-24, color="#7f7f7f", linewidth=0.8, linestyle=(0, (3, 2)))
    ax.set(xscale="log", yscale="log", xlabel="how many tenths (logarithmic)", ylabel="relative error (logarithmic)")
    ax.set_title("float32; grey: one rounding")
    ax.legend(frameon=False, fontsize=8)


words = "; ".join(f"{name} {off[-1]:.0e}" for name, off in error.items())
show(draw(paint_sums, f"Relative error of the sum of {counts[-1]:,} tenths in float32: {words}.", size=(4.8, 2.8)))

# %% [markdown]
# The bounds asserted here are in [Goldberg](#goldberg1991) and [Higham, 1993](#higham1993): for positive numbers
# the error of a plain sum may grow with $n$, in pairs with $\log_2 n$, with Kahan's correction not at all. Torch adds
# in blocks and pairs.
#
# What people get wrong: the same program on another number of threads, or on a graphics card, adds in another
# order. Results that differ in the last digits are no bug, and no seed makes them equal. A test that expects them
# to be equal is the bug.
#
# ## exp leaves the range
#
# A probability is often $e^{x}$ over a sum of such. Where does each format end?

# %%
for dtype in GROUPS:
    top = math.log(torch.finfo(dtype).max)
    print(f"{NAMES[dtype]}: exp is infinite above {top:.1f}")
    assert torch.tensor(top + 0.2, dtype=dtype).exp().isinf() and torch.tensor(top * 0.99, dtype=dtype).exp().isfinite()

# %% [markdown]
# The logarithm of the sum is harmless: about as large as the largest $x$. Take the largest out before anything is
# exponentiated, and the largest power is $e^0 = 1$ ([Blanchard and others, 2021](#blanchard2021), bound the error):
#
# $$\log \sum_i e^{x_i} = m + \log \sum_i e^{x_i - m}, \qquad m = \max_i x_i$$

# %%
from rungbook.scratch.tensor import stable

show(source(stable._largest), source(stable.logsumexp))
scores = torch.tensor([1000.0, 999.0, 0.0])
naive = scores.exp().sum().log()
print("naive:", naive.item(), " shifted:", stable.logsumexp(scores, 0).item())
assert naive.isinf()
torch.testing.assert_close(stable.logsumexp(scores, 0), torch.logsumexp(scores, 0), rtol=0, atol=0)
tame = torch.randn(50, 10, dtype=torch.float64)
torch.testing.assert_close(stable.logsumexp(tame, 1), tame.exp().sum(1).log(), rtol=1e-14, atol=1e-14)

# %% [markdown]
# ## Why 16 bits, and why float16 loses gradients
#
# A network in 16 bits needs half the memory and half the traffic, and graphics cards multiply such numbers several
# times faster ([Micikevicius and others, 2018](#micikevicius2018)). What does it lose? Gradients become small on
# their way back, because each layer multiplies them by its slope. Seven layers of sigmoids, whose slope is at most
# a quarter, are an extreme example:

# %%
digits = load_digits()
X, y = torch.tensor(digits.images, dtype=FP32).flatten(1) / 16, torch.tensor(digits.target)


def gradients(dtype, scale=1.0):
    """Gradients of a deep network on 200 digits, computed in `dtype`, with the loss multiplied by `scale` and they divided by it."""
    torch.manual_seed(0)
    layers = [nn.Linear(64, 32), nn.Sigmoid()] + [part for _ in range(6) for part in (nn.Linear(32, 32), nn.Sigmoid())]
    net = nn.Sequential(*layers, nn.Linear(32, 10)).to(dtype)
    loss = cross_entropy(net(X[:200].to(dtype)).float(), y[:200])
    (loss * scale).backward()
    return [p.grad.double() / scale for p in net.parameters() if p.dim() == 2]


exact = gradients(torch.float64)
lost = [(g[e != 0] == 0).double().mean().item() for g, e in zip(gradients(FP16), exact, strict=True)]
show(
    table(
        [
            {"layer": i + 1, "median gradient": f"{e[e != 0].abs().median():.1e}", "zero in float16": f"{part:.0%}"}
            for i, (e, part) in enumerate(zip(exact, lost, strict=True))
        ]
    )
)
assert lost[0] > 0.9 and lost[1] > 0.5 and lost[-1] < 0.01
assert max(g.abs().max() for g in exact) < 1

# %% [markdown]
# The first layer gets next to nothing, the second little: their gradients lie below the last number above 0 and
# become 0. Yet the other end of the range is empty: none of them reaches 1, and float16 goes on to 65,504. [Loss scaling](#loss-scaling) ([Micikevicius and others,
# 2018](#micikevicius2018)) multiplies the loss by a large number $S$ before the backward pass. Every gradient grows
# by $S$ with it, since differentiation is linear, and is divided by $S$ in float32 afterwards. A power of two costs
# no precision: it only moves the exponent.


# %% tags=["hide-input"]
def histogram(scale):
    """Where the gradients lie, times `scale`, and where float16 ends."""
    size = torch.cat([g[g != 0].abs() for g in exact]) * scale
    low, high = 2.0**-25, torch.finfo(FP16).max
    below, above = ((size < low).double().mean().item(), (size > high).double().mean().item())

    def paint(ax):
        ax.hist(size.log2().numpy(), bins=[k - 0.5 for k in range(-50, 31)], color=TRAIN, alpha=0.8)
        ax.axvspan(-50, math.log2(low), color=VALID, alpha=0.2, linewidth=0)
        ax.axvspan(math.log2(high), 30, color=VALID, alpha=0.2, linewidth=0)
        ax.set(
            xlabel="gradient, power of 2",
            ylabel="how many",
            xlim=(-50, 30),
            title=f"times {number(scale)}: {below:.0%} lost, {above:.0%} too large",
        )

    return draw(
        paint,
        f"Gradients times {number(scale)}: {below:.1%} lie below what float16 can hold, {above:.1%} above.",
        size=(4.6, 2.2),
    )


show(Slider("loss scale", {f"2 to the {k}": histogram(2.0**k) for k in (0, 8, 16, 24)}))


# %%
def off(got):
    """Distance of the first layer's gradient from the exact one, as a share of its length."""
    return ((got[0] - exact[0]).norm() / exact[0].norm()).item()


errors = {k: off(gradients(FP16, 2.0**k)) for k in (0, 8, 16)}
print("error of the first layer's gradient:", ", ".join(f"S = 2^{k}: {e:.2%}" for k, e in errors.items()))
assert errors[0] > 0.9 and errors[16] < 0.05

# %% [markdown]
# How large should $S$ be? So large that nothing overflows, and that can be tried. Start high; a gradient that is
# infinite or not a number means the step is skipped and $S$ halved; after some thousand good steps it is doubled.
# That is dynamic loss scaling, and `torch.amp.GradScaler` does it.

# %%
power = 40
while not all(g.isfinite().all() for g in gradients(FP16, 2.0**power)):
    power -= 1
print(f"the largest scale that does not overflow: 2 to the {power}; error there {off(gradients(FP16, 2.0**power)):.2%}")
assert 8 < power < 40 and off(gradients(FP16, 2.0**power)) < 0.05
print(f"bfloat16, without a scale: {off(gradients(BF16)):.2%}")
assert off(gradients(BF16)) < 0.1
assert all((g[e != 0] == 0).double().mean() < 1e-3 for g, e in zip(gradients(BF16), exact, strict=True))

# %% [markdown]
# bfloat16 has the exponent of float32, and these gradients do not become 0 in it, without any scale. It pays with
# digits.
#
# ## Why bfloat16 stops learning
#
# A training step adds something small, learning rate times gradient, to a weight. Above 1 the steps of bfloat16 are
# 1/128, so what is less than half of that is rounded away. Not once, but every time:

# %%
print(f"step of bfloat16 above 1: {step_at(1.0, BF16)}")
w16, w32 = torch.tensor(1.0, dtype=BF16), torch.tensor(1.0)
for _ in range(1000):
    w16, w32 = w16 + 0.001, w32 + 0.001
print("a thousand updates of 0.001 on a weight of 1: bfloat16", w16.item(), " float32", round(w32.item(), 3))
assert w16 == 1.0 and abs(w32 - 2.0) < 1e-3
assert abs(torch.tensor(0.001, dtype=BF16).item() / 0.001 - 1) < 0.005  # the update itself is held to two digits

# %% [markdown]
# Each update was right to two digits, which is enough; what is lost is their sum. So the sum is kept elsewhere: a
# second copy of the weights in float32, the [master weights](#master-weights). The network computes in 16 bits with
# rounded copies; the updates go into the master. That is why it is called [mixed precision](#mixed-precision). The
# experiment: a small network on digits, three ways, five seeds.


# %%
def train(way, seed, steps=280, lr=0.02):
    """The loss over all digits, every 40 steps."""
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    master = [p.detach().clone() for p in net.parameters()]
    dtype = FP32 if way == "float32" else BF16
    net.to(dtype)
    losses = []
    for step in range(steps + 1):
        if step % 40 == 0:
            with torch.no_grad():
                losses.append(cross_entropy(net(X.to(dtype)).float(), y).item())
        chosen = torch.randint(len(X), (64,))
        net.zero_grad()
        cross_entropy(net(X[chosen].to(dtype)).float(), y[chosen]).backward()
        with torch.no_grad():
            for p, w in zip(net.parameters(), master, strict=True):
                if way == "bfloat16, float32 master":
                    w -= lr * p.grad.float()
                    p.copy_(w)  # rounded
                else:
                    p -= lr * p.grad
    return losses


runs = {way: [train(way, seed) for seed in range(5)] for way in ("float32", "bfloat16", "bfloat16, float32 master")}
ends = {way: torch.tensor([one[-1] for one in losses]) for way, losses in runs.items()}


# %% tags=["hide-input"]
def paint_runs(ax):
    for (way, losses), colour, style in zip(runs.items(), (TRAIN, VALID, THIRD), ("-", "-", (0, (4, 2))), strict=True):
        for i, one in enumerate(losses):
            ax.plot(range(0, 281, 40), one, color=colour, linestyle=style, linewidth=1, label=way if i == 0 else None)
    ax.set(xlabel="step", ylabel="loss over all digits", title="five seeds each")
    ax.legend(frameon=False, fontsize=8)


words = "; ".join(f"{way} {end.mean():.3f} ± {end.std():.3f}" for way, end in ends.items())
show(draw(paint_runs, f"Loss after 280 steps, mean and standard deviation of 5 seeds: {words}.", size=(4.8, 2.8)))

# %%
apart = {way: end - ends["float32"] for way, end in ends.items()}
rows = [{"way": way, "loss after 280 steps": f"{end.mean():.3f} ± {end.std():.3f}"} for way, end in ends.items()]
show(
    table(
        [
            row | {"above float32, same seed": f"{a.mean():+.4f} ± {a.std():.4f}"}
            for row, a in zip(rows, apart.values(), strict=True)
        ]
    )
)
assert apart["bfloat16"].min() > 0.05  # worse with every seed
assert apart["bfloat16, float32 master"].abs().max() < 0.02

# %% [markdown]
# With the same seed all three see the same batches. bfloat16 alone falls behind with every one of the five; with a
# float32 master the difference is a small part of the spread between seeds. [Kalamkar and others,
# 2019](#kalamkar2019), found the same for large networks. `torch.autocast` packs it up: the weights stay in
# float32, and each product is computed from rounded copies.

# %%
layer = nn.Linear(64, 10)
with torch.autocast("cpu", dtype=BF16):
    out = layer(X[:8])
out.float().sum().backward()
print("weights", layer.weight.dtype, " output", out.dtype, " gradient of the weights", layer.weight.grad.dtype)
assert out.dtype == BF16 and layer.weight.dtype == layer.weight.grad.dtype == FP32

# %% [markdown]
# What people get wrong: they call `model.half()` or `model.bfloat16()` and train. For using a trained network that
# may do. For training it throws away the sum of the updates, and with float16 the small gradients as well.
#
# So what is a number, to a computer? One of finitely many whole multiples of powers of two, the nearest to what you
# meant; and after every operation, the nearest again.
#
# ## Exercises
#
# ### Exercise 1: the next number
#
# Write `following(x)`: the next larger float32 after a positive float32 tensor `x`, without `nextafter`. A right
# answer is the very next one, also where the exponent changes and below the smallest normal number. (The bits, read
# as a whole number, may help.)


# %%
def check_following(following):
    x = torch.tensor([1.0, 0.1, 3.0e-39, 1.9999999, 16777216.0, 1e-45, 12345.678])
    want = torch.nextafter(x, torch.tensor(math.inf))
    got = following(x.clone())
    assert got.dtype == FP32, f"float32 is wanted, got {got.dtype}"
    for a, g, w in zip(x.tolist(), got.tolist(), want.tolist(), strict=True):
        assert g > a, f"after {a!r} comes {g!r}, which is not larger: was the step rounded away?"
        assert g == w, f"after {a!r} comes {w!r}, not {g!r}"


# %% tags=["solution"]
check_following(lambda x: (x.view(torch.int32) + 1).view(FP32))
refuses(
    check_following,
    lambda x: x + torch.finfo(FP32).eps,
    lambda x: x * (1 + torch.finfo(FP32).eps),
    lambda x: x + 1e-6 * x,
)

# %% [markdown]
# ### Exercise 2: softplus
#
# Write `softplus(x)` $= \log(1 + e^x)$ for float32. A right answer is finite wherever the true value is, and keeps
# its digits where $e^x$ is far below 1.


# %%
def check_softplus(softplus):
    x = torch.tensor([-80.0, -40.0, -20.0, -1.0, 0.0, 1.0, 20.0, 100.0, 1e4])
    want = torch.logaddexp(x.double(), torch.zeros(()).double())
    got = softplus(x).double()
    assert got.isfinite().all(), f"infinite or not a number at {x[~got.isfinite()].tolist()}: exp overflows"
    off = (got - want).abs() / want
    assert off.max() < 1e-5, (
        f"wrong by {off.max():.0%} of its value at x = {x[off.argmax()].item():g}: 1 + exp(x) forgets what is below the last digit of 1"
    )


# %% tags=["solution"]
check_softplus(stable.softplus)
refuses(
    check_softplus,
    lambda x: (1 + x.exp()).log(),
    lambda x: torch.where(x > 20, x, (1 + x.exp()).log()),
    lambda x: x.clamp(min=0) + (1 + (-x.abs()).exp()).log(),
)

# %% [markdown]
# ### Exercise 3: the length of a gradient
#
# To clip gradients one needs their length, the root of the sum of squares. Write `length(x)` for a float16 tensor,
# as a Python number. A right answer is within a hundredth for numbers as large as 300 and as small as 0.0001, and
# is 0 for zeros.


# %%
def check_length(length):
    for value in (300.0, 1.0, 1e-4):
        x = (value * torch.linspace(-1, 0.9, 64)).half()
        want = x.double().norm().item()
        got = float(length(x))
        assert math.isfinite(got), f"64 numbers up to {value} give {got}: 300 squared is more than float16 holds"
        assert abs(got - want) <= 0.01 * want, (
            f"64 numbers up to {value} give {got:g}, not {want:g}: are small squares lost?"
        )
    assert float(length(torch.zeros(8).half())) == 0, "zeros have length 0"


# %% tags=["solution"]
check_length(lambda x: x.float().pow(2).sum().sqrt().item())
refuses(
    check_length,
    lambda x: x.pow(2).sum().sqrt().item(),
    lambda x: (x / x.max()).pow(2).sum().sqrt().item() * x.max().item(),
    lambda x: x.float().sum().abs().item() / len(x) ** 0.5,
)

# %% [markdown]
# ## Sources
#
# - Rounding, cancellation, Kahan's sum and its bound: [Goldberg, 1991](#goldberg1991), the paper every programmer
#   is told to read.
# - The formats and the rule of rounding: [IEEE 754-2019](#ieee2019). bfloat16 is not in it: [Kalamkar and others,
#   2019](#kalamkar2019).
# - Sums in different orders: [Kahan, 1965](#kahan1965), [Higham, 1993](#higham1993).
# - log-sum-exp: [Blanchard, Higham and Higham, 2021](#blanchard2021).
# - Loss scaling and master weights: [Micikevicius and others, 2018](#micikevicius2018).
