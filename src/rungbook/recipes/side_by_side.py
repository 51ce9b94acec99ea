"""A recipe trained twice in float64, with torch's parts and with parts by hand, step for step on the same batches.

In float64 two right computations differ by rounding alone; in float32 rounding grows until the two losses differ by per cents, and nothing
is shown by it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from rungbook.data.data import Data
from rungbook.data.feed import Feed, Inputs, map_inputs
from rungbook.errors import UsageError
from rungbook.learner.callback import Callback
from rungbook.learner.counting import carried_out
from rungbook.learner.learner import Interrupted, Learner
from rungbook.plot.twins import differences
from rungbook.recipes import build
from rungbook.recipes.exchange import exchange
from rungbook.recipes.mine import blamed, look_at_files
from rungbook.recipes.prepare import keep_threads, make_model, prepare_data
from rungbook.recipes.recipe import Recipe

ALLOWED = 1e-9
"""Largest relative difference of the two losses that counts as rounding."""


@dataclass(frozen=True)
class SideBySide:
    """What came of the two trainings.

    Args:
        torch, ours: the loss of each step.
        parts: what was by hand, in words.
        left: layers of the model that were not.
    """

    torch: list[float]
    ours: list[float]
    parts: str
    left: dict[str, str]

    @property
    def worst(self) -> float:
        """The largest relative difference of a step."""
        return max(differences(self.torch, self.ours))

    @property
    def same(self) -> bool:
        """Whether it is rounding."""
        return self.worst <= ALLOWED


class _Losses(Callback):
    """The loss of each step, and the end after enough of them."""

    def __init__(self, steps: int, each: Callable[[int], None]) -> None:
        self.steps, self.each = steps, each
        self.losses: list[float] = []

    def after_step(self, learner: Learner) -> None:
        self.losses.append(learner.batch_loss.item())
        self.each(len(self.losses))
        if len(self.losses) >= self.steps:
            learner.request_stop()


@keep_threads()
def side_by_side(recipe: Recipe, steps: int, each: Callable[[int], None] = lambda step: None) -> SideBySide:
    """Train both ways.

    Args:
        recipe: its `scratch` says what is by hand, all of it if it says nothing; `mine` is the user's own.
        steps: optimiser steps of each.
        each: called after each step, with its number in its training.
    """
    torch.set_num_threads(1)
    if recipe.precision != "fp32" or recipe.compile:
        raise UsageError("E202", "Both trainings are in float64 and not compiled.", "Leave out precision=... and compile=...")
    look_at_files(*recipe.mine)
    hand = recipe if recipe.scratch or recipe.mine else replace(recipe, scratch=("all",))
    data = in_float64(prepare_data(recipe))
    with blamed(*recipe.mine):
        found = [_train(way, data, steps, each) for way in (replace(recipe, scratch=(), mine=()), hand)]
    (theirs, _), (ours, model) = found
    left: dict[str, str] = {}
    if "layers" in exchange(hand):
        from rungbook.scratch.swap import swap_report

        left = swap_report(model).left
    return SideBySide(theirs, ours, exchange(hand).describe(model), left)


def _train(recipe: Recipe, data: Data, steps: int, each: Callable[[int], None]) -> tuple[list[float], nn.Module]:
    watch = _Losses(steps, each)
    model, _ = make_model(recipe, data)
    device = torch.device("cpu")
    learner = build.build_learner(recipe, data, model.double(), device, 1e-3 if recipe.lr == "find" else recipe.lr)
    learner.callbacks = [watch]  # nothing that chooses weights or stops early
    learner.valid_feed = None
    loss = carried_out(learner.loss)
    if isinstance(loss, nn.Module):  # weights of classes
        loss.double()
    steps_per_epoch = -(-len(data.train) // recipe.accumulate)
    with suppress(Interrupted):
        learner.fit(-(-steps // steps_per_epoch), recipe.schedule)
    return watch.losses, model


def in_float64(data: Data) -> Data:
    """The data with every batch in float64."""
    train: Any = copy.copy(data.train)
    train.prepare = _doubled(data.train)
    train.source = _DoubleTargets(train.source)
    return replace(data, train=train)


def _doubled(feed: Feed) -> Callable[[Inputs], Inputs]:
    prepare = feed.prepare

    def to_double(x: Inputs) -> Inputs:
        return map_inputs(x if prepare is None else prepare(x), _double)

    return to_double


class _DoubleTargets:
    """A source whose numbers to be predicted are float64."""

    def __init__(self, source: Any) -> None:
        self.source = source

    def __getattr__(self, name: str) -> Any:
        return getattr(self.source, name)

    def __len__(self) -> int:
        return len(self.source)

    def fetch(self, index: Any) -> Any:
        x, y = self.source.fetch(index)
        return x, _double(y)


def _double(x: Tensor) -> Tensor:
    return x.double() if x.is_floating_point() else x
