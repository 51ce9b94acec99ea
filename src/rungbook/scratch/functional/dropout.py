"""Dropout: setting random parts of an input to 0 in training. Hinton et al. (2012); Srivastava et al. (2014).

The random draws are torch's on a CPU, one for each element (or channel) and in the same order, so equal seeds give equal results.
Whole numbers come through where nothing, or everything, is dropped; else they are refused with a RuntimeError, as by torch.
Shapes: N batch, C channels, * any further dimensions.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rungbook.scratch.functional.activation import SELU_ALPHA, SELU_SCALE
from rungbook.scratch.functional.notice import warn
from rungbook.scratch.functional.number_types import need_fractions


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Each element is 0 with probability p, else divided by 1 - p, so that its mean stays.

    Args:
        input: any shape.
        p: probability of becoming 0.
        training: else the input is returned.
        inplace: write the result over the input.

    Raises:
        ValueError: p is no probability.
    """
    return _scaled("dropout", input, p, training, inplace, channels=False)


def dropout1d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Each channel as a whole is 0 with probability p, else divided by 1 - p: Tompson et al. (2015).

    Args:
        input: (N, C, L) or (C, L).
        p: probability of becoming 0.
        training: else the input is returned.
        inplace: write the result over the input.

    Raises:
        ValueError: p is no probability.
        RuntimeError: the input has another number of dimensions.
    """
    _probability("dropout1d", p)
    if input.dim() not in (2, 3):
        raise RuntimeError(f"dropout1d: input {tuple(input.shape)} has {input.dim()} dimensions, (C, L) or (N, C, L) is needed")
    return _of_batches("dropout1d", input, p, training, inplace, dimensions=3)


def dropout2d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Each channel as a whole is 0 with probability p, else divided by 1 - p: Tompson et al. (2015).

    Args:
        input: (N, C, H, W). Three dimensions are taken as (N, C, L), with a warning, as torch does.
        p: probability of becoming 0.
        training: else the input is returned.
        inplace: write the result over the input.

    Raises:
        ValueError: p is no probability.
    """
    _probability("dropout2d", p)
    if input.dim() != 4:
        taken = "is taken as (N, C, L); dropout1d is meant for that" if input.dim() == 3 else "is deprecated; dropout is meant for that"
        warn(f"dropout2d: input {tuple(input.shape)} with {input.dim()} dimensions {taken}", stacklevel=2)
    return _scaled("dropout2d", input, p, training, inplace, channels=True)


def dropout3d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Each channel as a whole is 0 with probability p, else divided by 1 - p: Tompson et al. (2015).

    Args:
        input: (N, C, D, H, W) or (C, D, H, W).
        p: probability of becoming 0.
        training: else the input is returned.
        inplace: write the result over the input.

    Raises:
        ValueError: p is no probability.
    """
    _probability("dropout3d", p)
    if input.dim() not in (4, 5):
        warn(f"dropout3d: input {tuple(input.shape)} with {input.dim()} dimensions is deprecated; use dropout", stacklevel=2)
    return _of_batches("dropout3d", input, p, training, inplace, dimensions=5)


def alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """Each element is set to selu's lower limit with probability p; then all are scaled and moved so that mean 0 and variance 1 stay.

    Klambauer et al. (2017), "Self-normalizing neural networks".

    Args:
        input: any shape.
        p: probability of being set.
        training: else the input is returned.
        inplace: write the result over the input.

    Raises:
        ValueError: p is no probability.
    """
    return _saturated("alpha_dropout", input, p, training, inplace, channels=False)


def feature_alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """`alpha_dropout` of whole channels.

    Args:
        input: (N, C, *).
        p: probability of being set.
        training: else the input is returned.
        inplace: write the result over the input.

    Raises:
        ValueError: p is no probability.
    """
    return _saturated("feature_alpha_dropout", input, p, training, inplace, channels=True)


def _probability(name: str, p: float) -> None:
    if not 0 <= p <= 1:
        raise ValueError(f"{name}: p is {p}, a probability between 0 and 1 is needed")


def _kept(name: str, input: Tensor, p: float, channels: bool) -> Tensor:
    """1 for what stays and 0 for what goes: for each element, or for each channel as (N, C, 1, ...)."""
    need_fractions(name, input, RuntimeError)
    if not channels:
        return torch.empty_like(input).bernoulli_(1 - p)
    if input.dim() < 2:
        raise RuntimeError(f"{name}: input {tuple(input.shape)} has no channels, at least (N, C) is needed")
    return input.new_empty(*input.shape[:2], *[1] * (input.dim() - 2)).bernoulli_(1 - p)


def _nothing_to_do(input: Tensor, p: float, training: bool) -> bool:
    return p == 0 or not training or input.numel() == 0


def _times(input: Tensor, factor: Tensor, inplace: bool) -> Tensor:
    return input.mul_(factor) if inplace else input * factor


def _scaled(name: str, input: Tensor, p: float, training: bool, inplace: bool, channels: bool) -> Tensor:
    _probability(name, p)
    if _nothing_to_do(input, p, training):
        return input
    if p == 1:  # a product, as then the gradient is 0 and not missing
        return _times(input, input.new_zeros(()), inplace)
    return _times(input, _kept(name, input, p, channels) / (1 - p), inplace)


def _of_batches(name: str, input: Tensor, p: float, training: bool, inplace: bool, dimensions: int) -> Tensor:
    """Whole channels, of an input that may lack its batch dimension."""
    if input.dim() == dimensions:
        return _scaled(name, input, p, training, inplace, channels=True)
    return _scaled(name, input.unsqueeze(0), p, training, inplace, channels=True).squeeze(0)


def _saturated(name: str, input: Tensor, p: float, training: bool, inplace: bool, channels: bool) -> Tensor:
    _probability(name, p)
    if _nothing_to_do(input, p, training):
        return input
    if p == 1:
        return _times(input, input.new_zeros(()), inplace)
    limit = SELU_ALPHA * SELU_SCALE  # selu goes to minus this
    # variance of a standard normal input: kept with 1 - p, -limit with p, is (1 - p) (1 + p limit^2); its mean is -p limit
    scale = 1 / math.sqrt((limit * limit * p + 1) * (1 - p))
    kept = _kept(name, input, p, channels)
    shift = (kept - 1) * (limit * scale) + limit * scale * p
    product = _times(input, kept * scale, inplace)
    return product.add_(shift) if inplace else product + shift
