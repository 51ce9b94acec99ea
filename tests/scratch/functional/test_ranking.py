"""Losses of margins: by their definitions, in loops, and where a score is far off."""

from __future__ import annotations

import torch

from rungbook.scratch import functional as F


def test_far_behind() -> None:
    """200 behind costs 200; torch's exponential overflows from about 89 in float32."""
    x, y = torch.tensor([-200.0, 200.0], requires_grad=True), torch.tensor([1.0, -1.0])
    loss = F.soft_margin_loss(x, y, reduction="none")
    assert loss.tolist() == [200.0, 200.0]
    assert torch.autograd.grad(loss.sum(), x)[0].tolist() == [-1.0, 1.0]
    assert torch.nn.functional.soft_margin_loss(x, y, reduction="none").isinf().all()


def test_several_margins_by_loops() -> None:
    x = torch.randn(6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    y = torch.tensor([0, 4, 2, 2, 1, 3])
    weight = torch.linspace(0.5, 2.0, 5, dtype=torch.float64)
    rows = [sum(weight[t] * max(0.0, 0.7 - row[t] + row[c]) ** 2 for c in range(5) if c != t) / 5 for row, t in zip(x, y, strict=True)]
    assert torch.allclose(F.multi_margin_loss(x, y, 2, 0.7, weight, reduction="none"), torch.stack(rows))


def test_sets_of_classes_by_loops() -> None:
    """A class listed twice counts twice; what stands after -1 does not count."""
    x = torch.randn(4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    sets = [[3, 0], [1, 1], [], [4, 3, 2, 1, 0]]
    y = torch.tensor([[3, 0, -1, 2, 2], [1, 1, -1, -1, -1], [-1, 0, 1, 2, 3], [4, 3, 2, 1, 0]])
    rows = [
        sum((max(0.0, 1 - row[t] + row[c]) for t in s for c in range(5) if c not in s), 0.0) / 5 for row, s in zip(x, sets, strict=True)
    ]
    assert torch.allclose(F.multilabel_margin_loss(x, y, reduction="none"), torch.tensor([float(r) for r in rows], dtype=torch.float64))


def test_swapped_triplet() -> None:
    """The negative is near the positive, and far from the anchor: only with swap it costs something."""
    anchor, positive, negative = torch.tensor([0.0, 0.0]), torch.tensor([3.0, 0.0]), torch.tensor([4.0, 0.0])
    plain = F.triplet_margin_loss(anchor, positive, negative, margin=1.0)
    swapped = F.triplet_margin_loss(anchor, positive, negative, margin=1.0, swap=True)
    assert torch.isclose(plain, torch.tensor(0.0), atol=1e-5)
    assert torch.isclose(swapped, torch.tensor(3.0), atol=1e-5)


def test_a_vector_of_zeros_has_a_cosine() -> None:
    x = torch.zeros(1, 3, requires_grad=True)
    loss = F.cosine_embedding_loss(x, torch.ones(1, 3), torch.tensor([1.0]))
    assert loss == 1
    assert torch.autograd.grad(loss, x)[0].isfinite().all()
