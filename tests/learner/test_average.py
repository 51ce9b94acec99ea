"""Averages of weights are torch's: EMA, SWA with its batch norm statistics; Lookahead is its algorithm; each is judged and kept."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from kit import Stop, cnn, equal, feed, images, interrupted, learner, mlp, rows, weights
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, update_bn

from rungbook.errors import UsageError
from rungbook.learner.callback import Callback
from rungbook.learner.callbacks import EMA, SWA, EarlyStopping, KeepBest, Lookahead
from rungbook.learner.callbacks.swa import first_epoch
from rungbook.learner.learner import Learner

DOUBLE = torch.float64
SGD = partial(torch.optim.SGD, momentum=0.9)


class Watch(Callback):
    """Keeps a copy of the weights as they are trained, and calls torch's average as its documentation says."""

    order = 1000

    def __init__(self, average: Any = None, event: str = "after_step", first: int = 0) -> None:
        self.average, self.event, self.first = average, event, first

    def after_step(self, learner: Learner) -> None:
        if self.event == "after_step":
            self.average.update_parameters(learner.model)

    def before_validate(self, learner: Learner) -> None:
        if self.event == "epoch" and learner.epoch + 1 >= self.first:
            self.average.update_parameters(learner.model)


class Before(Watch):
    """The same, before others put their weights in."""

    order = -1000


def normed(dtype: torch.dtype = DOUBLE) -> nn.Module:
    """Linear layers and batch norm."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2)).to(dtype)


def plain(seed: int = 1) -> Any:
    return feed(*rows(24, seed=seed, dtype=DOUBLE), shuffle=False)


@pytest.mark.parametrize("decay", [0.05, 0.9])
def test_ema_is_torchs(decay: float) -> None:
    """Torch has no slow start: past the steps where ours is in force (decay small), or with it switched off by hand, both are equal."""
    model = mlp(dtype=DOUBLE)
    theirs = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay))
    theirs.update_parameters(model)  # torch's first call copies
    ours = EMA(decay)
    if decay > 0.1:
        ours.after_step = lambda le: torch._foreach_lerp_(ours.average, ours._weights, 1 - decay)  # type: ignore[method-assign]
    trained = learner(model, (feed(*rows(dtype=DOUBLE)), None), callbacks=[Watch(theirs), ours], lr=0.1)
    trained.fit(3)
    for mine, other in zip(trained.model.parameters(), theirs.module.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("epochs", "share"), [(4, 0.25), (5, 0.6), (6, 0.5)])
def test_swa_is_torchs_with_its_statistics(epochs: int, share: float) -> None:
    model = normed()
    theirs = AveragedModel(model)
    first = first_epoch(epochs, share)
    data = feed(*rows(dtype=DOUBLE), shuffle=False)
    trained = learner(model, (data, plain()), optimizer=SGD, lr=0.1, callbacks=[Before(theirs, "epoch", first), SWA(share)])
    trained.fit(epochs)
    assert int(theirs.n_averaged) == epochs - first + 1 >= 2
    update_bn(data.batches(), theirs)
    for mine, other in zip(trained.model.state_dict().values(), theirs.module.state_dict().values(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-10, atol=1e-12)
    assert trained.model[1].momentum == 0.1
    judged = trained.history[-1]["valid_loss"]
    theirs.eval()
    x, y = rows(24, seed=1, dtype=DOUBLE)
    assert judged == pytest.approx(F.cross_entropy(theirs(x), y).item(), rel=1e-10), "the mean is what the last row judges"


def test_statistics_are_taken_anew() -> None:
    """The control: those of the last weights do not fit the mean."""
    last = learner(normed(), (feed(*rows(dtype=DOUBLE)), None), optimizer=SGD, lr=0.5)
    last.fit(4)
    mean = learner(normed(), (feed(*rows(dtype=DOUBLE)), None), optimizer=SGD, lr=0.5, callbacks=[SWA(0.75)])
    mean.fit(4)
    assert not torch.allclose(mean.model[1].running_mean, last.model[1].running_mean, atol=1e-3)
    x = rows(dtype=DOUBLE)[0]
    inside = mean.model[0](x)
    size = len(x) / 16
    assert size == 5
    torch.testing.assert_close(mean.model[1].running_mean, inside.mean(0), rtol=1e-10, atol=1e-12)


def test_without_a_valid_split_and_after_an_early_stop() -> None:
    with_split = learner(normed(), (feed(*rows(dtype=DOUBLE)), plain()), lr=0.1, callbacks=[SWA(0.5)])
    without = learner(normed(), (feed(*rows(dtype=DOUBLE)), None), lr=0.1, callbacks=[SWA(0.5)])
    assert equal(weights(with_split.fit(4).model), weights(without.fit(4).model))
    swa = SWA(0.9)
    stopped = learner(normed(), (feed(*rows(dtype=DOUBLE)), plain()), lr=0.0, callbacks=[swa, EarlyStopping(patience=1)])
    stopped.fit(10)
    assert 2 <= swa.count == stopped.epoch < 10
    assert swa.state_dict()["swapped"], "what there was of the mean is in"


def test_a_frozen_batch_norm_keeps_its_statistics() -> None:
    model = normed()
    model.train()
    model[1].eval()
    kept = model[1].running_mean.clone()
    learner(model, (feed(*rows(dtype=DOUBLE)), None), lr=0.1, callbacks=[SWA(0.5)]).fit(4)
    assert model[1].running_mean.equal(kept)


def test_shares() -> None:
    assert [first_epoch(4, share) for share in (0.1, 0.25, 0.5, 0.99)] == [4, 3, 2, 1]
    assert first_epoch(10, 0.3) == 7
    short = learner(mlp(), (feed(*rows()), None), callbacks=[SWA(0.1)]).fit(3)
    assert equal(weights(short.model), weights(learner(mlp(), (feed(*rows()), None)).fit(3).model))
    for share in (0.0, 1.0, -1.0):
        with pytest.raises(ValueError, match="share"):
            SWA(share)


def lookahead_by_hand(model: nn.Module, batches: list[tuple[Tensor, Tensor]], k: int, alpha: float) -> list[Tensor]:
    """Algorithm 1 of Zhang et al. (2019): gives the slow weights."""
    optimizer = SGD(model.parameters(), lr=0.1)
    slow = [p.detach().clone() for p in model.parameters()]
    for t, (x, y) in enumerate(batches, 1):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
        if t % k == 0:
            for s, p in zip(slow, model.parameters(), strict=True):
                s += alpha * (p.detach() - s)
                p.data.copy_(s)
    return slow


@pytest.mark.parametrize(("k", "alpha"), [(5, 0.5), (3, 0.8), (1, 1.0)])
def test_lookahead_is_its_algorithm(k: int, alpha: float) -> None:
    data = feed(*rows(dtype=DOUBLE), shuffle=False)
    trained = learner(mlp(dtype=DOUBLE), (data, None), optimizer=SGD, lr=0.1, callbacks=[Lookahead(k, alpha)])
    trained.fit(3)
    expected = lookahead_by_hand(mlp(dtype=DOUBLE), list(data.batches()) * 3, k, alpha)
    for mine, other in zip(trained.params, expected, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-10, atol=1e-12)


def test_lookahead_of_every_step_all_the_way_is_none() -> None:
    data = feed(*rows(dtype=DOUBLE), shuffle=False)
    bare = learner(mlp(dtype=DOUBLE), (data, None), optimizer=SGD, lr=0.1)
    same = learner(mlp(dtype=DOUBLE), (data, None), optimizer=SGD, lr=0.1, callbacks=[Lookahead(1, 1.0)])
    other = learner(mlp(dtype=DOUBLE), (data, None), optimizer=SGD, lr=0.1, callbacks=[Lookahead(5, 0.5)])
    ends = [weights(one.fit(2).model) for one in (bare, same, other)]
    assert equal(ends[0], ends[1])
    assert not equal(ends[0], ends[2])


MAKE: dict[str, Any] = {"ema": lambda: EMA(0.9), "swa": lambda: SWA(0.5), "lookahead": lambda: Lookahead(3)}


@pytest.mark.parametrize("name", MAKE)
def test_continues_exactly(name: str) -> None:
    def make(*more: Callback) -> Learner:
        data = (feed(*images(40), batch_size=8), feed(*images(16, seed=1), shuffle=False))
        return learner(cnn(), data, optimizer=torch.optim.Adam, lr=0.01, callbacks=[MAKE[name](), KeepBest(), *more])

    whole = make().fit(4, "cosine")
    for step in (3, 10, 11, 16, 20):
        done = make().fit(4, "cosine", state=interrupted(make(Stop(step)), 4, "cosine"))
        assert equal(weights(whole.model), weights(done.model)), step
        assert whole.history == done.history


def test_two_averages_at_once_are_refused() -> None:
    with pytest.raises(UsageError, match=r"E202.*EMA and SWA|E202.*SWA and EMA"):
        learner(callbacks=[EMA(0.9), SWA(0.5)]).fit(2)


@pytest.mark.parametrize(("k", "alpha"), [(0, 0.5), (2.5, 0.5), (True, 0.5), (5, 0.0), (5, 1.5)])
def test_bad_arguments_are_named(k: Any, alpha: float) -> None:
    with pytest.raises(ValueError, match=r"k is|alpha is"):
        Lookahead(k, alpha)
