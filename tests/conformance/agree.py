"""Whether a part of ours and torch's own agree on one case: values, gradients, parameters, buffers, errors."""

from __future__ import annotations

import copy
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from exceptions import SHARE_OF_ALL, SHARE_OF_ONE, reason_for
from tolerances import GRADIENTS, VALUES
from torch import Tensor
from torch.nn.parameter import UninitializedTensorMixin
from torch.utils._pytree import tree_flatten, tree_map


@dataclass
class Case:
    """One input of a part.

    Args:
        label: names it within the part.
        args, kwargs: what it is called with.
        make, options: for a class: what it is made with.
        training: for a module: its mode.
    """

    label: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    make: tuple[Any, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    training: bool = True


@dataclass
class Counts:
    """What was compared for one part: labels of cases that agree, and of those left out with the reason."""

    passed: list[str] = field(default_factory=list)
    listed: dict[str, str] = field(default_factory=dict)


@contextmanager
def quiet() -> Iterator[None]:
    """Torch's own warnings about its own samples do not count."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def close(ours: Any, theirs: Any, tolerance: float, what: str) -> None:
    """Fail with the largest difference unless two results are the same but for rounding."""
    if not isinstance(theirs, Tensor):
        assert ours == theirs, f"{what}: {ours!r}, torch has {theirs!r}"
        return
    assert isinstance(ours, Tensor), f"{what}: {type(ours).__name__}, torch has a tensor"
    assert ours.shape == theirs.shape, f"{what}: shape {tuple(ours.shape)}, torch has {tuple(theirs.shape)}"
    assert ours.dtype == theirs.dtype, f"{what}: {ours.dtype}, torch has {theirs.dtype}"
    if torch.equal(ours, theirs):  # most are, and need no looking closer
        return
    if not theirs.is_floating_point() and not theirs.is_complex():
        assert torch.equal(ours, theirs), f"{what}: {ours.flatten()[:8].tolist()}, torch has {theirs.flatten()[:8].tolist()}"
        return
    same = (ours == theirs) | (ours.isnan() & theirs.isnan())
    distance = torch.where(same, 0.0, (ours - theirs).abs() / theirs.abs().clamp(min=1))
    worst = float(distance.nan_to_num(nan=float("inf")).max()) if distance.numel() else 0.0
    assert worst <= tolerance, f"{what}: differs by {worst:.1e}, allowed are {tolerance:.0e}"


def fresh(tree: Any) -> tuple[Any, list[Tensor]]:
    """A copy of a case's arguments, and those of its tensors that want a gradient, as leaves of their own."""
    leaves: list[Tensor] = []
    seen: dict[int, Tensor] = {}

    def copied(x: Any) -> Any:
        if not isinstance(x, Tensor):
            return copy.deepcopy(x) if isinstance(x, torch.Generator) else x
        if id(x) not in seen:
            seen[id(x)] = torch.empty_strided(x.shape, x.stride(), dtype=x.dtype).copy_(x.detach()) if _dense(x) else x.detach().clone()
            if x.requires_grad:
                leaves.append(seen[id(x)].requires_grad_())
        return seen[id(x)]

    return tree_map(copied, tree), leaves


def _dense(x: Tensor) -> bool:
    return x.layout == torch.strided and 0 not in x.stride() and x.is_floating_point()


def outcome(call: Callable[..., Any], args: Any, kwargs: Any, parameters: list[Tensor]) -> tuple[list[Any], list[Tensor | None]]:
    """All results of a call, and the gradients of its leaves and parameters under a fixed weighting of the results."""
    (args, kwargs), leaves = fresh((args, kwargs))
    # an operation in place needs something that is no leaf, and gets it
    inner = {id(x): x.clone() for x in leaves}
    args, kwargs = tree_map(lambda x: inner.get(id(x), x) if isinstance(x, Tensor) else x, (args, kwargs))
    torch.manual_seed(1)
    results = tree_flatten(call(*args, **kwargs))[0]
    wanted = [r for r in results if isinstance(r, Tensor) and r.requires_grad]
    inputs = leaves + [p for p in parameters if p.requires_grad]
    gradients: list[Tensor | None] = [None] * len(inputs)
    if wanted and inputs:
        weights = torch.Generator().manual_seed(2)
        total = sum(
            ((r * torch.randn(r.shape, dtype=r.dtype, generator=weights)).sum() for r in wanted), torch.zeros((), dtype=torch.float64)
        )
        gradients = list(torch.autograd.grad(total.real if total.is_complex() else total, inputs, allow_unused=True))
    return [r.detach() if isinstance(r, Tensor) else r for r in results], gradients


def functions_agree(ours: Callable[..., Any], theirs: Callable[..., Any], case: Case) -> None:
    """Same results and gradients from two functions."""
    expected, wanted = outcome(theirs, case.args, case.kwargs, [])
    got, gradients = outcome(ours, case.args, case.kwargs, [])
    _compare(got, expected, gradients, wanted)


def _compare(got: list[Any], expected: list[Any], gradients: list[Tensor | None], wanted: list[Tensor | None]) -> None:
    assert len(got) == len(expected), f"{len(got)} results, torch has {len(expected)}"
    for i, (a, b) in enumerate(zip(got, expected, strict=True)):
        close(a, b, VALUES, f"result {i}")
    for i, (a, b) in enumerate(zip(gradients, wanted, strict=True)):
        zero = a if b is None else b
        if zero is None:
            continue
        # no gradient and a gradient of zeros say the same
        close(torch.zeros_like(zero) if a is None else a, torch.zeros_like(zero) if b is None else b, GRADIENTS, f"gradient {i}")


def same_state(ours: torch.nn.Module, theirs: torch.nn.Module, tolerance: float) -> None:
    """Same names in the same order, and same tensors."""
    a, b = ours.state_dict(), theirs.state_dict()
    assert list(a) == list(b), f"state_dict has {list(a)}, torch's has {list(b)}"
    for name in b:
        if isinstance(b[name], UninitializedTensorMixin):  # a lazy layer's, before its first input
            assert type(a[name]) is type(b[name]), name
        else:
            close(a[name], b[name], tolerance, name)
    assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()]


def modules_agree(ours: type[torch.nn.Module], theirs: type[torch.nn.Module], case: Case) -> None:
    """Same seeded initial values, results, gradients, buffers afterwards, and text of two layers."""
    made = []
    for cls in (theirs, ours):
        torch.manual_seed(0)
        made.append(cls(*copy.deepcopy(case.make), **copy.deepcopy(case.options)))
    same_state(made[1], made[0], 0.0)
    assert repr(made[1]) == repr(made[0])
    found = []
    for module in made:
        module.to(torch.float64).train(case.training)
        found.append(outcome(module, case.args, case.kwargs, list(module.parameters())))
    (expected, wanted), (got, gradients) = found
    _compare(got, expected, gradients, wanted)
    same_state(made[1], made[0], VALUES)


def compare_all(part: str, cases: list[Case], agree: Callable[[Case], None], counts: dict[str, Counts]) -> None:
    """Compare every case of a part; all that differ are told together, those listed may, and must."""
    assert cases, f"{part}: no case to compare it on"
    mine = counts.setdefault(part, Counts())
    failures = []
    for case in cases:
        reason = reason_for(part, case.label)
        try:
            with quiet():
                agree(case)
        except Exception as difference:
            if reason is None:
                failures.append(
                    f"  [{case.label}] {type(difference).__name__}: {str(difference).splitlines()[0] if str(difference) else ''}"
                )
            else:
                mine.listed[case.label] = reason
        else:
            mine.passed.append(case.label)
            if reason is not None:
                failures.append(f"  [{case.label}] agrees, and is listed as one that does not: {reason}")
    assert not failures, f"{part}: {len(failures)} of {len(cases)} cases\n" + "\n".join(failures[:12])


def as_rows(parts: dict[str, Counts]) -> dict[str, dict[str, Any]]:
    """Part -> how many cases agree, and how many are left out for which reason."""
    return {name: {"passed": len(c.passed), "listed": dict(Counter(c.listed.values()))} for name, c in parts.items()}


def too_many(parts: dict[str, Counts]) -> list[str]:
    """Parts with too large a share of cases left out, and "all" if all together have."""
    sizes = {part: (len(c.listed), len(c.passed)) for part, c in parts.items()}
    over = [part for part, (listed, passed) in sizes.items() if listed > SHARE_OF_ONE * (listed + passed)]
    listed, passed = sum(n[0] for n in sizes.values()), sum(n[1] for n in sizes.values())
    return over + (["all"] if listed > SHARE_OF_ALL * (listed + passed) else [])
