# %% [markdown]
# # Dropout
#
# In every training step half of the hidden units are switched off, at random. At the end all of them work together,
# though they never have before. Why does that not break the network, and does it help?

# %% tags=["about"]
covers = ["M12", "S3-3"]
rung = 8
minutes = 50

# %%
import copy
from itertools import product
from statistics import mean, stdev

import torch
from sklearn.datasets import load_digits
from torch import nn

from rungbook.book import refuses, show, source, table
from rungbook.plot.images import image_grid
from rungbook.plot.style import INK, TRAIN, sheet
from rungbook.plot.variants import variants
from rungbook.recipes.comparison import compare
from rungbook.recipes.ledger import load_ledger
from rungbook.recipes.quotes import quote
from rungbook.scratch import functional as F
from rungbook.scratch import nn as ours

# %% [markdown]
# ## Some become zero, the rest grow
#
# [Dropout](#dropout) with probability $p$ draws for each number whether it goes or stays. Ten ones, $p = 0.5$:

# %%
torch.manual_seed(0)
print(F.dropout(torch.ones(10), p=0.5).tolist())

# %% [markdown]
# What goes is 0. What stays is not 1 but 2: it is divided by $1 - p$. The rule, as the library has it:

# %%
from rungbook.scratch.functional.dropout import _kept, _scaled

show(source(F.dropout), source(_scaled), source(_kept))

# %% [markdown]
# Why divide? The next layer adds up its inputs. With half of them gone the sum would be half as large, and at the
# end, when all units work, twice what the layer has learned to expect. Divided, a number $x$ is $x / (1 - p)$ with
# probability $1 - p$ and else 0, so its [expectation](#expectation) is $x$, as if nothing had happened:
#
# $$E = (1 - p) \cdot \frac{x}{1 - p} + p \cdot 0 = x, \qquad \text{variance } = \frac{p}{1 - p} x^2$$

# %%
torch.manual_seed(1)
x, masks = torch.tensor([1.0, -2.0, 5.0], dtype=torch.float64), 20_000
rows = []
for p in (0.2, 0.5, 0.8):
    drawn = F.dropout(x.expand(masks, 3), p)
    variance = p / (1 - p) * x**2
    assert ((drawn.mean(0) - x).abs() < 5 * (variance / masks).sqrt()).all()
    assert ((drawn.var(0) / variance - 1).abs() < 0.1).all()
    undivided = drawn * (1 - p)
    rows.append(
        {
            "p": p,
            "x": 5.0,
            "mean, divided": drawn[:, 2].mean().item(),
            "mean, not divided": undivided[:, 2].mean().item(),
        }
    )
show(table(rows))

# %% [markdown]
# Is ours torch's? The draws are the same calls in the same order, so on a processor one seed gives one mask. The
# gradient passes the same mask: what was left out learns nothing in this step.

# %%
compared = 0
for seed, p, shape in product(range(5), (0.0, 0.1, 0.5, 0.9, 1.0), ((7,), (32, 20), (4, 3, 8, 8))):
    results = []
    for dropout in (F.dropout, nn.functional.dropout, ours.Dropout(p), nn.Dropout(p)):
        torch.manual_seed(seed)
        leaf = torch.randn(shape, dtype=torch.float64).requires_grad_()
        out = dropout(leaf) if isinstance(dropout, nn.Module) else dropout(leaf, p)
        results.append((out, *torch.autograd.grad(out.sum(), leaf)))
    for out, gradient in results[1:]:
        torch.testing.assert_close(out, results[0][0], rtol=1e-12, atol=0)
        torch.testing.assert_close(gradient, results[0][1], rtol=1e-12, atol=0)
        compared += 1
print(
    f"{compared} comparisons: ours and torch's drop the same numbers, as functions and as layers, forward and backward"
)

# %% [markdown]
# ## What eval() does, and what it costs to forget it
#
# In use nothing is to be left to chance. `model.eval()` sets one flag, `training`, on every layer, and a dropout
# layer then gives its input back as it is. No other correction is needed: that is what the division was for.

# %%
show(source(ours.Dropout))
layer, some = ours.Dropout(0.5), torch.randn(3, 4)
assert layer.eval()(some) is some
torch.manual_seed(2)
assert not torch.equal(layer.train()(some), layer(some))

# %% [markdown]
# The network of the course's lesson has two hidden layers of 256 units. A fifth of the first and half of the second
# layer's units are left out of each step. We train it on 200 digits, where there is much to learn by heart, with
# dropout and without, from the same start, and judge it on the other 1,597. Five draws of the 200.

# %%
stored = load_digits()
images, digit = torch.tensor(stored.images, dtype=torch.float32) / 16, torch.tensor(stored.target)
pixels = images.flatten(1)


def network(first, second, seed=0):
    torch.manual_seed(seed)
    hidden = [nn.Linear(64, 256), nn.ReLU(), ours.Dropout(first), nn.Linear(256, 256), nn.ReLU(), ours.Dropout(second)]
    return nn.Sequential(*hidden, nn.Linear(256, 10))


def take_steps(net, x, y, steps):
    """Adam with the gradient of all samples, in whichever mode the network is."""
    optimiser = torch.optim.Adam(net.parameters(), lr=0.003, foreach=True)
    for _ in range(steps):
        loss = nn.functional.cross_entropy(net(x), y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


def train(net, x, y, steps=100):
    take_steps(net.train(), x, y, steps)
    return net.eval()


def judge(net, x, y):
    """Cross-entropy and accuracy, in whichever mode the network is."""
    with torch.no_grad():
        scores = net(x)
    return nn.functional.cross_entropy(scores, y).item(), (scores.argmax(1) == y).double().mean().item()


SEEDS = range(5)
splits, nets = {}, {"no dropout": [], "dropout 0.2, 0.5": []}
for seed in SEEDS:
    order = torch.randperm(len(pixels), generator=torch.Generator().manual_seed(seed))
    splits[seed] = order[:200], order[200:]
    for name, shares in (("no dropout", (0.0, 0.0)), ("dropout 0.2, 0.5", (0.2, 0.5))):
        nets[name].append(train(network(*shares, seed=seed), pixels[splits[seed][0]], digit[splits[seed][0]]))

# %% [markdown]
# First the fault that everybody makes once: no `eval()` before the judging.

# %%
modes = {"eval()": [], "forgotten": []}
on_train = {"eval()": [], "forgotten": []}
for seed, net in zip(SEEDS, nets["dropout 0.2, 0.5"], strict=True):
    learn, rest = splits[seed]
    torch.manual_seed(seed)
    for name, training in (("eval()", False), ("forgotten", True)):
        net.train(training)
        modes[name].append(judge(net, pixels[rest], digit[rest]))
        on_train[name].append(judge(net, pixels[learn], digit[learn]))
    net.eval()
for name in modes:
    losses, right = zip(*modes[name], strict=True)
    print(
        f"{name:<10} right {mean(right):.1%} ± {stdev(right):.1%}, cross-entropy {mean(losses):.3f} ± {stdev(losses):.3f}",
        end="",
    )
    print(f"; on the 200 trained on, cross-entropy {mean(loss for loss, _ in on_train[name]):.4f}")
(worse_loss, fewer), (better_loss, more) = (zip(*modes[name], strict=True) for name in ("forgotten", "eval()"))
print(compare(fewer, more, metric="accuracy", names=("forgotten", "eval()")).words)
assert (
    all(a > b for a, b in zip(worse_loss, better_loss, strict=True))
    and compare(fewer, more, metric="accuracy").better == "B"
)
assert all(a[0] > 3 * b[0] for a, b in zip(on_train["forgotten"], on_train["eval()"], strict=True))

# %% [markdown]
# The answers are worse, and they change from call to call. The last column explains a riddle in the figures that
# readers of the course report: 86.9 % right in training, 88.0 % in the test. Better on images never seen? The
# training figure was taken while units were being left out, and over an epoch in which the weights still improved.
#
# The opposite fault is quieter. After the first judging the network stays in `eval()`, and from then on dropout is
# gone from the training:

# %%
learn = splits[0][0]
stuck, plain = network(0.2, 0.5, seed=9), network(0.0, 0.0, seed=9)
take_steps(stuck.eval(), pixels[learn], digit[learn], steps=5)
take_steps(plain.train(), pixels[learn], digit[learn], steps=5)
assert all(torch.equal(a, b) for a, b in zip(stuck.parameters(), plain.parameters(), strict=True))
print("a network left in eval() learns exactly what one without dropout learns")

# %% [markdown]
# ## Many networks in one
#
# Each mask leaves another, thinner network. With $n$ units there are $2^n$ of them, all sharing their weights, and
# every step trains one. `eval()` uses the whole. What has it to do with the thin ones? For six hidden units all 64
# can be written down. Take a network whose scores are $W (m \odot h) / (1 - p) + b$, with $m$ the mask over its
# hidden units $h$. The scores are linear in $m$, so their mean over all masks, each weighted by how probable it is,
# is the score of the whole network. And softmax of a mean of scores is the [geometric mean](#geometric-mean) of the
# shares, brought back to a sum of one. Both hold exactly:

# %%
g = torch.Generator().manual_seed(3)
h, W, b = (torch.randn(*shape, dtype=torch.float64, generator=g) for shape in ((6,), (3, 6), (3,)))
h = h.relu()
for p in (0.5, 0.2):
    masks = torch.tensor(list(product((0.0, 1.0), repeat=6)), dtype=torch.float64)
    chance = (p ** (1 - masks) * (1 - p) ** masks).prod(1)
    thin = (masks * h / (1 - p)) @ W.T + b  # (64, 3): the scores of every thinned network
    torch.testing.assert_close(chance @ thin, W @ h + b)
    geometric = (chance @ torch.log_softmax(thin, 1)).exp()
    torch.testing.assert_close(geometric / geometric.sum(), torch.softmax(W @ h + b, 0))
print(
    "64 thinned networks, weighted: their mean score and their geometric mean of shares are those of the whole network"
)

# %% [markdown]
# So `eval()` is the vote of exponentially many networks at the price of one ([Srivastava et al.,
# 2014](#srivastava2014); [Baldi and Sadowski, 2013](#baldi2013)). With another nonlinear layer behind the mask it
# is only near it. One unit shows why: $x = 1$, $p = 0.5$, then $\text{relu}(x - 1)$. The masked $x$ is 0 or 2, the
# outputs are 0 and 1, their mean is 0.5; the whole network says 0.

# %%
outputs = [max(kept / 0.5 - 1, 0.0) for kept in (0, 1)]
assert mean(outputs) == 0.5 and max(1 - 1, 0) == 0

# %% [markdown]
# The thinned networks can also be asked one by one. Leave dropout on, on purpose, and look at the spread of the
# answers: Monte Carlo dropout ([Gal and Ghahramani, 2016](#gal2016)). A digit on which all agree, and the one on
# which they agree least, under 200 masks:


# %%
def under_masks(net, x, n):
    """The shares of n thinned networks, (n, samples, classes)."""
    net.train()  # there is nothing but dropout in it that would mind
    with torch.no_grad():
        answers = torch.stack([torch.softmax(net(x), 1) for _ in range(n)])
    net.eval()
    return answers


net, (_, rest) = nets["dropout 0.2, 0.5"][0], splits[0]
torch.manual_seed(4)
spread = under_masks(net, pixels[rest], 20).std(0).sum(1)
chosen = rest[torch.stack([spread.argmin(), spread.argmax()])]
answers = under_masks(net, pixels[chosen], 200)  # (200, 2, 10)


# %% tags=["hide-input"]
def paint_digit(i):
    def paint(ax):
        shares = answers[:, i]
        jitter = (torch.rand(shares.shape, generator=torch.Generator().manual_seed(5)) - 0.5) * 0.5
        ax.plot(
            (torch.arange(10) + jitter).flatten(),
            shares.flatten(),
            ".",
            color=TRAIN,
            markersize=2.5,
            alpha=0.5,
            markeredgewidth=0,
        )
        ax.hlines(shares.mean(0), torch.arange(10) - 0.4, torch.arange(10) + 0.4, color=INK, linewidth=1.6)
        ax.set(title=f"a {digit[chosen[i]]}", xlabel="class", ylabel="share", xticks=range(10), ylim=(-0.03, 1.03))

    return paint


said = []
for i in range(2):
    shares, truth = answers[:, i], digit[chosen[i]].item()
    votes = shares.argmax(1).bincount(minlength=10)
    said.append(
        f"The {truth}: {votes.max()} of 200 thinned networks say {votes.argmax()}, {(votes > 0).sum()} different answers are given"
    )
show(image_grid(images[chosen].unsqueeze(1), digit[chosen].tolist(), columns=2, side=72))
show(
    sheet(
        [paint_digit(0), paint_digit(1)],
        ". ".join(said) + ". A dot is a thinned network's share for a class, a bar the mean.",
        columns=2,
        size=(3.3, 2.3),
    )
)
print(". ".join(said))
first, second = (answers[:, i].argmax(1).bincount(minlength=10).max() for i in range(2))
assert first == 200 and second < 180

# %% [markdown]
# Where the thinned networks disagree, does the answer deserve less trust? And does their mean answer better than
# `eval()`? Five networks, 20 masks each, on digits they have not seen:

# %%
voted, whole, wide = [], [], []
for seed, net in zip(SEEDS, nets["dropout 0.2, 0.5"], strict=True):
    rest = splits[seed][1]
    torch.manual_seed(seed)
    shares = under_masks(net, pixels[rest], 20)
    wrong = shares.mean(0).argmax(1) != digit[rest]
    unsure = shares.std(0).sum(1)
    wide.append((unsure[wrong].mean() / unsure[~wrong].mean()).item())
    voted.append(nn.functional.nll_loss(shares.mean(0).log(), digit[rest]).item())
    whole.append(judge(net, pixels[rest], digit[rest])[0])
print(f"the spread over masks is {min(wide):.1f} to {max(wide):.1f} times as large where the answer is wrong")
print(compare(voted, whole, metric="log_loss", names=("mean of 20 masks", "eval()")).words)
assert min(wide) > 1.5

# %% [markdown]
# ## Does it help?
#
# A unit that may be missing at any time cannot rely on a certain other one, and the network can learn less by
# heart: dropout is said to [regularise](#regularisation). Look at what was trained above, 200 digits and 100 steps.
# Circles are digits not seen, diamonds the 200 trained on:

# %%
found = {name: {"fit": [], "test": []} for name in nets}
right = {name: [] for name in nets}
for name, trained in nets.items():
    for seed, net in zip(SEEDS, trained, strict=True):
        learn, rest = splits[seed]
        found[name]["fit"].append(judge(net, pixels[learn], digit[learn])[0])
        loss, share = judge(net, pixels[rest], digit[rest])
        found[name]["test"].append(loss)
        right[name].append(share)
show(variants(found, name="log_loss", positive=True))
names = ("dropout 0.2, 0.5", "no dropout")
for metric, values in (("log_loss", {name: parts["test"] for name, parts in found.items()}), ("accuracy", right)):
    print(f"{metric}: {compare(*(values[name] for name in names), metric=metric, names=names).words}")
with_it, without = (found[name]["test"] for name in names)
assert compare(with_it, without, metric="log_loss", names=names).better == "dropout 0.2, 0.5"
assert all(a > b for a, b in zip(*(found[name]["fit"] for name in names), strict=True))

# %% [markdown]
# Over five draws the loss on the training digits (diamonds) is higher with dropout, and the loss on new ones
# (circles) lower. Without it the digits are learned by heart, and with it a little less so. Here it helps.
#
# That is not a law. The recipe `dropout` has the course's own settings. Fashion-MNIST, ten epochs of 54,000 images:
#
# - no dropout <!-- ledger: dropout data=fashion-mnist | no dropout | test accuracy -->88.0 ± 0.6 %<!-- / -->
# - dropout 0.2,
#   0.5 <!-- ledger: dropout data=fashion-mnist | dropout 0.2, 0.5 | test accuracy -->87.6 ± 0.3 %<!-- / -->
#
# A second measurement takes 5,000 images for sixty epochs, a third the bundled digits, 1,437 of them for ten
# epochs.

# %%
KEYS = ("dropout data=fashion-mnist", "dropout data=fashion-mnist epochs=60 lr=0.2 train_samples=5000", "dropout")
verdicts = {}
for key in KEYS:
    entry = load_ledger().get(key)
    print(f"\n{key}")
    for name in reversed(names):
        print(
            f"  {name:<17} right {quote(key, name, 'test', 'accuracy')}, cross-entropy {quote(key, name, 'test', 'log_loss')}",
            end="",
        )
        print(f", on the training images {quote(key, name, 'train', 'log_loss')}")
    for metric in ("accuracy", "log_loss"):
        verdict = compare(*(entry.figure(name, "test", metric)["values"] for name in names), metric=metric, names=names)
        verdicts[key, metric] = verdict.better
        print(f"  {metric}: {verdict.words}")
ten, sixty, few = KEYS
assert verdicts[ten, "accuracy"] == verdicts[ten, "log_loss"] == verdicts[sixty, "accuracy"] == ""
plain = {key: load_ledger().get(key).results["no dropout"] for key in KEYS}
gap = {key: parts["test"]["log_loss"]["mean"] - parts["train"]["log_loss"]["mean"] for key, parts in plain.items()}
assert gap[ten] < gap[sixty]
long = load_ledger().get(sixty)
assert all(a < b for a, b in zip(*(long.figure(name, "test", "log_loss")["values"] for name in names), strict=True))
assert verdicts[sixty, "log_loss"] == "dropout 0.2, 0.5" and verdicts[few, "accuracy"] == "no dropout"

# %% [markdown]
# Three different answers from one method:
#
# - In ten epochs of all the clothes the two are not distinguishable. In so few passes little is learned by heart,
#   and the two losses of the plain network lie nearer to each other than in the next line.
# - In sixty epochs of few images dropout lowers the cross-entropy, in each of five seeds. Accuracy is not
#   distinguishable.
# - In ten epochs of the digits more answers are right without it. Dropout slows the learning, and ten epochs of few
#   images are short.
#
# So look at both curves first (lesson 19). If the training loss is still high, dropout is no cure. What people get
# wrong is to add it by habit, and to compare single runs: in accuracy, the seeds of these lines differ by more than
# the two methods.
#
# ## Where the mask must live
#
# One course builds its mask so (fault S3-3): the random numbers are made without a word on where.


# %%
def course_dropout(x, p):
    mask = (torch.rand(x.shape) > p).float()
    return mask * x / (1.0 - p)


# %% [markdown]
# On a processor it works, and all tests pass. With `x` on a graphics card the mask lies in the memory of the
# processor, and the product of the two is refused. No card is needed to see it: torch has a device called
# [meta](#meta-device), whose tensors have shape, type and place but no numbers. Any other place than the
# processor's shows the fault.

# %%
print("on the processor:", tuple(course_dropout(torch.ones(4, 5), 0.5).shape))
elsewhere = torch.ones(4, 5, device="meta")
try:
    course_dropout(elsewhere, 0.5)
    raise AssertionError("the mask was made where x is")
except RuntimeError as error:
    print("elsewhere:", str(error).splitlines()[0])
for p in (0.0, 0.5, 1.0):
    assert F.dropout(elsewhere, p).device == elsewhere.device
whole = network(0.2, 0.5).to("meta")
assert whole.train()(torch.ones(2, 64, device="meta")).device.type == "meta"
print("ours:", F.dropout(elsewhere, 0.5).device)

# %% [markdown]
# Ours makes the mask with `torch.empty_like(input)`: same shape, same type, same device. The type matters as well:
# a mask of float32 on an input of float64 or bfloat16 would change what the layer gives.

# %%
half = torch.ones(3, dtype=torch.bfloat16)
print("bfloat16 in:", course_dropout(half, 0.5).dtype, "from the course's,", F.dropout(half, 0.5).dtype, "from ours")
assert course_dropout(half, 0.5).dtype == torch.float32 and F.dropout(half, 0.5).dtype == torch.bfloat16

# %% [markdown]
# So why does dropout not break the network? Because the division keeps every sum right on average, and the whole
# network is close to the mean of those that were trained. Does it help? Where a network learns by heart, and not
# everywhere.
#
# ## Exercises
#
# ### Exercise 1: your own dropout
#
# Write `dropout(x, p)` for $0 \le p < 1$. A right answer keeps the expectation, draws anew at each call and for each
# number, and returns a tensor of the type and on the device of `x`.


# %%
def check_dropout(dropout):
    torch.manual_seed(6)
    x = torch.full((200, 200), 3.0, dtype=torch.float64)
    y = dropout(x, 0.2)
    zeros = (y == 0).double().mean().item()
    assert abs(zeros - 0.2) < 0.02, f"a share of {zeros:.2f} became zero, p = 0.2 was asked for"
    assert abs(y.mean().item() - 3.0) < 0.05, (
        f"the mean went from 3 to {y.mean():.2f}: what stays must be divided by 1 - p"
    )
    assert not torch.equal(y, dropout(x, 0.2)), "two calls gave the same mask"
    assert not torch.equal(y[0], y[1]), "all rows have the same mask"
    assert not torch.equal(y[:, 0], y[:, 1]), "all columns have the same mask"
    for wanted in (torch.float64, torch.bfloat16):
        given = dropout(x.to(wanted), 0.2).dtype
        assert given == wanted, f"{wanted} went in, {given} came out"
    try:
        place = dropout(torch.ones(3, device="meta"), 0.5).device.type
    except RuntimeError as error:
        raise AssertionError(f"x is not on the processor, the mask is: {error}") from error
    assert place == "meta", f"the result is on {place}, x is not"


# %% tags=["solution"]
check_dropout(lambda x, p: x * (torch.rand_like(x) >= p) / (1 - p))
refuses(
    check_dropout,
    course_dropout,
    lambda x, p: x * (torch.rand_like(x) >= p),
    lambda x, p: x * (torch.rand_like(x) < p) / p,
    lambda x, p: x * (torch.rand_like(x[0]) >= p) / (1 - p),
    lambda x, p: x * (torch.rand_like(x[:, :1]) >= p) / (1 - p),
    lambda x, p: x * (torch.rand(x.shape, device=x.device) >= p).float() / (1 - p),
)

# %% [markdown]
# ### Exercise 2: ask the thinned networks, and nothing else
#
# `under_masks` puts the whole network into training mode. In a network with [batch norm](#batch-normalisation) that
# would change its running statistics. Write `shares(model, x, n)`: the mean of `n` softmax outputs with dropout at
# work and every other layer as in `eval()`. A right answer leaves the model as it was, modes and buffers included.


# %%
def check_shares(shares):
    torch.manual_seed(7)
    model = nn.Sequential(nn.Linear(5, 40), nn.BatchNorm1d(40), nn.ReLU(), nn.Dropout(0.5), nn.Linear(40, 3)).eval()
    with torch.no_grad():
        model[4].weight.mul_(4)  # networks sure of themselves: here the softmax of the mean score is something else
    x, before = torch.randn(6, 5), copy.deepcopy(model.state_dict())
    one, other = shares(model, x, 1), shares(model, x, 1)
    assert not torch.equal(one, other), "two calls agree: dropout is not at work"
    after = model.state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before), "buffers changed: batch norm was in training mode"
    assert not any(module.training for module in model.modules()), "a layer was left in training mode"
    many = shares(model, x, 1500)
    assert torch.allclose(many.sum(1), torch.ones(6), atol=1e-4), "shares must sum to one: softmax first, then the mean"
    model[3].train()
    with torch.no_grad():
        several = model(x.repeat(20_000, 1)).view(20_000, 6, 3)  # every row draws a mask of its own
        expected = torch.softmax(several, 2).mean(0)
    assert (many - expected).abs().max() < 0.03, "not the mean of the thinned networks' shares"


# %% tags=["solution"]
def right_shares(model, x, n):
    layers = [module for module in model.modules() if isinstance(module, nn.Dropout)]
    for module in layers:
        module.train()
    with torch.no_grad():
        answer = torch.stack([torch.softmax(model(x), 1) for _ in range(n)]).mean(0)
    for module in layers:
        module.eval()
    return answer


def all_in_training(model, x, n):
    return under_masks(model, x, n).mean(0)


def softmax_of_mean(model, x, n):
    model[3].train()
    with torch.no_grad():
        scores = torch.stack([model(x) for _ in range(n)]).mean(0)
    model[3].eval()
    return torch.softmax(scores, 1)


def left_on(model, x, n):
    answer = right_shares(model, x, n)
    model[3].train()
    return answer


check_shares(right_shares)
refuses(
    check_shares, all_in_training, softmax_of_mean, left_on, lambda model, x, n: torch.softmax(model(x), 1).detach()
)
refuses(check_shares, lambda model, x, n: right_shares(model, x, 1))

# %% [markdown]
# ### Exercise 3: what dropout adds to the loss of a line
#
# A line predicts $x \cdot w$, with dropout on its inputs. Averaged over all masks, its squared error is the error
# without dropout plus a penalty. Write `penalty(X, w, p)` for inputs `X` of shape `(n, d)`: how much the mean squared
# error grows. Use the variance from the first section. The result is ridge regression (lesson 9), with a penalty
# that is measured by the size of each input ([Wager et al., 2013](#wager2013)).


# %%
def check_penalty(penalty):
    g = torch.Generator().manual_seed(8)
    X, w, y = (torch.randn(*shape, dtype=torch.float64, generator=g) for shape in ((20, 4), (4,), (20,)))
    for p in (0.5, 0.1):
        expected = -((X @ w - y) ** 2).mean()
        for row, target in zip(X, y, strict=True):  # every row has its own mask: all 16 for each
            masks = torch.tensor(list(product((0.0, 1.0), repeat=4)), dtype=torch.float64)
            chance = (p ** (1 - masks) * (1 - p) ** masks).prod(1)
            expected = expected + chance @ ((masks * row / (1 - p)) @ w - target) ** 2 / len(X)
        got = torch.as_tensor(penalty(X, w, p), dtype=torch.float64)
        assert got.shape == (), f"expected a single number, got shape {tuple(got.shape)}"
        assert torch.allclose(got, expected), (
            f"p = {p}: expected {expected:.4f}, got {got:.4f}; which term has a variance, and of what size?"
        )


# %% tags=["solution"]
check_penalty(lambda X, w, p: p / (1 - p) * (X**2 * w**2).sum(1).mean())
refuses(
    check_penalty,
    lambda X, w, p: p / (1 - p) * (w**2).sum(),
    lambda X, w, p: p * (1 - p) * (X**2 * w**2).sum(1).mean(),
    lambda X, w, p: p / (1 - p) * ((X @ w) ** 2).mean(),
    lambda X, w, p: p / (1 - p) * (X**2 * w**2).sum(),
    lambda X, w, p: p / (1 - p) * X**2 @ w**2,
)

# %% [markdown]
# ## Sources
#
# - Dropout: [Hinton et al., 2012](#hinton2012) and [Srivastava et al., 2014](#srivastava2014). The first did not
#   divide in training, but shrank the weights at the end; dividing is called inverted dropout.
# - What it averages: [Baldi and Sadowski, 2013](#baldi2013). What it adds to the loss: [Wager et al.,
#   2013](#wager2013).
# - Spread over masks as doubt: [Gal and Ghahramani, 2016](#gal2016).
# - The network and its reported figures: [Zhang et al., 2023](#zhang2023), and readers' runs of it. The mask on the
#   processor: [the handbook that follows it](#dlh).
