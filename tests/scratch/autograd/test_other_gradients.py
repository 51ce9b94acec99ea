"""Borrowed gradients: both forms of each agree, and networks that could not learn without them do."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from expressions import randn

from rungbook.scratch.autograd.other_gradients import (
    GuidedReLU,
    LeakyBackwardReLU,
    ReverseGradient,
    StraightThrough,
    leaky_backward_relu,
    reverse_gradient,
    straight_through,
)

covers = ["F17"]

FORMS = {
    "straight through": (lambda x: straight_through(x, x.round()), lambda x: StraightThrough.apply(x, x.round())),
    "leaky backward": (lambda x: leaky_backward_relu(x, 0.1), lambda x: LeakyBackwardReLU.apply(x, 0.1)),
    "reversed": (lambda x: reverse_gradient(x, 0.5), lambda x: ReverseGradient.apply(x, 0.5)),
}
EXPECTED = {
    "straight through": (torch.round, torch.ones_like),
    "leaky backward": (torch.relu, lambda x: torch.where(x > 0, 1.0, 0.1).double()),
    "reversed": (lambda x: x, lambda x: torch.full_like(x, -0.5)),
}


@pytest.mark.parametrize("name", FORMS)
def test_value_of_one_gradient_of_another(name: str) -> None:
    x, g = randn(5, 4) * 3, randn(5, 4, seed=1)
    value, slope = EXPECTED[name]
    for f in FORMS[name]:
        y = f(leaf := x.clone().requires_grad_())
        (grad,) = torch.autograd.grad(y, leaf, g)
        torch.testing.assert_close(y.detach(), value(x), rtol=0, atol=1e-14)
        torch.testing.assert_close(grad, g * slope(x))
        twice = lambda x, f=f: torch.autograd.grad((f(x) * f(x)).sum(), x, create_graph=True)[0]  # g depends on x: d(2 f(x) s) / dx = 2 s^2
        leaf = x.clone().requires_grad_()
        (second,) = torch.autograd.grad(twice(leaf).sum(), leaf)
        torch.testing.assert_close(second, 2 * slope(x) ** 2)


def test_only_the_function_is_exact() -> None:
    x = torch.rand(10_000, generator=torch.Generator().manual_seed(0))
    codes = torch.tensor([1e-3, 0.7])[(x > 0.5).long()]
    assert torch.equal(StraightThrough.apply(x, codes), codes)
    assert not torch.equal(straight_through(x, codes), codes)
    torch.testing.assert_close(straight_through(x, codes), codes)


def test_guided_relu() -> None:
    x = torch.tensor([1.0, 1.0, -1.0, -1.0], requires_grad=True)
    GuidedReLU.apply(x).backward(torch.tensor([2.0, -2.0, 2.0, -2.0]))
    assert x.grad.tolist() == [2, 0, 0, 0]


def fit(activation: Callable[[torch.Tensor], torch.Tensor], bias: float = 0.0) -> float:
    """Loss of a small network after 200 steps on y = |x|."""
    g = torch.Generator().manual_seed(0)
    x = torch.linspace(-1, 1, 64)[:, None]
    w, b = torch.randn(1, 16, generator=g).requires_grad_(), (torch.randn(16, generator=g) + bias).requires_grad_()
    v = torch.randn(16, 1, generator=g).div(4).requires_grad_()
    optimizer = torch.optim.Adam([w, b, v], 0.05)
    for _ in range(200):
        loss = (activation(x @ w + b) @ v - x.abs()).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item()


def test_dead_units_come_back() -> None:
    assert fit(torch.relu, bias=-6) > 0.2  # no unit is ever on, so none ever learns
    assert fit(lambda x: leaky_backward_relu(x, 0.1), bias=-6) < 0.05


def test_what_is_rounded_learns() -> None:
    for rounded, steps in ((lambda x: straight_through(x, x.round()), 7), (torch.round, 0)):  # a rounding's own gradient is 0
        bits = torch.zeros((), requires_grad=True)
        for _ in range(50):
            (grad,) = torch.autograd.grad((rounded(bits) - 7).square(), bits)
            bits = (bits - 0.1 * grad).detach().requires_grad_()
        assert bits.round() == steps


def test_reversed_features_forget() -> None:
    """A feature that gives away what it should not: behind the reversal it learns to hide it, without it to show it more."""
    g = torch.Generator().manual_seed(0)
    x = torch.randn(256, 2, generator=g)
    shares = {}
    for name, passed in (("reversed", reverse_gradient), ("plain", lambda x: x)):
        encoder = torch.ones(2, requires_grad=True)  # feature = e0 * x0 + e1 * x1; an adversary guesses x1 from it, a task needs x0
        adversary, task = torch.zeros((), requires_grad=True), torch.zeros((), requires_grad=True)
        optimizer = torch.optim.SGD([encoder, adversary, task], 0.1)
        for _ in range(200):
            feature = x @ encoder
            loss = (task * feature - x[:, 0]).square().mean() + (adversary * passed(feature) - x[:, 1]).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        shares[name] = (encoder[1].abs() / encoder.abs().sum()).item()
    assert shares["reversed"] < 0.2 < shares["plain"]
