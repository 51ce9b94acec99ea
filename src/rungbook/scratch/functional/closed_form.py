"""When a backward pass written out by hand may stand for the plain form of a function.

A closed form is faster, but nothing that looks into a function sees through it: a tape, a compiler, `torch.func`, a second derivative.
They all get the plain form, of which the closed one is an exact copy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def under_autocast(x: Tensor) -> bool:
    """Whether operations on tensors of this one's device choose their precision themselves."""
    kind = x.device.type
    return torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)


def closed_form_applies(*tensors: Tensor) -> bool:
    """Whether a closed backward serves here: some tensor wants a gradient from torch's autograd, all are of one kind, nobody looks inside.

    Under autocast every operation chooses its own precision, which a backward pass would have to choose again in the same way.
    """
    return (
        torch.is_grad_enabled()
        and any(x.requires_grad for x in tensors)
        and len({(x.dtype, x.device) for x in tensors}) == 1
        and not torch.compiler.is_compiling()
        and not under_autocast(tensors[0])
        and not torch._C._are_functorch_transforms_active()  # torch.func has no public way to ask
    )


def gradients_of_plain_form(
    plain: Callable[..., tuple[Tensor, ...]], inputs: Sequence[Tensor], wanted: Sequence[bool], gradients: Sequence[Tensor]
) -> tuple[Tensor | None, ...]:
    """What a closed backward returns when it is itself to be differentiated: the gradients of the plain form, with their graph.

    Args:
        plain: the same function, without a backward of its own.
        inputs: what it was called with, as saved for the backward pass.
        wanted: for each input whether its gradient is asked for.
        gradients: of each result.

    Returns:
        The gradient of each input, None where it is not wanted.
    """
    # An input may have been computed from another one; views of them have no such tie, so none counts twice.
    views = [x.view_as(x) if want else x for x, want in zip(inputs, wanted, strict=True)]
    asked = [x for x, want in zip(views, wanted, strict=True) if want]
    found = iter(torch.autograd.grad(plain(*views), asked, gradients, create_graph=True, allow_unused=True))
    return tuple(next(found) if want else None for want in wanted)
