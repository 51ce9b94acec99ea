"""Which number types a training computes in, and how gradients come of it: the part of the Learner that mixed precision replaces.

Here are float32 and autocast to bfloat16, whose range is float32's. What needs a loss scale is in `rungbook.scale.precision`, and is given
to the Learner as an object.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from rungbook.errors import UsageError
from rungbook.learner.memory import Memory

_NO_CAST = nullcontext()


class Casting:
    """Computes in the type of the weights; a subclass says otherwise."""

    name = "fp32"

    def goes_with(self, memory: Memory, tape: Any) -> None:
        """Raises UsageError E202 for a way to call the model, or to take gradients, that excludes it."""

    def forward(self, forward: Callable[..., Any], model: nn.Module) -> Callable[..., Any]:
        """What the Learner calls for outputs, from what it would call.

        Args:
            forward: the model, compiled or otherwise prepared.
            model: the model itself, whose weights the optimiser moves.
        """
        return forward

    def cast(self, device: torch.device) -> Any:
        """The context of forward pass and loss."""
        return _NO_CAST

    def differentiate(self, loss: Tensor, weight: float | Tensor, params: Sequence[Tensor]) -> None:
        """Add the gradients of `weight * loss` to those of the parameters."""
        if isinstance(weight, int) and weight == 1:
            loss.backward()
        else:
            (loss * weight).backward()

    def end_step(self) -> Tensor | None:
        """Called when the gradients of a step are complete: a flag on the device, whether they overflowed and no step is to be made.

        None where gradients are never expected to: one that is not finite is then an error.
        """
        return None

    def check(self) -> None:
        """Called at reports, where the device may be waited for. Raises NotFinite if overflowing has no end."""

    def state_dict(self) -> dict[str, Any]:
        """What must be saved to continue exactly."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what `state_dict` gave."""


class BFloat16(Casting):
    """Autocast to bfloat16: matrix products in it, sums and losses in float32."""

    name = "bf16"

    def cast(self, device: torch.device) -> Any:
        """Autocast."""
        return torch.autocast(device.type, torch.bfloat16)


def make_casting(precision: str | Casting, memory: Memory, tape: Any) -> Casting:
    """From a name or an object.

    Raises:
        UsageError: E202, another name, or what it does not go with.
    """
    if isinstance(precision, Casting):
        precision.goes_with(memory, tape)
        return precision
    if precision in ("fp16", "fp16_by_hand"):
        fix = f'from rungbook.scale.precision import make_precision; Learner(..., precision=make_precision("{precision}"))'
        raise UsageError("E202", f"precision {precision} scales the loss, and is made outside the Learner.", fix)
    if precision not in ("fp32", "bf16"):
        raise UsageError("E202", f'precision is "{precision}", it must be fp32 or bf16.')
    return BFloat16() if precision == "bf16" else Casting()
