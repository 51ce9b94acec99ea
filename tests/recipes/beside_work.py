"""Work for a helper, and whether a process has ended; this module is imported there, so it must not import torch."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
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


def gone(pid: int, seconds: float = 10.0, *, fetched: bool = False) -> bool:
    """Whether a process ends within that time; `fetched` if its parent must have asked for its exit code too."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        stat = Path(f"/proc/{pid}/stat")
        if not fetched and stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.02)
    return False
