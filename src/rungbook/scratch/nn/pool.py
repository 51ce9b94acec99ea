"""Pooling as layers: windows of the input by one number each. They hold settings only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor
from torch.nn import Module

from rungbook.scratch import functional as F
from rungbook.scratch.functional.adaptive_pool import Sizes
from rungbook.scratch.functional.max_pool import Ints, Pooled
from rungbook.scratch.functional.spatial import each


class _MaxPool(Module):
    def __init__(
        self,
        kernel_size: Ints,
        stride: Ints | None = None,
        padding: Ints = 0,
        dilation: Ints = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding, self.dilation = padding, dilation
        self.return_indices, self.ceil_mode = return_indices, ceil_mode

    def _settings(self) -> tuple[Ints, Ints, Ints, Ints, bool, bool]:
        return self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode, self.return_indices

    def extra_repr(self) -> str:
        windows = f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"
        return f"{windows}, dilation={self.dilation}, ceil_mode={self.ceil_mode}"


class MaxPool1d(_MaxPool):
    """Largest element of each window: `F.max_pool1d`.

    Args:
        kernel_size: elements in a window.
        stride: from one window to the next; as large as the window if None.
        padding: on both sides, smaller than every element.
        dilation: from one element of a window to the next.
        return_indices: also where the maxima stood, for `MaxUnpool1d`.
        ceil_mode: whether a last window may run over the end.

    Shape:
        (N, C, L) -> (N, C, O), or without N.
    """

    def forward(self, input: Tensor) -> Pooled:
        return F.max_pool1d(input, *self._settings())


class MaxPool2d(_MaxPool):
    """`MaxPool1d` over images: (N, C, H, W), or without N."""

    def forward(self, input: Tensor) -> Pooled:
        return F.max_pool2d(input, *self._settings())


class MaxPool3d(_MaxPool):
    """`MaxPool1d` over volumes: (N, C, D, H, W), or without N."""

    def forward(self, input: Tensor) -> Pooled:
        return F.max_pool3d(input, *self._settings())


class _MaxUnpool(Module):
    dims: ClassVar[int]

    def __init__(self, kernel_size: Ints, stride: Ints | None = None, padding: Ints = 0) -> None:
        super().__init__()
        self.kernel_size = each(kernel_size, self.dims, "kernel_size")
        self.stride = each(kernel_size if stride is None else stride, self.dims, "stride")
        self.padding = each(padding, self.dims, "padding")

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxUnpool1d(_MaxUnpool):
    """Maxima back at their places, zero elsewhere: `F.max_unpool1d`; `forward` takes the pooling's indices, and L as `output_size`."""

    dims = 1

    def forward(self, input: Tensor, indices: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        return F.max_unpool1d(input, indices, self.kernel_size, self.stride, self.padding, output_size)


class MaxUnpool2d(_MaxUnpool):
    """`MaxUnpool1d` over images: (N, C, O, O'), or without N."""

    dims = 2

    def forward(self, input: Tensor, indices: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        return F.max_unpool2d(input, indices, self.kernel_size, self.stride, self.padding, output_size)


class MaxUnpool3d(_MaxUnpool):
    """`MaxUnpool1d` over volumes: (N, C, O, O', O''), or without N."""

    dims = 3

    def forward(self, input: Tensor, indices: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        return F.max_unpool3d(input, indices, self.kernel_size, self.stride, self.padding, output_size)


class AvgPool1d(Module):
    """Mean of each window: `F.avg_pool1d`.

    Args:
        kernel_size: elements in a window.
        stride: from one window to the next; as large as the window if None.
        padding: zeros on both sides.
        ceil_mode: whether a last window may run over the end.
        count_include_pad: whether the zeros count.

    Shape:
        (N, C, L) -> (N, C, O), or without N.
    """

    def __init__(
        self, kernel_size: Ints, stride: Ints | None = None, padding: Ints = 0, ceil_mode: bool = False, count_include_pad: bool = True
    ) -> None:
        super().__init__()
        self.kernel_size = each(kernel_size, 1, "kernel_size")
        self.stride = each(kernel_size if stride is None else stride, 1, "stride")
        self.padding = each(padding, 1, "padding")
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad

    def forward(self, input: Tensor) -> Tensor:
        return F.avg_pool1d(input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class _AvgPool(Module):
    def __init__(
        self,
        kernel_size: Ints,
        stride: Ints | None = None,
        padding: Ints = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding, self.ceil_mode = padding, ceil_mode
        self.count_include_pad, self.divisor_override = count_include_pad, divisor_override

    def _settings(self) -> tuple[Ints, Ints, Ints, bool, bool, int | None]:
        return self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad, self.divisor_override

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool2d(_AvgPool):
    """`AvgPool1d` over images: (N, C, H, W), or without N; `divisor_override` divides each sum instead of its count."""

    def forward(self, input: Tensor) -> Tensor:
        return F.avg_pool2d(input, *self._settings())


class AvgPool3d(_AvgPool):
    """`AvgPool2d` over volumes: (N, C, D, H, W), or without N."""

    def forward(self, input: Tensor) -> Tensor:
        return F.avg_pool3d(input, *self._settings())


class _LPPool(Module):
    def __init__(self, norm_type: float, kernel_size: Ints, stride: Ints | None = None, ceil_mode: bool = False) -> None:
        super().__init__()
        self.norm_type, self.kernel_size, self.stride, self.ceil_mode = norm_type, kernel_size, stride, ceil_mode

    def extra_repr(self) -> str:
        return f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, stride={self.stride}, ceil_mode={self.ceil_mode}"


class LPPool1d(_LPPool):
    """`(sum of x ^ p) ^ (1 / p)` of each window, p = `norm_type`: `F.lp_pool1d`; (N, C, L), or without N."""

    def forward(self, input: Tensor) -> Tensor:
        return F.lp_pool1d(input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)


class LPPool2d(_LPPool):
    """`LPPool1d` over images: (N, C, H, W), or without N."""

    def forward(self, input: Tensor) -> Tensor:
        return F.lp_pool2d(input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)


class LPPool3d(_LPPool):
    """`LPPool1d` over volumes: (N, C, D, H, W), or without N."""

    def forward(self, input: Tensor) -> Tensor:
        return F.lp_pool3d(input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)


class _AdaptiveAvgPool(Module):
    def __init__(self, output_size: Sizes) -> None:
        super().__init__()
        self.output_size = output_size

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """Means of `output_size` shares of a sequence (N, C, L), or without N: `F.adaptive_avg_pool1d`."""

    def forward(self, input: Tensor) -> Tensor:
        return F.adaptive_avg_pool1d(input, self.output_size)


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """`AdaptiveAvgPool1d` over images (N, C, H, W), or without N; a size None keeps the input's."""

    def forward(self, input: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(input, self.output_size)


class AdaptiveAvgPool3d(_AdaptiveAvgPool):
    """`AdaptiveAvgPool1d` over volumes (N, C, D, H, W), or without N; a size None keeps the input's."""

    def forward(self, input: Tensor) -> Tensor:
        return F.adaptive_avg_pool3d(input, self.output_size)


class _AdaptiveMaxPool(Module):
    def __init__(self, output_size: Sizes, return_indices: bool = False) -> None:
        super().__init__()
        self.output_size, self.return_indices = output_size, return_indices

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """Largest elements of `output_size` shares of a sequence (N, C, L), or without N, with `return_indices` also their places."""

    def forward(self, input: Tensor) -> Pooled:
        return F.adaptive_max_pool1d(input, self.output_size, self.return_indices)


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """`AdaptiveMaxPool1d` over images (N, C, H, W), or without N; a size None keeps the input's."""

    def forward(self, input: Tensor) -> Pooled:
        return F.adaptive_max_pool2d(input, self.output_size, self.return_indices)


class AdaptiveMaxPool3d(_AdaptiveMaxPool):
    """`AdaptiveMaxPool1d` over volumes (N, C, D, H, W), or without N; a size None keeps the input's."""

    def forward(self, input: Tensor) -> Pooled:
        return F.adaptive_max_pool3d(input, self.output_size, self.return_indices)
