"""Layers that count their input's channels when they first see one: until then they have no weights, afterwards they are ordinary layers.

The waiting itself is `torch.nn`'s: parameters without a shape, and a hook that runs once before the first forward pass.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import UninitializedParameter
from torch.nn.modules.lazy import LazyModuleMixin

from rungbook.scratch.nn.conv import Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d, Ints
from rungbook.scratch.nn.linear import Linear


class LazyLinear(LazyModuleMixin, Linear):
    """`Linear` that takes its `in_features` from its first input.

    Args:
        out_features: O.
        bias: whether there is one.
    """

    cls_to_become = Linear

    def __init__(self, out_features: int, bias: bool = True, device: Any = None, dtype: torch.dtype | None = None) -> None:
        super().__init__(0, 0, False)
        self.out_features = out_features
        self.weight = _waiting(device, dtype)
        if bias:
            self.bias = _waiting(device, dtype)

    def reset_parameters(self) -> None:
        """Draw, if there is something to draw."""
        if not self.has_uninitialized_params() and self.in_features != 0:
            super().reset_parameters()

    def initialize_parameters(self, input: Tensor) -> None:
        """Count the features and draw weights for them."""
        if self.has_uninitialized_params():
            self.in_features = input.shape[-1]
            with torch.no_grad():
                _materialize(self, (self.out_features, self.in_features), self.out_features)
                self.reset_parameters()
        if self.in_features == 0:  # weights were loaded
            self.in_features = self.weight.shape[-1]


def _waiting(device: Any, dtype: torch.dtype | None) -> Any:
    """A parameter without a shape."""
    return UninitializedParameter(device=device, dtype=dtype)  # type: ignore[call-arg]  # torch's annotation misses them


def _materialize(layer: Any, weight: tuple[int, ...], bias: int) -> None:
    """Give waiting parameters their shapes."""
    layer.weight.materialize(weight)
    if layer.bias is not None:
        layer.bias.materialize((bias,))


class _LazyConvolution(LazyModuleMixin):
    """What all lazy convolutions have in common; the class each becomes stands behind this one among its bases."""

    dims: ClassVar[int]

    def _wait(self: Any, out_channels: int, bias: bool, device: Any, dtype: torch.dtype | None) -> None:
        self.out_channels = out_channels
        self.weight = _waiting(device, dtype)
        if bias:
            self.bias = _waiting(device, dtype)

    def reset_parameters(self: Any) -> None:
        """Draw, if there is something to draw."""
        if not self.has_uninitialized_params() and self.in_channels != 0:
            super().reset_parameters()  # type: ignore[misc]  # the other base's

    def initialize_parameters(self: Any, input: Tensor, *rest: Any, **options: Any) -> None:
        """Count the channels and draw weights for them.

        Raises:
            RuntimeError: the input has neither D + 1 nor D + 2 dimensions.
            ValueError: groups do not divide its channels.
        """
        if not self.has_uninitialized_params():
            return
        if input.dim() not in (self.dims + 1, self.dims + 2):
            needed = f"{self.dims + 1} (C, L) or {self.dims + 2} (N, C, L)"
            raise RuntimeError(f"{type(self).__name__}: input {tuple(input.shape)} has {input.dim()} dimensions, needed are {needed}")
        self.in_channels = input.shape[-self.dims - 1]
        if self.in_channels % self.groups:
            raise ValueError(f"groups ({self.groups}) must divide in_channels ({self.in_channels})")
        one, other = (self.in_channels, self.out_channels) if self.transposed else (self.out_channels, self.in_channels)
        _materialize(self, (one, other // self.groups, *self.kernel_size), self.out_channels)
        self.reset_parameters()


class _LazyConv(_LazyConvolution):
    def __init__(
        self: Any,
        out_channels: int,
        kernel_size: Ints,
        stride: Ints = 1,
        padding: Ints | str = 0,
        dilation: Ints = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(0, 0, kernel_size, stride, padding, dilation, groups, False, padding_mode, device, dtype)  # type: ignore[misc]
        self._wait(out_channels, bias, device, dtype)


class _LazyConvTranspose(_LazyConvolution):
    def __init__(
        self: Any,
        out_channels: int,
        kernel_size: Ints,
        stride: Ints = 1,
        padding: Ints = 0,
        output_padding: Ints = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Ints = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(0, 0, kernel_size, stride, padding, output_padding, groups, False, dilation, padding_mode, device, dtype)  # type: ignore[misc]
        self._wait(out_channels, bias, device, dtype)


class LazyConv1d(_LazyConv, Conv1d):
    """`Conv1d` that takes its `in_channels` from its first input; all other arguments are the same."""

    cls_to_become = Conv1d


class LazyConv2d(_LazyConv, Conv2d):
    """`Conv2d` that takes its `in_channels` from its first input; all other arguments are the same."""

    cls_to_become = Conv2d


class LazyConv3d(_LazyConv, Conv3d):
    """`Conv3d` that takes its `in_channels` from its first input; all other arguments are the same."""

    cls_to_become = Conv3d


class LazyConvTranspose1d(_LazyConvTranspose, ConvTranspose1d):
    """`ConvTranspose1d` that takes its `in_channels` from its first input; all other arguments are the same."""

    cls_to_become = ConvTranspose1d


class LazyConvTranspose2d(_LazyConvTranspose, ConvTranspose2d):
    """`ConvTranspose2d` that takes its `in_channels` from its first input; all other arguments are the same."""

    cls_to_become = ConvTranspose2d


class LazyConvTranspose3d(_LazyConvTranspose, ConvTranspose3d):
    """`ConvTranspose3d` that takes its `in_channels` from its first input; all other arguments are the same."""

    cls_to_become = ConvTranspose3d
