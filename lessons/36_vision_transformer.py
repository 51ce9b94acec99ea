# %% [markdown]
# # A transformer for pictures
#
# A convolution is built for pictures: neighbours belong together, and a thing looks the same everywhere. Cut a picture
# into patches, let every patch look at every other, and none of that is built in. What is needed to make a network of
# it, and what does the freedom cost?

# %% tags=["about"]
covers = ["V17", "S0-2", "S0-5"]
rung = 8
minutes = 60

# %%
import math
from statistics import mean

import torch
from sklearn.datasets import load_digits
from torch import nn

from rungbook.book import refuses, show, source, table
from rungbook.models.registry import create_model
from rungbook.models.vision.vit import EncoderLayer, VisionTransformer
from rungbook.plot.style import sheet
from rungbook.plot.variants import variants
from rungbook.scratch import functional as F
from rungbook.scratch.functional.attention_blocks import plain_attention

# %% [markdown]
# ## Patches
#
# A transformer takes a row of vectors, its [tokens](#token). Each patch of a picture becomes one: its pixels in one row, times
# a matrix. The same matrix for every patch, at places that do not overlap: that is a [convolution](#convolution) whose
# [stride](#stride) is as long as its window. In numbers, with patches of 4 x 4:


# %%
def patches(x, p):
    """(B, C, H, W) -> (B, patches, C p p), row by row."""
    B, C, H, W = x.shape
    x = x.view(B, C, H // p, p, W // p, p).permute(0, 2, 4, 1, 3, 5)  # (B, rows, columns, C, p, p)
    return x.flatten(3).flatten(1, 2)


torch.manual_seed(0)
pictures = torch.randn(2, 3, 8, 12, dtype=torch.float64)
as_conv = nn.Conv2d(3, 16, 4, stride=4, dtype=torch.float64)
tokens = patches(pictures, 4) @ as_conv.weight.flatten(1).T + as_conv.bias
torch.testing.assert_close(tokens, as_conv(pictures).flatten(2).mT, rtol=1e-12, atol=1e-12)
print(
    "pictures", tuple(pictures.shape), "-> patches", tuple(patches(pictures, 4).shape), "-> tokens", tuple(tokens.shape)
)
assert 16 * 16 * 3 == 768  # numbers in a patch of 16 x 16 with three colours; the course's patch layer says 786

# %% [markdown]
# ## One head
#
# Each token asks something of the others: its *query*. Each offers something to be found by, its *key*, and something
# to be taken, its *value*. All three are linear maps of the token. How well query $i$ fits key $j$ is their
# [dot product](#dot-product). A [softmax](#softmax) makes weights of the fits, and the token gets the mean of the
# values by these weights ([attention](#attention), [Vaswani et al., 2017](#vaswani2017)):
#
# $$y_i = \sum_j w_{ij} v_j, \quad w_{ij} = \text{softmax}_j \left( \frac{q_i \cdot k_j}{\sqrt d} \right)$$
#
# A sum of $d$ products of numbers of variance 1 has variance $d$; the root brings it back, or the softmax would
# choose a single token from the start. One token at a time, and the library's:


# %%
def one_head(x, wq, wk, wv):
    """(T, E) tokens and three (d, E) maps -> (T, d)."""
    q, k, v = x @ wq.T, x @ wk.T, x @ wv.T
    rows = []
    for query in q:
        fits = torch.stack([query @ key for key in k]) / math.sqrt(len(query))
        weights = fits.exp() / fits.exp().sum()
        rows.append(sum(w * value for w, value in zip(weights, v, strict=True)))
    return torch.stack(rows)


show(source(plain_attention))
x = torch.randn(6, 8, dtype=torch.float64)
maps = [torch.randn(4, 8, dtype=torch.float64) for _ in range(3)]
slow = one_head(x, *maps)
q, k, v = (x @ w.T for w in maps)
torch.testing.assert_close(F.scaled_dot_product_attention(q, k, v), slow, rtol=1e-12, atol=1e-12)
torch.testing.assert_close(nn.functional.scaled_dot_product_attention(q, k, v), slow, rtol=1e-12, atol=1e-12)

# %% [markdown]
# There is no order in it. Shuffle the tokens, and the same answers come out, shuffled. A heap of patches is as good as
# a picture:

# %%
order = torch.tensor([3, 0, 5, 1, 4, 2])
torch.testing.assert_close(one_head(x[order], *maps), slow[order], rtol=1e-12, atol=1e-12)
place = torch.randn(6, 8, dtype=torch.float64)
known = one_head(x + place, *maps)
assert (one_head(x[order] + place, *maps) - known[order]).abs().max() > 0.1

# %% [markdown]
# So every place gets a vector of its own that is added to the token: its *position*, learned like a weight. With it the
# shuffled patches are another picture.
#
# ## Many heads, and one matrix for all
#
# One softmax makes one mean. To look at several things at once take several heads, each with smaller maps, put their
# answers side by side and mix them by one more matrix. That needs no loop: the maps of all heads stacked are one
# matrix, and those of queries, keys and values below each other are one again. One product does for all what
# $3 h$ did before. The three forms, and torch's layer with the same weights:


# %%
def heads_one_by_one(x, weight, out, h):
    """(B, T, E), the packed (3 E, E) map, the last (E, E) map -> (B, T, E)."""
    wq, wk, wv = (w.chunk(h) for w in weight.chunk(3))
    each = [[one_head(tokens, *three) for three in zip(wq, wk, wv, strict=True)] for tokens in x]
    return torch.stack([torch.cat(found, -1) for found in each]) @ out.T


def heads_together(x, weight, out, h):
    found = []
    for w in zip(*(w.chunk(h) for w in weight.chunk(3)), strict=True):
        found.append(F.scaled_dot_product_attention(*(x @ part.T for part in w)))
    return torch.cat(found, -1) @ out.T


def packed(x, weight, out, h):
    q, k, v = (part.unflatten(-1, (h, -1)).transpose(1, 2) for part in (x @ weight.T).chunk(3, -1))  # (B, h, T, d)
    y = F.scaled_dot_product_attention(q, k, v)  # (B, h, T, d)
    return y.transpose(1, 2).flatten(2) @ out.T


layer = nn.MultiheadAttention(8, 2, bias=False, batch_first=True, dtype=torch.float64)


def torchs(x, weight, out, h):
    return layer(x, x, x, need_weights=False)[0]


x = torch.randn(2, 4, 8, dtype=torch.float64, requires_grad=True)
direction = torch.randn(2, 4, 8, dtype=torch.float64)
found = {}
for form in (heads_one_by_one, heads_together, packed, torchs):
    leaves = [x, layer.in_proj_weight, layer.out_proj.weight]
    y = form(*leaves, 2)
    found[form.__name__] = [y, *torch.autograd.grad((y * direction).sum(), leaves)]
for name, values in found.items():
    for got, expected in zip(values, found["torchs"], strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-12)
    print(f"{name:<17} output and three gradients as torch's")

# %% [markdown]
# More heads cost no more weights: the matrices are cut, not added.
#
# ## A layer, and its norms
#
# Attention mixes tokens and leaves each one's features alone; a small network on each token does the other half. Both
# stand beside a [shortcut](#residual-connection) (lesson 24), and a norm stands *before* each of them and not on the
# shortcut, so that a way without any norm leads from the last layer to the first. The first transformers had it
# behind the sum, and needed a careful [warm-up](#warm-up) to learn at all ([Xiong et al., 2020](#xiong2020)).

# %%
show(source(EncoderLayer.forward))

# %% [markdown]
# The norm is [layer norm](#layer-normalisation): mean and deviation over the features of one token. Batch norm (lesson
# 23) would take them over all tokens of all pictures, with all that follows: two modes, and an answer that depends on
# the company.

# %%
torch.manual_seed(1)
together = torch.randn(5, 7, 16, dtype=torch.float64)
by_hand = (together - together.mean(-1, keepdim=True)) / (together.var(-1, correction=0, keepdim=True) + 1e-6).sqrt()
norm = nn.LayerNorm(16, eps=1e-6, dtype=torch.float64)
torch.testing.assert_close(norm(together), by_hand, rtol=1e-10, atol=1e-12)
whole = EncoderLayer(16, 4, 32, 0.0).double()
assert torch.allclose(whole(together)[:1], whole(together[:1]), atol=1e-12)  # alone or in company: the same


class OverBatch(nn.BatchNorm1d):
    """Batch norm of features, over pictures and tokens."""

    def forward(self, x):
        return super().forward(x.mT).mT


whole.ln_1, whole.ln_2 = OverBatch(16).double(), OverBatch(16).double()
apart = (whole(together)[:1] - whole(together[:1])).abs().max().item()
print(f"one picture, alone or among five, differs by {apart:.2f} with batch norm and by nothing with layer norm")
assert apart > 0.05

# %% [markdown]
# ## The whole network
#
# Who says the class? Either a further token that belongs to no patch and gathers what it needs (`pool="cls"`, as in
# [Dosovitskiy et al., 2021](#dosovitskiy2021)), or the mean of all ([Beyer et al., 2022](#beyer2022), found it as
# good). The last layer reads that one vector:

# %%
show(source(VisionTransformer.forward))

# %% [markdown]
# A course builds one for dogs and cats: 224 x 224 pixels, patches of 16, 384 features, 6 layers of 6 heads. It prints
# 11,019,650 parameters. Where are they? Counted by hand, and in our model:

# %%
E, depth, T = 384, 6, (224 // 16) ** 2 + 1
parts = {
    "patches": 16 * 16 * 3 * E + E,
    "class token": E,
    "positions": T * E,
    "attention": depth * (4 * E * E + 4 * E),
    "networks behind it": depth * (2 * E * 4 * E + 4 * E + E),
    "norms": (2 * depth + 1) * 2 * E,
    "head": E * 2 + 2,
}
course = VisionTransformer(3, 2, width=E, depth=depth, heads=6)
averaged = VisionTransformer(3, 2, width=E, depth=depth, heads=6, pool="mean")
show(table([{"part": name, "parameters": n} for name, n in parts.items()]))
assert sum(parts.values()) == sum(p.numel() for p in course.parameters()) == 11_019_650
assert sum(p.numel() for p in averaged.parameters()) == 11_019_650 - 2 * E  # no class token, and no position for it

# %% [markdown]
# The number of heads is nowhere in it. After ten passes the course has 73.35 % right on dogs and cats
# ([PyTorch-Adventures](#pytorchadventures)). One transform serves both of its parts, so the valid pictures are flipped
# at random as well (lesson 17). A ResNet-18 of the same course came to 87.3 % in five passes, also from scratch and
# with a fault of its own (lesson 35). Is it the transformer?
#
# ## What the freedom costs
#
# Digits of 8 x 8 pixels. A transformer of two layers reads them in 16 patches of 2 x 2; a convolutional network of
# about as many weights reads the pixels. A hundred digits to learn from, the same steps at the same rates,
# tuned for neither, five draws:

# %%
stored = load_digits()
images, digit = torch.tensor(stored.images, dtype=torch.float32)[:, None] / 8 - 1, torch.tensor(stored.target)


def transformer(seed):
    torch.manual_seed(seed)
    size = {"width": 32, "depth": 2, "heads": 4, "hidden": 64, "patch": 2, "image_size": (8, 8)}
    return create_model("vit_ti_16", in_channels=1, num_classes=10, **size)


def convolutional(seed):
    torch.manual_seed(seed)
    net = create_model("conv_net", in_channels=1, num_classes=10, image_size=(8, 8), widths=(14, 28, 56))
    return net.to(memory_format=torch.channels_last)  # the same numbers in another order: faster


def split(seed, n=100):
    order = torch.randperm(len(digit), generator=torch.Generator().manual_seed(seed))
    return order[:n], order[-500:]


def train(net, x, y, steps, batch, seed):
    """AdamW; the rate rises for a tenth of the steps and falls to 0."""
    g = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.AdamW(net.train().parameters(), lr=0.01, fused=True)
    rate = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda i: min(1, 10 * (i + 1) / steps) * (1 - i / steps))
    for _ in range(steps):
        rows = torch.randint(len(x), (batch,), generator=g)
        loss = nn.functional.cross_entropy(net(x[rows]), y[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        rate.step()
    return net.eval()


def right(net, x, y):
    with torch.no_grad():
        return (net(x).argmax(1) == y).double().mean().item()


print("weights:", *(f"{sum(p.numel() for p in make(0).parameters()):,}" for make in (transformer, convolutional)))
SEEDS, scores = range(5), {}
for name, make in (("convolutions", convolutional), ("transformer", transformer)):
    scores[name] = {"train": [], "test": []}
    for seed in SEEDS:
        learn, rest = split(seed)
        net = train(make(seed), images[learn], digit[learn], 60, 64, seed)
        for place, rows in (("train", learn), ("test", rest)):
            scores[name][place].append(right(net, images[rows], digit[rows]))

# %% [markdown]
# Is it the patches? The control cuts every digit into the same 16 patches and lays them down in another order, the same
# for all digits. For a transformer that is no change at all: its positions are learned, and with their
# rows in the new order it gives the same answers.


# %%
def laid_anew(x, order):
    """Patches of 2 x 2 in another order."""
    rows = patches(x, 2)[:, order].view(len(x), 4, 4, 1, 2, 2)
    return rows.permute(0, 3, 1, 4, 2, 5).reshape(x.shape)


anew = torch.randperm(16, generator=torch.Generator().manual_seed(4))
assert torch.equal(laid_anew(images, torch.arange(16)), images)
first, second = transformer(0).double(), transformer(0).double()
for net in (first, second):
    nn.init.normal_(net.heads.head.weight, generator=torch.Generator().manual_seed(5))
with torch.no_grad():
    second.encoder.pos_embedding[:, 1:] = first.encoder.pos_embedding[:, 1:][:, anew]
    a, b = first(images[:20].double()), second(laid_anew(images[:20].double(), anew))
torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)

scores["convolutions, patches laid anew"] = {"train": [], "test": []}
for seed in SEEDS:
    learn, rest = split(seed)
    mixed = laid_anew(images, anew)
    net = train(convolutional(seed), mixed[learn], digit[learn], 60, 64, seed)
    for place, rows in (("train", learn), ("test", rest)):
        scores["convolutions, patches laid anew"][place].append(right(net, mixed[rows], digit[rows]))
show(variants(scores, name="accuracy"))
means = {name: mean(v["test"]) for name, v in scores.items()}
assert mean(scores["transformer"]["train"]) > 0.75 > means["transformer"] + 0.2
assert mean(scores["convolutions"]["train"]) > mean(scores["transformer"]["train"])
assert min(scores["convolutions"]["test"]) > max(scores["transformer"]["test"]) + 0.05
assert means["convolutions"] > means["convolutions, patches laid anew"] + 0.02 > means["transformer"] + 0.1

# %% [markdown]
# With a hundred digits the convolutions are far ahead in every draw. The transformer has fitted its hundred less well in
# the same steps, and of the others it has far fewer right: most of what it learned, it learned by heart. Laid anew, the
# convolutions lose a part of their lead and keep most of it. So which patches are neighbours is only a part of what
# they have built in; the same weights at every place, and neighbours within a patch, are still there. The transformer
# has to learn all of it from the hundred. [Dosovitskiy et al., 2021](#dosovitskiy2021), found the same at the other end: with
# ImageNet's million pictures theirs was some points behind a ResNet of its size, with three hundred million it was
# ahead. What is built in helps while data are few. That is the reason to begin from trained weights here more than
# anywhere (lesson 35).
#
# ## Where it looks
#
# The weights of the class token's means can be drawn: how much it takes from each patch. A transformer that learned
# 1,200 digits, its last layer, each of its four heads:


# %%
def attention(net, x):
    """Weights of each layer's attention, (B, heads, tokens, tokens)."""
    seen = []
    hooks = [layer.ln_1.register_forward_hook(lambda m, i, out: seen.append(out)) for layer in net.encoder.layers]
    with torch.no_grad():
        net(x)
        for hook in hooks:
            hook.remove()
        return [
            layer.self_attention(n, n, n, average_attn_weights=False)[1]
            for layer, n in zip(net.encoder.layers, seen, strict=True)
        ]


learn, rest = split(0, 1200)
net = train(transformer(0), images[learn], digit[learn], 100, 64, 0)
weights = attention(net, images[rest])[-1]
assert torch.allclose(weights.sum(-1), torch.ones(()), atol=1e-5)
looks = weights[:, :, 0, 1:]  # from the class token to the patches: (B, heads, 16)
print(f"right on digits it has not seen: {right(net, images[rest], digit[rest]):.1%}")

# %% tags=["hide-input"]
shown = [int((digit[rest] == d).nonzero()[0]) for d in (0, 1, 7)]


def paint_digit(i):
    def paint(ax):
        ax.imshow(images[rest][i, 0].numpy(), cmap="gray")
        ax.set(title=f"a {digit[rest][i]}", xticks=[], yticks=[])
        ax.grid(False)

    return paint


def paint_map(i, h):
    def paint(ax):
        ax.imshow(looks[i, h].view(4, 4).numpy(), cmap="viridis", vmin=0)
        ax.set(title=f"head {h + 1}", xticks=[], yticks=[])
        ax.grid(False)

    return paint


words = []
for i in shown:
    most = looks[i].argmax(-1).tolist()
    words.append(
        f"for a {digit[rest][i]} the heads look most at the patches (row, column) "
        + ", ".join(f"({m // 4 + 1}, {m % 4 + 1})" for m in most)
    )
paints = [paint for i in shown for paint in (paint_digit(i), *(paint_map(i, h) for h in range(4)))]
show(sheet(paints, f"Three digits and where each head looks: {'; '.join(words)}.", columns=5, size=(1.1, 1.25)))

# %% [markdown]
# Such pictures are easily believed. They show where values were taken from, not why, and behind the first layer a
# token holds a mixture of all patches anyway. A test: blank four patches of each digit, those with most weight over
# the heads, those with least, or any four. If the maps say what mattered, the first must hurt most.

# %%
overall = looks.mean(1)  # (B, 16)


def right_without(chosen):
    """Share right with some patches of each picture made background."""
    x = patches(images[rest], 2).clone()
    x.scatter_(1, chosen[:, :, None].expand(-1, -1, x.shape[2]), -1.0)
    x = x.view(len(x), 4, 4, 1, 2, 2).permute(0, 3, 1, 4, 2, 5).reshape(len(x), 1, 8, 8)
    return right(net, x, digit[rest])


g = torch.Generator().manual_seed(6)
blanked = {
    "none": right_without(torch.empty(len(rest), 0, dtype=torch.long)),
    "four with least weight": right_without(overall.topk(4, largest=False).indices),
    "any four": mean(right_without(torch.rand(len(rest), 16, generator=g).topk(4).indices) for _ in range(5)),
    "four with most weight": right_without(overall.topk(4).indices),
}
show(table([{"blanked": name, "right": v} for name, v in blanked.items()]))
assert blanked["four with least weight"] > blanked["any four"] + 0.03 > blanked["four with most weight"] + 0.13

# %% [markdown]
# They do mean something here: what gets much weight matters, and what gets little can go. That holds for this
# network and these digits; it has to be tested anew for each, and a map that was never tested is an illustration.
#
# What people get wrong: the same vector for every place, or none, so that a picture is a heap; heads cut by `view`
# alone, which mixes tokens and has the right shape (exercise 2); a course's figure compared with another's as if both had
# had the same passes, data and faults.
#
# So what is needed? Patches, positions, attention, a network behind it, norms before both, shortcuts beside both, and
# one token that speaks. And what does the freedom cost? Data, or somebody else's weights.
#
# ## Exercises
#
# ### Exercise 1: a row of patches
#
# Write `tokens_of(x, weight)`: what a convolution of `weight` (E, C, p, p) with stride p makes of pictures (B, C, H,
# W), as tokens (B, patches, E), row by row, without any convolution. A right answer also fits pictures that are not
# square.


# %%
def check_tokens(tokens_of):
    torch.manual_seed(2)
    for shape, E, p in (((2, 3, 8, 8), 5, 4), ((1, 1, 6, 4), 3, 2), ((2, 2, 3, 9), 4, 3)):
        x = torch.randn(shape, dtype=torch.float64)
        weight = torch.randn(E, shape[1], p, p, dtype=torch.float64)
        expected = nn.functional.conv2d(x, weight, stride=p).flatten(2).mT
        got = tokens_of(x, weight)
        assert got.shape == expected.shape, f"{tuple(expected.shape)} is needed, got {tuple(got.shape)}"
        hint = "view alone cuts stripes and no squares; columns run before rows, channels before pixels"
        assert torch.allclose(got, expected), f"pictures {shape}: the numbers differ; {hint}"


# %% tags=["solution"]
def right_tokens(x, weight):
    return patches(x, weight.shape[-1]) @ weight.flatten(1).T


def stripes(x, weight):
    p = weight.shape[-1]
    return x.reshape(len(x), -1, x.shape[1] * p * p) @ weight.flatten(1).T


def columns_first(x, weight):
    return right_tokens(x.mT, weight)


def channels_last(x, weight):
    p = weight.shape[-1]
    rows = patches(x, p).unflatten(-1, (x.shape[1], p * p)).transpose(-1, -2).flatten(2)
    return rows @ weight.flatten(1).T


check_tokens(right_tokens)
refuses(check_tokens, stripes, columns_first, channels_last)

# %% [markdown]
# ### Exercise 2: cut into heads
#
# Write `into_heads(x, h)`: features (B, T, E) as heads (B, h, T, E / h). Head 0 gets the first E / h features of every
# token. The usual mistake has the right shape.


# %%
def check_heads(into_heads):
    x = torch.arange(2 * 6 * 12, dtype=torch.float64).view(2, 6, 12)
    for h in (1, 2, 3, 4):
        got = into_heads(x, h)
        assert got.shape == (2, h, 6, 12 // h), f"(2, {h}, 6, {12 // h}) is needed, got {tuple(got.shape)}"
        for i, part in enumerate(x.chunk(h, -1)):
            assert torch.equal(got[:, i], part), (
                f"head {i} of {h} must hold the features of every token, not other tokens"
            )


# %% tags=["solution"]
check_heads(lambda x, h: x.unflatten(-1, (h, -1)).transpose(1, 2))
refuses(
    check_heads,
    lambda x, h: x.view(len(x), h, x.shape[1], -1),
    lambda x, h: x.unflatten(-1, (-1, h)).permute(0, 3, 1, 2),
    lambda x, h: x.unflatten(-1, (h, -1)),
)

# %% [markdown]
# ## Sources
#
# - The vision transformer: [Dosovitskiy et al., 2021](#dosovitskiy2021). Attention and many heads: [Vaswani et al.,
#   2017](#vaswani2017). Norms before or behind: [Xiong et al., 2020](#xiong2020). Layer norm: [Ba et al.,
#   2016](#ba2016). A mean in place of the class token: [Beyer et al., 2022](#beyer2022).
# - The course's model and figures: [PyTorch-Adventures](#pytorchadventures).
