"""Data sets by name, as far as they need no network."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rungbook.data.bundled import BUNDLED, frame_of
from rungbook.data.characters import character_data
from rungbook.data.named import data_names, named_data
from rungbook.data.registry import DOWNLOADS
from rungbook.data.worlds.registry import PREFIX, WORLDS
from rungbook.errors import DataError, UsageError


@pytest.mark.parametrize("name", BUNDLED)
def test_every_bundled_set_loads(name: str) -> None:
    data = named_data(name, seed=1, batch_size=16, valid=0.2, test=0.1, image_size=None, augment=None)
    assert data.name == name
    rows = int(BUNDLED[name].title.split()[0].replace(",", ""))
    assert sum(f.samples for f in data.splits().values()) == rows
    assert len(data.fingerprint) == 64
    assert data.facts["licence"] == BUNDLED[name].licence
    assert data.facts["citation"] == BUNDLED[name].citation


def test_digits() -> None:
    from sklearn.datasets import load_digits

    data = named_data("digits", valid=0, test=0)
    x, y = data.train.source.fetch(slice(0, 1797))
    stored = load_digits()
    assert (int(x.min()), int(x.max())) == (0, 255)
    assert np.array_equal(np.round(x[:, 0].double().numpy() * 16 / 255), stored.images)
    assert np.array_equal(y.numpy(), stored.target)
    big = named_data("digits", image_size=28)
    assert big.facts["shape"] == [1, 28, 28]
    assert big.facts["samples"] == named_data("digits").facts["samples"]


@pytest.mark.parametrize(
    ("name", "features", "targets"), [("iris", 4, 3), ("wine", 13, 3), ("breast_cancer", 30, 2), ("diabetes", 10, 214)]
)
def test_frames(name: str, features: int, targets: int) -> None:
    import sklearn.datasets

    frame, target = frame_of(name)
    assert frame.shape[1] == features + 1
    assert frame[target].nunique() == targets
    unscaled = {"scaled": False} if name == "diabetes" else {}
    stored = getattr(sklearn.datasets, f"load_{name}")(as_frame=True, **unscaled)
    assert frame.drop(columns=target).equals(stored.data), "the very numbers, under the same names"
    assert list(frame) == [*stored.data, target]
    truth = stored.target if name == "diabetes" else stored.target.map(dict(enumerate(stored.target_names)))
    assert frame[target].tolist() == truth.tolist()


def test_unknown_names() -> None:
    with pytest.raises(UsageError, match=r'E201 There is no data set called "mnits"\. Did you mean mnist\?'):
        named_data("mnits")
    with pytest.raises(UsageError, match=r'E201 digits \(image\) has no option "image_sise"\. Did you mean image_size\?'):
        named_data("digits", image_sise=28)
    with pytest.raises(UsageError, match="E201 iris"):
        named_data("iris", image_size=28)


def test_data_names() -> None:
    names = data_names()
    assert list(names) == [*BUNDLED, *DOWNLOADS, *(PREFIX + w for w in WORLDS)]
    assert "comes with scikit-learn" in names["digits"]
    assert "11.6 MB" in names["mnist"]


def test_characters() -> None:
    text = "abracadabra " * 40
    data = character_data("spell", text, context=5, valid=0.2, test=0.1)
    assert [f.samples for f in data.splits().values()] == [331, 91, 43]
    x, y = data.train.source.fetch(torch.tensor([0, 6]))
    assert ["".join(data.classes[i] for i in row) for row in x] == ["abrac", "dabra"]
    assert [data.classes[i] for i in y] == ["a", " "]
    assert data.valid is not None
    first = data.valid.source.fetch(slice(0, 1))[0][0]
    assert "".join(data.classes[i] for i in first) == text[336:341]  # no window reaches over the cut
    assert data.fingerprint != character_data("spell", text, context=6).fingerprint
    with pytest.raises(DataError, match="E113"):
        character_data("short", "abc" * 10, context=16)
    with pytest.raises(UsageError, match="E202"):
        character_data("spell", text, valid=0.6, test=0.4)
