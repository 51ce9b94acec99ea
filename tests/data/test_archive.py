"""RELIABILITY row 19: an archive writes nothing outside its folder and leaves nothing behind when it is refused."""

from __future__ import annotations

import gzip
import io
import random
import shutil
import struct
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from rungbook.data.archive import Refused, safe_parts, unpack
from rungbook.errors import DataError, EnvironmentProblem

GOOD = {"a/1.txt": b"one", "a/b/2.txt": b"two" * 1000, "3.bin": bytes(range(256))}


def tar(path: Path, *members: tuple[tarfile.TarInfo, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as out:  # type: ignore[call-overload]
        for info, body in members:
            info.size = len(body)
            out.addfile(info, io.BytesIO(body))
    return path


def plain(name: str, body: bytes = b"x") -> tuple[tarfile.TarInfo, bytes]:
    return tarfile.TarInfo(name), body


def special(name: str, kind: bytes, link: str = "") -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info, b""


def zipped(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name, body in members.items():
            info = zipfile.ZipInfo("x")
            info.filename = name  # behind ZipInfo's back: it would turn some names into safe ones
            info.compress_type = zipfile.ZIP_DEFLATED
            out.writestr(info, body)
    return path


def tree(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("suffix", ["tar", "tar.gz", "tar.bz2", "tar.xz", "zip"])
def test_plain_archives(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"good.{suffix}"
    if suffix == "zip":
        zipped(path, GOOD)
    else:
        tar(path, *(plain(n, b) for n, b in GOOD.items()), mode="w:" + suffix.removeprefix("tar").removeprefix("."))
    out = unpack(path, tmp_path / "out", declared_bytes=10_000)
    assert tree(out) == GOOD
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([path.name, "out"])


BAD_NAMES = {
    "parent": "../evil.txt",
    "deep parent": "a/../../evil.txt",
    "inner parent": "a/../b.txt",
    "absolute": "/tmp/evil.txt",
    "drive": "C:\\evil.txt",
    "drive slash": "C:/evil.txt",
    "backslash": "a\\..\\..\\evil.txt",
    "unc": "\\\\server\\share",
    "full-width dots": "．．/evil.txt",
    "two-dot leader": "‥/evil.txt",
    "one-dot leaders": "․․/evil.txt",
    "full-width slash": "..／evil.txt",
    "fraction slash": "..⁄evil.txt",
    "division slash": "..∕evil.txt",
    "set minus": "..∖evil.txt",
    "full-width colon": "C：evil.txt",
    "right-to-left": "a\u202etxt.exe",
    "zero width": "a\u200b.txt",
    "newline": "a\nb.txt",
    "three dots": ".../x",
    "dots and space": ".. /x",
    "long name": "n" * 300,
    "long path": "/".join(["d" * 100] * 20),
}


@pytest.mark.parametrize("kind", ["tar", "zip"])
@pytest.mark.parametrize("name", BAD_NAMES.values(), ids=BAD_NAMES)
def test_bad_names(tmp_path: Path, name: str, kind: str) -> None:
    path = tmp_path / f"bad.{kind}"
    if kind == "tar":
        tar(path, plain("fine.txt"), plain(name), mode="w")
    else:
        zipped(path, {"fine.txt": b"x", name: b"x"})
    refused(tmp_path, path)


def refused(tmp_path: Path, path: Path, declared: int = 10_000, code: str = "E118") -> DataError:
    """The archive is refused with its name, and the folder holds what it held."""
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(DataError) as caught:
        unpack(path, tmp_path / "deep" / "out", declared_bytes=declared)
    assert caught.value.code == code
    assert str(path) in caught.value.message
    (tmp_path / "deep").rmdir()  # it was empty
    assert sorted(tmp_path.rglob("*")) == before
    return caught.value


TAR_TRICKS: dict[str, Callable[[], list[tuple[tarfile.TarInfo, bytes]]]] = {
    "symlink": lambda: [special("link", tarfile.SYMTYPE, "/etc")],
    "symlink inside": lambda: [special("link", tarfile.SYMTYPE, "fine")],
    "symlink then file through it": lambda: [special("d", tarfile.SYMTYPE, ".."), plain("d/evil.txt")],
    "hard link": lambda: [special("h", tarfile.LNKTYPE, "../../etc/passwd")],
    "character device": lambda: [special("c", tarfile.CHRTYPE)],
    "block device": lambda: [special("b", tarfile.BLKTYPE)],
    "fifo": lambda: [special("f", tarfile.FIFOTYPE)],
    "duplicate": lambda: [plain("a.txt"), plain("a.txt", b"y")],
    "duplicate by case": lambda: [plain("a.txt"), plain("A.TXT")],
    "duplicate by accent": lambda: [plain("é.txt"), plain("e\u0301.txt")],
    "duplicate by ./": lambda: [plain("a.txt"), plain("./a.txt")],
    "file as folder": lambda: [plain("a"), plain("a/b")],
    "folder as file": lambda: [plain("a/b"), plain("a")],
    "no name": lambda: [plain(".")],
}


@pytest.mark.parametrize("trick", TAR_TRICKS.values(), ids=TAR_TRICKS)
def test_tar_tricks(tmp_path: Path, trick: Callable[[], list[tuple[tarfile.TarInfo, bytes]]]) -> None:
    refused(tmp_path, tar(tmp_path / "bad.tar.gz", *trick()))


def test_zip_symlink(tmp_path: Path) -> None:
    path = tmp_path / "bad.zip"
    with zipfile.ZipFile(path, "w") as out:
        info = zipfile.ZipInfo("link")
        info.external_attr = 0o120777 << 16
        out.writestr(info, "/etc/passwd")
    refused(tmp_path, path)


def test_bombs(tmp_path: Path) -> None:
    zeros = bytes(3_000_000)
    for path in (tar(tmp_path / "b.tar.gz", plain("zeros", zeros)), zipped(tmp_path / "b.zip", {"zeros": zeros})):
        assert "10,000 bytes" in refused(tmp_path, path).message
        refused(tmp_path, path, declared=10**10)  # by the ratio
        path.unlink()


def test_bomb_stops_at_the_declared_size(tmp_path: Path) -> None:
    """10 GB of zeros that nobody could unpack here: refused by its header, before a byte is written."""
    path = tmp_path / "b.tar.gz"
    info = tarfile.TarInfo("zeros")
    info.size = 10 * 10**9
    with gzip.open(path, "wb") as out:
        out.write(info.tobuf(tarfile.GNU_FORMAT))
        out.write(bytes(1_000_000))
    refused(tmp_path, path, declared=100_000)


def test_bomb_in_a_header(tmp_path: Path) -> None:
    """tarfile reads extended headers into memory: theirs counts too."""
    path = tmp_path / "b.tar.gz"
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, 40_000_000
    with gzip.open(path, "wb", compresslevel=1) as out:
        out.write(info.tobuf(tarfile.USTAR_FORMAT))
        out.write(bytes(40_000_000))
    refused(tmp_path, path)


def test_zip_that_lies_about_its_size(tmp_path: Path) -> None:
    path = zipped(tmp_path / "b.zip", {"zeros": bytes(1_000_000)})
    raw = bytearray(path.read_bytes())
    raw = bytearray(raw.replace(struct.pack("<L", 1_000_000), struct.pack("<L", 10)))
    path.write_bytes(raw)
    refused(tmp_path, path, declared=5_000_000, code="E106")  # the checksum tells


def test_nested_archive_stays_packed(tmp_path: Path) -> None:
    inner = zipped(tmp_path / "inner.zip", {"../evil": b"x"}).read_bytes()
    out = unpack(zipped(tmp_path / "outer.zip", {"inner.zip": inner}), tmp_path / "out", declared_bytes=10_000)
    assert tree(out) == {"inner.zip": inner}


@pytest.mark.parametrize("kind", ["tar.gz", "zip"])
def test_damaged(tmp_path: Path, kind: str) -> None:
    whole = tmp_path / f"whole.{kind}"
    rng = random.Random(0)
    body = rng.randbytes(5_000)
    good = tar(whole, plain("a", body), plain("b", body)) if kind != "zip" else zipped(whole, {"a": body, "b": body})
    raw = good.read_bytes()
    for case in range(40):
        damaged = bytearray(raw[: rng.randrange(len(raw))] if case % 2 else raw)
        if damaged and not case % 2:
            damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
        path = tmp_path / f"damaged.{kind}"
        path.write_bytes(damaged)
        code = ""
        try:
            unpack(path, tmp_path / "out", declared_bytes=20_000)
        except DataError as error:
            code = error.code
        assert code in ("", "E106", "E118")
        assert (tmp_path / "out").exists() == (not code)
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        assert sorted(p.name for p in tmp_path.iterdir()) == sorted({whole.name, path.name})


def test_existing_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    path = zipped(tmp_path / "good.zip", GOOD)
    with pytest.raises(EnvironmentProblem, match="E405"):
        unpack(path, tmp_path / "out", declared_bytes=10_000)
    assert tree(tmp_path / "out") == {"mine.txt": b"mine"}


def test_ordinary_names_pass() -> None:
    for name in ("a.txt", "./a/b.txt", "Ünïcode/日本語.jpg", "a..b", "x (1).png", "a b/c-d_e.jpg", "..hidden"):
        assert safe_parts(name)
    with pytest.raises(Refused):
        safe_parts("..")


def test_plain_extractall_writes_outside(tmp_path: Path) -> None:
    """The control: what Python 3.11 does by itself, and later versions when they trust the archive."""
    path = tar(tmp_path / "bad.tar.gz", plain("../evil.txt"))
    (tmp_path / "out").mkdir()
    with tarfile.open(path) as packed:
        packed.extractall(tmp_path / "out", **({} if sys.version_info < (3, 12) else {"filter": "fully_trusted"}))
    assert (tmp_path / "evil.txt").exists()
    (tmp_path / "evil.txt").unlink()
    (tmp_path / "out").rmdir()
    refused(tmp_path, path)
