"""Muon's steps are nearly orthogonal matrices."""

from __future__ import annotations

import pytest
import torch

from rungbook.scratch.optim.muon import orthogonal


@pytest.mark.parametrize("shape", [(16, 16), (8, 32), (32, 8)])
def test_singular_values_become_about_one(shape: tuple[int, int]) -> None:
    g = torch.Generator().manual_seed(0)
    u, _, v = torch.linalg.svd(torch.randn(shape, generator=g, dtype=torch.float64), full_matrices=False)
    before = torch.logspace(-1, 1, min(shape), dtype=torch.float64)
    x = u * before @ v  # (n, m), singular values from 0.1 to 10
    step = orthogonal(x.float()).double()
    after = torch.linalg.svdvals(step)
    assert step.shape == x.shape
    assert before.max() / before.min() > 99
    assert after.min() > 0.4
    assert after.max() < 1.3
    # the directions stay
    assert torch.nn.functional.cosine_similarity(step.flatten(), (u @ v).flatten(), dim=0) > 0.95


def test_bad_iterations_are_refused() -> None:
    with pytest.raises(ValueError, match="ns_steps"):
        orthogonal(torch.ones(2, 2), steps=100)
    with pytest.raises(ValueError, match="ns_coefficients"):
        orthogonal(torch.ones(2, 2), coefficients=(1.0, 2.0))  # type: ignore[arg-type]
