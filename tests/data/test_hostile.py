"""A folder of pictures as nobody would make it on purpose, through the path every folder takes: right pixels, or a reason."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pictures
import pytest
import torch
from pictures import encoded, folder, photo, save
from PIL import Image

from rungbook.data import pil
from rungbook.data.block import Items
from rungbook.data.data import Data
from rungbook.data.folder import folder_data
from rungbook.data.pil import decode, fit, quiet
from rungbook.errors import DataError, RungError

H, W = 40, 48


def found(data: Data, part: str) -> list[str]:
    """The items of the findings whose message has `part`."""
    return [item for f in data.findings if part in f.message for item in f.items]


def stored(data: Data) -> dict[str, np.ndarray]:
    """Name -> stored pixels (C, H, W) of every sample."""
    out = {}
    for feed in data.splits().values():
        x, _ = feed.source.fetch(slice(0, feed.samples))
        assert isinstance(x, torch.Tensor)
        out |= {feed.source.name(i): x[i].numpy() for i in range(feed.samples)}
    return out


def png16(pixels: np.ndarray) -> bytes:
    """A PNG of 16 bits a channel, (H, W, 3), which Pillow does not write."""
    high = pixels.astype(">u2") * 256 + 77

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in high)
    header = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def frames(kind: str, first: np.ndarray, **options: object) -> bytes:
    """An animation that begins with a picture."""
    out = io.BytesIO()
    rest = [Image.fromarray(photo(7000 + i)) for i in range(2)]
    Image.fromarray(first).save(out, kind, save_all=True, append_images=rest, **options)
    return out.getvalue()


def rgba(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixels with a transparent left half, and what they look like on white."""
    alpha = np.full(pixels.shape[:2], 255, np.uint8)
    alpha[:, : W // 2] = 0
    seen = pixels.copy()
    seen[:, : W // 2] = 255
    return np.dstack([pixels, alpha]), seen


def palette(pixels: np.ndarray) -> tuple[bytes, np.ndarray]:
    """A palette picture one of whose colours is transparent, and what it looks like on white."""
    image = Image.fromarray(pixels).convert("P", palette=Image.Palette.ADAPTIVE, colors=16)
    out = io.BytesIO()
    image.save(out, "PNG", transparency=5)
    seen = np.asarray(image.convert("RGB")).copy()
    seen[np.asarray(image) == 5] = 255
    return out.getvalue(), seen


UNTURN: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: a.swapaxes(0, 1)[::-1, ::-1],
    8: lambda a: np.rot90(a, -1),
}
"""EXIF orientation -> how an upright picture lies in such a file."""


def turned(pixels: np.ndarray, orientation: int, kind: str, **options: object) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(np.ascontiguousarray(UNTURN[orientation](pixels)), kind, exif=exif, **options)


def odd_files() -> dict[str, tuple[bytes, np.ndarray, str, float]]:
    """Name -> bytes, the picture it is, the finding that lists it, and the mean difference that its compression may make."""
    p = [photo(5000 + i, H, W) for i in range(40)]
    grey = photo(6000, H, W, grey=True)
    seen = {f"exif{k}.png": (turned(p[k], k, "PNG"), p[k], "turned" if k > 1 else "", 0.0) for k in range(1, 9)}
    seen |= {f"exif{k}.jpg": (turned(p[10 + k], k, "JPEG", quality=95), p[10 + k], "turned" if k > 1 else "", 4.0) for k in (3, 6, 8)}
    seen["exif6.webp"] = (turned(p[20], 6, "WEBP", lossless=True), p[20], "turned", 0.0)
    seen["grey.png"] = (encoded(grey), np.dstack([grey] * 3), "", 0.0)
    seen["grey.jpg"] = (encoded(grey, "JPEG", quality=95), np.dstack([grey] * 3), "", 4.0)
    with_alpha, on_white = rgba(p[21])
    seen["rgba.png"] = (encoded(with_alpha), on_white, "transparency", 0.0)
    seen["rgba.webp"] = (encoded(with_alpha, "WEBP", lossless=True, exact=True), on_white, "transparency", 0.0)
    seen["palette.png"] = (*palette(p[22]), "transparency", 0.0)
    flat = Image.fromarray(p[23]).convert("P", palette=Image.Palette.ADAPTIVE)
    seen["palette.gif"] = (encoded(np.asarray(flat.convert("RGB")), "GIF"), np.asarray(flat.convert("RGB")), "", 8.0)
    cmyk = io.BytesIO()
    Image.fromarray(p[24]).convert("CMYK").save(cmyk, "JPEG", quality=95)
    seen["cmyk.jpg"] = (cmyk.getvalue(), p[24], "in CMYK", 6.0)
    deep = grey.astype(np.uint16) * 257
    seen["deep.png"] = (encoded(deep[::-1].copy()), np.dstack([grey[::-1]] * 3), "16 bits", 0.0)
    seen["deep.tif"] = (encoded(deep[:, ::-1].copy(), "TIFF"), np.dstack([grey[:, ::-1]] * 3), "16 bits", 0.0)
    seen["deepcolour.png"] = (png16(p[25]), p[25], "16 bits", 0.0)
    seen["moves.gif"] = (frames("GIF", p[26]), p[26], "animated", 16.0)
    seen["moves.webp"] = (frames("WEBP", p[27], lossless=True), p[27], "animated", 0.0)
    seen["moves.png"] = (frames("PNG", p[28]), p[28], "animated", 0.0)
    seen["pages.tiff"] = (frames("TIFF", p[29]), p[29], "animated", 0.0)
    seen["wrong.jpg"] = (encoded(p[30]), p[30], "another format", 0.0)
    seen["wrong.bmp"] = (encoded(p[31], "WEBP", lossless=True), p[31], "another format", 0.0)
    return seen


def bad_files() -> dict[str, tuple[bytes, str]]:
    """Name -> bytes, and the reason why there is no picture."""
    jpeg, png, gif = (encoded(photo(8000 + i), kind) for i, kind in enumerate(("JPEG", "PNG", "GIF")))
    return {
        "zero.jpg": (b"", "is empty (0 bytes)"),
        "cut.jpg": (jpeg[: len(jpeg) // 2], "ends too early"),
        "cut.png": (png[: len(png) // 2], "ends too early"),
        "cut.gif": (gif[: len(gif) // 2], "ends too early"),
        "bomb.png": (pictures.bomb(), "has 2,500 million pixels, more than 50 million are not decoded"),
        "large.png": (pictures.bomb(11_000, 5_000), "has 55 million pixels"),
        "page.jpg": (b"<!DOCTYPE html><html>404</html>", "is a web page, not a picture"),
        "packed.png": (b"PK\x03\x04" + bytes(40), "is a zip archive, not a picture"),
        "phone.jpg": (b"\0\0\0\x18ftypheic" + bytes(40), "is a picture in the format HEIC, which is not read; save it as JPEG or PNG"),
        "noise.jpg": (bytes(range(1, 200)), "is no picture in a known format (begins with 01 02 03"),
        "float.tif": (encoded(np.zeros((H, W), np.float32), "TIFF"), "has floating-point pixels"),
    }


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = folder(tmp_path_factory.mktemp("hostile") / "pets", each=12)
    for name, (body, *_) in (odd_files() | bad_files()).items():
        (root / "cat" / name).write_bytes(body)
    return root


@pytest.mark.parametrize("memory", [10**9, 1000], ids=["in memory", "from the files"])
def test_every_file_gives_its_picture_or_its_reason(hostile: Path, memory: int) -> None:
    data = folder_data(hostile, image_size=(H, W), max_memory=memory, workers=0)
    seen, odd = stored(data), odd_files()
    for name, (_, pixels, said, lossy) in odd.items():
        difference = np.abs(seen[f"cat/{name}"].transpose(1, 2, 0).astype(int) - pixels).mean()
        assert difference <= lossy, (name, difference)
        listed = [n for part in ("turned", "transparency", "in CMYK", "16 bits", "animated", "another format") for n in found(data, part)]
        mine = [n for n in listed if n.split(" ")[0] == f"cat/{name}"]
        assert mine == ([n for n in found(data, said) if n.split(" ")[0] == f"cat/{name}"] if said else []), name
        assert len(mine) == bool(said), name
    listed = found(data, "cannot be read")
    assert len(listed) == len(bad_files())
    for name, (_, reason) in bad_files().items():
        assert any(item.startswith(f"cat/{name} {reason}") for item in listed), (name, listed)
    assert set(seen) == {f"cat/{name}" for name in odd} | {f"{c}/{i:03d}.png" for c in ("cat", "dog") for i in range(12)}


def test_naive_reading_is_wrong_or_fails(hostile: Path) -> None:
    """The control: `Image.open(file).convert("RGB")`, as most tutorials have it."""
    wrong = []
    for name, (_, pixels, _, lossy) in odd_files().items():
        with quiet(), Image.open(hostile / "cat" / name) as image:
            read = np.asarray(image.convert("RGB"))
        if read.shape != pixels.shape or np.abs(read.astype(int) - pixels).mean() > lossy:
            wrong.append(name)
    assert {"exif6.jpg", "exif3.png", "rgba.png", "palette.png", "deep.png", "deep.tif"} <= set(wrong)
    for name in ("zero.jpg", "cut.jpg", "bomb.png", "page.jpg", "noise.jpg"):
        with quiet(), pytest.raises((OSError, Image.DecompressionBombError)):
            Image.open(hostile / "cat" / name).convert("RGB")


def test_the_data_block_reads_it_the_same(hostile: Path) -> None:
    ours = Items.from_folder(hostile).split_by_share().label_by_folder().images(size=(H, W)).data()
    theirs = folder_data(hostile, image_size=(H, W))
    assert [f.message for f in ours.findings] == [f.message for f in theirs.findings]
    assert sorted(stored(ours)) == sorted(stored(theirs))


def test_large_jpegs_are_decoded_smaller_and_look_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a photograph is: fine detail is weak, so that the two ways to leave it out agree."""
    path = save(tmp_path / "large.jpg", photo(1, 900, 1200), quality=92)
    whole, reduced = decode(path), decode(path, side=100)
    assert (whole.pixels.shape, reduced.pixels.shape) == ((900, 1200, 3), (225, 300, 3))
    same = np.abs(fit(whole.pixels, 100, 100).astype(int) - fit(reduced.pixels, 100, 100))
    assert same.mean() < 1
    assert decode(path, side=113).pixels.shape == (450, 600, 3), "twice the side stays at least"
    assert decode(path, side=500).pixels.shape == (900, 1200, 3)
    assert decode(save(tmp_path / "small.jpg", photo(2, 300, 400)), side=20).pixels.shape == (300, 400, 3)
    assert decode(save(tmp_path / "large.png", photo(3, 900, 1200)), side=20).pixels.shape == (900, 1200, 3)
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) // 2])
    with quiet(), pytest.raises(pil.BadImage, match="ends too early"):
        decode(path, side=100)


def test_large_turned_jpegs(tmp_path: Path) -> None:
    upright = photo(4, 1200, 900)
    (tmp_path / "x.jpg").write_bytes(turned(upright, 6, "JPEG", quality=95))
    picture = decode(tmp_path / "x.jpg", side=100)
    assert picture.notes == ("turned",)
    assert picture.pixels.shape == (300, 225, 3)
    assert np.abs(fit(picture.pixels, 40, 30).astype(int) - fit(upright, 40, 30)).mean() < 2


def test_a_class_of_one_image_is_learned_from(tmp_path: Path) -> None:
    folder(tmp_path, each=20)
    for k, name in enumerate(("fox", "owl", "yak")):
        save(tmp_path / name / "only.png", photo(9000 + k))
    for seed in range(8):
        data = folder_data(tmp_path, valid=0.3, test=0.3, seed=seed)
        train = data.train.source.targets().bincount(minlength=5)
        assert (train > 0).all()
        single = next(f for f in data.findings if "one image" in f.message)
        assert (single.code, single.items) == ("W208", ("fox", "owl", "yak"))


def test_an_empty_class_folder_is_no_class_and_said(tmp_path: Path) -> None:
    folder(tmp_path)
    (tmp_path / "fox").mkdir()
    data = folder_data(tmp_path)
    assert data.classes == ("cat", "dog")
    assert found(data, "not used") == ["the folder fox/, which holds no images"]
    for file in folder(tmp_path, classes=("owl",), each=2).glob("owl/*"):
        file.write_bytes(b"")
    data = folder_data(tmp_path)
    assert data.classes == ("cat", "dog"), "a class none of whose files can be read is no class"
    assert len(found(data, "cannot be read")) == 2


def test_different_classes_in_train_and_valid(tmp_path: Path) -> None:
    folder(tmp_path, part="train", classes=("cat", "dog", "owl"))
    folder(tmp_path, part="valid", classes=("cat", "dog"), seed=500)
    data = folder_data(tmp_path)
    assert data.classes == ("cat", "dog", "owl"), "a class that valid lacks is a class"
    folder(tmp_path, part="valid", classes=("cats",), each=1, seed=900)
    with pytest.raises(DataError, match=r'E102 .*valid has the class "cats", of which train/ has no image\. Is it train/cat\?'):
        folder_data(tmp_path)


@pytest.mark.parametrize(
    ("make", "code", "says"),
    [
        (lambda root: folder(root, classes=("cat",), each=30), "E110", r'has one class only, "cat" \(30 images\).*second folder'),
        (lambda root: (root / "cat").mkdir(parents=True), "E107", r"has 0 images; .* I see 1 folder \(cat/\)"),
        (lambda root: [p.rename(p.with_suffix(".heic")) for p in folder(root).glob("*/*")], "E107", r"24 heic files .*as JPEG"),
    ],
    ids=["one class", "no image", "phones"],
)  # fmt: skip
def test_refused(tmp_path: Path, make: Callable[[Path], object], code: str, says: str) -> None:
    import re

    root = tmp_path / "photos"
    make(root)
    with pytest.raises(RungError) as caught:
        folder_data(root)
    assert caught.value.code == code
    assert re.search(says, str(caught.value)), str(caught.value)
