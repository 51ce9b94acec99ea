"""Thumbnails and sheets keep the pixels they are given."""

from __future__ import annotations

import io

import pytest
import torch
from PIL import Image

from rungbook.plot.images import image_grid, thumbnail, to_uint8, value_range
from rungbook.plot.style import Picture


def decoded(picture: Picture) -> Image.Image:
    assert isinstance(picture.data, bytes)
    return Image.open(io.BytesIO(picture.data))


@pytest.mark.parametrize("shape", [(8, 8), (1, 8, 9), (3, 12, 8), (4, 8, 8)])
def test_small_images_are_kept_exactly(shape: tuple[int, ...]) -> None:
    image = torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    picture = thumbnail(image, "x")
    assert picture.kind == "png"
    got = torch.tensor(list(decoded(picture).tobytes()), dtype=torch.uint8)
    wanted = image if image.ndim == 2 else image.permute(1, 2, 0) if shape[0] == 3 else image[0]
    assert torch.equal(got, wanted.reshape(-1))


def test_large_images_are_shrunk() -> None:
    ramp = torch.linspace(0, 255, 400).expand(3, 300, 400).to(torch.uint8)
    picture = thumbnail(ramp, "a ramp")
    assert picture.kind == "jpeg"
    assert decoded(picture).size == (112, 84)
    assert len(picture.data) < 4000
    assert thumbnail(ramp, "a ramp").data == picture.data


def test_normalised_images_are_stretched_together() -> None:
    x = torch.tensor([[-1.0, 0.0], [1.0, 3.0]])
    assert to_uint8(x).tolist() == [[0, 64], [128, 255]]
    assert to_uint8(torch.full((2, 2), 7.0)).tolist() == [[0, 0], [0, 0]]
    assert to_uint8(torch.tensor([float("nan"), 0.0, 1.0, float("inf")])).tolist() == [0, 0, 255, 255]
    assert to_uint8(torch.tensor([0.0, 1.0]), (-1.0, 1.0)).tolist() == [128, 255]
    assert value_range([x, torch.tensor([-5.0, float("inf")])]) == (-5.0, 3.0)
    assert value_range([torch.tensor([float("nan")])]) is None


def test_a_sheet_shows_each_image_in_its_place() -> None:
    images = torch.zeros(5, 3, 10, 10, dtype=torch.uint8)
    images[3, 0] = 255  # the fourth is red
    picture = image_grid(images, ["cat", "dog", "cat", "fox<b>", "cat"], columns=3, side=20)
    sheet = decoded(picture)
    assert picture.alt == "5 images labelled cat, dog, fox<b>."
    assert sheet.getpixel((16, 6 + 40 + 10)) == (255, 0, 0)
    assert sheet.getpixel((16, 16)) == (0, 0, 0)
    assert image_grid(images[:0]).alt == "0 images."
    assert decoded(image_grid(images, columns=8)).size == (5 * 78 + 6, 84)
