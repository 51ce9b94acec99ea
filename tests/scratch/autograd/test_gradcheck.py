"""Finite differences find wrong gradients, whoever made them, and say where; right ones pass."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from expressions import SAME, randn

from rungbook.scratch.autograd import pullback, var
from rungbook.scratch.autograd.gradcheck import GradcheckError, autograd_vjp, gradcheck, gradgradcheck, tape_vjp

SMALL = [name for name in SAME if name not in ("batches", "no rows", "broadcast over nothing", "largest")]


@pytest.mark.parametrize(
    "vjp", [autograd_vjp, tape_vjp, var.vjp, pullback.vjp, torch.func.vjp], ids=["autograd", "tape", "var", "pullback", "func"]
)
@pytest.mark.parametrize("name", ["squashed", "broadcast", "batch and matrix", "softmax", "slices", "powers"])
def test_right_gradients_pass(name: str, vjp: Any) -> None:
    f, shapes = SAME[name]
    assert gradcheck(f, [randn(*shape, seed=i) for i, shape in enumerate(shapes)], vjp=vjp)


@pytest.mark.parametrize("vjp", [autograd_vjp, tape_vjp, pullback.vjp, torch.func.vjp], ids=["autograd", "tape", "pullback", "func"])
@pytest.mark.parametrize("name", ["broadcast", "matrix", "powers", "exponential, logarithm, root"])
def test_right_second_derivatives_pass(name: str, vjp: Any) -> None:
    f, shapes = SAME[name]
    assert gradgradcheck(f, [randn(*shape, seed=i) for i, shape in enumerate(shapes)], vjp=vjp)


class WrongCube(torch.autograd.Function):
    """x^3, with a gradient that is right at all but one place."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx: Any, g: torch.Tensor) -> torch.Tensor:
        (x,) = ctx.saved_tensors
        slope = 3 * x**2
        slope[1, 0] *= 1.001
        return g * slope


def test_a_wrong_gradient_is_found_and_placed() -> None:
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=torch.float64)
    with pytest.raises(GradcheckError, match=r"output\[1, 0\] / d input 1\[1, 0\] at 3: expected (27|26\.9+\d*|27\.0+\d*), got 27\.027"):
        gradcheck(lambda n, x: WrongCube.apply(x), (3, x))
    assert not gradcheck(WrongCube.apply, x, raise_exception=False)
    assert torch.autograd.gradcheck(WrongCube.apply, x.clone().requires_grad_())  # it lets a part in a thousand pass
    assert gradcheck(lambda x: x**3, x)


def test_wrong_primitives_are_found_in_every_form() -> None:
    x = randn(3)
    wrong = pullback.Primitive(torch.sin, lambda g, y, x: g * x.sin())
    with pytest.raises(GradcheckError, match=r"input 0\[0\]"):
        gradcheck(lambda x: wrong(x), x, vjp=pullback.vjp)
    wrong_in_second = pullback.Primitive(torch.sin, lambda g, y, x: g * pullback.value_of(x).cos())
    assert gradcheck(lambda x: wrong_in_second(x), x, vjp=pullback.vjp)
    with pytest.raises(GradcheckError):
        gradgradcheck(lambda x: wrong_in_second(x), x, vjp=pullback.vjp)
    with pytest.raises(GradcheckError, match=r"input 0\[0\]"):
        gradcheck(torch.sin, x, vjp=partial(tape_vjp, rules={torch.ops.aten.sin.default: (lambda g, y, x: g * x.sin(),)}))
    with pytest.raises(GradcheckError):
        gradcheck(lambda x: var._result("sin", x.data.sin(), (x, lambda g: g)), x, vjp=var.vjp)
    with pytest.raises(GradcheckError):
        gradgradcheck(lambda x: (x.detach() ** 2) * x, x)  # right value, forgotten factor


def test_several_outputs_and_other_arguments() -> None:
    f = lambda x, n, y: (x * n, [y.sum(), x[0] * y])
    x, y = randn(2), randn(3, seed=1)
    assert gradcheck(f, (x, 3, y))
    assert gradcheck(f, (x, 3, y), vjp=pullback.vjp)
    assert gradgradcheck(lambda x, n, y: (x * n, x[0] * y), (x, 3, y))
    assert gradgradcheck(lambda x: x**2, x, torch.ones(2, dtype=torch.float64))
    assert gradcheck(lambda x, k: x[k], (x, torch.tensor([1, 1, 0])))
    with pytest.raises(GradcheckError, match=r"output 1\[2\] / d input 0\[0\]"):
        gradcheck(lambda x, y: (y, torch.stack([x[1], x[1], x.detach()[0]])), (x, y))
    assert gradcheck(lambda x, y: y * 2, (x, y))  # x has no influence


def test_kinks_are_noticed() -> None:
    zero = torch.zeros(1, dtype=torch.float64)
    with pytest.raises(GradcheckError, match=r"kink, the slope is 0 to the left and 1 to the right, got 0"):
        gradcheck(torch.relu, zero)
    with pytest.raises(GradcheckError, match="kink"):
        gradcheck(torch.abs, zero)  # the central difference, 0, agrees with torch's 0
    assert gradcheck(torch.relu, zero, kinks=True)
    assert gradcheck(torch.abs, zero, kinks=True)
    with pytest.raises(GradcheckError, match=r"got 2"):
        gradcheck(lambda x: torch.relu(x) + (x - x.detach()) * 2, zero, kinks=True)  # beyond either side
    assert gradcheck(torch.relu, zero + 2e-6)  # nearer than a step, but not at it
    assert gradcheck(lambda x: (200 * x).sin() * 100 + 1e4 * x**2, randn(3))  # bent sharply, but smooth


def test_refused() -> None:
    x = torch.ones(2, dtype=torch.float64)
    for wrong, error, words in (
        ((x.float(),), TypeError, r"input 0 is torch\.float32.*x\.double"),
        ((x, x.bfloat16()), TypeError, r"input 1 is torch\.bfloat16"),
        ((torch.ones(1, dtype=torch.complex128),), TypeError, "complex"),
        ((x.to_sparse(),), TypeError, "sparse"),
        ((torch.arange(2),), ValueError, "at least one"),
        ((x[:1].expand(3),), ValueError, r"\(3,\) was expanded"),
    ):
        with pytest.raises(error, match=words):
            gradcheck(lambda *xs: xs[0] * 1.0, wrong)
    with pytest.raises(TypeError, match=r"output 1 is torch\.bool"):
        gradcheck(lambda x: (x, x > 0), x)
    with pytest.raises(ValueError, match="no tensor"):
        gradcheck(lambda x: (), x)
    with pytest.raises(GradcheckError, match="not finite"):
        gradcheck(lambda x: (x - 1).log(), x)
    with pytest.raises(GradcheckError, match="drawn at random"):
        gradcheck(lambda x: x, x, vjp=lambda f, x: (f(x), lambda g: (torch.rand(2, dtype=torch.float64),)))
    with pytest.raises(GradcheckError, match=r"shape \(1,\).*\(2,\)"):
        gradcheck(lambda x: x, x, vjp=lambda f, x: (f(x), lambda g: (g[:1],)))


def test_float32_would_not_tell() -> None:
    """Why it is refused: at torch's float32 rounding no step gets four digits of the slope right."""
    x, f = torch.tensor(1.7), lambda x: (x**3).sin()
    right = (3 * x.double() ** 2 * (x.double() ** 3).cos()).item()
    misses = [abs(((f(x + h) - f(x - h)) / (2 * h)).item() / right - 1) for h in (10.0**-k for k in range(1, 7))]
    assert min(misses) > 2e-5
    y = x.double()
    assert abs(((f(y + 6e-6) - f(y - 6e-6)) / 12e-6).item() / right - 1) < 1e-8


def test_inputs_are_left_alone() -> None:
    x = randn(3, 2).T.requires_grad_()
    before = x.detach().clone()
    assert gradcheck(lambda x: x * x, x)
    assert torch.equal(x, before)
    assert x.grad is None


@pytest.mark.parametrize("name", SMALL)
def test_agrees_with_torchs_own(name: str) -> None:
    f, shapes = SAME[name]
    inputs = [randn(*shape, seed=i).requires_grad_() for i, shape in enumerate(shapes)]
    assert torch.autograd.gradcheck(f, inputs)
    assert gradcheck(f, inputs)
