"""The form of a gradient rule, and what many rules share.

A rule has one formula for each argument of its operation, `formula(g, y, *arguments) -> gradient of that argument`: g is the gradient of
the output y, both as the operation returns them (a list where it returns several; the gradient of one that was not used is None). A
gradient may still have the shape the arguments were broadcast to, or a wider dtype: the walk sums and casts it. An argument that takes none
has None. An operation whose gradients cost less together has a `Joint` formula in place of the tuple.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Formula = Callable[..., Any]


@dataclass(frozen=True)
class Joint:
    """One formula for all arguments: `formula(wanted, g, y, *arguments) -> gradients`, where `wanted` tells which of them count."""

    formula: Callable[..., Any]


Rule = tuple[Formula | None, ...] | Joint


def nothing(*_: Any, **__: Any) -> None:
    """The formula of an argument that the output does not depend on smoothly."""


def scaled(g: Tensor, factor: Any) -> Tensor:
    """`factor * g`, without a multiplication by 1."""
    return g if factor == 1 else -g if factor == -1 else g * factor


def dims_of(dim: Any, rank: int) -> tuple[int, ...]:
    """Dimensions counted from the front; all of them for None and for none."""
    listed = [dim] if isinstance(dim, int) else list(dim or range(rank))
    return tuple(sorted(d % max(rank, 1) for d in listed)) if rank else ()


def spread(g: Tensor, x: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """What was reduced over `dim`, again in x's shape."""
    if not keepdim:
        for d in dims_of(dim, x.dim()):
            g = g.unsqueeze(d)  # one more 1
    return g.expand(x.shape)


def summed(g: Tensor, shape: torch.Size) -> Tensor:
    """g summed over what was broadcast, so that it has `shape`."""
    extra = g.dim() - len(shape)
    ones = [i for i, n in enumerate(shape) if n == 1 and g.shape[i + extra] != 1]
    dims = [*range(extra), *(i + extra for i in ones)]
    return (g.sum(dims, keepdim=True) if dims else g).reshape(shape)
