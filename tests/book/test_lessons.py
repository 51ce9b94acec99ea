"""What the lessons' files say of themselves, and the rules of their form; nothing is executed here."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

from rungbook.book.lesson import RUNGS, Lesson, find, lessons, read
from rungbook.book.notebook import is_hidden, notebook, text_of
from rungbook.book.site import about, repository_of
from rungbook.errors import UsageError
from rungbook.recipes.coverage import check_ids, covered, ids_in

LINK = re.compile(r"\]\(#([^)]*)\)")
ROLE = re.compile(r"\{[a-z:]+\}`|^:::|^```\{", re.MULTILINE)
"""MyST's own notation, which Jupyter and a terminal show raw."""
COMMENT = re.compile(r"^[ >]*(?:- |\d+\. )?<!--", re.MULTILINE)
EVERY = pytest.mark.parametrize("lesson", lessons(), ids=lambda lesson: lesson.name)


def prose(lesson: Lesson) -> list[str]:
    return [cell.source for cell in notebook(lesson).cells if cell.cell_type == "markdown"]


def code(lesson: Lesson, *, hidden: bool) -> list[str]:
    return [cell.source for cell in notebook(lesson, hidden=hidden).cells if cell.cell_type == "code"]


def test_lessons_are_numbered_without_gaps_and_climb() -> None:
    known = lessons()
    assert [lesson.number for lesson in known] == list(range(len(known)))
    assert [lesson.rung for lesson in known] == sorted(lesson.rung for lesson in known)
    assert len({lesson.title for lesson in known}) == len(known)
    assert {lesson.rung for lesson in known} == set(RUNGS)


@EVERY
def test_a_lesson_names_rows_that_exist(lesson: Lesson) -> None:
    check_ids(lesson.covers, lesson.name)
    assert ids_in(lesson.path) == list(lesson.covers)
    assert 10 <= lesson.minutes <= 120


@EVERY
def test_a_lesson_asks_shows_asserts_and_sets_exercises(lesson: Lesson) -> None:
    text = "\n".join(prose(lesson))
    assert "?" in lesson.question
    assert "## Sources" in text
    exercises = len(re.findall(r"^### Exercise \d", text, re.MULTILINE))
    assert 2 <= exercises <= 4
    shown, whole = "\n".join(code(lesson, hidden=False)), "\n".join(code(lesson, hidden=True))
    assert shown.count("assert") >= 5
    assert "source(" in shown, "a lesson shows the library's own code"
    assert whole.count("refuses(") >= exercises, "each exercise's check refuses wrong answers"
    assert re.search(r"sheet\(|draw\(|Slider\(|rungbook\.plot", shown), "a lesson has a picture"


@EVERY
def test_prose_reads_the_same_everywhere(lesson: Lesson) -> None:
    for text in prose(lesson):
        assert not ROLE.search(text), "MyST notation: Jupyter and the terminal would show it raw"
        assert not COMMENT.search(text), "a comment that begins a line is a block of its own to Markdown and breaks the sentence"
        assert "!" not in re.sub(r"`[^`]*`|\$[^$]*\$|<!--|!\[|!=", "", text), "no exclamation marks"


@EVERY
def test_a_lesson_needs_nothing_of_this_machine_and_hides_no_import(lesson: Lesson) -> None:
    for cell in code(lesson, hidden=True):
        assert not re.search(r"RUNG_DATA|pyplot|plt\.|torchvision|filterwarnings", cell)
        silenced = [line for line in cell.splitlines() if "warnings.simplefilter" in line]
        assert all("#" in line for line in silenced), "a warning is silenced for a reason that stands beside it"
    for cell in notebook(lesson, hidden=True).cells:
        if is_hidden(cell) and "about" in cell.metadata["tags"]:
            names = {
                t.id
                for node in ast.parse(cell.source).body
                if isinstance(node, ast.Assign)
                for t in node.targets
                if isinstance(t, ast.Name)
            }
            assert names <= {"covers", "rung", "minutes", "needs"}


def test_every_link_leads_into_glossary_or_bibliography(checkout: Path) -> None:
    terms = re.findall(r"^\(([\w-]+)\)=$", (checkout / "docs" / "glossary.md").read_text(encoding="utf-8"), re.MULTILINE)
    works = re.findall(r"^@\w+\{([\w-]+),", (checkout / "docs" / "bibliography.bib").read_text(encoding="utf-8"), re.MULTILINE)
    targets = [*terms, *works]
    assert len(set(targets)) == len(targets)
    missing = {
        f"{lesson.name}: {key}" for lesson in lessons() for text in prose(lesson) for key in LINK.findall(text) if key not in targets
    }
    assert not missing


@EVERY
def test_the_notebook_to_take_along_has_no_hidden_cells_and_is_the_same_each_time(lesson: Lesson) -> None:
    text = text_of(lesson)
    assert text == text_of(lesson)
    cells = json.loads(text)["cells"]
    assert not any(is_hidden_json(cell) for cell in cells)
    assert not any(cell.get("outputs") for cell in cells)
    assert len({cell["id"] for cell in cells}) == len(cells)


def is_hidden_json(cell: dict) -> bool:
    return bool({"about", "solution"} & set(cell["metadata"].get("tags", ())))


NUMBERS: dict[str, list[int]] = {
    "F": [*range(1, 18)],
    "W": [2, 4],
    "L": [*range(1, 14)],
    "M": [*range(1, 15)],
    "O": [1, 2, 3, 4, 5, 6, 8, 9, 11, 12, 13],
    "D": [1, 2],
    "V": [1, 2],
    "B": [*range(1, 7)],
}
FIRST_PART = [f"{section}{number:02}" for section, numbers in NUMBERS.items() for number in numbers]
"""Rows that the book's first part covers."""
NO_RESULT = {"F06", "F12", "F13", "O09", "O11", "O13", "B01", "B02", "B03", "B05", "B06"}
"""Rows for which the courses state no result that could be measured: code, texts, links, plots."""


def test_the_first_part_covers_its_rows() -> None:
    table = covered()
    assert not [row for row in FIRST_PART if not table[row]["lesson"]]
    assert not [row for row in FIRST_PART if row not in NO_RESULT and not table[row]["recipe"] + table[row]["test"]]


def test_lesson_zero_exposes_six_faults_and_more() -> None:
    assert len([id for id in lessons()[0].covers if id.startswith("S")]) >= 6


GOOD = '# %% [markdown]\n# # Title\n#\n# Why?\n\n# %% tags=["about"]\ncovers = ["F01"]\nrung = 1\nminutes = 5\n'


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("7_line.py", GOOD, "a name like"),
        ("07_line.py", GOOD.replace("# # Title", "# Title"), "first Markdown cell"),
        ("07_line.py", GOOD.replace("rung = 1", "rung = 99"), "rung = one of"),
        ("07_line.py", GOOD.replace("minutes = 5", "minutes = '5'"), "minutes"),
        ("07_line.py", GOOD.replace('["F01"]', "list()"), "covers"),
    ],
)
def test_a_lesson_that_does_not_say_what_it_is_is_refused(name: str, text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match=said):
        read(tmp_path / name)


def test_a_lesson_is_found_by_number_and_name() -> None:
    one = lessons()[1]
    assert find("1") == find("01") == find(one.name) == find(one.name[3:]) == one


@pytest.mark.parametrize(
    ("word", "said"), [("99", "They are 0 to"), ("tensorz", "Did you mean tensors?"), ("qqqq", "rung lesson"), ("-1", "rung lesson")]
)
def test_an_unknown_lesson_is_answered_with_what_there_is(word: str, said: str) -> None:
    with pytest.raises(UsageError) as error:
        find(word)
    assert said in error.value.fix


def test_a_colab_link_appears_once_there_is_a_repository(checkout: Path) -> None:
    lesson = lessons()[1]
    assert repository_of(checkout) == ""
    assert "colab" not in about(lesson, "")
    assert f"github/owner/book/blob/gh-pages/notebooks/{lesson.name}.ipynb" in about(lesson, "https://github.com/owner/book/")
