"""Affine maps: every output is a weighted sum of the inputs, plus a bias.

Shapes: N any leading dimensions, I input features, O output features.
"""

from __future__ import annotations

from torch import Tensor


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`input @ weight.T + bias`.

    Args:
        input: (*, I).
        weight: (O, I), or (I) for a single output.
        bias: (O), or () for a single output.

    Returns:
        (*, O), or (*) for a single output.

    Raises:
        RuntimeError: the last dimension of the input is not I.
    """
    if input.shape[-1:] != weight.shape[-1:]:
        raise RuntimeError(
            f"linear: input {tuple(input.shape)} ends in {input.shape[-1:]}, weight {tuple(weight.shape)} needs {weight.shape[-1]}"
        )
    product = input @ weight.mT if weight.dim() > 1 else input @ weight  # (*, O)
    return product if bias is None else product + bias
