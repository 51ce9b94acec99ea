"""Normalisation of each sample as layers: over last dimensions, groups of channels, neighbouring channels. `batchnorm` has the others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module, Parameter

from rungbook.scratch import functional as F


def register_affine(module: Module, shape: Sequence[int], weight: bool, bias: bool, device: Any, dtype: torch.dtype | None) -> None:
    """Give a module the parameters `weight` and `bias`, or None for those that it is not to have."""
    for name, wanted in (("weight", weight), ("bias", bias)):
        module.register_parameter(name, Parameter(torch.empty(*shape, device=device, dtype=dtype)) if wanted else None)


def reset_affine(module: Module) -> None:
    """Scale 1, shift 0."""
    with torch.no_grad():
        for name, value in (("weight", 1), ("bias", 0)):
            parameter = module._parameters.get(name)
            if parameter is not None:
                parameter.fill_(value)


class _Affine(Module):
    """A layer with weight and bias, or None for them."""

    weight: Tensor | None
    bias: Tensor | None

    def reset_parameters(self) -> None:
        """Scale 1, shift 0."""
        reset_affine(self)


class LayerNorm(_Affine):
    """`(x - mean) / sqrt(var + eps) * weight + bias` over the last dimensions.

    Args:
        normalized_shape: their sizes; a number for one.
        eps: added to the variance.
        elementwise_affine: whether there are weight and bias, of that shape.
        bias: whether there is a bias.
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = tuple(normalized_shape) if isinstance(normalized_shape, Iterable) else (normalized_shape,)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        register_affine(self, self.normalized_shape, elementwise_affine, elementwise_affine and bias, device, dtype)
        self.reset_parameters()

    def forward(self, input: Tensor) -> Tensor:
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        affine = self.elementwise_affine
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={affine}, bias={self.bias is not None}"


class RMSNorm(_Affine):
    """`x / sqrt(mean(x^2) + eps) * weight` over the last dimensions.

    Args:
        normalized_shape: their sizes; a number for one.
        eps: added to the mean square; None takes the machine epsilon of the type.
        elementwise_affine: whether there is a weight, of that shape.
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = tuple(normalized_shape) if isinstance(normalized_shape, Iterable) else (normalized_shape,)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        weight = Parameter(torch.empty(self.normalized_shape, device=device, dtype=dtype)) if elementwise_affine else None
        self.register_parameter("weight", weight)
        self.reset_parameters()

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class GroupNorm(_Affine):
    """`(x - mean) / sqrt(var + eps) * weight + bias` for each group of channels of each sample.

    Args:
        num_groups: G, a divisor of C.
        num_channels: C.
        eps: added to the variance.
        affine: whether there are weight and bias, (C).
        bias: whether there is a bias.

    Raises:
        ValueError: G does not divide C.
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if num_channels % num_groups:
            raise ValueError(f"GroupNorm: num_groups ({num_groups}) must divide num_channels ({num_channels})")
        self.num_groups, self.num_channels = num_groups, num_channels
        self.eps, self.affine = eps, affine
        register_affine(self, (num_channels,), affine, affine and bias, device, dtype)
        self.reset_parameters()

    def forward(self, input: Tensor) -> Tensor:
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, bias={self.bias is not None}"


class LocalResponseNorm(Module):
    """`x / (k + alpha mean(x^2 over size channels around))^beta`.

    Args:
        size: number of channels.
        alpha, beta, k: as above.
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, input: Tensor) -> Tensor:
        return F.local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"
