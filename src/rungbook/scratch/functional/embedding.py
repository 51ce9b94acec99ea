"""Embeddings: rows of a table, one or a bag of them at a time.

Shapes: V rows of the table, D its columns, * any shape of indices; in bags, n indices in all, B bags.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rungbook.scratch.functional.loss_common import values_known
from rungbook.scratch.functional.vector import p_norm


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """`weight[input]`.

    Args:
        input: indices, (*), int32 or int64.
        weight: the table, (V, D).
        padding_idx: this row gets no gradient.
        max_norm: rows looked up that are longer are shortened to this, in place, before.
        norm_type: order of that norm.
        scale_grad_by_freq: divide each row's gradient by how often it was looked up.
        sparse: the table's gradient is a sparse tensor.

    Returns:
        (*, D).

    Raises:
        AssertionError: padding_idx is no row.
        RuntimeError: the indices are no integers, or the table is no matrix.
        IndexError: an index is no row.
    """
    _integers("embedding", input)
    if weight.dim() != 2:
        raise RuntimeError(f"embedding: weight {tuple(weight.shape)} has {weight.dim()} dimensions, (V, D) is needed")
    padding_idx = row_number("embedding", padding_idx, len(weight))
    index = input.reshape(-1)  # (n)
    _rows_exist("embedding", index, weight)
    if max_norm is not None:
        _shorten(weight, index, max_norm, norm_type)
    rows = _looked_up(weight, index, scale_grad_by_freq, sparse)  # (n, D)
    if padding_idx is not None:
        rows = torch.where((index == padding_idx).unsqueeze(1), rows.detach(), rows)
    return rows.reshape(*input.shape, weight.shape[1])


def embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """Sum, mean or maximum of the rows in each bag; of an empty bag it is 0.

    With scale_grad_by_freq each row's gradient is divided by how often that very row was looked up; on a CPU torch 2.13 may divide it by
    the count of another one (pytorch issue 190063).

    Args:
        input: indices, (B, L) for bags of L each, or (n), all bags one after another.
        weight: the table, (V, D).
        offsets: (B), where in (n) each bag begins; the first is 0.
        max_norm, norm_type, scale_grad_by_freq, sparse: as in `embedding`.
        mode: "sum", "mean" or "max".
        per_sample_weights: of input's shape: factors of the rows, for "sum".
        include_last_offset: offsets has one entry more, the end of the last bag.
        padding_idx: this row is left out of every bag.

    Returns:
        (B, D).

    Raises:
        ValueError: a shape, or the mode, is another; "max" with scale_grad_by_freq or sparse.
        NotImplementedError: per_sample_weights with another mode than "sum", as in torch.
        RuntimeError: types or offsets do not fit.
        IndexError: an index is no row.
    """
    _fitting_bags(input, weight, offsets, per_sample_weights, mode, scale_grad_by_freq, sparse)
    index, bag, B = _bags(input, offsets, include_last_offset)
    padding_idx = row_number("embedding_bag", padding_idx, len(weight))
    _rows_exist("embedding_bag", index, weight)
    if max_norm is not None:
        _shorten(weight, index, max_norm, norm_type)
    rows = _looked_up(weight, index, scale_grad_by_freq, sparse)  # (n, D)
    # a sum of many rows in half precision stops growing: 256 + 1 is 256 in bfloat16
    rows = rows.float() if rows.dtype in (torch.bfloat16, torch.float16) else rows
    present = torch.ones_like(index, dtype=torch.bool) if padding_idx is None else index != padding_idx
    if mode == "max":
        return _largest(rows, bag, present, B).to(weight.dtype)
    if per_sample_weights is not None:
        rows = rows * per_sample_weights.reshape(-1, 1)
    total = rows.new_zeros(B, rows.shape[1]).index_add(0, bag, torch.where(present.unsqueeze(1), rows, 0))  # (B, D)
    if mode == "sum":
        return total.to(weight.dtype)
    sizes = total.new_zeros(B).index_add(0, bag, present.to(total.dtype))
    return (total / sizes.clamp(min=1).unsqueeze(1)).to(weight.dtype)


def _bags(input: Tensor, offsets: Tensor | None, include_last_offset: bool) -> tuple[Tensor, Tensor, int]:
    """The indices in one row (n), the bag of each (n), and how many bags there are."""
    if offsets is None:
        B, L = input.shape
        return input.reshape(-1), torch.arange(B, device=input.device).repeat_interleave(L), B
    B = len(offsets) - include_last_offset
    _in_order(offsets, len(input))
    return input, torch.bucketize(torch.arange(len(input), device=input.device), offsets[:B].long(), right=True) - 1, B


class SparseRows(torch.autograd.Function):
    """`weight[index]`, whose gradient is a sparse tensor of the rows looked up, and never as large as the table."""

    @staticmethod
    def forward(weight: Tensor, index: Tensor) -> Tensor:
        return weight.index_select(0, index)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        weight, index = inputs
        ctx.save_for_backward(index)
        ctx.shape = weight.shape

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (index,) = ctx.saved_tensors
        return torch.sparse_coo_tensor(index.unsqueeze(0), gradient, ctx.shape, check_invariants=False), None


def row_number(name: str, padding_idx: int | None, rows: int) -> int | None:
    """A row counted from the front, that may have been counted from the back.

    Raises:
        AssertionError: there is no such row.
    """
    if padding_idx is None:
        return None
    if not -rows <= padding_idx < max(rows, 1):
        raise AssertionError(f"{name}: padding_idx is {padding_idx}, a row of {rows} is needed")
    return padding_idx % rows if padding_idx < 0 else padding_idx


def _looked_up(weight: Tensor, index: Tensor, scale_grad_by_freq: bool, sparse: bool) -> Tensor:
    """Rows (n, D), with the gradient that is asked for."""
    rows = SparseRows.apply(weight, index) if sparse and torch.is_grad_enabled() else weight.index_select(0, index)
    if not scale_grad_by_freq:
        return rows
    times = rows.new_zeros(len(weight)).index_add(0, index, rows.new_ones(len(index)))  # (V)
    # the difference is 0: the value stays, and only the gradient is divided
    return rows.detach() + (rows - rows.detach()) / times.index_select(0, index).unsqueeze(1)


def _shorten(weight: Tensor, index: Tensor, max_norm: float, norm_type: float) -> None:
    """Scale the rows that are longer than max_norm down to it, in place; a row that is there twice is written twice alike."""
    with torch.no_grad():
        rows = weight.detach().index_select(0, index)
        lengths = p_norm(rows, norm_type, 1, keepdim=True)
        scale = torch.where(lengths > max_norm, max_norm / (lengths + 1e-7), 1)  # torch's 1e-7
        weight.detach().index_copy_(0, index.long(), rows * scale)


def _largest(rows: Tensor, bag: Tensor, present: Tensor, bags: int) -> Tensor:
    """Maximum of each bag and column; of equal entries the first one gets the gradient."""
    n, D = rows.shape
    into = bag.unsqueeze(1).expand(n, D)
    lowest = torch.full((bags, D), -float("inf"), dtype=rows.dtype, device=rows.device)
    values = torch.where(present.unsqueeze(1), rows.detach(), -float("inf"))
    best = lowest.scatter_reduce(0, into, values, "amax")  # (B, D)
    position = torch.arange(n, device=rows.device).unsqueeze(1).expand(n, D)
    candidate = torch.where((values == best.gather(0, into)) & present.unsqueeze(1), position, n)
    first = torch.full((bags, D), n, device=rows.device).scatter_reduce(0, into, candidate, "amin")  # (B, D)
    return torch.cat([rows, rows.new_zeros(1, D)]).gather(0, first)  # entry n stands for an empty bag


def _integers(name: str, input: Tensor) -> None:
    if input.dtype not in (torch.int32, torch.int64):
        raise RuntimeError(f"{name}: input is {input.dtype}, indices are needed as torch.int32 or torch.int64")


def _rows_exist(name: str, index: Tensor, weight: Tensor) -> None:
    """Raise unless every index is a row, if that can be seen."""
    if not values_known(index) or not len(index):
        return
    low, high = (int(i) for i in index.aminmax())
    if low < 0 or high >= len(weight):
        raise IndexError(
            f"{name}: input has index {low if low < 0 else high}, weight {tuple(weight.shape)} has rows 0 to {len(weight) - 1}"
        )


def _fitting_bags(
    input: Tensor, weight: Tensor, offsets: Tensor | None, factors: Tensor | None, mode: str, by_frequency: bool, sparse: bool
) -> None:
    """Raise unless the arguments of `embedding_bag` go together."""
    if factors is not None and factors.shape != input.shape:
        raise ValueError(f"embedding_bag: per_sample_weights {tuple(factors.shape)} is not of the shape of input {tuple(input.shape)}")
    if weight.dim() != 2:
        raise ValueError(f"embedding_bag: weight {tuple(weight.shape)} has {weight.dim()} dimensions, (V, D) is needed")
    if input.dim() not in (1, 2):
        raise ValueError(f"embedding_bag: input {tuple(input.shape)} has {input.dim()} dimensions, (n) or (B, L) is needed")
    if input.dim() == 2 and offsets is not None:
        raise ValueError(f"embedding_bag: input {tuple(input.shape)} holds bags of equal size already, offsets must be None")
    if input.dim() == 1 and (offsets is None or offsets.dim() != 1):
        found = "None" if offsets is None else tuple(offsets.shape)
        raise ValueError(f"embedding_bag: offsets is {found}, (B) is needed to tell where the bags in (n) begin")
    if mode not in ("sum", "mean", "max"):
        raise ValueError(f"embedding_bag: mode is {mode!r}, 'sum', 'mean' or 'max' is needed")
    if mode == "max" and (by_frequency or sparse):
        raise ValueError(f"embedding_bag: mode 'max' goes without {'scale_grad_by_freq' if by_frequency else 'sparse'}")
    if factors is not None and mode != "sum":
        raise NotImplementedError(f"embedding_bag: per_sample_weights need mode 'sum', found {mode!r}")
    if factors is not None and factors.dtype != weight.dtype:
        raise RuntimeError(f"embedding_bag: per_sample_weights are {factors.dtype}, weight is {weight.dtype}; both need the same")
    _integers("embedding_bag", input)
    if offsets is not None:
        _integers("embedding_bag: offsets instead of an", offsets)


def _in_order(offsets: Tensor, n: int) -> None:
    """Raise unless the bags begin at 0 and within the indices. Where looking would wait for a GPU, or break a compiled graph: trust."""
    if offsets.device.type != "cpu" or torch.compiler.is_compiling() or not len(offsets):
        return
    first, last = int(offsets[0]), int(offsets[-1])
    if first != 0 or last > n:
        raise RuntimeError(f"embedding_bag: offsets go from {first} to {last}, they must begin with 0 and stay within the {n} indices")
