"""Dogs and cats: the official archive, the smaller local copy, and archives that are not what they should be."""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import replace
from pathlib import Path

import pictures
import pytest

from rungbook.data import dogscats, unpacked
from rungbook.data.named import named_data
from rungbook.data.registry import DOWNLOADS, Download, RemoteFile
from rungbook.errors import DataError


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv("RUNG_DATA", str(folder))
    monkeypatch.setenv("RUNG_CACHE", str(tmp_path / "cache"))
    return folder


def archive(path: Path, *, inside: str, parts: tuple[str, ...] = ("",), each: int = 12, extra: dict[str, bytes] | None = None) -> bytes:
    """A zip of photographs as the official one or the smaller one is laid out."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as packed:
        for k, (part, kind) in enumerate((p, c) for p in parts for c in ("Cat", "Dog")):
            for i in range(each):
                packed.writestr(f"{inside}{part}{kind}/{i}.jpg", pictures.encoded(pictures.photo(100 * k + i), "JPEG"))
        for name, body in (extra or {}).items():
            packed.writestr(name, body)
    return path.read_bytes()


def entry(body: bytes) -> Download:
    """The registry's entry, for an archive of these bytes."""
    official = DOWNLOADS["dogs-vs-cats"]
    file = RemoteFile(official.files[0].name, ("http://127.0.0.1:9/x.zip",), len(body), hashlib.sha256(body).hexdigest())
    return replace(official, files=(file,))


def test_the_official_archive_is_checked_unpacked_once_and_read_as_a_folder(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = DOWNLOADS["dogs-vs-cats"].files[0].name
    extra = {"PetImages/Cat/666.jpg": b"", "PetImages/Cat/Thumbs.db": b"x", "readme[1].txt": b"read me", "CDLA-Permissive-2.0.pdf": b"%PDF"}
    body = archive(root / "dogs-vs-cats" / name, inside="PetImages/", extra=extra)
    data = dogscats.load(entry(body), valid=0.2, test=0.2, seed=1)
    assert (data.name, data.classes, data.facts["files"], data.facts["unreadable"]) == ("dogs-vs-cats", ("Cat", "Dog"), 25, 1)
    assert set(data.splits()) == {"train", "valid", "test"}
    with monkeypatch.context() as patch:
        patch.setattr(unpacked, "unpack", None)
        assert dogscats.load(entry(body), valid=0.2, test=0.2, seed=1).fingerprint == data.fingerprint
    archive(root / "dogs-vs-cats-1400" / "some.zip", inside="", parts=("train/", "valid/"))
    assert dogscats.load(entry(body)).facts["files"] == 25, "the whole one goes first"


def test_another_file_of_that_name_is_refused(root: Path) -> None:
    body = archive(root / "dogs-vs-cats" / DOWNLOADS["dogs-vs-cats"].files[0].name, inside="PetImages/")
    with pytest.raises(DataError, match=r"E106 .* is not the file of dogs-vs-cats"):
        dogscats.load(entry(body + b"x"))


def test_the_smaller_copy_keeps_its_valid_folder_and_says_so(root: Path) -> None:
    archive(root / "dogs-vs-cats-1400" / "some.zip", inside="", parts=("train/", "valid/"))
    data = named_data("dogs-vs-cats", valid=0.1, test=0.25, image_size=16, augment="flip_crop")
    assert {k: f.samples for k, f in data.splits().items()} == {"train": 18, "valid": 24, "test": 6}
    assert data.facts["licence"].startswith("CDLA")
    assert any("48 of the 25,000" in f.message for f in data.findings)
    assert data.facts["shape"] == [3, 16, 16]


def test_an_archive_that_would_write_elsewhere(root: Path) -> None:
    archive(root / "dogs-vs-cats-1400" / "some.zip", inside="", parts=("train/", "valid/"), extra={"../out.jpg": b"x"})
    with pytest.raises(DataError, match=r"E118 .*leads out of its folder"):
        named_data("dogs-vs-cats")
    assert not list(root.parent.rglob("out.jpg"))
    (root / "dogs-vs-cats-1400" / "some.zip").write_bytes(b"no zip")
    with pytest.raises(DataError, match="E106"):
        named_data("dogs-vs-cats")


def test_the_photographs(real_data: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RUNG_CACHE", str(tmp_path))
    data = named_data("dogs-vs-cats", image_size=8)
    assert data.classes == ("cat", "dog")
    assert sum(f.samples for f in data.splits().values()) == 1399
    assert data.facts["unreadable"] == data.facts["copies"] == 0
