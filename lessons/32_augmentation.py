# %% [markdown]
# # Change the picture, keep the label
#
# A digit moved by one pixel is the same digit. A network is told pixels and does not know that. If it is shown moved
# copies, it can learn it, and nobody has to label anything. Which changes tell it something true, how are they made
# for a whole batch at once, and when does a change tell a lie?

# %% tags=["about"]
covers = ["D04", "D06", "D05"]
rung = 8
minutes = 55

# %%
import time
from statistics import mean, stdev

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_digits, load_sample_image
from torch import nn
from torch.nn import functional as F

from rungbook.book import refuses, show, source
from rungbook.data import draws
from rungbook.data.augment.boxes import Scene
from rungbook.data.augment.flip_crop import FlipCrop
from rungbook.data.augment.geometry import Affine, Flip, Zoom
from rungbook.data.augment.grid import Grid, affine, corners, perspective
from rungbook.data.augment.policy import AugMix, RandAugment
from rungbook.data.augment.resize import resize
from rungbook.data.augment.show import operations_picture, steps_picture
from rungbook.data.worlds.registry import make_world
from rungbook.plot.augment import View, view_grid
from rungbook.plot.variants import variants
from rungbook.recipes.comparison import compare

# %% [markdown]
# ## Digits somewhere on a sheet
#
# Digits of 8 x 8 pixels lie anywhere on sheets of 12 x 12. A network with one [hidden layer](#hidden-layer) learns
# 300 of them and is asked about 797 others. In the second training each sheet is moved at random, by at most two
# pixels, each time it is used: [data augmentation](#data-augmentation). In the third it is mirrored left to right,
# upside down, both or neither. Five seeds; the sheets that are asked about are never changed.

# %%
stored = load_digits()
digit = torch.tensor(stored.target)
digits = torch.zeros(len(digit), 1, 12, 12, dtype=torch.uint8)
places = torch.randint(0, 5, (len(digit), 2), generator=torch.Generator().manual_seed(0))
for sheet, image, (row, column) in zip(digits, stored.images, places.tolist(), strict=True):
    sheet[0, row : row + 8, column : column + 8] = torch.tensor(image * 255 / 16).round()
SEEDS = range(5)


def split(seed):
    order = torch.randperm(len(digits), generator=torch.Generator().manual_seed(seed))
    return order[:300], order[1000:]


def train(seed, augment=None, epochs=30):
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Flatten(), nn.Linear(144, 64), nn.ReLU(), nn.Linear(64, 10))
    optimiser = torch.optim.Adam(net.parameters(), lr=0.01, foreach=True)
    learn = split(seed)[0]
    for epoch in range(epochs):
        for samples in learn[draws.permutation(seed, epoch, len(learn))].split(100):
            x = digits[samples]
            x = augment(x, samples, epoch, seed) if augment else x
            loss = F.cross_entropy(net(x / 255), digit[samples])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return net


def said(net, sheets):
    with torch.no_grad():
        return net(sheets / 255).argmax(1)


def judged(net, seed):
    """Share of right answers, and how many stay the same one pixel further to the right, where there is room."""
    rest = split(seed)[1]
    room = rest[places[rest, 1] < 4]
    same = said(net, digits[room]) == said(net, digits[room].roll(1, 3))
    return (said(net, digits[rest]) == digit[rest]).double().mean().item(), same.double().mean().item()


ways = {"as they are": None, "moved": FlipCrop(flip=False, padding=2, mode="zero"), "mirrored": Flip()}
nets = {name: [train(seed, way) for seed in SEEDS] for name, way in ways.items()}
right, stays = {}, {}
for name, of in nets.items():
    right[name], stays[name] = zip(*(judged(net, seed) for seed, net in enumerate(of)), strict=True)
show(variants({f"trained on sheets {name}": {"test": of} for name, of in right.items()}, name="accuracy"))
for name in ways:
    print(
        f"trained on sheets {name:<12} right {mean(right[name]):.1%} ± {stdev(right[name]):.1%};"
        f" the same answer one pixel on: {mean(stays[name]):.0%}"
    )
for name in ("moved", "mirrored"):
    print(compare(right["as they are"], right[name], metric="accuracy", names=("as they are", name)).words)
assert all(b > a + 0.08 for a, b in zip(right["as they are"], right["moved"], strict=True))
assert all(b > a + 0.08 for a, b in zip(stays["as they are"], stays["moved"], strict=True))
assert mean(right["mirrored"]) < mean(right["as they are"]) + 0.05

# %% [markdown]
# Moved copies taught the network that a place is not a meaning: it is right far more often, and gives the same
# answer more often when a sheet moves by a pixel. The label stayed, and that is the whole idea. A change that the
# answer does not depend on is knowledge about the task, and augmentation is how to say it to a network.
#
# Mirrored copies are as many, and it is no better for them. A mirrored digit is mostly no digit, and a 6 turned by
# half a circle is a 9 with the label of a 6. How many of the two are taken for each other?

# %%
mistaken = {}
for name in ("as they are", "mirrored"):
    counts = []
    for seed, net in enumerate(nets[name]):
        rest = split(seed)[1]
        true, answer = digit[rest], said(net, digits[rest])
        counts.append(int((((true == 6) & (answer == 9)) | ((true == 9) & (answer == 6))).sum()))
    mistaken[name] = sum(counts)
    print(f"trained on sheets {name}: 6 taken for 9 or 9 for 6, by seed: {counts}")
assert mistaken["mirrored"] > 2 * mistaken["as they are"]

# %% [markdown]
# ## One map for all moves
#
# To move, turn, scale, shear, mirror or crop a picture is one question: where does each pixel of the *result* come
# from? The other way round, where each pixel of the source goes, leaves holes. Twice as large:

# %%
small = torch.arange(16.0).view(4, 4)
forth = torch.full((8, 8), torch.nan)
for row in range(4):
    for column in range(4):
        forth[2 * row, 2 * column] = small[row, column]
back = small[torch.arange(8)[:, None] // 2, torch.arange(8) // 2]
filled = {"go": forth.isfinite().double().mean(), "come from": back.isfinite().double().mean()}
for way, share in filled.items():
    print(f"asking where pixels {way} fills {share:.0%} of the result")
assert filled == {"go": 0.25, "come from": 1}

# %% [markdown]
# For all the moves above the answer is an [affine map](#affine-map): a matrix and a shift. With the place in the
# result written as $(x, y, 1)$, the shift is a third column:
#
# $$\begin{pmatrix} u \\ v \end{pmatrix} = \begin{pmatrix} a & b & c \\ d & e & f \end{pmatrix}
# \begin{pmatrix} x \\ y \\ 1 \end{pmatrix}$$
#
# Torch counts places from -1 at one edge of the picture to 1 at the other, so the map is the same for every size. A
# place between pixels takes the mean of the four around it, each weighted by how near it is: [bilinear
# interpolation](#bilinear-interpolation). That is all, and it fits on a page:


# %%
def sample(x, theta):
    """Pictures (B, C, H, W), each as its own map theta (B, 2, 3) moves it; black comes from beyond the edge."""
    B, C, H, W = x.shape
    across = (2 * torch.arange(W, dtype=x.dtype) + 1) / W - 1  # the middles of the pixels
    down = (2 * torch.arange(H, dtype=x.dtype) + 1) / H - 1
    places = torch.stack([across.expand(H, W), down[:, None].expand(H, W), torch.ones(H, W, dtype=x.dtype)], 2)
    u, v = torch.einsum("bij,hwj->ibhw", theta, places)  # where they come from, (B, H, W) each
    u, v = ((u + 1) * W - 1) / 2, ((v + 1) * H - 1) / 2  # in pixels
    left, above = u.floor(), v.floor()
    out = torch.zeros_like(x)
    for column, row in ((left, above), (left + 1, above), (left, above + 1), (left + 1, above + 1)):
        share = (1 - (u - column).abs()) * (1 - (v - row).abs())
        inside = (column >= 0) & (column < W) & (row >= 0) & (row < H)
        index = (row.clamp(0, H - 1) * W + column.clamp(0, W - 1)).long().view(B, 1, H * W)
        out += x.flatten(2).gather(2, index.expand(B, C, -1)).view(x.shape) * (share * inside)[:, None]
    return out


torch.manual_seed(0)
x = torch.rand(6, 3, 11, 14, dtype=torch.float64)
theta = torch.eye(2, 3, dtype=torch.float64) + 0.4 * torch.randn(6, 2, 3, dtype=torch.float64)
theirs = F.grid_sample(x, F.affine_grid(theta, x.shape, align_corners=False), align_corners=False)
torch.testing.assert_close(sample(x, theta), theirs, rtol=1e-10, atol=1e-12)
print("six pictures, six maps, one call: equal to torch's affine_grid and grid_sample")

# %% [markdown]
# The library does the same and counts places in pixels, as Pillow does: a box is known in pixels, and so is a crop by
# 4. A `Grid` holds a matrix for each picture. From one count to the other is a matrix on each side:

# %%
show(source(Grid.places), source(Grid._blend))
size = (11, 14)
matrix = affine(size, turn=torch.linspace(-60, 60, 6), shift=(2.0, -1.0), scale=1.3, shear=(0.2, 0.0))
to_one = torch.tensor([[2 / 14, 0, -1], [0, 2 / 11, -1], [0, 0, 1]], dtype=torch.float64)
theta = (to_one @ matrix @ torch.linalg.inv(to_one))[:, :2]
places = F.affine_grid(theta, x.shape, align_corners=False)
theirs = F.grid_sample(x, places, align_corners=False, padding_mode="border")
torch.testing.assert_close(Grid(matrix, size, size, edge="edge").images(x), theirs, rtol=1e-10, atol=1e-12)
print("Grid, by pixels, equal to torch's, by -1 to 1")

# %% [markdown]
# A photograph that comes with scikit-learn, made smaller, turned by the library as a batch and by Pillow one by one.
# Computed in float64, with the fraction of each result left out as Pillow does, the numbers are the same. For stored
# pictures the library rounds to the nearest number instead, which is at most one step of 255 away:

# %%
photo = torch.from_numpy(load_sample_image("china.jpg").copy()).permute(2, 0, 1)[None]  # (1, 3, 427, 640)
photo = resize(photo, (64, 96))
angles = torch.linspace(-170, 180, 32, dtype=torch.float64)
began = time.perf_counter()
grid = Grid(affine((64, 96), turn=angles), (64, 96), (64, 96))
ours = grid.images(photo.expand(32, -1, -1, -1))
halfway = time.perf_counter()
image = Image.fromarray(photo[0].permute(1, 2, 0).numpy())
turned = [np.array(image.rotate(float(angle), Image.Resampling.BILINEAR)) for angle in angles]
ended = time.perf_counter()
pillow = torch.from_numpy(np.stack(turned)).permute(0, 3, 1, 2)
exact = (grid.images(photo.double().expand(32, -1, -1, -1) / 255) * 255 + 1e-9).floor()
same, most = (exact == pillow).double().mean(), (ours.int() - pillow.int()).abs().max()
print(f"the same numbers as Pillow's: {same:.3%}; of stored pictures the largest difference is {most}")
assert same > 0.999 and most <= 1
print(f"32 pictures: {1000 * (halfway - began):.1f} ms as a batch, {1000 * (ended - halfway):.1f} ms by Pillow")

# %% [markdown]
# On one processor core Pillow's compiled loop is the faster one. The batch has another merit: it runs where the
# pictures are, and on a graphics card they need not leave it.
#
# ## Many moves, one interpolation
#
# One map after another is the product of their matrices. That is not only cheaper. Each interpolation takes means of
# neighbours, and twelve of them blur:

# %%
once = affine((64, 96), turn=30.0)
step = Grid(once, (64, 96), (64, 96), edge="reflect")
twelve = photo
for _ in range(12):
    twelve = step.images(twelve)
product = torch.linalg.matrix_power(once, 12)
together = Grid(product, (64, 96), (64, 96), edge="reflect").images(photo)
versions = {"before": photo, "12 times": twelve, "one product": together}
show(view_grid({"12 x 30 degrees": [View(of[0], title=name) for name, of in versions.items()]}, side=1.5))
assert torch.equal(together, photo)  # a whole turn
middle_part = (slice(None), slice(None), slice(22, 42), slice(38, 58))
kept = twelve[middle_part].double().var() / photo[middle_part].double().var()
print(f"in the middle, which never left the picture, {kept:.0%} of the variance is left after twelve interpolations")
assert kept < 0.9

# %% [markdown]
# A picture seen from aside needs one thing more: lines may converge, so there is a division by a third coordinate.
# The matrix has eight unknowns, and four corners give eight equations:

# %%
show(source(perspective))
ends = corners((64, 96), 1)
pulled = torch.tensor([[[20.0, 6.0], [90.0, 0.0], [96.0, 64.0], [8.0, 50.0]]], dtype=torch.float64)
aside = Grid(perspective(pulled, ends), (64, 96), (64, 96), projective=True)
torch.testing.assert_close(aside.points(pulled), ends, rtol=0, atol=1e-9)

# %% [markdown]
# A picture that *shrinks* must not be interpolated between four neighbours at all: what lies between them is lost.
# Resizing takes a mean over all pixels around the place, over a wider stretch the more the picture shrinks, each
# weighted by how near it is. Stripes of one pixel, shrunk to a third:

# %%
stripes = (torch.arange(96) % 2 * 255).to(torch.uint8).expand(1, 1, 64, 96).contiguous()
shrink = Grid(torch.diag(torch.tensor([3.0, 3.0, 1.0]).double())[None], (63, 96), (21, 32)).images(stripes[:, :, :63])
averaged = resize(stripes[:, :, :63], (21, 32))
pillow = np.array(Image.fromarray(stripes[0, 0, :63].numpy()).resize((32, 21), Image.Resampling.BILINEAR))
print("between neighbours:", shrink[0, 0, 5, 5:9].tolist(), " averaged:", averaged[0, 0, 5, 5:9].tolist())
assert set(shrink.flatten().tolist()) == {0, 255} and averaged.min() > 90 and averaged.max() < 165
assert (averaged[0, 0].int() - torch.from_numpy(pillow).int()).abs().max() <= 1

# %% [markdown]
# ## Whole batches, each its own draw
#
# Each picture of a batch gets its own move. Where do the random numbers come from? If from one generator in order of
# use, a picture's change depends on which others came before it, on the number of workers, and on where a run was
# interrupted. Here a number is a hash of (seed, epoch, which draw, sample):

# %%
show(source(draws.bits))
change = Affine(degrees=20, shift=0.15)
samples = torch.arange(40)
whole = change(digits[:40], samples, 3, 0)
back_to_front = change(digits[:40].flip(0), samples.flip(0), 3, 0).flip(0)
alone = torch.cat([change(digits[i : i + 1], samples[i : i + 1], 3, 0) for i in range(40)])
assert torch.equal(whole, back_to_front) and torch.equal(whole, alone)
assert not torch.equal(whole, change(digits[:40], samples, 4, 0))  # the next epoch
print("a sample's change is the same in any batch and any order, and another in the next epoch")

# %% [markdown]
# ## What moves along
#
# With a label for each pixel, or a box around each object, the answer moves with the picture. It must be moved by the
# same draw. The mask may not be interpolated (between class 1 and class 3 does not lie class 2): it takes the
# nearest pixel. Of a box the corners are moved, and the upright box around them is the new one.

# %%
world = make_world("shapes(n=10, side=64, channels=3, objects=3)")
scenes = world.sample(4, seed=1)
masks = torch.from_numpy((scenes.hidden["masks"] * np.arange(1, 4)[:, None, None]).max(1))  # 0 is the background
boxes = torch.from_numpy(scenes.hidden["boxes"])
pictures = torch.from_numpy(scenes.x)
names = ("flip_crop", "affine", "perspective", "zoom")
show(steps_picture(pictures[0], names, mask=masks[0], boxes=boxes[0], draws=4))
show(source(Grid.masks), source(Grid.points))

# %%
turn = Affine(degrees=45, shift=0.1, edge="zero")
together = turn.together(Scene(pictures, masks, boxes), torch.arange(4), 0, 0)
for mask, of, present in zip(together.masks, together.boxes, together.present, strict=True):
    assert set(mask.unique().tolist()) <= {0, 1, 2, 3}
    for label, (x1, y1, x2, y2) in enumerate(of.tolist(), 1):
        if present[label - 1]:
            rows, columns = (mask == label).nonzero(as_tuple=True)
            assert columns.min() + 0.5 >= x1 and columns.max() + 0.5 <= x2
            assert rows.min() + 0.5 >= y1 and rows.max() + 0.5 <= y2
print("every moved object lies within its moved box")

# %% [markdown]
# ## Colour, blur, and holes
#
# Brightness, contrast and saturation have one formula ([Haeberli and Voorhies, 1994](#haeberli1994)): a blend of
# the picture with a worn-out version of itself (black; its mean grey; without colour), and beyond it where the
# factor is above 1. Blur is a mean of neighbours weighted by a Gaussian. Erasing ([Zhong et al., 2020](#zhong2020);
# [DeVries and Taylor, 2017](#devries2017)) hides a rectangle, so that a network cannot rest on one spot.

# %%
show(steps_picture(photo[0], ("colour", "blur", "noise(sigma=0.4)", "erase(p=1)", "cutout"), draws=4, seed=2))

# %% [markdown]
# Which, and how much of each? One can search for the best mixture of a data set, at great cost. RandAugment ([Cubuk
# et al., 2020](#cubuk2020)) found that two numbers do: how many changes a picture gets, and one strength for all. Its
# table:

# %%
show(operations_picture(photo[0], ("rotate", "shear_x", "saturation", "solarize", "equalize")))
show(source(RandAugment))

# %% [markdown]
# TrivialAugment ([Müller and Hutter, 2021](#mueller2021)) leaves no number at all: one change, its strength drawn
# evenly. AugMix ([Hendrycks et al., 2020](#hendrycks2020)) lays several changed versions over each other, and the
# picture itself on top. Its results stay close to the picture, which RandAugment's need not:

# %%
show(steps_picture(photo[0], ("randaugment", "trivial", "augmix"), draws=4, seed=1))
many = photo.expand(60, -1, -1, -1)
distance = {}
for name, policy in {"RandAugment": RandAugment(), "AugMix": AugMix()}.items():
    got = policy(many, torch.arange(60), 0, 0).double()
    distance[name] = (got - photo.double()).abs().mean((1, 2, 3)).mean().item()
    print(f"{name}: a pixel is off by {distance[name]:.0f} of 255 on average")
assert distance["AugMix"] < distance["RandAugment"]

# %% [markdown]
# In a recipe all of these are names: `rung train digits augment="randaugment(n=2, m=5)+erase"`. Albumentations
# ([Buslaev et al., 2020](#buslaev2020)) is a library of such changes for single pictures, with masks and boxes.
#
# ## When a change lies
#
# **The object is cut off.** A crop keeps the label whether or not the object is still in it. How much of the object
# is left can be counted where the mask is known. A crop of random area, scaled up again, is the usual change for
# ImageNet, from 0.08 of the picture on ([Szegedy et al., 2015](#szegedy2015)). Here from 0.05, from the library's
# 0.35 and from 0.7:

# %%
one = make_world("shapes(n=400, side=48)").sample(400, seed=0)
whole_masks = torch.from_numpy(one.hidden["masks"][:, 0]).long()
left = {}
for least in (0.05, 0.35, 0.7):
    zoom = Zoom(least=least)
    scene = zoom.together(Scene(torch.from_numpy(one.x), whole_masks), torch.arange(400), 0, 0)
    of = zoom.boxes(torch.arange(400), 0, 0, (48, 48))
    grown = 48 * 48 / ((of[:, 2] - of[:, 0]) * (of[:, 3] - of[:, 1]))  # a crop is enlarged
    left[least] = (scene.masks.sum((1, 2)) / grown / whole_masks.sum((1, 2))).clamp(max=1)
    few = (left[least] < 0.5).double().mean()
    print(f"area at least {least}: {few:.0%} of the pictures keep less than half of the object")
assert (left[0.05] < 0.5).double().mean() > 0.15 > 0.05 > (left[0.7] < 0.5).double().mean()

# %% tags=["hide-input"]
shapes, worst = torch.from_numpy(one.x), left[0.05].argsort()[:6]
crops = Zoom(least=0.05)(shapes, torch.arange(400), 0, 0)
kinds = [world.class_names[int(k)] for k in one.hidden["labels"][worst, 0]]
show(
    view_grid(
        {
            "as it is": [View(shapes[i], title=kind) for i, kind in zip(worst.tolist(), kinds, strict=True)],
            "the crop": [View(crops[i], title=kind) for i, kind in zip(worst.tolist(), kinds, strict=True)],
        }
    )
)

# %% [markdown]
# The six worst, with the labels the network is to learn from them. Look at the pictures before the first epoch
# (`steps_picture`), and ask of each change whether a person would still give this label. Letters are not to be
# mirrored, nor pictures of a body, whose left is not its right; the colours of a traffic light are not to be turned;
# and where the label is a number of things, none may be cut off.
#
# **Copies on both sides of the split.** If pictures are changed first and split afterwards, copies of one picture lie
# in training and in validation. What that does shows best where there is nothing to learn: labels drawn at random.
# Five copies of each digit; the class of the nearest training picture is the answer.

# %%
found = {"copies first, then split": [], "split first, then copies": []}
for seed in SEEDS:
    g = torch.Generator().manual_seed(seed)
    some = torch.randperm(len(digits), generator=g)[:200]
    nothing = torch.randint(0, 10, (200,), generator=g)
    slightly = Affine(degrees=5, shift=0.03, scale=1.05, shear=0.05)
    copies = torch.cat([slightly(digits[some], some, epoch, seed) for epoch in range(5)]).flatten(1).float()
    labels, original = nothing.repeat(5), torch.arange(200).repeat(5)
    for name in found:
        if name.startswith("copies"):
            held = torch.zeros(1000, dtype=torch.bool)
            held[torch.randperm(1000, generator=g)[:200]] = True
        else:
            held = torch.isin(original, torch.randperm(200, generator=g)[:40])
        nearest = torch.cdist(copies[held], copies[~held]).argmin(1)
        found[name].append((labels[~held][nearest] == labels[held]).double().mean().item())
for name, of in found.items():
    print(f"{name}: {mean(of):.1%} ± {stdev(of):.1%} of random labels 'predicted'")
assert min(found["copies first, then split"]) > 0.7 and max(found["split first, then copies"]) < 0.3

# %% [markdown]
# **The valid part is changed as well**, so that every epoch is judged by other pictures; or the change is never on.
# Both came of two splits with one transform (lessons 0 and 17). In the library changes belong to the feed of the
# training part.
#
# **A gain that nobody compared.** Readers of a course who train a ResNet-18 on CIFAR-10 with flips report 94.1 % on
# train and 85.1 % on test ([Dive into Deep Learning](#zhang2023)). That is one training, and without its twin that
# has no flips it says nothing about flips. The recipe `changed_images` runs none, flip, crop, erasing and
# RandAugment with the same seeds.
#
# So which changes are true? Those after which a person who knows the task gives the same answer. That is
# a statement about the task and not about the network, and no library can know it.
#
# ## Exercises
#
# ### Exercise 1: turn a wide picture
#
# Places from -1 to 1 have a trap: on a picture that is not square, a turn in those numbers shears. Write
# `turn(height, width, degrees)`: the map theta (2, 3) for `F.affine_grid` that turns the picture against the clock
# about its middle, without distorting it.


# %%
def check_turn(turn):
    for height, width in ((40, 40), (30, 60), (50, 20)):
        x = F.avg_pool2d(torch.rand(1, 1, height, width, generator=torch.Generator().manual_seed(0)), 5, 1, 2).double()
        for degrees in (0, 90, -35):
            got = turn(height, width, degrees)
            assert tuple(got.shape) == (2, 3), f"a map of shape (2, 3) is asked for, got {tuple(got.shape)}"
            result = sample(x, got.double()[None])
            middle = (..., slice(height // 2 - 5, height // 2 + 5), slice(width // 2 - 5, width // 2 + 5))
            want = Grid(affine((height, width), turn=float(degrees)), (height, width), (height, width)).images(x)
            off = (result - want)[middle].abs().max().item()
            hint = "is it turned the other way?" if height == width else "is one unit as long across as it is down?"
            assert off < 1e-6, f"{height} x {width} by {degrees} degrees: off by {off:.2f}; {hint}"


# %% tags=["solution"]
def right_turn(height, width, degrees, sign=1.0, stretch=True):
    angle = torch.deg2rad(torch.tensor(float(degrees), dtype=torch.float64)) * sign
    ratio = height / width if stretch else 1.0
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([torch.stack([cos, -sin * ratio, 0 * cos]), torch.stack([sin / ratio, cos, 0 * cos])])


check_turn(right_turn)
refuses(
    check_turn,
    lambda h, w, d: right_turn(h, w, d, stretch=False),
    lambda h, w, d: right_turn(h, w, d, sign=-1.0),
    lambda h, w, d: right_turn(w, h, d),
    lambda h, w, d: torch.eye(2, 3),
)

# %% [markdown]
# ### Exercise 2: mirrored boxes
#
# Write `mirror(boxes, width)`: boxes (N, 4) as x1, y1, x2, y2 in pixels, after the picture was mirrored left to
# right. In a right answer x1 is still the smaller one, and mirroring twice changes nothing.


# %%
def check_mirror(mirror):
    boxes = torch.tensor([[0.0, 0.0, 1.0, 1.0], [10.0, 5.0, 30.0, 20.0], [0.0, 2.0, 40.0, 8.0]])
    got = mirror(boxes.clone(), 40)
    assert (got[:, 0] < got[:, 2]).all(), "x1 must be left of x2: what was the right side is now the left one"
    assert torch.equal(got[:, [1, 3]], boxes[:, [1, 3]]), "nothing moves up or down"
    assert got[0].tolist() == [39.0, 0.0, 40.0, 1.0], f"the first pixel's box goes to the last pixel: {got[0].tolist()}"
    assert torch.equal(mirror(got.clone(), 40), boxes), "mirrored twice is as before"


# %% tags=["solution"]
check_mirror(lambda boxes, width: torch.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], 1))
refuses(
    check_mirror,
    lambda boxes, width: torch.stack([width - boxes[:, 0], boxes[:, 1], width - boxes[:, 2], boxes[:, 3]], 1),
    lambda boxes, width: torch.stack([width - 1 - boxes[:, 2], boxes[:, 1], width - 1 - boxes[:, 0], boxes[:, 3]], 1),
    lambda boxes, width: boxes,
)

# %% [markdown]
# ### Exercise 3: a draw of its own
#
# Write `brighten(x, samples, epoch, seed)`: stored pictures (B, C, H, W) uint8, each times its own factor, drawn
# evenly from 0.6 to 1.4, rounded and kept within 0 to 255. A right answer gives a sample the same factor in
# whatever batch it comes, and another in the next epoch. (`draws.uniform(seed, epoch, stream, samples)`.)


# %%
def check_brighten(brighten):
    x, samples = torch.full((64, 1, 4, 4), 200, dtype=torch.uint8), torch.arange(64)
    got = brighten(x.clone(), samples, 0, 0)
    assert got.dtype == torch.uint8, f"stored pictures are uint8, got {got.dtype}"
    assert got.min() >= 119, "values beyond 255 have begun again at 0, or the factors reach below 0.6"
    assert got.flatten(1).unique().numel() > 20, "each sample has a factor of its own"
    assert got.max() == 255 and 120 <= got.min() <= 140, "factors from 0.6 to 1.4"
    half = brighten(torch.full((64, 1, 4, 4), 100, dtype=torch.uint8), samples, 0, 0)
    assert 130 < half.max() <= 140, "factors reach up to 1.4"
    assert not torch.equal(brighten(x.clone(), samples, 0, 1), got), "another seed gives other factors"
    assert torch.equal(brighten(x[:8].clone(), samples[8:16], 0, 0), got[8:16]), "the factor belongs to the sample"
    assert not torch.equal(brighten(x.clone(), samples, 1, 0), got), "in the next epoch it is another one"


# %% tags=["solution"]
def right_brighten(x, samples, epoch, seed, cut=True):
    factor = (0.6 + 0.8 * draws.uniform(seed, epoch, 500, samples))[:, None, None, None]
    changed = (x * factor).round()
    return (changed.clamp(0, 255) if cut else changed % 256).to(torch.uint8)


check_brighten(right_brighten)
refuses(
    check_brighten,
    lambda x, samples, epoch, seed: right_brighten(x, samples, epoch, seed, cut=False),
    lambda x, samples, epoch, seed: right_brighten(x, torch.arange(len(x)), epoch, seed),
    lambda x, samples, epoch, seed: right_brighten(x, samples, 0, seed),
    lambda x, samples, epoch, seed: right_brighten(x, samples * 0, epoch, seed),
    lambda x, samples, epoch, seed: right_brighten(x, samples, epoch, 0),
)

# %% [markdown]
# ## Sources
#
# - Crops and flips in the training of a large network: [Krizhevsky et al., 2012](#krizhevsky2012), section 4.1. Maps of
#   places as matrices: [Hartley and Zisserman, 2004](#hartley2004), chapter 2. The batch of maps on a graphics card:
#   [fast.ai, part 2](#fastai2019), notebook 10.
# - Colour: [Haeberli and Voorhies, 1994](#haeberli1994). Erasing: [Zhong et al., 2020](#zhong2020),
#   [DeVries and Taylor, 2017](#devries2017).
# - Policies: [Cubuk et al., 2020](#cubuk2020), [Müller and Hutter, 2021](#mueller2021),
#   [Hendrycks et al., 2020](#hendrycks2020).
# - Random numbers that belong to a sample: [Steele et al., 2014](#steele2014).
