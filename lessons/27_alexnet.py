# %% [markdown]
# # AlexNet: the same parts, larger
#
# LeNet read digits in 1998. AlexNet of 2012 is made of the same parts: convolution, pooling, linear layers. It has
# about a thousand times as many weights, and it changed the field. What had to change so that so large a network
# learns at all?

# %% tags=["about"]
covers = ["V03"]
rung = 8
minutes = 35

# %%
from itertools import product
from statistics import mean

import torch
from sklearn.datasets import load_digits
from torch import nn

from rungbook import Learner
from rungbook.book import refuses, show, source, table
from rungbook.models.registry import create_model
from rungbook.models.vision.alexnet import AlexNet
from rungbook.plot.style import THIRD, TRAIN, VALID, draw, number, sheet

# %% [markdown]
# ## What is in it
#
# Five convolutions in place of two, three linear layers in place of three. Between them [ReLU](#relu) for the
# squashing function (tanh in 1998, the [sigmoid](#sigmoid) in d2l's form of LeNet), the largest of each window for the
# mean, and [dropout](#dropout) before the two large linear layers ([Krizhevsky, Sutskever and Hinton, 2012](#krizhevsky2012)). The library has it in one column; the paper's
# network was cut in two, since a graphics card of the time held 3 GB.

# %%
show(source(AlexNet.__init__))

# %% [markdown]
# The learner's `summary` sends one picture through a network and writes down what each layer has and does. LeNet at
# its 28 x 28 grey pixels, AlexNet at 224 x 224 in colour with a thousand classes:


# %%
def summary_of(name, channels, side, classes):
    net = create_model(name, in_channels=channels, num_classes=classes, image_size=(side, side))
    one = (torch.zeros(1, channels, side, side), torch.zeros(1, dtype=torch.long))
    return Learner(net, ([one], None), device="cpu").summary()


lenet, alexnet = summary_of("lenet", 1, 28, 10), summary_of("alexnet", 3, 224, 1000)
for what, old, new in (
    ("parameters", lenet.parameters, alexnet.parameters),
    ("multiplications a picture", lenet.flops // 2, alexnet.flops // 2),
):
    print(f"{what}: {old:,} in LeNet, {new:,} in AlexNet, {new / old:,.0f} times as many")
assert lenet.parameters == 61_706 and alexnet.parameters == 61_100_840  # the count that is published with its weights
assert 1_000 * lenet.flops < alexnet.flops

# %% [markdown]
# A course that teaches it on dogs and cats says 57.0 million ([PyTorch-Adventures](#pytorchadventures)). That is the
# same network with two outputs in place of a thousand:

# %%
with torch.device("meta"):  # shapes without numbers: nothing is drawn or stored
    two = create_model("alexnet", num_classes=2)
counted = sum(p.numel() for p in two.parameters())
print(f"{counted:,} parameters with two classes, {alexnet.parameters - counted:,} fewer")
assert round(counted / 1e6, 1) == 57.0
assert alexnet.parameters - counted == 998 * (4096 + 1)

# %% [markdown]
# ## Where the weights are, and where the work is
#
# A convolution's weight is used at every place of its map, a linear layer's once. So the two kinds of layer share out
# the costs the other way round:

# %%
layers = [row for row in alexnet.rows if row.parameters]
names = [f"convolution {i}" for i in range(1, 6)] + [f"linear {i}" for i in range(1, 4)]
rows = []
for name, row in zip(names, layers, strict=True):
    rows.append(
        {
            "layer": name,
            "output": " x ".join(map(str, row.output)),
            "parameters": row.parameters,
            "multiplications": row.flops // 2,
        }
    )
show(table(rows))


# %% tags=["hide-input"]
def paint_shares(key, title):
    def paint(ax):
        whole = sum(row[key] for row in rows)
        shares = [row[key] / whole for row in rows]
        ax.barh(range(8), shares, color=[TRAIN] * 5 + [VALID] * 3)
        ax.set(yticks=range(8), yticklabels=names if key == "parameters" else [], xlim=(0, 0.7), xlabel="share")
        ax.set_title(title)
        ax.invert_yaxis()

    return paint


linear = {key: sum(row[key] for row in rows[5:]) / sum(row[key] for row in rows) for key in rows[0] if key[-1] == "s"}
show(
    sheet(
        [paint_shares("parameters", "parameters"), paint_shares("multiplications", "multiplications")],
        f"Bars a layer of AlexNet: the three linear layers have {linear['parameters']:.0%} of the parameters "
        f"and do {linear['multiplications']:.0%} of the multiplications; the five convolutions have the rest.",
        columns=2,
        size=(2.9, 2.4),
    )
)
# %%
assert linear["parameters"] > 0.95 and linear["multiplications"] < 0.1
assert rows[5]["parameters"] == 256 * 6 * 6 * 4096 + 4096 > 0.6 * alexnet.parameters

# %% [markdown]
# One layer, the first linear one, has more than six of every ten weights. The next networks take it on: VGG makes it
# larger still (lesson 28), network in network leaves it out (lesson 29).
#
# ## The slope of the activation
#
# On the way back each layer multiplies the [gradient](#gradient) by the slope of its activation. A sigmoid's slope is
# a quarter at most. ReLU's is 1 where it is on. How much is that in a network of eight layers? AlexNet with few maps,
# its ReLUs replaced, each form with the start that was made for it (lesson 22); for each layer, the size of the
# gradient over the size of the weight, before the first step:

# %%
stored = load_digits()
pixels, digit = torch.tensor(stored.data, dtype=torch.float32), torch.tensor(stored.target)
pixels = (pixels - pixels.mean()) / pixels.std()
KINDS = (nn.ReLU, nn.Tanh, nn.Sigmoid)


def begin(layer, kind):
    """Kaiming's start for ReLU, Glorot's for the two that flatten on both sides."""
    (nn.init.kaiming_normal_ if kind is nn.ReLU else nn.init.xavier_normal_)(layer.weight)
    nn.init.zeros_(layer.bias)


def small_alexnet(kind, seed):
    torch.manual_seed(seed)
    net = create_model(
        "alexnet", in_channels=1, num_classes=10, image_size=(63, 63), widths=(12, 24, 24, 24, 24), hidden=48, pooled=1
    )
    for part in (net.features, net.classifier):
        for i, layer in enumerate(part):
            if isinstance(layer, nn.ReLU):
                part[i] = kind()
            elif list(layer.parameters()):
                begin(layer, kind)
    return net.eval()  # without dropout, to look at one thing


def relative_gradients(net):
    large = nn.functional.interpolate(pixels[:64].view(-1, 1, 8, 8), size=(63, 63), mode="bilinear")
    nn.functional.cross_entropy(net(large), digit[:64]).backward()
    return [(p.grad.norm() / p.norm()).item() for name, p in net.named_parameters() if name.endswith("weight")]


arriving = {}
for kind in KINDS:
    found = [relative_gradients(small_alexnet(kind, seed)) for seed in range(5)]
    arriving[kind] = [mean(layer) for layer in zip(*found, strict=True)]
lost = {kind: values[-1] / values[0] for kind, values in arriving.items()}
print("last layer's over the first's:", ", ".join(f"{kind.__name__} {number(ratio)}" for kind, ratio in lost.items()))
assert lost[nn.Sigmoid] > 300 and max(lost[nn.ReLU], lost[nn.Tanh]) < 20


# %% tags=["hide-input"]
def paint_arriving(ax):
    for (kind, values), colour in zip(arriving.items(), (TRAIN, THIRD, VALID), strict=True):
        ax.plot(range(1, 9), values, "o-", color=colour, label=kind.__name__, markersize=4)
    ax.set(xlabel="layer", ylabel="gradient / weight", yscale="log")
    ax.legend(frameon=False)


show(
    draw(
        paint_arriving,
        "Size of the gradient over that of the weight in the eight layers, mean of five seeds. First and last layer: "
        + "; ".join(f"{kind.__name__} {number(v[0])} and {number(v[-1])}" for kind, v in arriving.items())
        + ".",
        size=(4.2, 2.5),
    )
)

# %% [markdown]
# With sigmoids the first layer of eight gets next to nothing. Does it matter? Plain networks of 2 and of 8 linear
# layers, 500 digits, 40 steps of SGD with momentum, judged on the other 797, five seeds; of two learning rates the
# better one counts:


# %%
def train(kind, depth, seed, lr, steps=40, width=48):
    torch.manual_seed(seed)
    layers = [nn.Linear(width if i else 64, width if i < depth - 1 else 10) for i in range(depth)]
    for layer in layers:
        begin(layer, kind)
    net = nn.Sequential(*(part for layer in layers for part in (layer, kind())))[:-1]
    order = torch.randperm(len(pixels), generator=torch.Generator().manual_seed(seed))
    learn, rest = order[:500], order[1000:]
    optimiser = torch.optim.SGD(net.parameters(), lr=lr, momentum=0.9, foreach=True)
    for _ in range(steps):
        loss = nn.functional.cross_entropy(net(pixels[learn]), digit[learn])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        return (net(pixels[rest]).argmax(1) == digit[rest]).double().mean().item()


right, tried = {}, []
for kind, depth in product(KINDS, (2, 8)):
    by_rate = {lr: [train(kind, depth, seed, lr) for seed in range(5)] for lr in (0.03, 1.0)}
    rate = max(by_rate, key=lambda lr: mean(by_rate[lr]))
    right[kind, depth] = by_rate[rate]
    spread = torch.tensor(by_rate[rate]).std().item()
    tried.append(
        {
            "activation": kind.__name__,
            "layers": depth,
            "right": f"{mean(by_rate[rate]):.1%} ± {spread:.1%}",
            "rate": rate,
        }
    )
show(table(tried))
assert min(right[nn.Sigmoid, 2]) > 0.85 and max(right[nn.Sigmoid, 8]) < 0.3
assert min(right[nn.ReLU, 8]) > 0.8 and min(right[nn.Tanh, 8]) > 0.8

# %% [markdown]
# Two layers of sigmoids learn. Eight do not, at either rate. ReLU does; so does tanh, whose slope is 1 too, at 0. The
# paper's own comparison is with tanh: a convolutional network with ReLU comes to a quarter of errors on CIFAR-10 in a
# sixth of the epochs (figure 1 there). On digits we see none of that. What this experiment bears out is that a
# sigmoid would have had to go. LeNet's own tanh passes here.
#
# The ledger has the old LeNet on Fashion-MNIST with sigmoids and means, at d2l's rate of 0.9, which
# reaches <!-- ledger: sigmoid_lenet data=fashion-mnist epochs=10 batch_size=256 | rate 0.9 | test accuracy -->83.5 ± 0.6 %<!-- / -->; with ReLU and max pooling, and other
# settings too, it is <!-- ledger: lenet data=fashion-mnist | test accuracy -->88.6 ± 0.2 %<!-- / -->.
#
# ## Weights enough to learn by heart
#
# The competition's part of ImageNet had 1.2 million pictures to learn from. Sixty-one million weights are fifty for each of them. The paper holds against that
# in two ways:
#
# - [Dropout](#dropout) of a half before the first two linear layers, which have nine tenths of the weights (lesson 20).
# - [Augmentation](#data-augmentation): of a picture of 256 x 256 a random cut of 224 x 224, mirrored or not; and the
#   colours shifted along their main directions, which the paper says lowers the error by more than one percent.
#
# Poolings of 3 x 3 overlap, since they move by 2. That brought 0.4 points there. And without any one of the middle
# convolutions it lost about two: depth was not an ornament.
#
# What it bought: 15.3 % of the test pictures without the right class among five guesses, where the next best entry of
# 2012 had 26.2 %. That is seven networks' mean, two of them begun on a larger set of pictures; one alone had 18.2 % on
# the valid pictures.
#
# What people get wrong: they take 224 x 224 for a law of the architecture. The last pooling is adaptive and always
# gives 6 x 6, so pictures of other sizes pass; but a stem that goes in steps of 4 pixels leaves little of a small one:

# %%
features = create_model("alexnet", widths=(4, 4, 4, 4, 4), hidden=4).features
for side in (224, 96, 63):
    left = features(torch.zeros(1, 3, side, side)).shape[-1]
    print(f"{side} x {side} pixels: {left} x {left} places after the convolutions")
    assert left == {224: 6, 96: 2, 63: 1}[side]

# %% [markdown]
# So what had to change? The activation: with sigmoids no gradient arrives, and ReLU learned six times as fast as tanh in
# the paper; the data, 1.2 million pictures and their
# cuts, and dropout, so that the weights have something to learn other than the samples; and the machine. The
# convolutions themselves are those of 1998.
#
# ## Exercises
#
# ### Exercise 1: what a layer costs
#
# Write `cost(c_in, c_out, kernel, side)`: parameters with bias, and multiplications, of a convolution with `c_in` maps
# in and `c_out` out, whose output is `side` x `side`. A right answer agrees with the summary above, and with a linear
# layer seen as a convolution with a kernel of 1 on one place.


# %%
def check_cost(cost):
    for row, (c_in, kernel) in zip(layers[:5], ((3, 11), (64, 5), (192, 3), (384, 3), (256, 3)), strict=True):
        c_out, side, _ = row.output
        parameters, work = cost(c_in, c_out, kernel, side)
        assert parameters == row.parameters, f"{c_in} to {c_out}, kernel {kernel}: {row.parameters:,} parameters"
        assert work == row.flops // 2, f"{row.flops // 2:,} multiplications: each weight at each place"
    assert cost(9216, 4096, 1, 1) == (37_752_832, 9216 * 4096), "a linear layer: each weight once"


# %% tags=["solution"]
check_cost(lambda c_in, c_out, k, side: (c_out * (c_in * k**2 + 1), c_out * c_in * k**2 * side**2))
refuses(
    check_cost,
    lambda c_in, c_out, k, side: (c_out * c_in * k**2, c_out * c_in * k**2 * side**2),
    lambda c_in, c_out, k, side: (c_out * (c_in * k**2 + 1), c_out * c_in * k**2),
    lambda c_in, c_out, k, side: (c_out * (c_in * k + 1), c_out * c_in * k * side**2),
    lambda c_in, c_out, k, side: (c_out * (c_in * k**2 + 1), c_out * c_in * k**2 * side),
)

# %% [markdown]
# ### Exercise 2: how many cuts?
#
# The paper says that cuts and mirrors make its training set 2,048 times as large. Write `cuts(side, cut)`: how many
# different pictures of `cut` x `cut` there are in one of `side` x `side`, mirrored ones too. For 224 of 256 a right
# answer is not quite the paper's.


# %%
def check_cuts(cuts):
    for side, cut in ((4, 4), (4, 3), (6, 2)):
        picture = torch.arange(side * side).view(side, side)
        seen = set()
        for i, j in product(range(side - cut + 1), repeat=2):
            one = picture[i : i + cut, j : j + cut]
            seen |= {tuple(one.flatten().tolist()), tuple(one.flip(1).flatten().tolist())}
        got = cuts(side, cut)
        assert got == len(seen), f"{cut} of {side}: {got}, counted one by one {len(seen)}; is the last place counted?"
    assert cuts(256, 224) == 2178


# %% tags=["solution"]
check_cuts(lambda side, cut: 2 * (side - cut + 1) ** 2)
refuses(
    check_cuts,
    lambda side, cut: 2 * (side - cut) ** 2,
    lambda side, cut: (side - cut + 1) ** 2,
    lambda side, cut: 2 * (side - cut + 1),
)

# %% [markdown]
# ## Sources
#
# - AlexNet: [Krizhevsky, Sutskever and Hinton, 2012](#krizhevsky2012): ReLU 3.1, overlapping pooling 3.4,
#   augmentation 4.1, dropout 4.2, results 6. The form in one column: [Krizhevsky, 2014](#krizhevsky2014).
# - LeNet: [LeCun and others, 1998](#lecun1998). ReLU before: [Nair and Hinton, 2010](#nair2010).
# - 57.0 million parameters on dogs and cats: [PyTorch-Adventures](#pytorchadventures).
