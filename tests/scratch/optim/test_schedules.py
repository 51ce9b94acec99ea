"""Schedules as functions equal torch's schedulers; ours drive any optimiser and warn where torch warns."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.optim import lr_scheduler as theirs

from rungbook.scratch import optim
from rungbook.scratch.optim import lr_scheduler as ours
from rungbook.scratch.optim import schedules

covers = ["O03", "O04"]


def rates(make: Callable[[torch.optim.Optimizer], Any], steps: int, lr: float = 1.0) -> list[float]:
    """The learning rate at each step."""
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=lr, momentum=0.9)
    scheduler = make(optimizer)
    found = []
    for _ in range(steps):
        found.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        scheduler.step()
    return found


PAIRS: dict[str, tuple[Callable[[float], float], Callable[[torch.optim.Optimizer], Any]]] = {
    "multi_step": (schedules.multi_step(1.0, [3, 7, 7], 0.5), lambda o: theirs.MultiStepLR(o, [3, 7, 7], 0.5)),
    "factor": (schedules.factor(1.0, 0.8), lambda o: theirs.ExponentialLR(o, 0.8)),
    "cosine": (schedules.cosine(1.0, 0.1, 20), lambda o: theirs.CosineAnnealingLR(o, 20, eta_min=0.1)),
    "lin": (lambda t: schedules.lin(0.2, 1.0)(min(t, 10) / 10), lambda o: theirs.LinearLR(o, 0.2, 1.0, 10)),
    "square_root": (schedules.square_root(), lambda o: theirs.LambdaLR(o, lambda t: (t + 1) ** -0.5)),
    "30/70": (
        lambda t: schedules.combine([0.3, 0.7], [schedules.cos(0.04, 1.0), schedules.cos(1.0, 4e-6)])(t / 20),
        # its bends are at steps pct_start * total - 1 and total - 1
        lambda o: theirs.OneCycleLR(o, 1.0, total_steps=21, pct_start=7 / 21, final_div_factor=1e4),
    ),
}


@pytest.mark.parametrize("what", PAIRS)
def test_functions_equal_schedulers(what: str) -> None:
    function, make = PAIRS[what]
    assert [function(t) for t in range(20)] == pytest.approx(rates(make, 20), rel=1e-12)


def test_warmup_then_cosine_is_two_schedulers_in_turn() -> None:
    function = schedules.cosine(1.0, 0.01, 30, warmup=5, first=0.1)
    sequence = lambda o: theirs.SequentialLR(o, [theirs.LinearLR(o, 0.1, total_iters=5), theirs.CosineAnnealingLR(o, 25, 0.01)], [5])
    expected = rates(sequence, 30)
    assert [function(t) for t in range(30)] == pytest.approx(expected, rel=1e-9)
    assert function(30) == function(1000) == pytest.approx(0.01)
    assert rates(lambda o: ours.LambdaLR(o, function), 30) == pytest.approx(expected, rel=1e-9)


def test_shapes_of_the_four() -> None:
    four = [shape(1.0, 0.01) for shape in (schedules.no, schedules.lin, schedules.cos, schedules.exp)]
    assert [f(0.0) for f in four] == [1.0] * 4
    assert [f(1.0) for f in four] == pytest.approx([1.0, 0.01, 0.01, 0.01])
    assert [f(0.5) for f in four] == pytest.approx([1.0, 0.505, 0.505, 0.1])
    assert schedules.cos(1.0, 0.0)(0.25) == pytest.approx((1 + math.sqrt(0.5)) / 2)


def test_combination_is_continuous_where_its_parts_meet() -> None:
    whole = schedules.combine([0.3, 0.7], [schedules.lin(0.1, 1.0), schedules.exp(1.0, 0.01)])
    assert whole(0.3 - 1e-9) == pytest.approx(whole(0.3), abs=1e-6)
    assert whole(0.0) == 0.1
    assert whole(1.0) == pytest.approx(0.01)


def test_factor_stops_at_the_lowest() -> None:
    function = schedules.factor(2.0, 0.5, lowest=0.3)
    assert [function(t) for t in range(5)] == [2.0, 1.0, 0.5, 0.3, 0.3]


@pytest.mark.parametrize(
    "call",
    [
        lambda: schedules.combine([0.3, 0.6], [schedules.no(1, 1)] * 2),
        lambda: schedules.combine([1.0], [schedules.no(1, 1)] * 2),
        lambda: schedules.combine([], []),
        lambda: schedules.exp(1.0, 0.0),
        lambda: schedules.cosine(1.0, 0.0, 10, warmup=10),
    ],
)
def test_bad_schedules_are_refused(call: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match="need"):
        call()


def test_torch_takes_our_schedulers_into_its_own() -> None:
    """Ours inside torch's SequentialLR and torch's inside ours, over our optimiser."""

    def made(outer: Any, inner: Any) -> list[float]:
        optimizer = optim.AdamW([torch.zeros(1).requires_grad_()], lr=1.0)
        parts = [inner.LinearLR(optimizer, 0.1, total_iters=4), inner.StepLR(optimizer, 3)]
        scheduler = outer.SequentialLR(optimizer, parts, [4])
        found = []
        for _ in range(12):
            found.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
        return found

    expected = made(ours, ours)
    assert len(set(expected)) > 4
    for outer, inner in ((theirs, ours), (ours, theirs)):
        assert made(outer, inner) == pytest.approx(expected, rel=1e-12)
    optimizer = optim.SGD([torch.zeros(1)])
    for name in ours.__all__:
        assert issubclass(getattr(ours, name), theirs.LRScheduler)
    with pytest.raises(ValueError, match="ReduceLROnPlateau"):
        theirs.SequentialLR(optimizer, [ours.ReduceLROnPlateau(optimizer)], [])


def test_warnings() -> None:
    optimizer = optim.SGD([torch.zeros(1)], lr=1.0)
    scheduler = ours.StepLR(optimizer, 2)
    with pytest.warns(UserWarning, match="optimizer.step"):
        scheduler.step()
    with pytest.warns(UserWarning, match="get_last_lr"):
        scheduler.get_lr()
    with pytest.warns(UserWarning, match="epoch"):
        scheduler.step(3)
    with pytest.warns(UserWarning, match="epoch"):
        ours.ReduceLROnPlateau(optimizer).step(1.0, epoch=3)
    used = optim.SGD([torch.zeros(1)], lr=1.0)
    scheduler = ours.StepLR(used, 2)
    used.step()
    scheduler.step()  # no warning


def test_group_added_later_is_scheduled_too() -> None:
    optimizer = optim.SGD([torch.zeros(1)], lr=1.0)
    plateau = ours.ReduceLROnPlateau(optimizer, patience=0, min_lr=0.2)
    listed = ours.ReduceLROnPlateau(optimizer, patience=0, min_lr=[0.2])
    optimizer.add_param_group({"params": [torch.zeros(1)], "lr": 0.5})
    for metric in (1.0, 2.0):
        plateau.step(metric)
    assert [g["lr"] for g in optimizer.param_groups] == [0.2, 0.2]
    listed.step(1.0)
    with pytest.raises(RuntimeError, match="2 groups"):
        listed.step(2.0)


def test_schedule_without_rates_says_so() -> None:
    class Nothing(ours.LRScheduler):
        pass

    with pytest.raises(NotImplementedError, match="Nothing"):
        Nothing(optim.SGD([torch.zeros(1)]))
