"""Body and head of every model, new heads, and layers in order."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from zoo import FORMS, MODELS, batch, made

from rungbook.errors import UsageError
from rungbook.models.registry import create_model
from rungbook.transfer.heads import AdaptiveConcatPool2d, adapt_head, new_head
from rungbook.transfer.parts import ConcatHead, head_of, layer_groups, split_body_head

IMAGES = [name for name in FORMS if MODELS[name].where.startswith("vision.")]
POOLED = ("conv_net", "googlenet", "resnet18", "resnet50", "resnext50_32x4d", "se_resnet50", "xresnet18", "densenet121", "cifar_resnet20")


@pytest.mark.parametrize("name", IMAGES)
def test_the_head_is_what_depends_on_the_classes_and_all_else_is_body(name: str) -> None:
    small = MODELS[name].small
    one, other = (create_model(name, **{**small, "num_classes": n}).state_dict() for n in (3, 5))
    changed = {k for k, v in one.items() if v.shape != other[k].shape}
    parts = split_body_head(made(name))
    assert set(parts.head) <= changed if name == "nin" else set(parts.head) == changed
    names = [p for layer in parts.body for p in layer] + list(parts.head)
    assert sorted(names) == sorted(dict(made(name).named_parameters()))


def test_layers_are_blocks_from_the_input_on() -> None:
    first = [layer[0] for layer in split_body_head(made("resnet18")).body]
    assert first == ["conv1.weight", *(f"layer{i}.0.conv1.weight" for i in range(1, 5))]
    body = split_body_head(made("vit_ti_16")).body
    assert [layer[0] for layer in body] == ["class_token", *(f"encoder.layers.encoder_layer_{i}.ln_1.weight" for i in range(2))]
    assert "encoder.pos_embedding" in body[0]
    assert "encoder.ln.bias" in body[-1]
    deep = create_model("cifar_resnet56")
    groups = layer_groups(deep, 4)
    assert [len(g) for g in groups] == [39, 42, 42, 42]
    assert [name for g in groups for name in g] == [
        name for layer in split_body_head(create_model("cifar_resnet56")).body for name in layer
    ]


def test_a_model_without_a_body_has_nothing_to_keep() -> None:
    for model in (nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), nn.Linear(4, 2)):
        with pytest.raises(UsageError, match="E202"):
            split_body_head(model)


def test_maximum_and_mean_side_by_side() -> None:
    x = torch.randn(3, 5, 4, 6)
    out = AdaptiveConcatPool2d()(x)
    assert out.shape == (3, 10, 1, 1)
    assert torch.equal(out[:, :5, 0, 0], x.amax((2, 3)))
    assert torch.allclose(out[:, 5:, 0, 0], x.mean((2, 3)))


def test_the_new_head_is_the_course_s() -> None:
    kinds = [type(m).__name__ for m in new_head(8, 3, hidden=6)]
    assert kinds == ["BatchNorm1d", "Dropout", "Linear", "ReLU", "BatchNorm1d", "Dropout", "Linear"]
    assert [m.p for m in new_head(8, 3, dropout=0.4) if isinstance(m, nn.Dropout)] == [0.2, 0.4]


@pytest.mark.parametrize("name", POOLED)
def test_concat_pooling_takes_the_place_of_the_mean(name: str) -> None:
    model = made(name)
    before = dict(model.named_parameters())
    body = [n for layer in split_body_head(model).body for n in layer]
    adapt_head(model, "concat_pool", num_classes=7, hidden=8)
    assert isinstance(model.get_submodule(head_of(model)), ConcatHead)
    assert model.eval()(*batch(name)).shape == (5, 7)
    assert [n for layer in split_body_head(model).body for n in layer] == body
    assert all(dict(model.named_parameters())[n] is before[n] for n in body)


@pytest.mark.parametrize("name", [name for name in IMAGES if name not in POOLED and not name.startswith(("xresnet", "resnet", "cifar"))])
def test_other_models_have_no_pooling_to_exchange(name: str) -> None:
    with pytest.raises(UsageError) as refused:
        adapt_head(made(name), "concat_pool")
    assert refused.value.code == "E202"


def test_a_new_linear_head_and_an_unknown_one() -> None:
    model = made("resnet18")
    old = model.fc
    assert adapt_head(model, num_classes=9).fc is not old
    assert model.fc.out_features == 9
    with pytest.raises(UsageError, match="linear, concat_pool"):
        adapt_head(model, "concat")
    with pytest.raises(UsageError, match="ends in Conv2d"):
        adapt_head(made("nin"))
