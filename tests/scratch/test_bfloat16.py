"""Every layer and loss of ours in float32, in bfloat16 and under autocast: as near to torch's own in that precision as rounding allows."""

from __future__ import annotations

import copy
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

sys.path.insert(0, str(Path(__file__).parents[1] / "conformance"))

from agree import Case, quiet
from corpus import module_cases

from rungbook.scratch.twins import TWINS

KINDS = {
    "float32": (torch.float32, False),
    "bfloat16": (torch.bfloat16, False),
    "autocast": (torch.float32, True),
}
"""Name -> type of parameters and inputs, and whether autocast to bfloat16 is on."""

TOLERANCES = {"float32": (1e-5, 1e-4), "bfloat16": (2**-5, 2**-3), "autocast": (2**-5, 2**-3)}
"""Of results and of gradients, relative to the larger of 1 and torch's: float32 rounds to 2^-24, bfloat16 to 2^-9."""

OTHER_TYPES = {
    "Bilinear": "torch does its three-way product in float32, ours is made of matrix products, which autocast makes bfloat16",
    "MultiheadAttention": "torch casts a mask to bfloat16 too; ours is added to the scores in float32, which they then are",
    "PReLU": "torch casts its arguments to bfloat16 as those of a matrix product, ours are multiplied one by one, in float32",
}
"""Layers whose results have another type than torch's under autocast, and why."""
ITS_TYPE_DEPENDS = {"LSTM": "torch computes it in bfloat16 on processors that have instructions for that, elsewhere in float32, as ours"}
"""Layers whose results have under autocast another type than torch's on some machines only, and why."""


@cache
def small_case(theirs: type[nn.Module]) -> Case:
    """The first case without an empty tensor."""
    return next(c for c in module_cases(theirs) if all(x.numel() for x in tree_leaves((c.args, c.kwargs)) if isinstance(x, Tensor)))


def outcome(cls: type[nn.Module], case: Case, dtype: torch.dtype, autocast: bool) -> tuple[list[Tensor], list[Tensor]]:
    """Results of a layer, and gradients of its inputs and parameters under a fixed weighting of the results."""
    torch.manual_seed(0)
    module = cls(*copy.deepcopy(case.make), **copy.deepcopy(case.options)).to(dtype).train(case.training)
    leaves: list[Tensor] = []

    def given(x: Any) -> Any:
        if not (isinstance(x, Tensor) and x.is_floating_point()):
            return x
        leaves.append(x.detach().to(dtype).requires_grad_(x.requires_grad))
        return leaves[-1].clone()  # an operation in place needs something that is no leaf

    args, kwargs = tree_map(given, (case.args, case.kwargs))
    torch.manual_seed(1)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        results = [x for x in tree_leaves(module(*args, **kwargs)) if isinstance(x, Tensor)]
    generator = torch.Generator().manual_seed(2)
    weighted = [(x.double() * torch.randn(x.shape, dtype=torch.float64, generator=generator)).sum() for x in results if x.requires_grad]
    inputs = [x for x in (*leaves, *module.parameters()) if x.requires_grad]
    found = torch.autograd.grad(torch.stack(weighted).sum(), inputs, allow_unused=True) if weighted and inputs else ()
    # no gradient and a gradient of zeros say the same
    return [x.detach() for x in results], [torch.zeros_like(x) if g is None else g for x, g in zip(inputs, found, strict=False)]


def farthest(ours: list[Tensor], theirs: list[Tensor]) -> float:
    assert [x.shape for x in ours] == [x.shape for x in theirs]
    worst = 0.0
    for a, b in zip(ours, theirs, strict=True):
        same = (a == b) | (a.isnan() & b.isnan())
        distance = torch.where(same, 0.0, (a.double() - b.double()).abs() / b.double().abs().clamp(min=1))
        worst = max(worst, float(distance.nan_to_num(nan=float("inf")).max()) if distance.numel() else 0.0)
    return worst


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("theirs", TWINS, ids=lambda cls: cls.__name__)
def test_as_near_as_rounding_allows(theirs: type[nn.Module], kind: str) -> None:
    case, ours = small_case(theirs), TWINS[theirs]
    values, slopes = TOLERANCES[kind]
    with quiet():
        got, gradients = outcome(ours, case, *KINDS[kind])
        try:
            expected, wanted = outcome(theirs, case, *KINDS[kind])
        except (NotImplementedError, RuntimeError):
            # torch has no kernel for it here: then ours is compared with torch's float32
            assert kind != "float32"
            expected, wanted = outcome(theirs, case, torch.float32, False)
        else:
            same_types = [x.dtype for x in got] == [x.dtype for x in expected]
            listed = kind == "autocast" and theirs.__name__ in OTHER_TYPES
            depends = kind == "autocast" and theirs.__name__ in ITS_TYPE_DEPENDS
            assert depends or same_types != listed, f"{[x.dtype for x in got]}, torch has {[x.dtype for x in expected]}; listed: {listed}"
    assert farthest(got, expected) <= values
    assert farthest(gradients, wanted) <= slopes


def test_tolerances_tell_precisions_apart() -> None:
    """What is within rounding in bfloat16 is far outside in float32, and half of a gradient is outside of both."""
    case = small_case(nn.Linear)
    (exact, slopes), (half, _) = (outcome(nn.Linear, case, dtype, False) for dtype in (torch.float32, torch.bfloat16))
    assert TOLERANCES["float32"][0] < farthest(half, exact) < TOLERANCES["bfloat16"][0]
    assert farthest([0.5 * x for x in slopes], slopes) > TOLERANCES["bfloat16"][1]
