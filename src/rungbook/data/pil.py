"""Decoding image files that nobody vouches for: a picture as 8-bit pixels, or the reason why there is none.

Formats are an allow-list (no EPS, which would start Ghostscript), the size is judged by the header before anything is decoded, and
whatever Pillow raises on a damaged file becomes a `BadImage` with a reason a person understands.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
"""What is decoded, whatever a file's name says (JPEG includes the MPO files of some phones)."""
SUFFIXES = {
    ".jpg": "JPEG", ".jpeg": "JPEG", ".jpe": "JPEG", ".jfif": "JPEG", ".png": "PNG", ".bmp": "BMP", ".gif": "GIF",
    ".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF", ".ppm": "PPM", ".pgm": "PPM", ".pbm": "PPM",
}  # fmt: skip
"""Suffix -> format: files that count as images, and what they should hold."""
MAX_PIXELS = 50_000_000
"""Pixels of one picture: cameras reach 50 million, and its decoded bytes (150 MB) still fit beside a training run."""
MAX_BYTES = 256_000_000
"""Bytes of one file."""
LARGE = 500_000
"""Pixels from which a JPEG is decoded at a half, a quarter or an eighth where that is enough: 0.2 million take 5 ms whole, 12 million
take 174 and half of that reduced (benchmarks/bench_folder.py)."""
KEPT = 2
"""A picture decoded smaller keeps at least so many times the side it will be scaled to: the scaling still averages over pixels."""

_OTHER_KINDS = (
    (b"pk\x03\x04", "a zip archive"),
    (b"%pdf", "a PDF"),
    (b"<!doctype", "a web page"),
    (b"<html", "a web page"),
    (b"<svg", "an SVG drawing"),
    (b"<?xml", "an XML or SVG file"),
    (b"\x1f\x8b", "a gzip file"),
    (b"%!ps", "a PostScript file"),
)
"""What files named as images have turned out to be: first bytes in lower case."""
_OTHER_PICTURES = {b"heic": "HEIC", b"heix": "HEIC", b"hevc": "HEIC", b"mif1": "HEIC", b"msf1": "HEIC", b"avif": "AVIF", b"avis": "AVIF"}
"""Bytes 8 to 12 of pictures that phones and web pages save, after "ftyp"."""


class BadImage(Exception):
    """A file gives no picture; the message continues "photos/cat/17.jpg ...": "is empty", "ends too early"."""


@dataclass(frozen=True)
class Picture:
    """A decoded picture.

    Args:
        pixels: uint8, (H, W) where it is grey, else (H, W, 3).
        format: what the file holds.
        notes: what was done to it: "turned", "animated", "transparent", "16 bit", "CMYK", "named .png, holds JPEG".
    """

    pixels: np.ndarray
    format: str
    notes: tuple[str, ...] = ()


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Pillow's warnings about odd files to itself; round a whole batch, since the filter belongs to the process and not a thread."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def read_header(path: Path) -> tuple[int, int, bool] | None:
    """Height, width and whether it is stored as grey, None if there is no header. Call it within `quiet`."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            turned = image.format in ("JPEG", "MPO", "TIFF", "WEBP") and image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
            height, width = (image.width, image.height) if turned else (image.height, image.width)
            return height, width, image.mode in ("1", "L") or image.mode.startswith("I;16")
    except Exception:  # whatever a broken header makes Pillow raise; `decode` gives the reason
        return None


def decode(path: Path, *, max_pixels: int = MAX_PIXELS, side: int = 0) -> Picture:
    """The picture in a file: upright, first frame, without transparency, 8 bit. Call it within `quiet`.

    Transparent parts become white, 16-bit values keep their upper 8 bits, a colour picture whose three channels agree everywhere is grey.

    Args:
        path: the file.
        max_pixels: larger pictures are refused before they are decoded.
        side: pixels the picture will be scaled to, the larger of height and width: a large JPEG is then decoded smaller, which takes a
            fraction of the time (the discrete cosine transform of its blocks gives 1/2, 1/4 and 1/8 directly). 0 decodes it whole.

    Raises:
        BadImage: there is no picture; the message says why.
    """
    try:
        size = path.stat().st_size
        if size == 0:
            raise BadImage("is empty (0 bytes)")
        if size > MAX_BYTES:
            raise BadImage(f"has {size / 1e6:,.0f} MB, more than {MAX_BYTES / 1e6:,.0f} MB")
        raw = path.read_bytes()
    except OSError as error:
        raise BadImage(f"cannot be read ({error.strerror or error})") from error
    return decode_bytes(raw, path.suffix.lower(), max_pixels=max_pixels, side=side)


def decode_bytes(raw: bytes, suffix: str = "", *, max_pixels: int = MAX_PIXELS, side: int = 0) -> Picture:
    """As `decode`, of the bytes of a file whose name ends in `suffix`."""
    try:
        with Image.open(io.BytesIO(raw), formats=FORMATS) as image:
            if image.width * image.height > max_pixels:
                raise BadImage(_too_large(image.width * image.height, max_pixels))
            kind = "JPEG" if image.format == "MPO" else str(image.format)
            notes = [f"named {suffix}, holds {kind}"] if suffix in SUFFIXES and SUFFIXES[suffix] != kind else []
            if getattr(image, "is_animated", False) and image.format != "MPO":
                notes.append("animated")
            if side and kind == "JPEG" and image.width * image.height >= LARGE:
                image.draft(None, (KEPT * side, KEPT * side))
            if _bits(image, raw) > 8:
                notes.append("16 bit")
            image.load()
            upright = _upright(image, notes)
            return Picture(_pixels(upright, notes), kind, tuple(notes))
    except BadImage:
        raise
    except UnidentifiedImageError:
        raise BadImage(_what_it_is(raw)) from None
    except Image.DecompressionBombError as error:  # Pillow's own limit, met while it reads the header
        count = re.search(r"\((\d+) pixels", str(error))
        raise BadImage(_too_large(int(count[1]) if count else 0, max_pixels)) from None
    except MemoryError:
        raise BadImage("needs more memory than there is") from None
    except Exception as error:  # Pillow's plugins raise a dozen kinds on damaged data: OSError, SyntaxError, struct.error, IndexError, ...
        raise BadImage(_why(error)) from error


def decode_image(image: Image.Image) -> np.ndarray:
    """The pixels of an image somebody opened already, by the rules of `decode`."""
    return _pixels(_upright(image, []), [])


def fit(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """The middle of a picture in the given size: the largest centred box of that shape, scaled (bilinear, averaging when it shrinks).

    Args:
        pixels: uint8 (H, W) or (H, W, 3).
        height, width: of the result, in pixels.
    """
    h, w = pixels.shape[:2]
    if (h, w) == (height, width):
        return pixels
    scale = min(h / height, w / width)
    top, left = (h - height * scale) / 2, (w - width * scale) / 2
    box = (left, top, left + width * scale, top + height * scale)
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR, box=box))


def as_channels(pixels: np.ndarray, channels: int) -> np.ndarray:
    """(H, W) or (H, W, 3) -> (channels, H, W): grey repeated three times, colour by its luminance (ITU-R 601) where one is wanted."""
    if channels == 1:
        return (pixels if pixels.ndim == 2 else np.asarray(Image.fromarray(pixels).convert("L")))[None]
    return np.repeat(pixels[None], 3, 0) if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def _bits(image: Image.Image, raw: bytes) -> int:
    """Bits of a pixel's channel as the file holds them; Pillow gives 8 of 16 for colour, and does not say so."""
    if image.format == "PNG":
        return raw[24]
    return max(image.tag_v2.get(258, (8,))) if isinstance(image, TiffImageFile) else 8


def _upright(image: Image.Image, notes: list[str]) -> Image.Image:
    """Turned as its EXIF orientation says; a damaged EXIF block says nothing."""
    try:
        if image.getexif().get(0x0112, 1) in range(2, 9):
            image = ImageOps.exif_transpose(image)
            notes.append("turned")
    except Exception:
        return image
    return image


def _pixels(image: Image.Image, notes: list[str]) -> np.ndarray:
    mode = image.mode
    if mode.startswith("I"):  # 16-bit grey; Pillow's own conversion would cut it off at 255
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise BadImage("has 32-bit values beyond 16 bits; save it with 8 or 16 bits")
        if "16 bit" not in notes:
            notes.append("16 bit")
        return (values.astype(np.uint32) >> 8).astype(np.uint8)
    if mode == "F":
        raise BadImage("has floating-point pixels without a fixed range; save it with 8 or 16 bits")
    if mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        notes.append("transparent")
        over = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", over.size, (255, 255, 255, 255)), over)
    elif mode == "CMYK":
        notes.append("CMYK")
    if mode in ("1", "L"):
        return np.asarray(image.convert("L"))
    rgb = np.asarray(image.convert("RGB"))
    few = rgb[::16, ::16]
    if (few != few[..., :1]).any():  # colour, as most are: the rest need not be looked through
        return rgb
    grey = rgb[..., 0]
    if np.array_equal(grey, rgb[..., 1]) and np.array_equal(grey, rgb[..., 2]):
        return np.ascontiguousarray(grey)
    return rgb


def _too_large(pixels: int, limit: int) -> str:
    return f"has {pixels / 1e6:,.0f} million pixels, more than {limit / 1e6:g} million are not decoded"


def _what_it_is(raw: bytes) -> str:
    start = raw.lstrip()[:16].lower()
    for magic, kind in _OTHER_KINDS:
        if start.startswith(magic):
            return f"is {kind}, not a picture"
    if raw[4:8] == b"ftyp" and (kind := _OTHER_PICTURES.get(raw[8:12], "")):
        return f"is a picture in the format {kind}, which is not read; save it as JPEG or PNG"
    if not raw.strip(b"\0"):
        return "holds only zeros"
    return f"is no picture in a known format (begins with {raw[:8].hex(' ')})"


def _why(error: Exception) -> str:
    """Pillow's reason as the end of a sentence about the file."""
    text = str(error) or type(error).__name__
    if left := re.search(r"image file is truncated \((\d+) bytes", text):
        return f"ends too early ({left[1]} bytes could not be used)"
    if "truncated" in text.lower() or isinstance(error, EOFError):
        return "ends too early"
    return f"cannot be decoded ({text[:120]})"
