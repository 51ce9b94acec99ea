"""Things that happen at moments of training.

A callback is a class with methods named for moments. The moments are declared here, once: a method called `after_bacth` raises when the
callback is made instead of silently never running (as in skorch and ignite, unlike miniai). An event nobody listens to costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rungbook.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from rungbook.learner.learner import Learner


class Callback:
    """Base of all callbacks: override the moments you need, each gets the learner.

    `state_dict` and `load_state_dict` carry what must survive an interruption: any nesting of dicts, lists, numbers, strings and tensors.
    """

    changes_training = False
    """Whether training goes differently with this callback than without it (`check_callback` compares bit for bit)."""
    order = 0
    """Callbacks run in ascending order; equal ones in the order given."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Callback:
        for name in dir(cls):
            if name.startswith(("before_", "after_", "on_")) and name not in EVENTS and callable(getattr(cls, name)):
                raise UsageError("E205", f"{cls.__name__}.{name} is not a moment of training.", did_you_mean(name, EVENTS))
        return super().__new__(cls)

    @property
    def name(self) -> str:
        """Key of the callback's state in a checkpoint."""
        return type(self).__name__

    def before_fit(self, learner: Learner) -> None:
        """Training begins or continues; `learner.plan` is known."""

    def before_epoch(self, learner: Learner) -> None:
        """An epoch begins, or continues after an interruption."""

    def before_batch(self, learner: Learner) -> None:
        """`learner.x` and `learner.y` hold the batch and may be replaced."""

    def after_loss(self, learner: Learner) -> None:
        """`learner.output` and `learner.batch_loss` are known; the loss may be replaced."""

    def after_backward(self, learner: Learner) -> None:
        """Gradients are there and complete; the optimiser has not moved yet."""

    def after_step(self, learner: Learner) -> None:
        """The optimiser has moved (or refused to, where a number is not finite)."""

    def after_report(self, learner: Learner) -> None:
        """At most every `learner.report_every` steps and every 2 seconds: losses and metrics so far are on the host."""

    def before_validate(self, learner: Learner) -> None:
        """The model is about to be judged on the valid split."""

    def after_validate(self, learner: Learner) -> None:
        """The model has been judged."""

    def after_epoch(self, learner: Learner) -> None:
        """`learner.row` holds the epoch's losses and metrics."""

    def after_fit(self, learner: Learner) -> None:
        """Training ended as planned or by a callback's wish."""

    def on_interrupt(self, learner: Learner) -> None:
        """Somebody asked to stop; the current step is complete."""

    def on_failure(self, learner: Learner) -> None:
        """An exception is about to leave `fit`."""

    def state_dict(self) -> dict[str, Any]:
        """What must be saved to continue exactly."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what `state_dict` gave."""


EVENTS = tuple(name for name in vars(Callback) if name.startswith(("before_", "after_", "on_")))
"""The moments of training, in order."""


def listeners(callbacks: list[Callback]) -> dict[str, list[Any]]:
    """For each event the bound methods of those callbacks that override it."""
    ordered = sorted(callbacks, key=lambda c: c.order)
    return {e: [getattr(c, e) for c in ordered if getattr(type(c), e) is not getattr(Callback, e)] for e in EVENTS}


def named(callbacks: list[Callback]) -> dict[str, Callback]:
    """Callbacks by the key of their state: the name, with a number where several share it."""
    found: dict[str, Callback] = {}
    for callback in callbacks:
        name, n = callback.name, 2
        while name in found:
            name, n = f"{callback.name} {n}", n + 1
        found[name] = callback
    return found
