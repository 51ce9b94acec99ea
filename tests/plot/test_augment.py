"""Pictures of augmentation: every version is there, boxes and label maps where they belong, and the words say what is seen."""

from __future__ import annotations

import re

import pytest
import torch

from rungbook.data.augment.policy import OPERATIONS
from rungbook.data.augment.show import operations_picture, steps_picture
from rungbook.plot.augment import View, view_grid

IMAGE = torch.randint(0, 256, (3, 20, 24), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
BOXES = torch.tensor([[2.0, 3.0, 12.0, 15.0], [10.0, 2.0, 20.0, 9.0]])
MASK = (torch.arange(24) > 11).long().expand(20, 24)


def count(svg: str, tag: str) -> int:
    return len(re.findall(f"<{tag}[ >]", svg))


def test_every_operation_at_every_strength() -> None:
    picture = operations_picture(IMAGE, strengths=(0.5, 1.0))
    assert isinstance(picture.data, str)
    assert count(picture.data, "image") == 1 + 2 * 11 + 2  # autocontrast and equalize have no strength
    assert all(name in picture.alt for name in OPERATIONS if name != "identity")
    assert picture.data == operations_picture(IMAGE, strengths=(0.5, 1.0)).data


def test_masks_and_boxes_are_drawn_where_they_can_follow() -> None:
    picture = steps_picture(IMAGE, ["flip", "augmix"], mask=MASK, boxes=BOXES, draws=3)
    assert isinstance(picture.data, str)
    assert count(picture.data, "image") == 7  # matplotlib lays a label map and its image together
    plain = steps_picture(IMAGE, ["flip", "augmix"], draws=3)
    assert isinstance(plain.data, str)
    assert picture.data.count("<path") - plain.data.count("<path") == 8, "a path for each box"
    assert picture.alt.startswith("7 versions of images in 3 rows: as it is, flip, augmix; with 8 boxes and 4 coloured label maps")
    assert "label maps" not in steps_picture(IMAGE, ["flip"], draws=2).alt


def test_grey_and_float_images() -> None:
    rows = {"grey": [View(torch.rand(1, 6, 6), title="one")], "<b>&": [View(IMAGE, boxes=torch.zeros(0, 4))]}
    picture = view_grid(rows)
    assert isinstance(picture.data, str)
    assert "<b>" not in picture.data
    assert picture.alt == "2 versions of images in 2 rows: grey, <b>&."


def test_unknown_step_is_refused() -> None:
    with pytest.raises(ValueError, match="E201"):
        steps_picture(IMAGE, ["flop"])
