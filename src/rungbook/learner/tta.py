"""Test-time augmentation: the mean answer to several versions of an image.

Krizhevsky, Sutskever and Hinton 2012, section 4.1, averaged the softmax over four corners, the centre and their mirror images. Here the
corners keep the image's size: it is shifted by a few pixels, and what comes in is the image's own edge, mirrored.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from rungbook.errors import UsageError, did_you_mean

View = Callable[[Tensor], Tensor]
Versions = Literal["flip", "crop", "flip_crop"]


def _itself(x: Tensor) -> Tensor:
    return x


def _mirror(x: Tensor) -> Tensor:
    return x.flip(3)


def _corner(down: int, right: int) -> View:
    """The image moved by a sixteenth of its shorter side: 2 of CIFAR's 32 pixels, half of what the training crop moves it at most."""

    def view(x: Tensor) -> Tensor:
        H, W = x.shape[2:]
        by = max(1, min(H, W) // 16)
        padded = F.pad(x, (by, by, by, by), mode="reflect")
        top, left = by - down * by, by - right * by
        return padded[:, :, top : top + H, left : left + W]

    return view


def _both(one: View, two: View) -> View:
    return lambda x: two(one(x))


_CROPS = (_itself, *(_corner(down, right) for down in (-1, 1) for right in (-1, 1)))
VERSIONS: dict[str, tuple[View, ...]] = {
    "flip": (_itself, _mirror),
    "crop": _CROPS,
    "flip_crop": (*_CROPS, *(_both(view, _mirror) for view in _CROPS)),
}
"""What of an image is judged: itself and its mirror image, itself and four shifts, or both."""


def known_versions(name: str | None) -> Versions | None:
    """The name, if it is a key of `VERSIONS` or None. Raises UsageError E201 with the nearest."""
    if name is not None and (not isinstance(name, str) or name not in VERSIONS):
        raise UsageError("E201", f'There is no test-time augmentation "{name}".', did_you_mean(str(name), VERSIONS, "tta={}"))
    return name  # type: ignore[return-value]


def tta(forward: Callable[..., Tensor], versions: str = "flip", *, classes: bool = True) -> Callable[..., Tensor]:
    """A model that answers by the mean over several versions of each image.

    Probabilities are averaged, and given as their logarithms: softmax and cross-entropy take these as they take logits. Where the model
    gives numbers, they are averaged as they are.

    Args:
        forward: a model in evaluation mode, or its forward; images (B, C, H, W) come first.
        versions: a key of `VERSIONS`.
        classes: whether the outputs are logits of classes in dimension 1.

    Returns:
        What takes the model's inputs and gives outputs of the model's shape.

    Raises:
        UsageError: E201 no such versions; when called: E202 the first input is no batch of images, or has fewer than 2 x 2 pixels.
    """
    known_versions(versions)
    views = VERSIONS[versions]

    def mean(x: Tensor, *others: Any) -> Tensor:
        if x.ndim != 4 or not x.is_floating_point():
            found = "x".join(map(str, x.shape[1:])) or "one number"
            raise UsageError("E202", f"tta turns images (channels x height x width); a sample here is {found}.", "Leave tta out.")
        if len(views) > 2 and min(x.shape[2:]) < 2:
            raise UsageError("E202", f"Images of {x.shape[2]} x {x.shape[3]} pixels cannot be shifted.", "tta=flip")
        outputs = [forward(view(x), *others) for view in views]
        if not classes:
            return torch.stack(outputs).mean(0)
        shares = torch.stack([(o if o.dtype == torch.float64 else o.float()).log_softmax(1) for o in outputs])
        return shares.logsumexp(0) - math.log(len(views))

    return mean
