"""Schedules as plain functions: of the position in training (0 to 1), or of the step. Any of them drives an optimiser by `LambdaLR`.

warm = cosine(top=1.0, last=0.01, steps=1000, warmup=100)
LambdaLR(optimizer, warm)
LambdaLR(optimizer, lambda t: combine([0.3, 0.7], [cos(0.1, 1), cos(1, 0.01)])(t / 1000))
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence

Position = Callable[[float], float]
"""Position in training, 0 to 1 -> value."""

Steps = Callable[[float], float]
"""Step, counted from 0 -> value."""


# Of the position


def no(start: float, end: float) -> Position:
    """Start throughout."""
    return lambda x: start


def lin(start: float, end: float) -> Position:
    """`start + x * (end - start)`: equal differences."""
    return lambda x: start + x * (end - start)


def cos(start: float, end: float) -> Position:
    """`start + (1 - cos(pi * x)) / 2 * (end - start)`: flat at both ends."""
    return lambda x: start + (1 - math.cos(math.pi * x)) / 2 * (end - start)


def exp(start: float, end: float) -> Position:
    """`start * (end / start)**x`: equal ratios.

    Raises:
        ValueError: start or end is 0, or their signs differ.
    """
    if start * end <= 0:
        raise ValueError(f"start and end are {start} and {end}, needed are two numbers above 0, since only those have a ratio")
    return lambda x: start * (end / start) ** x


def combine(shares: Sequence[float], schedules: Sequence[Position]) -> Position:
    """One schedule after another, each over its share of the whole: `combine([0.3, 0.7], [cos(0.1, 1), cos(1, 0)])`.

    Args:
        shares: of the position, above 0, summing up to 1.
        schedules: as many.

    Raises:
        ValueError: other numbers of them; shares that are not above 0 or do not sum up to 1.
    """
    if len(shares) != len(schedules):
        raise ValueError(f"{len(schedules)} schedules need as many shares, found {len(shares)}")
    if min(shares, default=0) <= 0 or not math.isclose(sum(shares), 1):
        raise ValueError(f"shares are {list(shares)}, needed are numbers above 0 that sum up to 1")
    starts = [sum(shares[:i]) for i in range(len(shares))]

    def value(x: float) -> float:
        i = max(bisect_right(starts, x) - 1, 0)
        return schedules[i]((x - starts[i]) / shares[i])

    return value


# Of the step


def square_root(top: float = 1.0) -> Steps:
    """`top / sqrt(t + 1)`: its sum has no end, nor has that of its squares, so noise shrinks with the rate and no faster."""
    return lambda t: top / math.sqrt(t + 1)


def factor(top: float, ratio: float, lowest: float = 0.0) -> Steps:
    """`max(lowest, top * ratio**t)`."""
    return lambda t: max(lowest, top * ratio**t)


def multi_step(top: float, milestones: Iterable[int], ratio: float = 0.1) -> Steps:
    """`top * ratio**(number of milestones up to t)`."""
    at = sorted(milestones)
    return lambda t: top * ratio ** bisect_right(at, t)


def cosine(top: float, last: float, steps: int, warmup: int = 0, first: float = 0.0) -> Steps:
    """Linearly from first up to top, then along half a cosine down to last, where it stays.

    Args:
        top, last, first: values at step warmup, from step steps on, and at step 0.
        steps: of both together.
        warmup: of the first part.

    Raises:
        ValueError: warm-up longer than the whole.
    """
    if not 0 <= warmup < steps:
        raise ValueError(f"warmup is {warmup} of {steps} steps, needed is fewer than all")
    up, down = lin(first, top), cos(top, last)
    return lambda t: up(t / warmup) if t < warmup else down(min((t - warmup) / (steps - warmup), 1.0))
