"""Stable forms: torch's values and gradients, and right where the naive forms are not."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from rungbook.scratch.tensor import stable

GRID = torch.tensor([-800.0, -90.0, -40.0, -3.0, -0.7, -1e-3, -1e-20, 0.0, 1e-20, 0.5, 3.0, 40.0, 90.0, 800.0], dtype=torch.float64)


def same(ours: Callable[[Tensor], Tensor], theirs: Callable[[Tensor], Tensor], x: Tensor) -> None:
    """Values and gradients, element by element."""
    results = []
    for f in (ours, theirs):
        leaf = x.clone().requires_grad_()
        y = f(leaf)
        weights = torch.linspace(0.5, 2, y.numel(), dtype=y.dtype).reshape(y.shape)
        results.append((y.detach(), *torch.autograd.grad(y, leaf, weights)))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-13, atol=1e-16)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (stable.sigmoid, torch.sigmoid),
        (stable.log_sigmoid, torch.nn.functional.logsigmoid),
        (stable.softplus, lambda x: torch.nn.functional.softplus(x)),
        (lambda x: stable.logsumexp(x.view(2, 7), 1), lambda x: torch.logsumexp(x.view(2, 7), 1)),
        (lambda x: stable.logsumexp(x.view(7, 2), (0, -1), True), lambda x: torch.logsumexp(x.view(7, 2), (0, 1), True)),
        (lambda x: stable.softmax(x.view(7, 2), 0), lambda x: torch.softmax(x.view(7, 2), 0)),
        (lambda x: stable.log_softmax(x.view(7, 2), 0), lambda x: torch.log_softmax(x.view(7, 2), 0)),
        (lambda x: stable.logaddexp(x, x.detach().flip(0)), lambda x: torch.logaddexp(x, x.detach().flip(0))),
        (lambda x: stable.logaddexp(x, x), lambda x: torch.logaddexp(x, x)),
    ],
    ids=["sigmoid", "log_sigmoid", "softplus", "logsumexp", "logsumexp dims", "softmax", "log_softmax", "logaddexp", "logaddexp twice"],
)
def test_as_torchs(ours: Callable[[Tensor], Tensor], theirs: Callable[[Tensor], Tensor]) -> None:
    same(ours, theirs, GRID)


def test_infinities() -> None:
    inf = math.inf
    x = torch.tensor([[-inf, -inf], [inf, 1.0], [-inf, 2.0], [inf, inf], [math.nan, 1.0]])
    assert torch.equal(stable.logsumexp(x, 1).nan_to_num(9), torch.logsumexp(x, 1).nan_to_num(9))
    assert torch.equal(stable.logaddexp(x[:, 0], x[:, 1]).nan_to_num(9), torch.logaddexp(x[:, 0], x[:, 1]).nan_to_num(9))


@pytest.mark.parametrize(("shape", "dim"), [((0, 3), 0), ((2, 0), 0), ((2, 0), 1), ((), 0), ((2, 3, 4), (2, 0))])
@pytest.mark.parametrize("keepdim", [False, True])
def test_odd_shapes(shape: tuple[int, ...], dim: int | tuple[int, ...], keepdim: bool) -> None:
    x = torch.randn(shape, dtype=torch.float64)
    torch.testing.assert_close(stable.logsumexp(x, dim, keepdim), torch.logsumexp(x, dim, keepdim))
    if isinstance(dim, int):
        torch.testing.assert_close(stable.log_softmax(x, dim), torch.log_softmax(x, dim))
        torch.testing.assert_close(stable.softmax(x, dim), torch.softmax(x, dim))


def test_log1mexp_keeps_its_digits_and_its_gradient() -> None:
    x = torch.tensor([-1e-300, -1e-18, -1e-3, -0.6, -math.log(2), -1.0, -40.0, -700.0], dtype=torch.float64, requires_grad=True)
    y = stable.log1mexp(x)
    # log(1 - exp(x)) by its series: log(-x) near 0, -exp(x) far below
    expected = [
        math.log(1e-300),
        math.log(1e-18),
        math.log(1e-3) - 5e-4 + 1e-6 / 24,
        None,
        -math.log(2),
        None,
        -math.exp(-40),
        -math.exp(-700),
    ]
    for got, want in zip(y.tolist(), expected, strict=True):
        assert want is None or got == pytest.approx(want, rel=1e-13, abs=0)
    (grad,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(grad, 1 / -torch.expm1(-x.detach()) * 1.0, rtol=1e-12, atol=0)
    assert stable.log1mexp(torch.zeros(1)).item() == -math.inf


def test_tails() -> None:
    x = torch.tensor([-700.0, -40.0, 40.0], dtype=torch.float64, requires_grad=True)
    y = torch.cat([stable.sigmoid(x), stable.softplus(x)[:2], stable.log_sigmoid(x)[2:]])
    tiny, small = math.exp(-700), math.exp(-40)
    torch.testing.assert_close(y, torch.tensor([tiny, small, 1, tiny, small, -small], dtype=torch.float64), rtol=1e-13, atol=0)
    (grad,) = torch.autograd.grad(stable.sigmoid(x).sum(), x)
    torch.testing.assert_close(grad, torch.tensor([tiny, small, small], dtype=torch.float64), rtol=1e-13, atol=0)


def test_all_dimensions() -> None:
    x = torch.randn(2, 3, dtype=torch.float64)
    torch.testing.assert_close(stable.logsumexp(x, ()), torch.logsumexp(x, (0, 1)))
    assert stable.logsumexp(x, (), keepdim=True).shape == (1, 1)


def test_integers_become_floats() -> None:
    assert stable.logsumexp(torch.tensor([1, 2]), 0).item() == pytest.approx(math.log(math.e + math.e**2))


def test_control_the_naive_forms_fail() -> None:
    x = torch.tensor([100.0, 101.0])
    assert x.exp().sum().log().isinf()
    assert (x.exp() / x.exp().sum()).isnan().all()
    assert (1 + x.exp()).log().isinf().any()
    small = torch.tensor(-1e-18, dtype=torch.float64)
    assert (1 - small.exp()).log().isinf()
    assert (1 - torch.tensor(-40.0, dtype=torch.float64).exp()).log() == 0
    assert torch.tensor([-1000.0, 0.0]).softmax(0).log()[0].isinf()
    for f in (lambda x: stable.logsumexp(x, 0), lambda x: stable.softmax(x, 0), stable.softplus):
        assert f(x).isfinite().all()
    assert stable.log1mexp(small).item() == pytest.approx(math.log(1e-18))
    assert stable.log_softmax(torch.tensor([-1000.0, 0.0]), 0)[0] == -1000
    # |x| has no slope at 0, so a sigmoid written with it has none either; ours has
    zero = torch.zeros(1, requires_grad=True)
    z = (-zero.abs()).exp()
    assert torch.autograd.grad(torch.where(zero >= 0, 1 / (1 + z), z / (1 + z)), zero)[0].item() == 0
    assert torch.autograd.grad(stable.sigmoid(zero), zero)[0].item() == 0.25
