"""The slides: every picture is drawn and used, text stays text, figures are the ledger's, and the PDF has a sheet for each slide."""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from rungbook.book import slides
from rungbook.book.slide_pictures import PICTURES
from rungbook.book.slides import deck, find_browser, print_pdf
from rungbook.errors import DataError
from rungbook.plot.style import Picture
from rungbook.recipes.book.honest_split import loss_floor
from rungbook.recipes.ledger import load_ledger
from rungbook.recipes.quotes import check_quotes, quote

LEDGER_KEYS = {
    "baselines": ("lenet data=fashion-mnist", "", "test accuracy"),
    "weight_decay": ("diabetes", "decay 0.6", "test mean_squared_error"),
    "split_with_replacement": (
        "forest data=mnist train_samples=10000 valid=0.2 trees=900",
        "as the course splits",
        "valid accuracy",
    ),
    "softmax_twice": ("softmax_twice data=mnist epochs=100 valid=0.2 train_samples=10000", "softmax twice", "test accuracy"),
}
"""Picture -> one of the figures in it."""


@pytest.fixture(scope="module")
def crash_course(checkout: Path) -> str:
    return (checkout / "docs" / "slides" / "crash_course.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def drawn() -> dict[str, Picture]:
    """Every picture, drawn once."""
    return {name: make() for name, make in PICTURES.items()}


def slides_of(text: str) -> list[str]:
    return [part for part in re.split(r"^---$", text, flags=re.MULTILINE) if part.strip()]


def small(words: str = "A line.") -> Callable[[], Picture]:
    return lambda: Picture(f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{words}"></svg>', words)


def test_slides_and_pictures_belong_together(crash_course: str) -> None:
    used = slides.PICTURE.findall(crash_course)
    assert sorted(used) == sorted(PICTURES), "a picture is missing, shown twice, or shown by no slide"
    assert 35 <= len(slides_of(crash_course)) <= 45
    headings = re.findall(r"^#+ (.+)$", crash_course, flags=re.MULTILINE)
    assert len(headings) == len(set(headings)) == len(slides_of(crash_course))


def test_pictures_say_what_is_seen(drawn: dict[str, Picture]) -> None:
    assert len({picture.alt for picture in drawn.values()}) == len(drawn)
    for name, picture in drawn.items():
        assert len(picture.alt) > 30, name
        assert picture.alt.endswith("."), name
        assert "nan" not in picture.alt.split(), name
        assert ElementTree.fromstring(picture.html()).get("aria-label") == picture.alt


def test_pictures_are_the_same_twice(drawn: dict[str, Picture]) -> None:
    for cached in ("few_cars", "two_moons"):  # drawn from scratch, not from what the first time left behind
        getattr(__import__("rungbook.book.slide_table", fromlist=[cached]), cached).cache_clear()
    for name in ("cars", "dropout", "moons_network", "leakage"):
        assert PICTURES[name]() == drawn[name], name


@pytest.mark.parametrize("name", LEDGER_KEYS)
def test_figures_are_the_ledgers(name: str, drawn: dict[str, Picture]) -> None:
    key, variant, what = LEDGER_KEYS[name]
    assert str(quote(key, variant, *what.split())) in drawn[name].alt


def test_figures_change_with_the_ledger(monkeypatch: pytest.MonkeyPatch, drawn: dict[str, Picture]) -> None:
    from rungbook.book import slide_table
    from rungbook.recipes.quotes import Figure

    real = slide_table.pick
    monkeypatch.setattr(slide_table, "pick", lambda *asked: Figure(real(*asked).metric, 0.123, 0.001, 5))
    for name in LEDGER_KEYS:
        alt = PICTURES[name]().alt
        assert alt != drawn[name].alt, name
        assert not any(figure in alt for figure in re.findall(r"\d+\.?\d* ± [\d.]+", drawn[name].alt)), name


def test_text_quotes_the_ledger(checkout: Path, crash_course: str) -> None:
    assert list(check_quotes([checkout / "docs" / "slides" / "crash_course.md"], load_ledger())) == []
    bare = re.sub(r"<!--\s*ledger:.*?-->.*?<!--\s*/\s*-->", "", crash_course)
    assert not re.findall(r"±|\d\s*%", bare), "a measured figure is written by hand"
    assert f"= {loss_floor(10):.3f}$$" in crash_course
    assert math.isclose(loss_floor(10), -math.log(math.e / (math.e + 9)))


def test_an_unknown_picture_is_refused() -> None:
    with pytest.raises(DataError, match='"no_such_picture"') as error:
        deck("# One\n\n![](picture:no_such_picture)", "t")
    assert error.value.code == "E308"
    assert "cars" in (error.value.fix or "")


def test_text_stays_text() -> None:
    page = deck("# A <b>title</b>\n\n1 < 2 & <script>alert(1)</script>\n\n`<i>`\n\n[x](javascript:alert(1))", "<t> & co", "v")
    body = page.partition('<div class="slides">')[2].partition("</div></div>")[0]
    for raw in ("<b>", "<script>", "<i>", 'href="javascript'):
        assert raw not in body
    assert "1 &lt; 2 &amp; &lt;script&gt;" in body
    assert "<title>&lt;t&gt; &amp; co</title>" in page
    assert '"v/reveal/reveal.css"' in page


def test_formulas_are_left_to_mathjax() -> None:
    page = deck(r"# F" "\n\n" r"so $a_1 < b_2$ and" "\n\n" r"$$\frac{*x*}{y} & [[width]]$$" "\n\nat 5 dollars", "t")
    assert r"\(a_1 &lt; b_2\)" in page  # neither emphasis nor a tag
    assert r"\[\frac{*x*}{y} &amp; [[width]]\]" in page
    assert page.count(r"\(") == 1


def test_comments_and_small_print() -> None:
    page = deck("# Q\n\nit is <!-- ledger: x | test accuracy -->88 %<!-- / -->\n\n<small>so *few*</small>", "t")
    assert "it is 88 %" in page
    assert "ledger" not in page
    assert "<small>so <em>few</em></small>" in page


def test_slides_are_parted_by_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PICTURES, "a", small())
    page = deck("# One\n\n![](picture:a)\n\n---\n\n## Two\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n---\n", "t")
    assert page.count("<section>") == 2
    assert '<figure><svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="A line."></svg></figure>' in page
    assert "<table>" in page


def test_the_pdf_has_a_sheet_for_each_slide(checkout: Path, crash_course: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if find_browser() is None:
        pytest.skip("no Chromium on this machine")
    for name in PICTURES:
        monkeypatch.setitem(PICTURES, name, small(name))
    shutil.copytree(checkout / "docs" / "vendor", tmp_path / "vendor")
    (tmp_path / "deck.html").write_text(deck(crash_course, "t", "vendor"), encoding="utf-8")
    print_pdf(tmp_path / "deck.html", tmp_path / "deck.pdf")
    printed = (tmp_path / "deck.pdf").read_bytes()
    assert len(re.findall(rb"/Type\s*/Page\b(?!s)", printed)) == len(slides_of(crash_course))
    assert {tuple(map(float, box)) for box in re.findall(rb"/MediaBox\s*\[0 0 ([\d.]+) ([\d.]+)\]", printed)} == {(960, 540)}
