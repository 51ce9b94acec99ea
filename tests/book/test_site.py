"""The site, built and served, and every page of it looked at in a real browser."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag, urljoin

import pytest

from rungbook.book.execute import executions_folder
from rungbook.book.lesson import lessons
from rungbook.book.site import server

pytestmark = [pytest.mark.lessons, pytest.mark.timeout(1800)]
CACHE = executions_folder().parent
"""Where lessons executed by other tests are kept: looked up before the tests get a cache of their own."""
PHONE = {"width": 390, "height": 844}
DESK = {"width": 1280, "height": 900}
LOOK = """() => ({
    links: [...document.querySelectorAll('a[href]')].map(a => a.href),
    ids: [...document.querySelectorAll('[id]')].map(e => e.id),
    silent: [...document.querySelectorAll('article img, article svg[role=img]')]
        .filter(e => !(e.getAttribute('alt') || e.getAttribute('aria-label') || e.closest('mjx-container')))
        .map(e => e.outerHTML.slice(0, 120)),
    sideways: document.documentElement.scrollWidth - window.innerWidth,
    math: document.querySelectorAll('.math').length,
    drawn: document.querySelectorAll('mjx-container').length,
    unread: [...document.querySelectorAll('mjx-merror, [data-mjx-error]')].map(e => e.textContent),
})"""
"""What the browser says of a page."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as the command builds it; a warning of Sphinx's fails it."""
    out = tmp_path_factory.mktemp("site") / "html"
    command = [sys.executable, "-m", "rungbook.cli.main", "docs", "build", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "RUNG_CACHE": str(CACHE)})
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    with Served(site) as where:
        yield where


class Served:
    """A folder on a port of this machine while the block lasts; gives its address."""

    def __init__(self, folder: Path) -> None:
        self.server = server(folder, 0)

    def __enter__(self) -> str:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self.server.server_address[1]}/"

    def __exit__(self, *error: object) -> None:
        self.server.shutdown()
        self.server.server_close()


def walk(browser: Any, folder: Path, address: str, size: dict[str, int], scheme: str = "light") -> list[str]:
    """Open every page; gives what is wrong with any of them."""
    context = browser.new_context(viewport=size, color_scheme=scheme)
    page, wrong, seen = context.new_page(), [], {}
    name = ""
    page.on("console", lambda message: message.type in ("error", "warning") and wrong.append(f"{name}: console: {message.text}"))
    page.on("pageerror", lambda error: wrong.append(f"{name}: script: {error}"))
    page.on("request", lambda request: _inside(request.url, address) or wrong.append(f"{name}: asks {request.url}"))
    page.on("response", lambda response: response.status >= 400 and wrong.append(f"{name}: {response.status} {response.url}"))
    for path in sorted(folder.rglob("*.html")):
        name = path.relative_to(folder).as_posix()
        if name.startswith("_static/"):
            continue  # the theme's templates are no pages
        page.goto(address + name, wait_until="load")
        if page.locator(".math").count():
            page.wait_for_function(
                "document.querySelectorAll('mjx-container').length >= document.querySelectorAll('.math').length", timeout=120_000
            )
        seen[name] = page.evaluate(LOOK)
    context.close()
    for name, look in seen.items():
        wrong += [f"{name}: no words for {element}" for element in look["silent"]]
        wrong += [f"{name}: formula: {text}" for text in look["unread"]]
        wrong += [f"{name}: {look['sideways']} pixels wider than the window"] * (look["sideways"] > 0)
        wrong += [f"{name}: broken link {link}" for link in set(look["links"]) if _broken(link, folder, address, seen)]
    return wrong


def _inside(url: str, address: str) -> bool:
    return url.startswith((address, "data:", "blob:"))


def _broken(link: str, folder: Path, address: str, seen: dict[str, Any]) -> bool:
    """A link of the site to a file or a place that is not there; links elsewhere are not followed."""
    if not link.startswith(address):
        return False
    whole, place = urldefrag(urljoin(address, link))
    name = unquote(whole.removeprefix(address).split("?")[0])
    name = name + "index.html" if name == "" or name.endswith("/") else name
    if not (folder / name).is_file():
        return True
    if place.startswith("/"):
        return False  # a slide's number
    return bool(place) and name in seen and unquote(place) not in seen[name]["ids"]


@pytest.mark.parametrize(("size", "scheme"), [(DESK, "light"), (PHONE, "dark")], ids=["desk", "phone"])
def test_every_page_is_whole(size: dict[str, int], scheme: str, browser: Any, site: Path, address: str) -> None:
    assert not walk(browser, site, address, size, scheme)


def test_every_lesson_is_there_to_read_and_to_take_along(site: Path) -> None:
    for lesson in lessons():
        page = (site / "book" / f"{lesson.name}.html").read_text(encoding="utf-8")
        assert lesson.title.split("`")[0] in page
        assert "rungbook.book.offline" not in page
        for taken in (f"{lesson.name}.ipynb", lesson.path.name):
            assert (site / "notebooks" / taken).stat().st_size > 0


def test_search_finds_words_of_lessons(browser: Any, address: str) -> None:
    page = browser.new_page()
    page.goto(address + "search.html?q=broadcasting")
    page.wait_for_selector("ul.search li a")
    assert page.locator("ul.search li").count() >= 2
    page.close()


def test_dark_and_light_are_different(browser: Any, address: str) -> None:
    shades = []
    for scheme in ("light", "dark"):
        context = browser.new_context(color_scheme=scheme)
        page = context.new_page()
        page.goto(address + "index.html")
        shades.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        context.close()
    assert shades[0] != shades[1]


def test_a_slider_chooses_among_its_pictures(browser: Any, site: Path, address: str) -> None:
    found = next((path for path in sorted(site.glob("book/*.html")) if "rung-slider" in path.read_text(encoding="utf-8")), None)
    assert found, "no lesson has a slider"
    page = browser.new_page()
    page.goto(address + f"book/{found.name}")
    slider = page.locator(".rung-slider").first
    shown = "[...document.querySelector('.rung-slider').querySelectorAll('[data-frame]')].map(f => f.hidden ? 0 : 1).join('')"
    before = page.evaluate(shown)
    bar = slider.locator("input[type=range]")
    other = "0" if bar.input_value() != "0" else bar.get_attribute("max")
    bar.fill(other or "0")
    after = page.evaluate(shown)
    assert before.count("1") == after.count("1") == 1
    assert before != after
    page.close()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('<a href="gone.html">x</a>', "broken link"),
        ('<a href="index.html#gone">x</a>', "broken link"),
        ('<img src="http://192.0.2.1/x.png" alt="x">', "asks"),
        ("<script>console.error('no')</script>", "console"),
        ("<script>throw new Error('no')</script>", "script"),
        ('<script src="gone.js"></script>', "404"),
        ('<article><svg role="img"></svg></article>', "no words"),
        ('<p style="width: 5000px">x</p>', "wider"),
    ],
)
def test_the_walk_sees_what_is_wrong(body: str, said: str, browser: Any, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(f"<!doctype html><link rel='icon' href='data:,'><body>{body}</body>")
    with Served(tmp_path) as where:
        wrong = walk(browser, tmp_path, where, DESK)
    assert any(said in one for one in wrong), wrong
