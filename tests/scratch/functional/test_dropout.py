"""Dropout: bit-equal to torch's for a seed, the generator left in the same state, and right on average."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as torch_functional

from rungbook.scratch import functional as F

SHAPES = {
    "dropout": (31, 17),
    "dropout1d": (31, 17, 3),
    "dropout2d": (31, 17, 3, 2),
    "dropout3d": (31, 17, 3, 2, 2),
    "alpha_dropout": (31, 17),
    "feature_alpha_dropout": (31, 17, 3, 2),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("name", SHAPES)
def test_same_draws(name: str, dtype: torch.dtype) -> None:
    x = torch.randn(SHAPES[name], generator=torch.Generator().manual_seed(0)).to(dtype)
    found = []
    for module in (F, torch_functional):
        torch.manual_seed(7)
        found.append((getattr(module, name)(x, 0.3, True), torch.rand(5)))
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])


@pytest.mark.parametrize("name", SHAPES)
def test_mean_and_share(name: str) -> None:
    """The mean stays; and a channel goes as a whole where that is meant."""
    torch.manual_seed(0)
    shape = (400, 50, *SHAPES[name][2:])
    x = torch.randn(shape, dtype=torch.float64) if "alpha" in name else torch.ones(shape, dtype=torch.float64)
    y = getattr(F, name)(x, 0.3, True)
    assert float(y.mean()) == pytest.approx(float(x.mean()), abs=0.03)
    if "alpha" in name:
        assert float(y.var()) == pytest.approx(1, abs=0.05)
    else:
        gone = (y == 0).reshape(400 * 50, -1)
        assert float(gone.double().mean()) == pytest.approx(0.3, abs=0.02)
        assert torch.equal(gone.all(1), gone.any(1))


@pytest.mark.parametrize("name", SHAPES)
def test_refusals(name: str) -> None:
    with pytest.raises(ValueError, match=r"p is 1\.5"):
        getattr(F, name)(torch.zeros(SHAPES[name]), 1.5)
