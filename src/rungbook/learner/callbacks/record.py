"""The recorder: one line an epoch into `metrics.jsonl`, clock times apart from it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rungbook.learner.callback import Callback
from rungbook.learner.checkpoint import write_atomically
from rungbook.learner.pack import strict_json

if TYPE_CHECKING:
    from rungbook.learner.learner import Learner


class Recorder(Callback):
    """Writes each epoch's row; keeps the learning rate and loss of every report.

    `metrics.jsonl` holds nothing that depends on the clock, so an interrupted and continued run writes the same bytes; clock times go to
    `timing.jsonl` beside it. A number that is not finite is null there.

    Args:
        folder: where the two files go; None keeps everything in memory only.
    """

    order = 10

    def __init__(self, folder: str | Path | None = None) -> None:
        self.folder = Path(folder) if folder is not None else None
        self.steps: list[int] = []
        self.lrs: list[float] = []
        self.losses: list[float] = []
        self._count = 0
        self._rows: int | None = None

    def before_fit(self, learner: Learner) -> None:
        """Begin a new file."""
        self._started = time.monotonic()
        self._rows, self._count = 0, 0

    def before_epoch(self, learner: Learner) -> None:
        """Bring the file to where training stands: emptied at the start, or without the lines that will be written again."""
        if self.folder is None or self._rows is None:
            return
        path, rows = self.folder / "metrics.jsonl", learner.history[len(learner.history) - self._rows :]
        content = b"".join(map(_line, rows))
        if not path.is_file() or path.read_bytes() != content:
            write_atomically(path, content)
        self._rows = None

    def after_report(self, learner: Learner) -> None:
        """Remember where the loss stood."""
        self.steps.append(learner.step)
        self.lrs.append(float(learner.optimizer.param_groups[0]["lr"]))
        self.losses.append(learner.tally.last_loss)

    def after_epoch(self, learner: Learner) -> None:
        """Write the row."""
        self._count += 1
        if self.folder is None:
            return
        row = learner.row
        with open(self.folder / "metrics.jsonl", "ab") as f:
            f.write(_line(row))
        with open(self.folder / "timing.jsonl", "a") as f:
            f.write(json.dumps({"epoch": row["epoch"], "step": row["step"], "seconds": round(time.monotonic() - self._started, 3)}) + "\n")

    def after_fit(self, learner: Learner) -> None:
        """A fit that had no epoch left still finds its lines."""
        self.before_epoch(learner)

    def state_dict(self) -> dict[str, Any]:
        """How many of the learner's rows are this fit's: the file can be made again from them."""
        return {"rows": self._count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what `state_dict` gave; the file follows when the epoch begins."""
        self._rows = self._count = state["rows"]


def _line(row: dict[str, Any]) -> bytes:
    return (strict_json(row, readable=False) + "\n").encode()
