"""Warnings to whoever calls a function."""

from __future__ import annotations

import warnings

import torch


def warn(text: str, stacklevel: int = 2) -> None:
    """Warn, unless a graph is being compiled: a warning would cut it in two, and be given once instead of at each call.

    Args:
        text: what is wrong, and what to do.
        stacklevel: 2 names the line that called the function that warns, as with `warnings.warn`.
    """
    if not torch.compiler.is_compiling():
        warnings.warn(text, stacklevel=stacklevel + 1)
