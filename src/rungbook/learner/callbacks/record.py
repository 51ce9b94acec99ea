"""The recorder: one line an epoch into `metrics.jsonl`, clock times apart from it."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rungbook.learner.callback import Callback

if TYPE_CHECKING:
    from rungbook.learner.learner import Learner


class Recorder(Callback):
    """Writes each epoch's row; keeps the learning rate and loss of every report.

    `metrics.jsonl` holds nothing that depends on the clock, so an interrupted and continued run writes the same bytes; clock times go to
    `timing.jsonl` beside it.

    Args:
        folder: where the two files go; None keeps everything in memory only.
    """

    order = 10

    def __init__(self, folder: str | Path | None = None) -> None:
        self.folder = Path(folder) if folder is not None else None
        self.steps: list[int] = []
        self.lrs: list[float] = []
        self.losses: list[float] = []
        self._written = 0

    def before_fit(self, learner: Learner) -> None:
        """Begin with empty files; continuing cuts them back in `load_state_dict`."""
        self._started = time.monotonic()
        if self.folder is not None:
            self._cut(0)

    def _cut(self, size: int) -> None:
        assert self.folder is not None
        with open(self.folder / "metrics.jsonl", "ab") as f:
            f.truncate(size)
        self._written = size

    def after_report(self, learner: Learner) -> None:
        """Remember where the loss stood."""
        self.steps.append(learner.step)
        self.lrs.append(float(learner.optimizer.param_groups[0]["lr"]))
        self.losses.append(learner.tally.last_loss)

    def after_epoch(self, learner: Learner) -> None:
        """Write the row."""
        if self.folder is None:
            return
        row = {k: v.tolist() if hasattr(v, "tolist") else v for k, v in learner.row.items()}
        line = (json.dumps(row) + "\n").encode()
        with open(self.folder / "metrics.jsonl", "ab") as f:
            f.write(line)
        self._written += len(line)
        with open(self.folder / "timing.jsonl", "a") as f:
            f.write(json.dumps({"epoch": row["epoch"], "step": row["step"], "seconds": round(time.monotonic() - self._started, 3)}) + "\n")

    def state_dict(self) -> dict[str, Any]:
        """How much was written; the file is on the disk before a checkpoint says so."""
        if self.folder is not None and (self.folder / "metrics.jsonl").exists():
            with open(self.folder / "metrics.jsonl", "rb") as f:
                os.fsync(f.fileno())
        return {"written": self._written}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Cut the file back to where the checkpoint was taken; the rest is written again, byte for byte."""
        if self.folder is not None and state:
            self._cut(state["written"])
