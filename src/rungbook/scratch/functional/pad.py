"""Padding: what lies beyond the border of an image or a sequence."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """Put elements before and after the last dimensions of a tensor; a negative number takes some away.

    Every mode but the constant one only says which element is repeated at a place outside: that of the nearest border (replicate),
    its mirror image with the border as the mirror (reflect), or the one a period away (circular).

    Args:
        input: any shape for "constant"; else the last one, two or three dimensions of a batched or unbatched (N, C, L...) are padded.
        pad: (left, right) of the last dimension, then of the one before it, and so on.
        mode: "constant", "reflect", "replicate" or "circular".
        value: of the constant, 0 if none is given.

    Raises:
        RuntimeError: an odd count, more pairs than dimensions, a size below 0, reflection of as much as there is, more circles than one, or
            a value with a mode that has none.
        NotImplementedError: an unknown mode, or dimensions that torch does not pad in this mode.
    """
    if len(pad) % 2 or len(pad) // 2 > input.dim():
        raise RuntimeError(f"pad {tuple(pad)} needs two numbers for each padded dimension, input {tuple(input.shape)} has {input.dim()}")
    sides = [(pad[2 * i], pad[2 * i + 1]) for i in range(len(pad) // 2)]
    if mode != "constant":
        _check_copying(input, sides, mode, value)
    for i, (left, right) in enumerate(sides):
        dim, size = input.dim() - 1 - i, input.shape[input.dim() - 1 - i]
        if size + left + right < 0:
            raise RuntimeError(f"pad ({left}, {right}) leaves dimension {dim} of input {tuple(input.shape)} with a size below 0")
        if mode in ("constant", "circular") and min(left, right) < 0:
            # what is taken away is gone before anything is put there: a circle closes on what is left
            input = input.narrow(dim, max(0, -left), size + min(0, left) + min(0, right))
            left, right, size = max(0, left), max(0, right), input.shape[dim]
        if left == right == 0:
            continue
        if mode == "constant":
            blocks = [_block(input, dim, count, 0.0 if value is None else value) for count in (left, right)]
            input = torch.cat([*blocks[:1] * bool(left), input, *blocks[1:] * bool(right)], dim)
        else:
            place = torch.arange(-left, size + right, device=input.device)
            input = input.index_select(dim, _source(place, size, mode))
    # never a view: who writes on the result means only that
    return input.clone() if all(a <= 0 and b <= 0 for a, b in sides) else input


def _block(x: Tensor, dim: int, count: int, value: float) -> Tensor:
    """A constant of the shape of x, but for one dimension."""
    return x.new_full((*x.shape[:dim], count, *x.shape[dim + 1 :]), value)


def _source(place: Tensor, size: int, mode: str) -> Tensor:
    """Which element stands at each place, from before 0 to beyond size - 1."""
    if mode == "replicate":
        return place.clamp(0, size - 1)
    if mode == "circular":
        return place % size
    return size - 1 - (size - 1 - place.abs()).abs()  # mirrored at 0, then at size - 1


def _check_copying(input: Tensor, sides: list[tuple[int, int]], mode: str, value: float | None) -> None:
    """Raise where torch does: `pad` in a mode that copies elements."""
    if mode not in ("reflect", "replicate", "circular"):
        raise NotImplementedError(f"pad: mode {mode!r} is none of constant, reflect, replicate, circular")
    if value is not None and value != 0:
        raise RuntimeError(f"pad: value {value} means nothing in mode {mode!r}, which copies elements of the input")
    if not 1 <= len(sides) <= 3 or input.dim() - len(sides) not in (1, 2):
        raise NotImplementedError(
            f"pad: mode {mode!r} pads 1, 2 or 3 dimensions after (C) or (N, C); asked were {len(sides)} of input {tuple(input.shape)}"
        )
    for i, side in enumerate(sides):
        size = input.shape[-1 - i]
        limit = {"reflect": size - 1, "circular": size}.get(mode)
        if limit is not None and max(side) > limit:
            raise RuntimeError(
                f"pad {side} of dimension {input.dim() - 1 - i} in mode {mode!r} must be at most {limit}, its size is {size}"
            )
        if size == 0 and max(side) > 0:
            raise RuntimeError(f"pad {side} in mode {mode!r} copies elements of dimension {input.dim() - 1 - i}, which has none")
