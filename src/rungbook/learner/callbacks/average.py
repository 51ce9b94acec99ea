"""What the averages of weights have in common: judging, and ending a training, with other weights than those that are trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor

from rungbook.errors import UsageError
from rungbook.learner.callback import Callback

if TYPE_CHECKING:
    from rungbook.learner.learner import Learner


class Average(Callback):
    """Holds a second set of weights, and puts it in the model's place while it is judged and when training ends.

    A subclass says in `weights_of` what it averages, and moves `self.average`.
    """

    changes_training = True
    order = 30  # before KeepBest copies weights

    def __init__(self) -> None:
        self.average: list[Tensor] = []
        self._weights: list[Tensor] = []
        self._swapped = False

    def weights_of(self, learner: Learner) -> list[Tensor]:
        """What is averaged, as the tensors of the model."""
        return [p.detach() for p in learner.model.parameters()]

    def before_fit(self, learner: Learner) -> None:
        """Begin with the weights there are.

        Raises:
            UsageError: E202, another callback puts its own weights in too.
        """
        others = [c.name for c in learner.callbacks if isinstance(c, Average) and c is not self]
        if others:
            message = f"{self.name} and {others[0]} would both put their weights in the model's place."
            raise UsageError("E202", message, "Keep one of ema, swa and lookahead.")
        self._weights = self.weights_of(learner)
        self.average = [t.clone() for t in self._weights]
        self._swapped = False

    def swap(self) -> None:
        """Model and average change places."""
        for average, weight in zip(self.average, self._weights, strict=True):
            kept = weight.clone()
            weight.copy_(average)
            average.copy_(kept)
        self._swapped = not self._swapped

    def before_validate(self, learner: Learner) -> None:
        """Judge the average; it stays in until callbacks that keep weights have seen it."""
        if not self._swapped:
            self.swap()

    def before_epoch(self, learner: Learner) -> None:
        """Train on from the weights, not from the average."""
        if self._swapped:
            self.swap()

    def after_fit(self, learner: Learner) -> None:
        """End with the average in the model."""
        if not self._swapped:
            self.swap()

    def state_dict(self) -> dict[str, Any]:
        """The average, and whether model and average have changed places."""
        return {"average": list(self.average), "swapped": self._swapped}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what `state_dict` gave."""
        for mine, saved in zip(self.average, state["average"], strict=True):
            mine.copy_(saved)
        self._swapped = state["swapped"]
