"""Freezing: what of a trained model stays as it is, and when it begins to learn again.

A parameter stays if it takes no gradient. A batch norm layer has running statistics besides, which move in training mode whether or not
anything learns: held still means evaluation mode for it, also after somebody called `model.train()`. The callback sees to that at every
epoch. Unfreezing from the head down is Howard and Ruder 2018, "Universal language model fine-tuning", section 3.3; training nothing but
the norms of a body is Frankle, Schwab and Morcos 2021, "Training BatchNorm and only BatchNorm".
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from torch import nn

from rungbook.errors import UsageError, did_you_mean
from rungbook.learner.callback import Callback
from rungbook.transfer.parts import is_norm, layer_groups, split_body_head

if TYPE_CHECKING:
    from rungbook.learner.learner import Learner

FREEZE = {
    "body": "all but the head stays, running statistics of norms too",
    "all_but_norm": "of the body only the norms learn, and their running statistics move",
    "norm": "the body's norms stay, statistics and all; everything else learns",
}
"""What can be frozen."""


def freeze(model: nn.Module, what: str = "body") -> nn.Module:
    """Hold a part of a model still, in place.

    `model.train()` sets frozen batch norm layers moving again: in a loop of your own call this after it. The Learner keeps the modes it
    finds; `Freeze` is the callback for it.

    Args:
        what: key of `FREEZE`.

    Raises:
        UsageError: E201 an unknown part, E202 a model without a body.
    """
    Freeze(model, what).hold(0)
    return model


def unfreeze(model: nn.Module) -> nn.Module:
    """Let all of a model learn again, in place, its norms in training mode."""
    for p in model.parameters():
        p.requires_grad_(True)
    for module in model.modules():
        if is_norm(module):
            module.train()
    return model


class Freeze(Callback):
    """Holds a part of the model still, for all of a fit or for its first epochs.

    What never learns is kept from the optimiser: without `unfreeze` make the callback (or call `hold`) before the Learner. With `unfreeze`
    the Learner must meet the model while all of it may learn, and holds it from the first epoch on.

    Args:
        model: to be trained.
        what: key of `FREEZE`.
        unfreeze: after how many epochs to let go; several numbers let go of as many parts of the body, the one nearest to the head first.

    Raises:
        UsageError: E201 an unknown part, E202 epochs that do not rise, or more of them than the body has layers.
    """

    changes_training = True
    order = -100  # before whatever looks at the model

    def __init__(self, model: nn.Module, what: str = "body", *, unfreeze: Sequence[int] = ()) -> None:
        if what not in FREEZE:
            raise UsageError("E201", f'"{what}" is nothing to freeze.', did_you_mean(what, FREEZE, "freeze={}"))
        check_epochs(unfreeze)
        self.what, self.epochs = what, tuple(unfreeze)
        groups = layer_groups(model, max(1, len(self.epochs)))[::-1]  # from the head down
        if len(groups) < len(self.epochs):
            message = f"unfreeze names {len(self.epochs)} epochs, the body of {type(model).__name__} has {len(groups)} layers."
            raise UsageError("E202", message, f"unfreeze={self.epochs[0]}")
        parts = split_body_head(model)
        norms = {name for name, m in model.named_modules() if is_norm(m) and parts.in_body(name)}
        group_of = {name: i for i, group in enumerate(groups) for name in group}
        parameters, modules = dict(model.named_parameters()), dict(model.named_modules())
        chosen = {
            "body": lambda name: True,
            "all_but_norm": lambda name: name.rpartition(".")[0] not in norms,
            "norm": lambda name: name.rpartition(".")[0] in norms,
        }[what]
        # one that takes no gradient to begin with, as a fixed first layer, stays so for good
        self._held = [(parameters[name], i) for name, i in group_of.items() if chosen(name) and parameters[name].requires_grad]
        self._still = [] if what == "all_but_norm" else [(modules[name], self._where(name, group_of)) for name in sorted(norms)]
        if not self.epochs:
            self.hold(0)

    @staticmethod
    def _where(norm: str, group_of: dict[str, int]) -> int:
        """The group of a norm: that of its weights; one without any goes with the last to learn."""
        return next((i for name, i in group_of.items() if name.rpartition(".")[0] == norm), max(group_of.values()))

    def hold(self, epoch: int) -> None:
        """Set the model as it is to be in an epoch, counted from 0."""
        free = sum(epoch >= e for e in self.epochs)
        for p, group in self._held:
            p.requires_grad_(group < free)
        for module, group in self._still:
            module.train(group < free)

    def before_epoch(self, learner: Learner) -> None:
        """Hold what is to be held in this epoch, whatever happened to the modes of the model in between."""
        self.hold(learner.epoch)


def check_epochs(unfreeze: Sequence[int]) -> None:
    """Raise UsageError E202 for epochs that are not 1 or more, each after the one before."""
    if any(e < 1 for e in unfreeze) or any(a >= b for a, b in pairwise(unfreeze)):
        found = ",".join(map(str, unfreeze))
        raise UsageError("E202", f"unfreeze is {found}: epochs count from 1, each after the one before.", "unfreeze=1,2,3")
