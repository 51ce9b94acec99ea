"""Mixup and CutMix against their formulas, their draws, and what they refuse."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from kit import At, Stop, cnn, equal, feed, images, interrupted, learner, mlp, rows, weights
from torch import Tensor, nn

import rungbook
from rungbook.data.feed import Feed
from rungbook.errors import DataError, UsageError
from rungbook.learner.callbacks import Mix
from rungbook.learner.callbacks.mix import cutmix, mixup
from rungbook.learner.learner import Learner
from rungbook.learner.random_state import keyed_numbers


class Shared(Mix):
    """Mixes with a share of its own."""

    def __init__(self, kind: Any, share: float) -> None:
        super().__init__(kind)
        self.share = share

    def _share(self, draw: np.random.Generator, alpha: float) -> float:
        super()._share(draw, alpha)
        return self.share


class Batches(At):
    """Keeps every batch as the model was given it."""

    order = 50

    def __init__(self) -> None:
        super().__init__("before_batch", self.keep)
        self.seen: list[tuple[Tensor, Tensor]] = []

    def keep(self, learner: Learner) -> None:
        self.seen.append((learner.x.clone(), learner.y.clone()))


def pictures(n: int = 48, *, shuffle: bool = True, workers: int = 0, dtype: torch.dtype = torch.float32) -> Feed:
    x, y = images(n)
    return feed(x.to(dtype), y, shuffle=shuffle, workers=workers)


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_a_share_of_one_is_plain_training_bit_for_bit(kind: str) -> None:
    make = partial(learner, data=(pictures(), pictures(16, shuffle=False)), optimizer=torch.optim.Adam, lr=0.01)
    plain, whole, mixed = (make(cnn(), callbacks=c) for c in ([], [Shared(kind, 1.0)], [Shared(kind, 0.7)]))
    for each in (plain, whole, mixed):
        each.fit(2)
    assert equal(weights(whole.model), weights(plain.model))
    assert whole.history == plain.history
    assert not equal(weights(mixed.model), weights(plain.model)), "control: another share is another training"


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_is_the_mean_of_two_losses(smoothing: float) -> None:
    """Soft targets against the form with two losses, values and gradients in float64."""
    x, y = rows(32, dtype=torch.float64)
    loss = partial(F.cross_entropy, label_smoothing=smoothing)
    share, model = 0.3, mlp(dtype=torch.float64)
    partner = torch.from_numpy(keyed("mixup").permutation(32))
    mixed_x = share * x + (1 - share) * x[partner]
    expected = share * loss(model(mixed_x), y) + (1 - share) * loss(model(mixed_x), y[partner])
    gradients = torch.autograd.grad(expected, list(model.parameters()))
    seen: list[Tensor] = []

    def keep(ours: Learner) -> None:
        seen.extend([ours.batch_loss.detach(), *(p.grad.clone() for p in ours.params if p.grad is not None)])

    data = (feed(x, y, batch_size=32, shuffle=False), None)
    learner(model, data, loss=loss, callbacks=[Shared("mixup", share), At("after_backward", keep)], lr=0.0).fit(1)
    torch.testing.assert_close(seen, [expected.detach(), *gradients], rtol=0, atol=1e-14)
    unmixed = share * loss(model(x), y) + (1 - share) * loss(model(x), y[partner])
    assert abs(float(unmixed.detach() - expected.detach())) > 1e-4, "control: mixing targets alone is another loss"


def keyed(kind: str, seed: int = 0, epoch: int = 0, batch: int = 0) -> np.random.Generator:
    """The draws of a batch, after that of the share."""
    draw = keyed_numbers("mix", seed, epoch, batch)
    draw.beta(1.0, 1.0) if kind == "cutmix" else draw.beta(0.2, 0.2)
    return draw


def test_cutmix_shares_by_the_pixels() -> None:
    """A batch of all zeros with partners of all ones: the share of zeros left is the share that is told, exactly."""
    draw = np.random.default_rng(0)
    x = torch.cat([torch.zeros(1, 2, 15, 9), torch.ones(1, 2, 15, 9)])
    partner = torch.tensor([1, 0])
    told, drawn, edges = [], [], 0
    for _ in range(300):
        share = float(draw.beta(1.0, 1.0))
        mixed, own = cutmix(x, partner, share, draw)
        assert float((mixed[0] == 0).double().mean()) == pytest.approx(own, abs=1e-15)
        assert float((mixed[1] == 1).double().mean()) == pytest.approx(own, abs=1e-15)
        box = (mixed[0, 0] == 1).nonzero()
        if len(box):
            (top, left), (bottom, right) = box.amin(0).tolist(), box.amax(0).tolist()
            assert len(box) == (bottom - top + 1) * (right - left + 1), "one box"
            edges += top == 0 or left == 0 or bottom == 14 or right == 8
        told.append(own)
        drawn.append(share)
    assert edges > 30
    assert max(abs(a - b) for a, b in zip(told, drawn, strict=True)) > 0.2, "control: what was drawn is not what lies inside"
    assert bool((x[0] == 0).all()), "the samples themselves stay as they are"


def test_cutmix_in_training_changes_no_stored_sample() -> None:
    x, y = images(32)
    kept = x.clone()
    learner(cnn(), (feed(x, y, shuffle=False), None), callbacks=[Mix("cutmix")], lr=0.0).fit(2)
    assert x.equal(kept)


@pytest.mark.parametrize("kind", ["mixup", "cutmix", "both"])
def test_draws_belong_to_the_batch(kind: Any) -> None:
    """Same batches for another number of workers and after an interruption, others in another epoch or with another seed."""

    def seen(workers: int = 0, epochs: int = 2, seed: int = 0, first: list[Any] | None = None, **fit: Any) -> list[tuple[Tensor, Tensor]]:
        watch = Batches()
        torch.rand(3)  # what was drawn elsewhere does not count
        ours = learner(cnn(), (pictures(workers=workers), None), callbacks=[Mix(kind), watch, *(first or [])], seed=seed)
        ours.fit(epochs, **fit)
        return watch.seen

    def same(one: list[Any], two: list[Any]) -> bool:
        return len(one) == len(two) and all(equal(a, b) for a, b in zip(one, two, strict=True))

    whole = seen()
    assert same(seen(workers=2), whole)
    state = interrupted(learner(cnn(), (pictures(), None), callbacks=[Mix(kind), Stop(4)]), 2)
    assert same(seen(state=state), whole[4:])
    assert not any(equal(a, b) for a, b in zip(seen(seed=1), whole, strict=True))
    _, y = whole[0]
    assert y.shape == (16, 2)
    torch.testing.assert_close(y.sum(1), torch.ones(16))
    epochs = [b[1].amax(1)[0] for b in whole]
    assert len({round(float(v), 6) for v in epochs}) > 3, "a new share each batch"


def test_both_are_drawn_about_as_often() -> None:
    watch = Batches()
    x, y = torch.zeros(800, 1, 8, 8), torch.arange(800) % 2
    x[y == 1] = 1.0
    learner(cnn(), (feed(x, y), None), callbacks=[Mix("both", alpha=1.0), watch]).fit(1)
    cut = sum(bool(((b == 0) | (b == 1)).all()) for b, _ in watch.seen)
    assert 15 <= cut <= 35, f"{cut} of 50 batches hold only whole pixels"


def test_shares_follow_their_distribution() -> None:
    """Beta(0.2, 0.2) has mean 1/2 and variance 1 / (4 (2 alpha + 1)); the share of batches left alone is 1 - p."""
    mix = Mix("mixup", 0.2)
    shares = np.array([mix._share(keyed_numbers("mix", 0, 0, i), 0.2) for i in range(4000)])
    assert shares.mean() == pytest.approx(0.5, abs=4 * (1 / (4 * 1.4) / 4000) ** 0.5)
    assert shares.var() == pytest.approx(1 / (4 * 1.4), rel=0.05)
    watch = Batches()
    learner(mlp(), (feed(*rows(1600), batch_size=8), None), callbacks=[Mix("mixup", 1.0, p=0.25), watch]).fit(1)
    mixed = sum(y.is_floating_point() for _, y in watch.seen)
    assert 30 <= mixed <= 70, f"{mixed} of 200"


def test_training_metrics_count_the_larger_share() -> None:
    """The model knows the class from the first number; at a share of 0.7 the mixture keeps the class of its own sample."""
    x, y = rows(64)
    model = nn.Linear(6, 2)
    data = (feed(x, y), feed(x, y, shuffle=False))
    ours = learner(model, data, callbacks=[Shared("mixup", 0.7)], metrics=["accuracy", "f1", "log_loss", "top_1"], lr=0.5)
    ours.fit(20)
    row = ours.history[-1]
    assert 0.75 < row["train_accuracy"] <= 1
    assert row["train_top_1"] == row["train_accuracy"]
    assert row["train_loss"] > row["train_log_loss"], "the loss sees the other share besides"
    assert row["valid_accuracy"] > 0.9


def test_numbers_and_categories_of_a_table() -> None:
    numbers, categories = torch.randn(2000, 3), torch.arange(2000)[:, None].expand(-1, 2).contiguous()
    draw = np.random.default_rng(0)
    partner = torch.from_numpy(draw.permutation(2000))
    mixed = mixup((numbers, categories), partner, 0.8, draw)
    torch.testing.assert_close(mixed[0], 0.8 * numbers + 0.2 * numbers[partner])
    own = mixed[1] == categories
    assert bool((own | (mixed[1] == categories[partner])).all())
    assert float(own.double().mean()) == pytest.approx(0.8, abs=0.03)
    x, _ = rows(40)
    watch = Batches()
    target = x[:, :1] * 2
    learner(
        nn.Linear(6, 1), (feed(x, target, shuffle=False), None), loss=F.mse_loss, metrics=["r2"], callbacks=[Shared("mixup", 0.6), watch]
    ).fit(1)
    torch.testing.assert_close(watch.seen[0][1], watch.seen[0][0][:, :1] * 2, msg="numbers are mixed as their inputs are")


def test_soft_targets_and_class_weights() -> None:
    """Rows of probabilities are mixed as they are; class weights apply to each share."""
    x, y = rows(32, dtype=torch.float64)
    soft = torch.rand(32, 2, dtype=torch.float64).softmax(1)
    watch = Batches()
    learner(mlp(dtype=torch.float64), (feed(x, soft, shuffle=False), None), callbacks=[Shared("mixup", 0.6), watch], lr=0.0).fit(1)
    partner = torch.from_numpy(keyed("mixup").permutation(16))
    torch.testing.assert_close(watch.seen[0][1], 0.6 * soft[:16] + 0.4 * soft[:16][partner])

    weight, losses, model = torch.tensor([0.5, 1.5], dtype=torch.float64), [], mlp(dtype=torch.float64)
    note = At("after_loss", lambda ours: losses.append(float(ours.batch_loss.detach())))
    loss = nn.CrossEntropyLoss(weight=weight)
    learner(model, (feed(x, y, batch_size=32, shuffle=False), None), loss=loss, callbacks=[Shared("mixup", 0.6), note], lr=0.0).fit(1)
    partner = torch.from_numpy(keyed("mixup").permutation(32))
    z = model(0.6 * x + 0.4 * x[partner])
    each = [F.cross_entropy(z, t, weight, reduction="none").mean() for t in (y, y[partner])]
    assert losses[0] == pytest.approx(float((0.6 * each[0] + 0.4 * each[1]).detach()), abs=1e-14)


def test_accumulated_mixed_batches_are_one_large_batch() -> None:
    """Uneven batches of soft targets weigh by their rows."""

    def soften(ours: Learner) -> None:
        if ours.batch % 2:
            ours.y = F.one_hot(ours.y, 2).double() * 0.8 + 0.1

    def train(half: bool) -> list[Tensor]:
        x, y = rows(24, dtype=torch.float64)
        soft = F.one_hot(y, 2).double()
        soft[16:] = soft[16:] * 0.8 + 0.1
        if not half:
            ours = learner(mlp(dtype=torch.float64), (feed(x, soft, batch_size=24, shuffle=False), None), lr=0.5)
        else:
            data = (feed(x, y, batch_size=16, shuffle=False), None)
            ours = learner(mlp(dtype=torch.float64), data, lr=0.5, accumulate=2, callbacks=[At("before_batch", soften)])
        ours.fit(1)
        return weights(ours.model)

    torch.testing.assert_close(train(True), train(False), rtol=0, atol=1e-12)


def nll(output: Tensor, target: Tensor) -> Tensor:
    return F.nll_loss(output.log_softmax(1), target)


class Tokens(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(9, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.table(x).mean(1)


REFUSED: dict[str, tuple[Any, str]] = {
    "a loss of class numbers": (lambda: learner(loss=F.nll_loss, callbacks=[Mix()]), "loss nll_loss is not known to take"),
    "a loss of one's own": (lambda: learner(loss=nll, callbacks=[Mix()]), "loss nll is not known to take"),
    "cutmix of rows": (lambda: learner(callbacks=[Mix("cutmix")]), "a sample here is 6"),
    "texts": (lambda: learner(Tokens(), (feed(torch.randint(9, (32, 5)), torch.arange(32) % 2), None), callbacks=[Mix()]), "torch.int64"),
    "a label a pixel": (
        lambda: learner(nn.Conv2d(1, 2, 1), (feed(images(32)[0], torch.zeros(32, 8, 8).long()), None), callbacks=[Mix()]),
        "One label a sample",
    ),
    "labels left out": (
        lambda: learner(data=(feed(rows()[0], rows()[1].index_fill(0, torch.tensor([3]), -100)), None), callbacks=[Mix()]),
        "-100",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    make, said = REFUSED[case]
    ours = make()
    before = weights(ours.model)
    with pytest.raises((UsageError, DataError)) as error:
        ours.fit(1)
    assert said in str(error.value)
    assert error.value.fix
    assert equal(before, weights(ours.model))


@pytest.mark.parametrize("wrong", [{"kind": "mix"}, {"alpha": 0.0}, {"alpha": float("nan")}, {"p": 1.5}])
def test_wrong_arguments(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as error:
        Mix(**wrong)
    assert error.value.code == "E202"


def test_bf16_and_the_tape() -> None:
    half = learner(cnn(), (pictures(), pictures(16, shuffle=False)), precision="bf16", callbacks=[Mix("both")])
    half.fit(1)
    x, y = rows(32, dtype=torch.float64)
    data = (feed(x, y, shuffle=False), None)
    ours, torchs = (learner(mlp(dtype=torch.float64), data, tape=t, callbacks=[Mix()]) for t in (rungbook.Tape(), None))
    ours.fit(2)
    torchs.fit(2)
    torch.testing.assert_close(weights(ours.model), weights(torchs.model), rtol=0, atol=1e-12)
