"""Pooling, padding, folding, resizing: what torch's samples do not say."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as torch_functional
from torch import Tensor

from rungbook.scratch import functional as F

INF, NAN = float("inf"), float("nan")


def randn(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(sum(shape))).requires_grad_()


def test_first_of_equal_maxima_gets_the_gradient() -> None:
    x = torch.tensor([[[[1.0, 2.0, 2.0], [2.0, 2.0, 0.0], [0.0, 0.0, 0.0]]]], requires_grad=True)
    for pooled in (F.max_pool2d(x, 3), F.adaptive_max_pool2d(x, 1)):
        (gradient,) = torch.autograd.grad(pooled.sum(), x)
        assert gradient.nonzero().tolist() == [[0, 0, 0, 1]]
    (shared,) = torch.autograd.grad(x.amax(), x)  # the short way shares it out
    assert len(shared.nonzero()) == 4


def test_padding_is_no_maximum() -> None:
    x = -torch.ones(1, 1, 4, 4)
    assert F.max_pool2d(x, 3, 2, 1, ceil_mode=True).max() == -1
    assert F.pad(x, (1, 1, 1, 1)).max() == 0  # what padding with zeros would give
    assert F.max_pool2d(torch.full((1, 1, 2, 2), -INF), 2, 1, 1).max() == -INF


def test_nan_is_the_maximum() -> None:
    x = torch.tensor([[[1.0, NAN, 3.0, 4.0]]])
    values, places = F.max_pool1d(x, 2, return_indices=True)
    assert values[0, 0].isnan().tolist() == [True, False]
    assert places.tolist() == [[[1, 3]]]


def test_infinity_stays_where_it_is() -> None:
    x = torch.ones(1, 1, 7)
    x[..., 0] = INF
    assert F.adaptive_avg_pool1d(x, 3).tolist() == [[[INF, 1, 1]]]
    shares = torch.zeros(7, 3)  # the mean as a product with a matrix of shares
    shares[:3, 0], shares[2:5, 1], shares[4:, 2] = 1 / 3, 1 / 3, 1 / 3
    assert (x @ shares).isnan().tolist() == [[[False, True, True]]]


def test_unpooling_undoes_pooling_for_the_maxima() -> None:
    x = randn(2, 3, 6, 8).detach()
    values, places = F.max_pool2d(x, 2, return_indices=True)
    back = F.max_unpool2d(values, places, 2)
    assert torch.equal(back[back != 0], x[back != 0])
    assert torch.equal(F.max_pool2d(back.abs(), 2), values.abs())


@pytest.mark.parametrize("sides", [(0, 0), (-1, 0), (-1, -2), (1, 0), ()])
def test_padded_is_no_view(sides: tuple[int, ...]) -> None:
    x = torch.ones(2, 5)
    F.pad(x, sides).fill_(7)
    assert x.eq(1).all()


@pytest.mark.parametrize(
    "unchanged",
    [
        lambda x: F.max_pool2d(x, 1),
        lambda x: F.avg_pool2d(x, 1),
        lambda x: F.adaptive_avg_pool2d(x, (None, None)),
        lambda x: F.adaptive_max_pool2d(x, (4, 4)),
        lambda x: F.unfold(x, 1),
        lambda x: F.unfold(x, 4, stride=4),
        lambda x: F.pixel_shuffle(x, 1),
        lambda x: F.pixel_unshuffle(x, 1),
        lambda x: F.channel_shuffle(x, 1),
        lambda x: F.interpolate(x, (4, 4)),
        lambda x: F.interpolate(x, (4, 4), mode="bilinear"),
    ],
)
def test_result_is_no_view(unchanged: Callable[[Tensor], Tensor]) -> None:
    """A layer behind may write on it, as ReLU(inplace=True) does."""
    x = torch.ones(1, 3, 4, 4)
    unchanged(x).fill_(7)
    assert x.eq(1).all()


def test_folding_back_counts_windows() -> None:
    x = torch.ones(1, 2, 4, 5)
    counts = F.fold(F.unfold(x, 3), (4, 5), 3)
    assert counts[0, 0].tolist() == [[1, 2, 3, 2, 1], [2, 4, 6, 4, 2], [2, 4, 6, 4, 2], [1, 2, 3, 2, 1]]


@pytest.mark.parametrize("mode", ["nearest", "nearest-exact", "area", "bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(3, 4), (11, 7), (5, 13)])
def test_resizing_keeps_a_plain_colour(mode: str, size: tuple[int, int]) -> None:
    x = torch.full((1, 1, 5, 7), 0.3, dtype=torch.float64)
    corners = [None] if mode in ("nearest", "nearest-exact", "area") else [True, False]
    for align_corners in corners:
        assert F.interpolate(x, size, mode=mode, align_corners=align_corners).sub(0.3).abs().max() < 1e-15


def test_linear_resizing_keeps_a_slope() -> None:
    x = torch.linspace(0, 1, 5, dtype=torch.float64).view(1, 1, 5)
    wide = F.interpolate(x, 9, mode="linear", align_corners=True)
    torch.testing.assert_close(wide.flatten(), torch.linspace(0, 1, 9, dtype=torch.float64))


def test_antialias_greys_what_is_too_fine() -> None:
    stripes = (torch.arange(32) % 2).double().expand(1, 1, 32, 32)
    plain = F.interpolate(stripes, (32, 9), mode="bilinear")
    smooth = F.interpolate(stripes, (32, 9), mode="bilinear", antialias=True)
    assert (plain - 0.5).abs().max() > 0.3  # a pattern that is not in the image
    assert (smooth - 0.5).abs().max() < 0.1


def test_shuffling_is_undone() -> None:
    x = randn(2, 12, 4, 6)
    assert torch.equal(F.pixel_unshuffle(F.pixel_shuffle(x, 2), 2), x)
    assert torch.equal(F.channel_shuffle(F.channel_shuffle(x, 3), 4), x)


@pytest.mark.parametrize("align_corners", [True, False])
def test_grid_of_the_identity_is_the_image(align_corners: bool) -> None:
    x, theta = randn(2, 3, 5, 4), torch.eye(2, 3, dtype=torch.float64).expand(2, 2, 3)
    grid = F.affine_grid(theta, (2, 3, 5, 4), align_corners)
    torch.testing.assert_close(F.grid_sample(x, grid, align_corners=align_corners), x)
    mirrored = F.grid_sample(x, grid * torch.tensor([-1.0, 1.0], dtype=torch.float64), align_corners=align_corners)
    torch.testing.assert_close(mirrored, x.flip(-1))


def test_inputs_are_left_alone() -> None:
    x = randn(2, 4, 6, 6).detach()
    before, version = x.clone(), x._version
    F.max_pool2d(x, 3, 2, 1), F.avg_pool2d(x, 3, 2, 1, True, False), F.lp_pool2d(x, 3, 2), F.pad(x, (1, -1, 2, 0))
    F.interpolate(x, (3, 9), mode="bicubic"), F.fold(F.unfold(x, 2), 6, 2), F.adaptive_max_pool2d(x, 4), F.conv2d(x, x[:, :, :2, :2])
    assert x._version == version
    assert torch.equal(x, before)


@pytest.mark.parametrize("name", ["adaptive_avg_pool2d", "adaptive_max_pool2d"])
def test_too_few_dimensions_raise_as_torch_does(name: str) -> None:
    """One size: RuntimeError; several: ValueError."""
    for f in (torch_functional, F):
        for size, error in ((3, RuntimeError), ((3, 3), ValueError)):
            with pytest.raises(error):
                getattr(f, name)(torch.zeros(5, 6), size)


@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic"])
def test_grid_sample_compiles_whole(mode: str) -> None:
    image, grid = randn(2, 3, 4, 5), randn(2, 3, 3, 2).detach().tanh()
    call = lambda x: F.grid_sample(x, grid, mode, align_corners=False)
    torch.testing.assert_close(torch.compile(call, backend="eager", fullgraph=True)(image), call(image))
