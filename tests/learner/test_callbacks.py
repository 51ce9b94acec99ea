"""What the callbacks are for: best weights at the end, stopping in time, signals obeyed, lines printed and written."""

from __future__ import annotations

import io
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from kit import At, equal, feed, learner, mlp, rows, weights
from rich.console import Console
from torch import Tensor

from rungbook.errors import UsageError
from rungbook.learner.callback import Callback
from rungbook.learner.callbacks import Checkpoints, EarlyStopping, KeepBest, Progress, Recorder, StopOnSignal
from rungbook.learner.checkpoint import newest
from rungbook.learner.learner import Interrupted, Learner

covers = ["O07", "O12"]


class Scripted(Callback):
    """Puts given values in the place of what was measured, and keeps the weights of each epoch."""

    order = 0

    def __init__(self, values: list[float], column: str = "valid_loss") -> None:
        self.values, self.column = values, column
        self.kept: list[list[Tensor]] = []

    def after_epoch(self, learner: Learner) -> None:
        learner.row[self.column] = self.values[learner.epoch - 1]
        self.kept.append(weights(learner.model))


@pytest.mark.parametrize(
    ("values", "column", "best"),
    [
        ([3.0, 1.0, 2.0], "valid_loss", 1),
        ([0.3, 0.1, 0.9], "valid_accuracy", 2),
        ([float("nan"), 2.0, float("nan")], "valid_loss", 1),
        ([2.0, 2.0, 2.0], "valid_loss", 0),
        ([2.0, float("inf"), 3.0], "valid_loss", 0),
    ],
)
def test_training_ends_with_the_best_weights(values: list[float], column: str, best: int) -> None:
    script, keep = Scripted(values, column), KeepBest(column)
    ours = learner(callbacks=[script, keep])
    ours.fit(3)
    assert keep.best_epoch == best + 1
    assert equal(weights(ours.model), script.kept[best])
    assert best == 2 or not equal(weights(ours.model), script.kept[2]), "control: the last ones are others"


@pytest.mark.parametrize(
    ("values", "patience", "epochs"),
    [([5.0, 4.0, 4.5, 4.4, 4.3, 1.0], 2, 4), ([5.0, 4.0, 4.5, 3.0, 4.3, 1.0], 2, 6), ([5.0, 5.0, 5.0], 1, 2), ([5.0, 6.0], 0, 2)],
)
def test_training_ends_when_nothing_gets_better(values: list[float], patience: int, epochs: int) -> None:
    ours = learner(callbacks=[Scripted(values), EarlyStopping(patience=patience)])
    ours.fit(len(values))
    assert len(ours.history) == epochs


def test_a_column_that_is_not_measured() -> None:
    with pytest.raises(UsageError, match='E201 "valid_f1" is not measured'):
        learner(callbacks=[KeepBest("valid_f1")]).fit(1)
    with pytest.raises(UsageError, match="E201"):
        KeepBest("valid_acuracy")


def test_a_signal_ends_training_after_the_step_and_is_given_back() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
        ours = learner(callbacks=[StopOnSignal(), At("after_loss", lambda le, n=number: os.kill(os.getpid(), n), 2)])
        with pytest.raises(Interrupted):
            ours.fit(2)
        assert ours.step == 3, "the step was finished"
        assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_second_ctrl_c_ends_at_once() -> None:
    def twice(learner: Learner) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    ours = learner(callbacks=[StopOnSignal(), At("after_loss", twice, 2)])
    with pytest.raises(KeyboardInterrupt):
        ours.fit(2)
    assert ours.step == 2
    assert signal.getsignal(signal.SIGINT) == before


def test_progress_prints_a_line_an_epoch() -> None:
    for terminal in (True, False):
        out = io.StringIO()
        learner(callbacks=[Progress(Console(file=out, force_terminal=terminal, width=100, highlight=False))]).fit(3)
        text = out.getvalue()
        assert all(f"{i}/3" in text for i in (1, 2, 3))
        assert "accuracy" in text
        assert ("\x1b[" in text) == terminal, "no bar where nobody sees it move"


def test_metrics_hold_no_clock_times(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        learner(callbacks=[Recorder(tmp_path / name)], metrics=["accuracy", "confusion_matrix"]).fit(2)
    one, two = ((tmp_path / n / "metrics.jsonl").read_bytes() for n in ("one", "two"))
    assert one == two
    lines = [json.loads(line) for line in one.splitlines()]
    assert [list(line) for line in lines] == [
        [
            "epoch",
            "step",
            "lr",
            "train_loss",
            "train_accuracy",
            "train_confusion_matrix",
            "valid_loss",
            "valid_accuracy",
            "valid_confusion_matrix",
        ]
    ] * 2
    timing = [json.loads(line) for line in (tmp_path / "one" / "timing.jsonl").read_text().splitlines()]
    assert [(t["epoch"], t["step"]) for t in timing] == [(1, 5), (2, 10)]
    assert all(t["seconds"] >= 0 for t in timing)


def test_metrics_are_json_for_every_reader(tmp_path: Path) -> None:
    script = Scripted([float("nan"), float("inf")], "valid_odd")
    learner(callbacks=[script, Recorder(tmp_path)], metrics=["confusion_matrix"]).fit(2)
    text = (tmp_path / "metrics.jsonl").read_text()

    def refuse(token: str) -> None:
        raise AssertionError(f"{token} is no JSON")

    lines = [json.loads(line, parse_constant=refuse) for line in text.splitlines()]
    assert [line["valid_odd"] for line in lines] == [None, None]
    assert all(isinstance(line["train_loss"], float) for line in lines)
    with pytest.raises(AssertionError, match="NaN is no JSON"):  # control
        json.loads(json.dumps({"loss": float("nan")}), parse_constant=refuse)


def test_the_recorder_remembers_the_reports() -> None:
    recorder = Recorder()
    ours = learner(mlp(), (feed(*rows(160), batch_size=2), None), callbacks=[recorder])
    ours.fit(1, "linear")
    assert [s for s in recorder.steps if s % 50 == 0] == [50]
    assert recorder.steps[-1] == 80
    assert recorder.lrs == sorted(recorder.lrs, reverse=True)
    assert len(recorder.losses) == len(recorder.steps)


def test_checkpoints_by_the_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rungbook.learner.callbacks import saving

    now = [0.0]
    monkeypatch.setattr(saving.time, "monotonic", lambda: now[0])
    saved: list[int] = []

    class Saves(Checkpoints):
        def save(self, learner: Learner) -> None:
            super().save(learner)
            saved.append(learner.step)

    def tick(learner: Learner) -> None:
        now[0] += 1.0

    ours = learner(mlp(), (feed(*rows(400), batch_size=4), None), callbacks=[Saves(tmp_path, seconds=60), At("after_step", tick)])
    ours.fit(2)
    assert all(b - a <= 60 + 50 for a, b in zip([0, *saved], saved, strict=False)), "a kill loses 60 s and one report at most"
    assert saved[-1] == 200
    assert len(saved) == 4
    loaded = newest(tmp_path)
    assert loaded is not None
    assert loaded.state["position"]["epoch"] == 2


def test_what_a_killed_process_left_is_cleared(tmp_path: Path) -> None:
    (tmp_path / ".writing-123-step-00000005-00000").mkdir()
    (tmp_path / ".writing-123-run.json").write_bytes(b"half")
    learner(callbacks=[Checkpoints(tmp_path)]).fit(1)
    assert [p.name for p in tmp_path.iterdir()] == ["step-00000005-00001"]


def test_a_callback_may_replace_the_batch_and_the_loss() -> None:
    def mix(learner: Learner) -> None:
        learner.y = torch.nn.functional.one_hot(learner.y, 2).float() * 0.8 + 0.1

    plain, mixed = learner(metrics=[]), learner(metrics=[], callbacks=[At("before_batch", mix)])
    plain.fit(1)
    mixed.fit(1)
    smooth = learner(metrics=[], loss=torch.nn.CrossEntropyLoss(label_smoothing=0.2))
    smooth.fit(1)
    torch.testing.assert_close(weights(mixed.model), weights(smooth.model))
    assert not equal(weights(mixed.model), weights(plain.model))


def test_interrupted_says_nothing_of_a_failure() -> None:
    called: list[str] = []

    class Ends(Callback):
        def after_fit(self, learner: Learner) -> None:
            called.append("fit")

        def on_interrupt(self, learner: Learner) -> None:
            called.append("interrupt")

        def on_failure(self, learner: Learner) -> None:
            called.append("failure")

    def fail(learner: Learner) -> Any:
        raise KeyError("x")

    learner(callbacks=[Ends()]).fit(1)
    for event in (lambda le: le.request_stop(), fail):
        with pytest.raises((Interrupted, KeyError)):
            learner(callbacks=[Ends(), At("after_step", event, 1)]).fit(1)
    assert called == ["fit", "interrupt", "failure"]
