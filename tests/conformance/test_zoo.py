"""Every model of the registry, in its small form: swapped, and trained with everything by hand, it does what it did with torch."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from agree import close
from tolerances import GRADIENTS, VALUES
from torch import Tensor, nn
from zoo import FORMS, batch, made

from rungbook.scratch import functional as ours
from rungbook.scratch import optim
from rungbook.scratch.autograd.tape import Tape
from rungbook.scratch.mode import scratch
from rungbook.scratch.swap import swap, swap_report

STEPS, STEPS_OF_DEEP = 50, 10
DEEP = 20
"""Layers from which a model is deep: by default it trains the shorter time, in a soak the longer one, as all others."""
STEP_TOLERANCE = 1e-9
"""Of the loss at each step, relative."""


def targets(output: Tensor) -> Tensor:
    return torch.arange(len(output)) % output.shape[1]


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("name", FORMS)
def test_swapped(name: str, training: bool) -> None:
    theirs = made(name)
    torch_state = theirs.state_dict()
    mine = swap(made(name))
    assert list(mine.state_dict()) == list(torch_state)
    assert all(torch.equal(a, b) for a, b in zip(mine.state_dict().values(), torch_state.values(), strict=True))
    left = {kind for kind in swap_report(mine).left.values() if hasattr(nn, kind)}
    assert not left, f"{name} uses layers without a twin"
    inputs = batch(name, 8, dtype=torch.float64)
    found = []
    for model in (theirs.double(), mine.double()):
        model.train(training)
        torch.manual_seed(2)
        output = model(*inputs)
        F.cross_entropy(output, targets(output)).backward()
        found.append((output.detach(), [p.grad for p in model.parameters()]))
    close(found[1][0], found[0][0], VALUES, "output")
    for (key, _), a, b in zip(theirs.named_parameters(), found[1][1], found[0][1], strict=True):
        close(a, b, GRADIENTS, f"gradient of {key}")
    for key, value in theirs.state_dict().items():
        close(mine.state_dict()[key], value, VALUES, key)


def is_deep(name: str) -> bool:
    return sum(not list(layer.children()) for layer in made(name).modules()) >= DEEP


def by_torch(model: nn.Module, inputs: tuple[Tensor, ...], steps: int) -> Iterator[float]:
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(steps):
        optimizer.zero_grad()
        output = model(*inputs)
        loss = F.cross_entropy(output, targets(output))
        loss.backward()
        optimizer.step()
        yield loss.item()


def by_hand(model: nn.Module, inputs: tuple[Tensor, ...], steps: int) -> Iterator[float]:
    """Twins of all layers, functions and losses, the tape's gradients, our optimiser."""
    model = swap(model)
    optimizer = optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(steps):
        optimizer.zero_grad()
        with Tape() as tape, scratch():
            tape.watch(model)
            output = model(*inputs)
            loss = ours.cross_entropy(output, targets(output))
        tape.backward(loss)
        optimizer.step()
        yield loss.item()


@pytest.mark.parametrize(
    ("name", "steps"),
    [(name, STEPS_OF_DEEP if is_deep(name) else STEPS) for name in FORMS]
    + [pytest.param(name, STEPS, marks=pytest.mark.soak) for name in FORMS if is_deep(name)],
)
def test_trained_with_everything_by_hand(name: str, steps: int) -> None:
    inputs, start = batch(name, 8, dtype=torch.float64), made(name).double().train()
    losses: list[list[float]] = []
    for train in (by_torch, by_hand):
        torch.manual_seed(3)
        losses.append(list(train(copy.deepcopy(start), inputs, steps)))
    for step, (a, b) in enumerate(zip(losses[1], losses[0], strict=True)):
        assert abs(a - b) <= STEP_TOLERANCE * max(1.0, abs(b)), f"{name}: step {step}: {a} by hand, {b} by torch"
    assert losses[0][-1] < losses[0][0], "it learned something"


def test_models_use_nothing_that_lacks_a_twin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every call of torch.nn.functional within a model has a twin (seen by the mode that would answer it)."""
    from torch.overrides import TorchFunctionMode

    from rungbook.scratch.twins import FUNCTIONS

    functions = {f for k, f in vars(F).items() if callable(f) and not k.startswith("_")}
    missing: dict[str, set[str]] = {}

    class Listening(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func in functions and func not in FUNCTIONS:
                missing.setdefault(name, set()).add(func.__name__)
            return func(*args, **(kwargs or {}))

    for name in FORMS:
        model = made(name).double()
        with Listening():
            model(*batch(name, 8, dtype=torch.float64))
    assert not missing
