"""Texts of different lengths do not stack; padded in a collate function they do, as with torch's loader."""

from __future__ import annotations

import pytest
import torch
import torch.utils.data
from torch import Tensor

from rungbook.scratch.data import DataLoader
from rungbook.scratch.nn.utils.rnn import pad_sequence

covers = ["D02"]
TEXTS = ["a short one", "a text that is somewhat longer", "x", "and a last one"]
LETTERS = {letter: i for i, letter in enumerate(sorted(set("".join(TEXTS))), 1)}
"""Character -> number; 0 pads."""


def characters() -> list[Tensor]:
    return [torch.tensor([LETTERS[c] for c in text]) for text in TEXTS]


def padded(batch: list[Tensor]) -> Tensor:
    return pad_sequence(batch, batch_first=True)


@pytest.mark.parametrize("loader", [DataLoader, torch.utils.data.DataLoader])
def test_texts_of_different_lengths_do_not_stack(loader: type) -> None:
    with pytest.raises(RuntimeError, match="equal size"):
        next(iter(loader(characters(), batch_size=4)))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.filterwarnings("ignore:.*worker processes")
def test_padded_they_do_and_nothing_else_changes(workers: int) -> None:
    (ours,) = DataLoader(characters(), batch_size=4, collate_fn=padded, num_workers=workers)
    (theirs,) = torch.utils.data.DataLoader(characters(), batch_size=4, collate_fn=padded)
    assert torch.equal(ours, theirs)
    assert ours.shape == (4, max(map(len, TEXTS)))
    back = dict(zip(LETTERS.values(), LETTERS, strict=True))
    for row, text in zip(ours.tolist(), TEXTS, strict=True):
        assert "".join(back[number] for number in row[: len(text)]) == text
        assert not any(row[len(text) :])
