"""Every scheduler against torch's: same rates and momenta at each step, same state, which loads either way in the middle of a run."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

import pytest
import torch
from agree import Case, Counts, compare_all, quiet
from test_optim import same_trees

from rungbook.scratch import optim

Maker = Callable[[ModuleType, torch.optim.Optimizer], Any]
"""Module (torch's, or ours) and optimiser -> scheduler."""

STEPS = 45


class Halving:
    """A function of the step that remembers something."""

    def __init__(self, every: int) -> None:
        self.every = every

    def __call__(self, step: float) -> float:
        return 0.5 ** (step // self.every)


def each(t: float) -> list[Callable[[int], float]]:
    """One function for each of two groups."""
    return [lambda step: 1 / (1 + t * step), lambda step: 0.95**step]


MAKERS: dict[str, dict[str, Maker]] = {
    "LambdaLR": {
        "one": lambda m, o: m.LambdaLR(o, lambda step: 1 / (1 + step)),
        "a list": lambda m, o: m.LambdaLR(o, each(0.1)),
        "object": lambda m, o: m.LambdaLR(o, [Halving(4), Halving(7)]),
    },
    "MultiplicativeLR": {
        "one": lambda m, o: m.MultiplicativeLR(o, lambda step: 0.9 + 0.001 * step),
        "object": lambda m, o: m.MultiplicativeLR(o, [Halving(30), lambda step: 0.99]),
    },
    "StepLR": {"3": lambda m, o: m.StepLR(o, 3), "7 gamma": lambda m, o: m.StepLR(o, 7, gamma=0.5)},
    "MultiStepLR": {"twice": lambda m, o: m.MultiStepLR(o, [2, 5, 5, 9], gamma=0.5), "0": lambda m, o: m.MultiStepLR(o, [20, 0, 3])},
    "ConstantLR": {"default": lambda m, o: m.ConstantLR(o), "longer": lambda m, o: m.ConstantLR(o, factor=0.7, total_iters=8)},
    "LinearLR": {
        "default": lambda m, o: m.LinearLR(o),
        "down": lambda m, o: m.LinearLR(o, start_factor=0.9, end_factor=0.1, total_iters=10),
    },
    "ExponentialLR": {"0.9": lambda m, o: m.ExponentialLR(o, 0.9)},
    "PolynomialLR": {"default": lambda m, o: m.PolynomialLR(o), "power": lambda m, o: m.PolynomialLR(o, total_iters=12, power=0.9)},
    "CosineAnnealingLR": {
        "again": lambda m, o: m.CosineAnnealingLR(o, 10),
        "floor": lambda m, o: m.CosineAnnealingLR(o, T_max=7, eta_min=1e-3),
    },
    "CosineAnnealingWarmRestarts": {
        "equal": lambda m, o: m.CosineAnnealingWarmRestarts(o, 5),
        "longer": lambda m, o: m.CosineAnnealingWarmRestarts(o, T_0=3, T_mult=2, eta_min=1e-3),
    },
    "CyclicLR": {
        "triangular": lambda m, o: m.CyclicLR(o, 0.01, 0.1, step_size_up=4),
        "triangular2": lambda m, o: m.CyclicLR(o, [0.01, 0.02], [0.1, 0.3], step_size_up=4, step_size_down=6, mode="triangular2"),
        "exp_range": lambda m, o: m.CyclicLR(o, 0.01, 0.1, step_size_up=5, mode="exp_range", gamma=0.95, base_momentum=[0.7, 0.8]),
        "own": lambda m, o: m.CyclicLR(o, 0.01, 0.1, step_size_up=4, scale_fn=lambda x: 1 / x, scale_mode="cycle"),
        "object": lambda m, o: m.CyclicLR(o, 0.01, 0.1, step_size_up=4, scale_fn=Halving(9), scale_mode="iterations"),
        "rates only": lambda m, o: m.CyclicLR(o, 0.01, 0.1, step_size_up=4, cycle_momentum=False),
    },
    "OneCycleLR": {
        "default": lambda m, o: m.OneCycleLR(o, 0.1, total_steps=STEPS),
        "linear": lambda m, o: m.OneCycleLR(o, [0.1, 0.2], epochs=5, steps_per_epoch=9, anneal_strategy="linear", pct_start=0.4),
        "three phases": lambda m, o: m.OneCycleLR(o, 0.1, STEPS, three_phase=True, div_factor=10, final_div_factor=50.0),
        "rates only": lambda m, o: m.OneCycleLR(o, 0.1, total_steps=60, cycle_momentum=False),
    },
    "SequentialLR": {
        "warm-up, cosine": lambda m, o: m.SequentialLR(o, [m.LinearLR(o, 0.1, total_iters=5), m.CosineAnnealingLR(o, 30)], [5]),
        "three": lambda m, o: m.SequentialLR(o, [m.ConstantLR(o, 0.5, 3), m.StepLR(o, 4), m.ExponentialLR(o, 0.9)], [6, 20]),
        "from 0": lambda m, o: m.SequentialLR(o, [m.ConstantLR(o, 0.5, 3), m.ExponentialLR(o, 0.9)], [0]),
        "nested": lambda m, o: m.SequentialLR(
            o, [m.ChainedScheduler([m.ConstantLR(o, 0.5, 3), m.ExponentialLR(o, 0.9)]), m.CosineAnnealingWarmRestarts(o, 6)], [50]
        ),
    },
    "ChainedScheduler": {
        "two": lambda m, o: m.ChainedScheduler([m.LinearLR(o, 0.1, total_iters=5), m.ExponentialLR(o, 0.9)]),
        "three": lambda m, o: m.ChainedScheduler([m.ConstantLR(o, 0.5, 3), m.StepLR(o, 4), m.CosineAnnealingLR(o, 15)], optimizer=o),
    },
    "ReduceLROnPlateau": {
        "default": lambda m, o: m.ReduceLROnPlateau(o),
        "impatient": lambda m, o: m.ReduceLROnPlateau(o, patience=2, cooldown=3, factor=0.5, min_lr=[1e-3, 1e-2]),
        "max abs": lambda m, o: m.ReduceLROnPlateau(o, mode="max", patience=1, threshold=0.05, threshold_mode="abs", min_lr=1e-4),
        "max rel": lambda m, o: m.ReduceLROnPlateau(o, mode="max", patience=1, threshold=0.1, eps=1e-3),
        "min abs": lambda m, o: m.ReduceLROnPlateau(o, patience=0, threshold=0.01, threshold_mode="abs"),
    },
}

NAMES = [name for name in optim.lr_scheduler.__all__ if name != "LRScheduler"]

DRIVEN: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "torch SGD": lambda groups: torch.optim.SGD(groups, lr=0.05, momentum=0.9),
    "our Adam": lambda groups: optim.Adam(groups, lr=0.01),
    "tensor lr": lambda groups: optim.SGD([{**g, "lr": torch.tensor(g.get("lr", 0.05)).double()} for g in groups], momentum=0.9),
}


class Road:
    """An optimiser of two groups under a scheduler, and what it meets."""

    def __init__(self, module: ModuleType, make: Maker, driven: str) -> None:
        parameters = [torch.ones(2).requires_grad_() for _ in range(2)]
        self.optimizer = DRIVEN[driven]([{"params": parameters[:1]}, {"params": parameters[1:], "lr": 0.2}])
        self.scheduler = make(module, self.optimizer)
        self.needs_metric = isinstance(self.scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau)
        self.t = 0

    def walk(self, steps: int) -> list[Any]:
        """Rates and momenta at each step."""
        met = [self.seen()]
        for _ in range(steps):
            self.t += 1
            self.optimizer.step()
            # falls, rests, falls: with some noise
            metric = 1 / (1 + self.t // 12) + 0.02 * math.sin(7 * self.t)
            self.scheduler.step(*([metric] if self.needs_metric else []))
            met.append(self.seen())
        return met

    def seen(self) -> list[Any]:
        groups = [{k: copy.deepcopy(g.get(k)) for k in ("lr", "initial_lr", "momentum", "betas")} for g in self.optimizer.param_groups]
        return [groups, self.scheduler.get_last_lr(), getattr(self.scheduler, "last_epoch", None)]

    def goes_on_in(self, module: ModuleType, make: Maker, driven: str) -> Road:
        """The same road, with the state loaded into a new scheduler and optimiser."""
        other = Road(module, make, driven)
        state = copy.deepcopy(self.scheduler.state_dict())
        before = copy.deepcopy(state)
        other.scheduler.load_state_dict(state)
        # torch's CyclicLR takes an entry out of what it is given
        assert module is torch.optim.lr_scheduler or list(before) == list(state), "load_state_dict changed what it was given"
        other.optimizer.load_state_dict(copy.deepcopy(self.optimizer.state_dict()))
        other.t = self.t
        return other


def roads_agree(case: Case) -> None:
    make, driven = case.args
    ours, theirs = optim.lr_scheduler, torch.optim.lr_scheduler
    a, b = Road(ours, make, driven), Road(theirs, make, driven)
    same_trees(a.walk(13), b.walk(13), "start")
    compare_states(a, b)
    changed = {"ours, then torch's": a.goes_on_in(theirs, make, driven), "torch's, then ours": b.goes_on_in(ours, make, driven)}
    expected = b.walk(STEPS - 13)
    for what, road in {"ours": a, **changed}.items():
        same_trees(road.walk(STEPS - 13), expected, what)
        compare_states(road, b)


def compare_states(ours: Road, theirs: Road) -> None:
    """Same keys in the same order, same values."""
    same_trees(ours.scheduler.state_dict(), theirs.scheduler.state_dict(), "state_dict")


def jumps_agree(name: str, make: Maker) -> None:
    """`step(epoch)`, where torch has it."""
    roads = [Road(m, make, "torch SGD") for m in (optim.lr_scheduler, torch.optim.lr_scheduler)]
    fractions = [2.5, 7.25] if name == "CosineAnnealingWarmRestarts" else []
    for epoch in [3, 0, 17, 9, *fractions, 4]:
        for road in roads:
            road.optimizer.step()
            road.scheduler.step(epoch)
        same_trees(roads[0].seen(), roads[1].seen(), f"step({epoch})")
    same_trees(roads[0].walk(6), roads[1].walk(6), "after jumps")


def resumed_agree(make: Maker) -> None:
    """A new scheduler with `last_epoch`, on groups that hold the rate of the beginning."""
    met = []
    for module in (optim.lr_scheduler, torch.optim.lr_scheduler):
        road = Road(module, make, "torch SGD")
        road.walk(8)

        class Later:
            """The module, whose schedulers start where the last one was."""

            def __getattr__(self, name: str, module: ModuleType = module) -> Any:
                return partial(getattr(module, name), last_epoch=8)

        road.scheduler = make(Later(), road.optimizer)  # type: ignore[arg-type]
        met.append(road.walk(9))
    same_trees(met[0], met[1], "resumed")


def cases(name: str) -> list[Case]:
    """All settings on all optimisers."""
    found = []
    for label, make in MAKERS[name].items():
        for driven in DRIVEN:
            found.append(Case(f"{label}, {driven}", args=(make, driven)))
    return found


def test_all_of_torch_are_here() -> None:
    theirs = set(torch.optim.lr_scheduler.__all__)
    assert set(optim.lr_scheduler.__all__) == theirs
    assert set(MAKERS) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_scheduler(name: str, counts: dict[str, Counts]) -> None:
    compare_all(f"lr_scheduler.{name}", cases(name), roads_agree, counts)


@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("SequentialLR", "ChainedScheduler", "ReduceLROnPlateau", "OneCycleLR")])
def test_jumps(name: str, counts: dict[str, Counts]) -> None:
    jumps = [Case(f"{label}, step(epoch)", args=(make,)) for label, make in MAKERS[name].items()]
    compare_all(f"lr_scheduler.{name}", jumps, lambda case: jumps_agree(name, case.args[0]), counts)


@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("SequentialLR", "ChainedScheduler", "ReduceLROnPlateau")])
def test_resumed(name: str, counts: dict[str, Counts]) -> None:
    resumed = [Case(f"{label}, last_epoch", args=(make,)) for label, make in MAKERS[name].items()]
    compare_all(f"lr_scheduler.{name}", resumed, lambda case: resumed_agree(case.args[0]), counts)


def bad(m: ModuleType) -> dict[str, Callable[[torch.optim.Optimizer], Any]]:
    """What must be refused, with torch's type of error."""
    other = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    return {
        "no optimiser": lambda o: m.StepLR("optimizer", 3),
        "no optimiser for plateau": lambda o: m.ReduceLROnPlateau("optimizer"),
        "no optimiser for a cycle": lambda o: m.OneCycleLR("optimizer", 0.1, 10),
        "no beginning": lambda o: m.StepLR(o, 3, last_epoch=4),
        "functions": lambda o: m.LambdaLR(o, [lambda t: 1.0] * 3),
        "no function": lambda o: m.MultiplicativeLR(o, [1.0, 2.0]),
        "constant": lambda o: m.ConstantLR(o, factor=1.5),
        "linear start": lambda o: m.LinearLR(o, start_factor=0),
        "linear end": lambda o: m.LinearLR(o, end_factor=1.5),
        "T_0": lambda o: m.CosineAnnealingWarmRestarts(o, 0),
        "T_mult": lambda o: m.CosineAnnealingWarmRestarts(o, 3, T_mult=1.5),
        "eta_min": lambda o: m.CosineAnnealingWarmRestarts(o, 3, eta_min="0"),
        "epoch": lambda o: m.CosineAnnealingWarmRestarts(o, 3).step(-1),
        "mode": lambda o: m.CyclicLR(o, 0.1, 1.0, mode="square"),
        "rates": lambda o: m.CyclicLR(o, [0.1], 1.0),
        "no momentum": lambda o: m.CyclicLR(torch.optim.Adagrad([torch.zeros(1)]), 0.1, 1.0),
        "no momentum for one cycle": lambda o: m.OneCycleLR(torch.optim.Adagrad([torch.zeros(1)]), 0.1, 10),
        "no length": lambda o: m.OneCycleLR(o, 0.1),
        "length": lambda o: m.OneCycleLR(o, 0.1, total_steps=-3),
        "epochs": lambda o: m.OneCycleLR(o, 0.1, epochs=2.5, steps_per_epoch=2),
        "share": lambda o: m.OneCycleLR(o, 0.1, 10, pct_start=1.2),
        "strategy": lambda o: m.OneCycleLR(o, 0.1, 10, anneal_strategy="exp"),
        "over": lambda o: [s.step() for s in [m.OneCycleLR(o, 0.1, 3)] for _ in range(5)],
        "factor": lambda o: m.ReduceLROnPlateau(o, factor=1.0),
        "plateau's mode": lambda o: m.ReduceLROnPlateau(o, mode="least"),
        "threshold": lambda o: m.ReduceLROnPlateau(o, threshold_mode="ratio"),
        "lowest": lambda o: m.ReduceLROnPlateau(o, min_lr=[0.1]),
        "none": lambda o: m.SequentialLR(o, [], []),
        "milestones": lambda o: m.SequentialLR(o, [m.StepLR(o, 1), m.StepLR(o, 2)], []),
        "no scheduler": lambda o: m.SequentialLR(o, ["StepLR"], []),
        "two optimisers": lambda o: m.SequentialLR(o, [m.StepLR(o, 1), m.StepLR(other, 2)], [3]),
        "a metric": lambda o: m.ChainedScheduler([m.ReduceLROnPlateau(o)]),
        "none chained": lambda o: m.ChainedScheduler([]),
        "two chained": lambda o: m.ChainedScheduler([m.StepLR(o, 1), m.StepLR(other, 2)]),
    }


@pytest.mark.parametrize("what", bad(optim.lr_scheduler))
def test_refuses(what: str) -> None:
    kinds = []
    for module in (torch.optim.lr_scheduler, optim.lr_scheduler):
        optimizer = torch.optim.SGD([{"params": [torch.zeros(1)]}, {"params": [torch.zeros(1)]}], lr=1.0, momentum=0.9)
        with quiet(), pytest.raises(Exception) as refused:  # noqa: PT011 - the type is compared below
            bad(module)[what](optimizer)
        kinds.append(refused)
    assert issubclass(kinds[1].type, kinds[0].type), f"{kinds[1].type.__name__}, torch has {kinds[0].type.__name__}"
    assert len(str(kinds[1].value)) > 15
    assert str(kinds[1].value) != str(kinds[0].value)
