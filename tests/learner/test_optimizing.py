"""The bare step does what the optimiser's own step does, and nobody's own step is passed over."""

from __future__ import annotations

from functools import wraps
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from rungbook.learner.optimizing import bare_step

OPTIMIZERS = ("SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "NAdam", "RAdam", "Adamax", "Adadelta", "ASGD", "Rprop", "Adafactor")


def weights_after(name: str, bare: bool, **options: Any) -> torch.Tensor:
    p = nn.Parameter(torch.linspace(-1, 1, 12, dtype=torch.float64).view(3, 4))
    optimizer = getattr(torch.optim, name)([p], lr=0.01, **options)
    for i in range(4):
        p.grad = (p.detach() + i).cos()
        (bare_step(optimizer) if bare else optimizer.step)()
    return p.detach()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_same_weights_to_the_last_bit(name: str) -> None:
    start = torch.linspace(-1, 1, 12, dtype=torch.float64).view(3, 4)
    whole = weights_after(name, bare=False)
    assert whole.equal(weights_after(name, bare=True))
    assert not whole.equal(start), "control: they moved"


def test_no_gradient_is_recorded() -> None:
    p = nn.Parameter(torch.ones(2))
    p.grad = torch.ones(2)
    with torch.enable_grad():
        bare_step(torch.optim.SGD([p], lr=0.1))()
        assert torch.is_grad_enabled()
    assert p.grad_fn is None
    assert p.tolist() == pytest.approx([0.9, 0.9])


def counted(step: Any, calls: list[int]) -> Any:
    @wraps(step)
    def mine(self: Any, closure: Any = None) -> Any:
        calls.append(1)
        return step(self, closure)

    return mine


@pytest.mark.parametrize("how", ["subclass", "wrapped method", "hook", "hook on all"])
def test_what_somebody_added_is_called(how: str) -> None:
    calls: list[int] = []
    p = nn.Parameter(torch.ones(2))
    p.grad = torch.ones(2)
    torch.optim.Adam([p], lr=0.1)  # from now on torch's wrapper is in place, and `wraps` copies its mark
    step = counted(torch.optim.Adam.step, calls)
    handle = None
    if how in ("subclass", "wrapped method"):
        optimizer = type("Mine", (torch.optim.Adam,), {"step": step})([p], lr=0.1)
        if how == "wrapped method":
            optimizer.step = step.__get__(optimizer)
    else:
        optimizer = torch.optim.Adam([p], lr=0.1)
        register = optimizer.register_step_post_hook if how == "hook" else register_optimizer_step_post_hook
        handle = register(lambda *_: calls.append(1))
    bare_step(optimizer)()
    if handle is not None:
        handle.remove()
    assert calls
