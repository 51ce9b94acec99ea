"""How smooth the loss is where training stands.

Santurkar, Tsipras, Ilyas and Madry 2018, "How does batch normalization help optimization?", section 3.1, walk from the weights along the
gradient and look at three things: how much the loss varies on the way, how far the gradient turns from the one at the start (gradient
predictiveness), and the largest ratio of that change to the distance gone (effective beta-smoothness). Networks with batch norm are found
smoother in all three.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rungbook.errors import UsageError
from rungbook.learner.random_state import keep_random_state

RATES = tuple(0.05 * 8 ** (i / 7) for i in range(8))
"""Steps along the gradient, as learning rates: from half to four times 0.1, evenly by factors."""


@dataclass(frozen=True)
class Smoothness:
    """What was met on the way along the gradient.

    Args:
        loss: at the start.
        norm: of the gradient there.
        rates: how far each step went, as learning rates from the start.
        losses: after each.
        turns: distance (L2) of the gradient there from that at the start.
    """

    loss: float
    norm: float
    rates: tuple[float, ...]
    losses: tuple[float, ...]
    turns: tuple[float, ...]

    @property
    def loss_range(self) -> float:
        """Largest less smallest loss on the way."""
        return max(self.losses) - min(self.losses)

    @property
    def turn(self) -> float:
        """Largest change of the gradient, in units of the gradient's own length."""
        return max(self.turns) / self.norm if self.norm else 0.0

    @property
    def beta(self) -> float:
        """Effective beta-smoothness: largest change of the gradient over the distance gone; 0 where the gradient is 0."""
        return max(turn / (rate * self.norm) for turn, rate in zip(self.turns, self.rates, strict=True)) if self.norm else 0.0


def along_gradient(
    model: nn.Module,
    batch: tuple[Any, Tensor],
    loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
    *,
    rates: Sequence[float] = RATES,
) -> Smoothness:
    """Walk from the weights against the gradient of one batch and look at loss and gradient of the same batch.

    The model runs in the mode it is in: in training, batch norm uses the batch's statistics, as the paper does. Dropout draws the same
    for every step. Weights, buffers, gradients and random numbers are afterwards bit for bit what they were.

    Args:
        model: any, with torch's autograd.
        batch: inputs (several as a tuple) and targets.
        loss: (output, target) -> scalar.
        rates: learning rates, above 0.

    Raises:
        UsageError: E202 no rates, or one that is not above 0; a model without weights to train.
    """
    weights = [p for p in model.parameters() if p.requires_grad]
    if not rates or min(rates) <= 0:
        raise UsageError("E202", f"rates is {tuple(rates)}; steps along the gradient are above 0.", "rates=(0.1, 0.2, 0.4)")
    if not weights:
        raise UsageError("E202", "The model has no weights to train, so there is no gradient to go along.", "requires_grad_(True)")
    buffers = [b for b in model.buffers() if 0 not in b.stride()]  # an expanded one is a constant, and cannot be written to
    kept = [t.detach().clone() for t in (*weights, *buffers)]
    x, y = batch

    def look() -> tuple[float, list[Tensor]]:
        with keep_random_state(), torch.enable_grad():
            value = loss(model(*x) if type(x) is tuple else model(x), y)
            gradients = torch.autograd.grad(value, weights, allow_unused=True)
        return value.item(), [torch.zeros_like(w) if g is None else g for w, g in zip(weights, gradients, strict=True)]

    losses, turns = [], []
    try:
        start, gradient = look()
        for rate in rates:
            with torch.no_grad():
                for weight, at, slope in zip(weights, kept, gradient, strict=False):
                    weight.copy_(at - rate * slope)
            value, there = look()
            losses.append(value)
            turns.append(_length([a - b for a, b in zip(there, gradient, strict=True)]))
    finally:
        with torch.no_grad():
            for tensor, old in zip((*weights, *buffers), kept, strict=True):
                tensor.copy_(old)
    return Smoothness(start, _length(gradient), tuple(rates), tuple(losses), tuple(turns))


def _length(parts: list[Tensor]) -> float:
    """L2 norm of all numbers together."""
    return torch.stack([part.double().square().sum() for part in parts]).sum().sqrt().item()
