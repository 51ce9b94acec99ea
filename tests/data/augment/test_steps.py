"""Random steps: what a sample becomes depends on (seed, epoch, sample) alone, draws are as spread as they say, names are checked."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from beside_pillow import pictures

from rungbook.data import draws
from rungbook.data.augment.blur import Noise, gaussian_blur, pixel_normals
from rungbook.data.augment.colour import Colour, Grey
from rungbook.data.augment.erase import TRIES, Cutout, Erase, random_bytes
from rungbook.data.augment.flip_crop import FlipCrop
from rungbook.data.augment.geometry import Affine, Perspective, Zoom
from rungbook.data.augment.named import NAMES, named_augment
from rungbook.data.augment.policy import OPERATIONS, AugMix, OneOf, RandAugment
from rungbook.data.augment.step import Chain
from rungbook.data.images import image_data
from rungbook.errors import UsageError

N = 40


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", NAMES)
def test_alone_as_in_a_batch(name: str, channels: int) -> None:
    """In any company and order, a sample becomes the same; another epoch or seed makes it another."""
    augment = named_augment(name, 20, 24)
    assert augment is not None
    x, samples = pictures(N, channels, (20, 24)), torch.randperm(10_000, generator=torch.Generator().manual_seed(3))[:N]
    before = x.clone()
    whole = augment(x, samples, 2, 7)
    assert whole.dtype == torch.uint8
    assert whole.shape == x.shape
    assert torch.equal(x, before), "the stored images stay"
    alone = torch.cat([augment(x[i : i + 1], samples[i : i + 1], 2, 7) for i in range(N)])
    assert torch.equal(alone, whole)
    order = torch.randperm(N)
    assert torch.equal(augment(x[order], samples[order], 2, 7), whole[order])
    if name != "grey" or channels == 3:
        assert not torch.equal(augment(x, samples, 3, 7), whole)
        assert not torch.equal(augment(x, samples, 2, 8), whole)
    assert len(augment(x[:0], samples[:0], 0, 0)) == 0


@pytest.mark.parametrize("workers", [0, 2])
def test_workers_do_not_matter(workers: int) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (60, 3, 16, 16), np.uint8), np.arange(60) % 3
    here = image_data("set", x, y, "abc", augment="randaugment+erase", batch_size=16)
    there = image_data("set", x, y, "abc", augment="randaugment+erase", batch_size=12, workers=workers)
    by_sample = []
    for data in (here, there):
        order = data.train.order(1)
        by_sample.append(torch.cat([xb for xb, _ in data.train.batches(1)])[order.argsort()])
    assert torch.equal(*by_sample)


def test_no_two_kinds_of_step_share_draws() -> None:
    """Shared, they would not be independent: whoever is mirrored would also be turned to the left."""
    asked: dict[int, set[str]] = {}
    uniform = draws.uniform
    with pytest.MonkeyPatch.context() as patch:
        for name in NAMES:
            if name in ("flip", "crop"):
                continue  # parts of flip_crop

            def noted(seed: int, epoch: int, stream: object, samples: torch.Tensor, name: str = name) -> torch.Tensor:
                for one in [stream] if isinstance(stream, int) else stream:  # type: ignore[attr-defined]
                    asked.setdefault(one, set()).add(name)
                return uniform(seed, epoch, stream, samples)  # type: ignore[arg-type]

            patch.setattr(draws, "uniform", noted)
            augment = named_augment(name, 16, 16)
            assert augment is not None
            augment(pictures(60, 3, (16, 16)), torch.arange(60), 0, 0)
    assert len(asked) > 40
    assert {s: n for s, n in asked.items() if len(n) > 1} == {}


def test_several_streams_at_once_are_the_single_ones() -> None:
    samples = torch.arange(30).view(5, 6)
    together = draws.bits(3, 1, (4, 9, 2), samples)
    assert together.shape == (3, 5, 6)
    assert torch.equal(together, torch.stack([draws.bits(3, 1, s, samples) for s in (4, 9, 2)]))


def test_colour_spreads_evenly() -> None:
    n = 4000
    x = torch.full((n, 3, 2, 2), 100, dtype=torch.uint8)
    out = Colour(brightness=0.5, contrast=0, saturation=0)(x, torch.arange(n), 0, 0)[:, 0, 0, 0].float()
    assert 49 <= out.min() < 52
    assert 147 < out.max() <= 150
    assert abs(float(out.mean()) - 100) < 1.5
    colours = pictures(n, 3, (4, 4))
    grey = Grey(p=0.2)(colours, torch.arange(n), 0, 0)
    without = (grey[:, 0] == grey[:, 1]).flatten(1).all(1) & (colours[:, 0] != colours[:, 1]).flatten(1).any(1)
    assert 0.17 < float(without.float().mean()) < 0.23


def test_affine_stays_within_its_bounds() -> None:
    size, n = (30, 50), 3000
    grid = Affine(degrees=20, shift=0.1, scale=1.0, shear=0.0).grid(torch.arange(n), 0, 0, size)
    angle = torch.atan2(grid.matrix[:, 1, 0], grid.matrix[:, 0, 0]) * 180 / torch.pi
    assert 19.5 < angle.abs().max() <= 20
    assert abs(float(angle.mean())) < 1
    middle = grid.points(torch.tensor([[[25.0, 15.0]]]).expand(n, 1, 2))[:, 0]
    assert (middle - torch.tensor([25.0, 15.0])).abs().amax(0).tolist() == pytest.approx([5, 3], abs=0.05)


def test_zoom_takes_boxes_within_the_image() -> None:
    size, n = (30, 50), 3000
    boxes = Zoom(least=0.35, aspect=4 / 3).boxes(torch.arange(n), 0, 0, size)
    assert (boxes >= -1e-9).all()
    assert (boxes[:, 2] <= 50 + 1e-9).all()
    assert (boxes[:, 3] <= 30 + 1e-9).all()
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    area, ratio = width * height / 1500, (width / 50) / (height / 30)
    assert 0.349 < area.min() < 0.36
    assert 0.99 < area.max() <= 1 + 1e-9
    assert 0.74 < ratio.min() < 0.77
    assert 1.3 < ratio.max() < 1.34


def test_perspective_shows_less_of_the_image() -> None:
    size = (30, 50)
    grid = Perspective(pull=0.4).grid(torch.arange(500), 0, 0, size)
    u, v = grid.places()
    assert (u > 0).all()
    assert (u < 50).all()
    assert (v > 0).all()
    assert (v < 30).all()
    assert not torch.allclose(grid.matrix[:, 2, :2], torch.zeros(500, 2, dtype=torch.float64))


def test_erase_as_the_paper_says() -> None:
    """Areas from 2 to 40 %, half of the images, the inside drawn evenly and the outside untouched; against the algorithm one by one."""
    n, H, W = 4000, 32, 32
    step, samples = Erase(), torch.arange(n)
    boxes = step.boxes(samples, 0, 0, (H, W))
    erased = (boxes[:, 2] > boxes[:, 0]).float().mean()
    assert 0.47 < float(erased) < 0.53
    some = boxes[boxes[:, 2] > boxes[:, 0]].double()
    width, height = some[:, 2] - some[:, 0], some[:, 3] - some[:, 1]
    assert (some >= 0).all()
    assert (some[:, 2:] <= 32).all()
    area = width * height / (H * W)
    assert 0.015 < area.min() < 0.03
    assert 0.35 < area.max() < 0.43
    rng = np.random.default_rng(0)  # algorithm 1 with Python's loop
    wanted = []
    while len(wanted) < len(some):
        s, r = rng.uniform(0.02, 0.4) * H * W, rng.uniform(0.3, 1 / 0.3)
        h, w = round((s * r) ** 0.5), round((s / r) ** 0.5)
        x, y = rng.integers(0, W), rng.integers(0, H)
        if x + w <= W and y + h <= H:
            wanted.append((w * h / (H * W), h / w, x))
    means, spread = np.mean(wanted, 0), np.std(wanted, 0)
    ours = [area.mean(), (height / width).mean(), some[:, 0].mean()]
    for mine, mean, sd in zip(ours, means, spread, strict=True):
        assert abs(float(mine) - mean) < 5 * sd * (2 / len(some)) ** 0.5
    x = torch.full((n, 3, H, W), 7, dtype=torch.uint8)
    out = step(x, samples, 0, 0)
    inside = torch.zeros(n, H, W, dtype=torch.bool)
    for i, (x1, y1, x2, y2) in enumerate(boxes.tolist()):
        inside[i, y1:y2, x1:x2] = True
    assert (out.movedim(1, -1)[~inside] == 7).all()
    assert abs(float(out.movedim(1, -1)[inside].float().mean()) - 127.5) < 0.5


def test_erase_seldom_finds_no_place() -> None:
    boxes = Erase(p=1.0).boxes(torch.arange(20_000), 0, 0, (32, 32))
    failed = float((boxes[:, 2] == boxes[:, 0]).float().mean())
    assert 0 < failed < 0.001, TRIES


def test_cutout_hides_a_square_or_what_of_it_lies_within() -> None:
    x = torch.full((2000, 1, 32, 32), 9, dtype=torch.uint8)
    hidden = (Cutout(share=0.5)(x, torch.arange(2000), 0, 0) == 0).flatten(1).sum(1)
    assert hidden.max() == 256
    assert hidden.min() >= 64
    assert abs(float(hidden.float().mean()) - 196) < 10  # of 16 in a row, 14 lie within on average


def test_noise_is_normal_and_even_bytes_are_even() -> None:
    z = pixel_normals((2000, 3, 5, 7), torch.arange(2000), 0, 0, 1)
    assert abs(float(z.mean())) < 0.01
    assert abs(float(z.std()) - 1) < 0.01
    assert abs(float((z.abs() > 1.959964).float().mean()) - 0.05) < 0.003
    flat = z.flatten(1)
    assert abs(float((flat[:, 1:] * flat[:, :-1]).mean())) < 0.01
    half = (flat.shape[1] + 1) // 2
    assert abs(float((flat[:, : flat.shape[1] - half] * flat[:, half:]).mean())) < 0.02, "sine and cosine of one angle"
    values = random_bytes(torch.Size((2000, 3, 5, 7)), torch.arange(2000), 0, 0, 1).flatten().bincount(minlength=256)
    assert float(((values - values.double().mean()) ** 2 / values.double().mean()).sum()) < 340  # chi-square of 255 freedoms
    grey = torch.full((400, 3, 16, 16), 128, dtype=torch.uint8)
    out = Noise(sigma=0.1)(grey, torch.arange(400), 0, 0).float()
    assert out.flatten(1).std(1).max() == pytest.approx(25.5, rel=0.1)
    assert abs(float(out.mean()) - 128) < 0.2


def test_strength_0_changes_nothing_and_more_is_more() -> None:
    x, samples = pictures(60, 3, (24, 24)), torch.arange(60)
    weak = OneOf(tuple(n for n in OPERATIONS if n not in ("autocontrast", "equalize")), low=0, high=0)
    assert torch.equal(weak(x, samples, 0, 0), x)
    for name, operation in OPERATIONS.items():
        if operation.least == operation.most:
            continue
        change = [(OneOf((name,), low=s, high=s)(x, samples, 0, 0).float() - x.float()).abs().mean().item() for s in (0.1, 0.3, 0.6, 1.0)]
        assert change == sorted(change), name
        assert change[-1] > change[0] > 0 or name == "posterize", name


def test_randaugment_draws_every_operation_evenly() -> None:
    n = 14_000
    layer = RandAugment(n=2, m=5).steps[1]
    assert isinstance(layer, OneOf)
    which, strength, side = layer.draw(torch.arange(n), 0, 0)
    counts = which.bincount(minlength=14)
    assert (counts - 1000).abs().max() < 150
    assert (strength == 0.5).all()
    assert 0.47 < float((side > 0).float().mean()) < 0.53
    first = RandAugment(n=2, m=5).steps[0]
    assert isinstance(first, OneOf)
    assert abs(float((first.draw(torch.arange(n), 0, 0)[0] == which).float().mean()) - 1 / 14) < 0.01, "layers draw for themselves"


def test_randaugment_is_its_operations_one_by_one() -> None:
    x, samples = pictures(50, 3, (24, 24)), torch.arange(50)
    step = RandAugment(n=2, m=7)
    expected = []
    for i in range(50):
        image = x[i : i + 1]
        for layer in step.steps:
            assert isinstance(layer, OneOf)
            which, strength, side = layer.draw(samples[i : i + 1], 4, 2)
            operation = OPERATIONS[layer.names[int(which)]]
            magnitude = operation.magnitude(strength, side)
            if operation.pixels:
                image = operation.pixels(image, magnitude)
            elif operation.matrix:
                from rungbook.data.augment.grid import Grid

                image = Grid(operation.matrix((24, 24), magnitude), (24, 24), (24, 24)).images(image)
        expected.append(image)
    assert torch.equal(step(x, samples, 4, 2), torch.cat(expected))


def test_augmix_mixes() -> None:
    """Weights sum to 1, so an image every operation leaves alone stays; and the mixture stays nearer to the image than one chain."""
    flat = torch.full((30, 3, 12, 12), 60, dtype=torch.uint8)
    step = AugMix()
    for chain in step.chains:
        for one in chain:
            one.names = ("autocontrast", "posterize")
            one.low = one.high = 0.1
    assert (step(flat, torch.arange(30), 0, 0).int() - 60).abs().max() <= 1
    x = pictures(200, 3, (24, 24))
    step = AugMix(severity=10)
    mixed = step(x, torch.arange(200), 0, 0).float()
    alone = step.chains[0][0](x, torch.arange(200), 0, 0).float()
    assert 0 < (mixed - x.float()).abs().mean() < 0.8 * (alone - x.float()).abs().mean()


def test_augmix_weights_are_dirichlet() -> None:
    """Mean weight of a chain 1/3 of the share, variance 1/18 as of Dirichlet(1, 1, 1): seen by chains that give constant images."""
    n = 3000
    step = AugMix(width=3, depth=1)
    greys = iter([0, 120, 240] * n)

    def constant(grey: int):  # type: ignore[no-untyped-def]
        return lambda x, samples, epoch, seed: torch.full_like(x, grey)

    step.chains = [[constant(next(greys))] for _ in range(3)]  # type: ignore[list-item]
    out = step(torch.full((n, 1, 1, 1), 0, dtype=torch.uint8), torch.arange(n), 0, 0).double().flatten()
    # out = (1 - m) * (120 w2 + 240 w3): mean 60; E[(1-m)^2] = 1/3, E[(w2 + 2 w3)^2] = 1 + 2/12 = 7/6
    assert abs(float(out.mean()) - 60) < 3
    assert abs(float((out**2).mean()) / 120**2 - 7 / 18) < 0.03


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("flipcrop", r"E201.*Did you mean augment=flip_crop"),
        ("randaugment(k=2)", r'E201.*no option "k"'),
        ("trivial(m=3)", r"E201.*Write it as augment=trivial"),
        ("flip(padding=3)", r'E201.*no option "padding"'),
        ("randaugment(m=11)", r"E202.*m from 0 to 10"),
        ("randaugment(n=2.5)", r"E202.*randaugment"),
        ("erase(p='x')", r"E202.*p must be a number"),
        ("affine(degrees=1e999)", r"E202.*degrees must be a number"),
        ("erase(fill='red')", r'E202.*"noise" or a grey'),
        ("crop(mode='wrap')", r'E202.*"reflect" or "zero"'),
        ("flip+flip_crop", r"E202.*both flip.*augment=flip_crop"),
        ("erase+erase", r"E202.*same draws"),
        ("flip+", r"E201"),
        ("flip(", r"E202.*Write it as randaugment"),
    ],
)
def test_names_that_are_none(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        named_augment(text, 32, 32)


def test_names_and_options() -> None:
    chain = named_augment("flip_crop + randaugment(n=1, m=4)+erase(fill=0.5, p=0.25)", 32, 40)
    assert isinstance(chain, Chain)
    assert repr(chain) == (
        'Chain(FlipCrop(flip=True, padding=4, mode="reflect"), RandAugment(n=1, m=4), '
        "Erase(p=0.25, least=0.02, most=0.4, aspect=0.3, fill=0.5))"
    )
    assert named_augment("none", 8, 8) is named_augment(None, 8, 8) is None
    assert repr(named_augment("none+flip", 8, 8)) == 'FlipCrop(flip=True, padding=0, mode="reflect")'
    assert repr(named_augment("crop(padding=2, mode='zero')", 8, 8)) == 'FlipCrop(flip=False, padding=2, mode="zero")'
    x = pictures(20)
    both = named_augment("flip+crop", 32, 32)
    assert both is not None
    assert torch.equal(both(x, torch.arange(20), 0, 0), FlipCrop()(x, torch.arange(20), 0, 0))


def test_blur_keeps_the_mean_of_a_constant() -> None:
    x = torch.full((5, 3, 9, 11), 200, dtype=torch.uint8)
    assert torch.equal(gaussian_blur(x, torch.tensor([1e-6, 0.5, 1.0, 3.0, 100.0])), x)
