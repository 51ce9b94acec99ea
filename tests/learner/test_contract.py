"""check_callback: our own callbacks keep the contract, and each way to break it is refused by name."""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from kit import feed, images
from kit import learner as make_learner
from rich.console import Console
from torch import nn

import rungbook
from rungbook.learner.callback import Callback
from rungbook.learner.callbacks import (
    EMA,
    SAM,
    SWA,
    ActivationStats,
    Checkpoints,
    ClipAdaptive,
    ClipValue,
    EarlyStopping,
    KeepBest,
    Lookahead,
    Mix,
    Progress,
    Recorder,
    Resizing,
    StopOnSignal,
)
from rungbook.learner.contract import ContractBroken, check_callback
from rungbook.learner.learner import Learner

OURS: dict[str, Callable[[Path], Callback]] = {
    "recorder in memory": lambda folder: Recorder(),
    "recorder": Recorder,
    "checkpoints": lambda folder: Checkpoints(folder, seconds=0),
    "keep best": lambda folder: KeepBest(),
    "keep best of accuracy": lambda folder: KeepBest("valid_accuracy"),
    "early stopping": lambda folder: EarlyStopping(patience=0),
    "average": lambda folder: EMA(0.9),
    "average of the last epochs": lambda folder: SWA(0.6),
    "lookahead": lambda folder: Lookahead(3),
    "sharpness": lambda folder: SAM(0.1),
    "clip by value": lambda folder: ClipValue(0.01),
    "clip by unit": lambda folder: ClipAdaptive(0.01),
    "progress": lambda folder: Progress(Console(file=io.StringIO(), force_terminal=True)),
    "progress without terminal": lambda folder: Progress(Console(file=io.StringIO())),
    "stop on signal": lambda folder: StopOnSignal(),
    "mixup": lambda folder: Mix("mixup"),
    "mixup or cutmix": lambda folder: Mix("both"),
    "activations watched": lambda folder: ActivationStats(bins=8, rows=4),
    "images that grow": lambda folder: Resizing((5,)),
}


def on_images(callbacks: Any) -> Learner:
    """What callbacks for images are tried on."""
    layers = [nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.3)]
    torch.manual_seed(0)
    data = (feed(*images(40)), feed(*images(16, seed=1), shuffle=False))
    return make_learner(nn.Sequential(*layers, nn.Linear(4, 2)), data, optimizer=torch.optim.Adam, callbacks=callbacks)


ON_IMAGES = ("mixup or cutmix", "images that grow")


@pytest.mark.parametrize("name", OURS)
def test_our_callbacks_keep_the_contract(name: str, tmp_path: Path) -> None:
    check_callback(lambda: OURS[name](tmp_path), on_images if name in ON_IMAGES else None)


def test_every_callback_of_ours_is_checked(tmp_path: Path) -> None:
    from rungbook.learner import callbacks

    assert {type(make(tmp_path)).__name__ for make in OURS.values()} == set(callbacks.__all__)


def test_it_is_public_and_takes_a_learner_of_ones_own() -> None:
    made: list[Learner] = []

    def own(callbacks: Any) -> Learner:
        made.append(make_learner(callbacks=callbacks, accumulate=2))
        return made[-1]

    rungbook.check_callback(Recorder, own)
    assert len(made) > 10


class Innocent(Callback):
    """Listens to nothing: the base of what follows."""


class DrawsFromTorch(Innocent):
    def after_step(self, learner: Learner) -> None:
        torch.rand(1)


class DrawsFromPython(Innocent):
    def after_report(self, learner: Learner) -> None:
        random.random()


class DrawsFromNumpy(Innocent):
    def before_validate(self, learner: Learner) -> None:
        np.random.rand()


class ChangesWeight(Innocent):
    def after_epoch(self, learner: Learner) -> None:
        with torch.no_grad():
            learner.params[0].view(-1)[0] += 1e-6


class ChangesLoss(Innocent):
    def after_loss(self, learner: Learner) -> None:
        learner.batch_loss = learner.batch_loss * 1.01


class ChangesInput(Innocent):
    def before_batch(self, learner: Learner) -> None:
        learner.x = learner.x + 1e-3


class ChangesRate(Innocent):
    def before_epoch(self, learner: Learner) -> None:
        learner.optimizer.param_groups[0]["decay"] = 0.1


class LeavesEvaluation(Innocent):
    def after_validate(self, learner: Learner) -> None:
        learner.model.eval()


class Freezes(Innocent):
    def after_epoch(self, learner: Learner) -> None:
        learner.params[0].requires_grad_(False)


class StopsUndeclared(Innocent):
    def after_step(self, learner: Learner) -> None:
        if learner.step == 2:
            learner.request_stop()


class EndsUndeclared(Innocent):
    def after_epoch(self, learner: Learner) -> None:
        learner.stop = True


class ChangesRow(Innocent):
    def after_epoch(self, learner: Learner) -> None:
        learner.row["train_loss"] = 0.0


class FailsOnFailure(Innocent):
    def on_failure(self, learner: Learner) -> None:
        raise KeyError("bar")


class FailsOnStop(Innocent):
    def on_interrupt(self, learner: Learner) -> None:
        raise ValueError("no bar")


class FailsWhenContinued(Innocent):
    def load_state_dict(self, state: dict[str, Any]) -> None:
        raise KeyError("version")


class Forgets(Innocent):
    """Makes the loss grow with the steps it has seen, and does not save how many those were."""

    changes_training = True

    def __init__(self) -> None:
        self.seen = 0

    def after_loss(self, learner: Learner) -> None:
        self.seen += 1
        learner.batch_loss = learner.batch_loss * (1 + 0.1 * self.seen)


class Remembers(Forgets):
    def state_dict(self) -> dict[str, Any]:
        return {"seen": self.seen}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.seen = state["seen"]


class ForgetsItsOwn(Innocent):
    """Counts and says so, but begins to count again."""

    def __init__(self) -> None:
        self.seen = 0

    def after_step(self, learner: Learner) -> None:
        self.seen += 1

    def state_dict(self) -> dict[str, Any]:
        return {"seen": self.seen}


class SavesAnObject(Innocent):
    def state_dict(self) -> dict[str, Any]:
        return {"what": {1, 2}}


class ByChance(Innocent):
    changes_training = True
    chance = random.Random(0)

    def after_loss(self, learner: Learner) -> None:
        learner.batch_loss = learner.batch_loss * (1 + self.chance.random())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (DrawsFromTorch, "after step 1.*random numbers differ.*generator of its own"),
        (DrawsFromPython, "random numbers differ"),
        (DrawsFromNumpy, "random numbers differ"),
        (ChangesWeight, "after step 5, in after_epoch: the weights differ.*changes_training"),
        (ChangesLoss, "after step 1, in after_step: the weights differ|after step 1, in after_step: the optimizer's state differ"),
        (ChangesInput, "after step 1"),
        (ChangesRate, "optimizer's settings differ"),
        (LeavesEvaluation, "modes of the model's parts differ"),
        (Freezes, "which weights are trained differ"),
        (StopsUndeclared, "interrupted instead of finished"),
        (EndsUndeclared, "instead of|Declare changes_training"),
        (ChangesRow, "changed train_loss in a row of the history"),
        (FailsOnFailure, "KeyError in on_failure"),
        (FailsOnStop, "ValueError in on_interrupt: no bar"),
        (FailsWhenContinued, "KeyError.*version"),
        (Forgets, "stopped after step 1 and continued, the weights .*Save in state_dict"),
        (ForgetsItsOwn, "its own state differ"),
        (SavesAnObject, "callbacks.SavesAnObject.what is a set"),
        (ByChance, "differ between two trainings alike"),
    ],
)
def test_a_broken_promise_is_named(wrong: type[Callback], message: str) -> None:
    with pytest.raises(ContractBroken, match=message) as caught:
        check_callback(wrong)
    assert str(caught.value).startswith(f"{wrong.__name__}: ")


def test_declared_or_harmless_ones_pass() -> None:
    for right in (Innocent, Remembers):
        check_callback(right)


def test_what_is_no_callback_and_what_is_made_once() -> None:
    with pytest.raises(ContractBroken, match="is no Callback"):
        check_callback(dict)  # type: ignore[arg-type]
    one = Innocent()
    with pytest.raises(ContractBroken, match="same object twice"):
        check_callback(lambda: one)


def test_the_check_leaves_the_random_numbers_alone() -> None:
    before = torch.get_rng_state(), random.getstate()
    check_callback(Innocent)
    assert before[0].equal(torch.get_rng_state())
    assert before[1] == random.getstate()
