# %% [markdown]
# # Transfer
#
# You have five pictures of each thing that is to be told apart, and a network that somebody trained on many pictures
# of other things. What does it know that you can use, how much of it should go on learning, and what of it moves even
# where nothing learns?

# %% tags=["about"]
covers = ["V13", "V14", "V15", "I06", "S0-1"]
rung = 8
minutes = 50

# %%
import copy
import tempfile
import warnings
from statistics import mean, stdev

import torch
from torch import nn

from rungbook.book import refuses, show, source, table
from rungbook.data.feed import Feed, TensorSource
from rungbook.data.worlds.shapes import Shapes
from rungbook.errors import EnvironmentProblem, RungError
from rungbook.extras import require
from rungbook.learner.callback import Callback
from rungbook.learner.learner import Learner
from rungbook.models.registry import create_model
from rungbook.plot.images import image_grid
from rungbook.plot.variants import variants
from rungbook.recipes.comparison import compare
from rungbook.recipes.ledger import load_ledger
from rungbook.transfer.fitting import fit_weights
from rungbook.transfer.freezing import Freeze, freeze
from rungbook.transfer.heads import AdaptiveConcatPool2d, adapt_head, new_head
from rungbook.transfer.parts import split_body_head
from rungbook.transfer.rates import LayerRates

# %% [markdown]
# ## A network that knows three shapes
#
# Pictures of 16 x 16 pixels, each with one of six shapes of random place, size, turn and brightness. A small
# convolutional network learns circles, squares and triangles from 1,500 pictures. The task will be others: crosses,
# rings and stars.

# %%
world = Shapes(classes=6, side=16, flip=0.0)
drawn = world.sample(4000)
pictures, kind = (torch.tensor(drawn.x).float() - 100) / 60, torch.tensor(drawn.y)
old_x, old_y = pictures[kind < 3], kind[kind < 3]
new_x, new_y = pictures[kind >= 3], kind[kind >= 3] - 3
old_test, new_test = (old_x[-400:], old_y[-400:]), (new_x[-400:], new_y[-400:])
names = world.class_names
two_of_each = torch.cat([torch.nonzero(kind == k)[:2, 0] for k in range(6)])
show(image_grid(pictures[two_of_each], [names[k] for k in kind[two_of_each]], columns=6))


def network(seed):
    torch.manual_seed(seed)
    net = create_model("conv_net", in_channels=1, num_classes=3, image_size=(16, 16), widths=(8, 16, 32))
    return net.to(memory_format=torch.channels_last)  # the same numbers in another order: convolutions are faster


def train(net, x, y, steps, seed, lr=5e-3, batch=20):
    """Adam on what may learn, with a rate that falls to 0; the modes of the network stay as they are found."""
    g = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], lr=lr, fused=True)
    falling = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 1 - step / steps)
    for _ in range(steps):
        rows = torch.randint(len(x), (batch,), generator=g)
        loss = nn.functional.cross_entropy(net(x[rows]), y[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        falling.step()


def right(net, test):
    """Share right."""
    with torch.no_grad():
        return (net.eval()(test[0]).argmax(1) == test[1]).double().mean().item()


trained = network(0).train()
train(trained, old_x[:1500], old_y[:1500], 250, seed=0, batch=64)
print(f"circles, squares and triangles it has not seen: {right(trained, old_test):.1%} right")
assert right(trained, old_test) > 0.9

# %% [markdown]
# ## What it knows
#
# Take its last layer away. What is left, the *body*, makes 32 numbers of a picture. They were made to tell circles
# from triangles. Are they good for crosses and stars? Keep the body as it is, and train nothing but a new linear layer
# on its numbers, the *head*. The question needs a control: the same head on a body of random weights also gets 32
# numbers of each picture. A body that does not change gives the same numbers each time, so they are computed
# once. Five or forty pictures of each new shape, five draws of them:

# %%
FEW, SEEDS = (5, 40), range(5)


def some(a_class, seed):
    """So many pictures of each new shape, none of them in the test."""
    g = torch.Generator().manual_seed(seed)
    place = torch.randperm(len(new_y) - 400, generator=g)
    rows = torch.cat([place[new_y[place] == k][:a_class] for k in range(3)])
    return new_x[rows], new_y[rows]


def maps(net, x):
    with torch.no_grad():
        return net.eval().features(x)


def head_alone(net, make, pool, a_class, seed, lr=0.03):
    """Share right of a new head on what a body makes of the pictures."""
    (x, y), (test_x, test_y) = some(a_class, seed), new_test
    learn, test = pool(maps(net, x)).flatten(1), pool(maps(net, test_x)).flatten(1)
    torch.manual_seed(seed)
    head = make(learn.shape[1])
    optimiser = torch.optim.Adam(head.train().parameters(), lr=lr, fused=True)
    for _ in range(60):
        loss = nn.functional.cross_entropy(head(learn), y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return right(head, (test, test_y))


def random_body(seed):
    net = network(100 + seed).train()
    with torch.no_grad():
        for _ in range(20):
            net(new_x[:64])  # its norms know how large its numbers are
    return net


def linear(features):
    return nn.Linear(features, 3)


mean_pool = nn.AdaptiveAvgPool2d(1)
on_trained = {n: [head_alone(trained, linear, mean_pool, n, seed) for seed in SEEDS] for n in FEW}
random_bodies = [random_body(seed) for seed in SEEDS]
on_random = {n: [head_alone(random_bodies[seed], linear, mean_pool, n, seed) for seed in SEEDS] for n in FEW}
for n in FEW:
    knows, control = on_trained[n], on_random[n]
    print(f"{n:>2} of each: a head on the trained body {mean(knows):.1%}, on a random one {mean(control):.1%}")
assert mean(on_trained[5]) > mean(on_random[5]) + 0.08 and mean(on_trained[40]) > mean(on_random[40]) + 0.02

# %% [markdown]
# What told circles from triangles also tells crosses from stars: there are edges, corners and holes in both. That is
# what transfers. How far up it does has been measured layer by layer: the first layers of networks for photographs are
# nearly the same whatever the task, the last belong to it ([Yosinski et al., 2014](#yosinski2014)).
#
# ## How much should learn?
#
# Three ways to begin. From scratch; the trained body with a new head, and all of it learns
# ([fine-tuning](#fine-tuning)); the head alone, from above. `fit_weights` fills a model with weights and leaves its
# head new:


# %%
def begin(known, seed):
    net = network(200 + seed)
    if known:
        fit_weights(net, trained.state_dict(), new_head=True)
    return net.train()


found = {}
for n in FEW:
    for name, known in (("from scratch", False), ("all of it learns", True)):
        accuracies = []
        for seed in SEEDS:
            net = begin(known, seed)
            train(net, *some(n, seed), 30, seed)
            accuracies.append(right(net, new_test))
        found[f"{n} of each, {name}"] = accuracies
    found[f"{n} of each, head alone"] = on_trained[n]
show(variants({name: {"test": v} for name, v in found.items()}, name="accuracy"))
for n in FEW:
    scratch, whole, alone = (
        mean(found[f"{n} of each, {w}"]) for w in ("from scratch", "all of it learns", "head alone")
    )
    assert whole > scratch + 0.05
    assert whole > alone + 0.02 if n == 40 else min(whole, alone) > max(whole, alone) - 0.06 > scratch
forty = (found["40 of each, from scratch"], found["40 of each, head alone"])
print("40 of each:", compare(*forty, metric="accuracy", names=("from scratch", "the head alone")).words)

# %% [markdown]
# All of it learning from the trained weights beats scratch with five and with forty. The head alone does as well with
# five. With forty it falls behind, to about what scratch reaches: there is enough to adapt the body by, and it is not
# let. The more you have of your own, the more should learn.
#
# ## A new head
#
# A head must fit the new classes, and it is worth a thought what it reads. The mean over the picture asks how much of
# a feature there is; the maximum asks whether it is there at all. fast.ai's head reads both and has two layers
# ([Howard and Gugger, 2020](#howard2020b)):

# %%
show(source(AdaptiveConcatPool2d), source(new_head))
both = AdaptiveConcatPool2d()
some_maps = torch.randn(2, 5, 4, 4, dtype=torch.float64)
assert torch.equal(both(some_maps).flatten(1), torch.cat([some_maps.amax((2, 3)), some_maps.mean((2, 3))], 1))

# %%
heads = {
    "mean, one layer": on_trained[40],
    "maximum and mean, one layer": [head_alone(trained, linear, both, 40, seed) for seed in SEEDS],
    "maximum and mean, two layers": [
        head_alone(trained, lambda features: new_head(features, 3, hidden=64), both, 40, seed, lr=0.01)
        for seed in SEEDS
    ],
}
show(table([{"head": name, "right": mean(v), "deviation": stdev(v)} for name, v in heads.items()]))
best, worst = max(heads.values(), key=mean), min(heads.values(), key=mean)
assert mean(best) - mean(worst) < 0.06

# %% [markdown]
# On these shapes they differ by about their spread. In a model, `adapt_head(model, "concat_pool")` exchanges the
# pooling and the last layer:

# %%
model = adapt_head(network(0), "concat_pool", num_classes=7, hidden=64)
print("head:", split_body_head(model).head_name, "| outputs", tuple(model.eval()(new_x[:2]).shape))
assert model(new_x[:2]).shape == (2, 7)

# %% [markdown]
# ## What moves where nothing learns
#
# To hold a body ([freezing](#freezing)), courses set `requires_grad = False` on its weights. It looks complete: no
# gradient, no step, no change. But [batch norm](#batch-normalisation) has running statistics (lesson 23), which are no weights. They move
# with every batch in [training mode](#training-mode), whether anything learns or not. How much does it matter? No
# optimiser here at all: 30 batches of new shapes go through the trained network in training mode. Then it is asked for
# its old shapes, with its old head. The control sends old shapes through in the same way.


# %%
def passed_through(x, seed, held=False):
    net = copy.deepcopy(trained).train()
    net.requires_grad_(False)  # the naive way: no weight takes a gradient
    if held:
        freeze(net, "body")
    g = torch.Generator().manual_seed(seed)
    for _ in range(30):
        net(x[torch.randint(len(x), (16,), generator=g)])
    return net


moved = passed_through(new_x, 0)
weights = {name for name, _ in trained.named_parameters()}
before, after = trained.state_dict(), moved.state_dict()
changed = [name for name in before if not torch.equal(before[name], after[name])]
print("changed:", ", ".join(changed))
assert not weights & set(changed) and len(changed) == 9  # mean, variance and counter of three norms

# %%
drifted = {
    "as it was trained": [right(trained, old_test)] * 5,
    "old shapes passed": [right(passed_through(old_x[:1500], seed), old_test) for seed in SEEDS],
    "new shapes passed": [right(passed_through(new_x[:1500], seed), old_test) for seed in SEEDS],
    "new passed, norms held": [right(passed_through(new_x[:1500], seed, held=True), old_test) for seed in SEEDS],
}
show(variants({name: {"test": v} for name, v in drifted.items()}, name="accuracy on the old shapes"))
assert max(drifted["new shapes passed"]) < 0.6 and min(drifted["old shapes passed"]) > 0.9
assert mean(drifted["new shapes passed"]) < 0.45  # guessing gives a third
assert drifted["new passed, norms held"] == drifted["as it was trained"]

# %% [markdown]
# Not one weight changed, and the network does no better than guessing at what it knew. Its norms now go by the means
# and deviations of the new shapes, and the weights behind them were made for others. So a body of which nothing learns
# while its statistics move is no longer the one that was trained, and has not adapted either. There are two ways
# out. Hold the norms altogether: evaluation mode for them, also after somebody called `model.train()`. Or let the norms
# learn: their scale and shift follow their statistics, and all other weights stay. That fits more than one would think
# ([Frankle et al., 2021](#frankle2021), train nothing but the norms of a random network). fast.ai's course has a
# section on the second way ([part 2, 11a](#fastai2019); its outputs are not stored). `Freeze` knows both, and sees to
# the modes at every epoch:

# %%
show(source(Freeze.hold), source(Freeze.before_epoch))
for what in ("body", "all_but_norm"):
    net = freeze(begin(True, 0), what)
    learning = sum(p.numel() for p in net.parameters() if p.requires_grad)
    still = sum(isinstance(m, nn.BatchNorm2d) and not m.training for m in net.modules())
    print(
        f"{what:<13} {learning:>4} of {sum(p.numel() for p in net.parameters()):,} weights learn, {still} norms are held"
    )

# %% [markdown]
# ## From the head down, and slower below
#
# Between the head alone and everything there is a path. A new head is random, and its first gradients say little that
# a trained body should follow; so the body is let go later, its last layer first ([Howard and Ruder,
# 2018](#howard2018)). Here one layer more after each epoch. What moved in each epoch:

# %%
net = begin(True, 0)
seen = [copy.deepcopy(net.state_dict())]
rows = []


class Watch(Callback):
    def after_epoch(self, learner):
        now = copy.deepcopy(learner.model.state_dict())
        moving = dict.fromkeys(k.rpartition(".")[0] for k in now if not torch.equal(now[k], seen[-1][k]))
        rows.append({"epoch": learner.epoch, "what moved": ", ".join(moving)})
        seen.append(now)


feed = Feed(TensorSource(*some(40, 0)), batch_size=20, shuffle=True)
Learner(net, (feed, None), lr=0.05, callbacks=[Freeze(net, "body", unfreeze=(1, 2, 3)), Watch()], device="cpu").fit(4)
show(table(rows))
assert [row["what moved"].count("features") for row in rows] == [0, 2, 4, 6]  # a convolution and its norm each time

# %% [markdown]
# The other half of it is a [learning rate](#learning-rate) for each depth: what is general need not move much.
# `LayerRates` gives every layer a share of the rate of the next:

# %%
gentle = LayerRates(torch.optim.SGD, net, decay=1 / 3)(net.parameters(), lr=0.09)
hot_dog = LayerRates(torch.optim.SGD, net, head=10)(net.parameters(), lr=5e-5)
for name, made in (("a third a layer", gentle), ("head ten times", hot_dog)):
    print(f"{name:<16}", ", ".join(f"{group['lr']:.3g}" for group in made.param_groups))
rates = sorted(group["lr"] for group in gentle.param_groups)
assert all(abs(a - b) < 1e-12 for a, b in zip(rates, (0.09 / 27, 0.09 / 9, 0.09 / 3, 0.09), strict=True))


# %% [markdown]
# The second line is the recipe for hot dogs of [d2l](#zhang2023): 0.00005 for a ResNet-18 from ImageNet, ten times as
# much for its new head.
#
# ## Did the weights arrive?
#
# A file of weights is names and tensors. `load_state_dict(strict=False)` takes what fits by name and is silent about
# the rest, so a file whose names differ by one prefix fills nothing, and training goes on from random weights:

# %%
renamed = {f"net.{name}": tensor for name, tensor in trained.state_dict().items()}
net = network(7)
before = copy.deepcopy(net.state_dict())
net.load_state_dict(renamed, strict=False)
filled = sum(not torch.equal(before[k], v) for k, v in net.state_dict().items())
print(f"strict=False filled {filled} of {len(before)} tensors, without a word")
assert filled == 0

for what, weights, model in (
    ("other names", renamed, network(7)),
    ("other widths", trained.state_dict(), create_model("conv_net", in_channels=1, num_classes=3, widths=(8, 16, 48))),
):
    try:
        fit_weights(model, weights)
        raise AssertionError("taken")
    except RungError as error:
        print(f"{what}: {error.message}")

# %% [markdown]
# What may differ is the head, the number of colours and, for transformers, the size; then what was done is said:

# %%
other = create_model("conv_net", in_channels=1, num_classes=10, image_size=(16, 16), widths=(8, 16, 32))
report = fit_weights(other, trained.state_dict())
print(report.match, "|", *report.notes)
assert (report.tensors, report.of, len(report.new)) == (18, 20, 2)

# %% [markdown]
# ## Dogs and cats
#
# A course fine-tunes a ResNet-18 that learned ImageNet, whose thousand classes hold more than a hundred breeds of dogs.
# It reports 87.3 % from scratch, 96.74 % fine-tuned, 98.15 % with the head alone: 1,026 of 11,177,538 weights
# ([PyTorch-Adventures](#pytorchadventures)). Both parts of its data are views of one data set, so setting the valid
# part's transform also took the flips from the training part (lessons 0 and 17); all three rows have it. The
# ledger has a smaller experiment: 1,400 photographs at 32 x 32, and a ResNet-20 that learned CIFAR-10, three seeds:
#
# - from scratch: <!-- ledger: transfer data=dogs-vs-cats model=cifar_resnet20 epochs=6 test=0.2 image_size=32 | from scratch | test accuracy -->66.8 ± 2.7 %<!-- / -->
# - all of it learns: <!-- ledger: transfer data=dogs-vs-cats model=cifar_resnet20 epochs=6 test=0.2 image_size=32 | all of it learns | test accuracy -->86.3 ± 0.9 %<!-- / -->
# - the head and the norms: <!-- ledger: transfer data=dogs-vs-cats model=cifar_resnet20 epochs=6 test=0.2 image_size=32 | head and norms | test accuracy -->85.6 ± 3.0 %<!-- / -->
# - the head alone: <!-- ledger: transfer data=dogs-vs-cats model=cifar_resnet20 epochs=6 test=0.2 image_size=32 | head alone | test accuracy -->85.9 ± 0.7 %<!-- / -->
#
# Whatever learns, the start is worth about nineteen points. The three ways are not distinguishable here. Two of CIFAR-10's ten
# classes are cat and dog, so this is transfer to the same thing in other photographs, the easiest kind.

# %%
entry = load_ledger().get("transfer data=dogs-vs-cats model=cifar_resnet20 epochs=6 test=0.2 image_size=32")
scored = {name: splits["test"]["accuracy"]["values"] for name, splits in entry.results.items()}
started = [v for name, values in scored.items() if name != "from scratch" for v in values]
assert min(started) > max(scored["from scratch"]) + 0.1
gaps = [mean(values) for name, values in scored.items() if name != "from scratch"]
assert max(gaps) - min(gaps) < 0.02
assert all(0.18 < gap - mean(scored["from scratch"]) < 0.2 for gap in gaps)

# %% [markdown]
# ## The same through Hugging Face
#
# `transformers` has the same ResNet under other names. A table of names carries weights over, and nothing is learned
# anew. The cell needs the optional group `hf` and says so where it is missing.

# %%
OPTIONS = {"block": "basic", "depths": (1, 1, 1, 1), "widths": (8, 8, 16, 16), "num_classes": 3, "in_channels": 1}
folder = tempfile.TemporaryDirectory()
try:
    require("hf", "The comparison with transformers")
except EnvironmentProblem as error:
    hf = None
    print(error)
else:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # progress bars that a notebook lacks the parts for; none is drawn here
        import transformers as hf
        from transformers import PrinterCallback, Trainer, TrainingArguments

    from rungbook.transfer.hf.export import save_transformers
    from rungbook.transfer.hf.trainer import TrainerData, TrainerModel

    hf.utils.logging.disable_progress_bar()
    torch.manual_seed(0)
    ours = create_model("resnet18", **OPTIONS).double()
    ours(old_x[:64].double())  # running statistics that are not those of the start
    save_transformers(ours.eval(), folder.name, "resnet18", labels=names[3:], **OPTIONS)
    theirs = hf.AutoModelForImageClassification.from_pretrained(folder.name, dtype=torch.float64).eval()
    with torch.no_grad():
        torch.testing.assert_close(theirs(new_x[:8].double()).logits, ours(new_x[:8].double()), rtol=1e-9, atol=1e-9)
    for (mine, a), (other, b) in list(zip(ours.named_parameters(), theirs.named_parameters(), strict=True))[:3]:
        assert torch.equal(a, b)
        print(f"{mine:<24} {other}")

# %% [markdown]
# Their `Trainer` calls `model.train()` before every step, and so thaws norms that were put into evaluation mode. The
# trap is the same, and the way out is a model that holds its body whatever mode it is set to:


# %%
def trained_by_theirs(model):
    """What of the body has changed after three steps of their Trainer."""
    body = {k: v.clone() for k, v in model.model.state_dict().items() if not k.startswith("fc")}
    said = {"max_steps": 3, "per_device_train_batch_size": 16, "report_to": [], "use_cpu": True, "disable_tqdm": True}
    said |= {"save_strategy": "no", "logging_strategy": "no", "dataloader_pin_memory": False}
    arguments = TrainingArguments(output_dir=folder.name, remove_unused_columns=False, **said)
    trainer = Trainer(model=model, args=arguments, train_dataset=TrainerData(feed))
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    now = model.model.state_dict()
    return [k for k in body if not torch.equal(body[k], now[k])]


if hf:

    class Held(TrainerModel):
        def train(self, mode=True):
            super().train(mode)
            freeze(self.model, "body")
            return self

    naive = TrainerModel(freeze(create_model("resnet18", **OPTIONS), "body"))
    thawed = trained_by_theirs(naive)
    print("frozen once, moved:", len(thawed), "tensors, as", thawed[0])
    assert thawed and all("running" in k or "tracked" in k for k in thawed)
    held = trained_by_theirs(Held(create_model("resnet18", **OPTIONS)))
    print("held at every change of mode, moved:", len(held))
    assert not held
folder.cleanup()

# %% [markdown]
# The course's head alone through their Trainer reached 96.36 % with `microsoft/resnet-18`.
#
# What people get wrong, besides the norms: pictures normalised by their own mean and not as the weights want it; they
# are answered all the same, only worse (`with_normalisation` does it). A test set that the first training has seen.
# And no control: a head on a random body is a baseline, and so is training from scratch with the same steps.
#
# So what does it know? Parts of pictures, in numbers that fit other pictures too. How much should learn? With forty of
# each, all of it; with five the head alone did as well, for less work. And what moves? The norms, unless you hold them.
#
# ## Exercises
#
# ### Exercise 1: hold it
#
# Write `training(model, head)`: it puts `model` into training mode as far as that may be, if of all its layers only
# the module called `head` learns. A right answer lets no weight and no statistic of the rest move, and leaves dropout
# and norms of the head in training mode.


# %%
def check_training(training):
    torch.manual_seed(0)
    body = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU())
    net = nn.ModuleDict({"body": body, "head": nn.Sequential(nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 2))})
    before = copy.deepcopy(net.state_dict())
    training(net, "head")
    optimiser = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], lr=0.1)
    for _ in range(3):
        net["head"](net["body"](torch.randn(16, 6))).square().sum().backward()
        optimiser.step()
    after = net.state_dict()
    moved = {k for k in before if not torch.equal(before[k], after[k])}
    assert not any("running" in k for k in moved if k.startswith("body")), "the body's statistics moved"
    assert not any(k.startswith("body") for k in moved), "the body's weights moved"
    assert {"head.2.weight", "head.0.weight"} <= moved, "the head learned nothing"
    assert "head.0.running_mean" in moved and net["head"][1].training, "the head is in evaluation mode"


# %% tags=["solution"]
def right_training(model, head):
    model.train()
    for name, module in model.named_modules():
        if name and name != head and not name.startswith(f"{head}."):
            module.eval()
    for name, p in model.named_parameters():
        p.requires_grad_(name.startswith(f"{head}."))


def naive_training(model, head):
    model.train()
    for name, p in model.named_parameters():
        p.requires_grad_(name.startswith(f"{head}."))


def all_evaluated(model, head):
    naive_training(model, head)
    model.eval()


def norms_everywhere(model, head):
    naive_training(model, head)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.eval()


def weights_forgotten(model, head):
    right_training(model, head)
    model.requires_grad_(True)


check_training(right_training)
refuses(check_training, naive_training, all_evaluated, norms_everywhere, weights_forgotten)

# %% [markdown]
# ### Exercise 2: what fits
#
# Write `fitting(model, weights)`: the names of the model's tensors that `weights` (name -> tensor) can fill. A right
# answer looks at name and shape, counts buffers too, and leaves the model as it is.


# %%
def check_fitting(fitting):
    torch.manual_seed(1)
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    weights = {k: torch.randn(v.shape) if v.ndim else v for k, v in net.state_dict().items()}
    weights["2.weight"], weights["2.bias"] = torch.randn(5, 4), torch.randn(5)  # five classes
    weights["body.0.weight"] = weights.pop("0.weight")
    before = copy.deepcopy(net.state_dict())
    found = set(fitting(net, weights))
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items()), "the model was changed"
    assert not {"2.weight", "2.bias"} & found, "a tensor of another shape does not fit"
    assert "body.0.weight" not in found, "the model has no such tensor"
    expected = {"0.bias", *(k for k in before if k.startswith("1."))}
    assert found == expected, f"missing: {sorted(expected - found)}, too many: {sorted(found - expected)}"


# %% tags=["solution"]
def right_fitting(model, weights):
    return [k for k, v in model.state_dict().items() if k in weights and weights[k].shape == v.shape]


check_fitting(right_fitting)
refuses(
    check_fitting,
    lambda model, weights: [k for k in model.state_dict() if k in weights],
    lambda model, weights: [k for k, v in model.named_parameters() if k in weights and weights[k].shape == v.shape],
    lambda model, weights: list(weights),
    lambda model, weights: [
        k for k in right_fitting(model, weights) if model.state_dict()[k].copy_(weights[k]) is not None
    ],
)

# %% [markdown]
# ## Sources
#
# - What transfers, layer by layer: [Yosinski et al., 2014](#yosinski2014).
# - Letting go from the head down, and rates by depth: [Howard and Ruder, 2018](#howard2018). The norms alone: [Frankle
#   et al., 2021](#frankle2021). The head of mean and maximum: [Howard and Gugger, 2020](#howard2020b).
# - The course's figures: [PyTorch-Adventures](#pytorchadventures); adapting a trained network, and its norms:
#   [fast.ai, part 2](#fastai2019), notebook 11a; hot dogs: [d2l](#zhang2023).
# - The other library: [Wolf et al., 2020](#wolf2020).
