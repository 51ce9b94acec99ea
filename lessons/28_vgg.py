# %% [markdown]
# # VGG: small windows, many of them
#
# AlexNet looks first through windows of 11 x 11 pixels, then of 5 x 5. VGG, two years later, has windows of 3 x 3 and
# no others, and is much better. How can a network see more through smaller windows?

# %% tags=["about"]
covers = ["V04"]
rung = 8
minutes = 30

# %%
from statistics import mean

import torch
from sklearn.datasets import load_digits
from torch import nn

from rungbook.book import refuses, show, source, table
from rungbook.models.registry import MODELS, create_model
from rungbook.models.vision.vgg import VGG
from rungbook.plot.style import sheet
from rungbook.plot.variants import variants
from rungbook.recipes.comparison import compare

# %% [markdown]
# ## Two windows see as far as a larger one
#
# A number behind a 3 x 3 [convolution](#convolution) depends on 3 x 3 pixels. Behind a second one it depends on
# 3 x 3 numbers of the first, which together depend on 5 x 5 pixels: its [receptive field](#receptive-field). A
# [gradient](#gradient) shows it without any counting. Send a picture through, ask for the gradient of the number in
# the middle, and see which pixels it reaches. All weights are 1 here, so that a pixel's gradient is the number of
# ways from it to that number:


# %%
def ways(kernels, side=11):
    """The number of ways from each pixel to the number in the middle, through convolutions with these kernels."""
    x = torch.zeros(1, 1, side, side, dtype=torch.float64, requires_grad=True)
    y = x
    for k in kernels:
        y = torch.conv2d(y, torch.ones(1, 1, k, k, dtype=torch.float64), padding=k // 2)
    y[0, 0, side // 2, side // 2].backward()
    return x.grad[0, 0]


def reach(kernels):
    """The side of the square of pixels that matter."""
    return int((ways(kernels) > 0).any(0).sum())


STACKS = ((3, 3), (5,), (3, 3, 3), (7,))
assert [reach(kernels) for kernels in STACKS] == [5, 5, 7, 7]


# %% tags=["hide-input"]
def named(kernels):
    return {1: "", 2: "two ", 3: "three "}[len(kernels)] + f"{kernels[0]} x {kernels[0]}"


def paint_ways(kernels):
    def paint(ax):
        found = ways(kernels)
        ax.imshow(found.numpy(), cmap="viridis", vmin=0)
        for i, j in found.nonzero().tolist():
            dark = found[i, j] < 0.6 * found.max()
            ax.text(
                j, i, f"{found[i, j]:.0f}", ha="center", va="center", fontsize=6, color="white" if dark else "black"
            )
        ax.set(title=named(kernels), xticks=[], yticks=[])
        ax.title.set_fontsize(8)
        ax.grid(False)

    return paint


words = "; ".join(
    f"{named(kernels)}: {reach(kernels)} x {reach(kernels)} pixels, "
    f"{ways(kernels).max():.0f} from the middle and 1 from a corner"
    for kernels in STACKS
)
show(sheet([paint_ways(kernels) for kernels in STACKS], f"Ways from each pixel. {words}.", columns=4, size=(1.7, 1.8)))

# %% [markdown]
# Two see as far as one of 5 x 5, three as far as one of 7 x 7. Not quite alike: from the middle more ways lead
# through the stack than from the rim. With random weights it is the same in the mean, so that a deep network
# looks mostly at the middle of its receptive field ([Luo et al., 2016](#luo2016)).
#
# ## Fewer weights
#
# With $C$ maps in and out a convolution of side $k$ has $k^2C^2$ weights. Each is used at every place, so the
# multiplications go the same way:

# %%
C = 64


def stack(kernels, maps=C):
    return nn.Sequential(
        *(part for k in kernels for part in (nn.Conv2d(maps, maps, k, padding=k // 2, bias=False), nn.ReLU()))
    )


weights = {kernels: sum(p.numel() for p in stack(kernels).parameters()) for kernels in STACKS}
rows = []
for kernels, count in weights.items():
    rows.append(
        {
            "stack": named(kernels),
            "sees": f"{reach(kernels)} x {reach(kernels)}",
            "weights": count,
            "in C squared": count // C**2,
            "ReLUs": len(kernels),
        }
    )
show(table(rows))
assert [row["in C squared"] for row in rows] == [18, 25, 27, 49]
more = weights[7,] / weights[3, 3, 3] - 1
print(f"a 7 x 7 has {more:.0%} more weights than three 3 x 3")
assert round(more, 2) == 0.81

# %% [markdown]
# ## What lies between them
#
# Leave out the ReLU between two 3 x 3 convolutions, and they *are* a 5 x 5 convolution, since a linear map of a
# linear map is linear (lesson 8). Its kernel is the first kernel sent through the second:


# %%
def one_kernel(first, second):
    """The kernel (O, C, 5, 5) of two convolutions in a row, (M, C, 3, 3) and then (O, M, 3, 3)."""
    return torch.conv2d(first.transpose(0, 1), second.flip(2, 3), padding=2).transpose(0, 1)


torch.manual_seed(0)
first, second = torch.randn(4, 3, 3, 3, dtype=torch.float64), torch.randn(5, 4, 3, 3, dtype=torch.float64)
x = torch.randn(2, 3, 12, 12, dtype=torch.float64)
kernel = one_kernel(first, second)
print("kernels", tuple(first.shape), "and", tuple(second.shape), "make one of", tuple(kernel.shape))
in_a_row = torch.conv2d(torch.conv2d(x, first), second)
torch.testing.assert_close(in_a_row, torch.conv2d(x, kernel), rtol=1e-12, atol=1e-12)


# %% [markdown]
# So without the ReLU there would be nothing to gain. The pair could even do less: of one map it has 18 weights to make
# 25 with. With the ReLU no kernel of any size does the same, for a linear map answers to $-x$ with the opposite:

# %%
bent = torch.conv2d(torch.conv2d(x, first).relu(), second)
turned = torch.conv2d(torch.conv2d(-x, first).relu(), second)
torch.testing.assert_close(torch.conv2d(-x, kernel), -torch.conv2d(x, kernel), rtol=1e-12, atol=1e-12)
off = ((bent + turned).norm() / bent.norm()).item()
print(f"with a ReLU between, f(x) + f(-x) is {off:.2f} of the size of f(x); a linear map has 0")
assert off > 0.5

# %% [markdown]
# ## Blocks
#
# If all windows are alike, a network is a table: how many convolutions and how many maps each stage has. After each
# stage the picture is halved and the maps are doubled, up to 512. The paper goes through six such tables, from 11
# layers to 19, and little but the depth changes ([Simonyan and Zisserman, 2015](#simonyan2015)).

# %%
show(source(VGG.__init__))

# %%
rows = []
for name in ("vgg11", "vgg13", "vgg16", "vgg19"):
    with torch.device("meta"):  # shapes without numbers: nothing is drawn or stored
        net = create_model(name)
    head = sum(p.numel() for p in net.classifier.parameters())
    counted = sum(p.numel() for p in net.parameters())
    assert counted == MODELS[name].counted  # as published
    rows.append(
        {
            "network": name,
            "convolutions": " + ".join(map(str, MODELS[name].options["depths"])),
            "parameters": counted,
            "of them in the linear layers": f"{head / counted:.0%}",
        }
    )
show(table(rows))
assert rows[3]["parameters"] - rows[0]["parameters"] < 0.1 * rows[0]["parameters"]
first_linear = net.classifier[0].weight.numel()
print(f"the first linear layer alone: {first_linear:,}")
assert first_linear == 512 * 7 * 7 * 4096 == 102_760_448

# %% [markdown]
# Eight more convolutions cost eight percent more weights. Nearly all are where AlexNet had them, in the linear
# layers; to be rid of those is the next lesson.
#
# ## Does it pay?
#
# The paper replaced each pair of its network B by a 5 x 5, and the error rose by 7 %. On 500 digits of 8 x 8, with
# two stages of 8 maps, [batch norm](#batch-normalisation) after each convolution, 50 steps of Adam, judged on 797
# others, five seeds:

# %%
stored = load_digits()
pixels, digit = torch.tensor(stored.images, dtype=torch.float32)[:, None], torch.tensor(stored.target)
pixels = (pixels - pixels.mean()) / pixels.std()


def network(kernels, seed, maps=8):
    torch.manual_seed(seed)

    def stage():
        parts = (
            (nn.Conv2d(maps, maps, k, padding=k // 2, bias=False), nn.BatchNorm2d(maps), nn.ReLU()) for k in kernels
        )
        return [layer for part in parts for layer in part]

    begin = [nn.Conv2d(1, maps, 1, bias=False), nn.BatchNorm2d(maps), nn.ReLU()]
    end = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(maps, 10)]
    return nn.Sequential(*begin, *stage(), nn.MaxPool2d(2), *stage(), *end)


def train(kernels, seed, steps=50):
    net = network(kernels, seed)
    order = torch.randperm(len(pixels), generator=torch.Generator().manual_seed(seed))
    learn, rest = order[:500], order[1000:]
    optimiser = torch.optim.Adam(net.parameters(), lr=0.01, foreach=True)
    for step in range(steps):
        batch = learn[torch.arange(step * 64, step * 64 + 64) % 500]
        loss = nn.functional.cross_entropy(net(pixels[batch]), digit[batch])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        return (net.eval()(pixels[rest]).argmax(1) == digit[rest]).double().mean().item()


right = {kernels: [train(kernels, seed) for seed in range(5)] for kernels in STACKS}
show(variants({named(kernels): {"test": found} for kernels, found in right.items()}, name="accuracy"))
for small, large in (STACKS[:2], STACKS[2:]):
    print(compare(right[small], right[large], metric="accuracy", names=(named(small), named(large))).words)
    assert weights[small] < weights[large]
assert all(mean(found) > 0.5 for found in right.values())

# %% [markdown]
# On digits the pairs are not distinguishable: five seeds leave differences of ten points and more open. That the small
# windows do better is the paper's finding with 1.2 million pictures, and not borne out here.
#
# [d2l](#zhang2023) trains VGG-11 with a quarter of its maps on Fashion-MNIST. Readers' runs of that one notebook end
# between 90.0 and 91.6 % on test: as far apart as two architectures of this chapter. A single run compares nothing.
# A small form that trains on a processor, on 10,000 of the pictures, is in the ledger; mean and
# spread of its seeds: <!-- ledger: vgg data=fashion-mnist train_samples=10000 | test accuracy -->86.3 ± 2.1 %<!-- / -->.
#
# What people get wrong: they conclude that deeper is better. From 16 layers to 19 the paper gains nothing more, and
# the deep ones it could at first only train with layers taken from a trained shallow one; [Glorot's
# start](#glorot2010), it adds, would have done as well. What came next for depth: [batch norm](#batch-normalisation)
# (lesson 23) and shortcuts (lesson 24).
#
# So how does a network see more through smaller windows? Behind each other they see as far as one large one, with
# fewer weights, and between them there is room for a ReLU, without which it would all be one window again.
#
# ## Exercises
#
# ### Exercise 1: how many, and how much cheaper?
#
# Write `replace(k)`: how many 3 x 3 convolutions see as far as one of side `k` (odd, 3 or more), and the share of its
# weights they need, all maps being equally many.


# %%
def check_replace(replace):
    for k in (3, 5, 7, 11):
        count, share = replace(k)
        assert reach((3,) * count) == k, f"{count} of 3 x 3 see {reach((3,) * count)}, {k} is wanted"
        got = sum(p.numel() for p in stack((3,) * count, 4).parameters())
        want = got / sum(p.numel() for p in stack((k,), 4).parameters())
        assert abs(share - want) < 1e-9, f"k = {k}: share {share:.3f}, counted {want:.3f}"


# %% tags=["solution"]
check_replace(lambda k: ((k - 1) // 2, 9 * ((k - 1) // 2) / k**2))
refuses(
    check_replace,
    lambda k: (k // 3, 9 * (k // 3) / k**2),
    lambda k: ((k - 1) // 2, 9 / k**2),
    lambda k: ((k - 1) // 2, 3 * ((k - 1) // 2) / k),
    lambda k: (k - 2, 9 * (k - 2) / k**2),
)

# %% [markdown]
# ### Exercise 2: from a picture to the table
#
# Write `vgg_layers(depths, side)`: for each stage the side of the maps that its convolutions see, and the receptive
# field of its last convolution in pixels. A pooling of 2 x 2 doubles the step from one number to the next. A right
# answer agrees with what a gradient finds.


# %%
def seen(depths, stage):
    """The receptive field of the last convolution of a stage, found by the gradient."""
    side = 256
    x = torch.zeros(1, 1, side, side, requires_grad=True)
    y = x
    for i in range(stage + 1):
        y = y if i == 0 else nn.functional.avg_pool2d(y, 2)
        for _ in range(depths[i]):
            y = torch.conv2d(y, torch.ones(1, 1, 3, 3), padding=1)
    y[0, 0, y.shape[2] // 2, y.shape[3] // 2].backward()
    return int((x.grad[0, 0] != 0).any(0).sum())


def check_vgg_layers(vgg_layers):
    for depths in ((1, 1, 2), (2, 2, 3)):
        found = [tuple(row) for row in vgg_layers(depths, 224)]
        assert len(found) == len(depths), "one row for each stage"
        for i, row in enumerate(found):
            want = (224 // 2**i, seen(depths, i))
            assert row == want, f"stage {i + 1} of {depths}: {row}, should be {want}; a pooling looks further itself"


# %% tags=["solution"]
def vgg_layers(depths, side, pooling=True, doubled=True):
    rows, field, step = [], 1, 1
    for i, depth in enumerate(depths):
        if i > 0:
            field += step if pooling else 0
            step *= 2 if doubled else 1
        field += 2 * step * depth
        rows.append((side // 2**i, field))
    return rows


check_vgg_layers(vgg_layers)
refuses(
    check_vgg_layers,
    lambda depths, side: vgg_layers(depths, side, pooling=False),
    lambda depths, side: vgg_layers(depths, side, doubled=False),
    lambda depths, side: [(side, field) for _, field in vgg_layers(depths, side)],
)

# %% [markdown]
# ## Sources
#
# - VGG: [Simonyan and Zisserman, 2015](#simonyan2015): small windows 2.3, the start 3.1, depth and the 5 x 5 4.1.
# - Most looks go to the middle: [Luo et al., 2016](#luo2016).
# - A quarter of the maps on Fashion-MNIST: [Zhang, Lipton, Li and Smola, 2023](#zhang2023), section 8.2.
