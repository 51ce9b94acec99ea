"""torch's compiler is loaded when something is compiled, and not when the first optimiser is made.

torch keeps some functions out of compiled code, its optimisers' bookkeeping among them, and the first call of one of them loads the
compiler to ask how: about 800 modules, for nothing where nothing is ever compiled.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from torch.optim import Optimizer

COMPILER = "torch._dynamo"
OF_OPTIMIZERS = (Optimizer.add_param_group, Optimizer.load_state_dict, Optimizer.state_dict, Optimizer.zero_grad)
ANSWER = "__dynamo_disable"
"""Where torch keeps, on such a function, the form of it that the compiler leaves alone."""


def postpone(*functions: Callable[..., Any]) -> None:
    """Let these functions, which torch keeps out of compiled code, do without the compiler until something else has loaded it."""
    for function in functions:
        plain = getattr(function, "__wrapped__", None)  # a torch that does not wrap them needs nothing
        if plain is not None and COMPILER not in sys.modules and not hasattr(plain, ANSWER):
            setattr(plain, ANSWER, _until_loaded(function, plain))


def _until_loaded(function: Callable[..., Any], plain: Callable[..., Any]) -> Callable[..., Any]:
    """The function as it is; once the compiler is there, torch is asked again for the form it wants."""

    def call(*args: Any, **kwargs: Any) -> Any:
        if COMPILER not in sys.modules:
            return plain(*args, **kwargs)
        if getattr(plain, ANSWER, None) is call:
            vars(plain).pop(ANSWER, None)  # another thread may have done it in between
        return function(*args, **kwargs)

    return call
