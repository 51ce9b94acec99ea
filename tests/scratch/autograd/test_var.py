"""Var: every operation's gradient is torch's, whatever the shapes; misuse raises; a network learns digits."""

from __future__ import annotations

import gzip
import operator
import threading
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from expressions import INDICES, SAME, randn
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from rungbook.scratch.autograd.var import Var, cat, cross_entropy, no_graph, vjp, where
from rungbook.scratch.tensor.broadcasting import unbroadcast

covers = ["F02", "F09"]


def agree(ours: Callable[..., Var], theirs: Callable[..., torch.Tensor], *inputs: torch.Tensor) -> None:
    """Value, and gradients from a random seed, are torch's."""
    value, pullback = vjp(ours, *inputs)
    leaves = [x.detach().requires_grad_() if x.is_floating_point() else x for x in inputs]
    expected = theirs(*leaves)
    torch.testing.assert_close(value, expected.detach(), rtol=1e-12, atol=1e-12)
    seed = torch.randn(expected.shape, dtype=expected.dtype, generator=torch.Generator().manual_seed(7))
    wanted = [x for x in leaves if x.requires_grad]
    grads = torch.autograd.grad(expected, wanted, seed, allow_unused=True, materialize_grads=True)
    for got, want in zip([g for g in pullback(seed) if g is not None], grads, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", SAME)
def test_same_expression_same_gradients(name: str) -> None:
    f, shapes = SAME[name]
    agree(f, f, *(randn(*shape, seed=i) for i, shape in enumerate(shapes)))


@pytest.mark.parametrize("index", INDICES, ids=str)
def test_indexing(index: Any) -> None:
    agree(lambda x: x[index], lambda x: x[index], randn(3, 4))


def test_functions() -> None:
    x, y = randn(3, 4), randn(3, 2)
    agree(lambda a, b: cat([a, b, a], dim=1), lambda a, b: torch.cat([a, b, a], dim=1), x, y)
    agree(lambda a: cat([a, x], dim=-2) * 2, lambda a: torch.cat([a, x], dim=-2) * 2, x)
    chosen = torch.tensor([True, False, True, False])
    agree(lambda a, b: where(chosen, a, b), lambda a, b: torch.where(chosen, a, b), x, randn(3, 1))
    agree(lambda a: where(chosen, 1.0, a), lambda a: torch.where(chosen, 1.0, a), x)
    target = torch.tensor([1, 0, 3])
    agree(lambda a: cross_entropy(a, target), lambda a: torch.nn.functional.cross_entropy(a, target), x * 100)


@pytest.mark.parametrize("x", [[1.0, 3.0, 3.0, 2.0], [[1.0, 1.0], [0.0, 1.0]]])
@pytest.mark.parametrize("dim", [None, 0, -1, (0,)])
@pytest.mark.parametrize("keepdim", [False, True])
def test_what_ties_shares(x: Any, dim: Any, keepdim: bool) -> None:
    x = torch.tensor(x, dtype=torch.float64)
    agree(lambda a: a.amax(dim, keepdim), lambda a: a.amax(() if dim is None else dim, keepdim), x)


def test_powers_at_zero() -> None:
    zero = torch.zeros(3, dtype=torch.float64)
    agree(lambda x: x**2 + x**1 + x**0, lambda x: x**2 + x**1 + x**0, zero)
    agree(lambda x, y: x**y, lambda x, y: x**y, zero, torch.tensor([0.0, 1.0, 2.0], dtype=torch.float64))


@given(st.lists(st.integers(1, 3), max_size=3), st.data())
def test_unbroadcast_undoes_broadcasting(shape: list[int], data: st.DataObject) -> None:
    shapes = [[1 if data.draw(st.booleans()) else n for n in shape[data.draw(st.integers(0, len(shape))) :]] for _ in range(2)]
    f = lambda a, b: a * b + a
    agree(f, f, *(randn(*s, seed=i) for i, s in enumerate(shapes)))


def test_without_unbroadcast_gradients_have_the_wrong_shape() -> None:
    g, bias = torch.ones(4, 3), torch.zeros(3)
    assert g.shape != bias.shape
    assert unbroadcast(g, bias.shape).tolist() == [4, 4, 4]


@pytest.mark.parametrize("f", [operator.add, operator.sub, operator.mul, operator.truediv, operator.matmul, operator.pow])
def test_tensors_stand_on_either_side(f: Callable[[Any, Any], Any]) -> None:
    t = randn(2, 2) + 3
    agree(lambda x: f(x, t), lambda x: f(x, t), t + 1)
    agree(lambda x: f(t, x), lambda x: f(t, x), t + 1)


@pytest.mark.parametrize(
    "wrong", [lambda x: np.ones(2) + x, lambda x: x * np.ones(2), lambda x: x - "1", lambda x: x @ [1.0], lambda x: np.ones(2) / x]
)
def test_nothing_else_does(wrong: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError, match=r"ndarray|str|list"):
        wrong(Var(torch.zeros(2)))


def test_types_meet_as_in_torch() -> None:
    a, b = Var(torch.ones(2)), Var(torch.ones(2, dtype=torch.float64))
    (a * b).sum().backward()
    assert (a.grad.dtype, b.grad.dtype) == (torch.float32, torch.float64)
    x = Var(torch.tensor([0.1], dtype=torch.float64))
    assert (0.1 - x).item() == 0  # a number is not rounded to float32 on its way in


def test_gradients_add_up_and_the_graph_is_used_up() -> None:
    w = Var(torch.tensor([2.0, 3.0]))
    y = (w * w).sum()
    y.backward(keep_graph=True)
    y.backward()
    assert w.grad.tolist() == [8, 12]
    with pytest.raises(RuntimeError, match="used up"):
        y.backward()
    half = w * 2
    a, b = half.sum(), (half * half).sum()
    a.backward()
    with pytest.raises(RuntimeError, match=r"mul: .*keep_graph"):
        b.backward()


def test_a_node_waits_for_all_its_users() -> None:
    x = Var(torch.tensor(2.0))
    early = x * 3
    late = early * early * early
    (early + late).backward()
    assert x.grad.item() == 3 * (1 + 3 * 6**2)


def test_depth_is_not_limited_by_recursion() -> None:
    x = y = Var(torch.tensor(1.0, dtype=torch.float64))
    for _ in range(10_000):
        y = y * 1.0001
    y.backward()
    assert x.grad.item() == pytest.approx(1.0001**10_000)


def test_each_leaf_has_a_gradient_of_its_own() -> None:
    a, b, seed = Var(torch.zeros(3)), Var(torch.zeros(3)), torch.ones(3)
    (a + b).backward(seed)
    a.grad.mul_(0.5)  # as clipping does: on shared memory the other leaf's would shrink too
    assert (a.grad.tolist(), b.grad.tolist(), seed.tolist()) == ([0.5] * 3, [1] * 3, [1] * 3)
    c = Var(torch.zeros(3))
    c.sum().backward()
    c.grad.add_(1)  # on an expanded tensor this raises
    assert c.grad.tolist() == [2, 2, 2]


def test_what_is_overwritten_is_noticed() -> None:
    w = Var(torch.ones(2))
    y = (w * w).sum()
    w.data.mul_(2)
    with pytest.raises(RuntimeError, match=r"mul: .*\(2,\) was written to"):
        y.backward()
    y = w.exp()
    y.data.zero_()
    with pytest.raises(RuntimeError, match="exp"):
        y.backward(torch.ones(2))
    y = (w * w).sum()
    y.backward()
    w.data.sub_(w.grad)  # after backward is the time for it


def test_no_graph() -> None:
    w, seen = Var(torch.ones(2)), []
    with no_graph():
        inner = no_graph()
        with inner, inner:
            assert not (w * 2).needs_grad
        assert not (w * 2).needs_grad
        thread = threading.Thread(target=lambda: seen.append((w * 2).needs_grad))
        thread.start()
        thread.join()
    assert seen == [True]  # another thread's graph is not this one's
    assert no_graph()(lambda: w * 2)().edges == ()
    y = (w * 2).sum()
    assert y.needs_grad
    y.backward()
    assert w.grad.tolist() == [2, 2]
    with no_graph():
        y = w.sum()
    with pytest.raises(RuntimeError, match="no_graph"):
        y.backward()


def test_constants_get_no_way_back() -> None:
    x, w = Var(torch.ones(4, 3), needs_grad=False), Var(torch.ones(3, 2))
    y = x @ w
    assert [edge[0] for edge in y.edges] == [w]
    y.sum().backward()
    assert (x.grad, w.grad.tolist()) == (None, [[4, 4]] * 3)


def test_refused() -> None:
    with pytest.raises(TypeError, match=r"torch\.int64"):
        Var(torch.arange(3))
    with pytest.raises(TypeError, match="list"):
        Var([1.0])
    with pytest.raises(TypeError, match=r"\(3,\) that requires.*wrap or detach"):
        Var(torch.ones(3)) * torch.nn.Parameter(torch.ones(3))
    assert Var(torch.arange(3), needs_grad=False).data.tolist() == [0, 1, 2]
    y = Var(torch.ones(2)) * 2
    with pytest.raises(RuntimeError, match=r"\(2,\) needs a seed"):
        y.backward()
    with pytest.raises(RuntimeError, match=r"seed \(3,\).*\(2,\)"):
        y.backward(torch.ones(3))


def test_it_tells_what_it_is() -> None:
    x = Var(torch.ones(2, 3))
    assert (x.shape, x.dim(), len(x)) == ((2, 3), 2, 2)
    assert repr(Var(torch.tensor(1.0))) == "Var(1.0)"
    assert repr(Var(torch.tensor(1.0), needs_grad=False)) == "Var(1.0, needs_grad=False)"
    assert repr(x.sum()) == "Var(6.0, op=sum)"
    given = torch.nn.Parameter(torch.ones(2))
    assert Var(given).data.data_ptr() == given.data_ptr()
    assert not (Var(given) * 2).data.requires_grad


def test_real_digits(real_data: Path) -> None:
    """The row of the courses at a tenth of its length: 784-128-64-32-10, sigmoid, batch 16."""
    pixels = np.frombuffer(gzip.decompress((real_data / "mnist" / "train-images-idx3-ubyte.gz").read_bytes()), np.uint8, offset=16)
    labels = np.frombuffer(gzip.decompress((real_data / "mnist" / "train-labels-idx1-ubyte.gz").read_bytes()), np.uint8, offset=8)
    x, y = torch.tensor(pixels.reshape(-1, 784)[:9000]) / 255, torch.tensor(labels[:9000]).long()
    parameters = train((784, 128, 64, 32, 10), x[:8000], y[:8000], batch=16, lr=0.1, epochs=3)
    with no_graph():
        right = (forward(parameters, x[8000:]).data.argmax(1) == y[8000:]).float().mean().item()
    assert right >= 0.85


def digits() -> tuple[torch.Tensor, torch.Tensor]:
    images, labels = load_digits(return_X_y=True)
    return torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels)


def train(sizes: tuple[int, ...], x: torch.Tensor, y: torch.Tensor, *, batch: int, lr: float, epochs: int) -> list[Var]:
    g = torch.Generator().manual_seed(0)
    parameters = [
        Var(torch.empty(shape).uniform_(-(i**-0.5), i**-0.5, generator=g) * scale)
        for i, o in pairwise(sizes)
        for shape, scale in (((i, o), 4), ((o,), 1))  # 4: the slope of a sigmoid at 0 is a quarter (Glorot and Bengio, 2010)
    ]
    for _ in range(epochs):
        for rows in torch.randperm(len(x), generator=g).split(batch):
            cross_entropy(forward(parameters, x[rows]), y[rows]).backward()
            for p in parameters:
                p.data.sub_(lr * p.grad)
                p.grad = None
    return parameters


def forward(parameters: list[Var], x: Any) -> Var:
    for i in range(0, len(parameters), 2):
        x = x @ parameters[i] + parameters[i + 1]
        if i < len(parameters) - 2:
            x = x.sigmoid()
    return x


def test_a_sigmoid_network_learns_digits() -> None:
    x, y = digits()
    parameters = train((64, 128, 64, 32, 10), x[:1500], y[:1500], batch=16, lr=0.1, epochs=14)
    with no_graph():
        right = (forward(parameters, x[1500:]).data.argmax(1) == y[1500:]).float().mean().item()
    assert right >= 0.85
