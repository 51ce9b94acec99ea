"""Registered sets of photographs: real loading code on small archives of the same form, served by a server of the test's own."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pictures
import pytest
from bad_site import Site, serve

from rungbook.data import resume
from rungbook.data.data import Data
from rungbook.data.named import _function, data_names, named_data
from rungbook.data.picture_sets import IMAGENETTE, IMAGEWOOF
from rungbook.data.registry import DOWNLOADS, Download
from rungbook.errors import DataError, EnvironmentProblem


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUNG_DATA", raising=False)
    monkeypatch.setenv("RUNG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(resume, "PAUSE", 0.001)
    monkeypatch.setattr(resume, "TRIES", 1)


def tar(files: dict[str, bytes]) -> bytes:
    """A .tar.gz of some files."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as packed:
        for name, body in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            packed.addfile(info, io.BytesIO(body))
    return out.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    """A .zip of some files."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as packed:
        for name, body in files.items():
            packed.writestr(name, body)
    return out.getvalue()


def photographs(folders: dict[str, int], suffix: str = ".JPEG") -> dict[str, bytes]:
    """JPEG files: folder -> how many; all different."""
    return {
        f"{folder}/{i}{suffix}": pictures.encoded(pictures.photo(1000 * k + i), "JPEG")
        for k, (folder, n) in enumerate(folders.items())
        for i in range(n)
    }


def as_registered(name: str, bodies: list[bytes], address: str) -> Download:
    """The registry's entry with other bytes: the kind of digest and whether the size is known stay as they are."""
    entry, files = DOWNLOADS[name], []
    for i, (file, body) in enumerate(zip(entry.files, bodies, strict=True)):
        kind = file.digest[0]
        digests = {"sha256": "", "sha1": "", "md5": "", kind: hashlib.new(kind, body).hexdigest()}
        files.append(replace(file, urls=(f"{address}/{i}",), size=len(body) if file.size else 0, **digests))
    return replace(entry, files=tuple(files))


def load(name: str, bodies: list[bytes], monkeypatch: pytest.MonkeyPatch, **options: object) -> Data:
    """The set as `load_data` gives it, fetched from a server with these archives."""
    sites = [Site(body) for body in bodies]
    with serve(sites[0]) as first, serve(sites[-1]) as last:
        entry = as_registered(name, bodies, first)
        if len(sites) > 1:
            entry = replace(entry, files=(entry.files[0], replace(entry.files[1], urls=(f"{last}/1",))))
        monkeypatch.setitem(DOWNLOADS, name, entry)
        data = named_data(name, **options)
        assert named_data(name, **options).fingerprint == data.fingerprint
    assert all(len(site.asked) == 1 for site in sites), "fetched once"
    return data


def names(data: Data, part: str) -> list[str]:
    feed = data.splits()[part]
    return [feed.source.name(i) for i in range(feed.samples)]


@pytest.mark.parametrize(("name", "classes"), [("imagenette-160", IMAGENETTE), ("imagewoof-320", IMAGEWOOF)])
def test_imagenette_and_imagewoof(name: str, classes: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    top = name.replace("-", "2-")
    files = photographs({f"{top}/{part}/{wnid}": n for part, n in (("train", 4), ("val", 2)) for wnid in classes})
    files[f"{top}/noisy_imagenette.csv"] = b"path,noisy_labels_0\n"
    data = load(name, [tar(files)], monkeypatch, valid=0.25, image_size=16, augment="flip_crop")
    assert set(data.classes) == set(classes.values())
    assert data.facts["samples"] == {"train": 30, "valid": 10, "test": 20}
    assert all(n.startswith("val/") for n in names(data, "test"))
    for part in data.splits():
        said = [classes[n.split("/")[1]] for n in names(data, part)]
        assert said == [data.classes[k] for k in data.splits()[part].source.targets().tolist()]
    assert (data.name, data.facts["shape"], data.facts["test"]) == (name, [3, 16, 16], "official")
    assert "ImageNet" in data.facts["licence"]


def test_ants_and_bees(monkeypatch: pytest.MonkeyPatch) -> None:
    files = photographs({f"hymenoptera_data/{part}/{kind}": 12 for part in ("train", "val") for kind in ("ants", "bees")}, ".jpg")
    data = load("hymenoptera", [zipped(files)], monkeypatch, test=0)
    assert data.classes == ("ants", "bees")
    assert set(data.splits()) == {"train", "valid"}
    assert all(n.startswith("train/") for part in data.splits() for n in names(data, part))


def test_hot_dogs_have_a_sha1_and_no_size(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = DOWNLOADS["hot-dog"]
    assert (entry.files[0].checked_by, entry.size) == ("SHA-1", 0)
    assert data_names()["hot-dog"].endswith("(download, size not published)")
    files = photographs({f"hotdog/{part}/{kind}": 12 for part in ("train", "test") for kind in ("hotdog", "not-hotdog")}, ".png")
    data = load("hot-dog", [zipped(files)], monkeypatch)
    assert data.classes == ("hotdog", "not-hotdog")
    assert data.facts["samples"]["test"] == 24
    assert any("in another format than the name says" in f.message for f in data.findings)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"body": b"x" * 100_000}, "SHA-1 differs"),
        ({"status": 404}, "404 Not Found"),
        ({"length": 10**12}, "1,000,000,000,000 bytes, more than 20,000,000,000"),
        ({"cuts": [1000, 1000, 1000]}, "the connection"),
    ],
)
def test_a_file_of_unknown_size_is_checked_all_the_same(change: dict, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = bytes(range(256)) * 400
    site = Site(**{"body": body, **change})
    with serve(site) as address:
        monkeypatch.setitem(DOWNLOADS, "hot-dog", as_registered("hot-dog", [body], address))
        with pytest.raises(EnvironmentProblem, match=r"E403 hotdog\.zip \(size not published\) of hot-dog could not") as caught:
            named_data("hot-dog")
    assert says in caught.value.message
    assert not (tmp_path / "cache" / "data" / "hot-dog" / "hotdog.zip").exists()


def test_a_file_of_unknown_size_continues_where_it_was_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rungbook.data.download import fetch

    monkeypatch.setattr(resume, "TRIES", 3)
    body = bytes(range(256)) * 400
    site = Site(body, cuts=[50_000])
    with serve(site) as address:
        assert fetch(as_registered("hot-dog", [body], address))["hotdog.zip"].read_bytes() == body
    assert site.sent == len(body)
    part = tmp_path / "cache" / "data" / "hot-dog" / "hotdog.zip"
    part.rename(part.with_name("hotdog.zip.part"))  # whole, and the process was killed before it was named
    with serve(Site(body)) as address:
        assert fetch(as_registered("hot-dog", [body], address))["hotdog.zip"].read_bytes() == body


def test_pets(monkeypatch: pytest.MonkeyPatch) -> None:
    breeds = ("Abyssinian", "american_bulldog", "Bengal")
    both = [(k, breed, i) for k, breed in enumerate(breeds) for i in range(12)]
    files = {f"images/{breed}_{i}.jpg": pictures.encoded(pictures.photo(100 * k + i), "JPEG") for k, breed, i in both}
    files["images/Bengal_3.jpg"] = pictures.encoded(pictures.photo(203), "GIF")  # as some of the real ones
    files["images/Abyssinian_100.mat"] = b"MATLAB"
    files["images/Bengal_99.jpg"] = pictures.encoded(pictures.photo(77), "JPEG")  # in no list
    even = {"trainval": True, "test": False}
    lines = {part: [f"{breed}_{i} {k + 1} 1 {i + 1}" for k, breed, i in both if (i % 2 == 0) == even[part]] for part in even}
    annotations = {f"annotations/{part}.txt": "\n".join(rows).encode() + b"\n" for part, rows in lines.items()}
    annotations |= {"annotations/list.txt": b"#Image CLASS-ID SPECIES BREED ID\n", "annotations/trimaps/._Bengal_1.png": b"x"}
    data = load("pets", [tar(files), tar(annotations)], monkeypatch, valid=0.2, seed=2)
    assert data.classes == ("Abyssinian", "Bengal", "american_bulldog")
    assert data.facts["samples"] == {"train": 14, "valid": 4, "test": 18}
    assert all(int(n.rsplit("_", 1)[1].split(".")[0]) % 2 for n in names(data, "test"))
    assert any("1 images that are in no list, e.g. " in f.message for f in data.findings)
    assert any(f.items == ("Bengal_3.jpg (named .jpg, holds GIF)",) for f in data.findings)


def test_cifar100(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    kinds = [f"kind_{k}" for k in range(7)]
    records = {part: rng.integers(0, 256, (n, 3074), np.uint8) for part, n in (("train", 70), ("test", 21))}
    for rows in records.values():
        rows[:, 0], rows[:, 1] = np.arange(len(rows)) % 3, np.arange(len(rows)) % 7
    files = {f"cifar-100-binary/{part}.bin": rows.tobytes() for part, rows in records.items()}
    files["cifar-100-binary/fine_label_names.txt"] = "\n".join(kinds).encode() + b"\n"
    data = load("cifar100", [tar(files)], monkeypatch, valid=0)
    x, y = data.train.source.fetch(slice(0, 70))
    assert np.array_equal(x.numpy().reshape(70, -1), records["train"][:, 2:])
    assert np.array_equal(y.numpy(), records["train"][:, 1]), "the fine label, not the coarse one before it"
    assert data.classes == tuple(kinds)
    assert data.facts["samples"]["test"] == 21


@pytest.mark.parametrize(
    ("name", "files", "says"),
    [
        ("cifar100", {"cifar-100-binary/train.bin": b"x"}, r"E106 .*cifar-100-binary has no names of the classes"),
        ("cifar100", {"cifar-100-binary/fine_label_names.txt": b"a b c"}, r"E106 .*train\.bin does not hold records of 3,074 bytes"),
        ("imagenette-160", {"imagenette2-160/readme.txt": b"x"}, r"E107 .*holds no file that ends in"),
        ("hymenoptera", {"../out.jpg": b"x"}, "E118 .*leads out of its folder"),
    ],
)
def test_archives_that_hold_something_else(name: str, files: dict[str, bytes], says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    body = tar(files)
    with serve(Site(body)) as address:
        monkeypatch.setitem(DOWNLOADS, name, as_registered(name, [body], address))
        with pytest.raises(DataError, match=says):
            named_data(name)


def test_loaders_and_digests_of_the_registry() -> None:
    for entry in DOWNLOADS.values():
        assert callable(_function(entry.loader))
        for file in entry.files:
            kind, value = file.digest
            assert len(value) == {"sha256": 64, "sha1": 40, "md5": 32}[kind]
            assert value == value.lower()
    with pytest.raises(ValueError, match="has no digest"):
        replace(DOWNLOADS["hot-dog"].files[0], sha1="")
