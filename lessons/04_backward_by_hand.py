# %% [markdown]
# # Backward by hand
#
# A small network has 39,301 weights, and one number says how wrong it is. Each weight should move a little, up or
# down. Trying them one by one would take 39,301 runs of the network. How can a single run backwards tell all of
# them at once?

# %% tags=["about"]
covers = ["F07", "F10", "F15"]
rung = 2
minutes = 50

# %%
import time

import torch
import torch.nn.functional as F

from rungbook.book import refuses, show, source, table
from rungbook.plot.style import INK, TRAIN, VALID, Picture, draw, sheet

weights = 784 * 50 + 50 + 50 * 1 + 1
print(f"{weights:,} weights: 784 x 50 and 50 of the first layer, 50 x 1 and 1 of the second")
assert weights == 39_301

# %% [markdown]
# ## One number: slopes multiply, paths add
#
# Take the smallest network: one input $x = 2$, one weight $w = 3$, and the loss $L = (wx - 1)^2$. In steps, $a = wx$ and
# $b = a - 1$ and $L = b^2$. Each step has a slope of its own. If $w$ grows by a tiny $h$, then $a$ grows by $x h$, so $b$
# grows by $x h$ as well, and $L$ by $2b$ times that. The [chain rule](#chain-rule) is this sentence: along a path,
# slopes multiply.
#
# $$\frac{dL}{dw} = \frac{dL}{db}\cdot\frac{db}{da}\cdot\frac{da}{dw} = 2b \cdot 1 \cdot x$$

# %%
x, w = 2.0, 3.0
a = w * x
b = a - 1
L = b**2
slope_b = 2 * b  # start at the end: the slope of the last step ...
slope_a = slope_b * 1  # ... times the slope of the step before ...
slope_w = slope_a * x  # ... and so on, back to the weight
h = 1e-6
nudged = (((w + h) * x - 1) ** 2 - ((w - h) * x - 1) ** 2) / (2 * h)
print(f"by the chain rule {slope_w}, by nudging w {nudged:.6f}")
assert slope_w == 20.0 and abs(nudged - slope_w) < 1e-4

# %% [markdown]
# If a number is used twice, each use is a path, and the paths add. With $L = w \cdot w$ the first $w$ contributes the
# slope $w$, and so does the second: $2w$ in all. That is the second half of the rule, and the half that is
# forgotten: a gradient that arrives later is added to what is there, it does not replace it.
#
# ## Many numbers: the Jacobian, and why nobody builds it
#
# A layer takes many numbers and gives many. How each output moves with each input is a table of slopes, the
# [Jacobian](#jacobian): a row for every output, a column for every input. The chain rule stays the same, with the
# product of matrices in place of the product of numbers ([Parr and Howard, 2018](#parr2018) derive it step by
# step).
#
# Nudging finds a Jacobian without any calculus, one column for each input. Here are those of the three kinds of
# steps that the network has, for 3 samples with 4 numbers in and 2 out:


# %%
def jacobian(f, x, h=1e-6):
    """Slopes of every output in every input by central differences: (outputs, inputs)."""
    columns = []
    for i in range(x.numel()):
        step = torch.zeros(x.numel(), dtype=x.dtype)
        step[i] = h
        step = step.view(x.shape)
        columns.append((f(x + step) - f(x - step)).flatten() / (2 * h))
    return torch.stack(columns, 1)


torch.manual_seed(0)
X, W = torch.randn(3, 4, dtype=torch.float64), torch.randn(4, 2, dtype=torch.float64)
jacobians = {
    "X @ W, in X": jacobian(lambda x: x @ W, X),
    "X @ W, in W": jacobian(lambda w: X @ w, W),
    "relu(X), in X": jacobian(torch.relu, X),
}
zeros = {name: (j.abs() < 1e-7).double().mean().item() for name, j in jacobians.items()}
assert zeros["X @ W, in X"] >= 2 / 3 and zeros["X @ W, in W"] >= 0.5 and zeros["relu(X), in X"] >= 11 / 12


# %% tags=["hide-input"]
def paint_matrix(name, matrix):
    def paint(ax):
        limit = matrix.abs().max().item()
        ax.imshow(matrix.numpy(), cmap="RdBu_r", vmin=-limit, vmax=limit)
        ax.set(title=name, xlabel="input", ylabel="output", xticks=[], yticks=[])
        ax.grid(False)

    return paint


words = "; ".join(
    f"{name}: {j.shape[0]} rows, {j.shape[1]} columns, {zeros[name]:.0%} zeros" for name, j in jacobians.items()
)
show(
    sheet(
        [paint_matrix(*pair) for pair in jacobians.items()],
        f"Three Jacobians as coloured squares, white for 0. {words}.",
        columns=3,
    )
)

# %% [markdown]
# They are mostly white. Samples do not mix, so the first has a copy of $W^T$ for each sample and nothing else. An
# elementwise function has nothing off its diagonal. Now for real sizes, 64 samples of 784 numbers into 50 features:

# %%
samples, into, out = 64, 784, 50
sizes = {
    "X @ W, in X": (samples * out, samples * into),
    "X @ W, in W": (samples * out, into * out),
    "relu, in its input": (samples * out, samples * out),
}
show(
    table(
        [
            {"Jacobian of": name, "rows": r, "columns": c, "megabytes": r * c * 4 // 10**6}
            for name, (r, c) in sizes.items()
        ]
    )
)
assert sizes["X @ W, in W"][0] * sizes["X @ W, in W"][1] == 125_440_000

# %% [markdown]
# There is no need for them. The loss is one number, so what arrives from behind is one row: the gradient $g$ of the
# loss in the layer's output, shaped like the output. All that is wanted is that row times the Jacobian, the
# [vector-Jacobian product](#vector-jacobian-product), shaped like the input. For a linear layer $Y = XW$ write out
# one entry:
#
# $$\frac{\partial L}{\partial w_{io}} = \sum_n x_{ni} g_{no} \qquad\text{so}\qquad G_W = X^T G
# \qquad\text{and likewise}\qquad G_X = G W^T$$
#
# Two ordinary matrix products. For `relu` it is a product of numbers: the gradient passes where the input was above 0.

# %%
from rungbook.scratch.module import by_hand

show(source(by_hand.linear_backward), source(by_hand.relu_backward))
G = torch.randn(3, 2, dtype=torch.float64)
g_x, g_w, _ = by_hand.linear_backward(X, W, G)
torch.testing.assert_close(g_x.flatten(), G.flatten() @ jacobians["X @ W, in X"])
torch.testing.assert_close(g_w.flatten(), G.flatten() @ jacobians["X @ W, in W"])
G = torch.randn(3, 4, dtype=torch.float64)
torch.testing.assert_close(by_hand.relu_backward(X, G).flatten(), G.flatten() @ jacobians["relu(X), in X"])
print("the same numbers as with the whole Jacobians")

# %% [markdown]
# The order of the products matters too. For one sample the chain is a row of 50 numbers, a 50 by 50 matrix and a 50
# by 784 matrix. Starting at the loss, every product is row times matrix. Starting at the input, matrix times matrix
# comes first:

# %%
from_the_loss = 1 * 50 * 50 + 1 * 50 * 784
from_the_input = 50 * 50 * 784 + 1 * 50 * 784
print(f"multiplications: {from_the_loss:,} from the loss backwards, {from_the_input:,} from the input forwards")
assert (from_the_loss, from_the_input) == (41_700, 1_999_200)

# %% [markdown]
# That is why training goes backwards: [backpropagation](#backpropagation) ([Rumelhart, Hinton and Williams,
# 1986](#rumelhart1986)) is the chain rule evaluated from the loss. The price is memory. Each step back needs what
# its step forward saw, so that has to be kept.
#
# ## The whole network, 784-50-1
#
# A linear layer, ReLU, a linear layer, and the [mean squared error](#mean-squared-error) of its one output, as the
# fast.ai course builds it ([Howard and Gugger, 2019](#fastai2019), lesson 8). Every step has its value and its way
# back, and the second half of `network` is the first half read from the bottom:

# %%
show(source(by_hand.mse_backward), source(by_hand.network))

# %% [markdown]
# Forward the shapes go from `(N, 784)` to one number. Backward every gradient has the shape of what it is the
# gradient of. This rule alone finds many mistakes.


# %% tags=["hide-input"]
def shapes_flow() -> Picture:
    """The network's tensors left to right, and their gradients right to left."""
    tensors = [("x", "N, 784"), ("before", "N, 50"), ("hidden", "N, 50"), ("output", "N, 1"), ("loss", "1 number")]
    steps = [("linear", "w1 (784, 50)\nb1 (50)"), ("relu", ""), ("linear", "w2 (50, 1)\nb2 (1)"), ("mse", "")]

    def paint(ax):
        ax.set(xlim=(-0.6, 8.6), ylim=(-0.3, 3.3))
        ax.set_axis_off()
        for i, (name, shape) in enumerate(tensors):
            for y, colour, words in ((2.2, TRAIN, name), (0.8, VALID, f"g of {name}")):
                ax.text(2 * i, y + 0.12, words, ha="center", va="center", color=INK, fontsize=9)
                ax.text(2 * i, y - 0.22, f"({shape})", ha="center", va="center", color=colour, fontsize=8)
        for i, (name, of_weights) in enumerate(steps):
            ax.annotate("", (2 * i + 1.42, 2.2), (2 * i + 0.58, 2.2), arrowprops={"arrowstyle": "->", "color": TRAIN})
            ax.annotate("", (2 * i + 0.58, 0.8), (2 * i + 1.42, 0.8), arrowprops={"arrowstyle": "->", "color": VALID})
            ax.annotate(
                "", (2 * i + 1, 0.9), (2 * i + 1, 2.1), arrowprops={"arrowstyle": "->", "color": INK, "linestyle": ":"}
            )
            ax.text(2 * i + 1, 2.4, name, ha="center", color=TRAIN, fontsize=9)
            if of_weights:
                ax.text(2 * i + 1, 2.75, of_weights, ha="center", color=INK, fontsize=8)
                ax.annotate("", (2 * i + 1, 0.25), (2 * i + 1, 0.7), arrowprops={"arrowstyle": "->", "color": VALID})
                ax.text(
                    2 * i + 1,
                    -0.25,
                    "g of " + of_weights.replace("\n", "\ng of "),
                    ha="center",
                    color=VALID,
                    fontsize=8,
                )

    forward = ", then ".join(f"{name} ({shape})" for name, shape in tensors)
    words = f"Forward: {forward}. Backward the same shapes in reverse; each linear step also gives the gradients of its weights and bias."
    return draw(paint, words + " A dotted arrow at each step carries what it saw to its way back.", size=(6.6, 2.7))


show(shapes_flow())

# %% [markdown]
# Are they right? The judge is torch's own [autograd](#autograd), in float64. All five gradients, the input's
# included:

# %%
torch.manual_seed(0)
x, target = torch.randn(64, 784, dtype=torch.float64), torch.randn(64, dtype=torch.float64)
w1, b1 = torch.randn(784, 50, dtype=torch.float64) * (2 / 784) ** 0.5, torch.zeros(50, dtype=torch.float64)
w2, b2 = torch.randn(50, 1, dtype=torch.float64) / 50**0.5, torch.zeros(1, dtype=torch.float64)
loss, ours = by_hand.network(x, target, w1, b1, w2, b2)

leaves = [t.clone().requires_grad_() for t in (x, w1, b1, w2, b2)]
output = torch.relu(leaves[0] @ leaves[1] + leaves[2]) @ leaves[3] + leaves[4]
torchs_loss = F.mse_loss(output.squeeze(1), target)
theirs = torch.autograd.grad(torchs_loss, leaves)
names = ["x", "w1", "b1", "w2", "b2"]
rows = [(n, a, b) for n, a, b in zip(names, ours, theirs, strict=True)]
show(
    table(
        [
            {"gradient of": n, "shape": str(tuple(a.shape)), "largest difference": (a - b).abs().max().item()}
            for n, a, b in rows
        ]
    )
)
torch.testing.assert_close(loss, torchs_loss.detach(), rtol=1e-12, atol=0)
torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-14)
answered = sum(g.numel() for g in ours[1:])
print(f"one run forward and one back: gradients of {answered:,} weights")
assert answered == weights

# %% [markdown]
# That is how one run tells all of them: the row that comes back from the loss is shared by every weight it passes, and
# each weight multiplies it by what it saw on the way forward.
#
# ## The weight's gradient, three ways to write one sum
#
# $\sum_n x_{ni} g_{no}$ can be read as: for every sample the outer product of what went in and what came back, all of
# them added. The course writes it like that first. It makes a block of `N x 784 x 50` numbers only to sum it away.
# `einsum` names the sum, and the matrix product is the sum:

# %%
X, G = torch.randn(256, 784), torch.randn(256, 50)
forms = {
    "outer products, then sum": lambda: (X.unsqueeze(-1) * G.unsqueeze(1)).sum(0),
    'einsum("ni,no->io")': lambda: torch.einsum("ni,no->io", X, G),
    "X.T @ G": lambda: X.T @ G,
}
made = {"outer products, then sum": 256 * 784 * 50}
timings = []
for name, form in forms.items():
    torch.testing.assert_close(form(), X.T @ G, rtol=1e-4, atol=1e-3)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        form()
        seconds.append(time.perf_counter() - start)
    timings.append(
        {"form": name, "numbers made on the way": made.get(name, 0), "milliseconds, best of 5": 1000 * min(seconds)}
    )
show(table(timings))

# %% [markdown]
# ## From functions to layers to a base class
#
# `network` repeats itself: every intermediate result has to be carried by hand to the right line below. Let each
# step remember what its way back needs, and it becomes a layer:

# %%
show(source(by_hand.LinearLayer), source(by_hand.ReLULayer))

# %% [markdown]
# Both layers keep their input in `__call__` and use it in `backward`. What all layers do belongs into a base class,
# and a layer is left with what only it knows, the formula forward (`forward`) and the formula back (`pull`):

# %%
show(
    source(by_hand.Layer.__call__),
    source(by_hand.Layer.backward),
    source(by_hand.Linear),
    source(by_hand.Model.backward),
)

# %%
first, relu, last = by_hand.LinearLayer(w1, b1), by_hand.ReLULayer(), by_hand.LinearLayer(w2, b2)
output = last(relu(first(x)))
g = first.backward(relu.backward(last.backward(by_hand.mse_backward(output, target))))
as_layers = (g, first.w_grad, first.b_grad, last.w_grad, last.b_grad)

first, last = by_hand.Linear(w1, b1), by_hand.Linear(w2, b2)
model = by_hand.Model([first, by_hand.ReLU(), last], by_hand.MSE())
model(x, target)
on_a_base = (model.backward(), *first.grads, *last.grads)
assert all(torch.equal(a, b) and torch.equal(a, c) for a, b, c in zip(ours, as_layers, on_a_base, strict=True))
print("functions, layers and base class: the same five gradients, bit for bit")

# %% [markdown]
# This is the road to `torch.nn.Module`, which lesson 6 goes to its end.
#
# ## A judge who knows no calculus
#
# Autograd could check us because somebody wrote it. [Finite differences](#finite-difference) need nobody: nudge
# each number, look at the output. `gradcheck` does that for any function that comes with its way back, and names
# the place where they differ. Four mistakes, all of them of the right shape:

# %%
from rungbook.scratch.autograd import GradcheckError, gradcheck


def with_way_back(backward):
    """Value and way back of a linear layer, in the form that gradcheck asks for."""

    def vjp(f, x, w, b):
        return by_hand.linear(x, w, b), lambda g: backward(x, w, g)

    return vjp


square = [
    torch.randn(3, 2, dtype=torch.float64),
    torch.randn(2, 2, dtype=torch.float64),
    torch.randn(2, dtype=torch.float64),
]
assert gradcheck(by_hand.linear, square, vjp=with_way_back(by_hand.linear_backward))
mistakes = {
    "w is not transposed": lambda x, w, g: (g @ w, x.mT @ g, g.sum(0)),
    "mean over samples instead of sum": lambda x, w, g: (g @ w.mT, x.mT @ g / len(x), g.sum(0)),
    "only the first sample's bias": lambda x, w, g: (g @ w.mT, x.mT @ g, g[0]),
    "the sign": lambda x, w, g: (g @ w.mT, -x.mT @ g, g.sum(0)),
}
for name, backward in mistakes.items():
    try:
        gradcheck(by_hand.linear, square, vjp=with_way_back(backward))
    except GradcheckError as error:
        print(f"{name}:\n    {error}")
    else:
        raise AssertionError(f"not found: {name}")

# %% [markdown]
# The first one is the reason to test with unequal sizes as well: for a square weight the transposed product fits, and
# only the numbers are wrong. Nudging is done in float64, where there is room for a step that is small enough for the
# curvature and large enough for the rounding (lesson 3).
#
# One mistake no gradient check can find: with an output `(N, 1)` and a target `(N,)` the loss itself broadcasts to
# `(N, N)` (lesson 1), and the way back is right for a wrong question. `mse` squeezes first.
#
# ## Half a unit down: the shifted ReLU
#
# With a base class an idea costs three lines. The course had one: ReLU throws away everything below 0, so its
# outputs have a mean well above 0. Subtract one half. A constant has slope 0, so the way back stays as it is:


# %%
class ShiftedReLU(by_hand.ReLU):
    def forward(self, x):
        return by_hand.relu(x, shift=0.5)


def deep(activation, layers=20, seed=0):
    """Mean and standard deviation after each of many layers of 500 units, drawn as He et al. draw them."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(200, 500, generator=g)
    found = []
    for _ in range(layers):
        x = activation(x @ (torch.randn(500, 500, generator=g) * (2 / 500) ** 0.5))
        found.append((x.mean().item(), x.std().item()))
    return found


plain, shifted = deep(by_hand.ReLU()), deep(ShiftedReLU())
print(
    f"after the first layer: ReLU mean {plain[0][0]:.2f}, shifted {shifted[0][0]:.2f}; standard deviation {shifted[0][1]:.2f} for both"
)
print(f"after the twentieth:   ReLU mean {plain[-1][0]:.2f}, shifted {shifted[-1][0]:.2f}")
assert plain[0][0] > 0.5 and abs(shifted[0][0]) < 0.1 and abs(plain[0][1] - shifted[0][1]) < 1e-4
assert -0.35 < shifted[-1][0] < -0.15 and shifted[-1][1] < 0.5 < plain[-1][1]

# %% [markdown]
# In the first layer the mean is near 0, as the course found. It does not stay there: with less mean there is less
# power, the next layer's inputs are smaller, and half a unit is soon too much. Twenty layers down the mean is about
# -1/4. The shift suits one layer, not a stack.
#
# Does it help to learn? Real digits, 28 by 28 pixels, and the network is to say the digit as a number, as in the
# course. Everything below is by hand: forward, backward, step. Five draws of weights and samples, a hundred steps,
# two learning rates:

# %%
from sklearn.datasets import load_digits

images, labels = load_digits(return_X_y=True)
pixels = F.interpolate(torch.tensor(images, dtype=torch.float32).view(-1, 1, 8, 8), size=28, mode="bilinear").flatten(
    1
)  # (1797, 784)
pixels, labels = (pixels - pixels.mean()) / pixels.std(), torch.tensor(labels, dtype=torch.float32)


def trained(activation, lr, seed, steps=100):
    """The loss at each step."""
    g = torch.Generator().manual_seed(seed)
    rows = torch.randperm(len(pixels), generator=g)[:256]
    w1, w2 = torch.randn(784, 50, generator=g) * (2 / 784) ** 0.5, torch.randn(50, 1, generator=g) / 50**0.5
    layers = [by_hand.Linear(w1, torch.zeros(50)), activation, by_hand.Linear(w2, torch.zeros(1))]
    model = by_hand.Model(layers, by_hand.MSE())
    losses = []
    for _ in range(steps):
        losses.append(model(pixels[rows], labels[rows]).item())
        model.backward()
        model.step(lr)
    return losses


runs = {
    (name, lr): torch.tensor([trained(activation(), lr, seed) for seed in range(5)])
    for lr in (0.003, 0.006)
    for name, activation in (("ReLU", by_hand.ReLU), ("shifted ReLU", ShiftedReLU))
}
ends = {key: losses[:, -1] for key, losses in runs.items()}
rows = [
    {"activation": name, "rate": lr, "last loss": f"{e.mean():.2f} ± {e.std():.2f}"} for (name, lr), e in ends.items()
]
show(table(rows))
guess = (labels - labels.mean()).square().mean().item()
print(f"for comparison, always saying the mean: {guess:.2f}")
assert all((e < guess).all() for e in ends.values())  # every run has learned something
small = [ends[name, 0.003] for name in ("ReLU", "shifted ReLU")]
large = [ends[name, 0.006] for name in ("ReLU", "shifted ReLU")]
assert (small[0].mean() - small[1].mean()).abs() < max(small[0].std(), small[1].std())
assert large[0].mean() > 1.4 * large[1].mean() and large[0].mean() - large[1].mean() > max(
    large[0].std(), large[1].std()
)


# %% tags=["hide-input"]
def paint_runs(lr):
    def paint(ax):
        for name, colour, line in (("ReLU", TRAIN, "-"), ("shifted ReLU", VALID, "--")):
            for i, losses in enumerate(runs[name, lr]):
                ax.plot(losses, color=colour, linestyle=line, linewidth=1, label=name if i == 0 else None)
        ax.set(title=f"learning rate {lr}", xlabel="step", ylabel="loss", yscale="log", ylim=(0.8, 100))
        ax.legend(frameon=False, fontsize=8)

    return paint


words = "; ".join(f"{row['activation']} at rate {row['rate']} ends at {row['last loss']}" for row in rows)
show(
    sheet(
        [paint_runs(lr) for lr in (0.003, 0.006)],
        f"Loss over 100 steps, five runs each: {words}.",
        columns=2,
        size=(3.2, 2.4),
    )
)

# %% [markdown]
# At the smaller rate the two are not distinguishable. At twice the rate the loss of the plain ReLU shakes, and the
# shifted one gets further. That is what [LeCun et al., 1998](#lecun1998b) say of inputs with a mean away from 0: the loss is
# steep in one direction and flat in the others, and the steep one limits the rate. Batch normalisation takes the
# mean away by measuring it instead of guessing one half.
#
# ## Attention, backwards
#
# Nothing above was special to linear layers. Take the most used formula of today, scaled dot-product
# [attention](#attention) ([Vaswani et al., 2017](#vaswani2017)): queries $Q$, keys $K$, values $V$, and a
# [softmax](#softmax) in every row of the scores $S$.
#
# $$S = QK^T/\sqrt d \qquad P = \mathrm{softmax}(S) \qquad O = PV$$
#
# Two matrix products, whose way back you know. New is the softmax. One row of it has the slopes
# $\partial p_i/\partial s_j = p_i(\delta_{ij} - p_j)$, a full matrix. Times a row $g$ on the left it collapses to
# $p_j (g_j - \sum_i g_i p_i)$: again no Jacobian.


# %%
def softmax_backward(p, g):
    return p * (g - (g * p).sum(-1, keepdim=True))


def attention(q, k, v):
    p = torch.softmax(q @ k.mT / q.shape[-1] ** 0.5, -1)  # (L, S)
    return p @ v, p


def attention_backward(q, k, v, p, g):
    g_v = p.mT @ g
    g_p = g @ v.mT  # (L, S)
    g_s = softmax_backward(p, g_p) / q.shape[-1] ** 0.5  # of the products before they are scaled
    return g_s @ k, g_s.mT @ q, g_v


torch.manual_seed(0)
s = torch.randn(5, dtype=torch.float64)
g = torch.randn(5, dtype=torch.float64)
torch.testing.assert_close(softmax_backward(torch.softmax(s, 0), g), g @ jacobian(lambda s: torch.softmax(s, 0), s))

q, k, v = (torch.randn(*shape, dtype=torch.float64) for shape in ((6, 4), (8, 4), (8, 3)))  # 6 queries, 8 keys
g = torch.randn(6, 3, dtype=torch.float64)
o, p = attention(q, k, v)
ours = attention_backward(q, k, v, p, g)
leaves = [t.clone().requires_grad_() for t in (q, k, v)]
torch.testing.assert_close(o, F.scaled_dot_product_attention(*leaves).detach(), rtol=1e-12, atol=1e-14)
theirs = torch.autograd.grad(F.scaled_dot_product_attention(*leaves), leaves, g)
torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-14)
print(
    "gradients of queries, keys and values equal autograd's; largest difference",
    f"{max((a - b).abs().max() for a, b in zip(ours, theirs, strict=True)):.1e}",
)

# %% [markdown]
# The sum $\sum_i g_i p_i$ in the softmax can be had without the table of weights: it equals the sum of output times
# gradient of the output. FlashAttention ([Dao et al., 2022](#dao2022)), which never holds the whole table, uses this on
# its way back. And each row of the scores' gradient adds to 0, because adding one number to a whole row of scores
# changes no weight.

# %%
torch.testing.assert_close((g @ v.mT * p).sum(-1), (g * o).sum(-1))
assert softmax_backward(p, g @ v.mT).sum(-1).abs().max() < 1e-12

# %% [markdown]
# ## Exercises
#
# ### Exercise 1: a layer of your own
#
# Write a class `Tanh` on `by_hand.Layer`: `forward` and `pull` for $\tanh x$, whose slope is $1 - \tanh^2 x$. A right
# answer passes `gradcheck` and has the slope 1 at 0.


# %%
def check_tanh(layer_class):
    layer = layer_class()
    assert isinstance(layer, by_hand.Layer), "build it on by_hand.Layer"
    x = torch.linspace(-2, 3, 6, dtype=torch.float64).view(2, 3)  # 0 is among them
    assert torch.allclose(layer(x), x.tanh()), "forward is not tanh"

    def vjp(f, x):
        return layer(x), lambda g: (layer.backward(g),)

    try:
        gradcheck(layer, [x], vjp=vjp)
    except GradcheckError as error:
        raise AssertionError(f"the way back is wrong: {error}. Is the gradient that arrives multiplied in?") from None


# %% tags=["solution"]
class Tanh(by_hand.Layer):
    def forward(self, x):
        return x.tanh()

    def pull(self, g, x):
        return g * (1 - self.output**2)


class Forgets(Tanh):
    def pull(self, g, x):
        return 1 - self.output**2


class Takes(Tanh):
    def pull(self, g, x):
        return g * (1 - x**2)


check_tanh(Tanh)
refuses(check_tanh, Forgets, Takes)

# %% [markdown]
# ### Exercise 2: take the mean away
#
# A layer subtracts from each row its mean: `y = x - x.mean(-1, keepdim=True)`. Write `centre_backward(g)`, the
# gradient in `x` from the gradient `g` in `y`. A right answer equals autograd's. Hint: every number of `x` is used
# twice, by itself and in the mean.


# %%
def check_centre(centre_backward):
    torch.manual_seed(1)
    x, g = torch.randn(4, 5, dtype=torch.float64, requires_grad=True), torch.randn(4, 5, dtype=torch.float64)
    (wanted,) = torch.autograd.grad(x - x.mean(-1, keepdim=True), x, g)
    got = centre_backward(g)
    assert got.shape == g.shape, f"expected {tuple(g.shape)}, got {tuple(got.shape)}"
    assert torch.allclose(got, wanted), "not the gradient; is the path through the mean in it, row by row?"


# %% tags=["solution"]
check_centre(lambda g: g - g.mean(-1, keepdim=True))
refuses(check_centre, lambda g: g, lambda g: g - g.mean(0, keepdim=True), lambda g: g - g.sum(-1, keepdim=True))

# %% [markdown]
# ### Exercise 3: the shortest gradient of all
#
# Classifiers end in a softmax and the loss $-\log p_{\text{target}}$, averaged over samples. Put the two ways back
# together and most of it cancels. Write `cross_entropy_backward(scores, target)` for scores `(N, C)` and targets
# `(N,)`. A right answer equals autograd's, also where a probability is so small that it is 0 in the machine.


# %%
def check_cross_entropy(backward):
    torch.manual_seed(2)
    for size in (1.0, 1000.0):
        scores, target = (
            (size * torch.randn(6, 4, dtype=torch.float64)).requires_grad_(),
            torch.tensor([0, 1, 2, 3, 0, 1]),
        )
        (wanted,) = torch.autograd.grad(F.cross_entropy(scores, target), scores)
        before = scores.detach().clone()
        got = backward(scores.detach(), target)
        assert got.isfinite().all(), "a probability of 0 was divided by, or its logarithm taken"
        assert torch.allclose(got, wanted), (
            "not the gradient; is it averaged over the samples, and 1 subtracted at the target only?"
        )
        assert torch.equal(scores, before), "the scores were overwritten"


# %% tags=["solution"]
def right(scores, target):
    return (torch.softmax(scores, -1) - F.one_hot(target, scores.shape[-1])) / len(scores)


def step_by_step(scores, target):
    p = torch.softmax(scores, -1)
    return softmax_backward(p, -F.one_hot(target, scores.shape[-1]) / p) / len(scores)


check_cross_entropy(right)
refuses(
    check_cross_entropy, step_by_step, lambda s, t: right(s, t) * len(s), lambda s, t: torch.softmax(s, -1) / len(s)
)

# %% [markdown]
# ## Sources
#
# - The chain rule for layers, with every derivation: [Parr and Howard, 2018](#parr2018).
# - Learning by back-propagating errors: [Rumelhart, Hinton and Williams, 1986](#rumelhart1986).
# - The network, the shifted ReLU and the road from functions to a base class follow fast.ai 2019, lesson 8: [Howard
#   and Gugger](#fastai2019). Weights are drawn as in [He et al., 2015](#he2015).
# - Means away from 0 and learning rates: [LeCun et al., 1998](#lecun1998b).
# - Attention: [Vaswani et al., 2017](#vaswani2017); its way back in blocks: [Dao et al., 2022](#dao2022).
