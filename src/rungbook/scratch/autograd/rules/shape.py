"""Gradients of operations that move elements and change none: views, copies, joins, cuts.

Each is linear, so its gradient is its transpose: what was cut out is put back into zeros, what was repeated is summed.
"""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor

from rungbook.scratch.autograd.rules.form import Rule

aten = torch.ops.aten


def _back(g: Tensor, y: Any, x: Tensor, *_: Any, **__: Any) -> Tensor:
    return g.reshape(x.shape)


def _same(g: Tensor, y: Any, x: Tensor, *_: Any, **__: Any) -> Tensor:
    return g


def _placed(g: Tensor, x: Tensor, dim: int, start: int, step: int = 1) -> Tensor:
    """g within zeros of x's shape, at start, start + step, ... of one dimension."""
    return aten.slice_backward(g, x.shape, dim, start, start + (g.shape[dim] - 1) * step + 1 if g.shape[dim] else start, step)


def _slice(g: Tensor, y: Tensor, x: Tensor, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1) -> Tensor:
    first = slice(start, end, step).indices(x.shape[dim])[0]
    return _placed(g, x, dim, first, step)


def _permute(g: Tensor, y: Tensor, x: Tensor, dims: list[int]) -> Tensor:
    inverse = [0] * len(dims)
    for place, dim in enumerate(dims):
        inverse[dim % len(dims)] = place
    return g.permute(inverse)


def _parts(g: list[Tensor | None], y: list[Tensor], x: Tensor, dim: int) -> Tensor:
    return torch.cat([torch.zeros_like(b) if a is None else a for a, b in zip(g, y, strict=True)], dim)


def _unbind(g: list[Tensor | None], y: list[Tensor], x: Tensor, dim: int = 0) -> Tensor:
    return torch.stack([torch.zeros_like(b) if a is None else a for a, b in zip(g, y, strict=True)], dim)


def _cat(g: Tensor, y: Tensor, parts: list[Tensor], dim: int = 0) -> list[Tensor]:
    # an old form of empty tensor, shape (0), joins with anything
    old = [p.dim() == 1 and p.shape[0] == 0 and y.dim() > 1 for p in parts]
    cuts = g.split([0 if empty else p.shape[dim] for p, empty in zip(parts, old, strict=True)], dim)
    return [g.new_zeros(0) if empty else cut for cut, empty in zip(cuts, old, strict=True)]


def _roll(g: Tensor, y: Tensor, x: Tensor, shifts: Any, dims: Any = ()) -> Tensor:
    return torch.roll(g, [-s for s in shifts], dims)


def _repeat(g: Tensor, y: Tensor, x: Tensor, repeats: list[int]) -> Tensor:
    extra = len(repeats) - x.dim()
    pairs = list(zip(repeats[extra:], x.shape, strict=True))
    folded = g.reshape([*repeats[:extra], *itertools.chain.from_iterable(pairs)])  # each dimension as (repeats, size)
    dims = [*range(extra), *range(extra, extra + 2 * x.dim(), 2)]
    return folded.sum(dims) if dims else folded


def _diagonal(g: Tensor, y: Tensor, x: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    return aten.diagonal_backward(g, x.shape, offset, dim1, dim2)


def _expand(g: Tensor, y: Tensor, x: Tensor, *_: Any, **__: Any) -> Tensor:
    return g  # the walk sums over what was expanded


def _span(x: Tensor) -> int:
    """Elements of storage from x's first to its last, both included."""
    return 1 + sum((n - 1) * s for n, s in zip(x.shape, x.stride(), strict=True)) if x.numel() else 0


def places(size: Any, stride: Any, device: torch.device) -> Tensor:
    """Where the elements of a strided view lie, counted from its first."""
    place: Tensor = torch.zeros((), dtype=torch.int64, device=device)
    for n, s in zip(size, stride, strict=True):
        place = place.unsqueeze(-1) + torch.arange(n, device=device) * s  # (..., n)
    return place


def as_strided_back(g: Tensor, x: Tensor, size: Any, stride: Any, offset: int | None) -> Tensor:
    """Every element of a strided view adds to where it lies in x's storage; windows that overlap add up there.

    Where x itself shows one element of storage in several places, they share its gradient.
    """
    first = 0 if offset is None else offset - int(x.storage_offset())
    low, high = min(first, 0), max(first + 1 + sum((n - 1) * s for n, s in zip(size, stride, strict=True)), _span(x), 1)
    flat = g.new_zeros(high - low)
    flat = flat.index_add(0, (places(size, stride, g.device) + (first - low)).reshape(-1), g.reshape(-1))
    own = (places(x.shape, x.stride(), g.device) - low).reshape(-1)
    if _shown_twice(x):
        counts = g.new_zeros(high - low).index_add(0, own, g.new_ones(own.numel()))
        flat = flat / counts.clamp(min=1)
    return flat[own].reshape(x.shape)


def _shown_twice(x: Tensor) -> bool:
    reach = 0
    for s, n in sorted((s, n) for n, s in zip(x.shape, x.stride(), strict=True) if n > 1):
        if s <= reach:
            return True
        reach += (n - 1) * s
    return False


VIEWS: dict[Any, Rule] = {
    aten.view.default: (_back,),
    aten._unsafe_view.default: (_back,),
    aten.alias.default: (_same,),
    aten.clone.default: (_same,),
    aten._to_copy.default: (lambda g, y, x, **_: g.to(x.dtype).to(x.device),),
    aten.expand.default: (_expand,),
    aten.permute.default: (_permute,),
    aten.transpose.int: (lambda g, y, x, a, b: g.transpose(a, b),),
    aten.t.default: (lambda g, y, x: g.t(),),
    aten.squeeze.default: (_back,),
    aten.squeeze.dim: (_back,),
    aten.squeeze.dims: (_back,),
    aten.unsqueeze.default: (_back,),
    aten.select.int: (lambda g, y, x, dim, index: aten.select_backward(g, x.shape, dim, index),),
    aten.slice.Tensor: (_slice,),
    aten.diagonal.default: (_diagonal,),
    aten.unfold.default: (lambda g, y, x, dim, size, step: aten.unfold_backward(g, x.shape, dim, size, step),),
    aten.as_strided.default: (lambda g, y, x, size, stride, offset=None: as_strided_back(g, x, size, stride, offset),),
    aten.split.Tensor: (lambda g, y, x, size, dim=0: _parts(g, y, x, dim),),
    aten.split_with_sizes.default: (lambda g, y, x, sizes, dim=0: _parts(g, y, x, dim),),
    aten.unsafe_split.Tensor: (lambda g, y, x, size, dim=0: _parts(g, y, x, dim),),
    aten.unsafe_split_with_sizes.default: (lambda g, y, x, sizes, dim=0: _parts(g, y, x, dim),),
    aten.unbind.int: (_unbind,),
}
"""The same storage seen otherwise, and its copies."""

MOVES: dict[Any, Rule] = {
    aten.cat.default: (_cat,),
    aten.stack.default: (lambda g, y, parts, dim=0: g.unbind(dim),),
    aten.flip.default: (lambda g, y, x, dims: g.flip(dims),),
    aten.roll.default: (_roll,),
    aten.rot90.default: (lambda g, y, x, k=1, dims=(0, 1): g.rot90(-k, dims),),
    aten.repeat.default: (_repeat,),
    aten.tril.default: (lambda g, y, x, k=0: g.tril(k),),
    aten.triu.default: (lambda g, y, x, k=0: g.triu(k),),
    aten.constant_pad_nd.default: (lambda g, y, x, pad, value=0: aten.constant_pad_nd(g, [-n for n in pad], 0),),
    aten.diag_embed.default: (lambda g, y, x, offset=0, a=-2, b=-1: g.diagonal(offset, a, b),),
    # the transposes of cuts are what gradients are made of; nested tapes meet them
    aten.slice_backward.default: (lambda g, y, x, shape, dim, start, end, step: aten.slice(g, dim, start, end, step),),
    aten.select_backward.default: (lambda g, y, x, shape, dim, index: g.select(dim, index),),
    aten.diagonal_backward.default: (lambda g, y, x, shape, offset, a, b: g.diagonal(offset, a, b),),
    aten.unfold_backward.default: (lambda g, y, x, shape, dim, size, step: g.unfold(dim, size, step),),
    aten.select_scatter.default: (
        lambda g, y, x, source, dim, index: aten.select_scatter(g, torch.zeros_like(source), dim, index),
        lambda g, y, x, source, dim, index: g.select(dim, index),
    ),
    aten.slice_scatter.default: (
        lambda g, y, x, source, dim=0, start=None, end=None, step=1: aten.slice_scatter(g, torch.zeros_like(source), dim, start, end, step),
        lambda g, y, x, source, dim=0, start=None, end=None, step=1: aten.slice(g, dim, start, end, step),
    ),
    aten.diagonal_scatter.default: (
        lambda g, y, x, source, offset=0, a=0, b=1: aten.diagonal_scatter(g, torch.zeros_like(source), offset, a, b),
        lambda g, y, x, source, offset=0, a=0, b=1: g.diagonal(offset, a, b),
    ),
}
"""Joined, turned, repeated, padded, written into."""
