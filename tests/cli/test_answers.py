"""What every command answers: one line of JSON on standard output if asked, a fixed exit code, the next useful command."""

from __future__ import annotations

from pathlib import Path

import pytest
import tables
from commands import Rung
from gallery import Gallery

METRICS = {
    "classification": {"accuracy", "balanced_accuracy", "log_loss"},
    "regression": {"r2", "root_mean_squared_error", "mean_absolute_error", "root_mean_squared_log_error"},
}


def is_result(found: dict, task: str) -> None:
    """DESIGN section 4, "JSON"."""
    assert set(found) <= {"run", "recipe", "valid", "test", "baselines", "limit", "seconds", "epochs", "parameters", "folds"}
    assert Path(found["run"]).is_absolute()
    assert (Path(found["run"]) / "run.json").is_file()
    assert isinstance(found["recipe"], str)
    for scores in (found["valid"], found["test"], *found["baselines"].values()):
        assert set(scores) <= METRICS[task]
        assert all(isinstance(v, float) for v in scores.values())
    assert "random_forest" in found["baselines"]
    assert found["seconds"] > 0
    assert isinstance(found["epochs"], int)
    assert isinstance(found["parameters"], int)
    assert "limit" not in found  # none is known of these


def test_train_of_each_kind(gallery: Gallery) -> None:
    for (run, answer), task, recipe in (
        (gallery.digits, "classification", "digits"),
        (gallery.photos, "classification", "images"),
        (gallery.classes, "classification", "table"),
        (gallery.numbers, "regression", "table"),
        (gallery.texts, "classification", "text"),
        (gallery.one_hot, "classification", "mlp"),
    ):
        assert len(answer.out.splitlines()) == 1, "standard output holds the one line"
        is_result(answer.json, task)
        assert answer.json["recipe"] == recipe
        assert answer.json["run"] == str(run)
        last = answer.err.splitlines()[-1]
        assert f"rung predict {run.name}" in last, "the next useful command comes last"


def test_train_in_words(gallery: Gallery) -> None:
    run, answer = gallery.digits
    said = answer.text
    for part in (
        "digits: 1,797 images of 10 classes; train 1,437, valid 180, test 180",
        "model conv_net",
        "1 epoch of 45 batches of 32",
        "before training: valid loss 2.3",
        "even odds give ln 10 = 2.303",
        "test accuracy",
        "95% interval",
        "baselines: majority",
        "random_forest 9",
        "report.html",
    ):
        assert part in said, part
    assert (run / "report.html").stat().st_size > 20_000
    assert max(map(len, answer.err.splitlines())) <= 100, "readable at 80 columns; only what is to be copied may be longer"


def test_folds_beside_the_test_part(gallery: Gallery) -> None:
    _, answer = gallery.classes
    folds = answer.json["folds"]
    assert set(folds) == {"model", "majority", "logistic_regression", "random_forest"}
    for scores in folds.values():
        assert len(scores["accuracy"]["values"]) == 5
        assert scores["accuracy"]["mean"] == pytest.approx(sum(scores["accuracy"]["values"]) / 5)
    assert "5-fold mean" in answer.err
    # two epochs of eight units do not reach the regression line the classes were made with, and the user is told
    assert "logistic_regression does better on this data" in answer.text


def test_no_verb_shows_the_verbs(rung: Rung) -> None:
    bare, asked = rung(""), rung("--help")
    assert (bare.code, asked.code) == (0, 0)
    for verb in ("train", "resume", "eval", "predict", "data", "list", "runs"):
        assert verb in bare.out
        assert verb in asked.out
    assert "E201" not in bare.err
    assert rung("--version").out.startswith("rungbook 0.")


@pytest.mark.parametrize("what", ["", "recipes", "models", "data"])
def test_list(rung: Rung, what: str) -> None:
    said, answered = rung(f"list {what}"), rung(f"list {what} --json")
    assert (said.code, answered.code) == (0, 0)
    assert len(answered.out.splitlines()) == 1
    assert said.out.splitlines()[-1].startswith("next: rung ")
    groups = {"recipes": "digits", "models": "lenet", "data": "iris"}
    for group in [what] if what else groups:
        assert groups[group] in answered.json[group]
        assert all(about for about in answered.json[group].values())


def test_list_of_nothing_there_is(rung: Rung) -> None:
    answer = rung("list modles --json")
    assert answer.code == 2
    assert answer.json["error"] == "E201"
    assert "models" in answer.json["fix"]


def test_data_in_words_and_json(rung: Rung, gallery: Gallery) -> None:
    gallery.photos  # noqa: B018 its folder is made with it
    folder = gallery.root / "photos"
    said, answered = rung("data", str(folder)), rung("data", str(folder), "--json")
    assert (said.code, answered.code) == (1, 1), "unreadable files are a finding"
    for part in (
        "photos: 28 images of 2 classes (30 files)",
        "cat 14 dog 14",
        "40 x 40 pixels",
        "W209",
        "cat/empty.jpg is empty",
        "1 finding",
    ):
        assert part in said.text, part
    assert said.out.splitlines()[-1] == f"next: rung train {folder}"
    assert not any(c in said.out for c in "{}[]"), "no raw dictionaries"
    found = answered.json
    assert set(found) == {"source", "task", "classes", "samples", "facts", "findings", "fingerprint"}
    assert found["classes"] == ["cat", "dog"]
    assert sum(found["samples"].values()) == 28
    (finding,) = [f for f in found["findings"] if f["code"] == "W209"]
    assert len(finding["items"]) == 2


def test_data_of_a_table(rung: Rung) -> None:
    tables.write(rung.here / "my fruit.csv", tables.numbers())
    answer = rung("data", "my fruit.csv", "--target", "ok")
    assert answer.code == 0
    for part in (
        'my fruit: 60 rows, the number "ok" from 3 columns',
        "numbers: size, weight; categories: colour",
        "no findings",
        "the middle half",
    ):
        assert part in answer.text, part
    following = answer.out.splitlines()[-1].removeprefix("next: rung ")
    assert following == "train 'my fruit.csv' --target ok"
    rung.quick()
    assert rung(f"{following} epochs=1 hidden=2").code == 0, "the command can be typed as it stands"


@pytest.mark.parametrize("name", ["digits", "iris", "diabetes"])
def test_data_by_name(rung: Rung, name: str) -> None:
    answer = rung(f"data {name}")
    assert answer.code == 0
    assert "licence" in answer.out
    following = answer.out.splitlines()[-1]
    assert following.startswith("next: rung train ")
    rung.quick()
    assert rung(following.removeprefix("next: rung ") + " epochs=1").code == 0


def test_runs_from_first_to_last(rung: Rung, gallery: Gallery) -> None:
    empty = rung("runs")
    assert "no runs" in empty.out
    assert empty.out.splitlines()[-1].endswith("rung train digits")
    assert rung("runs --json").json == {"runs": []}
    first, second = rung.use(gallery.photos[0]), rung.use(gallery.numbers[0])
    listed = rung("runs list --json")
    assert listed.code == 0
    by_name = {r["name"]: r for r in listed.json["runs"]}
    assert set(by_name) == {first.name, second.name}
    assert by_name[first.name]["status"] == "finished"
    assert set(by_name[second.name]) == {"name", "recipe", "data", "status", "test", "epochs", "tags"}
    words = rung("runs")
    assert first.name in words.out
    assert "rung runs compare" in words.out.splitlines()[-1]

    compared = rung("runs", "compare", first.name, second.name, "--json")
    differences = compared.json["differences"]
    assert differences["recipe"] == ["images", "table"]
    assert "data.fingerprint" in differences
    assert "settings.batch_size" in differences
    assert "settings.momentum" not in differences, "only what differs"
    assert "cannot be compared directly" in compared.text
    assert "same settings" in rung("runs", "compare", first.name, first.name).text

    assert rung(f"runs tag {first.name} good final good --json").json["tags"] == ["good", "final"]
    assert rung(f"runs tag {first.name} --remove good --json").json["tags"] == ["final"]
    wrong = rung(f"runs tag {first.name} --remove finall --json")
    assert wrong.code == 2
    assert "final" in wrong.json["fix"]
    assert "final" in rung("runs").out

    refused = rung(f"runs delete {first.name} --json")
    assert refused.code == 2, "nobody can be asked here"
    assert refused.json["fix"] == f"rung runs delete {first.name} --yes"
    assert first.is_dir()
    assert rung(refused.json["fix"].removeprefix("rung ") + " --json").json == {"deleted": [first.name]}
    assert not first.exists()
    assert second.is_dir()
    assert rung("runs --json").json["runs"][0]["name"] == second.name


def test_a_run_by_path_name_number_and_recipe(rung: Rung, gallery: Gallery) -> None:
    run = rung.use(gallery.one_hot[0])
    for reference in (str(run), run.name, run.name.split("-")[0].lstrip("0"), "mlp"):
        answer = rung("predict", reference, "--json")
        assert answer.code == 0, reference
        assert answer.json["run"] == str(run)
    lost = rung("predict 99 --json")
    assert lost.code == 2
    assert lost.json["error"] == "E201"
    assert run.name in lost.json["fix"]
    near = rung("predict", run.name + "s", "--json")
    assert run.name in near.json["fix"]
