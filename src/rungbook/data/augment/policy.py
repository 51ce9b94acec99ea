"""Many operations by one number: RandAugment, TrivialAugment and AugMix.

RandAugment: Cubuk, Zoph, Shlens, Le 2020, "RandAugment: practical automated data augmentation with a reduced search space", section 3.
TrivialAugment: Müller, Hutter 2021, "TrivialAugment: tuning-free yet state-of-the-art data augmentation". AugMix: Hendrycks, Mu, Cubuk,
Zoph, Gilmer, Lakshminarayanan 2020, "AugMix: a simple data processing method to improve robustness and uncertainty", algorithm 1.
All choose from one table, in which strength 0 changes nothing and strength 1 is the most; the papers' code lets some operations
(posterize, solarize) weaken as the number grows, ours do not. Images are uint8.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from rungbook.data import draws
from rungbook.data.augment import blur, colour
from rungbook.data.augment.grid import Grid, affine, identity
from rungbook.data.augment.pixels import stored, working
from rungbook.data.augment.step import LAYER, MIX, TRIVIAL, Chain, Step

PER_LAYER = 3
"""Draws a layer makes: which operation, how strongly, to which side."""
MOST = 16
"""Layers or chains: more would leave nothing of an image, and the layers' streams end there."""


@dataclass(frozen=True)
class Operation:
    """One row of `OPERATIONS`.

    Args:
        least, most: its magnitude at strength 0 and at strength 1.
        signed: whether the magnitude's distance from `least` goes to either side, by a draw.
        pixels: images (n, C, H, W) and magnitudes (n,) -> changed images; for an operation on values.
        matrix: size and magnitudes (n,) -> matrices (n, 3, 3) from the result to the source; for a move.
    """

    least: float = 0.0
    most: float = 0.0
    signed: bool = False
    pixels: Callable[[Tensor, Tensor], Tensor] | None = None
    matrix: Callable[[tuple[int, int], Tensor], Tensor] | None = None

    def magnitude(self, strength: Tensor, side: Tensor) -> Tensor:
        """The magnitude at strengths from 0 to 1, to the side of 1 or -1, (n,) each."""
        return self.least + (self.most - self.least) * strength * (side if self.signed else 1)


OPERATIONS: dict[str, Operation] = {
    "identity": Operation(),
    "shear_x": Operation(0, 0.3, True, matrix=lambda size, m: affine(size, shear=(m, 0.0))),
    "shear_y": Operation(0, 0.3, True, matrix=lambda size, m: affine(size, shear=(0.0, m))),
    "translate_x": Operation(0, 0.45, True, matrix=lambda size, m: affine(size, shift=(m * size[1], 0.0))),
    "translate_y": Operation(0, 0.45, True, matrix=lambda size, m: affine(size, shift=(0.0, m * size[0]))),
    "rotate": Operation(0, 30, True, matrix=lambda size, m: affine(size, turn=m)),
    "brightness": Operation(1, 1.9, True, pixels=colour.brightness),
    "saturation": Operation(1, 1.9, True, pixels=colour.saturation),
    "contrast": Operation(1, 1.9, True, pixels=colour.contrast),
    "sharpness": Operation(1, 1.9, True, pixels=blur.sharpness),
    "posterize": Operation(8, 4, pixels=lambda x, m: colour.posterize(x, m.round())),
    "solarize": Operation(256, 0, pixels=colour.solarize),
    "autocontrast": Operation(pixels=lambda x, m: colour.autocontrast(x)),
    "equalize": Operation(pixels=lambda x, m: colour.equalize(x)),
}
"""RandAugment's 14, with the greatest magnitudes of AutoAugment (Cubuk et al. 2019, table 6); shifts are of the side they go along."""
OF_MIX = (
    "autocontrast", "equalize", "posterize", "rotate", "solarize", "shear_x", "shear_y", "translate_x", "translate_y",
)  # fmt: skip
"""AugMix leaves out what overlaps with the corruptions it is judged by (section 3)."""


class OneOf(Step):
    """One operation for each image, drawn from several.

    Args:
        names: keys of `OPERATIONS`.
        low, high: strength from 0 to 1, drawn evenly between.
        stream: of the draws, the first of `PER_LAYER`.
        edge: what lies beyond a moved image.

    Raises:
        ValueError: an operation is unknown, or a strength not between 0 and 1.
    """

    def __init__(
        self, names: tuple[str, ...] = tuple(OPERATIONS), *, low: float = 0.0, high: float = 1.0, stream: int = LAYER, edge: str = "zero"
    ) -> None:
        if unknown := set(names) - set(OPERATIONS):
            raise ValueError(f"{sorted(unknown)} are no operations; known: {', '.join(OPERATIONS)}")
        if not 0 <= low <= high <= 1:
            raise ValueError(f"strengths from {low} to {high}; they must be from 0 to 1")
        self.names, self.low, self.high, self.stream, self.edge = names, low, high, stream, edge

    def draw(self, samples: Tensor, epoch: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
        """Number of the operation, strength and side (1 or -1) for each sample, (B,) each."""
        which, strength, side = draws.uniform(seed, epoch, range(self.stream, self.stream + PER_LAYER), samples)
        return (which * len(self.names)).long(), self.low + (self.high - self.low) * strength, (side < 0.5) * 2.0 - 1

    def _matrices(self, drawn: tuple[Tensor, Tensor, Tensor], size: tuple[int, int]) -> Tensor:
        which, strength, side = drawn
        matrix = identity(len(which), which.device)
        for k, name in enumerate(self.names):
            operation = OPERATIONS[name]
            if operation.matrix is not None:
                index = (which == k).nonzero()[:, 0]
                if len(index):
                    matrix[index] = operation.matrix(size, operation.magnitude(strength[index], side[index]))
        return matrix

    def grid(self, samples: Tensor, epoch: int, seed: int, size: tuple[int, int]) -> Grid:
        """As `Step`: nothing moves where the operation is one of colour."""
        return Grid(self._matrices(self.draw(samples, epoch, seed), size), size, size, edge=self.edge)

    def __call__(self, x: Tensor, samples: Tensor, epoch: int, seed: int) -> Tensor:
        """As `Step`."""
        which, strength, side = self.draw(samples, epoch, seed)
        size = (x.shape[2], x.shape[3])
        pieces, order = [], []
        moves = torch.tensor([OPERATIONS[name].matrix is not None for name in self.names], device=x.device)[which]
        if len(index := moves.nonzero()[:, 0]):
            matrix = self._matrices((which[index], strength[index], side[index]), size)
            pieces.append(Grid(matrix, size, size, edge=self.edge).images(x.index_select(0, index)))
            order.append(index)
        for k, name in enumerate(self.names):
            operation = OPERATIONS[name]
            if operation.matrix is None and len(index := (which == k).nonzero()[:, 0]):
                some = x.index_select(0, index)
                magnitude = operation.magnitude(strength[index], side[index])
                pieces.append(operation.pixels(some, magnitude) if operation.pixels else some)
                order.append(index)
        return torch.cat(pieces).index_select(0, torch.cat(order).argsort()) if pieces else x

    def __repr__(self) -> str:
        return f"OneOf({len(self.names)} operations, low={self.low}, high={self.high})"


class RandAugment(Chain):
    """n operations, one after the other, each drawn evenly from `OPERATIONS`, all of one strength.

    Args:
        n: operations an image.
        m: strength, from 0 to 10.

    Raises:
        ValueError: n or m is out of range.
    """

    def __init__(self, *, n: int = 2, m: float = 9.0) -> None:
        if not 1 <= n <= MOST or not 0 <= m <= 10:
            raise ValueError(f"n={n}, m={m}: n is from 1 to {MOST}, m from 0 to 10")
        self.n, self.m = n, m
        super().__init__(*(OneOf(low=m / 10, high=m / 10, stream=LAYER + PER_LAYER * i) for i in range(n)))

    def __repr__(self) -> str:
        return f"RandAugment(n={self.n}, m={self.m})"


class TrivialAugment(Chain):
    """One operation for each image, its strength drawn evenly."""

    def __init__(self) -> None:
        super().__init__(OneOf(stream=TRIVIAL))

    def __repr__(self) -> str:
        return "TrivialAugment()"


class AugMix(Step):
    """The image mixed with a mixture of itself changed in several ways.

    `m * x + (1 - m) * sum_i w_i * chain_i(x)`: each chain is one to `depth` operations, the weights w are drawn from a Dirichlet
    distribution and m from a Beta, both with the paper's parameter 1, which makes them evenly drawn. The paper's loss beside
    it (Jensen-Shannon divergence of three views) is no part of this.

    Args:
        severity: largest strength of an operation, from 0 to 10.
        width: chains.
        depth: most operations of a chain.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(self, *, severity: float = 3.0, width: int = 3, depth: int = 3) -> None:
        if not 0 <= severity <= 10 or not 1 <= width <= MOST or not 1 <= depth <= MOST:
            raise ValueError(f"severity={severity}, width={width}, depth={depth}: severity is from 0 to 10, the others from 1 to {MOST}")
        self.severity, self.width, self.depth = severity, width, depth
        first = [MIX + 1 + 2 * width + PER_LAYER * depth * chain for chain in range(width)]
        low, high = min(0.1, severity) / 10, severity / 10  # a strength of 0 would be no operation
        self.chains = [[OneOf(OF_MIX, low=low, high=high, stream=s + PER_LAYER * i) for i in range(depth)] for s in first]

    def __call__(self, x: Tensor, samples: Tensor, epoch: int, seed: int) -> Tensor:
        """As `Step`."""
        share = draws.uniform(seed, epoch, MIX, samples)
        streams = range(MIX + 1, MIX + 1 + 2 * self.width)
        u = draws.uniform(seed, epoch, streams, samples).T  # (B, 2 * width)
        lengths = (u[:, self.width :] * self.depth).long()
        weights = -u[:, : self.width].clamp(min=1e-12).log()  # exponential numbers over their sum are Dirichlet(1, ..., 1)
        weights = weights / weights.sum(1, keepdim=True) * (1 - share)[:, None]
        mixed = working(x) * share.float()[:, None, None, None]
        for k, chain in enumerate(self.chains):
            mixed += working(self._changed(chain, lengths[:, k], x, samples, epoch, seed)) * weights[:, k].float()[:, None, None, None]
        return stored(mixed, x)

    @staticmethod
    def _changed(chain: list[OneOf], lengths: Tensor, x: Tensor, samples: Tensor, epoch: int, seed: int) -> Tensor:
        """The images after the first `lengths` + 1 operations of a chain."""
        for i, step in enumerate(chain):
            index = (lengths >= i).nonzero()[:, 0]
            if not len(index):
                break
            changed = step(x.index_select(0, index), samples[index], epoch, seed)
            x = changed if i == 0 else x.index_copy(0, index, changed)
        return x

    def grid(self, samples: Tensor, epoch: int, seed: int, size: tuple[int, int]) -> Grid:
        """There is none.

        Raises:
            TypeError: always: a mixture of moved images has no one place for a label.
        """
        raise TypeError("AugMix lays differently moved images over each other, so masks and boxes cannot follow; try RandAugment")

    def __repr__(self) -> str:
        return f"AugMix(severity={self.severity}, width={self.width}, depth={self.depth})"
