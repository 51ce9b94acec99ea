"""L-BFGS finds minima that gradient descent does not reach; its line search keeps its promise."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from rungbook.scratch import optim
from rungbook.scratch.optim.lbfgs import Point, lowest, strong_wolfe


def rosenbrock(x: Tensor) -> Tensor:
    """A curved valley with its minimum of 0 at (1, 1)."""
    return (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2


def minimised(optimizer_of: type[torch.optim.Optimizer], steps: int, **options: object) -> float:
    x = torch.tensor([-1.2, 1.0], dtype=torch.float64).requires_grad_()
    optimizer = optimizer_of([x], **options)  # type: ignore[call-arg]

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = rosenbrock(x)
        loss.backward()
        return loss

    for _ in range(steps):
        optimizer.step(closure)
    return float(rosenbrock(x.detach()))


def test_valley_is_crossed() -> None:
    assert minimised(optim.LBFGS, 4, line_search_fn="strong_wolfe") < 1e-8
    assert minimised(optim.SGD, 100, lr=1e-3) > 0.1  # more evaluations than the 4 steps of at most 25


@pytest.mark.parametrize("first", [1e-3, 0.1, 1.0, 30.0])
def test_line_search_meets_the_strong_wolfe_conditions(first: float) -> None:
    x, d = torch.tensor([-1.2, 1.0], dtype=torch.float64), torch.tensor([2.0, 1.0], dtype=torch.float64)
    calls = []

    def at(t: float | Tensor) -> Point:
        calls.append(float(t))
        y = (x + t * d).requires_grad_()
        loss = rosenbrock(y)
        (grad,) = torch.autograd.grad(loss, y)
        return Point(t, loss.item(), grad, grad.dot(d))

    start = at(0.0)
    assert start.slope < 0
    found, evaluations = strong_wolfe(at, start, first)
    assert evaluations == len(calls) - 1
    assert found.loss <= start.loss + 1e-4 * float(found.t) * float(start.slope)
    assert abs(found.slope) <= 0.9 * abs(start.slope)


def test_cubic_is_lowest_where_it_is() -> None:
    f = lambda t: Point(t, t**3 - 3 * t, torch.zeros(1), torch.tensor(3 * t**2 - 3, dtype=torch.float64))
    assert float(lowest(f(0.0), f(3.0), (0.0, 3.0))) == pytest.approx(1.0)
    assert float(lowest(f(3.0), f(0.0), (0.0, 3.0))) == pytest.approx(1.0)
    assert float(lowest(f(0.0), f(3.0), (1.5, 3.0))) == 1.5
    rising = lambda t: Point(t, t**3 + t, torch.zeros(1), torch.tensor(3 * t**2 + 1, dtype=torch.float64))
    assert float(lowest(rising(-1.0), rising(1.0), (-1.0, 1.0))) == 0.0


def test_search_stops_when_tries_run_out() -> None:
    falling = lambda t: Point(t, -float(t), torch.zeros(1), torch.tensor(-1.0))
    found, evaluations = strong_wolfe(falling, falling(0.0), 1.0, most=3)
    assert evaluations == 4
    assert float(found.t) > 1


def test_groups_and_other_searches_are_refused() -> None:
    p, q = torch.ones(1).requires_grad_(), torch.ones(1).requires_grad_()
    with pytest.raises(ValueError, match="one group"):
        optim.LBFGS([{"params": [p]}, {"params": [q]}])
    with pytest.raises(RuntimeError, match="strong_wolfe"):
        optim.LBFGS([p], line_search_fn="armijo").step(lambda: (p**2).sum())
