"""RELIABILITY row 20: the cache holds a verified file or none, whatever the network does."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from bad_site import Site, serve

from rungbook.data import download as download_module
from rungbook.data import resume
from rungbook.data.download import fetch, sha256
from rungbook.data.registry import DOWNLOADS, Download, RemoteFile
from rungbook.errors import EnvironmentProblem

BODY = random.Random(0).randbytes(300_000)


def entry(*urls: str, body: bytes = BODY) -> Download:
    file = RemoteFile("file.bin", urls, len(body), hashlib.sha256(body).hexdigest())
    return Download("set", "a set", "image", (file,), "none", "none", "none:none")


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RUNG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(resume, "PAUSE", 0.001)
    monkeypatch.setattr(resume, "READ_SECONDS", 0.4)


def cached(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "data" / "set" / "file.bin"


def absent_or_verified(tmp_path: Path, download: Download) -> bool:
    path = cached(tmp_path)
    return not path.exists() or download.files[0].is_at(path)


def test_fetch_then_cache(tmp_path: Path) -> None:
    site = Site(BODY)
    with serve(site) as address:
        download = entry(f"{address}/f")
        assert fetch(download)["file.bin"].read_bytes() == BODY
        assert fetch(download)["file.bin"] == cached(tmp_path)
    assert len(site.asked) == 1
    assert sorted(p.name for p in cached(tmp_path).parent.iterdir() if p.name != ".lock") == ["file.bin"]


def test_progress_is_shown_on_request(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich then takes the captured stream for a terminal
    with serve(Site(BODY)) as address:
        fetch(entry(f"{address}/f"), show=True)
    shown = capsys.readouterr()
    assert "file.bin" in shown.err
    assert not shown.out  # standard output belongs to --json


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_cut_is_resumed_where_it_was(tmp_path: Path, share: float) -> None:
    cut = int(len(BODY) * share)
    site = Site(BODY, cuts=[cut])
    with serve(site) as address:
        assert fetch(entry(f"{address}/f"))["file.bin"].read_bytes() == BODY
    assert site.sent == len(BODY)  # nothing twice
    assert site.asked[1] == ("/f", f"bytes={cut}-" if cut else "", '"one"' if cut else "")


def test_naive_way_keeps_a_cut_file(tmp_path: Path) -> None:
    """The control: what a plain copy of the stream leaves at the final name is short and looks complete."""
    with serve(Site(BODY, cuts=[1000])) as address:
        path = tmp_path / "naive.bin"
        with urllib.request.urlopen(f"{address}/f") as answer, path.open("wb") as out:
            try:
                while chunk := answer.read(500):
                    out.write(chunk)
            except OSError:
                pass
    assert path.exists()
    assert path.stat().st_size < len(BODY)


def test_a_later_process_continues(tmp_path: Path) -> None:
    site = Site(BODY, cuts=[100_000, 0, 0, 0, 0])
    with serve(site) as address:
        download = entry(f"{address}/f")
        with pytest.raises(EnvironmentProblem, match=r"E403.*100,?000|E403.*0\.1 MB are kept"):
            fetch(download)
        assert not cached(tmp_path).exists()
        site.cuts.clear()
        assert fetch(download)["file.bin"].read_bytes() == BODY
    assert site.sent == len(BODY)


def test_changed_etag_on_resume_starts_anew(tmp_path: Path) -> None:
    def change(site: Site) -> None:
        if len(site.asked) == 2:
            site.etag, site.body = '"two"', BODY

    site = Site(random.Random(1).randbytes(len(BODY)), cuts=[150_000], before=change)
    with serve(site) as address:
        assert fetch(entry(f"{address}/f"))["file.bin"].read_bytes() == BODY
    assert len(site.asked) == 2
    assert site.sent == 150_000 + len(BODY)


def test_changed_file_without_etag_is_found_by_its_checksum(tmp_path: Path) -> None:
    def change(site: Site) -> None:
        if len(site.asked) == 2:
            site.body = BODY  # same ETag: the server lies

    site = Site(random.Random(1).randbytes(len(BODY)), cuts=[150_000], before=change)
    with serve(site) as address:
        assert fetch(entry(f"{address}/f"))["file.bin"].read_bytes() == BODY
    assert [a[1] for a in site.asked] == ["", "bytes=150000-", ""]


def test_server_without_ranges(tmp_path: Path) -> None:
    with serve(Site(BODY, cuts=[150_000], ranges=False)) as address:
        assert fetch(entry(f"{address}/f"))["file.bin"].read_bytes() == BODY


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"status": 404}, "404 Not Found"),
        ({"status": 500}, "500"),
        ({"body": BODY[:-1]}, "299,999 bytes, the registry says 300,000"),
        ({"body": BODY + b"x"}, "300,001 bytes, the registry says 300,000"),
        ({"body": bytes(len(BODY))}, "SHA-256 differs"),
        ({"redirect": "/again"}, "redirects more than"),
        ({"pause": 1.0}, "nothing came for 0.4 s"),
        ({"length": 10**12}, "the registry says 300,000"),
    ],
    ids=["404", "500", "short", "long", "wrong bytes", "redirect loop", "silent", "huge"],
)
def test_refused_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict, says: str) -> None:
    monkeypatch.setattr(resume, "TRIES", 2)
    with serve(Site(**{"body": BODY, **change})) as address:
        download = entry(f"{address}/f")
        with pytest.raises(EnvironmentProblem) as caught:
            fetch(download)
    error = caught.value
    assert error.code == "E403"
    assert says in error.message
    assert f"{address}/f" in error.message
    assert str(cached(tmp_path)) in error.fix
    assert "RUNG_DATA" in error.fix
    assert not cached(tmp_path).exists()


def test_slow_but_steady_succeeds(tmp_path: Path) -> None:
    with serve(Site(BODY, pause=0.2)) as address:
        assert fetch(entry(f"{address}/f"))["file.bin"].read_bytes() == BODY


def test_mirror_is_tried_and_may_continue(tmp_path: Path) -> None:
    gone, mirror = Site(BODY, cuts=[100_000, 0, 0, 0, 0]), Site(BODY)
    with serve(gone) as first, serve(mirror) as second:
        assert fetch(entry(f"{first}/f", f"{second}/f"))["file.bin"].read_bytes() == BODY
    assert mirror.asked == [("/f", "bytes=100000-", "")]  # the other server's ETag means nothing here


def test_damaged_cache_is_replaced(tmp_path: Path) -> None:
    with serve(Site(BODY)) as address:
        download = entry(f"{address}/f")
        path = fetch(download)["file.bin"]
        damaged = bytearray(BODY)
        damaged[1234] ^= 1
        path.write_bytes(damaged)
        assert fetch(download)["file.bin"].read_bytes() == BODY


def test_cut_in_every_answer(tmp_path: Path) -> None:
    """Each answer brings a bit more: no attempt is counted against it."""
    cuts: list[int | None] = list(range(20_000, 300_000, 20_000))
    site = Site(BODY, cuts=cuts)
    with serve(site) as address:
        assert fetch(entry(f"{address}/f"))["file.bin"].read_bytes() == BODY
    assert site.sent == len(BODY)


_PROGRAM = """
import hashlib, sys
from rungbook.data import download
from rungbook.data.registry import Download, RemoteFile
url, size, digest = sys.argv[1], int(sys.argv[2]), sys.argv[3]
d = Download("set", "a set", "image", (RemoteFile("file.bin", (url,), size, digest),), "none", "none", "none:none")
print(hashlib.sha256(download.fetch(d)["file.bin"].read_bytes()).hexdigest())
"""


def test_two_processes_do_one_download(tmp_path: Path) -> None:
    site = Site(BODY, pause=0.5)
    digest = hashlib.sha256(BODY).hexdigest()
    with serve(site) as address:
        command = [sys.executable, "-c", _PROGRAM, f"{address}/f", str(len(BODY)), digest]
        both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ)) for _ in range(2)]
        said = [p.communicate(timeout=60)[0].strip() for p in both]
    assert said == [digest, digest]
    assert len(site.asked) == 1


def test_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("RUNG_CACHE", str(tmp_path / "file"))
    with pytest.raises(EnvironmentProblem, match=r"E405.*RUNG_CACHE"):
        fetch(entry("http://127.0.0.1:9/f"))


def test_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(resume.os, "fsync", full)
    with serve(Site(BODY)) as address, pytest.raises(EnvironmentProblem, match=r"E401.*0\.3 MB"):
        fetch(entry(f"{address}/f"))
    assert not cached(tmp_path).exists()


def test_offline_names_the_address(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem, match=r"http://127\.0\.0\.1:9/f: no connection"):
        fetch(entry("http://127.0.0.1:9/f"))


def test_registry_is_complete() -> None:
    for name, download in DOWNLOADS.items():
        assert name == download.name
        assert download.title
        assert download.licence
        assert download.citation
        for file in download.files:
            assert file.size >= 0
            assert all(u.startswith(("https://", "http://")) for u in file.urls)
            assert file.md5 in ("", file.md5.lower())


def test_registry_agrees_with_the_official_md5(real_data: Path) -> None:
    for name in ("mnist", "fashion-mnist"):
        for file in DOWNLOADS[name].files:
            raw = (real_data / name / file.name).read_bytes()
            assert (len(raw), sha256(real_data / name / file.name)) == (file.size, file.sha256)
            assert hashlib.md5(raw).hexdigest() == file.md5


@pytest.mark.soak
def test_200_cuts(tmp_path: Path) -> None:
    """Cut after any number of bytes, any number of times, with another file or none behind it."""
    for case in range(200):
        rng = random.Random(case)
        site = Site(BODY, cuts=[rng.randrange(len(BODY)) for _ in range(rng.randrange(1, 7))], ranges=rng.random() < 0.7)
        with serve(site) as address:
            download = entry(f"{address}/f")
            for _ in range(4):
                with contextlib.suppress(EnvironmentProblem):
                    fetch(download)
                assert absent_or_verified(tmp_path, download)
        assert download.files[0].is_at(cached(tmp_path)), case
        cached(tmp_path).unlink()


def test_lock_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from filelock import FileLock

    folder = cached(tmp_path).parent
    folder.mkdir(parents=True)
    monkeypatch.setattr(download_module, "LOCK_SECONDS", 0.2)
    with FileLock(folder / ".lock"), pytest.raises(EnvironmentProblem, match="E403 Another process"):
        fetch(entry("http://127.0.0.1:9/f"))
