"""A tensor over a list behaves as torch's: shapes, strides, what shares memory, what refuses a view."""

from __future__ import annotations

import array
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rungbook.scratch.tensor.strided import Strided, contiguous_strides, view_strides

covers = ["F14", "F18"]


def factors(n: int) -> list[list[int]]:
    """Some shapes with that many numbers, ones included."""
    if n == 0:
        return [[0], [2, 0], [0, 1, 3], [3, 0, 2]]
    found = [[n], [1, n], [n, 1], [1, 1, n, 1], *([] if n > 1 else [[]])]
    for a in range(2, n):
        if n % a == 0:
            found += [[a, n // a], [a, 1, n // a], *([a, b, n // a // b] for b in range(2, n // a) if (n // a) % b == 0)]
    return found


@st.composite
def step(draw: st.DrawFn, x: torch.Tensor) -> tuple[str, tuple[Any, ...]]:
    """An operation that makes sense for a tensor."""
    dims = x.dim()
    kind = draw(st.sampled_from(["view", "reshape", "permute", "transpose", "expand", "index", "unsqueeze", "squeeze", "contiguous"]))
    if kind in ("view", "reshape"):
        return kind, tuple(draw(st.sampled_from(factors(x.numel()))))
    if kind == "permute":
        return kind, tuple(draw(st.permutations(range(dims))))
    if kind == "transpose":
        return kind, (draw(st.integers(-max(1, dims), max(0, dims - 1))), draw(st.integers(-max(1, dims), max(0, dims - 1))))
    if kind == "expand":
        kept = [draw(st.sampled_from([-1, n, *([2] if n == 1 and x.numel() < 40 else [])])) for n in x.shape]
        new = draw(st.lists(st.integers(1, 2), max_size=1)) if x.numel() < 40 else []
        return kind, (*new, *kept)
    if kind == "index":
        bound = st.one_of(st.none(), st.integers(-5, 5))
        part = st.builds(slice, bound, bound, st.one_of(st.none(), st.integers(1, 3)))
        each: list[Any] = [draw(st.one_of(st.integers(-n, n - 1), part) if n else part) for n in x.shape]
        if draw(st.booleans()):
            first = draw(st.integers(0, dims))
            each[first : draw(st.integers(first, dims))] = [...]
        if draw(st.booleans()):
            each.insert(draw(st.integers(0, len(each))), None)
        return kind, (tuple(each),)
    if kind == "unsqueeze":
        return kind, (draw(st.integers(-dims - 1, dims)),)
    if kind == "squeeze":
        return kind, (draw(st.integers(-max(1, dims), max(0, dims - 1))),) if draw(st.booleans()) else ()
    return kind, ()


def apply(x: Any, kind: str, args: tuple[Any, ...]) -> Any:
    if kind == "index":
        return x[args[0]]
    if kind in ("permute", "view", "reshape", "expand"):
        return getattr(x, kind)(args)  # as a tuple, so that it may be empty
    return getattr(x, kind)(*args)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_chain_of_operations_is_as_torchs(data: st.DataObject) -> None:
    n = data.draw(st.sampled_from([0, 1, 6, 8, 12, 24]))
    theirs, ours = torch.arange(n), Strided(list(range(n)))
    for _ in range(data.draw(st.integers(1, 6))):
        kind, args = data.draw(step(theirs))
        try:
            expected = apply(theirs, kind, args)
        except RuntimeError:
            assert kind in ("view", "expand")
            with pytest.raises(RuntimeError, match=kind):
                apply(ours, kind, args)
            continue
        got = apply(ours, kind, args)
        assert got.shape == tuple(expected.shape)
        assert got.tolist() == expected.tolist()
        assert got.is_contiguous() == expected.is_contiguous()
        assert got.strides == expected.stride()
        assert got.shares_storage(ours) == (expected.untyped_storage().data_ptr() == theirs.untyped_storage().data_ptr()) or n == 0
        if n and expected.numel():
            assert got.offset == expected.storage_offset()
        theirs, ours = expected, got


def test_a_write_through_one_view_is_seen_through_all() -> None:
    x = Strided.of([[1, 2, 3], [4, 5, 6]])
    turned, flat = x.transpose(0, 1), x.transpose(0, 1).reshape(6)
    x[0, 1:] = 9
    assert turned.tolist() == [[1, 4], [9, 5], [9, 6]]
    assert flat.tolist() == [1, 4, 2, 5, 3, 6]  # a copy: no strides walk 1 4 2 5 3 6
    assert x.view(3, 2).tolist() == [[1, 9], [9, 4], [5, 6]]


def test_any_buffer_will_do() -> None:
    buffer = array.array("d", range(6))
    x = Strided(buffer, (2, 2), (3, 1), 1)
    x[1, 1] = 7.5
    assert x.tolist() == [[1, 2], [4, 7.5]]
    assert buffer[5] == 7.5
    assert repr(x) == "Strided([[1.0, 2.0], [4.0, 7.5]], shape=(2, 2), strides=(3, 1), offset=1)"


def test_view_rule() -> None:
    assert contiguous_strides((2, 3, 4)) == (12, 4, 1)
    assert view_strides((2, 3, 4), (12, 4, 1), (6, 4)) == (4, 1)
    assert view_strides((3, 2), (1, 3), (6,)) is None  # a transposed matrix has no even step
    assert view_strides((3, 2), (1, 3), (3, 1, 2)) == (1, 6, 3)
    assert view_strides((4, 3), (6, 2), (12,)) == (2,)  # every other number of a row after row is still one run
    assert view_strides((2, 5), (0, 1), (10,)) is None


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda x: x.view(4), RuntimeError, "4 numbers, the tensor 6"),
        (lambda x: x.view(4, -1), RuntimeError, "in place of -1"),
        (lambda x: x.view(-1, -1), RuntimeError, "one of them may be -1"),
        (lambda x: x.transpose(0, 1).view(6), RuntimeError, "use reshape"),
        (lambda x: x.permute(0, 0), RuntimeError, "named once"),
        (lambda x: x.transpose(0, 2), IndexError, "dimension 2"),
        (lambda x: x.expand(3, 3), RuntimeError, "dimension 0 has size 2"),
        (lambda x: x[2], IndexError, "index 2 of dimension 0"),
        (lambda x: x[0, 0, 0], IndexError, "3 indices"),
        (lambda x: x[::-1], ValueError, "never negative"),
        (lambda x: Strided([1, 2], (2,), (2,)), IndexError, "place 2 of 2"),
        (lambda x: Strided([1, 2], (2,), (1, 1)), ValueError, "as many strides"),
        (lambda x: Strided.of([[1, 2], [3]]), ValueError, "dimension 1"),
    ],
)
def test_refused(call: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call(Strided.of([[1, 2, 3], [4, 5, 6]]))
