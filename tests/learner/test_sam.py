"""SAM is its paper's algorithm; the second look at a batch leaves no trace but the gradient."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from kit import At, Stop, cnn, equal, feed, images, interrupted, learner, mlp, rows, weights
from torch import Tensor, nn

from rungbook.errors import UsageError
from rungbook.learner.callback import Callback
from rungbook.learner.callbacks import SAM
from rungbook.learner.learner import Learner

DOUBLE = torch.float64
SGD = partial(torch.optim.SGD, momentum=0.9)


def by_hand(model: nn.Module, batches: list[tuple[Tensor, Tensor]], rho: float, clip: float | None = None) -> None:
    """Algorithm 1 of Foret et al. (2021), weight by weight."""
    optimizer = SGD(model.parameters(), lr=0.1)
    for x, y in batches:
        params = list(model.parameters())
        gradients = torch.autograd.grad(F.cross_entropy(model(x), y), params)
        length = sum(float((g * g).sum()) for g in gradients) ** 0.5
        moves = [rho * g / length for g in gradients]
        for p, e in zip(params, moves, strict=True):
            p.data += e
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        for p, e in zip(params, moves, strict=True):
            p.data -= e
        if clip is not None:
            nn.utils.clip_grad_norm_(params, clip)
        optimizer.step()


def trained(model: nn.Module, data: Any, more: list[Callback], **options: Any) -> Learner:
    return learner(model, (data, None), optimizer=SGD, lr=0.1, callbacks=more, **options).fit(2)


@pytest.mark.parametrize("rho", [0.05, 0.5])
@pytest.mark.parametrize("clip", [None, 0.3])
def test_it_is_its_algorithm(rho: float, clip: float | None) -> None:
    data = feed(*rows(dtype=DOUBLE), shuffle=False)
    ours = trained(mlp(dtype=DOUBLE), data, [SAM(rho)], clip=clip)
    expected, bare = mlp(dtype=DOUBLE), mlp(dtype=DOUBLE)
    by_hand(expected, list(data.batches()) * 2, rho, clip)
    for mine, other in zip(ours.params, expected.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-9, atol=1e-11)
    trained(bare, data, [], clip=clip)
    largest = max((a - b).abs().max().item() for a, b in zip(bare.parameters(), expected.parameters(), strict=True))
    assert largest > 1e-4, "a control: without it training goes elsewhere"


class Statistics(Callback):
    """Running mean and variance after each step, and the weights before."""

    def __init__(self) -> None:
        self.seen: list[list[Tensor]] = []

    def after_step(self, learner: Learner) -> None:
        self.seen.append([b.clone() for b in learner.model.buffers()])


def test_the_second_pass_moves_no_running_statistic() -> None:
    """At rate 0 weights stay, so statistics must be those of a training without SAM; the control looks twice and counts twice."""
    data = feed(*images(40), batch_size=8)
    one, two = Statistics(), Statistics()
    learner(cnn(), (data, None), lr=0.0, callbacks=[one]).fit(1)
    learner(cnn(), (data, None), lr=0.0, callbacks=[SAM(0.5), two]).fit(1)
    assert all(equal(a, b) for a, b in zip(one.seen, two.seen, strict=True))
    naive = learner(cnn(), (data, None), lr=0.0, callbacks=[At("after_backward", lambda le: le.run_batch())])
    naive.fit(1)
    assert int(naive.model[1].num_batches_tracked) == 2 * int(one.seen[-1][2])
    assert not torch.allclose(naive.model[1].running_var, one.seen[-1][1])


class Masks(nn.Module):
    """Notes which of its inputs a dropout left."""

    def __init__(self) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.5)
        self.kept: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        out = self.dropout(x)
        if self.training:
            self.kept.append(out.detach() != 0)
        return out


def test_both_passes_drop_the_same_and_the_next_batch_drops_as_without() -> None:
    def net() -> nn.Sequential:
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(6, 8), Masks(), nn.Linear(8, 2))

    with_sam, without = net(), net()
    data = feed(*rows(48))
    learner(with_sam, (data, None), lr=0.0, callbacks=[SAM(0.05)]).fit(1)
    learner(without, (data, None), lr=0.0).fit(1)
    kept = with_sam[1].kept
    assert equal(kept[0::2], kept[1::2])
    assert equal(kept[0::2], without[1].kept)
    assert not equal(kept[0:2], kept[2:4])


def test_a_loss_that_a_callback_replaces_counts_in_both_passes() -> None:
    def pull(le: Learner) -> None:
        le.batch_loss = le.batch_loss + sum((p * p).sum() for p in le.params)

    def pulled(output: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(output, target) + sum((p * p).sum() for p in within.parameters())

    data = feed(*rows(dtype=DOUBLE), shuffle=False)
    within = mlp(dtype=DOUBLE)
    by_callback = trained(mlp(dtype=DOUBLE), data, [SAM(0.1), At("after_loss", pull)])
    by_loss = trained(within, data, [SAM(0.1)], loss=pulled)
    for a, b in zip(by_callback.params, by_loss.params, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def test_losses_and_metrics_are_those_of_the_weights_themselves() -> None:
    data = feed(*rows(dtype=DOUBLE))
    bare = learner(mlp(dtype=DOUBLE), (data, None), lr=0.0).fit(1)
    ours = learner(mlp(dtype=DOUBLE), (data, None), lr=0.0, callbacks=[SAM(2.0)]).fit(1)
    assert bare.history == ours.history


def test_continues_exactly() -> None:
    def make(*more: Callback) -> Learner:
        data = (feed(*images(40), batch_size=8), feed(*images(16, seed=1), shuffle=False))
        return learner(cnn(), data, optimizer=torch.optim.Adam, lr=0.01, callbacks=[SAM(0.05), *more])

    whole = make().fit(2, "one_cycle")
    for step in (1, 5, 7):
        done = make().fit(2, "one_cycle", state=interrupted(make(Stop(step)), 2, "one_cycle"))
        assert equal(weights(whole.model), weights(done.model)), step


def test_what_it_cannot_do_is_refused() -> None:
    with pytest.raises(UsageError, match=r"E202.*accumulate=2") as error:
        learner(callbacks=[SAM()], accumulate=2).fit(1)
    assert error.value.fix == "accumulate=1"
    with pytest.raises(ValueError, match="rho is 0"):
        SAM(0)
