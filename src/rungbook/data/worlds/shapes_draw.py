"""Simple shapes as signed distances: below 0 inside, about one a pixel across the edge, so that edges can be drawn smoothly.

Distances to a polygon's sides as in Quilez, "2D distance functions" (iquilezles.org); here written for many shapes at once. n shapes,
every one with the pixel coordinates u, v (n, H, W) from its centre, turned with it, in units of its radius.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def _circle(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.hypot(u, v) - 1


def _square(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.maximum(np.abs(u), np.abs(v)) - np.float32(0.5**0.5)  # corners on the circle of the radius


def _triangle(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    sides = [(np.float32(np.cos(a)), np.float32(np.sin(a))) for a in (np.pi / 2, np.pi * 7 / 6, np.pi * 11 / 6)]
    return np.maximum.reduce([u * c + v * s for c, s in sides]) - np.float32(0.5)


def _cross(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    u, v = np.abs(u), np.abs(v)
    arm = np.float32(0.3)
    length = np.float32((1 - 0.3**2) ** 0.5)
    return np.minimum(np.maximum(u - length, v - arm), np.maximum(v - length, u - arm))


def _ring(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.abs(np.hypot(u, v) - np.float32(0.78)) - np.float32(0.22)


def _star(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Five points on the circle of the radius, notches at 0.4 of it: in one tenth of the turn the edge is a single line."""
    tenth = np.float32(np.pi / 5)
    angle = np.abs((np.arctan2(u, v) + tenth) % (2 * tenth) - tenth)  # from the nearest point
    distance = np.hypot(u, v)
    x, y = distance * np.sin(angle), distance * np.cos(angle)
    notch = np.float32(0.4)
    along = np.array([notch * np.sin(tenth), notch * np.cos(tenth) - 1], np.float32)  # from the point (0, 1) to the notch
    along /= np.hypot(*along)
    return -(x * along[1] - (y - 1) * along[0])


SHAPES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "cross": _cross,
    "ring": _ring,
    "star": _star,
}
"""Name -> signed distance in units of the radius; every shape lies within the circle of the radius and touches it, or nearly."""


def coverage(kind: np.ndarray, centre: np.ndarray, radius: np.ndarray, turn: np.ndarray, side: int) -> np.ndarray:
    """How far each pixel lies in a shape.

    Args:
        kind: position in `SHAPES`, int (n,).
        centre: x and y in pixels, (n, 2); the middle of the first pixel is at 0.5.
        radius: pixels, (n,).
        turn: radians, (n,).
        side: pixels.

    Returns:
        float32 (n, side, side): 1 inside, 0 outside, between at the edge; above 0.5 the pixel's middle is inside.
    """
    grid = np.arange(side, dtype=np.float32) + np.float32(0.5)
    x = (grid - centre[:, :1].astype(np.float32))[:, None, :]  # (n, 1, W)
    y = (grid - centre[:, 1:].astype(np.float32))[:, :, None]  # (n, H, 1)
    cos, sin = ((f(turn) / radius).astype(np.float32)[:, None, None] for f in (np.cos, np.sin))
    u, v = x * cos + y * sin, y * cos - x * sin
    inside = np.empty_like(u)
    for k, distance in enumerate(SHAPES.values()):
        these = kind == k
        if these.any():
            inside[these] = distance(u[these], v[these])
    return (np.float32(0.5) - inside * radius.astype(np.float32)[:, None, None]).clip(0, 1)


def boxes_of(masks: np.ndarray) -> np.ndarray:
    """The tightest box of each mask (n, H, W): x0, y0, x1, y1 in pixels, the last two behind the last pixel, float32 (n, 4)."""
    ends = []
    for line in (np.any(masks, axis=1), np.any(masks, axis=2)):  # columns, rows
        ends.append((line.argmax(1), line.shape[1] - line[:, ::-1].argmax(1)))
    (x0, x1), (y0, y1) = ends
    return np.stack([x0, y0, x1, y1], 1).astype(np.float32)


def box_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes (..., 4), x0, y0, x1, y1; 0 for a box without area."""
    low, high = np.maximum(a[..., :2], b[..., :2]), np.minimum(a[..., 2:], b[..., 2:])
    common = (high - low).clip(0).prod(-1)
    areas = [(c[..., 2:] - c[..., :2]).clip(0).prod(-1) for c in (a, b)]
    return common / np.maximum(areas[0] + areas[1] - common, 1e-12)
