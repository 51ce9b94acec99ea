"""The rows there are, and that nothing claims a row that is none."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest

from rungbook.errors import UsageError
from rungbook.recipes import recipe as recipes
from rungbook.recipes.coverage import KINDS, RUN_CLASSES, check_ids, covered, ids_in, load_features, missing_folders, state
from rungbook.recipes.coverage import checkout as tree_of_this_package

ROWS = {"F": 19, "L": 14, "M": 15, "D": 13, "O": 15, "I": 14, "V": 27, "A": 11, "N": 17, "X": 16, "P": 10, "B": 6, "W": 7}
FAULTS = {"S0": 5, "S1": 3, "S2": 2, "S3": 6}


def test_all_rows_are_there_and_well_formed() -> None:
    features = load_features()
    assert sum(ROWS.values()) == len(features.rows) == 184
    assert list(features.sections) == list(ROWS)
    for letter, count in ROWS.items():
        assert [row.id for row in features.section(letter)] == [f"{letter}{i + 1:02d}" for i in range(count)]
    for row in features.rows.values():
        assert set(row.run.split("/")) <= set(RUN_CLASSES), row
        assert 3 < len(row.title) <= 90, row
        assert type(row.later) is bool, row
    assert len({row.title for row in features.rows.values()}) == 184
    assert max(map(len, features.sections.values())) <= 39, "the table of sections fits 80 columns"


def test_all_faults_are_there() -> None:
    faults = load_features().faults
    assert list(faults) == sorted(faults, key=lambda f: ("1023".index(f[1]), f))
    assert {part: sum(f.startswith(part) for f in faults) for part in FAULTS} == FAULTS
    assert all(3 < len(title) <= 90 for title in faults.values())


def test_a_row_given_twice_is_no_table() -> None:
    import tomllib

    with pytest.raises(tomllib.TOMLDecodeError):
        tomllib.loads('[rows]\nF01 = { run = "C" }\nF01 = { run = "C" }')


@pytest.mark.parametrize(("id", "fix"), [("L99", "L09"), ("l04", "L04"), ("S1-9", "S1-"), ("", "rung coverage"), ("zzzz", "rung coverage")])
def test_what_is_no_row_is_refused_with_the_nearest(id: str, fix: str) -> None:
    check_ids(["L04", "S1-1", "W07"], "This test")
    with pytest.raises(UsageError, match=f'This test covers "{id}"') as refused:
        check_ids(["L04", id], "This test")
    assert refused.value.code == "E201"
    assert fix in refused.value.fix


def test_recipes_and_tests_name_rows_only(checkout: Path) -> None:
    table = covered(checkout)  # refuses ids that are none
    assert list(table) == load_features().ids()
    assert table["O07"]["test"] == ["tests/learner/test_callbacks.py"]


def tree(folder: Path, **modules: str) -> Path:
    """A source tree with these modules in its `lessons` and `tests`."""
    for name, text in modules.items():
        path = folder / {"lesson": "lessons/07_x.py", "draft": "lessons/draft.py", "test": "tests/a/test_y.py"}[name]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_lessons_and_tests_are_read_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipes, "RECIPES", {})
    monkeypatch.setattr(recipes, "load_recipes", lambda: None)
    root = tree(
        tmp_path,
        lesson='covers = ["L04", "S1-1"]\nraise SystemExit',
        draft='covers = ["L05"]',
        test='covers: list[str] = ["L04", "L04"]\ndef f():\n    covers = ["L06"]\n',
    )
    table = covered(root)
    assert {id: by for id, by in table.items() if state(by) != "nothing"} == {
        "L04": {"recipe": [], "lesson": ["lessons/07_x.py"], "test": ["tests/a/test_y.py"]},
        "S1-1": {"recipe": [], "lesson": ["lessons/07_x.py"], "test": []},
    }
    assert missing_folders(root) == []
    assert missing_folders(None) == ["lesson", "test"]
    assert missing_folders(tree(tmp_path / "other", test="")) == ["lesson"]


def test_a_recipe_that_names_no_row_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Claims(recipes.Recipe):
        covers: ClassVar[tuple[str, ...]] = ("L01",)

    recipes.load_recipes()
    monkeypatch.setitem(recipes.RECIPES, "claims", Claims)
    assert "claims" in covered(tmp_path)["L01"]["recipe"]
    Claims.covers = ("L01", "L015")
    with pytest.raises(UsageError, match="The recipe claims"):
        covered(tmp_path)


@pytest.mark.parametrize(
    "text", ["covers = ROWS", "covers = [f'L{i}' for i in X]", 'covers = "L04"', 'covers = ["L04", 5]', "covers: list"]
)
def test_a_list_that_is_not_written_out_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "test_x.py"
    path.write_text(f"\n{text}\n")
    with pytest.raises(UsageError, match="line 2 of") as refused:
        ids_in(path)
    assert refused.value.code == "E202"


def test_state_is_the_strongest_claim() -> None:
    assert state({"recipe": [], "lesson": [], "test": []}) == "nothing"
    assert [state({**{k: [] for k in KINDS}, kind: ["x"]}) for kind in KINDS] == list(KINDS)
    assert state({"recipe": ["a"], "lesson": ["b"], "test": ["c"]}) == "recipe"


def test_the_tree_is_found_where_there_is_one(checkout: Path) -> None:
    assert tree_of_this_package() in (None, checkout), "None where the package is installed as a wheel"
