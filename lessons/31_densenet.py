# %% [markdown]
# # DenseNet: keep what you have
#
# A residual block adds what it found to what came in (lesson 24); after the sum nobody can tell the two apart. DenseNet
# puts it beside. What does a network gain by throwing nothing away?

# %% tags=["about"]
covers = ["V09"]
rung = 8
minutes = 30

# %%
import copy
from statistics import mean

import torch
from sklearn.datasets import load_digits
from torch import nn

from rungbook.book import refuses, show, source, table
from rungbook.models.registry import MODELS, create_model
from rungbook.models.vision.densenet import DenseLayer, Transition
from rungbook.plot.style import THIRD, TRAIN, VALID, draw, number
from rungbook.plot.variants import variants
from rungbook.recipes.comparison import compare

# %% [markdown]
# ## Beside in place of on top
#
# In the order of history it comes after GoogLeNet (lesson 30), which puts maps side by side, and after ResNet (lesson
# 24), which gives layers a way around. It does both: each layer's few new maps are put behind all that came in, and
# handed on ([Huang et al., 2017](#huang2017)).

# %%
show(source(DenseLayer))
torch.manual_seed(0)
block = nn.Sequential(*(DenseLayer(16 + 4 * i, growth=4) for i in range(3))).double().eval()
x = torch.randn(2, 16, 6, 6, dtype=torch.float64)
with torch.no_grad():
    after = [x]
    for layer in block:
        after.append(layer(after[-1]))
print("maps:", " -> ".join(str(one.shape[1]) for one in after))
for earlier in after:
    torch.testing.assert_close(after[-1][:, : earlier.shape[1]], earlier, rtol=0, atol=0)

# %% [markdown]
# What came in, and what each layer made of it, stands at the end unchanged. Each layer reads all of it. With $L$
# layers that is $L(L+1)/2$ ways from one to another, the input counted, where a plain network has $L$. The number of
# new maps a layer is called the growth rate. It can be small, 4 here and 32 in the paper's networks for ImageNet,
# since a layer need not repeat what is there already.
#
# The maps become many. So a layer first makes them few by a 1 x 1 (lesson 29), and between blocks a transition
# halves their number and the picture:

# %%
show(source(Transition))

# %% [markdown]
# ## Fewer parameters
#
# A plain layer from $C$ maps to $C$ has $9C^2$ weights. A dense layer that reads $C$ maps has $4kC + 36k^2$ with
# growth rate $k$: in $C$ it grows along a line, not a square.


# %%
def plain_and_dense(maps, growth=32):
    plain = nn.Conv2d(maps, maps, 3, bias=False).weight.numel()
    layer = DenseLayer(maps, growth)
    dense = sum(conv.weight.numel() for conv in (layer.conv1, layer.conv2))
    assert plain == 9 * maps**2 and dense == 4 * growth * maps + 36 * growth**2
    return plain, dense


for maps in (64, 256, 1024):
    plain, dense = plain_and_dense(maps)
    print(f"{maps:>5} maps: {plain:>9,} weights plain, {dense:>7,} dense")
assert plain > 50 * dense

# %% [markdown]
# The paper's figure 3 has DenseNet-201 at about the error of ResNet-101 on ImageNet. What each has and does, counted
# for a picture of 224 x 224; the last column is the numbers that [autograd](#autograd) holds for the way back:

# %%
from torch.utils.flop_counter import FlopCounterMode


def counted(name):
    held = {}

    def keep(tensor):
        held[tensor.untyped_storage()._cdata] = tensor  # each memory once, and alive until it is counted
        return tensor

    with torch.device("meta"):  # shapes without numbers: nothing is drawn, stored or multiplied
        net, picture = create_model(name), torch.empty(1, 3, 224, 224)
        with FlopCounterMode(display=False) as counter, torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
            net(picture)
    weights = {p.untyped_storage()._cdata for p in (*net.parameters(), *net.buffers())}
    parameters = sum(p.numel() for p in net.parameters())
    assert parameters == MODELS[name].counted
    return {
        "network": name,
        "parameters": parameters,
        "multiplications": counter.get_total_flops() // 2,
        "held": sum(t.untyped_storage().nbytes() // t.element_size() for key, t in held.items() if key not in weights),
    }


rows = [counted(name) for name in ("densenet201", "resnet101")]
show(table(rows))
dense, residual = rows
assert dense["parameters"] < 0.5 * residual["parameters"]
assert dense["multiplications"] < 0.6 * residual["multiplications"]
assert dense["held"] > residual["held"]

# %% [markdown]
# Half the parameters, a little more than half of the multiplications, and about the same error. On CIFAR-10 with
# augmentation the paper has 4.51 % errors with 0.8 million parameters, where a ResNet of 1,001 layers had 4.62 with
# 10.2 million. But what is put side by side is copied, normalised and kept, layer by layer: in memory the dense
# network is the larger one. Parameters are not what fills a card. (`activation_checkpointing=True` in the learner
# computes blocks a second time in place of keeping them.)
#
# ## A short way to every layer
#
# Within a block the last layer reads the first one's output directly; from block to block the way leads through a
# transition. So inside a block the first layer's [gradient](#gradient) has a way of length one, whatever lies between.
# Networks of one block: 16 linear layers with ReLU, torch's own start, no [norm](#normalisation):
# plain, with sums, and dense with growth rate 8. Widths are such that all three have about as many parameters:


# %%
class Net(nn.Module):
    def __init__(self, kind, norm, depth=16, stem=32, growth=8):
        super().__init__()
        self.kind = kind
        first = width = 28 if kind != "dense" else stem
        self.stem, self.layers = nn.Linear(64, first), nn.ModuleList()
        for _ in range(depth):
            self.layers.append(self.part(width, growth if kind == "dense" else first, norm))
            width += growth if kind == "dense" else 0
        self.end = self.part(width, 10, norm)

    @staticmethod
    def part(width, out, norm):
        return nn.Sequential(*([nn.BatchNorm1d(width)] if norm else []), nn.ReLU(), nn.Linear(width, out))

    def forward(self, x):
        x = self.stem(x)
        for layer in self.layers:
            new = layer(x)
            x = torch.cat([x, new], 1) if self.kind == "dense" else x + new if self.kind == "sums" else new
        return self.end(x)


stored = load_digits()
pixels, digit = torch.tensor(stored.data, dtype=torch.float32) / 16, torch.tensor(stored.target)
KINDS, SEEDS = {"plain": VALID, "sums": THIRD, "dense": TRAIN}, range(5)


def make(kind, norm, seed):
    torch.manual_seed(seed)
    return Net(kind, norm)


def gradients(kind, seed):
    net = make(kind, False, seed)
    nn.functional.cross_entropy(net(pixels[:256]), digit[:256]).backward()
    return [layer[-1].weight.grad.norm().item() for layer in net.layers]


size = {kind: sum(p.numel() for p in make(kind, False, 0).parameters()) for kind in KINDS}
print("parameters:", size)
assert max(size.values()) < 1.05 * min(size.values())
arriving = {kind: [mean(g) for g in zip(*(gradients(kind, s) for s in SEEDS), strict=True)] for kind in KINDS}
faded = {kind: g[0] / g[-1] for kind, g in arriving.items()}
print("first layer's gradient over the last one's:", {kind: number(ratio) for kind, ratio in faded.items()})
assert faded["plain"] < 1e-3 and faded["dense"] > 0.1 and faded["sums"] > 0.1


# %% tags=["hide-input"]
def paint_arriving(ax):
    for kind, colour in KINDS.items():
        ax.plot(range(1, 17), arriving[kind], "o-", color=colour, label=kind, markersize=3)
    ax.set(xlabel="layer", ylabel="size of the gradient", yscale="log")
    ax.legend(frameon=False)


show(
    draw(
        paint_arriving,
        "Size of each layer's gradient before the first step, mean of five seeds. First and last of 16 layers: "
        + "; ".join(f"{kind} {number(g[0])} and {number(g[-1])}" for kind, g in arriving.items())
        + ".",
        size=(4.2, 2.5),
    )
)

# %% [markdown]
# In the plain network it fades by a factor a layer (the [vanishing gradient](#vanishing-gradient)); the other two hand
# it on. Now with [batch norm](#batch-normalisation), so that all three can learn: 30 steps of SGD with momentum on 500
# digits, judged on 797 others, five seeds:


# %%
def train(kind, seed, steps=30):
    net = make(kind, True, seed)
    order = torch.randperm(len(pixels), generator=torch.Generator().manual_seed(seed))
    learn, rest = order[:500], order[1000:]
    optimiser = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, foreach=True)
    for _ in range(steps):
        loss = nn.functional.cross_entropy(net(pixels[learn]), digit[learn])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        return net, (net.eval()(pixels[rest]).argmax(1) == digit[rest]).double().mean().item()


trained = {kind: [train(kind, seed) for seed in SEEDS] for kind in KINDS}
right = {kind: [accuracy for _, accuracy in runs] for kind, runs in trained.items()}
show(variants({kind: {"test": found} for kind, found in right.items()}, name="accuracy"))
for other in ("plain", "sums"):
    print(compare(right["dense"], right[other], metric="accuracy", names=("dense", other)).words)
assert min(right["dense"]) > max(right["plain"]) and mean(right["dense"]) > mean(right["sums"]) - 0.02

# %% [markdown]
# Dense beats plain in every seed. Between dense and sums the line above says what five seeds can tell; on clothes the
# two recipes `rung train densenet` and `rung train resnet` let you look further.
#
# ## Is the old really used?
#
# That a layer can read everything does not mean it does. Take ways out of the trained networks: a layer (and the end)
# may read only what was made at most so many layers before it, the rest of its weights is set to 0. Without further
# training, how many digits are still right?

# %%

BOUNDS = [0, 32, *range(40, 32 + 8 * 16 + 1, 8)]  # the stem's 32 numbers, then 8 a layer
LONGEST = (1, 2, 4, 8, 12, 16, 17)


def without_long_ways(net, longest):
    """A copy in which no way leads over more than `longest` layers, from one to the next being 1."""
    cut = copy.deepcopy(net)
    with torch.no_grad():
        for j, part in enumerate([*cut.layers, cut.end]):
            part[-1].weight[:, : BOUNDS[max(0, j + 1 - longest)]] = 0
    return cut


left = {}
for longest in LONGEST:
    found = []
    for seed, (net, _) in enumerate(trained["dense"]):
        rest = torch.randperm(len(pixels), generator=torch.Generator().manual_seed(seed))[1000:]
        with torch.no_grad():
            said = without_long_ways(net, longest)(pixels[rest]).argmax(1)
        found.append((said == digit[rest]).double().mean().item())
    left[longest] = mean(found)
assert abs(left[17] - mean(right["dense"])) < 1e-9  # nothing is cut
assert left[8] < left[17] - 0.1 and left[1] < 0.5


# %% tags=["hide-input"]
def paint_left(ax):
    ax.plot(LONGEST, list(left.values()), "o-", color=TRAIN)
    ax.axhline(0.1, color=VALID, linestyle="--", label="a guess")
    ax.set(xlabel="longest way kept, in layers", ylabel="right", ylim=(0, 1), xticks=LONGEST)
    ax.legend(frameon=False)


show(
    draw(
        paint_left,
        "Share of digits right with no way longer than so many layers, mean of five seeds: "
        + ", ".join(f"{longest} {value:.0%}" for longest, value in left.items())
        + ".",
        size=(4.0, 2.4),
    )
)

# %% [markdown]
# The long ways carry much of what these networks know. (The paper's figure 5 shows the same by the size of the
# weights. After thirty steps those are still near what they were drawn as, and would show next to nothing here.)
#
# What people get wrong: they widen the growth rate as if it were a layer's width. With $k$ doubled each layer reads
# twice as many maps and makes twice as many of them: four times the weights. And they count parameters where memory
# is short.
#
# So what does a network gain? Layers that need only add what is new, so that they can be thin, and within a block
# a way of length one from its end to each of them. It pays with memory.
#
# ## Exercises
#
# ### Exercise 1: maps and weights
#
# Write `grown(stem, growth, depths)`: the number of maps at the end of a DenseNet, with `depths` layers in its blocks
# and a transition that halves the maps (rounded down) after each block but the last.


# %%
def check_grown(grown):
    for stem, growth, depths in ((64, 32, (6, 12, 24, 16)), (16, 8, (2, 2, 2, 2)), (9, 4, (3,)), (9, 4, (2, 1))):
        with torch.device("meta"):
            made = create_model("densenet121", stem=stem, growth=growth, depths=depths)
        got, want = grown(stem, growth, depths), made.classifier.in_features
        assert got == want, f"{stem}, {growth}, {depths}: {got}, the network's last layer reads {want}"


# %% tags=["solution"]
def grown(stem, growth, depths, halve=lambda maps, i, last: maps if i == last else maps // 2):
    maps = stem
    for i, depth in enumerate(depths):
        maps = halve(maps + growth * depth, i, len(depths) - 1)
    return maps


check_grown(grown)
refuses(
    check_grown,
    lambda stem, growth, depths: stem + growth * sum(depths),
    lambda stem, growth, depths: grown(stem, growth, depths, lambda maps, i, last: maps // 2),
    lambda stem, growth, depths: growth * depths[-1],
    lambda stem, growth, depths: grown(0, growth, depths),
)

# %% [markdown]
# ### Exercise 2: the same without copies
#
# A linear layer on numbers put side by side is the sum of linear layers on the parts. Write `read(parts, weight)`:
# what `torch.cat(parts, 1) @ weight.T` gives, without putting the parts side by side. So a dense layer is a sum over
# ways too, each with weights of its own.


# %%
def check_read(read):
    torch.manual_seed(4)
    parts = [torch.randn(5, n, dtype=torch.float64) for n in (6, 2, 3)]
    weight = torch.randn(4, 11, dtype=torch.float64)
    want = torch.cat(parts, 1) @ weight.T
    joining = {name: getattr(torch, name) for name in ("cat", "concat", "concatenate", "hstack", "column_stack")}
    try:
        for name in joining:
            setattr(torch, name, None)
        got = read(parts, weight)
    except TypeError as error:
        raise AssertionError("without torch.cat: each part with its own columns of the weight") from error
    finally:
        for name, function in joining.items():
            setattr(torch, name, function)
    assert got.shape == want.shape, f"expected {tuple(want.shape)}, got {tuple(got.shape)}"
    assert torch.allclose(got, want), "other numbers: which columns of the weight belong to which part?"


# %% tags=["solution"]
def read(parts, weight):
    columns = weight.split([part.shape[1] for part in parts], dim=1)
    return sum(part @ w.T for part, w in zip(parts, columns, strict=True))


check_read(read)
refuses(
    check_read,
    lambda parts, weight: torch.cat(parts, 1) @ weight.T,
    lambda parts, weight: sum(part @ weight[:, : part.shape[1]].T for part in parts),
    lambda parts, weight: read(parts[:2], weight[:, :8]),
    lambda parts, weight: read(parts[::-1], weight),
)

# %% [markdown]
# ## Sources
#
# - DenseNet: [Huang et al., 2017](#huang2017): growth rate 3, CIFAR-10 4.3 and table 2, ImageNet figure 3, reuse figure 5.
# - Sums in place of it: [He et al., 2016](#he2016).
