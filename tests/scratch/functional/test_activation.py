"""Activations beyond torch's samples: second derivatives, in place within a graph, low precision, compiled whole."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as torch_functional
from torch import Tensor

from rungbook.scratch import functional as F

SMOOTH = ["sigmoid", "logsigmoid", "tanh", "tanhshrink", "softplus", "silu", "mish", "gelu", "selu", "elu", "celu", "softsign"]
PIECEWISE = ["relu", "relu6", "leaky_relu", "hardtanh", "hardsigmoid", "hardswish", "hardshrink", "softshrink"]
IN_PLACE = ["relu", "relu6", "leaky_relu", "hardtanh", "hardsigmoid", "hardswish", "silu", "mish", "elu", "celu", "selu"]


def numbers(dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.linspace(-30, 30, 121, dtype=torch.float64).to(dtype)


def second_derivative(f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    x = x.clone().requires_grad_()
    (first,) = torch.autograd.grad(f(x).sum(), x, create_graph=True)
    return torch.autograd.grad(first.sum(), x)[0]


@pytest.mark.parametrize("name", SMOOTH)
def test_second_derivative(name: str) -> None:
    x = numbers()
    x = x[x != 0]  # where a function is put together, torch has one side's second derivative, and so may we
    ours, theirs = (second_derivative(getattr(m, name), x) for m in (F, torch_functional))
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-8)  # softplus ends at 20, where it has 2e-9 left


@pytest.mark.parametrize("name", IN_PLACE)
def test_in_place_keeps_what_backward_needs(name: str) -> None:
    grads = []
    for module in (F, torch_functional):
        x = numbers().requires_grad_()
        hidden = x * 1.5
        result = getattr(module, name)(hidden, inplace=True)
        assert result is hidden
        grads.append(torch.autograd.grad((result * result).sum(), x)[0])
    torch.testing.assert_close(grads[0], grads[1], rtol=1e-9, atol=1e-6)  # torch's hardsigmoid: a sixth in single precision


def test_without_a_copy_in_place_fails() -> None:
    x = numbers().requires_grad_()
    hidden = x * 1.5
    hidden.copy_(F.silu(hidden))  # what must not be done
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        hidden.sum().backward()


@pytest.mark.parametrize("name", SMOOTH + PIECEWISE)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-6), (torch.bfloat16, 3e-2)])
def test_low_precision(name: str, dtype: torch.dtype, tolerance: float) -> None:
    x = numbers(dtype)
    ours = getattr(F, name)(x)
    assert ours.dtype == dtype
    torch.testing.assert_close(ours.double(), getattr(torch_functional, name)(x.double()), rtol=tolerance, atol=tolerance)


def test_formulas_as_in_books_overflow() -> None:
    x = torch.tensor([-1000.0, 1000.0], requires_grad=True)
    naive = {"sigmoid": 1 / (1 + (-x).exp()), "tanh": (x.exp() - (-x).exp()) / (x.exp() + (-x).exp()), "softplus": (1 + x.exp()).log()}
    for name, y in naive.items():
        assert not torch.autograd.grad(y.sum(), x)[0].isfinite().all(), name
        ours = getattr(F, name)(x)
        assert ours.isfinite().all()
        assert torch.autograd.grad(ours.sum(), x)[0].isfinite().all()


def test_relu_has_slope_0_at_0_and_clamp_has_not() -> None:
    x = torch.zeros(1, requires_grad=True)
    assert torch.autograd.grad(F.relu(x), x)[0] == 0
    assert torch.autograd.grad(x.clamp(min=0), x)[0] == 1


def test_rrelu_leaves_the_generator_where_torch_does() -> None:
    states = []
    for module in (F, torch_functional):
        torch.manual_seed(3)
        module.rrelu(numbers(torch.float32), training=True)
        states.append(torch.rand(4))
    assert torch.equal(*states)


@pytest.mark.parametrize("name", [*SMOOTH, *PIECEWISE, "glu"])
def test_compiles_whole(name: str) -> None:
    x = numbers(torch.float32)[:120]
    function = getattr(F, name)
    torch.testing.assert_close(torch.compile(function, backend="eager", fullgraph=True)(x), function(x))


def test_softmax_of_half_precision_is_summed_in_more() -> None:
    x = torch.zeros(1, 4096, dtype=torch.bfloat16)
    assert float(F.softmax(x, 1).float().sum()) == 1.0
    assert float(F.log_softmax(x, 1)[0, 0]) == pytest.approx(-8.3178, abs=0.04)


def test_softmax_converts_first() -> None:
    x = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    for name in ("softmax", "softmin", "log_softmax"):
        ours = getattr(F, name)(x, 1, dtype=torch.float64)
        torch.testing.assert_close(ours, getattr(torch_functional, name)(x, 1, dtype=torch.float64), rtol=0, atol=1e-15)
        assert getattr(F, name)(x.double(), 1, dtype=torch.float32).dtype == torch.float32
    with pytest.raises(NotImplementedError, match="int64"):
        F.softmax(torch.arange(3), 0)


def test_left_out_dimension_is_warned_about() -> None:
    with pytest.warns(UserWarning, match="`dim`"):
        F.softmax(torch.zeros(2, 3))


def test_hard_gumbel_softmax_is_one_hot_with_the_soft_gradient() -> None:
    logits = torch.zeros(50, 4, requires_grad=True)
    torch.manual_seed(0)
    hard = F.gumbel_softmax(logits, hard=True)
    torch.manual_seed(0)
    soft = F.gumbel_softmax(logits)
    assert torch.equal(hard.detach().round(), F.one_hot(soft.argmax(-1), 4).float())
    weights = torch.arange(4.0)
    torch.testing.assert_close(*(torch.autograd.grad((y * weights).sum(), logits)[0] for y in (hard, soft)))


@pytest.mark.parametrize("name", ["sigmoid", "tanh"])
@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.bool], ids=str)
def test_of_whole_numbers(name: str, dtype: torch.dtype) -> None:
    """As numbers of the default type; -x of a byte is 256 - x, and of a truth value nothing at all."""
    x = torch.tensor([0, 1, 3, 100]).to(dtype)
    torch.testing.assert_close(getattr(F, name)(x), getattr(torch, name)(x))
