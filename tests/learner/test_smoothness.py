"""Smoothness along the gradient: exact for a parabola, without a trace, and larger without batch norm."""

from __future__ import annotations

import copy

import pytest
import torch
from kit import cnn, images
from torch import Tensor, nn

from rungbook.errors import UsageError
from rungbook.learner.smoothness import along_gradient

covers = ["I10"]


class Parabola(nn.Module):
    """Weights as they are; its loss is 0.5 sum(curvature * w^2)."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([1.0, 2.0], dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return self.w * x


def test_a_parabola_has_the_smoothness_of_its_curvature() -> None:
    curvature = torch.tensor([3.0, 3.0], dtype=torch.float64)
    found = along_gradient(Parabola(), (torch.ones(2), curvature), lambda w, c: 0.5 * (c * w * w).sum(), rates=(0.1, 0.2))
    assert found.loss == pytest.approx(7.5)
    assert found.norm == pytest.approx(45**0.5)
    assert found.losses == pytest.approx((7.5 * 0.7**2, 7.5 * 0.4**2))
    assert found.loss_range == pytest.approx(7.5 * (0.49 - 0.16))
    assert found.beta == pytest.approx(3), "the gradient is linear: its change over the distance is the curvature"
    assert found.turn == pytest.approx(0.6)
    flat = along_gradient(Parabola(), (torch.ones(2), 0 * curvature), lambda w, c: (c * w).sum(), rates=(0.1,))
    assert (flat.beta, flat.turn, flat.loss_range) == (0, 0, 0)


def test_it_leaves_no_trace_and_draws_the_same() -> None:
    model, batch = cnn(), images()
    before, state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    model[0].weight.grad = torch.ones_like(model[0].weight)
    one = along_gradient(model, batch)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(model[0].weight.grad, torch.ones_like(model[0].weight))
    assert model[6].weight.grad is None
    assert along_gradient(model, batch) == one
    still = along_gradient(model, batch, rates=(1e-12,))
    assert still.losses[0] == pytest.approx(still.loss, abs=1e-6), "the same dropout at each step"


def test_after_an_error_the_weights_are_back() -> None:
    model, batch = cnn(), images()
    before, calls = copy.deepcopy(model.state_dict()), []

    def loss(output: Tensor, y: Tensor) -> Tensor:
        calls.append(1)
        if len(calls) == 3:
            raise ZeroDivisionError
        return nn.functional.cross_entropy(output, y)

    with pytest.raises(ZeroDivisionError):
        along_gradient(model, batch, loss)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_batch_norm_makes_a_deep_network_smoother() -> None:
    """Santurkar and others' finding, at a common learning rate where the plain network's gradient has turned round."""
    x = torch.randn(64, 20, generator=torch.Generator().manual_seed(0))
    y = (x[:, 0] > 0).long()
    found = {}
    for normed in (False, True):
        torch.manual_seed(0)
        layers: list[nn.Module] = []
        for _ in range(8):
            layers += [nn.Linear(20, 20), *([nn.BatchNorm1d(20)] if normed else []), nn.ReLU()]
            nn.init.normal_(layers[-3 if normed else -2].weight, std=0.6)  # type: ignore[arg-type]
        found[normed] = along_gradient(nn.Sequential(*layers, nn.Linear(20, 2)), (x, y), rates=(0.01, 0.02, 0.05))
    assert found[True].beta < found[False].beta
    assert found[True].loss_range < found[False].loss_range


def test_refusals() -> None:
    with pytest.raises(UsageError, match="E202"):
        along_gradient(cnn(), images(), rates=(0.1, 0.0))
    with pytest.raises(UsageError, match="no weights to train"):
        along_gradient(cnn().requires_grad_(False), images())
