"""Every model by name, in its small form: outputs, gradients, state, seeded start, and what is said of wrong names."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from zoo import FORMS, batch, made, outputs

import rungbook
from rungbook.errors import UsageError
from rungbook.models.registry import MODELS, create_model, model_entry

SLOW = {"lenet_sigmoid": 300}
"""Steps for those that begin on a plateau."""
DYING = ("nin",)
"""Those whose scores come out of a ReLU: a class whose map is 0 everywhere never learns. Which one that is differs between processors."""


STARTS_AT_ZERO = ("softmax_regression", "logistic_regression")


@pytest.mark.parametrize("name", FORMS)
def test_it_keeps_the_promises_of_every_model(name: str) -> None:
    """In its small form; names that stand for the same small form are the same network there."""
    whole = sum(p.numel() for p in made(name).parameters())
    rungbook.check_model(
        lambda: create_model(name, **MODELS[name].small),
        batch(name),
        parameters=whole,
        logits=name != "linear",
        same_start=name in STARTS_AT_ZERO,
    )


@pytest.mark.parametrize("name", MODELS)
def test_the_entry_tells_the_truth(name: str) -> None:
    entry = model_entry(name)
    assert entry.inputs in ("image", "flat", "table", "text")
    assert entry.about
    assert entry.load().__doc__
    assert set(entry.small) <= set(entry.parameters())
    assert "self" not in entry.parameters()


@pytest.mark.parametrize("name", FORMS)
def test_its_summary_adds_up(name: str) -> None:
    """What `learner.summary()` says of each layer is together what the model has."""
    inputs = batch(name, 4)
    model = made(name)
    y = torch.arange(4) % outputs(name) if name != "linear" else torch.randn(4, outputs(name))
    learner = rungbook.Learner(
        model, ([(inputs if len(inputs) > 1 else inputs[0], y)], None), nn.MSELoss() if name == "linear" else nn.CrossEntropyLoss()
    )
    told = learner.summary()
    assert told.parameters == sum(p.numel() for p in model.parameters())
    assert len(told.rows) >= 1
    assert str(told).count("\n") >= len(told.rows)


@pytest.mark.parametrize("name", FORMS)
def test_it_learns_eight_samples(name: str) -> None:
    """Overfitting a handful shows that all parts are connected."""
    model = made(name)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        for child, layer in module.named_children():
            if name in DYING and isinstance(layer, nn.ReLU):
                setattr(module, child, nn.LeakyReLU(0.1))
    inputs = batch(name, 8)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    regression = name == "linear"
    y = torch.arange(8) % outputs(name) if not regression else torch.randn(8, outputs(name), generator=torch.Generator().manual_seed(0))
    loss = nn.MSELoss() if regression else nn.CrossEntropyLoss()
    first = loss(model(*inputs), y).item()
    for _ in range(SLOW.get(name, 120)):
        optimizer.zero_grad()
        error = loss(model(*inputs), y)
        error.backward()
        optimizer.step()
    assert error.item() < 0.3 * first


def test_lists() -> None:
    assert rungbook.list_models() == sorted(MODELS)
    assert rungbook.list_models("lenet*") == ["lenet", "lenet_sigmoid"]
    assert rungbook.list_models("*regression") == ["logistic_regression", "softmax_regression"]
    assert rungbook.list_models("LeNet") == []


@pytest.mark.parametrize(
    ("name", "options", "code", "fix"),
    [
        ("lnet", {}, "E201", "Did you mean lenet?"),
        ("resnet1000", {}, "E201", "Did you mean resnet101?"),
        ("transformer", {}, "E201", "Known: alexnet, "),
        ("lenet", {"num_class": 3}, "E201", "Did you mean num_classes?"),
        ("mlp", {"in_features": 3, "out_features": 2, "activation": "rel"}, "E202", "Its options: in_features"),
        ("mlp", {"in_features": 3, "out_features": 2, "hidden": (4, 0)}, "E202", "Change hidden"),
        ("mlp", {"in_features": 3, "out_features": 2, "hidden": [-3]}, "E202", "Change hidden"),
        ("mlp", {"in_features": 3, "out_features": 0}, "E202", "Change out_features"),
        ("mlp", {"in_features": 2**62, "out_features": 2}, "E202", "Its options"),
        ("lenet", {"num_classes": -1}, "E202", "Change num_classes"),
        ("lenet", {"num_classes": 2.5}, "E202", "Its options"),
        ("lenet", {"in_channels": -1}, "E202", "Change in_channels"),
        ("conv_net", {"widths": ()}, "E202", "Its options"),
        ("tabular_mlp", {"num_numbers": -1, "cardinalities": (3,), "out_features": 1}, "E202", "Change num_numbers"),
        ("mlp", {}, "E202", "Its options"),
        ("lenet", {"image_size": (8, 8)}, "E202", "image_size="),
        ("two_conv", {"image_size": (12, 12)}, "E202", "image_size="),
        ("conv_net", {"image_size": (4, 4)}, "E202", "image_size=8"),
        ("tabular_mlp", {"num_numbers": 0, "cardinalities": (), "out_features": 1}, "E202", "Its options"),
    ],
)
def test_wrong_names_and_values(name: str, options: dict[str, Any], code: str, fix: str) -> None:
    with pytest.raises(UsageError) as error:
        create_model(name, **options)
    assert error.value.code == code
    assert error.value.fix.startswith(fix)
    assert name in error.value.message
