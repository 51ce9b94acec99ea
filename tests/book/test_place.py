"""A site is put where there is room for one: what others have there stays, what an earlier build left goes."""

from __future__ import annotations

from pathlib import Path

import pytest

from rungbook.book.place import MARK, publish, reserve
from rungbook.errors import EnvironmentProblem, UsageError


def built(folder: Path, **files: str) -> Path:
    """A folder of pages, names with two underscores for a slash."""
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.html"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def files(folder: Path) -> dict[str, str]:
    return {p.relative_to(folder).as_posix(): p.read_text() for p in folder.rglob("*") if p.is_file() and p.name != MARK}


def test_a_page_that_is_no_more_goes_and_what_others_put_there_stays(tmp_path: Path) -> None:
    out = tmp_path / "site"
    reserve(out)
    publish(built(tmp_path / "one", index="1", book__old="old"), out)
    (out / "CNAME").write_text("mine")
    (out / "book" / "mine.txt").write_text("mine")
    reserve(out)
    publish(built(tmp_path / "two", index="2", book__new="new"), out)
    assert files(out) == {"index.html": "2", "book/new.html": "new", "CNAME": "mine", "book/mine.txt": "mine"}
    (out / "book" / "mine.txt").unlink()
    publish(built(tmp_path / "three", index="2"), out)
    assert not (out / "book").exists(), "an empty folder goes"


def test_what_has_not_changed_is_not_written_again(tmp_path: Path) -> None:
    out, pages = tmp_path / "site", built(tmp_path / "pages", index="1", other="2")
    reserve(out)
    publish(pages, out)
    before = (out / "index.html").stat().st_mtime_ns
    built(pages, other="3")
    publish(pages, out)
    assert (out / "index.html").stat().st_mtime_ns == before
    assert files(out)["other.html"] == "3"


def test_a_build_cut_short_is_finished_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "site"
    reserve(out)
    publish(built(tmp_path / "one", index="1", old="old"), out)
    write, left = Path.write_bytes, [1]

    def cut_short(path: Path, data: bytes) -> int:
        if not left:
            raise KeyboardInterrupt
        left.pop()
        return write(path, data)

    pages = built(tmp_path / "two", index="2", a="a", b="b")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", cut_short)
        with pytest.raises(KeyboardInterrupt):
            publish(pages, out)
    reserve(out)
    publish(built(tmp_path / "three", index="3"), out)
    assert files(out) == {"index.html": "3"}


def test_a_list_that_names_other_places_takes_nothing_away_there(tmp_path: Path) -> None:
    out = tmp_path / "site"
    reserve(out)
    (tmp_path / "novel.txt").write_text("mine")
    (out / MARK).write_text(f"../novel.txt\n{tmp_path / 'novel.txt'}\n")
    publish(built(tmp_path / "pages", index="1"), out)
    assert (tmp_path / "novel.txt").read_text() == "mine"


def test_other_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.png").write_bytes(b"cat")
    with pytest.raises(UsageError, match="something else than a site"):
        reserve(tmp_path / "photos")
    with pytest.raises(EnvironmentProblem, match="cannot be made"):
        reserve(tmp_path / "photos" / "cat.png" / "site")
    assert not (tmp_path / "photos" / MARK).exists()
