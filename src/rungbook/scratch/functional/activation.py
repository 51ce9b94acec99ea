"""Activations: what stands between two affine maps, so that together they are more than one."""

from __future__ import annotations

from torch import Tensor


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """`max(0, x)`: Nair and Hinton (2010). Its slope at 0 is taken as 0.

    Args:
        input: any shape.
        inplace: write the result over the input.
    """
    return input.clamp_(min=0) if inplace else input.clamp(min=0)
