"""`rung train ./photos pretrained=... freeze=...` end to end: settings, what is said and recorded, resuming, predicting."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from commands import Rung, quick, run
from kit import Stop
from PIL import Image

from rungbook.errors import UsageError
from rungbook.learner.learner import Learner
from rungbook.recipes import build, session
from rungbook.recipes.own import Images
from rungbook.recipes.prepare import make_model, prepare_data
from rungbook.transfer.create import create_model
from rungbook.transfer.hf.export import run_to_transformers

TINY = "widths=4,8 image_size=16 batch_size=16 ema=none threads=1"


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty red and forty blue pictures."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for label, channel in (("red", 0), ("blue", 2)):
        (folder / label).mkdir()
        for i in range(40):
            pixels = rng.integers(0, 120, (16, 16, 3))
            pixels[..., channel] += 100
            Image.fromarray(pixels.astype(np.uint8)).save(folder / label / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def begun(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run to begin from."""
    with pytest.MonkeyPatch.context() as patch:
        quick(patch)
        patch.setenv("RUNG_RUNS", str(tmp_path_factory.mktemp("first")))
        return Path(run(f"train {photos} {TINY} epochs=2 --json").json["run"])


def final(folder: Path) -> dict[str, torch.Tensor]:
    state = safetensors.torch.load_file(folder / "checkpoints" / "final" / "tensors.safetensors")
    return {k.removeprefix("model."): v for k, v in state.items()}


def test_a_run_goes_on_from_another_with_its_body_held(rung: Rung, photos: Path, begun: Path, tmp_path: Path) -> None:
    rung.quick()
    other = tmp_path / "other"
    shutil.copytree(photos, other)
    shutil.copytree(photos / "red", other / "third")
    for path in (other / "third").iterdir():
        Image.open(path).rotate(90).point(lambda v: v // 2).save(path)
    answer = rung(f"train {other} {TINY} pretrained={begun} freeze=body epochs=2")
    assert answer.code == 0, answer.err
    assert "the head is new: the weights have 2 outputs, this model has 3" in answer.text
    assert "frozen: body; 27 of" in answer.text
    found = rung.runs / "001-other"
    record = json.loads((found / "run.json").read_text())
    card = json.loads((begun / "checkpoints" / "final" / "model.json").read_text())
    assert record["pretrained"]["file"] == "tensors.safetensors"
    assert len(record["pretrained"]["sha256"]) == 64
    assert record["settings"]["pretrained"] == str(begun)
    mine = json.loads((found / "checkpoints" / "final" / "model.json").read_text())
    assert mine["encoder"]["mean"] == card["encoder"]["mean"]  # the weights' normalisation, not the new pictures' own
    assert record["data"]["facts"]["mean"] == card["encoder"]["mean"]
    before, after = final(begun), final(found)
    assert {k for k in after if not torch.equal(after[k], before.get(k, torch.zeros(0)))} == {"fc.weight", "fc.bias"}
    assert rung(f"predict 1 {photos}/red/0.png").code == 0


TOGETHER = (
    "freeze=all_but_norm unfreeze=1,2 head=concat_pool layer_decay=0.5",
    "freeze=norm head_lr=5 optimizer=sgd",
    "lr=find freeze=body unfreeze=1",
)


@pytest.mark.parametrize("words", TOGETHER)
def test_settings_go_together_and_the_run_predicts(rung: Rung, photos: Path, begun: Path, words: str) -> None:
    rung.quick()
    answer = rung(f"train {photos} {TINY} pretrained={begun} epochs=3 {words}")
    assert answer.code == 0, answer.err
    assert rung(f"predict 1 {photos}/red/0.png").code == 0
    assert rung("eval 1").code == 0


def test_a_resumed_run_needs_the_weights_no_more_and_ends_the_same(
    rung: Rung, photos: Path, begun: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rung.quick()
    source = Path(shutil.copytree(begun, tmp_path / "source"))
    words = f"train {photos} {TINY} pretrained={source} epochs=3 freeze=body unfreeze=1 layer_decay=0.5 head=concat_pool"
    assert rung(words).code == 0
    attendants = session.attendants
    for step in (3, 6):
        with monkeypatch.context() as patch:
            patch.setattr(session, "attendants", lambda work, step=step: [*attendants(work), Stop(step)])
            assert rung(words).code == 5
    shutil.rmtree(source)
    for name in ("002-photos0", "003-photos0"):
        name = next(p.name for p in rung.runs.iterdir() if p.name.startswith(name[:3]))
        answer = rung(f"resume {name}")
        assert answer.code == 0, answer.err
    runs = sorted(rung.runs.iterdir())
    whole, *resumed = [final(r) for r in runs]
    for one in resumed:
        assert all(torch.equal(one[k], whole[k]) for k in whole)
    assert len({(r / "metrics.jsonl").read_bytes() for r in runs}) == 1


def test_a_run_that_begins_again_wants_the_same_weights(
    rung: Rung, photos: Path, begun: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rung.quick()
    source = tmp_path / "net.safetensors"
    safetensors.torch.save_file(final(begun), source)
    with monkeypatch.context() as patch:
        patch.setattr(session, "describe_start", lambda work: (_ for _ in ()).throw(KeyboardInterrupt))  # before any checkpoint
        assert rung(f"train {photos} {TINY} pretrained={source} epochs=2").code == 5
    changed = {k: v + 1 if v.is_floating_point() else v for k, v in final(begun).items()}
    safetensors.torch.save_file(changed, source)
    answer = rung("resume 1")
    assert answer.code == 3
    assert "The run began with" in answer.text


def images(**settings: object) -> Images:
    return replace(Images(widths=(4, 8), image_size=16, batch_size=16, ema=None, threads=1), **settings)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"pretrained": "true", "weights": "a.safetensors"}, "from one of them"),
        ({"freeze": "body"}, "nobody trained"),
        ({"pretrained": "true", "unfreeze": (1,)}, "nothing is held"),
        ({"pretrained": "true", "freeze": "body", "unfreeze": (2, 1)}, "each after the one before"),
        ({"pretrained": "true", "freeze": "body", "unfreeze": (1, 3), "epochs": 3}, "never learns"),
        ({"pretrained": "true", "freeze": "body", "unfreeze": (1,), "scratch": ("autograd",)}, "tape"),
        ({"pretrained": "true", "init": "lsuv"}, "without init"),
    ],
)
def test_settings_that_exclude_each_other(settings: dict[str, object], said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=said) as refused:
        images(data=str(tmp_path), **settings).check()
    assert refused.value.code == "E202"
    assert refused.value.fix


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("pretrained=true", 2, "No weights are published for the model conv_net"),
        ("pretrained=imagenet1k_v1 model=resnet81", 2, "resnet18"),
        ("pretrained=./none.safetensors", 2, "none.safetensors"),
        ("model=cifar_resnet20 pretrained={begun}", 3, "E303"),
        ("pretrained=true model=lenet head=concat_pool", 2, "No weights are published"),
        ("freeze=heads pretrained=true", 2, "freeze is"),
        ("model=lenet head=concat_pool image_size=28", 2, "no pooling to exchange"),
    ],
)
def test_what_a_user_gets_wrong(rung: Rung, photos: Path, begun: Path, words: str, code: int, said: str) -> None:
    answer = rung(f"train {photos} epochs=1 {words.format(begun=begun)}")
    assert answer.code == code, answer.text
    assert said in answer.text
    assert "fix:" in answer.text
    assert not rung.runs.exists()


def test_a_recipe_s_own_options_are_for_its_own_model(tmp_path: Path) -> None:
    assert images(model="resnet18", widths=Images().widths).model_options() == {}
    assert images(model="resnet18").model_options() == {"widths": (4, 8)}
    assert images().model_options() == {"widths": (4, 8), "dropout": 0.3}


def test_data_in_memory_keeps_its_own_normalisation(photos: Path, begun: Path) -> None:
    plain = images(data=str(photos))
    read = plain.load()
    mean = read.encoder.mean
    data = prepare_data(replace(plain, pretrained=str(begun)), read)
    assert data.encoder.mean == mean  # the same pictures
    other = tuple(m + 0.1 for m in mean)
    from rungbook.recipes.start import normalised

    changed = normalised(replace(plain, pretrained=str(begun)), read, {"mean": list(other), "std": [0.5] * 3})
    assert changed.encoder.mean == other
    assert read.encoder.mean == mean
    x, _ = changed.one_batch(4)
    y, _ = read.one_batch(4)
    assert not torch.equal(x, y)
    assert changed.fingerprint == read.fingerprint


def test_by_hand_as_by_torch(photos: Path, begun: Path) -> None:
    made = images(data=str(photos), pretrained=str(begun), freeze="norm", layer_decay=0.5, epochs=1, optimizer="sgd")
    ends = []
    for scratch in ((), ("layers", "optim")):
        recipe = replace(made, scratch=scratch)
        data = prepare_data(recipe)
        model, _ = make_model(recipe, data)
        learner: Learner = build.build_learner(recipe, data, model, torch.device("cpu"), 0.05)
        learner.fit(1)
        ends.append({k: v for k, v in learner.model.state_dict().items() if v.is_floating_point()})
    assert all(torch.allclose(v, ends[1][k], atol=1e-5) for k, v in ends[0].items())


def test_a_run_as_a_folder_of_transformers(rung: Rung, photos: Path, tmp_path: Path) -> None:
    rung.quick()
    answer = rung(f"train {photos} model=resnet18 widths=4,8,8,12 image_size=32 batch_size=16 epochs=1 ema=none threads=1 --json")
    folder = run_to_transformers(answer.json["run"], tmp_path / "theirs")
    again = create_model("resnet18", pretrained=folder, widths=(4, 8, 8, 12))
    assert again.pretrained.labels == ("blue", "red")
    assert all(torch.equal(v, final(Path(answer.json["run"]))[k]) for k, v in again.state_dict().items())


def test_published_weights_by_their_default_name(rung: Rung, photos: Path, real_data: Path) -> None:
    rung.quick()
    answer = rung(f"train {photos} model=cifar_resnet20 pretrained=true image_size=16 freeze=body epochs=1 threads=1 --json")
    assert answer.code == 0, answer.err
    assert "cifar10 of cifar_resnet20 (akamaster/pytorch_resnet_cifar10)" in answer.text


def test_models_with_published_weights_are_told_in_the_list(rung: Rung) -> None:
    listed = rung("list models --json").json["models"]
    assert listed["resnet50"].endswith("; pretrained=imagenet1k_v1 or imagenet1k_v2")
    assert "pretrained" not in listed["nin"]
