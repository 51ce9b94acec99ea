"""Expressions that read the same on tensors, on `Var`s and within `vjp`: whoever differentiates must agree on them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    """Random numbers in float64, from a seed and the shape."""
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed + sum(shape)))


SAME: dict[str, tuple[Callable[..., Any], list[tuple[int, ...]]]] = {
    "numbers on either side": (lambda x: 2 - (3 + x * 4 - 1) * 2 / 5 + 1 / (x * x + 2), [(2, 3)]),
    "powers by numbers": (lambda x: x**3 + (x * x + 1) ** 0.5 + (x * x + 1) ** -1 + x**1 + x**0, [(2, 3)]),
    "powers of numbers": (lambda x: 2**x + 0.3**x, [(2, 3)]),
    "powers": (lambda x, y: (x * x + 0.1) ** y, [(2, 3), (3,)]),
    "negative, absolute": (lambda x: -abs(x) * x, [(2, 3)]),
    "exponential, logarithm, root": (lambda x: (x.exp() + 1).log() * (x * x + 1).sqrt(), [(2, 3)]),
    "squashed": (lambda x: x.relu() + x.sigmoid() * x.tanh(), [(3, 4)]),
    "broadcast": (lambda x, y, z: (x + y) * z - y / (z * z + 1), [(2, 1, 3), (4, 1), ()]),
    "broadcast over nothing": (lambda x, y: x * y, [(0, 3), (1, 3)]),
    "sum": (lambda x: x.sum() + x.sum(1).sum(0) + x.sum((0, -1)) + x.sum(-1, keepdim=True), [(2, 3)]),
    "mean": (lambda x: x.mean() + x.mean(0) + x.mean((0, 1)) + x.mean(-1, True), [(2, 3)]),
    "softmax": (lambda x: x.softmax(-1) * x.log_softmax(0) + x.logsumexp(1, keepdim=True) + x.logsumexp(-1), [(3, 3)]),
    "reshape": (lambda x: x.reshape(3, -1) * 2 + x.transpose(0, 1).reshape(3, 4), [(4, 3)]),
    "permute": (lambda x: x.permute(2, 0, 1) * x.permute(-1, 0, -2) + x.mT.reshape(4, 2, 3), [(2, 3, 4)]),
    "slices": (lambda x: x[1:, ::2] * x[None, 0, ..., :2] + x[-1, -1], [(3, 4)]),
    "the same twice": (lambda x: (x * x + x) * x, [(2,)]),
    "matrix": (lambda a, b: a @ b, [(2, 3), (3, 4)]),
    "matrix and vector": (lambda a, b: a @ b, [(2, 3), (3,)]),
    "vector and matrix": (lambda a, b: a @ b, [(3,), (3, 4)]),
    "vectors": (lambda a, b: a @ b, [(3,), (3,)]),
    "batch and matrix": (lambda a, b: a @ b, [(5, 2, 3), (3, 4)]),
    "matrix and batch": (lambda a, b: a @ b, [(2, 3), (5, 3, 4)]),
    "batches": (lambda a, b: a @ b, [(5, 1, 2, 3), (6, 3, 4)]),
    "batch and vector": (lambda a, b: a @ b, [(5, 2, 3), (3,)]),
    "vector and batch": (lambda a, b: a @ b, [(3,), (5, 3, 4)]),
    "largest": (lambda x: x.amax() + x.amax(0) * x.amax((0, -1), keepdim=True), [(3, 3)]),
    "no rows": (lambda a, b: a @ b, [(0, 3), (3, 4)]),
}
"""Name -> function of tensors, and their shapes."""

INDICES = [
    torch.tensor([0, 0, 2, 0]),
    [0, 0, 1],
    (torch.tensor([0, 0]), torch.tensor([1, 1])),
    (slice(None), torch.tensor([[1, 1], [0, 1]])),
    (torch.tensor([1, 1]), slice(0, 2)),
    (Ellipsis, 0),
    torch.tensor([True, False, True]),
    (None, -1),
    slice(2, 2),
    (),
]
