"""Padding and packing by hand give torch's batches, gradients and refusals."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.utils import rnn as theirs

from rungbook.scratch.nn.utils import rnn as ours


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def same(a: Any, b: Any) -> None:
    """Equal tensors, in whatever holds them."""
    if isinstance(b, Tensor):
        assert a.dtype == b.dtype
        assert torch.equal(a, b)
    elif isinstance(b, tuple | list):
        assert isinstance(a, type(b))
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            same(x, y)
    else:
        assert a == b


def both(name: str, *args: Any, **kwargs: Any) -> Any:
    """What ours gives, after a look that torch's gives the same."""
    found = getattr(ours, name)(*args, **kwargs)
    same(found, getattr(theirs, name)(*args, **kwargs))
    return found


LENGTHS = [[3, 3, 3], [5, 3, 3, 1], [4], [1, 5, 2, 5, 3]]


@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("more", [(), (2,), (2, 3)], ids=str)
def test_packed_and_padded_again(lengths: list[int], batch_first: bool, more: tuple[int, ...]) -> None:
    in_order = lengths == sorted(lengths, reverse=True)
    x = drawn(*((len(lengths), 6) if batch_first else (6, len(lengths))), *more)
    for given in (lengths, torch.tensor(lengths)):
        for enforce_sorted in {False, in_order}:
            packed = both("pack_padded_sequence", x, given, batch_first, enforce_sorted)
            for total, value in ((None, 0.0), (8, -1.5)):
                both("pad_packed_sequence", packed, batch_first, value, total)
            both("unpack_sequence", packed)
            assert isinstance(packed, theirs.PackedSequence)
    weight = torch.arange(packed.data.numel()).view(packed.data.shape)
    wanted = theirs.pack_padded_sequence(x, lengths, batch_first, False).data
    same(torch.autograd.grad((packed.data * weight).sum(), x), torch.autograd.grad((wanted * weight).sum(), x))


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("batch_first", [False, True])
def test_padded_and_single_again(side: str, batch_first: bool) -> None:
    sequences = [drawn(n, 2, seed=n) for n in (2, 4, 0, 1, 3)]
    padded = both("pad_sequence", sequences, batch_first, 0.5, side)
    both("pad_sequence", [s.detach().int() for s in sequences], batch_first, 7, side)
    both("pad_sequence", sequences[0])
    kept, lengths = padded.detach().clone(), torch.tensor([len(s) for s in sequences])
    for single, sequence in zip(ours.unpad_sequence(kept, lengths, batch_first), sequences, strict=True):
        if side == "right":
            same(single, sequence)
    same(kept, padded)  # torch's turns its input around in place
    theirs.unpad_sequence(kept, lengths, batch_first)
    assert (kept.shape == padded.shape) == batch_first


def test_sequences_packed() -> None:
    sequences = [drawn(n, 2, seed=n) for n in (4, 2, 2)]
    both("pack_sequence", sequences)
    packed = both("pack_sequence", sequences[::-1], enforce_sorted=False)
    same(both("unpack_sequence", packed), sequences[::-1])
    both("invert_permutation", torch.tensor([2, 0, 1]))
    assert ours.invert_permutation(None) is None


X = torch.zeros(4, 2, 3)
PACKED = theirs.pack_padded_sequence(X, [4, 2])
REFUSED: dict[str, tuple[type[Exception], str, tuple[Any, ...]]] = {
    "must decrease; enforce_sorted=False": (RuntimeError, "pack_padded_sequence", (X, [2, 3])),
    "lengths holds 3 numbers, input .* holds 2": (RuntimeError, "pack_padded_sequence", (X, [3, 2, 1])),
    r"lengths \[3, 0\] must lie between 1 and 4": (RuntimeError, "pack_padded_sequence", (X, [3, 0])),
    "must have 1 dimension": (RuntimeError, "pack_padded_sequence", (X, torch.tensor([[3, 2]]))),
    r"total_length \(3\) is less than the longest": (
        ValueError,
        "pad_packed_sequence",
        (theirs.pack_padded_sequence(X, [4, 2]), False, 0.0, 3),
    ),
    "sequences is empty": (RuntimeError, "pad_sequence", ([],)),
    "sequences must be tensors in a list": (RuntimeError, "pad_sequence", (3,)),
    "padding_side is 'middle'": (RuntimeError, "pad_sequence", ([X], False, 0.0, "middle")),
    "must be alike in all but their first": (RuntimeError, "pad_sequence", ([torch.zeros(3, 2), torch.zeros(3, 4)],)),
}


@pytest.mark.parametrize("words", REFUSED)
def test_refused(words: str) -> None:
    error, name, args = REFUSED[words]
    with pytest.raises(error):
        getattr(theirs, name)(*args)
    with pytest.raises(error, match=words):
        getattr(ours, name)(*args)


def test_a_length_beyond_the_input_is_refused() -> None:
    with pytest.raises(RuntimeError, match=r"lengths \[5, 1\] must lie between 1 and 4"):
        ours.pack_padded_sequence(X, [5, 1])
    packed = theirs.pack_padded_sequence(X, [5, 1])  # torch's is no batch: its sizes promise a row that is not there
    assert packed.batch_sizes.sum() == len(packed.data) + 1
