"""Pairs of arrays: what becomes a class, what a number, what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import rungbook
from rungbook.data.arrays import ArrayEncoder, array_data
from rungbook.data.target import ClassTarget, NumberTarget
from rungbook.errors import DataError

RNG = np.random.default_rng(0)
X = RNG.random((100, 3))


@pytest.mark.parametrize(
    ("y", "classes"),
    [
        (np.arange(100) % 4, ("0", "1", "2", "3")),
        (torch.arange(100) % 2, ("0", "1")),
        ((np.arange(100) % 2).astype(bool), ("0", "1")),
        (list(np.arange(100) % 3), ("0", "1", "2")),
        ((np.arange(100) % 2) * 3, ("0", "1", "2", "3")),
        (np.array(["dog", "cat"] * 50), ("cat", "dog")),
        (["b", "a"] * 50, ("a", "b")),
    ],
)
def test_whole_numbers_and_strings_are_classes(y: Any, classes: tuple[str, ...]) -> None:
    data = rungbook.load_data((X, y))
    assert isinstance(data.target, ClassTarget)
    assert data.classes == classes
    labels = {int(v) for feed in data.splits().values() for v in feed.source.targets()}
    assert labels <= set(range(len(classes)))
    back = [str(v) if isinstance(v, str) else str(int(v)) for v in y]
    row, label = int(data.train.source.name(0).removeprefix("row ")), int(data.train.source.targets()[0])
    assert classes[label] == back[row], "each sample keeps its label and its number"


@pytest.mark.parametrize("y", [RNG.random(100), RNG.random(100).astype(np.float16), torch.rand(100), RNG.random((100, 2))])
def test_real_numbers_are_predicted_as_they_are(y: Any) -> None:
    data = rungbook.load_data((X, y))
    assert isinstance(data.target, NumberTarget)
    targets = data.train.source.targets()
    assert targets.dtype == torch.float32
    assert targets.shape[1:] == tuple(y.shape[1:])


def test_splits_are_stratified_and_complete() -> None:
    y = np.array([0] * 80 + [1] * 20)
    data = rungbook.load_data((X, y), 0.2, 0.2, seed=1)
    assert {k: f.samples for k, f in data.splits().items()} == {"train": 60, "valid": 20, "test": 20}
    assert int(data.test.source.targets().sum()) == 4  # type: ignore[union-attr]
    rows = [f.source.name(i) for f in data.splits().values() for i in range(f.samples)]
    assert sorted(rows, key=lambda r: int(r[4:])) == [f"row {i}" for i in range(100)]
    assert rungbook.load_data((X, y), valid=0, test=0).splits().keys() == {"train"}


def test_copies_are_kept_together_only_if_asked() -> None:
    x = np.repeat(RNG.random((40, 2)), 3, axis=0)
    y = np.repeat(np.arange(40) % 2, 3)

    def torn(audit: bool) -> int:
        data = rungbook.load_data((x, y), 0.2, 0.2, audit=audit)
        home: dict[bytes, set[str]] = {}
        for part, feed in data.splits().items():
            for row in feed.source.fetch(slice(0, feed.samples))[0].numpy():
                home.setdefault(row.tobytes(), set()).add(part)
        return sum(len(parts) > 1 for parts in home.values())

    assert torn(audit=True) == 0
    assert torn(audit=False) > 0


def test_bytes_become_0_to_1_in_the_batch() -> None:
    images = RNG.integers(0, 256, (60, 1, 4, 4), dtype=np.uint8)
    data = rungbook.load_data((images, np.arange(60) % 2), batch_size=10)
    stored, _ = data.train.source.fetch(slice(0, 5))
    assert isinstance(stored, torch.Tensor)
    assert stored.dtype == torch.uint8
    x, _ = next(iter(data.train))
    assert (x.dtype, x.shape) == (torch.float32, (10, 1, 4, 4))
    assert 0 <= x.min() <= x.max() <= 1
    assert torch.equal(ArrayEncoder().prepare(stored), stored.float() / 255)


def test_types_of_inputs() -> None:
    encoder = ArrayEncoder()
    assert encoder.encode(np.zeros((2, 2))).dtype == torch.float32  # type: ignore[union-attr]
    assert encoder.encode([[1.0, 2.0]]).dtype == torch.float32  # type: ignore[union-attr]
    assert encoder.encode(np.zeros((2, 2), np.int64)).dtype == torch.int64, "may be token numbers"  # type: ignore[union-attr]
    pair = encoder.encode((np.zeros((2, 2)), np.zeros((2, 1), np.int64)))
    assert [t.dtype for t in pair] == [torch.float32, torch.int64]
    assert isinstance(ArrayEncoder.restore(encoder.describe()), ArrayEncoder)


def test_several_inputs() -> None:
    data = rungbook.load_data(((X, np.arange(100)[:, None]), np.arange(100) % 2), batch_size=8)
    (numbers, rows), _ = next(iter(data.train))
    assert torch.allclose(numbers, torch.tensor(X, dtype=torch.float32)[rows[:, 0]]), "parts of a sample stay together"


@pytest.mark.parametrize(
    ("x", "y", "code", "part"),
    [
        (X, np.arange(99) % 2, "E113", "x has 100 samples and y has 99"),
        (X[:0], np.arange(0), "E113", "x has 0 samples"),
        (X, np.full(100, 3), "E110", 'All 100 targets are "3"'),
        (X, ["a"] * 100, "E110", 'All 100 targets are "a"'),
        (X, np.arange(100) % 3 - 1, "E102", "Label -1 of sample 0"),
        (X, np.r_[np.arange(99) % 2, 10**9], "E102", "Label 1000000000 of sample 99"),
        (X, np.r_[np.arange(98.0), np.nan, np.inf], "E112", "2 of 100 targets are not finite, first that of sample 98"),
        ([[1, 2], [3]] * 50, np.arange(100) % 2, "E104", "no plain numbers"),
        (np.array([["a", "b"]] * 100), np.arange(100) % 2, "E104", "no plain numbers"),
    ],
)
def test_refused(x: Any, y: Any, code: str, part: str) -> None:
    with pytest.raises(DataError) as error:
        rungbook.load_data((x, y))
    assert error.value.code == code
    assert part in error.value.message
    assert error.value.fix


def test_the_fix_for_labels_works() -> None:
    y = np.arange(100) % 3 - 1
    with pytest.raises(DataError) as error:
        rungbook.load_data((X, y))
    assert error.value.fix == "Number them anew: y = np.unique(y, return_inverse=True)[1]"
    assert rungbook.load_data((X, np.unique(y, return_inverse=True)[1])).classes == ("0", "1", "2")


def test_fingerprints() -> None:
    y = np.arange(100) % 2
    marks = {
        array_data(X, y).fingerprint,
        array_data(X, y, seed=1).fingerprint,
        array_data(X, 1 - y).fingerprint,
        array_data(X + 1, y).fingerprint,
    }
    assert len(marks) == 4
    assert array_data(X, y).fingerprint in marks


def test_a_learner_trains_on_them_and_predicts() -> None:
    from torch import nn

    y = (X[:, 0] > X[:, 1]).astype(int)
    data = rungbook.load_data((X, y), 0.2, 0.2)
    learner = rungbook.Learner(nn.Linear(3, 2), data, lr=1.0).fit(40)
    assert learner.validate(data.test)["accuracy"] > 0.8
