"""Images in pages: single thumbnails, and sheets of several."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from rungbook.plot.style import Picture, label

PIXEL_ART = 64
"""Images up to this side are stored as they are (PNG), larger ones shrunk and as JPEG, a tenth of the size."""


def value_range(images: Sequence[Tensor]) -> tuple[float, float] | None:
    """Lowest and highest finite value of all images together; None if there is none."""
    ends = [(t.min().item(), t.max().item()) for t in (image[image.isfinite()] for image in images) if t.numel()]
    return (min(low for low, _ in ends), max(high for _, high in ends)) if ends else None


def to_uint8(images: Tensor, stretch: tuple[float, float] | None = None) -> Tensor:
    """Float images as 0..255, stretched from `stretch` (default their own lowest and highest value); uint8 as they are."""
    if images.dtype == torch.uint8:
        return images
    images = images.detach().float()
    low, high = stretch or value_range([images]) or (0.0, 1.0)
    images = images.nan_to_num(low, high, low).clamp(low, high)
    return ((images - low) / max(high - low, 1e-12) * 255).round().to(torch.uint8)


def _pil(image: Tensor) -> Image.Image:
    """(H, W), (1, H, W) or (3, H, W) uint8 as an image; of other channel counts the first."""
    image = image.detach().cpu()
    if image.ndim == 3 and image.shape[0] not in (1, 3):
        image = image[:1]
    array = image.permute(1, 2, 0).squeeze(2).numpy() if image.ndim == 3 else image.numpy()
    return Image.fromarray(array)


def thumbnail(image: Tensor, alt: str, *, side: int = 112) -> Picture:
    """One image small enough for a page.

    Args:
        image: (C, H, W) or (H, W), uint8, or float (stretched to its own range).
        alt: text alternative.
        side: longest side in pixels of what is stored; smaller images keep their size.
    """
    picture = _pil(to_uint8(image))
    buffer = io.BytesIO()
    if max(picture.size) <= PIXEL_ART:
        picture.save(buffer, "PNG", optimize=True)
        return Picture(buffer.getvalue(), alt, "png")
    picture.thumbnail((side, side))
    picture.save(buffer, "JPEG", quality=82)
    return Picture(buffer.getvalue(), alt, "jpeg")


def image_grid(images: Tensor, labels: Sequence[object] = (), *, columns: int = 8, side: int = 72) -> Picture:
    """A sheet of images, as the network sees them, with a line under each.

    Args:
        images: (n, C, H, W), uint8 or float (stretched together to 0..255).
        labels: a line for each image; none draws none.
        columns: images a row.
        side: pixels of each image's longer side.
    """
    images = to_uint8(images)
    n = len(images)
    rows, columns = max(1, math.ceil(n / columns)), max(1, min(columns, n))
    line = 14 if labels else 0
    sheet = Image.new("RGB", (columns * (side + 6) + 6, rows * (side + line + 6) + 6), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(10)
    for i, image in enumerate(images):
        picture = _pil(image).convert("RGB")
        scale = side / max(picture.size)
        size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        picture = picture.resize(size, Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS)
        left, top = 6 + (i % columns) * (side + 6), 6 + (i // columns) * (side + line + 6)
        sheet.paste(picture, (left, top))
        if i < len(labels):
            pen.text((left, top + side), label(labels[i], 13), fill="black", font=font)
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG", optimize=True)
    kinds = list(dict.fromkeys(label(name) for name in labels[:n]))
    named = f" labelled {', '.join(kinds[:12])}{' and others' if len(kinds) > 12 else ''}" if kinds else ""
    return Picture(buffer.getvalue(), f"{n} images{named}.", "png")
