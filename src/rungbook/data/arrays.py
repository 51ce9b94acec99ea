"""Data from a pair of arrays in memory."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from rungbook.data.data import Data, fingerprint, make_feeds
from rungbook.data.feed import Inputs, TensorSource, map_inputs
from rungbook.data.split import split_indices
from rungbook.data.target import ClassTarget, NumberTarget, Target
from rungbook.errors import DataError


class ArrayEncoder:
    """Arrays as they are; bytes (uint8) become 0..1, whole and double numbers float32."""

    kind: ClassVar[str] = "array"

    def encode(self, items: Any) -> Inputs:
        """An array, a tensor or a tuple of them, stored as given (float64 as float32)."""
        return tuple(_tensor(i) for i in items) if isinstance(items, tuple) else _tensor(items)

    def prepare(self, x: Inputs) -> Inputs:
        """uint8 -> float32 in 0..1; the rest stays."""
        return map_inputs(x, lambda t: t.float().div_(255) if t.dtype == torch.uint8 else t)

    def describe(self) -> dict[str, Any]:
        """Nothing needs to be remembered."""
        return {}

    @classmethod
    def restore(cls, description: dict[str, Any]) -> ArrayEncoder:
        """An encoder like any other."""
        return cls()


def _tensor(items: Any) -> Tensor:
    t = items if isinstance(items, Tensor) else torch.as_tensor(np.asarray(items))
    return t.float() if t.dtype == torch.float64 else t


def array_data(
    x: Any,
    y: Any,
    *,
    valid: float = 0.1,
    test: float = 0.1,
    batch_size: int = 64,
    seed: int = 0,
    workers: int = 0,
    name: str = "arrays",
    audit: bool = False,
) -> Data:
    """Three splits of `x` (n, ...) and `y` (n, ...).

    Whole numbers and strings are classes, real numbers are to be predicted as they are (same shape as given, float32).

    Args:
        audit: whether to look for copies (a hash of every row) and keep them on one side of the split.

    Raises:
        DataError: x and y differ in length, or are empty.
    """
    encoder = ArrayEncoder()
    inputs = encoder.encode(x)
    n = len(inputs[0]) if isinstance(inputs, tuple) else len(inputs)
    if n != len(y) or n == 0:
        raise DataError("E113", f"x has {n} samples and y has {len(y)}.", "Give as many targets as samples, one or more.")
    target, labels = _target(y)
    groups = _groups(inputs, n) if audit else None
    strata = labels.numpy() if labels.ndim == 1 and isinstance(target, ClassTarget) else None
    parts = split_indices(n, valid=valid, test=test, seed=seed, strata=strata, groups=groups)
    sources = {}
    for part, index in parts.items():
        i = torch.as_tensor(index)
        names = [f"row {k}" for k in index.tolist()]
        sources[part] = TensorSource(map_inputs(inputs, lambda t, i=i: t.index_select(0, i)), labels.index_select(0, i), names)  # type: ignore[misc]
    feeds = make_feeds(sources, batch_size=batch_size, seed=seed, workers=workers, encoder=encoder)
    assert feeds["train"] is not None
    mark = fingerprint([*(inputs if isinstance(inputs, tuple) else (inputs,)), labels, *parts.values()])
    facts = {"rows": n, **{f"{part}_rows": len(i) for part, i in parts.items()}}
    return Data(name, target, feeds["train"], feeds["valid"], feeds["test"], encoder, facts=facts, fingerprint=mark)


def _target(y: Any) -> tuple[Target, Tensor]:
    values = y.detach().cpu().numpy() if isinstance(y, Tensor) else np.asarray(y)
    if values.dtype.kind in "fc":
        return NumberTarget(), torch.as_tensor(values, dtype=torch.float32)
    if values.dtype.kind in "iub":
        labels = torch.as_tensor(values.astype(np.int64))
        return ClassTarget(tuple(str(i) for i in range(int(labels.max()) + 1))), labels
    target = ClassTarget(tuple(sorted({str(v) for v in values.tolist()})))
    return target, target.encode(values.tolist())


def _groups(inputs: Inputs, n: int) -> np.ndarray:
    parts = [t.reshape(n, -1).numpy() for t in (inputs if isinstance(inputs, tuple) else (inputs,))]
    numbers: dict[bytes, int] = {}
    return np.array([numbers.setdefault(b"|".join(p[i].tobytes() for p in parts), len(numbers)) for i in range(n)])
