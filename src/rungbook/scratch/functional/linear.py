"""Affine maps: every output is a weighted sum of the inputs, plus a bias.

Shapes: * any leading dimensions, I input features, O output features.
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
        RuntimeError: the last dimension of the input is not I, or dtypes differ.
    """
    if input.shape[-1:] != weight.shape[-1:]:
        last = input.shape[-1] if input.dim() else "no dimension"
        raise RuntimeError(f"linear: input {tuple(input.shape)} ends in {last}, weight {tuple(weight.shape)} needs {weight.shape[-1]}")
    if bias is not None and bias.dtype != weight.dtype:
        raise RuntimeError(f"linear: bias is {bias.dtype}, weight {weight.dtype}; they must be the same")
    product = input @ weight.mT if weight.dim() > 1 else input @ weight  # (*, O)
    # autocast multiplies in half precision; a single precision bias would lift the sum out of it
    return product if bias is None else product + bias.to(product.dtype)


def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`out[o] = input1 @ weight[o] @ input2 + bias[o]`: every product of a feature of one and a feature of the other has a weight.

    Args:
        input1: (*, I).
        input2: (*, J).
        weight: (O, I, J).
        bias: (O).

    Returns:
        (*, O).

    Raises:
        RuntimeError: the shapes do not fit.
    """
    if input1.dim() == 0 or input2.dim() == 0:
        raise RuntimeError(f"bilinear: input1 {tuple(input1.shape)} and input2 {tuple(input2.shape)} need at least one dimension")
    if input1.shape[:-1] != input2.shape[:-1]:
        raise RuntimeError(f"bilinear: input1 {tuple(input1.shape)} and input2 {tuple(input2.shape)} may differ in the last dimension only")
    if weight.dim() != 3 or (input1.shape[-1], input2.shape[-1]) != tuple(weight.shape[1:]):
        raise RuntimeError(
            f"bilinear: weight {tuple(weight.shape)} must be (outputs, {input1.shape[-1]}, {input2.shape[-1]}), as the inputs end in"
        )
    if bias is not None and bias.shape != weight.shape[:1]:
        raise RuntimeError(f"bilinear: bias {tuple(bias.shape)} must be ({weight.shape[0]}), as weight {tuple(weight.shape)} has outputs")
    left = input1 @ weight.transpose(0, 1).flatten(1)  # (*, O J)
    product = (left.unflatten(-1, (weight.shape[0], weight.shape[2])) @ input2.unsqueeze(-1)).squeeze(-1)  # (*, O)
    return product if bias is None else product + bias.to(product.dtype)
