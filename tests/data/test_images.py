"""The image encoder and `Data` from arrays."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from rungbook.data.encoders import describe_encoder, restore_encoder
from rungbook.data.image_audit import moments, pixel_sums
from rungbook.data.images import ImageEncoder, image_data
from rungbook.errors import DataError, UsageError

CLASSES = ("a", "b", "c")


def arrays(n: int = 90, shape: tuple[int, ...] = (6, 5), seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (n, *shape), np.uint8), np.arange(n) % 3


def test_prepare_is_the_formula() -> None:
    for channels in (1, 3):
        mean, std = (0.2, 0.5, 0.7)[:channels], (0.1, 0.25, 0.4)[:channels]
        encoder = ImageEncoder((4, 4), channels, mean, std)
        x = torch.randint(0, 256, (8, channels, 4, 4), dtype=torch.uint8)
        before = x.clone()
        wanted = (x.double() / 255 - torch.tensor(mean).double().view(-1, 1, 1)) / torch.tensor(std).double().view(-1, 1, 1)
        got = encoder.prepare(x)
        assert got.dtype == torch.float32
        assert torch.allclose(got.double(), wanted, atol=1e-5)
        assert torch.equal(x, before)


def test_describe_restore() -> None:
    encoder = ImageEncoder((4, 6), 3, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    again = restore_encoder(json.loads(json.dumps(describe_encoder(encoder))))
    assert again == encoder
    x = torch.randint(0, 256, (2, 3, 4, 6), dtype=torch.uint8)
    assert torch.equal(again.prepare(x), deepcopy(encoder).prepare(x))
    with pytest.raises(ValueError, match="2 channels"):
        ImageEncoder((4, 4), 2, (0.1, 0.1), (1.0, 1.0))


def test_encode_takes_paths_arrays_and_pictures(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    colour = rng.integers(0, 256, (8, 8, 3), np.uint8)
    Image.fromarray(colour).save(tmp_path / "x.png")
    encoder = ImageEncoder((8, 8), 3, (0.5,) * 3, (0.5,) * 3)
    items = [
        tmp_path / "x.png",
        str(tmp_path / "x.png"),
        colour,
        colour.transpose(2, 0, 1),
        torch.from_numpy(colour),
        Image.fromarray(colour),
    ]
    x = encoder.encode(items)
    assert x.shape == (6, 3, 8, 8)
    assert all(torch.equal(x[0], other) for other in x)
    assert torch.equal(x[0], torch.from_numpy(colour).permute(2, 0, 1))
    stored = encoder.encode(np.stack([colour.transpose(2, 0, 1)] * 2))
    assert torch.equal(stored, x[:2])
    assert encoder.encode([]).shape == (0, 3, 8, 8)


def test_encode_scales_and_changes_channels() -> None:
    grey = ImageEncoder((4, 4), 1, (0.5,), (0.5,))
    colour = ImageEncoder((4, 4), 3, (0.5,) * 3, (0.5,) * 3)
    half = np.zeros((8, 12), np.uint8)
    half[:, 6:] = 200  # the centred square is columns 2 to 10: half of it bright
    x = grey.encode([half])
    assert x.shape == (1, 1, 4, 4)
    assert x[0, 0, 0].tolist()[0] == 0
    assert x[0, 0, 0].tolist()[3] == 200
    assert float(x.float().mean()) == pytest.approx(100, abs=1)
    assert torch.equal(colour.encode([half]), x.expand(1, 3, 4, 4))
    red = np.zeros((4, 4, 3), np.uint8)
    red[..., 0] = 255
    assert int(grey.encode([red])[0, 0, 0, 0]) == 76  # 0.299 of 255


@pytest.mark.parametrize(
    ("items", "code"),
    [
        (["nowhere.png"], "E105"),
        ([np.zeros((4, 4))], "E104"),
        (np.zeros((2, 4, 4)), "E104"),
        (np.zeros((2, 4, 4, 3), np.uint8), "E109"),
        ([np.zeros((4, 4, 5), np.uint8)], "E109"),
        ([np.zeros((0, 4), np.uint8)], "E109"),
    ],
)
def test_encode_refuses(items: object, code: str) -> None:
    with pytest.raises(DataError) as caught:
        ImageEncoder((4, 4), 1, (0.5,), (0.5,)).encode(items)
    assert caught.value.code == code


@pytest.mark.parametrize("shape", [(6, 5), (1, 6, 5), (3, 6, 5)])
def test_parts_are_disjoint_complete_and_stratified(shape: tuple[int, ...]) -> None:
    x, y = arrays(shape=shape)
    data = image_data("set", torch.from_numpy(x), torch.from_numpy(y), CLASSES, valid=0.2, test_share=0.1)
    rows = [
        np.concatenate([f.source.fetch(slice(0, f.samples))[0].numpy().reshape(f.samples, -1), f.source.targets()[:, None]], 1)
        for f in data.splits().values()
    ]
    assert [len(r) for r in rows] == [63, 18, 9]
    wanted = np.concatenate([x.reshape(90, -1), y[:, None]], 1)
    assert sorted(map(bytes, np.concatenate(rows).astype(np.uint8))) == sorted(map(bytes, wanted.astype(np.uint8)))
    assert np.bincount(data.valid.source.targets()).tolist() == [6, 6, 6]  # type: ignore[union-attr]
    assert data.facts["class_counts"] == {"a": 30, "b": 30, "c": 30}


def test_statistics_are_of_train_alone() -> None:
    x, y = arrays()
    x[:45] //= 4  # so that a part differs from the whole
    data = image_data("set", x, y, CLASSES, valid=0.3, test_share=0.3)
    train = data.train.source.fetch(slice(0, data.train.samples))[0].double() / 255
    assert data.facts["mean"] == [pytest.approx(float(train.mean()), abs=1e-6)]
    assert data.facts["std"] == [pytest.approx(float(train.std(correction=0)), abs=1e-6)]
    assert abs(float(x.mean()) / 255 - data.facts["mean"][0]) > 1e-4  # the control: of everything it would be another
    prepared = torch.cat([b[0] for b in data.train.batches(0)])
    assert float(prepared.mean()) == pytest.approx(0, abs=1e-4)


def test_moments_are_exact_and_constant_images_are_fine() -> None:
    x = np.full((4, 3, 2, 2), 255, np.uint8)
    sums, squares = pixel_sums(x)
    assert sums.tolist() == [4 * 4 * 255] * 3
    assert squares.tolist() == [4 * 4 * 255**2] * 3
    assert moments(sums, squares, 16) == ((1.0,) * 3, (1.0,) * 3)


def test_copies_stay_together() -> None:
    x, y = arrays()
    x[30:60], y[30:60] = x[:30], y[:30]
    data = image_data("set", x, y, CLASSES, valid=0.2, test_share=0.2)
    seen = [{bytes(i) for i in f.source.fetch(slice(0, f.samples))[0].numpy()} for f in data.splits().values()]
    assert not seen[0] & seen[1]
    assert not seen[0] & seen[2]
    assert any("30 images are exact copies" in f.message for f in data.findings)
    assert data.facts["copies"] == 30
    alone = image_data("set", x, y, CLASSES, valid=0.2, test_share=0.2, groups=np.arange(90))  # the control: each its own group
    leaked = [{bytes(i) for i in f.source.fetch(slice(0, f.samples))[0].numpy()} for f in alone.splits().values()]
    assert leaked[0] & leaked[1]


def test_same_picture_two_labels() -> None:
    x, y = arrays()
    x[1] = x[0]
    findings = image_data("set", x, y, CLASSES).findings
    assert [f.items for f in findings if f.code == "W210"] == [('image 0 "a" = image 1 "b"',)]


def test_official_test_is_kept_and_overlap_is_named() -> None:
    x, y = arrays()
    tx, ty = arrays(12, seed=1)
    tx[3] = x[5]
    data = image_data("set", x, y, CLASSES, test=(tx, ty), test_share=0.0)
    assert data.test is not None
    assert np.array_equal(data.test.source.fetch(slice(0, 12))[0][:, 0].numpy(), tx)
    assert data.facts["samples"] == {"train": 81, "valid": 9, "test": 12}
    (found,) = [f for f in data.findings if f.code == "W207"]
    assert found.items == ("test 3 = image 5",)


def test_uneven_classes() -> None:
    x, _ = arrays()
    y = np.array([0] * 80 + [1] * 10)
    (found,) = image_data("set", x, y, ("ok", "bad")).findings
    assert found.code == "W208"
    assert 'class "bad" is 11.1%' in found.message
    assert 'always answering "ok" scores 88.9%' in found.message
    assert not image_data("set", x, np.arange(90) % 2, ("ok", "bad")).findings


def test_image_size_scales_both() -> None:
    x, y = arrays(shape=(8, 8))
    data = image_data("set", x, y, CLASSES, test=(x[:5], y[:5]), image_size=16)
    assert data.facts["shape"] == [1, 16, 16]
    assert data.test is not None
    assert data.test.source.fetch(slice(0, 1))[0].shape == (1, 1, 16, 16)


def test_fingerprint() -> None:
    x, y = arrays()
    same = [image_data("set", x, y, CLASSES, batch_size=b).fingerprint for b in (8, 64)]
    assert same[0] == same[1]
    changed = x.copy()
    changed[7, 0, 0] ^= 1
    others = [
        image_data("set", changed, y, CLASSES).fingerprint,
        image_data("set", x, (y + 1) % 3, CLASSES).fingerprint,
        image_data("set", x, y, CLASSES, seed=1).fingerprint,
        image_data("set", x, y, CLASSES, valid=0.2).fingerprint,
        image_data("set", x, y, CLASSES, image_size=8).fingerprint,
    ]
    assert len({same[0], *others}) == 6


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda x, y: (x.astype(float), y), "E104"),
        (lambda x, y: (np.stack([x] * 3, -1), y), "E109"),
        (lambda x, y: (x, y.astype(float)), "E103"),
        (lambda x, y: (x, y + 1), "E102"),
        (lambda x, y: (x, y[:-1]), "E202"),
        (lambda x, y: (x, y * 0), "E110"),
        (lambda x, y: (x[:19], y[:19]), "E113"),
        (lambda x, y: (x[:0], y[:0]), "E113"),
    ],
)
def test_refuses(change, code: str) -> None:
    with pytest.raises((DataError, UsageError)) as caught:
        image_data("set", *change(*arrays()), CLASSES)
    assert caught.value.code == code
    assert caught.value.message


def test_test_images_of_another_size() -> None:
    x, y = arrays()
    with pytest.raises(DataError, match=r"E101 set: test images are \(1, 7, 5\), training images \(1, 6, 5\)"):
        image_data("set", x, y, CLASSES, test=(np.zeros((2, 7, 5), np.uint8), [0, 1]))
