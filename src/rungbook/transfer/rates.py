"""A learning rate for each depth: layers near the input know general things and move less.

Howard and Ruder 2018, "Universal language model fine-tuning", section 3.2 (discriminative fine-tuning); the geometric form with a
factor a layer is layer-wise decay as in Bao et al. 2022, "BEiT", appendix, which Liu et al. 2022, "A ConvNet for the 2020s", appendix A,
take with neighbours put together for deep networks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from rungbook.errors import UsageError
from rungbook.transfer.parts import layer_groups

MOST = 13
"""Groups of the body at most: the embedding and twelve layers of a ViT-B, each its own; deeper networks' layers are put together."""


class LayerRates:
    """An optimiser with a rate for each depth: for the Learner's `optimizer`, or anything else that calls `make(parameters, lr=...)`.

    The head gets `lr * head`, the group before it `lr * decay`, the one before that `lr * decay ** 2`, and so on. Schedules multiply each
    group's own rate. A group tells its factor as `lr_scale`.

    Args:
        optimizer: a class, or `partial(AdamW, weight_decay=0.05)`.
        model: whose parameters will be given.
        decay: factor from a group to the one before it, above 0, at most 1.
        head: factor of the head, above 0.
        groups: of the body; 2 with `decay=1/3` gives lr / 9, lr / 3, lr.

    Raises:
        UsageError: E202 a factor out of range.
    """

    def __init__(
        self,
        optimizer: Callable[..., torch.optim.Optimizer],
        model: nn.Module,
        *,
        decay: float = 1.0,
        head: float = 1.0,
        groups: int = MOST,
    ) -> None:
        if not 0 < decay <= 1 or not head > 0 or groups < 1:
            message = f"decay is {decay:g}, head {head:g}, groups {groups}: decay is above 0 and at most 1, head above 0, groups 1 or more."
            raise UsageError("E202", message, "LayerRates(AdamW, model, decay=0.75)")
        self.make, self.model, self.decay, self.head, self.groups = optimizer, model, decay, head, groups
        # where the Learner looks for what an optimiser can do
        self.func, self.keywords = getattr(optimizer, "func", optimizer), getattr(optimizer, "keywords", {})

    def factors(self) -> dict[str, float]:
        """Parameter name -> factor of its rate."""
        body = layer_groups(self.model, self.groups)
        factors = {name: self.head for name, _ in self.model.named_parameters()}
        return factors | {name: self.decay ** (len(body) - i) for i, group in enumerate(body) for name in group}

    def __call__(self, params: Iterable[nn.Parameter], *, lr: float, **options: Any) -> torch.optim.Optimizer:
        """The optimiser, with one group for each factor."""
        named = {id(p): name for name, p in self.model.named_parameters()}
        factors = self.factors()
        groups: dict[float, list[nn.Parameter]] = {}
        for p in params:
            groups.setdefault(factors[named[id(p)]] if id(p) in named else 1.0, []).append(p)
        return self.make([{"params": ps, "lr": lr * f, "lr_scale": f} for f, ps in groups.items()], lr=lr, **options)
