"""Weights fill a model whole or not at all; head, channels and positions may differ, and that is said."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from zoo import FORMS, MODELS, batch, made

from rungbook.errors import DataError
from rungbook.models.registry import create_model
from rungbook.transfer.fitting import check_demands, fit_weights, renamed
from rungbook.transfer.heads import adapt_head
from rungbook.transfer.parts import head_of

IMAGES = [name for name in FORMS if MODELS[name].where.startswith("vision.")]


def copied(model: nn.Module) -> dict[str, Tensor]:
    return {k: v.clone() for k, v in model.state_dict().items()}


@pytest.mark.parametrize("name", FORMS)
def test_all_of_a_model_is_filled(name: str) -> None:
    source, target = made(name).eval(), made(name, seed=1).eval()
    fitted = fit_weights(target, copied(source))
    x = batch(name)
    assert torch.equal(target(*x), source(*x))
    assert (fitted.tensors, fitted.notes, fitted.new) == (len(source.state_dict()), [], ())


@pytest.mark.parametrize("name", FORMS)
def test_one_renamed_key_is_refused_with_its_name(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rungbook.transfer.fitting._fitting", lambda weights: ())  # the search for other models has a test of its own
    target = made(name, seed=1)
    before = copied(target)
    for key in (next(iter(before)), list(before)[-1]):
        weights = copied(made(name))
        weights[f"{key}x"] = weights.pop(key)
        with pytest.raises(DataError) as refused:
            fit_weights(target, weights)
        message = refused.value.message
        assert refused.value.code == "E303"
        assert f"fit {len(before) - 1} of {len(before)} tensors" in message
        assert f'"{key}" is missing; the file has "{key}x"' in message
        assert all(torch.equal(before[k], v) for k, v in target.state_dict().items())


def test_without_the_check_nothing_is_loaded_and_nothing_said() -> None:
    target, weights = made("resnet18", seed=1), {f"net.{k}": v for k, v in made("resnet18").state_dict().items()}
    before = copied(target)
    target.load_state_dict(weights, strict=False)  # the control: what torch's own leniency does
    assert all(torch.equal(before[k], v) for k, v in target.state_dict().items())
    with pytest.raises(DataError, match=r'"conv1\.weight" is missing; the file has "net\.conv1\.weight"'):
        fit_weights(target, weights)


@pytest.mark.parametrize("name", [name for name in IMAGES if name != "nin"])
def test_other_classes_get_a_new_head(name: str) -> None:
    source = made(name)
    target = create_model(name, **{**MODELS[name].small, "num_classes": 7})
    own = copied(target)
    fitted = fit_weights(target, copied(source))
    head = head_of(target)
    was = MODELS[name].small["num_classes"]
    assert fitted.notes == [f"the head is new: the weights have {was} outputs, this model has 7"]
    assert set(fitted.new) == {k for k in own if k.startswith(f"{head}.")}
    assert fitted.tensors == len(own) - len(fitted.new)
    for k, v in target.state_dict().items():
        assert torch.equal(v, own[k] if k in fitted.new else source.state_dict()[k])


def test_networks_whose_classes_go_through_several_layers_are_refused() -> None:
    target = create_model("nin", **{**MODELS["nin"].small, "num_classes": 7})
    with pytest.raises(DataError, match="E303"):
        fit_weights(target, copied(made("nin")))


def test_a_new_head_in_any_case() -> None:
    source, target = made("resnet18"), made("resnet18", seed=1)
    own = target.fc.weight.clone()
    assert fit_weights(target, copied(source), new_head=True).notes == ["the head is new, with 4 outputs"]
    assert torch.equal(target.fc.weight, own)
    pooled = adapt_head(made("resnet18", seed=2), "concat_pool")
    own = copied(pooled)
    assert len(fit_weights(pooled, copied(source), new_head=True).new) == 14
    assert torch.equal(pooled.fc[2].weight, own["fc.2.weight"])
    assert torch.equal(pooled.layer1[0].conv1.weight, source.layer1[0].conv1.weight)
    again = adapt_head(made("resnet18", seed=3), "concat_pool")
    assert fit_weights(again, copied(pooled)).notes == []  # weights of such a head fit such a head


def test_grey_images_are_answered_as_three_equal_channels() -> None:
    source = made("resnet18").double().eval()
    target = create_model("resnet18", **{**MODELS["resnet18"].small, "in_channels": 1}).double().eval()
    fitted = fit_weights(target, copied(source))
    assert fitted.notes == ["images are grey: the three channels of conv1.weight are added up"]
    x = torch.randn(2, 1, 32, 32, dtype=torch.float64)
    assert torch.allclose(target(x), source(x.expand(-1, 3, -1, -1)), rtol=0, atol=1e-12)
    with pytest.raises(DataError, match=r"conv1\.weight"):
        fit_weights(create_model("resnet18", **{**MODELS["resnet18"].small, "in_channels": 4}), copied(source))


@pytest.mark.parametrize(("size", "tokens"), [((32, 32), 16), ((24, 40), 15)])
def test_positions_are_drawn_over_another_grid(size: tuple[int, int], tokens: int) -> None:
    small = {**MODELS["vit_b_16"].small, "image_size": (24, 24)}
    source = create_model("vit_b_16", **small)
    ramp = torch.linspace(-1, 1, 3)
    with torch.no_grad():
        source.encoder.pos_embedding[0, 1:, 0] = ramp.repeat(3)  # grows from left to right
    target = create_model("vit_b_16", **{**small, "image_size": size})
    rows, columns = (s // 8 for s in size)
    fitted = fit_weights(target, copied(source), image_size=size)
    assert fitted.notes == [f"positions of 3 x 3 patches are interpolated to {rows} x {columns}"]
    positions = target.encoder.pos_embedding.detach()
    assert positions.shape[1] == tokens + 1
    assert torch.equal(positions[:, 0], source.encoder.pos_embedding[:, 0])
    across = positions[0, 1:, 0].reshape(rows, columns)
    assert torch.allclose(across, across[:1].expand_as(across), atol=1e-6)
    assert (across.diff(dim=1) > 0).all()
    control = create_model("vit_b_16", **{**small, "image_size": size})
    with pytest.raises(RuntimeError, match="pos_embedding"):
        control.load_state_dict(source.state_dict(), strict=False)


def test_weights_of_another_model_are_told_by_its_name() -> None:
    weights = copied(create_model("cifar_resnet20"))
    with pytest.raises(DataError, match=r"They fit the model cifar_resnet20\.") as refused:
        fit_weights(create_model("cifar_resnet32"), weights)
    assert refused.value.fix == "model=cifar_resnet20"


@pytest.mark.parametrize(
    ("name", "new", "old"),
    [
        ("densenet121", ".norm1.", ".norm.1."),
        ("densenet121", ".conv2.", ".conv.2."),
        ("vit_b_16", ".mlp.0.", ".mlp.linear_1."),
        ("vit_b_16", ".mlp.3.", ".mlp.linear_2."),
    ],
)
def test_names_in_old_files_are_known(name: str, new: str, old: str) -> None:
    model = made(name, seed=1)
    weights = {k.replace(new, old) if "denselayer" in k or "mlp" in k else k: v for k, v in made(name).state_dict().items()}
    assert weights.keys() != model.state_dict().keys()
    assert fit_weights(model, weights).notes == []
    assert renamed(weights, model.state_dict()).keys() == model.state_dict().keys()


def test_classifiers_beside_the_model_are_left_out_where_it_has_none() -> None:
    small = MODELS["googlenet"].small
    weights = copied(create_model("googlenet", **small, aux=True))
    assert fit_weights(create_model("googlenet", **small), weights).notes == []
    several = fit_weights(create_model("googlenet", **{**small, "num_classes": 7}, aux=True), weights)
    assert several.notes[1:] == ["aux1.fc2 is new, as the head is", "aux2.fc2 is new, as the head is"]


def test_a_plan_that_differs_names_the_option_and_the_model_that_has_it() -> None:
    wanted = {"block": "basic", "depths": (3, 4, 6, 3), "widths": (64, 128, 256, 512)}
    check_demands("resnet34", {}, wanted, "They")
    with pytest.raises(DataError, match=r"depths=\(3, 4, 6, 3\); resnet18 has depths=\(2, 2, 2, 2\)\. They fit the model resnet34"):
        check_demands("resnet18", {}, wanted, "They")
