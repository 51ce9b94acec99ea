"""Ctrl-C and termination end training after the current step, with everything saved."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Any

from rungbook.learner.callback import Callback

if TYPE_CHECKING:
    from rungbook.learner.learner import Learner


class StopOnSignal(Callback):
    """The first SIGINT or SIGTERM asks for a stop after the step; a second SIGINT stops at once (KeyboardInterrupt)."""

    order = -100

    def __init__(self) -> None:
        self._before: dict[signal.Signals, Any] = {}

    def before_fit(self, learner: Learner) -> None:
        """Take over the signals; only the main thread may."""
        if threading.current_thread() is not threading.main_thread():
            return

        def stop(number: int, frame: Any) -> None:
            learner.request_stop()
            signal.signal(signal.SIGINT, signal.default_int_handler)

        for which in (signal.SIGINT, signal.SIGTERM):
            self._before[which] = signal.signal(which, stop)

    def _give_back(self) -> None:
        for which, handler in self._before.items():
            signal.signal(which, handler)
        self._before = {}

    def after_fit(self, learner: Learner) -> None:
        """Give the signals back."""
        self._give_back()

    def on_failure(self, learner: Learner) -> None:
        """Give the signals back."""
        self._give_back()

    def on_interrupt(self, learner: Learner) -> None:
        """Give the signals back."""
        self._give_back()
