"""Where every pixel of a changed image comes from: one description that moves images, masks and boxes alike.

A `Grid` holds for each image a matrix that takes a place in the result to its place in the source, in homogeneous coordinates
(Hartley, Zisserman 2004, "Multiple view geometry in computer vision", section 2.4). Places are measured in pixels from the upper left
corner, so the middle of the first pixel is (0.5, 0.5), as Pillow and OpenGL count. Several moves are one product of matrices and
cost one interpolation. Letters: B images, C channels, h and w of the source, H and W of the result.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from rungbook.data.augment.pixels import per_sample, stored, working

EDGES = ("zero", "edge", "reflect")
"""What lies beyond an image: a fill, its outermost pixels continued, or its mirror image (the outermost pixel not twice)."""


@dataclass(frozen=True)
class Grid:
    """Where the pixels of a batch of results come from.

    Args:
        matrix: (B, 3, 3) float64, place (x, y, 1) in the result -> place in the source.
        source: height and width of the source in pixels.
        size: height and width of the result in pixels.
        edge: what lies beyond the source, one of `EDGES`.
        projective: whether lines may converge; otherwise each last row is (0, 0, 1) and no division is needed.
    """

    matrix: Tensor
    source: tuple[int, int]
    size: tuple[int, int]
    edge: str = "zero"
    projective: bool = False

    def places(self) -> tuple[Tensor, Tensor]:
        """x and y in the source of the middle of each pixel of the result, (B, H, W) each, float64."""
        H, W = self.size
        m = self.matrix[:, :, :, None, None]  # (B, 3, 3, 1, 1)
        x = torch.arange(W, dtype=torch.float64, device=m.device) + 0.5
        y = (torch.arange(H, dtype=torch.float64, device=m.device) + 0.5)[:, None]
        at = [m[:, row, 0] * x + (m[:, row, 1] * y + m[:, row, 2]) for row in range(3 if self.projective else 2)]
        return (at[0] / at[2], at[1] / at[2]) if self.projective else (at[0], at[1])

    def images(self, x: Tensor, *, interpolation: str = "bilinear", fill: float | Tensor = 0) -> Tensor:
        """The images (B, C, h, w) as the grid moves them, (B, C, H, W), of the same type.

        Args:
            x: images.
            interpolation: "nearest" or "bilinear".
            fill: value beyond the image where `edge` is "zero", one for all or (B,).

        Raises:
            ValueError: an unknown interpolation, or images of another size than the grid's source.
        """
        h, w = x.shape[2:]
        if (h, w) != self.source:
            raise ValueError(f"the grid is for images of {self.source[0]}x{self.source[1]}, these are {h}x{w}")
        if interpolation not in ("nearest", "bilinear"):
            raise ValueError(f'interpolation is "{interpolation}"; it must be "nearest" or "bilinear"')
        u, v = self.places()
        if interpolation == "nearest":
            out = self._pick(x, self._into(u, 1), self._into(v, 0))
        else:
            out = stored(self._blend(x, u - 0.5, v - 0.5), x)
        if self.edge != "zero":
            return out
        inside = ((u >= 0) & (u < w) & (v >= 0) & (v < h))[:, None]  # (B, 1, H, W)
        return torch.where(inside, out, per_sample(fill, x).to(x.dtype))

    def _pick(self, x: Tensor, column: Tensor, row: Tensor) -> Tensor:
        """The pixels at columns and rows within the source, (B, H, W) each."""
        B, C, h, w = x.shape
        index = row * w + column
        return x.reshape(B, C, h * w).gather(2, index.view(B, 1, self.size[0] * self.size[1]).expand(B, C, -1)).view(B, C, *self.size)

    def _blend(self, x: Tensor, u: Tensor, v: Tensor) -> Tensor:
        """The four pixels around each place, by how near they are."""
        x = working(x)
        left, above = u.floor(), v.floor()
        right_share, below_share = ((a - b).to(x.dtype)[:, None] for a, b in ((u, left), (v, above)))
        columns = self._into(left, 1), self._into(left + 1, 1)
        rows = self._into(above, 0), self._into(above + 1, 0)
        upper, lower = (torch.lerp(self._pick(x, columns[0], row), self._pick(x, columns[1], row), right_share) for row in rows)
        return torch.lerp(upper, lower, below_share)

    def _into(self, at: Tensor, axis: int) -> Tensor:
        """Rows (axis 0) or columns (axis 1) from places, within the source."""
        return place(at.floor(), self.source[axis], self.edge).long()

    def masks(self, masks: Tensor, *, fill: int = 0) -> Tensor:
        """Label maps (B, h, w), any whole-number type, moved without mixing labels, (B, H, W); `fill` where no source is."""
        u, v = self.places()
        moved = self._pick(masks[:, None], self._into(u, 1), self._into(v, 0))[:, 0]
        if self.edge != "zero":
            return moved
        inside = (u >= 0) & (u < self.source[1]) & (v >= 0) & (v < self.source[0])
        return moved.masked_fill(~inside, fill)

    def points(self, points: Tensor) -> Tensor:
        """Places (B, N, 2) in the source -> where they are in the result; not finite for those behind the viewer."""
        ones = points.new_ones(*points.shape[:2], 1, dtype=torch.float64)
        moved = torch.cat([points.double(), ones], 2) @ torch.linalg.inv(self.matrix).mT  # (B, N, 3)
        depth = moved[..., 2:]
        return moved[..., :2] / torch.where(depth > 1e-9, depth, float("nan"))


def place(at: Tensor, size: int, edge: str) -> Tensor:
    """Whole places beyond 0..size-1, back inside: mirrored at the outermost pixel, or held at it (a fill overwrites those)."""
    if edge != "reflect":
        return at.clamp(0, size - 1)
    period = max(1, 2 * size - 2)  # there and back again
    at = at - period * torch.div(at, period, rounding_mode="floor")
    return size - 1 - (size - 1 - at).abs()


def identity(n: int, device: torch.device | None = None) -> Tensor:
    """n matrices (n, 3, 3) that move nothing."""
    return torch.eye(3, dtype=torch.float64, device=device).repeat(n, 1, 1)


def affine(
    size: tuple[int, int],
    *,
    turn: Tensor | float = 0.0,
    shift: tuple[Tensor | float, Tensor | float] = (0.0, 0.0),
    scale: Tensor | float = 1.0,
    shear: tuple[Tensor | float, Tensor | float] = (0.0, 0.0),
) -> Tensor:
    """Turned, sheared, scaled about the middle, then shifted, as matrices (B, 3, 3) from the result to the source.

    Args:
        size: height and width in pixels.
        turn: degrees against the clock, a number or (B,), as all that follow.
        shift: pixels to the right and down.
        scale: how many times larger.
        shear: by how much x grows with y, and y with x.
    """
    given = (turn, *shift, scale, *shear)
    device = next((v.device for v in given if isinstance(v, Tensor)), None)
    values = torch.broadcast_tensors(*(torch.as_tensor(v, dtype=torch.float64, device=device) for v in given))
    angle, right, down, larger, by_y, by_x = (v.reshape(-1) for v in values)
    angle = angle * (math.pi / 180)
    cos, sin = angle.cos(), angle.sin()
    turned = torch.stack([cos, -sin, sin, cos], 1).view(-1, 2, 2)  # y points down: what turns a place back turns an image forth
    one = torch.ones_like(larger)
    sheared = torch.stack([one, by_y, by_x, one], 1).view(-1, 2, 2)
    matrix = identity(len(larger), larger.device)
    matrix[:, :2, :2] = turned @ torch.linalg.inv(sheared) / larger[:, None, None]
    middle = torch.tensor([size[1] / 2, size[0] / 2], dtype=torch.float64, device=larger.device)
    moved = middle + torch.stack([right, down], 1)  # where the middle comes to lie
    matrix[:, :2, 2] = middle - (matrix[:, :2, :2] @ moved[:, :, None])[:, :, 0]
    return matrix


def perspective(source: Tensor, result: Tensor) -> Tensor:
    """The matrices (B, 3, 3) that take four corners of the result to four of the source, (B, 4, 2) each, as (x, y) in pixels.

    Each corner gives two linear equations in the eight unknowns (Hartley, Zisserman 2004, section 4.1).
    """
    x, y = result.double().unbind(2)  # (B, 4)
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    u, v = source.double().unbind(2)
    for_u = torch.stack([x, y, one, zero, zero, zero, -u * x, -u * y], 2)
    for_v = torch.stack([zero, zero, zero, x, y, one, -v * x, -v * y], 2)
    solved = torch.linalg.solve(torch.cat([for_u, for_v], 1), torch.cat([u, v], 1))  # (B, 8)
    return torch.cat([solved, torch.ones_like(solved[:, :1])], 1).view(-1, 3, 3)


def corners(size: tuple[int, int], n: int, device: torch.device | None = None) -> Tensor:
    """The corners of an image, clockwise from the upper left, n times: (n, 4, 2)."""
    H, W = size
    return torch.tensor([[0, 0], [W, 0], [W, H], [0, H]], dtype=torch.float64, device=device).repeat(n, 1, 1)
