"""Work for a helper; this module is imported there, so it must not import torch."""

from __future__ import annotations

import os
import sys
from typing import Any


def whose(_: Any) -> int:
    """The process it is done in."""
    return os.getpid()


def loaded(name: str) -> bool:
    """Whether a module is imported in that process."""
    return name in sys.modules


def unlucky(item: int) -> int:
    """Fails for 13."""
    if item == 13:
        raise ValueError(f"{item} cannot be done")
    return item
