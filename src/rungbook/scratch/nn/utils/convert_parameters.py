"""All parameters as one vector, and back."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All entries of all parameters, one after another.

    Raises:
        TypeError: they lie on different devices.
    """
    parameters = list(parameters)
    _one_device(parameters)
    return torch.cat([p.reshape(-1) for p in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Make each parameter a part of one vector; they share its memory from then on.

    Args:
        vec: with as many entries as the parameters have together, or more.
        parameters: in the order of `parameters_to_vector`.

    Raises:
        TypeError: vec is no tensor, or the parameters lie on different devices.
    """
    if not isinstance(vec, Tensor):
        raise TypeError(f"vector_to_parameters: vec is a {type(vec).__name__}, a tensor is needed")
    parameters = list(parameters)
    _one_device(parameters)
    begin = 0
    for p in parameters:
        p.data = vec[begin : begin + p.numel()].view_as(p).detach()
        begin += p.numel()


def _one_device(parameters: list[Tensor]) -> None:
    devices = {p.device for p in parameters}
    if len(devices) > 1:
        raise TypeError(f"the parameters lie on {', '.join(sorted(map(str, devices)))}; one device is needed")
