"""Smooth activations, written so that neither a value nor a slope overflows: every exponential is of something at most 0.

For that `-|x|` is needed, with a slope of -1 (or 1) at 0, where `abs` has 0: the slopes of the pieces on both sides then agree.
Whole numbers are taken where torch takes them, and refused with a NotImplementedError elsewhere.
A function in place keeps what its derivative needs: it is computed from a copy, and then written over the input.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rungbook.scratch.functional.number_types import need_fractions

# both to all digits from Klambauer et al. (2017): with them, mean 0 and variance 1 stay as they are
SELU_ALPHA = 1.6732632423543772848170429916717
SELU_SCALE = 1.0507009873554804934193349852946


def minus_abs(x: Tensor) -> Tensor:
    """`-|x|`, with slope -1 at 0."""
    return torch.where(x < 0, x, -x)


def _real(x: Tensor) -> Tensor:
    """Whole numbers and truth values as real numbers: the former may have no negatives."""
    return x if x.is_floating_point() else x.to(torch.get_default_dtype())


def sigmoid(input: Tensor) -> Tensor:
    """`1 / (1 + exp(-x))`, below 0 as `exp(x) / (1 + exp(x))`.

    Args:
        input: any shape.
    """
    if input.is_complex():  # which have no order
        return 1 / (1 + (-input).exp())
    input = _real(input)
    e = minus_abs(input).exp()
    return torch.where(input < 0, e, 1) / (1 + e)


def tanh(input: Tensor) -> Tensor:
    """`(1 - exp(-2x)) / (1 + exp(-2x))`, odd: its size from `|x|`, with expm1 because near 0 the 1 would take all digits.

    Args:
        input: any shape.
    """
    if input.is_complex():
        left = input.real < 0
        t = (2 * torch.where(left, input, -input)).expm1()
        return torch.where(left, t, -t) / (t + 2)
    input = _real(input)
    t = (2 * minus_abs(input)).expm1()
    return torch.where(input < 0, t, -t) / (t + 2)


def logsigmoid(input: Tensor) -> Tensor:
    """`log(sigmoid(x)) = min(x, 0) - log(1 + exp(-|x|))`.

    Args:
        input: any shape.
    """
    need_fractions("logsigmoid", input)
    return torch.where(input < 0, input, 0) - minus_abs(input).exp().log1p()


def softplus(input: Tensor, beta: float = 1, threshold: float = 20) -> Tensor:
    """`log(1 + exp(beta x)) / beta`: Dugas et al. (2001).

    Args:
        input: any shape.
        beta: sharpness.
        threshold: where beta x is above it the result is x itself.
    """
    need_fractions("softplus", input)
    z = beta * input
    soft = torch.where(z < 0, 0, z) + minus_abs(z).exp().log1p()
    return torch.where(z > threshold, input, soft / beta)


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """`x * sigmoid(x)`: Hendrycks and Gimpel (2016); Elfwing, Uchibe and Doya (2018); as swish Ramachandran et al. (2017).

    Args:
        input: any shape.
        inplace: write the result over the input.
    """
    need_fractions("silu", input)
    return input.copy_(silu(input.clone())) if inplace else input * sigmoid(input)


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """`x * tanh(softplus(x))`: Misra (2019).

    Args:
        input: any shape.
        inplace: write the result over the input.
    """
    need_fractions("mish", input)
    return input.copy_(mish(input.clone())) if inplace else input * tanh(softplus(input))


def gelu(input: Tensor, *, approximate: str = "none") -> Tensor:
    """`x * P(Z <= x)` for a standard normal Z: Hendrycks and Gimpel (2016).

    Args:
        input: any shape.
        approximate: "none": `x (1 + erf(x / sqrt(2))) / 2`; "tanh": `x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2` (section 2).

    Raises:
        RuntimeError: approximate is neither.
    """
    if approximate not in ("none", "tanh"):
        raise RuntimeError(f"gelu: approximate is {approximate!r}, 'none' or 'tanh' is needed")
    need_fractions("gelu", input)
    if approximate == "none":
        return input * 0.5 * (1 + torch.erf(input * math.sqrt(0.5)))
    if input.dtype == torch.float16:  # the cube of 41 does not fit
        return gelu(input.float(), approximate="tanh").half()
    return input * 0.5 * (1 + tanh(math.sqrt(2 / math.pi) * (input + 0.044715 * input * input * input)))


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """`x` above 0, `alpha (exp(x) - 1)` below: Clevert, Unterthiner and Hochreiter (2016).

    Args:
        input: any shape.
        alpha: -alpha is the limit below.
        inplace: write the result over the input.
    """
    need_fractions("elu", input)
    return elu_(input, alpha) if inplace else torch.where(input <= 0, alpha * input.clamp(max=0).expm1(), input)


def elu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """`elu` written over its input."""
    return input.copy_(elu(input.clone(), alpha))


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """`x` above 0, `alpha (exp(x / alpha) - 1)` below, with slope 1 at 0 for any alpha: Barron (2017).

    Args:
        input: any shape.
        alpha: -alpha is the limit below.
        inplace: write the result over the input.

    Raises:
        RuntimeError: alpha is 0.
    """
    if alpha == 0:
        raise RuntimeError("celu: alpha is 0, the input is divided by it")
    need_fractions("celu", input)
    return celu_(input, alpha) if inplace else torch.where(input <= 0, alpha * (input.clamp(max=0) / alpha).expm1(), input)


def celu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """`celu` written over its input."""
    return input.copy_(celu(input.clone(), alpha))


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """`scale * elu(x, alpha)`, with the two numbers that keep mean 0 and variance 1: Klambauer et al. (2017).

    Args:
        input: any shape.
        inplace: write the result over the input.
    """
    need_fractions("selu", input)
    return selu_(input) if inplace else SELU_SCALE * elu(input, SELU_ALPHA)


def selu_(input: Tensor) -> Tensor:
    """`selu` written over its input."""
    return input.copy_(selu(input.clone()))


def tanhshrink(input: Tensor) -> Tensor:
    """`x - tanh(x)`.

    Args:
        input: any shape.
    """
    return input - tanh(input)


def softsign(input: Tensor) -> Tensor:
    """`x / (1 + |x|)`: Turian, Bergstra and Bengio (2009).

    Args:
        input: any shape.
    """
    return input / (input.abs() + 1)


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """`a * sigmoid(b)` of an input's halves a and b: Dauphin et al. (2017).

    Args:
        input: any shape but ().
        dim: dimension that is halved.

    Raises:
        RuntimeError: there is no such half.
    """
    if input.dim() == 0:
        raise RuntimeError("glu: input is a single number, a dimension to halve is needed")
    size = input.shape[dim]
    if size % 2:
        raise RuntimeError(f"glu: input {tuple(input.shape)} has {size} entries in dimension {dim}, an even number is needed")
    need_fractions("glu", input)
    a, b = input.narrow(dim, 0, size // 2), input.narrow(dim, size // 2, size // 2)
    return a * sigmoid(b)
