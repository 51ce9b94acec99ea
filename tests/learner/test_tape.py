"""A Learner whose gradients come from a tape does what it does with torch's autograd."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import rungbook
from rungbook.errors import DataError, UsageError
from rungbook.learner.counting import is_cross_entropy, target_counter
from rungbook.scratch import functional
from rungbook.scratch import nn as by_hand

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


def test_losses_by_hand_count_their_targets_as_torchs() -> None:
    weight, y = torch.tensor([0.2, 3.0, 1.0]), torch.tensor([0, 1, 1, -100, 255])
    for theirs, ours in (
        (nn.CrossEntropyLoss(weight, ignore_index=255), by_hand.CrossEntropyLoss(weight, ignore_index=255)),
        (nn.NLLLoss(weight), by_hand.NLLLoss(weight)),
        (partial(F.cross_entropy, weight=weight), partial(functional.cross_entropy, weight=weight)),
        (F.nll_loss, functional.nll_loss),
        (F.mse_loss, functional.mse_loss),
    ):
        good = y[:3]
        assert float(target_counter(ours)(good)) == float(target_counter(theirs)(good))
        assert is_cross_entropy(ours) == is_cross_entropy(theirs)


def test_an_embedding_by_hand_is_diagnosed_as_torchs() -> None:
    batch = (torch.tensor([[1, 19]]), torch.zeros(1, 8))
    network = rungbook.swap(nn.Sequential(nn.Embedding(15, 4), nn.Flatten()))
    with pytest.raises(DataError, match=r"it knows 0\.\.14"):
        rungbook.Learner(network, ([batch], None), F.mse_loss, metrics=()).fit(1)


def test_compiled_models_hide_from_it() -> None:
    data = batches(16)
    with pytest.raises(UsageError, match="compile and a tape exclude each other"):
        rungbook.Learner(model(), data, compile=True, tape=rungbook.Tape())
