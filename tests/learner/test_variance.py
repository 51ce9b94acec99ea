"""Variance through layers: the courses' figures, closed forms, and that measuring leaves no trace."""

from __future__ import annotations

import copy
import math
from functools import partial

import pytest
import torch
from kit import cnn, images
from torch import Tensor, nn

from rungbook.learner.variance import layer_scales, propagate, random_matrices, scale_of, survives

covers = ["I01", "I02", "I03", "I14"]
WIDTH = 512


def through(init: partial[Tensor], steps: int = 100, rows: int = 8, activation: object = None) -> list[float]:
    torch.manual_seed(0)
    scales = propagate(torch.randn(rows, WIDTH), random_matrices(WIDTH, steps, init, activation=activation))  # type: ignore[arg-type]
    return [s.std for s in scales]


def test_standard_normal_matrices_overflow_and_small_ones_vanish() -> None:
    """Each multiplies the deviation by sqrt(512) = 22.6: float32 ends at 3.4e38, after 28 of them."""
    large = through(partial(nn.init.normal_))
    assert len(large) == 28
    assert not math.isfinite(large[-1])
    assert large[:27] == pytest.approx([WIDTH ** (i / 2) for i in range(1, 28)], rel=0.5)
    torch.manual_seed(0)
    small = propagate(torch.randn(8, WIDTH), random_matrices(WIDTH, 100, partial(nn.init.normal_, std=0.01)))
    assert 65 < survives(small) < 75, "0.01 * 22.6 = 0.226 a step: below 1.4e-45 after some 70"
    assert small[-1].std == 0


def test_the_right_scale_keeps_the_deviation() -> None:
    kept = through(partial(nn.init.normal_, std=WIDTH**-0.5), steps=50)
    assert len(kept) == 50
    assert 0.5 < kept[-1] < 2


def test_kaiming_counts_the_relu_in_and_glorot_does_not() -> None:
    kaiming = through(partial(nn.init.kaiming_normal_), 30, activation=torch.relu)
    glorot = through(partial(nn.init.xavier_normal_), 30, activation=torch.relu)
    assert kaiming[-1] > 0.3
    assert glorot[-1] == pytest.approx(kaiming[-1] * 2**-15, rel=1e-3), "half of the second moment is lost a layer, 30 times"


def test_shifted_relu_has_its_closed_forms() -> None:
    x = torch.randn(200_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    plain, shifted = scale_of(x.relu()), scale_of(x.relu() - 0.5)
    assert plain.mean == pytest.approx(1 / math.sqrt(2 * math.pi), abs=0.005)
    assert plain.std == pytest.approx(math.sqrt(0.5 - 1 / (2 * math.pi)), abs=0.005)
    assert shifted.mean == pytest.approx(plain.mean - 0.5)
    assert shifted.std == pytest.approx(plain.std)


def test_why_sqrt_five() -> None:
    """Conv2d's default, uniform with a = sqrt(5), gives weights of variance 1 / (3 fan_in): a third of what keeps a deviation of 1."""
    torch.manual_seed(0)
    default, kaiming = nn.Conv2d(1, 32, 5, bias=False), nn.Conv2d(1, 32, 5, bias=False)
    nn.init.kaiming_normal_(kaiming.weight, a=1.0)
    x = torch.randn(64, 1, 28, 28)
    (low,), (right,) = layer_scales(default, x), layer_scales(kaiming, x)
    assert low.std == pytest.approx(3**-0.5, rel=0.1)
    assert right.std == pytest.approx(1, rel=0.1)


def test_scales_of_a_model_with_gradients() -> None:
    model = cnn().double()
    x = images()[0].double()
    plain = layer_scales(model, x)
    assert [s.name for s in plain] == ["0", "1", "2", "3", "6"]
    assert all(s.gradient is None for s in plain)
    assert plain[1].std == pytest.approx(1, abs=1e-3), "behind batch norm"
    model.eval()
    scales = layer_scales(model, x, lambda out: out.square().mean())
    out = model(x).detach()
    assert scales[-1].gradient == pytest.approx((2 * out / out.numel()).std(correction=0).item())
    assert all(s.gradient and s.gradient > 0 for s in scales)


def test_an_activation_in_place_does_not_falsify_the_layer_before_it() -> None:
    torch.manual_seed(0)
    found = []
    for inplace in (False, True):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 6), nn.ReLU(inplace=inplace), nn.Linear(6, 2))
        found.append(layer_scales(model, torch.ones(4, 6).cumsum(0), lambda out: out.square().mean()))
    assert found[0] == found[1]
    assert found[0][0].std != found[0][1].std


def test_it_leaves_no_trace() -> None:
    model, (x, _) = cnn(), images()
    before, state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    layer_scales(model, x, lambda out: out.sum())
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert not any(m._forward_hooks for m in model.modules())
    assert all(p.grad is None for p in model.parameters())
    model(x)
    assert not all(torch.equal(v, before[k]) for k, v in model.state_dict().items()), "control: a plain pass moves batch norm"
