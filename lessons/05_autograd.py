# %% [markdown]
# # Autograd: value, var, tape
#
# You write `z = (3 * (x + 2) ** 2).mean()`, and somebody answers that each of four numbers has the gradient 4.5.
# Nobody wrote a way back for this formula. Who did, and when?

# %% tags=["about"]
covers = ["F02", "F08", "F09", "F16", "F17", "W04"]
rung = 2
minutes = 60

# %%
import math
import re
from itertools import pairwise

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits

from rungbook.book import refuses, show, source, table
from rungbook.plot.style import THIRD, TRAIN, VALID, draw, sheet

x = torch.ones(2, 2, requires_grad=True)
z = (3 * (x + 2) ** 2).mean()
z.backward()
print("torch says", x.grad.tolist(), "with the sum", x.grad.sum().item())
assert torch.equal(x.grad, torch.full((2, 2), 4.5)) and x.grad.sum() == 18

# %% [markdown]
# By hand: $z = \frac14\sum_i 3(x_i+2)^2$, so $\partial z/\partial x_i = \frac64 (x_i + 2)$, which is 4.5 at $x_i = 1$.
# This lesson builds what answers 4.5 without being told, four times over: on numbers, on tensors, on functions, and
# below torch itself.
#
# ## Value: a number that remembers
#
# Lesson 4 wrote a way back for every layer and called them in reverse order by hand. Both can be left to the
# numbers. An operation on `Value`s returns a `Value` that keeps what it was computed from and its slope in each:
# `a * b` has the slope `b` in `a`, and `a` in `b`. Python calls `__mul__` for `*`; such overloaded operators are how
# it is done in C++ as well ([Griewank et al., 1996](#griewank1996); below).

# %%
from rungbook.scratch.autograd import Value
from rungbook.scratch.autograd.walk import backwards

show(source(Value.__mul__), source(Value.backward))

# %%
x = Value(1.0, "x")
z = 3 * (x + 2) ** 2 / 4  # what one of the four adds to the mean
z.backward()
print(z.listing())
assert x.grad == 4.5
four = [Value(1.0) for _ in range(4)]
z = sum((3 * (x + 2) ** 2 for x in four), Value(0.0)) / 4
z.backward()
assert [x.grad for x in four] == [4.5] * 4

# %% [markdown]
# The listing is a program, and its column of [gradients](#gradient) was filled from the last line up. Every number
# in the program has one, the 3 and the 4 too: one walk answers for all of them how $z$ moves with this number.
#
# The order of that walk is the only difficulty. The derivative is a sum over all paths, and following each path by
# itself takes as many steps as there are paths. Double a number 15 times, `x = x + x`, and there are $2^{15}$ of them
# between 16 numbers:


# %%
def path_by_path(node, g=1.0):
    """Right, and hopeless: follow every path to its end. Gives the number of calls."""
    node.grad += g
    return 1 + sum(path_by_path(source, g * slope) for source, slope in node.inputs)


def doubled(times):
    end = start = Value(1.0)
    for _ in range(times):
        end = end + end
    return start, end


start, end = doubled(15)
calls = path_by_path(end)
print(f"path by path: gradient {start.grad:,.0f} after {calls:,} calls")
assert start.grad == 2**15 and calls == 2**16 - 1
start, end = doubled(15)
end.backward()
nodes = sum(1 for _ in backwards(end, lambda node: [s for s, _ in node.inputs]))
print(f"waiting:      gradient {start.grad:,.0f} after {nodes} numbers")
assert start.grad == 2**15 and nodes == 16

# %% [markdown]
# The way out: pass a gradient on only when it is complete, that is, after all users of a number have added their
# share. Count the users first, then release a number when its count reaches 0 ([Kahn, 1962](#kahn1962)):

# %%
show(source(backwards))

# %% [markdown]
# ## Var: the same on tensors
#
# A `Value` for every pixel would be slow. `Var` holds a tensor. A slope per operand is no longer one number, so
# each operand gets a closure instead, which turns the gradient of the result into that of the operand: the
# [vector-Jacobian product](#vector-jacobian-product) of lesson 4. One thing is new: what was broadcast forward must
# be summed backward, down to the operand's shape. `_fit` does that.

# %%
from rungbook.scratch.autograd.var import Var, cross_entropy, no_graph

show(source(Var.__mul__), source(Var.relu))
x = Var(torch.ones(2, 2))
z = (3 * (x + 2) ** 2).mean()
ops = [node.op or "x" for node in backwards(z, lambda node: [edge[0] for edge in node.edges])]
z.backward()
print(" <- ".join(ops), "  gradient", x.grad.tolist())
assert torch.equal(x.grad, torch.full((2, 2), 4.5)) and ops == ["mean", "mul", "pow", "add", "x"]
row = Var(torch.zeros(3))
(torch.ones(5, 3) * row).sum().backward()
assert row.grad.tolist() == [5, 5, 5]  # five uses of each number: their gradients are added

# %% [markdown]
# That is enough to train a network. The layers of lesson 4 disappear: only the forward formula is left. A course
# builds a small [autograd](#autograd) of this kind and trains 784-128-64-32-10 with sigmoids on MNIST; here are the
# 8 by 8 digits that come with scikit-learn, batches of 32, a fifth held out. Only one thing is varied, how large
# the weights are drawn:

# %%
images, labels = load_digits(return_X_y=True)
images, labels = torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels)


def drawn(scale, seed, sizes=(64, 128, 64, 32, 10)):
    """Weights and biases; at scale 1 uniform as torch's Linear draws them."""
    g = torch.Generator().manual_seed(seed)
    uniform = lambda i, *shape: torch.empty(shape).uniform_(-(i**-0.5), i**-0.5, generator=g)
    parameters = []
    for i, o in pairwise(sizes):
        parameters += [Var(scale * uniform(i, i, o)), Var(uniform(i, o))]
    return parameters, g


def network(parameters, x):
    for i in range(0, len(parameters), 2):
        x = x @ parameters[i] + parameters[i + 1]
        if i < len(parameters) - 2:
            x = x.sigmoid()
    return x


def accuracy_after_training(scale, seed, epochs=5, lr=0.5):
    parameters, g = drawn(scale, seed)
    train, held_out = torch.randperm(len(images), generator=g).split([1437, 360])
    for _ in range(epochs):
        for rows in train[torch.randperm(len(train), generator=g)].split(32):
            cross_entropy(network(parameters, images[rows]), labels[rows]).backward()
            for p in parameters:
                p.data.sub_(lr * p.grad)
                p.grad = None
    with no_graph():
        return (network(parameters, images[held_out]).data.argmax(1) == labels[held_out]).double().mean().item()


accuracies = {scale: torch.tensor([accuracy_after_training(scale, seed) for seed in range(5)]) for scale in (1, 4)}
show(
    table(
        [
            {"weights drawn": f"x {k}", "accuracy, 5 runs": f"{100 * a.mean():.1f} ± {100 * a.std():.1f} %"}
            for k, a in accuracies.items()
        ]
    )
)
assert accuracies[1].max() < 0.2 and accuracies[4].min() > 0.6

# %% [markdown]
# After five epochs one has learnt, and one still guesses among ten. The gradients of both are right. Why right gradients do not suffice comes
# below, under "What the gradient does not tell you".
#
# ## Value and pullback: functions of functions
#
# `Value` and `Var` store the graph in the numbers. It can also live in closures: a function returns its value and a
# [pullback](#pullback), which turns a gradient in the value into one in the argument. Nothing else is needed, for
# pullbacks compose:


# %%
def plus_two(x):
    return x + 2, lambda g: g


def three_squares(x):
    return 3 * x**2, lambda g: g * 6 * x


def mean(x):
    return x.mean(), lambda g: (g / x.numel()).expand(x.shape)


def composed(*steps):
    def f(x):
        pullbacks = []
        for step in steps:
            x, pullback = step(x)
            pullbacks.append(pullback)

        def back(g):
            for pullback in reversed(pullbacks):
                g = pullback(g)
            return g

        return x, back

    return f


value, pullback = composed(plus_two, three_squares, mean)(torch.ones(2, 2))
print("value", value.item(), " gradient", pullback(torch.tensor(1.0)).tolist())
assert value == 27 and torch.equal(pullback(torch.tensor(1.0)), torch.full((2, 2), 4.5))

# %% [markdown]
# The library's `vjp` does this for any formula of its primitives, with the signature of `torch.func.vjp`. Since
# pullbacks are themselves written in primitives, they can be differentiated again, `grad(grad(f))`, as often as you
# like:

# %%
from rungbook.scratch.autograd import grad, hessian, vjp

f = lambda x: (3 * (x + 2) ** 2).mean()
point, g = (
    torch.randn(2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)),
    torch.tensor(1.0, dtype=torch.float64),
)
torch.testing.assert_close(vjp(f, point)[1](g), torch.func.vjp(f, point)[1](g), rtol=1e-15, atol=0)
curve = lambda x: x**5
t = torch.tensor(2.0, dtype=torch.float64)
print(
    "x^5 at 2 and its derivatives:",
    [h(t).item() for h in (curve, grad(curve), grad(grad(curve)), grad(grad(grad(curve))))],
)
assert grad(grad(grad(curve)))(t) == 240  # 60 x^2
second = hessian(f)(point).reshape(4, 4)
torch.testing.assert_close(
    second, 1.5 * torch.eye(4, dtype=torch.float64)
)  # 6/4 on the diagonal, and no number moves another's slope
print("second derivatives of z: 1.5 on the diagonal, 0 elsewhere")

# %% [markdown]
# ## The tape: below torch
#
# `Var` and `vjp` want formulas written for them. A model of `torch.nn` is written for torch. But whatever Python
# calls, in the end torch's core is asked for an operation, and a `TorchDispatchMode` sits right there. Listen to
# it:

# %%
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten


class Listen(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.heard = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        self.heard.append((func, args, out))
        return out


def names(heard):
    return [str(func).removeprefix("aten.") for func, _, _ in heard]


x = torch.ones(2, 2)
with Listen() as formula:
    z = (3 * (x + 2) ** 2).mean()
print("the formula:", names(formula.heard))
assert names(formula.heard) == ["add.Tensor", "pow.Tensor_Scalar", "mul.Tensor", "mean.default"]
torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.Sigmoid(), torch.nn.Linear(5, 2)).double()
batch, classes = torch.randn(4, 3, dtype=torch.float64), torch.tensor([0, 1, 1, 0])
with torch.no_grad(), Listen() as layers:
    F.cross_entropy(model(batch), classes)
print("a model:    ", names(layers.heard))

# %% [markdown]
# A list of operations in the order in which they ran: Wengert's list ([Wengert, 1964](#wengert1964)), or a
# [tape](#tape). Every entry comes after what it used, so going from the last to the first each gradient is complete
# when it is needed. The walk of `Value` becomes a loop, and the knowledge becomes a table of rules, one line for an
# operation:

# %%
RULES = {  # operation -> gradient in its first argument, from g, the result and the arguments
    aten.add.Tensor: lambda g, out, x, other: g,
    aten.pow.Tensor_Scalar: lambda g, out, x, n: g * n * x ** (n - 1),
    aten.mul.Tensor: lambda g, out, x, other: g * other,
    aten.mean.default: lambda g, out, x: (g / x.numel()).expand(x.shape),
}


def go_back(heard, output):
    gradients = {id(output): torch.ones_like(output)}
    for func, args, out in reversed(heard):
        if id(out) in gradients:
            g = RULES[func](gradients.pop(id(out)), out, *args)
            gradients[id(args[0])] = gradients.get(id(args[0]), 0) + g
    return gradients


found = go_back(formula.heard, z)[id(x)]
print("tape of twenty lines:", found.tolist())
assert torch.equal(found, torch.full((2, 2), 4.5))

# %% [markdown]
# Nothing in this needs Python. In C++ an operator can be overloaded as well; it writes an entry on a tape, and the way
# back is the loop in `main`. (Where there is no C++ compiler, the lesson goes on without.)

# %%
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

IN_C = r"""
#include <cstdio>
#include <vector>

struct Entry { int a, b; double slope_a, slope_b; };  // computed from which two, with which slopes
struct Number { double value; int place; };           // its place on the tape
std::vector<Entry> tape;

Number put(double value, int a, double slope_a, int b, double slope_b) {
  tape.push_back({a, b, slope_a, slope_b});
  return {value, (int)tape.size() - 1};
}
Number number(double value) { return put(value, 0, 0, 0, 0); }
Number operator+(Number x, Number y) { return put(x.value + y.value, x.place, 1, y.place, 1); }
Number operator*(Number x, Number y) { return put(x.value * y.value, x.place, y.value, y.place, x.value); }

int main() {
  Number x = number(1), s = x + number(2), z = number(0.75) * s * s;
  std::vector<double> grad(tape.size());
  grad[z.place] = 1;
  for (int i = z.place; i >= 0; i--) {
    grad[tape[i].a] += tape[i].slope_a * grad[i];
    grad[tape[i].b] += tape[i].slope_b * grad[i];
  }
  std::printf("%g %g", z.value, grad[x.place]);
}
"""
if compiler := shutil.which("c++") or shutil.which("g++") or shutil.which("clang++"):
    with TemporaryDirectory() as folder:
        (Path(folder) / "tape.cpp").write_text(IN_C)
        subprocess.run([compiler, "-std=c++11", "-o", "tape", "tape.cpp"], cwd=folder, check=True)
        said = subprocess.run([Path(folder) / "tape"], capture_output=True, text=True, check=True).stdout
    print("C++: value and gradient", said)
    assert said == "6.75 4.5"

# %% [markdown]
# The library's `Tape` is this with the rest: all arguments, over two hundred rules, checks. What it records, it
# records here:

# %%
from rungbook.scratch.autograd import Tape
from rungbook.scratch.autograd.rules import RULES as ALL_RULES

show(source(Tape.__torch_dispatch__), source(Tape._record))
with Tape() as tape:
    tape.watch(x)
    z = (3 * (x + 2) ** 2).mean()
assert len(tape) == 4 and len(ALL_RULES) > 200
print(f"{len(tape)} operations recorded, rules for {len(ALL_RULES)}; gradient {tape.gradient(z, x).tolist()}")

tape = Tape()
tape.watch(model)
with tape:
    loss = F.cross_entropy(model(batch), classes)
ours = tape.gradient(loss, model)
theirs = torch.autograd.grad(F.cross_entropy(model(batch), classes), list(model.parameters()))
torch.testing.assert_close(list(ours.values()), list(theirs), rtol=1e-12, atol=1e-15)
print("a torch.nn model, gradients equal to torch's:", list(ours))

# %% [markdown]
# ## What must not pass in silence
#
# A gradient that is silently 0 costs days. Three things a tape cannot answer, and what ours says: an operation
# without a rule, a value overwritten before its rule read it, and a weight that the loss does not depend on. (The
# messages also name file and line, cut here.)


# %%
def without_a_rule(tape, x):
    return torch.linalg.det(x)


def overwritten(tape, x):
    y = x.exp()  # the slope of exp is its own result ...
    y += 1  # ... which is gone
    return y.sum()


def unreached(tape, x):
    tape.watch(idle=torch.zeros(3))
    return x.sum()


from rungbook.scratch.autograd.faults import MissingRule, OverwrittenTensor, UnreachedTensor

for fault, expected in ((without_a_rule, MissingRule), (overwritten, OverwrittenTensor), (unreached, UnreachedTensor)):
    x = torch.eye(3, dtype=torch.float64)
    with Tape() as tape:
        tape.watch(x)
        z = fault(tape, x)
    try:
        tape.gradient(z)
    except expected as error:
        print(f"{expected.__name__}: {re.sub(r' at [^ ]+:[0-9]+', '', str(error))}")
    else:
        raise AssertionError(f"{fault.__name__} was not noticed")

# %% [markdown]
# ## One curve, with and without autograd
#
# Before autograd there were layers with a way back of their own. A course's exercise for them: fit $y = 3x^2 + 2$ with noise of
# variance 25 on $[-10, 10)$, with linear, sigmoid, linear, the squared error, and a learning rate that rises linearly
# at first. The layers of lesson 4 do it, and the three forms of today that work on tensors give their gradients:

# %%
from rungbook.scratch.module import by_hand


def parabola(seed):
    """Inputs and targets, standardised, and drawn weights of 1-16-1."""
    g = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(shape, dtype=torch.float64, generator=g)
    x = torch.arange(-10, 10, 0.1, dtype=torch.float64)
    y = 3 * x**2 + 2 + 5 * draw(len(x))
    return (
        (x / 10)[:, None],
        (y - y.mean()) / y.std(),
        [4 * draw(1, 16), draw(16), draw(16, 1) / 4, torch.zeros(1, dtype=torch.float64)],
    )


def by_layers(weights):
    w1, b1, w2, b2 = weights
    return by_hand.Model([by_hand.Linear(w1, b1), by_hand.Sigmoid(), by_hand.Linear(w2, b2)], by_hand.MSE())


def loss_of(w1, b1, w2, b2):
    return ((((inputs @ w1 + b1).sigmoid() @ w2 + b2).reshape(-1) - targets) ** 2).mean()


inputs, targets, weights = parabola(0)
layers = by_layers(weights)
layers(inputs, targets)
layers.backward()
hand = [*layers.layers[0].grads, *layers.layers[2].grads]

variables = [Var(w) for w in weights]
loss_of(*variables).backward()
tape = Tape()
tape.watch(*weights)
with tape:
    loss = loss_of(*weights)
forms = {
    "Var": [v.grad for v in variables],
    "pullback": list(vjp(loss_of, *weights)[1](torch.ones((), dtype=torch.float64))),
    "tape": tape.gradient(loss, weights),
}
for name, gradients in forms.items():
    torch.testing.assert_close(gradients, hand, rtol=1e-11, atol=1e-14)
    print(f"{name:<9} equals the layers by hand")


# %%
def fitted(seed, warm_up, steps=400, lr=0.2):
    """The last loss, and the model."""
    x, y, weights = parabola(seed)
    model = by_layers(weights)
    for i in range(steps):
        loss = model(x, y)
        model.backward()
        model.step(lr * min(1, (i + 1) / 50) if warm_up else lr)
    return loss.item(), model


ends = {warm: torch.tensor([fitted(seed, warm)[0] for seed in range(5)]) for warm in (True, False)}
for warm, losses in ends.items():
    print(f"{'with' if warm else 'without':<8} warm-up: last loss {losses.mean():.3f} ± {losses.std():.3f}")
assert ends[True].max() < 0.2  # 1 is the error of always saying the mean
assert (ends[True].mean() - ends[False].mean()).abs() < ends[True].std()  # not distinguishable here
prediction = fitted(0, True)[1].predict(inputs)


# %% tags=["hide-input"]
def paint_fit(ax):
    ax.plot(10 * inputs, targets, ".", markersize=3, color=TRAIN, label="200 points")
    ax.plot(10 * inputs, prediction, color=VALID, label="1-16-1, by hand")
    ax.set(xlabel="x", ylabel="y, standardised")
    ax.legend(frameon=False, fontsize=8)


show(
    draw(
        paint_fit,
        f"A noisy parabola of 200 points and a fitted curve, mean squared error {(prediction[:, 0] - targets).square().mean():.3f}.",
    )
)

# %% [markdown]
# The warm-up that belongs to the exercise makes no difference that five runs could show. It helps where the first
# steps are too long, and here they are not.
#
# ## What the gradient does not tell you
#
# "Yes you should understand backprop" is the title of an essay ([Karpathy, 2016](#karpathy2016)) with four cases in
# which autograd is right and training fails. The digits above were the first. A sigmoid's slope is $y(1-y)$, at
# most a quarter, so the three of them let a 64th pass at best, unless the weights make up for it. How much of the gradient reaches the first layer, for
# both sizes of weights?

# %%
reach = {}
for scale in (1, 4):
    parameters, _ = drawn(scale, 0)
    cross_entropy(network(parameters, images[:256]), labels[:256]).backward()
    reach[scale] = [p.grad.norm().item() for p in parameters[::2]]
ratio = {scale: norms[-1] / norms[0] for scale, norms in reach.items()}
print(f"last layer's gradient over the first's: {ratio[1]:.0f} at x 1, {ratio[4]:.0f} at x 4")
assert ratio[1] > 50 and ratio[4] < 30
flat = torch.tensor([0.0, 5.0, 10.0], dtype=torch.float64).sigmoid()
print("slopes of a sigmoid at 0, 5, 10:", [f"{s:.6f}" for s in (flat * (1 - flat)).tolist()])
assert (flat * (1 - flat))[0] == 0.25 and (flat * (1 - flat))[2] < 5e-5 and 0.25**3 == 1 / 64

# %% [markdown]
# Weights four times as large make up for the quarter ([Glorot and Bengio, 2010](#glorot2010), measure how layers
# shrink what passes). Far larger ones push the sigmoid out to where it is flat: the saturated sigmoid of the essay.
#
# Second, a [ReLU](#relu) is 0 below 0, and so is its slope. One step too far, and a unit is off for every sample.
# No gradient will ever turn it on again. A hundred steps on digits at two learning rates:


# %%
def start_relu(seed):
    g = torch.Generator().manual_seed(seed)
    parameters = [
        torch.randn(64, 64, generator=g) / 32**0.5,
        torch.zeros(64),
        torch.randn(64, 10, generator=g) / 8,
        torch.zeros(10),
    ]
    return [p.requires_grad_() for p in parameters]


def descend(parameters, activation, lr, steps):
    w1, b1, w2, b2 = parameters
    for _ in range(steps):
        loss = F.cross_entropy(activation(images[:300] @ w1 + b1) @ w2 + b2, labels[:300])
        with torch.no_grad():
            for p, g in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
                p -= lr * g
    return loss.item()


def share_of_dead(parameters):
    return ((images[:300] @ parameters[0] + parameters[1]).amax(0) <= 0).double().mean().item()


dead = {}
for lr in (1.0, 3.0):
    trained = [start_relu(seed) for seed in range(5)]
    losses = [descend(p, torch.relu, lr, 100) for p in trained]
    dead[lr] = trained
    print(
        f"rate {lr}: units dead {[f'{share_of_dead(p):.0%}' for p in trained]}, loss {[round(loss, 2) for loss in losses]}"
    )
assert max(map(share_of_dead, dead[1.0])) < 0.2 and min(map(share_of_dead, dead[3.0])) > 0.8
print(f"for comparison, knowing nothing of ten classes: loss {math.log(10):.2f}")

# %% [markdown]
# Third, a recurrent network multiplies by the same matrix at every time step, and the way back by its transpose,
# again and again. A matrix that stretches by 1.2 or by 0.8 explodes or fades: $1.2^{50}$ is over 9,000, $0.8^{50}$
# below 0.00002. The remedy for the first is to cut the gradient's length ([Pascanu, Mikolov and Bengio,
# 2013](#pascanu2013)).

# %%
rotation = torch.linalg.qr(torch.randn(8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))).Q
through_time = {}
for stretch in (0.8, 1.0, 1.2):
    h = torch.ones(8, dtype=torch.float64, requires_grad=True)
    y = h
    norms = []
    for _ in range(50):
        y = stretch * rotation @ y
        norms.append(torch.autograd.grad(y, h, torch.ones_like(y), retain_graph=True)[0].norm().item() / 8**0.5)
    through_time[stretch] = norms
    assert math.isclose(norms[-1], stretch**50, rel_tol=1e-9)
assert 1.2**50 > 9_000 and 0.8**50 < 2e-5

# %% [markdown]
# Fourth, the clip that was put in the wrong place. A Q-network's error $\delta$ (what the world said, less what the
# network said) should not move it too far at once, so the gradient is to be kept within -1 and 1 ([Mnih et al.,
# 2015](#mnih2015)). Code seen in the wild clips $\delta$ itself and squares. Then an error beyond 1 has the
# gradient 0: where the network is most wrong it learns nothing. The Huber loss is what was meant.

# %%
losses = {
    "clip, then square": lambda delta: delta.clamp(-1, 1) ** 2 / 2,
    "Huber": lambda delta: F.huber_loss(delta, 0 * delta, reduction="none"),
}
deltas = torch.linspace(-3, 3, 121, dtype=torch.float64, requires_grad=True)
slopes = {name: torch.autograd.grad(loss(deltas).sum(), deltas)[0] for name, loss in losses.items()}
arrived = {}
for name, loss in losses.items():
    q = torch.zeros((), requires_grad=True)
    for _ in range(100):
        (g,) = torch.autograd.grad(loss(5 - q), q)
        q = (q - 0.1 * g).detach().requires_grad_()
    arrived[name] = q.item()
print("a value that should become 5, after 100 steps:", {name: round(q, 2) for name, q in arrived.items()})
assert arrived["clip, then square"] == 0 and abs(arrived["Huber"] - 5) < 0.1


# %% tags=["hide-input"]
def paint_layers(ax):
    for (scale, norms), colour, line in zip(reach.items(), (TRAIN, VALID), ("-", "--"), strict=True):
        ax.plot(range(1, 5), norms, marker="o", color=colour, linestyle=line, label=f"weights x {scale}")
    ax.set(title="sigmoids", xlabel="layer", ylabel="gradient's length", yscale="log", xticks=range(1, 5))
    powers(ax, (-3, -2, -1, 0))
    ax.legend(frameon=False, fontsize=7)


def paint_time(ax):
    for (stretch, norms), colour, line in zip(
        through_time.items(), (TRAIN, THIRD, VALID), ("-", ":", "--"), strict=True
    ):
        ax.plot(range(1, 51), norms, color=colour, linestyle=line, label=f"x {stretch}")
    ax.set(title="through time", xlabel="steps back", ylabel="gradient's length", yscale="log")
    powers(ax, (-4, 0, 4))
    ax.legend(frameon=False, fontsize=7)


def paint_clip(ax):
    for (name, slope), colour, line in zip(slopes.items(), (VALID, TRAIN), ("--", "-"), strict=True):
        ax.plot(deltas.tolist(), slope, color=colour, linestyle=line, label=name)
    ax.set(title="clipped error", xlabel="error", ylabel="gradient", ylim=(-1.2, 1.8))
    ax.legend(frameon=False, fontsize=7)


def powers(ax, exponents):
    ax.set_yticks([10.0**e for e in exponents], [f"{10.0**e:g}" for e in exponents])


words = f"Sigmoids: from layer 4 to 1 the gradient shrinks {ratio[1]:.0f} times, with larger weights {ratio[4]:.0f} times. Through time: "
words += "lengths over 50 steps, falling at 0.8, level at 1, rising at 1.2. "
words += "Clipped error: the gradient of the clipped square is 0 beyond 1, that of Huber stays at 1."
show(sheet([paint_layers, paint_time, paint_clip], words, size=(2.4, 2.1)))

# %% [markdown]
# ## A way back that is not the derivative
#
# Whoever writes the way back may write another one. A `torch.autograd.Function` has a forward and a backward of its
# own. Ours below is a ReLU forward, and backward it lets a tenth of the gradient through where it is off. Can it
# revive the dead units?

# %%
from rungbook.scratch.autograd.other_gradients import LeakyBackwardReLU, straight_through

show(source(LeakyBackwardReLU))


def copies(parameters):
    return [p.detach().clone().requires_grad_() for p in parameters]


revived = {
    "ReLU": [descend(copies(p), torch.relu, 0.3, 150) for p in dead[3.0]],
    "another backward": [descend(copies(p), lambda z: LeakyBackwardReLU.apply(z, 0.1), 0.3, 150) for p in dead[3.0]],
}
for name, losses in revived.items():
    print(f"{name:<17} 150 more steps from death: loss {[round(loss, 2) for loss in losses]}")
assert min(revived["ReLU"]) > 1.2 and max(revived["another backward"]) < 1.0

# %% [markdown]
# The same trick trains through a rounding, whose honest gradient is 0 everywhere. The [straight-through
# estimator](#straight-through-estimator) ([Bengio, Léonard and Courville, 2013](#bengio2013)) rounds forward and
# passes the gradient as if nothing had happened. It needs no `Function`, since `detach` cuts a path:

# %%
show(source(straight_through))
leaf = torch.tensor([0.3, 1.8], requires_grad=True)
honest = torch.autograd.grad(leaf.round().sum(), leaf)[0]
passed = torch.autograd.grad(straight_through(leaf, leaf.round()).sum(), leaf)[0]
print("a plain rounding:", honest.tolist(), " straight through:", passed.tolist())
assert honest.tolist() == [0, 0] and passed.tolist() == [1, 1]

# %% [markdown]
# So who wrote the way back for the formula at the top, and when? Somebody wrote one for each operation, once. The one
# for the formula was put together from them while the formula ran.
#
# ## Exercises
#
# ### Exercise 1: the order of the walk
#
# Write `order(root)` for `Value`s: a list of every number that `root` was computed from, `root` first, each exactly
# once and after all of its users. A right answer passes on every graph, also where a long path and a short one lead
# to the same number.


# %%
def check_order(order):
    a = Value(2.0)
    b = a * 3
    c = b + a  # a is used by b and c, and b by c and d
    d = c * b
    for root in (d, a, doubled(5)[1], ((a * b).exp() + a) * a):
        got = order(root)
        place = {node: i for i, node in enumerate(got)}
        assert got and got[0] is root, "the root comes first"
        assert len(place) == len(got), "a number is listed twice"
        for node in got:
            for used, _ in node.inputs:
                assert used in place, "a number is missing"
                assert place[used] > place[node], (
                    "a number comes before one of its users: its gradient is not complete yet"
                )


# %% tags=["solution"]
def by_depth(root):
    seen, found = set(), []

    def visit(node):
        if node not in seen:
            seen.add(node)
            for used, _ in node.inputs:
                visit(used)
            found.append(node)  # after all that it was computed from ...

    visit(root)
    return found[::-1]  # ... and turned round, before it


def as_met(root):
    found = [root]
    for node in found:
        found += [used for used, _ in node.inputs if used not in found]
    return found


check_order(by_depth)
check_order(lambda root: list(backwards(root, lambda node: [used for used, _ in node.inputs])))
refuses(check_order, as_met, lambda root: by_depth(root)[::-1], lambda root: [root])

# %% [markdown]
# ### Exercise 2: a pullback
#
# Write `swish(x)`: it returns the value $x \sigma(x)$ and its pullback, a function of a gradient `g`. A right answer
# agrees with `torch.func.vjp`, for any `g`.


# %%
def check_swish(swish):
    x = torch.linspace(-3, 3, 7, dtype=torch.float64)
    value, pullback = swish(x)
    wanted, torchs = torch.func.vjp(F.silu, x)
    assert torch.allclose(value, wanted), "the value is not x * sigmoid(x)"
    for g in (torch.ones_like(x), x + 1):
        assert torch.allclose(pullback(g), torchs(g)[0]), (
            "the pullback is wrong; two paths lead from x, and g multiplies both"
        )


# %% tags=["solution"]
def swish(x):
    s = x.sigmoid()
    return x * s, lambda g: g * (s + x * s * (1 - s))


check_swish(swish)
refuses(
    check_swish,
    lambda x: (x * x.sigmoid(), lambda g: g * x.sigmoid()),
    lambda x: (swish(x)[0], lambda g: swish(x)[1](torch.ones_like(x))),
)

# %% [markdown]
# ## Sources
#
# - Reverse mode: [Linnainmaa, 1970](#linnainmaa1970); with overloaded operators: [Griewank et al.,
#   1996](#griewank1996); the list of operations: [Wengert, 1964](#wengert1964); the order of the walk: [Kahn,
#   1962](#kahn1962).
# - A gradient function for each operand, as in `Var`: [Maclaurin, Duvenaud and Adams, 2015](#maclaurin2015).
#   Pullbacks: [Pearlmutter and Siskind, 2008](#pearlmutter2008).
# - What autograd does not tell: [Karpathy, 2016](#karpathy2016). Small gradients: [Glorot and Bengio,
#   2010](#glorot2010); large ones: [Pascanu, Mikolov and Bengio, 2013](#pascanu2013). The clipped error: [Mnih et
#   al., 2015](#mnih2015).
# - Straight through: [Bengio, Léonard and Courville, 2013](#bengio2013).
# - Functions as values with a way back, in a course: [Howard and Gugger, 2019](#fastai2019), its last lessons in
#   Swift.
