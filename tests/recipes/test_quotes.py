"""Quotes: what a text says is what was measured, and every way of not being so is told with file, line and remedy."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
from measured import drawn

from rungbook.errors import DataError, UsageError
from rungbook.recipes.ledger import Ledger, load_ledger
from rungbook.recipes.quotes import check_quotes, find_quotes, quote, table, texts, with_spread, write_quotes

SHARP = "<!-- ledger: draw_test | sharp | test accuracy -->{}<!-- / -->"


@pytest.fixture
def ledger(place: Path) -> Ledger:
    entries = [drawn(), drawn(shift=0.1)]
    return Ledger({e.key: e for e in entries})


def problems(place: Path, ledger: Ledger, text: str) -> list[tuple[str, str]]:
    """(message, fix) of what is wrong with a README of this text."""
    (place / "README.md").write_text(text, encoding="utf-8")
    return [(e.message, e.fix) for _, e in check_quotes(texts(place), ledger)]


def test_a_quote_is_written_and_then_right(place: Path, ledger: Ledger) -> None:
    text = f"One\n\ntwo {SHARP.format('')} three {SHARP.format('88 %')}\n"
    said = str(quote("draw_test", "sharp", "test", "accuracy", ledger=ledger))
    assert re.fullmatch(r"\d\d\.\d ± \d\.\d %", said)
    assert len(problems(place, ledger, text)) == 2
    assert write_quotes(texts(place), ledger) == [place / "README.md"]
    assert (place / "README.md").read_text(encoding="utf-8") == f"One\n\ntwo {SHARP.format(said)} three {SHARP.format(said)}\n"
    assert not list(check_quotes(texts(place), ledger))
    assert write_quotes(texts(place), ledger) == [], "nothing is written twice"


def test_another_figure_is_told(place: Path, ledger: Ledger) -> None:
    said = str(quote("draw_test", "sharp", "test", "accuracy", ledger=ledger))
    assert problems(place, ledger, SHARP.format(said)) == []
    (found,) = problems(place, ledger, "a\nb\n" + SHARP.format("99.9 ± 0.1 %"))
    assert found == (f'README.md, line 3: "99.9 ± 0.1 %" stands there, the ledger says "{said}".', "rung ledger --write")


WRONG = {
    "draw_tset | sharp | test accuracy": ('no line "draw_tset"', 'Did you mean "draw_test"?'),
    "draw_test shift=0.2 | sharp | test accuracy": ('no line "draw_test shift=0.2"', 'Did you mean "draw_test shift=0.1"?'),
    "draw_test | shrp | test accuracy": ('no variant "shrp"', '"sharp"'),
    "draw_test | test accuracy": ('no variant ""', "sharp"),
    "draw_test | sharp | tets accuracy": ('no split "tets"', '"test"'),
    "draw_test | sharp | test acc": ('no metric "acc"', "accuracy"),
    "draw_test": ("is no quote", "key | test accuracy"),
    "draw_test | sharp | test | accuracy": ("is no quote", "key | variant | test accuracy"),
    "draw_test | sharp | accuracy": ("names no figure", "test accuracy"),
    "draw_test | limit r2": ("The limit of r2 is not known", "Leave the quote out"),
    "draw_test | baseline forest accuracy": ('no "baseline forest accuracy"', "baseline majority accuracy"),
}


@pytest.mark.parametrize("spec", WRONG)
def test_a_quote_of_what_is_not_there(place: Path, ledger: Ledger, spec: str) -> None:
    (place / "docs" / "deep").mkdir()
    page = place / "docs" / "deep" / "page.md"
    page.write_text(f"# Page\n\nIt is <!-- ledger: {spec} -->80 %<!-- / -->.\n", encoding="utf-8")
    ((path, error),) = check_quotes(texts(place), ledger)
    message, fix = WRONG[spec]
    assert path == page
    assert error.message.startswith("page.md, line 3: ")
    assert message in error.message
    assert fix in error.fix
    before = page.read_bytes()
    with pytest.raises(DataError, match=r"page\.md, line 3"):
        write_quotes(texts(place), ledger)
    assert page.read_bytes() == before


def test_a_stale_line_cannot_be_quoted(place: Path, ledger: Ledger) -> None:
    entry = ledger.entries["draw_test"]
    text = SHARP.format(quote("draw_test", "sharp", "test", "accuracy", ledger=ledger))
    assert problems(place, ledger, text) == []
    ledger.entries["draw_test"] = dataclasses.replace(
        entry, settings={**entry.settings, "shift": 0.5}, stamp={**entry.stamp, "settings": "0"}
    )
    (found,) = problems(place, ledger, text)
    assert found == ("README.md, line 1: draw_test changed since it was measured: shift was 0.5, is 0.0.", "rung measure draw_test")
    with pytest.raises(DataError, match="changed since it was measured") as error:
        quote("draw_test", "sharp", "test", "accuracy", ledger=ledger)
    assert error.value.code == "E306"


def test_other_figures_of_a_line(place: Path, ledger: Ledger) -> None:
    wanted = {"limit accuracy": "80.0 ± 0.1 %", "baseline majority accuracy": "10.0 %", "sharp | fit accuracy": "100.0 %"}
    for spec, text in wanted.items():
        assert problems(place, ledger, f"<!-- ledger: draw_test | {spec} -->{text}<!-- / -->") == []


@pytest.mark.parametrize("text", ["```md\n{}\n```\n", "~~~\n{}\n~~~", "say `{}` so", "``{}``"])
def test_code_is_left_alone(place: Path, ledger: Ledger, text: str) -> None:
    shown = text.format("<!-- ledger: no_such | test accuracy -->1 %<!-- / -->")
    assert find_quotes(shown) == []
    assert find_quotes(shown.replace("`", "'").replace("~", "'")), "the same in a text is one"


@pytest.mark.parametrize("text", [SHARP[:-12] + "x", SHARP[:-12] + " and\n\n" + SHARP, "<!-- ledger table -->\n| a |\n", "<!-- ledger -->"])
def test_a_quote_that_is_not_closed(place: Path, ledger: Ledger, text: str) -> None:
    ((message, fix),) = problems(place, ledger, text)
    assert "opened and not closed" in message
    assert "Line 1" in message
    assert fix.startswith("End it with <!-- /")


@pytest.mark.parametrize(
    "text",
    [SHARP.replace("ledger", "Ledger"), SHARP.replace("ledger", "leger"), "<!-- / -->", SHARP + "<!-- / -->", "<!-- /ledger table -->"],
)
def test_a_close_without_a_quote_is_told(place: Path, ledger: Ledger, text: str) -> None:
    """A marker that is misspelt would leave a figure in the text that nothing checks."""
    ((message, fix),) = problems(place, ledger, "a\n" + text.format("99.9 %"))
    assert message.startswith("README.md: Line 2: <!-- /")
    assert message.endswith("closes nothing.")
    assert fix.startswith("Begin with <!-- ledger")


def test_a_table_of_lines(place: Path, ledger: Ledger) -> None:
    chosen, every = "<!-- ledger table: draw_test shift=0.1; draw_test -->", "<!-- ledger table -->"
    text = "".join(f"text\n{opening}\n<!-- /ledger table -->\n" for opening in (chosen, every))
    assert len(problems(place, ledger, text)) == 2
    write_quotes(texts(place), ledger)
    rows = [line for line in (place / "README.md").read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    assert [r.split("`")[1] for r in rows] == ["draw_test shift=0.1", "draw_test", "draw_test", "draw_test shift=0.1"]
    mean = str(quote("draw_test", "sharp", "test", "accuracy", ledger=ledger))
    cells = [c.strip() for c in rows[1].strip("|").split("|")]
    blunt = str(quote("draw_test", "blunt", "test", "accuracy", ledger=ledger))
    assert cells[1:6] == ["digits", "test accuracy", f"blunt: {blunt}<br>sharp: {mean} (3)", "10.0 % (majority)", "80.0 ± 0.1 %"]
    assert cells[6] == "sharp: 75 % on valid (a course; fault S1-1)", "a figure of other data is not beside it"
    assert problems(place, ledger, (place / "README.md").read_text(encoding="utf-8")) == []
    (found,) = problems(place, ledger, (place / "README.md").read_text(encoding="utf-8").replace("10.0 % (maj", "11.0 % (maj", 1))
    assert found[0] == "README.md, line 2: the table stands there, the ledger has another."


def test_an_error_that_says_nothing_is_left_out(ledger: Ledger) -> None:
    entry = dataclasses.replace(ledger.entries["draw_test"], limit={"accuracy": {"value": 0.8, "error": 1e-9}})
    assert table([entry]).splitlines()[2].split(" | ")[5] == "80.0 %"


def test_a_table_names_a_missing_key(place: Path, ledger: Ledger) -> None:
    (found,) = problems(place, ledger, "<!-- ledger table: draw_test; drawtest -->\n<!-- /ledger table -->")
    assert 'no line "drawtest"' in found[0]
    assert found[1] == 'Did you mean "draw_test"?'


def test_many_variants_are_counted(ledger: Ledger) -> None:
    entry = ledger.entries["draw_test"]
    many = {f"v{i}": entry.results["blunt"] for i in range(6)} | entry.results
    cells = table([dataclasses.replace(entry, results=many)]).splitlines()[2].split(" | ")
    assert [c.partition(":")[0] for c in cells[3].split("<br>")] == ["v0", "v1", "v2", "sharp", "and 4 more (3)"], (
        "what a course reports stays"
    )


@pytest.mark.parametrize(
    ("metric", "mean", "sd", "said"),
    [
        ("accuracy", 0.88123, 0.00312, "88.1 ± 0.3 %"),
        ("accuracy", 0.99987, 0.00003, "99.987 ± 0.003 %"),
        ("accuracy", 1.0, 0.0, "100.0 %"),
        ("accuracy", 0.5, 0.12345, "50.0 ± 12.3 %"),
        ("balanced_accuracy", 0.5, 0.01, "50.0 ± 1.0 %"),
        ("mean_squared_error", 18.68123, 0.09871, "18.681 ± 0.099"),
        ("root_mean_squared_error", 30123.4, 1234.5, "30123 ± 1234"),
        ("r2", 0.73712, 0.0214, "0.737 ± 0.021"),
        ("r2", 0.73712, 0.0, "0.7371"),
        ("mean_squared_error", 1.234e-9, 5.6e-10, "1.23e-09 ± 6e-10"),
        ("log_loss", float("nan"), float("nan"), "not a number"),
    ],
)
def test_how_a_figure_is_written(metric: str, mean: float, sd: float, said: str) -> None:
    assert with_spread(metric, mean, sd) == said


def test_the_projects_own_texts_say_what_the_ledger_says(checkout: Path) -> None:
    files = texts(checkout)
    ledger = load_ledger()
    assert checkout / "README.md" in files
    found = find_quotes((checkout / "README.md").read_text(encoding="utf-8"))
    assert any(q.table for q in found), "README has its table of results"
    assert [str(e) for _, e in check_quotes(files, ledger)] == []


def test_a_changed_line_or_text_would_be_noticed(checkout: Path, tmp_path: Path) -> None:
    ledger = load_ledger()
    text = (checkout / "README.md").read_text(encoding="utf-8")
    copy = tmp_path / "README.md"
    copy.write_text(text, encoding="utf-8")
    (one,) = [q for q in find_quotes(text) if q.table]
    key = one.keys(ledger)[0]
    assert not list(check_quotes([copy], ledger))
    entry = ledger.entries[key]
    ledger.entries[key] = dataclasses.replace(entry, stamp={**entry.stamp, "code": "0" * 16})
    ((_, error),) = check_quotes([copy], ledger)
    assert f"{key} changed since it was measured: its code" in error.message
    ledger.entries[key] = entry
    digit = next(i for i in range(one.start + one.text.index("±"), one.end) if text[i].isdigit())
    copy.write_text(text[:digit] + str((int(text[digit]) + 1) % 10) + text[digit + 1 :], encoding="utf-8")
    ((_, error),) = check_quotes([copy], ledger)
    assert error.fix == "rung ledger --write"
    with pytest.raises(UsageError, match="no line"):
        quote("no such thing", "", "test", "accuracy")
