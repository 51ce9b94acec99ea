"""What the contrasts that courses judge by the mean squared error have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rungbook.recipes.contrast import Contrast
from rungbook.recipes.once import Trained
from rungbook.recipes.study import Found, Say

Scores = dict[str, dict[str, float]]
MSE = "mean_squared_error"


def with_squares(scores: Scores) -> Scores:
    """The same scores, with the mean squared error beside its root."""
    root = "root_mean_squared_error"
    return {name: {**({MSE: found[root] ** 2} if root in found else {}), **found} for name, found in scores.items()}


@dataclass(frozen=True, kw_only=True)
class SquaredContrast(Contrast):
    """A contrast judged by the mean squared error, baselines included."""

    metric: ClassVar[str] = MSE

    def judge(self, name: str, trained: Trained) -> Scores:
        """Split -> metric -> value of a variant."""
        return with_squares(trained.scores())

    def find(self, say: Say, *, pictures: bool = False) -> Found:
        """Train every variant on the same samples."""
        found = super().find(say, pictures=pictures)
        found.baselines = with_squares(found.baselines)
        return found


__all__ = ["MSE", "Scores", "SquaredContrast", "with_squares"]
