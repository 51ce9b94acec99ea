"""Helpers of the tests of models, of the Learner, of data and of the command line serve here too."""

from __future__ import annotations

import sys
from pathlib import Path

for _folder in ("../cli", "../data", "../learner", "../models", "."):
    sys.path.insert(0, str((Path(__file__).parent / _folder).resolve()))

from stage import rung  # noqa: E402, F401
