"""Changes of colour, each image by its own amount, with Pillow's arithmetic so that both give the same pixels.

Brightness, contrast, saturation (and sharpness, in `blur.py`) are Haeberli, Voorhies 1994, "Image processing by interpolation and
extrapolation": the image blended with a degenerate one (black, grey, without colour), beyond it where the factor is above 1.
Images are (B, C, H, W), uint8 from 0 to 255 or floats from 0 to 1; results have the same shape and type. Channels are 1 or 3.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rungbook.data import draws
from rungbook.data.augment.pixels import per_sample, stored, top, where, working
from rungbook.data.augment.step import COLOUR, GREY, Step

RED, GREEN, BLUE = 19595, 38470, 7471
"""Parts of 65,536 of each colour in brightness as seen: ITU-R BT.601's 0.299, 0.587 and 0.114, as Pillow rounds them."""


def luminance(x: Tensor) -> Tensor:
    """Brightness as seen, (B, 1, H, W); the image itself where it has one channel."""
    if x.shape[1] == 1:
        return x
    if x.dtype != torch.uint8:
        return (x[:, :1] * RED + x[:, 1:2] * GREEN + x[:, 2:] * BLUE) / 65536
    r, g, b = x.int().split(1, 1)
    return ((r * RED + g * GREEN + b * BLUE + 32768) >> 16).to(torch.uint8)


def blend(degenerate: Tensor | float, x: Tensor, factor: float | Tensor) -> Tensor:
    """`degenerate + factor * (x - degenerate)`, within the range, the fraction left out: 0 gives the degenerate image, 1 gives `x`."""
    values = working(x)
    if not isinstance(degenerate, Tensor):
        return stored(values * per_sample(factor, x), x, cut=True)
    flat = working(degenerate)
    return stored(flat + per_sample(factor, x) * (values - flat), x, cut=True)


def brightness(x: Tensor, factor: float | Tensor) -> Tensor:
    """Lighter (factor above 1) or darker; 0 is black."""
    return blend(0.0, x, factor)


def contrast(x: Tensor, factor: float | Tensor) -> Tensor:
    """Away from (factor above 1) or towards the image's mean brightness."""
    grey = luminance(x)
    if x.dtype == torch.uint8:
        pixels = x.shape[2] * x.shape[3]
        mean = ((grey.flatten(1).sum(1, dtype=torch.int64) * 2 + pixels) // (2 * pixels)).view(-1, 1, 1, 1)  # rounded to a whole number
    else:
        mean = grey.mean((1, 2, 3), keepdim=True)
    return blend(mean, x, factor)


def saturation(x: Tensor, factor: float | Tensor) -> Tensor:
    """More colour (factor above 1) or less; 0 is grey. An image of one channel stays."""
    return x if x.shape[1] == 1 else blend(luminance(x), x, factor)


def grayscale(x: Tensor) -> Tensor:
    """Without colour, the channels equal."""
    return luminance(x).expand_as(x).contiguous()


def hue(x: Tensor, turn: float | Tensor) -> Tensor:
    """Every colour turned round the colour circle (Smith 1978, "Color gamut transform pairs": the hexcone model).

    Args:
        x: images; those of one channel stay.
        turn: of the circle: 1/3 makes red green, one for all or (B,).
    """
    if x.shape[1] == 1:
        return x
    values = working(x) / top(x)
    high, low = values.amax(1, keepdim=True), values.amin(1, keepdim=True)
    span = (high - low).clamp(min=1e-12)
    r, g, b = values.split(1, 1)
    sixth = torch.where(high == r, (g - b) / span, torch.where(high == g, 2 + (b - r) / span, 4 + (r - g) / span))
    sixth = sixth + 6 * per_sample(turn, x)
    # how far each channel lies below the highest, going round: 0 over two sixths, falling, at the lowest over two sixths, rising
    offsets = torch.tensor([5.0, 3.0, 1.0], device=x.device, dtype=values.dtype).view(1, 3, 1, 1)
    k = (offsets + sixth).remainder(6)
    out = high - (high - low) * torch.minimum(k, 4 - k).clamp(0, 1)
    return stored(out * top(x), x)


def invert(x: Tensor) -> Tensor:
    """Dark becomes light."""
    return 255 - x if x.dtype == torch.uint8 else top(x) - x


def solarize(x: Tensor, threshold: float | Tensor) -> Tensor:
    """Values of `threshold` or more inverted; counted from 0 to 256 for uint8, to 1 for floats."""
    return torch.where(working(x) < per_sample(threshold, x), x, invert(x))


def posterize(x: Tensor, bits: int | Tensor) -> Tensor:
    """Only the upper `bits` (1 to 8) of each uint8 value kept, one number for all or (B,)."""
    _whole(x, "posterize")
    lost = 8 - torch.as_tensor(bits, device=x.device).long().expand(len(x))
    return x & (255 - ((1 << lost) - 1)).to(torch.uint8).view(-1, 1, 1, 1)


def autocontrast(x: Tensor) -> Tensor:
    """Each channel stretched to the whole range; one of a single value stays."""
    low, high = x.amin((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
    if x.dtype == torch.uint8:
        low, high = low.double(), high.double()
        white = low.new_tensor(255)  # a plain 255 / x is x.reciprocal() * 255 in torch, which rounds twice
        scale = torch.where(high > low, white / (high - low).clamp(min=1), 1.0)
        levels = torch.arange(256, dtype=torch.float64, device=x.device)
        table = (levels * scale[:, :, 0] + torch.where(high > low, -low * scale, 0.0)[:, :, 0]).clamp(0, 255)
        return look_up(x, table.to(torch.uint8))
    return torch.where(high > low, (x - low) / (high - low).clamp(min=torch.finfo(x.dtype).tiny), x)


def equalize(x: Tensor) -> Tensor:
    """Each channel's uint8 values spread so that all are about equally frequent (Gonzalez, Woods 2018, section 3.3).

    The cumulated histogram is divided into 255 equal steps; the brightest value does not count among them, as in Pillow.
    """
    _whole(x, "equalize")
    counts = histogram(x)  # (B, C, 256)
    brightest = counts.gather(2, (255 - (counts.flip(2) > 0).int().argmax(2, keepdim=True)))
    step = (x.shape[2] * x.shape[3] - brightest) // 255  # (B, C, 1)
    below = counts.cumsum(2) - counts
    table = ((step // 2 + below) // step.clamp(min=1)).clamp(max=255)
    same = torch.arange(256, device=x.device)
    several = (counts > 0).sum(2, keepdim=True) > 1
    return look_up(x, torch.where(several & (step > 0), table, same).to(torch.uint8))


def histogram(x: Tensor) -> Tensor:
    """How often each value occurs in each channel of uint8 images: (B, C, 256) int64."""
    B, C = x.shape[:2]
    first = torch.arange(B * C, device=x.device)[:, None] * 256
    return torch.bincount((x.reshape(B * C, -1) + first).flatten(), minlength=B * C * 256).view(B, C, 256)


def look_up(x: Tensor, table: Tensor) -> Tensor:
    """Each uint8 value replaced by its entry in its channel's table, (B, C, 256)."""
    return table.gather(2, x.flatten(2).long()).view(x.shape)


def _whole(x: Tensor, name: str) -> None:
    if x.dtype != torch.uint8:
        raise TypeError(f"{name} counts whole values: images are {x.dtype}, uint8 is needed")


class Colour(Step):
    """Brightness, contrast, saturation and hue, each by a factor drawn evenly around 1 (Howard 2013, arXiv 1312.5402, section 2).

    Args:
        brightness, contrast, saturation: how far from 1 each factor may be.
        hue: how far the colours may be turned, of the whole circle; 0 leaves them.

    Raises:
        ValueError: an amount is negative, or the hue above a half.
    """

    def __init__(self, *, brightness: float = 0.4, contrast: float = 0.4, saturation: float = 0.4, hue: float = 0.0) -> None:
        if min(brightness, contrast, saturation, hue) < 0 or hue > 0.5:
            raise ValueError(f"brightness={brightness}, contrast={contrast}, saturation={saturation}, hue={hue}: 0 or more, hue up to 0.5")
        self.amounts, self.hue = (brightness, contrast, saturation), hue

    def __call__(self, x: Tensor, samples: Tensor, epoch: int, seed: int) -> Tensor:
        """As `Step`."""
        *factors, turn = draws.uniform(seed, epoch, range(COLOUR, COLOUR + 4), samples) * 2 - 1
        for change, amount, factor in zip((brightness, contrast, saturation), self.amounts, factors, strict=True):
            if amount:
                x = change(x, (1 + amount * factor).clamp(min=0))
        return hue(x, self.hue * turn) if self.hue else x

    def __repr__(self) -> str:
        b, c, s = self.amounts
        return f"Colour(brightness={b}, contrast={c}, saturation={s}, hue={self.hue})"


class Grey(Step):
    """Some images without their colour (Chen et al. 2020, arXiv 2002.05709, appendix A: a fifth of them).

    Args:
        p: share of the images.

    Raises:
        ValueError: it is not between 0 and 1.
    """

    def __init__(self, *, p: float = 0.2) -> None:
        if not 0 <= p <= 1:
            raise ValueError(f"p is {p}; it must be from 0 to 1")
        self.p = p

    def __call__(self, x: Tensor, samples: Tensor, epoch: int, seed: int) -> Tensor:
        """As `Step`."""
        return where(draws.uniform(seed, epoch, GREY, samples) < self.p, grayscale(x), x)

    def __repr__(self) -> str:
        return f"Grey(p={self.p})"
