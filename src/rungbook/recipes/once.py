"""One training without a run folder: for folds, for studies that compare trainings, for measuring again.

It is the training `rung train` does, without what watches, saves and reports it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from rungbook.data.data import Data
from rungbook.learner.learner import Learner
from rungbook.learner.tta import Versions
from rungbook.recipes import build
from rungbook.recipes.mine import blamed
from rungbook.recipes.prepare import keep_threads, make_model, pick_device, pick_threads, prepare_data
from rungbook.recipes.recipe import Recipe
from rungbook.recipes.scores import scores

SplitScores = dict[str, dict[str, float]]
"""Split -> metric -> value."""


@dataclass
class Trained:
    """A finished training.

    Args:
        threads: of the CPU, that it had.
        tta: versions of each image it is judged by.
    """

    data: Data
    learner: Learner
    threads: int
    tta: Versions | None = None

    def scores(self, *splits: str) -> SplitScores:
        """The metrics on some splits, by default all there are."""
        feeds = {k: f for k, f in self.data.splits().items() if not splits or k in splits}
        return {k: scores(self.data.target, feed.source.targets(), self.learner.predict(feed, tta=self.tta)) for k, feed in feeds.items()}


@keep_threads()
def train_once(recipe: Recipe, data: Data | None = None, *, lr: float | None = None) -> Trained:
    """Train a recipe from the start.

    Args:
        recipe: what to train.
        data: as `prepare_data` gave it; read if None.
        lr: learning rate, where another one than the recipe's (or than the one it would look for) is wanted.

    Raises:
        RungError: with a message for the user.
    """
    torch.set_num_threads(1)  # until the model is known
    device = pick_device(recipe.device)
    data = prepare_data(recipe) if data is None else data
    model, _ = make_model(recipe, data)
    torch.set_num_threads(pick_threads(recipe, model, data))
    rate = recipe.lr if lr is None else lr
    with blamed(*recipe.mine):
        learner = build.build_learner(recipe, data, model, device, 1.0 if rate == "find" else float(rate))
        if rate == "find":
            build.find_rate(learner)
        learner.fit(build.count_epochs(recipe, data), recipe.schedule)
    return Trained(data, learner, torch.get_num_threads(), recipe.tta)
