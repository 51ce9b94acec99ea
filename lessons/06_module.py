# %% [markdown]
# # Module, Parameter, hooks
#
# `self.fc = Linear(784, 50)` looks like any assignment. Yet afterwards an optimiser finds the weights, a checkpoint
# holds them under the name `fc.weight`, and one call moves them to another device. Who was listening to that line?

# %% tags=["about"]
covers = ["M13", "M14", "F06", "F12", "S3-2"]
rung = 3
minutes = 60

# %%
import io

import torch
import torch.nn.functional as F

from rungbook.book import refuses, show, source, table
from rungbook.scratch import module as nn

# %% [markdown]
# ## Python asks the object
#
# In Python most syntax is a question to an object. `x[3]` calls a method, so do `len(x)`, `x(3)` and `x.name = 3`.
# These methods have two underscores on both sides of their names. A class that answers them behaves as the built-in
# types do. The class below answers with a record of what it was asked:


# %%
class Asked:
    """Writes down every question."""

    def __init__(self):
        object.__setattr__(self, "log", [])  # past our own __setattr__

    def __setattr__(self, name, value):
        self.log.append(("x.name = value", f"__setattr__({name!r}, {value})"))
        object.__setattr__(self, name, value)

    def __getattr__(self, name):
        self.log.append(("x.name", f"__getattr__({name!r})"))
        raise AttributeError(name)

    def __call__(self, *inputs):
        self.log.append(("x(...)", f"__call__{inputs}"))

    def __len__(self):
        self.log.append(("len(x)", "__len__()"))
        return 2

    def __getitem__(self, i):
        self.log.append(("x[i]", f"__getitem__({i})"))
        if i >= 2:
            raise IndexError(i)
        return 10 * i


asked = Asked()
asked.depth = 3  # __setattr__: at every assignment
found = asked.depth, hasattr(asked, "width")  # __getattr__: only where the usual search found nothing
asked(1, 2)
length, listed = len(asked), list(asked)
show(table([{"Python reads": syntax, "and calls": call} for syntax, call in asked.log]))
assert found == (3, False) and length == 2 and listed == [0, 10]
assert ("x.name", "__getattr__('depth')") not in asked.log

# %% [markdown]
# Two things to notice. `__setattr__` is called at every assignment, `__getattr__` only as a last resort. And
# `list(asked)`, once it had asked for the length as a hint, walked the object although it has no `__iter__`: Python
# tried `asked[0]`, `asked[1]`, and so on until an `IndexError`. The [exception](#exception) is no accident there,
# it is how the end is said. Exceptions are a second way out of a function, and lesson 18 stops a training with one.
#
# ## A module in twelve lines
#
# So somebody can listen to `self.fc = ...`: the class's own `__setattr__`. This is all that a [module](#module) needs
# to know its parts:


# %%
class Tiny:
    def __init__(self):
        object.__setattr__(self, "parts", {})

    def __setattr__(self, name, value):
        self.parts[name] = value  # this is the registration
        object.__setattr__(self, name, value)

    def parameters(self):
        for value in self.parts.values():
            if isinstance(value, Tiny):
                yield from value.parameters()
            elif isinstance(value, torch.Tensor):
                yield value


class TinyLinear(Tiny):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.weight, self.bias = torch.randn(outputs, inputs) / inputs**0.5, torch.zeros(outputs)


tiny = Tiny()
tiny.fc1, tiny.fc2 = TinyLinear(784, 50), TinyLinear(50, 10)
print([tuple(p.shape) for p in tiny.parameters()])
assert sum(p.numel() for p in tiny.parameters()) == 784 * 50 + 50 + 50 * 10 + 10

# %% [markdown]
# What is missing is a decision: which tensors are learnt, and which are only kept? `rungbook.scratch.module` is our
# whole module, built to give torch's results under torch's names. It keeps three dicts. A tensor is learnt if it is
# marked as a [parameter](#parameter); a [buffer](#buffer) is a tensor that belongs to the module but is not learnt;
# and parts are modules themselves.

# %%
show(source(nn.Module.__setattr__), source(nn.Module.__getattr__), source(nn.Linear))

# %% [markdown]
# The `Linear` above assigns one `Parameter` and registers the other by name, because a bias may be absent. After
# `super().__init__()` has made the dicts, everything goes by assigning. The same class body runs on torch's `nn`
# and on ours, so it is written as a function of the namespace, and both get the same weights from the same seed:


# %%
def make(nn):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1 = nn.Linear(784, 50)
            self.act = nn.ReLU()
            self.fc2 = nn.Linear(50, 10)
            self.register_buffer("mean", torch.zeros(784))

        def forward(self, x):
            return self.fc2(self.act(self.fc1(x - self.mean)))

    torch.manual_seed(0)
    return Net()


ours, theirs = make(nn), make(torch.nn)
print(ours)
assert repr(ours) == repr(theirs)
assert list(ours._parameters) == [] and list(ours._buffers) == ["mean"] and list(ours._modules) == ["fc1", "act", "fc2"]
for (name, p), (their_name, q) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
    assert name == their_name and torch.equal(p, q)
    print(f"{name:<12}{tuple(p.shape)}")
x = torch.randn(5, 784, dtype=torch.float64)
torch.testing.assert_close(ours.double()(x), theirs.double()(x), rtol=1e-12, atol=1e-12)

# %% [markdown]
# Dotted names are paths through the dicts. `model.fc1.weight`, `model.get_parameter("fc1.weight")` and the entry of
# `named_parameters()` are one object.
#
# ## What people get wrong: what nobody saw
#
# A plain list is not a module, so nothing inside it is found. Nothing fails: the network computes, the optimiser
# gets the parameters that are left, and the hidden layers stay as they were drawn.


# %%
class Hidden(nn.Module):
    def __init__(self, keep):
        super().__init__()
        self.hidden = keep([nn.Linear(20, 20) for _ in range(3)])
        self.out = nn.Linear(20, 1)


print("a list:    ", [name for name, _ in Hidden(list).named_parameters()])
print("ModuleList:", [name for name, _ in Hidden(nn.ModuleList).named_parameters()])
assert len(list(Hidden(list).parameters())) == 2 and len(list(Hidden(nn.ModuleList).parameters())) == 8
show(source(nn.Sequential))

# %% [markdown]
# The same holds for tensors. A course's batch normalisation, as it is often copied, keeps its running mean as a
# plain attribute, and asks `torch.is_grad_enabled()` whether it is training. Both look harmless. The first is lost
# in every checkpoint; the second makes `model.eval()` do nothing as long as gradients are on. A single sample is
# then its own mean, and comes out as zeros:


# %%
class CopiedNorm(nn.Module):
    """As in the course."""

    def __init__(self):
        super().__init__()
        self.running_mean = torch.zeros(3)

    def learning(self):
        return torch.is_grad_enabled()

    def forward(self, x):
        if not self.learning():
            return x - self.running_mean
        self.running_mean = 0.9 * self.running_mean + 0.1 * x.detach().mean(0)
        return x - x.mean(0)


class OwnNorm(CopiedNorm):
    """A buffer for the mean, and the module's own mode."""

    def __init__(self):
        nn.Module.__init__(self)
        self.register_buffer("running_mean", torch.zeros(3))

    def learning(self):
        return self.training


answers = []
for kind in (CopiedNorm, OwnNorm):
    norm = kind()
    for batch in torch.randn(50, 8, 3, generator=torch.Generator().manual_seed(0)) + 5:
        norm(batch)
    norm.eval()
    one = torch.tensor([[9.0, 5.0, 1.0]])
    said = [round(v, 1) for v in norm(one)[0].tolist()]
    answers.append({"norm": kind.__name__, "in state_dict": list(norm.state_dict()), "one sample": said})
show(table(answers))
assert answers[0]["in state_dict"] == [] and answers[1]["in state_dict"] == ["running_mean"]
assert answers[0]["one sample"] == [0.0, 0.0, 0.0] and answers[1]["one sample"][0] > 3

# %% [markdown]
# `train()` and `eval()` do one thing: they set the flag `training` on every part. What it means is each layer's own
# business.
#
# ## state_dict: save and load
#
# A [state dict](#state-dict) maps dotted names to tensors, parameters and buffers alike. It shares memory with the
# model: save it or copy it, or it will change under your hands. Loading checks names and shapes. Ours checks all of
# them before it writes any:

# %%
file = io.BytesIO()
torch.save(ours.state_dict(), file)
file.seek(0)
again = make(torch.nn).double()
again.load_state_dict(torch.load(file, weights_only=True))  # ours into torch's; weights_only runs no code from the file
torch.testing.assert_close(again(x), ours(x), rtol=1e-12, atol=1e-12)
assert ours.state_dict()["fc1.weight"].data_ptr() == ours.fc1.weight.data_ptr()

state = {name: t for name, t in ours.state_dict().items() if name != "fc2.bias"}
state["fc1.weight"], state["fc3.bias"] = torch.zeros(50, 64), torch.zeros(10)
before = ours.fc2.weight.clone()
try:
    ours.load_state_dict(state)
except RuntimeError as error:
    print(error)
assert torch.equal(ours.fc2.weight, before)

# %% [markdown]
# Two names may be one parameter. Tied weights are found once by `parameters()`, stand twice in the state dict, and
# get the sum of both gradients. And an assignment after the optimiser was made gives the model a parameter that the
# optimiser does not know:

# %%
torch.manual_seed(0)
tied = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False))
apart = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False))
tied[1].weight = tied[0].weight
apart[0].weight.data.copy_(tied[0].weight)
apart[1].weight.data.copy_(tied[0].weight)
for network in (tied, apart):
    network(torch.eye(4)).sum().backward()
print("parameters:", len(list(tied.parameters())), " names:", list(tied.state_dict()))
torch.testing.assert_close(tied[0].weight.grad, apart[0].weight.grad + apart[1].weight.grad)

optimizer = torch.optim.SGD(apart.parameters(), lr=0.1)
apart[1] = nn.Linear(4, 2)  # a new head, too late
known = {id(p) for group in optimizer.param_groups for p in group["params"]}
print("unknown to the optimiser:", [name for name, p in apart.named_parameters() if id(p) not in known])
assert [name for name, p in apart.named_parameters() if id(p) not in known] == ["1.weight", "1.bias"]

# %% [markdown]
# Initialising is writing into parameters without recording it. `apply` calls a function on every part, the
# innermost first, so a rule for one kind of layer is a function with an `if`:


# %%
def start(module):
    if isinstance(module, nn.Linear):
        torch.nn.init.kaiming_normal_(module.weight)
        torch.nn.init.zeros_(module.bias)


started = make(nn).apply(start)
print(f"fc1.weight: standard deviation {started.fc1.weight.std():.4f}, wanted {(2 / 784) ** 0.5:.4f}")
assert abs(started.fc1.weight.std().item() / (2 / 784) ** 0.5 - 1) < 0.05 and not started.fc1.bias.any()

# %% [markdown]
# ## forward, call, and hooks
#
# You write `forward`, but you call the module. Between the two, `__call__` lets others look in: a [hook](#hook) is
# a function that is kept in a dict and called with what passes by. This is why `model.forward(x)` is a mistake: no
# hook runs.

# %%
from rungbook.scratch.module.hooks import Handle

show(source(nn.Module.__call__), source(nn.Module._after), source(Handle))

# %% [markdown]
# A hook is a [callback](#callback): a function you hand over for somebody else to call. To know which layer it sits
# on, it can carry the name along. A [closure](#closure) does that: an inner function that keeps the variables of
# the function around it. Beware of the loop. A closure keeps the variable, not its value at the time, so hooks made
# in a loop all see the last name (ruff, which checks code, warns of it as B023). `functools.partial` fixes
# arguments of a function at once and does not have that problem:

# %%
from functools import partial


def note(log, name, module, inputs, output):
    log.append(f"{name} {tuple(output.shape)}")


late, early = [], []
handles = []
for name, part in ours.named_children():
    handles.append(
        part.register_forward_hook(lambda module, inputs, output: late.append(f"{name} {tuple(output.shape)}"))
    )
    handles.append(part.register_forward_hook(partial(note, early, name)))
ours(x)
print("lambda: ", late)
print("partial:", early)
assert [line.split()[0] for line in late] == ["fc2"] * 3 and [line.split()[0] for line in early] == [
    "fc1",
    "act",
    "fc2",
]
for handle in handles:
    handle.remove()
ours(x)
assert len(early) == 3

# %% [markdown]
# A hook that is not removed stays for good, and it keeps alive whatever it refers to. A `with` block cannot forget:
# it calls `__enter__` at the start and `__exit__` at the end, also when an exception leaves it. Such an object is a
# [context manager](#context-manager), and `Handle` is one. Both together, an exception as a way out and a `with`
# that tidies up, stop a network half-way:


# %%
class Reached(Exception):
    """Carries what was found out of the network."""


def stop_here(module, inputs, output):
    raise Reached(output)


def halfway(model, part, x):
    with part.register_forward_hook(stop_here):
        try:
            model(x)
        except Reached as found:
            return found.args[0]


torch.testing.assert_close(halfway(ours, ours.act, x), ours.act(ours.fc1(x)))
torch.testing.assert_close(
    halfway(theirs, theirs.act, x), halfway(ours, ours.act, x), rtol=1e-12, atol=1e-12
)  # torch's hooks, too
assert not ours.act._forward_hooks and not theirs.act._forward_hooks

# %% [markdown]
# ## 784-50-10 from nothing
#
# Now a training in which every part is ours. The loss first. A network gives ten scores a picture;
# [softmax](#softmax) makes shares of them, and the loss is the negative logarithm of the share of the right class,
# the [negative log-likelihood](#negative-log-likelihood):
#
# $$-\log\frac{e^{x_y}}{\sum_j e^{x_j}} = \log\sum_j e^{x_j} - x_y, \qquad \log\sum_j e^{x_j} = m + \log\sum_j e^{x_j - m}.$$
#
# The right-hand formula holds for every $m$. With $m$ the largest score the largest exponent is 0, and nothing
# overflows. Without it, float32 gives up on large scores (lesson 3 shows where):

# %%
from rungbook.scratch.tensor.stable import log_softmax, logsumexp

show(source(logsumexp), source(log_softmax))


def nll(log_p, target):
    return -log_p[torch.arange(len(target)), target].mean()  # row 0 at its class, row 1 at its class, ...


large = torch.tensor([100.0, 101.0, 102.0])
assert large.exp().sum().log().isinf()
torch.testing.assert_close(logsumexp(large, -1), 100 + logsumexp(large - 100, -1))
torch.manual_seed(0)
scores, target = torch.randn(64, 10, dtype=torch.float64) * 50, torch.randint(10, (64,))
torch.testing.assert_close(
    nll(log_softmax(scores, -1), target), F.cross_entropy(scores, target), rtol=1e-12, atol=1e-12
)

# %% [markdown]
# Data next. Four questions are answered by four small things. What is sample number i? A [dataset](#dataset): an
# object with `__getitem__` and `__len__`. In which order? A sampler: something that yields numbers. How do samples
# become a batch? A collate function. And a loader goes round. The naive versions are four lines each, and they give
# what our library's and torch's give:


# %%
class Pairs:
    def __init__(self, x, y):
        self.x, self.y = x, y

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        return self.x[i], self.y[i]


def shuffled(n, size, generator):
    yield from torch.randperm(n, generator=generator).split(size)


def stack(samples):
    return tuple(torch.stack(column) for column in zip(*samples, strict=True))


def load(dataset, size, generator):
    for numbers in shuffled(len(dataset), size, generator):
        yield stack([dataset[i] for i in numbers.tolist()])


from rungbook.scratch.data import BatchSampler, DataLoader, RandomSampler, TensorDataset, default_collate

show(source(TensorDataset), source(BatchSampler.__iter__))
xs, ys = torch.arange(20.0).view(10, 2), torch.arange(10)
seeded = lambda: torch.Generator().manual_seed(3)
by_hand = list(load(Pairs(xs, ys), 4, seeded()))
sampler = RandomSampler(range(10), generator=seeded())
through = [
    default_collate([TensorDataset(xs, ys)[i] for i in numbers])
    for numbers in BatchSampler(sampler, 4, drop_last=False)
]
for (a, b), (c, d) in zip(by_hand, through, strict=True):
    assert torch.equal(a, c) and torch.equal(b, d)
for loader in (DataLoader, torch.utils.data.DataLoader):
    orders = [
        b.tolist()
        for _, b in loader(TensorDataset(xs, ys), batch_size=4, sampler=RandomSampler(xs, generator=seeded()))
    ]
    assert orders == [b.tolist() for _, b in by_hand]
print("batches:", [b.tolist() for _, b in by_hand])

# %% [markdown]
# The optimiser is a class with a list of parameters and two methods. Its step must not be recorded, and the
# gradients must be forgotten, since `backward` adds to what is there:


# %%
class SGD:
    def __init__(self, params, lr):
        self.params, self.lr = list(params), lr

    @torch.no_grad()
    def step(self):
        for p in self.params:
            p -= self.lr * p.grad

    def zero_grad(self):
        for p in self.params:
            p.grad = None


def fit(model, optimizer, loss, batches, epochs):
    model.train()
    for _ in range(epochs):
        for x, y in batches:
            loss(model(x), y).backward()
            optimizer.step()
            optimizer.zero_grad()
    return model


# %% [markdown]
# The pictures are scikit-learn's 1,797 digits, scaled up to 28 x 28 pixels so that the network has MNIST's shape.
# First in float64, ours against torch's, from the same weights through the same batches:

# %%
from rungbook import load_data

data = load_data("digits", image_size=28)
train_x, train_y = data.one_batch(10_000)
valid_x, valid_y = (torch.cat(parts) for parts in zip(*data.valid.batches(), strict=True))
train_x, valid_x = train_x.flatten(1), valid_x.flatten(1)  # (n, 784)
print(f"{len(train_x)} for training, {len(valid_x)} for judging, {train_x.shape[1]} numbers each")


def our_loss(output, y):
    return nll(log_softmax(output, -1), y)


doubles = Pairs(train_x.double(), train_y)
ours, theirs = make(nn).double(), make(torch.nn).double()
fit(ours, SGD(ours.parameters(), lr=0.1), our_loss, load(doubles, 64, seeded()), epochs=1)
fit(theirs, torch.optim.SGD(theirs.parameters(), lr=0.1), F.cross_entropy, load(doubles, 64, seeded()), epochs=1)
apart = max((p - q).abs().max().item() for p, q in zip(ours.parameters(), theirs.parameters(), strict=True))
print(f"largest difference of any weight after {-(-len(train_x) // 64)} steps: {apart:.1e}")
assert apart < 1e-12

# %% [markdown]
# Then in float32, five times from other weights and in other orders. One number would say little: the notebook that
# this section follows stores five valid accuracies at learning rate 0.5, and they lie between .868 and .966
# ([Howard and Gugger, 2019](#fastai2019), notebook 03).

# %%
from statistics import mean, stdev

from rungbook.plot.images import image_grid


def accuracy(model):
    with torch.no_grad():
        return (model.eval()(valid_x).argmax(-1) == valid_y).double().mean().item()


found = []
for seed in range(5):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(784, 50), nn.ReLU(), nn.Linear(50, 10))
    order = torch.Generator().manual_seed(seed)
    loader = DataLoader(TensorDataset(train_x, train_y), batch_size=64, shuffle=True, generator=order)
    before = accuracy(model)
    fit(model, SGD(model.parameters(), lr=0.1), our_loss, loader, epochs=5)
    found.append(accuracy(model))
print(
    f"valid accuracy after 5 epochs: {mean(found):.3f} ± {stdev(found):.3f} over {len(found)} seeds; before: {before:.3f}"
)
assert mean(found) > 0.9 and before < 0.3
said = model(valid_x).argmax(-1)
wrong = (said != valid_y).nonzero()[:8, 0]
titles = [f"{a} (is {b})" for a, b in zip(said[wrong].tolist(), valid_y[wrong].tolist(), strict=True)]
show(image_grid(valid_x[wrong].view(-1, 1, 28, 28), titles))

# %% [markdown]
# ## A test frame in eight lines
#
# How do you know that two results are the same? The course writes its own frame before anything else, so that the
# first matrix product is already tested. A test is a comparison that raises with both sides in the message. The
# cell begins with `# export`, and the reason follows below.


# %%
# export
def test(a, b, compare, sign):
    assert compare(a, b), f"{a}\n{sign}\n{b}"


def near(a, b):
    return torch.allclose(torch.as_tensor(a), torch.as_tensor(b), rtol=1e-3, atol=1e-5)


def test_eq(a, b):
    test(a, b, lambda a, b: a == b, "==")


def test_near(a, b):
    test(a, b, near, "near")


def test_near_zero(a, tolerance):
    assert abs(a) < tolerance, f"near zero: {a}"


# %% [markdown]
# The weak place is `near`. `allclose` [broadcasts](#broadcasting), so a column passes for a row of the same
# numbers; its fixed tolerance lets through an error in the fourth digit; and when it fails you see two walls of
# numbers. `torch.testing.assert_close` compares shape and type, knows how exact each type is, and says where the
# largest difference is:

# %%
test_eq(len(train_x), len(train_y))
test_near_zero(train_x.mean().item(), tolerance=0.05)
pairs = {
    "a column and a row": (torch.ones(3, 1), torch.ones(3)),
    "wrong in the fourth digit": (torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, 2.0, 3.002])),
    "float64 and float32, by assert_close": (torch.ones(3), torch.ones(3, dtype=torch.float64)),
}
refused = {}
for what, (a, b) in pairs.items():
    if a.dtype == b.dtype:
        test_near(a, b)  # passes
    try:
        torch.testing.assert_close(a, b)
    except AssertionError as error:
        refused[what] = str(error)
        print(f"{what}:", " ".join(str(error).split("\n\n")[-1].split())[:120])
assert list(refused) == list(pairs)

# %% [markdown]
# ## A notebook is a module, too
#
# The test frame should be of use in the next lesson. The course marks cells with `#export` and runs a script over
# the notebook, which is a JSON file; [nbdev](#nbdev) grew out of that script. jupytext goes the other way: the
# lesson *is* a Python file, and `# %%` starts a cell, so the notebook is made from the module. This lesson is such a
# file, and here it reads itself:

# %%
import json
import types

from rungbook.book.lesson import find

text = find("06").path.read_text(encoding="utf-8")
cells = [cell.partition("\n") for cell in text.split("\n# %%")]
notebook = json.dumps(
    {
        "cells": [
            {"cell_type": "markdown" if "[markdown]" in head else "code", "source": body} for head, _, body in cells
        ]
    }
)


def exported(notebook):
    """The code of all cells that begin with `# export`, as a module's text."""
    marked = (
        c["source"]
        for c in json.loads(notebook)["cells"]
        if c["cell_type"] == "code" and c["source"].startswith("# export")
    )
    return "import torch\n\n" + "\n\n".join(marked)


frame = types.ModuleType("frame")
exec(exported(notebook), frame.__dict__)
print(len(cells), "cells;", "exported:", [name for name in vars(frame) if name.startswith(("test", "near"))])
frame.test_near(torch.ones(3), torch.ones(3) + 1e-7)
refuses(lambda pair: frame.test_near(*pair), (torch.ones(3), torch.zeros(3)))
compile(text, "06_module.py", "exec")  # the whole lesson is a Python file

# %% [markdown]
# Who was listening, then, to `self.fc = Linear(784, 50)`? The module's own `__setattr__`, which wrote the part into a
# dict. Whatever finds, saves or moves parameters later reads that dict.
#
# ## Exercises
#
# ### Exercise 1: how many numbers are learnt?
#
# Write `count(model)`: how many numbers training would change. A right answer counts a shared parameter once, a
# frozen one not at all, and no buffer.


# %%
def check_count(count):
    def model(nn):
        made = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 2))
        made[1].weight = made[0].weight
        made.register_buffer("mean", torch.zeros(5))
        made[2].bias.requires_grad_(False)
        return made

    for kind in (torch.nn, nn):
        got = count(model(kind))
        assert got == 9 + 3 + 3 + 6, (
            f"{got}: 21 numbers are learnt; is the shared weight counted once, are buffers and the frozen bias out?"
        )


# %% tags=["solution"]
check_count(lambda model: sum(p.numel() for p in model.parameters() if p.requires_grad))
refuses(
    check_count,
    lambda model: sum(t.numel() for t in model.state_dict().values()),
    lambda model: sum(p.numel() for p in model.parameters()),
    lambda model: sum(p.numel() for m in model.modules() for p in m._parameters.values() if p.requires_grad),
)

# %% [markdown]
# ### Exercise 2: your own Sequential
#
# Write a class `MySequential(nn.Module)` that takes modules and calls them one after the other. A right answer
# computes what `nn.Sequential` computes, and its state dict fits it.


# %%
def check_sequential(kind):
    torch.manual_seed(0)
    parts = nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2)
    mine, known = kind(*parts), nn.Sequential(*parts)
    x = torch.randn(5, 4)
    assert list(mine.state_dict()) == list(known.state_dict()), (
        f"names {list(mine.state_dict())}; is every part registered under its number?"
    )
    assert torch.equal(mine(x), known(x)), "other numbers: does each part get what the one before it returned?"


# %% tags=["solution"]
class MySequential(nn.Module):
    def __init__(self, *parts):
        super().__init__()
        for i, part in enumerate(parts):
            self.add_module(str(i), part)

    def forward(self, x):
        for part in self.children():
            x = part(x)
        return x


class InAList(MySequential):
    def __init__(self, *parts):
        nn.Module.__init__(self)
        self.parts = list(parts)

    def children(self):
        return self.parts


class Backwards(MySequential):
    def forward(self, x):
        for part in reversed(list(self.children())):
            x = part(x.new_ones(len(x), part.in_features)) if isinstance(part, nn.Linear) else part(x)
        return x


check_sequential(MySequential)
refuses(check_sequential, InAList, Backwards)

# %% [markdown]
# ### Exercise 3: shapes along the way
#
# Write `shapes(model, x)`: a dict from the name of each part without parts of its own to the shape of its output for
# `x`. A right answer leaves no hook behind.


# %%
def check_shapes(shapes):
    model = nn.Sequential(nn.Sequential(nn.Linear(4, 6), nn.ReLU()), nn.Linear(6, 2))
    got = {name: tuple(shape) for name, shape in shapes(model, torch.randn(5, 4)).items()}
    assert got == {"0.0": (5, 6), "0.1": (5, 6), "1": (5, 2)}, (
        f"got {got}; does each hook carry its own name, and are containers left out?"
    )
    assert not any(part._forward_hooks for part in model.modules()), "a hook is still there: use `with`, or remove it"

    class Turned(nn.Module):
        def __init__(self):
            super().__init__()
            self.last, self.first = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x):
            return self.last(torch.cat([self.first(x), x]))

    got = {name: tuple(shape) for name, shape in shapes(Turned(), torch.randn(5, 4)).items()}
    assert got == {"first": (5, 4), "last": (10, 4)}, f"got {got}: only the model knows what its parts get; call it"


# %% tags=["solution"]
from contextlib import ExitStack


def shapes(model, x):
    found = {}

    def look(name, module, inputs, output):
        found[name] = output.shape

    with ExitStack() as stack:
        for name, part in model.named_modules():
            if not list(part.children()):
                stack.enter_context(part.register_forward_hook(partial(look, name)))
        model(x)
    return found


def late_names(model, x):
    found = {}
    with ExitStack() as stack:
        for name, part in model.named_modules():
            if not list(part.children()):
                stack.enter_context(part.register_forward_hook(lambda m, i, o: found.update({name: o.shape})))
        model(x)
    return found


def for_good(model, x):
    found = {}
    for name, part in model.named_modules():
        if not list(part.children()):
            part.register_forward_hook(lambda m, i, o, name=name: found.update({name: o.shape}))
    model(x)
    return found


def one_by_one(model, x):
    parts = {name: part for name, part in model.named_modules() if not list(part.children())}
    return {name: (x := part(x)).shape for name, part in parts.items()}


check_shapes(shapes)
refuses(check_shapes, late_names, for_good, one_by_one)

# %% [markdown]
# ## Sources
#
# - The course this lesson follows, fast.ai 2019, lessons 8 and 9, notebooks 01, 02 and 03 and its script
#   `notebook2script.py`: [Howard and Gugger, 2019](#fastai2019). The batch normalisation of plain attributes stands
#   in the course material after [Zhang et al., 2023](#zhang2023).
# - Special methods, attribute look-up, iteration: [The Python Language Reference, section 3.3](#python-data-model).
# - torch's modules, parameters and hooks: [Paszke et al., 2019](#paszke2019).
# - Errors of the shifted sum of exponentials: [Blanchard, Higham and Higham, 2021](#blanchard2021).
# - Notebooks as modules and back: [nbdev](#nbdev) and [jupytext](#jupytext).
