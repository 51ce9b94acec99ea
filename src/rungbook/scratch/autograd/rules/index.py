"""Gradients of reading and writing by index: what was read from a place adds to it, also where a place was read twice.

Letters: g gradient of the output, y output, x what is read or written, i indices, v what is written.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rungbook.scratch.autograd.rules.form import Rule

aten = torch.ops.aten


def _zeros(g: Tensor, x: Tensor) -> Tensor:
    return torch.zeros(x.shape, dtype=g.dtype, device=g.device)


def _index(g: Tensor, y: Tensor, x: Tensor, i: list[Tensor | None]) -> Tensor:
    return aten.index_put(_zeros(g, x), i, g, True)


def _put_kept(g: Tensor, y: Tensor, x: Tensor, i: list[Tensor | None], v: Tensor, accumulate: bool = False) -> Tensor:
    return g if accumulate else aten.index_put(g, i, torch.zeros((), dtype=g.dtype, device=g.device))


def _select(g: Tensor, y: Tensor, x: Tensor, dim: int, i: Tensor) -> Tensor:
    return _zeros(g, x).index_add(dim, i, g)


def _masked_select(g: Tensor, y: Tensor, x: Tensor, mask: Tensor) -> Tensor:
    shape = torch.broadcast_shapes(x.shape, mask.shape)
    return torch.zeros(shape, dtype=g.dtype, device=g.device).masked_scatter(mask, g)


def _masked_source(g: Tensor, y: Tensor, x: Tensor, mask: Tensor, v: Tensor) -> Tensor:
    taken = g.masked_select(mask.expand(g.shape))
    return torch.cat([taken, taken.new_zeros(v.numel() - taken.numel())]).reshape(v.shape)


def _take(g: Tensor, y: Tensor, x: Tensor, i: Tensor) -> Tensor:
    return torch.zeros(x.numel(), dtype=g.dtype, device=g.device).put(i, g, True).reshape(x.shape)


def _fitted(g: Tensor, i: Tensor, v: Tensor) -> Tensor:
    """Gradient of the part of v that was written, within zeros for the part that was not."""
    for d in range(v.dim()):
        if v.shape[d] != g.shape[d]:
            g = torch.cat([g, g.new_zeros([*g.shape[:d], v.shape[d] - g.shape[d], *g.shape[d + 1 :]])], d)
    return g


def _embedding(
    g: Tensor, y: Tensor, w: Tensor, i: Tensor, padding_idx: int = -1, by_frequency: bool = False, sparse: bool = False
) -> Tensor:
    return aten.embedding_dense_backward(g, i, w.shape[0], padding_idx, by_frequency)


def _embedding_twice(g: Tensor, y: Tensor, x: Tensor, i: Tensor, n: int, padding_idx: int, by_frequency: bool) -> Tensor:
    rows = torch.where((i == padding_idx).unsqueeze(-1), 0, g[i])  # (*, d)
    return rows / torch.bincount(i.reshape(-1), minlength=n)[i].unsqueeze(-1) if by_frequency else rows


INDEXING: dict[Any, Rule] = {
    aten.index.Tensor: (_index,),
    aten._unsafe_index.Tensor: (_index,),
    aten.index_put.default: (_put_kept, None, lambda g, y, x, i, v, accumulate=False: g[tuple(slice(None) if t is None else t for t in i)]),
    aten.index_select.default: (_select,),
    aten.index_add.default: (
        lambda g, y, x, dim, i, v, alpha=1: g,
        None,
        None,
        lambda g, y, x, dim, i, v, alpha=1: g.index_select(dim, i).reshape(v.shape) * alpha,
    ),
    aten.index_copy.default: (
        lambda g, y, x, dim, i, v: g.index_fill(dim, i, 0),
        None,
        None,
        lambda g, y, x, dim, i, v: g.index_select(dim, i).reshape(v.shape),
    ),
    aten.index_fill.int_Scalar: (lambda g, y, x, dim, i, value: g.index_fill(dim, i, 0),),
    aten.index_fill.int_Tensor: (
        lambda g, y, x, dim, i, value: g.index_fill(dim, i, 0),
        None,
        None,
        lambda g, y, x, dim, i, value: g.index_select(dim, i.unique()).sum(),
    ),
    aten.gather.default: (lambda g, y, x, dim, i, sparse_grad=False: _zeros(g, x).scatter_add(dim, i, g),),
    aten.scatter.src: (
        lambda g, y, x, dim, i, v: g.scatter(dim, i, 0),
        None,
        None,
        lambda g, y, x, dim, i, v: _fitted(g.gather(dim, i), i, v),
    ),
    aten.scatter.value: (lambda g, y, x, dim, i, value: g.scatter(dim, i, 0),),
    aten.scatter_add.default: (
        lambda g, y, x, dim, i, v: g,
        None,
        None,
        lambda g, y, x, dim, i, v: _fitted(g.gather(dim, i), i, v),
    ),
    aten.masked_select.default: (_masked_select,),
    aten.masked_scatter.default: (lambda g, y, x, mask, v: g.masked_fill(mask, 0), None, _masked_source),
    aten.take.default: (_take,),
    aten.put.default: (
        lambda g, y, x, i, v, accumulate=False: g if accumulate else g.put(i, torch.zeros_like(v), False),
        None,
        lambda g, y, x, i, v, accumulate=False: g.take(i).reshape(v.shape),
    ),
    aten.embedding.default: (_embedding,),
    aten.embedding_dense_backward.default: (_embedding_twice,),
}
