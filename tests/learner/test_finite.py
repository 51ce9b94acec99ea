"""From the first number that is not finite on nothing moves, it is noticed and named, and what is kept is finite.

The control is the loop without the guard: there the weights go bad.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from kit import At, equal, feed, learner, rows, weights
from torch import Tensor, nn

from rungbook.errors import NotFinite
from rungbook.learner import finite as finite_module
from rungbook.learner.callback import Callback
from rungbook.learner.callbacks import EMA, Checkpoints
from rungbook.learner.checkpoint import newest
from rungbook.learner.finite import FiniteGuard
from rungbook.learner.learner import Learner
from rungbook.learner.pack import finite

BATCHES = 60
STEPS = {1: BATCHES, 3: BATCHES // 3}
"""Optimiser steps of an epoch, by accumulation."""


def network(dtype: torch.dtype = torch.float32) -> nn.Module:
    """With batch norm, whose buffers a bad input poisons before any loss is known."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 2)).to(dtype)


def make(make_optimizer: Any, accumulate: int, callbacks: list[Callback], dtype: torch.dtype = torch.float32) -> Learner:
    x, y = rows(4 * BATCHES, dtype=dtype)
    data = (feed(x, y, batch_size=4), None)
    return learner(network(dtype), data, optimizer=make_optimizer, lr=0.01, accumulate=accumulate, callbacks=callbacks)


def poison_data(bad: float) -> tuple[str, Callable[[Learner], None]]:
    def act(learner: Learner) -> None:
        learner.x = learner.x.clone()
        learner.x[1, 2] = bad

    return "before_batch", act


def poison_loss(bad: float) -> tuple[str, Callable[[Learner], None]]:
    def act(learner: Learner) -> None:
        learner.batch_loss = learner.batch_loss + bad  # the gradient stays finite

    return "after_loss", act


def poison_gradient(bad: float) -> tuple[str, Callable[[Learner], None]]:
    def act(learner: Learner) -> None:
        learner.params[0].grad[3, 1] = bad

    return "after_backward", act


def poison_weight(bad: float) -> tuple[str, Callable[[Learner], None]]:
    def act(learner: Learner) -> None:
        learner.params[0].data[3, 1] = bad

    return "before_batch", act


POISONS = {"data": poison_data, "loss": poison_loss, "gradient": poison_gradient, "weight": poison_weight}
OPTIMIZERS: dict[str, Any] = {
    "sgd": torch.optim.SGD,
    "momentum": lambda params, lr: torch.optim.SGD(params, lr=lr, momentum=0.9, fused=True),
    "adam": torch.optim.Adam,
    "rmsprop, not fused": torch.optim.RMSprop,
}


def fails(ours: Learner, epochs: int = 1) -> NotFinite:
    with pytest.raises(NotFinite, match="E501") as caught:
        ours.fit(epochs)
    return caught.value


def steps_named(error: NotFinite) -> tuple[int, int]:
    """The bad step and the step whose weights are kept, as the message has them."""
    found = re.search(r"(?:at|and) step (\d+) of \d+; .* weights of step (\d+) are", error.message)
    assert found, error.message
    return int(found[1]), int(found[2])


def inject(what: str, bad: float, step: int, optimizer: str, accumulate: int, good: dict[int, list[Tensor]], folder: Path) -> None:
    """One training with a bad number in one step, against the weights `good` of each step of an unharmed one."""
    event, act = POISONS[what](bad)
    after: list[int] = []
    watch = [At(event, act, step), At("after_step", lambda le: after.append(le.step)), Checkpoints(folder, seconds=0)]
    ours = make(OPTIMIZERS[optimizer], accumulate, watch)
    named, kept = steps_named(fails(ours))
    assert named == step + 1
    assert after[-1] - step <= 50, "noticed within 50 steps"
    assert kept == (step // 50 * 50 if what == "weight" else step)
    names = [n for n, _ in ours.model.named_parameters()]
    expected = dict(zip(ours.model.state_dict(), good[kept], strict=True))
    assert equal([p.detach() for p in ours.params], [expected[n] for n in names]), f"the weights are those of step {kept}"
    assert all(bool(t.isfinite().all()) for t in weights(ours.model)), "buffers too"
    saved = newest(folder)
    assert (saved is None) == (step < 50)
    assert saved is None or (finite(saved.state) and saved.state["position"]["step"] == 50)


def unharmed(optimizer: str, accumulate: int) -> dict[int, list[Tensor]]:
    """The weights after each step."""
    good: dict[int, list[Tensor]] = {}
    ours = make(OPTIMIZERS[optimizer], accumulate, [At("after_step", lambda le: good.update({le.step: weights(le.model)}))])
    good[0] = weights(ours.model)
    ours.fit(1)
    return good


@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_no_update_from_the_first_bad_step_on(optimizer: str, accumulate: int, tmp_path: Path) -> None:
    good = unharmed(optimizer, accumulate)
    for what in POISONS:
        for step, bad in zip((0, 1, 17, STEPS[accumulate] - 1), (math.nan, math.inf, -math.inf, math.nan), strict=True):
            inject(what, bad, step, optimizer, accumulate, good, tmp_path / f"{what}{step}")


@pytest.mark.soak
@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_no_update_from_any_bad_step_on(optimizer: str, accumulate: int, tmp_path: Path) -> None:
    good = unharmed(optimizer, accumulate)
    for what in POISONS:
        for step in range(STEPS[accumulate]):
            for bad in (math.nan, math.inf, -math.inf):
                inject(what, bad, step, optimizer, accumulate, good, tmp_path / f"{what}{step}{bad}")


@pytest.mark.parametrize("what", POISONS)
def test_control_without_the_guard_the_weights_go_bad(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FiniteGuard, "look", lambda self, tensors: None)
    monkeypatch.setattr(FiniteGuard, "first_bad", lambda self: None)
    event, act = POISONS[what](math.nan)
    ours = make(torch.optim.Adam, 1, [At(event, act, 17)])
    ours.fit(1)
    went_bad = not all(bool(t.isfinite().all()) for t in weights(ours.model))
    assert went_bad == (what != "loss")
    assert what != "loss" or not math.isfinite(ours.history[0]["train_loss"]), "a bad loss alone is only seen in the epoch's mean"


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "rmsprop, not fused"])
@pytest.mark.parametrize("what", POISONS)
def test_in_float64(what: str, optimizer: str) -> None:
    event, act = POISONS[what](math.inf)
    ours = make(OPTIMIZERS[optimizer], 1, [At(event, act, 17)], torch.float64)
    assert steps_named(fails(ours))[0] == 18
    assert all(bool(t.isfinite().all()) for t in weights(ours.model))


def test_weights_that_no_loss_shows(tmp_path: Path) -> None:
    """Behind a dead unit a weight can be infinite, and loss and gradients stay finite: seen at the report all the same."""

    def kill(learner: Learner) -> None:
        with torch.no_grad():
            learner.params[0][0] = 0
            learner.params[1][0] = -math.inf  # ReLU makes 0 of it, and passes no gradient on

    def make_dead(callbacks: list[Callback]) -> Learner:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2))
        return learner(model, (feed(*rows(240), batch_size=4), None), lr=0.01, callbacks=callbacks)

    dead = make_dead([At("before_batch", kill, 17), Checkpoints(tmp_path, seconds=0)])
    error = fails(dead)
    assert "A weight stopped being finite between step 0 and step 50" in error.message
    assert "weights of step 0 are put back" in error.message
    assert math.isfinite(dead.tally.last_loss), "control: the loss showed nothing"
    assert equal(weights(dead.model), weights(make_dead([]).model))
    assert newest(tmp_path) is None


def test_an_update_that_overflows_in_the_last_step() -> None:
    def blow(learner: Learner) -> None:
        learner.params[0].grad.fill_(1e38)
        learner.optimizer.param_groups[0]["lr"] = 1e38

    ours = make(torch.optim.SGD, 1, [At("after_backward", blow, STEPS[1] - 1)])
    assert steps_named(fails(ours)) == (STEPS[1], 50)
    assert all(bool(t.isfinite().all()) for t in weights(ours.model))


def test_what_begins_infinite_may_stay_so() -> None:
    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.linear = nn.Linear(6, 3)
            self.register_buffer("mask", torch.tensor([0.0, 0.0, -math.inf]))
            self.register_buffer("one", torch.ones(1).expand(3))

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(x) * self.one + self.mask

    ours = learner(Masked(), lr=0.05)
    ours.fit(2)
    assert ours.history[-1]["train_loss"] < ours.history[0]["train_loss"]
    ours.callbacks = [At("before_batch", poison_data(math.nan)[1], 3)]
    fails(ours)
    assert ours.model.mask.tolist() == [0.0, 0.0, -math.inf]


def test_training_goes_on_after_the_cause_is_gone() -> None:
    """The optimiser is as it was: torch's fused kernel makes room for a momentum before it skips the step."""
    for optimizer in ("momentum", "adam"):
        ours = make(OPTIMIZERS[optimizer], 1, [At("before_batch", poison_data(math.nan)[1], 0)])
        fails(ours)
        ours.callbacks = []
        ours.fit(1)
        fresh = make(OPTIMIZERS[optimizer], 1, [])
        fresh.fit(1)
        a, b = ([p.detach() for p in le.params] for le in (ours, fresh))
        assert equal(a, b), optimizer


def test_with_an_average_and_a_schedule() -> None:
    x, y = rows(240)
    ours = learner(network(), (feed(x, y, batch_size=4), feed(x, y, shuffle=False)), callbacks=[EMA(0.9)], optimizer=torch.optim.Adam)
    ours.callbacks.append(At("before_batch", poison_data(math.nan)[1], 77))
    with pytest.raises(NotFinite):
        ours.fit(2, "one_cycle")
    assert all(bool(t.isfinite().all()) for t in weights(ours.model))
    assert len(ours.history) == 1
    assert finite(ours.history)


def test_the_message_tells_what_to_do() -> None:
    ours = make(torch.optim.SGD, 1, [At("before_batch", poison_data(math.nan)[1], 2)])
    error = fails(ours)
    assert "at step 3 of 60; no update was made from then on, the weights of step 2 are kept" in error.message
    assert "running averages those of step 0" in error.message
    assert "lr=0.001" in error.fix


def test_bits_of_good_numbers_stay() -> None:
    """The kernel multiplies by one; it must not touch a gradient, a zero's sign or a denormal number."""
    values = torch.tensor([1e-45, -0.0, 3.3e38, 1 / 3, -1e-30])
    tensors = [values.clone(), values.double(), values.bfloat16()]
    before = [t.clone() for t in tensors]
    found = torch.zeros(())
    finite_module._look(tensors, found, torch.ones(()))
    assert found == 0
    assert equal(tensors, before)


def test_one_wait_for_the_device_a_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two reports nothing asks the device for a number: counted through `Tensor.item` and its relatives."""
    asked: list[str] = []
    during: list[int] = []
    for name in ("item", "tolist", "__bool__", "__float__", "__int__"):
        original = getattr(Tensor, name)
        monkeypatch.setattr(Tensor, name, lambda self, o=original, n=name: (asked.append(n), o(self))[1])
    marks = [At("before_batch", lambda le: asked.clear()), At("after_step", lambda le: during.append(len(asked)))]
    ours = make(torch.optim.Adam, 1, marks)
    ours.clip, ours.loss = 1.0, F.cross_entropy
    ours.fit(1)
    assert during == [0] * BATCHES
    slow = make(torch.optim.RMSprop, 1, marks)
    during.clear()
    slow.fit(1)
    assert during == [1] * BATCHES, "control: an optimiser without a fused form waits each step, and that is counted"
