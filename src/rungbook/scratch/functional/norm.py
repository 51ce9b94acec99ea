"""Normalisation: numbers to mean 0 and variance 1 over some of their dimensions, then a learned scale and shift.

The layers differ only in what is averaged over: batch norm over all but the channels, layer norm over the last dimensions, instance norm
over the positions of one channel of one sample, group norm over some channels of one sample; RMS norm takes no mean off.
Half precision is averaged in float32. Shapes: N batch, C channels, G groups, * positions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from rungbook.scratch.functional.norm_rows import normalize_channels, normalize_rows


def layer_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    """`(x - mean) / sqrt(var + eps) * weight + bias` over the last dimensions: Ba, Kiros and Hinton (2016).

    Args:
        input: (*, normalized_shape).
        normalized_shape: sizes of the dimensions that are averaged over.
        weight, bias: normalized_shape.
        eps: added to the variance.

    Raises:
        RuntimeError: a shape does not end in, or is not, normalized_shape; or input and parameters are of different types.
        NotImplementedError: the input has whole numbers.
    """
    shape = _last_dimensions("layer_norm", input, normalized_shape, weight=weight, bias=bias)
    _one_type("layer_norm", input, weight=weight, bias=bias)
    rows = _wide(input).reshape(math.prod(input.shape[: -len(shape)]), math.prod(shape))  # (N, D)
    weight, bias = (None if p is None else p.reshape(-1).to(rows.dtype) for p in (weight, bias))  # (D)
    return normalize_rows(rows, weight, bias, eps).reshape(input.shape).to(input.dtype)


def rms_norm(input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None) -> Tensor:
    """`x / sqrt(mean(x^2) + eps) * weight` over the last dimensions: Zhang and Sennrich (2019).

    Args:
        input: (*, normalized_shape).
        normalized_shape: sizes of the dimensions that are averaged over.
        weight: normalized_shape.
        eps: added to the mean square; None takes the machine epsilon of the type that is computed in.

    Raises:
        RuntimeError: a shape does not end in, or is not, normalized_shape.
        ValueError: the input has fewer dimensions than normalized_shape.
        NotImplementedError: the input has whole numbers.
    """
    if input.dim() < len(normalized_shape):
        raise ValueError(f"rms_norm: input {tuple(input.shape)} has fewer dimensions than normalized_shape {tuple(normalized_shape)}")
    shape = _last_dimensions("rms_norm", input, normalized_shape, weight=weight)
    if not (input.is_floating_point() or input.is_complex()):
        raise NotImplementedError(f"rms_norm: input is {input.dtype}, a floating type is needed")
    x = _wide(input)
    dims = tuple(range(-len(shape), 0))
    square = (x * x).mean(dims, keepdim=True) + (torch.finfo(x.dtype).eps if eps is None else eps)
    y = x / square.sqrt()
    return (y if weight is None else y * weight).to(input.dtype)


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """`(x - mean) / sqrt(var + eps) * weight + bias` for each channel: Ioffe and Szegedy (2015).

    Args:
        input: (N, C, *).
        running_mean, running_var: (C): averages of past batches' means and variances (those divided by n - 1), for use outside training.
            In training both are moved, in place, by the share momentum towards those of this batch.
        weight, bias: (C).
        training: whether to take mean and variance (divided by n) of this batch.
        momentum: share of this batch in the running statistics.
        eps: added to the variance.

    Raises:
        ValueError: in training there is one value a channel, or eps is not positive; or only one running statistic is given.
        RuntimeError: a parameter or buffer has another size than C, or another type; or statistics are missing outside training.
        NotImplementedError: the input has whole numbers.
    """
    if training and math.prod(input.shape[:1] + input.shape[2:]) == 1:
        raise ValueError(f"batch_norm: input {tuple(input.shape)} has one value a channel, in training more are needed for a variance")
    if eps < 0 or (training and eps == 0):
        raise ValueError(f"batch_norm: eps is {eps}, a {'positive' if training else 'non-negative'} number is needed")
    if (running_mean is None) != (running_var is None):
        missing = "running_mean" if running_mean is None else "running_var"
        raise ValueError(f"batch_norm: {missing} is None, and the other running statistic is not; both or none are needed")
    if input.numel() == 0:  # nothing to learn from: the running statistics stay
        return _affine(input.clone(), weight, bias)
    _one_a_channel("batch_norm", input.shape[1], input, running_mean=running_mean, running_var=running_var, weight=weight, bias=bias)
    _one_type("batch_norm", input, running_mean=running_mean, running_var=running_var, weight=weight, bias=bias)
    x = _wide(input)
    if training:
        weight, bias = (None if p is None else p.to(x.dtype) for p in (weight, bias))
        y, mean, var = normalize_channels(x, weight, bias, eps)
        _follow(running_mean, mean, momentum)
        n = x.numel() // x.shape[1]
        _follow(running_var, var * (n / (n - 1)), momentum)
    else:
        if running_mean is None or running_var is None:
            raise RuntimeError("batch_norm: running_mean and running_var are needed outside training")
        # one product and one sum an element
        scale = (running_var.to(x.dtype) + eps).rsqrt()
        scale = scale if weight is None else scale * weight
        shift = -running_mean.to(x.dtype) * scale
        shift = shift if bias is None else shift + bias
        y = x * _channels(scale, x) + _channels(shift, x)
    return y.to(input.dtype)


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """`(x - mean) / sqrt(var + eps) * weight + bias` for each channel of each sample: Ulyanov, Vedaldi and Lempitsky (2016).

    Args:
        input: (N, C, *).
        running_mean, running_var: (C): as in `batch_norm`, moved towards the mean over the samples.
        weight, bias: (C).
        use_input_stats: whether to take mean and variance of this input; else the running ones.
        momentum: share of this batch in the running statistics.
        eps: added to the variance.

    Raises:
        ValueError: there is one position to take a variance over.
        RuntimeError: a parameter or buffer has another size than C; or statistics are missing.
    """
    if not use_input_stats:
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    if math.prod(input.shape[2:]) == 1:
        raise ValueError(f"instance_norm: input {tuple(input.shape)} has one position, more are needed for a variance")
    N, C = input.shape[:2]
    _one_a_channel("instance_norm", C, input, running_mean=running_mean, running_var=running_var, weight=weight, bias=bias)
    _one_type("instance_norm", input, weight=weight, bias=bias)
    rows = _wide(input).reshape(N * C, math.prod(input.shape[2:]))  # (N C, positions)
    if running_mean is not None and running_var is not None and input.numel():
        with torch.no_grad():
            var, mean = torch.var_mean(rows.detach(), 1)  # (N C)
        _follow(running_mean, mean.reshape(N, C).mean(0), momentum)
        _follow(running_var, var.reshape(N, C).mean(0), momentum)
    y = normalize_rows(rows, None, None, eps).reshape(input.shape)
    return _affine(y, weight, bias).to(input.dtype)


def group_norm(input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5) -> Tensor:
    """`(x - mean) / sqrt(var + eps) * weight + bias` for each group of channels of each sample: Wu and He (2018).

    Args:
        input: (N, C, *).
        num_groups: G, a divisor of C.
        weight, bias: (C).
        eps: added to the variance.

    Raises:
        RuntimeError: the input has no channels, G does not divide them, or a parameter has another size than C.
        ValueError: there is one value to take a variance over.
    """
    if input.dim() < 2:
        raise RuntimeError(f"group_norm: input {tuple(input.shape)} has {input.dim()} dimensions, at least (N, C) is needed")
    N, C = input.shape[:2]
    if num_groups < 1 or C % num_groups:
        raise RuntimeError(f"group_norm: num_groups ({num_groups}) must divide the {C} channels of input {tuple(input.shape)}")
    if N * C // num_groups * math.prod(input.shape[2:]) == 1:
        raise ValueError(f"group_norm: input {tuple(input.shape)} has one value a group, more are needed for a variance")
    _one_a_channel("group_norm", C, input, weight=weight, bias=bias)
    _one_type("group_norm", input, weight=weight, bias=bias)
    rows = _wide(input).reshape(N * num_groups, C // num_groups * math.prod(input.shape[2:]))  # (N G, D)
    return _affine(normalize_rows(rows, None, None, eps).reshape(input.shape), weight, bias).to(input.dtype)


def local_response_norm(input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Tensor:
    """`x / (k + alpha mean(x^2 over size channels around))^beta`: Krizhevsky, Sutskever and Hinton (2012), section 3.3.

    Theirs multiplies alpha by the sum; this, as torch, by the mean over size, with zeros beyond the ends.

    Args:
        input: (N, C, *) with at least one more dimension.
        size: number of channels: size // 2 before and (size - 1) // 2 after.
        alpha, beta, k: as above.

    Raises:
        ValueError: the input has fewer than three dimensions.
    """
    if input.dim() < 3:
        raise ValueError(f"local_response_norm: input {tuple(input.shape)} has {input.dim()} dimensions, at least (N, C, L) is needed")
    if input.numel() == 0:
        return input
    square = input * input
    before, after = (input.new_zeros(len(input), n, *input.shape[2:]) for n in (size // 2, (size - 1) // 2))
    mean = torch.cat([before, square, after], 1).unfold(1, size, 1).sum(-1) / size  # (N, C, *)
    return input / (k + alpha * mean) ** beta


def _wide(x: Tensor) -> Tensor:
    """Half precision in float32."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


def _channels(parameter: Tensor, x: Tensor) -> Tensor:
    """(C) as (C, 1, ...), to stand beside (N, C, ...)."""
    return parameter.reshape(-1, *[1] * (x.dim() - 2))


def _affine(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    x = x if weight is None else x * _channels(weight, x)
    return x if bias is None else x + _channels(bias, x)


def _follow(running: Tensor | None, now: Tensor, share: float) -> None:
    """Move running statistics by a share towards those of now."""
    if running is not None:
        with torch.no_grad():
            # rounded once, at the end: a variance may not fit half precision, and a share of it does
            running.copy_((1 - share) * running + share * now.detach())


def _last_dimensions(name: str, input: Tensor, normalized_shape: Sequence[int], **parameters: Tensor | None) -> tuple[int, ...]:
    shape = tuple(normalized_shape)
    if not shape:
        raise RuntimeError(f"{name}: normalized_shape is empty, at least one dimension is needed")
    if tuple(input.shape[-len(shape) :]) != shape:
        raise RuntimeError(f"{name}: input {tuple(input.shape)} does not end in normalized_shape {shape}")
    for what, parameter in parameters.items():
        if parameter is not None and tuple(parameter.shape) != shape:
            raise RuntimeError(f"{name}: {what} {tuple(parameter.shape)} is not normalized_shape {shape}")
    return shape


def _one_type(name: str, input: Tensor, **parameters: Tensor | None) -> None:
    """Raise unless all are real numbers of one precision; half precision goes with single, in which it is averaged."""
    if not input.is_floating_point():
        raise NotImplementedError(f"{name}: input is {input.dtype}, a floating type is needed")
    wide = torch.promote_types(input.dtype, torch.float32)
    for what, parameter in parameters.items():
        if parameter is not None and torch.promote_types(parameter.dtype, torch.float32) != wide:
            raise RuntimeError(f"{name}: {what} is {parameter.dtype} and input {input.dtype}; one type is needed")


def _one_a_channel(name: str, channels: int, input: Tensor, **parameters: Tensor | None) -> None:
    for what, parameter in parameters.items():
        if parameter is not None and parameter.numel() != channels:
            raise RuntimeError(f"{name}: {what} has {parameter.numel()} entries, input {tuple(input.shape)} has {channels} channels")
