"""`rung measure` and `rung ledger`: what they write, what they say, and what somebody who does it wrong is told."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from commands import Rung, snapshot
from measured import SEEN, STOP, drawn, edited, resigned

from rungbook.recipes.ledger import append, load_ledger
from rungbook.recipes.recipe import RECIPES


def test_measuring_writes_a_line_and_tells_it(rung: Rung, place: Path) -> None:
    answer = rung("measure draw_test --seeds 3")
    assert answer.code == 0, answer.text
    assert SEEN == [0, 1, 2]
    for words in (
        "seed 0: test accuracy blunt 5",
        "seed 2:",
        "sharp 7",
        "±",
        "majority 10.0 %",
        "best possible 80.0 ± 0.1 %",
        "a course reports",
        "rung ledger",
    ):
        assert words in answer.text, words
    assert "another reports" not in answer.text, "that is of other data"
    entry = load_ledger().get("draw_test")
    assert entry.seeds == [0, 1, 2]
    assert snapshot(rung.here) == {}, "nothing is written where the user works"
    assert not rung.runs.exists()


def test_json_is_the_contract(rung: Rung, place: Path) -> None:
    answer = rung("measure draw_test seed=2 --seeds 2 --json")
    assert answer.code == 0
    assert len(answer.out.splitlines()) == 1
    result = answer.json
    assert {"key", "recipe", "test", "baselines", "limit", "variants", "seeds", "seconds"} <= set(result)
    assert result["seeds"] == [2, 3]
    assert result["test"]["accuracy"] == load_ledger().get("draw_test").figure("blunt", "test", "accuracy")["mean"]
    assert result["limit"] == {"accuracy": 0.8}


def test_a_single_training_on_a_world(rung: Rung, place: Path) -> None:
    rung.quick()
    answer = rung("measure", "softmax_regression", "data=world:blobs(n=60)", "steps=5", "--seeds", "2")
    assert answer.code == 0, answer.text
    (key,) = load_ledger().entries
    assert key == "softmax_regression data='world:blobs(n=60)' steps=5"
    assert rung("ledger", key).code == 0


def test_real_lines_and_all_that_is_missing(rung: Rung, place: Path) -> None:
    del RECIPES["softmax_regression"], RECIPES["width_test"]
    assert rung("measure draw_test --real --seeds 2").code == 0
    assert list(load_ledger().entries) == ["draw_test data=mnist shift=0.1"]
    answer = rung("measure --all --seeds 2 --json")
    assert answer.code == 0
    assert [line["key"] for line in answer.json["lines"]] == ["draw_test"], "one of all is a list of one"
    assert len(load_ledger().entries) == 2
    answer = rung("measure --all --real")
    assert answer.code == 0
    assert "nothing is missing or stale" in answer.text


def test_stale_lines_are_measured_again(rung: Rung, place: Path) -> None:
    old = drawn(2)
    append(dataclasses.replace(old, stamp={**old.stamp, "code": "0" * 16}))
    append(drawn(2, shift=0.1))
    assert load_ledger().get("draw_test").stale() == ["its code"]
    SEEN.clear()
    answer = rung("measure --stale --seeds 2")
    assert answer.code == 0, answer.text
    assert SEEN == [0, 1]
    assert load_ledger().get("draw_test").stale() == []
    assert "about 0:0" in answer.text, "how long it took last time"


def test_code_edited_meanwhile_makes_no_fresh_line(rung: Rung, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is measured is the code that was loaded; by the time the line is written the file may say something else."""
    from rungbook.recipes import measure as module

    loaded = drawn(2).stamp
    seed = module.measure_seed

    def and_edit(*args: Any, **options: Any) -> Any:
        monkeypatch.setattr("rungbook.recipes.stamp.code_hash", lambda cls: "e" * 16)
        return seed(*args, **options)

    monkeypatch.setattr(module, "measure_seed", and_edit)
    assert rung("measure --all --seeds 2").code == 0
    entry = load_ledger().get("draw_test")
    assert entry.stamp == loaded
    assert [e.stale() for e in load_ledger().entries.values()] == [["its code"]] * 3


def test_what_cannot_be_written_is_not_measured(rung: Rung, place: Path) -> None:
    (place / "results").write_text("no folder")
    answer = rung("measure draw_test --seeds 2 --json")
    assert (answer.code, answer.json["error"]) == (4, "E405")
    assert SEEN == []


def test_ctrl_c_writes_no_half_line(rung: Rung, place: Path) -> None:
    before = append(drawn(2, shift=0.3)).read_bytes()
    SEEN.clear()
    STOP.add(3)
    answer = rung("measure draw_test --seeds 4")
    assert SEEN == [0, 1, 2]
    assert answer.code == 5
    assert "stopped; no line was written, draw_test is not among them" in answer.text
    assert "Go on: rung measure draw_test --seeds 4" in answer.text
    assert (place / "results" / "ledger.jsonl").read_bytes() == before
    SEEN.clear()
    assert rung("measure draw_test --seeds 4 --json").json == {"status": "interrupted", "lines": [], "exit": 5}


def test_ctrl_c_keeps_the_lines_before(rung: Rung, place: Path) -> None:
    del RECIPES["softmax_regression"], RECIPES["width_test"]
    append(dataclasses.replace(drawn(2, shift=0.3), stamp={}))
    SEEN.clear()
    STOP.add(4)
    answer = rung("measure --all --seeds 3")  # draw_test, which is missing, then the stale one
    assert answer.code == 5
    assert SEEN == [0, 1, 2, 0]
    assert "stopped; 1 of 2 lines written, draw_test shift=0.3 is not among them. Go on: rung measure --all --seeds 3" in answer.text
    assert load_ledger().get("draw_test").seeds == [0, 1, 2]
    STOP.clear()
    SEEN.clear()
    assert rung("measure --all --seeds 3").code == 0
    assert SEEN == [0, 1, 2], "only the one that is left"
    assert load_ledger().get("draw_test shift=0.3").stale() == []


def test_one_that_fails_does_not_stop_the_others(rung: Rung, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    del RECIPES["softmax_regression"]
    monkeypatch.setattr(RECIPES["width_test"], "variants", {"a": {"model": "bag"}, "b": {"model": "mlp"}})
    answer = rung("measure --all --seeds 2")
    assert answer.code == 2
    assert "not measured: width_test (E202)" in answer.text
    assert list(load_ledger().entries) == ["draw_test"]


MEASURE_MISTAKES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "one seed": ("measure draw_test --seeds 1", "E202", ("One seed shows no spread", "rung measure draw_test --seeds 5")),
    "no seeds": ("measure draw_test shift=0.1 --seeds 0", "E202", ("0 seeds", "rung measure draw_test shift=0.1 --seeds 5")),
    "seeds as a setting": ("measure draw_test seeds=4", "E201", ("seeds=4 is said as an option", "--seeds 4")),
    "an unknown recipe": ("measure draw_tset", "E201", ("draw_tset", "rung train draw_test")),
    "an unknown setting": ("measure draw_test shft=1", "E201", ('"shft"', "shift=")),
    "a wrong value": ("measure draw_test shift=much", "E202", ("shift", "number")),
    "data of another task": ("measure draw_test data=iris", "E202", ("iris is none of it", "data=world:line")),
    "data of another kind": ("measure softmax_regression model=lenet data=iris", "E202", ("lenet takes images", "These fit")),
    "no recipe": ("measure", "E201", ("Which recipe", "rung measure --all")),
    "all and one": ("measure draw_test --all", "E201", ("--all is for all recipes", "rung measure draw_test")),
    "real with settings": (
        "measure draw_test shift=0.2 --real",
        "E201",
        ("--real measures the settings", "rung measure draw_test shift=0.2"),
    ),
    "nothing real": ("measure width_test --real", "E201", ("names no settings on real data", "rung measure width_test")),
    "a path": ("measure ./photos", "E201", ("is a path", "rung train ./photos")),
    "a recipe for paths": ("measure images", "E201", ('"images"', "rung train PATH")),
    "too many digits": ("measure draw_test shift=0.12345678", "E202", ("too many digits", "6 digits")),
    "seeds in words": ("measure draw_test --seeds many", "E201", ("--seeds",)),
}
LEDGER_MISTAKES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "no such line": ("ledger draw_tset", "E201", ('no line "draw_tset"', 'Did you mean "draw_test"?')),
    "never measured": ("ledger width_test", "E201", ("rung measure width_test",)),
    "no such setting": ("ledger draw_test shft=0.1", "E201", ('no line "draw_test shft=0.1"', "draw_test shift=0.1")),
    "quotes left open": ("ledger|draw_test 'x", "E201", ("no line",)),
    "write one": ("ledger draw_test --write", "E201", ("--write is for all texts", "rung ledger --write")),
    "an unknown option": ("ledger --wirte", "E201", ("--wirte", "--write")),
}


@pytest.mark.parametrize("name", [*MEASURE_MISTAKES, *LEDGER_MISTAKES])
def test_mistakes(rung: Rung, place: Path, name: str) -> None:
    for shift in (0.0, 0.1):
        append(drawn(2, shift=shift))
    before = snapshot(place)
    command, code, says = (MEASURE_MISTAKES | LEDGER_MISTAKES)[name]
    words = command.split("|") if "|" in command else command.split()
    answer = rung(*words)
    assert answer.code == 2, answer.text
    assert code in answer.err
    assert "fix:" in answer.err
    for part in says:
        assert part in answer.text, f"{part!r} is not in {answer.text!r}"
    assert snapshot(place) == before
    problem = rung(*words, "--json").json
    assert (problem["error"], problem["exit"]) == (code, 2)


def test_the_table(rung: Rung, place: Path) -> None:
    del RECIPES["softmax_regression"]
    stale = drawn(2, shift=0.2)
    for entry in (drawn(3), dataclasses.replace(stale, settings={**stale.settings, "shift": 0.5}, stamp={**stale.stamp, "settings": "0"})):
        append(entry)
    answer = rung("ledger")
    assert answer.code == 0, "what is stale and not quoted is no fault"
    for words in (
        "draw_test shift=0.2 stale: shift was 0.5, is 0.2",
        "baseline 10.0 % (majority); best possible 80.0 ± 0.1 %; 3 seeds",
        "never measured: draw_test data=mnist shift=0.1",
        "1 fresh, 2 never measured, 1 stale",
        "next: rung measure --stale --real",
    ):
        assert words in answer.text, words
    rows = {r["key"]: r for r in rung("ledger --json").json["lines"]}
    assert rows["draw_test"]["state"] == "fresh"
    assert rows["width_test"] == {"key": "width_test", "state": "never measured", "quoted": []}
    one = rung("ledger draw_test shift=0.2")
    assert one.code == 0
    assert "changed: shift was 0.5, is 0.2" in one.text
    full = rung("ledger draw_test --json")
    assert full.json["results"]["sharp"]["fit"]["accuracy"]["mean"] == 1.0
    assert full.json["stale"] == []


def test_what_is_quoted_must_hold(rung: Rung, place: Path) -> None:
    append(drawn(3))
    page = place / "README.md"
    page.write_text("It is <!-- ledger: draw_test | sharp | test accuracy -->99 %<!-- / -->.\n", encoding="utf-8")
    answer = rung("ledger")
    assert answer.code == 1
    assert 'README.md, line 1: "99 %" stands there' in answer.text
    assert "next: rung ledger --write" in answer.text
    assert rung("ledger --write").code == 0
    assert rung("ledger").code == 0
    assert "every text says" in rung("ledger --write").text

    text = page.read_text(encoding="utf-8")
    page.write_text(text.replace("draw_test", "draw_test shift=0.4"), encoding="utf-8")
    answer = rung("ledger")
    assert answer.code == 1
    assert "quoted but missing: draw_test shift=0.4" in answer.text
    assert rung("ledger --write").code == 3

    page.write_text(text, encoding="utf-8")
    append(dataclasses.replace(drawn(3), stamp={}))
    answer = rung("ledger --json")
    assert answer.code == 1
    assert answer.json["problems"][0]["fix"] == "rung measure draw_test"


def test_a_damaged_line_is_a_finding(rung: Rung, place: Path) -> None:
    append(drawn(2))
    path = append(drawn(2, shift=0.1))
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + edited(second, lambda b: b.update(samples=10**6)))
    answer = rung("ledger")
    assert answer.code == 1
    assert "E305 Line 2 of ledger.jsonl was changed after it was measured" in answer.text
    assert "git checkout" in answer.text
    for command in ("ledger draw_test", "ledger --write"):
        refused = rung(command)
        assert (refused.code, "E305" in refused.err) == (3, True)
    path.write_bytes(first)
    assert rung("ledger").code == 0
    path.write_bytes(first + resigned(drawn(2, shift=0.1))[:-40])
    assert "is cut off" in rung("ledger").text


def test_outside_a_checkout_there_is_nothing_to_write(rung: Rung, place: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from rungbook.recipes import coverage, ledger, shipped

    for module in (coverage, ledger, shipped):
        monkeypatch.setattr(module, "checkout", lambda: None)
    answer = rung("ledger --write")
    assert answer.code == 2
    assert "Run it in a checkout" in answer.text
    assert rung("measure draw_test --seeds 2").code == 0
    assert json.loads((rung.runs / "ledger.jsonl").read_text())["key"] == "draw_test"
    assert rung("ledger draw_test").code == 0


def test_runs_do_not_take_the_ledger_for_one(rung: Rung, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rungbook.recipes import ledger

    monkeypatch.setattr(ledger, "checkout", lambda: None)
    assert rung("measure draw_test --seeds 2").code == 0
    listed: Any = rung("runs --json")
    assert listed.json == {"runs": []}
