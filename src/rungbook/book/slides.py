"""Slides: one Markdown file -> a reveal.js deck that needs no network, and a PDF of it.

A line `---` ends a slide. A picture is `![](picture:name)`, where `name` is a function of `slide_pictures`: it is drawn by our own code
when the deck is built, and brings its own words; right after the heading it floats to the right, at the end it takes the whole width.
Formulas stand between dollars. Comments, such as those around figures of the ledger, are left out, and of HTML only `<small>` is let
through.
"""

from __future__ import annotations

import html
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from rungbook.errors import DataError, EnvironmentProblem

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
PICTURE = re.compile(r"!\[\]\(picture:(?P<name>\w+)\)")
PATIENCE = 180
"""Seconds that printing may take."""
SIZE = (1280, 720)
"""Of a slide, in pixels."""


def deck(text: str, title: str, vendor: str = "../_static/vendor") -> str:
    """The deck as a page.

    Args:
        text: Markdown, slides between lines of `---`.
        title: of the page.
        vendor: address of reveal.js and MathJax as seen from the page.

    Raises:
        DataError: E308 a slide names a picture that there is none of.
    """
    slides = [part.strip() for part in re.split(r"^---$", COMMENT.sub("", text), flags=re.MULTILINE)]
    sections = "\n".join(f"<section>{_slide(slide)}</section>" for slide in slides if slide)
    here = Path(__file__).parent
    page = (here / "slides.html").read_text(encoding="utf-8")
    style = (here / "slides.css").read_text(encoding="utf-8")
    values = {"title": html.escape(title), "vendor": vendor, "style": style, "slides": sections, "width": SIZE[0], "height": SIZE[1]}
    return re.sub(r"\[\[(\w+)\]\]", lambda found: str(values[found[1]]), page)


def _slide(text: str) -> str:
    """One slide's Markdown as HTML; formulas are left for MathJax."""
    from markdown_it import MarkdownIt
    from mdit_py_plugins.dollarmath import dollarmath_plugin

    def formula(content: str, options: dict[str, bool]) -> str:
        display = options.get("display_mode", False)
        return html.escape(rf"\[{content}\]" if display else rf"\({content}\)")

    reader = MarkdownIt("commonmark", {"html": False}).enable("table").use(dollarmath_plugin, renderer=formula)
    drawn: dict[str, str] = {}

    def draw(found: re.Match[str]) -> str:
        drawn[found["name"]] = _picture(found["name"])
        return f"PICTURE-{found['name']}-ENDS"

    page = reader.render(PICTURE.sub(draw, text))
    page = page.replace("&lt;small&gt;", "<small>").replace("&lt;/small&gt;", "</small>")
    for name, picture in drawn.items():
        page = page.replace(f"<p>PICTURE-{name}-ENDS</p>", f"<figure>{picture}</figure>").replace(f"PICTURE-{name}-ENDS", picture)
    return page


def _picture(name: str) -> str:
    """A picture by the name of the function that draws it."""
    from rungbook.book import slide_pictures

    if name not in slide_pictures.PICTURES:
        raise DataError("E308", f'A slide shows "{name}", which nothing draws.', f"Known: {', '.join(sorted(slide_pictures.PICTURES))}.")
    return slide_pictures.PICTURES[name]().html()


def find_browser() -> str | None:
    """The Chromium that prints, if there is one."""
    return next((path for path in map(shutil.which, BROWSERS) if path), None)


def print_pdf(page: Path, out: Path) -> None:
    """Print a built deck, a slide a sheet.

    Args:
        page: the deck, with its vendor files where it looks for them.
        out: the PDF.

    Raises:
        EnvironmentProblem: E404 there is no Chromium, E407 it fails.
    """
    browser = find_browser()
    if browser is None:
        raise EnvironmentProblem(
            "E404", "The PDF is printed by Chromium, which is not installed.", "Install chromium, or use the HTML deck."
        )
    with tempfile.TemporaryDirectory(prefix="rung-slides-") as profile:
        quiet = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            f"--user-data-dir={profile}",
        ]
        print_it = [
            "--no-pdf-header-footer",
            "--virtual-time-budget=20000",
            f"--print-to-pdf={out}",
            f"{page.resolve().as_uri()}?print-pdf",
        ]
        try:
            done = subprocess.run([browser, *quiet, *print_it], capture_output=True, text=True, check=False, timeout=PATIENCE)
            said = done.stderr.strip()[-300:]
        except subprocess.TimeoutExpired:
            said = f"it was given up after {PATIENCE} s"
    if not out.is_file():
        raise EnvironmentProblem("E407", f"{browser} did not print the slides: {said}", "Open the deck and print it by hand.")


__all__ = ["deck", "find_browser", "print_pdf"]
