"""Every gradient rule of the tape against torch's autograd, in float64, on torch's own samples of operations (op_db).

An operation without a rule is no failure: `-s` prints which there are.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from agree import Case, Counts, close, compare_all, fresh, outcome, quiet
from corpus import op_infos
from tolerances import GRADIENTS, VALUES
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map

from rungbook.scratch.autograd.faults import MissingRule, OverwrittenTensor
from rungbook.scratch.autograd.rules import RULES
from rungbook.scratch.autograd.tape import Tape

SAMPLES = 12  # of each operation, taken evenly from all
LARGEST = 20_000  # elements of a sample: larger ones take long and show nothing more


@cache
def infos() -> dict[str, Any]:
    """Torch's operations that have gradients in float64."""
    found = {info.formatted_name: info for group in op_infos().values() for info in group}
    return {n: i for n, i in found.items() if i.supports_autograd and torch.float64 in i.supported_backward_dtypes("cpu")}


def cases(info: Any) -> list[Case]:
    """Samples, spread over all that torch has."""
    torch.manual_seed(0)
    samples = list(info.sample_inputs("cpu", torch.float64, requires_grad=True))
    samples = samples[:: max(1, -(-len(samples) // SAMPLES))]
    made = [Case(f"{i}", (s.input, *s.args), dict(s.kwargs)) for i, s in enumerate(samples)]
    return [c for c in made if sum(x.numel() for x in tree_flatten((c.args, c.kwargs))[0] if isinstance(x, Tensor)) <= LARGEST]


def taped(call: Any, args: Any, kwargs: Any) -> tuple[list[Any], list[Tensor | None], set[Any]]:
    """As agree.outcome, by the tape; and the rules that were used."""
    (args, kwargs), leaves = fresh((args, kwargs))
    tape, results = Tape(), []
    tape.watch(*leaves)
    torch.manual_seed(1)
    with tape:
        inner = {id(x): x.clone() for x in leaves}
        args, kwargs = tree_map(lambda x: inner.get(id(x), x) if isinstance(x, Tensor) else x, (args, kwargs))
        results = tree_flatten(call(*args, **kwargs))[0]
        wanted = [r for r in results if isinstance(r, Tensor) and id(r) in tape._taped]
        weights = torch.Generator().manual_seed(2)
        total = sum(
            ((r * torch.randn(r.shape, dtype=r.dtype, generator=weights)).sum() for r in wanted), torch.zeros((), dtype=torch.float64)
        )
    used = {entry[0] for entry in tape._entries}
    gradients = tape.gradient(total, leaves, allow_unused=True) if wanted and leaves else [None] * len(leaves)
    return results, gradients, used


@cache
def compared(name: str) -> tuple[dict[str, Exception | None], set[Any], set[str]]:
    """Of one operation: what is wrong with each case, rules used where nothing is, operations that have no rule."""
    info, wrong, used, missing = infos()[name], {}, set(), set()
    for case in cases(info):
        try:
            with quiet():
                expected, wanted = outcome(info.op, case.args, case.kwargs, [])
        except Exception:
            continue  # torch itself cannot differentiate it
        try:
            with quiet():
                got, gradients, rules = taped(info.op, case.args, case.kwargs)
            for i, (a, b) in enumerate(zip(got, expected, strict=True)):
                close(a, b, VALUES, f"result {i}")
            for i, (a, b) in enumerate(zip(gradients, wanted, strict=True)):
                zero = a if b is None else b
                if zero is not None:
                    close(
                        torch.zeros_like(zero) if a is None else a, torch.zeros_like(zero) if b is None else b, GRADIENTS, f"gradient {i}"
                    )
        except (MissingRule, OverwrittenTensor) as refusal:
            missing.add(str(refusal).split(" at ")[0])
        except Exception as error:
            wrong[case.label] = error
        else:
            wrong[case.label] = None
            used |= rules
    return wrong, used, missing


@pytest.mark.parametrize("name", infos())
def test_operation(name: str, counts: dict[str, Counts]) -> None:
    wrong, _, missing = compared(name)
    if not wrong:
        pytest.skip(f"no rule for {', '.join(sorted(missing)) or 'any sample'}")

    def agree(case: Case) -> None:
        if (error := wrong[case.label]) is not None:
            raise error

    compare_all(f"tape.{name}", [Case(label) for label in wrong], agree, counts)
