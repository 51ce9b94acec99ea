"""Losses for numbers: bends, outliers, likelihoods."""

from __future__ import annotations

import math

import pytest
import torch

from rungbook.scratch import functional as F


def test_an_outlier_pulls_no_harder_than_delta() -> None:
    """Also one that is infinitely far away; choosing between the two formulas by `where` makes its slope no number."""
    x = torch.tensor([0.5, -3.0, 1e30, torch.inf, -torch.inf], requires_grad=True)
    slopes = torch.autograd.grad(F.huber_loss(x, torch.zeros(5), reduction="sum", delta=2.0), x)[0]
    assert slopes.tolist() == [0.5, -2.0, 2.0, 2.0, -2.0]
    naive = torch.where(x.abs() <= 2.0, 0.5 * x * x, 2.0 * (x.abs() - 1.0)).sum()
    assert torch.autograd.grad(naive, x)[0].isnan().any()


def test_curvature_at_no_difference() -> None:
    """1, as everywhere in the parabola; a Huber loss made of absolute values has 0 there."""
    x = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(F.huber_loss(x, torch.zeros(1)), x, create_graph=True)
    assert torch.autograd.grad(slope, x)[0].item() == 1.0
    near = x.abs().clamp(max=1.0)
    (slope,) = torch.autograd.grad(0.5 * near * near + (x.abs() - near), x, create_graph=True)
    assert torch.autograd.grad(slope, x)[0].item() == 0.0


@pytest.mark.parametrize("beta", [0.5, 1.0, 3.0])
def test_smooth_l1_is_hubers_over_its_bend(beta: float) -> None:
    x, y = torch.randn(50, dtype=torch.float64), torch.randn(50, dtype=torch.float64)
    assert torch.allclose(F.smooth_l1_loss(x, y, beta=beta), F.huber_loss(x, y, delta=beta) / beta)
    assert torch.equal(F.smooth_l1_loss(x, y, beta=0.0), F.l1_loss(x, y))


def test_bends_have_to_be_positive() -> None:
    with pytest.raises(RuntimeError, match="delta is 0"):
        F.huber_loss(torch.zeros(2), torch.zeros(2), delta=0)
    with pytest.raises(RuntimeError, match="beta is -1"):
        F.smooth_l1_loss(torch.zeros(2), torch.zeros(2), beta=-1)


def test_weighted_means() -> None:
    """Of squares and absolute values over the weights' sum, of Huber's over the number of entries: torch's inconsistency, kept."""
    d, zero, w = torch.tensor([1.0, 0.5]), torch.zeros(2), torch.tensor([3.0, 1.0])
    assert F.mse_loss(d, zero, weight=w) == 3.25 / 4
    assert F.l1_loss(d, zero, weight=w) == 3.5 / 4
    assert F.huber_loss(d, zero, weight=w) == 1.625 / 2
    for loss in (F.mse_loss, F.l1_loss, F.huber_loss):
        with pytest.raises(ValueError, match=r"weight \(1,\) and input \(2,\) need the same shape"):
            loss(d, zero, weight=torch.ones(1))


def test_likelihoods() -> None:
    """With their constants they are negative logarithms of densities: torch.distributions says the same."""
    x, y, v = torch.randn(20, dtype=torch.float64), torch.randn(20, dtype=torch.float64), torch.rand(20, dtype=torch.float64) + 0.1
    normal = torch.distributions.Normal(x, v.sqrt())
    assert torch.allclose(F.gaussian_nll_loss(x, y, v, full=True, reduction="none"), -normal.log_prob(y))
    counts = torch.arange(2, 22, dtype=torch.float64)
    poisson = torch.distributions.Poisson(x.exp())
    # Stirling's formula leaves out 1 / (12 count)
    difference = -poisson.log_prob(counts) - F.poisson_nll_loss(x, counts, full=True, reduction="none")
    assert torch.allclose(difference, 1 / (12 * counts), rtol=0.02)


def test_a_small_variance_can_still_grow() -> None:
    """Below eps the value is that of eps, and the slope is not 0, as a clamp's would be."""
    variance = torch.tensor([0.0], requires_grad=True)
    loss = F.gaussian_nll_loss(torch.tensor([1.0]), torch.zeros(1), variance, eps=0.5)
    assert loss.item() == pytest.approx(0.5 * (math.log(0.5) + 2.0))
    assert torch.autograd.grad(loss, variance)[0].item() == pytest.approx(0.5 * (2.0 - 4.0))


@pytest.mark.parametrize("var", [torch.tensor([0.1, -0.1]), -1.0])
def test_negative_variances(var: torch.Tensor | float) -> None:
    with pytest.raises(ValueError, match="var has a negative entry, -"):
        F.gaussian_nll_loss(torch.zeros(2), torch.zeros(2), var)
