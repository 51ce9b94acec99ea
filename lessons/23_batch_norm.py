# %% [markdown]
# # Batch norm
#
# A layer that takes the mean of the batch off and divides by its deviation makes a network learn that would not move
# without it. What does it do there, and why does it give other answers when the batch is small?

# %% tags=["about"]
covers = ["I06", "I07", "I08", "I10"]
rung = 8
minutes = 50

# %%
import math
from itertools import product
from statistics import mean

import torch
from sklearn.datasets import load_digits
from torch import nn

from rungbook.book import refuses, show, source, table
from rungbook.learner.smoothness import along_gradient
from rungbook.plot.variants import variants
from rungbook.recipes.ledger import load_ledger
from rungbook.recipes.quotes import quote
from rungbook.scratch import functional as F
from rungbook.scratch import nn as ours

# %% [markdown]
# ## The layer
#
# Lesson 22 chose the first weights so that numbers keep their size from layer to layer. That holds at the start only:
# training moves the weights. [Batch normalisation](#batch-normalisation) ([Ioffe and Szegedy, 2015](#ioffe2015))
# restores the size at every step, for each [channel](#channel) $c$ over all samples of the batch (and, in pictures,
# over all places):
#
# $$y = \gamma_c \, \frac{x - \mu_c}{\sqrt{\sigma_c^2 + \varepsilon}} + \beta_c$$
#
# $\mu_c$ and $\sigma_c^2$ are mean and variance of the batch. $\gamma$ and $\beta$ are learned, so the layer can take
# back what it did if that serves the loss. In numbers, six samples of one channel:

# %%
x = torch.tensor([[2.0], [4.0], [4.0], [6.0], [8.0], [12.0]], dtype=torch.float64)
by_hand = (x - x.mean(0)) / (x.var(0, correction=0) + 1e-5).sqrt()
norm = nn.BatchNorm1d(1, dtype=torch.float64)
torch.testing.assert_close(norm(x), by_hand)
print(
    "mean",
    x.mean().item(),
    "variance",
    x.var(correction=0).item(),
    "->",
    [round(v, 3) for v in by_hand.flatten().tolist()],
)

# %% [markdown]
# The whole function, and its proof: values, both gradients and running statistics agree with torch's in float64.

# %%
show(source(F.batch_norm))
compared = 0
for shape, training, momentum in product(((6, 4), (5, 4, 3, 3)), (True, False), (0.1, 0.5)):
    found = []
    for kind in (ours, nn):
        torch.manual_seed(0)
        layer = (kind.BatchNorm1d if len(shape) == 2 else kind.BatchNorm2d)(4, momentum=momentum, dtype=torch.float64)
        layer.train()
        layer(torch.randn(shape, dtype=torch.float64))  # something to remember
        layer.train(training)
        leaf = torch.randn(shape, dtype=torch.float64, requires_grad=True)
        out = layer(leaf)
        weight = torch.randn(shape, dtype=torch.float64)
        (out * weight).sum().backward()
        found.append([out, leaf.grad, layer.weight.grad, layer.running_mean, layer.running_var])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)
        compared += 1
print(f"{compared} tensors compared, all equal")

# %% [markdown]
# ## Two modes
#
# In use there may be a single sample, which has no variance, and an answer should not depend on who else asks. So
# the layer keeps [running](#exponentially-weighted-average) statistics: after each batch of training they move by a
# tenth (`momentum=0.1`) towards that batch's. `eval()` uses them in place of the batch's.

# %%
torch.manual_seed(1)
layer = ours.BatchNorm1d(1)
means = []
for _ in range(60):
    layer(5 + 2 * torch.randn(32, 1))
    means.append((layer.running_mean.item(), layer.running_var.item()))
print(f"after 60 batches: mean {means[-1][0]:.2f}, variance {means[-1][1]:.2f}; in truth 5 and 4")
assert abs(means[-1][0] - 5) < 0.5 and abs(means[-1][1] - 4) < 1
one = torch.full((1, 1), 7.0)
try:
    layer(one)
    raise AssertionError("one sample was normalised by itself")
except ValueError as error:
    print("in training, one sample:", error)
print("in evaluation, one sample:", round(layer.eval()(one).item(), 3), "= (7 - mean) / deviation")

# %% [markdown]
# In training the answer for a sample does depend on the others in its batch, which is unlike any other layer:

# %%
torch.manual_seed(2)
layer, sample = ours.BatchNorm1d(3), torch.randn(1, 3)
answers = [layer(torch.cat([sample, torch.randn(7, 3)]))[0] for _ in range(2)]
assert not torch.allclose(*answers)
layer.eval()
answers = [layer(torch.cat([sample, torch.randn(7, 3)]))[0] for _ in range(2)]
assert torch.allclose(*answers)

# %% [markdown]
# ## What it is good for
#
# Lesson 22 had plain networks that did not learn with torch's own start. Here ten layers of that kind, with batch norm
# between them and without, at two [learning rates](#learning-rate). SGD, 40 steps on 500 digits, judged on 797
# others, five seeds:

# %%
stored = load_digits()
pixels, digit = torch.tensor(stored.data, dtype=torch.float32) / 16, torch.tensor(stored.target)


def tower(norm, seed, depth=10):
    torch.manual_seed(seed)
    parts = []
    for _ in range(depth - 1):
        parts += [nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU()] if norm else [nn.Linear(64, 64), nn.ReLU()]
    return nn.Sequential(*parts, nn.Linear(64, 10))


def train(net, seed, lr, steps=40):
    order = torch.randperm(len(pixels), generator=torch.Generator().manual_seed(seed))
    learn, rest = order[:500], order[1000:]
    optimiser = torch.optim.SGD(net.parameters(), lr=lr, momentum=0.9)
    for _ in range(steps):
        loss = nn.functional.cross_entropy(net(pixels[learn]), digit[learn])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    net.eval()
    with torch.no_grad():
        return (net(pixels[rest]).argmax(1) == digit[rest]).double().mean().item()


right = {}
for norm, lr in product((False, True), (0.03, 0.1)):
    right[norm, lr] = [train(tower(norm, seed), seed, lr) for seed in range(5)]
names = {False: "without", True: "with batch norm"}
show(variants({f"{names[norm]}, rate {lr:g}": {"test": v} for (norm, lr), v in right.items()}, name="accuracy"))
assert max(mean(v) for (norm, _), v in right.items() if not norm) < 0.25
assert min(mean(v) for (norm, _), v in right.items() if norm) > 0.75

# %% [markdown]
# Why does it help? The paper's answer was that each layer is spared the changes of the layers before it. A later one
# measured what happens along the [gradient](#gradient): [Santurkar et al., 2018](#santurkar2018). Go from where you
# are against the gradient, further and further. How much does the loss vary on that way, and how far does the gradient
# turn? The less, the further a step can be trusted. The same networks with Kaiming's start, so that both can learn, at
# the start and after 10 steps:


# %%
def turned(norm, seed):
    """How far the gradient turns along its own way, in units of its length: at the start, and after 10 steps."""
    net = tower(norm, seed).train()
    for part in net:
        if isinstance(part, nn.Linear):
            nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
            nn.init.zeros_(part.bias)
    found = []
    for steps in (0, 10):
        train(net, seed, 0.05, steps)
        walk = along_gradient(net.train(), (pixels[:256], digit[:256]), rates=(0.05, 0.1, 0.2))
        found.append((walk.turn, walk.loss_range))
    return found


walks = {norm: [turned(norm, seed) for seed in range(5)] for norm in (False, True)}
rows = []
for (norm, found), (i, when) in product(walks.items(), enumerate(("at the start", "after 10 steps"))):
    turns, ranges = zip(*(f[i] for f in found), strict=True)
    rows.append(
        {"network": names[norm], "when": when, "the gradient turns by": mean(turns), "the loss varies by": mean(ranges)}
    )
show(table(rows))
later = {row["network"]: row for row in rows if row["when"] == "after 10 steps"}
for what in ("the gradient turns by", "the loss varies by"):
    assert later["without"][what] > 2 * later["with batch norm"][what]

# %% [markdown]
# Lengths are in units of the gradient's own, so a turn of 1 is as much as the whole gradient. At the start the two
# networks do not differ in it. Ten steps on, the plain network's gradient turns several times as far as the other's on
# the same way: where a step leads it can no longer be told from the slope at its beginning.
#
# ## When the batch is small
#
# Mean and variance of a batch are estimates. How far off are they? A mean of $n$ numbers of deviation 1 is off by
# $1/\sqrt n$. With 64 samples that is an eighth; with two it is 0.7, and of two samples one becomes exactly the
# opposite of the other:

# %%
torch.manual_seed(3)
pair = ours.BatchNorm1d(4, affine=False)(torch.randn(2, 4))
assert torch.allclose(pair[0], -pair[1], atol=1e-4) and torch.allclose(pair.abs(), torch.ones(2, 4), atol=0.01)
print("two samples after batch norm:")
print(pair)

# %% [markdown]
# All that is left of each number is which of the two was larger. The course trains with batches of two and reports a
# valid loss of 2,867 and 26 % right on MNIST after an epoch ([fast.ai, part 2, 07](#fastai2019)). In pictures it is
# not quite as bad, since every place of a picture counts as a sample. The ledger has a small convolutional network,
# trained on batches of two images, on shapes and on 3,000 images of clothes:

# %%
ledger = load_ledger()
key = "norms data=fashion-mnist train_samples=3000"
for one in ("norms", key):
    print(one)
    for variant in ledger.entries[one].results:
        print(f"  {variant:<20} {quote(one, variant, 'test', 'accuracy')}")

# %% [markdown]
# On clothes batch, group and layer norm and no norm at all lie within two or three points of each other, and running
# batch norm is well behind; on shapes batch norm leads. That a batch of two ruins batch norm is more than these
# figures bear out: a picture of 28 x 28 has 784 places, and two of them give the first layers of a convolutional network
# statistics enough.

# %%
clothes, shapes = (
    {variant: splits["test"]["accuracy"]["mean"] for variant, splits in ledger.entries[one].results.items()}
    for one in (key, "norms")
)
level = [clothes[variant] for variant in ("batch norm", "group norm", "layer norm", "no norm")]
assert max(level) - min(level) < 0.03 and clothes["running batch norm"] < min(level) - 0.05
assert max(shapes, key=shapes.get) == "batch norm"

# %% [markdown]
# What the others do. They differ only in the numbers that are averaged over. Of a batch of 2 pictures with 4 channels:

# %%
images = torch.randn(2, 4, 5, 5, generator=torch.Generator().manual_seed(4))
over = {"batch": (0, 2, 3), "instance": (2, 3), "layer": (1, 2, 3)}
layers = {
    "batch": ours.BatchNorm2d(4),
    "instance": ours.InstanceNorm2d(4),
    "layer": ours.GroupNorm(1, 4),
}
for name, dims in over.items():
    expected = (images - images.mean(dims, keepdim=True)) / (images.var(dims, correction=0, keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(layers[name](images), expected, rtol=1e-4, atol=1e-5)
groups = images.view(2, 2, 2, 5, 5)  # two groups of two channels
expected = (groups - groups.mean((2, 3, 4), keepdim=True)) / (
    groups.var((2, 3, 4), correction=0, keepdim=True) + 1e-5
).sqrt()
torch.testing.assert_close(ours.GroupNorm(2, 4)(images), expected.view_as(images), rtol=1e-4, atol=1e-5)
show(
    table(
        [
            {"norm": "batch", "one mean for each": "channel", "needs others": "yes", "two modes": "yes"},
            {"norm": "layer", "one mean for each": "sample", "needs others": "no", "two modes": "no"},
            {"norm": "instance", "one mean for each": "sample and channel", "needs others": "no", "two modes": "no"},
            {
                "norm": "group",
                "one mean for each": "sample and group of channels",
                "needs others": "no",
                "two modes": "no",
            },
        ]
    )
)

# %% [markdown]
# Instance norm takes the mean and deviation of each channel of each picture away, and with them how much of what the
# channel looks for there is: in a network for classes that is what the last layers live on. The course's stored runs
# of layer norm (rate 0.8) and instance norm (rate 0.1) ended in [NaN](#nan) (07), which says something of the rates
# and nothing of the norms.
#
# What people get wrong: no `eval()` in use, so that answers depend on who else asks (lesson 20 has the same fault
# with dropout). Gathered gradients (`accumulate=4`): batch norm still sees the small batches. And a trained network
# that is to stay as it is: its running statistics move in training mode even if no weight does.
#
# So what does it do? It keeps every channel at one size, whatever the weights before it do, and with that the steps
# can be longer. And why the other answers with small batches? Because mean and variance are then mostly chance.
#
# ## Exercises
#
# ### Exercise 1: fold it away
#
# In use, batch norm is a product and a sum with fixed numbers, and so is the linear layer before it. Write
# `fold(linear, norm)`: a new `nn.Linear` that gives what `norm.eval()(linear(x))` gives. Leave both layers as they are.


# %%
def check_fold(fold):
    torch.manual_seed(5)
    linear, norm = nn.Linear(6, 4).double(), nn.BatchNorm1d(4).double()
    for _ in range(3):
        norm(linear(torch.randn(16, 6, dtype=torch.float64)) * 3 + 1)
    with torch.no_grad():
        norm.weight.uniform_(0.5, 2)
        norm.bias.normal_()
    norm.eval()
    before = {
        k: v.clone() for k, v in {**linear.state_dict(), **{f"n.{k}": v for k, v in norm.state_dict().items()}}.items()
    }
    x = torch.randn(5, 6, dtype=torch.float64)
    expected = norm(linear(x))
    folded = fold(linear, norm)
    assert isinstance(folded, nn.Linear), f"a linear layer is asked for, got {type(folded).__name__}"
    after = {**linear.state_dict(), **{f"n.{k}": v for k, v in norm.state_dict().items()}}
    assert all(torch.equal(before[k], after[k]) for k in before), "the layers were changed"
    off = (folded(x) - expected).abs().max().item()
    assert off < 1e-9, (
        f"off by {off:.2g}: which of mean, variance, eps, weight and bias is missing, or in the wrong place?"
    )


# %% tags=["solution"]
def right_fold(linear, norm, eps=True, centred=True, inside=True):
    factor = norm.weight / (norm.running_var + (norm.eps if eps else 0)).sqrt()
    new = nn.Linear(linear.in_features, linear.out_features, dtype=linear.weight.dtype)
    with torch.no_grad():
        new.weight.copy_(linear.weight * factor[:, None])
        moved = linear.bias - (norm.running_mean if centred else 0)
        new.bias.copy_((moved * factor if inside else moved) + norm.bias)
    return new


check_fold(right_fold)
refuses(
    check_fold,
    lambda linear, norm: right_fold(linear, norm, eps=False),
    lambda linear, norm: right_fold(linear, norm, centred=False),
    lambda linear, norm: right_fold(linear, norm, inside=False),
    lambda linear, norm: nn.Sequential(linear, norm),
    lambda linear, norm: linear,
)

# %% [markdown]
# ### Exercise 2: how large must a batch be?
#
# Write `error(n, trials)`: by how much the mean of a batch of `n` numbers of deviation 1 is off, as a root mean square
# over `trials` batches that you draw. A right answer falls with $1/\sqrt n$ and is not the mean of what it is off by.


# %%
def check_error(error):
    for n in (1, 2, 16, 100):
        torch.manual_seed(6)
        found, expected = float(error(n, 20_000)), 1 / math.sqrt(n)
        assert abs(found / expected - 1) < 0.05, f"n = {n}: {found:.4f}, {expected:.4f} is to be expected"


# %% tags=["solution"]
check_error(lambda n, trials: torch.randn(trials, n).mean(1).square().mean().sqrt())
refuses(
    check_error,
    lambda n, trials: torch.randn(trials, n).mean(1).mean().abs(),
    lambda n, trials: torch.randn(trials, n).mean(1).abs().mean(),
    lambda n, trials: torch.randn(trials, n).mean(1).square().mean(),
    lambda n, trials: torch.randn(trials, n).std() / n,
)

# %% [markdown]
# ## Sources
#
# - Batch norm: [Ioffe and Szegedy, 2015](#ioffe2015). What it does along the gradient: [Santurkar et al.,
#   2018](#santurkar2018).
# - The others: [Ba et al., 2016](#ba2016), layer norm; [Wu and He, 2018](#wu2018), group norm; [Ulyanov et al.,
#   2016](#ulyanov2016), instance norm.
# - Running batch norm and the course's figures: [fast.ai, part 2](#fastai2019), lesson 10, notebook 07.
