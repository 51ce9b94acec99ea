"""Data from a pair of arrays in memory."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from rungbook.data.data import Data, fingerprint, make_feeds
from rungbook.data.feed import Inputs, Source, TensorSource, map_inputs
from rungbook.data.split import split_indices
from rungbook.data.target import ClassTarget, NumberTarget, Target
from rungbook.errors import DataError

MOST_CLASSES = 1000
"""Class numbers up to which gaps are taken for classes that have no sample here; above that, only as many as there are samples."""


class ArrayEncoder:
    """Arrays as they are: bytes (uint8) become 0..1, double numbers float32; other whole numbers stay, they may be token ids."""

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
    try:
        t = items if isinstance(items, Tensor) else torch.as_tensor(np.asarray(items))
    except (TypeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise DataError("E104", f"x holds no plain numbers ({reason}).", "Make one array of numbers of the samples: np.stack(x)") from error
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
        DataError: E113 x and y differ in length or are empty, E104 x holds no numbers, E102 a class number below 0 or beyond the number
            of samples, E110 one class only, E112 a target that is not finite.
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
    sources: dict[str, Source] = {}
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
    if values.dtype.kind == "f":
        lost = np.flatnonzero(~np.isfinite(values.reshape(len(values), -1)).all(axis=1))
        if len(lost):
            message = f"{len(lost):,} of {len(values):,} targets are not finite, first that of sample {lost[0]}."
            raise DataError("E112", message, "Leave them out: keep = np.isfinite(y); x, y = x[keep], y[keep]")
        return NumberTarget(), torch.as_tensor(values, dtype=torch.float32)
    if values.dtype.kind in "iub":
        labels = values.astype(np.int64)
        wrong = np.argwhere((labels < 0) | (labels >= max(len(labels), MOST_CLASSES)))
        if len(wrong):
            label, sample = labels[tuple(wrong[0])], wrong[0][0]
            message = f"Label {label} of sample {sample} is no class number: {len(labels):,} samples have classes 0, 1, 2, ..."
            raise DataError("E102", message, "Number them anew: y = np.unique(y, return_inverse=True)[1]")
        _refuse_one_class(labels)
        return ClassTarget(tuple(str(i) for i in range(int(labels.max()) + 1))), torch.as_tensor(labels)
    _refuse_one_class(values)
    target = ClassTarget(tuple(sorted({str(v) for v in values.tolist()})))
    return target, target.encode(values.tolist())


def _refuse_one_class(values: np.ndarray) -> None:
    if (values == values.reshape(-1)[0]).all():
        message = f'All {len(values):,} targets are "{values.reshape(-1)[0]}": it takes two classes to tell apart.'
        raise DataError("E110", message, "Add samples of another class; if y are numbers to predict, give them as floats: y.astype(float)")


def _groups(inputs: Inputs, n: int) -> np.ndarray:
    parts = [t.reshape(n, -1).numpy() for t in (inputs if isinstance(inputs, tuple) else (inputs,))]
    numbers: dict[bytes, int] = {}
    return np.array([numbers.setdefault(b"|".join(p[i].tobytes() for p in parts), len(numbers)) for i in range(n)])
