"""Pictures with edges, slopes and noise, and Pillow's answer beside ours."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch import Tensor

SIZES = [(32, 32), (17, 40), (41, 23)]


def pictures(n: int, channels: int = 3, size: tuple[int, int] = (32, 32), seed: int = 0) -> Tensor:
    """uint8 images (n, C, H, W): half noise, half smooth with a sharp edge; one of a single value, one of two."""
    g = torch.Generator().manual_seed(seed)
    H, W = size
    noise = torch.randint(0, 256, (n, channels, H, W), generator=g)
    y, x = torch.linspace(0, 1, H)[:, None], torch.linspace(0, 1, W)
    waves = torch.rand(n, channels, 3, generator=g)[..., None, None]
    smooth = 255 * (waves[:, :, 0] * x + waves[:, :, 1] * y) / 2 + 60 * (x > waves[:, :, 2])
    images = torch.where((torch.arange(n) % 2 == 0)[:, None, None, None], noise, smooth.clamp(0, 255)).to(torch.uint8)
    images[n // 2] = 77
    images[n // 3, :, : H // 2] = 20
    images[n // 3, :, H // 2 :] = 230
    return images


def to_pil(image: Tensor) -> Image.Image:
    return Image.fromarray(image[0].numpy() if len(image) == 1 else image.permute(1, 2, 0).numpy())


def from_pil(image: Image.Image) -> Tensor:
    array = torch.from_numpy(np.array(image))
    return array[None] if array.ndim == 2 else array.permute(2, 0, 1)


def by_pillow(x: Tensor, change: Callable[[Image.Image, int], Image.Image]) -> Tensor:
    """Each image changed by Pillow, `change(image, i)`."""
    return torch.stack([from_pil(change(to_pil(image), i)) for i, image in enumerate(x)])


def largest(a: Tensor, b: Tensor) -> int:
    """The largest difference of two uint8 tensors."""
    assert a.shape == b.shape
    assert a.dtype == b.dtype == torch.uint8
    return int((a.int() - b.int()).abs().max())
