"""Every model by name, in its small form: outputs, gradients, state, seeded start, and what is said of wrong names."""

from __future__ import annotations

import copy
import io
from typing import Any

import pytest
import torch
from torch import nn
from zoo import FORMS, batch, made, outputs

import rungbook
from rungbook.errors import UsageError
from rungbook.models.registry import MODELS, create_model, model_entry

SLOW = {"lenet_sigmoid": 300, "nin": 400}
"""Steps for those that begin on a plateau, or whose scores cannot fall below 0."""


@pytest.mark.parametrize("name", MODELS)
class TestEveryModel:
    def test_outputs_for_any_batch(self, name: str) -> None:
        model = made(name).eval()
        for n in (1, 2, 7):
            inputs = batch(name, n)
            before = [t.clone() for t in inputs]
            assert model(*inputs).shape == (n, outputs(name))
            assert all(torch.equal(a, b) for a, b in zip(inputs, before, strict=True)), "the inputs are left alone"

    def test_rows_do_not_depend_on_each_other(self, name: str) -> None:
        model = made(name).eval()
        inputs = batch(name)
        whole = model(*inputs)
        for i in range(len(whole)):
            assert torch.allclose(model(*(t[i : i + 1] for t in inputs)), whole[i : i + 1], atol=1e-5)

    def test_every_parameter_gets_a_gradient(self, name: str) -> None:
        model = made(name).train()
        for p in model.parameters():
            if not p.any():  # what starts at zero may keep the gradient from what lies before it
                nn.init.normal_(p, std=0.1)
        model(*batch(name, 16)).square().mean().backward()
        missing = [k for k, p in model.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
        assert not missing

    def test_one_seed_one_start(self, name: str) -> None:
        a, b = made(name, seed=3).state_dict(), made(name, seed=3).state_dict()
        assert a.keys() == b.keys()
        assert all(torch.equal(a[k], b[k]) for k in a)
        if name not in ("softmax_regression", "logistic_regression"):
            other = made(name, seed=4).state_dict()
            assert any(not torch.equal(a[k], other[k]) for k in a)

    def test_the_state_goes_round(self, name: str) -> None:
        model, other = made(name, 0).eval(), made(name, 9).eval()
        file = io.BytesIO()
        torch.save(model.state_dict(), file)
        file.seek(0)
        other.load_state_dict(torch.load(file, weights_only=True))
        assert torch.equal(other(*batch(name)), model(*batch(name)))
        assert torch.equal(copy.deepcopy(model)(*batch(name)), model(*batch(name)))

    def test_the_entry_tells_the_truth(self, name: str) -> None:
        entry = model_entry(name)
        assert entry.inputs in ("image", "flat", "table", "text")
        assert entry.about
        assert entry.load().__doc__
        assert set(entry.small) <= set(entry.parameters())
        assert "self" not in entry.parameters()

    def test_it_can_be_planned_without_memory(self, name: str) -> None:
        """Loading a run compares sizes before it allocates."""
        with torch.device("meta"):
            planned = {k: v.shape for k, v in create_model(name, **MODELS[name].small).state_dict().items()}
        assert planned == {k: v.shape for k, v in made(name).state_dict().items()}


@pytest.mark.parametrize("name", FORMS)
def test_it_learns_eight_samples(name: str) -> None:
    """Overfitting a handful shows that all parts are connected."""
    model = made(name)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
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
        ("lenet", {"image_size": (8, 8)}, "E202", "Its options"),
        ("two_conv", {"image_size": (12, 12)}, "E202", "Its options"),
        ("conv_net", {"image_size": (4, 4)}, "E202", "Its options"),
        ("tabular_mlp", {"num_numbers": 0, "cardinalities": (), "out_features": 1}, "E202", "Its options"),
    ],
)
def test_wrong_names_and_values(name: str, options: dict[str, Any], code: str, fix: str) -> None:
    with pytest.raises(UsageError) as error:
        create_model(name, **options)
    assert error.value.code == code
    assert error.value.fix.startswith(fix)
    assert name in error.value.message
