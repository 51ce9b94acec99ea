"""A picture smaller than a network needs: the layer, the smallest size, and a fix that works when it is applied."""

from __future__ import annotations

import re

import pytest
import torch

from rungbook.errors import UsageError
from rungbook.models.registry import MODELS, create_model

IMAGE_MODELS = sorted(name for name, entry in MODELS.items() if entry.inputs == "image")
ANY_SIZE = ("resnet", "resnext", "xresnet", "cifar_resnet", "fixup_resnet", "preact_resnet", "se_resnet")
"""Beginnings of the names of networks that average over whatever is left, be it one pixel."""


def small(name: str, side: int) -> dict[str, object]:
    """The small form of a model for pictures of some pixels: it has the depth of the large one where that decides the smallest size."""
    return {**MODELS[name].small, "in_channels": 3, "num_classes": 4, "image_size": (side, side)}


def runs(name: str, side: int) -> bool:
    """Whether a model for such pictures is made and gives logits (shapes only: nothing is computed)."""
    with torch.device("meta"):
        return create_model(name, **small(name, side)).eval()(torch.empty(2, 3, side, side)).shape == (2, 4)


@pytest.mark.parametrize("name", IMAGE_MODELS)
def test_the_fix_is_the_smallest_that_works(name: str) -> None:
    if name.startswith(ANY_SIZE):
        assert runs(name, 1)
        return
    with pytest.raises(UsageError) as caught:
        create_model(name, **small(name, 1))
    error = caught.value
    assert error.code == "E202"
    least = int(re.fullmatch(r"image_size=(\d+)", error.fix)[1])  # type: ignore[index]
    assert runs(name, least)
    assert re.search(r"leaves nothing for .*(pooling|stage|transition|block \d+): \d+ pixels|is not filled by patches of", error.message), (
        error.message
    )
    assert f"The model {name} cannot be made: image_size (1, 1)" in error.message
    with pytest.raises(UsageError, match=rf"image_size=({least}|{2 * least})$"):
        create_model(name, **small(name, least - 1 if "patch" not in MODELS[name].small else least + 1))
