"""Hooks: functions of other people's that a module calls along the way, and the handles that take them away again."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

_keys = itertools.count()


class Handle:
    """Takes a hook away, by `remove` or at the end of a `with` block.

    Args:
        hooks: where it is kept.
        hook: what is kept.
    """

    def __init__(self, hooks: dict[int, Any], hook: Any) -> None:
        self._hooks, self._key = hooks, next(_keys)
        hooks[self._key] = hook

    def remove(self) -> None:
        """Take the hook away; does nothing the second time."""
        self._hooks.pop(self._key, None)

    def __enter__(self) -> Handle:
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()


class _Boundary(torch.autograd.Function):
    """Passes tensors through, and on the way back all their gradients at once through a function, which may change them."""

    @staticmethod
    def forward(ctx: Any, on_the_way_back: Callable[[tuple[Any, ...]], tuple[Any, ...]], *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.on_the_way_back = on_the_way_back
        ctx.set_materialize_grads(False)
        return tuple(x.view_as(x) for x in tensors)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Any, ...]:
        return (None, *ctx.on_the_way_back(gradients))


def through(values: Sequence[Any], on_the_way_back: Callable[[tuple[Any, ...]], tuple[Any, ...] | None]) -> tuple[tuple[Any, ...], bool]:
    """Let those of some values that need a gradient pass a boundary.

    Args:
        values: of any kind.
        on_the_way_back: is given a gradient for each value (None where there is none), and returns others or None.

    Returns:
        The values, and whether any needs a gradient.
    """
    places = [i for i, x in enumerate(values) if isinstance(x, Tensor) and x.requires_grad]
    if not places:
        return tuple(values), False

    def spread(gradients: tuple[Any, ...]) -> tuple[Any, ...]:
        everywhere: list[Any] = [None] * len(values)
        for i, g in zip(places, gradients, strict=True):
            everywhere[i] = g
        changed = on_the_way_back(tuple(everywhere))
        return gradients if changed is None else tuple(changed[i] for i in places)

    passed = list(values)
    for i, x in zip(places, _Boundary.apply(spread, *(values[i] for i in places)), strict=True):
        passed[i] = x
    return tuple(passed), True
