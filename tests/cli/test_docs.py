"""`rung docs`: what stands in the way of a build is said before anything is done; a site is served to this machine alone."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import threading
import time
import urllib.request
from pathlib import Path

import pytest
from commands import Rung, snapshot

from rungbook import extras
from rungbook.book import site


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with nothing in it but one file of others; building it must not come as far as executing lessons."""
    vendor = tmp_path / "checkout" / "docs" / "vendor"
    vendor.mkdir(parents=True)
    (vendor / "math.js").write_text("one")
    (vendor / "README.md").write_text("where it comes from")
    (vendor / "SHA256SUMS").write_text(f"{hashlib.sha256(b'one').hexdigest()}  math.js\n")

    def too_far(*_: object) -> None:
        raise AssertionError("lessons are executed")

    monkeypatch.setattr(site, "checkout", lambda: tmp_path / "checkout")
    monkeypatch.setattr(site, "executing", too_far)
    return tmp_path / "checkout"


def test_a_folder_of_other_things_is_kept(rung: Rung, made: Path) -> None:
    (rung.here / "photos").mkdir()
    (rung.here / "photos" / "cat.png").write_bytes(b"cat")
    (rung.here / "notes.txt").write_text("mine")
    before = snapshot(rung.here)
    for name in ("photos", "notes.txt", "."):
        answer = rung("docs", "build", "--out", name, "--json")
        assert (answer.code, answer.json["error"]) == (2, "E201"), answer.text
        assert "something else than a site and stays as it is" in answer.json["message"]
        assert str(rung.here) in answer.json["message"]
    assert snapshot(rung.here) == before


def test_a_folder_that_cannot_be_made_is_said_before_lessons_are_executed(rung: Rung, made: Path) -> None:
    (rung.here / "notes.txt").write_text("mine")
    answer = rung("docs", "build", "--out", "notes.txt/site")
    assert answer.code == 4
    assert "E405 The folder" in answer.text
    assert "fix: Name a folder you may write: rung docs build --out FOLDER" in answer.text
    assert (rung.here / "notes.txt").read_text() == "mine"


def test_outside_a_checkout(rung: Rung, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site, "checkout", lambda: None)
    for command in ("docs build", "docs serve", "docs build --out new"):
        answer = rung(command)
        assert answer.code == 2
        assert "E201 There are no pages here: rungbook runs from an installed package. fix: Run it in a checkout." in answer.text
        assert "Traceback" not in answer.err
    assert "Traceback" in rung("docs build --debug").err
    assert not list(rung.here.iterdir())


@pytest.mark.parametrize("gone", ["sphinx", "sphinx_book_theme", "nbclient"])
def test_a_missing_part_is_said_before_lessons_are_executed(gone: str, rung: Rung, made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = extras.find_spec
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == gone else find_spec(name))
    answer = rung("docs build --json")
    assert (answer.code, answer.json["error"]) == (4, "E404")
    assert answer.json["message"] == f"The site wants {gone}, which is not installed."
    assert answer.json["fix"] == 'pip install -c constraints.txt -e ".[book]"'
    assert not (made / "build").exists()


@pytest.mark.parametrize("what", ["changed", "missing", "not listed"])
def test_a_file_of_others_that_is_not_the_listed_one(what: str, rung: Rung, made: Path) -> None:
    vendor = made / "docs" / "vendor"
    if what == "missing":
        (vendor / "math.js").unlink()
    else:
        (vendor / ("math.js" if what == "changed" else "more.js")).write_text("other")
    answer = rung("docs build")
    assert answer.code == 3
    said = "E308 docs/vendor/math.js is not the file that was listed. fix: git checkout docs/vendor"
    if what == "not listed":
        said = "E308 docs/vendor/more.js is not among the files that SHA256SUMS lists. fix: Remove docs/vendor/more.js"
    assert said in answer.text
    assert not (made / "build").exists()


@pytest.mark.parametrize("list_of_files", [None, "", "\n\n", "0" * 64 + "\n"])
def test_a_list_of_files_that_lists_nothing(list_of_files: str | None, rung: Rung, made: Path) -> None:
    (made / "docs" / "vendor" / "SHA256SUMS").unlink()
    if list_of_files is not None:
        (made / "docs" / "vendor" / "SHA256SUMS").write_text(list_of_files)
    answer = rung("docs build")
    assert answer.code == 3
    assert "E308 docs/vendor/" in answer.text


def test_the_checks_let_a_good_checkout_pass(rung: Rung, made: Path) -> None:
    """Control: with nothing wrong, the made checkout comes as far as its lessons; a fault of ours leaves a report."""
    answer = rung("docs build --json")
    assert (answer.code, answer.json["error"]) == (70, "E701")
    assert "AssertionError" in answer.json["message"]
    report = Path(answer.json["fix"].split()[-1])
    assert "lessons are executed" in report.read_text()
    report.unlink()


def test_nothing_is_built(rung: Rung, made: Path) -> None:
    for words in ((), ("--out", "my site")):
        answer = rung("docs", "serve", *words)
        assert answer.code == 2
        assert "E201 There is no site in" in answer.text
        assert answer.text.endswith("fix: rung docs build" + (" --out 'my site'" if words else ""))


def test_a_port_that_is_taken_or_none(rung: Rung) -> None:
    (rung.here / "index.html").write_text("<p>here</p>")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        answer = rung("docs", "serve", "--out", ".", "--port", str(port))
    assert answer.code == 4
    assert f"E405 Port {port} cannot be used: Address already in use. fix: rung docs serve --out . --port 0" in answer.text
    assert rung("docs serve --out . --port 70000").code == 2


def test_a_site_is_served_until_ctrl_c(rung: Rung, capsys: pytest.CaptureFixture[str]) -> None:
    (rung.here / "index.html").write_text("<p>here</p>")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    seen: list[bytes] = []

    def visit() -> None:
        end = time.monotonic() + 60
        while not seen and time.monotonic() < end:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as page:
                    seen.append(page.read())
            except OSError:
                time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    visitor = threading.Thread(target=visit)
    visitor.start()
    answer = rung("docs", "serve", "--out", ".", "--port", str(port))
    visitor.join()
    assert answer.code == 0
    assert f"http://127.0.0.1:{port}/ (Ctrl-C ends it)" in answer.text
    assert seen == [b"<p>here</p>"]
    with socket.socket() as again:
        assert again.connect_ex(("127.0.0.1", port)), "it has gone"
