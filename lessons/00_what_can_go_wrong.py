# %% [markdown]
# # What can go wrong in a notebook
#
# A course's notebook ends with a number: 97.25 % of the images that its model had never seen are named right. Every
# cell runs, nothing warns. The number is not true: the model had seen more than half of those images. What would
# have told you?

# %% tags=["about"]
covers = ["S1-1", "S1-2", "S1-3", "S0-1", "S0-2", "S3-1", "S3-6"]
rung = 0
minutes = 60

# %%
import math
from collections import Counter
from statistics import mean, stdev

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

from rungbook.book import refuses, show, source, table
from rungbook.plot.style import THIRD, TRAIN, VALID, Picture, draw, number
from rungbook.plot.variants import variants
from rungbook.recipes.book.honest_split import Forest
from rungbook.recipes.ledger import load_ledger
from rungbook.recipes.quotes import quote

(reported,) = Forest.reported
assert reported.value == 0.9725 and reported.fault.startswith("fault S1-1")
print(f"{reported.source} reports {reported.value:.2%} on {reported.split}; {reported.fault}")

# %% [markdown]
# This lesson shows seven mistakes. All of them stood in public courses on deep learning, written by people who know
# the field, behind numbers that the courses report. None stopped the program. We repeat each mistake once, put the
# wrong number beside the honest one, and ask how it was found. The names S1-1, S0-2 and so on are those of this
# book's list of faults.
#
# You need three words. A [model](#model) is a function with numbers in it, its [parameters](#parameter), that are
# adjusted until it answers well on examples; that is *training*. Examples it was trained on are the [training
# set](#training-set). What it answers on examples kept aside, the [validation set](#validation-set), tells how good
# it is on new ones. Everything else is explained where it is needed, and properly in later lessons.
#
# One draw of examples is luck. So each experiment is repeated with at least five [seeds](#seed), as many different
# draws, and we write the mean and the [standard deviation](#standard-deviation).

# %%
SEEDS = range(5)
found = []


def spread(values) -> str:
    return f"{number(mean(values))} ± {number(float(f'{stdev(values):.2g}'))}"


def beside(fault: str, what: str, wrong: list[float], honest: list[float], part: str = "valid") -> Picture:
    """Keep both numbers for the end of the lesson, and draw them: a dot a seed."""
    found.append({"fault": fault, "what is reported": what, "with the fault": spread(wrong), "honest": spread(honest)})
    return variants({"with the fault": {part: wrong}, "honest": {part: honest}}, name=what)


# %% [markdown]
# ## 1. A shuffle that is none (S1-1)
#
# Before examples are parted they are shuffled. The notebook draws the new order with `randint(0, n, n)`: n numbers,
# each of them any of 0 to n-1. That is not a shuffle. A shuffle deals cards; this rolls dice, and dice repeat. Some
# images are drawn twice or more, and some never. Here are forty images dealt both ways:


# %%
def parted(n: int, seed: int, *, course: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Numbers of the images to train on (80 %) and to judge by (20 %)."""
    g = torch.Generator().manual_seed(seed)
    order = torch.randint(0, n, (n,), generator=g) if course else torch.randperm(n, generator=g)
    cut = n * 4 // 5
    return order[:cut], order[cut:]


shared = [len(set(a.tolist()) & set(b.tolist())) for a, b in (parted(40, 0, course=True), parted(40, 0, course=False))]
assert shared[0] > 0 and shared[1] == 0


# %% tags=["hide-input"]
def dealt(ax):
    for i, course in enumerate((True, False)):
        train, valid = parted(40, 0, course=course)
        ax.plot(train, [i - 0.13] * len(train), "s", color=TRAIN, markersize=4.5, label="" if i else "training")
        ax.plot(valid, [i + 0.13] * len(valid), "o", color=VALID, markersize=4.5, label="" if i else "validation")
    ax.set(yticks=[0, 1], yticklabels=["randint", "randperm"], ylim=(1.6, -0.6), xlabel="number of the image")
    ax.grid(False)
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False)


words = f"40 images dealt to training and validation: by randint {shared[0]} of them lie in both parts, by randperm {shared[1]}."
show(draw(dealt, words, size=(5.6, 1.7)))

# %% [markdown]
# How many validation images are also in training? One image escapes one roll with probability $1 - 1/n$, and all
# $0.8n$ rolls of the training part with $(1 - 1/n)^{0.8n}$, which for large $n$ is $e^{-0.8}$. The rest,
# $1 - e^{-0.8}$, about 55 %, are in both.

# %%
n = 1797  # scikit-learn's handwritten digits, 8 x 8 pixels
expected = 1 - (1 - 1 / n) ** (n * 4 // 5)
overlap = [
    torch.isin(valid, train).float().mean().item() for train, valid in (parted(n, seed, course=True) for seed in SEEDS)
]
print(f"in both: {expected:.1%} by the formula, {1 - math.exp(-0.8):.1%} in the limit, {spread(overlap)} found")
assert abs(expected - (1 - math.exp(-0.8))) < 1e-3 and abs(1 - math.exp(-0.8) - 0.55) < 0.002
assert all(abs(share - expected) < 0.12 for share in overlap) and abs(mean(overlap) - expected) < 0.05
assert not any(torch.isin(*parted(n, seed, course=False)).any() for seed in SEEDS)

# %% [markdown]
# What does that do to the number? The notebook's model is a random forest. We grow one on either split, and look at
# the validation images of the faulty split in two groups: those the forest was trained on, and those that are new
# to it.

# %%
from sklearn.ensemble import RandomForestClassifier

digits = load_digits()
pixels, labels = digits.data, digits.target
accuracy, seen, unseen = {True: [], False: []}, [], []
for seed in SEEDS:
    for course in (True, False):
        train, valid = (part.numpy() for part in parted(n, seed, course=course))
        forest = RandomForestClassifier(20, random_state=seed).fit(pixels[train], labels[train])
        right = forest.predict(pixels[valid]) == labels[valid]
        accuracy[course].append(float(right.mean()))
        if course:
            known = torch.isin(torch.from_numpy(valid), torch.from_numpy(train)).numpy()
            seen.append(float(right[known].mean()))
            unseen.append(float(right[~known].mean()))
show(beside("S1-1", "accuracy, forest on digits", accuracy[True], accuracy[False]))
print("the forest of the faulty split, images it was trained on:", spread(seen), " images new to it:", spread(unseen))
assert min(seen) > 0.99 and mean(seen) - mean(unseen) > 0.015

# %% [markdown]
# On the images it was trained on the forest is right nearly always, since it has their answers stored. They pull
# the reported number up. On the digits, where the honest number is high already, the difference is about as small
# as the spread over seeds. The course has 10,000 images of MNIST, a larger set of handwritten digits, and 900
# trees. This book has measured that too. What it has measured stands in a [ledger](#ledger), from which lessons
# quote; "test" are 10,000 other images that neither forest has seen:

# %%
key = "forest data=mnist train_samples=10000 valid=0.2 trees=900"
mnist = {
    v: {part: quote(key, v, part, "accuracy") for part in ("valid", "test")}
    for v in ("as the course splits", "honest split")
}
show(table([{"forest": v, **figures} for v, figures in mnist.items()]))
fault, honest = mnist["as the course splits"], mnist["honest split"]
assert fault["valid"].mean - honest["valid"].mean > 5 * max(fault["valid"].sd, honest["valid"].sd)
assert fault["test"].mean < honest["test"].mean

# %% [markdown]
# On MNIST the two reported numbers are far apart, and the forest with the better one is the worse forest: it has
# lost the images that were never drawn.
#
# **How to notice.** Count the images that are in both parts: one line, `torch.isin(valid, train).any()`. There is
# also a test that needs no idea of what is wrong. Give every image a label drawn at random. Now there is nothing to
# learn, and an honest score must be one in ten.

# %%
from sklearn.neighbors import KNeighborsClassifier

nonsense = {True: [], False: []}
for seed in SEEDS:
    drawn = torch.randint(0, 10, (n,), generator=torch.Generator().manual_seed(seed)).numpy()
    for course in (True, False):
        train, valid = (part.numpy() for part in parted(n, seed, course=course))
        nearest = KNeighborsClassifier(1).fit(pixels[train], drawn[train])  # answers as the nearest training image
        nonsense[course].append(nearest.score(pixels[valid], drawn[valid]))
show(beside("S1-1", "accuracy, labels drawn at random", nonsense[True], nonsense[False]))
assert abs(mean(nonsense[False]) - 0.1) < 0.04
assert abs(mean(nonsense[True]) - (expected + 0.1 * (1 - expected))) < 0.06

# %% [markdown]
# A model that names six in ten of labels drawn at random has seen them.
#
# ## 2. Softmax twice (S1-2)
#
# The next notebook trains a [neural network](#neural-network) on the same images. Its last step turns ten numbers
# $z_0 \ldots z_9$ into ten probabilities, which is the work of [softmax](#softmax): $p_i = e^{z_i} / \sum_j e^{z_j}$.
# The [loss](#loss), the number that training makes small, is the [cross-entropy](#cross-entropy): minus the
# logarithm of the probability given to the right answer. It is 0 for a model that gives it all of its belief.
#
# torch's `cross_entropy` takes the numbers $z$ and applies softmax itself. The notebook hands it probabilities, so
# softmax is applied twice. No error is raised: probabilities are numbers too. But they lie between 0 and 1. The best
# the network can do is 1 for the right class and 0 for the nine others, and softmax makes of that
# $e^1 / (e^1 + 9 e^0)$, a mere 23 %. The loss has a floor:
#
# $$-\ln \frac{e}{e + 9} = 1.46115$$

# %%
floor = -math.log(math.e / (math.e + 9))
perfect = F.one_hot(torch.arange(10), 10).double()  # all belief on the right class
assert abs(floor - 1.46115) < 5e-6 and abs(math.exp(-floor) - 0.23) < 0.003
torch.testing.assert_close(F.cross_entropy(perfect, torch.arange(10)).item(), floor)
print(f"a perfect network, softmax twice: {floor:.5f}")

# %%
x, y = torch.tensor(digits.data / 16, dtype=torch.float32), torch.tensor(digits.target)


def train_digits(seed: int, *, twice: bool) -> dict:
    """64-50-10, a step for each of 60 times through all training images: losses, shares named right, classes that are ever named."""
    torch.manual_seed(seed)
    train, valid = parted(n, seed, course=False)
    images, classes = x[train], y[train]
    model = nn.Sequential(nn.Linear(64, 50), nn.ReLU(), nn.Linear(50, 10), *([nn.Softmax(dim=1)] if twice else []))
    optimizer, losses = torch.optim.Adam(model.parameters(), lr=0.015, foreach=True), []
    for _ in range(60):
        loss = F.cross_entropy(model(images), classes)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    with torch.no_grad():
        answers = model(x).argmax(1)
    right = (answers == y).float()
    return {
        "losses": losses,
        "train": right[train].mean().item(),
        "valid": right[valid].mean().item(),
        "named": len(answers.unique()),
    }


twice, once = [train_digits(seed, twice=True) for seed in SEEDS], [train_digits(seed, twice=False) for seed in SEEDS]
ends = {name: [run["losses"][-1] for run in runs] for name, runs in (("twice", twice), ("once", once))}
assert min(min(run["losses"]) for run in twice) > floor and max(ends["once"]) < 0.15


# %% tags=["hide-input"]
def paint(ax):
    for runs, colour, name in ((twice, VALID, "softmax twice"), (once, TRAIN, "softmax once")):
        for run in runs:
            ax.plot(range(1, 61), run["losses"], color=colour, linewidth=1, label=name if run is runs[0] else "")
    ax.axhline(floor, color=THIRD, linestyle=(0, (3, 2)), linewidth=1.2)
    ax.annotate(
        f"floor {floor:.3f}", (60, floor), (0, -4), textcoords="offset points", ha="right", va="top", fontsize=8
    )
    ax.set(xlabel="step", ylabel="training loss", ylim=(0, None))
    ax.legend(frameon=False)


words = f"after 60 steps it is {spread(ends['once'])} with one softmax and {spread(ends['twice'])} with two, whose floor is {floor:.4f}"
show(draw(paint, f"Training loss of five networks each: {words}.", size=(4.6, 2.6)))

# %%
show(beside("S1-2", "training loss, network on digits", ends["twice"], ends["once"], "train"))
rows = []
for name, runs in (("once", once), ("twice", twice)):
    shares = {f"right on {part}": spread([run[part] for run in runs]) for part in ("train", "valid")}
    rows.append({"softmax": name, **shares, "classes ever named": ", ".join(str(run["named"]) for run in runs)})
show(table(rows))

# %% [markdown]
# The faulty networks still learn: the order of the ten numbers survives the second softmax. That is why nobody
# noticed. What suffers is the slope. [Training](#gradient-descent) follows the [gradient](#gradient) of the loss,
# and a first softmax that is sure of a wrong answer is flat. The network is told next to nothing about exactly the
# images it has most wrong. A class that is lost early may never come back: a network with fewer than ten classes in
# the last column never names the others at all.


# %%
def slope(margin: float, *, twice: bool) -> float:
    """Size of the gradient at a network's ten outputs when it prefers a wrong class by `margin`."""
    z = torch.zeros(1, 10, dtype=torch.float64)
    z[0, 3] = margin
    z.requires_grad_()
    F.cross_entropy(z.softmax(1) if twice else z, torch.tensor([7])).backward()
    return z.grad.norm().item()


once_twice = {"softmax once": False, "softmax twice": True}
show(
    table(
        [
            {"a wrong class is preferred by": m, **{k: slope(m, twice=v) for k, v in once_twice.items()}}
            for m in (0, 2, 5, 10, 15)
        ]
    )
)
assert slope(15, twice=False) > 1.4 and slope(15, twice=True) < 1e-4

# %% [markdown]
# What that costs depends on the [learning rate](#learning-rate), the size of the steps. Measured on 10,000 images
# of MNIST, with the rate that suits the right network best and with the course's 0.03:

# %%
key = "softmax_twice data=mnist epochs=100 valid=0.2 train_samples=10000"
names = {"0.01": ("50 units", "softmax twice"), "0.03": ("50 units, rate 0.03", "softmax twice, rate 0.03")}
cost = {rate: [quote(key, name, "test", "accuracy") for name in pair] for rate, pair in names.items()}
show(table([{"rate": rate, "softmax once": once, "softmax twice": twice} for rate, (once, twice) in cost.items()]))
assert all(once.mean > twice.mean for once, twice in cost.values())
assert cost["0.03"][1].sd > 10 * cost["0.03"][0].sd  # five networks, five fates

# %% [markdown]
# **How to notice.** The notebook's own numbers contradict each other. A loss of 1.47 says that the right answer
# gets 23 % of the belief; an accuracy above 95 % says that it gets the most. And the losses that the course
# reports, for networks of different sizes and batches, all lie just above one number:

# %%
from rungbook.recipes.book.batches import BatchSizes
from rungbook.recipes.book.honest_split import SoftmaxTwice, loss_floor

losses = sorted(r.value for recipe in (SoftmaxTwice, BatchSizes) for r in recipe.reported if r.metric == "log_loss")
print("the course's losses:", losses)
show(source(loss_floor))
assert loss_floor(10) == floor and all(floor < loss < floor + 0.06 for loss in losses)
assert all(r.value > 0.95 for r in SoftmaxTwice.reported if r.metric == "accuracy")

# %% [markdown]
# Ask of any loss: where is its floor, and does a perfect model reach it?
#
# ## 3. The best of many (S1-3)
#
# A network is judged after each [epoch](#epoch), one pass over the training set. The notebook takes the epoch with
# the best validation score, which is fine, and reports that same score, which is not. Take models that cannot know
# anything: in each of 120 epochs every answer is a coin toss. Score them on 88 examples, report the best epoch;
# then score that epoch's model on 88 fresh examples.

# %%
EPOCHS, EXAMPLES = 120, 88
best, fresh = [], []
for seed in range(20):
    g = torch.Generator().manual_seed(seed)
    scores = torch.randint(0, 2, (EPOCHS, EXAMPLES), generator=g).double().mean(1)  # 1 where a toss happens to be right
    best.append(scores.max().item())
    fresh.append(torch.randint(0, 2, (EXAMPLES,), generator=g).double().mean().item())  # of the same model, on others
show(beside("S1-3", "accuracy, best epoch of coin tosses", best, fresh))
assert min(best) > 0.55 and abs(mean(fresh) - 0.5) < 0.04 and 0.6 < mean(best) < 0.67

# %% [markdown]
# Nobody cheated and nothing was trained on the wrong examples. The *choice* was made on them, and the luckiest of 120
# scores was chosen.
#
# A real case, from the ledger: a network predicts how a disease goes on in 442 patients, and 88 of them are
# reported on. The spreads of the two errors overlap, because some draws of patients are harder than others. But
# both choices were made from one and the same training, so they can be compared seed by seed:

# %%
results = load_ledger().get("diabetes").results
honest, chosen = (
    results[name]["test"]["mean_squared_error"]["values"] for name in ("best on valid", "best on test (fault S1-3)")
)
show(beside("S1-3", "squared error, diabetes (ledger)", chosen, honest, "test"))
gains = [a - b for a, b in zip(honest, chosen, strict=True)]
print("the error looks smaller by", spread(gains))
assert min(gains) > 0

# %% [markdown]
# **How to notice.** Ask of every reported score whether anything at all was chosen by it: an epoch, a rate, a seed.
# Then keep a third part, the [test set](#test-set), that nothing is chosen by, and look at it once. Every recipe of
# this book does.
#
# ## 4. Two splits, one object (S0-1)
#
# [Augmentation](#data-augmentation) changes training pictures at random each time they are used (moved, mirrored),
# so that the model sees more variety. Validation pictures stay as they are. A course wrote it in two lines:
#
#     train_dataset.dataset.transform = moved
#     valid_dataset.dataset.transform = None
#
# Both splits are windows on one data set. `train_dataset.dataset` and `valid_dataset.dataset` are the same object.
# The second line undoes the first.

# %%
from torch.utils.data import DataLoader, Dataset, Subset

canvas = torch.zeros(n, 12, 12)  # a digit somewhere on a larger sheet: 8 x 8 pixels on 12 x 12
torch.manual_seed(0)
for i, (row, column) in enumerate(torch.randint(0, 5, (n, 2)).tolist()):
    canvas[i, row : row + 8, column : column + 8] = x[i].view(8, 8)


class Pictures(Dataset):
    """Pictures with their classes, changed by `transform` each time they are asked for."""

    def __init__(self, transform=None):
        self.transform = transform

    def __len__(self):
        return n

    def __getitem__(self, i):
        return (self.transform(canvas[i]) if self.transform else canvas[i]), y[i]


def moved(picture):
    """By up to two pixels either way; what leaves the sheet is lost."""
    down, right = (torch.randint(0, 5, (2,))).tolist()
    return F.pad(picture, (2, 2, 2, 2))[down : down + 12, right : right + 12]


# %% [markdown]
# So the course compared three models "with augmentation", and none had any. Below, a small network learns from 160
# pictures: with the two lines as written, and with a data set for each split.

# %%
HONEST, SHARED = "a data set each", "one object"


def splits(seed: int, how: str) -> tuple[Dataset, Dataset, Dataset]:
    """160 pictures to train on, 360 to validate, the rest to test."""
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed)).tolist()
    one = Pictures()
    sets = [Pictures(moved), Pictures(), Pictures()] if how == HONEST else [one, one, one]
    train, valid, test = (
        Subset(data, part) for data, part in zip(sets, (order[:160], order[160:520], order[520:]), strict=True)
    )
    if how == SHARED:
        train.dataset.transform = moved
        valid.dataset.transform = None
        assert train.dataset is valid.dataset
    return train, valid, test


def learned(train: Dataset, seed: int) -> nn.Module:
    """144-64-10, 30 epochs."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Flatten(), nn.Linear(144, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.015, foreach=True)
    for _ in range(30):
        for pictures, classes in DataLoader(train, batch_size=40, shuffle=True):
            optimizer.zero_grad()
            F.cross_entropy(model(pictures), classes).backward()
            optimizer.step()
    return model


def share_right(model: nn.Module, part: Dataset) -> float:
    pictures, classes = next(iter(DataLoader(part, batch_size=len(part))))
    with torch.no_grad():
        return (model(pictures).argmax(1) == classes).float().mean().item()


models = {how: [learned(splits(seed, how)[0], seed) for seed in SEEDS] for how in (SHARED, HONEST)}
tested = {
    how: [share_right(model, splits(seed, how)[2]) for seed, model in zip(SEEDS, models[how], strict=True)]
    for how in models
}
show(beside("S0-1", "accuracy, 'with augmentation'", tested[SHARED], tested[HONEST], "test"))
assert all(a > b + 0.05 for a, b in zip(tested[HONEST], tested[SHARED], strict=True))

# %% [markdown]
# A reader of the faulty numbers learns that augmentation does not help. It was never on.
#
# **How to notice.** Ask the training split twice for the same picture. If augmentation is on, the two differ. Or
# train with augmentation off and compare: the parameters are equal to the last bit.

# %%
for how, alike in ((SHARED, True), (HONEST, False)):
    train, _, _ = splits(0, how)
    twenty = [train[0][0] for _ in range(20)]
    assert all(torch.equal(twenty[0], again) for again in twenty) == alike
order = torch.randperm(n, generator=torch.Generator().manual_seed(0)).tolist()
without = learned(Subset(Pictures(), order[:160]), 0)  # no augmentation anywhere
assert all(torch.equal(a, b) for a, b in zip(models[SHARED][0].parameters(), without.parameters(), strict=True))
print("the model 'with augmentation' is, bit for bit, the one without")

# %% [markdown]
# ## 5. One transform for both (S0-2)
#
# The opposite mistake: one data set with one transform, parted afterwards. Now the validation pictures are moved at
# random too. The models are the honest ones from above; only the question put to them changes.

# %%
plain = [share_right(model, splits(seed, HONEST)[1]) for seed, model in zip(SEEDS, models[HONEST], strict=True)]
again = []  # per seed: the same model, the same pictures, asked three times
for seed, model in zip(SEEDS, models[HONEST], strict=True):
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed)).tolist()
    again.append([share_right(model, Subset(Pictures(moved), order[160:520])) for _ in range(3)])
show(beside("S0-2", "validation accuracy", [asked[0] for asked in again], plain))
print("one model, asked three times:", *(f"{share:.3f}" for share in again[0]), " unmoved pictures:", f"{plain[0]:.3f}")
assert all(mean(asked) < true for asked, true in zip(again, plain, strict=True))
assert all(len(set(asked)) > 1 for asked in again)

# %% [markdown]
# The score is too low, because the pictures asked about are harder than those the model is for. And it is noisy, so
# that the best epoch is partly the one with the luckiest moves: fault 3 again. **How to notice.** Ask a finished
# model twice. The score of a fixed model on fixed pictures is one number.
#
# ## 6. Weights that cancel (S3-1)
#
# Sentences have different lengths, so shorter ones are filled up with [padding](#padding), and the filled slots
# must not count. The course gives every slot a weight, 1 or 0, and takes the weighted mean of the losses:
#
# $$\frac{\sum_i w_i \ell_i}{\sum_i w_i}$$
#
# But its `loss` has taken the mean already. It is one number $\bar\ell$, and
# $\sum_i w_i \bar\ell / \sum_i w_i = \bar\ell$, whatever the weights are.


# %%
def cancelled(scores, targets, weights):
    """As in the course."""
    loss = F.cross_entropy(scores, targets)  # the mean already
    return (loss * weights).sum() / weights.sum()


def weighted(scores, targets, weights):
    """As it was meant."""
    losses = F.cross_entropy(scores, targets, reduction="none")  # one for each slot
    return (losses * weights).sum() / weights.sum()


torch.manual_seed(0)
targets, weights = (
    torch.tensor([2, 1, 3, 0, 0, 0]),
    torch.tensor([1.0, 1.0, 1.0, 0.0, 0.0, 0.0]),
)  # three words, three padded slots
for loss in (cancelled, weighted):
    scores = torch.randn(6, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    loss(scores, targets, weights).backward()
    print(f"{loss.__name__:<10} gradient at the padded slots: {scores.grad[3:].norm():.4f}")
    assert (scores.grad[3:].norm() == 0) == (loss is weighted)
    other = loss(scores, targets, torch.rand(6, generator=torch.Generator().manual_seed(1)) + 0.1)
    assert torch.isclose(other, F.cross_entropy(scores, targets)) == (loss is cancelled)

# %% [markdown]
# The padded slots carry the target 0, the first word of the vocabulary, and the model is trained to answer it. To
# see what that does we need a task where the truth is known. `world:blobs` draws points around four centres, and
# the least possible loss on such points is known. Seven of ten slots are padding.

# %%
from rungbook.data.worlds.registry import make_world

world = make_world("blobs(classes=4, sd=0.6)")
least = world.limit("log_loss").value
told, true, named = {}, {}, {}
for loss in (cancelled, weighted):
    told[loss], true[loss], named[loss] = [], [], []
    for seed in SEEDS:
        drawn, new = world.sample(2000, seed), world.sample(10_000, seed + 100)
        weights = (torch.rand(2000, generator=torch.Generator().manual_seed(seed)) > 0.7).float()
        points, classes = (
            torch.tensor(drawn.x) * weights[:, None],
            (torch.tensor(drawn.y) * weights).long(),
        )  # padding: all zeros
        torch.manual_seed(seed)
        model = nn.Linear(2, 4)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.2, foreach=True)
        for _ in range(80):
            optimizer.zero_grad()
            now = loss(model(points), classes, weights)
            now.backward()
            optimizer.step()
        scores = model(torch.tensor(new.x)).detach()
        told[loss].append(now.item())
        true[loss].append(F.cross_entropy(scores, torch.tensor(new.y)).item())
        named[loss].append((scores.argmax(1) == torch.tensor(new.y)).float().mean().item())
show(beside("S3-1", "training loss, three slots in ten real", told[cancelled], told[weighted], "train"))
rows = []
for loss in (cancelled, weighted):
    figures = {"reported": told[loss], "on new points": true[loss], "right on new points": named[loss]}
    rows.append({"loss": loss.__name__, **{what: spread(values) for what, values in figures.items()}})
show(table(rows))
print(f"least possible loss: {least:.4f}")
assert (
    max(told[cancelled]) < 0.75 * least
    and abs(mean(told[weighted]) - least) < 0.04
    and min(true[cancelled]) > least + 0.05
)
assert all(a < b for a, b in zip(named[cancelled], named[weighted], strict=True))

# %% [markdown]
# The faulty loss looks far better and belongs to a worse model. **How to notice.** The gradient at a slot that must
# not count has to be zero. And a loss that lies far below the least possible in each of five draws is not luck.
#
# ## 7. Scores on training sentences (S3-6)
#
# At the end of a notebook a translator translates some sentences, and is given scores. The sentences are from its
# training set. Here is a translator that knows no grammar and no words: it is a dictionary of whole sentences.
# `world:translation` has two languages with synonyms drawn by chance, so that no translator can be right in every
# word more often than about 27 % of the time.

# %%
world = make_world("translation")
best_possible = world.limit("accuracy").value
trained_on, held_out = [], []
for seed in SEEDS:
    pairs = world.sample(1000, seed)
    known, new = list(zip(pairs.x, pairs.y, strict=True))[:500], list(zip(pairs.x, pairs.y, strict=True))[500:]
    translator = dict(known)
    trained_on.append(mean(translator.get(a) == b for a, b in known))
    held_out.append(mean(translator.get(a) == b for a, b in new))
print(pairs.x[0], "->", pairs.y[0])
show(beside("S3-6", "sentences translated word for word", trained_on, held_out))
print(f"best possible: {best_possible:.3f}")
assert min(trained_on) > 0.95 and max(held_out) < 0.05 and abs(best_possible - 0.27) < 0.005

# %% [markdown]
# The same for a model of text. `world:grammar` writes lines such as `a*(b+c)`; its model counts which character
# followed the last $k$ characters. Its score is the mean loss per character (whose exponential is called
# [perplexity](#perplexity)). The more characters it may look back, the better it is on the text it has counted, and
# past two characters the worse on any other:

# %%
world = make_world("grammar")
least = world.limit("log_loss").value


def loss_of(text: str, k: int, followed: Counter, stood: Counter, alphabet: int) -> float:
    """Mean of minus the logarithm of each character's probability, from counts; one count more is spread over the alphabet."""
    p = ((followed[text[i - k : i + 1]] + 1 / alphabet) / (stood[text[i - k : i]] + 1) for i in range(k, len(text)))
    return -mean(map(math.log, p))


own, others = {k: [] for k in range(9)}, {k: [] for k in range(9)}
for seed in SEEDS:
    text, new = world.sample(4000, seed).x, world.sample(4000, seed + 100).x
    for k in own:
        followed, stood = (Counter(text[i - k : i + more] for i in range(k, len(text))) for more in (1, 0))
        for losses, judged in ((own, text), (others, new)):
            losses[k].append(loss_of(judged, k, followed, stood, len(set(text))))
assert max(own[8]) < least < min(others[2])
assert all(mean(own[k]) > mean(own[k + 1]) for k in range(8))  # better and better on its own text
assert all(mean(others[k]) < mean(others[k + 1]) for k in range(2, 8))  # past two, worse and worse on any other


# %% tags=["hide-input"]
def paint(ax):
    for losses, colour, name in ((own, TRAIN, "text it was trained on"), (others, VALID, "new text")):
        ax.plot(list(losses), [mean(v) for v in losses.values()], color=colour, marker=".", label=name)
        ax.fill_between(
            list(losses), [min(v) for v in losses.values()], [max(v) for v in losses.values()], color=colour, alpha=0.25
        )
    ax.axhline(least, color=THIRD, linestyle=(0, (3, 2)), linewidth=1.2)
    ax.annotate("least possible", (0, least), (0, -3), textcoords="offset points", va="top", fontsize=8)
    ax.set(xlabel="characters it looks back", ylabel="loss per character (nats)", ylim=(0, None))
    ax.legend(frameon=False)


words = f"on its own text {number(mean(own[0]))} with none and {number(mean(own[8]))} with eight, on new text {number(mean(others[0]))}"
words += f", {number(mean(others[2]))} with two and {number(mean(others[8]))} with eight; no model can expect less than {number(least)}"
show(draw(paint, f"Loss per character by how far the model looks back: {words}.", size=(4.6, 2.7)))

# %%
show(beside("S3-6", "loss per character, looking back 8", own[8], others[8]))

# %% [markdown]
# **How to notice.** Both scores on training sentences are better than the best possible on new ones. Where that
# limit is known, such a score shows at once what it is. Where it is not, there is only one way: sentences that were
# kept aside.
#
# ## Why every number in this book is asserted
#
# What would have told you that the 97.25 % are not true? One line that counts the images in both parts, or labels
# drawn at random. For each of the other mistakes, too, there was a line. The seven side by side; mean and standard deviation over the seeds, five or more:

# %%
show(table(found))
assert len({row["fault"] for row in found}) == 7

# %% [markdown]
# What have they in common? Each program ran. Each number looked like a number. And each was found by computing
# something that must hold if the program does what its author believes:
#
# - the two parts have no image in common; labels drawn at random are guessed one time in ten;
# - a network that gives the right class all of its belief has a cross-entropy of zero;
# - what is reported was used for no choice;
# - the same training picture asked for twice differs, the same score asked for twice does not;
# - what has weight 0 has gradient 0;
# - on new examples nothing is better than the best possible.
#
# Such a sentence can be read and believed, or it can be run. In this book it is run. Where a lesson says that two
# things are equal, the cell beside it has an `assert` that compares them, mostly in double precision. Where it says
# that one thing is better, the difference comes with its spread over five or more draws, and if it is within the
# spread the lesson says that they cannot be told apart. Where a number was measured on data too large to bring
# along, it is read from a [ledger](#ledger) that records code, settings, seeds and machine, and it turns stale when
# the code changes. All lessons are executed before each release: a claim that no longer holds stops the release.
#
# This does not make the book right. An assertion checks what somebody thought of. So the last habit is the
# cheapest: a surprising number is first of all a suspected fault, most of all when it is a pleasant one.
#
# ## Exercises
#
# ### Exercise 1: a split that is one
#
# Write `split(n, share, seed)`. It returns two lists of numbers, for training and for validation, with
# `round(share * n)` in the second. A right answer uses each of 0 to n-1 exactly once, differs for different seeds, is
# the same for the same seed, and leaves no pattern: the validation part is neither a block of neighbours nor every
# fifth image.


# %%
def check_split(split):
    train, valid = (list(map(int, part)) for part in split(100, 0.2, 0))
    assert len(valid) == 20, f"20 of 100 are to be kept aside, got {len(valid)}"
    assert not set(train) & set(valid), (
        f"in both parts: {sorted(set(train) & set(valid))[:5]}; is something drawn with replacement?"
    )
    assert sorted(train + valid) == list(range(100)), (
        "an image is missing or there twice; what does randint do that randperm does not?"
    )
    assert [len(list(part)) for part in split(37, 0.3, 0)] == [26, 11], "of 37, a share of 0.3 is 11: use n and share"
    assert [list(map(int, part)) for part in split(100, 0.2, 0)] == [train, valid], (
        "the same seed must give the same split"
    )
    others = [set(map(int, split(100, 0.2, seed)[1])) for seed in range(1, 6)]
    assert all(other != set(valid) for other in others), (
        "another seed must give another split; is the data in order, class by class?"
    )
    gaps = {(b - a) % 100 for a, b in zip(sorted(valid), sorted(valid)[1:] + sorted(valid)[:1], strict=True)}
    assert len(gaps) > 2, "the validation part is a block or evenly spaced: deal at random"


# %% tags=["solution"]
def good_split(n, share, seed):
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed)).tolist()
    return order[round(share * n) :], order[: round(share * n)]


def drawn_split(n, share, seed):
    order = torch.randint(0, n, (n,), generator=torch.Generator().manual_seed(seed)).tolist()
    return order[round(share * n) :], order[: round(share * n)]


def two_shuffles(n, share, seed):
    g = torch.Generator().manual_seed(seed)
    return torch.randperm(n, generator=g)[round(share * n) :].tolist(), torch.randperm(n, generator=g)[
        : round(share * n)
    ].tolist()


def block(n, share, seed):
    order = [(i + 7 * seed) % n for i in range(n)]
    return order[round(share * n) :], order[: round(share * n)]


check_split(good_split)
refuses(
    check_split,
    drawn_split,
    two_shuffles,
    lambda n, share, seed: (range(n - round(share * n)), range(n - round(share * n), n)),
    block,
    lambda n, share, seed: good_split(n, 0.2, seed),
)

# %% [markdown]
# ### Exercise 2: the mean of what counts
#
# Write `masked_loss(scores, targets, weights)` for `scores` of shape `(sentences, slots, words)`, `targets` and
# `weights` of shape `(sentences, slots)`: the mean cross-entropy of the slots with weight 1. A right answer does not
# change when the padded slots do, and every real slot counts the same, whether its sentence is long or short.


# %%
def check_masked_loss(masked_loss):
    g = torch.Generator().manual_seed(0)
    scores, targets = torch.randn(2, 4, 5, generator=g), torch.tensor([[1, 2, 0, 4], [3, 0, 0, 0]])  # 0 is a word, too
    weights = torch.tensor([[1.0, 1.0, 1.0, 1.0], [1.0, 0.0, 0.0, 0.0]])
    got = masked_loss(scores, targets, weights)
    assert got.dim() == 0, f"one number is needed, got shape {tuple(got.shape)}"
    other = scores.clone()
    other[1, 1:] = 50 * torch.randn(3, 5, generator=g)
    assert torch.isclose(masked_loss(other, targets, weights), got), (
        "it changes with padded slots; was the mean taken before the weights?"
    )
    wanted = F.cross_entropy(torch.cat([scores[0], scores[1, :1]]), torch.tensor([1, 2, 0, 4, 3]))
    assert torch.isclose(got, wanted), (
        f"the mean over the five real slots is {wanted:.4f}, got {got:.4f}; what do you divide by?"
    )


# %% tags=["solution"]
def slots_of(scores, targets):
    return F.cross_entropy(scores.flatten(0, 1), targets.flatten(), reduction="none").view(targets.shape)


check_masked_loss(lambda s, t, w: (slots_of(s, t) * w).sum() / w.sum())
refuses(
    check_masked_loss,
    lambda s, t, w: cancelled(s.flatten(0, 1), t.flatten(), w.flatten()),
    lambda s, t, w: (slots_of(s, t) * w).mean(),
    lambda s, t, w: ((slots_of(s, t) * w).sum(1) / w.sum(1)).mean(),
    lambda s, t, w: slots_of(s, t) * w,
    lambda s, t, w: F.cross_entropy(s.flatten(0, 1), t.flatten(), ignore_index=0),
)

# %% [markdown]
# ### Exercise 3: another floor
#
# With two classes a network has one output $z$, and the probability of the first class is the sigmoid
# $\sigma(z) = 1 / (1 + e^{-z})$. torch's `binary_cross_entropy_with_logits` applies it and takes minus the logarithm
# of the probability of the right class. Somebody hands it $\sigma(z)$ instead of $z$. Write `floor_of(target)`: the
# number that the loss of an example of class 1, or 0, can come as near to as you like, and never below.


# %%
def check_floor_of(floor_of):
    z = torch.linspace(-40, 40, 2001, dtype=torch.float64)
    for target in (1, 0):
        losses = F.binary_cross_entropy_with_logits(z.sigmoid(), torch.full_like(z, target), reduction="none")
        least, said = losses.min().item(), floor_of(target)
        assert said <= least + 1e-9, (
            f"target {target}: you say {said:.4f}, and z = {z[losses.argmin()]:.0f} has {least:.4f}"
        )
        assert said >= least - 1e-6, (
            f"target {target}: you say {said:.4f}, no z gets below {least:.4f}; between what does sigma(z) lie?"
        )


# %% tags=["solution"]
check_floor_of(lambda target: math.log(1 + math.exp(-1)) if target else math.log(2))
refuses(check_floor_of, lambda target: 0.0, lambda target: math.log(2), lambda target: math.log(1 + math.exp(-1)))

# %% [markdown]
# ## Sources
#
# - The notebooks with the faults: FDL is [Fundamentals of Deep Learning](#fdl), notebooks 3 to 9 (S1-1, S1-2,
#   S1-3); the NCSA tutorials and [PyTorch Adventures](#pytorchadventures) (S0-1, S0-2); the [Deep Learning
#   Handbook](#dlh) after [Dive into Deep Learning](#zhang2023) (S3-1, S3-6).
# - Labels drawn at random as a test: [Zhang et al., 2017](#zhang2017).
# - The forest: [Breiman, 2001](#breiman2001); the digits: [Alpaydin and Kaynak, 1998](#alpaydin1998).
# - Scores that choices are made by: [Cawley and Talbot, 2010](#cawley2010). Leakage between parts, in seventeen
#   fields: [Kapoor and Narayanan, 2023](#kapoor2023).
