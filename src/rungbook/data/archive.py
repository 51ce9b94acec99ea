"""Unpacking an archive from elsewhere: nothing outside the folder, nothing larger than declared, all or nothing.

Stricter than PEP 706's `filter="data"`, which must serve every archive: a data set is plain files in plain folders, so links and devices
are refused altogether, and so is a name that only some system would take for a way out (backslash, drive letter, a look-alike of "/" or
"."). Sizes are counted while writing; what a header says is not believed.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import shutil
import stat
import tarfile
import tempfile
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any

from rungbook.errors import DataError, EnvironmentProblem

MAX_RATIO = 200
"""Unpacked to packed size. Pictures and tables reach 2 to 20; zeros reach 1,000, so this only stops what is no data."""
MAX_MEMBERS = 1_000_000
MAX_NAME, MAX_PATH = 255, 1024
"""Bytes of one name (the limit of common file systems) and of a whole path."""
TAR_OVERHEAD = 1 << 20
"""Bytes a tar may need beside its files: end blocks, padding; 2 KiB a member come on top."""
CHUNK = 1 << 18


_DAMAGE = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, NotImplementedError, ValueError, IndexError)
"""What the standard library raises on archives that are broken or packed in a way it does not know."""


class Refused(Exception):
    """A member breaks a rule: the message says which."""


def unpack(archive: Path, folder: Path, *, declared_bytes: int) -> Path:
    """Unpack a .tar, .tar.gz, .tar.bz2, .tar.xz or .zip into a new folder.

    Args:
        archive: the file.
        folder: where its members go; must not exist. It appears at the end, whole.
        declared_bytes: what the members may take together.

    Returns:
        `folder`.

    Raises:
        DataError: E118 a member would be written elsewhere, is no plain file, or there is more than declared; E106 the archive is
            damaged. Nothing is left behind.
        EnvironmentProblem: E405 `folder` exists.
    """
    if folder.exists() or folder.is_symlink():
        raise EnvironmentProblem("E405", f"{folder} exists already; {archive.name} is unpacked only into a new folder.", f"Remove {folder}")
    limit = min(declared_bytes, MAX_RATIO * archive.stat().st_size)
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        members = _zip_members(archive) if zipfile.is_zipfile(archive) else _tar_members(archive, limit)
        _write(members, work / "out", limit)
        os.rename(work / "out", folder)
    except Refused as refusal:
        raise DataError(
            "E118", f"{archive} was not unpacked: {refusal}.", "Get it from its official address again; do not unpack it by other means"
        ) from None
    except _DAMAGE as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk, not the archive
        raise DataError("E106", f"{archive} is damaged or of an unknown kind: {error}.", "Download it again") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return folder


Member = tuple[str, bool, int, Any]
"""Name as stored, whether it is a folder, declared bytes, and a function that opens it."""


def _write(members: Iterator[Member], out: Path, limit: int) -> None:
    """Write the members below `out`, none outside, at most `limit` bytes together."""
    out.mkdir()
    seen: dict[str, bool] = {}  # comparable path -> is a folder
    total = 0
    for count, (name, is_folder, declared, opener) in enumerate(members):
        if count >= MAX_MEMBERS:
            raise Refused(f"it has more than {MAX_MEMBERS:,} members")
        parts = safe_parts(name)
        _register(seen, parts, is_folder, name)
        if total + declared > limit:
            raise Refused(f'with "{_shown(name)}" it holds more than the {limit:,} bytes allowed')
        target = out.joinpath(*parts)
        (target if is_folder else target.parent).mkdir(parents=True, exist_ok=True)
        if is_folder:
            continue
        with opener() as source, target.open("xb") as sink:
            while chunk := source.read(CHUNK):
                total += len(chunk)
                if total > limit:
                    raise Refused(f'"{_shown(name)}" is larger than its header says, beyond the {limit:,} bytes allowed')
                sink.write(chunk)


def safe_parts(name: str) -> tuple[str, ...]:
    """The folders and file of a member's name.

    Raises:
        Refused: the name could lead elsewhere, on this system or another.
    """
    shown = _shown(name)
    # NFKC turns full-width and other look-alikes of "." "/" "\" ":" into themselves, so that they meet the same rules.
    for form in {name, unicodedata.normalize("NFKC", name).translate(_LOOK_ALIKES)}:
        if form.startswith("/") or "\\" in form or (len(form) > 1 and form[1] == ":"):
            raise Refused(f'"{shown}" is an absolute or foreign path')
        if any(unicodedata.category(c) in ("Cc", "Cf", "Cs") for c in form):
            raise Refused(f'"{shown}" has control or invisible characters')
        if any(part.rstrip(" .") == "" and part not in ("", ".") for part in form.split("/")):  # "..", "...", ".. "
            raise Refused(f'"{shown}" leads out of its folder')
        if form.count("/") != name.count("/"):
            raise Refused(f'"{shown}" holds a look-alike of "/"')
    parts = tuple(part for part in PurePosixPath(name).parts if part != ".")
    if len(name.encode()) > MAX_PATH or any(len(part.encode()) > MAX_NAME for part in parts):
        raise Refused(f'"{shown}" is too long a name')
    return parts


_LOOK_ALIKES = {ord(c): "/" for c in "∕⁄⧸⟋╱"} | {ord(c): "\\" for c in "∖⧵⟍╲"}
"""Slashes of Unicode that NFKC leaves as they are."""


def _register(seen: dict[str, bool], parts: tuple[str, ...], is_folder: bool, name: str) -> None:
    """Refuse a second file of one name (also where only case or accents' encoding differ) and a file used as a folder."""
    keys = [unicodedata.normalize("NFKC", part).casefold() for part in parts]
    if not keys and not is_folder:
        raise Refused(f'"{_shown(name)}" is no name for a file')
    for depth in range(1, len(keys)):
        if not seen.setdefault("/".join(keys[:depth]), True):
            raise Refused(f'"{_shown(name)}" goes through a file as if it were a folder')
    if keys:
        path = "/".join(keys)
        if path in seen and not (is_folder and seen[path]):
            raise Refused(f'"{_shown(name)}" occurs twice')
        seen[path] = is_folder


def _zip_members(archive: Path) -> Iterator[Member]:
    with zipfile.ZipFile(archive) as packed:
        for info in packed.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise Refused(f'"{_shown(info.orig_filename)}" is a link or device')
            if info.flag_bits & 0x1:
                raise Refused(f'"{_shown(info.orig_filename)}" is encrypted')
            yield info.orig_filename, info.is_dir(), info.file_size, lambda info=info: packed.open(info)


def _tar_members(archive: Path, limit: int) -> Iterator[Member]:
    with _decompressed(archive) as stream:
        source = _Counted(stream, limit + TAR_OVERHEAD)
        with tarfile.open(fileobj=source, mode="r|") as packed:  # type: ignore[call-overload]
            for info in packed:
                source.left += 2048  # its header and padding, a long name
                if not (info.isreg() or info.isdir()) or info.issparse():
                    raise Refused(f'"{_shown(info.name)}" is a link, device or sparse file')
                yield info.name, info.isdir(), info.size if info.isreg() else 0, lambda info=info: packed.extractfile(info)


@contextmanager
def _decompressed(archive: Path) -> Iterator[IO[bytes]]:
    """The tar inside a .tar, .tar.gz, .tar.bz2 or .tar.xz, told apart by the first bytes."""
    with archive.open("rb") as file:
        head = file.read(6)
    opener: Any = archive.open
    for magic, unpacker in ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ\x00", lzma.open)):
        if head.startswith(magic):
            opener = partial(unpacker, archive)
    with opener("rb") as stream:
        yield stream


class _Counted:
    """A stream that refuses to give more than `left` bytes: headers of a tar are read into memory and can be bombs themselves."""

    def __init__(self, stream: IO[bytes], left: int) -> None:
        self.stream, self.left = stream, left

    def read(self, size: int = -1) -> bytes:
        """As of a file."""
        data = self.stream.read(min(size, self.left + 1) if size >= 0 else self.left + 1)
        self.left -= len(data)
        if self.left < 0:
            raise Refused("it unpacks to more than the bytes allowed")
        return data


def _shown(name: str) -> str:
    """A member's name for a message: printable and short."""
    text = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in name)
    return text if len(text) <= 80 else text[:77] + "..."
