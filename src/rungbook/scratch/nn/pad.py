"""Padding as layers. Numbers are (left, right) of the last dimension, then of the one before it; one number stands for all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor
from torch.nn import Module

from rungbook.scratch import functional as F
from rungbook.scratch.functional.spatial import each

Ints = int | Sequence[int]


class _Pad(Module):
    """Repeats elements of the input beyond its border."""

    dims: ClassVar[int]
    mode: ClassVar[str]

    def __init__(self, padding: Ints) -> None:
        super().__init__()
        self.padding = each(padding, 2 * self.dims, "padding")

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, self.mode)

    def extra_repr(self) -> str:
        return str(self.padding)


class _Constant(Module):
    """One value beyond the border."""

    dims: ClassVar[int]

    def __init__(self, padding: Ints, value: float) -> None:
        super().__init__()
        self.value = value
        self.padding = each(padding, 2 * self.dims, "padding")

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class ConstantPad1d(_Constant):
    """`value` beyond both ends of a sequence (N, C, L); a negative padding cuts off."""

    dims = 1


class ConstantPad2d(_Constant):
    """`value` around an image (N, C, H, W)."""

    dims = 2


class ConstantPad3d(_Constant):
    """`value` around a volume (N, C, D, H, W)."""

    dims = 3


class _Zero(_Constant):
    def __init__(self, padding: Ints) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return str(self.padding)


class ZeroPad1d(_Zero):
    """Zeros beyond both ends of a sequence (N, C, L)."""

    dims = 1


class ZeroPad2d(_Zero):
    """Zeros around an image (N, C, H, W)."""

    dims = 2


class ZeroPad3d(_Zero):
    """Zeros around a volume (N, C, D, H, W)."""

    dims = 3


class ReflectionPad1d(_Pad):
    """The mirror image beyond both ends of a sequence (N, C, L), the end being the mirror."""

    dims, mode = 1, "reflect"


class ReflectionPad2d(_Pad):
    """The mirror image around an image (N, C, H, W)."""

    dims, mode = 2, "reflect"


class ReflectionPad3d(_Pad):
    """The mirror image around a volume (N, C, D, H, W)."""

    dims, mode = 3, "reflect"


class ReplicationPad1d(_Pad):
    """The first element before, the last one after a sequence (N, C, L)."""

    dims, mode = 1, "replicate"


class ReplicationPad2d(_Pad):
    """The nearest element of the border around an image (N, C, H, W)."""

    dims, mode = 2, "replicate"


class ReplicationPad3d(_Pad):
    """The nearest element of the border around a volume (N, C, D, H, W)."""

    dims, mode = 3, "replicate"


class _Circular(_Pad):
    """Torch counts the dimensions of an input here, and nowhere else."""

    mode = "circular"

    def forward(self, input: Tensor) -> Tensor:
        if input.dim() not in (self.dims + 1, self.dims + 2):
            needed = f"{self.dims + 1} or {self.dims + 2}"
            raise ValueError(f"{type(self).__name__}: input {tuple(input.shape)} has {input.dim()} dimensions, needed are {needed}")
        return super().forward(input)


class CircularPad1d(_Circular):
    """The other end beyond each end of a sequence (N, C, L): as if it were a ring."""

    dims = 1


class CircularPad2d(_Circular):
    """The other side beyond each side of an image (N, C, H, W): as if it were a torus."""

    dims = 2


class CircularPad3d(_Circular):
    """The other side beyond each side of a volume (N, C, D, H, W)."""

    dims = 3
