"""Mixing, growing images, test-time augmentation and ways to use memory as settings: trained, interrupted, judged, asked."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from commands import Answer, Rung

import rungbook
from rungbook.learner.learner import Learner
from rungbook.recipes.once import train_once
from rungbook.recipes.recipe import RECIPES, Recipe, load_recipes
from rungbook.recipes.runs import find_run

load_recipes()
SMALL = "train digits widths=4,8 epochs=2"
ONE = "train digits widths=4,8 epochs=1"


@pytest.fixture(autouse=True)
def moment(rung: Rung) -> Rung:
    rung.quick()
    return rung


def final(answer: Answer) -> dict[str, torch.Tensor]:
    path = Path(answer.json["run"]) / "checkpoints" / "final"
    return safetensors.torch.load_file(next(path.glob("*.safetensors")))


def alike(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return one.keys() == two.keys() and all(t.equal(two[k]) for k, t in one.items())


EVERYTHING = "mix=both mix_alpha=0.5 sizes=12,16 image_size=16 tta=flip channels_last=true activation_checkpointing=true"


def test_a_run_interrupted_goes_on_to_the_same_weights(rung: Rung, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = rung(f"{SMALL} {EVERYTHING} --json")
    assert whole.code == 0, whole.text
    assert "by tta=flip" in whole.text
    train_epoch = Learner._train_epoch

    def stop_within(self: Learner, batches: Any) -> None:
        if self.epoch == 1:
            self._listeners["after_step"].append(lambda learner: learner.request_stop() if learner.batch == 5 else None)
        train_epoch(self, batches)

    with monkeypatch.context() as patch:
        patch.setattr(Learner, "_train_epoch", stop_within)
        begun = rung(f"{SMALL} {EVERYTHING} --json")
    assert begun.code == 5, begun.text
    done = rung("resume --json")
    assert done.code == 0, done.text
    assert alike(final(done), final(whole))
    assert done.json["test"] == whole.json["test"]
    plain = rung(f"{SMALL} image_size=16 --json")
    assert not alike(final(plain), final(whole)), "control"


def test_which_settings_change_the_weights(rung: Rung) -> None:
    plain = rung(f"{ONE} --json")
    shown = (Path(plain.json["run"]) / "metrics.jsonl").read_text()
    for setting, changes in (
        ("mix=mixup", True),
        ("mix=cutmix", True),
        ("sizes=5", True),
        ("tta=flip_crop", False),
        ("activation_checkpointing=true", False),
    ):
        answer = rung(f"{ONE} {setting} --json")
        assert answer.code == 0, answer.text
        assert alike(final(answer), final(plain)) is not changes, setting
        now = (Path(answer.json["run"]) / "metrics.jsonl").read_text()
        assert (now == shown) is not changes, "what is shown while training is of the images themselves"


def test_tta_changes_figures_only_when_asked(rung: Rung) -> None:
    plain, turned = rung(f"{ONE} --json"), rung(f"{ONE} tta=flip --json")
    assert plain.json["test"] != turned.json["test"]
    name, other = Path(plain.json["run"]).name, Path(turned.json["run"]).name
    for run, figures, words in (
        (name, plain, ""),
        (name, turned, "tta=flip"),
        (other, turned, ""),
        (other, plain, "tta=none"),
        (other, turned, "tta=flip"),
    ):
        answer = rung(f"eval {run} {words} --json")
        assert answer.code == 0, answer.text
        assert answer.json["test"] == pytest.approx(figures.json["test"], abs=1e-6), (run, words)
        assert answer.json.get("tta") == ("flip" if figures is turned else None)
        assert ("by the mean over tta=flip" in answer.text) == (figures is turned)
    three = {words: rung(f"eval {name} {words} --json").json["test"]["log_loss"] for words in ("", "tta=crop", "tta=flip_crop")}
    assert len(set(three.values())) == 3


def test_a_run_judged_by_versions_answers_by_them(rung: Rung) -> None:
    run = find_run(rung(f"{ONE} tta=flip --json").json["run"])
    asked = rungbook.load(run)
    assert asked.tta == "flip"
    x = torch.randint(0, 256, (6, 1, 8, 8), dtype=torch.uint8)
    torch.testing.assert_close(asked.decode(asked.outputs(x)), asked.decode(asked.outputs(x.flip(3))))
    asked.tta = None
    assert float((asked.decode(asked.outputs(x)) - asked.decode(asked.outputs(x.flip(3)))).abs().max()) > 1e-3, "control"
    predicted = rung("predict 1 --json")
    assert predicted.code == 0, predicted.text


def test_studies_judge_by_versions_too() -> None:
    recipe = RECIPES["digits"](epochs=1, widths=(4,), tta="flip")  # type: ignore[call-arg]
    assert isinstance(recipe, Recipe)
    trained = train_once(recipe)
    valid = trained.data.valid
    accuracy = trained.scores("valid")["valid"]["log_loss"]
    assert accuracy == pytest.approx(trained.learner.validate(valid, ["log_loss"], tta="flip")["log_loss"], rel=1e-5)
    assert accuracy != pytest.approx(trained.learner.validate(valid, ["log_loss"])["log_loss"], rel=1e-5), "control"


def test_mixup_on_tables_of_classes_and_numbers(rung: Rung) -> None:
    for words in ("mlp data=breast_cancer hidden=8 class_weights=balanced label_smoothing=0.1", "mlp data=diabetes hidden=8"):
        answer = rung(f"train {words} epochs=2 mix=mixup --json")
        assert answer.code == 0, answer.text
    rows = (Path(answer.json["run"]) / "metrics.jsonl").read_text().splitlines()
    assert all(json.loads(r)["train_loss"] < 10 for r in rows)


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ("mlp data=iris mix=cutmix", "CutMix cuts boxes out of images"),
        ("digits sizes=16,8", "sizes is 16,8"),
        ("digits image_size=8 sizes=8,16", "image_size=8"),
        ("lenet epochs=2 sizes=14,28", "LeNet does not take images of 14 x 14"),
        ("digits epochs=2 sizes=5,6,8", "3 sizes in 2 epochs"),
        ("digits compile=true activation_checkpointing=true", "A compiler chooses itself"),
        ("digits activation_checkpointing=true scratch=autograd", "activation_checkpointing goes with"),
        ("digits mix_alpha=0.5", "nothing is mixed"),
        ("lenet activation_checkpointing=true", "LeNet has no stack of blocks"),
    ],
)
def test_refused(rung: Rung, words: str, part: str) -> None:
    answer = rung(f"train {words} --json")
    assert answer.code == 2, answer.text
    assert answer.json["error"] == "E202"
    assert part in re.sub(r"\s+", " ", answer.json["message"]), answer.json
    assert answer.json["fix"]


def test_eval_takes_one_place_and_one_tta(rung: Rung) -> None:
    run = Path(rung(f"{ONE} --json").json["run"]).name
    for words, code in (("tta=flipp", "E201"), ("a b", "E202"), ("tta=flip tta=crop", "E202")):
        answer = rung(f"eval {run} {words} --json")
        assert (answer.code, answer.json["error"]) == (2, code), words
        assert answer.json["fix"]
