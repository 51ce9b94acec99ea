"""The site: pages of `docs/`, the executed lessons, and pages made from registries, put together and built by Sphinx.

What a reader gets needs no network: MathJax and reveal.js come from `docs/vendor`, whose checksums are looked at before every build.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from rungbook.book import pages
from rungbook.book.execute import Executed, execute_all
from rungbook.book.lesson import RUNGS, Lesson, lessons
from rungbook.book.notebook import is_hidden, text_of
from rungbook.book.slides import deck, find_browser, print_pdf
from rungbook.errors import DataError, EnvironmentProblem, UsageError
from rungbook.extras import require
from rungbook.recipes.shipped import checkout

PAGES = ("*.md", "howto/*.md", "conf.py", "_static/*")
"""Files of `docs/` that Sphinx reads as they are."""
DOCTREES = ".doctrees"
"""What Sphinx keeps of pages it has read."""
VENDOR = "vendor"
PLACE = Path("build", "site")
"""Where in a checkout the site is built."""


@dataclass(frozen=True)
class Built:
    """What a build made.

    Args:
        folder: of the pages, `index.html` among them.
        pages: how many.
        lesson_seconds: lesson's name -> processor time of its execution.
    """

    folder: Path
    pages: int
    lesson_seconds: dict[str, float]


def build(out: Path | None = None, tell: Callable[[str], None] = lambda words: None) -> Built:
    """Build the site of this checkout.

    Args:
        out: folder of the pages; emptied if it is a site, `build/site` of the checkout if None.
        tell: gets a line on what is being done.

    Raises:
        UsageError: E201 there is no checkout here, or `out` holds something else than a site.
        EnvironmentProblem: E404 Sphinx, or another part, is not installed; said before anything is done.
        DataError: E307 a lesson fails; E308 a page does, with what Sphinx says.
    """
    root = _checkout()
    out = (out or root / PLACE).resolve()
    if out.exists() and not (out / "searchindex.js").is_file() and not (out.is_dir() and not any(out.iterdir())):
        raise UsageError("E201", f"{out} holds something else than a site and stays as it is.", "Name an empty or a new folder.")
    require("book", "The site", 'pip install -c constraints.txt -e ".[{group}]"')
    check_vendor(root / "docs" / VENDOR)
    executed: dict[str, Executed] = {}
    for lesson, future in execute_all(lessons()):
        executed[lesson.name] = future.result()
        tell(f"lesson {lesson.number}: {executed[lesson.name].seconds:.0f} s of processor time")
    source = out.with_name(out.name + "-source")
    assemble(root, source, executed)
    tell("pages")
    _sphinx(source, out)
    _slides(root, out)
    count = sum("_static" not in page.relative_to(out).parts for page in out.rglob("*.html"))
    return Built(out, count, {name: done.seconds for name, done in executed.items()})


def _checkout() -> Path:
    root = checkout()
    if root is None:
        raise UsageError("E201", "There are no pages here: rungbook runs from an installed package.", "Run it in a checkout.")
    return root


def server(folder: Path | None, port: int) -> ThreadingHTTPServer:
    """A server of a built site for this machine alone; the caller runs and closes it.

    Args:
        folder: as `build`'s `out`.
        port: 0 for a free one.

    Raises:
        UsageError: E201 nothing is built there. EnvironmentProblem: E405 the port is taken.
    """
    folder = folder or _checkout() / PLACE
    if not (folder / "index.html").is_file():
        raise UsageError("E201", f"There is no site in {folder}.", "rung docs build")
    try:
        return ThreadingHTTPServer(("127.0.0.1", port), partial(_Quiet, directory=str(folder)))
    except OSError as error:
        raise EnvironmentProblem("E405", f"Port {port} cannot be used: {error.strerror}.", "rung docs serve --port 0") from error


class _Quiet(SimpleHTTPRequestHandler):
    """Serves files without a line a request."""

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing: the terminal shows the address and how to end."""


def assemble(root: Path, source: Path, executed: dict[str, Executed]) -> None:
    """Lay out everything Sphinx reads; what has not changed since the last time stays untouched, so that Sphinx need not read it again.

    Args:
        root: the checkout.
        source: folder for it.
        executed: lesson's name -> its notebook with outputs.
    """
    made = {**_lessons(repository_of(root), executed), **pages.generated(root)}
    wanted = {**_written(root / "docs"), **{name: text.encode() for name, text in made.items()}}
    for path in sorted(source.rglob("*"), reverse=True):
        name = path.relative_to(source).as_posix()
        if path.is_file() and name not in wanted and not name.startswith(DOCTREES):
            path.unlink()
    for name, data in wanted.items():
        path = source / name
        if not path.is_file() or path.read_bytes() != data:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)


def _written(docs: Path) -> dict[str, bytes]:
    """Path in the source -> content, of pages written by hand and of what they are shown with."""
    found = {p.relative_to(docs).as_posix(): p for pattern in PAGES for p in docs.glob(pattern)}
    kept = {f"_static/{p.relative_to(docs).as_posix()}": p for p in (docs / VENDOR).rglob("*") if p.is_file()}
    return {name: path.read_bytes() for name, path in {**found, **kept}.items() if path.is_file()}


def _lessons(repository: str, executed: dict[str, Executed]) -> dict[str, str]:
    """Path in the source -> content, of lessons: the page, the notebook and the script to take along."""
    import nbformat

    files = {}
    for lesson in lessons():
        whole = executed[lesson.name].notebook
        shown = nbformat.from_dict({**whole, "cells": [cell for cell in whole.cells if not is_hidden(cell)]})
        shown.cells.insert(1, nbformat.v4.new_markdown_cell(about(lesson, repository), id=f"about-{lesson.number}"))
        files[f"book/{lesson.name}.ipynb"] = nbformat.writes(shown)
        files[f"extra/notebooks/{lesson.name}.ipynb"] = text_of(lesson)
        files[f"extra/notebooks/{lesson.path.name}"] = lesson.path.read_text(encoding="utf-8")
    return files


def repository_of(root: Path) -> str:
    """Address of the public repository, "" while there is none: the one setting that Colab links are made from."""
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    return str(settings["tool"]["rungbook"]["repository"])


def about(lesson: Lesson, repository: str) -> str:
    """The line below a lesson's title: rung, time, rows, and the ways to take it along."""
    rows = " ".join(lesson.covers)
    links = [
        f'<a href="../notebooks/{lesson.name}.ipynb" download>notebook</a>',
        f'<a href="../notebooks/{lesson.path.name}" download>script</a>',
    ]
    if repository:
        place = repository.removeprefix("https://github.com/").rstrip("/")
        links.append(f'<a href="https://colab.research.google.com/github/{place}/blob/gh-pages/notebooks/{lesson.name}.ipynb">Colab</a>')
    words = f"Rung {lesson.rung}, {RUNGS[lesson.rung].lower()} · {lesson.minutes} minutes · {' · '.join(links)}"
    return f'<p class="lesson-about">{words} · <code>rung lesson {lesson.number}</code><br><small>covers {rows}</small></p>'


def check_vendor(folder: Path) -> None:
    """Compare what is kept of others with its checksums.

    Raises:
        DataError: E308 a file is missing, changed, or not listed.
    """
    lines = (folder / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    listed = {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
    here = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file() and p.name not in ("SHA256SUMS", "README.md")}
    for name in sorted(listed.keys() | here.keys()):
        if name not in here or name not in listed or hashlib.sha256(here[name].read_bytes()).hexdigest() != listed[name]:
            raise DataError("E308", f"docs/vendor/{name} is not the file that SHA256SUMS lists.", "git checkout docs/vendor")


def _slides(root: Path, out: Path) -> None:
    """Every deck of `docs/slides`, and its PDF where a browser can print it."""
    for path in sorted((root / "docs" / "slides").glob("*.md")):
        text = path.read_text(encoding="utf-8")
        page = out / "slides" / f"{path.stem}.html"
        page.parent.mkdir(exist_ok=True)
        page.write_text(deck(text, title=text.splitlines()[0].removeprefix("# ")), encoding="utf-8")
        if find_browser():
            print_pdf(page, page.with_suffix(".pdf"))


def _sphinx(source: Path, out: Path) -> None:
    """Run Sphinx; a warning is an error."""
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", "-j", "auto", "-d", str(source / DOCTREES)]
    done = subprocess.run([*command, str(source), str(out)], capture_output=True, text=True, check=False)
    if done.returncode:
        said = "\n".join(line.replace(f"{source}/", "") for line in done.stderr.strip().splitlines())
        raise DataError("E308", f"Sphinx says:\n{said}\n", "Mend the page; lessons are in lessons/, the others in docs/.")


__all__ = ["Built", "about", "assemble", "build", "check_vendor", "repository_of", "server"]
