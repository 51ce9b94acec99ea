"""Rectangles taken out, so that a network cannot rest on one spot of a picture.

Random erasing: Zhong, Zheng, Kang, Li, Yang 2020, "Random erasing data augmentation", algorithm 1. Cutout: DeVries, Taylor 2017, "Improved
regularization of convolutional neural networks with cutout". Masks and boxes stay: what is hidden is still there.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rungbook.data import draws
from rungbook.data.augment.pixels import top
from rungbook.data.augment.step import CUTOUT, ERASE, Step

TRIES = 20
"""Rectangles drawn for an image until one lies within it. The paper goes on for ever; at its settings fewer than one image in a thousand
finds none among these and stays whole."""


def fill_boxes(x: Tensor, boxes: Tensor, values: Tensor | float) -> Tensor:
    """Images (B, C, H, W) with the pixels of a box each replaced.

    Args:
        x: images.
        boxes: (B, 4), x1, y1, x2, y2 in whole pixels, the last ones not within; parts beyond the image do not count.
        values: what is put there, in the images' own range: anything that broadcasts with them.
    """
    x1, y1, x2, y2 = boxes[:, :, None].unbind(1)  # (B, 1)
    column, row = (torch.arange(n, device=x.device) for n in (x.shape[3], x.shape[2]))
    inside = ((row >= y1) & (row < y2))[:, None, :, None] & ((column >= x1) & (column < x2))[:, None, None, :]  # (B, 1, H, W)
    return torch.where(inside, torch.as_tensor(values, device=x.device).to(x.dtype), x)


def random_bytes(shape: torch.Size, samples: Tensor, epoch: int, seed: int, stream: int) -> Tensor:
    """Evenly drawn uint8 values (B, ...), each a function of (seed, epoch, stream, sample, place) alone: eight from one number."""
    n = math.prod(shape[1:])
    places = torch.arange(-(-n // 8), device=samples.device)
    bits = draws.bits(0, 0, stream, draws.bits(seed, epoch, stream, samples)[:, None] + places)  # (B, n / 8)
    return bits.view(torch.uint8)[:, :n].reshape(shape)


class Erase(Step):
    """A rectangle of random size, shape and place filled with noise, in some images.

    Args:
        p: share of the images.
        least, most: share of the image's area that the rectangle takes, drawn evenly.
        aspect: height over width, drawn evenly from this to its inverse.
        fill: "noise" (evenly drawn values, as in the paper) or a grey from 0 to 1.

    Raises:
        ValueError: shares not within 0 to 1 or in the wrong order, or a fill that is neither.
    """

    def __init__(self, *, p: float = 0.5, least: float = 0.02, most: float = 0.4, aspect: float = 0.3, fill: float | str = "noise") -> None:
        if not (0 <= p <= 1 and 0 < least <= most <= 1 and 0 < aspect <= 1):
            raise ValueError(f"p={p}, least={least}, most={most}, aspect={aspect}: shares up to 1, least not above most, aspect up to 1")
        if fill != "noise" and (isinstance(fill, str) or not 0 <= fill <= 1):
            raise ValueError(f'fill is {fill!r}; it must be "noise" or a grey from 0 to 1')
        self.p, self.least, self.most, self.aspect, self.fill = p, least, most, aspect, fill

    def boxes(self, samples: Tensor, epoch: int, seed: int, size: tuple[int, int]) -> Tensor:
        """The rectangle of each image, (B, 4) int64 as of `fill_boxes`; empty where none is erased."""
        H, W = size
        chosen = draws.uniform(seed, epoch, ERASE, samples) < self.p
        tries = samples[:, None] * TRIES + torch.arange(TRIES, device=samples.device)  # (B, TRIES)
        area, aspect, x, y = draws.uniform(seed, epoch, range(ERASE + 1, ERASE + 5), tries)
        area = (self.least + (self.most - self.least) * area) * H * W
        aspect = self.aspect + (1 / self.aspect - self.aspect) * aspect
        height, width = (area * aspect).sqrt().round(), (area / aspect).sqrt().round()
        left, above = (x * W).floor(), (y * H).floor()
        fits = (left + width <= W) & (above + height <= H) & chosen[:, None]
        first = fits.int().argmax(1, keepdim=True)  # the first that fits; masked below where none does
        boxes = torch.stack([left, above, left + width, above + height], 2).gather(1, first[:, :, None].expand(-1, 1, 4))[:, 0]
        return boxes.long() * fits.any(1)[:, None]

    def __call__(self, x: Tensor, samples: Tensor, epoch: int, seed: int) -> Tensor:
        """As `Step`."""
        boxes = self.boxes(samples, epoch, seed, (x.shape[2], x.shape[3]))
        if isinstance(self.fill, float | int):
            return fill_boxes(x, boxes, self.fill * top(x))
        noise = random_bytes(x.shape, samples, epoch, seed, ERASE + 5)
        return fill_boxes(x, boxes, noise if x.dtype == torch.uint8 else noise.to(x.dtype) / 255)

    def __repr__(self) -> str:
        return f"Erase(p={self.p}, least={self.least}, most={self.most}, aspect={self.aspect}, fill={self.fill!r})"


class Cutout(Step):
    """A black square in every image, its middle anywhere, so that part of it may lie beyond the edge.

    Args:
        share: side of the square, of the image's shorter side; the paper's 16 of 32 pixels for CIFAR-10.
    """

    def __init__(self, *, share: float = 0.5) -> None:
        if not 0 < share <= 1:
            raise ValueError(f"share is {share}; it must be above 0, up to 1")
        self.share = share

    def __call__(self, x: Tensor, samples: Tensor, epoch: int, seed: int) -> Tensor:
        """As `Step`."""
        H, W = x.shape[2:]
        side = max(1, round(self.share * min(H, W)))
        u, v = draws.uniform(seed, epoch, (CUTOUT, CUTOUT + 1), samples)
        left, above = (u * W).long() - side // 2, (v * H).long() - side // 2
        return fill_boxes(x, torch.stack([left, above, left + side, above + side], 1), 0.0)

    def __repr__(self) -> str:
        return f"Cutout(share={self.share})"
