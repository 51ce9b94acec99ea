"""Local copies and the readers of idx and CIFAR files."""

from __future__ import annotations

import gzip
import hashlib
import io
import struct
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from rungbook.data import cifar, local, unpacked
from rungbook.data.idx import read_idx
from rungbook.data.local import cifar10_grids, files_of, local_folder
from rungbook.data.named import named_data
from rungbook.data.registry import DOWNLOADS, Download, RemoteFile
from rungbook.errors import DataError, EnvironmentProblem, UsageError


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty `RUNG_DATA`, and an empty cache."""
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv("RUNG_DATA", str(folder))
    monkeypatch.setenv("RUNG_CACHE", str(tmp_path / "cache"))
    return folder


def entry(body: bytes) -> Download:
    file = RemoteFile("f.bin", ("http://127.0.0.1:9/f.bin",), len(body), hashlib.sha256(body).hexdigest())
    return Download("set", "a set", "image", (file,), "none", "none", "none:none")


def test_local_copy_is_taken_and_checked(root: Path) -> None:
    (root / "set").mkdir()
    (root / "set" / "f.bin").write_bytes(b"right")
    assert files_of(entry(b"right")) == {"f.bin": root / "set" / "f.bin"}
    with pytest.raises(DataError, match=r"E106 .*f\.bin is not the file of set"):
        files_of(entry(b"wrong"))


def test_without_a_local_copy_it_is_fetched(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rungbook.data.resume.TRIES", 1)
    with pytest.raises(EnvironmentProblem, match="E403"):
        files_of(entry(b"right"))


def test_rung_data_that_is_no_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RUNG_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match="E105 RUNG_DATA"):
        local_folder("mnist")
    monkeypatch.delenv("RUNG_DATA")
    assert local_folder("mnist") is None


def idx_bytes(x: np.ndarray) -> bytes:
    return bytes([0, 0, 8, x.ndim]) + struct.pack(f">{x.ndim}I", *x.shape) + x.tobytes()


def test_idx(tmp_path: Path) -> None:
    x = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    (tmp_path / "x.gz").write_bytes(gzip.compress(idx_bytes(x)))
    (tmp_path / "x").write_bytes(idx_bytes(x))
    assert np.array_equal(read_idx(tmp_path / "x.gz"), x)
    assert np.array_equal(read_idx(tmp_path / "x"), x)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\0\0\x08",
        b"not idx at all",
        bytes([0, 0, 8, 3]) + b"\0\0",
        idx_bytes(np.zeros((2, 3), np.uint8))[:-1],
        idx_bytes(np.zeros((2, 3), np.uint8)) + b"x",
        bytes([0, 0, 8, 3]) + b"\xff" * 12,
        gzip.compress(idx_bytes(np.zeros((2, 3), np.uint8)), mtime=0)[:-9],
    ],
)
def test_damaged_idx(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "x").write_bytes(raw)
    with pytest.raises(DataError, match="E106") as caught:
        read_idx(tmp_path / "x")
    assert str(tmp_path / "x") in caught.value.message


def cifar_folder(folder: Path, tiles: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """A small copy in the local form: five grids of `tiles` x `tiles`, and the labels."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (6, tiles * tiles, 32, 32, 3), np.uint8)
    for k, name in enumerate([*(f"train_batch_{k}" for k in range(1, 6)), "test_first1000"]):
        grid = images[k].reshape(tiles, tiles, 32, 32, 3).transpose(0, 2, 1, 3, 4).reshape(32 * tiles, 32 * tiles, 3)
        Image.fromarray(grid).save(folder / f"{name}.webp", lossless=True)
    n = tiles * tiles
    labels = np.arange(5 * n) % 10
    np.savez(folder / "labels.npz", train=labels.astype(np.uint8), test=(np.arange(3 * n) % 10).astype(np.uint8))
    return images.transpose(0, 1, 4, 2, 3), labels


def test_cifar_grids(root: Path) -> None:
    images, labels = cifar_folder(root / "cifar10")
    data = named_data("cifar10", valid=0, seed=3)
    train = data.train.source.fetch(slice(0, 80))
    assert np.array_equal(train[0].numpy(), images[:5].reshape(-1, 3, 32, 32))
    assert np.array_equal(train[1].numpy(), labels)
    assert data.test is not None
    assert np.array_equal(data.test.source.fetch(slice(0, 16))[0].numpy(), images[5])
    assert any("smaller form" in f.message for f in data.findings)


def test_cifar_grids_damaged(root: Path) -> None:
    folder = root / "cifar10"
    cifar_folder(folder)
    assert cifar10_grids(root) is None
    np.savez(folder / "labels.npz", train=np.array([object()], object), test=np.zeros(16, np.uint8))
    with pytest.raises(DataError, match=r"E106.*labels"):  # an object array would be a pickle
        cifar10_grids(folder)
    (folder / "train_batch_3.webp").write_bytes(b"RIFF")
    with pytest.raises(DataError, match=r"E106.*train_batch_3"):
        cifar10_grids(folder)


def test_cifar_binary_archive(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    batches = {f"data_batch_{k}.bin": rng.integers(0, 256, (30, 3073), np.uint8) for k in range(1, 6)} | {
        "test_batch.bin": rng.integers(0, 256, (20, 3073), np.uint8)
    }
    (root / "cifar10").mkdir()
    path = root / "cifar10" / "cifar-10-binary.tar.gz"
    with tarfile.open(path, "w:gz") as out:
        for name, records in batches.items():
            records[:, 0] %= 10
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            info.size = records.nbytes
            out.addfile(info, io.BytesIO(records.tobytes()))
    file = RemoteFile(path.name, (), path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest())
    small = Download("cifar10", "small", "image", (file,), "none", "none", "rungbook.data.cifar:load")
    killed = root.parent / "cache" / "data" / "cifar10" / ".unpacked.abc"
    killed.mkdir(parents=True)
    data = cifar.load(small, valid=0)
    assert not killed.exists()
    together = np.concatenate([batches[f"data_batch_{k}.bin"] for k in range(1, 6)])
    x, y = data.train.source.fetch(slice(0, 150))
    assert np.array_equal(x.numpy().reshape(150, -1), together[:, 1:])
    assert np.array_equal(y.numpy(), together[:, 0])
    assert data.test is not None
    assert len(data.test.source) == 20
    monkeypatch.setattr(unpacked, "unpack", None)  # it stays unpacked
    assert cifar.load(small, valid=0).fingerprint == data.fingerprint
    some = cifar.load(small, valid=0, train_samples=40, seed=1)
    assert some.train.samples == 40
    drawn, _ = some.train.source.fetch(slice(0, 40))
    assert isinstance(drawn, torch.Tensor)
    assert len({row.tobytes() for row in drawn.numpy().reshape(40, -1)} & {row.tobytes() for row in together[:, 1:]}) == 40
    assert len(some.test.source) == 20, "the test images stay all"
    with pytest.raises(UsageError, match=r"E202.*150 training images"):
        cifar.load(small, train_samples=151)


def test_cifar_batch_of_another_kind(tmp_path: Path) -> None:
    (tmp_path / "data_batch_1.bin").write_bytes(bytes(3073 + 5))
    with pytest.raises(DataError, match="E106"):
        cifar.read_batches([tmp_path / "data_batch_1.bin"])


@pytest.mark.parametrize(
    ("name", "train", "test", "shape"),
    [("mnist", 60_000, 10_000, [1, 28, 28]), ("fashion-mnist", 60_000, 10_000, [1, 28, 28]), ("cifar10", 50_000, 1_000, [3, 32, 32])],
)
def test_real_images(real_data: Path, name: str, train: int, test: int, shape: list[int]) -> None:
    start = time.perf_counter()
    data = named_data(name)
    seconds = time.perf_counter() - start
    samples = data.facts["samples"]
    assert (samples["train"] + samples["valid"], samples["test"]) == (train, test)
    assert samples["valid"] == train // 10
    assert data.facts["shape"] == shape
    assert len(data.classes) == 10
    assert seconds < 20  # 1 to 5 s on an idle core


def test_real_statistics(real_data: Path) -> None:
    """MNIST's mean and deviation are known: 0.1307 and 0.3081."""
    data = named_data("mnist", valid=0)
    assert data.facts["mean"] == [pytest.approx(0.1307, abs=5e-5)]
    assert data.facts["std"] == [pytest.approx(0.3081, abs=5e-5)]
    x, _ = data.one_batch(2048)
    assert float(x.mean()) == pytest.approx(0, abs=0.03)
    assert float(x.std()) == pytest.approx(1, abs=0.03)


def test_real_text_and_table(real_data: Path) -> None:
    data = named_data("tiny-shakespeare", context=8)
    x, y = data.train.source.fetch(slice(0, 3))
    letters = data.classes
    assert "".join(letters[i] for i in x[0]) + letters[y[0]] == "First Cit"
    assert data.facts["characters"] == 1_115_394
    assert local_folder("auto-mpg") is not None
    assert sum(f.samples for f in named_data("auto-mpg").splits().values()) == 392


def test_every_download_has_its_loader() -> None:
    from rungbook.data.named import _function

    assert all(callable(_function(d.loader)) for d in DOWNLOADS.values())
    assert local.TILE == 32
