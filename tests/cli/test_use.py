"""Using a finished run: predict and eval on images, folders, tables and texts, and on nothing."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pictures
import pytest
import tables
import torch
from commands import Rung, snapshot
from gallery import Gallery

import rungbook
from rungbook.learner.learner import Learner


def test_the_predictor_says_what_the_learner_said(rung: Rung, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bit for bit, on the very test samples of the end of training."""
    rung.quick()
    said = []
    predict = Learner.predict

    def remembered(self: Learner, x: object = None, **options: Any) -> torch.Tensor:
        said.append((x, predict(self, x, **options)))
        return said[-1][1]

    monkeypatch.setattr(Learner, "predict", remembered)
    tables.write(rung.here / "t.csv", tables.numbers())
    pictures.folder(rung.here / "p", each=12)
    for command in (
        "digits epochs=1 widths=4",
        "t.csv --target ok epochs=1 hidden=4",
        "./p epochs=1 widths=4 image_size=8",
        "mlp data=wine epochs=1",
    ):
        said.clear()
        assert rung(f"train {command}").code == 0
        predictor = rungbook.load(sorted(rung.runs.iterdir())[-1])
        for feed, output in said:
            assert torch.equal(predictor.outputs_of(feed.source.fetch(slice(0, feed.samples))[0]), output), command
        assert len(said) >= 2


def test_no_input_takes_test_samples(rung: Rung, gallery: Gallery) -> None:
    for run, answer in (gallery.digits, gallery.photos, gallery.classes, gallery.numbers, gallery.texts, gallery.one_hot):
        said = rung("predict", str(run))
        assert said.code == 0, said.text
        answered = rung("predict", str(run), "--json")
        found = answered.json
        assert set(found) == {"run", "predictions", "left_out"}
        assert 0 < len(found["predictions"]) <= 10
        for row in found["predictions"]:
            assert row["truth"]
            if "probabilities" in row:
                assert sum(row["probabilities"].values()) == pytest.approx(1, abs=1e-5)
                assert row["probability"] == max(row["probabilities"].values()) == row["probabilities"][row["prediction"]]
            else:
                assert float(row["prediction"]) == pytest.approx(row["value"], rel=1e-5)
        assert f"no input given: {len(found['predictions'])} samples" in said.out
        assert answer.json["recipe"]
        assert said.out.splitlines()[-1].startswith("use it: rung predict")


def test_images_files_and_folders(rung: Rung, gallery: Gallery) -> None:
    run, _ = gallery.photos
    folder = gallery.root / "photos"
    one = folder / "cat" / "003.png"
    by_file = rung("predict", str(run), str(one), "--json").json["predictions"]
    assert [row["item"] for row in by_file] == [str(one)]
    predictor = rungbook.load(run)
    assert predictor.classes == ("cat", "dog")
    (direct,) = predictor([one])
    assert (by_file[0]["prediction"], by_file[0]["probability"]) == (direct.label, direct.value)
    whole = rung("predict", str(run), str(folder), "--json").json
    assert len(whole["predictions"]) == 28
    assert len(whole["left_out"]) == 2, "files that cannot be read are named, the others predicted"
    assert {r["item"]: r["probability"] for r in whole["predictions"]}[str(one)] == pytest.approx(direct.value, abs=1e-6)
    said = rung("predict", str(run), str(folder))
    assert "left out, cannot be read" in said.text
    assert "and 8 more; all of them: --output predictions.csv" in said.text
    broken = rung("predict", str(run), str(folder / "cat" / "empty.jpg"), "--json")
    assert (broken.code, broken.json["error"]) == (3, "E106"), "a file that was named must be readable"
    missing = rung("predict", str(run), str(folder / "cat" / "003.jpg"), "--json")
    assert (missing.code, missing.json["error"]) == (2, "E105")
    assert "003.png" in missing.json["fix"]
    none = rung("predict", str(run), str(rung.here), "--json")
    assert (none.code, none.json["error"]) == (3, "E107")


def test_tables(rung: Rung, gallery: Gallery) -> None:
    for run, name in ((gallery.classes[0], "fruit"), (gallery.numbers[0], "sales")):
        body = [row[:3] for row in tables.rows(30, seed=5)]
        path = tables.write(rung.here / f"new_{name}.csv", [*body[:5], [1], *body[5:]], ("size", "colour", "weight"))
        answer = rung("predict", str(run), str(path), "--json")
        assert answer.code == 0, answer.text
        rows = answer.json["predictions"]
        assert [rows[0]["item"], rows[5]["item"]] == [f"new_{name}.csv line 2", f"new_{name}.csv line 8"], "lines are those of the file"
        assert len(rows) == 30
        assert answer.json["left_out"] == ["line 7: 1 field, the header has 3"]
    lacking = tables.write(rung.here / "lacking.csv", [[1, 2], [3, 4]], ("sise", "weight"))
    wrong = rung("predict", str(gallery.classes[0]), str(lacking), "--json")
    assert (wrong.code, wrong.json["error"]) == (3, "E101")
    assert '"size"' in wrong.json["message"]
    two = rung("predict", str(gallery.classes[0]), str(path), str(path), "--json")
    assert (two.code, two.json["error"]) == (2, "E116")
    assert rung("predict", str(gallery.classes[0]), str(rung.here), "--json").json["error"] == "E116"


def test_texts_and_tables_of_them(rung: Rung, gallery: Gallery) -> None:
    run, answer = gallery.texts
    assert answer.json["valid"]["accuracy"] == 1, "it learned something to be asked"
    good, bad = "a lovely film with great people and a warm end", "a dull film with slow people and a cold end"
    said = rung("predict", str(run), good, bad, "--json").json["predictions"]
    assert [row["prediction"] for row in said] == ["pos", "neg"]
    assert [row["item"] for row in said] == [good, bad]
    path = tables.write(rung.here / "new.csv", [[good], [bad]], ("opinion",))
    from_table = rung("predict", str(run), str(path), "--json").json["predictions"]
    assert [row["probability"] for row in from_table] == pytest.approx([row["probability"] for row in said], abs=1e-6)
    assert rung("predict", str(run), "either/or and 50/50", "--json").code == 0, "a text with a slash is no path"
    assert rung("predict", str(run), "good " * 2000, "--json").code == 0, "nor is a very long one"
    missing = rung("predict", str(run), "./nev.csv", "--json")
    assert (missing.code, missing.json["error"]) == (2, "E105")
    assert "new.csv" in missing.json["fix"]


def test_output_never_overwrites(rung: Rung, gallery: Gallery) -> None:
    run, _ = gallery.numbers
    source = str(gallery.root / "sales.csv")
    answer = rung("predict", str(run), source, "--output", "p.csv", "--json")
    assert answer.code == 0
    with open(rung.here / "p.csv", newline="") as f:
        written = list(csv.DictReader(f))
    assert [float(r["value"]) for r in written] == [r["value"] for r in answer.json["predictions"]]
    assert [float(r["prediction"]) for r in written] == [float(r["value"]) for r in written], "no digit is lost"
    assert any(float(f"{float(r['value']):g}") != float(r["value"]) for r in written), "control: six digits would not do"
    assert list(written[0]) == ["item", "prediction", "value"]
    before = snapshot(rung.here)
    again = rung("predict", str(run), source, "-o", "p.csv", "--json")
    assert (again.code, again.json["error"]) == (2, "E202")
    assert snapshot(rung.here) == before
    nowhere = rung("predict", str(run), source, "-o", "no/such/p.csv", "--json")
    assert (nowhere.code, nowhere.json["error"]) == (4, "E405")


def test_eval_on_the_own_test_part_is_counted(rung: Rung, gallery: Gallery) -> None:
    run = rung.use(gallery.photos[0])
    (trained,) = {json.dumps(gallery.photos[1].json["test"])}
    for looks in (2, 3):
        answer = rung("eval", "photos", "--json")
        assert answer.code == 0
        found = answer.json
        assert found["looks"] == looks
        assert found["test"] == pytest.approx(json.loads(trained), rel=1e-6), "the figures of the end of training"
        assert {"run", "recipe", "on", "samples", "looks", "test"} <= set(found)
    assert json.loads((run / "run.json").read_text())["looks"] == 3
    said = rung("eval", "photos")
    assert "looked at 4 times" in said.text
    assert said.out.splitlines()[-1].startswith("single answers: rung predict")
    other = rung.use(gallery.one_hot[0])
    assert rung("eval", other.name, "--json").json["looks"] == 2, "each test part has its own count"


def test_eval_on_labelled_data(rung: Rung, gallery: Gallery) -> None:
    folder = pictures.folder(rung.here / "more", each=6, seed=900)
    answer = rung("eval", str(gallery.photos[0]), str(folder), "--json")
    assert answer.code == 0, answer.text
    assert (answer.json["samples"], answer.json["looks"]) == (12, 0)
    predicted = rung("predict", str(gallery.photos[0]), str(folder), "--json").json["predictions"]
    right = sum(Path(r["item"]).parent.name == r["prediction"] for r in predicted)
    assert answer.json["test"]["accuracy"] == pytest.approx(right / 12)
    (folder / "cat" / "bad.png").write_bytes(b"")
    with_bad = rung("eval", str(gallery.photos[0]), str(folder), "--json")
    assert with_bad.json["samples"] == 12
    assert "bad.png" in with_bad.json["left_out"][0]
    pictures.folder(rung.here / "more", each=1, classes=("fox",))
    unknown = rung("eval", str(gallery.photos[0]), str(folder), "--json")
    assert (unknown.code, unknown.json["error"]) == (3, "E102")
    assert '"fox"' in unknown.json["message"]
    assert "cat" in unknown.json["fix"]


def test_eval_on_tables(rung: Rung, gallery: Gallery) -> None:
    body = tables.rows(40, seed=9)
    body[3][3] = ""
    path = tables.write(rung.here / "new.csv", body)
    answer = rung("eval", str(gallery.classes[0]), str(path), "--json")
    assert answer.code == 0, answer.text
    assert answer.json["samples"] == 39
    assert answer.json["left_out"] == ['line 5: no value of "ok"']
    body[7][3] = "yess"
    wrong = rung("eval", str(gallery.classes[0]), str(tables.write(path, body)), "--json")
    assert (wrong.code, wrong.json["error"]) == (3, "E102")
    assert "line 9" in wrong.json["message"]
    assert "yes" in wrong.json["fix"]
    numbers = tables.write(rung.here / "numbers.csv", tables.numbers(30, seed=4), ("size", "colour", "weight", "price"))
    scores = rung("eval", str(gallery.numbers[0]), str(numbers), "--json").json["test"]
    assert set(scores) >= {"r2", "root_mean_squared_error", "mean_absolute_error"}
    lacking = rung("eval", str(gallery.numbers[0]), str(path), "--json")
    assert (lacking.code, lacking.json["error"]) == (3, "E111")
    assert '"price"' in lacking.json["message"]
    kind = rung("eval", str(gallery.numbers[0]), str(gallery.root / "photos"), "--json")
    assert (kind.code, kind.json["error"]) == (2, "E116")


def test_an_unfinished_run_cannot_be_used(rung: Rung) -> None:
    (rung.runs / "001-x").mkdir(parents=True)
    record = {"format": 1, "name": "001-x", "status": "interrupted", "recipe": "digits", "settings": {}, "data": {"name": "digits"}}
    (rung.runs / "001-x" / "run.json").write_text(json.dumps(record))
    for command in ("predict 1", "eval 1"):
        answer = rung(f"{command} --json")
        assert (answer.code, answer.json["error"]) == (2, "E204")
        assert answer.json["fix"] == "Continue it: rung resume 001-x"
