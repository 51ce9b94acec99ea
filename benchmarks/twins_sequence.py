"""Contests of the sequence twins: an LSTM, and causal attention at three sizes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from contest import Contest
from rungbook.scratch import functional as F
from rungbook.scratch import nn


def forward_and_backward(call: Callable[[], Tensor], inputs: Sequence[Tensor], weight: Tensor, times: int = 1) -> tuple[Tensor, ...]:
    """The result and the gradients of all inputs under a fixed weighting of the result, computed so many times."""
    for _ in range(times):
        result = call()
        gradients = torch.autograd.grad(result, inputs, weight)
    return result.detach(), *gradients


def agree(theirs: Callable[[], Sequence[Tensor]], ours: dict[str, Callable[[], Sequence[Tensor]]]) -> None:
    """Raise unless all forms give torch's result and gradients, to what float32 allows."""
    for form, run in ours.items():
        for a, b in zip(run(), theirs(), strict=True):
            worst = float((a - b).abs().max() / b.abs().max())
            if worst > 2e-5:
                raise AssertionError(f"{form} differs from torch by {worst:.1e}")


def lstm(T: int = 35, N: int = 32, H: int = 256) -> Contest:
    """One layer, T steps, N sequences, H features in and out."""
    torch.manual_seed(0)
    theirs, ours = torch.nn.LSTM(H, H), nn.LSTM(H, H)
    ours.load_state_dict(theirs.state_dict())
    x, weight = torch.randn(T, N, H, requires_grad=True), torch.randn(T, N, H)
    torch_run, run = (
        partial(forward_and_backward, lambda layer=layer: layer(x)[0], [x, *layer.parameters()], weight) for layer in (theirs, ours)
    )
    return Contest(f"LSTM T{T} N{N} {H}", torch_run, {"eager": run}, {"eager": 2.6}, partial(agree, torch_run, {"eager": run}))


def attention(N: int, h: int, T: int, d: int, bounds: dict[str, float], times: int = 1) -> Contest:
    """Causal self-attention of N sequences of T tokens with h heads of d features; a short one is to be timed several times at once."""
    torch.manual_seed(0)
    q, k, v = (torch.randn(N, h, T, d, requires_grad=True) for _ in range(3))
    weight = torch.randn(N, h, T, d)

    def run(function: Callable[..., Tensor]) -> Callable[[], tuple[Tensor, ...]]:
        return partial(forward_and_backward, partial(function, q, k, v, is_causal=True), [q, k, v], weight, times)

    torch_run = run(torch.nn.functional.scaled_dot_product_attention)
    ours = {"eager": run(F.scaled_dot_product_attention)}
    if "compiled" in bounds:
        ours["compiled"] = run(torch.compile(F.scaled_dot_product_attention))
    return Contest(f"attention N{N} h{h} T{T} d{d}", torch_run, ours, bounds, partial(agree, torch_run, ours))


def contests() -> list[Contest]:
    """All of them, with the bounds they are to stay below."""
    return [
        lstm(),
        attention(12, 4, 64, 32, {"eager": 1.45}, times=10),
        attention(16, 6, 256, 64, {"eager": 1.4}),
        attention(2, 12, 1024, 64, {"compiled": 2.3}),
    ]
