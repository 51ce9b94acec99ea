"""Images of simple shapes: what they are, where, and which pixels are theirs is known exactly; labels are wrong as often as one wants.

Symmetric label noise as in Angluin and Laird 1988, "Learning from noisy examples": the best any classifier reaches is 1 - flip.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import ClassVar

import numpy as np

from rungbook.data.worlds.shapes_draw import SHAPES, box_iou, boxes_of, coverage
from rungbook.data.worlds.world import Limit, Sample, World
from rungbook.plot.style import Picture

CELL = 16
"""Pixels of side that an object needs: shapes of 4 pixels radius can still be told apart."""
FITS = 0.42
"""The largest radius, as a share of an object's cell: every place leaves it some room to be elsewhere."""
ONE, LARGEST, OTHERS = (0.6, 1.0), (0.8, 1.0), (0.6, 0.72)
"""Radius in shares of the largest that fits: of a single object, of the first of several, and of the others."""
DARK, CONTRAST = (10, 70), (90, 160)
"""Brightness of the background, and how much brighter a shape is, in 1/255 of each channel."""
MOST_NOISE = 25.0
"""With more noise than this the smallest shapes are no longer told apart, and the limits would not hold."""
MOST_BYTES = 8_000_000_000
"""Of images and both kinds of masks together, which are held in memory."""
CHUNK = 2_000_000
"""Pixels drawn at a time: working copies stay within some 100 MB."""


@dataclass(frozen=True)
class Shapes(World):
    """Bright shapes on a darker, noisy background, each of random kind, place, size, turn and brightness.

    With several objects the first is the largest, and its class is the image's; objects never overlap. The limits of masks and boxes are
    those of a model that finds every edge, judged by the noisy masks and boxes: none can do better.

    Samples hide `labels` (n, objects) before noise, `boxes` and `noisy_boxes` float32 (n, objects, 4) as x0, y0, x1, y1 in pixels,
    `masks` and `noisy_masks` bool (n, objects, H, W).

    Args:
        n: images.
        classes: kinds of shapes, the first so many of circle, square, triangle, cross, ring, star.
        side: pixels.
        channels: 1 (grey) or 3 (colour).
        objects: shapes an image.
        flip: probability that a label is wrong, each other class being equally likely then.
        noise: standard deviation of each pixel, in 1/255.
        box_noise: standard deviation of each side of a noisy box, pixels.
        mask_flip: probability that a pixel of a noisy mask is wrong.
    """

    name: ClassVar[str] = "shapes"
    kind: ClassVar[str] = "image"
    target: ClassVar[str] = "shape"
    n: int = 3000
    classes: int = 4
    side: int = 28
    channels: int = 1
    objects: int = 1
    flip: float = 0.1
    noise: float = 12.0
    box_noise: float = 0.5
    mask_flip: float = 0.02

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require(2 <= self.classes <= len(SHAPES), f"classes is {self.classes}; 2 to {len(SHAPES)} are possible", "classes=4")
        self._require(CELL <= self.side <= 128, f"side is {self.side} pixels; {CELL} to 128 are possible", "side=28")
        self._require(self.channels in (1, 3), f"channels is {self.channels}; 1 (grey) or 3 (colour) is needed", "channels=3")
        most = (self.side // CELL) ** 2
        message = f"objects is {self.objects} in {self.side} x {self.side} pixels, which have room for 1 to {most}"
        wanted = min(max(1, self.objects), (128 // CELL) ** 2)
        side = max(self.side, CELL * math.ceil(math.sqrt(wanted)))
        self._require(1 <= self.objects <= most, message, f"objects={wanted}, side={side}")
        none = 1 - 1 / self.classes
        message = f"flip is {self.flip}; it must be 0 or more and below {none:.4g}, at which labels say nothing of {self.classes} classes"
        self._require(0 <= self.flip < none, message, f"classes={self.classes}, flip=0.1")
        self._require(0 <= self.noise <= MOST_NOISE, f"noise is {self.noise}; 0 to {MOST_NOISE:g} leave the shapes clear", "noise=12")
        size = self.side**2 * (self.channels + 2 * self.objects)
        message = f"n is {self.n:,}: images and masks of {self.n * size / 1e9:,.1f} GB; {MOST_BYTES / 1e9:g} at most"
        fits = min(10_000, MOST_BYTES // size)
        fix = f"n={fits}, side={self.side}, objects={self.objects}"
        self._require(self.n * size <= MOST_BYTES, message, fix)
        most_noise = self._smallest / 4
        message = f"box_noise is {self.box_noise}; 0 to {most_noise:.3g} pixels are possible, or the sides of a box would change places"
        self._require(0 <= self.box_noise <= most_noise, message, "box_noise=0.5")
        self._require(0 <= self.mask_flip < 0.5, f"mask_flip is {self.mask_flip}; 0 to below 0.5 are possible", "mask_flip=0.02")

    @property
    def class_names(self) -> tuple[str, ...]:
        return tuple(SHAPES)[: self.classes]

    @property
    def _cells(self) -> int:
        """Cells a row: each object has its own, so that none hides another."""
        return math.ceil(math.sqrt(self.objects))

    @property
    def _smallest(self) -> float:
        return ONE[0] * FITS * self.side / self._cells

    def sample(self, n: int, seed: int = 0) -> Sample:
        rng = self.rng(seed)
        clean = rng.integers(0, self.classes, (n, self.objects))
        wrong = (rng.random(n) < self.flip) * rng.integers(1, self.classes, n)
        x, masks = self._pixels(clean, rng)
        boxes = boxes_of(masks.reshape(-1, self.side, self.side)).reshape(n, self.objects, 4)
        noisy = boxes + self.box_noise * rng.standard_normal(boxes.shape, np.float32)
        noisy_masks = masks.copy()
        for one in noisy_masks:  # image by image: a draw for every pixel of all would take eight times the memory of the masks
            one ^= rng.random(one.shape, np.float32) < self.mask_flip
        hidden = {"labels": clean, "boxes": boxes, "masks": masks, "noisy_boxes": noisy.astype(np.float32), "noisy_masks": noisy_masks}
        return Sample(x, (clean[:, 0] + wrong) % self.classes, hidden)

    def _pixels(self, kinds: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Images uint8 (n, C, side, side) and masks bool (n, objects, side, side) of objects of these kinds (n, objects)."""
        (n, K), C, S = kinds.shape, self.channels, self.side
        cell = S / self._cells
        share = rng.uniform(*(ONE if K == 1 else OTHERS), (n, K))
        if K > 1:
            share[:, 0] = rng.uniform(*LARGEST, n)
        radius = FITS * cell * share
        where = rng.random((n, self._cells**2)).argsort(1)[:, :K]  # different cells
        corner = np.stack([where % self._cells, where // self._cells], 2) * cell
        room = radius[..., None] + 0.5
        centre = corner + room + rng.random((n, K, 2)) * (cell - 2 * room)
        turn = rng.uniform(0, 2 * np.pi, (n, K))
        dark = rng.uniform(*DARK, (n, C)).astype(np.float32)
        bright = rng.uniform(*CONTRAST, (n, K, C)).astype(np.float32)
        x, masks = np.empty((n, C, S, S), np.uint8), np.empty((n, K, S, S), bool)
        step = max(1, CHUNK // (S * S * max(K, C)))
        for i in range(0, n, step):
            part = slice(i, i + step)
            flat = [a[part].reshape(-1, *a.shape[2:]) for a in (kinds, centre, radius, turn)]
            cover = coverage(flat[0], flat[1], flat[2], flat[3], S).reshape(-1, K, S, S)
            masks[part] = cover > 0.5
            canvas = np.einsum("noc,nohw->nchw", bright[part], cover, optimize=True) + dark[part, :, None, None]
            canvas += np.float32(self.noise) * rng.standard_normal(canvas.shape, np.float32)
            x[part] = canvas.round().clip(0, 255)
        return x, masks

    def limits(self) -> dict[str, Limit]:
        f, K = self.flip, self.classes
        loss = -(1 - f) * math.log(1 - f) - (f * math.log(f / (K - 1)) if f else 0.0)
        return {
            "accuracy": Limit(1 - f),
            "balanced_accuracy": Limit(1 - f),  # classes are equally frequent, and wrong labels equally often any other
            "log_loss": Limit(loss),
            "pixel_accuracy": Limit(1 - self.mask_flip),
            "box_mean_absolute_error": Limit(self.box_noise * math.sqrt(2 / math.pi)),
            "box_iou": _box_iou(self.side, self.classes, self.objects, self.box_noise),
        }

    def picture(self, seed: int = 0) -> Picture:
        import torch

        from rungbook.plot.images import image_grid

        drawn = self.sample(16, seed)
        truth, said = ([self.class_names[k] for k in labels] for labels in (drawn.hidden["labels"][:, 0], drawn.y))
        wrong = [f"{t} labelled {s}" for t, s in zip(truth, said, strict=True) if t != s]
        sheet = image_grid(torch.from_numpy(drawn.x), said)
        return replace(sheet, alt=f"{sheet.alt} Wrong labels: {', '.join(wrong) or 'none'}.")


@lru_cache(maxsize=32)
def _box_iou(side: int, classes: int, objects: int, box_noise: float) -> Limit:
    """The best mean overlap with noisy boxes.

    A box a little larger or smaller than the true one may overlap noisy ones more in the mean; noise is the same on all sides, so the
    best answer moves all sides by the same. That shift is chosen on one half of the noise and judged on the other.
    """
    if box_noise == 0:
        return Limit(1.0)
    images, draws = max(1, 1000 // objects), 100
    world = Shapes(side=side, classes=classes, objects=objects)
    boxes = world.sample(images, seed=1).hidden["boxes"].reshape(-1, 1, 4).astype(np.float64)
    rng = world.rng(2)
    away = np.array([-1, -1, 1, 1])
    shifts = box_noise * np.linspace(-0.4, 0.4, 9)

    def overlap(noisy: np.ndarray, shift: float) -> np.ndarray:
        return box_iou(boxes + shift * away, noisy).mean(1)

    noisy = boxes + box_noise * rng.standard_normal((len(boxes), draws, 4))
    found = np.stack([overlap(noisy, shift) for shift in shifts])
    best = float(shifts[found.mean(1).argmax()])
    noisy = boxes + box_noise * rng.standard_normal((len(boxes), draws, 4))
    values = overlap(noisy, best)  # a mean for each box: boxes differ too, and that belongs to the error
    error = float(values.std(ddof=1) / math.sqrt(len(values)))
    return Limit(float(values.mean()), error, f"Monte Carlo, {len(values) * draws:,} noisy boxes")
