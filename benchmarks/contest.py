"""What bench_twins times: one torch part against our forms of it, and the ratio each is to stay below."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Contest:
    """One part at one size.

    Args:
        name: as "Conv2d N256 1->6 k5".
        theirs: makes one forward and backward (or one step) of torch's part.
        ours: form, as "eager" or "compiled" -> makes the same of ours, from equal weights on equal inputs.
        bounds: form -> ratio of processor time to torch's that it is to stay below.
        check: raises unless all forms give torch's results; called once before timing.
    """

    name: str
    theirs: Callable[[], object]
    ours: dict[str, Callable[[], object]]
    bounds: dict[str, float]
    check: Callable[[], None] = field(default=lambda: None)
