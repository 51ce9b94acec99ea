"""Initial values of parameters: `torch.nn.init` by hand, with the same numbers for the same seed.

Signals should neither die out nor blow up on their way through many layers. If each output is a sum over fan_in inputs, weights of variance
1 / fan_in keep its variance (LeCun et al., 1998); what a nonlinearity takes away is made up for by a factor, the gain. All functions write
into the tensor they are given, without a gradient, and return it.
"""

from __future__ import annotations

import math
import warnings

import torch
from torch import Generator, Tensor

__all__ = [
    "calculate_gain",
    "constant_",
    "dirac_",
    "eye_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "normal_",
    "ones_",
    "orthogonal_",
    "sparse_",
    "trunc_normal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]

LINEAR = ("linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
# tanh's and selu's are torch's, the latter found by trial (pytorch pull request 50664); a linear map and sigmoid have none
GAINS = dict.fromkeys((*LINEAR, "sigmoid"), 1.0) | {"tanh": 5 / 3, "relu": math.sqrt(2), "selu": 3 / 4}


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor for weights before a nonlinearity.

    A rectifier halves the mean square, hence sqrt(2), or `sqrt(2 / (1 + slope^2))` for a leaky one (He et al., 2015, section 2.2).

    Args:
        nonlinearity: name of the function, as in torch.nn.functional; a layer without one by its own name, as "conv2d".
        param: slope of "leaky_relu" below 0; 0.01 if None.

    Raises:
        ValueError: the name is not known, or the slope is no number.
    """
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        if isinstance(slope, bool) or not isinstance(slope, (int, float)):
            raise ValueError(f"calculate_gain: param is {param!r}, the slope of leaky_relu is a number")
        return math.sqrt(2.0 / (1 + slope**2))
    if nonlinearity not in GAINS:
        raise ValueError(f"calculate_gain: no gain is known for {nonlinearity!r}; one of {', '.join(GAINS)}, leaky_relu is needed")
    return GAINS[nonlinearity]


@torch.no_grad()
def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Draw evenly from a to b.

    Args:
        tensor: any shape.
        a, b: bounds.
        generator: what draws; torch's own if None.
    """
    return tensor.uniform_(a, b, generator=generator)


@torch.no_grad()
def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Draw from a normal distribution.

    Args:
        tensor: any shape.
        mean, std: its mean and standard deviation.
        generator: what draws; torch's own if None.
    """
    return tensor.normal_(mean, std, generator=generator)


@torch.no_grad()
def constant_(tensor: Tensor, val: float) -> Tensor:
    """Fill with one number.

    Args:
        tensor: any shape.
        val: the number.
    """
    return tensor.fill_(val)


def ones_(tensor: Tensor) -> Tensor:
    """Fill with 1."""
    return constant_(tensor, 1.0)


def zeros_(tensor: Tensor) -> Tensor:
    """Fill with 0."""
    return constant_(tensor, 0.0)


@torch.no_grad()
def trunc_normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0, generator: Generator | None = None
) -> Tensor:
    """Draw from a normal distribution of which only a to b is kept.

    Where more than 0.3 of it lies there, normal numbers outside are drawn again. Where less does, that would take long: even numbers are
    drawn from a to b, and each is kept with a probability in proportion to the density (von Neumann, 1951).

    Args:
        tensor: any shape.
        mean, std: mean and standard deviation before cutting.
        a, b: bounds.
        generator: what draws; torch's own if None.
    """
    if tensor.is_meta:
        return tensor
    if mean < a - 2 * std or mean > b + 2 * std:
        warnings.warn(f"trunc_normal_: mean {mean:g} is more than 2 std ({std:g}) away from [{a:g}, {b:g}]", stacklevel=3)
    inside = _below((b - mean) / std) - _below((a - mean) / std)
    redraw = _normal_again if inside > 0.3 else _even_again
    return redraw(tensor, mean, std, a, b, generator)


@torch.no_grad()
def eye_(tensor: Tensor) -> Tensor:
    """The identity, as far as a matrix that is not square can be one.

    Args:
        tensor: (I, J).

    Raises:
        ValueError: it is no matrix.
    """
    _check_matrix("eye_", tensor)
    rows, columns = (torch.arange(n, device=tensor.device) for n in tensor.shape)
    return tensor.copy_(rows.unsqueeze(1) == columns)


@torch.no_grad()
def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """A convolution's identity: each output channel repeats one input channel, the kernels are 1 in the middle.

    Args:
        tensor: (out_channels, in_channels / groups, *kernel), with 1 to 3 kernel dimensions.
        groups: of the convolution; each has its own identity.

    Raises:
        ValueError: there are other dimensions, or groups do not divide out_channels.
    """
    if tensor.dim() not in (3, 4, 5):
        raise ValueError(f"dirac_: tensor {tuple(tensor.shape)} has {tensor.dim()} dimensions, 3, 4 or 5 are needed")
    if tensor.shape[0] % groups:
        raise ValueError(f"dirac_: groups ({groups}) need to divide dimension 0 of tensor {tuple(tensor.shape)}")
    if tensor.is_meta:
        return tensor
    tensor.zero_()
    of_group = tensor.shape[0] // groups
    centre = tensor
    for size in tensor.shape[2:]:
        centre = centre.select(2, size // 2)  # at last (out_channels, in_channels / groups)
    for channel in range(min(of_group, tensor.shape[1])):
        centre[channel::of_group, channel] = 1
    return tensor


@torch.no_grad()
def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Draw evenly with variance `2 gain^2 / (fan_in + fan_out)` (Glorot and Bengio, 2010).

    That lies between what keeps the size of signals, 1 / fan_in, and of gradients, 1 / fan_out.

    Args:
        tensor: (fan_out, fan_in), or a convolution's weight.
        gain: factor for the nonlinearity.
        generator: what draws; torch's own if None.

    Raises:
        ValueError: it has fewer than 2 dimensions.
    """
    return _even(tensor, _glorot("xavier_uniform_", tensor, gain), generator)


@torch.no_grad()
def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Draw normal numbers with variance `2 gain^2 / (fan_in + fan_out)` (Glorot and Bengio, 2010).

    Args:
        tensor: (fan_out, fan_in), or a convolution's weight.
        gain: factor for the nonlinearity.
        generator: what draws; torch's own if None.

    Raises:
        ValueError: it has fewer than 2 dimensions.
    """
    return tensor.normal_(0.0, _glorot("xavier_normal_", tensor, gain), generator=generator)


@torch.no_grad()
def kaiming_uniform_(
    tensor: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", generator: Generator | None = None
) -> Tensor:
    """Draw evenly with variance `gain^2 / fan` (He et al., 2015, section 2.2).

    Args:
        tensor: (fan_out, fan_in), or a convolution's weight.
        a: slope of "leaky_relu" below 0.
        mode: "fan_in" keeps the size of signals, "fan_out" that of gradients.
        nonlinearity: what follows, as in `calculate_gain`.
        generator: what draws; torch's own if None.

    Raises:
        ValueError: it has fewer than 2 dimensions, or mode or nonlinearity are not known.
    """
    std = _he("kaiming_uniform_", tensor, a, mode, nonlinearity)
    return tensor if std is None else _even(tensor, std, generator)


@torch.no_grad()
def kaiming_normal_(
    tensor: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", generator: Generator | None = None
) -> Tensor:
    """Draw normal numbers with variance `gain^2 / fan` (He et al., 2015, section 2.2).

    Args:
        tensor: (fan_out, fan_in), or a convolution's weight.
        a: slope of "leaky_relu" below 0.
        mode: "fan_in" keeps the size of signals, "fan_out" that of gradients.
        nonlinearity: what follows, as in `calculate_gain`.
        generator: what draws; torch's own if None.

    Raises:
        ValueError: it has fewer than 2 dimensions, or mode or nonlinearity are not known.
    """
    std = _he("kaiming_normal_", tensor, a, mode, nonlinearity)
    return tensor if std is None else tensor.normal_(0, std, generator=generator)


@torch.no_grad()
def orthogonal_(tensor: Tensor, gain: float = 1, generator: Generator | None = None) -> Tensor:
    """Rows (or columns, if they are fewer) at right angles and of length gain: no direction grows or shrinks (Saxe et al., 2014).

    They are the Q of a normal matrix's QR decomposition with R's diagonal made positive, or not all of them would be equally likely
    (Mezzadri, 2007).

    Args:
        tensor: (I, *); all but the first dimension count as one.
        gain: factor.
        generator: what draws; torch's own if None.

    Raises:
        ValueError: it has fewer than 2 dimensions.
    """
    if tensor.dim() < 2:
        raise ValueError(f"orthogonal_: tensor {tuple(tensor.shape)} has {tensor.dim()} dimensions, at least 2 are needed")
    if tensor.numel() == 0 or tensor.is_meta:
        return tensor
    draws = tensor.new_empty(len(tensor), tensor.numel() // len(tensor)).normal_(0, 1, generator=generator)  # (I, J)
    wide = draws.shape[0] < draws.shape[1]
    q, r = torch.linalg.qr(draws.mT if wide else draws)  # (max(I, J), min(I, J))
    q = q * r.diagonal().sign()
    tensor.copy_((q.mT if wide else q).reshape(tensor.shape))
    return tensor.mul_(gain)


@torch.no_grad()
def sparse_(tensor: Tensor, sparsity: float, std: float = 0.01, generator: Generator | None = None) -> Tensor:
    """Normal numbers, and in each column a share of zeros (Martens, 2010).

    Args:
        tensor: (I, J).
        sparsity: share of zeros in each column, rounded up to whole rows.
        std: standard deviation of the others.
        generator: what draws the numbers; which become 0 is drawn by torch's own, as torch does.

    Raises:
        ValueError: it is no matrix.
    """
    _check_matrix("sparse_", tensor)
    if tensor.is_meta:
        return tensor
    tensor.normal_(0, std, generator=generator)
    rows, columns = tensor.shape
    zeros = math.ceil(sparsity * rows)
    for column in range(columns):
        tensor[torch.randperm(rows)[:zeros], column] = 0
    return tensor


def fans(name: str, tensor: Tensor) -> tuple[int, int]:
    """How many inputs one output is a sum of (fan_in), and in how many outputs one input is (fan_out).

    Args:
        name: who asks, for the message.
        tensor: (fan_out, fan_in), or (out, in, *kernel), whose kernel counts for both.

    Raises:
        ValueError: it has fewer than 2 dimensions.
    """
    if tensor.dim() < 2:
        raise ValueError(f"{name}: tensor {tuple(tensor.shape)} has {tensor.dim()} dimensions; fan_in and fan_out need at least 2")
    kernel = math.prod(tensor.shape[2:])
    return tensor.shape[1] * kernel, tensor.shape[0] * kernel


def _glorot(name: str, tensor: Tensor, gain: float) -> float:
    """Standard deviation of Glorot's weights."""
    return gain * math.sqrt(2.0 / sum(fans(name, tensor)))


def _he(name: str, tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float | None:
    """Standard deviation of He's weights; None where there are no weights."""
    if 0 in tensor.shape:
        warnings.warn(f"{name}: tensor {tuple(tensor.shape)} has no entries, nothing is drawn", stacklevel=4)
        return None
    if mode.lower() not in ("fan_in", "fan_out"):
        raise ValueError(f"{name}: mode is {mode!r}, 'fan_in' or 'fan_out' is needed")
    fan_in, fan_out = fans(name, tensor)
    return calculate_gain(nonlinearity, a) / math.sqrt(fan_in if mode.lower() == "fan_in" else fan_out)


def _even(tensor: Tensor, std: float, generator: Generator | None) -> Tensor:
    """Draw evenly around 0; from -b to b the standard deviation is `b / sqrt(3)`."""
    bound = math.sqrt(3.0) * std
    return tensor.uniform_(-bound, bound, generator=generator)


def _below(x: float) -> float:
    """How much of a standard normal distribution lies below x."""
    return (1 + math.erf(x / math.sqrt(2))) / 2


def _normal_again(tensor: Tensor, mean: float, std: float, a: float, b: float, generator: Generator | None) -> Tensor:
    """Normal numbers, all drawn again until each has once been inside."""
    # the bounds as the tensor's type has them: in bfloat16, 0.3 is a little more
    low, high = tensor.new_tensor([a, b], device="cpu").tolist()
    result = tensor.normal_(mean, std, generator=generator)
    while bool((outside := (result < low) | (result > high)).any()):
        result = torch.where(outside, torch.empty_like(result).normal_(mean, std, generator=generator), result)
    return tensor if result is tensor else tensor.copy_(result)


def _even_again(tensor: Tensor, mean: float, std: float, a: float, b: float, generator: Generator | None) -> Tensor:
    """Even numbers, all drawn again until each has once been accepted."""
    # the density over its largest value inside, as logarithms: with far tails both would be 0
    peak = -0.5 * ((max(a, min(mean, b)) - mean) / std) ** 2

    def refused(x: Tensor) -> Tensor:
        density = ((x - mean) / std) ** 2 * -0.5 - peak
        return torch.empty_like(x).uniform_(generator=generator).log() > density

    result = tensor.uniform_(a, b, generator=generator)
    pending = refused(result)
    while bool(pending.any()):
        candidates = torch.empty_like(result).uniform_(a, b, generator=generator)
        result = torch.where(pending, candidates, result)
        pending = pending & refused(candidates)
    return tensor if result is tensor else tensor.copy_(result)


def _check_matrix(name: str, tensor: Tensor) -> None:
    if tensor.dim() != 2:
        raise ValueError(f"{name}: tensor {tuple(tensor.shape)} has {tensor.dim()} dimensions, 2 are needed")
