"""Sequences of different lengths in one batch: padded to the longest, or packed without a gap, as torch.nn.utils.rnn has them.

Packed, the rows of step 0 of all sequences come first, by length, then those of step 1 of all that have one, and so on: a recurrent
network runs through it without ever computing a step that is not there. What is packed is torch's `PackedSequence`.

Shapes: N sequences, T steps of the longest, L of one, R rows in all, * any further dimensions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence


def invert_permutation(permutation: Tensor | None) -> Tensor | None:
    """The permutation (N) that undoes another one."""
    if permutation is None:
        return None
    places = torch.arange(permutation.shape[0], device=permutation.device)
    return torch.empty_like(permutation).scatter_(0, permutation, places)


def pack_padded_sequence(
    input: Tensor, lengths: Tensor | Sequence[int], batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Pack padded sequences.

    Args:
        input: (T, N, *), or (N, T, *) with batch_first.
        lengths: (N) on the processor, or a list.
        enforce_sorted: refuse sequences that do not come longest first; else they are sorted, and come back in their own order.

    Raises:
        RuntimeError: lengths are not as many as sequences, are not sorted, or one is 0 or longer than the input.
    """
    lengths = torch.as_tensor(lengths, dtype=torch.int64)
    steps_first = input.transpose(0, 1) if batch_first else input  # (T, N, *)
    if lengths.dim() != 1 or lengths.device.type != "cpu":
        raise RuntimeError(f"lengths {tuple(lengths.shape)} on {lengths.device} must have 1 dimension and be on the processor")
    if lengths.shape[0] != steps_first.shape[1] or not len(lengths):
        raise RuntimeError(f"lengths holds {lengths.shape[0]} numbers, input {tuple(input.shape)} holds {steps_first.shape[1]} sequences")
    order = None
    if not enforce_sorted:
        lengths, order = lengths.sort(descending=True)
        order = order.to(input.device)
        steps_first = steps_first.index_select(1, order)
    if (lengths[1:] > lengths[:-1]).any():
        raise RuntimeError(f"lengths {lengths.tolist()} must decrease; enforce_sorted=False sorts them")
    if lengths[-1] < 1 or lengths[0] > steps_first.shape[0]:
        raise RuntimeError(f"lengths {lengths.tolist()} must lie between 1 and {steps_first.shape[0]}, the steps of the input")
    there = torch.arange(int(lengths[0])).unsqueeze(1) < lengths  # (T, N), row after row what is packed
    rows = steps_first[: there.shape[0]][there.to(input.device)]  # (R, *)
    return PackedSequence(rows, there.sum(1), order, invert_permutation(order))


def pad_packed_sequence(
    sequence: PackedSequence, batch_first: bool = False, padding_value: float = 0.0, total_length: int | None = None
) -> tuple[Tensor, Tensor]:
    """Pad packed sequences: what `pack_padded_sequence` undoes.

    Args:
        padding_value: what is put behind the shorter ones.
        total_length: T of the result, if it is to be more than that of the longest.

    Returns:
        (T, N, *), or (N, T, *) with batch_first; lengths (N); both in the order from before packing.

    Raises:
        ValueError: total_length is less than the longest.
    """
    rows, sizes = sequence.data, sequence.batch_sizes
    T, N = sizes.shape[0], int(sizes[0])
    if total_length is not None and total_length < T:
        raise ValueError(f"total_length ({total_length}) is less than the longest sequence ({T})")
    there = torch.arange(N) < sizes.unsqueeze(1)  # (T, N)
    numbers = (there.flatten().cumsum(0) - 1).unflatten(0, (T, N)).clamp(min=0)  # of the row, where there is one
    if total_length is not None:
        more = total_length - T
        there, numbers = (torch.cat([x, x.new_zeros(more, N)]) for x in (there, numbers))
    beside = (..., *[None] * (rows.dim() - 1))  # stands beside (T, N, *)
    padded = rows[numbers.to(rows.device)].masked_fill(~there.to(rows.device)[beside], padding_value)  # (T, N, *)
    lengths = there.sum(0)
    if sequence.unsorted_indices is not None:
        padded = padded.index_select(1, sequence.unsorted_indices)
        lengths = lengths[sequence.unsorted_indices.to(lengths.device)]
    return padded.transpose(0, 1) if batch_first else padded, lengths


def pad_sequence(
    sequences: Tensor | Iterable[Tensor], batch_first: bool = False, padding_value: float = 0.0, padding_side: str = "right"
) -> Tensor:
    """Sequences beside one another, padded to the longest.

    Args:
        sequences: each (L, *), of its own L.
        batch_first: (N, T, *) instead of (T, N, *).
        padding_value: what fills the shorter ones.
        padding_side: right (behind) or left (before).

    Raises:
        RuntimeError: there is no sequence, they differ in more than L, or padding_side is another word.
    """
    if not isinstance(sequences, Iterable):
        raise RuntimeError(f"sequences must be tensors in a list, got {type(sequences).__name__}")  # noqa: TRY004 (as torch)
    sequences = list(sequences)
    if not sequences:
        raise RuntimeError("sequences is empty; at least one is needed")
    if padding_side not in ("left", "right"):
        raise RuntimeError(f"padding_side is {padding_side!r}, left or right is needed")
    if len(shapes := {tuple(s.shape[1:]) for s in sequences}) > 1 or not all(s.dim() for s in sequences):
        raise RuntimeError(f"sequences must be alike in all but their first dimension, which each must have; found {sorted(shapes)}")
    T = max(len(s) for s in sequences)
    padded = []
    for s in sequences:
        fill = s.new_full((T - len(s), *s.shape[1:]), padding_value)
        padded.append(torch.cat([s, fill] if padding_side == "right" else [fill, s]))
    return torch.stack(padded, 0 if batch_first else 1)


def unpad_sequence(padded_sequences: Tensor, lengths: Tensor, batch_first: bool = False) -> list[Tensor]:
    """What `pad_sequence` undoes: (T, N, *), or (N, T, *) with batch_first, and lengths (N) -> N of (L, *).

    Unlike torch's it does not transpose its input in place.

    Raises:
        ValueError: lengths are not as many as sequences.
    """
    each = padded_sequences if batch_first else padded_sequences.transpose(0, 1)
    return [sequence[: int(length)] for sequence, length in zip(each, lengths, strict=True)]


def pack_sequence(sequences: Sequence[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Pack sequences (L, *), each of its own L. Raises RuntimeError as `pad_sequence` and `pack_padded_sequence` do."""
    return pack_padded_sequence(pad_sequence(sequences), [len(s) for s in sequences], enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """What `pack_sequence` undoes: the sequences (L, *), in their order from before."""
    return unpad_sequence(*pad_packed_sequence(packed_sequences, batch_first=True), batch_first=True)
