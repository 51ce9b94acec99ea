# %% [markdown]
# # The training loop becomes a Learner
#
# Five lines train a network. Then you want its accuracy, a progress bar, early stopping, a schedule, and soon the
# five lines are eighty and no two of your scripts have the same ones. How can the loop stay five lines while
# everything else comes and goes?

# %% tags=["about"]
covers = ["O01", "O02", "O05", "O12"]
rung = 7
minutes = 60

# %%
from functools import partial
from statistics import mean, stdev

import torch
import torch.nn.functional as F
from torch import nn

from rungbook import Callback, Learner, check_callback, load_data
from rungbook.book import refuses, show, source, table
from rungbook.plot.style import FOURTH, THIRD, TRAIN, draw
from rungbook.scratch.data import DataLoader, TensorDataset

# %% [markdown]
# ## Five lines
#
# The data are 8 x 8 pictures of digits. Everything below is computed in float64, so that "the same weights" can be
# taken literally.

# %%
data = load_data("digits")
train_x, train_y = data.one_batch(10_000)
valid_x, valid_y = (torch.cat(parts) for parts in zip(*data.valid.batches(), strict=True))
train = TensorDataset(train_x.flatten(1).double(), train_y)
valid = TensorDataset(valid_x.flatten(1).double(), valid_y)


def loaders(seed=0):
    """A new pair each time: a loader goes on in its own random order."""
    return DataLoader(train, 64, shuffle=True, generator=torch.Generator().manual_seed(seed)), DataLoader(valid, 64)


def make(seed=0, *more):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(64, 50), *more, nn.ReLU(), nn.Linear(50, 10)).double()


def accuracy(model, dataset=valid):
    x, y = dataset.tensors
    return (model(x).argmax(-1) == y).double().mean().item()


model, (batches, _) = make(), loaders()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for _ in range(3):
    for x, y in batches:
        output = model(x)  # 1. predict
        loss = F.cross_entropy(output, y)  # 2. how wrong?
        loss.backward()  # 3. in which direction is it less?
        optimizer.step()  # 4. go there
        optimizer.zero_grad()  # 5. forget the direction
plain = {name: p.detach().clone() for name, p in model.named_parameters()}
print(f"valid accuracy {accuracy(model):.3f}")
assert accuracy(model) > 0.85


def same(model):
    """The weights that the five lines found, to the last digits."""
    for name, p in model.named_parameters():
        torch.testing.assert_close(p.detach(), plain[name], rtol=1e-12, atol=1e-12)
    return True


# %% [markdown]
# ## What people get wrong
#
# **Line 5 forgotten.** `backward` adds to the gradients that are there. Without line 5 each step goes along the sum
# of all gradients so far, those of long ago included. What that does is less clear than one would like:


# %%
def train_plainly(seed, lr, forget=True):
    model, order = make(seed), torch.Generator().manual_seed(seed)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    x, y = train.tensors
    for _ in range(4):
        for i in torch.randperm(len(train), generator=order).split(64):  # a loader's batches, without its cost
            F.cross_entropy(model(x[i]), y[i]).backward()
            optimizer.step()
            if forget:
                optimizer.zero_grad()
    return accuracy(model)


def spread(values):
    return f"{mean(values):.3f} ± {stdev(values):.3f}"


found = {
    lr: {forget: [train_plainly(s, lr, forget) for s in range(5)] for forget in (True, False)}
    for lr in (0.01, 0.1, 0.3)
}
show(
    table(
        [
            {"learning rate": lr, "with zero_grad": spread(f[True]), "without": spread(f[False])}
            for lr, f in found.items()
        ]
    )
)
assert mean(found[0.01][False]) > mean(found[0.01][True]) + 0.1
assert mean(found[0.3][False]) < mean(found[0.3][True]) - 0.2

# %% [markdown]
# At a tiny rate the forgotten line *helps*: a sum that never fades is [momentum](#momentum) of 1, and makes the
# small steps large. At a rate that is right, it ruins the training. That is how such a mistake survives: somebody
# finds a learning rate at which it works.
#
# **No `eval()`.** Dropout and [batch normalisation](#batch-normalisation) behave differently while training. Judged
# in training mode, the network drops half its units, and the accuracy depends on which pictures stand together in a
# batch. The worst case is not far-fetched: a folder for each class, read in order.

# %%
rows = []
by_class = valid_y.argsort()
for seed in range(5):
    model = make(seed, nn.BatchNorm1d(50), nn.Dropout(0.5))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(5):
        for i in torch.randperm(len(train)).split(64):
            F.cross_entropy(model(train.tensors[0][i]), train_y[i]).backward()
            optimizer.step()
            optimizer.zero_grad()
    model.eval()
    right, before = accuracy(model), model[1].running_mean.clone()
    model.train()
    with torch.no_grad():
        wrong = accuracy(model)
        in_order = torch.cat(
            [model(valid_x.flatten(1).double()[i]).argmax(-1) == valid_y[i] for i in by_class.split(18)]
        )
    rows.append((right, wrong, in_order.double().mean().item(), (model[1].running_mean - before).abs().max().item()))
right, wrong, ordered, moved = zip(*rows, strict=True)
show(
    table([{"eval()": spread(right), "training mode": spread(wrong), "training mode, class by class": spread(ordered)}])
)
print(f"and judging moved the running means by up to {max(moved):.2f}: valid data went into the model")
assert min(right) > max(ordered) + 0.5 and mean(right) > mean(wrong) and min(moved) > 0.01

# %% [markdown]
# **No `no_grad()`.** This one changes no number at all. It keeps, for every picture judged, all that a backward
# pass would need, and a line like `total += loss` keeps it until the end of the epoch. Autograd tells what it keeps,
# if it is asked:


# %%
def kept_bytes(gradients, epoch_sum):
    kept, model = [], make()
    there = {p.data_ptr() for p in model.parameters()}  # the weights are there in any case

    def pack(tensor):
        if tensor.data_ptr() not in there:
            kept.append(tensor.numel() * tensor.element_size())
        return tensor

    with torch.set_grad_enabled(gradients), torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        total = torch.zeros(())
        for x, y in loaders()[1]:
            loss = F.cross_entropy(model(x), y)
            total = total + (loss if epoch_sum else loss.item()) * len(y)
    return total.item() / len(valid), sum(kept), total.requires_grad


with_graph, without = kept_bytes(gradients=True, epoch_sum=True), kept_bytes(gradients=False, epoch_sum=True)
print(
    f"loss {with_graph[0]:.4f} and {without[0]:.4f}; kept for a backward pass nobody makes: {with_graph[1]:,} bytes and {without[1]:,}"
)
assert with_graph[0] == without[0] and without[1] == 0 and with_graph[1] > valid.tensors[0].numel() * 8
assert with_graph[2] and not without[2] and not kept_bytes(gradients=True, epoch_sum=False)[2]

# %% [markdown]
# ## The loop grows up: who is asked?
#
# First step: put what belongs together into one object. fast.ai's course (2019, lesson 9) has a `DataBunch` of two
# loaders and a `Learner` that is a bag of model, optimiser, loss and data. A bag is all it is:


# %%
class Bag:
    def __init__(self, **things):
        vars(self).update(things)


def bag(lr=0.1):
    model = make()
    databunch = Bag(**dict(zip(("train", "valid"), loaders(), strict=True)))
    return Bag(model=model, opt=torch.optim.SGD(model.parameters(), lr=lr), loss_func=F.cross_entropy, data=databunch)


# %% [markdown]
# Second step: at each moment the loop asks whoever is interested. A [callback](#callback) is an object with methods
# named for moments. In its first version a handler collects the answers, and an answer that is not true means "do
# not go on":


# %%
class Handler:
    def __init__(self, *callbacks):
        self.callbacks = callbacks

    def __call__(self, moment, learn):
        answers = [getattr(c, moment)(learn) for c in self.callbacks if hasattr(c, moment)]  # all are asked
        return all(answers)


def fit_with_handler(epochs, learn, ask):
    if not ask("begin_fit", learn):
        return
    for _ in range(epochs):
        for learn.xb, learn.yb in learn.data.train:  # noqa: B020
            if not ask("begin_batch", learn):
                continue
            learn.loss = learn.loss_func(learn.model(learn.xb), learn.yb)
            if not ask("after_loss", learn):
                continue
            learn.loss.backward()
            if ask("after_backward", learn):
                learn.opt.step()
            if ask("after_step", learn):
                learn.opt.zero_grad()
    ask("after_fit", learn)


class Losses:
    def begin_fit(self, learn):
        self.losses = []
        return True

    def after_loss(self, learn):
        self.losses.append(learn.loss.item())
        return True


class Silent(Losses):
    def begin_fit(self, learn):
        self.losses = []  # and no `return True`


learn, losses, silent = bag(), Losses(), Silent()
fit_with_handler(3, learn, Handler(losses))
assert same(learn.model) and len(losses.losses) == 3 * len(learn.data.train)
fit_with_handler(3, bag(), Handler(silent))
print(f"batches seen: {len(losses.losses)}; by a callback that forgot to answer: {len(silent.losses)}")
assert not silent.losses

# %% [markdown]
# The same weights, and a loop full of `if`. Worse, a function without `return` answers `None`, which is not true,
# and the training ends before it begins, without a word.
#
# ## Runner: stopping is an exception
#
# The course goes on in two steps. A `Runner` takes over the loop and its state, and a callback finds everything
# there. Then, in lesson 10, callbacks no longer answer: whoever wants out raises an exception. There is one for
# each level: give up this batch, this epoch, or the fit:


# %%
class CancelBatch(Exception):
    pass


class CancelEpoch(Exception):
    pass


class CancelFit(Exception):
    pass


class Listener:
    order = 0

    def __getattr__(self, name):  # what a callback does not have itself, the runner has
        if name == "run" or name not in vars(self.run):
            raise AttributeError(name)
        return getattr(self.run, name)


class Runner:
    def __init__(self, *callbacks):
        self.callbacks = sorted(callbacks, key=lambda c: c.order)
        for callback in callbacks:
            callback.run = self

    def tell(self, moment):
        for callback in self.callbacks:
            if hasattr(type(callback), moment):
                getattr(callback, moment)()

    def one_batch(self):
        try:
            self.tell("begin_batch")
            self.pred = self.model(self.xb)
            self.loss = self.loss_func(self.pred, self.yb)
            self.tell("after_loss")
            if self.in_train:
                self.loss.backward()
                self.tell("after_backward")
                self.opt.step()
                self.opt.zero_grad()
        except CancelBatch:
            self.opt.zero_grad()
        self.tell("after_batch")

    def all_batches(self, batches):
        try:
            for self.xb, self.yb in batches:
                self.one_batch()
        except CancelEpoch:
            self.tell("after_cancel_epoch")

    def fit(self, epochs, learn):
        vars(self).update(vars(learn), in_train=False)
        try:
            self.tell("begin_fit")
            for self.epoch in range(epochs):
                self.tell("begin_epoch")
                self.all_batches(self.data.train)
                with torch.no_grad():
                    self.tell("begin_validate")
                    self.all_batches(self.data.valid)
                self.tell("after_epoch")
        except CancelFit:
            self.tell("after_cancel_fit")
        self.tell("after_fit")


class TrainEval(Listener):
    """The mode is a callback, too: nobody can forget it any more."""

    order = -1

    def begin_epoch(self):
        self.model.train()
        self.run.in_train = True

    def begin_validate(self):
        self.model.eval()
        self.run.in_train = False


learn = bag()
Runner(TrainEval()).fit(3, learn)
assert same(learn.model)

# %% [markdown]
# What was a line in the loop is now a class beside it. Averages over an epoch make another. Here sits a small trap:
# the last batch is smaller, so the mean over the batches' means is not the mean over the samples. Each batch has to
# count by its size:


# %%
class AvgStats(Listener):
    def begin_epoch(self):
        self.seen, self.rows = {"train": [], "valid": []}, getattr(self, "rows", [])

    def after_batch(self):
        right = (self.pred.argmax(-1) == self.yb).double().mean().item()
        self.seen["train" if self.in_train else "valid"].append((len(self.yb), self.loss.item(), right))

    def after_epoch(self):
        row = {"epoch": self.epoch + 1}
        for part, seen in self.seen.items():
            total = sum(n for n, _, _ in seen)
            row |= {
                f"{part} loss": sum(n * loss for n, loss, _ in seen) / total,
                f"{part} accuracy": sum(n * a for n, _, a in seen) / total,
            }
        self.rows.append(row)


learn, stats = bag(), AvgStats()
Runner(TrainEval(), stats).fit(3, learn)
assert same(learn.model)
show(table(stats.rows))
sizes, batch_losses, _ = zip(*stats.seen["valid"], strict=True)
honest = F.cross_entropy(learn.model(valid.tensors[0]), valid_y).item()
print(
    f"batches of {sizes}: mean of means {mean(batch_losses):.4f}, by size {stats.rows[-1]['valid loss']:.4f}, all at once {honest:.4f}"
)
assert abs(stats.rows[-1]["valid loss"] - honest) < 1e-12 < 1e-4 < abs(mean(batch_losses) - honest)

# %% [markdown]
# A callback that stops in mid-fit is now one line that raises. Everything that comes after still gets its turn:


# %%
class StopAfter(Listener):
    def __init__(self, steps, way):
        self.steps, self.way, self.count, self.end = steps, way, 0, []

    def after_backward(self):
        self.count += 1
        if self.count >= self.steps:
            raise self.way

    def after_cancel_epoch(self):
        self.end.append("epoch cancelled")

    def after_fit(self):
        self.end.append("fit over")


for way in (CancelBatch, CancelEpoch, CancelFit):
    stop = StopAfter(10, way)
    Runner(TrainEval(), stop).fit(2, bag())
    print(f"{way.__name__:<12}{stop.count} backward passes; {', '.join(stop.end)}")
    assert stop.end[-1] == "fit over" and stop.count == {CancelBatch: 2 * 23, CancelEpoch: 11, CancelFit: 10}[way]

# %% [markdown]
# One thing is odd. The Runner has the loop and the Learner has the things, but every callback needs both, and the
# Runner copies all of the Learner's names. Late in the course (notebook 09b) the two become one, and the line
# `run.fit(3, learn)` becomes `learn.fit(3)`:


# %%
class OneLearner(Runner):
    def __init__(self, model, data, loss_func, opt, *callbacks):
        super().__init__(TrainEval(), *callbacks)
        self.model, self.data, self.loss_func, self.opt = model, data, loss_func, opt

    def fit(self, epochs):
        super().fit(epochs, self)


class Misspelt(Listener):
    def after_bacth(self):
        raise AssertionError("never called")


things = bag()
learn = OneLearner(things.model, things.data, F.cross_entropy, things.opt, Misspelt())
learn.fit(3)
assert same(learn.model)
print("a misspelt moment: nobody noticed")

# %% [markdown]
# ## rungbook's Learner
#
# Ours is of this last kind. The loop proper is one method. What you see there beside the five lines is `f(self)` at
# each moment, a guard against numbers that are not finite, and reports every so many steps instead of a
# `loss.item()` at each, which on a GPU would wait for the device every time:

# %%
show(source(Learner._train_epoch))
learner = Learner(make(), loaders(), lr=0.1, device="cpu")
learner.fit(3)
assert same(learner.model)
row = learner.history[-1]
for part in ("train", "valid"):
    assert abs(row[f"{part}_loss"] - stats.rows[-1][f"{part} loss"]) < 1e-6
    assert abs(row[f"{part}_accuracy"] - stats.rows[-1][f"{part} accuracy"]) < 1e-12
print({name: round(value, 4) for name, value in row.items()})

# %% [markdown]
# The same weights as five lines, and the same averages as `AvgStats`. In full trainings as well: on digits, over 5
# seeds, the loop by hand reaches <!-- ledger: data_loader | loop by hand | test accuracy -->96.6 ± 0.8 %<!-- / -->
# and the Learner on the same
# loader <!-- ledger: data_loader | Learner, DataLoader | test accuracy -->96.6 ± 0.8 %<!-- / -->.
#
# A callback of your own overrides the moments it needs. They are declared once, on the base class, so a method with
# a name that sounds like a moment and is none is refused when the callback is made:

# %%
from rungbook.learner.callback import EVENTS

print(", ".join(EVENTS))


class GradientNorm(Callback):
    """The length of the gradient at each step."""

    def __init__(self):
        self.norms = []

    def after_backward(self, learner):
        self.norms.append(torch.cat([p.grad.flatten() for p in learner.params]).norm().item())

    def state_dict(self):
        return {"norms": list(self.norms)}

    def load_state_dict(self, state):
        self.norms = list(state["norms"])


norms = GradientNorm()
assert same(Learner(make(), loaders(), lr=0.1, callbacks=norms, device="cpu").fit(3).model)


# %% tags=["hide-input"]
def paint(ax):
    ax.plot(range(1, len(norms.norms) + 1), norms.norms, color=TRAIN, linewidth=1)
    ax.set(xlabel="step", ylabel="length of the gradient", ylim=(0, None))


words = f"Length of the gradient over {len(norms.norms)} steps: {norms.norms[0]:.2f} at the first, highest {max(norms.norms):.2f},"
show(draw(paint, f"{words} over the last ten {mean(norms.norms[-10:]):.2f} on average."))


# %%
class Wrong(Callback):
    def after_bacth(self, learner):
        pass


try:
    Wrong()
except ValueError as error:
    said = str(error)
    print(said)
assert said.startswith("E205 Wrong.after_bacth") and "Did you mean" in said

# %% [markdown]
# "Looks, and changes nothing" is easily said. A callback that draws one random number changes every dropout mask
# after it, and a training that was stopped and continued takes another course. `check_callback` tries all of that
# on a small network, bit for bit, and names what differs:


# %%
class Peeks(Callback):
    def after_step(self, learner):
        torch.rand(1)


check_callback(GradientNorm)
try:
    check_callback(Peeks)
except AssertionError as error:
    said = str(error)
    print(said)
assert "random numbers" in said

# %% [markdown]
# ## Stopping
#
# Where fast.ai raises, ours has two ways. `learner.stop = True` in `after_epoch` is a planned end: the fit is over,
# with everything that belongs to it. [Early stopping](#early-stopping) works so. `request_stop()` comes from
# outside, from Ctrl-C say: the step is completed, `fit` raises `Interrupted`, and the state that is left can be
# continued as if nothing had happened.

# %%
from rungbook.learner.callbacks.best import EarlyStopping
from rungbook.learner.learner import Interrupted

show(source(EarlyStopping.after_epoch))
few = TensorDataset(*(t[:100] for t in train.tensors))  # a hundred pictures: soon learnt by heart
early = EarlyStopping(patience=5)
learner = Learner(make(), (DataLoader(few, 20), DataLoader(valid, 64)), lr=0.5, callbacks=early, device="cpu")
learner.fit(200)
print(f"stopped after {len(learner.history)} of 200 epochs, best valid loss in epoch {early.best_epoch}")
assert len(learner.history) == early.best_epoch + 5 < 200


class StopAt(Callback):
    def after_step(self, learner):
        if learner.step == 30:
            learner.request_stop()


first = Learner(make(), loaders(), lr=0.1, callbacks=StopAt(), device="cpu")
try:
    first.fit(3)
except Interrupted:
    print(f"stopped in epoch {first.epoch + 1}, after batch {first.batch} of {first.plan.batches}")
second = Learner(
    make(seed=99), loaders(seed=99), lr=0.1, device="cpu"
)  # other weights, another order: the state has it all
second.fit(3, state=first.state_dict())
assert same(second.model)

# %% [markdown]
# ## How large a step?
#
# A learning rate is found by trying many, within one short run. The [learning-rate
# finder](#learning-rate-finder) ([Smith, 2017](#smith2017)) raises the rate by a constant factor from 1e-6 to 10,
# one batch each, and stops when the loss explodes. As a callback of our small Runner it needs the exception from
# above:


# %%
class Finder(Listener):
    def __init__(self, low=1e-6, high=10.0, steps=100):
        self.low, self.high, self.steps = low, high, steps
        self.lrs, self.losses, self.best = [], [], float("inf")

    def begin_batch(self):
        if self.in_train:
            self.opt.param_groups[0]["lr"] = self.low * (self.high / self.low) ** (len(self.lrs) / (self.steps - 1))

    def after_loss(self):
        if len(self.lrs) == self.steps or self.loss.item() > 10 * self.best:
            raise CancelFit
        if self.in_train:
            self.best = min(self.best, self.loss.item())
            self.lrs.append(self.opt.param_groups[0]["lr"])
            self.losses.append(self.loss.item())


learner = Learner(make(), loaders(), device="cpu")
before = [p.detach().clone() for p in learner.params]
rates = learner.find_lr()
assert all(torch.equal(p, q) for p, q in zip(before, learner.params, strict=True))  # it left no trace
finder = Finder()
Runner(TrainEval(), finder).fit(10, bag())
for ours, theirs in zip(rates.lrs, finder.lrs, strict=False):
    assert abs(ours / theirs - 1) < 1e-9


# %% tags=["hide-input"]
def paint(ax):
    ax.plot(finder.lrs, finder.losses, color=FOURTH, linewidth=0.7, label="our small Finder, as it comes")
    ax.plot(rates.lrs, rates.losses, color=TRAIN, label="find_lr, smoothed")
    ax.axvline(rates.suggestion, color=THIRD, linewidth=1.2)
    ax.annotate(f"{rates.suggestion:.2g}", (rates.suggestion, 2.6), (4, 0), textcoords="offset points", fontsize=8)
    ax.set(xscale="log", xlabel="learning rate (logarithmic)", ylabel="loss", ylim=(0, 3))
    ax.set_xticks([1e-6, 1e-4, 1e-2, 1], ["1e-6", "1e-4", "0.01", "1"])
    ax.legend(frameon=False, fontsize=7, loc="lower left")


lowest = rates.lrs[rates.losses.index(min(rates.losses))]
words = f"Loss against a rising learning rate: {rates.losses[0]:.2f} at the smallest, level, then falling to {min(rates.losses):.2f}"
show(
    draw(
        paint,
        f"{words} at a rate of {lowest:.2g}, then rising. The steepest descent, marked, is at {rates.suggestion:.2g}.",
    )
)
assert 1e-3 < rates.suggestion < 3

# %% [markdown]
# The suggestion is where the loss falls fastest, not where it is lowest: there it is about to turn. Is it any good?
# Two epochs at it, at a hundredth of it, and at a hundred times it, five seeds each:

# %%
tried = {}
for factor in (0.01, 1.0, 100.0):
    runs = [Learner(make(s), loaders(s), lr=rates.suggestion * factor, device="cpu").fit(2) for s in range(5)]
    tried[factor] = [learner.history[-1]["valid_accuracy"] for learner in runs]
show(
    table(
        [
            {"times the suggestion": f, "learning rate": rates.suggestion * f, "valid accuracy": spread(a)}
            for f, a in tried.items()
        ]
    )
)
assert min(tried[1.0]) > max(max(tried[0.01]), max(tried[100.0])) + 0.1

# %% [markdown]
# ## Progress
#
# A progress bar is a callback like any other. The only care it needs is not to be drawn too often. `after_report` comes
# every `report_every` steps and at the end of an epoch, with losses that are on the host already:


# %%
class Bar(Callback):
    def after_report(self, learner):
        done = learner.step / learner.plan.steps
        print(f"[{'#' * round(20 * done):<20}] {done:4.0%}  loss {learner.tally.last_loss:.3f}")


learner = Learner(make(), loaders(), lr=0.1, callbacks=[Bar(), norms], device="cpu")
learner.report_every = 15
learner.fit(3)
assert same(learner.model)

# %% [markdown]
# The bar you get from `rung train` is `rungbook.learner.callbacks.progress.Progress`: it draws four times a second at
# most.
#
# So the loop stays five lines by asking, at each moment, whoever was given to it. What comes and goes are callbacks:
# they stop, measure, draw and judge, and each was shown above to leave the weights of the five lines as they were.
#
# ## Exercises
#
# ### Exercise 1: find the mistakes
#
# Here is a loop with three mistakes: `train_loop(model, optimizer, batches, x, y)` trains for one epoch and returns
# the accuracy on `(x, y)`. Write it without them. A right answer forgets gradients at each step, judges in evaluation
# mode without a graph, and leaves the model in training mode.


# %%
def with_mistakes(model, optimizer, batches, x, y):
    for xb, yb in batches:
        F.cross_entropy(model(xb), yb).backward()
        optimizer.step()
    return (model(x).argmax(-1) == y).double().mean().item()


def check_train_loop(train_loop):
    seen = []
    model, reference = (make(0, nn.BatchNorm1d(50), nn.Dropout(0.5)) for _ in range(2))
    model.register_forward_hook(
        lambda module, inputs, output: seen.append((module.training, output.requires_grad, len(output)))
    )
    x, y = valid.tensors
    torch.manual_seed(1)
    got = train_loop(model, torch.optim.SGD(model.parameters(), lr=0.1), loaders()[0], x, y)
    torch.manual_seed(1)
    optimizer = torch.optim.SGD(reference.parameters(), lr=0.1)
    for xb, yb in loaders()[0]:
        optimizer.zero_grad()
        F.cross_entropy(reference(xb), yb).backward()
        optimizer.step()
    assert all(torch.allclose(p, q) for p, q in zip(model.parameters(), reference.parameters(), strict=True)), (
        "other weights: line 5?"
    )
    assert not seen[-1][0], "judged in training mode: call model.eval() first"
    assert not seen[-1][1], "judging recorded a graph: use torch.no_grad()"
    assert model.training, "the next epoch would train in evaluation mode: call model.train()"
    right = accuracy(reference.eval())
    assert abs(float(got) - right) < 1e-9, f"the accuracy is {right:.4f}, {got} was returned"


# %% tags=["solution"]
def mended(model, optimizer, batches, x, y, forget=True, judge=True, graph=False, back=True):
    model.train()
    for xb, yb in batches:
        F.cross_entropy(model(xb), yb).backward()
        optimizer.step()
        if forget:
            optimizer.zero_grad()
    model.train(not judge)
    with torch.set_grad_enabled(graph):
        found = (model(x).argmax(-1) == y).double().mean().item()
    model.train(back)
    return found


check_train_loop(mended)
wrong_ones = ({"forget": False}, {"judge": False}, {"graph": True}, {"back": False})
refuses(check_train_loop, with_mistakes, *(partial(mended, **one) for one in wrong_ones))
refuses(check_train_loop, lambda *given: 1 - mended(*given), lambda *given: mended(*given) and mended(*given))

# %% [markdown]
# ### Exercise 2: a callback that keeps the best
#
# Write a callback class `Best` for rungbook's Learner with an attribute `weights`: a copy of the model's
# `state_dict()` after the epoch with the lowest valid loss. A right answer still holds those numbers when training
# has gone on.


# %%
def check_best(best_class):
    best = best_class()
    snapshots = []

    class Snapshot(Callback):
        order = 100

        def after_epoch(self, learner):
            snapshots.append({k: v.clone() for k, v in learner.model.state_dict().items()})

    learner = Learner(
        make(), (DataLoader(few, 20), DataLoader(valid, 64)), lr=0.5, callbacks=[best, Snapshot()], device="cpu"
    ).fit(25)
    losses = [row["valid_loss"] for row in learner.history]
    at = losses.index(min(losses))
    assert at + 1 < len(losses), "the exercise needs a training that gets worse"
    for name, value in snapshots[at].items():
        assert torch.equal(best.weights[name], value), (
            f"{name} is not that of epoch {at + 1}; is it a copy, and taken where loss is lowest?"
        )


# %% tags=["solution"]
class Best(Callback):
    lowest = float("inf")

    def better(self, learner):
        return learner.row["valid_loss"] < self.lowest

    def after_epoch(self, learner):
        if self.better(learner):
            self.lowest = learner.row["valid_loss"]
            self.weights = {name: t.clone() for name, t in learner.model.state_dict().items()}


class NoCopy(Best):
    def after_epoch(self, learner):
        if self.better(learner):
            self.lowest, self.weights = learner.row["valid_loss"], learner.model.state_dict()


class TheLast(Best):
    def better(self, learner):
        return True


class OnTrain(Best):
    def better(self, learner):
        return learner.row["train_loss"] < self.lowest

    def after_epoch(self, learner):
        if self.better(learner):
            self.lowest = learner.row["train_loss"]
            self.weights = {name: t.clone() for name, t in learner.model.state_dict().items()}


class TheFirst(Best):
    def better(self, learner):
        return not hasattr(self, "weights")


check_best(Best)
refuses(check_best, NoCopy, TheLast, OnTrain, TheFirst)

# %% [markdown]
# ## Sources
#
# - The loop that grows, its Runner and its Learner without one: [Howard and Gugger, 2019](#fastai2019), lessons 9
#   to 11, notebooks 04, 05b, 09b and 09c; the library that came of it: [Howard and Gugger, 2020](#howard2020).
# - The learning-rate finder: [Smith, 2017](#smith2017), section 3.3. The course stops at ten times the best loss;
#   ours when the running mean has risen from its best by three times that, and it smooths in both directions.
# - Events declared on the base class: [skorch](#skorch) and [PyTorch Ignite](#fomin2020).
