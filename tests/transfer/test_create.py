"""`create_model(..., pretrained=...)`: where weights come from, what is said of them, and what wrong normalisation costs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import safetensors.torch
import torch
from zoo import MODELS, made

import rungbook
from rungbook.data.local import cifar10_grids
from rungbook.errors import RungError
from rungbook.transfer.create import create_model
from rungbook.transfer.normalisation import normalisation_for
from rungbook.transfer.published import IMAGENET
from rungbook.transfer.sources import find, is_place

SMALL = MODELS["resnet18"].small


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "net.safetensors"
    safetensors.torch.save_file(made("resnet18").state_dict(), path)
    return path


def test_the_public_name_is_this_one() -> None:
    assert rungbook.create_model is create_model
    assert not hasattr(rungbook.create_model("mlp", in_features=3, out_features=2), "pretrained")


def test_a_file_of_ones_own(file: Path) -> None:
    model = create_model("resnet18", pretrained=file, **SMALL)
    assert all(torch.equal(v, made("resnet18").state_dict()[k]) for k, v in model.state_dict().items())
    done = model.pretrained
    assert (done.file, len(done.sha256), done.match, done.mean) == ("net.safetensors", 64, "74 of 74 tensors", ())
    assert done.notes == ("how images must be normalised for these weights is not known",)
    assert json.loads(json.dumps(done.describe()))["about"] == str(file)
    other = create_model("resnet18", pretrained=str(file), **{**SMALL, "num_classes": 9})
    assert other.fc.out_features == 9
    assert "this model has 9" in other.pretrained.notes[0]


def test_a_torch_file_and_one_with_objects_in_it(tmp_path: Path) -> None:
    torch.save({"state_dict": {f"module.{k}": v for k, v in made("resnet18").state_dict().items()}}, tmp_path / "net.pth")
    assert create_model("resnet18", pretrained=tmp_path / "net.pth", **SMALL).pretrained.match == "74 of 74 tensors"
    torch.save(made("resnet18"), tmp_path / "whole.pth")
    with pytest.raises(RungError) as refused:
        create_model("resnet18", pretrained=tmp_path / "whole.pth", **SMALL)
    assert refused.value.code == "E302"


@pytest.mark.parametrize(
    ("name", "pretrained", "code", "said"),
    [
        ("resnet81", True, "E201", "resnet18"),
        ("nin", True, "E201", "alexnet"),
        ("resnet18", "imagenet1k_v9", "E201", "imagenet1k_v1"),
        ("resnet18", "./nowhere.pth", "E105", "nowhere.pth"),
        ("resnet18", ".", "E105", "config.json"),
        ("resnet18", "here", "E201", "pretrained=./here"),
    ],
)
def test_what_cannot_be_had(name: str, pretrained: object, code: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    with pytest.raises(RungError) as refused:
        create_model(name, pretrained=pretrained)
    assert refused.value.code == code
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("text", "place"),
    [("imagenet1k_v1", False), ("true", False), ("hf:microsoft/resnet-18", False), ("a.safetensors", True), ("./net", True), (".", True)],
)
def test_what_names_a_place(text: str, place: bool) -> None:
    assert is_place(text) is place


def test_grey_images_are_normalised_by_the_average() -> None:
    source = find("resnet18", True)
    assert normalisation_for(source, 3) == IMAGENET
    mean, std = normalisation_for(source, 1)
    assert mean == (pytest.approx(sum(IMAGENET[0]) / 3),)
    assert std == (pytest.approx(sum(IMAGENET[1]) / 3),)


def test_googlenet_s_weights_want_their_own_normalisation() -> None:
    assert find("googlenet", True).normalisation == ((0.5,) * 3, (0.5,) * 3)


def test_published_weights_are_right_only_with_their_normalisation(real_data: Path) -> None:
    model = create_model("cifar_resnet20", pretrained=True).eval()
    held = cifar10_grids(real_data / "cifar10")
    assert held is not None
    images, labels = torch.from_numpy(held[2][:250]) / 255, torch.from_numpy(held[3][:250])

    def right(mean: tuple[float, ...], std: tuple[float, ...]) -> float:
        x = (images - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
        with torch.no_grad():
            return (model(x).argmax(1) == labels).double().mean().item()

    assert right(model.pretrained.mean, model.pretrained.std) > 0.9
    assert right((0.0,) * 3, (1.0,) * 3) < 0.8  # the control: pixels as they are, which nothing complains about


def test_the_file_s_name_brings_the_normalisation_too(real_data: Path) -> None:
    path = real_data / "checkpoints" / "cifar10_resnet20-12fca82f.th"
    model = create_model("cifar_resnet20", pretrained=path, num_classes=2)
    assert (model.pretrained.mean, model.linear.out_features) == (IMAGENET[0], 2)
    with pytest.raises(RungError, match="They fit the model cifar_resnet20"):
        create_model("cifar_resnet56", pretrained=path)
