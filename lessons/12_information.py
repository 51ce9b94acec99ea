# %% [markdown]
# # Information: entropy, cross-entropy, KL
#
# A weather station sends one word a day, and each bit costs money. Which code is the cheapest? What does it cost to
# use the code of another town? And why is the answer to the second question the number that every classifier is
# trained on?

# %% tags=["about"]
covers = ["F11"]
rung = 4
minutes = 50

# %%
import heapq
import math
from itertools import product
from statistics import mean, stdev

import torch
import torch.nn.functional as F
from matplotlib.patches import Rectangle

from rungbook.book import Slider, refuses, show, source, table
from rungbook.plot.style import FOURTH, THIRD, TRAIN, VALID, draw, number, sheet

COLOURS = (TRAIN, VALID, THIRD, FOURTH)

# %% [markdown]
# ## A code as an area
#
# The weather is sunny on half of the days, rainy on a quarter; fog and snow share the rest. With two bits a word,
# any code works: 00, 01, 10, 11. A cheaper one gives the frequent word a short code word: sun 0, rain 10, fog 110,
# snow 111.
#
# In the picture each word is a rectangle. Its width is how often the word is sent, its height how many bits it
# takes. So its area is what it adds to the mean, and the whole area is the cost of a day.

# %%
words = ("sun", "rain", "fog", "snow")
p = torch.tensor([1 / 2, 1 / 4, 1 / 8, 1 / 8], dtype=torch.float64)
codes = {"fixed": ("00", "01", "10", "11"), "by frequency": ("0", "10", "110", "111")}


# %% tags=["hide-input"]
def blocks(widths, heights, names, title, *, best=None, unit="bits", top=4.2):
    """Rectangles side by side. Where `best` heights are given, what is above them is light, and what falls short of them is an outline."""

    def paint(ax):
        left = 0.0
        for i, (w, h, name) in enumerate(zip(widths, heights, names, strict=True)):
            due = h if best is None else best[i]
            ax.add_patch(Rectangle((left, 0), w, min(h, due), facecolor=COLOURS[i % 4], alpha=0.75, linewidth=0))
            if h > due:
                ax.add_patch(Rectangle((left, due), w, h - due, facecolor=COLOURS[i % 4], alpha=0.3, linewidth=0))
            if h < due:
                ax.add_patch(
                    Rectangle(
                        (left, h), w, due - h, fill=False, edgecolor=COLOURS[i % 4], linewidth=1, linestyle=(0, (3, 2))
                    )
                )
            ax.text(left + w / 2, max(h, due) + 0.04 * top / 4, name, ha="center", va="bottom", fontsize=8)
            left += w
        ax.set(xlim=(0, 1), ylim=(0, top), xlabel="share of the days", ylabel=unit, title=title)
        ax.grid(False)

    return paint


# %%
cost = {name: sum(pi * len(c) for pi, c in zip(p.tolist(), code, strict=True)) for name, code in codes.items()}
paints = []
for name, code in codes.items():
    labels = [f"{w}\n{c}" for w, c in zip(words, code, strict=True)]
    paints.append(blocks(p.tolist(), [len(c) for c in code], labels, f"{name}: {cost[name]:.2f} bits a day"))
alt = "Code words as rectangles, width the word's share, height its bits. " + "; ".join(
    f"{k}: area {v:.2f} bits" for k, v in cost.items()
)
show(sheet(paints, alt + ".", columns=2, size=(3.2, 2.4)))
assert cost == {"fixed": 2.0, "by frequency": 1.75}

# %% [markdown]
# Why not give every word a short code word? Because the bits arrive without gaps, and 0 1 0 must be read in one way
# only. If no code word begins with another ([prefix code](#prefix-code)), the reader knows at each bit whether the
# word has ended. Then a code word of length 1, say 0, uses up everything that begins with 0: half of all possible
# messages. One of length $L$ uses up $2^{-L}$. The shares must fit into the whole:
#
# $$\sum_i 2^{-L_i} \le 1 .$$
#
# This is [Kraft's inequality](#kraft-inequality), and it is a budget. Short words are expensive:


# %% tags=["hide-input"]
def spent(ax):
    for depth in (1, 2, 3):
        for i in range(2**depth):
            bits = f"{i:0{depth}b}"
            owner = next((k for k, c in enumerate(codes["by frequency"]) if bits.startswith(c)), None)
            alpha = 0.0 if owner is None else 0.85 if bits in codes["by frequency"] else 0.2
            ax.add_patch(
                Rectangle(
                    (i / 2**depth, -depth), 2.0**-depth, 0.9, facecolor=COLOURS[owner or 0], alpha=alpha, linewidth=0
                )
            )
            ax.text((i + 0.5) / 2**depth, 0.45 - depth, bits, ha="center", va="center", fontsize=8)
    ax.set(
        xlim=(0, 1),
        ylim=(-3.05, 0),
        yticks=[-0.55, -1.55, -2.55],
        yticklabels=["1 bit", "2 bits", "3 bits"],
        xlabel="share of the budget",
    )
    ax.grid(False)


# %%
budget = [2.0 ** -len(c) for c in codes["by frequency"]]
says = ", ".join(
    f"{w} has {c} and uses {s:g} of the budget" for w, c, s in zip(words, codes["by frequency"], budget, strict=True)
)
show(draw(spent, f"All beginnings of up to three bits: {says}, with all that begins so.", size=(4.8, 2.0)))
assert sum(budget) == 1

# %% [markdown]
# Now share the budget: give word $i$ the share $q_i$, then it has $L_i = -\log_2 q_i$ bits. (These need not be whole
# numbers; we come to that.) Move the share of the sunny word and see what a day costs. The other words split the
# rest in proportion.


# %%
def bits_with(share: float) -> tuple[list[float], float]:
    """Length of each word if the first gets this share of the budget, and the mean cost."""
    q = torch.cat([torch.tensor([share]).double(), (1 - share) * p[1:] / p[1:].sum()])
    lengths = -q.log2()
    return lengths.tolist(), float((p * lengths).sum())


frames = {}
for share in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9):
    lengths, total = bits_with(share)
    paint = blocks(p.tolist(), lengths, words, f"{total:.3f} bits a day", top=6.0)
    frames[f"{share:g}"] = draw(
        paint, f"With {share:.0%} of the budget for sun a day costs {total:.3f} bits.", size=(3.6, 2.5)
    )
show(Slider("share of the budget for sun", frames, start="0.2"))
costs = {float(share): bits_with(float(share))[1] for share in frames}
assert min(costs, key=costs.get) == 0.5 and costs[0.5] == 1.75

# %% [markdown]
# The cheapest share is the word's own frequency. This holds for all words at once, and the proof is three lines.
# For any shares $q$ and frequencies $p$, both summing to 1, and as $\ln x \le x - 1$,
#
# $$\sum_i p_i \ln \frac{q_i}{p_i} \le \sum_i p_i \left(\frac{q_i}{p_i} - 1\right) = \sum_i q_i - \sum_i p_i = 0 ,$$
#
# so $-\sum p_i \log_2 q_i \ge -\sum p_i \log_2 p_i$, with equality only for $q = p$. What is left at the best is the
# [entropy](#entropy):
#
# $$H(p) = -\sum_i p_i \log_2 p_i .$$
#
# It is the least mean number of bits, and it belongs to the weather, not to a code. One word has $-\log_2 p_i$ bits
# of information: sun says little, snow says a lot. With natural logarithms the unit is the [nat](#nat), $1/\ln 2$
# bits; torch counts in nats.


# %%
def entropy(p: torch.Tensor) -> torch.Tensor:
    """In bits."""
    return -(p * p.log2()).sum()


assert entropy(p) == 1.75
print(f"1 nat is {1 / math.log(2):.4f} bits")
x = torch.linspace(0.001, 0.999, 999, dtype=torch.float64)
h = -(x * x.log2() + (1 - x) * (1 - x).log2())
at = {share: h[(x - share).abs().argmin()].item() for share in (0.5, 0.1, 0.01)}
assert abs(at[0.5] - 1) < 1e-9 and at[0.1] < 0.47 and at[0.01] < 0.09


# %% tags=["hide-input"]
def paint(ax):
    ax.plot(x, h, color=TRAIN)
    ax.set(xlabel="probability of heads", ylabel="entropy, bits", ylim=(0, 1.05))


show(
    draw(
        paint,
        "Entropy of a coin: "
        + ", ".join(f"{v:.3f} bits at {k:g}" for k, v in at.items())
        + "; none where the side is known.",
        size=(3.6, 2.4),
    )
)
# %% [markdown]
# ## Whole bits
#
# Real code words have whole lengths. [Huffman, 1952](#huffman1952) found the best ones: join the two rarest words
# into one, and repeat until one is left. Each join adds a bit to all words below it.


# %%
def huffman(p: list[float]) -> list[int]:
    """Length of the code word of each."""
    lengths = [0] * len(p)
    heap = [(share, i, [i]) for i, share in enumerate(p)]  # share, a number against ties, the words below
    heapq.heapify(heap)
    while len(heap) > 1:
        (a, i, first), (b, _, second) = heapq.heappop(heap), heapq.heappop(heap)
        for word in first + second:
            lengths[word] += 1
        heapq.heappush(heap, (a + b, i, first + second))
    return lengths


def mean_length(p, lengths) -> float:
    return sum(share * n for share, n in zip(p, lengths, strict=True))


assert huffman(p.tolist()) == [1, 2, 3, 3]
g = torch.Generator().manual_seed(0)
waste = []
for _ in range(500):
    drawn = torch.rand(5, generator=g).double() ** 4 + 1e-6
    drawn /= drawn.sum()
    lengths, share = huffman(drawn.tolist()), drawn.tolist()
    assert sum(2.0**-n for n in lengths) == 1  # the budget is spent to the last
    waste.append(mean_length(share, lengths) - entropy(drawn).item())
    if len(waste) <= 40:  # no code within the budget is cheaper: all of up to five bits a word, one by one
        fits = [c for c in product(range(1, 6), repeat=5) if sum(2.0**-n for n in c) <= 1]
        assert min(mean_length(share, c) for c in fits) >= mean_length(share, lengths) - 1e-12
assert min(waste) > -1e-12 and max(waste) < 1
print(f"above the entropy by {min(waste):.4f} to {max(waste):.4f} bits, in the mean {mean(waste):.4f}")

# %% [markdown]
# Between the entropy and one bit more: that is the theorem of [Shannon, 1948](#shannon1948), and rounding is all
# that is lost. The loss can be made as small as one likes by coding several days at once. Take a biased coin, heads
# nine times in ten. Alone, each toss costs a whole bit. In blocks:

# %%
heads = 0.9
limit = -(heads * math.log2(heads) + (1 - heads) * math.log2(1 - heads))
each = {}
for n in range(1, 11):
    share = [heads ** sum(tosses) * (1 - heads) ** (n - sum(tosses)) for tosses in product((0, 1), repeat=n)]
    each[n] = mean_length(share, huffman(share)) / n
assert each[1] == 1 and all(limit <= each[n] < limit + 1 / n for n in each) and each[10] < limit + 0.03


# %% tags=["hide-input"]
def paint(ax):
    ax.plot(list(each), list(each.values()), color=TRAIN, marker="o", markersize=4)
    ax.plot(
        list(each),
        [limit + 1 / n for n in each],
        color=VALID,
        linewidth=1,
        linestyle=(0, (1, 1.5)),
        label="entropy + 1 / tosses",
    )
    ax.legend(frameon=False)
    ax.axhline(limit, color=THIRD, linestyle=(0, (3, 2)), linewidth=1.2)
    ax.annotate(
        f"entropy {limit:.3f}", (10, limit), (0, -4), textcoords="offset points", ha="right", va="top", fontsize=8
    )
    ax.set(xlabel="tosses a block", ylabel="bits a toss", ylim=(0.4, 1.05))


show(
    draw(
        paint,
        "Bits a toss of the best code for blocks: "
        + ", ".join(f"{each[n]:.3f} for {n}" for n in (1, 2, 4, 10))
        + f"; entropy {limit:.3f}.",
        size=(4.0, 2.5),
    )
)
# %% [markdown]
# ## The code of another town
#
# Another station has three words, and it moves. In the new town they have the frequencies $P = (0.1, 0.3, 0.6)$, but
# it keeps the code that was best for the old one, $Q = (0.7, 0.1, 0.2)$. A word that comes with share $p_i$ has the
# length $-\log q_i$. The mean cost is the [cross-entropy](#cross-entropy), and what it costs too much is the
# [Kullback-Leibler divergence](#kl-divergence):
#
# $$H(P, Q) = -\sum_i p_i \ln q_i , \qquad \mathrm{KL}(P \Vert  Q) = H(P, Q) - H(P) = \sum_i p_i \ln \frac{p_i}{q_i} .$$
#
# By the proof above it is never negative, and 0 only if $P = Q$. In nats:

# %%
P = torch.tensor([0.1, 0.3, 0.6], dtype=torch.float64)
Q = torch.tensor([0.7, 0.1, 0.2], dtype=torch.float64)


def kl(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    """In nats."""
    return (p * (p / q).log()).sum()


def lengths_by(p, q, title):
    """Lengths in nats by the code of q on days with the shares p."""
    return blocks(
        p.tolist(),
        (-q.log()).tolist(),
        [f"{s:g}" for s in p.tolist()],
        title,
        best=(-p.log()).tolist(),
        unit="nats",
        top=2.8,
    )


print(f"KL(P||Q) = {kl(P, Q):.4f}   KL(Q||P) = {kl(Q, P):.4f}")
assert abs(kl(P, Q) - 0.7942) < 5e-5 and abs(kl(Q, P) - 1.0326) < 5e-5
alt = "Each word's length by the other's code: above its best length where the code thinks it rarer than it is."
alt += f" KL(P||Q) {kl(P, Q):.4f} nats, KL(Q||P) {kl(Q, P):.4f}."
show(
    sheet(
        [lengths_by(P, Q, "days of P, code of Q"), lengths_by(Q, P, "days of Q, code of P")],
        alt,
        columns=2,
        size=(3.2, 2.4),
    )
)
above = (Q.log() < P.log()) * P * (P / Q).log()  # areas: too long ...
below = (Q.log() > P.log()) * P * (Q / P).log()  # ... and too short
torch.testing.assert_close(above.sum() - below.sum(), kl(P, Q))

# %% [markdown]
# The light part lies above the best length of a word, the outline shows where its code word is *shorter* than best.
# Such a word has been given too much of the budget, and the others pay for it. The light area less the outlined one
# is the divergence.
#
# KL is not a distance: $0.7942$ one way, $1.0326$ the other. What is frequent sets the price, and in each town it
# is another word. The extreme case shows it best. A code that holds a word for impossible gives it an endless code
# word. If the word is sent after all, the cost has no bound. If a word has a code word and is never sent, only some
# budget is lost:

# %%
sure, open_minded = (
    torch.tensor([0.5, 0.5, 1e-300], dtype=torch.float64),
    torch.tensor([0.4, 0.4, 0.2], dtype=torch.float64),
)
print(
    f"nats too much, by a code that all but rules out a word: {kl(open_minded, sure):.1f}   the other way: {kl(sure, open_minded):.3f}"
)
assert kl(open_minded, sure) > 100 and kl(sure, open_minded) < 0.25

# %% [markdown]
# The direction decides what a model becomes. Fit one hump $q$ to a truth $p$ with two. If $\mathrm{KL}(p \Vert  q)$
# is made small, $q$ must not rule out anything that happens, and covers both humps. If $\mathrm{KL}(q \Vert  p)$ is
# made small, $q$ must not say anything that never happens, and settles on one.

# %%
at = torch.linspace(-6, 6, 241, dtype=torch.float64)


def hump(mu, sigma):
    d = torch.exp(-((at - mu) ** 2) / (2 * sigma**2)) + 1e-12
    return d / d.sum()


truth = 0.6 * hump(-2, 0.7) + 0.4 * hump(2, 0.7)
choices = [(mu / 10, sigma / 10) for mu in range(-40, 41) for sigma in range(4, 40)]
cover, settle = (
    min(choices, key=lambda c: to(hump(*c)).item()) for to in (lambda q: kl(truth, q), lambda q: kl(q, truth))
)


# %% tags=["hide-input"]
def paint(ax):
    ax.fill_between(at, truth, color=TRAIN, alpha=0.3, linewidth=0, label="truth p")
    ax.plot(at, hump(*cover), color=VALID, label="least KL(p||q)")
    ax.plot(at, hump(*settle), color=THIRD, linestyle=(0, (4, 1.5)), label="least KL(q||p)")
    ax.set(xlabel="x", ylabel="probability", ylim=(0, None))
    ax.legend(frameon=False, fontsize=8)


says = f"One hump for two at -2 and 2. Least KL(p||q): middle {cover[0]:g}, width {cover[1]:g}. Least KL(q||p): {settle[0]:g}, {settle[1]:g}."
show(draw(paint, says, size=(4.4, 2.6)))

# %%
assert abs(cover[0] + 0.4) < 0.15 and cover[1] > 1.8 and abs(settle[0] + 2) < 0.15 and settle[1] < 0.9

# %% [markdown]
# ## The loss of a classifier
#
# A classifier gives probabilities $q(y|x)$ to the classes of $x$. What is true is $p(y|x)$: of a hundred blurred
# digits that look like this one, some are a 4 and some a 9. We do not know $p$, we have examples. Their loss is the
# mean of $-\ln q(y_i|x_i)$, the length of the right answer in the model's code. With many examples that is the
# cross-entropy of $p$ and $q$, and
#
# $$H(p, q) = H(p) + \mathrm{KL}(p \Vert  q) .$$
#
# Training cannot change $H(p)$. So to make the loss small is to bring $q$ close to $p$ in the KL sense, and, $n$
# examples being independent, $e^{-n \cdot \text{loss}}$ is the probability of all their labels: the least loss is the
# [maximum likelihood](#maximum-likelihood). It also says where the loss ends. Not at 0: at $H(p)$, the uncertainty
# that remains for one who knows everything about the world but the chance.
#
# In `world:blobs` everything is known. Two classes are drawn as round clouds around $(1, 1)$ and $(-1, -1)$, and they
# overlap. For each point we can compute the true probabilities, so that the loss of a model on new points splits
# into its two parts.

# %%
from rungbook.data.worlds.blobs import centres
from rungbook.data.worlds.registry import make_world

world = make_world("blobs")
floor = world.limit("log_loss").value


def true_log_probability(points: torch.Tensor) -> torch.Tensor:
    """Of each class at points (n, 2)."""
    squared = (points[:, None] - torch.from_numpy(centres(2))).pow(2).sum(-1)  # (n, 2)
    return F.log_softmax(-squared / (2 * world.width**2), 1)


def fitted(n: int, seed: int) -> torch.nn.Linear:
    """Logistic regression on n points, to the minimum of the loss.

    A trace of weight decay, which fades with n, keeps the weights finite for draws that a line parts (lesson 11).
    """
    drawn = world.sample(n, seed)
    points, classes = torch.tensor(drawn.x).double(), torch.tensor(drawn.y)
    torch.manual_seed(seed)
    model = torch.nn.Linear(2, 2).double()
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=100, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = F.cross_entropy(model(points), classes) + 0.01 / n * model.weight.pow(2).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return model


new = world.sample(20_000, 1000)
new_points, new_classes = torch.tensor(new.x).double(), torch.tensor(new.y)
log_p = true_log_probability(new_points)
best = F.nll_loss(log_p, new_classes).item()  # a model that knows the truth
loss, apart = {}, {}
for n in (10, 30, 100, 300, 1000, 3000):
    with torch.no_grad():
        log_q = [F.log_softmax(fitted(n, seed)(new_points), 1) for seed in range(5)]
    loss[n] = [F.nll_loss(one, new_classes).item() for one in log_q]
    apart[n] = [
        (log_p.exp() * (log_p - one)).sum(1).mean().item() for one in log_q
    ]  # the divergence, exactly, at each new point


# %% tags=["hide-input"]
def paint(ax):
    for values, colour, name in ((loss, TRAIN, "loss on new points"), (apart, VALID, "of it KL")):
        ax.plot(list(values), [mean(v) for v in values.values()], color=colour, label=name)
        ax.plot(
            [n for n, v in values.items() for _ in v],
            [one for v in values.values() for one in v],
            ".",
            color=colour,
            markersize=4,
        )
    ax.axhline(floor, color=THIRD, linestyle=(0, (3, 2)), linewidth=1.2)
    ax.annotate(
        "entropy of the classes", (3000, floor), (0, -3), textcoords="offset points", ha="right", va="top", fontsize=8
    )
    ax.set(xscale="log", xlabel="training points", ylabel="nats", ylim=(0, None))
    ax.legend(frameon=False)


says = "; ".join(
    f"{n:,} points: loss {number(mean(loss[n]))}, of it KL {number(mean(apart[n]))}" for n in (10, 100, 3000)
)
show(draw(paint, f"Five draws each. {says}. The entropy is {number(floor)}.", size=(4.6, 2.7)))

# %%
rows = []
for n in loss:
    left = mean(a - b for a, b in zip(loss[n], apart[n], strict=True))
    means = {name: f"{mean(v[n]):.4f} ± {stdev(v[n]):.4f}" for name, v in (("loss", loss), ("KL", apart))}
    rows.append({"training points": n, **means, "loss - KL": left})
show(table(rows))
print(f"knowing everything: {best:.4f} on these points, {floor:.4f} expected")
assert abs(best - floor) < 0.006
assert all(abs(a - b - floor) < 0.03 for n in loss if n >= 100 for a, b in zip(loss[n], apart[n], strict=True))
assert (
    mean(apart[10]) > 10 * mean(apart[300])
    and max(apart[3000]) < 0.003
    and mean(apart[3000]) < mean(apart[300]) / 2
    and min(min(v) for v in apart.values()) > 0
)

# %% [markdown]
# The last column is what remains without the divergence: the entropy, up to the chance of these 20,000 points. With
# more examples the divergence goes to zero, and the loss to the entropy. (The truth is in reach of this model, lesson
# 11. One that cannot say the truth keeps some divergence.) A network with a million parameters would
# come no lower: on *new* points no model can expect less. One that is far below this line on *training* points has
# learned them by heart (lesson 0).
#
# ## Ours and torch's
#
# torch has the same two functions. `cross_entropy` takes logits, the numbers before [softmax](#softmax), and either
# classes or probabilities as the target. A class is a distribution with all weight in one place; its entropy is 0,
# so that the loss is the divergence itself. Ours:

# %%
from rungbook.scratch.functional import cross_entropy, kl_div

show(source(kl_div))
g = torch.Generator().manual_seed(0)
logits = torch.randn(6, 4, generator=g, dtype=torch.float64)
classes = torch.randint(0, 4, (6,), generator=g)
shares = torch.softmax(torch.randn(6, 4, generator=g, dtype=torch.float64), 1)


def value_and_gradient(loss, *inputs):
    leaf = logits.clone().requires_grad_()
    value = loss(leaf, *inputs)
    value.backward()
    return value.detach(), leaf.grad


for ours, torchs, target in ((cross_entropy, F.cross_entropy, classes), (cross_entropy, F.cross_entropy, shares)):
    torch.testing.assert_close(
        value_and_gradient(ours, target), value_and_gradient(torchs, target), rtol=1e-12, atol=1e-14
    )
divergence = {}
for name, loss_of in (("ours", kl_div), ("torch's", F.kl_div)):
    divergence[name] = value_and_gradient(lambda z, f=loss_of: f(F.log_softmax(z, 1), shares, reduction="batchmean"))
torch.testing.assert_close(divergence["ours"], divergence["torch's"], rtol=1e-12, atol=1e-14)

row_entropy = -(shares * shares.log()).sum(1).mean()
value, gradient = value_and_gradient(cross_entropy, shares)
torch.testing.assert_close(value, row_entropy + divergence["ours"][0])  # H(p, q) = H(p) + KL(p || q)
torch.testing.assert_close(gradient, divergence["ours"][1])  # the entropy is a constant: the same slope
torch.testing.assert_close(gradient, (logits.softmax(1) - shares) / 6)  # and it is as plain as can be
torch.testing.assert_close(kl_div(Q.log(), P, reduction="sum"), kl(P, Q))
print(f"cross-entropy {value:.4f} = entropy {row_entropy:.4f} + divergence {divergence['ours'][0]:.4f}")

# %% [markdown]
# What people get wrong:
#
# - `kl_div(a, b)` is $\mathrm{KL}(b \Vert  a)$: the prediction comes first, and as a *logarithm*. Given $Q$ in place
#   of $\ln Q$ it computes something, and does not complain. The something can be negative.
# - Its default, `reduction="mean"`, divides by the number of entries, not of rows. `"batchmean"` is the divergence.
# - `cross_entropy` takes logits. Given probabilities it applies softmax a second time, and the loss has a floor
#   that no network can get below (fault S1-2 in lesson 0).
# - A loss in nats is compared with one in bits.

# %%
import warnings

wrong = F.kl_div(P, Q, reduction="sum").item()  # meant: KL(P||Q)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch warns of "mean", too, as of something that it will change
    by_entry = F.kl_div(Q.log(), P).item()
calls = {
    'kl_div(Q.log(), P, reduction="sum")': kl(P, Q).item(),
    'kl_div(P, Q, reduction="sum")': wrong,
    "kl_div(Q.log(), P)": by_entry,
}
show(table([{"call": call, "gives": value} for call, value in calls.items()]))
assert wrong < 0 and abs(by_entry - kl(P, Q).item() / 3) < 1e-12

# %% [markdown]
# ## The answers
#
# The cheapest code gives a word of share $p$ about $-\log_2 p$ bits, and a day costs the entropy. With another
# town's code it costs the cross-entropy, which is the entropy and the divergence. A classifier is a code for the
# classes: its loss is that cost, and training can only lower the divergence in it. Lessons on language models give
# the same number as $e$ to the power of the loss in nats, the [perplexity](#perplexity): how many equally likely
# words would be as hard to guess.
#
# ## Exercises
#
# ### Exercise 1: lengths without a tree
#
# Shannon gave lengths before Huffman did. Write `lengths_of(p)`: for a list of probabilities a list of whole
# lengths, each computed from its own $p_i$ alone. A right answer stays within the budget of Kraft and costs less
# than one bit more than the entropy.


# %%
def check_lengths_of(lengths_of):
    for p in ([0.5, 0.25, 0.125, 0.125], [0.6, 0.3, 0.1], [0.9, 0.05, 0.05], [0.2] * 5):
        lengths = lengths_of(p)
        assert all(float(n).is_integer() and n >= 0 for n in lengths), f"lengths must be whole numbers, got {lengths}"
        budget = sum(2.0 ** -int(n) for n in lengths)
        assert budget <= 1, (
            f"{p}: the lengths {lengths} use {budget:.3f} of the budget; in which direction do you round?"
        )
        bits, h = mean_length(p, lengths), entropy(torch.tensor(p, dtype=torch.float64)).item()
        assert bits < h + 1, f"{p}: {bits:.3f} bits, the entropy is {h:.3f}; a frequent word must be short"
    assert lengths_of([0.25] * 4)[0] == lengths_of([0.25, 0.75])[0], "a length should depend on its own p alone"


# %% tags=["solution"]
check_lengths_of(lambda p: [math.ceil(-math.log2(share)) for share in p])
refuses(
    check_lengths_of,
    lambda p: [round(-math.log2(share)) for share in p],
    lambda p: [math.ceil(-math.log(share)) for share in p],
    lambda p: [math.ceil(math.log2(len(p)))] * len(p),
    lambda p: [-math.log2(share) for share in p],
    huffman,
    lambda p: [math.floor(-math.log2(share)) + 1 for share in p],
)

# %% [markdown]
# ### Exercise 2: a divergence that survives zeros
#
# `kl` above gives nan if a probability is 0. Write `divergence(p, q)` in nats for tensors of shape
# `(rows, classes)`, one number a row. A right answer takes a word that never comes for free, whatever its code word,
# and says infinity where a word comes that the code rules out.


# %%
def check_divergence(divergence):
    p = torch.tensor([[0.1, 0.3, 0.6], [0.0, 0.5, 0.5], [0.0, 0.5, 0.5], [0.5, 0.5, 0.0]], dtype=torch.float64)
    q = torch.tensor([[0.7, 0.1, 0.2], [0.2, 0.4, 0.4], [0.0, 0.5, 0.5], [0.0, 0.5, 0.5]], dtype=torch.float64)
    got = divergence(p, q)
    assert got.shape == (4,), f"one number a row is needed, got shape {tuple(got.shape)}"
    assert not got.isnan().any(), f"0 times infinity is nan: {got.tolist()}; what is p ln p near 0?"
    assert abs(got[0] - 0.7942) < 5e-5, (
        f"KL(P||Q) is 0.7942 nats, got {got[0]:.4f}; which of the two comes first, and which logarithm?"
    )
    assert torch.allclose(got[1], torch.tensor(1.25).double().log()) and got[2] == 0, (
        "a word that never comes costs nothing"
    )
    assert got[3] == math.inf, "the first word comes, and the code has no word for it"


# %% tags=["solution"]
check_divergence(lambda p, q: torch.where(p > 0, p * (p / q).log(), 0.0).sum(1))
refuses(
    check_divergence,
    lambda p, q: (p * (p / q).log()).sum(1),
    lambda p, q: torch.where(q > 0, q * (q / p).log(), 0.0).sum(1),
    lambda p, q: torch.where((p > 0) & (q > 0), p * (p / q).log(), 0.0).sum(1),
    lambda p, q: torch.where(p > 0, p * (p / q).log2(), 0.0).sum(1),
)

# %% [markdown]
# ### Exercise 3: the floor of a data set
#
# People who label pictures make mistakes. Each label is wrong with probability `flip`, and then any of the other
# classes is equally likely. Write `least_loss(flip, classes)`, in nats: the least loss that any classifier can expect
# on such labels. A right answer agrees with the limit of `world:shapes`, which has such labels.


# %%
def check_least_loss(least_loss):
    for flip, classes in ((0.1, 4), (0.25, 3), (0.0, 4)):
        limit = make_world(f"shapes(flip={flip}, classes={classes})").limit("log_loss").value
        said = least_loss(flip, classes)
        hint = (
            "even who knows the shape does not know the label"
            if said < limit
            else "what are the probabilities of one who knows the shape?"
        )
        assert abs(said - limit) < 1e-9, (
            f"flip {flip}, {classes} classes: the limit is {limit:.4f}, you say {said:.4f}; {hint}"
        )


# %% tags=["solution"]
def least_loss(flip, classes):
    return -(1 - flip) * math.log(1 - flip) - (flip * math.log(flip / (classes - 1)) if flip else 0)


check_least_loss(least_loss)
refuses(
    check_least_loss,
    lambda flip, classes: 0.0,
    lambda flip, classes: -math.log(1 - flip),
    lambda flip, classes: -(1 - flip) * math.log(1 - flip) - (flip * math.log(flip) if flip else 0),
)

# %% [markdown]
# ## Sources
#
# - Entropy and codes: [Shannon, 1948](#shannon1948); the best code: [Huffman, 1952](#huffman1952); the divergence:
#   [Kullback and Leibler, 1951](#kullback1951). The proofs in full: [Cover and Thomas, 2006](#cover2006), chapters
#   2 and 5.
# - Codes as areas, and the budget: [Olah, 2015](#olah2015).
# - $P$, $Q$ and their two divergences are an example of the course this rung follows, [PyTorch
#   Adventures](#pytorchadventures), on variational autoencoders.
