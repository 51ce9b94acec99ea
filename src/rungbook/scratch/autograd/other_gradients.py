"""Values of one function with the gradient of another: what a step, a rounding or an adversary is trained by.

The value goes forward, the gradient goes to a surrogate instead: `surrogate + (value - surrogate).detach()` says just that, wherever there
is a detach. Its value may be off by a rounding. The same as a `torch.autograd.Function` is exact and needs no second tensor, but it is a
matter of torch's engine alone: differentiation that looks below autograd, as our tape does, sees only its forward.

Straight-through: Bengio, Léonard and Courville, arXiv 1308.3432 (2013). Reversal: Ganin and Lempitsky, arXiv 1409.7495 (2015). Guided
backpropagation: Springenberg et al., arXiv 1412.6806 (2015).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def borrow_gradient(value: Tensor, surrogate: Tensor) -> Tensor:
    """The value of one tensor with the gradient of another of its shape."""
    return surrogate + (value - surrogate).detach()


def straight_through(x: Tensor, quantized: Tensor) -> Tensor:
    """What x was rounded, sampled or looked up to; x is passed the gradient as if nothing had happened."""
    return borrow_gradient(quantized, x)


def leaky_backward_relu(x: Tensor, slope: float = 0.01) -> Tensor:
    """ReLU that passes `slope` of the gradient where it is 0, so that no unit dies: leaky on the way back only."""
    return borrow_gradient(x.clamp(min=0), torch.where(x > 0, x, slope * x))


def reverse_gradient(x: Tensor, scale: float = 1.0) -> Tensor:
    """x itself, with the gradient turned round and scaled: what follows learns to tell, what comes before learns not to let it."""
    return borrow_gradient(x, -scale * x)


class StraightThrough(torch.autograd.Function):
    """`straight_through` for torch's engine: `StraightThrough.apply(x, quantized)`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, quantized: Tensor) -> Tensor:
        return quantized.clone()

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        return g, None


class LeakyBackwardReLU(torch.autograd.Function):
    """`leaky_backward_relu` for torch's engine: `LeakyBackwardReLU.apply(x, slope)`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.slope = slope
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return torch.where(x > 0, g, ctx.slope * g), None


class ReverseGradient(torch.autograd.Function):
    """`reverse_gradient` for torch's engine: `ReverseGradient.apply(x, scale)`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: float) -> Tensor:
        ctx.scale = scale
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        return -ctx.scale * g, None


class GuidedReLU(torch.autograd.Function):
    """ReLU that passes only positive gradients, to see what speaks for an answer: `GuidedReLU.apply(x)`.

    What it passes on depends on the sign of the gradient itself, so no surrogate has it as its gradient: this one is a Function or nothing.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return g.clamp(min=0) * (x > 0)
