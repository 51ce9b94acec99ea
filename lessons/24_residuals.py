# %% [markdown]
# # Shortcuts
#
# A deeper network can do all that a shallower one can: its further layers only have to hand on what they get. Trained,
# it does worse all the same, and on the very samples it learns from. What keeps the layers from handing on?

# %% tags=["about"]
covers = ["V07", "V08"]
rung = 8
minutes = 45

# %%
from itertools import pairwise, product
from statistics import mean

import torch
from sklearn.datasets import load_digits
from torch import nn

from rungbook.book import refuses, show, source, table
from rungbook.models.registry import create_model
from rungbook.models.vision.cifar_resnet import CifarBlock
from rungbook.models.vision.resnet import BasicBlock
from rungbook.plot.style import TRAIN, VALID, draw

# %% [markdown]
# ## Deeper is worse
#
# A block: two linear layers of 32 units with [batch norm](#batch-normalisation). With a shortcut
# ([residual connection](#residual-connection)) the block's input is added to what the layers make of it, before the
# last ReLU; without one it is not. Nothing else differs, and the shortcut has no weights.


# %%
class Block(nn.Module):
    def __init__(self, width, shortcut):
        super().__init__()
        self.way = nn.Sequential(
            nn.Linear(width, width, bias=False),
            nn.BatchNorm1d(width),
            nn.ReLU(),
            nn.Linear(width, width, bias=False),
            nn.BatchNorm1d(width),
        )
        self.shortcut = shortcut

    def forward(self, x):
        return (self.way(x) + x if self.shortcut else self.way(x)).relu()


def network(blocks, shortcut, seed, width=32):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(64, width), nn.ReLU(), *(Block(width, shortcut) for _ in range(blocks)), nn.Linear(width, 10)
    )


# %% [markdown]
# Networks of 1, 4 and 12 blocks, Adam, 40 steps on 500 digits, five seeds. The loss is that on the 500, so this is no
# question of what was learned by heart:

# %%
stored = load_digits()
pixels, digit = torch.tensor(stored.data, dtype=torch.float32) / 16, torch.tensor(stored.target)


def split(seed):
    order = torch.randperm(len(pixels), generator=torch.Generator().manual_seed(seed))
    return order[:500], order[1000:]


def accuracy(net, seed):
    rest = split(seed)[1]
    with torch.no_grad():
        return (net.eval()(pixels[rest]).argmax(1) == digit[rest]).double().mean().item()


def train(net, seed, steps=40):
    """Loss on the samples trained on, after the last step."""
    learn = split(seed)[0]
    optimiser = torch.optim.Adam(net.train().parameters(), lr=0.003, foreach=True)
    for _ in range(steps):
        loss = nn.functional.cross_entropy(net(pixels[learn]), digit[learn])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        return nn.functional.cross_entropy(net(pixels[learn]), digit[learn]).item()


DEPTHS, SEEDS = (1, 4, 12), range(5)
nets = {(b, s, seed): network(b, s, seed) for b, s, seed in product(DEPTHS, (False, True), SEEDS)}
loss = {key: train(net, key[2]) for key, net in nets.items()}
rows = []
for blocks, shortcut in product(DEPTHS, (False, True)):
    losses = [loss[blocks, shortcut, seed] for seed in SEEDS]
    right = [accuracy(nets[blocks, shortcut, seed], seed) for seed in SEEDS]
    kind = "with shortcuts" if shortcut else "plain"
    rows.append(
        {
            "blocks": blocks,
            "layers": 2 * blocks + 2,
            "network": kind,
            "loss on train": mean(losses),
            "right on others": mean(right),
        }
    )
show(table(rows))
plain, residual = ([[loss[b, s, seed] for seed in SEEDS] for b in DEPTHS] for s in (False, True))
assert min(plain[2]) > 3 * max(plain[0]) and max(residual[2]) < min(residual[0])

# %% [markdown]
# The plain network of twelve blocks is worse on its own training samples than that of one block, in every seed. With
# shortcuts the deep network learns its samples better than the shallow one. (On digits it has not seen it does no
# better: 500 digits do not need 26 layers.) [He et al., 2016](#he2016) found the same with 20 and 56 layers on
# CIFAR-10, and called it degradation.
#
# ## Handing on is hard to learn
#
# Why does the deep plain network not learn to hand on? A block of two layers would have to become the identity, with
# a norm and a ReLU in between: a certain matrix, times its inverse. With a shortcut it only has to become zero, and
# [weight decay](#l2-regularisation) or a small start pull there anyway. The function is the same; what is easy to
# reach is not.
#
# The other half of the answer is the way back. For $y = x + f(x)$ the chain rule gives
#
# $$\frac{\partial L}{\partial x} = \frac{\partial L}{\partial y} \left( 1 + \frac{\partial f}{\partial x} \right)$$
#
# The 1 hands the [gradient](#gradient) on whatever $f$ does; without it the gradient is a product over all blocks.
# How alike are the gradients of two inputs that lie close together, after so many factors? [Balduzzi et al.,
# 2017](#balduzzi2017) asked that. If they are not alike, a step that is right here says nothing of the place next to
# it. 200 digits, and the same with noise of a fiftieth of the range; cosine of the gradients by the input, at the
# start of training:


# %%
def likeness(net, noise=0.02):
    """Mean cosine between the gradients, by the input, of each digit and of the digit with a little noise."""
    net = net.double().train()
    x = pixels[:200].double()
    g = torch.Generator().manual_seed(1)
    near = x + noise * torch.randn(x.shape, generator=g, dtype=torch.float64)
    weights = torch.randn(200, 10, generator=g, dtype=torch.float64)
    found = []
    for inputs in (x, near):
        leaf = inputs.clone().requires_grad_()
        (net(leaf) * weights).sum().backward()
        found.append(leaf.grad)
    return nn.functional.cosine_similarity(*found).mean().item()


BLOCKS = (1, 2, 4, 8, 16, 32)
alike = {
    (blocks, shortcut): [likeness(network(blocks, shortcut, seed)) for seed in SEEDS]
    for blocks, shortcut in product(BLOCKS, (False, True))
}
for blocks in (16, 32):
    assert abs(mean(alike[blocks, False])) < 0.1 and mean(alike[blocks, True]) > mean(alike[blocks, False]) + 0.05
assert all(mean(alike[b, True]) > mean(alike[b, False]) for b in BLOCKS)


# %% tags=["hide-input"]
def paint_likeness(ax):
    for shortcut, colour, name in ((False, VALID, "plain"), (True, TRAIN, "with shortcuts")):
        means = [mean(alike[b, shortcut]) for b in BLOCKS]
        ax.plot(range(len(BLOCKS)), means, "o-", color=colour, label=name)
    ax.set(xticks=range(len(BLOCKS)), xticklabels=BLOCKS, xlabel="blocks", ylabel="cosine", ylim=(-0.1, 1))
    ax.legend(frameon=False)


show(
    draw(
        paint_likeness,
        "Likeness of the gradients of neighbouring inputs, mean of five seeds: "
        + "; ".join(
            f"{b} blocks {mean(alike[b, False]):.2f} plain, {mean(alike[b, True]):.2f} with shortcuts" for b in BLOCKS
        )
        + ".",
        size=(4.2, 2.6),
    )
)

# %% [markdown]
# In the plain network of sixteen blocks the gradients of two neighbours have nothing to do with each other. The
# shortcuts do not stop that, they put it off.
#
# ## Take a block out
#
# Write a network of two blocks out: $x + f_1(x) + f_2(x + f_1(x))$. There is a way through both blocks, one through
# each alone, and one through none; with $n$ blocks there are $2^n$ ways ([Veit et al., 2016](#veit2016)). If the
# network really uses the many shorter ones, much of what it knows must outlast the loss of a block, without any further
# training. In the plain network there is one way, and each block is on it. Networks of four blocks, which both can
# learn:

# %%
whole, without = {False: [], True: []}, {False: [], True: []}
for shortcut, seed in product((False, True), SEEDS):
    net = nets[4, shortcut, seed]
    whole[shortcut].append(accuracy(net, seed))
    for i in range(2, 6):
        layers = [layer for j, layer in enumerate(net) if j != i]
        without[shortcut].append(accuracy(nn.Sequential(*layers), seed))
for shortcut, name in ((False, "plain"), (True, "with shortcuts")):
    print(
        f"{name:<15} right {mean(whole[shortcut]):.1%}, with one of four blocks taken out {mean(without[shortcut]):.1%}"
    )
assert mean(without[False]) < 0.25 and mean(without[True]) > 0.4

# %% [markdown]
# ## As it is built
#
# The block of ResNet-18, two 3 x 3 convolutions beside the shortcut:

# %%
show(source(BasicBlock))

# %% [markdown]
# Where a block halves the picture and doubles the maps, input and output have different shapes and cannot be added.
# `downsample` is a 1 x 1 convolution that makes the shapes fit (the paper's option B). The networks for CIFAR-10 do
# without weights there: every second pixel, and maps of zeros beside the old ones (option A).

# %%
show(source(CifarBlock))
torch.manual_seed(2)
block, x = CifarBlock(4, 8, 2).eval(), torch.randn(2, 4, 6, 6)
nn.init.zeros_(block.conv2.weight)
handed_on = block(x)
assert (
    torch.equal(handed_on[:, 2:6], x[:, :, ::2, ::2].relu())
    and not handed_on[:, :2].any()
    and not handed_on[:, 6:].any()
)
print("a block whose way gives zero hands on every second pixel, between maps of zeros")

# %% [markdown]
# A network that starts with every block handing on is shallow at first and grows deeper as it learns. The last norm
# of each block has $\gamma = 0$ at the start for that ([Goyal et al., 2017](#goyal2017)); XResNet has it built in:

# %%
net = create_model("xresnet18", num_classes=10, widths=(8, 8, 8, 8), stem=(8, 8, 8))
zeros = [name for name, p in net.named_parameters() if p.ndim == 1 and name.endswith("weight") and not p.any()]
print(len(zeros), "norms start at zero:", ", ".join(zeros[:3]), "...")
assert len(zeros) == 8

# %% [markdown]
# ## Fifty layers
#
# The ledger has convolutional networks of 50 layers with shortcuts and without, on images of shapes, five seeds:
#
# - plain: <!-- ledger: residuals | plain | test accuracy -->26.2 ± 1.8 %<!-- / -->
# - with shortcuts: <!-- ledger: residuals | with shortcuts | test accuracy -->44.3 ± 8.7 %<!-- / -->
#
# A quarter are right by chance. Four passes over 800 images are few, and the networks are narrow; what is compared is
# the same training with one line of code more. A course takes the shortcuts out of a ResNet-101 and reports 88.8 and
# 58.6 % on dogs and cats, one training each ([PyTorch-Adventures](#pytorchadventures)).
#
# What people get wrong: a ReLU or a norm *on* the shortcut, so that it no longer hands on (what it costs is measured in
# [He et al., 2016b](#he2016b)); and adding tensors whose shapes fit by [broadcasting](#broadcasting) alone, which
# raises no error.
#
# So what keeps the layers from handing on? Nothing forbids it; it is a function that is hard to reach for layers
# that begin at random. The shortcut makes it the starting point.
#
# ## Exercises
#
# ### Exercise 1: your own block
#
# Write `block(x, way, fit)`: `way` is the block's layers, `fit` a layer that makes shapes fit, or None. A right answer
# adds before the last ReLU, uses `fit` only where it is given, and refuses shapes that differ with a `ValueError`, also
# where torch would broadcast.


# %%
def check_block(block):
    torch.manual_seed(3)
    x = torch.randn(5, 4)
    same, wider = nn.Linear(4, 4), nn.Linear(4, 6)
    fit = nn.Linear(4, 6, bias=False)
    got = block(x, same, None)
    assert torch.allclose(got, (same(x) + x).relu()), "way(x) + x, and then the ReLU"
    assert torch.allclose(block(x, wider, fit), (wider(x) + fit(x)).relu()), (
        "where fit is given, the shortcut goes through it"
    )
    for way in (nn.Linear(4, 1), nn.Linear(4, 6)):
        try:
            block(x, way, None)
        except ValueError:
            continue
        except RuntimeError as error:
            raise AssertionError(f"torch refused it, not the block: {error}") from error
        raise AssertionError("(5, 1) + (5, 4) was added by broadcasting")


# %% tags=["solution"]
def right_block(x, way, fit):
    y, short = way(x), x if fit is None else fit(x)
    if y.shape != short.shape:
        raise ValueError(f"the way gives {tuple(y.shape)}, the shortcut {tuple(short.shape)}")
    return (y + short).relu()


check_block(right_block)
refuses(
    check_block,
    lambda x, way, fit: (way(x) + (x if fit is None else fit(x))).relu(),
    lambda x, way, fit: way(x).relu() + x,
    lambda x, way, fit: (way(x) + x).relu() if fit is None else way(x).relu(),
    lambda x, way, fit: right_block(x.relu(), way, fit),
)

# %% [markdown]
# ### Exercise 2: count the ways
#
# Of the $2^n$ ways through $n$ blocks, how many go through exactly $k$ of them? Write `ways(n)`: a list whose entry `k`
# says so. Most ways through a deep network are about half as long as the network.


# %%
def check_ways(ways):
    for n in (1, 2, 3, 10):
        counted = [0] * (n + 1)
        for taken in product((0, 1), repeat=n):
            counted[sum(taken)] += 1
        found = list(ways(n))
        assert len(found) == n + 1, f"{n} blocks: ways of length 0 to {n} are {n + 1} entries, got {len(found)}"
        assert found == counted, f"{n} blocks: {found}, counted one by one they are {counted}"


# %% tags=["solution"]
def right_ways(n):
    row = [1]
    for _ in range(n):
        row = [a + b for a, b in pairwise([0, *row, 0])]
    return row


check_ways(right_ways)
refuses(
    check_ways,
    lambda n: [2**n // (n + 1)] * (n + 1),
    lambda n: [n**k for k in range(n + 1)],
    lambda n: right_ways(n)[1:],
    lambda n: [1] * (n + 1),
)

# %% [markdown]
# ## Sources
#
# - Shortcuts, and that deeper is worse without: [He et al., 2016](#he2016). Norm before the convolution, and what must not
#   stand on the shortcut: [He et al., 2016b](#he2016b).
# - Many short ways: [Veit et al., 2016](#veit2016). Gradients like noise: [Balduzzi et al., 2017](#balduzzi2017).
# - The zero at the start: [Goyal et al., 2017](#goyal2017), section 5.1.
