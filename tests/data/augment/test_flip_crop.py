"""Augmentation: a function of (seed, epoch, sample) alone, and of training images alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rungbook.data import draws
from rungbook.data.augment.flip_crop import FlipCrop
from rungbook.data.augment.named import named_augment
from rungbook.data.augment.step import COLUMN, FLIP, ROW, Chain
from rungbook.data.images import image_data
from rungbook.errors import UsageError


def images(n: int = 50, c: int = 3, h: int = 9, w: int = 7) -> torch.Tensor:
    return torch.randint(0, 256, (n, c, h, w), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def one_by_one(x: torch.Tensor, samples: torch.Tensor, epoch: int, seed: int, flip: bool, padding: int, mode: str) -> torch.Tensor:
    """The same, as one would write it for a single image: mirror, pad, cut."""
    out = []
    for image, sample in zip(x.numpy(), samples, strict=True):
        s = sample[None]
        if flip and float(draws.uniform(seed, epoch, FLIP, s)) < 0.5:
            image = image[:, :, ::-1]
        p = ((0, 0), (padding, padding), (padding, padding))
        padded = np.pad(image, p, mode="reflect") if mode == "reflect" else np.pad(image, p)
        places = 2 * padding + 1
        r, c = (int(draws.integers(seed, epoch, stream, s, places)) for stream in (ROW, COLUMN))
        out.append(padded[:, r : r + x.shape[2], c : c + x.shape[3]])
    return torch.from_numpy(np.stack(out))


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("padding", [0, 1, 4])
@pytest.mark.parametrize("mode", ["reflect", "zero"])
def test_equals_the_single_image_way(flip: bool, padding: int, mode: str) -> None:
    x, samples = images(), torch.randperm(50, generator=torch.Generator().manual_seed(1))
    out = FlipCrop(flip=flip, padding=padding, mode=mode)(x, samples, 3, 7)
    assert out.dtype == torch.uint8
    assert torch.equal(out, one_by_one(x, samples, 3, 7, flip, padding, mode))


def test_input_stays() -> None:
    x = images()
    before = x.clone()
    FlipCrop()(x, torch.arange(50), 0, 0)
    assert torch.equal(x, before)


def test_batch_boundaries_do_not_matter() -> None:
    x, samples, augment = images(), torch.arange(50), FlipCrop(padding=2)
    whole = augment(x, samples, 1, 0)
    for size in (1, 7, 49):
        pieces = [augment(a, s, 1, 0) for a, s in zip(x.split(size), samples.split(size), strict=True)]
        assert torch.equal(torch.cat(pieces), whole)
    order = torch.randperm(50)
    assert torch.equal(augment(x[order], samples[order], 1, 0), whole[order])


def test_control_draws_of_the_process_depend_on_boundaries() -> None:
    """What keyed draws avoid: torch's own generator gives other flips when the batches are cut otherwise."""

    def naive(x: torch.Tensor) -> torch.Tensor:
        return torch.where((torch.rand(2, len(x)) < 0.5)[0][:, None, None, None], x.flip(-1), x)

    x = images()
    torch.manual_seed(0)
    whole = naive(x)
    torch.manual_seed(0)
    pieces = torch.cat([naive(p) for p in x.split(7)])
    assert not torch.equal(whole, pieces)


def test_epoch_and_seed_change_it() -> None:
    x, samples, augment = images(), torch.arange(50), FlipCrop(padding=2)
    outs = [augment(x, samples, e, s) for e, s in ((0, 0), (1, 0), (0, 1))]
    assert not torch.equal(outs[0], outs[1])
    assert not torch.equal(outs[0], outs[2])


def test_half_are_flipped_and_places_are_even() -> None:
    n = 4000
    x = torch.zeros(n, 1, 5, 5, dtype=torch.uint8)
    x[:, 0, 2, 0] = 1  # off centre: shows mirroring and shift
    flipped = FlipCrop(padding=0)(x, torch.arange(n), 0, 0)[:, 0, 2, 4].float().mean()
    assert 0.45 < float(flipped) < 0.55
    x = torch.zeros(n, 1, 5, 5, dtype=torch.uint8)
    x[:, 0, 2, 2] = 1
    shifted = FlipCrop(flip=False, padding=1, mode="zero")(x, torch.arange(n), 0, 0)[:, 0, 1:4, 1:4].float().mean(0)
    assert torch.all((shifted - 1 / 9).abs() < 0.03)


def test_chain_and_names() -> None:
    x, samples = images(h=16, w=16), torch.arange(50)
    flip, crop = FlipCrop(padding=0), FlipCrop(flip=False, padding=2)
    both = named_augment("flip_crop", 16, 16)
    assert both is not None
    assert torch.equal(Chain(flip, crop)(x, samples, 0, 0), both(x, samples, 0, 0))
    assert named_augment(None, 8, 8) is None
    assert named_augment("none", 8, 8) is None
    assert named_augment(flip, 8, 8) is flip
    with pytest.raises(UsageError, match=r"E201.*Did you mean augment=flip_crop"):
        named_augment("flipcrop", 8, 8)


def test_refuses() -> None:
    with pytest.raises(ValueError, match="reflect"):
        FlipCrop(mode="wrap")
    with pytest.raises(ValueError, match="9x7"):
        FlipCrop(padding=7)(images(), torch.arange(50), 0, 0)


@pytest.mark.parametrize("workers", [0, 2])
def test_only_training_is_augmented(workers: int) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (60, 8, 8), np.uint8), np.arange(60) % 3
    plain, changed = (
        image_data("set", x, y, "abc", augment=a, workers=workers, batch_size=16, valid=0.2, test_share=0.2) for a in (None, "flip_crop")
    )
    for part in ("valid", "test"):
        a, b = plain.splits()[part], changed.splits()[part]
        assert b.augment is None
        for (xa, ya), (xb, yb) in zip(a.batches(0), b.batches(0), strict=True):
            assert torch.equal(xa, xb)
            assert torch.equal(ya, yb)
    pairs = list(zip(plain.train.batches(0), changed.train.batches(0), strict=True))
    assert all(torch.equal(a[1], b[1]) for a, b in pairs)
    assert not any(torch.equal(a[0], b[0]) for a, b in pairs)
