"""Every optimiser against torch's: same parameters after 100 steps in float64, and a state that loads either way on the way."""

from __future__ import annotations

import copy
from contextlib import nullcontext
from functools import cache, partial
from typing import Any

import pytest
import torch
from agree import Case, Counts, close, compare_all, quiet
from tolerances import TRAJECTORY
from torch import Tensor

from rungbook.scratch import optim

NAMES = [name for name in optim.__all__ if name in torch.optim.__all__ and isinstance(getattr(torch.optim, name), type)]
STEPS = 100

tensor_lr = {"lr": torch.tensor(0.001)}
MORE: dict[str, list[dict[str, Any]]] = {
    "ASGD": [tensor_lr, {"t0": 5, "alpha": 0.5}],  # torch's own two forms, with foreach and without, differ by 1e-8
    "Adadelta": [tensor_lr, {"foreach": True, "weight_decay": 0.1}],
    "Adafactor": [tensor_lr, {"foreach": True, "weight_decay": 0.1}, {"eps": (1e-4, 0.1)}],
    "Adagrad": [{"foreach": True}, {"fused": True, "lr_decay": 0.1}, {"lr": torch.tensor([0.1]), "lr_decay": 0.1}],
    "Adam": [
        tensor_lr,
        {"lr": torch.tensor([0.01]), "betas": (torch.tensor(0.8), torch.tensor([[0.99]]))},
        {"foreach": True, "amsgrad": True},
        {"fused": True, "weight_decay": 0.1},
        {"amsgrad": True, "maximize": True},
        {"weight_decay": 0.1, "decoupled_weight_decay": True},
        {"eps": 0.5},
    ],
    "AdamW": [{"lr": torch.tensor(0.01), "weight_decay": 0.1}, {"foreach": True}, {"fused": True}, {"weight_decay": 0.0}],
    "Adamax": [tensor_lr, {"foreach": True, "betas": (0.5, 0.9)}],
    "LBFGS": [
        {"max_iter": 1},
        {"max_iter": 1, "line_search_fn": "strong_wolfe"},
        {"history_size": 2, "max_iter": 4},
        {"max_eval": 3},
        {"lr": 0.2, "max_iter": 3, "line_search_fn": "strong_wolfe", "history_size": 3},
    ],
    "Muon": [{"nesterov": False}, {"adjust_lr_fn": "match_rms_adamw"}, {"adjust_lr_fn": "original"}],
    "NAdam": [tensor_lr, {"foreach": True}, {"lr": torch.tensor(0.01), "weight_decay": 0.1, "decoupled_weight_decay": True}],
    "RAdam": [tensor_lr, {"foreach": True}, {"betas": (0.5, 0.7)}, {"lr": torch.tensor(0.01), "weight_decay": 0.1}],
    "RMSprop": [tensor_lr, {"foreach": True, "momentum": 0.9}, {"centered": True, "alpha": 0.9, "eps": 1e-3}],
    "Rprop": [tensor_lr, {"foreach": True, "step_sizes": (1e-3, 0.1)}],
    "SGD": [
        {"lr": torch.tensor([0.01]), "momentum": 0.9},
        {"foreach": True, "momentum": 0.9, "nesterov": True},
        {"fused": True, "momentum": 0.9, "dampening": 0.1},
        {"maximize": True, "momentum": 0.5, "weight_decay": 0.1},
    ],
    "SparseAdam": [{"betas": (0.5, 0.5), "eps": 1e-3}],
}
"""Settings that torch's samples for a CPU do not touch."""


@cache
def infos() -> dict[str, Any]:
    """Torch's samples, by the optimiser's name."""
    from torch.testing._internal.common_optimizers import optim_db

    return {info.optim_cls.__name__: info for info in optim_db}


class Trip:
    """An optimiser on its way: parameters in two groups, one never used, gradients of a bowl with ripples.

    Args:
        cls: the optimiser.
        options: what it is made with.
        dtype: of the parameters, real or complex.
        sparse: whether gradients are, with entries named twice.
    """

    def __init__(self, cls: type[Any], options: dict[str, Any], dtype: torch.dtype, sparse: bool) -> None:
        g = torch.Generator().manual_seed(0)
        shapes = [(3, 4), (4, 3)] if cls.__name__ == "Muon" else [(3, 2, 2), (5,)] if sparse else [(3, 2, 2), (5,), ()]
        self.targets = [torch.randn(shape, dtype=dtype, generator=g) for shape in shapes]
        self.params = [torch.randn(shape, dtype=dtype, generator=g).requires_grad_() for shape in shapes]
        self.unused = torch.ones(2, 2, dtype=dtype).requires_grad_()
        groups: list[Any] = [{"params": self.params[:1]}, {"params": [*self.params[1:], self.unused]}]
        if cls.__name__ == "LBFGS":  # knows no groups
            groups = [*self.params, self.unused]
        elif "lr" not in options:
            groups[1]["lr"] = 0.02
        self.sparse = sparse
        self.optimizer = cls(groups, **copy.deepcopy(options))

    def closure(self) -> Tensor:
        """The loss, which only LBFGS looks at; sets the gradients, as `backward` would."""
        losses = [torch.zeros(())]
        wanted = isinstance(self.optimizer, torch.optim.LBFGS | optim.LBFGS)
        for i, (p, target) in enumerate(zip(self.params, self.targets, strict=True)):
            away = p.detach() - target
            p.grad = away * (1 + i) + (0.3 * torch.sin(2 * away) if away.is_floating_point() else 0.3j * away)
            if wanted:
                losses.append((away.abs() ** 2 * (1 + i) / 2).sum() + (0.15 * (1 - torch.cos(2 * away))).sum().real)
            if self.sparse:
                half = p.grad[: len(p) // 2 + 1]
                at = torch.arange(len(half)).repeat(2)[None]
                p.grad = torch.sparse_coo_tensor(at, torch.cat([half, half * 0.5]), p.shape, check_invariants=True)
        return torch.stack(losses).sum()

    def walk(self, steps: int) -> None:
        """So many steps."""
        for _ in range(steps):
            self.optimizer.step(self.closure)

    def goes_on_as(self, cls: type[Any], options: dict[str, Any]) -> Trip:
        """The same trip with another optimiser, which takes over the state."""
        other = Trip(cls, options, self.params[0].dtype, self.sparse)
        with torch.no_grad():
            for p, q in zip(other.params, self.params, strict=True):
                p.copy_(q)
        other.optimizer.load_state_dict(copy.deepcopy(self.optimizer.state_dict()))
        return other


def same_trees(ours: Any, theirs: Any, what: str) -> None:
    """Same types, keys in the same order, values."""
    assert type(ours) is type(theirs), f"{what}: a {type(ours).__name__}, torch has a {type(theirs).__name__}"
    if isinstance(theirs, dict):
        assert list(ours) == list(theirs), f"{what} has {list(ours)}, torch's has {list(theirs)}"
        for key in theirs:
            same_trees(ours[key], theirs[key], f"{what}[{key!r}]")
    elif isinstance(theirs, list | tuple):
        assert len(ours) == len(theirs), f"{what}: {len(ours)} entries, torch has {len(theirs)}"
        for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            same_trees(a, b, f"{what}[{i}]")
    elif isinstance(theirs, Tensor):
        close(*(x.to_dense() if x.is_sparse else x for x in (ours, theirs)), TRAJECTORY, what)
    elif isinstance(theirs, float):
        if ours == theirs:
            return
        close(torch.tensor(ours, dtype=torch.float64), torch.tensor(theirs, dtype=torch.float64), TRAJECTORY, what)
    else:
        assert ours == theirs, f"{what}: {ours!r}, torch has {theirs!r}"


def trips_agree(name: str, case: Case, steps: int = STEPS) -> None:
    """Same parameters and state after all steps, also when the two change places on the way."""
    ours, theirs = getattr(optim, name), getattr(torch.optim, name)
    steps = steps // 16 if name == "LBFGS" and case.options.get("max_iter", 20) > 4 else steps  # each is up to 20 moves
    steps = steps if case.args == (torch.float64, False) else steps // 3  # what torch has no samples of
    a, b = Trip(ours, case.options, *case.args), Trip(theirs, case.options, *case.args)
    for trip in (a, b):
        trip.walk(steps // 4)
    if case.args[0] == torch.float64:
        # torch's own, loaded into torch's, is the measure: loading casts state to the parameters' type
        measure = b.goes_on_as(theirs, case.options)
        exchanged = {"ours, then torch's": a.goes_on_as(theirs, case.options), "torch's, then ours": b.goes_on_as(ours, case.options)}
        for trip in (measure, *exchanged.values()):
            trip.walk(steps // 10)
        for what, trip in exchanged.items():
            same_places(trip, measure, what)
    for trip in (a, b):
        trip.walk(steps - steps // 4)
    same_places(a, b, "ours")


def same_places(ours: Trip, theirs: Trip, what: str) -> None:
    """Same parameters, and same state."""
    for i, (p, q) in enumerate(zip(ours.params, theirs.params, strict=True)):
        close(p.detach(), q.detach(), TRAJECTORY, f"{what}: parameter {i}")
    assert torch.equal(ours.unused, theirs.unused), f"{what}: a parameter without a gradient moved"
    same_trees(ours.optimizer.state_dict(), theirs.optimizer.state_dict(), f"{what}: state_dict")


def cases(name: str) -> list[Case]:
    """Torch's samples and ours, with real and complex parameters where torch has those, and sparse gradients."""
    info = infos()[name]
    found = []
    only_sparse = info.only_supports_sparse_grads
    settings = [(sample.desc, sample.kwargs) for sample in info.optim_inputs_func(device="cpu")]
    settings += [(" ".join(f"{k}={v}" for k, v in more.items()), more) for more in MORE[name]]
    for desc, options in settings:
        found.append(Case(f"{desc} float64", args=(torch.float64, only_sparse), options=options))
        if info.supports_complex and not options.get("fused"):
            found.append(Case(f"{desc} complex128", args=(torch.complex128, False), options=options))
        if info.supports_sparse and not options.get("weight_decay") and not options.get("foreach") and not options.get("fused"):
            found.append(Case(f"{desc} sparse", args=(torch.float64, True), options=options))
    return found


def test_all_of_torch_are_here() -> None:
    assert set(infos()) == set(NAMES) == set(MORE)


@pytest.mark.parametrize("name", NAMES)
def test_optimizer(name: str, counts: dict[str, Counts]) -> None:
    compare_all(f"optim.{name}", cases(name), partial(trips_agree, name), counts)


@pytest.mark.soak
@pytest.mark.parametrize("name", NAMES)
def test_optimizer_for_long(name: str) -> None:
    # torch's samples alone: those of ours with a linear gradient come to rest, where a centred variance is nothing but rounding
    real = [case for case in cases(name) if case.args == (torch.float64, False)]
    compare_all(f"optim.{name}", real or cases(name), partial(trips_agree, name, steps=5 * STEPS), {})


@pytest.mark.parametrize("name", NAMES)
def test_refuses(name: str) -> None:
    from torch.testing._internal.common_optimizers import OptimizerErrorEnum

    for error in infos()[name].optim_error_inputs_func(device="cpu", dtype=torch.float64):
        sample = error.optimizer_error_input
        params = [torch.zeros(2, 2).requires_grad_()] if sample.params is None else sample.params
        make = partial(getattr(optim, name), params, **sample.kwargs)
        call = make if error.error_on == OptimizerErrorEnum.CONSTRUCTION_ERROR else make().step
        with pytest.raises(error.error_type) as refused, nullcontext() if error.error_type is UserWarning else quiet():
            call()
        assert len(str(refused.value)) > 15, f"{name}: {refused.value!r} explains nothing"
