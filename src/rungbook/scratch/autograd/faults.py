"""What a tape refuses, and where in the program it came from."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

INSIDE = (str(Path(torch.__file__).parent), str(Path(__file__).parent))


class TapeError(RuntimeError):
    """A gradient that cannot be had, or would be wrong."""


class MissingRule(TapeError, NotImplementedError):
    """A gradient reached an operation without a rule."""


class OverwrittenTensor(TapeError):
    """A tensor was written in place in a way that would make a gradient wrong."""


class UnreachedTensor(TapeError):
    """A gradient was asked for with respect to a tensor that has no influence."""


def caller() -> str:
    """File and line of the innermost call that is neither torch's nor the tape's."""
    frame = sys._getframe(1)
    while frame.f_back is not None and (frame.f_code.co_filename.startswith(INSIDE) or frame.f_code.co_filename.startswith("<")):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
