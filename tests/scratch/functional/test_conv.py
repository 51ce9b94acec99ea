"""Convolution: one product over gathered windows is the definition; the transposed one is its gradient."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from rungbook.scratch import functional as F
from rungbook.scratch.functional.conv import conv, conv_reference
from rungbook.scratch.functional.spatial import gather, overlap_add
from rungbook.scratch.tensor.windows import windows

covers = ["V01"]


def randn(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(sum(shape))).requires_grad_()


SETTINGS: list[tuple[int, Any, Any, Any, int]] = [
    (1, 1, 0, 1, 1),
    (1, 3, "valid", 2, 2),
    (2, 1, 1, 1, 1),
    (2, 3, 0, 1, 1),  # as wide as the kernel: windows that do not overlap
    (2, (2, 1), (0, 2), (1, 2), 2),
    (2, 1, "same", (2, 1), 4),
    (3, (1, 2, 1), 1, (2, 1, 1), 2),
]


@pytest.mark.parametrize(("dims", "stride", "padding", "dilation", "groups"), SETTINGS)
def test_fast_form_is_the_definition(dims: int, stride: Any, padding: Any, dilation: Any, groups: int) -> None:
    inputs = [randn(2, 4, *(6, 7, 5)[:dims]), randn(4, 4 // groups, *(3,) * dims), randn(4)]
    found = []
    for form in (conv, conv_reference):
        y = form(*inputs, stride, padding, dilation, groups, dims)
        found.append([y, *torch.autograd.grad(y.sin().sum(), inputs)])
    for ours, defined in zip(*found, strict=True):
        torch.testing.assert_close(ours, defined, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("kernel", "stride", "dilation"), [((3, 2), (1, 1), (1, 1)), ((2, 3), (2, 3), (1, 1)), ((2, 2), (3, 1), (2, 3))])
def test_gather_and_its_adjoint(kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int]) -> None:
    x = randn(3, 2, 9, 8)
    columns = gather(x, kernel, stride, dilation)
    view = windows(x, kernel, stride, dilation)  # (3, 2, O, O', K, K')
    assert torch.equal(columns, view.permute(0, 4, 5, 1, 2, 3))
    y = randn(*columns.shape)
    back = overlap_add(y, (9, 8), stride, dilation)
    assert back.shape == x.shape
    # <gather x, y> = <x, gather^T y>, for all x and y
    torch.testing.assert_close((columns * y).sum(), (x * back).sum())


def test_windows_that_do_not_overlap_are_not_copied() -> None:
    x = randn(3, 2, 8, 6).detach()
    assert gather(x, (2, 3), (2, 3), (1, 1)).untyped_storage().data_ptr() == x.untyped_storage().data_ptr()
    assert gather(x, (2, 3), (1, 3), (1, 1)).untyped_storage().data_ptr() != x.untyped_storage().data_ptr()


def test_same_padding_has_one_more_at_the_end() -> None:
    x, weight = torch.arange(1.0, 5).view(1, 1, 4), torch.tensor([[[1.0, 10.0]]])
    assert F.conv1d(x, weight, padding="same").flatten().tolist() == [21, 32, 43, 4]


def test_result_can_be_viewed() -> None:
    x, weight = randn(2, 3, 5, 5), randn(4, 3, 2, 2)
    assert F.conv2d(x, weight).view(2, -1).shape == (2, 64)
    assert F.conv_transpose2d(x, randn(3, 4, 2, 2)).view(2, -1).shape == (2, 144)
    with pytest.raises(RuntimeError, match="view size"):  # the product alone has the samples inside
        (weight.flatten(1) @ gather(x.transpose(0, 1), (2, 2), (1, 1), (1, 1)).reshape(12, -1)).view(4, 2, -1).transpose(0, 1).view(2, -1)


def test_transposed_convolution_is_the_gradient() -> None:
    x, weight = randn(2, 4, 7, 6), randn(6, 2, 3, 2)
    settings: dict[str, Any] = {"stride": (2, 1), "padding": (1, 0), "dilation": (1, 2), "groups": 2}
    y = F.conv2d(x, weight, **settings)
    gradient = randn(*y.shape)
    (expected,) = torch.autograd.grad(y, x, gradient)
    torch.testing.assert_close(F.conv_transpose2d(gradient, weight, output_padding=0, **settings), expected)


def test_second_derivatives() -> None:
    inputs = randn(1, 2, 4, 5), randn(2, 1, 2, 2), randn(2)
    assert torch.autograd.gradgradcheck(lambda x, w, b: F.conv2d(x, w, b, 2, 1, 1, 2).sin(), inputs)
    assert torch.autograd.gradgradcheck(lambda x, w, b: F.conv_transpose2d(x, w, b, 2, 1, 1, 2).sin(), inputs)


def test_gradients_of_each_sample() -> None:
    x, weight = randn(3, 2, 5, 4).detach(), randn(4, 2, 3, 2).detach()
    loss = lambda w, one: F.conv2d(one, w, padding=1).sin().sum()
    each = torch.func.vmap(torch.func.grad(loss), (None, 0))(weight, x)
    for one, gradient in zip(x, each, strict=True):
        torch.testing.assert_close(gradient, torch.func.grad(loss)(weight, one))


@pytest.mark.parametrize("layer", ["conv2d", "conv_transpose2d", "linear"])
def test_half_precision_stays_half_under_autocast(layer: str) -> None:
    x, weight, bias = torch.randn(2, 3, 4, 4), torch.randn(3, 3, 2, 2), torch.randn(3)
    with torch.autocast("cpu", torch.bfloat16):
        if layer == "linear":
            x, weight = torch.randn(2, 3), torch.randn(3, 3)
            assert (x @ weight.mT + bias).dtype == torch.float32  # as written in the formula
        assert getattr(F, layer)(x, weight, bias).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"groups": 4, "weight": (6, 1, 3, 3)}, r"groups \(4\) must divide the 6"),
        ({"input": (2, 3, 5, 5)}, r"input \(2, 3, 5, 5\) has 3 channels.* needs 4"),
        ({"input": (4, 5)}, r"input \(4, 5\) has 2 dimensions"),
        ({"weight": (6, 4, 9, 3)}, r"spans \[9, 3\]"),
        ({"weight": (6, 4, 3)}, r"weight \(6, 4, 3\) must have 4"),
        ({"stride": 0}, r"stride \(0, 0\)"),
        ({"stride": (1, 2, 3)}, r"stride \(1, 2, 3\) has 3 numbers"),
        ({"padding": -1}, r"padding \(-1, -1\)"),
        ({"padding": "full"}, "padding 'full'"),
        ({"padding": "same", "stride": 2}, "needs stride 1"),
        ({"bias": torch.float32}, "bias is torch.float32, weight torch.float64"),
    ],
)
def test_refusals_name_what_is_wrong(change: dict[str, Any], named: str) -> None:
    settings = {"input": (2, 4, 5, 5), "weight": (6, 4, 3, 3), "bias": torch.float64, **change}
    bias = torch.zeros(6, dtype=settings.pop("bias"))
    x, weight = (torch.zeros(settings.pop(name), dtype=torch.float64) for name in ("input", "weight"))
    with pytest.raises(RuntimeError, match=named):
        F.conv2d(x, weight, bias, **settings)
