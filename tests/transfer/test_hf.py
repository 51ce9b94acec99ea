"""Hugging Face both ways, offline, with tiny models: the same logits in float64, the same preprocessing, the same Trainer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from zoo import MODELS

from rungbook.data.images import ImageEncoder, image_data
from rungbook.errors import RungError
from rungbook.transfer.create import create_model
from rungbook.transfer.hf.export import run_to_transformers, save_transformers
from rungbook.transfer.hf.keys import KINDS
from rungbook.transfer.hf.trainer import TrainerData, TrainerModel, probabilities, trainer_metrics

transformers = pytest.importorskip("transformers")

RESNET: dict[str, Any] = {"block": "basic", "depths": (1, 2, 1, 1), "widths": (4, 8, 8, 12), "num_classes": 3}
DEEP: dict[str, Any] = {**RESNET, "block": "bottleneck"}
VIT: dict[str, Any] = {"patch": 8, "width": 16, "depth": 2, "heads": 2, "hidden": 24, "image_size": (16, 16), "num_classes": 3}
FORMS = [("resnet18", RESNET), ("resnet50", DEEP), ("vit_b_16", VIT)]
LABELS = ("cat", "dog", "fox")
X = torch.rand(3, 3, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def theirs(name: str, options: dict[str, Any], **more: Any) -> Any:
    """A model of transformers with random weights, and running statistics that are not those of the start."""
    kind = "vit" if name.startswith("vit") else "resnet"
    from rungbook.transfer.fitting import plan

    config = {"resnet": transformers.ResNetConfig, "vit": transformers.ViTConfig}[kind](
        **KINDS[kind].config(plan(name, options)), id2label=dict(enumerate(LABELS)), **more
    )
    torch.manual_seed(0)
    model = {"resnet": transformers.ResNetForImageClassification, "vit": transformers.ViTForImageClassification}[kind](config)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return model.double().eval()


@pytest.mark.parametrize(("name", "options"), FORMS)
def test_theirs_in_ours(name: str, options: dict[str, Any], tmp_path: Path) -> None:
    model = theirs(name, options)
    model.save_pretrained(tmp_path)
    options = {k: v for k, v in options.items() if k != "num_classes"}
    ours = create_model(name, pretrained=tmp_path, **options).double().eval()
    with torch.no_grad():
        assert (ours(X) - model(X).logits).abs().max() < 1e-9
    assert ours.pretrained.labels == LABELS
    more = create_model(name, pretrained=str(tmp_path), **options, num_classes=7)
    assert "this model has 7" in more.pretrained.notes[0]


@pytest.mark.parametrize(("name", "options"), FORMS)
def test_ours_in_theirs(name: str, options: dict[str, Any], tmp_path: Path) -> None:
    torch.manual_seed(0)
    ours = create_model(name, **options).double()
    ours(X)  # running statistics are not those of the start
    ours.eval()
    encoder = ImageEncoder((16, 16), 3, (0.4, 0.5, 0.6), (0.2, 0.3, 0.4))
    save_transformers(ours, tmp_path / "new" / "folder", name, labels=LABELS, encoder=encoder, **options)
    model = transformers.AutoModelForImageClassification.from_pretrained(tmp_path / "new" / "folder", dtype=torch.float64).eval()
    with torch.no_grad():
        assert (ours(X) - model(X).logits).abs().max() < 1e-9
    assert model.config.id2label == dict(enumerate(LABELS))
    pictures = np.random.default_rng(0).integers(0, 256, (2, 20, 28, 3), dtype=np.uint8)
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path / "new" / "folder")
    seen = processor(images=list(pictures), return_tensors="pt")["pixel_values"]
    mine = encoder.prepare(encoder.encode(list(pictures)))
    assert seen.shape == mine.shape
    square = pictures[:, 2:18, 6:22]  # of the right size: nothing is scaled
    seen = processor(images=list(square), return_tensors="pt")["pixel_values"]
    assert torch.allclose(seen, encoder.prepare(encoder.encode(list(square))), atol=1e-5)


def test_there_and_back_again(tmp_path: Path) -> None:
    torch.manual_seed(0)
    ours = create_model("vit_b_16", **VIT)
    encoder = ImageEncoder((16, 16), 3, (0.4, 0.5, 0.6), (0.2, 0.3, 0.4))
    save_transformers(ours, tmp_path, "vit_b_16", labels=LABELS, encoder=encoder, **VIT)
    again = create_model("vit_b_16", pretrained=tmp_path, **{k: v for k, v in VIT.items() if k not in ("num_classes", "image_size")})
    assert (again.pretrained.mean, again.pretrained.std) == (encoder.mean, encoder.std)
    assert all(torch.equal(v, ours.state_dict()[k]) for k, v in again.state_dict().items())


def test_a_body_without_a_head(tmp_path: Path) -> None:
    model = theirs("vit_b_16", VIT)
    model.vit.save_pretrained(tmp_path)
    ours = create_model("vit_b_16", pretrained=tmp_path, **VIT)
    assert ours.pretrained.notes[0] == "the head is new, with 3 outputs"
    assert torch.equal(ours.encoder.ln.weight, model.vit.layernorm.weight.float())


def test_what_their_layer_norms_add_is_taken_over(tmp_path: Path) -> None:
    model = theirs("vit_b_16", VIT)
    model.config.layer_norm_eps = 1e-2
    model.save_pretrained(tmp_path)
    model = transformers.AutoModelForImageClassification.from_pretrained(tmp_path, dtype=torch.float64).eval()
    ours = create_model("vit_b_16", pretrained=tmp_path, **VIT).double().eval()
    control = create_model("vit_b_16", pretrained=tmp_path, **VIT, norm_eps=1e-6).double().eval()
    with torch.no_grad():
        assert (ours(X) - model(X).logits).abs().max() < 1e-9
        assert (control(X) - model(X).logits).abs().max() > 1e-6


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model_type": "bert"}, "bert"),
        ({"hidden_act": "gelu"}, "hidden_act='gelu'; ours is 'relu'"),
        ({"downsample_in_bottleneck": True}, "downsample_in_bottleneck"),
        ({"depths": [3, 4, 6, 3]}, "They fit the model resnet34"),
    ],
)
def test_models_that_ours_are_not(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    model = create_model("resnet18")
    save_transformers(model, tmp_path, "resnet18")
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(RungError, match="E303") as refused:
        create_model("resnet18", pretrained=tmp_path)
    assert said in str(refused.value)


DAMAGED = ("[]", "{", '{"model_type": "resnet", "depths": 3}', '{"model_type": "vit", "hidden_size": {}, "id2label": {"a": 1}}')


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_description(content: str, tmp_path: Path) -> None:
    save_transformers(create_model("resnet18", **MODELS["resnet18"].small), tmp_path, "resnet18", **MODELS["resnet18"].small)
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(RungError) as refused:
        create_model("resnet18", pretrained=tmp_path)
    assert refused.value.code in ("E106", "E303")


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("alexnet", MODELS["alexnet"].small, "no counterpart"),
        ("resnext50_32x4d", {**DEEP, "groups": 2, "width_per_group": 32}, "groups"),
        ("vit_b_16", {**VIT, "pool": "mean"}, "pool"),
        ("resnet18", {**RESNET, "head": "concat_pool"}, "no place for fc.0.weight"),
    ],
)
def test_what_transformers_has_not(name: str, options: dict[str, Any], said: str, tmp_path: Path) -> None:
    model = create_model(name, **options)
    with pytest.raises(RungError, match="E202") as refused:
        save_transformers(model, tmp_path, name, **{k: v for k, v in options.items() if k != "head"})
    assert said in str(refused.value)
    with pytest.raises(RungError, match="E202"):
        save_transformers(create_model("resnet18", **RESNET), tmp_path, "resnet18", labels=("one",), **RESNET)


def test_the_hub_is_not_reached_offline() -> None:
    with pytest.raises(RungError, match="nobody/nothing") as refused:
        create_model("resnet18", pretrained="hf:nobody/nothing")
    assert refused.value.code == "E403"
    assert "pretrained=./FOLDER" in refused.value.fix


def test_runs_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(RungError, match="no finished model"):
        run_to_transformers(tmp_path, tmp_path / "out")


def shapes() -> Any:
    """Bright and dark images, which can be learned."""
    rng = np.random.default_rng(0)
    y = np.arange(60) % 2
    x = rng.integers(0, 100, (60, 3, 16, 16)) + 120 * y[:, None, None, None]
    return image_data("shapes", x.astype(np.uint8), y, ("dark", "bright"), batch_size=8, augment="flip")


@pytest.mark.parametrize("whose", ["ours", "theirs"])
def test_their_trainer_trains_our_data(whose: str, tmp_path: Path) -> None:
    data = shapes()
    options = {**RESNET, "num_classes": 2}
    torch.manual_seed(0)
    ours = create_model("resnet18", **options)
    if whose == "theirs":
        save_transformers(ours, tmp_path / "net", "resnet18", labels=data.classes, **options)
        model = transformers.AutoModelForImageClassification.from_pretrained(tmp_path / "net")
    else:
        model = TrainerModel(ours)
    said = {"num_train_epochs": 3, "per_device_train_batch_size": 8, "learning_rate": 1e-2, "report_to": [], "use_cpu": True}
    said |= {
        "disable_tqdm": True,
        "save_strategy": "no",
        "logging_strategy": "no",
        "remove_unused_columns": False,
        "dataloader_pin_memory": False,
    }
    trainer = transformers.Trainer(
        model=model,
        args=transformers.TrainingArguments(output_dir=str(tmp_path / "out"), **said),
        train_dataset=TrainerData(data.train),
        eval_dataset=TrainerData(data.valid),
        compute_metrics=trainer_metrics(data),
    )
    trainer.train()
    assert trainer.train_dataset.epoch == 2
    found = trainer.predict(TrainerData(data.test))
    shares = probabilities(data, found)
    truth = data.test.source.targets()
    assert shares.shape == (len(truth), 2)
    assert torch.allclose(shares.sum(1), torch.ones(len(truth)))
    assert found.metrics["test_accuracy"] == pytest.approx((shares.argmax(1) == truth).double().mean().item())
    assert found.metrics["test_accuracy"] > 0.8


def test_samples_are_those_of_our_own_training() -> None:
    data = shapes()
    feed, theirs_ = data.train, TrainerData(data.train)
    theirs_.set_epoch(1)
    x, y = next(iter(feed.batches(1)))
    order = feed.order(1)[: len(y)]
    samples = theirs_.__getitems__(order.tolist())
    assert torch.equal(torch.stack([s["pixel_values"] for s in samples]), x)
    assert torch.equal(theirs_[int(order[0])]["pixel_values"], x[0])
    with pytest.raises(RungError, match="no such split"):
        TrainerData(None)
