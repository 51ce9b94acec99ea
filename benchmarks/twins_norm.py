"""Layer norm and batch norm: forward and backward of ours, eager and compiled, against torch's."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from contest import Contest
from rungbook.scratch import nn

REPEATS = 8
"""Passes per round, so that a round takes long enough to be timed."""


def passes(layer: Callable[[Tensor], Tensor], parameters: list[Tensor], x: Tensor, gradient: Tensor) -> Callable[[], list[Tensor]]:
    """Some forward and backward passes; returns the result and the gradients of the last."""

    def run() -> list[Tensor]:
        for _ in range(REPEATS):
            y = layer(x)
            gradients = torch.autograd.grad(y, [x, *parameters], gradient)
        return [y, *gradients]

    return run


def contest(
    name: str, theirs: torch.nn.Module, twin: type[torch.nn.Module], shape: tuple[int, ...], eager: float, compiled: float
) -> Contest:
    """One layer at one size, with parameters that are not 0 and 1."""
    torch.manual_seed(0)
    x, gradient = torch.randn(shape).requires_grad_(), torch.randn(shape)
    parameters = list(theirs.parameters())
    with torch.no_grad():
        for p in parameters:
            p.normal_()
    ours = twin(theirs.num_features if hasattr(theirs, "num_features") else theirs.normalized_shape)
    ours.load_state_dict(theirs.state_dict())
    mine = list(ours.parameters())
    forms = {
        "torch": passes(theirs, parameters, x, gradient),
        "eager": passes(ours, mine, x, gradient),
        "compiled": passes(torch.compile(ours), mine, x, gradient),
        "torch, compiled": passes(torch.compile(theirs), parameters, x, gradient),  # what the compiler makes of torch's own
    }

    def check() -> None:
        expected = forms["torch"]()
        for form in set(forms) - {"torch"}:
            for ours, theirs in zip(forms[form](), expected, strict=True):
                torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3 * float(theirs.detach().abs().max()))

    return Contest(
        name,
        forms["torch"],
        {form: run for form, run in forms.items() if form != "torch"},
        {"eager": eager, "compiled": compiled},
        check,
    )


def contests() -> list[Contest]:
    """Layer norm as in two sizes of GPT, batch norm as in a ResNet."""
    return [
        contest("LayerNorm 4096x256", torch.nn.LayerNorm(256), nn.LayerNorm, (64 * 64, 256), 3.0, 1.2),
        contest("LayerNorm 32x128x512", torch.nn.LayerNorm(512), nn.LayerNorm, (32, 128, 512), 3.0, 1.2),
        contest("BatchNorm2d N32 C64 32x32", torch.nn.BatchNorm2d(64), nn.BatchNorm2d, (32, 64, 32, 32), 2.0, 1.1),
    ]
