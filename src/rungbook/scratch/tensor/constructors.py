"""Which ways to a tensor copy and which share memory: found out by writing, not by reading the manual.

Sharing is what makes `from_numpy` and `view` free, and what makes a change in one place turn up in another. `torch.Tensor` is the class,
and makes float32 out of whatever it gets; `torch.tensor` always copies; `as_tensor` and `asarray` copy only if they must.
"""

from __future__ import annotations

import array
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Way:
    """One way to a tensor.

    Args:
        name: as one would write it.
        source: makes what it starts from, anew each time; numbers 0 to 5.
        make: the tensor out of it.
    """

    name: str
    source: Callable[[], Any]
    make: Callable[[Any], torch.Tensor]


@dataclass(frozen=True)
class Found:
    """What came out of one way: whether a number written into the source afterwards is seen in the tensor, and the tensor's type."""

    name: str
    shares: bool
    dtype: torch.dtype


def _numbers() -> torch.Tensor:
    return torch.arange(6, dtype=torch.float64)


def _matrix() -> torch.Tensor:
    return _numbers().view(2, 3)


_LIST: Callable[[], Any] = lambda: [float(i) for i in range(6)]
_NUMPY: Callable[[], Any] = lambda: _numbers().numpy()

WAYS: tuple[Way, ...] = (
    Way("torch.Tensor(list)", _LIST, torch.Tensor),
    Way("torch.tensor(list)", _LIST, torch.tensor),
    Way("torch.as_tensor(list)", _LIST, torch.as_tensor),
    Way("torch.Tensor(numpy array)", _NUMPY, torch.Tensor),
    Way("torch.tensor(numpy array)", _NUMPY, torch.tensor),
    Way("torch.as_tensor(numpy array)", _NUMPY, torch.as_tensor),
    Way("torch.as_tensor(numpy array, dtype=torch.float32)", _NUMPY, lambda s: torch.as_tensor(s, dtype=torch.float32)),
    Way("torch.asarray(numpy array)", _NUMPY, torch.asarray),
    Way("torch.asarray(numpy array, copy=True)", _NUMPY, lambda s: torch.asarray(s, copy=True)),
    Way("torch.from_numpy(numpy array)", _NUMPY, torch.from_numpy),
    Way("torch.frombuffer(array.array)", lambda: array.array("d", range(6)), lambda s: torch.frombuffer(s, dtype=torch.float64)),
    Way("torch.tensor(tensor)", _numbers, torch.tensor),
    Way("torch.as_tensor(tensor)", _numbers, torch.as_tensor),
    Way("tensor.clone()", _numbers, torch.Tensor.clone),
    Way("tensor.detach()", _numbers, torch.Tensor.detach),
    Way("tensor.to(its own type)", _numbers, lambda s: s.to(torch.float64)),
    Way("tensor.to(another type)", _numbers, lambda s: s.to(torch.float32)),
    Way("tensor[1:3]", _numbers, lambda s: s[1:3]),
    Way("tensor[[1, 2]]", _numbers, lambda s: s[[1, 2]]),
    Way("tensor.view(2, 3)", _numbers, lambda s: s.view(2, 3)),
    Way("matrix.T", _matrix, lambda s: s.T),
    Way("matrix.reshape(6)", _matrix, lambda s: s.reshape(6)),
    Way("matrix.T.reshape(6)", _matrix, lambda s: s.T.reshape(6)),
    Way("matrix.contiguous()", _matrix, torch.Tensor.contiguous),
    Way("matrix.T.contiguous()", _matrix, lambda s: s.T.contiguous()),
    Way("matrix.flatten()", _matrix, torch.Tensor.flatten),
    Way("tensor.expand(2, 6)", _numbers, lambda s: s.expand(2, 6)),
    Way("tensor.repeat(2, 1)", _numbers, lambda s: s.repeat(2, 1)),
)


def sharing() -> list[Found]:
    """Every way, tried: make the tensor, write 99 over all numbers of the source, look whether the tensor shows it."""
    found = []
    for way in WAYS:
        source = way.source()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch advises against tensor(tensor), which is one of the answers
            x = way.make(source)
        rows = source if not isinstance(source, torch.Tensor) else source.view(-1)
        for i in range(6):
            rows[i] = 99.0
        found.append(Found(way.name, bool((x == 99).any()), x.dtype))
    return found
