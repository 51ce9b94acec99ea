"""What `augment=` may be: names, with options where they need some, joined by "+": "flip_crop", "randaugment(n=2, m=5)+erase"."""

from __future__ import annotations

import inspect
import math
import re
from typing import Any

from rungbook.calls import parse_call
from rungbook.data.augment.blur import Blur, Noise
from rungbook.data.augment.colour import Colour, Grey
from rungbook.data.augment.erase import Cutout, Erase
from rungbook.data.augment.flip_crop import FlipCrop
from rungbook.data.augment.geometry import Affine, Flip, Perspective, Zoom
from rungbook.data.augment.policy import AugMix, RandAugment, TrivialAugment
from rungbook.data.augment.step import Chain, Step
from rungbook.data.feed import Augment
from rungbook.errors import UsageError, did_you_mean

NAMES: dict[str, tuple[type[Step], dict[str, Any]]] = {
    "flip": (FlipCrop, {"padding": 0, "mode": "reflect"}),
    "crop": (FlipCrop, {"flip": False}),
    "flip_crop": (FlipCrop, {"flip": True}),
    "flip_both": (Flip, {"across": True, "down": True}),
    "affine": (Affine, {}),
    "perspective": (Perspective, {}),
    "zoom": (Zoom, {}),
    "colour": (Colour, {}),
    "grey": (Grey, {}),
    "blur": (Blur, {}),
    "noise": (Noise, {}),
    "erase": (Erase, {}),
    "cutout": (Cutout, {}),
    "randaugment": (RandAugment, {}),
    "trivial": (TrivialAugment, {}),
    "augmix": (AugMix, {}),
}
"""Name -> the step, and what of its options the name settles. "none" is a name as well, of no step."""


def named_augment(text: str | Augment | None, height: int, width: int) -> Augment | None:
    """The change that `text` names, for images of the given size; a crop is padded by an eighth of the shorter side (4 of CIFAR's 32).

    Raises:
        UsageError: E201 there is no step or option of that name, E202 an option's value is out of range, or two steps do the same.
    """
    if text is None or callable(text):
        return text
    calls = [parse_call(part, "augmentation", "randaugment(n=2, m=9)") for part in re.split(r"\+(?![^(]*\))", text)]
    steps = [_step(name, options, height, width) for name, options in calls if name != "none"]
    _refuse_doubles([name for name, _ in calls])
    return Chain(*steps) if len(steps) > 1 else steps[0] if steps else None


def _step(name: str, options: dict[str, Any], height: int, width: int) -> Step:
    if name not in NAMES:
        raise UsageError("E201", f'There is no augmentation called "{name}".', did_you_mean(name, ("none", *NAMES), "augment={}"))
    make, settled = NAMES[name]
    known = {p.name: p.default for p in inspect.signature(make).parameters.values() if p.name not in settled}
    for key, value in options.items():
        if key not in known:
            fix = did_you_mean(key, known, f"augment={name}({{}}=...)") if known else f"Write it as augment={name}"
            raise UsageError("E201", f'The augmentation {name} has no option "{key}".', fix)
        word = isinstance(value, str) and isinstance(known[key], str)
        if not word and not (isinstance(value, int | float) and math.isfinite(value)):
            wanted = "a word or a number" if isinstance(known[key], str) else "a number"
            raise UsageError("E202", f"{name}({key}={value!r}): {key} must be {wanted}.", f"augment={name}")
    if "padding" in known:
        options = {"padding": max(1, min(height, width) // 8) if min(height, width) > 1 else 0, **options}
    try:
        return make(**settled, **options)
    except (ValueError, TypeError) as error:
        raise UsageError("E202", f"The augmentation {name} cannot be made so: {error}.", f"augment={name}") from error


def _refuse_doubles(names: list[str]) -> None:
    """Of two steps that make the same draws the second would undo or double the first."""
    done: dict[str, str] = {}
    for name in names:
        for part in name.split("_"):
            if part in done and part != "none":
                raise UsageError(
                    "E202", f"{done[part]}+{name}: both {part}, by the same draws.", f"augment={max(done[part], name, key=len)}"
                )
            done[part] = name
