"""Activations as layers; the mathematics is in `functional`."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module, Parameter

from rungbook.scratch import functional as F


class _InPlace(Module):
    """An activation whose only argument is whether its result is written over the input."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


def _and_in_place(module: Module) -> str:
    return ", inplace=True" if module.inplace else ""


class ReLU(_InPlace):
    """`max(0, x)`.

    Args:
        inplace: write the result over the input.
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.relu(input, self.inplace)


class LeakyReLU(Module):
    """`x` above 0, `negative_slope * x` below.

    Args:
        negative_slope: slope at 0 and below.
        inplace: write the result over the input.
    """

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__()
        self.negative_slope, self.inplace = negative_slope, inplace

    def forward(self, input: Tensor) -> Tensor:
        return F.leaky_relu(input, self.negative_slope, self.inplace)

    def extra_repr(self) -> str:
        return f"negative_slope={self.negative_slope}{_and_in_place(self)}"


class PReLU(Module):
    """`x` above 0, `weight * x` below, with a slope that is learned.

    Args:
        num_parameters: 1, or one for each channel.
        init: the slope in the beginning.
    """

    def __init__(self, num_parameters: int = 1, init: float = 0.25, device: Any = None, dtype: torch.dtype | None = None) -> None:
        super().__init__()
        self.num_parameters, self.init = num_parameters, init
        self.weight = Parameter(torch.empty(num_parameters, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set all slopes to `init`."""
        with torch.no_grad():
            self.weight.fill_(self.init)

    def forward(self, input: Tensor) -> Tensor:
        return F.prelu(input, self.weight)

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"


class RReLU(Module):
    """`x` above 0, `a * x` below, `a` drawn anew for each element in training.

    Args:
        lower, upper: between these `a` is drawn; outside training it is their mean.
        inplace: write the result over the input.
    """

    def __init__(self, lower: float = 1.0 / 8, upper: float = 1.0 / 3, inplace: bool = False) -> None:
        super().__init__()
        self.lower, self.upper, self.inplace = lower, upper, inplace

    def forward(self, input: Tensor) -> Tensor:
        return F.rrelu(input, self.lower, self.upper, self.training, self.inplace)

    def extra_repr(self) -> str:
        return f"lower={self.lower}, upper={self.upper}{_and_in_place(self)}"


class Threshold(Module):
    """`x` above a threshold, and a constant elsewhere.

    Args:
        threshold: above it the input passes.
        value: what stands elsewhere.
        inplace: write the result over the input.
    """

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        super().__init__()
        self.threshold, self.value, self.inplace = threshold, value, inplace

    def forward(self, input: Tensor) -> Tensor:
        return F.threshold(input, self.threshold, self.value, self.inplace)

    def extra_repr(self) -> str:
        return f"threshold={self.threshold}, value={self.value}{_and_in_place(self)}"


class Hardtanh(Module):
    """`min(max(x, min_val), max_val)`.

    Args:
        min_val, max_val: bounds.
        inplace: write the result over the input.
        min_value, max_value: former names of the bounds.

    Raises:
        AssertionError: min_val is not below max_val.
    """

    def __init__(
        self,
        min_val: float = -1.0,
        max_val: float = 1.0,
        inplace: bool = False,
        min_value: float | None = None,
        max_value: float | None = None,
    ) -> None:
        super().__init__()
        for former, given, name in (("min_value", min_value, "min_val"), ("max_value", max_value, "max_val")):
            if given is not None:
                warnings.warn(f"Hardtanh: `{former}` is deprecated, its name is `{name}`", FutureWarning, stacklevel=2)
        self.min_val = min_val if min_value is None else min_value
        self.max_val = max_val if max_value is None else max_value
        self.inplace = inplace
        if self.max_val <= self.min_val:
            raise AssertionError(f"Hardtanh: min_val ({self.min_val}) must be below max_val ({self.max_val})")

    def forward(self, input: Tensor) -> Tensor:
        return F.hardtanh(input, self.min_val, self.max_val, self.inplace)

    def extra_repr(self) -> str:
        return f"min_val={self.min_val}, max_val={self.max_val}{_and_in_place(self)}"


class ReLU6(Hardtanh):
    """`min(max(0, x), 6)`.

    Args:
        inplace: write the result over the input.
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__(0.0, 6.0, inplace)

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


class Hardsigmoid(_InPlace):
    """`min(max(0, x + 3), 6) / 6`.

    Args:
        inplace: write the result over the input.
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.hardsigmoid(input, self.inplace)

    def extra_repr(self) -> str:
        return ""  # torch's shows nothing


class Hardswish(_InPlace):
    """`x * hardsigmoid(x)`.

    Args:
        inplace: write the result over the input.
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.hardswish(input, self.inplace)

    def extra_repr(self) -> str:
        return ""  # torch's shows nothing


class Hardshrink(Module):
    """`x` where it is further than `lambd` from 0, and 0 elsewhere.

    Args:
        lambd: half the width of what becomes 0.
    """

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def forward(self, input: Tensor) -> Tensor:
        return F.hardshrink(input, self.lambd)

    def extra_repr(self) -> str:
        return str(self.lambd)


class Softshrink(Module):
    """`x` moved by `lambd` towards 0, and 0 where it is nearer than that.

    Args:
        lambd: how far.
    """

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def forward(self, input: Tensor) -> Tensor:
        return F.softshrink(input, self.lambd)

    def extra_repr(self) -> str:
        return str(self.lambd)


class Sigmoid(Module):
    """`1 / (1 + exp(-x))`."""

    def forward(self, input: Tensor) -> Tensor:
        return F.sigmoid(input)


class LogSigmoid(Module):
    """`log(sigmoid(x))`."""

    def forward(self, input: Tensor) -> Tensor:
        return F.logsigmoid(input)


class Tanh(Module):
    """`tanh(x)`."""

    def forward(self, input: Tensor) -> Tensor:
        return F.tanh(input)


class Tanhshrink(Module):
    """`x - tanh(x)`."""

    def forward(self, input: Tensor) -> Tensor:
        return F.tanhshrink(input)


class Softsign(Module):
    """`x / (1 + |x|)`."""

    def forward(self, input: Tensor) -> Tensor:
        return F.softsign(input)


class SiLU(_InPlace):
    """`x * sigmoid(x)`.

    Args:
        inplace: write the result over the input.
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.silu(input, self.inplace)


class Mish(_InPlace):
    """`x * tanh(softplus(x))`.

    Args:
        inplace: write the result over the input.
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.mish(input, self.inplace)


class GELU(Module):
    """`x * P(Z <= x)` for a standard normal Z.

    Args:
        approximate: "none" (by erf) or "tanh".
    """

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = approximate

    def forward(self, input: Tensor) -> Tensor:
        return F.gelu(input, approximate=self.approximate)

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class ELU(Module):
    """`x` above 0, `alpha (exp(x) - 1)` below.

    Args:
        alpha: -alpha is the limit below.
        inplace: write the result over the input.
    """

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha, self.inplace = alpha, inplace

    def forward(self, input: Tensor) -> Tensor:
        return F.elu(input, self.alpha, self.inplace)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}{_and_in_place(self)}"


class CELU(Module):
    """`x` above 0, `alpha (exp(x / alpha) - 1)` below.

    Args:
        alpha: -alpha is the limit below.
        inplace: write the result over the input.
    """

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha, self.inplace = alpha, inplace

    def forward(self, input: Tensor) -> Tensor:
        return F.celu(input, self.alpha, self.inplace)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}{_and_in_place(self)}"


class SELU(_InPlace):
    """`scale * elu(x, alpha)`, with the two numbers that keep mean 0 and variance 1.

    Args:
        inplace: write the result over the input.
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.selu(input, self.inplace)


class Softplus(Module):
    """`log(1 + exp(beta x)) / beta`.

    Args:
        beta: sharpness.
        threshold: where beta x is above it the result is x itself.
    """

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta, self.threshold = beta, threshold

    def forward(self, input: Tensor) -> Tensor:
        return F.softplus(input, self.beta, self.threshold)

    def extra_repr(self) -> str:
        return f"beta={self.beta}, threshold={self.threshold}"


class GLU(Module):
    """`a * sigmoid(b)` of an input's halves a and b.

    Args:
        dim: dimension that is halved.
    """

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        return F.glu(input, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"
