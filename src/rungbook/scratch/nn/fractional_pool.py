"""Fractional max pooling (Graham, 2014) as layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from torch import Tensor
from torch.nn import Module

from rungbook.scratch import functional as F
from rungbook.scratch.functional.fractional_pool import Ratios
from rungbook.scratch.functional.max_pool import Ints, Pooled
from rungbook.scratch.functional.spatial import each


class _FractionalMaxPool(Module):
    dims: ClassVar[int]
    _random_samples: Tensor | None

    def __init__(
        self,
        kernel_size: Ints,
        output_size: Ints | None = None,
        output_ratio: Ratios = None,
        return_indices: bool = False,
        _random_samples: Tensor | None = None,
    ) -> None:
        super().__init__()
        if (output_size is None) == (output_ratio is None):
            raise ValueError(f"one of output_size and output_ratio is needed, found {output_size} and {output_ratio}")
        ratios: Sequence[Any] = output_ratio if isinstance(output_ratio, tuple | list) else (output_ratio,) * self.dims
        if output_ratio is not None and not all(0 < r < 1 for r in ratios):
            raise ValueError(f"output_ratio {output_ratio} must lie between 0 and 1")
        self.kernel_size = each(kernel_size, self.dims, "kernel_size")
        self.return_indices = return_indices
        self.register_buffer("_random_samples", _random_samples)
        self.output_size = None if output_size is None else each(output_size, self.dims, "output_size")
        self.output_ratio = None if output_ratio is None else tuple(ratios)

    def _settings(self) -> tuple[Any, ...]:
        return self.kernel_size, self.output_size, self.output_ratio, self.return_indices, self._random_samples


class FractionalMaxPool2d(_FractionalMaxPool):
    """Largest elements of windows at random steps: `F.fractional_max_pool2d`.

    Args:
        kernel_size: elements in a window.
        output_size: how many windows.
        output_ratio: how many for each element of the input, between 0 and 1, instead.
        return_indices: also where the maxima stood.
        _random_samples: the draws, (N, C, 2), to have the same windows each time.

    Shape:
        (N, C, H, W) -> (N, C, O, O'), or without N.

    Raises:
        ValueError: both or neither of size and ratio, or a ratio out of range.
    """

    dims = 2

    def forward(self, input: Tensor) -> Pooled:
        return F.fractional_max_pool2d(input, *self._settings())


class FractionalMaxPool3d(_FractionalMaxPool):
    """`FractionalMaxPool2d` over volumes: (N, C, D, H, W), or without N."""

    dims = 3

    def forward(self, input: Tensor) -> Pooled:
        return F.fractional_max_pool3d(input, *self._settings())
