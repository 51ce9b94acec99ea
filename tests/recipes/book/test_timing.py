"""Timing: the clock sees training alone, devices take turns, and what cannot be said is not said. No test waits for a speed."""

from __future__ import annotations

import time
from typing import Any

import pytest
import torch
from commands import Rung

from rungbook.learner.learner import best_device
from rungbook.recipes.book import timing
from rungbook.recipes.book.timing import EpochClock, Timing, said_of, spanned, time_epochs
from rungbook.recipes.prepare import prepare_data

SMALL = Timing(widths=(4, 8), epochs=2, image_size=8)
CPU = torch.device("cpu")


def test_without_a_gpu_the_cpu_stands_alone_and_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "best_device", lambda: CPU)
    found = SMALL.find(lambda line: None)
    assert list(found.results) == ["4 wide, CPU", "8 wide, CPU"]
    for splits in found.results.values():
        seconds = splits["train"]
        assert 0 < seconds["fastest"] <= seconds["seconds"] <= seconds["slowest"]
        assert seconds["cpu_seconds"] > 0
    assert "with 1 thread;" in found.sentences[-2]
    assert found.sentences[-1].startswith("Only the CPU was timed (no GPU was found)")
    assert "as asked" in Timing(widths=(4,), epochs=1, image_size=8, device="cpu").find(lambda line: None).sentences[-1]


def test_devices_take_turns_and_the_first_epoch_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    data = prepare_data(SMALL._training(4))
    learners = [SMALL._learner(4, data, CPU) for _ in range(2)]
    turns: list[int] = []
    for i, learner in enumerate(learners):
        fit = learner.fit
        monkeypatch.setattr(learner, "fit", lambda epochs, i=i, fit=fit: (turns.append(i), fit(epochs)))
    clocks = time_epochs(learners, 3)
    assert turns == [0, 1, 0, 1, 1, 0, 0, 1]
    assert [len(c.wall) for c in clocks] == [3, 3]
    same = [torch.cat([p.flatten() for p in learner.model.parameters()]) for learner in learners]
    assert torch.equal(*same), "both trained the same way"


def test_the_clock_counts_work_and_waiting_apart() -> None:
    clock = EpochClock(CPU)
    learner: Any = None
    clock.before_epoch(learner)
    time.sleep(0.05)
    clock.after_epoch(learner)
    assert clock.wall[0] >= 0.05
    assert clock.cpu[0] < clock.wall[0], "who sleeps takes no processor seconds"


def test_validation_is_not_timed() -> None:
    data = prepare_data(SMALL._training(4))
    assert data.valid is not None
    assert SMALL._learner(4, data, CPU).valid_feed is None


def clock(device: str, *seconds: float) -> EpochClock:
    return EpochClock(torch.device(device), list(seconds), list(seconds))


@pytest.mark.parametrize(
    ("gpu", "verdict"),
    [((1.0, 1.0, 1.0), "the GPU pays"), ((4.0, 4.0, 4.0), "the GPU does not pay"), ((1.0, 4.0, 2.0), "does not tell them apart")],
)
def test_ratios_are_of_epochs_side_by_side(gpu: tuple[float, ...], verdict: str) -> None:
    line = said_of(64, [clock("cpu", 2.0, 2.0, 3.0), clock("cuda", *gpu)])
    assert verdict in line
    assert "CPU 2 s (2 to 3)" in line
    assert spanned([1, 3, 2]) == "2 (1 to 3)"


def test_a_run_says_the_courses_times_and_tests_nothing_of_chance(rung: Rung) -> None:
    answer = rung("train timing widths=4,8 epochs=1 image_size=8 device=cpu")
    assert answer.code == 0, answer.text
    for part in ("seconds", "8 wide, CPU", "NCSA HAL reports 22.7 s of mnist for all 5 epochs", "Only the CPU was timed"):
        assert part in answer.text
    assert "distinguishable" not in answer.text
    assert "One seed" not in answer.text
    for words, code in (("widths=", "E202"), ("device=cuda:99", "E202"), ("widths=0", "E202"), ("lr=0", "E202")):
        assert code in rung(f"train timing {words}").text, words


@pytest.mark.gpu
def test_a_gpu_is_timed_beside_the_cpu() -> None:
    if best_device().type == "cpu":
        pytest.skip("there is no GPU")
    found = Timing(widths=(64, 1024), epochs=3).find(lambda line: None)
    assert list(found.results) == ["64 wide, CPU", "64 wide, GPU", "1024 wide, CPU", "1024 wide, GPU"]
    assert ["times as long" in line for line in found.sentences] == [True, True, False]
    assert not any("Only the CPU" in line for line in found.sentences)
