"""Every operation Pillow has gives Pillow's pixels, at random magnitudes and several sizes, each image of the batch by its own."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from beside_pillow import SIZES, by_pillow, largest, pictures
from PIL import Image, ImageEnhance, ImageFilter, ImageOps
from torch import Tensor

from rungbook.data.augment import colour
from rungbook.data.augment.blur import gaussian_blur, sharpness
from rungbook.data.augment.geometry import crop_grid, flip_grid
from rungbook.data.augment.grid import Grid, affine, corners, identity, perspective
from rungbook.data.augment.resize import FILTERS, resize

N = 24
FACTORS = torch.cat([torch.tensor([0.0, 0.5, 1.0, 2.0]), torch.rand(N - 4, generator=torch.Generator().manual_seed(1)) * 2.5])
ENHANCE: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], type]] = {
    "brightness": (colour.brightness, ImageEnhance.Brightness),
    "contrast": (colour.contrast, ImageEnhance.Contrast),
    "saturation": (colour.saturation, ImageEnhance.Color),
    "sharpness": (sharpness, ImageEnhance.Sharpness),
}
BITS = torch.arange(N) % 8 + 1
THRESHOLDS = torch.arange(N) * 11
VALUES: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Image.Image, int], Image.Image]]] = {
    "invert": (colour.invert, lambda image, i: ImageOps.invert(image)),
    "posterize": (lambda x: colour.posterize(x, BITS), lambda image, i: ImageOps.posterize(image, int(BITS[i]))),
    "solarize": (lambda x: colour.solarize(x, THRESHOLDS), lambda image, i: ImageOps.solarize(image, int(THRESHOLDS[i]))),
    "autocontrast": (colour.autocontrast, lambda image, i: ImageOps.autocontrast(image)),
    "equalize": (colour.equalize, lambda image, i: ImageOps.equalize(image)),
    "grayscale": (colour.grayscale, lambda image, i: image.convert("L").convert(image.mode)),
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", ENHANCE)
def test_enhance(name: str, channels: int, size: tuple[int, int]) -> None:
    x = pictures(N, channels, size)
    ours, theirs = ENHANCE[name]
    expected = by_pillow(x, lambda image, i: theirs(image).enhance(float(FACTORS[i])))
    assert largest(ours(x, FACTORS), expected) <= 1
    assert (ours(x, FACTORS) != expected).float().mean() < 1e-3
    if (name, channels) != ("saturation", 1):  # grey has none
        assert largest(ours(x, FACTORS.flip(0)), expected) > 1, "another magnitude must not pass"


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", VALUES)
def test_tables_of_values_exactly(name: str, channels: int, size: tuple[int, int]) -> None:
    x = pictures(N, channels, size)
    ours, theirs = VALUES[name]
    assert torch.equal(ours(x), by_pillow(x, theirs))
    if not (name == "grayscale" and channels == 1):
        assert not torch.equal(x, ours(x))


def test_equalize_of_few_pixels() -> None:
    """A step of 0 leaves the image: fewer pixels than values."""
    x = pictures(12, 3, (9, 11))
    assert torch.equal(colour.equalize(x), by_pillow(x, lambda image, i: ImageOps.equalize(image)))


def test_control_one_table_for_the_batch_is_not_pillows() -> None:
    x = pictures(N)
    whole = colour.autocontrast(x.transpose(0, 1).reshape(1, 3, -1, 32)).view(3, N, 32, 32).transpose(0, 1)
    assert largest(whole, by_pillow(x, lambda image, i: ImageOps.autocontrast(image))) > 1


@pytest.mark.parametrize("size", SIZES)
def test_flip_crop_and_pad_exactly(size: tuple[int, int]) -> None:
    H, W = size
    x = pictures(N, 3, size)
    across, down = torch.arange(N) % 2 == 0, torch.arange(N) % 3 == 0

    def flipped(image: Image.Image, i: int) -> Image.Image:
        image = ImageOps.mirror(image) if across[i] else image
        return ImageOps.flip(image) if down[i] else image

    expected = by_pillow(x, flipped)
    for interpolation in ("nearest", "bilinear"):
        assert torch.equal(flip_grid(size, across, down).images(x, interpolation=interpolation), expected)
    top, left = torch.arange(N) % (H - 8), torch.arange(N) % (W - 9)
    cut = crop_grid(size, (8, 9), top, left).images(x, interpolation="nearest")
    assert torch.equal(cut, by_pillow(x, lambda im, i: im.crop((int(left[i]), int(top[i]), int(left[i]) + 9, int(top[i]) + 8))))
    padded = crop_grid(size, (H + 8, W + 8), torch.full((N,), -4), torch.full((N,), -4)).images(x, interpolation="nearest", fill=9)
    assert torch.equal(padded, by_pillow(x, lambda im, i: ImageOps.expand(im, 4, (9, 9, 9))))


@pytest.mark.parametrize("edge", ["edge", "reflect"])
@pytest.mark.parametrize("padding", [3, 40])
def test_pad_as_numpy(edge: str, padding: int) -> None:
    """40 pixels are more than the image has: reflecting goes there and back again."""
    x = pictures(6, 3, (9, 11))
    at = torch.full((6,), -padding)
    ours = crop_grid((9, 11), (9 + 2 * padding, 11 + 2 * padding), at, at, edge=edge).images(x, interpolation="nearest")
    pad = [(0, 0), (0, 0), (padding, padding), (padding, padding)]
    assert np.array_equal(ours.numpy(), np.pad(x.numpy(), pad, mode="edge" if edge == "edge" else "reflect"))


def some_affine(size: tuple[int, int], seed: int) -> Tensor:
    u = torch.rand(6, N, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 - 1
    return affine(size, turn=u[0] * 180, shift=(u[1] * 9, u[2] * 9), scale=2 ** u[3], shear=(u[4] * 0.4, u[5] * 0.4))


@pytest.mark.parametrize("size", SIZES)
def test_affine(size: tuple[int, int]) -> None:
    x = pictures(N, 3, size)
    grid = Grid(some_affine(size, 2), size, size)
    numbers = [tuple(m[:2].flatten().tolist()) for m in grid.matrix]
    shape = size[::-1]
    for name, method in (("bilinear", Image.Resampling.BILINEAR), ("nearest", Image.Resampling.NEAREST)):
        expected = by_pillow(x, lambda im, i, m=method: im.transform(shape, Image.Transform.AFFINE, numbers[i], m, fillcolor=(50, 50, 50)))
        ours = grid.images(x, interpolation=name, fill=50)
        if name == "bilinear":
            assert largest(ours, expected) <= 1
        else:  # Pillow counts places in 1/65536 of a pixel here: a pixel on the border of two may be the other one
            assert (ours != expected).any(1).float().mean() < 1e-3
        assert largest(Grid(some_affine(size, 3), size, size).images(x, interpolation=name, fill=50), expected) > 1


@pytest.mark.parametrize("size", SIZES)
def test_rotate(size: tuple[int, int]) -> None:
    """Against the clock, as Pillow turns; by 90 degrees and its multiples every pixel is another one's exactly."""
    x = pictures(N, 3, size)
    angle = torch.linspace(-180, 180, N, dtype=torch.float64)
    ours = Grid(affine(size, turn=angle), size, size).images(x)
    assert largest(ours, by_pillow(x, lambda im, i: im.rotate(float(angle[i]), Image.Resampling.BILINEAR))) <= 1
    assert largest(Grid(affine(size, turn=-angle), size, size).images(x), ours) > 1
    square = pictures(8, 3, (21, 21))
    quarters = torch.arange(8) % 4
    exact = torch.stack([torch.rot90(im, int(q), (1, 2)) for im, q in zip(square, quarters, strict=True)])
    assert torch.equal(Grid(affine((21, 21), turn=90.0 * quarters), (21, 21), (21, 21)).images(square), exact)


@pytest.mark.parametrize("size", SIZES)
def test_perspective(size: tuple[int, int]) -> None:
    x = pictures(N, 3, size)
    ends = corners(size, N)
    moved = ends + (torch.rand(N, 4, 2, generator=torch.Generator().manual_seed(4)) - 0.5) * min(size) * 0.6
    grid = Grid(perspective(ends, moved), size, size, projective=True)
    assert torch.allclose(grid.points(ends), moved, atol=1e-9)
    numbers = [tuple(m.flatten()[:8].tolist()) for m in grid.matrix]
    change = Image.Transform.PERSPECTIVE
    expected = by_pillow(x, lambda im, i: im.transform(size[::-1], change, numbers[i], Image.Resampling.BILINEAR))
    assert largest(grid.images(x), expected) <= 1
    straight = Grid(grid.matrix, size, size, projective=False).images(x)
    assert largest(straight, expected) > 1, "without the division it must not pass"


@pytest.mark.parametrize("to", [(32, 32), (11, 50), (64, 64), (7, 5)])
@pytest.mark.parametrize("interpolation", ["nearest", *FILTERS])
@pytest.mark.parametrize("channels", [1, 3])
def test_resize(interpolation: str, to: tuple[int, int], channels: int) -> None:
    method = {"nearest": Image.Resampling.NEAREST, "box": Image.Resampling.BOX, "bilinear": Image.Resampling.BILINEAR}
    method |= {"bicubic": Image.Resampling.BICUBIC, "lanczos": Image.Resampling.LANCZOS}
    for size in SIZES:
        x = pictures(10, channels, size)
        expected = by_pillow(x, lambda im, i: im.resize(to[::-1], method[interpolation]))
        ours = resize(x, to, interpolation=interpolation)
        if interpolation == "nearest":  # places on the border of two pixels: Pillow adds up steps and may come to either
            sure = [
                ((torch.arange(n) + 0.5) * m / n % 1).sub(0.5).abs().lt(0.4999) | (8 * m % n == 0) for n, m in zip(to, size, strict=True)
            ]
            assert torch.equal(ours[:, :, sure[0]][..., sure[1]], expected[:, :, sure[0]][..., sure[1]])
            assert all(s.float().mean() > 0.7 for s in sure)
        else:  # halves, where Pillow's weights of 22 bits and ours of 24 may round to either side
            assert largest(ours, expected) <= 1
            assert (ours != expected).float().mean() < 0.05


@pytest.mark.parametrize("interpolation", FILTERS)
def test_resize_from_boxes(interpolation: str) -> None:
    x = pictures(N, 3, (37, 29))
    g = torch.Generator().manual_seed(5)
    start, length = torch.rand(N, 2, generator=g, dtype=torch.float64) * 9, 2 + torch.rand(N, 2, generator=g, dtype=torch.float64) * 17
    box = torch.cat([start, start + length], 1)
    method = getattr(Image.Resampling, interpolation.upper())
    expected = by_pillow(x, lambda im, i: im.resize((16, 16), method, box=tuple(box[i].tolist())))
    assert largest(resize(x, (16, 16), box=box, interpolation=interpolation), expected) <= 1
    assert largest(resize(x, (16, 16), box=box + 1, interpolation=interpolation), expected) > 1


def test_control_without_antialiasing_it_is_not_pillows() -> None:
    x = pictures(10, 3, (32, 32))
    matrix = identity(10)
    matrix[:, 0, 0] = matrix[:, 1, 1] = 4.0
    bare = Grid(matrix, (32, 32), (8, 8)).images(x)
    expected = by_pillow(x, lambda im, i: im.resize((8, 8), Image.Resampling.BILINEAR))
    assert largest(bare, expected) > 20
    assert largest(resize(x, (8, 8)), expected) <= 1


@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.0, 4.0])
def test_gaussian_blur_is_near_pillows_three_boxes(sigma: float) -> None:
    """Pillow takes three box blurs for a Gaussian: up to 6 of 255 apart within the image, half a value in the mean. Near the edge, where it
    lets the outermost pixels go on again after each box and we do once, more."""
    x, edge = pictures(N, 3, (64, 64)), int(3 * sigma + 0.5)
    expected = by_pillow(x, lambda im, i: im.filter(ImageFilter.GaussianBlur(sigma))).int()
    apart = (gaussian_blur(x, sigma).int() - expected).abs()
    assert apart[..., edge:-edge, edge:-edge].max() <= 6
    assert apart.float().mean() < 0.5
    other = (gaussian_blur(x, sigma * 1.5).int() - expected).abs().float().mean()
    assert other > 4 * apart.float().mean(), "another deviation must be further away"


def test_gaussian_blur_is_scipys() -> None:
    """In float64, a deviation for each image."""
    ndimage = pytest.importorskip("scipy.ndimage")
    x = pictures(6, 3, (20, 31)).double() / 255
    sigma = torch.tensor([0.3, 0.5, 1.0, 2.0, 3.0, 4.0], dtype=torch.float64)
    expected = np.stack(
        [[ndimage.gaussian_filter(c, float(s), mode="nearest", radius=60) for c in im] for im, s in zip(x.numpy(), sigma, strict=True)]
    )
    assert np.abs(gaussian_blur(x, sigma).numpy() - expected).max() < 1e-6


def test_hue_is_colorsys() -> None:
    import colorsys

    x = pictures(8, 3, (6, 7))
    turn = torch.linspace(-0.5, 0.5, 8)
    expected = torch.empty(x.shape)
    for i, image in enumerate(x):
        for j, (r, g, b) in enumerate((image.flatten(1).T / 255).tolist()):
            h, s, v = colorsys.rgb_to_hsv(r, g, b)
            expected[i].flatten(1)[:, j] = torch.tensor(colorsys.hsv_to_rgb((h + float(turn[i])) % 1, s, v)) * 255
    assert largest(colour.hue(x, turn), expected.round().to(torch.uint8)) <= 1
    assert largest(colour.hue(x, -turn), expected.round().to(torch.uint8)) > 1


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation", "sharpness"])
def test_floats_from_0_to_1_are_changed_alike(name: str) -> None:
    x, factor = pictures(N), FACTORS
    floats = ENHANCE[name][0](x.double() / 255, factor)
    assert floats.dtype == torch.float64
    assert ((floats * 255) - ENHANCE[name][0](x, factor)).abs().max() < 3  # each whole value on the way is rounded for uint8
    assert floats.min() >= 0
    assert floats.max() <= 1


def test_other_types_are_refused() -> None:
    with pytest.raises(TypeError, match=r"int64.*uint8"):
        colour.brightness(torch.zeros(1, 3, 4, 4, dtype=torch.int64), 1.5)
    with pytest.raises(TypeError, match=r"equalize counts whole values.*float32"):
        colour.equalize(torch.zeros(1, 3, 4, 4))
    with pytest.raises(ValueError, match="nearest, box"):
        resize(pictures(3), (8, 8), interpolation="area")
    with pytest.raises(ValueError, match="for images of 8x8, these are 32x32"):
        flip_grid((8, 8), torch.zeros(3, dtype=torch.bool)).images(pictures(3))
