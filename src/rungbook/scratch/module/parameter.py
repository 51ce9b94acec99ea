"""A parameter: a tensor that a module it is assigned to counts among what is learnt. It computes as any tensor does."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class Parameter(Tensor):
    """A tensor with a mark.

    It is one of torch's tensors, so torch's autograd and our tape alike differentiate in it; what is computed from it is a plain tensor.

    Args:
        data: shares its memory; nothing at all if None.
        requires_grad: whether it is to be learnt.
    """

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]  # results are tensors, not parameters

    def __new__(cls, data: Tensor | None = None, requires_grad: bool = True) -> Parameter:
        data = torch.empty(0) if data is None else data
        parameter = data.detach().as_subclass(cls)
        parameter.requires_grad_(requires_grad)
        return parameter

    def __deepcopy__(self, memo: dict[int, Any]) -> Parameter:
        """A copy of the numbers; one for all the places that share this one."""
        if id(self) not in memo:
            memo[id(self)] = type(self)(self.detach().clone(memory_format=torch.preserve_format), self.requires_grad)
        return memo[id(self)]

    def __repr__(self, **options: Any) -> str:  # type: ignore[override]
        plain = self.detach().as_subclass(Tensor).requires_grad_(self.requires_grad)
        return "Parameter containing:\n" + plain.__repr__(**options)
