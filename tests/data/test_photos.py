"""A world's pictures as files: the same for the same seed, whole or made again, and read by the code for anybody's folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rungbook.data import photos
from rungbook.data.folder import folder_data
from rungbook.data.pil import read_header
from rungbook.data.worlds.line import Line
from rungbook.data.worlds.shapes import Shapes
from rungbook.errors import UsageError

WORLD = Shapes(n=120, side=16, channels=3)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RUNG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(photos, "LARGEST", 60)
    return tmp_path / "cache"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_files_are_made_once_and_again_when_one_is_gone_or_cut(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = photos.picture_folder(WORLD, 0)
    first = contents(folder)
    made = []
    really = photos.write_pictures
    monkeypatch.setattr(photos, "write_pictures", lambda *args: (made.append(args), really(*args)))
    assert photos.picture_folder(WORLD, 0) == folder
    assert not made, "used again"
    picture = next(p for p in folder.rglob("*.png"))
    for damage in (picture.unlink, lambda: picture.write_bytes(b"x"), (folder / photos.STAMP).unlink):
        damage()
        assert photos.picture_folder(WORLD, 0) == folder
        assert contents(folder) == first
    assert len(made) == 3
    other = photos.picture_folder(WORLD, 1)
    assert other != folder
    assert contents(other) != first


def test_a_writer_that_is_stopped_leaves_nothing_half_there(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(world: Shapes, seed: int, root: Path) -> None:
        (root / "circle").mkdir()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(photos, "write_pictures", stopped)
        with pytest.raises(KeyboardInterrupt):
            photos.picture_folder(WORLD, 0)
    assert [p.name for p in (cache / "photos").iterdir()] == [".lock"]
    leftover = cache / "photos" / f".{photos.picture_folder(WORLD, 0).name}.killed"
    leftover.mkdir()
    (photos.picture_folder(WORLD, 0) / photos.STAMP).unlink()
    photos.picture_folder(WORLD, 0)
    assert not leftover.exists(), "that of a killed process is cleared away"


def test_what_files_bring_with_them_is_there_and_is_told(cache: Path) -> None:
    folder = photos.picture_folder(WORLD, 0)
    headers = {read_header(p) for p in folder.rglob("*.jpg")} - {None}
    assert len({h[:2] for h in headers if h}) > 30, "many sizes"
    assert {h[0] > h[1] for h in headers if h} == {True, False}, "upright and lying"
    data = folder_data(folder)
    (bad,) = (f for f in data.findings if f.code == "W209")
    assert [item.split(" ", 1)[0] for item in bad.items] == ["circle/cut", "circle/empty.jpg", "square/not"]
    assert data.facts["copies"] == 2
    names = {part: {feed.source.name(i) for i in range(feed.samples)} for part, feed in data.splits().items()}
    for part, there in names.items():
        for name in there:
            copy = name.replace("/", "/copy of ")
            assert copy in there or not any(copy in others for others in names.values()), f"{name} of {part} has a copy elsewhere"
    assert any("copy of" in name for there in names.values() for name in there)
    assert sum(feed.samples for feed in data.splits().values()) == WORLD.n + 2


def test_no_pictures(cache: Path) -> None:
    with pytest.raises(UsageError, match="has no images") as error:
        photos.picture_folder(Line(), 0)
    assert (error.value.code, error.value.fix) == ("E202", "data=world:shapes")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_cache_that_cannot_be_written(cache: Path) -> None:
    from rungbook.errors import EnvironmentProblem

    cache.mkdir()
    cache.chmod(0o500)
    with pytest.raises(EnvironmentProblem, match="E405"):
        photos.picture_folder(WORLD, 0)
