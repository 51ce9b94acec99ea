"""Einstein's notation: name each index, and say which of them stay.

`"ik,kj->ij"` reads: for every i and j, multiply the number at (i, k) of the first by that at (k, j) of the second and add over all k, the
index that the right side does not name. Two rules do it all: lay every operand out along all indices of the equation, with size 1 where
it lacks one; then multiply, broadcasting, and sum. `by_definition` is exactly that. It makes every product before it adds any, so `einsum`
itself goes pair by pair and gives each pair to a batched matrix product: indices that both have and that stay count batches, those that
both have and that end are summed, and what only one has makes rows or columns.

The rules beyond that are torch's: "..." stands for any further dimensions and broadcasts, an index repeated within an operand means its
diagonal, and without "->" those indices stay that occur once, in alphabetical order, capitals first.
"""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

_LETTERS = string.ascii_uppercase + string.ascii_lowercase


def parse(equation: str, dims: Sequence[int]) -> tuple[list[list[str]], list[str]]:
    """The indices of each operand and of the result, those of "..." written ".1" for the last, ".2" for the one before and so on.

    Args:
        equation: as "ik,kj->ij", "...ij,...jk" or "ii".
        dims: how many dimensions each operand has.

    Raises:
        RuntimeError: it does not read as an equation, or not as one of operands with so many dimensions.
    """
    text = equation.replace(" ", "")
    left, arrow, right = text.partition("->")
    terms = left.split(",")
    if len(terms) != len(dims):
        raise RuntimeError(f"einsum: {equation!r} names {len(terms)} operands, {len(dims)} are given")
    inputs = [_expanded(term, n, f"operand {i} of {equation!r}") for i, (term, n) in enumerate(zip(terms, dims, strict=True))]
    hidden = max((sum(x[0] == "." for x in indices) for indices in inputs), default=0)
    ellipsis = [f".{i}" for i in range(hidden, 0, -1)]
    if not arrow:
        counts = Counter(x for indices in inputs for x in indices)
        return inputs, ellipsis + sorted(x for x, n in counts.items() if n == 1 and x[0] != ".")
    output = _expanded(right, len(right.replace("...", "")) + hidden * ("..." in right), f"the result of {equation!r}")
    for x in output:
        if output.count(x) > 1:
            raise RuntimeError(f"einsum: index {x!r} comes twice in the result of {equation!r}")
        if not any(x in indices for indices in inputs):
            raise RuntimeError(f"einsum: index {x!r} of the result is in no operand of {equation!r}")
    return inputs, output


def _expanded(term: str, dims: int, where: str) -> list[str]:
    """A term's indices, one for each dimension."""
    before, dots, after = term.partition("...")
    for x in before + after:
        if x not in _LETTERS:
            raise RuntimeError(f"einsum: {x!r} in {where} is no index; a letter names one, '...' all others")
    named = len(before) + len(after)
    if named > dims or (named < dims and not dots):
        raise RuntimeError(f"einsum: {where} names {named} indices, the tensor has {dims} dimensions")
    return [*before, *(f".{i}" for i in range(dims - named, 0, -1)), *after]


def _aligned(x: Tensor, indices: list[str], order: list[str]) -> Tensor:
    """An operand with one dimension for each index of the equation: diagonals taken, permuted, size 1 where it has none."""
    indices = list(indices)
    for name in dict.fromkeys(indices):
        while indices.count(name) > 1:
            first = indices.index(name)
            second = indices.index(name, first + 1)
            if x.shape[first] != x.shape[second]:
                raise RuntimeError(f"einsum: index {name!r} has sizes {x.shape[first]} and {x.shape[second]} within one operand")
            x = x.diagonal(dim1=first, dim2=second)  # the diagonal is the last dimension
            indices = [n for i, n in enumerate(indices) if i not in (first, second)] + [name]
    x = x.permute([indices.index(name) for name in order if name in indices])
    return x[tuple(slice(None) if name in indices else None for name in order)]  # (one for each of order)


def _check_sizes(operands: Sequence[Tensor], order: Sequence[str]) -> None:
    for d, name in enumerate(order):
        sizes = sorted({x.shape[d] for x in operands} - {1})
        if len(sizes) > 1:
            words = f"dimension {name[1:]} from the right of '...'" if name[0] == "." else f"index {name!r}"
            raise RuntimeError(f"einsum: {words} has sizes {sizes[0]} and {sizes[1]} in different operands")


def _prepare(args: tuple[Any, ...]) -> tuple[list[Tensor], int]:
    """All operands laid out along the same dimensions, those of the result first; and how many these are."""
    if not args:
        raise ValueError("einsum needs an equation and operands")
    equation, operands = (args[0], args[1:]) if isinstance(args[0], str) else _from_lists(args)
    if len(operands) == 1 and isinstance(operands[0], list | tuple):
        operands = tuple(operands[0])
    inputs, output = parse(equation, [x.dim() for x in operands])
    order = output + [x for x in dict.fromkeys(x for indices in inputs for x in indices) if x not in output]
    aligned = [_aligned(x, indices, order) for x, indices in zip(operands, inputs, strict=True)]
    _check_sizes(aligned, order)
    return aligned, len(output)


def _from_lists(args: tuple[Any, ...]) -> tuple[str, tuple[Any, ...]]:
    """The form without letters, `einsum(a, [0, 1], b, [1, 2], [0, 2])`, as an equation."""

    def term(numbers: Sequence[Any]) -> str:
        for x in numbers:
            if x is not Ellipsis and not 0 <= x < len(_LETTERS):
                raise RuntimeError(f"einsum: {x} is no index; whole numbers from 0 to {len(_LETTERS) - 1} are")
        return "".join("..." if x is Ellipsis else _LETTERS[x] for x in numbers)

    pairs = len(args) // 2
    terms = ",".join(term(x) for x in args[1 : 2 * pairs : 2])
    return terms + (f"->{term(args[-1])}" if len(args) % 2 else ""), args[0 : 2 * pairs : 2]


def by_definition(*args: Any) -> Tensor:
    """`einsum` in two lines: every product there is, then the sums. Memory is the product of all indices' sizes."""
    operands, kept = _prepare(args)
    product = operands[0]
    for x in operands[1:]:
        product = product * x  # (kept..., summed...)
    return product.sum(tuple(range(kept, product.dim()))) if product.dim() > kept else product


def _times(a: Tensor, b: Tensor, ends: Sequence[int]) -> Tensor:
    """Product of two aligned operands, summed over the dimensions `ends`, which stay with size 1: a batched matrix product."""
    dims = range(a.dim())
    in_a, in_b = ([x.shape[d] != 1 for d in dims] for x in (a, b))
    for d in ends:  # what only one has is summed before it is multiplied
        if in_a[d] and not in_b[d]:
            a = a.sum(d, keepdim=True)
        elif in_b[d] and not in_a[d]:
            b = b.sum(d, keepdim=True)
    summed = [d for d in ends if in_a[d] and in_b[d]]
    batch = [d for d in dims if d not in ends and in_a[d] == in_b[d]]
    rows = [d for d in dims if d not in ends and in_a[d] and not in_b[d]]
    columns = [d for d in dims if d not in ends and in_b[d] and not in_a[d]]
    if not summed and not rows and not columns:
        return a * b
    B, M, K, N = (torch.Size(x.shape[d] for d in group) for x, group in ((a, batch), (a, rows), (a, summed), (b, columns)))
    gone = [d for d in ends if d not in summed]  # size 1 in both
    left = a.permute(*batch, *rows, *summed, *columns, *gone).reshape(B.numel(), M.numel(), K.numel())
    right = b.permute(*batch, *summed, *columns, *rows, *gone).reshape(B.numel(), K.numel(), N.numel())
    product = (left @ right).reshape(*B, *M, *N, *[1] * len(ends))
    now = [*batch, *rows, *columns, *ends]
    return product.permute([now.index(d) for d in dims])


def einsum(*args: Any) -> Tensor:
    """Sum of products of operands over those of their indices that the result does not have.

    Args:
        args: an equation as "bij,bjk->bik" and its operands; or operands, each followed by a list of whole numbers for its indices, and
            perhaps a list for the result.

    Returns:
        One dimension for each index of the result; a view where no number has to be computed.

    Raises:
        RuntimeError: the equation cannot be read, or does not fit the operands' dimensions or sizes.
    """
    operands, kept = _prepare(args)
    result, dims = operands[0], operands[0].dim()
    for i, x in enumerate(operands[1:], start=1):
        later = operands[i + 1 :]
        ends = [d for d in range(kept, dims) if all(y.shape[d] == 1 for y in later)]
        result = _times(result, x, ends)
    if left := [d for d in range(kept, dims) if result.shape[d] != 1]:
        result = result.sum(left, keepdim=True)
    return result.reshape(result.shape[:kept]) if result.dim() > kept else result
