"""The matrix product in every form is torch's, and each form can be told apart from one that is wrong."""

from __future__ import annotations

import pytest
import torch

from rungbook.scratch.tensor import matmul, native
from rungbook.scratch.tensor.matmul import LOOPS, by_einsum, contestants, time_all

covers = ["F03"]

FORMS = {**LOOPS, "einsum": by_einsum, "C, plain": native.plain, "C, blocked": native.blocked}


def pair(m: int, k: int, n: int, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(m + k + n)
    return torch.randn(m, k, dtype=dtype, generator=g), torch.randn(k, n, dtype=dtype, generator=g)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("sizes", [(5, 8, 3), (1, 1, 1), (3, 0, 2), (0, 4, 2), (2, 4, 0), (4, 7, 1)])
def test_every_form_is_the_product(form: matmul.Product, dtype: torch.dtype, sizes: tuple[int, int, int]) -> None:
    a, b = pair(*sizes, dtype)
    torch.testing.assert_close(form(a, b), a @ b)
    torch.testing.assert_close(form(b.T, a.T), (a @ b).T)  # rows and columns of other strides


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_shapes_that_do_not_fit(form: matmul.Product) -> None:
    with pytest.raises(ValueError, match=r"\(2, 3\).*\(4, 2\)"):
        form(torch.ones(2, 3), torch.ones(4, 2))
    with pytest.raises(ValueError, match=r"\(3,\)"):
        form(torch.ones(3), torch.ones(3, 2))


def test_the_courses_sizes_and_its_tolerance() -> None:
    a, b = pair(5, 784, 10, torch.float32)
    for name, form in FORMS.items():
        if name != "tensor elements":  # a second on its own; its shape is that of the others
            torch.testing.assert_close(form(a, b), a @ b, rtol=1e-3, atol=1e-5, msg=name)


def test_timed_side_by_side() -> None:
    a, b = pair(4, 20, 3, torch.float32)
    seconds = time_all(a, b, rounds=3)
    assert list(seconds) == [*FORMS, "torch"]
    assert all(s > 0 for s in seconds.values())
    assert seconds["tensor elements"] > seconds["C, blocked"]  # a tensor for every number; a thousandfold on any machine
    assert not set(LOOPS) & set(time_all(a, b, rounds=1, loops=False))


def test_a_wrong_form_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = pair(4, 20, 3, torch.float32)
    monkeypatch.setitem(LOOPS, "rows", lambda a, b: (a @ b) * (1 + 1e-4))
    with pytest.raises(AssertionError, match="rows"):
        contestants(a, b)
