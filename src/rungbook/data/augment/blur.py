"""Blur, sharpness and noise: what a lens, a hand and a sensor do to a picture.

Images are (B, C, H, W), uint8 from 0 to 255 or floats from 0 to 1; results have the same shape and type.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rungbook.data import draws
from rungbook.data.augment.colour import blend
from rungbook.data.augment.pixels import per_sample, stored, top, where, working
from rungbook.data.augment.resize import resample
from rungbook.data.augment.step import BLUR, NOISE, Step


def gaussian_weights(size: int, sigma: Tensor) -> Tensor:
    """How much each pixel of a row counts for each: (B, size, size); beyond the edge the outermost pixel goes on.

    Beyond twice the row's length nothing counts.
    """
    far = torch.arange(2 * size, dtype=torch.float64, device=sigma.device)
    g = (-0.5 * (far / sigma.double().clamp(min=1e-3)[:, None]) ** 2).exp()  # (B, 2 * size), by the distance
    g = g / (2 * g.sum(1, keepdim=True) - g[:, :1])
    at = torch.arange(size, device=sigma.device)
    w = g.index_select(1, (at[:, None] - at).abs().flatten()).view(-1, size, size)
    beyond = g.flip(1).cumsum(1).flip(1)[:, 1 : size + 1]  # by the distance to the edge pixel
    w[:, :, 0] += beyond
    w[:, :, -1] += beyond.flip(1)
    return w


def gaussian_blur(x: Tensor, sigma: float | Tensor) -> Tensor:
    """Each pixel the mean of its neighbours, weighted by a Gaussian; the edge pixels go on beyond the edge.

    Args:
        x: images.
        sigma: standard deviation in pixels, one for all or (B,).
    """
    sigma = torch.as_tensor(sigma, device=x.device).expand(len(x))
    return resample(x, gaussian_weights(x.shape[2], sigma), gaussian_weights(x.shape[3], sigma))


def sharpness(x: Tensor, factor: float | Tensor) -> Tensor:
    """Away from (factor above 1) or towards the image smoothed over 3x3 pixels, the middle one counting 5 of 13.

    The outermost pixels have no such neighbours and stay.
    """
    H, W = x.shape[2:]
    smooth = working(x).clone()
    if min(H, W) > 2:
        sums = 4 * smooth[:, :, 1:-1, 1:-1]
        for i in range(3):
            for j in range(3):
                sums = sums + smooth[:, :, i : H - 2 + i, j : W - 2 + j]
        inner = sums / 13
        smooth[:, :, 1:-1, 1:-1] = (inner + 0.5).floor() if x.dtype == torch.uint8 else inner
    return blend(smooth, x, factor)


def pixel_normals(shape: torch.Size | tuple[int, ...], samples: Tensor, epoch: int, seed: int, stream: int) -> Tensor:
    """Standard normal numbers (B, ...), each a function of (seed, epoch, stream, sample, place) alone (Box, Muller 1958).

    Args:
        shape: of the result; its first number is that of the samples.
        samples: sample numbers, (B,).
        epoch, seed, stream: as of `draws.bits`.
    """
    n = math.prod(shape[1:])
    places = torch.arange((n + 1) // 2, device=samples.device)
    bits = draws.bits(0, 0, stream, draws.bits(seed, epoch, stream, samples)[:, None] + places)  # (B, n / 2)
    angle = (bits & 0xFFFFFF).float() * (2 * math.pi / 2**24)
    length = (-2 * (((bits >> 32) & 0xFFFFFF).float() + 0.5).mul_(2.0**-24).log_()).sqrt_()
    return torch.cat([length * angle.cos(), length * angle.sin()], 1)[:, :n].reshape(shape)


def add_noise(x: Tensor, normals: Tensor, sigma: float | Tensor) -> Tensor:
    """Independent normal noise on every pixel and channel.

    Args:
        x: images.
        normals: standard normal numbers of their shape.
        sigma: standard deviation, of the whole range of values, one for all or (B,).
    """
    return stored(working(x) + normals * (per_sample(sigma, x) * top(x)), x)


class Blur(Step):
    """Some images blurred (Chen et al. 2020, arXiv 2002.05709, appendix A: half of them, a deviation from 0.1 to 2).

    Args:
        p: share of the images.
        low, high: standard deviation in pixels, drawn evenly between.

    Raises:
        ValueError: they are out of range.
    """

    def __init__(self, *, p: float = 0.5, low: float = 0.1, high: float = 2.0) -> None:
        if not 0 <= p <= 1 or not 0 < low <= high:
            raise ValueError(f"p={p}, low={low}, high={high}: p is a share, low above 0 and high not below it")
        self.p, self.low, self.high = p, low, high

    def __call__(self, x: Tensor, samples: Tensor, epoch: int, seed: int) -> Tensor:
        """As `Step`."""
        chosen, u = draws.uniform(seed, epoch, (BLUR, BLUR + 1), samples)
        return where(chosen < self.p, gaussian_blur(x, self.low + (self.high - self.low) * u), x)

    def __repr__(self) -> str:
        return f"Blur(p={self.p}, low={self.low}, high={self.high})"


class Noise(Step):
    """Normal noise on every pixel and channel, as strong as drawn for the image.

    Args:
        sigma: largest standard deviation, of the whole range of values.

    Raises:
        ValueError: it is negative.
    """

    def __init__(self, *, sigma: float = 0.1) -> None:
        if sigma < 0:
            raise ValueError(f"sigma is {sigma}; it must be 0 or more")
        self.sigma = sigma

    def __call__(self, x: Tensor, samples: Tensor, epoch: int, seed: int) -> Tensor:
        """As `Step`."""
        strength = draws.uniform(seed, epoch, NOISE, samples) * self.sigma
        return add_noise(x, pixel_normals(x.shape, samples, epoch, seed, NOISE + 1), strength)

    def __repr__(self) -> str:
        return f"Noise(sigma={self.sigma})"
