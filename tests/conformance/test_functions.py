"""Every function of ours against torch.nn.functional's: results and gradients, in float64, on torch's own samples."""

from __future__ import annotations

from functools import partial

import pytest
import torch.nn.functional
from agree import Counts, compare_all, functions_agree
from corpus import function_cases

from rungbook.scratch import functional


@pytest.mark.parametrize("name", functional.__all__)
def test_function(name: str, counts: dict[str, Counts]) -> None:
    agree = partial(functions_agree, getattr(functional, name), getattr(torch.nn.functional, name))
    compare_all(f"nn.functional.{name}", function_cases(name), agree, counts)


@pytest.mark.soak
@pytest.mark.parametrize("name", functional.__all__)
def test_function_on_every_sample(name: str) -> None:
    agree = partial(functions_agree, getattr(functional, name), getattr(torch.nn.functional, name))
    compare_all(f"nn.functional.{name}", function_cases(name, limit=10**9), agree, {})
