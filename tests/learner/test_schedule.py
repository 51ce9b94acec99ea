"""Schedules follow torch's, where torch has them, and join without gaps."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rungbook.errors import UsageError
from rungbook.learner import schedule as s

covers = ["O03", "O04"]

N = 40


def torch_factors(make: object, steps: int = N) -> list[tuple[float, float]]:
    """Learning rate and momentum of torch's scheduler at each step, base rate 1."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0, momentum=0.9)
    scheduler = make(optimizer)  # type: ignore[operator]
    seen = []
    for _ in range(steps):
        group = optimizer.param_groups[0]
        seen.append((float(group["lr"]), float(group["momentum"])))
        optimizer.step()
        scheduler.step()
    return seen


def warm_cosine(optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.SequentialLR:
    """A straight line over a quarter, then half a cosine."""
    rates = torch.optim.lr_scheduler
    pieces = [rates.LinearLR(optimizer, 0.1, 1.0, N // 4), rates.CosineAnnealingLR(optimizer, N - N // 4)]
    return rates.SequentialLR(optimizer, pieces, [N // 4])


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (s.cosine(), lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, N)),
        (s.cosine(end=0.1), lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, N, eta_min=0.1)),
        (s.step((0.25, 0.6), 0.3), lambda o: torch.optim.lr_scheduler.MultiStepLR(o, [N // 4, N * 6 // 10], 0.3)),
        (s.linear(1.0, 0.2), lambda o: torch.optim.lr_scheduler.LinearLR(o, 1.0, 0.2, N)),
        (s.exponential(end=0.01), lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.01 ** (1 / N))),
        (s.polynomial(power=1.7), lambda o: torch.optim.lr_scheduler.PolynomialLR(o, N, 1.7)),
        (s.constant(), lambda o: torch.optim.lr_scheduler.ConstantLR(o, 1.0)),
        (s.factor(0.7, 0.1), lambda o: torch.optim.lr_scheduler.StepLR(o, N // 10, 0.7)),
        (s.factor(0.7, 1 / N, 0.01), lambda o: torch.optim.lr_scheduler.LambdaLR(o, lambda t: max(0.01, 0.7**t))),
        (s.inverse_sqrt(1 / math.sqrt(N + 1)), lambda o: torch.optim.lr_scheduler.LambdaLR(o, lambda t: (t + 1) ** -0.5)),
        (s.cosine_restarts(4, 1.0), lambda o: torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(o, N // 4)),
        (s.cosine_restarts(2, 3.0, end=0.1), lambda o: torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(o, N // 4, 3, eta_min=0.1)),
        (s.warm_up(0.25, s.cosine(), start=0.1), warm_cosine),
    ],
    ids=lambda x: repr(x) if isinstance(x, s.Schedule) else "",
)
def test_equals_torch(ours: s.Schedule, theirs: object) -> None:
    assert [ours(i / N) for i in range(N)] == pytest.approx([lr for lr, _ in torch_factors(theirs)], rel=1e-9)


@pytest.mark.parametrize("pct", [0.3, 0.5])
def test_one_cycle_equals_torch(pct: float) -> None:
    steps = 200
    ours = s.one_cycle(pct_start=pct)
    theirs = torch_factors(lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 1.0, total_steps=steps + 1, pct_start=pct), steps)
    top = pct * (steps + 1) - 1  # torch counts steps within a phase, and its first phase ends one step early
    for i, (lr, momentum) in enumerate(theirs):
        p = pct * i / top if i <= top else pct + (1 - pct) * (i - top) / (steps - top)
        assert ours(p) == pytest.approx(lr, rel=1e-9)
        assert ours.momentum(p) == pytest.approx(momentum, rel=1e-9)
        assert ours(i / steps) == pytest.approx(lr, abs=0.02)  # and without that correction to within a step


@given(
    st.lists(st.tuples(st.integers(1, 9), st.sampled_from(["cosine", "linear", "constant", "exponential"])), min_size=1, max_size=5),
    st.floats(0, 1),
)
@settings(max_examples=100, deadline=None)
def test_join_is_each_piece_in_its_share(pieces: list[tuple[int, str]], p: float) -> None:
    total = sum(n for n, _ in pieces)
    joined = s.join(*((n / total, s.make_schedule(name)) for n, name in pieces))
    start = 0.0
    for n, name in pieces:
        end = start + n / total
        if start + 1e-6 < p < end - 1e-6:
            assert joined(p) == pytest.approx(s.make_schedule(name)((p - start) / (end - start)), rel=1e-6, abs=1e-9)
        start = end
    assert joined(1.0) == pytest.approx(s.make_schedule(pieces[-1][1])(1.0), abs=1e-9)


def test_join_refuses_shares_that_do_not_sum_to_one() -> None:
    with pytest.raises(UsageError, match=r"sum to 0\.9"):
        s.join((0.5, s.constant()), (0.4, s.constant()))
    with pytest.raises(UsageError, match="above 0"):
        s.join((1.2, s.constant()), (-0.2, s.constant()))


def test_momentum_only_where_a_piece_has_one() -> None:
    joined = s.join((0.5, s.one_cycle()), (0.5, s.cosine()))
    assert joined.momentum(0.0) == pytest.approx(0.95)
    assert joined.momentum(0.15) == pytest.approx(0.85)
    assert joined.momentum(0.9) is None
    assert s.cosine().momentum(0.5) is None
    assert s.one_cycle(momentum=None).momentum(0.3) is None


def test_warm_up_meets_what_follows() -> None:
    schedule = s.warm_up(0.2, s.linear(0.6, 0.0))
    assert schedule(0.0) == pytest.approx(0.01)
    assert schedule(0.2 - 1e-9) == pytest.approx(0.6)
    assert schedule(0.2) == pytest.approx(0.6)
    assert schedule(1.0) == pytest.approx(0.0)
    assert s.make_schedule("warm_up")(0.7) == 1.0


def test_inverse_sqrt() -> None:
    schedule = s.inverse_sqrt(end=0.1)
    assert schedule(1.0) == pytest.approx(0.1)
    assert schedule(0.25) == pytest.approx(1 / math.sqrt(1 + 99 / 4))


@pytest.mark.parametrize("name", sorted(s.SCHEDULES))
def test_every_schedule_is_a_pure_function_between_zero_and_one(name: str) -> None:
    schedule, again = s.make_schedule(name), s.make_schedule(name)
    positions = [i / 97 for i in range(98)]
    values = [schedule(p) for p in positions]
    assert [again(p) for p in reversed(positions)] == values[::-1]  # no memory: any order, any number of calls
    assert all(0 <= v <= 1 for v in values)
    assert max(values) == pytest.approx(1.0, abs=0.1)
    assert schedule(-1.0) == values[0]
    assert schedule(2.0) == values[-1]
    if name not in ("step", "constant", "factor", "cosine_restarts"):
        assert max(abs(a - b) for a, b in itertools.pairwise(values)) < 0.4  # no jumps


def test_names_with_arguments() -> None:
    assert s.make_schedule("step(milestones=(0.1,), gamma=0.5)")(0.2) == 0.5
    assert s.make_schedule("one_cycle(pct_start=0.5)")(0.5) == pytest.approx(1.0)
    assert s.make_schedule(None)(0.3) == 1.0
    assert s.make_schedule(lambda p: 2 - p)(0.5) == 1.5


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("cosin", "E201.*Did you mean cosine"),
        ("cosine(stop=1)", "E202.*stop"),
        ("cosine(1)", "E202.*no schedule"),
        ("cosine(start=open('x'))", "E202.*no schedule"),
        ("cosine(start=", "E202.*no schedule"),
        ("cosine(start='a')", "E202"),
        ("linear(end=-1.0)", "E202.*0 or more"),
        ("constant(value=1e999)", "E202.*0 or more"),
        ("step(milestones=(30, 60))", "E202.*shares of the run"),
        ("step(milestones=0.5)", "E202"),
        ("one_cycle(pct_start=1.0)", "E202.*pct_start"),
        ("cosine_restarts(cycles=0)", "E202.*cycles"),
        ("cosine_restarts(growth=0)", "E202.*growth"),
        ("factor(ratio=1.5)", "E202.*ratio"),
        ("factor(every=0)", "E202.*every"),
        (3, "E202.*not int"),
        (lambda p: float("nan"), "E202"),
    ],
    ids=lambda value: "function" if callable(value) else str(value),  # the same in each process
)
def test_mistakes_are_named(wrong: object, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        s.make_schedule(wrong)  # type: ignore[arg-type]
