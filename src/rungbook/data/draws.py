"""Random numbers that belong to a sample, not to a process.

Each number is a hash of (seed, epoch, stream, sample): a counter-based generator (Steele, Lea, Flood 2014, "Fast splittable
pseudorandom number generators", the SplitMix64 finaliser). Whoever asks, in whatever order and from whichever worker process, gets the
same number, so results depend neither on the number of workers nor on where a run was interrupted.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_MIX1, _MIX2 = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def _signed(value: int) -> int:
    """The int64 with the bits of `value`: torch has no arithmetic on uint64."""
    return value - (1 << 64) if value >> 63 else value


def _mix(z: int) -> int:
    z = ((z ^ (z >> 30)) * _MIX1) & _MASK
    z = ((z ^ (z >> 27)) * _MIX2) & _MASK
    return z ^ (z >> 31)


def _shift(z: Tensor, bits: int) -> Tensor:
    """Logical shift right; torch's is arithmetic on int64."""
    return (z >> bits) & ((1 << (64 - bits)) - 1)


def key(*parts: int) -> int:
    """Fold whole numbers into one 64-bit key; the order counts."""
    k = 0
    for part in parts:
        k = _mix(((k ^ (part & _MASK)) + _GOLDEN) & _MASK)
    return k


def bits(seed: int, epoch: int, stream: int | Sequence[int], samples: Tensor) -> Tensor:
    """64 random bits for each sample.

    Args:
        seed: the run's seed.
        epoch: epoch, from 0.
        stream: which draw of the sample this is (one number a use: crop row, crop column, flip, ...); or several of them at once.
        samples: int64 sample numbers, shape (B,), any device.

    Returns:
        int64, shape (B,), on the device of `samples`; for several streams (streams, B), each row as that stream alone would give it.
    """
    if isinstance(stream, int):
        start: Tensor | int = _signed(key(seed, epoch, stream))
    else:
        keys = [_signed(key(seed, epoch, one)) for one in stream]
        start = torch.tensor(keys, device=samples.device).view(-1, *[1] * samples.ndim)
    z = samples * _signed(_GOLDEN) + start
    z = (z ^ _shift(z, 30)) * _signed(_MIX1)
    z = (z ^ _shift(z, 27)) * _signed(_MIX2)
    return z ^ _shift(z, 31)


def uniform(seed: int, epoch: int, stream: int | Sequence[int], samples: Tensor) -> Tensor:
    """A number in [0, 1) for each sample, float64 with 53 random bits, shape as of `bits`."""
    return _shift(bits(seed, epoch, stream, samples), 11).double() * 2.0**-53


def integers(seed: int, epoch: int, stream: int | Sequence[int], samples: Tensor, high: int) -> Tensor:
    """A whole number in 0..high-1 for each sample, int64, shape as of `bits`."""
    return (uniform(seed, epoch, stream, samples) * high).long()


def permutation(seed: int, epoch: int, n: int) -> Tensor:
    """The order in which `n` samples are seen in an epoch: int64, shape (n,)."""
    generator = torch.Generator().manual_seed(key(seed, epoch) & ((1 << 63) - 1))
    return torch.randperm(n, generator=generator)
