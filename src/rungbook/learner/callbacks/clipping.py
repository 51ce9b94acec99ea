"""Gradients bounded otherwise than by their norm, which is the Learner's `clip`: number by number, or unit by unit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from rungbook.learner.callback import Callback

if TYPE_CHECKING:
    from rungbook.learner.learner import Learner


class ClipValue(Callback):
    """Bounds each number of the gradient, which so may turn: `g = min(max(g, -value), value)`.

    Args:
        value: the bound, above 0.
    """

    changes_training = True

    def __init__(self, value: float) -> None:
        if not value > 0:
            raise ValueError(f"value is {value}, it must be above 0")
        self.value = value

    def after_backward(self, learner: Learner) -> None:
        """Clip."""
        torch.nn.utils.clip_grad_value_(learner.params, self.value)


class ClipAdaptive(Callback):
    """Bounds the gradient of each unit by a share of its weights: adaptive gradient clipping (Brock, De, Smith, Simonyan 2021, section 4).

    Where `|g| > share * max(|w|, eps)`, g is shortened to that; |.| is the norm over the inputs of one unit, a row of a matrix or a filter;
    a vector is one unit. As in the paper the last layer, which gives the outputs, is left out: the last weight of two or more
    dimensions, and what follows it.

    Args:
        share: lambda in the paper, which uses 0.01 for batches of 4,096 and more for small ones.
        eps: norm that weights near 0 count as, so that they can leave 0.
    """

    changes_training = True

    def __init__(self, share: float = 0.01, eps: float = 1e-3) -> None:
        if not (share > 0 and eps > 0):
            raise ValueError(f"share is {share} and eps {eps}, both must be above 0")
        self.share, self.eps = share, eps

    def after_backward(self, learner: Learner) -> None:
        """Clip."""
        last = max((i for i, p in enumerate(learner.params) if p.ndim >= 2), default=0)
        for p in learner.params[:last]:
            if p.grad is not None:
                bound = self.share * unit_norms(p.detach()).clamp(min=self.eps)
                p.grad.mul_((bound / unit_norms(p.grad).clamp(min=1e-6)).clamp(max=1.0))


def unit_norms(x: Tensor) -> Tensor:
    """Norm over all dimensions but the first, kept as ones; of a vector its whole norm."""
    return torch.linalg.vector_norm(x, dim=tuple(range(1, x.ndim)) or None, keepdim=True)
