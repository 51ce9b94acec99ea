"""What stands for what: torch class -> ours, torch function -> ours; and how ours are put in torch's place.

Our parts carry torch's names, so both tables are read off `nn.__all__` and `functional.__all__`: a part that is written is a row.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional

from rungbook.scratch import functional, nn


def pairs(ours: ModuleType, theirs: ModuleType) -> dict[Any, Any]:
    """Their part -> ours, for all of ours that have the name of one of theirs."""
    return {getattr(theirs, name): getattr(ours, name) for name in ours.__all__ if hasattr(theirs, name)}


TWINS: dict[type[torch.nn.Module], type[torch.nn.Module]] = pairs(nn, torch.nn)
"""Layer or loss of torch.nn -> its twin."""

FUNCTIONS: dict[Callable[..., Any], Callable[..., Any]] = pairs(functional, torch.nn.functional)
"""Function of torch.nn.functional -> its twin."""
