"""A Learner whose gradients come from a tape does what it does with torch's autograd."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import rungbook
from rungbook.errors import UsageError

X, Y = torch.randn(64, 6, generator=torch.Generator().manual_seed(0)).double(), torch.arange(64) % 3


def model(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3)).double()


def batches(size: int) -> tuple[list[tuple[Tensor, Tensor]], None]:
    return list(zip(X.split(size), Y.split(size), strict=True)), None


def trained(tape: Any, **options: Any) -> list[Tensor]:
    data = batches(16)
    network = rungbook.swap(model())
    learner = rungbook.Learner(network, data, torch.nn.functional.cross_entropy, lr=0.1, tape=tape, **options)
    learner.fit(3)
    return [t.detach() for t in network.state_dict().values()]


@pytest.mark.parametrize("options", [{}, {"accumulate": 2}, {"clip": 0.1}, {"optimizer": torch.optim.AdamW}])
def test_same_weights_and_buffers(options: dict[str, Any]) -> None:
    for a, b in zip(trained(rungbook.Tape(), **options), trained(None, **options), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def test_the_rate_finder_uses_it() -> None:
    found = []
    for tape in (rungbook.Tape(), None):
        data = batches(8)
        found.append(rungbook.Learner(rungbook.swap(model()), data, lr=0.1, tape=tape).find_lr(steps=20))
    assert found[0].losses == pytest.approx(found[1].losses, rel=1e-10)


def test_a_frozen_layer_stays() -> None:
    network = model()
    network[0].requires_grad_(False)
    before = network[0].weight.clone()
    data = batches(16)
    rungbook.Learner(rungbook.swap(network), data, lr=0.1, tape=rungbook.Tape()).fit(1)
    assert torch.equal(network[0].weight, before)
    assert network[0].weight.grad is None


def test_compiled_models_hide_from_it() -> None:
    data = batches(16)
    with pytest.raises(UsageError, match="compile and a tape exclude each other"):
        rungbook.Learner(model(), data, compile=True, tape=rungbook.Tape())
