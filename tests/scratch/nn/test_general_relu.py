"""GeneralReLU: its formula, its mean, its gradient."""

from __future__ import annotations

import pytest
import torch

from rungbook.scratch.autograd.gradcheck import gradcheck
from rungbook.scratch.nn import GeneralReLU

covers = ["I11"]


@pytest.mark.parametrize("leak", [None, 0.1])
@pytest.mark.parametrize("sub", [None, 0.4])
@pytest.mark.parametrize("maxv", [None, 1.0])
def test_the_formula(leak: float | None, sub: float | None, maxv: float | None) -> None:
    x = torch.linspace(-3, 3, 61, dtype=torch.float64)
    found = GeneralReLU(leak, sub, maxv)(x)
    for value, out in zip(x.tolist(), found.tolist(), strict=True):
        expected = max(value, (leak or 0.0) * value) - (sub or 0.0)
        assert out == pytest.approx(expected if maxv is None else min(expected, maxv), abs=1e-12)


def test_the_mean_goes_where_relus_does_not() -> None:
    x = torch.randn(100_000, generator=torch.Generator().manual_seed(0))
    before = x.clone()
    assert abs(GeneralReLU(0.1, 0.4, 6.0)(x).mean()) < 0.06
    assert torch.relu(x).mean() > 0.39, "control"
    assert torch.equal(x, before), "the input is left alone"


def test_gradient_and_words() -> None:
    x = torch.tensor([-2.0, -0.3, 0.2, 0.9, 3.0], dtype=torch.float64)
    gradcheck(GeneralReLU(0.1, 0.4, 1.0), (x,))
    assert repr(GeneralReLU(0.1, 0.4, 6)) == "GeneralReLU(leak=0.1, sub=0.4, maxv=6)"
