"""Cases of our own, for parts that torch's corpora have no samples of, and for arguments that they do not touch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import more_losses
import more_pointwise
import more_sequence
import more_spatial
from agree import Case

MODULE_CASES: dict[type, Sequence[Case | Callable[[], Case]]] = {}
"""torch.nn class -> cases."""

FUNCTION_CASES: dict[str, Sequence[Case | Callable[[], Case]]] = {}
"""Name in torch.nn.functional -> cases."""

MODULE_CASES.update(more_pointwise.MODULES)
FUNCTION_CASES.update(more_pointwise.FUNCTIONS)
MODULE_CASES.update(more_spatial.MODULES)
FUNCTION_CASES.update(more_spatial.FUNCTIONS)
MODULE_CASES.update(more_losses.MODULES)
FUNCTION_CASES.update(more_losses.FUNCTIONS)
MODULE_CASES.update(more_sequence.MODULES)
FUNCTION_CASES.update(more_sequence.FUNCTIONS)
