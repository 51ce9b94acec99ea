"""Photographs: random changes reach train alone (faults S0-1, S0-2), and data that does not fit is refused with what does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pictures
import pytest
import torch
from commands import Rung
from torch.utils.data import Dataset, random_split

from rungbook.data import photos
from rungbook.data.feed import Feed
from rungbook.errors import UsageError
from rungbook.recipes.book.folder import Photos
from rungbook.recipes.once import train_once

SMALL = "world:shapes(n=160, classes=3, side=24, channels=3, flip=0.0)"


@pytest.fixture(autouse=True)
def small_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photos, "SMALLEST", 24)
    monkeypatch.setattr(photos, "LARGEST", 40)


def epochs(feed: Feed) -> list[torch.Tensor]:
    """All inputs of epochs 0 and 1, in stored order."""
    seen = []
    for epoch in (0, 1):
        x = torch.cat([batch for batch, _ in feed.batches(epoch)])
        seen.append(torch.empty_like(x).index_copy_(0, feed.order(epoch), x))
    return seen


def test_random_changes_reach_train_alone() -> None:
    """S0-2: with one transform for both, as the courses have it, valid is another set every epoch."""
    data = Photos(data=SMALL).load()
    assert data.valid is not None
    assert data.test is not None
    first, second = epochs(data.train)
    assert not torch.equal(first, second)
    for feed in (data.valid, data.test):
        first, second = epochs(feed)
        assert torch.equal(first, second)
    shared = Feed(data.valid.source, prepare=data.valid.prepare, augment=data.train.augment)
    first, second = epochs(shared)
    assert not torch.equal(first, second), "the control: one transform for both changes valid"
    first, second = epochs(Photos(data=SMALL, augment=False).load().train)
    assert torch.equal(first, second)


class OneTransform(Dataset[torch.Tensor]):
    """A data set that holds its transform, as those the courses split."""

    def __init__(self, x: torch.Tensor, transform: Any) -> None:
        self.x, self.transform = x, transform

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, i: int) -> torch.Tensor:
        return self.transform(self.x[i])


def test_a_plain_transform_for_valid_does_not_take_the_flips_from_train() -> None:
    """S0-1: after `valid.dataset.transform = plain` both halves of a split are plain, since they are one object."""
    data = Photos(data=SMALL).load()
    assert data.valid is not None
    x = data.train.source.fetch(slice(0, 40))[0]
    assert isinstance(x, torch.Tensor)
    train, valid = random_split(OneTransform(x, lambda t: t.flip(-1)), [30, 10])
    valid.dataset.transform = lambda t: t
    assert all(torch.equal(train[i], x[train.indices[i]]) for i in range(30)), "the control: the flip of train is gone"
    data.valid.augment = None
    assert data.train.augment is not None
    assert data.train.source is not data.valid.source
    first, second = epochs(data.train)
    assert not torch.equal(first, second)


def test_it_learns_what_files_show_and_is_judged_beside_the_limit() -> None:
    recipe = Photos(data=SMALL, steps=100, widths=(8, 16), image_size=16, lr=1e-2, ema=None)
    trained = train_once(recipe)
    facts = trained.data.facts
    assert (facts["limit"]["accuracy"], facts["unreadable"], facts["copies"]) == (1.0, 3, 2)
    assert set(facts["limit"]) == {"accuracy", "balanced_accuracy", "log_loss"}
    untrained = train_once(Photos(data=SMALL, steps=1, widths=(8, 16), image_size=16, lr=1e-9, ema=None))
    assert trained.scores("valid")["valid"]["log_loss"] < 0.8 * untrained.scores("valid")["valid"]["log_loss"]
    assert train_once(recipe).scores("test") == trained.scores("test"), "and once more the same"


def test_a_run_on_any_folder_lists_what_it_left_out(rung: Rung) -> None:
    rung.quick()
    pictures.folder(rung.here / "mine", each=14)
    (rung.here / "mine" / "cat" / "empty.jpg").write_bytes(b"")
    answer = rung("train image_folder data=./mine epochs=1 widths=4 image_size=8")
    assert answer.code == 0, answer.text
    (run,) = rung.runs.iterdir()
    assert "cat/empty.jpg is empty" in (run / "bad_files.txt").read_text()


def test_what_does_not_fit(rung: Rung) -> None:
    (rung.here / "t.csv").write_text("a,b\n1,2\n")
    (rung.here / "empty").mkdir()
    for words, code, parts in (
        ("data=iris", "E202", ("iris is none of it", "data=world:shapes", "data=dogs-vs-cats", "data=FOLDER")),
        ("data=world:line", "E202", ("data=world:shapes",)),
        ("data=./t.csv", "E116", ("t.csv is a file",)),
        ("data=./nowhere", "E105", ("nowhere",)),
        ("data=./empty", "E107", ("0 images",)),
        ("data=empty", "E202", ("data=./empty",)),
        ("data=world:shapes(n=5)", "E202", ("fewer than 10",)),
    ):
        answer = rung("train", "image_folder", words)
        assert answer.code in (2, 3), answer.text
        assert code in answer.text, answer.text
        for part in parts:
            assert part in answer.text, answer.text
    assert not rung.runs.exists() or not list(rung.runs.iterdir())


def test_a_folder_nobody_may_open(rung: Rung, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    folder = pictures.folder(rung.here / "mine", each=12)
    real = os.scandir

    def refused(path: Any = ".") -> Any:
        if Path(path) == (folder / "dog").resolve():
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", refused)
    answer = rung("train image_folder data=./mine epochs=1")
    assert answer.code == 3, answer.text
    assert "E106" in answer.text
    assert "Permission denied" in answer.text


def test_known_names_are_those_the_recipe_lists() -> None:
    Photos(data="world:shapes(n=100)").check()
    with pytest.raises(UsageError):
        Photos(data="mnist").check()


def test_photographs(real_data: Path) -> None:
    """The real loading code, a few steps: the fingerprint is the same each time, and train is changed at random."""
    recipe = Photos(data="dogs-vs-cats", image_size=16, steps=1)
    one, two = recipe.load(), recipe.load()
    assert one.fingerprint == two.fingerprint
    assert "FlipCrop" in one.facts["augment"]
