"""A figure in a lesson is the measured one: edited by hand, or of a recipe that has changed since, it fails."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from rungbook.book.lesson import lessons
from rungbook.errors import DataError
from rungbook.recipes.ledger import Ledger, load_ledger
from rungbook.recipes.quotes import check_quotes, find_quotes, quote, texts

CALL = re.compile(r"""\bquote\(\s*["'](?P<key>[^"']+)["']""")


@pytest.fixture(scope="module")
def ledger() -> Ledger:
    return load_ledger()


def quoting() -> list[Path]:
    return [lesson.path for lesson in lessons() if find_quotes(lesson.path.read_text(encoding="utf-8"))]


def test_lessons_are_among_the_texts_that_are_checked(checkout: Path) -> None:
    assert {lesson.path for lesson in lessons()} <= set(texts(checkout))
    assert quoting()


def test_every_quoted_figure_is_the_ledger_s(ledger: Ledger) -> None:
    assert not [str(error) for _, error in check_quotes(quoting(), ledger)]


@pytest.mark.parametrize("path", quoting(), ids=lambda path: path.stem)
def test_each_figure_edited_by_hand_is_found(path: Path, ledger: Ledger, tmp_path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for one in find_quotes(text):
        edited = tmp_path / path.name
        changed = re.sub(r"\d", lambda m: str((int(m[0]) + 1) % 10), one.text, count=1)
        assert changed != one.text
        edited.write_text(text[: one.start] + changed + text[one.end :], encoding="utf-8")
        (found,) = check_quotes([edited], ledger)
        assert f"line {one.line}" in str(found[1])
        assert changed.strip() in str(found[1])


@pytest.mark.parametrize("path", quoting()[:3], ids=lambda path: path.stem)
def test_a_recipe_that_changed_since_is_found(path: Path, ledger: Ledger) -> None:
    key = find_quotes(path.read_text(encoding="utf-8"))[0].keys(ledger)[0]
    entry = ledger.get(key)
    changed = dataclasses.replace(entry, stamp={**entry.stamp, "code": "of another"})
    stale = dataclasses.replace(ledger, entries={**ledger.entries, entry.key: changed})
    assert any("changed since it was measured" in str(error) for _, error in check_quotes([path], stale))


def test_a_figure_quoted_by_code_fails_with_its_recipe(ledger: Ledger) -> None:
    called = {key for lesson in lessons() for key in CALL.findall(lesson.path.read_text(encoding="utf-8"))}
    assert called, "no lesson quotes by code"
    for key in sorted(called):
        entry = ledger.get(key)
        entry.figure(next(iter(entry.results)), entry.split, entry.metric)
        stale = dataclasses.replace(
            ledger, entries={**ledger.entries, entry.key: dataclasses.replace(entry, stamp={**entry.stamp, "code": "of another"})}
        )
        with pytest.raises(DataError, match="changed since"):
            quote(key, next(iter(entry.results)), entry.split, entry.metric, ledger=stale)
