"""Affine layers."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module, Parameter

from rungbook.scratch import functional as F


def fan_in_bound(fan_in: int) -> float:
    """`1 / sqrt(fan_in)`, within which torch draws weights since Lua: not Glorot's nor He's bound (pytorch issue 15314).

    It is computed as He's for a leaky ReLU of slope sqrt(5), in torch's order: in float64 the last bit of a draw depends on it.
    """
    gain = math.sqrt(2.0 / (1 + math.sqrt(5) ** 2))
    return math.sqrt(3.0) * (gain / math.sqrt(fan_in)) if fan_in > 0 else 0.0


class Linear(Module):
    """`y = x @ weight.T + bias`.

    Args:
        in_features: I, size of the last dimension of the input.
        out_features: O, of the output.
        bias: whether there is one.

    Shape:
        (*, I) -> (*, O).
    """

    weight: Parameter
    bias: Parameter | None

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, device: Any = None, dtype: torch.dtype | None = None
    ) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.weight = Parameter(torch.empty(out_features, in_features, device=device, dtype=dtype))
        self.register_parameter("bias", Parameter(torch.empty(out_features, device=device, dtype=dtype)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weights and bias uniformly within 1 / sqrt(I)."""
        bound = fan_in_bound(self.in_features)
        with torch.no_grad():
            self.weight.uniform_(-bound, bound)
            if self.bias is not None:
                bound = 1 / math.sqrt(self.in_features) if self.in_features > 0 else 0.0
                self.bias.uniform_(-bound, bound)

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


class Bilinear(Module):
    """`y[o] = x1 @ weight[o] @ x2 + bias[o]`.

    Args:
        in1_features: I, size of the last dimension of the first input.
        in2_features: J, of the second.
        out_features: O, of the output.
        bias: whether there is one.

    Shape:
        (*, I), (*, J) -> (*, O).

    Raises:
        ValueError: there are no features.
    """

    weight: Parameter
    bias: Parameter | None

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if in1_features <= 0:
            raise ValueError(f"in1_features ({in1_features}) must be at least 1")
        self.in1_features, self.in2_features, self.out_features = in1_features, in2_features, out_features
        self.weight = Parameter(torch.empty(out_features, in1_features, in2_features, device=device, dtype=dtype))
        self.register_parameter("bias", Parameter(torch.empty(out_features, device=device, dtype=dtype)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weights and bias uniformly within 1 / sqrt(I)."""
        bound = 1 / math.sqrt(self.in1_features)
        with torch.no_grad():
            self.weight.uniform_(-bound, bound)
            if self.bias is not None:
                self.bias.uniform_(-bound, bound)

    def forward(self, input1: Tensor, input2: Tensor) -> Tensor:
        return F.bilinear(input1, input2, self.weight, self.bias)

    def extra_repr(self) -> str:
        features = f"in1_features={self.in1_features}, in2_features={self.in2_features}, out_features={self.out_features}"
        return f"{features}, bias={self.bias is not None}"


class Identity(Module):
    """The input, untouched: a place where a layer may be left out. Takes any arguments and ignores them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        return input
