"""Einsum from its rules against torch's, for any equation."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rungbook.scratch.tensor.einsum import by_definition, einsum, parse

covers = ["F05"]


@st.composite
def equations(draw: st.DrawFn) -> tuple[str, list[torch.Tensor]]:
    sizes = {x: draw(st.integers(0, 3)) for x in "aBcD"}
    hidden = [draw(st.integers(1, 2)) for _ in range(draw(st.integers(0, 2)))]
    terms, operands, dotted = [], [], False
    g = torch.Generator().manual_seed(draw(st.integers(0, 9)))
    for _ in range(draw(st.integers(1, 3))):
        letters = draw(st.lists(st.sampled_from("aBcD"), max_size=3))
        shape = [sizes[x] if draw(st.integers(0, 4)) or letters.count(x) > 1 else 1 for x in letters]
        term = "".join(letters)
        if draw(st.booleans()):
            some = hidden[draw(st.integers(0, len(hidden))) :]
            at, dotted = draw(st.integers(0, len(letters))), True
            term = term[:at] + "..." + term[at:]
            shape[at:at] = [n if draw(st.booleans()) else 1 for n in some]
        terms.append(term)
        operands.append(torch.randn(shape, dtype=torch.float64, generator=g))
    equation = ",".join(terms)
    if draw(st.booleans()):
        known = sorted(set(equation) & set("aBcD"))
        output = draw(st.permutations(known))[: draw(st.integers(0, len(known)))]
        if dotted and draw(st.booleans()):
            output.insert(draw(st.integers(0, len(output))), "...")
        equation += " -> " + "".join(output)
    return equation, operands


@settings(max_examples=200, deadline=None)
@given(equations())
def test_any_equation_is_as_torchs(case: tuple[str, list[torch.Tensor]]) -> None:
    equation, operands = case
    expected = torch.einsum(equation, *operands)
    for ours in (einsum, by_definition):
        got = ours(equation, *operands)
        assert got.shape == expected.shape
        torch.testing.assert_close(got, expected)


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [
        ("ij->ji", [(2, 3)]),
        ("ii", [(3, 3)]),
        ("ii->i", [(3, 3)]),
        ("ij->", [(2, 3)]),
        ("i,j->ij", [(2,), (3,)]),
        ("bij,bjk->bik", [(2, 3, 4), (2, 4, 5)]),
        ("...ij,...jk", [(2, 1, 3, 4), (5, 4, 6)]),
        ("bn,anm,bm->ba", [(2, 3), (5, 3, 4), (2, 4)]),
        ("bhqd,bhkd->bhqk", [(2, 3, 4, 5), (2, 3, 6, 5)]),
        ("iij,jj->i", [(2, 2, 3), (3, 3)]),
    ],
)
def test_known_ones_and_their_gradients(equation: str, shapes: list[tuple[int, ...]]) -> None:
    g = torch.Generator().manual_seed(0)
    operands = [torch.randn(s, dtype=torch.float64, generator=g, requires_grad=True) for s in shapes]
    expected = torch.einsum(equation, *operands)
    weights = torch.randn(expected.shape, dtype=torch.float64, generator=g)
    wanted = torch.autograd.grad(expected, operands, weights)
    for ours in (einsum, by_definition):
        torch.testing.assert_close(ours(equation, *operands), expected)
        torch.testing.assert_close(torch.autograd.grad(ours(equation, operands), operands, weights), wanted)


def test_lists_instead_of_letters() -> None:
    a, b = torch.randn(2, 3, 4, dtype=torch.float64), torch.randn(4, 5, dtype=torch.float64)
    for args in ([a, [..., 1], b, [1, 27], [27, ...]], [a, [0, 1, 2], b, [2, 30]], [a, [0, 1, 2], [1, 0, 2]]):
        torch.testing.assert_close(einsum(*args), torch.einsum(*args))


def test_no_copy_where_nothing_is_computed() -> None:
    x = torch.arange(9.0).view(3, 3)
    assert einsum("ii->i", x).data_ptr() == x.data_ptr()
    assert einsum("ij->ji", x).data_ptr() == x.data_ptr()


def test_a_long_sum_needs_no_memory_for_its_products() -> None:
    a = torch.randn(300, 300)
    calls: list[int] = []

    class Watch(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            out = func(*args, **(kwargs or {}))
            if isinstance(out, torch.Tensor):
                calls.append(out.numel())
            return out

    with Watch():
        einsum("ik,kj->ij", a, a)
    assert max(calls) == 300 * 300
    calls.clear()
    with Watch():
        by_definition("ik,kj->ij", a[:30], a)
    assert max(calls) == 30 * 300 * 300  # the control: the definition does


def test_parse() -> None:
    assert parse("b...i, ij", [4, 2]) == ([["b", ".2", ".1", "i"], ["i", "j"]], [".2", ".1", "b", "j"])


@pytest.mark.parametrize(
    ("equation", "shapes", "words"),
    [
        ("ij,jk->ik", [(2, 3)], "names 2 operands, 1"),
        ("ij->k", [(2, 3)], "'k' of the result"),
        ("ij->ii", [(2, 3)], "twice"),
        ("ij,jk", [(2, 3), (4, 5)], "'j' has sizes 3 and 4"),
        ("ii", [(2, 3)], "'i' has sizes 2 and 3"),
        ("ijk", [(2, 3)], "3 indices, the tensor has 2"),
        ("i", [(2, 3)], "1 indices, the tensor has 2"),
        ("i1->i", [(2, 3)], "'1'"),
        ("i...,...", [(2, 3), (4,)], "1 from the right of"),
        ("ij->i->j", [(2, 3)], "is no index"),
    ],
)
def test_refused_as_torch_does(equation: str, shapes: list[tuple[int, ...]], words: str) -> None:
    operands = [torch.ones(s) for s in shapes]
    with pytest.raises(RuntimeError):
        torch.einsum(equation, *operands)
    with pytest.raises(RuntimeError, match=words):
        einsum(equation, *operands)


def test_other_bad_input() -> None:
    with pytest.raises(ValueError, match="needs an equation"):
        einsum()
    with pytest.raises(RuntimeError, match="52 is no index"):
        einsum(torch.ones(2), [52])
