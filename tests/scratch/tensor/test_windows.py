"""Sliding windows: the same numbers as torch's unfold, no copy, right gradients."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rungbook.scratch.tensor.windows import windows, windows_out


@st.composite
def cases(draw: st.DrawFn) -> tuple[torch.Tensor, list[int], list[int], list[int]]:
    dims, lead = draw(st.integers(1, 3)), draw(st.lists(st.integers(0, 2), max_size=2))
    kernel, stride, dilation = (draw(st.lists(st.integers(1, 3), min_size=dims, max_size=dims)) for _ in range(3))
    sizes = [d * (k - 1) + 1 + draw(st.integers(0, 3)) for k, d in zip(kernel, dilation, strict=True)]
    shape = [*lead, *sizes]
    order = draw(st.permutations(range(len(shape))))
    x = torch.arange(float(torch.Size(shape).numel())).reshape([shape[i] for i in order])
    return x.permute([order.index(i) for i in range(len(order))]), kernel, stride, dilation


@given(cases())
def test_same_as_unfolding_each_dimension(case: tuple[torch.Tensor, list[int], list[int], list[int]]) -> None:
    x, kernel, stride, dilation = case
    expected, dims = x, len(kernel)
    for i, (k, s, d) in enumerate(zip(kernel, stride, dilation, strict=True)):
        expected = expected.unfold(x.dim() - dims + i, d * (k - 1) + 1, s)[..., ::d]
    got = windows(x, kernel, stride, dilation)
    assert got.shape == expected.shape
    assert torch.equal(got, expected)
    assert got.untyped_storage().data_ptr() == x.untyped_storage().data_ptr()


def test_a_number_means_one_dimension() -> None:
    assert windows(torch.arange(5), 3, 2).tolist() == [[0, 1, 2], [2, 3, 4]]
    assert windows(torch.arange(12).view(3, 4), (2, 2)).shape == (2, 3, 2, 2)
    assert [windows_out(7, 3), windows_out(7, 3, 2), windows_out(7, 3, 1, 3), windows_out(7, 3, 1, 4)] == [5, 3, 1, -1]


def test_it_is_what_conv2d_looks_at() -> None:
    g = torch.Generator().manual_seed(0)
    x, w = torch.randn(2, 3, 9, 8, dtype=torch.float64, generator=g), torch.randn(4, 3, 3, 2, dtype=torch.float64, generator=g)
    ours = torch.einsum("nchwij,ocij->nohw", windows(x, (3, 2), (2, 1), (1, 2)), w)
    torch.testing.assert_close(ours, torch.conv2d(x, w, stride=(2, 1), dilation=(1, 2)))


def test_gradients_add_up_where_windows_overlap() -> None:
    x = torch.randn(1, 2, 6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).transpose(2, 3).requires_grad_()
    torch.autograd.gradcheck(lambda x: windows(x, (2, 3), (1, 2), (2, 1)).square(), (x,))
    (grad,) = torch.autograd.grad(windows(x, (1, 3)).sum(), x)
    assert grad[0, 0, 0].tolist() == [1, 2, 3, 3, 2, 1]


@pytest.mark.parametrize(
    ("kernel", "stride", "dilation", "error", "words"),
    [
        ((2, 2, 2), 1, 1, ValueError, "2 dimensions"),
        ((2, 2), (1, 2, 3), 1, ValueError, "stride"),
        ((2, 2), 1, 0, ValueError, "dilation"),
        ((0, 2), 1, 1, ValueError, "kernel_size"),
        ((3, 3), 1, (1, 2), RuntimeError, r"spans \(3, 5\).*\(4, 4\)"),
    ],
)
def test_refused(kernel: tuple[int, ...], stride: int, dilation: int, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        windows(torch.zeros(4, 4), kernel, stride, dilation)
