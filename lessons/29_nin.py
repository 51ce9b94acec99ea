# %% [markdown]
# # Network in network: no linear layer at the end
#
# AlexNet and VGG turn the last maps into one long row and put linear layers behind it: nine tenths of their weights,
# and each is tied to one place of the picture. Can a network name what it sees without them?

# %% tags=["about"]
covers = ["V05"]
rung = 8
minutes = 35

# %%
from statistics import mean

import torch
from sklearn.datasets import load_digits
from torch import nn

from rungbook.book import refuses, show, source, table
from rungbook.models.registry import MODELS, create_model
from rungbook.models.vision.nin import NiN, nin_block
from rungbook.plot.style import sheet
from rungbook.recipes.comparison import compare

# %% [markdown]
# ## A linear layer at every pixel
#
# A [convolution](#convolution) of 1 x 1 sees one pixel and all its [channels](#channel). For that pixel it is a
# linear layer from channels to channels, and it is the same layer at each. Put the weights of one into the other, and
# both give the same numbers and the same [gradients](#gradient):

# %%
torch.manual_seed(0)
conv, linear = nn.Conv2d(5, 3, 1).double(), nn.Linear(5, 3).double()
linear.load_state_dict({"weight": conv.weight.detach()[:, :, 0, 0], "bias": conv.bias.detach()})
x = torch.randn(2, 5, 6, 7, dtype=torch.float64)  # (B, C, H, W)
by_pixel = linear(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)  # channels last, and back
torch.testing.assert_close(conv(x), by_pixel, rtol=1e-12, atol=1e-12)
aim = torch.randn_like(by_pixel)
(conv(x) * aim).sum().backward()
(by_pixel * aim).sum().backward()
torch.testing.assert_close(conv.weight.grad[:, :, 0, 0], linear.weight.grad, rtol=1e-10, atol=1e-12)
torch.testing.assert_close(conv.bias.grad, linear.bias.grad, rtol=1e-10, atol=1e-12)
print("a 1 x 1 convolution is a linear layer at each of", 6 * 7, "pixels: outputs and gradients agree")

# %% [markdown]
# [Lin, Chen and Yan, 2014](#lin2014) put two of them behind each larger convolution, with [ReLU](#relu) between. Under
# each window there is then no longer a weighted sum but a small network of three layers, hence the name.

# %%
show(source(nin_block))

# %% [markdown]
# That this is a network that slides over the picture can be checked by sliding one: cut out all windows, and give
# each to the three linear layers.

# %%
block = nin_block(3, 8, 3).double()
shapes = [tuple(layer.weight.shape) for layer in block if isinstance(layer, nn.Conv2d)]
picture = torch.randn(1, 3, 6, 6, dtype=torch.float64)
windows = nn.functional.unfold(picture, 3)[0].T  # (16 places, 3 * 3 * 3)
for layer in block[::2]:
    windows = (windows @ layer.weight.flatten(1).T + layer.bias).relu()
torch.testing.assert_close(block(picture)[0].flatten(1).T, windows, rtol=1e-12, atol=1e-12)
print("weights", shapes, "the same numbers at all 16 places")

# %% [markdown]
# ## A map for each class
#
# The last such block has as many maps as there are classes. A class's score is the mean of its map: global average
# [pooling](#pooling), which has no weights. What that saves, for a thousand classes:

# %%
rows = []
for name in ("alexnet", "vgg16", "nin"):
    with torch.device("meta"):  # shapes without numbers: nothing is drawn or stored
        net = create_model(name)
    counted = {"linear": 0, "conv": 0}
    for layer in net.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            counted["linear" if isinstance(layer, nn.Linear) else "conv"] += sum(p.numel() for p in layer.parameters())
    assert sum(counted.values()) == (MODELS[name].counted or sum(counted.values()))
    rows.append(
        {
            "network": name,
            "in convolutions": counted["conv"],
            "in linear layers": counted["linear"],
            "together": sum(counted.values()),
        }
    )
show(table(rows))
last = sum(p.numel() for p in net.features[-1].parameters())
print(f"the last block of NiN, which takes the place of the linear layers: {last:,}")
assert rows[2]["in linear layers"] == 0 and rows[0]["together"] > 7 * rows[2]["together"]
show(source(NiN.forward))

# %% [markdown]
# The last block is no small matter with a thousand classes: the 3 x 3 and two 1 x 1 convolutions among a thousand
# maps are most of this network. With ten classes it shrinks to next to nothing:

# %%
with torch.device("meta"):
    ten = create_model("nin", num_classes=10)
share = {n: sum(p.numel() for p in m.features[-1].parameters()) for n, m in ((1000, net), (10, ten))}
whole = {n: sum(p.numel() for p in m.parameters()) for n, m in ((1000, net), (10, ten))}
print("; ".join(f"{n} classes: {whole[n]:,}, of them {share[n] / whole[n]:.0%} in the last block" for n in share))
assert share[1000] > 0.6 * whole[1000] and share[10] < 0.05 * whole[10]

# %% [markdown]
# The paper tried its network on CIFAR-10 with both ends: 11.59 % errors with a linear layer, 10.88 with
# [dropout](#dropout) before it, 10.41 with the mean (section 4.6). Fewer weights are one reason. There is another.
#
# ## A digit in a place where none was
#
# Four kinds of digits, 0 to 3, on a field of 14 x 14. In training they lie in the left of it, in the test in the
# right. Two networks have the same blocks of `nin_block`, with [batch norm](#batch-normalisation) between, for
# training is short here. One ends with the mean, the other with a linear layer that has a weight for every place. 60
# steps of Adam, five seeds:

# %%
stored = load_digits()
few = stored.target < 4
pixels, digit = torch.tensor(stored.images[few], dtype=torch.float32) / 16, torch.tensor(stored.target[few])
LEARN, REST = slice(0, 500), slice(500, None)


def field(digits, columns, g, side=14):
    """Each digit somewhere on an empty field, its left edge at one of `columns`; and the places."""
    x = torch.zeros(len(digits), 1, side, side)
    tops = torch.randint(0, side - 7, (len(digits),), generator=g)
    lefts = columns[torch.randint(0, len(columns), (len(digits),), generator=g)]
    for one, picture, top, left in zip(x, digits, tops.tolist(), lefts.tolist(), strict=True):
        one[0, top : top + 8, left : left + 8] = picture
    return x, tops, lefts


def network(end, seed):
    torch.manual_seed(seed)
    body = nn.Sequential(
        nin_block(1, 12, 5, 1, 2),
        nn.BatchNorm2d(12),
        nn.MaxPool2d(2),
        nin_block(12, 16, 3, 1, 1),
        nn.BatchNorm2d(16),
        *([nin_block(16, 4, 3, 1, 1)[:-1]] if end == "mean" else []),  # scores may be below 0
    )
    for layer in body.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten()] if end == "mean" else [nn.Flatten(), nn.Linear(16 * 49, 4)]
    return nn.Sequential(body, *head)


def train(end, columns, seed, steps, size=32):
    g = torch.Generator().manual_seed(seed)
    net = network(end, seed)
    optimiser = torch.optim.Adam(net.parameters(), lr=0.01, foreach=True)
    for _ in range(steps):
        batch = torch.randint(0, 500, (size,), generator=g)
        loss = nn.functional.cross_entropy(net(field(pixels[batch], columns, g)[0]), digit[batch])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return net.eval()


def accuracy(net, columns):
    x = field(pixels[REST], columns, torch.Generator().manual_seed(9))[0]
    with torch.no_grad():
        return (net(x).argmax(1) == digit[REST]).double().mean().item()


LEFT, RIGHT = torch.arange(0, 3), torch.arange(4, 7)
right, rows = {}, []
for end in ("mean", "linear layer"):
    nets = [train(end, LEFT, seed, 60) for seed in range(5)]
    for place, columns in (("left", LEFT), ("right", RIGHT)):
        right[end, place] = [accuracy(net, columns) for net in nets]
    weights = sum(p.numel() for p in nets[0].parameters())
    rows.append(
        {"end": end, "parameters": weights, **{f"on the {p}": f"{mean(right[end, p]):.0%}" for p in ("left", "right")}}
    )
show(table(rows))
both = [right[end, "right"] for end in ("mean", "linear layer")]
print("on the right:", compare(*both, metric="accuracy", names=("the mean", "a linear layer")).words)
assert mean(right["mean", "right"]) > mean(right["linear layer", "right"]) + 0.15
assert mean(right["mean", "left"]) > 0.6 and mean(right["linear layer", "left"]) > 0.6

# %% [markdown]
# Where they have learned, both do well. On the other side the linear layer falls near the level of guessing, a
# quarter: the weights for those places have never been asked. The mean does not ask where. It carries to the end what
# convolution is for (lesson 21), and it takes pictures of any size.
#
# ## The maps say where
#
# The mean throws the place away, but the maps before it still have it. Train on single digits, all over the field, with
# nothing told but the class. Where is the largest number in the map of its class?

# %%
EVERYWHERE = torch.arange(0, 7)
net = train("mean", EVERYWHERE, seed=0, steps=120, size=50)
x, tops, lefts = field(pixels[REST], EVERYWHERE, torch.Generator().manual_seed(9))
with torch.no_grad():
    maps = net[0](x)  # (B, 4, 7, 7): each number stands for 2 x 2 pixels
own = maps[torch.arange(len(x)), digit[REST]].flatten(1).argmax(1)
row, column = 2 * (own // 7) + 0.5, 2 * (own % 7) + 0.5
inside = ((row - tops - 3.5).abs() <= 4) & ((column - lefts - 3.5).abs() <= 4)
found, chance = inside.double().mean().item(), 8 * 8 / 14**2
print(f"right {accuracy(net, EVERYWHERE):.0%}; largest within the digit's square {found:.0%}, by chance {chance:.0%}")
assert found > chance + 0.2

# %% [markdown]
# Nobody showed it a box. And as no layer knows the size of the picture, the same network takes a field four times as
# large with four digits on it:

# %%
large = torch.zeros(1, 1, 28, 28)
places = ((2, 3), (3, 17), (16, 2), (17, 18))
for kind, (top, left) in enumerate(places):
    large[0, 0, top : top + 8, left : left + 8] = pixels[REST][digit[REST] == kind][3]
with torch.no_grad():
    many = net[0](large)[0]  # (4, 14, 14)


# %% tags=["hide-input"]
def paint_map(name, values):
    def paint(ax):
        grey = name == "the field"
        ax.imshow(values.numpy(), cmap="gray" if grey else "viridis", vmin=0, extent=(0, 28, 28, 0))
        if not grey:
            for top, left in places:
                ax.plot(
                    [left, left + 8, left + 8, left, left], [top, top, top + 8, top + 8, top], color="#ffffff", lw=0.5
                )
        ax.set(title=name, xticks=[], yticks=[])
        ax.grid(False)

    return paint


where = ("upper left", "upper right", "lower left", "lower right")
peaks = [(2 * (int(m.argmax()) // 14) + 0.5, 2 * (int(m.argmax()) % 14) + 0.5) for m in many]
at = [
    next(
        (where[i] for i, (t, le) in enumerate(places) if abs(r - t - 3.5) <= 4 and abs(c - le - 3.5) <= 4), "beside all"
    )
    for r, c in peaks
]
show(
    sheet(
        [paint_map("the field", large[0, 0]), *(paint_map(f"map of {k}", m) for k, m in enumerate(many))],
        "A field with 0 upper left, 1 upper right, 2 lower left and 3 lower right, and the map of each class, in which the "
        "digits' squares are drawn. Largest: " + ", ".join(f"map of {k} {place}" for k, place in enumerate(at)) + ".",
        columns=5,
        size=(1.5, 1.7),
    )
)
# %%
print("the largest number of each map lies in the square of:", ", ".join(at))
assert sum(place == want for place, want in zip(at, where, strict=True)) >= 2

# %% [markdown]
# Such maps are also how one looks into networks that came later: with a linear layer behind the mean, the same
# picture is the maps' sum weighted with that layer's row ([Zhou et al., 2016](#zhou2016)).
#
# What people get wrong: in d2l's form and ours the last block ends with a ReLU, so that scores are
# never below 0. If all of a class's map falls below it, its gradient is 0 and stays so. The network then says the
# same of everything, and its loss rests at the logarithm of the number of classes:

# %%
torch.manual_seed(0)
dead = nin_block(16, 4, 3, 1, 1)
nn.init.constant_(dead[4].bias, -10.0)
loss = nn.functional.cross_entropy(dead(torch.randn(8, 16, 7, 7)).mean((2, 3)), digit[:8])
loss.backward()
print(
    f"loss {loss.item():.4f}, log 4 is {torch.tensor(4.0).log().item():.4f}; gradient of the last layer {dead[4].weight.grad.norm():.1f}"
)
assert not dead[4].weight.grad.any() and abs(loss.item() - torch.tensor(4.0).log().item()) < 1e-6

# %% [markdown]
# The ledger has a small form of it on 10,000 pictures of clothes, with that ReLU; mean and
# spread of its seeds: <!-- ledger: nin data=fashion-mnist train_samples=10000 | test accuracy -->76.4 ± 6.7 %<!-- / -->. How many of a run's maps are dead we have not counted, but a spread that wide asks
# for a look.
#
# So can a network do without linear layers at the end? It has them, at every pixel, and a mean in place of a weight
# for each place. Most convolutional networks since end with the mean too, and with one linear layer behind it.
#
# ## Exercises
#
# ### Exercise 1: turn the end around
#
# A network ends with the mean over the picture and then a linear layer. Write `class_maps(maps, linear)`: from `maps`
# (B, C, H, W) the maps (B, classes, H, W) whose means are the network's scores. A right answer needs no loop.


# %%
def check_class_maps(class_maps):
    torch.manual_seed(1)
    maps, layer = torch.randn(3, 6, 4, 5, dtype=torch.float64), nn.Linear(6, 2).double()
    got = class_maps(maps, layer)
    assert got.shape == (3, 2, 4, 5), f"expected (3, 2, 4, 5), got {tuple(got.shape)}"
    want = layer(maps.mean((2, 3)))
    assert torch.allclose(got.mean((2, 3)), want), "their means are not the scores: what of the bias?"
    step = class_maps(torch.zeros_like(maps).index_fill(3, torch.tensor([0]), 1.0), layer)
    assert not torch.allclose(step[..., 0], step[..., 1]), "the maps must differ from place to place"


# %% tags=["solution"]
check_class_maps(lambda maps, layer: layer(maps.permute(0, 2, 3, 1)).permute(0, 3, 1, 2))
refuses(
    check_class_maps,
    lambda maps, layer: torch.einsum("kc,bchw->bkhw", layer.weight, maps),
    lambda maps, layer: layer(maps.mean((2, 3)))[..., None, None].expand(-1, -1, 4, 5),
    lambda maps, layer: layer(maps.permute(0, 2, 3, 1)),
)

# %% [markdown]
# ### Exercise 2: the other way round
#
# The linear layer behind AlexNet's 256 maps of 6 x 6 can be written as a convolution as well, and then slide over
# larger pictures. Write `as_convolution(linear, maps, side)`: an `nn.Conv2d` that gives on (B, maps, side, side) what
# `linear` gives on the flattened maps.


# %%
def check_as_convolution(as_convolution):
    torch.manual_seed(2)
    layer, x = nn.Linear(3 * 4 * 4, 5).double(), torch.randn(2, 3, 4, 4, dtype=torch.float64)
    made = as_convolution(layer, 3, 4)
    assert isinstance(made, nn.Conv2d), f"an nn.Conv2d is asked for, got {type(made).__name__}"
    got = made(x)
    assert got.shape == (2, 5, 1, 1), f"expected (2, 5, 1, 1), got {tuple(got.shape)}"
    assert torch.allclose(got[:, :, 0, 0], layer(x.flatten(1))), (
        "other numbers: weights by map, row, column; and the bias"
    )
    assert made(torch.zeros(1, 3, 6, 6, dtype=torch.float64)).shape == (1, 5, 3, 3)


# %% tags=["solution"]
def as_convolution(layer, maps, side, arrange=lambda w: w, bias=True):
    made = nn.Conv2d(maps, layer.out_features, side, dtype=layer.weight.dtype)
    with torch.no_grad():
        made.weight.copy_(arrange(layer.weight.view(-1, maps, side, side)))
        made.bias.copy_(layer.bias if bias else torch.zeros_like(layer.bias))
    return made


check_as_convolution(as_convolution)
refuses(
    check_as_convolution,
    lambda layer, maps, side: as_convolution(layer, maps, side, arrange=lambda w: w.transpose(2, 3)),
    lambda layer, maps, side: as_convolution(layer, maps, side, bias=False),
    lambda layer, maps, side: nn.Conv2d(maps, layer.out_features, 1).double(),
)

# %% [markdown]
# ## Sources
#
# - Networks that slide, and the mean at the end: [Lin, Chen and Yan, 2014](#lin2014), sections 3.1, 3.2 and 4.6. The
#   sizes of ours: [Zhang, Lipton, Li and Smola, 2023](#zhang2023), section 8.3.
# - Maps of classes with a linear layer behind the mean: [Zhou et al., 2016](#zhou2016).
