"""What a person sees while training: a bar that moves, and one line an epoch (of long trainings, one every few)."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from rungbook.learner.callback import Callback

if TYPE_CHECKING:
    from rungbook.learner.learner import Learner

REFRESH_SECONDS = 0.25
"""A bar redrawn four times a second costs under half a percent of one core (benchmarks/bench_learner.py)."""


LINES = 25
"""A training of more than twice as many epochs prints about so many lines."""


def in_notebook() -> bool:
    """Whether the code runs in a Jupyter kernel."""
    return "ipykernel" in sys.modules


class Progress(Callback):
    """A bar (rich in a terminal, tqdm in a notebook, none where output is no terminal) and one line an epoch, or every few of many.

    Args:
        console: a rich Console; None makes one on standard output.
        columns: columns of the epoch row to print besides the losses; None prints the metrics on valid, or those on train.
    """

    order = 60

    def __init__(self, console: Any = None, columns: list[str] | None = None) -> None:
        self.console, self.columns = console, columns

    def before_fit(self, learner: Learner) -> None:
        """Open the bar."""
        from rich.console import Console

        self.console = self.console or Console(highlight=False)
        self._header_done = False
        self._started = self._drawn = time.monotonic()
        self._bar: Any = None
        if in_notebook():
            from tqdm.auto import tqdm

            self._bar = tqdm(total=learner.plan.steps, leave=False)
        elif self.console.is_terminal:
            from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            columns = (
                TextColumn("{task.description}"),
                BarColumn(bar_width=32),
                TextColumn("loss {task.fields[loss]:.3f}"),
                TimeRemainingColumn(),
            )
            # drawn by hand at reports: rich's own refresh thread would cost every step
            self._bar = Bar(*columns, console=self.console, transient=True, auto_refresh=False)
            self._task = self._bar.add_task("training", total=learner.plan.steps, loss=float("nan"))
            self._bar.start()

    def after_report(self, learner: Learner) -> None:
        """Move the bar."""
        now = time.monotonic()
        if self._bar is None or now - self._drawn < REFRESH_SECONDS:
            return
        self._drawn = now
        if in_notebook():
            self._bar.update(learner.step - self._bar.n)
        else:
            epoch = min(learner.epoch + 1, learner.plan.epochs)
            self._bar.update(
                self._task, completed=learner.step, description=f"epoch {epoch}/{learner.plan.epochs}", loss=learner.tally.last_loss
            )
            self._bar.refresh()

    def after_epoch(self, learner: Learner) -> None:
        """Print the epoch's line; of a long training every so many, and the last."""
        row, epochs = learner.row, learner.plan.epochs
        every = -(-epochs // LINES) if epochs > 2 * LINES else 1
        if learner.epoch % every and learner.epoch not in (1, epochs) and not learner.stop:
            return
        judged = "valid" if "valid_loss" in row else "train"
        names = self.columns or [k for k in row if k.startswith(f"{judged}_") and k != f"{judged}_loss" and isinstance(row[k], int | float)]
        if not self._header_done:
            self._header_done = True
            if every > 1:
                self.console.print(f"one line every {every} epochs", style="dim")
            losses = "      train      valid  " if judged == "valid" else "      train  "
            self.console.print(f"  epoch{losses}" + "  ".join(f"{_short(n):>12}" for n in names) + "     time", style="bold")
        seconds = time.monotonic() - self._started
        cells = [f"{learner.epoch:>3}/{epochs:<3}", *(f"{row[loss]:9.4f}" for loss in ("train_loss", "valid_loss") if loss in row)]
        cells += [f"{_cell(n, row[n]):>12}" for n in names]
        self.console.print("  ".join([cells[0], *cells[1:]]) + f"  {int(seconds // 60):>4}:{int(seconds % 60):02}")

    def _close(self) -> None:
        if getattr(self, "_bar", None) is not None:
            self._bar.close() if in_notebook() else self._bar.stop()
            self._bar = None

    def after_fit(self, learner: Learner) -> None:
        """Close the bar."""
        self._close()

    def on_failure(self, learner: Learner) -> None:
        """Close the bar."""
        self._close()

    def on_interrupt(self, learner: Learner) -> None:
        """Close the bar."""
        self._close()


def _short(name: str) -> str:
    shorter = {
        "root_mean_squared_error": "rmse",
        "root_mean_squared_log_error": "rmsle",
        "mean_absolute_error": "mae",
        "balanced_accuracy": "balanced",
    }
    name = name.removeprefix("valid_").removeprefix("train_")
    return shorter.get(name, name)


def _cell(name: str, value: float) -> str:
    return f"{100 * value:.1f}%" if "accuracy" in name or "top_" in name else f"{value:.4g}"
