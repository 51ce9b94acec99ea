"""Models for tables, flat inputs and texts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from rungbook.data.data import Data
from rungbook.data.tabular import table_data
from rungbook.models.tabular.linear import LinearRegression, SoftmaxRegression
from rungbook.models.tabular.mlp import MLP
from rungbook.models.tabular.tabular_mlp import TabularMLP, start_from_ridge
from rungbook.models.text.bag import BagOfEmbeddings
from rungbook.recipes.baseline import baselines
from rungbook.recipes.scores import scores


def table(n: int = 300) -> Data:
    rng = np.random.default_rng(0)
    colour = rng.choice(["red", "green", "blue"], n)
    frame = pd.DataFrame({f"n{i}": rng.normal(size=n) for i in range(4)}).assign(colour=colour)
    frame["y"] = 3 * frame["n0"] - frame["n1"] + 2 * (colour == "red") + rng.normal(0, 0.3, n)
    return table_data(frame, target="y", name="t")


def model_for(data: Data, **options: object) -> TabularMLP:
    torch.manual_seed(0)
    return TabularMLP(data.facts["numbers"], data.encoder.cardinalities, data.target.outputs, **options)  # type: ignore[union-attr, arg-type]


def everything(data: Data, part: str) -> tuple[tuple[torch.Tensor, ...], torch.Tensor]:
    feed = data.splits()[part]
    x, y = feed.source.fetch(slice(0, feed.samples))
    assert isinstance(x, tuple)
    return x, y


def test_ridge_of_the_model_is_the_baselines() -> None:
    data = table()
    model = model_for(data).eval()
    assert start_from_ridge(model, data, share=1.0) is not None
    x, y = everything(data, "test")
    found = scores(data.target, y, model(*x).detach())
    assert found["r2"] == pytest.approx(baselines(data)["ridge"]["r2"], abs=1e-4)
    assert scores(data.target, y, model_for(data).eval()(*x).detach())["r2"] < 0.5  # control: without it the model knows nothing


def test_the_answer_is_the_average_and_training_leaves_the_linear_model_alone() -> None:
    data = table()
    model = model_for(data)
    alone = model_for(data).eval()
    start_from_ridge(model, data)
    x, y = everything(data, "train")
    assert torch.equal(model.train()(*x), alone(*x))
    assert torch.allclose(model.eval()(*x), (alone(*x) + model.linear(*x)) / 2, atol=1e-6)
    before = model.linear_weight.clone()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(3):
        optimizer.zero_grad()
        nn.functional.mse_loss(model.train()(*x), y).backward()
        optimizer.step()
    assert torch.equal(model.linear_weight, before)
    again = model_for(data)
    again.load_state_dict(model.state_dict())
    assert torch.equal(again.eval()(*x), model.eval()(*x))


def test_classes_have_no_ridge() -> None:
    data = table()
    frame = pd.DataFrame({"x": np.random.default_rng(0).normal(size=60), "y": ["a", "b"] * 30})
    classes = table_data(frame, target="y", name="t")
    assert start_from_ridge(model_for(classes), classes) is None
    assert start_from_ridge(model_for(data), data) is not None


@pytest.mark.parametrize(("numbers", "cardinalities"), [(3, (4, 5)), (0, (4, 5)), (3, ())])
def test_tables_with_only_numbers_or_only_levels(numbers: int, cardinalities: tuple[int, ...]) -> None:
    model = TabularMLP(numbers, cardinalities, 2, hidden=(8,)).eval()
    x = torch.randn(7, numbers)
    levels = torch.stack([torch.arange(7) % n for n in cardinalities], dim=1) if cardinalities else torch.zeros(7, 0, dtype=torch.int64)
    model.linear_weight.normal_()
    model.linear_share.fill_(0.5)
    out = model(x, levels)
    assert out.shape == (7, 2)
    expected = model.one_hot(x, levels).float() @ model.linear_weight + model.linear_bias
    assert torch.allclose(model.linear(x, levels), expected, atol=1e-5)
    assert torch.allclose(out[:1], model(x[:1], levels[:1]), atol=1e-6)  # a row does not depend on its batch


def test_impossible_options_are_named() -> None:
    with pytest.raises(ValueError, match="nothing to learn from"):
        TabularMLP(0, (), 1)
    with pytest.raises(ValueError, match="relu, gelu"):
        MLP(3, 2, activation="rely")
    with pytest.raises(ValueError, match="1 or more"):
        MLP(3, 2, hidden=(4, 0))


def test_flat_models_take_any_shape() -> None:
    x = torch.randn(5, 2, 3, 4)
    for model in (LinearRegression(24, 2), SoftmaxRegression(24, 2), MLP(24, 2, hidden=()), MLP(24, 2, hidden=(8, 4), dropout=0.1)):
        assert model(x).shape == (5, 2)
        assert torch.equal(model.eval()(x), model(x.flatten(1)))
    assert not SoftmaxRegression(24, 2)(x).any()
    assert [type(m) for m in MLP(3, 2, hidden=(8,)).layers] == [nn.Linear, nn.ReLU, nn.Linear]


def test_batch_norm_stands_before_or_after_the_activation() -> None:
    kinds = {norm: [type(m) for m in MLP(3, 2, hidden=(8,), norm=norm, dropout=0.1).layers] for norm in ("before", "after")}
    assert kinds["before"] == [nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Dropout, nn.Linear]
    assert kinds["after"] == [nn.Linear, nn.ReLU, nn.BatchNorm1d, nn.Dropout, nn.Linear]
    with pytest.raises(ValueError, match="none, before, after"):
        MLP(3, 2, norm="batch")


def test_identity_leaves_linear_layers() -> None:
    torch.manual_seed(0)
    model = MLP(3, 2, hidden=(8,), activation="identity").eval()
    x, origin = torch.randn(5, 3), torch.zeros(1, 3)
    assert torch.allclose(model(2 * x), 2 * model(x) - model(origin), atol=1e-5)
    bent = MLP(3, 2, hidden=(8,)).eval()
    assert not torch.allclose(bent(2 * x), 2 * bent(x) - bent(origin), atol=1e-5), "control: ReLU bends"


def test_bag_is_the_mean_of_its_words() -> None:
    torch.manual_seed(0)
    model = BagOfEmbeddings(10, 3, embed_dim=4).eval()
    tokens = torch.tensor([[2, 5, 0, 0], [5, 2, 5, 2], [0, 0, 0, 0]])
    out = model(tokens)
    mean = model.bag.weight[[2, 5]].mean(0)
    assert torch.allclose(out[0], model.linear(mean), atol=1e-6)
    assert torch.allclose(out[0], out[1], atol=1e-6)  # order and padding do not count
    assert torch.allclose(out[2], model.linear.bias)
    assert torch.allclose(out[:1], model(tokens[:1, :2]), atol=1e-6)
