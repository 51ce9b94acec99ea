"""Carrying out a recipe from Python: threads, devices, weights to start from, what is left out, what is asked of the disk."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import tables
import torch
from commands import Rung, quick
from rich.console import Console

import rungbook
from rungbook.data.data import Finding
from rungbook.errors import DataError, UsageError
from rungbook.learner.learner import Learner
from rungbook.recipes import session
from rungbook.recipes.prepare import prepare_data
from rungbook.recipes.recipe import RECIPES, Recipe, load_recipes
from rungbook.recipes.runs import find_run

load_recipes()


@pytest.fixture(autouse=True)
def moment(rung: Rung) -> Rung:
    rung.quick()
    return rung


def train(name: str, **settings: Any) -> dict[str, Any]:
    return session.train(recipe(name, **settings), label=name, console=Console(file=io.StringIO()))


def recipe(name: str, **settings: Any) -> Recipe:
    return RECIPES[name](**{"epochs": 1, **settings})


def test_torch_has_its_threads_back_afterwards() -> None:
    result = train("softmax_regression", threads=2)
    assert torch.get_num_threads() == 1
    assert json.loads((Path(result["run"]) / "run.json").read_text())["threads"] == 2


def test_weights_to_start_from(rung: Rung) -> None:
    first = Path(train("softmax_regression", epochs=3)["run"])
    weights = rung.here / "w.safetensors"
    safetensors.torch.save_file(rungbook.load(first).model.state_dict(), weights)
    answer = rung("train softmax_regression weights=w.safetensors epochs=1 lr=1e-9 --json")
    assert answer.code == 0, answer.text
    assert answer.json["test"]["accuracy"] == pytest.approx(
        json.loads((first / "run.json").read_text())["result"]["test"]["accuracy"], abs=1e-6
    )
    wrong = rung("train mlp weights=w.safetensors epochs=1 --json")
    assert (wrong.code, wrong.json["error"]) == (3, "E303")
    # a run that has begun needs the file no longer
    run = find_run(answer.json["run"])
    run.update(status="interrupted")
    weights.unlink()
    assert rung("resume --json").code == 0
    run.update(status="interrupted")
    shutil.rmtree(run.checkpoints)
    gone = rung("resume --json")
    assert (gone.code, gone.json["error"]) == (2, "E105"), "but one that has not, does"


def test_a_found_learning_rate_is_found_again() -> None:
    first, second = (train("softmax_regression", lr="find") for _ in range(2))
    assert first["test"] == second["test"]
    assert first["test"]["accuracy"] > 0.5


def test_findings_that_leave_something_out_are_listed() -> None:
    made = recipe("softmax_regression")
    data = prepare_data(made)
    run = find_run(train("softmax_regression")["run"])
    assert session.bad_files(run, data) is None
    assert not list(run.path.glob("bad_*"))
    data.findings.append(Finding("W209", "2 files cannot be read", items=("a.png is empty", "b\udcff.png ends too early")))
    data.findings.append(Finding("W208", "uneven", items=("cat",)))
    path = session.bad_files(run, data)
    assert path == run.path / "bad_files.txt"
    assert path.read_bytes() == b"# 2 files cannot be read\na.png is empty\nb\xff.png ends too early\n"


def test_the_newest_run_that_waits() -> None:
    with pytest.raises(UsageError, match="No run waits"):
        session.newest_resumable()
    names = [find_run(train("softmax_regression")["run"]) for _ in range(3)]
    with pytest.raises(UsageError, match="No run waits"):
        session.newest_resumable()
    names[0].update(status="interrupted")
    names[1].update(status="started")
    names[2].update(status="failed")
    assert session.newest_resumable().name == names[1].name
    with names[1].lock():
        assert session.newest_resumable().name == names[0].name
    (names[1].path / "run.json").write_text("{")
    assert session.newest_resumable().name == names[0].name, "a damaged record does not stand in the way"


def test_early_stopping_and_the_last_weights() -> None:
    result = train("softmax_regression", epochs=60, patience=2, lr=0.5, schedule="constant")
    assert result["epochs"] < 60
    best, last = (train("mlp", data="iris", epochs=30, lr=0.3, schedule="constant", final=final, hidden=(4,)) for final in ("best", "last"))
    assert best["valid"]["log_loss"] <= last["valid"]["log_loss"]


def test_steps_make_the_budget_where_epochs_do_not() -> None:
    assert train("softmax_regression", epochs=None, steps=40)["epochs"] == 2  # 23 batches an epoch


@pytest.mark.parametrize(
    "settings", [{"class_weights": "balanced"}, {"label_smoothing": 0.1}, {"accumulate": 3}, {"ema": 0.9}, {"clip": 0.1}]
)
def test_settings_change_the_result(settings: dict[str, Any]) -> None:
    plain, changed = train("mlp", data="breast_cancer", hidden=(8,)), train("mlp", data="breast_cancer", hidden=(8,), **settings)
    assert plain["valid"]["log_loss"] != changed["valid"]["log_loss"]


def test_log_is_a_setting_of_tables(rung: Rung) -> None:
    import math

    body = [[*row[:3], round(math.exp(float(str(row[3]))), 3)] for row in tables.numbers(80)]
    tables.write(rung.here / "t.csv", body)
    for value, logarithmic in (("auto", True), ("true", True), ("false", False)):
        answer = rung(f"train t.csv --target ok epochs=1 hidden=2 log={value} --json")
        assert answer.code == 0, answer.text
        target = json.loads((Path(answer.json["run"]) / "checkpoints" / "final" / "model.json").read_text())["target"]
        assert target["log"] is logarithmic, value
        assert ("log=false" in answer.text) == (value == "auto"), "only what was decided for the user is said"
    tables.write(rung.here / "t.csv", tables.numbers(80))
    refused = rung("train t.csv --target ok log=true --json")
    assert (refused.code, refused.json["error"]) == (3, "E112")


def test_the_report_comes_before_the_run_is_finished(rung: Rung, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between the two, it would have been finished without one and refused to be resumed."""
    from rungbook.recipes import judge

    seen = []
    monkeypatch.setattr(
        judge, "write_report", lambda path, facts: seen.append(json.loads((path.parent / "run.json").read_text())["status"])
    )
    train("softmax_regression")
    assert seen == ["started"]


def test_a_fault_while_judging_is_not_the_end_of_the_training(rung: Rung, monkeypatch: pytest.MonkeyPatch) -> None:
    from rungbook.recipes import judge

    def fail(*words: object, **settings: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judge, "fold_scores", fail)
        answer = rung("train softmax_regression epochs=2 --json")
    assert answer.code == 5
    assert answer.json["status"] == "interrupted"
    assert "the last checkpoint is kept" in answer.text
    trained = []
    monkeypatch.setattr(Learner, "_train_epoch", lambda self: trained.append(1))
    assert rung("resume").code == 0
    assert trained == [], "it is judged again, not trained again"


def test_a_set_too_small_for_its_parts(rung: Rung) -> None:
    with pytest.raises(DataError, match="leaves no sample for"):
        train("mlp", data="iris", valid=0.001)


def test_quick_judging_is_for_tests_only() -> None:
    """What `quick` leaves out must still exist under these names."""
    with pytest.MonkeyPatch.context() as patch:
        quick(patch)


def test_without_a_valid_split_everything_but_test_is_trained_on(rung: Rung) -> None:
    answer = rung("train softmax_regression valid=0 final=last --json")
    assert answer.code == 0, answer.text
    assert "valid" not in answer.json
    assert answer.json["test"]["accuracy"] > 0.5
    assert "valid" not in answer.text.split("before training")[1].split("report:")[0], answer.text
    chosen = rung("train softmax_regression valid=0 --json")
    assert (chosen.code, chosen.json["error"]) == (2, "E202")
