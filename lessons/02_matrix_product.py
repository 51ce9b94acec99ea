# %% [markdown]
# # Matrix product five ways, and in C
#
# Five pictures times the weights of ten outputs: 39,200 multiplications. Written as three loops in Python the
# course measured 835 milliseconds for it, and with other lines that compute the same numbers 57 microseconds. Where
# did the time go?

# %% tags=["about"]
covers = ["F03", "W02"]
rung = 1
minutes = 35

# %%
import statistics
import time
from collections import OrderedDict

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from rungbook.book import refuses, show, source, table
from rungbook.plot.style import THIRD, TRAIN, VALID, draw, number
from rungbook.scratch.tensor import matmul, native

torch.set_num_threads(1)

# %% [markdown]
# ## What is to be computed
#
# The [matrix product](#matrix-product) of `a` with `m` rows and `k` columns and `b` with `k` rows and `n` columns
# has `m` rows and `n` columns. Each of its numbers is a row of `a` times a column of `b`, multiplied number by
# number and added up:
#
# $$c_{ij} = \sum_{s=1}^{k} a_{is}\, b_{sj}$$
#
# That is `m * n` sums of `k` products. The formula is already a program with three loops:

# %%
show(source(matmul.by_tensor_elements))
a, b = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[5.0, 6.0], [7.0, 8.0]])
print(matmul.by_tensor_elements(a, b).tolist())
assert matmul.by_tensor_elements(a, b).tolist() == [[1 * 5 + 2 * 7, 1 * 6 + 2 * 8], [3 * 5 + 4 * 7, 3 * 6 + 4 * 8]]

# %% [markdown]
# The matrices of the course are five pictures of 784 pixels, and the weights from 784 pixels to 10 outputs. Ours
# are random numbers of the same shapes.

# %%
torch.manual_seed(0)
a, b = torch.randn(5, 784), torch.randn(784, 10)
products = 5 * 784 * 10
print(f"{products:,} products of two numbers")
assert products == 39_200

# %% [markdown]
# ## One loop less, four times
#
# **Rows.** The innermost loop multiplies a row by a column and adds. Both are tensor operations, so the loop over
# `k` can go.

# %%
show(source(matmul.by_rows))

# %% [markdown]
# **Broadcasting.** The loop over `j` does the same with every column of `b`. Stand the row of `a` upright, shape
# `(k, 1)`, and it stretches over all columns at once (lesson 1 says how). One loop is left.

# %%
show(source(matmul.by_broadcasting))

# %% [markdown]
# **einsum.** Name the indices and leave the rest to the library. Ours sees that `k` is summed and that `i` and `j`
# stay, and hands the matter to a product of matrices; so does torch's.

# %%
show(source(matmul.by_einsum))

# %% [markdown]
# **The operation itself**, `a @ b`. The fifth way is the one to use. Beside the five there is one more, with three
# loops over Python's own numbers instead of tensors. It will tell us which part of the first way was slow:

# %%
show(source(matmul.by_elements))

# %% [markdown]
# ## The same result
#
# The course compares each form with the first one, allowing a relative error of $10^{-3}$ and an absolute one of
# $10^{-5}$. That much is needed because a sum in another order rounds otherwise (lesson 3 says why). In double
# precision there is less to round, so equality can be proven much more tightly.

# %%
ways = {
    **matmul.LOOPS,
    "einsum": matmul.by_einsum,
    "torch.einsum": lambda a, b: torch.einsum("ik,kj->ij", a, b),
    "torch": torch.matmul,
}
exact = a.double() @ b.double()
rows = []
for name, way in ways.items():
    single, double = way(a, b), way(a.double(), b.double())
    torch.testing.assert_close(single, exact.float(), rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(double, exact, rtol=0, atol=1e-11)
    apart = [(got.double() - exact).abs().max().item() for got in (single, double)]
    rows.append({"way": name, "largest difference, float32": f"{apart[0]:.0e}", "float64": f"{apart[1]:.0e}"})
show(table(rows))

# %% [markdown]
# ## What is moved out of Python
#
# Each of these forms asks torch to do things: take a row, multiply, add. Torch can be made to report every request.
# Count them for a product with `k = 8` and one with `k = 16`, and see which form notices that the rows have become
# longer.


# %%
class Count(TorchDispatchMode):
    """Counts the operations that reach torch's inner library while it is on."""

    def __enter__(self):
        self.asked = 0
        return super().__enter__()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.asked += 1
        return function(*args, **(kwargs or {}))


def operations(way, m, k, n):
    one, other = torch.randn(m, k), torch.randn(k, n)
    with Count() as count:
        way(one, other)
    return count.asked


asked = {
    name: {size: operations(way, *size) for size in ((5, 8, 10), (5, 16, 10), (5, 8, 20), (10, 8, 10))}
    for name, way in ways.items()
}
show(
    table(
        [
            {"way": name, **{f"{m}x{k} @ {k}x{n}": count for (m, k, n), count in counts.items()}}
            for name, counts in asked.items()
        ]
    )
)


def grows(name, size):
    """How much the number of requests grows from 5x8 @ 8x10 to this size."""
    return asked[name][size] / asked[name][5, 8, 10]


assert all(
    grows("tensor elements", size) > 1.9 for size in ((5, 16, 10), (5, 8, 20), (10, 8, 10))
)  # all three loops ask
assert grows("rows", (5, 16, 10)) == 1 and grows("rows", (5, 8, 20)) > 1.9  # k is inside an operation
assert grows("broadcasting", (5, 8, 20)) == 1 and grows("broadcasting", (10, 8, 10)) > 1.7  # k and n are
assert len(set(asked["einsum"].values())) == 1 and set(asked["torch"].values()) == {1}  # all three are

# %% [markdown]
# Each step moves one loop from Python into an operation. The number of products stays what it was. What falls is
# the number of times that Python asks: once a product, once a row and column, once a row, a fixed number of times,
# once.
#
# A request costs much the same whether it concerns one number or a thousand (the race below measures it): Python
# looks up a method, torch checks types and shapes, chooses a function for them, and makes a new tensor for the
# answer. The product of two numbers is a single instruction of the processor. The fewer requests, the less of all
# the rest.
#
# ## The same three loops in C
#
# If loops in Python are slow, are loops slow? Here are the same three in C, a language whose compiler turns them
# into instructions of the processor before they run. No tensor is made and no type is looked up, because both are
# known beforehand.

# %%
text = native.SOURCE.read_text()
start = text.index("void NAMED(plain)")
print(text[start : text.index("\n}\n", start) + 3])

# %% [markdown]
# Python hands C the address of the first number of each tensor and its strides, all that a tensor is below its
# class (lesson 1). Nothing is copied. The machine's own compiler makes the library on first use; on a machine
# without one this lesson says so and goes on.

# %%
show(source(native._call))
try:
    native.library()
    in_c = {"C, plain": native.plain, "C, blocked": native.blocked}
except RuntimeError as error:
    in_c = {}
    print("The C forms are left out:", error)
for way in in_c.values():
    torch.testing.assert_close(way(a, b), exact.float(), rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(way(a.double(), b.double()), exact, rtol=0, atol=1e-11)
    assert torch.equal(way(a, b), way(a.T.contiguous().T, b))  # other strides, the same numbers
print(len(in_c), "forms in C, equal to torch's product")

# %% [markdown]
# ## The race
#
# A measurement of time is a sample: other programs run beside it. So every form runs in turn, round after round,
# and a disturbance meets all of them. The first round does not count. Shown is the median with the range. What
# takes well under a millisecond is repeated, or the clock itself would be measured. Comparisons below rest on each
# form's best round, the one disturbed least.


# %%
def race(forms, rounds=3):
    """Seconds of every form in every round, round by round in turn."""
    seconds, repeats = {name: [] for name in forms}, {}
    for turn in range(rounds + 1):
        for name, form in forms.items():
            began = time.perf_counter()
            for _ in range(repeats.get(name, 1)):
                form()
            taken = time.perf_counter() - began
            if turn == 0:
                repeats[name] = max(1, min(50, int(2e-3 / taken)))
            else:
                seconds[name].append(taken / repeats[name])
    return seconds


def spoken(seconds):
    """A time in the unit that suits it."""
    return next(
        f"{number(seconds * factor)} {unit}"
        for factor, unit in ((1, "s"), (1e3, "ms"), (1e6, "us"))
        if seconds * factor >= 1
    )


# %% tags=["hide-input"]
def picture_of(times, title):
    """Median and range of each, on a logarithmic axis."""
    middle = {name: statistics.median(taken) for name, taken in times.items()}
    words = "; ".join(
        f"{name} {spoken(middle[name])} ({spoken(min(t))} to {spoken(max(t))})" for name, t in times.items()
    )

    def paint(ax):
        for i, (name, taken) in enumerate(times.items()):
            colour = THIRD if name.startswith("C") else VALID if "torch" in name else TRAIN
            ax.plot([min(taken), max(taken)], [i, i], color=colour, linewidth=5, alpha=0.35, solid_capstyle="round")
            ax.plot(middle[name], i, "o", color=colour, markersize=6)
            ax.annotate(
                spoken(middle[name]), (max(taken), i), (7, 0), textcoords="offset points", va="center", fontsize=8
            )
        ax.set_xscale("log")
        ax.margins(x=0.2)
        ax.set_yticks(range(len(times)), list(times))
        ax.invert_yaxis()
        ax.xaxis.set_major_formatter(lambda value, _: spoken(value) if value >= 1e-6 else "")
        ax.set_xlabel("time of one product (logarithmic)")
        ax.set_title(title)

    return draw(
        paint,
        f"{title}, time of one product, median and range of the rounds: {words}.",
        size=(5.6, 0.9 + 0.27 * len(times)),
    )


# %%
forms = {
    **{n: w for n, w in ways.items() if not n.startswith("torch")},
    **in_c,
    "torch.einsum": ways["torch.einsum"],
    "torch": ways["torch"],
}
times = race({name: lambda way=way: way(a, b) for name, way in forms.items()})
show(picture_of(times, "5x784 @ 784x10"))

# %%
median, best = ({name: choose(taken) for name, taken in times.items()} for choose in (statistics.median, min))
show(
    table(
        [{"way": name, "time": spoken(t), "times torch's": number(t / median["torch"])} for name, t in median.items()]
    )
)
print(f"one step of the innermost loop with tensors: {spoken(median['tensor elements'] / products)}")
print(
    f"the same loops over Python's own numbers take {median['Python elements'] / median['tensor elements']:.1%} of the time"
)
assert best["tensor elements"] > 20 * best["rows"]  # one loop out of Python
assert best["rows"] > best["broadcasting"] > best["torch"]  # a second one, and the third
assert best["tensor elements"] > 10 * best["Python elements"]
assert not in_c or best["Python elements"] > 5 * best["C, plain"]
one, thousand = torch.ones(1), torch.ones(1000)
request = {n: min(t) for n, t in race({"one": lambda: one * one, "thousand": lambda: thousand * thousand}).items()}
print(f"a request to multiply one number {spoken(request['one'])}, a thousand {spoken(request['thousand'])}")
assert request["thousand"] < 20 * request["one"]  # and not a thousand times

# %% [markdown]
# Three readings of the picture.
#
# *The course's ladder stands.* It reported 835 ms for three loops, 1.39 ms for rows, 254 microseconds for
# broadcasting and 57.2 for einsum ([Howard and Gugger, 2019](#fastai2019), on a machine of theirs). Your times
# differ; the order of loops, rows, broadcasting and torch is the same.
#
# *It was not the loops.* The same three loops over plain Python numbers take a small share of the time. What cost
# so much is to make new tensors for each of the 39,200 products. And those loops are in turn far slower than the same
# three in C. So that is where the time went: into everything around the product, hardly into the product.
#
# *Fewer requests are not everything.* Our einsum hands the work to one product of matrices, as torch's own does,
# and is yet several times slower at this size: it reads `"ik,kj->ij"` and sorts out the indices in Python. That
# costs the same however large the matrices are, so with larger ones it should hardly count. The second race, below,
# will tell.
#
# ## Why blocks
#
# The plain loops in C are slower than torch, though nothing is left in Python. Two things are missing. A processor
# can multiply several neighbouring numbers with one instruction. And memory is far away: what is fetched comes, on
# most processors, in lines of 64 bytes, sixteen float32 side by side, and is kept in a small, near memory, the
# [cache](#cache), until other lines need the room.
#
# The plain form walks down a column of `b`. Each step is one row further in memory, so of every line that is
# fetched one number is used; when the walk comes back for the next column, the lines are gone. The remedy costs
# nothing but another order: cut `b` into tiles so small that one stays in the cache while every row of `a` makes
# use of it. What must be fetched can be counted with a cache of our own that forgets what was not used for longest:


# %%
class Cache:
    """Keeps the `room` lines used last, and counts what it has to fetch."""

    def __init__(self, room=16, line=16):
        self.room, self.line, self.kept, self.fetched = room, line, OrderedDict(), 0

    def read(self, matrix, place):
        key = matrix, place // self.line
        if key in self.kept:
            self.kept.move_to_end(key)
            return
        self.fetched += 1
        self.kept[key] = True
        if len(self.kept) > self.room:
            self.kept.popitem(last=False)


def lines_fetched(order, n=32):
    """Lines fetched for a product of n x n matrices that takes the steps (i, s, j) in this order."""
    cache = Cache()
    for i, s, j in order(n):
        cache.read("a", i * n + s)
        cache.read("b", s * n + j)
        cache.read("c", i * n + j)
    return cache.fetched


def columns(n):  # the plain form: a row times a column
    return ((i, s, j) for i in range(n) for j in range(n) for s in range(n))


def rows_of_b(n):  # all of b again for every row of a, but along its rows
    return ((i, s, j) for i in range(n) for s in range(n) for j in range(n))


def tiles(n, height=8, width=16):  # a tile of b, and all rows of a for it
    return ((i, s0 + s, j0 + j) for s0 in range(0, n, height) for j0 in range(0, n, width)
            for i in range(n) for s in range(height) for j in range(width))  # fmt: skip


fetched = {order.__name__: lines_fetched(order) for order in (columns, rows_of_b, tiles)}
show(
    table(
        [{"order": name, "lines fetched": count, "products a line": 32**3 / count} for name, count in fetched.items()]
    )
)
assert fetched["columns"] > 10 * fetched["rows_of_b"] and fetched["rows_of_b"] > 3 * fetched["tiles"]
assert sorted(tiles(32)) == sorted(columns(32))  # the very same products

# %% [markdown]
# The same products, and a small part of the traffic. `native.blocked` takes tiles of 64 by 256, copies each so that
# neighbours lie side by side, and works on four rows of `a` at a time, so that each number read from the tile
# serves four products. At 5x784 @ 784x10 all of `b` fits into a cache anyway. With two matrices of 512 by 512 it
# does not:

# %%
big = torch.randn(512, 512), torch.randn(512, 512)
large = {**in_c, "einsum": matmul.by_einsum, "torch": torch.matmul}
if in_c and native.has_openmp():
    large = {"C, 2 threads": lambda a, b: native.parallel(a, b, threads=2), **large}
    assert torch.equal(
        large["C, 2 threads"](*big), native.blocked(*big)
    )  # rows are shared out; each is summed as before
for way in large.values():
    torch.testing.assert_close(
        way(*(x.double() for x in big)), torch.matmul(*(x.double() for x in big)), rtol=0, atol=1e-10
    )
took = race({name: lambda way=way: way(*big) for name, way in sorted(large.items())})
show(picture_of(took, "512x512 @ 512x512"))
least = {name: min(taken) for name, taken in took.items()}
print(
    f"einsum over torch: {best['einsum'] / best['torch']:.1f} for the small matrices, {least['einsum'] / least['torch']:.1f} for the large"
)
assert best["einsum"] / best["torch"] > max(1.5, least["einsum"] / least["torch"])
if in_c:
    print(f"C in blocks: {least['C, plain'] / least['C, blocked']:.0f} times faster than plain, for the same products")
    assert least["C, plain"] > 1.5 * least["C, blocked"]

# %% [markdown]
# Rows of the result do not depend on each other, so each core can take rows of its own. That is the form with two
# threads (OpenMP, which not every compiler has). It gives the same bits, since no sum is split. It is faster only
# where a second core is free, and where the product is worth waking it: at 5x784 @ 784x10 `native.parallel` uses
# one core, whatever it is told.
#
# Where the picture has torch ahead of our blocks, there is a reason: the library behind it also keeps a part of the result in the processor's registers,
# and is written anew for each kind of processor; [Goto and van de Geijn, 2008](#goto2008), describe how. This
# course stops here.
#
# What people get wrong: they read "Python is slow" and rewrite the whole program in C. The ladder says where to
# look first. A loop over numbers becomes an operation over a dimension, and most of the gain is had before any C is
# written.

# %%
print(f"three loops to broadcasting: {best['tensor elements'] / best['broadcasting']:.0f} times faster")
if in_c:
    print(f"broadcasting to C in blocks: {best['broadcasting'] / best['C, blocked']:.1f} times faster")
assert best["tensor elements"] > 50 * best["broadcasting"]

# %% [markdown]
# ## Exercises
#
# ### Exercise 1: the other loop
#
# The three loops may stand in any order. Write `by_outer(a, b)` with a single loop over `k`: each step adds a column
# of `a` times a row of `b`, an `(m, n)` matrix. A right answer equals `a @ b` and asks torch no more often when `m` and
# `n` grow.


# %%
def check_by_outer(by_outer):
    torch.manual_seed(1)
    for m, k, n in ((3, 4, 5), (1, 6, 2), (4, 1, 4)):
        a, b = torch.randn(m, k, dtype=torch.float64), torch.randn(k, n, dtype=torch.float64)
        got = by_outer(a, b)
        assert got.shape == (m, n), f"expected {(m, n)}, got {tuple(got.shape)}"
        assert torch.allclose(got, a @ b), (
            "not the product: is every k added once, and is it column of a times row of b?"
        )
    assert operations(by_outer, 20, 4, 20) == operations(by_outer, 2, 4, 2), (
        "it asks more often for more rows or columns: loop over k only"
    )
    assert operations(by_outer, 2, 40, 2) > operations(by_outer, 2, 4, 2), (
        "no loop over k: a @ b is what is to be built"
    )


# %% tags=["solution"]
def by_outer(a, b):
    c = a.new_zeros(len(a), b.shape[1])
    for step in range(a.shape[1]):
        c += a[:, step, None] * b[step]
    return c


def last_only(a, b):
    for step in range(a.shape[1]):
        c = a[:, step, None] * b[step]
    return c


check_by_outer(by_outer)
refuses(check_by_outer, matmul.by_broadcasting, last_only, torch.matmul)

# %% [markdown]
# ### Exercise 2: a batch in one product
#
# `x` is a batch of sequences, `(B, T, k)`, and `w` a matrix `(k, n)`. Write `batched(x, w)`, the products of all `B`
# parts with `w`, by one product of two matrices and without a loop. A right answer has shape `(B, T, n)` and equals
# `x @ w`.


# %%
def check_batched(batched):
    torch.manual_seed(2)
    for batch, length, k, n in ((3, 4, 5, 2), (2, 6, 5, 2)):
        x, w = torch.randn(batch, length, k, dtype=torch.float64), torch.randn(k, n, dtype=torch.float64)
        seen = []

        class Watch(TorchDispatchMode):
            def __torch_dispatch__(self, function, types, args=(), kwargs=None):
                seen.append(function._schema.name)
                return function(*args, **(kwargs or {}))

        with Watch():
            got = batched(x, w)
        assert got.shape == (batch, length, n), f"expected {(batch, length, n)}, got {tuple(got.shape)}"
        assert torch.allclose(got, x @ w), "the numbers are mixed up: reshape joins neighbouring dimensions only"
        assert seen.count("aten::mm") == 1 and "aten::bmm" not in seen, "one product of two matrices is asked for"


# %% tags=["solution"]
def as_one(x, w):
    return (x.reshape(-1, len(w)) @ w).reshape(*x.shape[:2], -1)


check_batched(as_one)
refuses(
    check_batched,
    lambda x, w: as_one(x.permute(1, 0, 2), w).reshape(*x.shape[:2], -1),
    lambda x, w: torch.stack([part @ w for part in x]),
    lambda x, w: x.reshape(-1, len(w)) @ w,
    lambda x, w: (x.reshape(-1, 5) @ w).reshape(3, 4, 2),  # this size only
)

# %% [markdown]
# ### Exercise 3: where to put the brackets
#
# $(AB)C$ and $A(BC)$ are the same matrix. For `A` of shape `(m, k)`, `B` `(k, n)`, `C` `(n, p)` write
# `cheapest(m, k, n, p)`: the smaller number of products of two numbers that either needs. (Lesson 4 meets this again:
# it is why gradients are computed from the end.)


# %%
def check_cheapest(cheapest):
    assert cheapest(2, 3, 4, 5) == 64, (
        "2x3, 3x4 and 4x5: (AB)C takes 2*3*4 + 2*4*5 = 64, A(BC) takes 3*4*5 + 2*3*5 = 90"
    )
    assert cheapest(1000, 1000, 1000, 1) == 2_000_000, "with a single column at the end, start at the end"
    assert cheapest(1, 1000, 1000, 1000) == 2_000_000, "with a single row at the start, start there"


# %% tags=["solution"]
check_cheapest(lambda m, k, n, p: min(m * k * n + m * n * p, k * n * p + m * k * p))
refuses(
    check_cheapest,
    lambda m, k, n, p: m * k * n + m * n * p,
    lambda m, k, n, p: k * n * p + m * k * p,
    lambda m, k, n, p: m * k * n * p,
)

# %% [markdown]
# ## Sources
#
# - The ladder from three loops to einsum, its matrices, its tolerances and its times: fast.ai 2019, part 2, lesson
#   8, [Howard and Gugger, 2019](#fastai2019). The course compares with loops over unsafe pointers in Swift; ours
#   are in C.
# - Blocks for a memory in layers, and how fast products are written: [Goto and van de Geijn, 2008](#goto2008).
# - Threads by comments in C: [OpenMP, version 5.2, 2021](#openmp2021).
