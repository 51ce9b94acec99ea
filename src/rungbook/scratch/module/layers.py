"""The layers that a LeNet and a GPT need, on our own `Module`: a layer is its weights, how they are drawn, and a function.

Arguments, names and seeded draws are torch's, of the arguments that these models use; `rungbook.scratch.nn` has all layers with all
arguments, as torch modules. Letters: N images or sequences, C channels, H and W height and width, I and O features in and out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from rungbook.scratch import functional as F
from rungbook.scratch.module.module import Module
from rungbook.scratch.module.parameter import Parameter
from rungbook.scratch.nn.linear import fan_in_bound

Ints = int | Sequence[int]


def _pair(value: Ints) -> tuple[int, ...]:
    return (value, value) if isinstance(value, int) else tuple(value)


def _uniform(fan_in: int, *shape: int) -> Parameter:
    """Drawn within 1 / sqrt(fan_in), as torch draws weights and biases."""
    bound = fan_in_bound(fan_in)
    return Parameter(torch.empty(*shape).uniform_(-bound, bound))


class Linear(Module):
    """`x @ weight.T + bias`: (*, I) -> (*, O).

    Args:
        in_features: I.
        out_features: O.
        bias: whether there is one.
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.weight = _uniform(in_features, out_features, in_features)
        self.register_parameter("bias", _uniform(in_features, out_features) if bias else None)

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


class Conv2d(Module):
    """A sum over a window of weighted channels, everywhere the same: (N, C, H, W) -> (N, O, H', W').

    Args:
        in_channels: C.
        out_channels: O.
        kernel_size: of the window, in pixels.
        stride: from one window to the next, in pixels.
        padding: zeros at each side, in pixels.
        bias: whether there is one.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Ints, stride: Ints = 1, padding: Ints = 0, *, bias: bool = True
    ) -> None:
        super().__init__()
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size, self.stride, self.padding = _pair(kernel_size), _pair(stride), _pair(padding)
        fan_in = in_channels * math.prod(self.kernel_size)
        self.weight = _uniform(fan_in, out_channels, in_channels, *self.kernel_size)
        self.register_parameter("bias", _uniform(fan_in, out_channels) if bias else None)

    def forward(self, input: Tensor) -> Tensor:
        return F.conv2d(input, self.weight, self.bias, self.stride, self.padding)

    def extra_repr(self) -> str:
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        if any(self.padding):
            text += f", padding={self.padding}"
        return text if self.bias is not None else text + ", bias=False"


class _Pool2d(Module):
    """Settings of both poolings."""

    def __init__(self, kernel_size: Ints, stride: Ints | None = None, padding: Ints = 0) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxPool2d(_Pool2d):
    """The largest of each window: (N, C, H, W) -> (N, C, H', W')."""

    def forward(self, input: Tensor) -> Tensor:
        return F.max_pool2d(input, self.kernel_size, self.stride, self.padding)  # type: ignore[return-value]  # no indices are asked for

    def extra_repr(self) -> str:
        return super().extra_repr() + ", dilation=1, ceil_mode=False"


class AvgPool2d(_Pool2d):
    """The mean of each window: (N, C, H, W) -> (N, C, H', W')."""

    def forward(self, input: Tensor) -> Tensor:
        return F.avg_pool2d(input, self.kernel_size, self.stride, self.padding)


class Flatten(Module):
    """All dimensions from one to another as a single one.

    Args:
        start_dim: the first of them.
        end_dim: the last.
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, input: Tensor) -> Tensor:
        first, last = self.start_dim % input.dim(), self.end_dim % input.dim()
        return input.reshape(*input.shape[:first], math.prod(input.shape[first : last + 1]), *input.shape[last + 1 :])

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Sigmoid(Module):
    """`1 / (1 + e^-x)`."""

    def forward(self, input: Tensor) -> Tensor:
        return F.sigmoid(input)


class ReLU(Module):
    """`max(0, x)`."""

    def forward(self, input: Tensor) -> Tensor:
        return F.relu(input)


class GELU(Module):
    """`x P(Z <= x)` for a standard normal Z.

    Args:
        approximate: "none" or "tanh".
    """

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = approximate

    def forward(self, input: Tensor) -> Tensor:
        return F.gelu(input, approximate=self.approximate)

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class Embedding(Module):
    """A row of weights for each number: (*) -> (*, embedding_dim).

    Args:
        num_embeddings: rows.
        embedding_dim: numbers in each.
    """

    def __init__(self, num_embeddings: int, embedding_dim: int) -> None:
        super().__init__()
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.weight = Parameter(torch.empty(num_embeddings, embedding_dim).normal_())

    def forward(self, input: Tensor) -> Tensor:
        return F.embedding(input, self.weight)

    def extra_repr(self) -> str:
        return f"{self.num_embeddings}, {self.embedding_dim}"


class LayerNorm(Module):
    """Each vector with mean 0 and variance 1, then scaled and shifted.

    Args:
        normalized_shape: of the vectors, which are the last dimensions.
        eps: added to the variance.
        bias: whether there is a shift.
    """

    def __init__(self, normalized_shape: int | tuple[int, ...], eps: float = 1e-5, *, bias: bool = True) -> None:
        super().__init__()
        self.normalized_shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        self.eps = eps
        self.weight = Parameter(torch.ones(self.normalized_shape))
        self.register_parameter("bias", Parameter(torch.zeros(self.normalized_shape)) if bias else None)

    def forward(self, input: Tensor) -> Tensor:
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine=True, bias={self.bias is not None}"


class Dropout(Module):
    """While training, each element is 0 with probability p, else divided by 1 - p.

    Args:
        p: probability.
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.p = p

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout(input, self.p, self.training)

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace=False"
