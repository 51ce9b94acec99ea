# %% [markdown]
# # What a tensor is
#
# Two tensors show the same numbers. You write into one of them, and the other one changes, or it does not. Which is
# it, and how can you know before you run it?

# %% tags=["about"]
covers = ["F01", "F04", "F05", "F12", "F14"]
rung = 1
minutes = 40

# %%
import torch

from rungbook.book import refuses, show, source, table
from rungbook.plot.style import Picture, sheet

# %% [markdown]
# ## One row of numbers, and a way to walk it
#
# A [tensor](#tensor) with two rows and three columns looks like a rectangle. In memory there are no rectangles:
# there is one long row of numbers. A tensor is that row together with three facts: its *shape*, its
# [strides](#stride) (how many places to step in memory to reach the neighbour along each dimension), and the place
# of its first number.

# %%
x = torch.arange(6)
m = x.view(2, 3)
print("memory:      ", x.tolist())
print("as a matrix: ", m.tolist(), " shape", tuple(m.shape), " strides", m.stride())
print("transposed:  ", m.T.tolist(), " shape", tuple(m.T.shape), " strides", m.T.stride())
print("its rank (number of dimensions):", m.dim(), " type of its numbers:", m.dtype, " where they lie:", m.device)
assert m.to("cpu") is m and m.to(torch.float64) is not m  # nothing to move; another type is another memory
assert m.data_ptr() == m.T.data_ptr() == x.data_ptr()  # one and the same memory

# %% [markdown]
# To go down one row of `m` you step 3 places, to go right you step 1. The transpose swaps the two steps and moves
# nothing. The number at `(i, j)` lies at place `i * stride[0] + j * stride[1]`.
#
# `rungbook.scratch.tensor.strided` is a tensor made of just these facts, over a plain Python list. Its transpose is
# a swap:

# %%
from rungbook.scratch.tensor.strided import Strided

show(source(Strided.permute))

# %%
ours = Strided(list(range(6)), shape=(2, 3))
turned = ours.permute(1, 0)
assert turned.tolist() == m.T.tolist() and turned.strides == m.T.stride()
ours[1, 0] = 99  # write through one of them ...
print(turned.tolist())  # ... and the other one shows it
assert turned[0, 1].tolist() == 99

# %% [markdown]
# ## view, permute, reshape: the mistake nobody sees
#
# A grey picture has shape `(height, width)`, and you want `(width, height)`. Both `x.view(4, 3)` and
# `x.permute(1, 0)` give that shape. Only one of them turns the picture. In the pictures below the colour of a square
# is its place in memory.


# %% tags=["hide-input"]
def memory_order(*matrices: tuple[str, torch.Tensor]) -> Picture:
    """Each number as a square, coloured by its size."""

    def paint_one(name, matrix):
        def paint(ax):
            ax.imshow(matrix.numpy(), cmap="viridis", vmin=-3, vmax=12)
            for i, row in enumerate(matrix.tolist()):
                for j, number in enumerate(row):
                    ax.text(
                        j, i, number, ha="center", va="center", color="black" if number > 5 else "white", fontsize=11
                    )
            ax.set(title=name, xticks=[], yticks=[])
            ax.grid(False)

        return paint

    words = "; ".join(f"{name} has the rows {matrix.tolist()}" for name, matrix in matrices)
    return sheet([paint_one(*pair) for pair in matrices], words, columns=3, size=(1.9, 1.9))


p = torch.arange(12).view(3, 4)
show(memory_order(("x", p), ("x.view(4, 3)", p.view(4, 3)), ("x.permute(1, 0)", p.permute(1, 0))))

# %% [markdown]
# `view` reads the same row of numbers with new line breaks: it never moves anything, so the first four numbers stay
# the first four. `permute` walks the same memory in another order. Nothing fails when you take the wrong one; the
# shapes fit, and a network trains on scrambled pictures.
#
# After `permute` the numbers no longer lie in the order in which you read them; the tensor is not
# [contiguous](#contiguous). Then some shapes have no strides at all, and `view` refuses. `reshape` gives a view
# where one exists and copies where none does:

# %%
turned = p.permute(1, 0)
try:
    turned.view(12)
except RuntimeError as error:
    print("view refuses:", str(error).split(".")[0])
flat = turned.reshape(12)
print("reshape copies:", flat.tolist())
assert flat.data_ptr() != p.data_ptr()
assert p.reshape(12).data_ptr() == p.data_ptr()  # contiguous: no copy

# %% [markdown]
# When is there a view? If neighbouring dimensions can be walked as one even run. The whole rule, with torch's
# answer beside ours for every shape of twelve numbers, and for every order of the dimensions before:

# %%
from itertools import permutations

from rungbook.scratch.tensor.strided import view_strides

show(source(view_strides))
shapes = [s for a in range(1, 13) for b in range(1, 13) for s in [(a, b, 12 // (a * b))] if 12 % (a * b) == 0]
compared = 0
for start in shapes:
    for order in permutations(range(3)):
        t = torch.arange(12).view(start).permute(order)
        for to in shapes:
            mine = view_strides(t.shape, t.stride(), to)
            try:
                torchs = t.view(to).stride()
            except RuntimeError:
                torchs = None
            assert (mine is None) == (torchs is None), (start, order, to)
            compared += 1
print(f"{compared:,} cases: ours finds a view exactly where torch does")

# %% [markdown]
# ## Which ways to a tensor copy?
#
# `torch.Tensor`, `torch.tensor`, `torch.as_tensor`, `torch.from_numpy`: the manual says which copy, and so does an
# experiment. Make the tensor, write 99 over what it was made from, and look whether the tensor shows it.

# %%
from rungbook.scratch.tensor.constructors import sharing

found = sharing()
show(
    table(
        [{"way": way.name, "memory": "shared" if way.shares else "copied", "type": str(way.dtype)[6:]} for way in found]
    )
)
by_name = {way.name: way for way in found}
assert by_name["torch.from_numpy(numpy array)"].shares and not by_name["torch.tensor(numpy array)"].shares
assert by_name["torch.Tensor(list)"].dtype == torch.float32  # whatever it gets, torch.Tensor makes the default type

# %% [markdown]
# The rule behind the table: what only needs another shape, stride or start shares; what needs another type, or an
# order that strides cannot say, copies. A Python list has no such row of numbers to share. And `torch.tensor`, `clone`
# and `repeat` always copy, because that is their job. So the question at the top has an answer before you run anything:
# which of these made the second tensor? And it can be looked up: two tensors share if they have one storage.

# %%
share = lambda a, b: a.untyped_storage().data_ptr() == b.untyped_storage().data_ptr()
assert share(p, p.T) and share(p, p[1:, 2]) and not share(p, p.clone()) and not share(p, p.T.reshape(12))
assert p[1:].data_ptr() != p.data_ptr()  # data_ptr alone says where a tensor begins, and a view may begin further on

# %% [markdown]
# ## Broadcasting
#
# You have a batch of 4 rows with 3 numbers each and want to subtract the mean of each column. Shapes `(4, 3)` and
# `(3,)` differ, yet it works. [Broadcasting](#broadcasting) sets the shapes flush right; sizes fit if they are
# equal or one of them is 1, and a missing dimension counts as 1. A dimension of size 1 then stretches, by a stride of
# 0:

# %%
rows = torch.tensor([[1.0, 10.0, 100.0], [2.0, 20.0, 200.0], [3.0, 30.0, 300.0], [4.0, 40.0, 400.0]])
mean = rows.mean(0)
stretched = mean.expand(4, 3)
print(
    "shape",
    tuple(stretched.shape),
    " strides",
    stretched.stride(),
    " numbers in memory:",
    stretched.untyped_storage().nbytes() // 4,
)
assert stretched.stride() == (0, 1) and torch.equal(rows - mean, rows - stretched)

# %%
from rungbook.scratch.tensor.broadcasting import broadcast_shapes

show(source(broadcast_shapes))
for shapes in [((4, 3), (3,)), ((4, 1), (3,)), ((8, 1, 28, 28), (3, 1, 1)), ((5, 0), (1, 1))]:
    assert broadcast_shapes(*shapes) == torch.broadcast_shapes(*shapes)
    print(" and ".join(map(str, shapes)), "->", broadcast_shapes(*shapes))

# %% [markdown]
# What people get wrong: a prediction of shape `(4, 1)` and a target of shape `(4,)`. They fit, to `(4, 4)`, and the
# squared error is the mean over all sixteen pairs instead of four. Every prediction may be perfect, and the error
# is not zero:

# %%
target = torch.tensor([1.0, 2.0, 3.0, 4.0])
prediction = target.unsqueeze(1)
wrong, right = (prediction - target).pow(2), (prediction.squeeze(1) - target).pow(2)
print(
    "shape of the difference:",
    tuple(wrong.shape),
    " mean squared error:",
    wrong.mean().item(),
    " honest:",
    right.mean().item(),
)
assert wrong.mean() == 2.5 and right.mean() == 0.0
assert torch.equal(prediction, target[:, None])  # indexing with None is another way to write unsqueeze

# %% [markdown]
# The length of a matrix, read as one long vector, is its Frobenius norm: the square root of the sum of the squared
# numbers. For the numbers 1 to 9 it is the square root of 285:

# %%
nine = torch.arange(1.0, 10.0).view(3, 3)
frobenius = (nine * nine).sum().sqrt()
print(f"Frobenius norm of 1 to 9: {frobenius:.4f}")
assert abs(frobenius.item() - 16.8819) < 5e-5
torch.testing.assert_close(frobenius, torch.linalg.matrix_norm(nine))

# %% [markdown]
# ## einsum: name the indices
#
# Broadcasting lines dimensions up by place. `einsum` lets you name them. `"ik,kj->ij"` reads: for every `i` and
# `j`, multiply and add over `k`, the index the right side does not name. Two rules do it all: give every operand
# every index (with size 1 where it has none), multiply broadcast, and sum what does not stay. (An index named twice
# for one operand, as in `"ii"`, means its diagonal.)

# %%
from rungbook.scratch.tensor.einsum import by_definition, einsum

show(source(by_definition))

# %%
torch.manual_seed(0)
a, b = torch.randn(2, 3, 4, dtype=torch.float64), torch.randn(2, 4, 5, dtype=torch.float64)
square = torch.randn(4, 4, dtype=torch.float64)
questions = {
    "row sums": ("bij->bi", a),
    "transpose": ("bij->bji", a),
    "diagonal": ("ii->i", square),
    "trace": ("ii->", square),
    "outer product": ("i,j->ij", square[0], square[1]),
    "matrix product": ("ij,jk->ik", a[0], b[0]),
    "batch of products": ("bij,bjk->bik", a, b),
    "weighted sum of pairs": ("bi,ij,bj->b", a[:, 0], square, a[:, 1]),
}
answers = []
for what, (equation, *operands) in questions.items():
    result = torch.einsum(equation, *operands)
    torch.testing.assert_close(einsum(equation, *operands), result)
    torch.testing.assert_close(by_definition(equation, *operands), result)
    answers.append({"question": what, "equation": equation, "result": str(tuple(result.shape))})
show(table(answers))

# %% [markdown]
# ## Five numbers that describe numbers
#
# A tensor of measurements is first looked at through its [mean](#mean) and its spread. The [variance](#variance) is
# the mean squared distance from the mean, its root the [standard deviation](#standard-deviation); the mean absolute
# deviation (MAD) takes the distance itself, so a single far point weighs less. Put one wild value among a hundred
# tame ones:

# %%
torch.manual_seed(0)
tame = torch.randn(100, dtype=torch.float64)
wild = torch.cat([tame, torch.tensor([30.0], dtype=torch.float64)])


def spread(x):
    mean = x.mean()
    return {
        "variance": ((x - mean) ** 2).mean(),
        "standard deviation": x.std(correction=0),
        "MAD": (x - mean).abs().mean(),
    }


show(
    table(
        [
            {"numbers": name, **{k: v.item() for k, v in spread(x).items()}}
            for name, x in (("tame", tame), ("with one at 30", wild))
        ]
    )
)
grew = {k: (spread(wild)[k] / spread(tame)[k]).item() for k in spread(tame)}
assert grew["variance"] > 5 * grew["MAD"]
# the variance is also the mean of the squares less the square of the mean: one pass over the data instead of two
torch.testing.assert_close((tame**2).mean() - tame.mean() ** 2, spread(tame)["variance"])

# %% [markdown]
# Two columns vary together or not: the covariance is the mean product of their distances from their means, and
# divided by both standard deviations it is the correlation, between -1 and 1. It sees straight lines only. Below, `y`
# is wholly determined by `x`, and their correlation is zero:

# %%
xs = torch.linspace(-1, 1, 101, dtype=torch.float64)


def correlation(x, y):
    covariance = ((x - x.mean()) * (y - y.mean())).mean()
    return (covariance / (x.std(correction=0) * y.std(correction=0))).item()


pairs = {"y = 2x": 2 * xs, "y = -x + noise": -xs + 0.3 * torch.randn(101, dtype=torch.float64), "y = x squared": xs**2}
for name, ys in pairs.items():
    print(f"{name:<16} correlation {correlation(xs, ys):+.3f}")
    torch.testing.assert_close(
        correlation(xs, ys), torch.corrcoef(torch.stack([xs, ys]))[0, 1].item(), rtol=0, atol=1e-12
    )
assert abs(correlation(xs, xs**2)) < 1e-12


# %% tags=["hide-input"]
def paint_pair(name):
    def paint(ax):
        ax.plot(xs, pairs[name], ".", markersize=3)
        ax.set(title=f"{name}: {correlation(xs, pairs[name]):+.2f}", xlabel="x", ylabel="y")

    return paint


words = "; ".join(f"for {name} it is {correlation(xs, ys):+.2f}" for name, ys in pairs.items())
show(sheet([paint_pair(name) for name in pairs], f"Three clouds of points and their correlation: {words}.", columns=3))

# %% [markdown]
# Last, [softmax](#softmax) turns any numbers into shares that are positive and add to one. Adding the same number
# to all of them changes nothing, which is what lets a computer evaluate it at all: `exp(1000)` is infinite,
# `exp(1000 - 1000)` is 1.

# %%
from rungbook.scratch.functional import softmax

scores = torch.tensor([1000.0, 999.0, 997.0])
naive = scores.exp() / scores.exp().sum()
print("naive:", naive.tolist(), " shifted:", [round(p, 4) for p in softmax(scores, dim=0).tolist()])
assert naive.isnan().all()
torch.testing.assert_close(softmax(scores, dim=0), softmax(scores - 1000, dim=0))
torch.testing.assert_close(softmax(scores, dim=0), torch.softmax(scores, dim=0))
torch.testing.assert_close(softmax(scores, dim=0).sum(), torch.tensor(1.0))

# %% [markdown]
# ## Exercises
#
# ### Exercise 1: a picture the right way round
#
# Pictures from a camera come as `(batch, height, width, channel)`, torch wants `(batch, channel, height, width)`. Write
# `channels_first(x)`. A right answer shares memory with `x`, and the number at `(n, h, w, c)` is found at
# `(n, c, h, w)`.


# %%
def check_channels_first(channels_first):
    x = torch.arange(2 * 3 * 4 * 5).view(2, 3, 4, 5)
    y = channels_first(x)
    assert y.shape == (2, 5, 3, 4), f"expected (2, 5, 3, 4), got {tuple(y.shape)}"
    assert all(
        y[n, c, h, w] == x[n, h, w, c] for n in range(2) for h in range(3) for w in range(4) for c in range(5)
    ), "numbers moved"
    assert y.data_ptr() == x.data_ptr(), "it copies; a view is enough"


# %% tags=["solution"]
check_channels_first(lambda x: x.permute(0, 3, 1, 2))
refuses(
    check_channels_first,
    lambda x: x.view(2, 5, 3, 4),
    lambda x: x.permute(0, 3, 2, 1),
    lambda x: x.permute(0, 3, 1, 2).contiguous(),
)

# %% [markdown]
# ### Exercise 2: every distance at once
#
# Write `distances(a, b)`: for points `a` of shape `(n, d)` and `b` of shape `(m, d)` the matrix `(n, m)` of Euclidean
# distances, without a loop. A right answer agrees with `torch.cdist`, also for points that lie a million away from
# the origin.


# %%
def check_distances(distances):
    torch.manual_seed(1)
    a, b = torch.randn(7, 3, dtype=torch.float64), torch.randn(5, 3, dtype=torch.float64)
    got = distances(a, b)
    assert got.shape == (7, 5), f"expected (7, 5), got {tuple(got.shape)}"
    assert torch.allclose(got, torch.cdist(a, b), rtol=1e-9, atol=1e-12), "not the Euclidean distances"
    far = distances(a + 1e6, b + 1e6)  # the same points, seen from far away
    assert torch.allclose(far, got, rtol=1e-6, atol=1e-6), (
        "far from the origin it is inexact: are squares subtracted instead of differences?"
    )


# %% tags=["solution"]
check_distances(lambda a, b: (a[:, None] - b[None]).pow(2).sum(-1).sqrt())
refuses(
    check_distances,
    lambda a, b: (a[:, None] - b[None]).pow(2).sum(-1),
    lambda a, b: ((a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T).clamp(min=0).sqrt(),
)

# %% [markdown]
# ### Exercise 3: the covariance matrix as an einsum
#
# Write `covariance(x)` for samples `x` of shape `(n, d)` with a single call of `einsum` (after subtracting the mean).
# A right answer is symmetric, has the variances on its diagonal, and agrees with `torch.cov(x.T, correction=0)`.


# %%
def check_covariance(covariance):
    torch.manual_seed(2)
    x = torch.randn(50, 4, dtype=torch.float64) @ torch.randn(4, 4, dtype=torch.float64) + 10
    got = covariance(x)
    assert got.shape == (4, 4), f"expected (4, 4), got {tuple(got.shape)}"
    assert torch.allclose(got, torch.cov(x.T, correction=0)), (
        "not the covariance; is the mean subtracted, and divided by n?"
    )


# %% tags=["solution"]
check_covariance(lambda x: einsum("ni,nj->ij", x - x.mean(0), x - x.mean(0)) / len(x))
refuses(
    check_covariance,
    lambda x: einsum("ni,nj->ij", x, x) / len(x),
    lambda x: einsum("ni,nj->ij", x - x.mean(0), x - x.mean(0)),
)

# %% [markdown]
# ## Sources
#
# - The tensors of torch over storages: [Paszke et al., 2019](#paszke2019), and Edward Yang's account of [PyTorch
#   internals](#yang2019).
# - Broadcasting as numpy defines it: [Harris et al., 2020](#harris2020).
# - The course this part follows, fast.ai 2019, lesson 8: [Howard and Gugger](#fastai2019), whose Frobenius norm of
#   16.8819 is ours.
