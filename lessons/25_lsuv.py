# %% [markdown]
# # LSUV: the data sets the scale
#
# Lesson 22 found a rule for the size of the first weights, and the rule knows linear layers with a ReLU behind them. A
# real network has other layers too. Can the data itself set the scale of every layer, for any model?

# %% tags=["about"]
covers = ["I04", "I05", "I11", "I12"]
rung = 8
minutes = 50

# %%
import math
from itertools import pairwise
from statistics import geometric_mean, mean

import torch
from sklearn.datasets import load_digits
from torch import nn

from rungbook.book import refuses, show, source, table
from rungbook.learner import lsuv as lsuv_module
from rungbook.learner.hooks import replace_layers
from rungbook.learner.lsuv import lsuv
from rungbook.learner.variance import layer_scales
from rungbook.models.registry import create_model
from rungbook.models.vision.cifar_resnet import CifarBlock
from rungbook.models.vision.fixup_resnet import FixupBlock, FixupResNet
from rungbook.plot.style import INK, TRAIN, VALID, draw
from rungbook.plot.variants import variants
from rungbook.recipes.comparison import compare
from rungbook.recipes.ledger import load_ledger
from rungbook.recipes.quotes import quote
from rungbook.scratch import functional as F
from rungbook.scratch.nn import GeneralReLU

stored = load_digits()
pixels, digit = torch.tensor(stored.data, dtype=torch.float32) / 16, torch.tensor(stored.target)
even = (pixels - pixels.mean()) / pixels.std()  # mean 0, deviation 1
images = even.view(-1, 1, 8, 8)

# %% [markdown]
# ## Where a rule does not know the layer
#
# Kaiming's rule puts back the half of the mean square that a [ReLU](#relu) takes away. Other layers take away other
# shares. Two activations of later years are smooth where ReLU has its corner: [GELU](#gelu)
# ([Hendrycks and Gimpel, 2016](#hendrycks2016)) weighs each number by the probability $\Phi$ that a normal one lies
# below it, Mish ([Misra, 2019](#misra2019)) by a function much like it:
#
# $$\text{gelu}(x) = x\, \Phi(x), \qquad \text{mish}(x) = x \tanh(\ln(1 + e^x))$$
#
# A course made its own: a ReLU with a slope of 0.1 below 0, lowered by 0.4 so that the mean comes near 0, and cut off at 6
# ([fast.ai, 06](#fastai2019)). A gated linear unit ([Dauphin et al., 2017](#dauphin2017)) halves its input and lets one
# half decide how much of the other gets through, $a\, \sigma(b)$.

# %%
show(source(GeneralReLU.forward), source(F.mish), source(F.glu))
x = torch.linspace(-9, 9, 2001, dtype=torch.float64)
torch.testing.assert_close(F.mish(x), nn.functional.mish(x), rtol=1e-12, atol=1e-12)
torch.testing.assert_close(F.gelu(x), nn.functional.gelu(x), rtol=1e-12, atol=1e-12)
torch.testing.assert_close(F.glu(x[:2000]), nn.functional.glu(x[:2000]), rtol=1e-12, atol=1e-12)
try:
    nn.init.calculate_gain("gelu")
    raise AssertionError("torch knows a factor for GELU")
except ValueError as error:
    print("torch:", error)

# %% [markdown]
# Twenty layers of one kind, all started by Kaiming's rule for ReLU, on 256 digits. The deviation of what the first and
# the last linear layer (or convolution) put out, as a geometric mean over three seeds:


# %%
def tower(*behind, depth=20, out=64):
    return [part for _ in range(depth) for part in (nn.Linear(64, out), *(make() for make in behind))]


def convolutions(*behind, depth=20, maps=8):
    widths = [1] + [maps] * depth
    return [part for a, b in pairwise(widths) for part in (nn.Conv2d(a, b, 3, padding=1), *(make() for make in behind))]


def kaiming(net):
    for part in net.modules():
        if isinstance(part, nn.Linear | nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
            if part.bias is not None:
                nn.init.zeros_(part.bias)
    return net


def ends(net, x):
    """Deviation behind the first and the last layer with weights."""
    found = layer_scales(net, x, layers=[part for part in net if isinstance(part, nn.Linear | nn.Conv2d)])
    return found[0].std, found[-1].std


kinds = {
    "ReLU": lambda: tower(nn.ReLU),
    "general ReLU": lambda: tower(lambda: GeneralReLU(leak=0.1, sub=0.4, maxv=6.0)),
    "Mish": lambda: tower(nn.Mish),
    "GELU": lambda: tower(nn.GELU),
    "gated": lambda: tower(nn.GLU, out=128),
    "ReLU, max pooling 3 x 3": lambda: convolutions(nn.ReLU, lambda: nn.MaxPool2d(3, 1, 1)),
    "ReLU, dropout 0.2": lambda: tower(nn.ReLU, lambda: nn.Dropout(0.2)),
}
rows, by_rule, by_data = [], {}, {}
for kind, make in kinds.items():
    rule, data = [], []
    for seed in range(3):
        torch.manual_seed(seed)
        net = kaiming(nn.Sequential(*make()))
        x = images[:64] if isinstance(net[0], nn.Conv2d) else even[:256]
        rule.append(ends(net, x))
        lsuv(net, x)
        data.append(ends(net, x))
    by_rule[kind], by_data[kind] = (
        tuple(geometric_mean(s) for s in zip(*found, strict=True)) for found in (rule, data)
    )
    rows.append({"behind each layer": kind, "first, by rule": by_rule[kind][0], "20th, by rule": by_rule[kind][1]})
show(table(rows))
assert 0.3 < by_rule["ReLU"][1] < 3
assert by_rule["gated"][1] < 0.02 and by_rule["GELU"][1] < 0.5
assert by_rule["ReLU, max pooling 3 x 3"][1] > 5 and by_rule["ReLU, dropout 0.2"][1] > 5

# %% [markdown]
# Behind ReLU the rule does what it promises. GELU takes away a little more than half, twenty times over. A gate lets
# about half of each number through, and nearly everything is gone. [Pooling](#pooling) keeps the largest of nine numbers and makes all
# of them larger. [Dropout](#dropout), while training, makes up for what it leaves out by a factor of $1/0.8$, and the
# mean square grows by that at every layer. For each of these a rule can be derived, and the next layer somebody
# invents needs another.
#
# ## Measure, and divide
#
# [Mishkin and Matas, 2016](#mishkin2016) derive nothing. Send a batch through the network, and stop behind the first
# layer with weights. Its output has some [standard deviation](#standard-deviation); divide the weights by it, and the
# output has deviation 1. Then the next layer, whose input is already right. For a `Sequential` it is a loop:


# %%
@torch.no_grad()
def scaled_by_hand(net, x, tolerance=0.02):
    for layer in net:
        if hasattr(layer, "weight"):
            for _ in range(10):  # a bias has its share in the output, so that one division may not do
                size = layer(x).std()
                if abs(size - 1) <= tolerance:
                    break
                layer.weight /= size
        x = layer(x)


def gated(depth, seed, dtype=torch.float32):
    torch.manual_seed(seed)
    return nn.Sequential(*tower(nn.GLU, depth=depth - 1, out=128), nn.Linear(64, 10)).to(dtype)


ours, theirs = gated(20, 0, torch.float64), gated(20, 0, torch.float64)
before = ends(ours, even[:256].double())
scaled_by_hand(ours, even[:256].double())
report = lsuv(theirs, even[:256].double(), orthonormal=False)
for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
    torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)
assert len(report.changed) == 20 and all(abs(row.after[1] - 1) <= 0.02 for row in report.rows)
print(
    f"gated, last layer: deviation {before[1]:.2g} with torch's start, {ends(ours, even[:256].double())[1]:.3f} scaled"
)

# %% [markdown]
# The library's `lsuv` gives the same weights. It does not walk through a list of layers, since not every model has one.
# It puts a [hook](#hook) on each layer with weights and passes the batch once: a layer is scaled the moment its input
# arrives, and the hook hands its new output on in place of the old one.

# %%
show(source(lsuv_module._Work.scale))
rows = [
    {"behind each layer": kind, "20th, by rule": by_rule[kind][1], "20th, by the data": by_data[kind][1]}
    for kind in kinds
]
show(table(rows))
right = {kind: abs(size - 1) < 0.05 for kind, (_, size) in by_data.items()}
assert [kind for kind in kinds if not right[kind]] == ["ReLU, dropout 0.2"] and by_data["ReLU, dropout 0.2"][1] > 5

# %% [markdown]
# All but one are at 1. Dropout is the exception, and it shows what a measurement is worth: it holds for what was
# measured. `lsuv` turns dropout off, as in use; the factor of $1/0.8$ a layer comes with training. (Dropped out while
# it is measured, the network would be too quiet in use.)
#
# Any model will do. The network of [Krizhevsky et al., 2012](#krizhevsky2012) (lesson 27), small, with pooling and
# dropout, as torch starts it, and layer by layer what was measured and what was made of it:

# %%
torch.manual_seed(0)
net = create_model(
    "alexnet", in_channels=1, num_classes=10, image_size=(64, 64), widths=(4, 8, 8, 8, 8), hidden=16, pooled=1
)
large = nn.functional.interpolate(images[:128], size=64, mode="bilinear")
started = layer_scales(net.eval(), large, layers=(nn.Conv2d, nn.Linear))
report = lsuv(net, large)
print("torch's start:", *(f"{scale.std:.2f}" for scale in started))
print(report)
assert started[4].std < 0.2 and all(abs(row.after[1] - 1) <= 0.02 for row in report.rows)

# %% [markdown]
# The left of the two pairs is not torch's start. The paper first draws each matrix anew, with rows (or columns, whichever
# are fewer) at right angles to each other and of length 1 ([Saxe et al., 2014](#saxe2014)), and so does `lsuv` unless it is told `orthonormal=False`.
#
# ## The mean, and the order
#
# The course applies LSUV to a network of five convolutions and measures *behind* the activation: deviations of 0.69,
# 0.65, 0.54, 0.43 and 0.25 become 1 ([fast.ai, 07a](#fastai2019)). The same network here, on other digits:

# %%
digits = nn.functional.interpolate(images[:256], size=28, mode="bilinear")
channels = [1, 8, 16, 32, 64, 64]
behind = {}
for start in ("torch", "Kaiming", "LSUV"):
    torch.manual_seed(0)
    blocks = [
        nn.Sequential(nn.Conv2d(a, b, 5 if a == 1 else 3, stride=2, padding=2 if a == 1 else 1), nn.ReLU())
        for a, b in pairwise(channels)
    ]
    net = nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
    if start == "Kaiming":
        kaiming(net)
    if start == "LSUV":
        lsuv(net, digits, layers=blocks)
    behind[start] = [scale.std for scale in layer_scales(net, digits, layers=blocks)]
    print(f"{start:<8}", *(f"{size:.2f}" for size in behind[start]))
assert behind["torch"][-1] < 0.3 and all(abs(size - 1) < 0.03 for size in behind["LSUV"])

# %% [markdown]
# The course also moves the mean to 0, and does that first. Its printout shows means of 0.09 to 0.31 afterwards: whoever
# shifts and then scales has moved the mean again. Ours (`mean=True`) takes turns until both hold. Exercise 1 is about
# that.
#
# ## Does it matter for learning?
#
# The ledger has plain networks of 20 layers with ReLU, five seeds, ten passes over the digits:

# %%
for start in ("torch's start", "Kaiming for ReLU", "LSUV"):
    print(f"{start:<17} {quote('starts', start, 'test', 'accuracy')}")
measured_ones = load_ledger().entries["starts"].results
pair = ("LSUV", "Kaiming for ReLU")
found = [measured_ones[start]["test"]["accuracy"]["values"] for start in pair]
led = compare(*found, metric="accuracy", names=pair)
print(led.words)
assert led.better == "LSUV"

# %% [markdown]
# LSUV leads, and the course too reports 95.9 % right without it and 97.3 % with it, after two passes over MNIST, one
# training each. But LSUV does two things: it draws matrices at right angles, and it scales by measuring. Which of them helps? Each
# alone and both, in a ReLU network of 16 layers, whose rule is known, and in a gated network of 10 layers, whose rule is not. 200
# digits, 25 steps, five seeds. (The second with SGD: Adam makes up for much of a wrong size, because it divides by the
# size of the [gradient](#gradient).)


# %%
def split(seed):
    order = torch.randperm(len(pixels), generator=torch.Generator().manual_seed(seed))
    return order[:200], order[1000:]


def accuracy(net, seed, optimiser, steps=25):
    learn, rest = split(seed)
    for _ in range(steps):
        loss = nn.functional.cross_entropy(net(pixels[learn]), digit[learn])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        return (net(pixels[rest]).argmax(1) == digit[rest]).double().mean().item()


def right_angles(net):
    for part in kaiming(net):
        if isinstance(part, nn.Linear):
            nn.init.orthogonal_(part.weight, gain=math.sqrt(2))  # the rule's size
    return net


def measured(net, seed, orthonormal):
    lsuv(kaiming(net), pixels[split(seed)[0][:100]], orthonormal=orthonormal, seed=seed)
    return net


starts = {
    "Kaiming's rule": lambda net, seed: kaiming(net),
    "right angles, by rule": lambda net, seed: right_angles(net),
    "measured": lambda net, seed: measured(net, seed, False),
    "both: LSUV": lambda net, seed: measured(net, seed, True),
}
networks = {
    "ReLU": (
        lambda: nn.Sequential(*tower(nn.ReLU, depth=15), nn.Linear(64, 10)),
        lambda net: torch.optim.Adam(net.parameters(), lr=0.002, foreach=True),
    ),
    "gated": (
        lambda: nn.Sequential(*tower(nn.GLU, depth=9, out=128), nn.Linear(64, 10)),
        lambda net: torch.optim.SGD(net.parameters(), lr=0.03, momentum=0.9, foreach=True),
    ),
}
reached = {}
for kind, (make, optimiser) in networks.items():
    for start, begin in starts.items():
        reached[kind, start] = []
        for seed in range(5):
            torch.manual_seed(seed)
            net = begin(make(), seed)
            reached[kind, start].append(accuracy(net, seed, optimiser(net)))
show(variants({f"{kind}, {start}": {"test": found} for (kind, start), found in reached.items()}, name="accuracy"))
average = {key: mean(found) for key, found in reached.items()}
for kind in networks:
    for one, other in (("measured", "Kaiming's rule"), ("both: LSUV", "right angles, by rule")):
        found = [reached[kind, start] for start in (one, other)]
        print(f"{kind}:", compare(*found, metric="accuracy", names=(one, other)).words)
angles = average["ReLU", "right angles, by rule"] - average["ReLU", "Kaiming's rule"]
for rule, data in (("Kaiming's rule", "measured"), ("right angles, by rule", "both: LSUV")):
    assert average["ReLU", data] < average["ReLU", rule] + 0.02 and angles > 0.03
    assert average["gated", rule] < 0.25 and average["gated", data] > 0.6

# %% [markdown]
# In the ReLU network, whose layers the rule knows, what LSUV gains comes with the right angles, and measuring rather
# takes some of it away again. In the gated one nothing learns with the rule's size, at right angles or not, and with
# the measured size both learn.
#
# ## A sum that LSUV does not see
#
# Lesson 24 has blocks with a [shortcut](#residual-connection), $x + f(x)$. There LSUV makes each layer's output 1, and no layer
# computes the sum. What becomes of it in 50 blocks without [normalisation](#normalisation)? By Kaiming's rule $f(x)$
# is about as large as $x$, so that the mean square doubles with each block. With LSUV each block adds about the same, and it
# grows along a line. [Zhang, Dauphin and Ma, 2019](#zhang2019c) begin with $f = 0$, and it stays.


# %%
class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.one, self.two = (nn.Linear(width, width, bias=False) for _ in range(2))

    def forward(self, x):
        return (x + self.two(self.one(x).relu())).relu()


@torch.no_grad()
def residual(blocks, start, seed, width=32):
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(64, width), nn.ReLU(), *(Block(width) for _ in range(blocks)), nn.Linear(width, 10))
    kaiming(net)
    if start == "LSUV":
        lsuv(net, pixels[split(seed)[0]], seed=seed)
    if start in ("last layers 0", "Fixup"):
        nn.init.zeros_(net[-1].weight)
        for block in net[2:-1]:
            nn.init.zeros_(block.two.weight)
            if start == "Fixup":
                block.one.weight *= blocks**-0.5
    return net


sizes = {
    start: [scale.std for scale in layer_scales(residual(50, start, 0), pixels[:256], layers=Block)]
    for start in ("Kaiming", "LSUV", "Fixup")
}
doubling = (sizes["Kaiming"][-1] / sizes["Kaiming"][9]) ** (2 / 40)
print(f"Kaiming: the mean square grows by a factor of {doubling:.2f} a block, and by {doubling**40:.2g} in forty")
assert 1.5 < doubling < 3 and 2 < sizes["LSUV"][-1] < 20 and sizes["Fixup"][-1] == sizes["Fixup"][0]


# %% tags=["hide-input"]
def paint_sizes(ax):
    for (start, found), colour in zip(sizes.items(), (VALID, INK, TRAIN), strict=True):
        ax.plot(range(1, 51), found, color=colour, label=start)
    ax.set(yscale="log", xlabel="block", ylabel="standard deviation")
    ax.legend(frameon=False)


said = "; ".join(f"{start} from {found[0]:.2g} to {found[-1]:.2g}" for start, found in sizes.items())
show(
    draw(
        paint_sizes,
        f"Deviation behind each of 50 blocks with shortcuts, on a logarithmic axis: {said}.",
        size=(4.4, 2.7),
    )
)

# %% [markdown]
# ## Fixup: begin quietly
#
# That $f = 0$ at the start is not enough. What matters next is the first step. A block's way is $W_2\, \text{relu}(W_1 x)$ with
# $W_2 = 0$, and only $W_2$ gets a gradient: $g\, h^T$, with $h = \text{relu}(W_1 x)$ and $g$ what comes back. A step of size
# $\eta$ then changes the block's output by $-\eta\, g\, (h^T h)$. If $W_1$ carries a factor $s$, that is $s^2$ times as much, and $L$ blocks
# change the sum by $L s^2$. For a step to do the same in every depth, $s = L^{-1/2}$. In general, with $m$
# layers a block, $s = L^{-1/(2m-2)}$. One step, measured:

# %%
rows = []
for blocks in (4, 16, 64):
    changes = []
    for start in ("last layers 0", "Fixup"):
        net = residual(blocks, start, 0)
        nn.init.kaiming_normal_(net[-1].weight)  # so that a gradient comes back
        before = net(even[:64])
        loss = nn.functional.cross_entropy(before, digit[:64])
        weights = [block.two.weight for block in net[2:-1]]
        with torch.no_grad():
            for weight, gradient in zip(weights, torch.autograd.grad(loss, weights), strict=True):
                weight -= 1e-4 * gradient
            changes.append((net(even[:64]) - before).norm().item())
    rows.append({"blocks": blocks, "change, last layers 0": changes[0], "change, Fixup": changes[1]})
show(table(rows))
zero, fixup = ([row[name] for row in rows] for name in ("change, last layers 0", "change, Fixup"))
assert 8 < zero[2] / zero[0] < 32 and 0.5 < fixup[2] / fixup[0] < 2

# %% [markdown]
# Sixteen times the blocks change the output about sixteen times as much in one step, unless $s$ takes it back. A
# [learning rate](#learning-rate) that suits four blocks is then far too large for 64. In training: 16 blocks, SGD
# with a rate of 0.05, 30 steps and five seeds.

# %%
found = {}
for start in ("LSUV", "last layers 0", "Fixup"):
    found[start] = []
    for seed in range(5):
        net = residual(16, start, seed)
        optimiser = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9, foreach=True)
        found[start].append(accuracy(net, seed, optimiser, steps=30))
show(variants({start: {"test": values} for start, values in found.items()}, name="accuracy"))
assert mean(found["Fixup"]) > 0.6
assert all(mean(values) < mean(found["Fixup"]) - 0.2 for start, values in found.items() if start != "Fixup")

# %% [markdown]
# The library's network has the paper's third rule as well: a multiplier for each block and single numbers as biases, which
# take over what [batch norm](#batch-normalisation) could learn. The whole start, and a block:

# %%
show(source(FixupResNet.reset_parameters), source(FixupBlock.forward))
small = images[:32]
deep = {}
for name, block in (("cifar_resnet110", CifarBlock), ("fixup_resnet110", FixupBlock)):
    torch.manual_seed(0)
    net = create_model(name, in_channels=1, num_classes=10, widths=(8, 16, 32))
    if block is CifarBlock:
        replace_layers(net, nn.BatchNorm2d, lambda layer: nn.Identity())
    deep[name] = [scale.std for scale in layer_scales(net, small, layers=block)]
    print(f"{name}: deviation {deep[name][0]:.2g} behind the first of 54 blocks, {deep[name][-1]:.2g} behind the last")
assert deep["cifar_resnet110"][-1] > 1000 and deep["fixup_resnet110"][-1] < 1
loss = nn.functional.cross_entropy(net(small), digit[:32]).item()
assert abs(loss - math.log(10)) < 1e-6
print(f"Fixup's first loss: {loss:.6f} = ln 10, as nothing is known yet")

# %% [markdown]
# With this start the authors trained residual networks of 10,000 layers without any norm, as stably as with one, for
# one pass over CIFAR-10. Longer trainings needed [mixup](#zhang2018) (lesson 33) against [overfitting](#overfitting), which the noise of batch norm had done before.
#
# What people get wrong: they scale with a batch that is not like the data (pixels from 0 to 255, training with 0 to 1);
# they scale trained weights, and what was learned is gone; they count on LSUV during training, where it does nothing more. It
# sets the start. A norm sets the scale at each step.
#
# So can the data set the scale of every layer? Yes, of every layer with weights, in one pass. What no layer puts out, the sum
# of a shortcut or the dropout of training, it does not see; there a rule must follow from what the network does with its layers.
#
# ## Exercises
#
# ### Exercise 1: mean and deviation
#
# Write `settle(layer, x)`, which changes weight and bias of a linear layer in place so that its outputs for `x`, all
# together, have mean 0 and deviation 1, both within 0.001. The bias may only be shifted by the same number for every unit,
# the weight only be multiplied by a number.


# %%
def check_settle(settle):
    for seed in range(5):
        torch.manual_seed(seed)
        layer, x = nn.Linear(20, 30).double(), 3 + 2 * torch.randn(50, 20, dtype=torch.float64)
        nn.init.normal_(layer.bias, mean=0.5, std=0.2)
        weight, bias = layer.weight.detach().clone(), layer.bias.detach().clone()
        with torch.no_grad():
            settle(layer, x)
            factor, shift = layer.weight / weight, layer.bias - bias
            out = layer(x)
        assert (factor - factor[0, 0]).abs().max() < 1e-9, "the weight was not multiplied by one number"
        assert (shift - shift[0]).abs().max() < 1e-9, "the bias was not shifted by the same number for each unit"
        assert abs(out.std() - 1) < 1e-3, f"deviation {out.std():.3f}: the bias has a share in it, divide again"
        assert abs(out.mean()) < 1e-3, f"mean {out.mean():.3f}: scaling the weight moves the mean, so it comes last"


# %% tags=["solution"]
def right_settle(layer, x, tries=100, last=True, both=False):
    for _ in range(tries):
        if not last:
            layer.bias -= layer(x).mean()
        size = layer(x).std()
        layer.weight /= size
        if both:
            layer.bias /= size
    if last:
        layer.bias -= layer(x).mean()


check_settle(right_settle)
refuses(
    check_settle,
    lambda layer, x: right_settle(layer, x, tries=1),
    lambda layer, x: right_settle(layer, x, tries=1, last=False),
    lambda layer, x: right_settle(layer, x, both=True),
    lambda layer, x: layer.weight.div_(layer(x).var()),
)

# %% [markdown]
# ### Exercise 2: Fixup for any block
#
# Write `factor(blocks, layers)`: by how much all layers of a block but the last, which starts at 0, must be scaled
# so that the first step changes the sum by as much as in a network of one block. A right answer works for blocks of 2, 3
# and 4 layers; it is checked by making the step.


# %%
def first_step(blocks, layers, scale, width=16):
    """How much one step changes the sum of all blocks of a linear network whose last layers are 0."""
    g = torch.Generator().manual_seed(1)
    x = torch.randn(width, 64, generator=g, dtype=torch.float64)
    back, changed = torch.randn(width, 64, generator=g, dtype=torch.float64), 0
    for _ in range(blocks):
        h = x
        for _ in range(layers - 1):
            h = scale * torch.randn(width, width, generator=g, dtype=torch.float64) @ h / math.sqrt(width)
        changed = changed + (back @ h.T) @ h  # the change of the last weight, times what goes into it
    return changed.norm().item()


def check_factor(factor):
    for layers in (2, 3, 4):
        for blocks in (1, 16, 256):
            ratio = first_step(blocks, layers, factor(blocks, layers)) / (
                first_step(256, layers, 256 ** (-1 / (2 * layers - 2)))
            )
            assert 0.3 < ratio < 3, f"{blocks} blocks of {layers} layers: {ratio:.3g} times the step that is right"


# %% tags=["solution"]
check_factor(lambda blocks, layers: blocks ** (-1 / (2 * layers - 2)))
refuses(
    check_factor,
    lambda blocks, layers: blocks**-0.5,
    lambda blocks, layers: 1 / blocks,
    lambda blocks, layers: blocks ** (-1 / (layers - 1)),
    lambda blocks, layers: 1.0,
)

# %% [markdown]
# ## Sources
#
# - LSUV: [Mishkin and Matas, 2016](#mishkin2016), algorithm 1. Matrices at right angles: [Saxe et al., 2014](#saxe2014).
#   The rule: [He et al., 2015](#he2015), section 2.2.
# - Fixup: [Zhang, Dauphin and Ma, 2019](#zhang2019c), section 3; the 10,000 layers are in its abstract.
# - The activations: [Hendrycks and Gimpel, 2016](#hendrycks2016); [Misra, 2019](#misra2019); [Dauphin et al., 2017](#dauphin2017).
# - The course: [fast.ai, part 2](#fastai2019), lessons 10 and 11, notebooks 06 (general ReLU: 98.26 % right after eight passes, 98.22
#   % with another start, one training each, which tells nothing) and 07a (LSUV).
