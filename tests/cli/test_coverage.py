"""`rung coverage`: counts that add up, at 80 columns, narrowed to a section or a row."""

from __future__ import annotations

import re

import pytest
from commands import Rung

from rungbook.recipes.coverage import KINDS, covered, load_features, state


def test_all(rung: Rung) -> None:
    said, found = rung("coverage"), rung("coverage --json").json
    assert said.code == 0
    lines = said.out.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[-1].startswith("next: rung coverage ")
    assert rung(lines[-1].removeprefix("next: rung ")).code == 0
    assert len(found["rows"]) == sum(found["counts"].values()) == 184
    listed = re.findall(r"^  ([A-Z]\d\d)  ", said.out, re.MULTILINE)
    assert listed == [id for id, row in found["rows"].items() if row["state"] == "nothing"]
    assert all(found["rows"][id]["title"] in said.text for id in listed)
    counts = {m[1]: list(map(int, m[2].split())) for m in re.finditer(r"^([A-Z]|all) ((?: +\d+){5})", said.out, re.MULTILINE)}
    total = counts.pop("all")
    assert list(counts) == list(load_features().sections)
    assert total == [sum(column) for column in zip(*counts.values(), strict=True)]
    assert (total[0], total[-1]) == (184, len(listed))
    assert total[1] == sum(bool(row["recipe"]) for row in found["rows"].values())


@pytest.mark.parametrize("word", ["O", "o"])
def test_a_section(rung: Rung, word: str) -> None:
    said = rung(f"coverage {word}")
    table = covered()
    assert said.code == 0
    assert max(map(len, said.out.splitlines())) <= 80
    for row in load_features().section("O"):
        assert f"{row.id} {row.title}" in said.text
    numbers = [sum(bool(by[kind]) for id, by in table.items() if id[0] == "O") for kind in KINDS]
    assert f"O {numbers[0]} of 15 by a recipe, {numbers[1]} by a lesson, {numbers[2]} by a test" in said.text
    assert "test tests/learner/test_schedule.py" in said.text
    assert set(rung(f"coverage {word} --json").json["rows"]) == {f"O{i + 1:02d}" for i in range(15)}


def test_a_row_and_the_faults(rung: Rung) -> None:
    said = rung("coverage O07")
    assert "O07 Early stopping and keeping the best weights" in said.text
    assert "test tests/learner/test_callbacks.py" in said.text
    assert said.out.splitlines()[-1].startswith("next: rung ")
    assert rung("coverage O07 --json").json["rows"]["O07"]["test"] == ["tests/learner/test_callbacks.py"]
    assert len(rung("coverage S --json").json["rows"]) == 16
    assert "S1-2 Softmax before a cross-entropy" in rung("coverage s1-2").text


def test_several_at_once(rung: Rung) -> None:
    said, found = rung("coverage l S1-2 o07 L"), rung("coverage l S1-2 o07 L --json").json
    assert said.code == 0
    assert set(found["rows"]) == {row.id for row in load_features().section("L")} | {"S1-2", "O07"}
    assert said.text.count(" by nothing") == 1, "what is asked for twice is told once"
    assert "O07 Early stopping" in said.text
    assert "S1-2 Softmax" in said.text
    assert rung("coverage L M99 --json").json["fix"].startswith("Did you mean rung coverage M")


def test_a_recipe_is_what_comes_next(rung: Rung) -> None:
    by = {id: names["recipe"] for id, names in covered().items() if state(names) == "recipe"}
    id, names = next(iter(by.items()))
    assert rung(f"coverage {id}").out.splitlines()[-1] == f"next: rung train {names[0]}"


@pytest.mark.parametrize(
    ("word", "fix"), [("XX", "rung coverage X"), ("M99", "rung coverage M"), ("S1-7", "rung coverage S1-"), ("?", "Known")]
)
def test_nothing_of_that_name(rung: Rung, word: str, fix: str) -> None:
    answer = rung(f"coverage {word} --json")
    assert answer.code == 2
    assert answer.json["error"] == "E201"
    assert word in answer.json["message"]
    assert fix in answer.json["fix"]


def test_an_installed_package_has_no_tests_to_read(rung: Rung, monkeypatch: pytest.MonkeyPatch) -> None:
    from rungbook.recipes import coverage, shipped

    for module in (coverage, shipped):
        monkeypatch.setattr(module, "checkout", lambda: None)
    said = rung("coverage O07")
    assert said.code == 0
    assert "no lessons and no tests here to be counted" in said.text
    assert "test none" in said.text
