"""Checkpoints by the clock: a kill loses at most `seconds` of work plus one report, an interruption none."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from rungbook.learner.callback import Callback
from rungbook.learner.checkpoint import clear_leftovers, disk_errors, save_generation

if TYPE_CHECKING:
    from rungbook.learner.learner import Learner


class Checkpoints(Callback):
    """Saves the learner's whole state as the newest generation in `folder`.

    Args:
        folder: made if it is not there.
        seconds: clock time between two checkpoints. What is saved does not depend on when.
    """

    order = 100  # after every callback whose state is saved

    def __init__(self, folder: str | Path, seconds: float = 15.0) -> None:
        self.folder, self.seconds = Path(folder), seconds

    def before_fit(self, learner: Learner) -> None:
        """Begin to count; clear away what a killed process left half-written."""
        with disk_errors(self.folder, 4096):
            self.folder.mkdir(parents=True, exist_ok=True)
        clear_leftovers(self.folder)
        self._last = time.monotonic()

    def save(self, learner: Learner) -> None:
        """Save now."""
        save_generation(self.folder, learner.state_dict(), step=learner.step, epoch=learner.epoch)
        self._last = time.monotonic()

    def after_report(self, learner: Learner) -> None:
        """Save if it is time; not at an epoch's last report, where the epoch's own end follows."""
        if learner.batch < learner.plan.batches and time.monotonic() - self._last >= self.seconds:
            self.save(learner)

    def after_epoch(self, learner: Learner) -> None:
        """Save if it is time."""
        if time.monotonic() - self._last >= self.seconds and learner.epoch < learner.plan.epochs:
            self.save(learner)

    def after_fit(self, learner: Learner) -> None:
        """Whoever is killed while judging the model need not train it again."""
        self.save(learner)

    def on_interrupt(self, learner: Learner) -> None:
        """Lose nothing."""
        self.save(learner)
