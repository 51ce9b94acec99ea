"""Our functions in torch's place, wherever code calls torch's: `with scratch(): ...`.

A model calls functions as well as layers (`F.gelu(x)`, `x.softmax(-1)`). A `TorchFunctionMode` sees each such call by torch's name before
torch does anything, and answers those it has another function for.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from torch.overrides import TorchFunctionMode

from rungbook.scratch.twins import FUNCTIONS


class replaced(TorchFunctionMode):  # noqa: N801 (a context, used as torch.no_grad is)
    """Within it, some of torch's functions are others.

    Args:
        functions: torch function -> what is called in its place, with the same arguments.
    """

    def __init__(self, functions: Mapping[Callable[..., Any], Callable[..., Any]]) -> None:
        super().__init__()
        self.functions = functions

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self.functions.get(func, func)(*args, **(kwargs or {}))


class scratch(replaced):  # noqa: N801
    """Within it, torch's functions are ours.

    Args:
        only: torch functions to answer, or one; all that have a twin if None.

    Raises:
        ValueError: `only` names a function without a twin.
    """

    def __init__(self, only: Collection[Callable[..., Any]] | Callable[..., Any] | None = None) -> None:
        only = (only,) if callable(only) else only
        if unknown := [f for f in only or () if f not in FUNCTIONS]:
            raise ValueError(f"no twin for {', '.join(getattr(f, '__name__', str(f)) for f in unknown)}")
        super().__init__(FUNCTIONS if only is None else {f: FUNCTIONS[f] for f in only})
