"""Losses for classes: examples worked out elsewhere, numbers that are large, certain or missing."""

from __future__ import annotations

import math

import pytest
import torch

from rungbook.scratch import functional as F

covers = ["F11"]


def test_divergence_is_not_symmetric() -> None:
    """KL(P || Q) and KL(Q || P) of P = (.1, .3, .6), Q = (.7, .1, .2)."""
    p, q = torch.tensor([0.1, 0.3, 0.6], dtype=torch.float64), torch.tensor([0.7, 0.1, 0.2], dtype=torch.float64)
    assert round(float(F.kl_div(q.log(), p, reduction="sum")), 4) == 0.7942
    assert round(float(F.kl_div(p.log(), q, reduction="sum")), 4) == 1.0326
    # cross entropy less entropy
    entropy = -(p * p.log()).sum()
    assert torch.isclose(F.cross_entropy(q.log(), p) - entropy, F.kl_div(q.log(), p, reduction="sum"))


def test_mean_of_a_divergence_warns() -> None:
    p = torch.tensor([[0.5, 0.5], [0.25, 0.75]])
    with pytest.warns(UserWarning, match="'batchmean' is the divergence of a row"):
        mean = F.kl_div(torch.zeros(2, 2), p)
    assert torch.isclose(2 * mean, F.kl_div(torch.zeros(2, 2), p, reduction="batchmean"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_large_logits(dtype: torch.dtype) -> None:
    """The loss of a class 1000 behind is 1000; taking the logarithm of a softmax loses it."""
    x = torch.tensor([[0.0, 1000.0], [0.0, -1000.0]], dtype=dtype, requires_grad=True)
    loss = F.cross_entropy(x, torch.tensor([0, 0]), reduction="none")
    assert loss.tolist() == [1000.0, 0.0]
    assert torch.autograd.grad(loss.sum(), x)[0].tolist() == [[-1.0, 1.0], [0.0, 0.0]]
    assert (x.exp() / x.exp().sum(1, keepdim=True)).log()[1, 1].isinf()
    binary = F.binary_cross_entropy_with_logits(x[:, 1], torch.tensor([0.0, 1.0], dtype=dtype), reduction="none")
    assert binary.tolist() == [1000.0, 1000.0]


def test_logits_that_are_minus_infinity() -> None:
    """A class masked out has no probability and no slope, and the others are as if it were not there."""
    x = torch.tensor([[1.0, -torch.inf, 0.5]], requires_grad=True)
    loss = F.cross_entropy(x, torch.tensor([0]))
    assert torch.isclose(loss, F.cross_entropy(x[:, [0, 2]], torch.tensor([0])))
    slope = torch.autograd.grad(loss, x)[0][0]
    assert slope[1] == 0
    assert slope.isfinite().all()


def test_smoothing_mixes_with_the_even_distribution() -> None:
    x, y = torch.randn(5, 4, dtype=torch.float64), torch.tensor([0, 1, 2, 3, 0])
    mixed = 0.8 * torch.eye(4, dtype=torch.float64)[y] + 0.2 / 4
    assert torch.isclose(F.cross_entropy(x, y, label_smoothing=0.2), F.cross_entropy(x, mixed))


def test_nothing_that_counts() -> None:
    """A mean over no targets is no number, a sum is 0; neither has a slope that is a number other than 0."""
    x, y = torch.randn(2, 3, requires_grad=True), torch.tensor([1, 1])
    assert F.cross_entropy(x, y, ignore_index=1).isnan()
    total = F.cross_entropy(x, y, ignore_index=1, reduction="sum")
    assert total == 0
    assert not torch.autograd.grad(total, x)[0].any()


def test_certain_and_wrong() -> None:
    """A probability of exactly 0 for what was the case costs 100, and its slope is finite; a plain logarithm gives infinity."""
    p = torch.tensor([0.0, 1.0], requires_grad=True)
    y = torch.tensor([1.0, 0.0])
    loss = F.binary_cross_entropy(p, y, reduction="none")
    assert loss.tolist() == [100.0, 100.0]
    slopes = torch.autograd.grad(loss.sum(), p)[0]
    assert torch.allclose(slopes, torch.tensor([-1e12, 1e12]))
    assert (-(y * p.log() + (1 - y) * (1 - p).log())).isinf().all()


@pytest.mark.parametrize("p", [-0.1, 1.1, math.nan])
def test_no_probability(p: float) -> None:
    with pytest.raises(RuntimeError, match="input has entries that are no probabilities"):
        F.binary_cross_entropy(torch.tensor([0.5, p]), torch.tensor([1.0, 0.0]))
    with pytest.raises(RuntimeError, match="target has entries that are no probabilities"):
        F.binary_cross_entropy(torch.tensor([0.5, 0.5]), torch.tensor([1.0, p]))


def test_types_that_do_not_fit() -> None:
    x, y = torch.randn(3, 4), torch.tensor([0, 1, 2])
    with pytest.raises(RuntimeError, match=r"weight is torch\.float64 and input torch.float32"):
        F.cross_entropy(x, y, torch.ones(4, dtype=torch.float64))
    with pytest.raises(RuntimeError, match=r"weight \(3,\) needs one entry for each of 4 classes"):
        F.nll_loss(x, y, torch.ones(3))
    with pytest.raises(RuntimeError, match=r"target is torch\.int64 and input torch.float32"):
        F.binary_cross_entropy(torch.rand(3), y)


def test_options_of_the_linear_loss_change_nothing() -> None:
    options = torch.nn.LinearCrossEntropyOptions(batch_chunk_size=2)
    x, w, y = torch.randn(5, 3), torch.randn(4, 3), torch.tensor([0, 1, 2, 3, 0])
    assert torch.equal(F.linear_cross_entropy(x, w, y, options=options), F.linear_cross_entropy(x, w, y))
    with pytest.warns(UserWarning, match="options have no effect with smoothing"):
        F.linear_cross_entropy(x, w, y, options=options, label_smoothing=0.1)
