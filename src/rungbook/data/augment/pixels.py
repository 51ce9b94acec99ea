"""What all operations on pixels share: the range of values, and how results become pixels again.

Letters: B images a batch, C channels, H and W height and width in pixels. Stored images are uint8 from 0 to 255; floats run from 0 to 1.
"""

from __future__ import annotations

import torch
from torch import Tensor


def top(x: Tensor) -> float:
    """White: 255 of stored uint8 images, 1 of images of floats.

    Raises:
        TypeError: the images are neither.
    """
    if x.dtype == torch.uint8:
        return 255.0
    if x.is_floating_point():
        return 1.0
    raise TypeError(f"images are {x.dtype}; uint8 from 0 to 255, or floats from 0 to 1, are needed")


def working(x: Tensor) -> Tensor:
    """The images in the type arithmetic is done in: float32, or their own of 64 bits."""
    return x if x.dtype == torch.float64 else x.float()


def stored(values: Tensor, like: Tensor, *, cut: bool = False) -> Tensor:
    """Float values as pixels of the type of `like`, within its range: rounded to the nearest, or with `cut` the fraction left out."""
    if like.dtype != torch.uint8:
        return values.clamp(0, top(like)).to(like.dtype)
    return (values if cut else values + 0.5).clamp(0, 255).to(torch.uint8)  # the conversion leaves the fraction out


def per_sample(value: float | Tensor, x: Tensor) -> Tensor:
    """One number for all images, or one for each, (B,), as (B, 1, 1, 1) beside images `x`."""
    value = torch.as_tensor(value, device=x.device).to(torch.float64 if x.dtype == torch.float64 else torch.float32)
    return value.expand(len(x)).reshape(-1, 1, 1, 1)


def where(chosen: Tensor, changed: Tensor, x: Tensor) -> Tensor:
    """The images of `changed` where `chosen` (B,) says so, else those of `x`; whole images are copied, no pixel is looked at."""
    pick = torch.arange(len(x), device=x.device)
    return torch.cat([x, changed]).index_select(0, torch.where(chosen, pick + len(x), pick))
