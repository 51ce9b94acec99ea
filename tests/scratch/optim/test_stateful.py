"""One machine makes them all: compositions of statistics and steppers equal torch's optimisers; LAMB, LARS and Lion equal their papers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from rungbook.scratch import optim
from rungbook.scratch.optim.stateful import (
    StatefulOptimizer,
    average_grad,
    composed_adam,
    composed_sgd,
    decoupled_decay,
    exponential_average,
    l2,
    momentum_step,
    sgd_step,
)

covers = ["O08", "O10"]

START = torch.tensor([[0.5, -1.0, 2.0], [0.1, 0.7, -0.4]], dtype=torch.float64)


def gradient(p: Tensor, t: int) -> Tensor:
    """Of a bowl that shakes."""
    return 2 * (p - 0.3) + torch.sin(torch.arange(p.numel(), dtype=p.dtype).reshape(p.shape) + t)


def walked(make: Callable[[list[Tensor]], torch.optim.Optimizer], steps: int = 100, start: Tensor = START) -> Tensor:
    """Where an optimiser ends."""
    p = start.clone().requires_grad_()
    optimizer = make([p])
    for t in range(steps):
        p.grad = gradient(p.detach(), t)
        optimizer.step()
    return p.detach()


def same(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


PAIRS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "SGD": (lambda p: StatefulOptimizer(p, [], [sgd_step], lr=0.05), lambda p: torch.optim.SGD(p, lr=0.05)),
    "L2": (lambda p: composed_sgd(p, lr=0.05, weight_decay=0.1), lambda p: torch.optim.SGD(p, lr=0.05, weight_decay=0.1)),
    "momentum": (
        lambda p: composed_sgd(p, lr=0.05, momentum=0.9, weight_decay=0.1),
        lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, weight_decay=0.1),
    ),
    "Adam": (lambda p: composed_adam(p, lr=0.05), lambda p: torch.optim.Adam(p, lr=0.05)),
    "Adam L2": (
        lambda p: composed_adam(p, lr=0.05, betas=(0.8, 0.95), eps=1e-3, weight_decay=0.1),
        lambda p: torch.optim.Adam(p, lr=0.05, betas=(0.8, 0.95), eps=1e-3, weight_decay=0.1),
    ),
    "AdamW": (
        lambda p: composed_adam(p, lr=0.05, weight_decay=0.1, decoupled=True),
        lambda p: torch.optim.AdamW(p, lr=0.05, weight_decay=0.1),
    ),
}


@pytest.mark.parametrize("what", PAIRS)
def test_compositions_equal_torch(what: str) -> None:
    ours, theirs = PAIRS[what]
    same(walked(ours), walked(theirs))


def test_dampening_equals_torch_from_a_still_start() -> None:
    """Torch takes the whole first gradient; with the same buffer both go on alike."""
    options = {"lr": 0.05, "momentum": 0.9, "dampening": 0.9}
    p, q = START.clone().requires_grad_(), START.clone().requires_grad_()
    ours, theirs = composed_sgd([p], **options), torch.optim.SGD([q], **options)
    for optimizer, x, name in ((ours, p, "grad_avg"), (theirs, q, "momentum_buffer")):
        optimizer.state[x][name] = torch.zeros_like(x)
    for t in range(100):
        for optimizer, x in ((ours, p), (theirs, q)):
            x.grad = gradient(x.detach(), t)
            optimizer.step()
    same(p.detach(), q.detach())
    with pytest.raises(AssertionError):
        same(walked(lambda p: composed_sgd(p, **options)), walked(lambda p: torch.optim.SGD(p, **options)))


def test_l2_after_the_averages_is_another_optimiser() -> None:
    """The control: L2 as the last statistic, as a stepper would be, is not seen by the momentum."""
    hyper = {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.1}
    late = walked(lambda p: StatefulOptimizer(p, [average_grad, l2], [momentum_step], **hyper))
    right = walked(lambda p: torch.optim.SGD(p, **hyper))
    assert (late - right).abs().max() > 1e-3
    same(late, walked(lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9)))


def test_decay_and_l2_agree_for_plain_sgd_and_differ_with_momentum() -> None:
    hyper = {"lr": 0.05, "momentum": 0.0, "weight_decay": 0.1}
    coupled = walked(lambda p: StatefulOptimizer(p, [l2], [sgd_step], **hyper))
    same(coupled, walked(lambda p: StatefulOptimizer(p, [], [decoupled_decay, sgd_step], **hyper)))
    hyper["momentum"] = 0.9
    coupled = walked(lambda p: StatefulOptimizer(p, [l2, average_grad], [momentum_step], **hyper), 5)
    apart = walked(lambda p: StatefulOptimizer(p, [average_grad], [decoupled_decay, momentum_step], **hyper), 5)
    assert (coupled - apart).abs().max() > 1e-3


def test_average_is_the_weighted_sum() -> None:
    p = torch.zeros(1, dtype=torch.float64).requires_grad_()
    optimizer = StatefulOptimizer([p], [exponential_average("a", keep=lambda h: h["keep"])], [], lr=0.0, keep=0.7)
    values = [3.0, -1.0, 2.0, 5.0]
    for value in values:
        p.grad = torch.tensor([value], dtype=torch.float64)
        optimizer.step()
    expected = sum(0.3 * 0.7 ** (len(values) - 1 - i) * value for i, value in enumerate(values))
    assert optimizer.state[p]["a"].item() == pytest.approx(expected, rel=1e-12)


def test_complex_parameters_are_refused_by_name() -> None:
    p = torch.zeros(2, dtype=torch.complex64).requires_grad_()
    p.grad = torch.ones(2, dtype=torch.complex64)
    with pytest.raises(NotImplementedError, match="complex"):
        optim.LAMB([p]).step()


# The papers' formulas, in plain numbers


def norm(x: list[float]) -> float:
    return math.sqrt(sum(v * v for v in x))


def lamb_paper(p: list[float], steps: int, lr: float, b1: float, b2: float, eps: float, decay: float) -> list[float]:
    """Algorithm 2 of You et al. (2020)."""
    m, v = [0.0] * len(p), [0.0] * len(p)
    for t in range(1, steps + 1):
        g = numbers(p, t - 1)
        m = [b1 * a + (1 - b1) * x for a, x in zip(m, g, strict=True)]
        v = [b2 * a + (1 - b2) * x * x for a, x in zip(v, g, strict=True)]
        r = [a / (1 - b1**t) / (math.sqrt(b / (1 - b2**t)) + eps) for a, b in zip(m, v, strict=True)]
        u = [a + decay * x for a, x in zip(r, p, strict=True)]
        p = [x - lr * norm(p) / norm(u) * a for x, a in zip(p, u, strict=True)]
    return p


def lars_paper(p: list[float], steps: int, lr: float, momentum: float, decay: float, trust: float) -> list[float]:
    """Algorithm 1 of You, Gitman and Ginsburg (2017)."""
    v = [0.0] * len(p)
    for t in range(steps):
        g = numbers(p, t)
        local = trust * norm(p) / (norm(g) + decay * norm(p))
        v = [momentum * a + lr * local * (x + decay * w) for a, x, w in zip(v, g, p, strict=True)]
        p = [w - a for w, a in zip(p, v, strict=True)]
    return p


def lion_paper(p: list[float], steps: int, lr: float, b1: float, b2: float, decay: float) -> list[float]:
    """Algorithm 2 of Chen et al. (2023)."""
    m = [0.0] * len(p)
    for t in range(steps):
        g = numbers(p, t)
        c = [b1 * a + (1 - b1) * x for a, x in zip(m, g, strict=True)]
        p = [w - lr * ((a > 0) - (a < 0) + decay * w) for w, a in zip(p, c, strict=True)]
        m = [b2 * a + (1 - b2) * x for a, x in zip(m, g, strict=True)]
    return p


def numbers(p: list[float], t: int) -> list[float]:
    """`gradient` of plain numbers."""
    return [2 * (x - 0.3) + math.sin(i + t) for i, x in enumerate(p)]


def test_lamb_is_the_paper() -> None:
    expected = lamb_paper(START.flatten().tolist(), 100, 0.02, 0.8, 0.95, 1e-4, 0.1)
    got = walked(lambda p: optim.LAMB(p, lr=0.02, betas=(0.8, 0.95), eps=1e-4, weight_decay=0.1))
    same(got.flatten(), torch.tensor(expected, dtype=torch.float64))


def test_lars_is_the_paper() -> None:
    expected = lars_paper(START.flatten().tolist(), 100, 0.5, 0.9, 0.1, 0.02)
    got = walked(lambda p: optim.LARS(p, lr=0.5, momentum=0.9, weight_decay=0.1, trust=0.02))
    same(got.flatten(), torch.tensor(expected, dtype=torch.float64))


def test_lion_is_the_paper() -> None:
    expected = lion_paper(START.flatten().tolist(), 100, 0.01, 0.9, 0.99, 0.1)
    got = walked(lambda p: optim.Lion(p, lr=0.01, betas=(0.9, 0.99), weight_decay=0.1))
    same(got.flatten(), torch.tensor(expected, dtype=torch.float64))


def one_step(make: Callable[[list[Tensor]], torch.optim.Optimizer], start: Tensor, grad: Tensor) -> Tensor:
    """What one step adds."""
    p = start.clone().requires_grad_()
    p.grad = grad.clone()
    make([p]).step()
    return p.detach() - start


@pytest.mark.parametrize("scale", [1e-3, 7.0, 1e4])
def test_steps_of_layers_scale_with_the_layer_and_not_with_the_gradient(scale: float) -> None:
    grad = gradient(START, 0)
    for make in (lambda p: optim.LARS(p, lr=0.1, momentum=0), lambda p: optim.LAMB(p, lr=0.1, eps=0.0)):
        moved = one_step(make, START, grad)
        same(one_step(make, START, scale * grad), moved)
        same(one_step(make, scale * START, grad), scale * moved)
    plain = lambda p: torch.optim.SGD(p, lr=0.1)
    assert not torch.allclose(one_step(plain, START, scale * grad), one_step(plain, START, grad))


def test_length_of_a_lamb_step_is_the_rate_times_the_layer() -> None:
    moved = one_step(lambda p: optim.LAMB(p, lr=0.02, weight_decay=0.3), START, gradient(START, 0))
    assert moved.norm().item() == pytest.approx(0.02 * START.norm().item(), rel=1e-12)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_lion_moves_every_weight_by_the_rate(scale: float) -> None:
    grad = gradient(START, 0)
    moved = one_step(lambda p: optim.Lion(p, lr=0.01), START, scale * grad)
    torch.testing.assert_close(moved, -0.01 * grad.sign(), rtol=1e-9, atol=1e-12)


def test_layers_of_zeros_can_leave_zero() -> None:
    zeros = torch.zeros(2, 3, dtype=torch.float64)
    for make in (lambda p: optim.LARS(p, lr=0.1), lambda p: optim.LAMB(p, lr=0.1)):
        moved = one_step(make, zeros, gradient(START, 0))
        assert moved.isfinite().all()
        assert (moved != 0).all()
        assert one_step(make, START, zeros).isfinite().all()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: optim.LAMB(p, lr=-1), "lr"),
        (lambda p: optim.LAMB(p, betas=(1.0, 0.9)), "betas"),
        (lambda p: optim.LARS(p, trust=0), "trust"),
        (lambda p: optim.LARS(p, momentum=-0.1), "momentum"),
        (lambda p: optim.Lion(p, weight_decay=-1), "weight_decay"),
    ],
)
def test_bad_hyperparameters_are_named(make: Callable[[list[Tensor]], Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make([START.clone().requires_grad_()])


def test_maximize_and_tensor_rates() -> None:
    for name in ("LAMB", "LARS", "Lion"):
        cls = getattr(optim, name)
        grad = gradient(START, 0)
        same(one_step(lambda p, c=cls: c(p, lr=0.01, maximize=True), START, grad), one_step(lambda p, c=cls: c(p, lr=0.01), START, -grad))
        lr = torch.tensor([0.01], dtype=torch.float64)
        same(one_step(lambda p, c=cls, lr=lr: c(p, lr=lr), START, grad), one_step(lambda p, c=cls: c(p, lr=0.01), START, grad))
