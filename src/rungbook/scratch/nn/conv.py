"""Convolutions as layers: they hold weight and bias, and pad in other ways than with zeros."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import Module, Parameter

from rungbook.scratch import functional as F
from rungbook.scratch.functional.spatial import each
from rungbook.scratch.nn.linear import fan_in_bound

Ints = int | Sequence[int]
MODES = ("zeros", "reflect", "replicate", "circular")


class _Convolution(Module):
    """What all of them have: settings, weight, bias, their draws and their text."""

    dims: ClassVar[int]
    weight: Parameter
    bias: Parameter | None
    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...] | str
    dilation: tuple[int, ...]

    def _setup(
        self,
        in_channels: int,
        out_channels: int,
        numbers: dict[str, Any],
        *,
        transposed: bool,
        groups: int,
        bias: bool,
        padding_mode: str,
        device: Any,
        dtype: torch.dtype | None,
    ) -> None:
        if groups < 1:
            raise ValueError(f"groups ({groups}) must be at least 1")
        for name, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
            if channels % groups:
                raise ValueError(f"groups ({groups}) must divide {name} ({channels})")
        if padding_mode not in MODES:
            raise ValueError(f"padding_mode {padding_mode!r} is none of {MODES}")
        self.in_channels, self.out_channels = in_channels, out_channels
        for name in ("kernel_size", "stride", "padding", "dilation"):
            setattr(self, name, numbers[name] if isinstance(numbers[name], str) else each(numbers[name], self.dims, name))
        self.transposed = transposed
        self.output_padding = each(numbers["output_padding"], self.dims, "output_padding")
        self.groups, self.padding_mode = groups, padding_mode
        self._reversed_padding_repeated_twice = self._sides()
        one, other = (in_channels, out_channels) if transposed else (out_channels, in_channels)
        self.weight = Parameter(torch.empty(one, other // groups, *self.kernel_size, device=device, dtype=dtype))
        self.register_parameter("bias", Parameter(torch.empty(out_channels, device=device, dtype=dtype)) if bias else None)
        self.reset_parameters()

    def _sides(self) -> Sequence[int]:
        """Padding as `F.pad` wants it: both sides of the last dimension first."""
        if not isinstance(self.padding, str):
            return tuple(p for p in reversed(self.padding) for _ in range(2))
        if self.padding not in ("same", "valid"):
            raise ValueError(f"padding {self.padding!r} must be 'same', 'valid' or numbers")
        if self.padding == "same" and any(s != 1 for s in self.stride):
            raise ValueError(f"padding='same' needs stride 1 in every dimension, stride is {self.stride}")
        missing = [d * (k - 1) if self.padding == "same" else 0 for d, k in zip(self.dilation, self.kernel_size, strict=True)]
        return [side for m in reversed(missing) for side in (m // 2, m - m // 2)]

    def reset_parameters(self) -> None:
        """Draw weights and bias uniformly within 1 / sqrt(numbers that meet in one output), transposed ones by torch's count of them."""
        fan_in = math.prod(self.weight.shape[1:])
        if fan_in == 0:
            return
        bound = fan_in_bound(fan_in)
        with torch.no_grad():
            self.weight.uniform_(-bound, bound)
            if self.bias is not None:
                bound = 1 / math.sqrt(fan_in)
                self.bias.uniform_(-bound, bound)

    def extra_repr(self) -> str:
        none, ones = (0,) * self.dims, (1,) * self.dims
        parts = [f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"]
        defaults = {"padding": none, "dilation": ones, "output_padding": none, "groups": 1}
        parts += [f"{name}={getattr(self, name)}" for name, default in defaults.items() if getattr(self, name) != default]
        parts += ["bias=False"] if self.bias is None else []
        parts += [f"padding_mode={self.padding_mode}"] if self.padding_mode != "zeros" else []
        return ", ".join(parts)


class _Conv(_Convolution):
    """Arguments and padding of the plain ones."""

    def __init__(
        self,
        in_channels: int,
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
        super().__init__()
        numbers = {"kernel_size": kernel_size, "stride": stride, "padding": padding, "dilation": dilation, "output_padding": 0}
        shared: dict[str, Any] = {"groups": groups, "bias": bias, "padding_mode": padding_mode, "device": device, "dtype": dtype}
        self._setup(in_channels, out_channels, numbers, transposed=False, **shared)

    def _padded(self, input: Tensor) -> tuple[Tensor, Ints | str]:
        """The input padded if not with zeros, and the padding that is left to do."""
        if self.padding_mode == "zeros":
            return input, self.padding
        return F.pad(input, self._reversed_padding_repeated_twice, mode=self.padding_mode), 0


class Conv1d(_Conv):
    """A weighted sum of each window of a sequence: `F.conv1d`.

    Args:
        in_channels: C.
        out_channels: O.
        kernel_size: K.
        stride: from one window to the next.
        padding: on both sides; or "same", "valid".
        dilation: from one element of a window to the next.
        groups: of channels that see only each other; divides C and O.
        bias: whether there is one.
        padding_mode: what is beyond the border: "zeros", "reflect", "replicate" or "circular".

    Shape:
        (N, C, L) -> (N, O, P), or without N.

    Raises:
        ValueError: groups do not divide the channels, or an unknown padding or mode.
    """

    dims = 1

    def forward(self, input: Tensor) -> Tensor:
        x, padding = self._padded(input)
        return F.conv1d(x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


class Conv2d(_Conv):
    """`Conv1d` over images: (N, C, H, W) -> (N, O, P, P'), or without N; every number may be one or a pair."""

    dims = 2

    def forward(self, input: Tensor) -> Tensor:
        x, padding = self._padded(input)
        return F.conv2d(x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


class Conv3d(_Conv):
    """`Conv1d` over volumes: (N, C, D, H, W) -> (N, O, P, P', P''), or without N; every number may be one or three."""

    dims = 3

    def forward(self, input: Tensor) -> Tensor:
        x, padding = self._padded(input)
        return F.conv3d(x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


class _ConvTranspose(_Convolution):
    """Arguments of the transposed ones, and which output size is meant."""

    padding: tuple[int, ...]

    def __init__(
        self,
        in_channels: int,
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
        super().__init__()
        if padding_mode != "zeros":
            raise ValueError(f"padding_mode {padding_mode!r}: a transposed convolution has 'zeros' only")
        numbers = {"kernel_size": kernel_size, "stride": stride, "padding": padding, "dilation": dilation, "output_padding": output_padding}
        shared: dict[str, Any] = {"groups": groups, "bias": bias, "padding_mode": padding_mode, "device": device, "dtype": dtype}
        self._setup(in_channels, out_channels, numbers, transposed=True, **shared)

    def _more(self, input: Tensor, output_size: Sequence[int] | None) -> Sequence[int]:
        """The output padding that gives the size asked for."""
        if output_size is None:
            return self.output_padding
        old = input.shape[-self.dims :]
        if len(output_size) not in (self.dims, input.dim()):
            raise ValueError(f"output_size {tuple(output_size)} needs {self.dims} numbers, or a whole shape of {input.dim()}")
        asked = list(output_size)[-self.dims :]
        settings = zip(old, self.stride, self.padding, self.dilation, self.kernel_size, strict=True)
        least = [(n - 1) * s - 2 * p + d * (k - 1) + 1 for n, s, p, d, k in settings]
        most = [n + s - 1 for n, s in zip(least, self.stride, strict=True)]
        if any(not a <= n <= b for n, a, b in zip(asked, least, most, strict=True)):
            raise ValueError(
                f"output_size {tuple(asked)} must lie between {tuple(least)} and {tuple(most)} for an input {tuple(input.shape)}"
            )
        return [n - a for n, a in zip(asked, least, strict=True)]


class ConvTranspose1d(_ConvTranspose):
    """Each element of a sequence adds its multiple of a kernel to the output: `F.conv_transpose1d`.

    Args:
        in_channels: C.
        out_channels: O.
        kernel_size: K.
        stride: from where one element's kernel starts to the next.
        padding: elements cut off on both sides of the output.
        output_padding: elements more at the end of the output.
        groups: of channels that see only each other; divides C and O.
        bias: whether there is one.
        dilation: from one element of the kernel to the next.
        padding_mode: "zeros".

    Shape:
        (N, C, L) -> (N, O, P), or without N. `forward` takes the P wanted as `output_size` where a stride leaves several open.

    Raises:
        ValueError: groups do not divide the channels, or a size is not to be had.
    """

    dims = 1

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        more = self._more(input, output_size)
        return F.conv_transpose1d(input, self.weight, self.bias, self.stride, self.padding, more, self.groups, self.dilation)


class ConvTranspose2d(_ConvTranspose):
    """`ConvTranspose1d` over images: (N, C, H, W) -> (N, O, P, P'), or without N."""

    dims = 2

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        more = self._more(input, output_size)
        return F.conv_transpose2d(input, self.weight, self.bias, self.stride, self.padding, more, self.groups, self.dilation)


class ConvTranspose3d(_ConvTranspose):
    """`ConvTranspose1d` over volumes: (N, C, D, H, W) -> (N, O, P, P', P''), or without N."""

    dims = 3

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        more = self._more(input, output_size)
        return F.conv_transpose3d(input, self.weight, self.bias, self.stride, self.padding, more, self.groups, self.dilation)
