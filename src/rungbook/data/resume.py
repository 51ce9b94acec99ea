"""Bringing one file over HTTP, continuing where an earlier try was cut.

The file grows as `NAME.part`; `NAME.part.json` notes its address and ETag. The next try asks for the rest (Range) on condition that the
file is still the same (If-Range, RFC 9110 section 13.1.5); an answer that sends the whole file starts anew. The digest is known
beforehand, so a part that was continued wrongly is found out, thrown away and fetched once from the start. A size that nobody publishes
is the server's word; the digest decides then too.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from rungbook.data.registry import RemoteFile

if TYPE_CHECKING:
    import requests

CONNECT_SECONDS, READ_SECONDS = 10.0, 30.0
"""How long to wait for a connection, and for the next bytes of one."""
TRIES = 4
"""Attempts at one address without a new byte before the next address is tried; a clear "no" (4xx) is not repeated."""
PAUSE = 0.5
"""Seconds before the second attempt; doubled for each further one."""
REDIRECTS = 10
LARGEST = 20_000_000_000
"""Bytes of one file: what a server says of a file whose size nobody publishes is not believed beyond it."""
CHUNK = 1 << 16

Progress = Callable[[int], None]
"""Told how many bytes of the file are there."""


class Failed(Exception):
    """An address did not give the file: the message says why, `again` whether a further attempt may help."""

    def __init__(self, reason: str, *, again: bool = True) -> None:
        super().__init__(reason)
        self.again = again


class _Restart(Exception):
    """What is in the part cannot be continued."""


def megabytes(n: int) -> str:
    """Bytes as a person reads them: "9.9 MB", "5,996 bytes"."""
    return f"{n / 1e6:.1f} MB" if n >= 1e5 else f"{n:,} bytes"


def published(n: int) -> str:
    """The bytes of the registry's file as a person reads them."""
    return megabytes(n) if n else "size not published"


def note_of(part: Path) -> Path:
    """Where the address and ETag of a part are noted."""
    return part.with_name(part.name + ".json")


def complete(url: str, part: Path, file: RemoteFile, progress: Progress) -> None:
    """Bring `part` to the size and digest of `file`.

    Args:
        url: http or https address.
        part: what is there of the file, or a path where nothing is yet.
        file: what it must become.
        progress: told the bytes that are there.

    Raises:
        Failed: the address does not give this file. What came of it is kept if it can be continued.
    """
    tries, continued = 0, part.exists()
    while True:
        before = _size(part)
        try:
            if not file.size or before < file.size:
                _attempt(url, part, file, progress)
            _check(part, file)
            return
        except _Restart:
            _discard(part)
            if not continued:
                raise Failed(f"the bytes are not those of the registry ({file.checked_by} differs)", again=False) from None
            continued = False
        except Failed as failure:
            tries = 1 if _size(part) > before else tries + 1
            continued = part.exists()
            if not failure.again or tries >= TRIES:
                raise
            time.sleep(PAUSE * 2 ** (tries - 1))


def _attempt(url: str, part: Path, file: RemoteFile, progress: Progress) -> None:
    """One request: append what the server sends."""
    import requests

    have = _size(part)
    headers = {"Accept-Encoding": "identity", "User-Agent": "rungbook"}  # a server that unpacks .gz would change the bytes
    if have:
        headers["Range"] = f"bytes={have}-"
        if tag := _noted_tag(part, url):
            headers["If-Range"] = tag
    try:
        with requests.Session() as session:
            session.max_redirects = REDIRECTS
            with session.get(url, headers=headers, stream=True, timeout=(CONNECT_SECONDS, READ_SECONDS)) as answer:
                start, total = _accept(answer, have, file)
                if start == 0:
                    note_of(part).write_text(json.dumps({"url": url, "etag": _tag(answer)}), encoding="utf-8")
                _store(answer, part, start, total, progress)
    except requests.RequestException as error:
        raise Failed(_reason(error), again=not isinstance(error, requests.TooManyRedirects)) from error


def _accept(answer: requests.Response, have: int, file: RemoteFile) -> tuple[int, int]:
    """The byte from which the answer's body counts and the bytes of the whole file, or the reason to refuse it."""
    status = answer.status_code
    if status == 416:  # the part is longer than the server's file
        raise _Restart
    if status not in (200, 206):
        again = status >= 500 or status in (408, 425, 429)
        raise Failed(f"the server answered {status} {answer.reason}".rstrip(), again=again)
    start = have if status == 206 else 0
    if status == 206:
        span, _, total = answer.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
        if span.partition("-")[0] != str(have) or (file.size and total not in (str(file.size), "*")):
            raise _Restart
    length = answer.headers.get("Content-Length", "")
    if not length.isdigit():
        if not file.size:
            raise Failed("the server does not say how long the file is", again=False)
        return start, file.size
    if file.size and start + int(length) != file.size:
        raise Failed(f"the file there has {start + int(length):,} bytes, the registry says {file.size:,}", again=False)
    if start + int(length) > LARGEST:
        raise Failed(f"the file there has {start + int(length):,} bytes, more than {LARGEST:,}", again=False)
    return start, start + int(length)


def _store(answer: requests.Response, part: Path, start: int, total: int, progress: Progress) -> None:
    """Write the body behind the first `start` bytes of the part, to the disk and not only to the cache of the system."""
    from urllib3.exceptions import HTTPError, ReadTimeoutError

    have = start
    with part.open("r+b" if start else "wb") as out:
        out.seek(start)
        try:
            for chunk in answer.raw.stream(CHUNK, decode_content=False):
                have += len(chunk)
                if have > total:
                    break
                out.write(chunk)
                progress(have)
        except ReadTimeoutError as error:
            raise Failed(f"nothing came for {READ_SECONDS:g} s after {megabytes(have)}") from error
        except (HTTPError, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None and not isinstance(error, ConnectionError):
                raise  # ours: the disk
            raise Failed(f"the connection broke after {megabytes(have)} of {megabytes(total)}") from error
        finally:
            out.flush()
            os.fsync(out.fileno())
    if have > total:
        _discard(part)
        raise Failed(f"the server sent more than the {total:,} bytes of the registry", again=False)
    if have < total:
        raise Failed(f"the connection ended after {megabytes(have)} of {megabytes(total)}")


def _check(part: Path, file: RemoteFile) -> None:
    """The part is the file, or cannot become it."""
    if not file.is_at(part):
        raise _Restart


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _discard(part: Path) -> None:
    part.unlink(missing_ok=True)
    note_of(part).unlink(missing_ok=True)


def _tag(answer: requests.Response) -> str:
    """What names this version of the file: a strong ETag (a weak one may not be used with If-Range), or its date."""
    tag = answer.headers.get("ETag", "")
    return tag if tag and not tag.startswith("W/") else answer.headers.get("Last-Modified", "")


def _noted_tag(part: Path, url: str) -> str:
    """The version noted for this part, if it came from this address; bytes of a mirror are judged by the SHA-256 alone."""
    try:
        note = json.loads(note_of(part).read_text(encoding="utf-8"))
        return str(note["etag"]) if note["url"] == url else ""
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _reason(error: requests.RequestException) -> str:
    """What happened, without the address and headers that the library's own text repeats."""
    import requests

    if isinstance(error, requests.TooManyRedirects):
        return f"it redirects more than {REDIRECTS} times"
    if isinstance(error, requests.ConnectTimeout):
        return f"no connection within {CONNECT_SECONDS:g} s"
    if isinstance(error, requests.Timeout):
        return f"no answer within {READ_SECONDS:g} s"
    if isinstance(error, requests.exceptions.SSLError):
        return "the server's certificate is not accepted"
    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy refuses or cannot be reached"
    if isinstance(error, requests.ConnectionError):
        return "no connection (offline, or the server is down)"
    return f"the request failed ({type(error).__name__})"
