# %% [markdown]
# # Feeding data
#
# A network takes batches: one tensor, all samples of one size. What you have is a folder of photographs of every
# size, some of them broken, or texts of every length. What stands between the two, and where do errors hide there?

# %% tags=["about"]
covers = ["M07", "D01", "D02", "S0-1", "S0-2", "S0-3", "S1-1"]
rung = 6
minutes = 60

# %%
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch
import torch.nn.functional as F
import torch.utils.data as torch_data
from PIL import Image
from torch import Tensor, nn

from rungbook.book import refuses, show, source, table
from rungbook.data.feed import Feed, TensorSource
from rungbook.data.load import load_data
from rungbook.plot.images import image_grid
from rungbook.plot.style import TRAIN, VALID, draw, number, sheet
from rungbook.scratch import data as own
from rungbook.scratch.data.fetch import MapFetcher

# %% [markdown]
# ## Four small questions
#
# Which samples are there? In which order do they come? How do several become one batch? Who fetches them? torch
# keeps the four apart, and so do we. A [dataset](#dataset) answers the first: it has a length, and gives its $i$-th
# sample. For tensors that is all:

# %%
show(source(own.TensorDataset))

# %% [markdown]
# A *sampler* yields the indices: `0, 1, 2, ...`, or in random order. A *batch sampler* cuts them into lists.
# [Collating](#collate) turns a list of samples into a batch: it stacks the first parts of all samples, then the
# second parts. With that a loader is three lines. Here is a first version, on the 1,797 handwritten digits of
# scikit-learn:

# %%
digits = load_data("digits", valid=0.0, test=0.2, batch_size=32, seed=0)


def ready(feed: Feed) -> tuple[Tensor, Tensor]:
    """All samples of a split as a model takes them."""
    x, y = feed.source.fetch(slice(0, feed.samples))
    return feed.prepare(x).flatten(1), y


x, y = ready(digits.train)
samples = own.TensorDataset(x, y)


def first_loader(dataset, batch_size, generator):
    order = torch.randperm(len(dataset), generator=generator)
    for indices in order.split(batch_size):
        yield [torch.stack(column) for column in zip(*(dataset[i] for i in indices.tolist()), strict=True)]


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


pixels, labels = next(iter(first_loader(samples, 32, seeded(0))))
print("a batch:", tuple(pixels.shape), tuple(labels.shape))

# %% [markdown]
# Does it give torch's batches for torch's seed? Not quite: torch's loader draws one number before the order, from
# which its worker processes get their seeds. After one such draw, the three loaders agree to the last bit.

# %%
random = seeded(0)
torch.empty((), dtype=torch.int64).random_(generator=random)  # the draw for the workers, used or not
count = 0
for naive, ours, torchs in zip(
    first_loader(samples, 32, random),
    own.DataLoader(samples, batch_size=32, shuffle=True, generator=seeded(0)),
    torch_data.DataLoader(samples, batch_size=32, shuffle=True, generator=seeded(0)),
    strict=True,
):
    assert all(torch.equal(a, b) and torch.equal(b, c) for a, b, c in zip(naive, ours, torchs, strict=True))
    count += 1
print(f"{count} batches of {len(samples)} samples, the last one of {len(torchs[1])}: all three loaders give the same")
show(source(own.RandomSampler.__iter__), source(own.BatchSampler.__iter__), source(MapFetcher.fetch))

# %% [markdown]
# And the training is the same, whoever feeds it. A network of 64-50-10, the loop as textbooks write it:


# %%
def trained(loader) -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 50), nn.ReLU(), nn.Linear(50, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.003)
    for _ in range(5):
        for xb, yb in loader:
            optimizer.zero_grad()
            F.cross_entropy(model(xb), yb).backward()
            optimizer.step()
    return model


by_torch, by_ours = (
    trained(loader(samples, batch_size=32, shuffle=True, generator=seeded(0)))
    for loader in (torch_data.DataLoader, own.DataLoader)
)
assert all(torch.equal(a, b) for a, b in zip(by_torch.parameters(), by_ours.parameters(), strict=True))
test_x, test_y = ready(digits.test)
accuracy = (by_ours(test_x).argmax(1) == test_y).float().mean().item()
print(f"both trainings end at the same weights, to the last bit; test accuracy {accuracy:.1%}")
assert accuracy > 0.9

# %% [markdown]
# The recipe `data_loader` trains such a network in three ways. Over five seeds, a loop by hand over a DataLoader
# reaches <!-- ledger: data_loader | loop by hand | test accuracy -->96.6 ± 0.8 %<!-- / -->, the Learner over the same
# DataLoader <!-- ledger: data_loader | Learner, DataLoader | test accuracy -->96.6 ± 0.8 %<!-- / -->, and the Learner
# over the library's own feed, with another
# order, <!-- ledger: data_loader | Learner, own feed | test accuracy -->96.6 ± 1.0 %<!-- / -->. They are not
# distinguishable. A loader is plumbing: it should change nothing, and the rest of this lesson is about the places
# where it does.
#
# ## A folder of pictures
#
# A folder for each class, a file for each picture. The cell makes one the way people have them: pictures of a world
# of shapes, of many sizes, a few there twice, three files that are no pictures.

# %%
from rungbook.data.photos import write_pictures
from rungbook.data.worlds.registry import make_world

temporary = tempfile.TemporaryDirectory()
root = Path(temporary.name) / "shapes"
root.mkdir()
write_pictures(make_world("shapes(n=240, side=48, channels=3, flip=0.0)"), 0, root)


class Folder(own.Dataset):
    """Pictures in a folder for each class.

    Args:
        root: the folder.
        transform: what is done to each picture, a uint8 tensor (3, H, W).
    """

    def __init__(self, root, transform=None):
        self.classes = sorted(p.name for p in root.iterdir() if p.is_dir())
        self.files = [(p, k) for k, name in enumerate(self.classes) for p in sorted((root / name).iterdir())]
        self.transform = transform

    def __len__(self):
        return len(self.files)

    def __getitem__(self, i):
        path, label = self.files[i]
        with Image.open(path) as picture:
            pixels = torch.from_numpy(np.array(picture.convert("RGB"))).permute(2, 0, 1)  # (3, H, W)
        return (self.transform(pixels) if self.transform else pixels), label


folder = Folder(root)
print(f"{len(folder)} files, classes {folder.classes}")
broken = []
for i, (path, _) in enumerate(folder.files):
    try:
        folder[i]
    except OSError as error:
        broken.append(i)
        print(f"{path.relative_to(root)}: {type(error).__name__}")
assert len(broken) == 3
folder.files = [pair for i, pair in enumerate(folder.files) if i not in broken]

# %% [markdown]
# The courses work with 25,000 photographs of dogs and cats and throw out the broken ones in the same way. `sorted`
# matters twice: a file system may list folders in any order, and the class numbers would differ from machine to
# machine.
#
# Now a batch, and the first error everyone meets:

# %%
for loader in (torch_data.DataLoader, own.DataLoader):
    try:
        next(iter(loader(folder, batch_size=4)))
    except RuntimeError as error:
        print(
            f"{loader.__module__.split('.')[0]}: RuntimeError: {error}", *getattr(error, "__notes__", ()), sep="\n   "
        )
    else:
        raise AssertionError("pictures of different sizes were stacked")

# %% [markdown]
# A batch is one tensor, and a tensor has no ragged edges. Pictures must have one size before they are stacked.
# Squashing a picture to a square changes the shapes in it. Cutting the largest square from its middle keeps them,
# and loses what stands at the ends. The library cuts:

# %%
from rungbook.data.pil import fit

show(source(fit))
# %% tags=["hide-input"]
chosen = [
    next(i for i, (_, k) in enumerate(folder.files) if k == c and abs(np.divide(*folder[i][0].shape[1:]) - 1) > 0.3)
    for c in range(3)
]
three = [folder[i][0].permute(1, 2, 0).numpy() for i in chosen]
ways = {
    "as it is": lambda a: a,
    "squashed": lambda a: np.asarray(Image.fromarray(a).resize((32, 32), Image.Resampling.BILINEAR)),
    "cut, then scaled": lambda a: fit(a, 32, 32),
}


def paint_picture(name, pixels):
    def paint(ax):
        shown = ways[name](pixels)
        ax.imshow(shown)
        ax.set(title=f"{name}, {shown.shape[1]} x {shown.shape[0]}", xticks=[], yticks=[])
        ax.grid(False)

    return paint


said = "; ".join(
    f"{folder.classes[folder.files[i][1]]} of {a.shape[1]} x {a.shape[0]} pixels"
    for i, a in zip(chosen, three, strict=True)
)
show(
    sheet(
        [paint_picture(name, a) for a in three for name in ways],
        f"{said}; each as it is, squashed to a square, and cut to one.",
        size=(1.7, 1.6),
    )
)


# %%
def resized(pixels: Tensor) -> Tensor:
    return torch.from_numpy(np.array(fit(pixels.permute(1, 2, 0).numpy(), 32, 32))).permute(2, 0, 1)


folder.transform = resized
pixels, labels = next(iter(own.DataLoader(folder, batch_size=16, shuffle=True, generator=seeded(1))))
print("a batch:", tuple(pixels.shape), pixels.dtype)
assert pixels.shape == (16, 3, 32, 32)
show(image_grid(pixels, [folder.classes[k] for k in labels], columns=8, side=64))

# %% [markdown]
# ## Pixels into numbers
#
# Networks train best on inputs around 0 (lesson 7 showed why). So each channel is brought to mean 0 and standard
# deviation 1: divide by 255, subtract the channel's mean, divide by its deviation. Mean and deviation are part of
# the model, and are computed from the *training* pictures alone.


# %%
def split(dataset, share: float, seed: int):
    """A part to train on and one to judge by."""
    return own.random_split(dataset, [1 - share, share], generator=seeded(seed))


train_part, valid_part = split(folder, 0.2, seed=0)
stored = {
    name: torch.stack([part[i][0] for i in range(len(part))])
    for name, part in (("train", train_part), ("valid", valid_part))
}
unit = stored["train"].double() / 255
mean, std = unit.mean((0, 2, 3)), unit.std((0, 2, 3), correction=0)


def normalize(x: Tensor) -> Tensor:
    return (x.double() / 255 - mean.view(3, 1, 1)) / std.view(3, 1, 1)


rows = []
for name, images in stored.items():
    z = normalize(images)
    rows.append(
        {
            "part": name,
            "mean": [round(m, 3) for m in z.mean((0, 2, 3)).tolist()],
            "deviation": [round(s, 3) for s in z.std((0, 2, 3)).tolist()],
        }
    )
show(table(rows))
torch.testing.assert_close(
    normalize(stored["train"]).mean((0, 2, 3)), torch.zeros(3, dtype=torch.float64), rtol=0, atol=1e-9
)
assert normalize(stored["valid"]).mean((0, 2, 3)).abs().max() > 1e-3  # nearly zero, and not zero: it was not asked

# %% [markdown]
# ## A split is a promise
#
# `random_split` shuffles the indices once and cuts: every sample falls into exactly one part. Ours is torch's,
# index for index:

# %%
show(source(own.random_split))
ours, torchs = own.random_split(folder, [0.8, 0.2], seeded(7)), torch_data.random_split(folder, [0.8, 0.2], seeded(7))
assert all(a.indices == list(b.indices) for a, b in zip(ours, torchs, strict=True))
train_indices, valid_indices = (set(part.indices) for part in ours)
assert not train_indices & valid_indices and len(train_indices | valid_indices) == len(folder)

# %% [markdown]
# Three ways to break the promise. The first and the third are found in the courses.
#
# **A shuffle that is none.** Four notebooks write `randint(0, n, n)` where a permutation is meant. That draws *with*
# replacement: some samples come twice, and then one copy can be trained on and the other judged. With four fifths
# for training the expected share is $1 - e^{-0.8}$.

# %%
n = 10_000
drawn = torch.randint(0, n, (n,), generator=seeded(0))
seen = torch.isin(drawn[8000:], drawn[:8000]).double().mean().item()
print(f"{seen:.1%} of the valid samples are also in training; expected {1 - np.exp(-0.8):.1%}")
assert abs(seen - (1 - np.exp(-0.8))) < 0.05

# %% [markdown]
# **Copies.** A picture that is there twice may fall on both sides even of an honest shuffle. Our folder has three
# such pairs:

# %%
pictures: dict[bytes, list[int]] = {}
for i, (path, _) in enumerate(folder.files):
    pictures.setdefault(path.read_bytes(), []).append(i)
pairs = [same for same in pictures.values() if len(same) > 1]
torn = 0
for seed in range(400):
    part = set(own.random_split(range(len(folder)), [0.8, 0.2], seeded(seed))[0].indices)
    torn += any((a in part) != (b in part) for a, b in pairs)
print(
    f"{len(pairs)} pairs; {torn / 400:.0%} of 400 random splits tear at least one; expected {1 - (1 - 2 * 0.8 * 0.2) ** 3:.0%}"
)
assert len(pairs) == 3 and abs(torn / 400 - (1 - (1 - 2 * 0.8 * 0.2) ** 3)) < 0.1

# %% [markdown]
# **One transform for both parts.** Training pictures may be flipped at random, so that more is learned from each.
# The valid pictures must stay as they are. But the two parts of `random_split` are views of *one* dataset, with one
# transform. Set a random flip, and the valid part is another set every epoch. Take it off "for valid", and it is
# gone from training too, without a word. Courses have both faults:

# %%
coin = seeded(3)


def flipped(pixels: Tensor) -> Tensor:
    pixels = resized(pixels)
    return pixels.flip(2) if torch.rand((), generator=coin) < 0.5 else pixels


def look(part) -> Tensor:
    return torch.stack([part[i][0] for i in range(20)])


train_part.dataset.transform = flipped
assert not torch.equal(look(valid_part), look(valid_part))  # two looks at the same valid pictures
valid_part.dataset.transform = resized
assert torch.equal(look(train_part), look(train_part))  # no flips left in training
assert train_part.dataset is valid_part.dataset
print("one dataset, one transform: either both parts flip, or none")

# %% [markdown]
# The remedy is two datasets over the same files, one for each part, or a loader to which random changes belong. The
# library's way reads the folder once, keeps copies in one part, says what it found, and lets the *feed* of the
# training part alone change pictures:

# %%
photos = load_data(root, valid=0.2, test=0.0, batch_size=16, seed=0, image_size=32, augment="flip_crop")
for finding in photos.findings:
    print(f"{finding.code}: {finding.message}")
assert (
    photos.facts["unreadable"] == 3 and photos.facts["copies"] == 3 and photos.target.classes == tuple(folder.classes)
)
assert photos.train.augment is not None and photos.valid.augment is None
first, again = (next(photos.valid.batches(epoch))[0] for epoch in (0, 1))
assert torch.equal(first, again)
first, again = (
    photos.train.augment(photos.train.source.fetch(slice(0, 8))[0], torch.arange(8), epoch, 0) for epoch in (0, 1)
)
assert not torch.equal(first, again)
show(image_grid(torch.cat([first, again]), ["epoch 0"] * 8 + ["epoch 1"] * 8, columns=8, side=64))
x, _ = photos.train.source.fetch(slice(0, photos.train.samples))
torch.testing.assert_close(photos.encoder.prepare(x).mean((0, 2, 3)), torch.zeros(3), rtol=0, atol=1e-3)

# %% [markdown]
# Trained on such a folder of 800 pictures, the recipe `image_folder`
# reaches <!-- ledger: image_folder | test accuracy -->92.6 ± 2.3 %<!-- / --> over five seeds; one label in twenty is
# wrong there, so that <!-- ledger: image_folder | limit accuracy -->95.0 %<!-- / --> is the best to be expected. On
# photographs of dogs and cats the same code
# has <!-- ledger: image_folder data=dogs-vs-cats steps=1000 test=0.2 | test accuracy -->78.3 ± 2.2 %<!-- / -->.
#
# ## Texts, letter by letter
#
# Texts have the same trouble in another shape. Each becomes a row of numbers, one for each character, and the rows
# differ in length.

# %%
reviews = [
    ("a fine film", 1),
    ("dull", 0),
    ("I laughed, I cried, and I would see it again tomorrow", 1),
    ("two hours that nobody gives me back", 0),
    ("good", 1),
    ("the book was better, the trailer too", 0),
]
alphabet = sorted({c for text, _ in reviews for c in text})
number_of = {c: i for i, c in enumerate(alphabet, 1)}  # from 1: 0 is kept for padding


class Texts(own.Dataset):
    def __init__(self, pairs):
        self.pairs = pairs

    def __len__(self):
        return len(self.pairs)

    def __getitem__(self, i):
        text, label = self.pairs[i]
        return torch.tensor([number_of[c] for c in text]), label


texts = Texts(reviews)
try:
    next(iter(own.DataLoader(texts, batch_size=3)))
except RuntimeError as error:
    print("RuntimeError:", error)
else:
    raise AssertionError("texts of different lengths were stacked")

# %% [markdown]
# Cutting all texts to the shortest would leave four letters. So the shorter ones are filled up:
# [padding](#padding). The place for it is the `collate_fn`, the function that makes a batch of a list of samples,
# since only there is it known how long the longest is:

# %%
from rungbook.scratch.nn.utils.rnn import pad_sequence

show(source(pad_sequence))


def collate_texts(batch):
    rows, labels = zip(*batch, strict=True)
    return pad_sequence(rows, batch_first=True), torch.tensor([len(row) for row in rows]), torch.tensor(labels)


padded, lengths, labels = next(iter(own.DataLoader(texts, batch_size=6, collate_fn=collate_texts)))
assert torch.equal(padded, torch.nn.utils.rnn.pad_sequence([row for row, _ in texts], batch_first=True))
print("a batch:", tuple(padded.shape), "lengths", lengths.tolist())


# %% tags=["hide-input"]
def paint_padded(ax):
    ax.imshow((padded > 0).int().numpy(), cmap="Blues", vmin=0, vmax=2, aspect="auto")
    for i, row in enumerate(padded.tolist()):
        for j, k in enumerate(row):
            if k:
                ax.text(j, i, alphabet[k - 1], ha="center", va="center", fontsize=7)
    ax.set(xlabel="place in the text", ylabel="sample")
    ax.grid(False)


empty = (padded == 0).double().mean().item()
show(
    draw(
        paint_padded,
        f"Six texts of {lengths.min()} to {lengths.max()} characters as rows; {empty:.0%} of the places are padding.",
        size=(6.5, 1.9),
    )
)
assert 0.3 < empty < 0.8

# %% [markdown]
# Two things go with it. Padding needs a number of its own: start the alphabet at 0 and padding is a letter. And the
# lengths must travel with the batch, because a network that does not know them reads the padding. The IMDB course
# does that: its [LSTM](#lstm) takes the state after the *last* place of each padded row, behind thousands of zeros,
# and stays at chance for eight epochs. What the zeros do can be seen without any training. Two texts, an LSTM with
# random weights, and the distance of their last states:

# %%
from rungbook.scratch.nn.utils.rnn import pack_padded_sequence

torch.manual_seed(0)
embedding, lstm = nn.Embedding(len(alphabet) + 1, 16, padding_idx=0), nn.LSTM(16, 32, batch_first=True)
two, long_enough = [texts[0][0], texts[3][0]], torch.tensor([len(texts[0][0]), len(texts[3][0])])
apart, packed_apart = {}, {}
with torch.no_grad():
    for zeros in (0, 10, 30, 100, 300):
        ends = [
            lstm(embedding(F.pad(row, (0, zeros)))[None])[1][0][0, 0] for row in two
        ]  # the state after the last place
        apart[zeros] = (ends[0] - ends[1]).norm().item()
        batch = pad_sequence([F.pad(row, (0, zeros)) for row in two], batch_first=True)
        packed = pack_padded_sequence(embedding(batch), long_enough, batch_first=True, enforce_sorted=False)
        ends = lstm(packed)[1][0][0]  # the state after the last letter
        packed_apart[zeros] = (ends[0] - ends[1]).norm().item()
show(
    table(
        [
            {
                "zeros behind": str(k),
                "distance, last place": f"{apart[k]:.1e}",
                "distance, lengths known": f"{packed_apart[k]:.1e}",
            }
            for k in apart
        ]
    )
)
assert apart[30] < 1e-3 * apart[0] and apart[300] < 1e-3 * apart[0]
assert max(packed_apart.values()) - min(packed_apart.values()) < 1e-5 and abs(packed_apart[0] - apart[0]) < 1e-5


# %% tags=["hide-input"]
def paint_forgetting(ax):
    ax.plot(list(apart), [max(d, 1e-9) for d in apart.values()], "o-", color=VALID)
    ax.plot(list(packed_apart), list(packed_apart.values()), "s-", color=TRAIN)
    ax.annotate("last place", (30, apart[30]), (6, 4), textcoords="offset points", color=VALID)
    ax.annotate("lengths known", (100, packed_apart[100]), (0, -12), textcoords="offset points", color=TRAIN)
    ax.set(yscale="log", xlabel="zeros behind the text", ylabel="distance of two states")


said = f"Distance of two texts' states: {number(apart[0])} without padding, {number(apart[300])} behind 300 zeros; with lengths it stays."
show(draw(paint_forgetting, said))

# %% [markdown]
# After a few dozen zeros the two texts look alike, and nothing is left to classify. The library stores texts end to
# end with their lengths and pads each batch to its own longest; `load_data` does it for any table with a column of
# text.
#
# ## Helpers that fetch
#
# Opening and decoding a picture takes time, and the network waits. Worker processes fetch the next batches
# meanwhile. They are processes, not threads, each with its own copy of the dataset. Batches are dealt out in turn and
# come back in order, so that the *order* does not depend on their number. Random draws inside the dataset do. (Under
# macOS and Windows a worker starts afresh and imports the dataset's class. It does not see the cells of a notebook, so
# the class stands in a file.)


# %%
(Path(temporary.name) / "noisy.py").write_text(
    """
import os, torch

class Noisy(torch.utils.data.Dataset):
    "Sample i is i, a random number, and the process that made it."
    def __len__(self):
        return 64
    def __getitem__(self, i):
        return i, torch.rand(()), os.getpid()
""",
    encoding="utf-8",
)
sys.path.insert(0, temporary.name)
from noisy import Noisy


def epoch(loader, workers: int) -> list[Tensor]:
    torch.manual_seed(5)
    batches = list(loader(Noisy(), batch_size=8, shuffle=True, num_workers=workers, generator=seeded(0)))
    return [torch.cat(column) for column in zip(*batches, strict=True)]


by = {
    (name, workers): epoch(loader, workers)
    for name, loader in (("torch", torch_data.DataLoader), ("ours", own.DataLoader))
    for workers in (0, 2)
}
show(
    table(
        [
            {
                "loader": name,
                "workers": workers,
                "processes": len(set(p.tolist())),
                "first samples": str(i[:4].tolist()),
                "first draws": str([round(v, 3) for v in r[:4].tolist()]),
            }
            for (name, workers), (i, r, p) in by.items()
        ]
    )
)
for workers in (0, 2):
    assert all(torch.equal(a, b) for a, b in zip(by["torch", workers][:2], by["ours", workers][:2], strict=True))
assert torch.equal(by["ours", 0][0], by["ours", 2][0])  # the same order ...
assert not torch.equal(by["ours", 0][1], by["ours", 2][1])  # ... and other draws
assert set(by["ours", 0][2].tolist()) == {os.getpid()} and os.getpid() not in by["ours", 2][2].tolist()

# %% [markdown]
# Ours is torch's bit for bit, this property included: a training with random flips gives other weights with two
# workers than with none. The library's feed avoids it. Its draws are no sequence but a hash of seed, epoch and
# sample, so that whoever asks gets the same number:

# %%
from rungbook.data import draws
from rungbook.data.augment.flip_crop import FlipCrop

show(source(draws.bits))
images, numbers = photos.train.source.fetch(slice(0, photos.train.samples))
feeds = [
    Feed(TensorSource(images, numbers), batch_size=16, shuffle=True, seed=0, workers=w, augment=FlipCrop())
    for w in (0, 2)
]
for e in range(2):
    for (xa, ya), (xb, yb) in zip(*(feed.batches(e) for feed in feeds), strict=True):
        assert torch.equal(xa, xb) and torch.equal(ya, yb)
print("two epochs, flips and crops included: the same batches with 0 and with 2 workers")
sys.path.remove(temporary.name)
temporary.cleanup()  # the folder of pictures goes

# %% [markdown]
# ## What a loader costs
#
# For data in memory the least that must be done is one `index_select` a batch. A loader that asks for sample after
# sample and stacks them pays for each one in Python. The times below, of the processor, are taken in turn, so that
# whatever else the machine does meets all alike. They belong to the machine that ran this page.

# %%
images = torch.randint(0, 256, (6000, 28, 28), dtype=torch.uint8, generator=seeded(0))
classes = torch.randint(0, 10, (6000,), generator=seeded(1))


def bare():
    for index in torch.randperm(len(classes)).split(256):
        yield images.index_select(0, index), classes.index_select(0, index)


memory = own.TensorDataset(images, classes)
contestants = {
    "bare index_select": bare,
    "our feed": Feed(TensorSource(images, classes), batch_size=256, shuffle=True).__iter__,
    "our DataLoader": own.DataLoader(memory, batch_size=256, shuffle=True).__iter__,
    "torch's DataLoader": torch_data.DataLoader(
        torch_data.TensorDataset(images, classes), batch_size=256, shuffle=True
    ).__iter__,
}
seconds: dict[str, list[float]] = {name: [] for name in contestants}
for turn in range(7):
    for name in list(contestants) if turn % 2 else reversed(contestants):
        epochs = 1 if "Loader" in name else 10  # the fast ones more often, or the clock would be too coarse
        begun = time.process_time()
        for _ in range(epochs):
            seen = sum(len(yb) for _, yb in contestants[name]())
        if turn:  # the first round warms up
            seconds[name].append((time.process_time() - begun) / epochs)
        assert seen == len(classes)
ratios = {
    name: [a / b for a, b in zip(each, seconds["bare index_select"], strict=True)] for name, each in seconds.items()
}
show(
    table(
        [
            {
                "way": name,
                "times the bare gather, median": f"{median(r):.1f}",
                "least": f"{min(r):.1f}",
                "most": f"{max(r):.1f}",
            }
            for name, r in ratios.items()
        ]
    )
)

assert min(median(ratios[name]) for name in ratios if "Loader" in name) > 2 * median(ratios["our feed"])

# %% [markdown]
# So for tensors in memory use a feed that gathers whole batches; for files that must be opened and decoded use a
# loader with workers.
#
# ## What people get wrong
#
# Nothing below raises an error, which is where the opening question ends: what stops with a message, as pictures of two
# sizes, is found the same day; these are not.
#
# - Files listed without `sorted`: other class numbers on another machine.
# - One dataset under both parts of a split, and with it one transform.
# - A split with replacement, or copies on both sides: the score is too good.
# - Mean and deviation computed over all pictures, the test part among them, or taken from ImageNet for pictures of
#   another kind.
# - Padding with the number of a real letter, and reading the state after the padding.
# - The labels of a random crop: what is cut off may be what the label names. Look at a batch, as the network sees
#   it, before training.
#
# ## Exercises
#
# ### Exercise 1: padding in front
#
# Some models read the state after the last place and cannot be told lengths. Then the padding goes in front. Write
# `collate_left(batch)`: for samples `(row, label)` the pair (rows padded on the left with 0, labels). A right answer
# ends every row with its own last number.


# %%
def check_collate_left(collate_left):
    rows, labels = collate_left([(torch.tensor([5, 6]), 1), (torch.tensor([7, 8, 9, 4]), 0), (torch.tensor([3]), 1)])
    assert tuple(rows.shape) == (3, 4), f"the rows are {tuple(rows.shape)}: 3 samples, the longest has 4 numbers"
    assert rows[:, -1].tolist() == [6, 4, 3], f"the rows end with {rows[:, -1].tolist()}: padding belongs in front"
    assert rows.tolist() == [[0, 0, 5, 6], [7, 8, 9, 4], [0, 0, 0, 3]], "the numbers of a row must keep their order"
    assert torch.is_tensor(labels) and labels.tolist() == [1, 0, 1], "labels become one tensor"


# %% tags=["solution"]
def collate_left(batch, side="left", turn=False):
    rows = [row.flip(0) if turn else row for row, _ in batch]
    return pad_sequence(rows, batch_first=True, padding_side=side), torch.tensor([label for _, label in batch])


check_collate_left(collate_left)
refuses(
    check_collate_left,
    lambda batch: collate_left(batch, side="right"),
    lambda batch: collate_left(batch, turn=True),
    lambda batch: (collate_left(batch)[0], [label for _, label in batch]),
    lambda batch: (collate_left(batch)[0].T, collate_left(batch)[1]),
)

# %% [markdown]
# ### Exercise 2: batches of like length
#
# Padding is computed like anything else. Write `buckets(lengths, batch_size, generator)`: a list of lists of indices,
# in which texts of like length share a batch. A right answer holds every index once, needs less than half the
# padding of a random order, and gives the batches in another order for another generator, so that training does not
# always begin with the short ones.


# %%
def check_buckets(buckets):
    lengths = torch.randint(1, 200, (640,), generator=seeded(0)).tolist()

    def padding(batches):
        return sum(max(lengths[i] for i in b) * len(b) - sum(lengths[i] for i in b) for b in batches)

    batches = [list(b) for b in buckets(lengths, 32, seeded(1))]
    assert sorted(i for b in batches for i in b) == list(range(640)), "every index exactly once"
    assert max(map(len, batches)) <= 32, "a batch is too large"
    assert len(batches) <= 24, f"{len(batches)} batches: 20 full ones hold all, and small ones waste time"
    at_random = padding([b.tolist() for b in torch.randperm(640, generator=seeded(2)).split(32)])
    assert padding(batches) < at_random / 2, f"{padding(batches)} places of padding, a random order has {at_random}"
    assert [list(b) for b in buckets(lengths, 32, seeded(3))] != batches, (
        "the same batches in the same order for another generator"
    )


# %% tags=["solution"]
def buckets(lengths, batch_size, generator):
    by_length = torch.tensor(lengths).argsort()
    batches = list(by_length.split(batch_size))
    return [batches[k].tolist() for k in torch.randperm(len(batches), generator=generator)]


check_buckets(buckets)
refuses(
    check_buckets,
    lambda lengths, size, generator: [
        b.tolist() for b in torch.randperm(len(lengths), generator=generator).split(size)
    ],
    lambda lengths, size, generator: [b.tolist() for b in torch.tensor(lengths).argsort().split(size)],
    lambda lengths, size, generator: buckets(lengths, size, generator)[:-1],
    lambda lengths, size, generator: buckets(lengths, 1, generator),
    lambda lengths, size, generator: buckets(lengths, 2 * size, generator),
)

# %% [markdown]
# ### Exercise 3: a split that keeps copies together
#
# Write `split_groups(groups, share, generator)`: `groups[i]` says to which group sample `i` belongs (copies of one
# picture, photographs of one person). The result is a pair of lists of indices. A right answer puts every sample
# into one part, tears no group, and gives the second part about `share` of the samples.


# %%
def check_split_groups(split_groups):
    groups = torch.randint(0, 300, (1000,), generator=seeded(0)).tolist()
    parts = [split_groups(groups, 0.2, seeded(seed)) for seed in (1, 2)]
    for train, valid in parts:
        assert sorted([*train, *valid]) == list(range(1000)), "every sample in exactly one part"
        both = {groups[i] for i in train} & {groups[i] for i in valid}
        assert not both, f"{len(both)} groups are in both parts"
        assert 0.12 < len(valid) / 1000 < 0.28, (
            f"{len(valid) / 1000:.0%} of the samples in the second part, 20 % were asked for"
        )
    assert set(parts[0][1]) != set(parts[1][1]), "the generator changes nothing"
    half = len(split_groups(groups, 0.5, seeded(1))[1]) / 1000
    assert 0.4 < half < 0.6, f"{half:.0%} of the samples in the second part, 50 % were asked for"


# %% tags=["solution"]
def split_groups(groups, share, generator, by_group=True):
    names = sorted(set(groups))
    if not by_group:
        order = torch.randperm(len(groups), generator=generator).tolist()
        cut = round(len(groups) * (1 - share))
        return order[:cut], order[cut:]
    held = {names[k] for k in torch.randperm(len(names), generator=generator)[: round(len(names) * share)].tolist()}
    return [i for i, g in enumerate(groups) if g not in held], [i for i, g in enumerate(groups) if g in held]


check_split_groups(split_groups)
refuses(
    check_split_groups,
    lambda groups, share, generator: split_groups(groups, share, generator, by_group=False),
    lambda groups, share, generator: split_groups(groups, 1 - share, generator),
    lambda groups, share, generator: split_groups(groups, share, seeded(0)),
    lambda groups, share, generator: split_groups(groups, 0.2, generator),
)

# %% [markdown]
# ## Sources
#
# - Datasets, samplers and loaders as torch has them: [Paszke et al., 2019](#paszke2019), and the manual of
#   [torch.utils.data](#torch-data).
# - Random flips and crops: [Krizhevsky et al., 2012](#krizhevsky2012), section 4.1.
# - Random numbers that belong to a sample: the generator is SplitMix64, [Steele et al., 2014](#steele2014).
# - The courses this lesson follows: [PyTorch-Adventures](#pytorchadventures) on data loaders, for images and texts,
#   and notebook 9 of [Fundamentals of Deep Learning](#fdl).
