"""Activations made of straight pieces: at a kink the slope is that of the piece torch counts the kink to, so choices are made by `where`.

`clamp` would read shorter and be wrong there: its slope is 1 at both of its ends, relu's at 0 is 0.
Whole numbers are taken where torch takes them, and refused as torch refuses them elsewhere.
A function in place keeps what its derivative needs: it is computed from a copy, and then written over the input.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rungbook.scratch.functional.number_types import need_fractions


def _no_booleans(name: str, input: Tensor, error: type[Exception] = NotImplementedError) -> None:
    if input.dtype == torch.bool:
        raise error(f"{name}: input is {input.dtype}, numbers are needed")


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """`max(0, x)`: Nair and Hinton (2010). Its slope at 0 is taken as 0.

    Args:
        input: any shape.
        inplace: write the result over the input.
    """
    _no_booleans("relu", input, RuntimeError)
    return relu_(input) if inplace else torch.where(input <= 0, 0, input)


def relu_(input: Tensor) -> Tensor:
    """`relu` written over its input."""
    _no_booleans("relu", input, RuntimeError)
    return input.masked_fill_(input <= 0, 0)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """`x` above 0, `negative_slope * x` below: Maas, Hannun and Ng (2013).

    Args:
        input: any shape.
        negative_slope: slope at 0 and below.
        inplace: write the result over the input.
    """
    need_fractions("leaky_relu", input)
    return leaky_relu_(input, negative_slope) if inplace else torch.where(input > 0, input, input * negative_slope)


def leaky_relu_(input: Tensor, negative_slope: float = 0.01) -> Tensor:
    """`leaky_relu` written over its input."""
    return input.copy_(leaky_relu(input.clone(), negative_slope))


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """`x` above 0, `weight * x` below, with a slope that is learned: He et al. (2015), "Delving deep into rectifiers".

    Args:
        input: (N, C, *) or (N) or ().
        weight: () or (1) for one slope, (C) for one a channel.

    Raises:
        RuntimeError: the weight has more than one dimension, or not one slope a channel.
    """
    if weight.dim() > 1:
        raise RuntimeError(f"prelu: weight {tuple(weight.shape)} has {weight.dim()} dimensions, 0 or 1 are needed")
    if input.dtype != weight.dtype and not torch.is_autocast_enabled(input.device.type):
        raise RuntimeError(f"prelu: input is {input.dtype} and weight {weight.dtype}, both need the same")
    channels = input.shape[1] if input.dim() > 1 else 1
    if weight.numel() not in (1, channels):
        raise RuntimeError(f"prelu: weight has {weight.numel()} slopes, input {tuple(input.shape)} needs 1 or one for each of {channels}")
    slope = weight.reshape(-1, *[1] * (input.dim() - 2)) if weight.numel() > 1 else weight.reshape([1] * input.dim())  # (C, 1, ...)
    return torch.where(input > 0, input, input * slope)


def rrelu(input: Tensor, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False, inplace: bool = False) -> Tensor:
    """`x` above 0, `a * x` below, `a` drawn anew for each element: Xu et al. (2015), "Empirical evaluation of rectified activations".

    Args:
        input: any shape.
        lower, upper: between these `a` is drawn in training; else it is their mean.
        training: whether to draw.
        inplace: write the result over the input.

    Raises:
        RuntimeError: lower is above upper.
    """
    if not lower <= upper:
        raise RuntimeError(f"rrelu: lower ({lower}) is above upper ({upper})")
    need_fractions("rrelu", input)
    if inplace:
        return rrelu_(input, lower, upper, training)
    if not training:
        return leaky_relu(input, (lower + upper) / 2)
    # as torch does on a CPU, a slope is drawn only where one is needed, in order, and from 53 random bits
    below = input <= 0
    drawn = torch.empty_like(input[below], dtype=torch.float64).uniform_(lower, upper)
    slope = torch.ones_like(input, memory_format=torch.contiguous_format).masked_scatter(below, drawn.to(input.dtype))
    return input * slope


def rrelu_(input: Tensor, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False) -> Tensor:
    """`rrelu` written over its input."""
    return input.copy_(rrelu(input.clone(), lower, upper, training))


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """`x` above a threshold, and a constant elsewhere.

    Args:
        input: any shape.
        threshold: above it the input passes.
        value: what stands elsewhere.
        inplace: write the result over the input.
    """
    _no_booleans("threshold", input)
    if inplace:
        return threshold_(input, threshold, value)
    return torch.where(input <= threshold, value if input.is_floating_point() else int(value), input)


def threshold_(input: Tensor, threshold: float, value: float) -> Tensor:
    """`threshold` written over its input."""
    _no_booleans("threshold", input)
    return input.masked_fill_(input <= threshold, value)


def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    """`min(max(x, min_val), max_val)`, with slope 0 at both bounds: Collobert (2004), "Large scale machine learning".

    Args:
        input: any shape.
        min_val, max_val: bounds.
        inplace: write the result over the input.

    Raises:
        ValueError: min_val is above max_val.
        RuntimeError: the input holds truth values, or has no negative numbers and a bound is one.
    """
    if min_val > max_val:
        raise ValueError(f"hardtanh: min_val ({min_val}) is above max_val ({max_val})")
    _no_booleans("hardtanh", input, RuntimeError)
    if input.dtype == torch.uint8 and int(min(min_val, max_val)) < 0:
        raise RuntimeError(f"hardtanh: input is {input.dtype}, which has no negative numbers; min_val ({min_val}) must not be one")
    if inplace:
        return hardtanh_(input, min_val, max_val)
    if not input.is_floating_point():  # whole numbers stay whole
        min_val, max_val = int(min_val), int(max_val)
    return torch.where(input <= min_val, min_val, torch.where(input >= max_val, max_val, input))


def hardtanh_(input: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """`hardtanh` written over its input."""
    return input.copy_(hardtanh(input.clone(), min_val, max_val))


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """`min(max(0, x), 6)`: Krizhevsky (2010), "Convolutional deep belief networks on CIFAR-10".

    Args:
        input: any shape.
        inplace: write the result over the input.
    """
    return hardtanh(input, 0.0, 6.0, inplace)


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """`min(max(0, x + 3), 6) / 6`: the sigmoid by three lines. Howard et al. (2019), "Searching for MobileNetV3", section 5.2.

    Args:
        input: any shape.
        inplace: write the result over the input.
    """
    need_fractions("hardsigmoid", input)
    if inplace:
        return input.copy_(hardsigmoid(input.clone()))
    return torch.where(input <= -3, 0, torch.where(input >= 3, 1, (input + 3) / 6))


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """`x * hardsigmoid(x)`: Howard et al. (2019), "Searching for MobileNetV3", section 5.2.

    Args:
        input: any shape.
        inplace: write the result over the input.
    """
    need_fractions("hardswish", input)
    return input.copy_(hardswish(input.clone())) if inplace else input * hardsigmoid(input)


def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """`x` where it is further than `lambd` from 0, and 0 elsewhere.

    Args:
        input: any shape.
        lambd: half the width of what becomes 0.
    """
    need_fractions("hardshrink", input)
    return torch.where((input >= -lambd) & (input <= lambd), 0, input)


def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """`x` moved by `lambd` towards 0, and 0 where it is nearer than that: the proximal step of an L1 penalty.

    Args:
        input: any shape.
        lambd: how far.

    Raises:
        RuntimeError: lambd is negative.
    """
    need_fractions("softshrink", input)
    if lambd < 0:
        raise RuntimeError(f"softshrink: lambd is {lambd}, at least 0 is needed")
    moved = torch.where(input > lambd, input - lambd, input + lambd)
    return torch.where((input >= -lambd) & (input <= lambd), 0, moved)
