"""Run folders: numbers, records, locks, formats."""

from __future__ import annotations

import json
import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from commands import Rung

import rungbook
from rungbook.errors import EnvironmentProblem, UsageError
from rungbook.recipes import runs
from rungbook.recipes.runs import Run, all_runs, create_run, delete_run, find_run, looks_at

FACTS = {"recipe": "digits", "settings": {}, "data": {"name": "digits", "fingerprint": "f"}}


@pytest.fixture(autouse=True)
def own_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "runs"
    monkeypatch.setenv("RUNG_RUNS", str(folder))
    return folder


def test_numbers_count_up_and_names_are_plain(own_runs: Path) -> None:
    names = [create_run(label, FACTS).name for label in ("digits", "my photos/2024 (ä)", "", "x" * 90)]
    assert names == ["001-digits", "002-my-photos-2024", "003-run", "004-" + "x" * 40]
    delete_run(find_run("2"))
    assert create_run("again", FACTS).name == "005-again", "a number is not given twice while later ones are there"
    (own_runs / "notes").mkdir()
    (own_runs / "999-empty").mkdir()
    assert [r.name for r in all_runs()] == [names[0], names[2], names[3], "005-again"], "only folders with a record are runs"
    assert create_run("next", FACTS).name == "1000-next"
    assert [r.name for r in all_runs()][-1] == "1000-next", "ordered by number, not by letter"


def test_the_folder_is_where_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNG_RUNS", "")
    monkeypatch.chdir(tmp_path)
    run = create_run("here", FACTS)
    assert run.path == tmp_path / "runs" / "001-here"
    assert run.path.is_absolute()


def test_runs_made_at_once_get_different_numbers(own_runs: Path) -> None:
    wait = threading.Barrier(8)

    def make(i: int) -> str:
        wait.wait()
        return create_run(f"r{i}", FACTS).name

    with ThreadPoolExecutor(8) as pool:
        names = list(pool.map(make, range(8)))
    numbers = [name.split("-")[0] for name in names]
    assert len(set(numbers)) == 8, names
    assert len(all_runs()) == 8


def test_a_run_that_cannot_be_recorded_leaves_nothing(own_runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    create_run("first", FACTS)

    def full(path: Path, content: bytes) -> None:
        raise EnvironmentProblem("E401", "full")

    monkeypatch.setattr(runs, "write_atomically", full)
    with pytest.raises(EnvironmentProblem):
        create_run("second", FACTS)
    assert [p.name for p in own_runs.iterdir()] == ["001-first"]


def test_finding(own_runs: Path) -> None:
    for label in ("digits", "lenet", "digits"):
        create_run(label, FACTS)
    assert find_run("digits").name == "003-digits", "the newest of a name"
    assert find_run("1").name == find_run("001-digits").name == find_run(str(own_runs / "001-digits")).name == "001-digits"
    with pytest.raises(UsageError, match='no run "7"') as missing:
        find_run("7")
    assert "001-digits, 002-lenet, 003-digits" in missing.value.fix
    with pytest.raises(UsageError) as near:
        find_run("002-lenett")
    assert near.value.fix == "Did you mean 002-lenet?"
    shutil.rmtree(own_runs)
    with pytest.raises(UsageError) as none:
        find_run("1")
    assert "rung train digits" in none.value.fix


def test_updates_keep_what_was_there(own_runs: Path) -> None:
    run = create_run("digits", FACTS)
    run.update(status="interrupted", step=5)
    assert run.record()["recipe"] == "digits"
    assert run.record()["step"] == 5
    assert [p.name for p in run.path.iterdir()] == ["run.json"], "nothing half-written beside it"


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"format": "x"}', "{}", '{"format": null}', '"text"', "\x00"])
def test_a_damaged_record_is_named(content: str) -> None:
    run = create_run("digits", FACTS)
    create_run("whole", FACTS)
    (run.path / "run.json").write_text(content)
    with pytest.raises(UsageError, match=r"no readable run\.json") as error:
        run.record()
    assert (error.value.code, str(run.path) in error.value.message) == ("E204", True)
    assert looks_at("f") == 0, "and does not stand in the way of the others"


def test_a_newer_format_is_refused_and_an_older_one_brought_up(monkeypatch: pytest.MonkeyPatch) -> None:
    run = create_run("digits", FACTS)
    run.update(format=runs.FORMAT + 1)
    with pytest.raises(EnvironmentProblem, match=f"has format {runs.FORMAT + 1}, this rungbook reads up to {runs.FORMAT}") as newer:
        run.record()
    assert (newer.value.code, newer.value.exit_code) == ("E304", 4)
    old = create_run("old", FACTS)
    monkeypatch.setattr(runs, "FORMAT", 3)
    monkeypatch.setattr(runs, "MIGRATIONS", {1: lambda r: {**r, "one": 1}, 2: lambda r: {**r, "two": r["one"] + 1}})
    record = old.record()
    assert (record["one"], record["two"], record["recipe"]) == (1, 2, "digits")


def test_every_format_has_a_way_up_and_a_fixture(checkout: Path) -> None:
    assert sorted(runs.MIGRATIONS) == list(range(1, runs.FORMAT))
    kept = sorted(p.name for p in (checkout / "tests" / "fixtures").glob("format-*"))
    assert kept == [f"format-{n}" for n in range(1, runs.FORMAT + 1)]


@pytest.fixture(params=["format-1"])
def kept(request: pytest.FixtureRequest, checkout: Path, own_runs: Path) -> Path:
    """A copy of a run of an earlier version, with what its model answered then."""
    shutil.copytree(checkout / "tests" / "fixtures" / request.param, own_runs)
    return own_runs


def test_runs_of_all_formats_answer_as_they_did(kept: Path) -> None:
    expected = json.loads((kept / "expected.json").read_text())
    predictor = rungbook.load(kept / "001-softmax_regression")
    x = torch.arange(3 * 64).remainder(256).to(torch.uint8).reshape(3, 1, 8, 8)
    output = predictor.outputs_of(x)
    assert torch.allclose(output, torch.tensor(expected["outputs"]), atol=2e-5)
    assert [p.label for p in predictor.explain(predictor.decode(output))] == expected["labels"]
    # and from the user's own form of the same pictures
    assert torch.equal(predictor.outputs(x.numpy()[:, 0]), output)


def test_runs_of_all_formats_serve_every_command(kept: Path, rung: Rung, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNG_RUNS", str(kept))
    rung.quick()
    run = kept / "001-softmax_regression"
    (listed,) = rung("runs --json").json["runs"]
    assert listed["status"] == "finished"
    before = json.loads((run / "run.json").read_text())["result"]["test"]
    assert rung("eval 1 --json").json["test"] == pytest.approx(before, rel=1e-5), "its data is still known as its own"
    assert len(rung("predict 1 --json").json["predictions"]) == 10
    weights = (run / "checkpoints" / "final" / "tensors.safetensors").read_bytes()
    Run(run).update(status="interrupted")
    shutil.rmtree(run / "checkpoints" / "final")
    resumed = rung("resume 1 --json")
    assert resumed.code == 0, resumed.text
    assert (run / "checkpoints" / "final" / "tensors.safetensors").read_bytes() == weights


def test_a_checkpoint_of_a_newer_format_is_refused(kept: Path, rung: Rung, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNG_RUNS", str(kept))
    import hashlib

    manifest = kept / "001-softmax_regression" / "checkpoints" / "final" / "manifest.json"
    body = json.loads(manifest.read_text())
    body = {"files": body["files"], "format": 99}
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    manifest.write_text(json.dumps({**body, "sha256": digest}))
    answer = rung("predict 1 --json")
    assert (answer.code, answer.json["error"]) == (4, "E304")
    assert "99" in answer.json["message"]


def test_the_lock_names_its_holder() -> None:
    run = create_run("digits", FACTS)
    assert run.holder() is None
    with run.lock():
        held = Run(run.path).holder()
        assert held is not None
        assert held[0] == os.getpid()
        with pytest.raises(EnvironmentProblem, match=f"in use by process {os.getpid()} since 2") as busy, Run(run.path).lock():
            pass
        assert busy.value.code == "E402"
        with pytest.raises(EnvironmentProblem):
            delete_run(Run(run.path))
    assert run.holder() is None
    with Run(run.path).lock():
        pass
    (run.path / "holder.json").write_text('{"pid": 1, "since": "long ago"}')
    assert run.holder() is None, "a file a killed process left behind holds nothing"
    delete_run(run)
    assert not run.path.exists()
    assert all_runs() == []


def test_looks_are_counted_over_all_runs_on_the_same_test_part() -> None:
    for fingerprint, looks in (("a", 1), ("a", 2), ("b", 5)):
        create_run("x", {**FACTS, "data": {"name": "d", "fingerprint": fingerprint}, "looks": looks})
    assert (looks_at("a"), looks_at("b"), looks_at("c")) == (3, 5, 0)


def test_numbers_that_are_not_finite_are_json_and_come_back(own_runs: Path) -> None:
    def refuse(token: str) -> None:
        raise AssertionError(f"{token} is no JSON")

    odd = {"nan": float("nan"), "list": [1.5, float("inf"), -float("inf")], "word": "nan", "nested": {"a": {"$float": "x"}}, "n": 3}
    run = create_run("digits", {**FACTS, "result": odd})
    json.loads((run.path / "run.json").read_text(), parse_constant=refuse)
    found = run.record()["result"]
    assert repr(found) == repr(odd)
    run.update(looks=float("-inf"))
    json.loads((run.path / "run.json").read_text(), parse_constant=refuse)
    assert run.record()["looks"] == float("-inf")
    assert repr(run.record()["result"]) == repr(odd)


def test_records_of_before_that_hold_nan_are_read(own_runs: Path) -> None:
    run = create_run("digits", FACTS)
    old = json.dumps({**run.record(), "result": {"test": {"r2": float("nan")}, "best": float("inf")}})
    assert "NaN" in old
    (run.path / "run.json").write_text(old)
    assert repr(run.record()["result"]) == "{'test': {'r2': nan}, 'best': inf}"
