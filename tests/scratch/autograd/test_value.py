"""Scalars: gradients equal torch's on programs nobody wrote, deep graphs work, and a small network learns."""

from __future__ import annotations

import math
import random
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import make_moons

from rungbook.scratch.autograd.value import Value

covers = ["F02"]

ONE = {
    "neg": (lambda x: -x, lambda x: -x),
    "abs": (abs, torch.abs),
    "exp": (lambda x: (x * 0.1).exp(), lambda x: (x * 0.1).exp()),
    "log": (lambda x: (x * x + 0.5).log(), lambda x: (x * x + 0.5).log()),
    "sqrt": (lambda x: (x * x + 0.5).sqrt(), lambda x: (x * x + 0.5).sqrt()),
    "sin": (Value.sin, torch.sin),
    "cos": (Value.cos, torch.cos),
    "tanh": (Value.tanh, torch.tanh),
    "sigmoid": (Value.sigmoid, torch.sigmoid),
    "relu": (Value.relu, torch.relu),
    "cube": (lambda x: x**3, lambda x: x**3),
    "two to the": (lambda x: 2 ** (x * 0.1), lambda x: 2 ** (x * 0.1)),
    "two less": (lambda x: 2 - x, lambda x: 2 - x),
    "two over": (lambda x: 2 / (x * x + 1), lambda x: 2 / (x * x + 1)),
    "plus two": (lambda x: 2 + x + 1, lambda x: 2 + x + 1),
    "times two": (lambda x: 2 * x * 3, lambda x: 2 * x * 3),
}
TWO = {
    "add": (lambda x, y: x + y, lambda x, y: x + y),
    "sub": (lambda x, y: x - y, lambda x, y: x - y),
    "mul": (lambda x, y: x * y * 0.1, lambda x, y: x * y * 0.1),
    "div": (lambda x, y: x / (y * y + 1), lambda x, y: x / (y * y + 1)),
    "pow": (lambda x, y: (x * x * 0.1 + 1) ** (y * 0.1), lambda x, y: (x * x * 0.1 + 1) ** (y * 0.1)),
    "max": (Value.maximum, torch.maximum),
    "min": (Value.minimum, torch.minimum),
}
STEPS = st.lists(st.tuples(st.sampled_from([*ONE, *TWO]), st.integers(0, 99), st.integers(0, 99)), min_size=1, max_size=12)


@given(st.lists(st.floats(-3, 3), min_size=1, max_size=3), STEPS)
def test_any_program_has_torchs_gradients(start: list[float], steps: list[tuple[str, int, int]]) -> None:
    ours = [Value(x) for x in start]
    theirs = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in start]
    for op, i, j in steps:
        for which, numbers in enumerate((ours, theirs)):
            operands = [numbers[i % len(numbers)], numbers[j % len(numbers)]]
            numbers.append(ONE[op][which](operands[0]) if op in ONE else TWO[op][which](*operands))
        if not abs(ours[-1].data) < 1e6:
            return
    ours[-1].backward()
    grads = torch.autograd.grad(theirs[-1], theirs[: len(start)], allow_unused=True)
    assert ours[-1].data == pytest.approx(theirs[-1].item(), rel=1e-12, abs=1e-12)
    for a, b in zip(ours, grads, strict=False):
        assert a.grad == pytest.approx(0.0 if b is None else b.item(), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(("x", "y"), [(0, 0), (0, 0.5), (0, 1), (0, 2), (2, 0), (1.5, -2), (-2, 3), (-2, 0), (-2, -1)])
def test_powers_at_their_edges(x: float, y: float) -> None:
    a, b = Value(x), Value(y)
    (a**b).backward()
    t, u = (torch.tensor(float(n), dtype=torch.float64, requires_grad=True) for n in (x, y))
    (t**u).backward()
    assert (a.grad, b.grad) == pytest.approx((t.grad.item(), u.grad.item()), nan_ok=True)


def test_slopes_at_kinks_and_far_out_are_torchs() -> None:
    for ours, theirs in ((abs, torch.abs), (Value.relu, torch.relu), (Value.sigmoid, torch.sigmoid), (Value.tanh, torch.tanh)):
        for x in (0.0, 800.0, -800.0):
            a, t = Value(x), torch.tensor(x, dtype=torch.float64, requires_grad=True)
            y = ours(a)
            y.backward()
            theirs(t).backward()
            assert (y.data, a.grad) == pytest.approx((theirs(t).item(), t.grad.item()), abs=1e-300)
    with pytest.raises(OverflowError):
        1 / (1 + math.exp(800))  # the textbook's sigmoid, at x = -800


def test_what_has_no_value_raises() -> None:
    for wrong, error in ((lambda: Value(1) / 0, ZeroDivisionError), (lambda: Value(-1).log(), ValueError)):
        with pytest.raises(error):
            wrong()
    with pytest.raises(ValueError, match=r"-2 \*\* 0.5.*whole exponent"):
        Value(-2) ** 0.5


def test_gradients_add_up() -> None:
    x = Value(3)
    y = x * x
    y.backward()
    assert (x.grad, y.grad) == (6, 1)
    y.backward()  # the 1 that y holds by now must not be passed on again
    assert x.grad == 12
    (2 * y).backward(seed=0.5)
    assert x.grad == 18
    y.zero_grad()
    assert (x.grad, y.grad) == (0, 0)


def test_a_node_waits_for_all_its_users() -> None:
    x = Value(2)
    early = x * 3
    late = early * early * early  # early is used along paths of several lengths
    (early + late).backward()
    assert x.grad == 3 * (1 + 3 * 6**2)


def chain(length: int) -> tuple[Value, Value]:
    x = Value(1)
    y = x
    for _ in range(length):
        y = y * 1.0001
    return x, y


def test_depth_is_not_limited_by_recursion() -> None:
    x, y = chain(10_000)
    y.backward()
    assert x.grad == pytest.approx(1.0001**10_000)
    assert y.listing().count("\n") == y.dot().count("->") == 20_000

    def visit(node: Value) -> int:
        return 1 + sum(visit(source) for source, _ in node.inputs)

    with pytest.raises(RecursionError):
        visit(y)  # what the walk would be as a recursive function


def test_pictures() -> None:
    a, b = Value(2, label="a"), Value(-3, label="b")
    c = (a * b + 8).relu()
    c.backward()
    assert c.listing().splitlines() == [
        "a = given       value  2   grad -3",
        "b = given       value -3   grad  2",
        "v1 = a * b      value -6   grad  1",
        "v2 = given      value  8   grad  1",
        "v3 = v1 + v2    value  2   grad  1",
        "v4 = relu(v3)   value  2   grad  1",
    ]
    assert repr(a) == "Value(2, grad=-3, label='a')"
    assert repr(c) == "Value(2, grad=1)"
    same = Value(1, label="v1") + Value(2, label="v1")  # no two lines have one name
    assert len({line.split(" = ")[0] for line in same.listing().splitlines()}) == 3
    dot = c.dot()
    assert dot.startswith("digraph {")
    assert dot.count("->") == 5
    assert 'label="a\\n2' in dot
    assert Value(1, label='"\\').dot().count('\\"') == 1


def test_moons_are_told_apart() -> None:
    points, labels = make_moons(40, noise=0.05, random_state=0)
    draw = random.Random(0)
    sizes = (2, 8, 1)
    layers = [[([Value(draw.gauss(0, 1) / math.sqrt(i)) for _ in range(i)], Value(0)) for _ in range(o)] for i, o in pairwise(sizes)]

    def score(point: list[float]) -> Value:
        numbers = [Value(x) for x in point]
        for depth, neurons in enumerate(layers):
            sums = [sum((w * x for w, x in zip(weights, numbers, strict=True)), bias) for weights, bias in neurons]
            numbers = [s.tanh() for s in sums] if depth < len(layers) - 1 else sums
        return numbers[0]

    parameters = [p for neurons in layers for weights, bias in neurons for p in (*weights, bias)]
    for _ in range(80):
        for p in parameters:
            p.grad = 0.0
        losses = [(1 - (1 if label else -1) * score(point)).relu() for point, label in zip(points.tolist(), labels, strict=True)]
        (sum(losses, Value(0)) / len(losses)).backward()
        for p in parameters:
            p.data -= 1.0 * p.grad
    right = sum((score(point).data > 0) == bool(label) for point, label in zip(points.tolist(), labels, strict=True))
    assert right >= 38
