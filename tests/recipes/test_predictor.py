"""Finished runs as something to ask from Python."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tables
import torch
from gallery import Gallery
from torch import nn

import rungbook
from rungbook.data.arrays import ArrayEncoder
from rungbook.data.target import ClassTarget, NumberTarget
from rungbook.errors import DataError, UsageError
from rungbook.learner import checkpoint
from rungbook.learner.checkpoint import DamagedCheckpoint
from rungbook.recipes.predictor import CARD, Prediction, Predictor, load, model_card


def test_every_kind_of_run_answers_its_users_items(gallery: Gallery) -> None:
    import pandas as pd

    images = load(gallery.digits[0])
    assert images.classes == tuple("0123456789")
    pixels = np.zeros((3, 8, 8), np.uint8)
    answers = images(pixels)
    assert len(answers) == 3
    assert set(answers[0].probabilities) == set(images.classes)
    assert answers[0].value == max(answers[0].probabilities.values())
    frame = pd.DataFrame([row[:3] for row in tables.rows(5)], columns=["size", "colour", "weight"])
    assert {p.label for p in load(gallery.classes[0])(frame)} <= {"yes", "no"}
    (number, *_) = load(gallery.numbers[0])(frame)
    assert number == Prediction(f"{number.value:g}", number.value, {})
    assert load(gallery.texts[0])(["a lovely film with great people and a warm end"])[0].label == "pos"
    measures = pd.DataFrame({c: [1.0, 2.0] for c in load(gallery.one_hot[0]).encoder.table.columns})  # type: ignore[attr-defined]
    assert len(load(gallery.one_hot[0])(measures)) == 2


def test_batches_and_one_by_one_agree(gallery: Gallery) -> None:
    predictor = load(gallery.digits[0])
    x = torch.randint(0, 256, (10, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    whole = predictor.outputs_of(x)
    assert torch.allclose(predictor.outputs_of(x, batch_size=3), whole, atol=1e-5)
    assert predictor.outputs_of(x[:0]).shape == (0, 10)
    assert predictor.explain(predictor.decode(whole[:0])) == []


def test_arrays() -> None:
    model = nn.Linear(4, 2)
    predictor = Predictor(model.train(), ArrayEncoder(), ClassTarget(("a", "b")))
    assert not predictor.model.training
    x = np.random.default_rng(0).random((5, 4))
    assert torch.allclose(predictor.decode(predictor.outputs(x)), model(torch.tensor(x).float()).softmax(1))
    assert Predictor(nn.Linear(4, 1), ArrayEncoder(), NumberTarget(mean=5, std=2)).classes == ()


def test_probabilities_of_a_known_model() -> None:
    model = nn.Linear(1, 3)
    nn.init.zeros_(model.weight)
    with torch.no_grad():
        model.bias.copy_(torch.tensor([1.0, 2.0, 3.0]).log())
    (answer,) = Predictor(model, ArrayEncoder(), ClassTarget(("x", "y", "z")))(np.zeros((1, 1)))
    assert answer.label == "z"
    assert answer.probabilities == pytest.approx({"x": 1 / 6, "y": 2 / 6, "z": 3 / 6})


def copy(gallery: Gallery, to: Path) -> Path:
    return Path(shutil.copytree(gallery.digits[0], to / gallery.digits[0].name))


@pytest.mark.parametrize("name", ["tensors.safetensors", "state.json", "model.json", "manifest.json"])
@pytest.mark.parametrize("damage", ["flip", "cut", "gone"])
def test_a_damaged_model_is_refused_by_name(gallery: Gallery, tmp_path: Path, name: str, damage: str) -> None:
    run = copy(gallery, tmp_path)
    path = run / "checkpoints" / "final" / name
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 4
    path.write_bytes(content[:-1] if damage == "cut" else content)
    if damage == "gone":
        path.unlink()
    with pytest.raises(DamagedCheckpoint) as error:
        load(run)
    assert error.value.code == "E301"
    assert error.value.exit_code == 3
    assert f"final/{name}" in error.value.message


@pytest.mark.parametrize(
    "change",
    [
        {"model": "no_such_model"},
        {"model": "mlp"},
        {"options": {}},
        {"options": {"in_channels": 3, "num_classes": 10}},
        {"encoder": {"kind": "os"}},
        {"encoder": None},
        {"target": {"task": "classification"}},
    ],
)
def test_a_card_that_does_not_fit_is_refused(gallery: Gallery, tmp_path: Path, change: dict) -> None:
    """Also one whose checksums are right: the card is data from outside."""
    run = copy(gallery, tmp_path)
    state, files = checkpoint.read(run / "checkpoints" / "final")
    card = {**json.loads(files[CARD]), **change}
    checkpoint.save(run / "checkpoints" / "final", state, {CARD: json.dumps(card).encode()})
    with pytest.raises((DamagedCheckpoint, UsageError)) as error:
        load(run)
    assert error.value.code in ("E301", "E201", "E202")


def test_runs_are_found_as_the_command_finds_them(gallery: Gallery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = copy(gallery, tmp_path)
    monkeypatch.setenv("RUNG_RUNS", str(tmp_path))
    for reference in (run, str(run), run.name, "digits", run.name.split("-")[0]):
        assert rungbook.load(reference).classes == tuple("0123456789")
    with pytest.raises(UsageError, match='no run "99"'):
        rungbook.load("99")
    shutil.rmtree(run / "checkpoints" / "final")
    with pytest.raises(UsageError, match="no finished model") as error:
        rungbook.load("digits")
    assert error.value.fix == f"Continue it: rung resume {run.name}"


def test_the_device_is_chosen_or_said(gallery: Gallery) -> None:
    assert load(gallery.digits[0], device="cpu").device == torch.device("cpu")
    card = json.loads(model_card("mlp", {"hidden": (3,)}, None, NumberTarget()))
    assert (card["model"], card["options"], card["encoder"]) == ("mlp", {"hidden": [3]}, None)


def test_a_picture_that_is_none_is_named(gallery: Gallery, tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(b"no")
    with pytest.raises(DataError) as error:
        load(gallery.photos[0])([tmp_path / "x.png"])
    assert error.value.code == "E106"
    assert "x.png" in error.value.message
