"""Picture files for the tests: ordinary ones, odd ones and broken ones."""

from __future__ import annotations

import io
import random
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

FORMATS = {"JPEG": ".jpg", "PNG": ".png", "BMP": ".bmp", "GIF": ".gif", "WEBP": ".webp"}


def photo(seed: int, height: int = 40, width: int = 48, *, grey: bool = False) -> np.ndarray:
    """A smooth random picture: photographs are smooth, and noise would not survive JPEG."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (5, 6) if grey else (5, 6, 3), np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


def encoded(pixels: np.ndarray, kind: str = "PNG", **options: object) -> bytes:
    """The bytes of a file."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind, **options)
    return out.getvalue()


def save(path: Path, pixels: np.ndarray, **options: object) -> Path:
    """A file, its format by its suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def folder(
    root: Path, *, each: int = 12, classes: tuple[str, ...] = ("cat", "dog"), part: str = "", seed: int = 0, grey: bool = False
) -> Path:
    """A folder of small photographs in class folders."""
    for k, name in enumerate(classes):
        for i in range(each):
            save(root / part / name / f"{i:03d}.png", photo(seed + 1000 * k + i, grey=grey))
    return root


def bomb(width: int = 50_000, height: int = 50_000) -> bytes:
    """A PNG of a few bytes that claims to be huge."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


def fuzzed(seed: int) -> tuple[bytes, str]:
    """A file somebody damaged or made in an odd way, and its suffix."""
    rng = random.Random(seed)
    kind = rng.choice(list(FORMATS))
    pixels = photo(seed, rng.randrange(1, 40), rng.randrange(1, 40), grey=rng.random() < 0.2)
    raw, suffix = encoded(pixels, kind), FORMATS[kind]
    match rng.randrange(9):
        case 0:
            raw = raw[: rng.randrange(len(raw))]
        case 1:
            changed = bytearray(raw)
            for _ in range(rng.choice([1, 1, 4, 32])):
                changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
            raw = bytes(changed)
        case 2:
            suffix = rng.choice(list(FORMATS.values()))
        case 3:
            raw = raw + rng.randbytes(rng.randrange(200))
        case 4:
            start = rng.randrange(len(raw))
            raw = raw[:start] + bytes(rng.randrange(1, 100)) + raw[start:]
        case 5:
            raw = rng.choice([b"", b"\0" * 100, b"PK\x03\x04" + raw, b"<!DOCTYPE html><html></html>", rng.randbytes(300)])
        case 6:
            raw = bomb(rng.randrange(1, 2**31), rng.randrange(1, 2**31))
        case 7:
            raw, suffix = _odd(rng, pixels)
        case _:
            start, length = rng.randrange(len(raw)), rng.randrange(1, 64)
            raw = raw[:start] + rng.randbytes(length) + raw[start + length :]
    return raw, suffix


def _odd(rng: random.Random, pixels: np.ndarray) -> tuple[bytes, str]:
    """Modes that a converter meets seldom."""
    image = Image.fromarray(pixels)
    out = io.BytesIO()
    match rng.randrange(6):
        case 0:
            image.convert("CMYK").save(out, "JPEG")
            return out.getvalue(), ".jpg"
        case 1:
            grey = np.asarray(image.convert("L")).astype(np.uint16) * 257
            Image.fromarray(grey).save(out, "PNG")
            return out.getvalue(), ".png"
        case 2:
            image.convert("P").save(out, "PNG", transparency=bytes(rng.randrange(256) for _ in range(256)))
            return out.getvalue(), ".png"
        case 3:
            exif = Image.Exif()
            exif[0x0112] = rng.randrange(0, 12)
            image.convert("RGB").save(out, "JPEG", exif=exif)
            return out.getvalue(), ".jpg"
        case 4:
            image.save(out, "GIF", save_all=True, append_images=[image.transpose(Image.Transpose.ROTATE_180)])
            return out.getvalue(), ".gif"
        case _:
            image.convert("LA").save(out, rng.choice(["PNG", "WEBP"]))
            return out.getvalue(), ".png"
