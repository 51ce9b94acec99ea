"""Versions of an image beside each other, with label map and boxes where there are any."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.patches import Rectangle
from torch import Tensor

from rungbook.plot.images import to_uint8
from rungbook.plot.style import CLASSES, Picture, label, sheet

MASK_OPACITY = 0.45
NAMES_WIDTH = 0.9
"""Inches that the rows' names take beside the images."""


@dataclass(frozen=True)
class View:
    """One version of an image.

    Args:
        image: (C, H, W), uint8, or floats from 0 to 1.
        mask: a label for each pixel, (H, W); label 0 is not coloured.
        boxes: (N, 4), x1, y1, x2, y2 in pixels.
        title: a few words above it.
    """

    image: Tensor
    mask: Tensor | None = None
    boxes: Tensor | None = None
    title: str = ""


def view_grid(rows: Mapping[str, Sequence[View]], *, side: float = 0.85) -> Picture:
    """A row of versions for each name.

    Args:
        rows: name -> its versions, from left to right.
        side: width of an image in inches.
    """
    columns = max(len(views) for views in rows.values())
    paints: list[Callable[[Axes], None]] = []
    for name, views in rows.items():
        paints += [_painter(view, label(name, 18) if i == 0 else "") for i, view in enumerate(views)]
        paints += [_nothing] * (columns - len(views))
    first = next(iter(rows.values()))[0].image
    height = side * first.shape[1] / first.shape[2] + (0.18 if any(v.title for views in rows.values() for v in views) else 0)
    return sheet(paints, _words(rows), columns=columns, size=(side + NAMES_WIDTH / columns, height))


def _painter(view: View, name: str) -> Callable[[Axes], None]:
    def paint(ax: Axes) -> None:
        pixels = to_uint8(view.image, (0.0, 1.0)).cpu().numpy().transpose(1, 2, 0)
        ax.imshow(pixels[..., 0] if pixels.shape[2] == 1 else pixels, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        if view.mask is not None:
            ax.imshow(_coloured(view.mask.cpu().numpy()), interpolation="nearest")
        for i, (x1, y1, x2, y2) in enumerate([] if view.boxes is None else view.boxes.tolist()):
            colour = CLASSES[i % len(CLASSES)]
            # imshow puts the middle of the first pixel at 0, boxes count from its edge
            ax.add_patch(Rectangle((x1 - 0.5, y1 - 0.5), x2 - x1, y2 - y1, fill=False, edgecolor=colour, linewidth=1.4))
        ax.grid(visible=False)
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
        if view.title:
            ax.set_title(label(view.title, 14), fontsize=8, pad=2, loc="center")
        if name:
            ax.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8)

    return paint


def _nothing(ax: Axes) -> None:
    ax.set_axis_off()


def _coloured(mask: np.ndarray) -> np.ndarray:
    """Labels (H, W) as colours with opacity, (H, W, 4); label 0 is clear."""
    colours = np.array([(0.0, 0.0, 0.0, 0.0), *(to_rgba(c, MASK_OPACITY) for c in CLASSES)])
    return colours[np.where(mask > 0, (mask - 1) % len(CLASSES) + 1, 0)]


def _words(rows: Mapping[str, Sequence[View]]) -> str:
    """What is in the picture: rows by name, versions, label maps and boxes counted."""
    views = [view for row in rows.values() for view in row]
    boxes = sum(len(view.boxes) for view in views if view.boxes is not None)
    masks = sum(view.mask is not None for view in views)
    beside = [text for text in (f"{boxes} boxes" if boxes else "", f"{masks} coloured label maps" if masks else "") if text]
    names = ", ".join(label(name) for name in rows)
    return f"{len(views)} versions of images in {len(rows)} rows: {names}{'; with ' + ' and '.join(beside) if beside else ''}."
