"""Sharpness-aware minimisation (Foret, Kleiner, Mobahi, Neyshabur 2021, algorithm 1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from rungbook.errors import UsageError
from rungbook.learner.buffers import same_buffers
from rungbook.learner.callback import Callback

if TYPE_CHECKING:
    from rungbook.learner.learner import Learner


class SAM(Callback):
    """Steps along the gradient of the worst weights nearby: at `w + rho * g / |g|` instead of at w, where g is the gradient at w.

    Costs a second forward and backward pass a step. Both see the same batch and the same dropout; running statistics (batch norm's, and any
    other buffer) are those of the first pass, and so are losses and metrics. `after_loss` is told of both. The second gradient is what is
    clipped, and what later callbacks see.

    Args:
        rho: how far away, as a length in the space of all weights (0.05 in the paper on CIFAR and ImageNet).

    Raises:
        ValueError: rho is not above 0.
        UsageError: E202, when fit begins: gradients are accumulated, and each batch would be looked at from other weights.
    """

    changes_training = True
    order = -100  # what others do to the gradient, they do to the second

    def __init__(self, rho: float = 0.05) -> None:
        if not rho > 0:
            raise ValueError(f"rho is {rho}, it must be above 0")
        self.rho = rho

    def before_fit(self, learner: Learner) -> None:
        """See that a step is one batch."""
        if learner.accumulate != 1:
            message = f"sam looks at one batch twice for a step; accumulate={learner.accumulate} makes a step of several."
            raise UsageError("E202", message, "accumulate=1")

    def before_batch(self, learner: Learner) -> None:
        """Remember the random numbers, for the second pass."""
        self._random = _random(learner.device)

    def after_backward(self, learner: Learner) -> None:
        """Go up the slope, take the gradient there, come back."""
        params = [p for p in learner.params if p.grad is not None]
        weights = [p.detach() for p in params]
        kept = [w.clone() for w in weights]
        gradients: list[Any] = [p.grad for p in params]
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
        torch._foreach_add_(weights, torch._foreach_mul(gradients, self.rho / (norm + 1e-12)))
        for p in params:
            p.grad = None
        first, now = (learner.output, learner.batch_loss), _random(learner.device)
        try:
            with same_buffers(learner.model):
                _set_random(self._random, learner.device)
                learner.run_batch()
        finally:
            _set_random(now, learner.device)
            torch._foreach_copy_(weights, kept)
            learner.output, learner.batch_loss = first
        learner.clip_gradients()


def _random(device: torch.device) -> tuple[Tensor, Tensor | None]:
    return torch.get_rng_state(), torch.cuda.get_rng_state(device) if device.type == "cuda" else None


def _set_random(state: tuple[Tensor, Tensor | None], device: torch.device) -> None:
    torch.set_rng_state(state[0])
    if state[1] is not None:
        torch.cuda.set_rng_state(state[1], device)
