"""The matrix product, `c[i, j] = sum over k of a[i, k] * b[k, j]`, in forms that say less and less and run faster and faster.

Each form takes one of the three loops out of Python and hands it to a tensor operation; `native` then takes all three to C. The ladder is
that of Howard and Gugger's fast.ai course, part 2 (2019).

Shapes: m rows of a, k its columns and b's rows, n columns of b.
"""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from rungbook.scratch.tensor import native
from rungbook.scratch.tensor.einsum import einsum

Product = Callable[[Tensor, Tensor], Tensor]


def _sizes(a: Tensor, b: Tensor) -> tuple[int, int, int]:
    if a.dim() != 2 or b.dim() != 2 or a.shape[1] != b.shape[0]:
        raise ValueError(f"a {tuple(a.shape)} and b {tuple(b.shape)}: two matrices are needed, b with as many rows as a has columns")
    return a.shape[0], a.shape[1], b.shape[1]


def by_elements(a: Tensor, b: Tensor) -> Tensor:
    """Three Python loops over numbers: the definition.

    Args:
        a: (m, k).
        b: (k, n).

    Returns:
        (m, n).

    Raises:
        ValueError: the shapes do not fit.
    """
    m, k, n = _sizes(a, b)
    rows, others, out = a.tolist(), b.tolist(), [[0] * n for _ in range(m)]
    for i in range(m):
        for j in range(n):
            for step in range(k):
                out[i][j] += rows[i][step] * others[step][j]
    return torch.tensor(out, dtype=a.dtype, device=a.device).reshape(m, n)


def by_tensor_elements(a: Tensor, b: Tensor) -> Tensor:
    """The same three loops, each number a tensor of its own: what an operation costs that does next to nothing."""
    m, k, n = _sizes(a, b)
    c = a.new_zeros(m, n)
    for i in range(m):
        for j in range(n):
            for step in range(k):
                c[i, j] += a[i, step] * b[step, j]
    return c


def by_rows(a: Tensor, b: Tensor) -> Tensor:
    """Two loops: a row times a column, element by element, and summed."""
    m, _, n = _sizes(a, b)
    c = a.new_zeros(m, n)
    for i in range(m):
        for j in range(n):
            c[i, j] = (a[i] * b[:, j]).sum()
    return c


def by_broadcasting(a: Tensor, b: Tensor) -> Tensor:
    """One loop: a row as a column (k, 1) stretches over all of b, and the sum runs down."""
    m, _, n = _sizes(a, b)
    c = a.new_zeros(m, n)
    for i in range(m):
        c[i] = (a[i].unsqueeze(-1) * b).sum(0)
    return c


def by_einsum(a: Tensor, b: Tensor) -> Tensor:
    """No loop: the indices, by our own einsum."""
    _sizes(a, b)
    return einsum("ik,kj->ij", a, b)


LOOPS: dict[str, Product] = {
    "tensor elements": by_tensor_elements,
    "Python elements": by_elements,
    "rows": by_rows,
    "broadcasting": by_broadcasting,
}
"""Forms that loop in Python, slowest first."""


def contestants(a: Tensor, b: Tensor, *, threads: int = 1, loops: bool = True) -> dict[str, Callable[[], Tensor]]:
    """Every form on the same two matrices, torch's product last; each has given torch's result once.

    Args:
        a: (m, k).
        b: (k, n).
        threads: for the parallel form, which is left out at 1 and where the compiler has no OpenMP.
        loops: whether with the forms that loop in Python; they take minutes where m * k * n is 10 million.

    Raises:
        AssertionError: a form gives another result.
        RuntimeError: C cannot be compiled here.
    """
    forms: dict[str, Product] = {**(LOOPS if loops else {}), "einsum": by_einsum, "C, plain": native.plain, "C, blocked": native.blocked}
    if threads > 1 and native.has_openmp():
        forms[f"C, {threads} threads"] = functools.partial(native.parallel, threads=threads)
    forms["torch"] = torch.matmul
    expected = a.double() @ b.double()  # (m, n)
    allowed = a.shape[1] * torch.finfo(a.dtype).eps * (a.double().abs() @ b.double().abs()) + torch.finfo(a.dtype).tiny
    for name, form in forms.items():
        # k roundings of at most eps each: the worst that any order of the sum can do
        assert bool(((form(a, b).double() - expected).abs() <= allowed).all()), f"{name}: not the product"
    return {name: functools.partial(form, a, b) for name, form in forms.items()}


def time_all(a: Tensor, b: Tensor, *, rounds: int = 7, threads: int = 1, loops: bool = True) -> dict[str, float]:
    """Seconds a product takes by each form, the median of several rounds in turn, after one that does not count.

    Args:
        a, b, threads, loops: as for `contestants`.
        rounds: how often each runs; those faster than a millisecond run ten times each round.
    """
    forms = contestants(a, b, threads=threads, loops=loops)
    seconds: dict[str, list[float]] = {name: [] for name in forms}
    repeats: dict[str, int] = {}
    for turn in range(rounds + 1):
        for name, form in forms.items():
            start = time.perf_counter()
            for _ in range(repeats.get(name, 1)):
                form()
            taken = time.perf_counter() - start
            if turn:
                seconds[name].append(taken / repeats[name])
            else:
                repeats[name] = 10 if taken < 1e-3 else 1
    return {name: statistics.median(taken) for name, taken in seconds.items()}
