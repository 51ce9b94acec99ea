"""The helpers of the command line's tests serve here too."""

from __future__ import annotations

import sys
from pathlib import Path

for _folder in ("../cli", "../data", "."):
    sys.path.insert(0, str((Path(__file__).parent / _folder).resolve()))

from measured import place  # noqa: E402, F401
from stage import gallery, rung  # noqa: E402, F401
