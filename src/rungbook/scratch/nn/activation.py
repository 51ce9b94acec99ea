"""Activations as layers."""

from __future__ import annotations

from torch import Tensor
from torch.nn import Module

from rungbook.scratch import functional as F


class ReLU(Module):
    """`max(0, x)`.

    Args:
        inplace: write the result over the input.
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        return F.relu(input, self.inplace)

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""
