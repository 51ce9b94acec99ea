"""Random moves of whole images: turned, shifted, scaled, sheared, seen from aside, zoomed; and grids of the plain ones.

Each step draws one matrix for an image, however many moves it makes, so pixels are interpolated once.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rungbook.data import draws
from rungbook.data.augment.grid import EDGES, Grid, affine, corners, identity, perspective
from rungbook.data.augment.pixels import where
from rungbook.data.augment.resize import resize, resize_grid
from rungbook.data.augment.step import AFFINE, PERSPECTIVE, TURN, ZOOM, Step


def flip_grid(size: tuple[int, int], across: Tensor, down: Tensor | None = None) -> Grid:
    """Mirrored left to right where `across` (B,) says so, upside down where `down` does."""
    matrix = identity(len(across), across.device)
    for axis, mirrored in ((0, across), (1, down)):
        if mirrored is not None:
            matrix[:, axis, axis] = torch.where(mirrored, -1.0, 1.0)
            matrix[:, axis, 2] = mirrored * size[1 - axis]
    return Grid(matrix, size, size)


def crop_grid(source: tuple[int, int], size: tuple[int, int], top: Tensor, left: Tensor, *, edge: str = "zero") -> Grid:
    """A window of `size` from row `top` (B,) and column `left` (B,) on; where it reaches beyond the image, `edge` says what is there.

    Padding by p is a window larger by 2p that begins at -p.
    """
    matrix = identity(len(top), top.device)
    matrix[:, 0, 2], matrix[:, 1, 2] = left, top
    return Grid(matrix, source, size, edge=edge)


class Flip(Step):
    """Half of the images mirrored left to right, upside down, or each by its own draw.

    Args:
        across, down: which of the two there are.
    """

    def __init__(self, *, across: bool = True, down: bool = True) -> None:
        self.across, self.down = across, down

    def _draw(self, samples: Tensor, epoch: int, seed: int) -> tuple[Tensor, Tensor]:
        across, down = draws.uniform(seed, epoch, (TURN, TURN + 1), samples) < 0.5
        return across & self.across, down & self.down

    def __call__(self, x: Tensor, samples: Tensor, epoch: int, seed: int) -> Tensor:
        """As `Step`."""
        across, down = self._draw(samples, epoch, seed)
        x = where(across, x.flip(3), x) if self.across else x
        return where(down, x.flip(2), x) if self.down else x

    def grid(self, samples: Tensor, epoch: int, seed: int, size: tuple[int, int]) -> Grid:
        """As `Step`."""
        return flip_grid(size, *self._draw(samples, epoch, seed))

    def __repr__(self) -> str:
        return f"Flip(across={self.across}, down={self.down})"


class Moved(Step):
    """A step that is its grid: images are interpolated at the places it names. Subclasses say `grid`."""

    interpolation = "bilinear"

    def __call__(self, x: Tensor, samples: Tensor, epoch: int, seed: int) -> Tensor:
        """As `Step`."""
        grid = self.grid(samples, epoch, seed, (x.shape[2], x.shape[3]))
        assert grid is not None
        return grid.images(x, interpolation=self.interpolation)


class Affine(Moved):
    """Turned, shifted, scaled and sheared about the middle, each drawn evenly from both sides of none.

    Args:
        degrees: largest turn.
        shift: largest shift, of the side it goes along.
        scale: largest factor; its inverse is the smallest, and sizes are drawn evenly in the logarithm.
        shear: largest slope, along both sides.
        edge: what lies beyond the image, one of `grid.EDGES`.

    Raises:
        ValueError: an amount is out of range or the edge unknown.
    """

    def __init__(self, *, degrees: float = 15.0, shift: float = 0.1, scale: float = 1.2, shear: float = 0.1, edge: str = "reflect") -> None:
        if min(degrees, shift) < 0 or scale < 1 or not 0 <= shear < 1 or edge not in EDGES:
            message = f'degrees={degrees}, shift={shift}, scale={scale}, shear={shear}, edge="{edge}"'
            raise ValueError(f"{message}: 0 or more, scale from 1, shear below 1, edge one of {', '.join(EDGES)}")
        self.degrees, self.shift, self.scale, self.shear, self.edge = degrees, shift, scale, shear, edge

    def grid(self, samples: Tensor, epoch: int, seed: int, size: tuple[int, int]) -> Grid:
        """As `Step`."""
        turn, right, down, grow, by_y, by_x = draws.uniform(seed, epoch, range(AFFINE, AFFINE + 6), samples) * 2 - 1
        matrix = affine(
            size,
            turn=turn * self.degrees,
            shift=(right * self.shift * size[1], down * self.shift * size[0]),
            scale=self.scale**grow,
            shear=(by_y * self.shear, by_x * self.shear),
        )
        return Grid(matrix, size, size, edge=self.edge)

    def __repr__(self) -> str:
        return f'Affine(degrees={self.degrees}, shift={self.shift}, scale={self.scale}, shear={self.shear}, edge="{self.edge}")'


class Perspective(Moved):
    """Seen from aside: four corners within the image, each by its own draw, become those of the result, which shows nothing from beyond.

    Args:
        pull: how far a corner may lie from the image's own, of half a side; below 1.

    Raises:
        ValueError: it is not.
    """

    def __init__(self, *, pull: float = 0.4) -> None:
        if not 0 <= pull < 1:
            raise ValueError(f"pull is {pull}; it must be from 0 to below 1")
        self.pull = pull

    def grid(self, samples: Tensor, epoch: int, seed: int, size: tuple[int, int]) -> Grid:
        """As `Step`."""
        u = draws.uniform(seed, epoch, range(PERSPECTIVE, PERSPECTIVE + 8), samples)  # (8, B)
        ends = corners(size, len(samples), samples.device)
        middle = torch.tensor([size[1] / 2, size[0] / 2], dtype=torch.float64, device=samples.device)
        pulled = ends + (middle - ends) * self.pull * u.T.reshape(-1, 4, 2)
        return Grid(perspective(pulled, ends), size, size, projective=True)

    def __repr__(self) -> str:
        return f"Perspective(pull={self.pull})"


class Zoom(Step):
    """A box of random area and shape, scaled to the image's size with antialiasing (Szegedy et al. 2015, "Going deeper with convolutions",
    section 6).

    Args:
        least: smallest area of the box, of the image's; the largest is the whole.
        aspect: largest ratio of width to height of the box, against the image's; its inverse is the smallest.
    """

    def __init__(self, *, least: float = 0.35, aspect: float = 4 / 3) -> None:
        if not 0 < least <= 1 or aspect < 1:
            raise ValueError(f"least={least}, aspect={aspect}: an area above 0, up to 1, and a ratio from 1")
        self.least, self.aspect = least, aspect

    def boxes(self, samples: Tensor, epoch: int, seed: int, size: tuple[int, int]) -> Tensor:
        """The box of each image, (B, 4), x1, y1, x2, y2 in pixels."""
        area, aspect, left, above = draws.uniform(seed, epoch, range(ZOOM, ZOOM + 4), samples)
        area = self.least + (1 - self.least) * area
        longest = (-area.log()).exp().sqrt()  # at this ratio the box is as wide or high as the image
        ratio = (self.aspect ** (2 * aspect - 1)).sqrt().clamp(1 / longest, longest)
        width, height = size[1] * area.sqrt() * ratio, size[0] * area.sqrt() / ratio
        x, y = left * (size[1] - width), above * (size[0] - height)
        return torch.stack([x, y, x + width, y + height], 1)

    def __call__(self, x: Tensor, samples: Tensor, epoch: int, seed: int) -> Tensor:
        """As `Step`."""
        size = (x.shape[2], x.shape[3])
        return resize(x, size, box=self.boxes(samples, epoch, seed, size))

    def grid(self, samples: Tensor, epoch: int, seed: int, size: tuple[int, int]) -> Grid:
        """As `Step`."""
        return resize_grid(size, size, len(samples), box=self.boxes(samples, epoch, seed, size), device=samples.device)

    def __repr__(self) -> str:
        return f"Zoom(least={self.least}, aspect={self.aspect:.4g})"
