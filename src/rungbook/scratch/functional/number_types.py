"""Types of numbers that a function is made for."""

from __future__ import annotations

from torch import Tensor


def need_fractions(name: str, input: Tensor, error: type[Exception] = NotImplementedError, argument: str = "input", hint: str = "") -> None:
    """Raise unless the numbers may have fractions: a function that refuses whole numbers says so, and does not round in silence.

    Args:
        name: the function that asks.
        input: real or complex numbers.
        error: what is raised; torch's own choice differs between functions.
        argument: what the function calls the input.
        hint: added to the message.
    """
    if not (input.is_floating_point() or input.is_complex()):
        raise error(f"{name}: {argument} is {input.dtype}, a floating-point type is needed{hint}")
