"""RELIABILITY row 27: every file gives a picture or a reason, whatever is in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pictures
import pytest
from pictures import encoded, photo
from PIL import Image

from rungbook.data import pil
from rungbook.data.pil import BadImage, as_channels, decode, decode_bytes, fit, quiet, read_header


def reason(raw: bytes, suffix: str = ".jpg") -> str:
    with quiet(), pytest.raises(BadImage) as caught:
        decode_bytes(raw, suffix)
    return str(caught.value)


@pytest.mark.parametrize(("kind", "suffix"), pictures.FORMATS.items())
def test_formats(kind: str, suffix: str, tmp_path: Path) -> None:
    pixels = photo(0)
    path = tmp_path / f"x{suffix}"
    path.write_bytes(encoded(pixels, kind))
    picture = decode(path)
    assert picture.format == kind
    assert picture.notes == ()
    assert np.abs(picture.pixels.astype(int) - pixels).mean() < (0.1 if kind in ("PNG", "BMP") else 16)
    assert read_header(path) is not None
    assert read_header(path)[:2] == (40, 48)  # type: ignore[index]


def test_reasons() -> None:
    good = encoded(photo(0), "JPEG")
    assert "ends too early" in reason(good[: len(good) // 2])
    assert "begins with 01 02 03" in reason(b"\x01\x02\x03" * 30)
    assert reason(b"\0" * 50) == "holds only zeros"
    assert reason(b"PK\x03\x04....") == "is a zip archive, not a picture"
    assert reason(b"  <!DOCTYPE html>") == "is a web page, not a picture"
    assert reason(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n") == "is a PostScript file, not a picture"
    assert "has 2,500 million pixels, more than 50 million" in reason(pictures.bomb())
    assert "has 55 million pixels" in reason(pictures.bomb(11_000, 5_000))


def test_zero_bytes_and_folders(tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_bytes(b"")
    (tmp_path / "y.jpg").mkdir()
    with pytest.raises(BadImage, match=r"is empty \(0 bytes\)"):
        decode(tmp_path / "x.jpg")
    with pytest.raises(BadImage, match="cannot be read"):
        decode(tmp_path / "y.jpg")
    with pytest.raises(BadImage, match="cannot be read"):
        decode(tmp_path / "missing.jpg")


def test_large_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pil, "MAX_BYTES", 10)
    (tmp_path / "x.jpg").write_bytes(bytes(11))
    with pytest.raises(BadImage, match="MB, more than"):
        decode(tmp_path / "x.jpg")


def test_bomb_is_refused_by_its_header(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(self: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", never)
    assert "million" in reason(pictures.bomb())


def test_exif_orientation(tmp_path: Path) -> None:
    pixels = photo(1)
    for orientation, turn in enumerate(
        [lambda a: a, lambda a: a[:, ::-1], lambda a: a[::-1, ::-1], lambda a: a[::-1], lambda a: a.transpose(1, 0, 2),
         lambda a: np.rot90(a, -1), lambda a: a.transpose(1, 0, 2)[::-1, ::-1], lambda a: np.rot90(a)], 1,
    ):  # fmt: skip
        exif = Image.Exif()
        exif[0x0112] = orientation
        path = tmp_path / f"{orientation}.png"
        Image.fromarray(pixels).save(path, exif=exif)
        picture = decode(path)
        assert np.array_equal(picture.pixels, turn(pixels)), orientation
        assert ("turned" in picture.notes) == (orientation > 1)
        Image.fromarray(pixels).save(tmp_path / "x.jpg", exif=exif)
        assert read_header(tmp_path / "x.jpg")[:2] == decode(tmp_path / "x.jpg").pixels.shape[:2]  # type: ignore[index]


def test_damaged_exif_is_ignored() -> None:
    raw = encoded(photo(0), "JPEG", exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xff" + b"\xff" * 20)
    with quiet():
        assert decode_bytes(raw, ".jpg").pixels.shape == (40, 48, 3)


def test_sixteen_bits_keep_their_upper_eight(tmp_path: Path) -> None:
    values = (np.arange(20 * 20, dtype=np.uint16) * 150).reshape(20, 20)
    Image.fromarray(values).save(tmp_path / "x.png")
    picture = decode(tmp_path / "x.png")
    assert picture.notes == ("16 bit",)
    assert np.array_equal(picture.pixels, values >> 8)
    naive = np.asarray(Image.open(tmp_path / "x.png").convert("L"))  # the control
    assert not np.array_equal(naive, values >> 8)


def test_float_pixels_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((5, 5), np.float32)).save(tmp_path / "x.tif")
    with pytest.raises(BadImage, match="floating-point"):
        decode(tmp_path / "x.tif")


def test_transparency_becomes_white() -> None:
    rgba = np.zeros((4, 4, 4), np.uint8)
    rgba[:2] = [255, 0, 0, 255]
    picture = decode_bytes(encoded(rgba), ".png")
    assert picture.notes == ("transparent",)
    assert picture.pixels[0, 0].tolist() == [255, 0, 0]
    assert picture.pixels[3, 3].tolist() == [255, 255, 255]
    palette = Image.fromarray(rgba[..., :3]).convert("P", palette=Image.Palette.ADAPTIVE)
    import io

    out = io.BytesIO()
    palette.save(out, "PNG", transparency=palette.getpixel((3, 3)))
    with quiet():
        assert decode_bytes(out.getvalue()).pixels[3, 3].tolist() == [255, 255, 255]


def test_cmyk_animated_misnamed() -> None:
    import io

    out = io.BytesIO()
    Image.fromarray(photo(0)).convert("CMYK").save(out, "JPEG")
    picture = decode_bytes(out.getvalue(), ".png")
    assert set(picture.notes) == {"CMYK", "named .png, holds JPEG"}
    assert np.abs(picture.pixels.astype(int) - photo(0)).mean() < 12
    out = io.BytesIO()
    frames = [Image.fromarray(np.full((5, 5, 3), v, np.uint8)) for v in (10, 200)]
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:])
    picture = decode_bytes(out.getvalue(), ".gif")
    assert picture.notes == ("animated",)
    assert picture.pixels.ndim == 2
    assert int(picture.pixels[0, 0]) == 10


def test_grey_is_what_has_no_colour() -> None:
    grey = photo(0, grey=True)
    assert np.array_equal(decode_bytes(encoded(np.stack([grey] * 3, -1))).pixels, grey)
    assert np.array_equal(decode_bytes(encoded(grey)).pixels, grey)
    tinted = np.stack([grey] * 3, -1)
    tinted[0, 0, 0] ^= 1
    assert decode_bytes(encoded(tinted)).pixels.ndim == 3


def test_fit_cuts_the_middle() -> None:
    pixels = np.zeros((10, 30, 3), np.uint8)
    pixels[:, 10:20] = 100
    assert np.array_equal(fit(pixels, 10, 10), pixels[:, 10:20])
    half = fit(pixels, 5, 5)
    assert half[:, 1:4].min() == 100
    assert half[:, [0, 4]].min() >= 80  # the filter sees a little of the black beside the cut
    assert fit(pixels[:, :1], 8, 12).shape == (8, 12, 3)
    assert fit(pixels, 10, 30) is pixels
    assert as_channels(fit(pixels, 4, 6), 3).shape == (3, 4, 6)


def fuzz(cases: range) -> int:
    """How many of the cases give a picture; the others give a reason."""
    fine = 0
    with quiet():
        for seed in cases:
            raw, suffix = pictures.fuzzed(seed)
            said, picture = "", None
            try:
                picture = decode_bytes(raw, suffix)
            except BadImage as error:
                said = str(error)
            if picture is None:
                assert 5 < len(said) < 400, seed
                assert "\n" not in said, seed
            else:
                fine += 1
                assert picture.pixels.dtype == np.uint8, seed
                assert picture.pixels.ndim == 2 or picture.pixels.shape[2] == 3, seed
                assert picture.pixels.size <= 3 * pil.MAX_PIXELS, seed
                assert fit(picture.pixels, 8, 8).shape[:2] == (8, 8), seed
    return fine


def test_fuzz() -> None:
    fine = fuzz(range(400))
    assert 80 < fine < 350  # both sides of the contract are met


@pytest.mark.soak
def test_fuzz_10000() -> None:
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    fuzz(range(10_000))
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < 700, f"{grown:.0f} MB more"  # a picture of the largest allowed size takes 150 MB, three times while it is converted


def test_control_pillow_alone_raises_many_kinds() -> None:
    """Without `decode`, the same files raise a mixed bag of exceptions, and a few give pictures no network takes."""
    import io

    kinds = set()
    with quiet():
        for seed in range(400):
            raw, _ = pictures.fuzzed(seed)
            try:
                Image.open(io.BytesIO(raw)).load()
            except Exception as error:
                kinds.add(type(error).__name__)
    assert len(kinds) >= 3
