"""Gathered gradients are one big batch's: for uneven batches, for losses that ignore targets and for losses that weight classes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from kit import At, feed, images, learner, mlp, rows
from torch import Tensor, nn

from rungbook.errors import UsageError
from rungbook.learner.counting import target_counter
from rungbook.learner.learner import Learner

covers = ["P02"]

DOUBLE = torch.float64
WEIGHT = torch.tensor([0.2, 1.0, 3.0], dtype=DOUBLE)


class Tokens(nn.Module):
    """Three classes for each position of a sequence, from its number."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.out = nn.Embedding(11, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(torch.tanh(self.embed(x))).transpose(1, 2)  # (B, classes, T)


def sequences(n: int = 40, width: int = 7) -> tuple[Tensor, Tensor]:
    """Token numbers and their classes, of which a varying share is ignored (-100), in some rows all but one."""
    generator = torch.Generator().manual_seed(3)
    x = torch.randint(0, 11, (n, width), generator=generator)
    y = x % 3
    length = torch.randint(1, width + 1, (n,), generator=generator)
    return x, y.masked_fill(torch.arange(width) >= length[:, None], -100)


def padded_batches(sizes: list[int]) -> list[tuple[Tensor, Tensor]]:
    """The sequences in batches of these sizes, each cut to its own longest."""
    x, y = sequences(sum(sizes))
    batches = []
    for bx, by in zip(x.split(sizes), y.split(sizes), strict=True):
        longest = int((by != -100).sum(1).max())
        batches.append((bx[:, :longest], by[:, :longest]))
    return batches


LOSSES: dict[str, Any] = {
    "cross-entropy": F.cross_entropy,
    "weighted, a module": nn.CrossEntropyLoss(weight=WEIGHT),
    "weighted, a partial": partial(F.cross_entropy, weight=WEIGHT),
    "weighted and smoothed": nn.CrossEntropyLoss(weight=WEIGHT, label_smoothing=0.1),
    "likelihood": lambda output, target: F.nll_loss(output.log_softmax(1), target),
}


def one_step(model: nn.Module, batches: list[tuple[Tensor, Tensor]], loss: Any, accumulate: int) -> tuple[list[Tensor], Learner]:
    """The gradients of the first step over `accumulate` batches, and the learner."""
    ours = learner(model, (batches[:accumulate], None), loss=loss, accumulate=accumulate, lr=0.1, metrics=[], callbacks=[])
    before = [p.detach().clone() for p in ours.params]
    ours.fit(1)
    found = [(b - p.detach()) / 0.1 for b, p in zip(before, ours.params, strict=True)]
    return found, ours


def big_gradient(model: nn.Module, x: Tensor, y: Tensor, loss: Any) -> tuple[list[Tensor], float]:
    """The gradients and the loss of all samples at once."""
    value = loss(model(x), y)
    value.backward()
    return [p.grad for p in model.parameters() if p.grad is not None], value.item()


def difference(one: list[Tensor], two: list[Tensor]) -> float:
    """Largest difference of two lists of gradients, relative to the largest number among them."""
    largest = max(t.abs().max().item() for t in two)
    return max((a - b).abs().max().item() for a, b in zip(one, two, strict=True)) / largest


SIZES = [3, 16, 1, 9, 4, 12, 7, 2]


@pytest.mark.parametrize("accumulate", [1, 2, 4, 8])
@pytest.mark.parametrize("name", LOSSES)
def test_uneven_batches_are_one_big_batch(name: str, accumulate: int) -> None:
    n = sum(SIZES[:accumulate])
    x, _ = rows(n, dtype=DOUBLE)
    y = torch.arange(n) % 3
    y[0] = 2
    torch.manual_seed(0)
    model = nn.Linear(6, 3).to(DOUBLE)
    same = nn.Linear(6, 3).to(DOUBLE)
    same.load_state_dict(model.state_dict())
    batches = list(zip(x.split(SIZES[:accumulate]), y.split(SIZES[:accumulate]), strict=True))
    found, ours = one_step(model, batches, LOSSES[name], accumulate)
    expected, value = big_gradient(same, x, y, LOSSES[name])
    assert difference(found, expected) <= 1e-10
    assert ours.history[0]["train_loss"] == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("accumulate", [2, 4, 8])
@pytest.mark.parametrize(
    ("loss", "ignore"),
    [
        (F.cross_entropy, -100),
        (nn.CrossEntropyLoss(weight=WEIGHT), -100),
        (partial(F.cross_entropy, ignore_index=1), 1),
        (nn.CrossEntropyLoss(ignore_index=2, weight=WEIGHT), 2),
        (lambda output, target: F.cross_entropy(output, target), -100),
    ],
)
def test_ignored_targets_do_not_count(loss: Any, ignore: int, accumulate: int) -> None:
    sizes = SIZES[:accumulate]
    x, y = sequences(sum(sizes))
    y = y.masked_fill(y == -100, ignore)
    model, same = Tokens().to(DOUBLE), Tokens().to(DOUBLE)
    batches = list(zip(x.split(sizes), y.split(sizes), strict=True))
    found, ours = one_step(model, batches, loss, accumulate)
    expected, value = big_gradient(same, x, y, loss)
    assert difference(found, expected) <= 1e-10
    assert ours.history[0]["train_loss"] == pytest.approx(value, rel=1e-12)


def test_batches_padded_to_their_own_lengths() -> None:
    sizes = SIZES[:4]
    x, y = sequences(sum(sizes))
    found, _ = one_step(Tokens().to(DOUBLE), padded_batches(sizes), F.cross_entropy, 4)
    expected, _ = big_gradient(Tokens().to(DOUBLE), x, y, F.cross_entropy)
    assert difference(found, expected) <= 1e-10


def test_control_the_mean_of_means_is_wrong() -> None:
    """What a loop does that divides each batch's loss by the number of batches: the error of transformers before issue 34191."""
    sizes = SIZES[:4]
    x, y = sequences(sum(sizes))
    naive = Tokens().to(DOUBLE)
    for bx, by in padded_batches(sizes):
        (F.cross_entropy(naive(bx), by) / 4).backward()
    expected, _ = big_gradient(Tokens().to(DOUBLE), x, y, F.cross_entropy)
    assert difference([p.grad for p in naive.parameters()], expected) > 1e-2


@pytest.mark.parametrize("make", [torch.optim.SGD, torch.optim.Adam, partial(torch.optim.SGD, momentum=0.9)])
def test_a_training_in_pieces_is_the_training_at_once(make: Callable[..., Any]) -> None:
    x, y = rows(75, dtype=DOUBLE)
    whole = learner(mlp(dtype=DOUBLE), (feed(x, y, batch_size=32), None), optimizer=make, lr=0.05, clip=0.5)
    pieces = learner(mlp(dtype=DOUBLE), (feed(x, y, batch_size=8), None), optimizer=make, lr=0.05, clip=0.5, accumulate=4)
    whole.fit(3, "cosine")
    pieces.fit(3, "cosine")
    assert whole.step == pieces.step == 9, "the last window of an epoch is a shorter one"
    for a, b in zip(whole.params, pieces.params, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)
    assert [r["train_loss"] for r in pieces.history] == pytest.approx([r["train_loss"] for r in whole.history], rel=1e-10)


def normed(norm: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), norm, nn.ReLU(), nn.Flatten(), nn.Linear(8 * 64, 2)).to(DOUBLE)


@pytest.mark.parametrize("accumulate", [2, 4, 8])
@pytest.mark.parametrize("norm", [lambda: nn.GroupNorm(2, 8), lambda: nn.LayerNorm((8, 8, 8)), lambda: nn.InstanceNorm2d(8, affine=True)])
def test_norms_of_single_samples_gather_exactly(norm: Callable[[], nn.Module], accumulate: int) -> None:
    x, y = images(32)
    batches = list(zip(x.to(DOUBLE).chunk(accumulate), y.chunk(accumulate), strict=True))
    found, _ = one_step(normed(norm()), batches, F.cross_entropy, accumulate)
    expected, _ = big_gradient(normed(norm()), x.to(DOUBLE), y, F.cross_entropy)
    assert difference(found, expected) <= 1e-10


@pytest.mark.parametrize("accumulate", [2, 4, 8])
def test_control_batch_norm_sees_each_batch_alone(accumulate: int) -> None:
    x, y = images(32)
    batches = list(zip(x.to(DOUBLE).chunk(accumulate), y.chunk(accumulate), strict=True))
    found, _ = one_step(normed(nn.BatchNorm2d(8)), batches, F.cross_entropy, accumulate)
    expected, _ = big_gradient(normed(nn.BatchNorm2d(8)), x.to(DOUBLE), y, F.cross_entropy)
    assert difference(found, expected) > 1e-3


def test_control_dropout_draws_for_each_batch() -> None:
    x, y = rows(32, dtype=DOUBLE)
    batches = list(zip(x.chunk(4), y.chunk(4), strict=True))
    found, _ = one_step(mlp(dropout=0.5, dtype=DOUBLE), batches, F.cross_entropy, 4)
    torch.manual_seed(0)
    expected, _ = big_gradient(mlp(dropout=0.5, dtype=DOUBLE), x, y, F.cross_entropy)
    assert difference(found, expected) > 1e-2


def test_numbers_of_several_columns_and_lengths() -> None:
    generator = torch.Generator().manual_seed(0)
    batches = [(torch.randn(n, t, 4, dtype=DOUBLE, generator=generator),) * 2 for n, t in ((3, 5), (8, 2), (2, 9))]
    torch.manual_seed(0)
    model, same = (nn.Linear(4, 4).to(DOUBLE) for _ in range(2))
    same.load_state_dict(model.state_dict())
    found, _ = one_step(model, batches, F.mse_loss, 3)
    total = sum(x.numel() for x, _ in batches)
    (sum(F.mse_loss(same(x), y, reduction="sum") for x, y in batches) / total).backward()
    assert difference(found, [p.grad for p in same.parameters() if p.grad is not None]) <= 1e-10


def test_a_loss_may_count_for_itself() -> None:
    class Half(nn.CrossEntropyLoss):
        def count(self, target: Tensor) -> float:
            return len(target) / 2

    x, y = rows(20)
    assert target_counter(Half())(y) == 10
    counted: list[float] = []
    ours = learner(mlp(), (feed(x, y, batch_size=10), None), loss=Half(), lr=0.0)
    ours.callbacks.append(At("after_step", lambda le: counted.append(le.tally.state_dict()["count"])))
    ours.fit(1)
    assert counted == [5, 10]


def test_counts() -> None:
    y = torch.tensor([0, 2, -100, 1])
    assert float(target_counter(F.cross_entropy)(y)) == 3
    assert target_counter(F.cross_entropy, all_count=True)(y[:2]) == 2
    assert float(target_counter(partial(F.cross_entropy, weight=WEIGHT))(y)) == pytest.approx(0.2 + 3 + 1)
    assert float(target_counter(partial(F.cross_entropy, weight=WEIGHT), all_count=True)(y[:2])) == pytest.approx(3.2)
    assert target_counter(F.mse_loss)(torch.zeros(3, 2)) == 6
    mask = torch.tensor([[156, 1], [255, 0]], dtype=torch.uint8)
    assert float(target_counter(F.cross_entropy)(mask)) == 4, "in 8 bits -100 would be 156"
    assert float(target_counter(nn.CrossEntropyLoss(ignore_index=255))(mask)) == 3


def test_a_batch_of_ignored_targets_only_leaves_the_means_alone() -> None:
    x, y = rows(48)
    silent = (x[:16], torch.full((16,), -100))
    ours = learner(mlp(), (feed(x, y), [silent, (x[16:32], y[16:32]), silent]), metrics=["accuracy", "log_loss"])
    expected = F.cross_entropy(ours.model(x[16:32]), y[16:32]).item()
    judged = ours.validate()
    assert judged["loss"] == pytest.approx(expected, rel=1e-6)
    assert judged["log_loss"] == pytest.approx(expected, rel=1e-6)


def test_losses_that_are_no_mean_are_refused() -> None:
    for loss in (nn.CrossEntropyLoss(reduction="none"), partial(F.cross_entropy, reduction="none")):
        with pytest.raises(UsageError, match=r"gives shape \(16,\).*reduction=\"mean\""):
            learner(loss=loss).fit(1)
    summed = nn.CrossEntropyLoss(reduction="sum")
    learner(loss=summed, lr=1e-3).fit(1)
    with pytest.raises(UsageError, match="a sum"):
        learner(loss=summed, accumulate=2).fit(1)
