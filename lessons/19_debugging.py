# %% [markdown]
# # Debugging, and the recipe
#
# The program runs, the loss falls, and the network is wrong. No line has failed, no message has come. How do you
# find a mistake that says nothing?

# %% tags=["about"]
covers = ["B01", "B02", "B03", "B04", "B05", "B06"]
rung = 7
minutes = 60

# %%
import io
import math
import pdb
import traceback
import warnings
from functools import partial
from itertools import pairwise
from statistics import mean, stdev

import torch
import torch.nn.functional as F
from torch import nn

from rungbook import Learner, load_data, swap
from rungbook.book import refuses, show, source, table
from rungbook.data.arrays import array_data
from rungbook.plot.style import FOURTH, THIRD, TRAIN, VALID, draw, sheet
from rungbook.plot.variants import variants

data = load_data("digits")
train_x, train_y = data.one_batch(10_000)
valid_x, valid_y = (torch.cat(parts) for parts in zip(*data.valid.batches(), strict=True))
train_x, valid_x = train_x.flatten(1), valid_x.flatten(1)  # (n, 64)


def make(seed=0, *last):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(64, 50), nn.ReLU(), nn.Linear(50, 10), *last)


def fit(model, x=train_x, y=train_y, lr=0.3, epochs=5, seed=0, params=None):
    """Trains, and gives the loss at each step."""
    optimizer = torch.optim.SGD(model.parameters() if params is None else params, lr=lr, foreach=True)
    order, losses = torch.Generator().manual_seed(seed), []
    model.train()
    for _ in range(epochs):
        for i in torch.randperm(len(x), generator=order).split(64):
            loss = F.cross_entropy(model(x[i]), y[i])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    model.eval()
    return losses


def accuracy(model, x=valid_x, y=valid_y):
    with torch.no_grad():
        return (model(x).argmax(-1) == y).double().mean().item()


# %% [markdown]
# ## Five kinds of faults
#
# [Humbatova et al., 2020](#humbatova2020) read 1,059 commits, issues and questions about deep-learning programs and
# interviewed 20 researchers and practitioners. The faults they found fall into five groups: the model, tensors and
# inputs, training, the use of a GPU, and the use of an API. Here is one of each. None of the five raises an error
# here, and beside each stands a line that sees it.


# %%
class Masked(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 4)
        self.mask = torch.ones(4)  # a plain attribute: no parameter, no buffer


a, b = torch.randn(2, 8, 64, generator=torch.Generator().manual_seed(0))
zero = torch.zeros_like(a)
linear = nn.Sequential(nn.Linear(64, 50), nn.Linear(50, 10))
bends = lambda f: not torch.allclose(f(a) + f(b), f(a + b) + f(zero), atol=1e-4)  # is it more than one straight map?
column, row = torch.ones(8, 1), torch.ones(8)
softmaxed = make(0, nn.Softmax(-1))
moved = Masked().to("meta")  # a device that needs no hardware
forgotten = make(0, nn.Dropout())
forgotten.eval  # noqa: B018
faults = [
    ("model", "no activation between two layers", "it learns, as badly as a line", not bends(linear) and bends(make())),
    ("tensors and inputs", "(8, 1) less (8)", "a loss over 64 pairs", (column - row).shape != row.shape),
    (
        "training",
        "softmax, then cross entropy",
        "the loss stops near 1.46",
        torch.allclose(softmaxed(a).sum(1), torch.ones(8)),
    ),
    (
        "GPU usage",
        "a mask that does not move along",
        "fails on a GPU only",
        moved.mask.device != moved.fc.weight.device,
    ),
    ("API", "`model.eval` without brackets", "judged with dropout", forgotten.training),
]
show(table([{"group": g, "example": e, "what you notice": n, "a line sees it": seen} for g, e, n, seen in faults]))
assert all(seen for *_, seen in faults)

# %% [markdown]
# ## What can be tested?
#
# You do not know what a network should answer, so you cannot compare with the right answer. But you know
# *properties*: things that hold for every correct program. Here are six; the third and the fourth are tried on a
# program that lacks them, too:


# %%
def learns_by_heart(model, x=train_x[:20], y=train_y[:20], steps=200, params=None):
    """Loss on one small batch after it was seen again and again: any network with enough weights gets it near 0."""
    return fit(model, x, y, lr=0.2, epochs=steps, params=params)[-1]


def stays_apart(model, x):
    """Whether a sample's output depends on that sample alone: the gradient of one output reaches only its own input."""
    x = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(model(x)[0].sum(), x)
    return not gradient[1:].any()


def repeats(train):
    """Whether the same seed gives the same weights, bit for bit."""
    return all(torch.equal(p, q) for p, q in zip(train().parameters(), train().parameters(), strict=True))


def seeded():
    model = make()
    fit(model, epochs=1)
    return model


from rungbook.scratch.autograd.gradcheck import GradcheckError, gradcheck


class Square(torch.autograd.Function):
    """With a backward of its own, and a mistake in it."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * x  # 2 x it should be


numbers = torch.randn(3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
said = ""
try:
    gradcheck(Square.apply, [numbers])
except GradcheckError as error:
    said = str(error)
assert gradcheck(torch.square, [numbers]) and said
by_heart = learns_by_heart(make())
mixed = nn.Sequential(nn.Linear(64, 50), nn.BatchNorm1d(50), nn.Linear(50, 10))
twin = make().double()
before = twin(a.double())
show(
    table(
        [
            {"property": "shape: (n, 64) gives (n, 10)", "found": tuple(make()(a).shape)},
            {"property": "one batch can be learnt by heart", "found": f"loss {by_heart:.4f}"},
            {"property": "gradients agree with finite differences", "found": said},
            {
                "property": "samples stay apart",
                "found": f"plain {stays_apart(make(), a)}, batch norm {stays_apart(mixed, a)}",
            },
            {"property": "same seed, same weights", "found": repeats(seeded)},
            {
                "property": "a twin gives the same",
                "found": f"{(swap(twin)(a.double()) - before).abs().max():.0e} apart",
            },
        ]
    )
)
assert make()(a).shape == (8, 10) and by_heart < 0.05 and repeats(seeded)
assert stays_apart(make(), a) and not stays_apart(mixed, a) and stays_apart(mixed.eval(), a)
torch.testing.assert_close(swap(twin)(a.double()), before, rtol=1e-12, atol=1e-12)

# %% [markdown]
# The last one is how rungbook itself is tested. Write the part a second time, as plainly as you can, and compare in
# float64: `swap` puts our layers in the place of torch's, and the numbers must not move. A mistake stays hidden
# only if it was made both times in the same way.
#
# ## The recipe
#
# [Karpathy, 2019](#karpathy2019) turns this into an order of work. Never add two things at once; before each step
# say what will happen; if something else happens, stop. His steps, on digits.
#
# **1. Become one with the data.** Look at it before any network does: how many of each class, which values, a page
# of pictures.

# %%
from rungbook.plot.images import image_grid

counts = train_y.bincount()
print(
    "of each class:", counts.tolist(), f" values {train_x.min():.2f} to {train_x.max():.2f}, mean {train_x.mean():.2f}"
)
assert counts.min() > 0.8 * counts.max()
show(image_grid(train_x[:16].view(-1, 1, 8, 8), train_y[:16].tolist(), side=48))

# %% [markdown]
# **2. A dumb baseline.** What does somebody reach who looks at nothing, and a plain method on the same pixels? On
# this data the majority class reaches <!-- ledger: digits | baseline majority accuracy -->10.0 %<!-- / --> and a
# random forest <!-- ledger: digits | baseline random_forest accuracy -->98.2 %<!-- / -->.
#
# **3. The loss before training.** A network that knows nothing gives each of ten classes the share 1/10, so its
# loss is $-\ln\frac{1}{10} = \ln 10$.
#
# **4. A baseline without input.** Feed zeros instead of pictures. The network can then learn how frequent the
# classes are, and nothing else. If real input is not clearly better, the input does not arrive.
#
# **5. Overfit one batch.** **6. Only then** train on everything, and judge on what was held back.

# %%
start = F.cross_entropy(make()(train_x), train_y).item()
blind, real, one = make(), make(), make()
curves = {
    "real input": fit(real, epochs=10),
    "zeros as input": fit(blind, torch.zeros_like(train_x), epochs=10),
    "one batch of 64": fit(one, train_x[:64], train_y[:64], epochs=230),
}
show(
    table(
        [
            {"step": "loss before training", "expected": f"ln 10 = {math.log(10):.3f}", "found": f"{start:.3f}"},
            {
                "step": "without input",
                "expected": "stays at ln 10",
                "found": f"{mean(curves['zeros as input'][-23:]):.3f}",
            },
            {"step": "one batch", "expected": "near 0", "found": f"{curves['one batch of 64'][-1]:.4f}"},
            {"step": "everything, valid accuracy", "expected": "far above 10 %", "found": f"{accuracy(real):.1%}"},
        ]
    )
)
assert abs(start - math.log(10)) < 0.15 and abs(mean(curves["zeros as input"][-23:]) - math.log(10)) < 0.05
assert curves["one batch of 64"][-1] < 0.05 and accuracy(real) > 0.9


# %% tags=["hide-input"]
def paint(ax):
    for (name, losses), colour in zip(curves.items(), (TRAIN, VALID, THIRD), strict=True):
        ax.plot(range(1, len(losses) + 1), losses, color=colour, linewidth=1.2, label=name)
    ax.axhline(math.log(10), color=FOURTH, linewidth=0.8, linestyle="--", label="ln 10")
    ax.set(xlabel="step", ylabel="loss of the batch", ylim=(0, 2.7))
    ax.legend(frameon=False, fontsize=8, loc=(0.5, 0.38))


ends = "; ".join(f"with {name} it ends at {mean(losses[-23:]):.3f}" for name, losses in curves.items())
show(draw(paint, f"The loss over 230 steps: {ends}.", size=(4.2, 2.6)))

# %% [markdown]
# From here on the recipe says: regularise, tune, and squeeze out the rest. Lessons 9, 15, 16 and 20 are about that.
#
# ## Six common mistakes, one line each
#
# In 2018 Karpathy listed the mistakes he saw most ([Karpathy, 2018](#karpathy2018)). Each can be caught by a line
# that you leave in the program. The table runs each line on a program with the mistake and on one without.


# %%
def no_gradients_left(forget):
    model = make()
    fit_once = F.cross_entropy(model(a), train_y[:8])
    fit_once.backward()
    if forget:
        model.zero_grad()
    return all(p.grad is None for p in model.parameters())


def with_norm(bias):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(64, 50, bias=bias), nn.BatchNorm1d(50), nn.ReLU(), nn.Linear(50, 10))


def no_idle_bias(model):
    """A bias before a norm is subtracted again: its gradient is 0 at every step."""
    F.cross_entropy(model(train_x), train_y).backward()
    return all(p.grad.abs().max() > 1e-6 for p in model.parameters())


class Turned(nn.Module):
    """Pixels first, samples second: (64, n) -> (n, 64), by the right and by the wrong way."""

    def __init__(self, how):
        super().__init__()
        self.how, self.net = how, make()

    def forward(self, x):
        return self.net(self.how(x.T.contiguous()))


floor = fit(make(0, nn.Softmax(-1)), train_x[:20], train_y[:20], lr=2.0, epochs=500)[-1]
other = list(make().parameters())  # of another network: the optimiser moves what nobody uses
dropping = make(0, nn.Dropout())
checks = [
    (
        "one batch never overfitted",
        "last loss < 0.05",
        learns_by_heart(make(), params=other) < 0.05,
        by_heart < 0.05,
    ),
    (
        "mode not switched",
        "model(x) equals model(x)",
        torch.equal(dropping(a), dropping(a)),
        torch.equal(dropping.eval()(a), dropping(a)),
    ),
    (
        "no zero_grad",
        "before backward all p.grad are None",
        no_gradients_left(forget=False),
        no_gradients_left(forget=True),
    ),
    (
        "softmax before the loss",
        "rows of the output do not sum to 1",
        not torch.allclose(softmaxed(a).sum(1), torch.ones(8)),
        not torch.allclose(make()(a).sum(1), torch.ones(8)),
    ),
    (
        "bias before batch norm",
        "every gradient is above 1e-6",
        no_idle_bias(with_norm(bias=True)),
        no_idle_bias(with_norm(bias=False)),
    ),
    (
        "view for permute",
        "samples stay apart",
        stays_apart(Turned(lambda x: x.view(8, 64)), a),
        stays_apart(Turned(lambda x: x.T), a),
    ),
]
show(
    table(
        [
            {"mistake": m, "what must hold": line, "with the mistake": bad, "without": good}
            for m, line, bad, good in checks
        ]
    )
)
assert not any(bad for *_, bad, _ in checks) and all(good for *_, good in checks)
print(
    f"softmax twice: twenty pictures learnt by heart, and the loss is {floor:.4f}; no lower than {-math.log(math.e / (math.e + 9)):.4f}"
)
assert floor > -math.log(math.e / (math.e + 9)) - 1e-4

# %% [markdown]
# The softmax mistake is the sly one: the loss before training is ln 10 all the same. A share is at most 1, so the
# best ten scores are a 1 and nine 0, and the loss cannot fall below $-\ln\frac{e}{e+9}$. That a loss has a floor is
# seen only by the one who tried to overfit.
#
# ## A tree of questions
#
# Full Stack Deep Learning ([Tobin, 2019](#tobin2019)) puts the same into a decision tree: start simple, make it
# run, overfit a batch, compare with a known result, and then let the errors on training and valid data say what
# comes next. As a function, the tree is this:


# %%
def next_step(by_heart, train, valid, baseline, goal=0.97):
    """What to do, from the loss on one batch and the accuracies."""
    if by_heart > 0.05:
        return "a bug: one batch cannot be learnt. Check targets, loss, gradients, optimiser"
    if train < goal:
        return "underfits: other learning rate, longer, larger network"
    if train - valid > 0.05:
        return "overfits: more data, augmentation, regularisation"
    if valid < baseline:
        return "generalises, below the baseline: look at its errors, another model"
    return "done: judge once on the test data"


some_x, some_y = train_x[:60], train_y[:60]
broken, slow, small, healthy = make(), make(), make(), make()
fit(broken, params=other), fit(slow, lr=0.01), fit(small, some_x, some_y, epochs=200), fit(healthy, epochs=20)
situations = {
    "optimiser of another network": (
        learns_by_heart(make(), params=other),
        accuracy(broken, train_x, train_y),
        accuracy(broken),
    ),
    "learning rate 0.01": (by_heart, accuracy(slow, train_x, train_y), accuracy(slow)),
    "60 pictures": (by_heart, accuracy(small, some_x, some_y), accuracy(small)),
    "all pictures": (by_heart, accuracy(healthy, train_x, train_y), accuracy(healthy)),
}
advice = {name: next_step(*found, baseline=0.9) for name, found in situations.items()}
show(table([{"situation": n, "train": f[1], "valid": f[2], "next": advice[n]} for n, f in situations.items()]))
assert [words.split()[0].strip(":,") for words in advice.values()] == ["a", "underfits", "overfits", "done"]

# %% [markdown]
# **The learning rate first.** Of all settings it is the one that decides between working and not working. The
# Vienna study group's notebook trains on pictures of dogs at three rates and notes .9946, .976 and .814 ([notebook
# PyTorch_3](#vienna2019)), three numbers without a spread. Here with five seeds, at a rate too low, one that works,
# and one too high:

# %%
rates = {"0.003": 0.003, "0.3": 0.3, "3": 3.0}
compared = {}
for name, lr in rates.items():
    networks = [make(seed) for seed in range(5)]
    for seed, network in enumerate(networks):
        fit(network, lr=lr, seed=seed)
    compared[f"learning rate {name}"] = {"valid": [accuracy(network) for network in networks]}
show(variants(compared, name="accuracy"))
low, good, high = (found["valid"] for found in compared.values())
print(
    ", ".join(
        f"{name}: {mean(found):.3f} ± {stdev(found):.3f}" for name, found in zip(rates, (low, good, high), strict=True)
    )
)
assert min(good) > max(low) + 0.1 and min(good) > max(high) + 0.1

# %% [markdown]
# ## Errors that do speak
#
# Most errors with a message are about shape or type. torch's messages come from the place where it broke, deep
# inside, and are about matrices. rungbook runs the first batch before training, finds the layer or the row at
# fault, and says what was found, what is needed and what to do (`rungbook.learner.diagnose`). Six such mistakes, told
# by both:


# %%
def told(call):
    """The first line of what is raised."""
    try:
        call()
    except Exception as error:
        return f"{type(error).__name__}: {error}" if not hasattr(error, "code") else str(error)
    return "nothing"


def train(x, y, model, loss=F.cross_entropy):
    return Learner(model, ([(x, y)], None), loss=loss, device="cpu", metrics=()).fit(1)


x, y = train_x[:64], train_y[:64]
photos, net = torch.rand(64, 8, 8, 3), nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 10))
regress = nn.Linear(64, 1)
mistakes = {
    "images as bytes": ((x.clamp(min=0) * 100).byte(), y, make(), F.cross_entropy),
    "labels as int32": (x, y.int(), make(), F.cross_entropy),
    "labels from 1": (x, y + 1, make(), F.cross_entropy),
    "height x width x channel": (photos, y, net, F.cross_entropy),
    "wrong number of inputs": (x[:, :60], y, make(), F.cross_entropy),
    "prediction (64, 1), target (64)": (x, y.float(), regress, nn.MSELoss()),
}
answers = {}
for what, (inputs, targets, model, loss) in mistakes.items():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of the last one, which is all it does
        theirs = told(lambda: loss(model(inputs), targets))
    answers[what] = told(partial(train, inputs, targets, model, loss))
    print(f"{what}\n  torch:    {theirs.splitlines()[0][:120]}\n  rungbook: {answers[what]}\n")
codes = [words.split()[0] for words in answers.values()]
assert codes == ["E104", "E103", "E102", "E109", "E101", "E108"]
mended = [
    (x, y.int().long(), make(), F.cross_entropy),
    (x, (y + 1) - 1, make(), F.cross_entropy),
    (photos.permute(0, 3, 1, 2), y, net, F.cross_entropy),
    (x, y.float().unsqueeze(1), regress, nn.MSELoss()),
]
assert all(told(partial(train, *parts)) == "nothing" for parts in mended)

# %% [markdown]
# In a table of a thousand rows the message even names the row, because all labels are looked through before the
# first step. And a loss that becomes infinite in the middle of training is not trained on:

# %%
labels = train_y.clone()
labels[57] = 12
source_data = array_data(train_x.numpy(), labels.numpy(), valid=0.0, test=0.0)
print(told(lambda: Learner(make(), source_data, device="cpu").fit(1)))
assert "row 57" in told(lambda: Learner(make(), source_data, device="cpu").fit(1))
exploding = Learner(
    make(), ([(x * 1e3, y)] * 50, None), loss=lambda output, y: (output**4).mean(), lr=1.0, device="cpu", metrics=()
)
words = told(lambda: exploding.fit(1))
print(words)
assert words.startswith("E501") and all(p.isfinite().all() for p in exploding.model.parameters())

# %% [markdown]
# **Shapes of convolutions** need not be tried out. A window of `kernel` steps over `size` places plus twice the
# padding (lesson 21 shows how):

# %%
from rungbook.scratch.tensor.windows import windows_out

show(source(windows_out))
cases = [(28, 5, 1, 2, 1), (28, 3, 2, 0, 1), (32, 4, 2, 1, 1), (8, 3, 1, 0, 2), (7, 7, 1, 0, 1)]
rows = []
for size, kernel, stride, padding, dilation in cases:
    ours = windows_out(size + 2 * padding, kernel, stride, dilation)
    theirs = nn.Conv1d(1, 1, kernel, stride, padding, dilation)(torch.zeros(1, 1, size)).shape[-1]
    assert ours == theirs
    rows.append(
        {"size": size, "kernel": kernel, "stride": stride, "padding": padding, "dilation": dilation, "out": ours}
    )
show(table(rows))

# %% [markdown]
# **The debugger afterwards.** When something fails in a function of a function, the values are still there: the
# traceback holds every frame. In a notebook, type `%debug` in the next cell; in a terminal,
# `python -m pdb program.py`. Below the commands are given beforehand. `up` goes to the caller, as
# often as it takes to reach our own code, and `p` prints:


# %%
class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(1, 4, 3), nn.Linear(4 * 8 * 8, 10)

    def forward(self, images):
        features = self.conv(images)
        return self.head(features.flatten(1))


try:
    Block()(train_x[:2].view(-1, 1, 8, 8))
except RuntimeError as error:
    frames = error.__traceback__
    calls = [type(frame.f_locals.get("self")).__name__ for frame, _ in traceback.walk_tb(frames)]
    ups = ["up"] * calls[::-1].index("Block")
    print("error:", error)
    commands = "\n".join([*ups, "p type(self).__name__, features.shape", "p self.head.in_features", "quit"]) + "\n"
    out = io.StringIO()
    debugger = pdb.Pdb(stdin=io.StringIO(commands), stdout=out, readrc=False)
    debugger.reset()
    debugger.interaction(None, frames)
lines = (
    line.removeprefix("(Pdb) ").removeprefix("ipdb> ") for line in out.getvalue().splitlines()
)  # a notebook has its own pdb
answered = [line for line in lines if line.startswith("('Block'") or line == "256"]
print("\n".join(answered))
assert "torch.Size([2, 4, 6, 6])" in answered[0] and answered[1] == "256"

# %% [markdown]
# The window of 3 took a border of one pixel on each side: 6 x 6 is left, and the head was made for 8 x 8.
#
# ## Look inside
#
# A network that does not learn has often lost its signal on the way. [Hooks](#hook) (lesson 6) show what each layer
# puts out: the mean, the standard deviation, and the share of dead units, those that are 0 for every sample and so
# get no gradient from any of them. Six hidden layers, started in four ways:


# %%
def deep(seed, how):
    torch.manual_seed(seed)
    widths = [64] + [100] * 6
    layers = [part for i, o in pairwise(widths) for part in (nn.Linear(i, o), nn.ReLU())]
    model = nn.Sequential(*layers, nn.Linear(100, 10))
    for part in model:
        if isinstance(part, nn.Linear) and how != "torch's own":
            nn.init.kaiming_normal_(part.weight) if how == "He" else nn.init.normal_(part.weight, std=how)
            nn.init.zeros_(part.bias)
    return model


def statistics(model, x):
    """Mean, standard deviation and share of dead units after each ReLU, and the length of the gradient in each layer's weight."""
    found = []

    def look(module, inputs, output):
        found.append((output.mean().item(), output.std().item(), (output == 0).all(0).double().mean().item()))

    handles = [part.register_forward_hook(look) for part in model if isinstance(part, nn.ReLU)]
    F.cross_entropy(model(x), train_y[: len(x)]).backward()
    for handle in handles:
        handle.remove()
    return found, [part.weight.grad.norm().item() for part in model if isinstance(part, nn.Linear)]


ways = {"He": "He", "torch's own": "torch's own", "too small": 0.01, "too large": 0.5}
inside = {name: statistics(deep(0, how), train_x[:256]) for name, how in ways.items()}
reached = {}
for name, how in ways.items():
    reached[name] = []
    for seed in range(5):
        network = deep(seed, how)
        fit(network, lr=0.05, seed=seed, epochs=4)
        reached[name].append(accuracy(network))
rows = []
for name, (layers, gradients) in inside.items():
    rows.append(
        {
            "start": name,
            "mean, last layer": layers[-1][0],
            "sd, first": layers[0][1],
            "sd, last": layers[-1][1],
            "dead, last": layers[-1][2],
            "gradient, first": gradients[0],
            "accuracy after 4 epochs": f"{mean(reached[name]):.3f} ± {stdev(reached[name]):.3f}",
        }
    )
show(table(rows))
assert min(reached["He"]) > max(max(found) for name, found in reached.items() if name != "He") + 0.3

# %% tags=["hide-input"]
colours = dict(zip(ways, (TRAIN, THIRD, FOURTH, VALID), strict=True))


def paint_inside(title, pick, logarithmic):
    def paint(ax):
        for name, (layers, _) in inside.items():
            ax.plot(
                range(1, 7),
                [max(pick(layer), 1e-9) if logarithmic else pick(layer) for layer in layers],
                "o-",
                color=colours[name],
                markersize=3,
                linewidth=1.2,
                label=name,
            )
        ax.set(title=title, xlabel="hidden layer")
        if logarithmic:
            ax.set_yscale("log")
            ax.set_yticks([1e-6, 1e-3, 1, 1e3], ["1e-6", "0.001", "1", "1000"])
        else:
            ax.set_ylim(0, 1)
            ax.text(3.4, 0.12, "the other three", fontsize=7)
            ax.legend(frameon=False, fontsize=7)

    return paint


said = "; ".join(
    f"{name}: standard deviation from {layers[0][1]:.2g} to {layers[-1][1]:.2g}, dead from {layers[0][2]:.0%} to {layers[-1][2]:.0%}"
    for name, (layers, _) in inside.items()
)
panels = [
    paint_inside("standard deviation (logarithmic)", lambda s: s[1], True),
    paint_inside("share of dead units", lambda s: s[2], False),
]
show(sheet(panels, f"Activations over six layers, first to last. {said}.", columns=2, size=(3.0, 2.3)))
sds = {name: [layer[1] for layer in layers] for name, (layers, _) in inside.items()}
assert 0.2 < sds["He"][-1] / sds["He"][0] < 2 and sds["too small"][-1] < 1e-4 < 100 < sds["too large"][-1]
assert sds["torch's own"][-1] < 0.2 * sds["torch's own"][0]

# %% [markdown]
# One look tells the four apart before a single step. With He's start the spread stays; [He et al., 2015](#he2015)
# say why. With weights too small or too large the signal shrinks or grows by about the same factor in each layer.
# torch's own start is in between: the spread falls, and in the last layer the pictures have become nearly the same
# picture. How much of what a layer puts out differs from picture to picture, and how much is the same for all?

# %%
shares = {}
for name, how in ways.items():
    with torch.no_grad():
        last = deep(0, how)[:-1](train_x)  # (n, 100), after the sixth ReLU
    shares[name] = ((last - last.mean(0)).square().mean() / last.square().mean()).item()
show(
    table(
        [
            {"start": name, "share that differs from picture to picture": f"{share:.1%}"}
            for name, share in shares.items()
        ]
    )
)
assert shares["torch's own"] < 0.1 < shares["He"]

# %% [markdown]
# Units also die in training. One step that is too large can carry a unit so far below 0 that its ReLU opens for no
# picture. Its gradient is then 0, so its own weights stay where they are:

# %%
deaths = []
for lr in (0.05, 0.5, 5.0):
    shares = []
    for seed in range(5):
        network = deep(seed, "He")
        fit(network, train_x[:64], train_y[:64], lr=lr, epochs=3)
        shares.append(mean(layer[2] for layer in statistics(network, train_x[:256])[0]))
    deaths.append(
        {
            "learning rate": lr,
            "dead units after 3 steps": f"{mean(shares):.0%} ± {stdev(shares):.0%}",
            "share": mean(shares),
        }
    )
show(table([{k: v for k, v in row.items() if k != "share"} for row in deaths]))
assert deaths[0]["share"] < 0.2 and deaths[2]["share"] > deaths[0]["share"] + 0.3

# %% [markdown]
# ## Two old rules
#
# Brian Kernighan observed that debugging is twice as hard as writing a program, so whoever writes as cleverly as he
# can is by his own measure not clever enough to debug it ([Kernighan and Plauger, 1978](#kernighan1978)). For
# networks it means: the plain loop, the small model, one change at a time.
#
# Bloom's levels order what one can do with a thing learnt: remember, understand, apply, analyse, evaluate, create
# ([Bloom et al., 1956](#bloom1956); in this form [Anderson and Krathwohl, 2001](#anderson2001)). Reading this
# lesson brings you to the second, and the exercises below to the next ones. It helps to write down what a cell will
# print before you run it: a surprise shows what you had not understood.
#
# So, how do you find a mistake that says nothing? You say beforehand what must hold (a loss at the start, a batch
# learnt by heart, samples that stay apart, signals of even size) and let one line check each.
#
# ## Exercises
#
# ### Exercise 1: does it start right?
#
# Write `starts_right(model, x, y)`: whether the loss of an untrained classifier is within 0.2 of what a network that
# knows nothing would have. A right answer works for any number of classes and leaves the model's mode and gradients
# as they were.


# %%
def check_starts_right(starts_right):
    torch.manual_seed(0)
    x, y = torch.randn(200, 64), torch.randint(3, (200,))
    three = nn.Sequential(nn.Linear(64, 3))
    loud = nn.Sequential(nn.Linear(64, 10))
    nn.init.normal_(loud[0].weight, std=1.0)
    nn.init.zeros_(three[0].weight)
    assert starts_right(make(), train_x, train_y), "ten classes: the loss is near ln 10"
    assert starts_right(three, x, y), "three classes: the loss is ln 3"
    assert not starts_right(loud, train_x, train_y), "weights of standard deviation 1: the network is sure of nonsense"
    with torch.no_grad():
        three[0].bias += torch.tensor([3.0, 0.0, 0.0])
    assert not starts_right(three, x, y), "three classes, and the network prefers the first: compare with ln 3"
    model = make(0, nn.Dropout(0.9))
    starts_right(model, train_x, train_y)
    assert model.training and model[0].weight.grad is None, "the model was changed: mode or gradients"


# %% tags=["solution"]
def starts_right(model, x, y, classes=None, mode=True):
    training = model.training
    model.eval()
    with torch.no_grad():
        output = model(x)
    model.train(training and mode)
    return abs(F.cross_entropy(output, y).item() - math.log(classes or output.shape[1])) < 0.2


check_starts_right(starts_right)
refuses(
    check_starts_right, partial(starts_right, classes=10), partial(starts_right, mode=False), lambda model, x, y: True
)
refuses(
    check_starts_right,
    lambda model, x, y: F.cross_entropy(model(x), y).item() < 3,
    lambda model, x, y: F.cross_entropy(model(x), y).backward() is None and starts_right(model, x, y),
)

# %% [markdown]
# ### Exercise 2: who sees whom?
#
# A model of sequences must not look ahead: the output at place t may depend on places up to t only. Write
# `looks_ahead(model, x)` for `x` of shape `(n, T, d)` and outputs `(n, T, k)`. A right answer needs no knowledge of the
# model: gradients tell.


# %%
class Running(nn.Module):
    """The mean of what came so far, or of everything, or of one place too many."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind

    def forward(self, x):
        so_far = x.cumsum(1) / torch.arange(1, x.shape[1] + 1)[:, None]
        shifted = torch.cat([x[:, 1:], x[:, -1:]], 1)
        return {"so far": so_far, "all": x.mean(1, keepdim=True).expand_as(x), "next": so_far + shifted}[self.kind]


def check_looks_ahead(looks_ahead):
    x = torch.randn(2, 6, 3, generator=torch.Generator().manual_seed(0))
    assert not looks_ahead(Running("so far"), x), "the mean so far is allowed"
    assert looks_ahead(Running("all"), x), "the mean over everything sees the future"
    assert looks_ahead(Running("next"), x), "each place sees the next: look at every t, not at the first or last only"


# %% tags=["solution"]
def looks_ahead(model, x, places=None, reach=1):
    for t in places or range(x.shape[1]):
        x = x.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(model(x)[:, t].sum(), x)
        if gradient[:, t + reach :].any():
            return True
    return False


check_looks_ahead(looks_ahead)
refuses(
    check_looks_ahead, partial(looks_ahead, places=[5]), partial(looks_ahead, reach=0), partial(looks_ahead, reach=2)
)

# %% [markdown]
# ### Exercise 3: the size after a convolution
#
# Write `padding_for(size, kernel, stride, out)`: the smallest padding at which a window of `kernel` with this stride
# gives `out` places from `size`, or `None` if none does. A right answer agrees with torch.


# %%
def check_padding_for(padding_for):
    for size, kernel, stride, padding in [
        (28, 5, 1, 2),
        (32, 4, 2, 1),
        (28, 3, 2, 0),
        (7, 3, 2, 1),
        (5, 5, 1, 4),
        (10, 3, 4, 1),
    ]:
        out = nn.Conv1d(1, 1, kernel, stride, padding)(torch.zeros(1, 1, size)).shape[-1]
        got = padding_for(size, kernel, stride, out)
        assert got is not None and got >= 0, f"{size} -> {out} is reached with padding {padding}, not {got}"
        assert nn.Conv1d(1, 1, kernel, stride, got)(torch.zeros(1, 1, size)).shape[-1] == out, (
            f"padding {got} does not give {out}"
        )
        assert got <= padding, f"padding {padding} is enough for {size} -> {out}, not {got}"
    assert padding_for(8, 4, 1, 8) is None, "an even window at stride 1 never keeps the size"
    assert padding_for(28, 3, 1, 10) is None, "padding never makes the result smaller"


# %% tags=["solution"]
def padding_for(size, kernel, stride, out):
    for padding in range(size * stride + kernel):
        if windows_out(size + 2 * padding, kernel, stride) == out:
            return padding
    return None


check_padding_for(padding_for)
refuses(
    check_padding_for,
    lambda s, k, st, o: k // 2,
    lambda s, k, st, o: ((o - 1) * st + k - s) // 2,
    lambda s, k, st, o: None,
    lambda s, k, st, o: max(0, -(-((o - 1) * st + k - s) // 2)),
    lambda s, k, st, o: next((p for p in range(99, -1, -1) if windows_out(s + 2 * p, k, st) == o), None),
)

# %% [markdown]
# ## Sources
#
# - The taxonomy of faults: [Humbatova et al., 2020](#humbatova2020).
# - The recipe and the list of mistakes: [Karpathy, 2019](#karpathy2019) and [Karpathy, 2018](#karpathy2018).
# - The decision tree: [Tobin, 2019](#tobin2019), of the course Full Stack Deep Learning.
# - Activation statistics by hooks: [Howard and Gugger, 2019](#fastai2019), lesson 10, notebook 06; the start that
#   keeps the spread: [He et al., 2015](#he2015).
# - To watch runs in a browser there is TensorBoard ([Abadi et al., 2016](#abadi2016)); rungbook writes each epoch's
#   row to `metrics.jsonl` and draws it in the run's report.
