"""How the learning rate goes over a run.

A schedule is a function of position, the share of all optimiser steps already done, from 0 to 1: it gives the factor by which the base
learning rate is multiplied. It has no state, so a run continued from any step follows it exactly, and it does not care how many steps
there are. Step i of N is at position i / N.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from rungbook.calls import parse_call
from rungbook.errors import UsageError, did_you_mean

Curve = Callable[[float], float]


@dataclass(frozen=True)
class Schedule:
    """Factor of the base learning rate by position, and perhaps the momentum.

    Args:
        factor: position in [0, 1] -> factor, 0 or more.
        name: how it is called in settings and pictures.
        momentum_curve: position -> momentum (Adam: beta1), or None where the optimiser's own stays.
    """

    factor: Curve
    name: str = "schedule"
    momentum_curve: Callable[[float], float | None] | None = None

    def __call__(self, position: float) -> float:
        """The factor at `position`; beyond 0..1 that of the nearer end."""
        return self.factor(min(max(position, 0.0), 1.0))

    def momentum(self, position: float) -> float | None:
        """The momentum at `position`; None means the optimiser's own."""
        return self.momentum_curve(min(max(position, 0.0), 1.0)) if self.momentum_curve else None

    def __repr__(self) -> str:
        return self.name


def _needs(condition: bool, message: str, fix: str = "") -> None:
    if not condition:
        raise UsageError("E202", message, fix)


def _blend(start: float, end: float, p: float) -> float:
    """Half a cosine from `start` (p = 0) to `end` (p = 1)."""
    return end + (start - end) * (1 + math.cos(math.pi * p)) / 2


def constant(value: float = 1.0) -> Schedule:
    """The base learning rate times `value` throughout."""
    return Schedule(lambda p: value, "constant")


def step(milestones: tuple[float, ...] = (0.5, 0.75), gamma: float = 0.1) -> Schedule:
    """Multiplied by `gamma` at each milestone (positions in 0..1); the defaults are those of ResNet on CIFAR-10 (He et al. 2015, 4.2)."""
    _needs(all(0 <= m <= 1 for m in milestones), f"Milestones {milestones} are shares of the run, between 0 and 1.", "Try (0.5, 0.75).")
    return Schedule(lambda p: gamma ** sum(p >= m for m in milestones), "step")


def factor(ratio: float = 0.5, every: float = 0.1, lowest: float = 0.0) -> Schedule:
    """Multiplied by `ratio` after every share `every` of the run, never below `lowest`."""
    _needs(0 < ratio <= 1, f"ratio is {ratio}, it must be above 0 and at most 1.", "Try 0.5.")
    _needs(0 < every <= 1, f"every is {every}, a share of the run, above 0 and at most 1.", "Try 0.1.")
    _needs(0 <= lowest <= 1, f"lowest is {lowest}, it must lie between 0 and 1.", "Try 0.01.")
    return Schedule(lambda p: max(lowest, ratio ** math.floor(p / every + 1e-9)), "factor")


def linear(start: float = 1.0, end: float = 0.0) -> Schedule:
    """A straight line from `start` to `end`."""
    return Schedule(lambda p: start + (end - start) * p, "linear")


def cosine(start: float = 1.0, end: float = 0.0) -> Schedule:
    """Half a cosine from `start` to `end` (Loshchilov, Hutter 2017, "SGDR", without restarts)."""
    return Schedule(lambda p: _blend(start, end, p), "cosine")


def cosine_restarts(cycles: int = 3, growth: float = 2.0, start: float = 1.0, end: float = 0.0) -> Schedule:
    """Half a cosine from `start` to `end`, again and again (Loshchilov, Hutter 2017, "SGDR", section 3).

    Args:
        cycles: how many, 1 or more.
        growth: each is so many times as long as the one before (T_mult in the paper); 1 for equal ones.
        start, end: of each cycle.
    """
    _needs(isinstance(cycles, int) and cycles >= 1, f"cycles is {cycles}, it must be a whole number, 1 or more.", "Try 3.")
    _needs(growth > 0, f"growth is {growth}, it must be above 0.", "Try 2.")
    lengths = [growth**i for i in range(cycles)]
    whole = math.fsum(lengths)
    return join(*((length / whole, cosine(start, end)) for length in lengths), name="cosine_restarts")


def exponential(start: float = 1.0, end: float = 0.01) -> Schedule:
    """The same ratio every step, from `start` to `end`, both above 0."""
    _needs(start > 0 and end > 0, f"An exponential goes from {start} to {end}; both must be above 0.", "Try end=0.01.")
    return Schedule(lambda p: start * (end / start) ** p, "exponential")


def polynomial(start: float = 1.0, end: float = 0.0, power: float = 2.0) -> Schedule:
    """From `start` to `end` as (1 - position)^power; power 1 is `linear`, 0.5 falls late."""
    _needs(power > 0, f"power is {power}, it must be above 0.", "Try 2.")
    return Schedule(lambda p: end + (start - end) * (1 - p) ** power, "polynomial")


def inverse_sqrt(end: float = 0.1) -> Schedule:
    """1 / sqrt(1 + c position) with c such that it ends at `end`; after `warm_up` that of Vaswani et al. 2017, 5.3.

    `1 / sqrt(t + 1)` over N steps t is that with `end = 1 / sqrt(N + 1)`.
    """
    _needs(0 < end <= 1, f"end is {end}, it must be above 0 and at most 1.", "Try 0.1.")
    c = 1 / end**2 - 1
    return Schedule(lambda p: 1 / math.sqrt(1 + c * p), "inverse_sqrt")


def join(*pieces: tuple[float, Callable[[float], float]], name: str = "join") -> Schedule:
    """Schedules one after the other, each squeezed into its share of the run.

    Args:
        pieces: (share, schedule) pairs; the shares are above 0 and sum to 1. A boundary belongs to the later piece.

    Raises:
        UsageError: E202, the shares do not sum to 1.
    """
    shares = [share for share, _ in pieces]
    _needs(all(s > 0 for s in shares), f"Shares {shares} must all be above 0.", "Leave out pieces of no length.")
    _needs(abs(sum(shares) - 1) < 1e-9, f"Shares {shares} sum to {sum(shares):g}, they must sum to 1.", "Change the last one.")
    schedules = [make_schedule(s) for _, s in pieces]
    starts = [math.fsum(shares[:i]) for i in range(len(shares))]

    def inside(p: float) -> tuple[Schedule, float]:
        i = max(i for i, start in enumerate(starts) if p >= start)
        end = starts[i + 1] if i + 1 < len(starts) else 1.0
        return schedules[i], min((p - starts[i]) / (end - starts[i]), 1.0)

    def factor(p: float) -> float:
        schedule, within = inside(p)
        return schedule(within)

    def momentum(p: float) -> float | None:
        schedule, within = inside(p)
        return schedule.momentum(within)

    return Schedule(factor, name, momentum if any(s.momentum_curve for s in schedules) else None)


def warm_up(share: float = 0.1, then: str | Callable[[float], float] | None = None, *, start: float = 0.01) -> Schedule:
    """A straight line up from `start` over the first `share` of the run, then `then` (default: constant)."""
    _needs(0 < share < 1, f"Warming up takes a share of the run between 0 and 1, not {share}.", "Try 0.1.")
    rest = make_schedule(then)
    return join((share, linear(start, rest(0.0))), (1 - share, rest), name=f"warm_up_{rest.name}")


def one_cycle(
    pct_start: float = 0.3, div: float = 25.0, final_div: float = 1e4, momentum: tuple[float, float] | None = (0.95, 0.85)
) -> Schedule:
    """Up to the base learning rate and down again while the momentum goes the other way (Smith 2018, "A disciplined approach", 4).

    Args:
        pct_start: share of the run spent going up.
        div: the run starts at 1 / div of the base rate.
        final_div: the run ends at 1 / (div final_div) of the base rate.
        momentum: (at both ends, at the peak), or None to leave the optimiser's own.

    Both halves are half cosines, as in torch's OneCycleLR; the numbers are its defaults too.
    """
    _needs(0 < pct_start < 1, f"pct_start is {pct_start}, it must lie between 0 and 1.", "Try 0.3.")
    _needs(div > 0 and final_div > 0, f"div ({div}) and final_div ({final_div}) must be above 0.", "Try 25 and 1e4.")
    pieces = join((pct_start, cosine(1 / div, 1.0)), (1 - pct_start, cosine(1.0, 1 / (div * final_div))))
    if momentum is None:
        return Schedule(pieces.factor, "one_cycle")
    ends, peak = momentum
    return Schedule(pieces.factor, "one_cycle", join((pct_start, cosine(ends, peak)), (1 - pct_start, cosine(peak, ends))).factor)


SCHEDULES: dict[str, Callable[..., Schedule]] = {
    "constant": constant,
    "cosine": cosine,
    "cosine_restarts": cosine_restarts,
    "exponential": exponential,
    "factor": factor,
    "inverse_sqrt": inverse_sqrt,
    "linear": linear,
    "one_cycle": one_cycle,
    "polynomial": polynomial,
    "step": step,
    "warm_up": warm_up,
    "warm_up_cosine": lambda share=0.1, **options: warm_up(share, then=cosine(), **options),
    "warm_up_inverse_sqrt": lambda share=0.1, **options: warm_up(share, then=inverse_sqrt(), **options),
    "warm_up_linear": lambda share=0.1, **options: warm_up(share, then=linear(), **options),
}
"""Builders by name."""


def make_schedule(what: str | Callable[[float], float] | None = None) -> Schedule:
    """A schedule by name ("cosine", "step(milestones=(0.6, 0.8), gamma=0.2)"), from a function of position, or constant for None.

    Raises:
        UsageError: E201 for an unknown name, E202 for arguments it does not take or a function that gives no number.
    """
    if what is None:
        return constant()
    if isinstance(what, str):
        name, options = parse_call(what, "schedule", "one_cycle or one_cycle(pct_start=0.25, div=10)")
        if name not in SCHEDULES:
            raise UsageError("E201", f"There is no schedule {name!r}.", did_you_mean(name, SCHEDULES))
        try:
            schedule = SCHEDULES[name](**options)
            ends = (schedule(0.0), schedule(0.5), schedule(1.0))
        except UsageError:
            raise
        except (TypeError, ValueError, ArithmeticError) as error:
            raise UsageError("E202", f"Schedule {what!r}: {error}.", f"Try {name} without arguments.") from error
        where = repr(what)
    elif isinstance(what, Schedule):
        return what
    elif callable(what):
        schedule = Schedule(what, str(getattr(what, "__name__", type(what).__name__)).strip("<>"), getattr(what, "momentum", None))
        ends, where = (schedule(0.0), schedule(0.5), schedule(1.0)), schedule.name
    else:
        raise UsageError("E202", f"A schedule is a name or a function, not {type(what).__name__}.", 'Try schedule="cosine".')
    good = all(isinstance(v, (int, float)) and math.isfinite(v) and v >= 0 for v in ends)
    _needs(good, f"Schedule {where} gives the factors {ends} at the start, middle and end; numbers of 0 or more are needed.")
    return schedule
