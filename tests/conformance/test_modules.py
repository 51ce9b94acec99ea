"""Every layer and loss of TWINS against torch's: seeded initial values, results, gradients, buffers, in float64, on torch's own samples."""

from __future__ import annotations

from functools import partial

import pytest
from agree import Counts, compare_all, modules_agree
from corpus import module_cases

from rungbook.scratch.twins import TWINS


@pytest.mark.parametrize("theirs", TWINS, ids=lambda cls: cls.__name__)
def test_layer(theirs: type, counts: dict[str, Counts]) -> None:
    compare_all(f"nn.{theirs.__name__}", module_cases(theirs), partial(modules_agree, TWINS[theirs], theirs), counts)
