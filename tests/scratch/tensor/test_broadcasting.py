"""Broadcasting as rules against torch's own, and its undoing against autograd."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rungbook.scratch.tensor.broadcasting import broadcast_shapes, broadcast_tensors, expand, unbroadcast

covers = ["F04"]

SHAPES = st.lists(st.sampled_from([0, 1, 1, 2, 3]), max_size=4)


@settings(deadline=None)
@given(st.lists(SHAPES, max_size=3))
def test_shapes(shapes: list[list[int]]) -> None:
    try:
        expected = tuple(torch.broadcast_shapes(*shapes))
    except RuntimeError:
        with pytest.raises(RuntimeError, match="do not fit"):
            broadcast_shapes(*shapes)
    else:
        assert broadcast_shapes(*shapes) == expected


@settings(deadline=None)
@given(SHAPES, st.lists(st.sampled_from([-1, 0, 1, 2, 3]), max_size=5), st.booleans())
def test_expand(shape: list[int], sizes: list[int], turned: bool) -> None:
    x = torch.arange(float(torch.Size(shape).numel())).reshape(shape)
    x = x.permute(list(range(x.dim()))[::-1]) if turned else x
    try:
        expected = x.expand(sizes)
        if -1 in expected.shape:  # torch lets it through for a tensor without dimensions
            raise RuntimeError("a size of -1")
    except RuntimeError:
        with pytest.raises(RuntimeError, match="expand"):
            expand(x, *sizes)
    else:
        got = expand(x, *sizes)
        assert torch.equal(got, expected)
        assert got.stride() == expected.stride()
        assert got.untyped_storage().data_ptr() == x.untyped_storage().data_ptr()


@settings(deadline=None)
@given(SHAPES, SHAPES)
def test_gradient_comes_back_in_its_own_shape(one: list[int], other: list[int]) -> None:
    try:
        shape = torch.broadcast_shapes(one, other)
    except RuntimeError:
        return
    a = torch.ones(one, dtype=torch.float64, requires_grad=True)
    up = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    (expected,) = torch.autograd.grad(a.expand(shape) * torch.ones(other, dtype=torch.float64), a, up)
    got = unbroadcast(up, one)
    assert got.shape == expected.shape
    torch.testing.assert_close(got, expected)


def test_a_row_and_a_column() -> None:
    row, column = broadcast_tensors(torch.arange(3.0), torch.arange(2.0).unsqueeze(1))
    assert row.stride() == (0, 1)
    assert column.stride() == (1, 0)
    assert (row + 10 * column).tolist() == [[0, 1, 2], [10, 11, 12]]


def test_refused_with_the_place() -> None:
    with pytest.raises(RuntimeError, match=r"sizes 3 and 4 meet in dimension 1 of 3 \(2 from the right\)"):
        broadcast_shapes((2, 3, 1), (4, 5))
    with pytest.raises(RuntimeError, match="-2"):
        broadcast_shapes((2, -2))
    with pytest.raises(RuntimeError, match="dimension 0 is new"):
        expand(torch.ones(2), -1, 2)
    with pytest.raises(RuntimeError, match="too few"):
        expand(torch.ones(2, 2), 2)
    with pytest.raises(RuntimeError, match="dimension 1 has size 2"):
        unbroadcast(torch.ones(4, 3), (1, 2))
