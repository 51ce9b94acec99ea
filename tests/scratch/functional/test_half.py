"""Numbers that fit half precision, with sums or squares on the way that do not: results are torch's, which sums in float32."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as torch_functional
from torch import Tensor

from rungbook.scratch import functional as F

LARGE = [[300.0, 400.0, 500.0], [45.0, -50.0, 0.01]]


def large(dtype: torch.dtype, grad: bool = True) -> Tensor:
    return torch.tensor(LARGE, dtype=dtype).requires_grad_(grad)


CALLS: dict[str, Callable[[Any, torch.dtype], Tensor]] = {
    "normalize": lambda f, t: f.normalize(large(t)),
    "cosine_similarity": lambda f, t: f.cosine_similarity(large(t), large(t).flip(1)),
    "pairwise_distance": lambda f, t: f.pairwise_distance(large(t), -large(t)),
    "triplet_margin_loss": lambda f, t: f.triplet_margin_loss(large(t), -large(t), large(t).flip(1)),
    "avg_pool1d": lambda f, t: f.avg_pool1d(torch.full((1, 1, 200), 500.0, dtype=t), 200),
    "avg_pool2d": lambda f, t: f.avg_pool2d(torch.full((1, 1, 20, 20), 500.0, dtype=t), 20, padding=1, ceil_mode=True),
    "mean of a bag": lambda f, t: f.embedding_bag(torch.zeros(1, 3000, dtype=torch.int64), torch.ones(1, 2, dtype=t)),
    "sum of a bag": lambda f, t: f.embedding_bag(torch.zeros(1, 1000, dtype=torch.int64), torch.ones(1, 2, dtype=t), mode="sum"),
}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", CALLS)
def test_sums_do_not_overflow(name: str, dtype: torch.dtype) -> None:
    got, expected = (CALLS[name](module, dtype) for module in (F, torch_functional))
    assert got.dtype == expected.dtype == dtype
    assert bool(expected.isfinite().all())
    torch.testing.assert_close(got, expected)


def test_in_half_precision_these_sums_do_overflow() -> None:
    """The control: without float32 on the way the results above are infinite, or stop growing."""
    assert large(torch.float16, False).square().sum() == float("inf")
    assert torch.ones(2, dtype=torch.bfloat16).new_tensor(256) + 1 == 256
    assert torch.full((400,), 500.0, dtype=torch.float16).cumsum(0)[-1] == float("inf")


def test_slope_of_gelu() -> None:
    slopes = []
    for f in (F, torch_functional):
        x = large(torch.float16)
        slopes.append(torch.autograd.grad(f.gelu(x, approximate="tanh").sum(), x)[0])  # type: ignore[attr-defined]
    torch.testing.assert_close(*slopes)


@pytest.mark.parametrize("name", ["batch_norm", "instance_norm"])
def test_running_variance(name: str) -> None:
    """A variance of 80,000 is infinite in float16, a tenth of it is not."""
    x = torch.tensor([[[-283.0, 283.0, -283.0, 283.0]], [[283.0, -283.0, 283.0, -283.0]]], dtype=torch.float16)
    buffers = []
    for f in (F, torch_functional):
        mean, var = torch.zeros(1, dtype=torch.float16), torch.ones(1, dtype=torch.float16)
        getattr(f, name)(x, mean, var, **({"training": True} if name == "batch_norm" else {}))
        buffers += [mean, var]
    assert bool(buffers[1].isfinite().all())
    torch.testing.assert_close(buffers[:2], buffers[2:])
