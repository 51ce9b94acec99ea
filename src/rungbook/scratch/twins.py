"""What stands for what: torch class -> ours, torch function -> ours.

Our parts carry torch's names, so both tables are read off `nn.__all__` and `functional.__all__`: a part that is written is a row.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional
from torch import Tensor

from rungbook.scratch import functional, nn
from rungbook.scratch.nn.attention import NonDynamicallyQuantizableLinear


def pairs(ours: ModuleType, theirs: Any) -> dict[Any, Any]:
    """Their part -> ours, for all of ours that have the name of one of theirs."""
    return {getattr(theirs, name): getattr(ours, name) for name in ours.__all__ if hasattr(theirs, name)}


TWINS: dict[type[torch.nn.Module], type[torch.nn.Module]] = pairs(nn, torch.nn)
"""Layer or loss of torch.nn -> its twin."""
TWINS[torch.nn.modules.linear.NonDynamicallyQuantizableLinear] = NonDynamicallyQuantizableLinear  # an attention's last map, not in torch.nn

SAME_ARGUMENTS = ("relu", "relu_", "sigmoid", "tanh", "selu", "celu", "prelu", "pairwise_distance", "cosine_similarity", "pixel_shuffle")
"""Functions that torch also has as torch.NAME or as a method, with the same arguments; softmax and log_softmax there lack one."""


def _without_stacklevel(ours: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def called(input: Tensor, dim: int, dtype: torch.dtype | None = None) -> Tensor:
        return ours(input, dim, dtype=dtype)

    return called


def _everywhere() -> dict[Any, Any]:
    found = pairs(functional, torch.nn.functional)
    for place in (torch, Tensor):
        for name in SAME_ARGUMENTS:
            if hasattr(place, name) and name in functional.__all__:
                found[getattr(place, name)] = getattr(functional, name)
        for name in ("softmax", "log_softmax"):
            if name in functional.__all__:
                found[getattr(place, name)] = _without_stacklevel(getattr(functional, name))
    return found


FUNCTIONS: dict[Callable[..., Any], Callable[..., Any]] = _everywhere()
"""Function of torch.nn.functional, or the same as torch.NAME or as a method -> its twin."""

LOSS_FUNCTIONS: list[Callable[..., Any]] = [
    getattr(torch.nn.functional, name)
    for name in functional.__all__
    if hasattr(torch.nn.functional, name) and (name.endswith("_loss") or "cross_entropy" in name or name == "kl_div")
]
"""Those of them that are losses."""
