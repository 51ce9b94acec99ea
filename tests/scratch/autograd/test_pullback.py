"""Value and pullback: torch.func's results, to any order, on whatever holds tensors; nested levels are kept apart."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable
from typing import Any

import pytest
import torch
from expressions import INDICES, SAME, randn

from rungbook.scratch.autograd import pullback as P

covers = ["F10", "W04"]

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # torch.func.jvp asks for torch.jit by itself
close = torch.testing.assert_close


@pytest.mark.parametrize("name", SAME)
def test_same_pullbacks_as_torch(name: str) -> None:
    f, shapes = SAME[name]
    inputs = [randn(*shape, seed=i) for i, shape in enumerate(shapes)]
    ours, our_pullback = P.vjp(f, *inputs)
    theirs, their_pullback = torch.func.vjp(f, *inputs)
    close(ours, theirs, rtol=1e-12, atol=1e-12)
    for seed in (1, 2):  # a pullback can be used again
        g = torch.randn(theirs.shape, dtype=theirs.dtype, generator=torch.Generator().manual_seed(seed))
        close(our_pullback(g), their_pullback(g), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", SAME)
def test_second_derivatives_are_torchs(name: str) -> None:
    f, shapes = SAME[name]
    inputs = [randn(*shape, seed=i) for i, shape in enumerate(shapes)]
    directions = tuple(randn(*shape, seed=9) for shape in shapes)

    def slope(vjp: Callable[..., Any]) -> Callable[..., Any]:
        """Derivative of f along the directions, as a function of the inputs."""

        def along(*xs: Any) -> Any:
            value, pullback = vjp(f, *xs)
            parts = [(g * d).sum() for g, d in zip(pullback(torch.ones(value.shape, dtype=torch.float64)), directions, strict=True)]
            return sum(parts[1:], parts[0])

        return along

    ours, our_pullback = P.vjp(slope(P.vjp), *inputs)
    theirs, their_pullback = torch.func.vjp(slope(torch.func.vjp), *inputs)
    one = torch.ones((), dtype=torch.float64)
    close((ours, our_pullback(one)), (theirs, their_pullback(one)), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("index", INDICES, ids=str)
def test_indexing(index: Any) -> None:
    x = randn(3, 4)
    value, pullback = P.vjp(lambda x: x[index], x)
    expected, expected_pullback = torch.func.vjp(lambda x: x[index], x)
    g = randn(*expected.shape)
    close((value, pullback(g)), (expected, expected_pullback(g)))


def test_each_primitive_has_its_pullback() -> None:
    x, y = randn(2, 3), randn(3, seed=1)
    value, pullback = P.mul.value_and_pullback(x, y)
    close(value, x * y)
    close(pullback(torch.ones(2, 3)), (y.expand(2, 3), x.sum(0)))
    half = P.Primitive(lambda x: x / 2, lambda g, y, x: g / 2)  # one of a reader's own
    close(P.grad(lambda x: half(x).sum())(x), torch.full((2, 3), 0.5, dtype=torch.float64))


def test_the_chain_rule() -> None:
    x = randn(3)
    composed = P.chain(P.sin, P.exp, lambda y: y * y)
    value, pullback = composed(x)
    close(value, x.sin().exp() ** 2)
    close(pullback(torch.ones_like(x))[0], 2 * x.sin().exp() ** 2 * x.cos())
    value, pullback = P.chain(P.mul, P.summed)(x, x + 1)
    close(pullback(torch.ones(())), (x + 1, x))


def test_third_derivatives() -> None:
    third = P.grad(P.grad(P.grad(lambda x: x**4 + x.exp())))
    close(third(0.5), torch.tensor(24 * 0.5, dtype=torch.float64) + torch.tensor(0.5, dtype=torch.float64).exp())
    x = randn(3)
    f = lambda x: ((x * x).sum() + x.sin().sum()) ** 2
    close(P.hessian(f)(x), torch.func.hessian(f)(x))
    close(P.jacobian(P.hessian(f))(x), torch.func.jacrev(torch.func.hessian(f))(x))


def test_levels_are_kept_apart() -> None:
    # d/dx (x * d/dy (x + y)) = 1: whoever mixes up the two levels finds 2 (Siskind and Pearlmutter, 2005)
    close(P.grad(lambda x: x * P.grad(lambda y: x + y)(torch.ones(())))(torch.ones(())), torch.ones(()))
    inner = lambda x: P.grad(lambda y: x * y**2)(x)
    close(P.grad(inner)(torch.tensor(3.0)), torch.tensor(12.0))


def test_derivatives_along_a_direction() -> None:
    f = lambda x, y: {"a": x * y.sin(), "b": [x.sum()]}
    x, y = randn(3), randn(3, seed=1)
    close(P.jvp(f, (x, y), (y, x)), torch.func.jvp(f, (x, y), (y, x)))
    scalar = lambda x: (x**3).sum() * x.exp().sum()
    _, product = P.jvp(P.grad(scalar), (x,), (y,))
    close(product, torch.func.hessian(scalar)(x) @ y)


Weights = namedtuple("Weights", "w b")


def test_whatever_holds_tensors() -> None:
    layers = {"first": Weights(randn(4, 3), randn(3)), "rest": [(randn(3, 2), randn(2))]}

    def loss(layers: Any, x: Any, power: int) -> Any:
        x = (x @ layers["first"].w + layers["first"].b).tanh()
        (w, b), *_ = layers["rest"]
        return ((x @ w + b) ** power).mean()

    x = randn(5, 4)
    ours, theirs = P.grad(loss)(layers, x, 2), torch.func.grad(loss)(layers, x, 2)
    assert isinstance(ours["first"], Weights)
    close(ours, theirs)
    close(P.grad(loss, argnums=(0, 1))(layers, x, 2), torch.func.grad(loss, argnums=(0, 1))(layers, x, 2))
    close(P.value_and_grad(loss)(layers, x, 2), (loss(layers, x, 2), theirs))
    value, pullback = P.vjp(loss, layers, x, 2)
    assert pullback(torch.ones_like(value))[2] is None
    value, pullback, aux = P.vjp(lambda x: (x.sum(), {"twice": x * 2}), x, has_aux=True)
    close(aux["twice"], x * 2)
    close(pullback(torch.ones_like(value))[0], torch.ones_like(x))


def test_functions() -> None:
    x, y, g = randn(3, 4), randn(3, 2), randn(3, 10)
    chosen = x > 0
    ours, theirs = (P.cat, P.where), (torch.cat, torch.where)
    for f in (
        lambda cat, where: lambda x, y: cat([x, y * 2, x], -1),
        lambda cat, where: lambda x, y: cat([where(chosen, x, 0.0), where(chosen[:, :2], y, x[:, 1:3]), x], 1),
    ):
        value, pullback = P.vjp(f(*ours), x, y)
        expected, expected_pullback = torch.func.vjp(f(*theirs), x, y)
        close((value, pullback(g)), (expected, expected_pullback(g)))
    ties = torch.tensor([[1.0, 1.0], [0.0, 1.0]])
    for dim in (0, -1, (0, 1)):
        close(P.grad(lambda x, d=dim: x.amax(d).sum())(ties), torch.func.grad(lambda x, d=dim: x.amax(d).sum())(ties))
    big = torch.tensor([1e4, 0.0], dtype=torch.float64)
    close(P.grad(lambda x: x.logsumexp())(big), torch.tensor([1.0, 0.0], dtype=torch.float64))
    close(P.grad(lambda x: x.logsumexp(0, keepdim=True))(randn(4)), randn(4).softmax(0))


def test_powers_at_zero() -> None:
    zero, exponents = torch.zeros(3, dtype=torch.float64), torch.tensor([0.0, 1.0, 2.0], dtype=torch.float64)
    for f in (lambda x, y: (x**y).sum(), lambda x, y: (x**2 + x**1 + x**0).sum() + y.sum(), lambda x, y: (0**y).sum() + x.sum()):
        close(P.grad(f, (0, 1))(zero, exponents), torch.func.grad(f, (0, 1))(zero, exponents))
    close(P.hessian(lambda x: (x**2).sum())(zero), 2 * torch.eye(3, dtype=torch.float64))


def test_what_decides_has_no_slope() -> None:
    f = lambda x: x * 2 if x > 0 else x * 3
    assert (P.grad(f)(1.0).item(), P.grad(f)(-1.0).item()) == (2, 3)
    close(P.grad(lambda x: P.where(x > 0, x * 2, x * 3).sum())(torch.tensor([1.0, -1.0])), torch.tensor([2.0, 3.0]))


def test_without_influence_the_gradient_is_zero() -> None:
    x, y = randn(2), randn(2, seed=1)
    assert P.grad(lambda x, y: y.sum(), argnums=0)(x, y).tolist() == [0, 0]
    _, pullback = P.vjp(lambda x: (x, torch.ones(3)), x)  # a result that is an argument, and one that depends on nothing
    close(pullback((y, torch.ones(3)))[0], y)


def test_deep_compositions() -> None:
    def f(x: Any) -> Any:
        for _ in range(10_000):
            x = x * 1.0001
        return x

    assert P.grad(f)(1.0).item() == pytest.approx(1.0001**10_000)


def test_refused() -> None:
    x = randn(2)
    with pytest.raises(ValueError, match=r"single number.*\(2,\)"):
        P.grad(lambda x: x * 2)(x)
    _, pullback = P.vjp(lambda x: x * 2, x)
    with pytest.raises(ValueError, match=r"shape \(3,\).*\(2,\)"):
        pullback(torch.ones(3))
    with pytest.raises(ValueError, match=r"1 leaves.*2"):
        pullback((x, x))
    with pytest.raises(AttributeError, match="erfinv"):
        P.grad(lambda x: x.erfinv().sum())(x)
