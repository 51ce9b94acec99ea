"""A report's pictures are calls until the page is written; then they are drawn all at once, by the helper if there is one.

So the process that trains need not load matplotlib. A call is a `functools.partial` of a function of `rungbook.plot` with plain data.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import numpy as np

from rungbook.plot.style import Picture
from rungbook.recipes.helper import each

Sketch = partial[Picture]
"""A picture that is not drawn yet."""
BULKY = 1 << 24
"""Bytes of an array from which on drawing from it here is quicker than sending it: 16 MB are 400,000 samples of ten classes."""


def drawn(content: Any) -> Any:
    """Dictionaries and lists with every sketch in them drawn; all else stays as it is."""
    sketches: list[Sketch] = []
    _replaced(content, sketches.append)
    pictures = iter(_pictures(sketches))
    return _replaced(content, lambda sketch: next(pictures))


def _pictures(sketches: list[Sketch]) -> Iterable[Picture]:
    bulky = any(isinstance(a, np.ndarray) and a.nbytes > BULKY for sketch in sketches for a in sketch.args)
    pictures: Iterator[Picture] = map(operator.call, sketches) if bulky else each(operator.call, sketches)
    return pictures


def _replaced(part: Any, change: Callable[[Sketch], Any]) -> Any:
    if isinstance(part, partial):
        return change(part)
    if isinstance(part, dict):
        return {key: _replaced(value, change) for key, value in part.items()}
    return [_replaced(value, change) for value in part] if isinstance(part, list) else part


__all__ = ["Sketch", "drawn"]
