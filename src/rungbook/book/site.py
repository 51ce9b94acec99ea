"""The site: pages of `docs/`, the executed lessons, and pages made from registries, put together and built by Sphinx.

What a reader gets needs no network: MathJax and reveal.js come from `docs/vendor`, whose checksums are looked at before every build.
"""

from __future__ import annotations

import hashlib
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from filelock import FileLock

from rungbook.book import pages
from rungbook.book.disk import writing
from rungbook.book.execute import Executed, executing
from rungbook.book.lesson import RUNGS, Lesson, lessons
from rungbook.book.notebook import is_hidden, text_of
from rungbook.book.place import publish, reserve
from rungbook.book.slides import deck, find_browser, print_pdf
from rungbook.data.download import cache_folder
from rungbook.errors import DataError, EnvironmentProblem, UsageError
from rungbook.extras import require
from rungbook.recipes.shipped import checkout

PAGES = ("*.md", "howto/*.md", "conf.py", "_static/*")
"""Files of `docs/` that Sphinx reads as they are."""
VENDOR = "vendor"
PLACE = Path("build", "site")
"""Where in a checkout the site is put."""
PDF = ' (<a href="slides/crash_course.pdf">PDF</a>)'
"""Link on the first page, left out where nothing can print."""


@dataclass(frozen=True)
class Built:
    """What a build made.

    Args:
        folder: of the pages, `index.html` among them.
        pages: how many.
        lesson_seconds: lesson's name -> processor time of its execution.
        pdf: whether there was a browser to print the slides.
    """

    folder: Path
    pages: int
    lesson_seconds: dict[str, float]
    pdf: bool


def build(out: Path | None = None, tell: Callable[[str], None] = lambda words: None) -> Built:
    """Build the site of this checkout.

    Args:
        out: folder of the pages, `build/site` of the checkout if None; what an earlier build put there and is no more is taken away.
        tell: gets a line on what is being done.

    Raises:
        UsageError: E201 there is no checkout here, or `out` holds something else than a site.
        EnvironmentProblem: E404 Sphinx, or another part, is not installed, E405 `out` cannot be written; said before anything is done.
        DataError: E307 a lesson fails; E308 a page does, with what Sphinx says.
    """
    root, chosen = _checkout(), lessons()
    out = (out or root / PLACE).resolve()
    require("book", "The site", 'pip install -c constraints.txt -e ".[{group}]"')
    check_vendor(root / "docs" / VENDOR)
    reserve(out)
    executed: dict[str, Executed] = {}
    with executing(chosen) as begun:
        for lesson in chosen:
            executed[lesson.name] = begun[lesson.name].result()
            tell(f"lesson {lesson.number}: {executed[lesson.name].seconds:.0f} s of processor time")
    tell("pages")
    work, pdf = _work(root), find_browser() is not None
    with FileLock(work / ".lock"):  # of two builds at once the second waits
        if assemble(root, work / "source", executed, pdf=pdf):
            shutil.rmtree(work / "html", ignore_errors=True)  # Sphinx never takes a page away
        _sphinx(work)
        _slides(root, work / "html")
        publish(work / "html", out)
        count = sum("_static" not in page.relative_to(work / "html").parts for page in (work / "html").rglob("*.html"))
    return Built(out, count, {name: done.seconds for name, done in executed.items()}, pdf)


def _work(root: Path) -> Path:
    """What is kept from one build of a checkout to the next: the pages as Sphinx reads them, and what it made of them."""
    work = cache_folder() / "docs" / hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:12]
    with writing(work, "pages are kept", "RUNG_CACHE"):
        work.mkdir(parents=True, exist_ok=True)
    return work


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
    option = f" --out {shlex.quote(str(folder))}" if folder else ""
    folder = folder or _checkout() / PLACE
    if not (folder / "index.html").is_file():
        raise UsageError("E201", f"There is no site in {folder}.", f"rung docs build{option}")
    try:
        return ThreadingHTTPServer(("127.0.0.1", port), partial(_Quiet, directory=str(folder)))
    except OSError as error:
        raise EnvironmentProblem("E405", f"Port {port} cannot be used: {error.strerror}.", f"rung docs serve{option} --port 0") from error


class _Quiet(SimpleHTTPRequestHandler):
    """Serves files without a line a request."""

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing: the terminal shows the address and how to end."""


def assemble(root: Path, source: Path, executed: dict[str, Executed], *, pdf: bool = True) -> bool:
    """Lay out everything Sphinx reads; what has not changed since the last time stays untouched, so that Sphinx need not read it again.

    Args:
        root: the checkout.
        source: folder for it.
        executed: lesson's name -> its notebook with outputs.
        pdf: whether the first page links the printed slides.

    Returns:
        whether something that was there the last time is gone.
    """
    made = {**_lessons(repository_of(root), executed), **pages.generated(root)}
    wanted = {**_written(root / "docs"), **{name: text.encode() for name, text in made.items()}}
    if not pdf:
        wanted["index.md"] = wanted["index.md"].replace(PDF.encode(), b"")
    gone = [path for path in source.rglob("*") if path.is_file() and path.relative_to(source).as_posix() not in wanted]
    for path in gone:
        path.unlink()
    for name, data in wanted.items():
        path = source / name
        if not path.is_file() or path.read_bytes() != data:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    return bool(gone)


def _written(docs: Path) -> dict[str, bytes]:
    """Path in the source -> content, of pages written by hand and of what they are shown with."""
    found = {p.relative_to(docs).as_posix(): p for pattern in PAGES for p in docs.glob(pattern)}
    kept = {f"_static/{p.relative_to(docs).as_posix()}": p for p in (docs / VENDOR).rglob("*") if p.is_file()}
    return {name: path.read_bytes() for name, path in {**found, **kept}.items() if path.is_file()}


def _lessons(repository: str, executed: dict[str, Executed]) -> dict[str, str]:
    """Path in the source -> content, of lessons: the page, the notebook and the script to take along."""
    import nbformat

    files = {}
    for lesson in (one for one in lessons() if one.name in executed):  # one written meanwhile waits for the next build
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
    sums = folder / "SHA256SUMS"
    lines = sums.read_text(encoding="utf-8").splitlines() if sums.is_file() else []
    listed = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    here = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file() and p.name not in ("SHA256SUMS", "README.md")}
    for name in sorted(listed.keys() | here.keys()):
        if name not in listed:
            fix = f"Remove docs/vendor/{name}" if lines else "git checkout docs/vendor"
            raise DataError("E308", f"docs/vendor/{name} is not among the files that SHA256SUMS lists.", fix)
        if name not in here or hashlib.sha256(here[name].read_bytes()).hexdigest() != listed[name]:
            raise DataError("E308", f"docs/vendor/{name or 'SHA256SUMS'} is not the file that was listed.", "git checkout docs/vendor")


def _slides(root: Path, out: Path) -> None:
    """Every deck of `docs/slides`, and its PDF where a browser can print it."""
    shutil.rmtree(out / "slides", ignore_errors=True)
    for path in sorted((root / "docs" / "slides").glob("*.md")):
        text = path.read_text(encoding="utf-8")
        page = out / "slides" / f"{path.stem}.html"
        page.parent.mkdir(exist_ok=True)
        page.write_text(deck(text, title=text.splitlines()[0].removeprefix("# ")), encoding="utf-8")
        if find_browser():
            print_pdf(page, page.with_suffix(".pdf"))


def _sphinx(work: Path) -> None:
    """Run Sphinx from `source` to `html`; a warning is an error."""
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", "-j", "auto", "-d", str(work / "doctrees")]
    source = work / "source"
    done = subprocess.run([*command, str(source), str(work / "html")], capture_output=True, text=True, check=False)
    if done.returncode:
        said = "\n".join(line.replace(f"{source}/", "") for line in done.stderr.strip().splitlines())
        raise DataError("E308", f"Sphinx says:\n{said}\n", "Mend the page; lessons are in lessons/, the others in docs/.")


__all__ = ["Built", "about", "assemble", "build", "check_vendor", "repository_of", "server"]
