"""Other sizes: each pixel of the result is a weighted mean of the source's, by rows and columns, as Pillow does it.

An image that shrinks is averaged over wider stretches, so that nothing between the pixels is lost (antialiasing). Both directions are a
product with a matrix of weights, one for each image, so every image of a batch may be cut from a box of its own.
Bicubic is Keys 1981 ("Cubic convolution interpolation for digital image processing") with a = -0.5; Lanczos is Duchon 1979 with 3 lobes.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from rungbook.data.augment.grid import Grid, identity
from rungbook.data.augment.pixels import stored, working


def _cubic(t: Tensor) -> Tensor:
    near = (1.5 * t - 2.5) * t * t + 1
    far = -0.5 * (((t - 5) * t + 8) * t - 4)
    return torch.where(t < 1, near, torch.where(t < 2, far, 0.0))


FILTERS: dict[str, tuple[float, Callable[[Tensor], Tensor]]] = {
    "box": (0.5, lambda t: (t <= 0.5).to(t.dtype)),
    "bilinear": (1.0, lambda t: (1 - t).clamp(min=0)),
    "bicubic": (2.0, _cubic),
    "lanczos": (3.0, lambda t: torch.where(t < 3, torch.sinc(t) * torch.sinc(t / 3), 0.0)),
}
"""Name -> reach in pixels, and weight by the distance."""


def weights(start: Tensor, length: Tensor, source: int, size: int, interpolation: str) -> Tensor:
    """How much each of `source` pixels in a row counts for each of `size` in the result: (B, size, source) float64, summing to 1.

    Args:
        start, length: the stretch of the source that becomes the result, in pixels, (B,).
        source, size: pixels there and here.
        interpolation: one of `FILTERS`.
    """
    reach, weight = FILTERS[interpolation]
    scale = (length.double() / size)[:, None, None]
    wide = scale.clamp(min=1)  # a shrinking image is averaged
    middle = start.double()[:, None, None] + (torch.arange(size, device=start.device)[:, None] + 0.5) * scale  # (B, size, 1)
    first = (middle - reach * wide + 0.5).floor()
    last = (middle + reach * wide + 0.5).floor()
    at = torch.arange(source, device=start.device)
    w = weight(((at + 0.5 - middle) / wide).abs()) * ((at >= first) & (at < last))
    return w / w.sum(2, keepdim=True)


def resample(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Images (B, C, h, w) by the weights of columns (B, W, w), then of rows (B, H, h): (B, C, H, W); rounded each time."""
    values = working(x)
    across = values @ columns.to(values.dtype).mT[:, None]
    if x.dtype == torch.uint8:
        across = working(stored(across, x))
    return stored(rows.to(values.dtype)[:, None] @ across, x)


def resize(x: Tensor, size: tuple[int, int], *, box: Tensor | None = None, interpolation: str = "bilinear") -> Tensor:
    """Images (B, C, h, w) in another size, of the same type.

    Args:
        x: images.
        size: height and width in pixels.
        box: (B, 4), x1, y1, x2, y2 in pixels of what becomes the result; the whole image by default.
        interpolation: "nearest" or one of `FILTERS`.

    Raises:
        ValueError: an unknown interpolation.
    """
    B, _, h, w = x.shape
    if interpolation == "nearest":
        return resize_grid((h, w), size, B, box=box, device=x.device).images(x, interpolation="nearest")
    if interpolation not in FILTERS:
        raise ValueError(f'interpolation is "{interpolation}"; it must be one of nearest, {", ".join(FILTERS)}')
    box = _box(box, (h, w), B, x.device)
    x1, y1, x2, y2 = box.unbind(1)
    return resample(x, weights(y1, y2 - y1, h, size[0], interpolation), weights(x1, x2 - x1, w, size[1], interpolation))


def resize_grid(
    source: tuple[int, int], size: tuple[int, int], n: int, *, box: Tensor | None = None, device: torch.device | None = None
) -> Grid:
    """Where the pixels of n images in another size come from, for their masks and boxes; arguments as of `resize`."""
    x1, y1, x2, y2 = _box(box, source, n, device).unbind(1)
    matrix = identity(n, device)
    matrix[:, 0, 0], matrix[:, 0, 2] = (x2 - x1) / size[1], x1
    matrix[:, 1, 1], matrix[:, 1, 2] = (y2 - y1) / size[0], y1
    return Grid(matrix, source, size)


def _box(box: Tensor | None, source: tuple[int, int], n: int, device: torch.device | None) -> Tensor:
    if box is not None:
        return box.double()
    return torch.tensor([0, 0, source[1], source[0]], dtype=torch.float64, device=device).repeat(n, 1)
