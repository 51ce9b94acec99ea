# %% [markdown]
# # Looking inside
#
# A network that learns badly shows a loss that falls too slowly, and nothing else. What would you see if you could look
# at what each layer puts out, at every step, in any model, without changing a line of it?

# %% tags=["about"]
covers = ["I13"]
rung = 8
minutes = 45

# %%
import weakref
from contextlib import suppress
from itertools import pairwise
from statistics import mean

import torch
import torch.nn.functional as F
from torch import nn

from rungbook import Learner, load_data
from rungbook.book import refuses, show, source, table
from rungbook.learner.callbacks.activations import ActivationStats
from rungbook.learner.hooks import Hook, Hooks
from rungbook.models.registry import create_model
from rungbook.plot.activations import dead_shares, histograms, means_and_deviations
from rungbook.plot.style import TRAIN, VALID, draw
from rungbook.plot.variants import variants

data = load_data("digits", batch_size=64)
x, y = data.one_batch(256)  # (256, 1, 8, 8)

# %% [markdown]
# ## By hand
#
# A small network of four convolutions. The first thought is to write down what you want to know where it is made: in
# `forward`.


# %%
def convolutions(seed, kaiming=True):
    torch.manual_seed(seed)
    widths = [1, 8, 16, 32, 32]
    net = nn.Sequential()
    for i, (a, b) in enumerate(pairwise(widths), 1):
        net.add_module(f"conv{i}", nn.Conv2d(a, b, 3, stride=1 if i == 1 else 2, padding=1))
        net.add_module(f"relu{i}", nn.ReLU())
    net.extend([nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10)])
    for layer in net:
        if kaiming and isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
    return net


class Recording(nn.Module):
    def __init__(self, layers):
        super().__init__()
        self.layers, self.means = nn.ModuleList(layers), []

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
            self.means.append(x.detach().mean().item())
        return x


recording = Recording(convolutions(0))
recording(x)
print([round(value, 3) for value in recording.means])

# %% [markdown]
# It works, for this class only. Each model would have to be written again, and into one that somebody else wrote there
# is no way. torch has a door for this: a [hook](#hook) (lesson 6). `register_forward_hook` takes a function that is
# called with the layer, its inputs and its output each time data has passed. Any layer of any model has it.

# %%
net, by_hook = convolutions(0), []
handles = [layer.register_forward_hook(lambda _, __, out: by_hook.append(out.mean().item())) for layer in net]
net(x)
for handle in handles:
    handle.remove()
assert by_hook == recording.means
print(len(by_hook), "layers, the same numbers")

# %% [markdown]
# The model was not changed, and afterwards nothing of it is left. That is four lines each time, and the last two
# are easily forgotten. The library keeps them in a class, which takes the hook off at the end of a `with` block,
# and a second one that holds a hook for each layer by name:

# %%
show(source(Hook), source(Hooks.__init__))
with Hooks(net, lambda layer, inputs, out: (out.mean().item(), out.std().item()), layers="conv*") as hooks:
    net(x)
for name, hook in hooks.items():
    print(name, "mean {:.3f}, deviation {:.3f}".format(*hook.found[0]))
assert [hook.found[0][0] for _, hook in hooks.items()] == by_hook[:8:2]
assert not any(layer._forward_hooks for layer in net.modules())

# %% [markdown]
# ## Four ways to go wrong
#
# **A hook that stays.** Without `remove` it is called from then on at each pass, and a second measurement counts each
# layer twice:


# %%
def count_calls(net, remove):
    calls = []
    handle = net.conv1.register_forward_hook(lambda *_: calls.append(1))
    net(x[:2])
    if remove:
        handle.remove()
    return len(net.conv1._forward_hooks)


forgetful, tidy = convolutions(0), convolutions(0)
left = [count_calls(forgetful, remove=False) for _ in range(3)]
assert left == [1, 2, 3] and [count_calls(tidy, remove=True) for _ in range(3)] == [0, 0, 0]
print("hooks left after each measurement:", left)

# %% [markdown]
# **A graph that is kept.** `out.mean()` is a tensor, and it knows where it came from (lesson 5). As long as you keep it, all
# that the way back would need is kept too. How much that is can be counted: torch lets a function see
# what it puts aside.


# %%
class Aside:
    def __init__(self, tensor):
        self.tensor = tensor


def bytes_kept(look, passes=3):
    """What stays in memory after some passes whose outputs nobody uses, because of what a hook has kept."""
    aside, net = weakref.WeakSet(), convolutions(0)

    def put(tensor):
        aside.add(box := Aside(tensor.detach()))
        return box

    with torch.autograd.graph.saved_tensors_hooks(put, lambda box: box.tensor), Hooks(net, look) as hooks:
        for _ in range(passes):
            net(x)
        return sum(box.tensor.nbytes for box in aside), len(hooks)


graph, number = bytes_kept(lambda _, __, out: out.mean())[0], bytes_kept(lambda _, __, out: out.mean().item())[0]
detached = bytes_kept(lambda _, __, out: out.detach().mean())[0]
print(f"kept by out.mean(): {graph:,} bytes; by out.detach().mean(): {detached}; by out.mean().item(): {number}")
assert graph > 1_000_000 and number == detached == 0

# %% [markdown]
# Three passes, and megabytes are held for a dozen numbers each. In a training this grows with every step until memory is
# full. `detach()` cuts the tensor off; `item()` makes a plain number of it (on a [GPU](#gpu) it also waits for the
# device, which is why the library keeps its sums there).
#
# **An output that changes afterwards.** Some layers write their result over their input. Whoever keeps the tensor, detached or
# not, looks at what the next layer made of it:

# %%
pair = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(inplace=True))
with (
    Hook(pair[0], lambda _, __, out: out.detach()) as kept,
    Hook(pair[0], lambda _, __, out: (out < 0).float().mean().item()) as counted,
):
    pair(x)
late, at_once = (kept.found[0] < 0).float().mean().item(), counted.found[0]
print(f"share below 0 behind the convolution: measured at once {at_once:.2f}, from the kept tensor {late:.2f}")
assert late == 0 < 0.1 < at_once

# %% [markdown]
# **A hook that answers.** What a torch hook returns takes the output's place, unless it is None. A lambda returns what
# its expression gives: None from `append`, a number from `setdefault`. The library's `Hook` keeps the answer and hands nothing back:

# %%
largest = {}
broken = convolutions(0)
handle = broken.conv1.register_forward_hook(lambda _, __, out: largest.setdefault("conv1", out.max().item()))
try:
    broken(x)
    raise AssertionError("a number went on in place of the output")
except TypeError as error:
    print("TypeError:", str(error).splitlines()[0])
handle.remove()
with Hook(broken.conv1, lambda _, __, out: out.max().item()) as hook:
    after = broken(x)
assert torch.equal(after, net(x)) and hook.found == list(largest.values())

# %% [markdown]
# ## At every step
#
# One batch shows the start. What happens in training takes a look at each step: the mean and deviation of each
# layer's outputs, the share of outputs that are zero, and a histogram. That makes a line of numbers a layer and step:

# %%
show(source(ActivationStats._add))

# %% [markdown]
# It is a [callback](#callback) (lesson 18) with hooks. It counts training only, since the model is also called to be judged; it
# takes its hooks off when training ends, however it ends; and training is bit for bit what it would have been:


# %%
def fit(seed, kaiming, lr, watched=True, epochs=3):
    learner = Learner(
        convolutions(seed, kaiming), data, optimizer=torch.optim.SGD, lr=lr, seed=seed, device=torch.device("cpu")
    )
    stats = learner.watch(nn.ReLU, near_zero=0.0, span=(-0.1, 5.0)) if watched else None
    learner.fit(epochs)
    return learner, stats


plain, _ = fit(0, True, 0.2, watched=False)
healthy, healthy_stats = fit(0, True, 0.2)
for a, b in zip(plain.model.parameters(), healthy.model.parameters(), strict=True):
    assert torch.equal(a, b)
assert not any(layer._forward_hooks for layer in healthy.model.modules())
print("watched or not: the same weights, and no hook left")

# %% [markdown]
# ## A sick and a healthy training
#
# The course trains such a network on MNIST with torch's own start and a [learning rate](#learning-rate) of 0.9
# ([fast.ai, 06](#fastai2019)). The same here, and beside it Kaiming's start (lesson 22) with a rate of 0.2. One line
# before `fit` records both: `stats = learner.watch()`. First the sick one.

# %%
sick, sick_stats = fit(0, False, 0.9)
show(means_and_deviations(sick_stats.records()))

# %% [markdown]
# At the start the deviation falls from layer to layer, and the last layer hardly puts out anything. The outputs grow, faster and
# faster, until a step is too large; then they break down at once, and it may begin again. The healthy one:

# %%
show(means_and_deviations(healthy_stats.records()))
first = {
    name: [r.std[0] for r in stats.records().values()]
    for name, stats in (("sick", sick_stats), ("healthy", healthy_stats))
}
assert first["sick"][-1] < 0.1 * first["sick"][0] and first["healthy"][-1] > 0.2 * first["healthy"][0]

# %% [markdown]
# Mean and deviation hide much: a layer in which a few units shout and all others are silent may have a fine deviation. A
# histogram shows it. One of them is a row of counts; to see all steps at once, each becomes a column of
# colours. The record's first column is what `torch.histc` counts:

# %%
record = healthy_stats.records()["relu1"]
learner = Learner(convolutions(0), data, optimizer=torch.optim.SGD, lr=0.2, seed=0, device=torch.device("cpu"))
with Hook(learner.model.relu1, lambda _, __, out: torch.histc(out, 64, record.low, record.high).tolist()) as hook:
    learner.fit(1)
column = torch.tensor(hook.found[0]) / sum(hook.found[0])
assert len(record.histogram[0]) == 64
difference = (column - torch.tensor(record.histogram[0])).abs().sum().item()
print(f"64 bins from {record.low:.2f} to {record.high:.2f}, together off by {difference:.1g}")
assert difference < 1e-3
show(histograms(sick_stats.records(), columns=2), histograms(healthy_stats.records(), columns=2))

# %% [markdown]
# Time goes to the right, the value upwards, and the colour says how many outputs have it, on a logarithmic scale. (What
# lies above 5 is counted in the topmost bin.) The
# bright line at 0 is what [ReLU](#relu) cut off. In the healthy picture a broad band of other values stands above it
# from the first steps on. In the sick one the band comes late, flares up, and collapses; what remains is mostly the
# line. How much lies on it?

# %%
show(dead_shares(sick_stats.records()), dead_shares(healthy_stats.records()))

# %% [markdown]
# About half is normal: a sum is as often negative as positive. In the sick network most is zero, and where the output is zero
# no [gradient](#gradient) comes through. One seed is one seed; five of each:

# %%
ways = {"torch's start, rate 0.9": (False, 0.9), "Kaiming, rate 0.2": (True, 0.2)}
zero, right = {name: [] for name in ways}, {name: [] for name in ways}
for name, (kaiming, lr) in ways.items():
    for seed in range(5):
        known = {0.9: (sick, sick_stats), 0.2: (healthy, healthy_stats)}[lr]
        learner, stats = known if seed == 0 else fit(seed, kaiming, lr)
        zero[name].append(mean(r.dead[-1] for r in stats.records().values()))
        right[name].append(learner.history[-1]["valid_accuracy"])
show(variants({name: {"train": found} for name, found in zero.items()}, name="share of zeros at the end"))
show(variants({name: {"valid": found} for name, found in right.items()}, name="accuracy"))
(sick_zero, healthy_zero), (sick_right, healthy_right) = zero.values(), right.values()
assert min(sick_zero) > max(healthy_zero) + 0.05
assert mean(healthy_right) > mean(sick_right) + 0.2

# %% [markdown]
# Two things were changed at once here, start and rate. The fading from layer to layer at step 0 is the start's, since
# no step had been made. Which of the two the collapse comes from, these runs cannot tell: that takes a third, with one
# of them changed.
#
# ## The way back
#
# `register_full_backward_hook` sees the gradient by a layer's output on its way back. Ten linear layers with
# [sigmoid](#sigmoid) in between, and with ReLU and Kaiming's start: how large is the gradient when it reaches each layer?
# (The input asks for a gradient as well, since such a hook waits for the gradients of a layer's inputs.)


# %%
def deep(activation, seed):
    torch.manual_seed(seed)
    net = nn.Sequential(*(part for _ in range(10) for part in (nn.Linear(64, 64), activation())), nn.Linear(64, 10))
    if activation is nn.ReLU:
        for layer in net[::2]:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return net


def gradients(activation, seed):
    net = deep(activation, seed)
    with Hooks(net, lambda _, __, out: out[0].norm().item(), layers=nn.Linear, backward=True) as hooks:
        F.cross_entropy(net(x.flatten(1).requires_grad_()), y).backward()
    return [hook.found[0] for _, hook in hooks.items()]


sizes = {
    name: [gradients(kind, seed) for seed in range(5)] for name, kind in (("sigmoid", nn.Sigmoid), ("ReLU", nn.ReLU))
}
lost = {name: mean(found[0] / found[-1] for found in runs) for name, runs in sizes.items()}
print(f"left of the gradient after ten layers: sigmoid {lost['sigmoid']:.1g}, ReLU {lost['ReLU']:.2g}")
assert lost["sigmoid"] < 1e-6 and 0.05 < lost["ReLU"] < 20

out = (net := deep(nn.ReLU, 0))[0](x.flatten(1))
out.retain_grad()  # torch's own way to one layer's gradient
F.cross_entropy(net[1:](out), y).backward()
assert abs(out.grad.norm().item() - sizes["ReLU"][0][0]) < 1e-6


# %% tags=["hide-input"]
def paint_gradients(ax):
    for (name, runs), colour in zip(sizes.items(), (VALID, TRAIN), strict=True):
        for i, found in enumerate(runs):
            ax.plot(range(1, 12), found, color=colour, linewidth=1, label=name if i == 0 else None)
    ax.set(yscale="log", xlabel="layer", ylabel="length of the gradient")
    ax.legend(frameon=False)


said = "; ".join(
    f"{name} {mean(f[-1] for f in runs):.1g} at the last layer, {mean(f[0] for f in runs):.1g} at the first"
    for name, runs in sizes.items()
)
show(draw(paint_gradients, f"Length of the gradient at each of eleven layers, five seeds: {said}.", size=(4.2, 2.6)))

# %% [markdown]
# A sigmoid's slope is 0.25 at most, so that each one takes away three quarters or more, and torch's start some more. The
# first layers of such a network learn nothing: the [vanishing gradient](#vanishing-gradient), seen in one line.
#
# A backward hook does not go together with layers that write over their input. Torch says so, and the cure is `inplace=False`:

# %%
try:
    with Hook(pair[0], lambda _, __, out: out[0].norm().item(), backward=True):
        pair(x)
    raise AssertionError("a backward hook before an in-place layer was accepted")
except RuntimeError as error:
    print("RuntimeError:", str(error)[:90], "...")
pair[1].inplace = False
with Hook(pair[0], lambda _, __, out: out[0].norm().item(), backward=True) as hook:
    pair(x.clone().requires_grad_()).sum().backward()
assert len(hook.found) == 1

# %% [markdown]
# ## Any model
#
# Nothing above knew the model. The same line for a residual network (lesson 24) that this lesson has not written, all of its
# layers, and of these a table at the first step:

# %%
torch.manual_seed(0)
learner = Learner(
    create_model("xresnet18", in_channels=1, num_classes=10, widths=(8, 8, 16, 16), stem=(8, 8, 8)),
    data,
    optimizer=torch.optim.SGD,
    lr=0.1,
    device=torch.device("cpu"),
)
stats = learner.watch(nn.BatchNorm2d)
learner.fit(1)
records = stats.records()
rows = [
    {"layer": name, "mean": r.mean[0], "deviation": r.std[0], "deviation, last step": r.std[-1]}
    for name, r in list(records.items())[:7]
]
show(table(rows))
quiet = [name for name, r in records.items() if r.std[0] == 0]
print(f"{len(quiet)} of {len(records)} norms put out nothing at first:", ", ".join(quiet[:3]), "...")
assert len(quiet) == 8 and all(records[name].std[-1] > 0 for name in quiet)

# %% [markdown]
# Eight norms begin silent. Nothing is broken: lesson 24 has the reason, each block's last norm starts at $\gamma = 0$. After an epoch all
# of them speak. A picture tells you what is there, and you must know what should be. In a recipe, `watch=true` puts these pictures into
# the report.
#
# What would you see, then? Whether signals fade or grow with depth; whether they flare and collapse in time; how much of
# the network is silent; and how far the gradient gets. The first and the last of these show before the first step.
#
# ## Exercises
#
# ### Exercise 1: one line for each layer
#
# Write `sizes(model, x)`: a dictionary from the name of each layer without layers in it to mean and deviation of its output, as plain
# numbers. A right answer uses torch's hooks and leaves none behind, also where the model raises an error.


# %%
class Fails(nn.Module):
    def forward(self, x):
        raise ValueError("the model's own error")


def check_sizes(sizes):
    model = nn.Sequential(nn.Linear(4, 8), nn.Sequential(nn.ReLU(), nn.Linear(8, 3)))
    inputs = torch.randn(16, 4, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        outs = {"0": model[0](inputs), "1.0": model[0](inputs).relu(), "1.1": model(inputs)}
    found = sizes(model, inputs)
    assert list(found) == list(outs), f"layers {list(found)}, {list(outs)} are meant"
    for name, (m, s) in found.items():
        assert isinstance(m, float) and isinstance(s, float), f"{name}: a tensor holds its graph, take .item()"
        assert abs(m - outs[name].mean()) < 1e-6 and abs(s - outs[name].std()) < 1e-6, f"{name}: other numbers"
    model.append(Fails())
    with suppress(ValueError):
        sizes(model, inputs)
    left = sum(len(part._forward_hooks) for part in model.modules())
    assert not left, f"{left} hooks are left: remove them in a finally block"


# %% tags=["solution"]
def right_sizes(model, x, item=True, last=True, leaves=True):
    found, handles = {}, []
    for name, part in model.named_modules():
        if not leaves or not list(part.children()):

            def look(_, __, out, name=name):
                found[name] = (out.mean().item(), out.std().item()) if item else (out.mean(), out.std())

            handles.append(part.register_forward_hook(look))
    try:
        model(x)
    finally:
        for handle in handles if last else handles[:-1]:
            handle.remove()
    return found


def late_names(model, x):
    found = {}
    for name, part in model.named_modules():
        if not list(part.children()):
            part.register_forward_hook(lambda _, __, out: found.update({name: (out.mean().item(), out.std().item())}))
    model(x)
    return found


check_sizes(right_sizes)
refuses(
    check_sizes,
    late_names,
    lambda model, x: right_sizes(model, x, item=False),
    lambda model, x: right_sizes(model, x, last=False),
    lambda model, x: right_sizes(model, x, leaves=False),
)

# %% [markdown]
# ### Exercise 2: really dead
#
# An output that is zero for one sample is nothing special. A [dead unit](#dead-unit) is zero for all of them. Write
# `dead(model, layer, batches)`: the share of units of `layer` (its output is (samples, units)) that are zero for every
# sample of every batch.


# %%
def check_dead(dead):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 10), nn.ReLU(), nn.Linear(10, 2))
    with torch.no_grad():
        model[0].bias[4:] = 5.0
        model[0].bias[:3] = -100.0  # three are dead
        model[0].weight[3] = torch.tensor([50.0, 0, 0, 0])  # one answers to the second batch only
        model[0].bias[3] = -100.0
    batches = [torch.rand(20, 4), torch.rand(20, 4) + torch.tensor([3.0, 0, 0, 0])]
    found = dead(model, model[1], batches)
    assert found > 0.25, f"{found:.2f}: three of ten never answer"
    assert found < 0.31, f"{found:.2f}: the fourth answers, in the second batch; look at all batches together"
    assert not model[1]._forward_hooks, "a hook is left"


# %% tags=["solution"]
def right_dead(model, layer, batches):
    with Hook(layer, lambda _, __, out: (out > 0).any(0)) as hook:
        for batch in batches:
            model(batch)
    alive = torch.stack(hook.found).any(0)
    return (~alive).float().mean().item()


def share_of_zeros(model, layer, batches):
    with Hook(layer, lambda _, __, out: (out == 0).float().mean().item()) as hook:
        for batch in batches:
            model(batch)
    return mean(hook.found)


check_dead(right_dead)
refuses(
    check_dead,
    share_of_zeros,
    lambda model, layer, batches: right_dead(model, layer, batches[:1]),
    lambda model, layer, batches: mean(right_dead(model, layer, [b]) for b in batches),
    lambda model, layer, batches: 1 - right_dead(model, layer, batches),
)

# %% [markdown]
# ## Sources
#
# - Hooks, statistics and the coloured histograms: [fast.ai, part 2](#fastai2019), lesson 10, notebook 06.
# - Kaiming's start: [He et al., 2015](#he2015). Gradients through sigmoids: [Glorot and Bengio, 2010](#glorot2010).
