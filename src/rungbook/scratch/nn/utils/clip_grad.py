"""Clipping gradients, by their common length or each entry by its size."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from rungbook.scratch.functional.vector import p_norm


def get_total_norm(
    tensors: Tensor | Iterable[Tensor], norm_type: float = 2.0, error_if_nonfinite: bool = False, foreach: bool | None = None
) -> Tensor:
    """The norm of all entries of some tensors together: the norm of their norms.

    Args:
        tensors: one or several.
        norm_type: order of the norm.
        error_if_nonfinite: whether an infinite or undefined norm raises.
        foreach: has no effect; in torch it chooses between two ways to the same number.

    Raises:
        RuntimeError: the norm is not finite, and that is to raise.
    """
    tensors = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    with torch.no_grad():
        if not tensors:
            return torch.tensor(0.0)
        each = [p_norm(t.reshape(-1), float(norm_type), 0) for t in tensors]
        total = p_norm(torch.stack([n.to(each[0].device) for n in each]), float(norm_type), 0)
        if error_if_nonfinite and not total.isfinite():
            raise RuntimeError(
                f"the norm of order {norm_type} of the gradients is {float(total)}, they cannot be scaled to another one; "
                "error_if_nonfinite=False scales them by it nevertheless"
            )
        return total


def clip_grads_with_norm_(parameters: Tensor | Iterable[Tensor], max_norm: float, total_norm: Tensor, foreach: bool | None = None) -> None:
    """Scale all gradients by `max_norm / (total_norm + 1e-6)` if that is below 1, in place.

    Args:
        parameters: whose gradients.
        max_norm: the norm that they have at most afterwards.
        total_norm: the one they have now.
        foreach: has no effect, as in `get_total_norm`.
    """
    with torch.no_grad():
        factor = (float(max_norm) / (total_norm + 1e-6)).clamp(max=1.0)  # torch's 1e-6
        for gradient in _gradients(parameters):
            gradient.mul_(factor.to(gradient.device))


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scale all gradients together so that their norm is at most `max_norm`, in place: Pascanu, Mikolov and Bengio (2013).

    Args:
        parameters: whose gradients.
        max_norm: the norm that they have at most afterwards.
        norm_type: order of the norm.
        error_if_nonfinite: whether an infinite or undefined norm raises.
        foreach: has no effect, as in `get_total_norm`.

    Returns:
        The norm before.

    Raises:
        RuntimeError: the norm is not finite, and that is to raise.
    """
    parameters = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    total = get_total_norm(_gradients(parameters), norm_type, error_if_nonfinite, foreach)
    clip_grads_with_norm_(parameters, max_norm, total, foreach)
    return total


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float, foreach: bool | None = None) -> None:
    """Put each entry of the gradients between `-clip_value` and `clip_value`, in place.

    Args:
        parameters: whose gradients.
        clip_value: the largest size.
        foreach: has no effect, as in `get_total_norm`.
    """
    with torch.no_grad():
        for gradient in _gradients(parameters):
            gradient.clamp_(-float(clip_value), float(clip_value))


def _gradients(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    every = [parameters] if isinstance(parameters, Tensor) else parameters
    return [p.grad for p in every if p.grad is not None]
