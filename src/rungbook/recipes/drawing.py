"""Most of a report's pictures are calls until the page is written; then they are drawn all at once, by the helper if there is one.

So the process that trains need not load matplotlib for them. A call is a `functools.partial` of a function of `rungbook.plot` with plain
data; a picture that needs the model is drawn at once.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from rungbook.plot.style import Picture
from rungbook.recipes.helper import each

Sketch = partial[Picture]
"""A picture that is not drawn yet."""
BULKY = 1 << 24
"""Bytes of one array from which on it is not sent but drawn from here: 16 MB are 400,000 samples of ten classes."""


def drawn(content: Any) -> Any:
    """Dictionaries and lists with every sketch in them drawn; all else stays as it is."""
    sketches: list[Sketch] = []
    _replaced(content, sketches.append)
    pictures = _pictures(sketches)
    return _replaced(content, lambda sketch: next(pictures))


def _pictures(sketches: list[Sketch]) -> Iterator[Picture]:
    if any(isinstance(a, np.ndarray) and a.nbytes > BULKY for sketch in sketches for a in sketch.args):
        return map(operator.call, sketches)
    return each(operator.call, sketches)


def _replaced(part: Any, change: Callable[[Sketch], Any]) -> Any:
    if isinstance(part, partial):
        return change(part)
    if isinstance(part, dict):
        return {key: _replaced(value, change) for key, value in part.items()}
    return [_replaced(value, change) for value in part] if isinstance(part, list) else part
