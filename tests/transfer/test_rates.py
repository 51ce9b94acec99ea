"""Rates by depth: geometric, followed by schedules and the finder, the same as groups made by hand."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from kit import feed, images, learner
from torch import nn

from rungbook.errors import UsageError
from rungbook.learner.pack import digest
from rungbook.learner.split_optimizer import SplitOptimizer
from rungbook.models.registry import MODELS, create_model
from rungbook.scratch import optim
from rungbook.transfer.rates import LayerRates

SMALL = {**MODELS["resnet18"].small, "in_channels": 1, "num_classes": 2}


def net() -> nn.Module:
    torch.manual_seed(0)
    return create_model("resnet18", **SMALL)


def test_rates_fall_by_the_same_factor_from_the_head_to_the_input() -> None:
    model = net()
    factors = LayerRates(torch.optim.SGD, model, decay=0.5, head=3.0).factors()
    assert factors["fc.bias"] == 3.0
    names = ("layer4.0.conv1", "layer3.0.conv1", "layer1.0.bn2", "conv1", "bn1")
    assert [factors[f"{name}.weight"] for name in names] == [0.5, 0.25, 2**-4, 2**-5, 2**-5]


def test_three_rates_as_the_course_has_them() -> None:
    model = net()
    factors = LayerRates(torch.optim.SGD, model, decay=1 / 3, groups=2).factors()
    assert sorted({round(9 * f, 9) for f in factors.values()}) == [1, 3, 9]


def test_deep_networks_keep_a_rate_worth_the_name() -> None:
    factors = LayerRates(torch.optim.SGD, create_model("densenet121", **MODELS["densenet121"].small), decay=0.75).factors()
    assert min(factors.values()) >= 0.75**13


@pytest.mark.parametrize(
    "make",
    [
        partial(torch.optim.SGD, momentum=0.9),
        torch.optim.AdamW,
        optim.SGD,
        partial(SplitOptimizer, hidden=partial(torch.optim.Muon, adjust_lr_fn="match_rms_adamw"), rest=torch.optim.AdamW),
    ],
    ids=["sgd", "adamw", "by hand", "muon"],
)
def test_each_group_moves_as_if_it_were_alone(make: object) -> None:
    model, other = net().double(), net().double()
    rates = LayerRates(make, model, decay=0.5, head=2.0)
    one = rates(model.parameters(), lr=0.01)
    factors = rates.factors()
    several = {f: make([p for n, p in other.named_parameters() if factors[n] == f], lr=0.01 * f) for f in set(factors.values())}
    x, y = images(8, side=32)
    for _ in range(3):
        for m in (model, other):
            m.zero_grad()
            nn.functional.cross_entropy(m(x.double()), y).backward()
        one.step()
        for each in several.values():
            each.step()
    assert digest(list(model.parameters())) == digest(list(other.parameters()))


def made(model: nn.Module, make: object) -> object:
    data = (feed(*images(32, side=32)), feed(*images(16, side=32, seed=1), shuffle=False))
    return learner(model, data, optimizer=make, lr=0.1)


def test_a_schedule_multiplies_every_rate_and_rows_tell_the_base() -> None:
    model = net()
    one = made(model, LayerRates(partial(torch.optim.SGD, momentum=0.9), model, decay=0.5))
    assert one.optimizer.param_groups[0].get("fused")  # the fast form all the same
    one.fit(2, "linear")
    assert [group["lr"] for group in one.optimizer.param_groups] == [0.1 * group["lr_scale"] for group in one.optimizer.param_groups]
    assert one.history[0]["lr"] == pytest.approx(0.1 * 0.75)
    state = digest(one.state_dict())
    assert one.find_lr(steps=5).suggestion > 0
    assert digest(one.state_dict()) == state


def test_frozen_parameters_make_no_empty_groups() -> None:
    model = net()
    for p in model.layer1.parameters():
        p.requires_grad_(False)
    one = made(model, LayerRates(torch.optim.SGD, model, decay=0.5))
    assert len(one.optimizer.param_groups) == 5
    assert all(group["params"] for group in one.optimizer.param_groups)


@pytest.mark.parametrize("wrong", [{"decay": 0.0}, {"decay": 1.5}, {"head": 0.0}, {"groups": 0}])
def test_factors_out_of_range(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError) as refused:
        LayerRates(torch.optim.SGD, net(), **wrong)
    assert refused.value.code == "E202"
