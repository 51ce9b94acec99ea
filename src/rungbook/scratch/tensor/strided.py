"""A tensor under the hood: a flat buffer, a shape, strides and an offset. Everything else is arithmetic with these.

The number at index (i, j, ...) lies in the buffer at `offset + i * strides[0] + j * strides[1] + ...`. To transpose, slice, expand or
(often) reshape, only shape, strides and offset change; the buffer stays, and all views show a change made through one of them. When no
strides can say what is asked for, there must be a copy, and only `reshape` and `contiguous` make one. Behaves as torch.Tensor does.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, MutableSequence, Sequence
from typing import Any

from rungbook.scratch.tensor.broadcasting import expanded_shape, expanded_strides

Index = int | slice | None
Nested = Any
"""Numbers in lists in lists, as deep as there are dimensions."""


def contiguous_strides(shape: Sequence[int]) -> tuple[int, ...]:
    """Strides of a tensor whose numbers lie row after row: each is the product of the sizes to its right, an empty one counting as 1."""
    strides = [1]
    for size in reversed(shape[1:]):
        strides.append(strides[-1] * max(size, 1))
    return tuple(reversed(strides)) if shape else ()


def view_strides(shape: Sequence[int], strides: Sequence[int], to: Sequence[int]) -> tuple[int, ...] | None:
    """Strides under which the same memory has another shape, None where there are none and a copy is needed.

    Two neighbouring dimensions can be read as one if a step of the left one is as far as a whole turn of the right one,
    `strides[d] == strides[d + 1] * shape[d + 1]`. So the old dimensions fall into runs that each walk memory evenly, and a run can be cut
    anew in any way; a new dimension that needs parts of two runs has no stride.

    Args:
        shape, strides: as they are.
        to: sizes with the same product.
    """
    if 0 in shape:
        return tuple(strides) if tuple(shape) == tuple(to) else contiguous_strides(to)
    runs: list[tuple[int, int]] = []  # (numbers, stride) of each run, rightmost first
    for size, stride in zip(reversed(shape), reversed(strides), strict=True):
        if runs and (size == 1 or stride == runs[-1][0] * runs[-1][1]):
            runs[-1] = (runs[-1][0] * size, runs[-1][1])
        else:
            runs.append((size, stride))
    new: list[int] = []
    for numbers, stride in runs or [(1, 1)]:
        walked = 1
        while len(new) < len(to) and (walked < numbers or to[-1 - len(new)] == 1):
            new.append(stride * walked)
            walked *= to[-len(new)]
        if walked != numbers:
            return None
    return tuple(reversed(new))


def _sizes(sizes: Sequence[Any]) -> tuple[int, ...]:
    return tuple(sizes[0]) if len(sizes) == 1 and isinstance(sizes[0], list | tuple) else tuple(sizes)


def _completed(sizes: Sequence[int], numbers: int) -> tuple[int, ...]:
    """Sizes with a single -1 replaced by what is left; RuntimeError unless they make up that many numbers."""
    known = math.prod(s for s in sizes if s != -1)
    if any(s < -1 for s in sizes) or list(sizes).count(-1) > 1:
        raise RuntimeError(f"shape {tuple(sizes)}: sizes are 0 or more, and one of them may be -1")
    if -1 in sizes and (known == 0 or numbers % known):
        raise RuntimeError(f"shape {tuple(sizes)}: no size in place of -1 makes {numbers} numbers")
    result = tuple(numbers // known if s == -1 else s for s in sizes)
    if math.prod(result) != numbers:
        raise RuntimeError(f"shape {tuple(sizes)} has {math.prod(result)} numbers, the tensor {numbers}")
    return result


class Strided:
    """A tensor over a flat buffer.

    Args:
        buffer: any mutable sequence of numbers: a list, an array.array. It is not copied.
        shape: sizes; by default one dimension with everything.
        strides: distance in the buffer between neighbours along each dimension; by default row after row.
        offset: place of the first number.

    Raises:
        IndexError: shape, strides and offset reach outside of the buffer.
    """

    def __init__(
        self, buffer: MutableSequence[Any], shape: Sequence[int] | None = None, strides: Sequence[int] | None = None, offset: int = 0
    ) -> None:
        self.buffer, self.offset = buffer, offset
        self.shape = (len(buffer) - offset,) if shape is None else tuple(shape)
        self.strides = contiguous_strides(self.shape) if strides is None else tuple(strides)
        if len(self.strides) != len(self.shape) or min((*self.shape, *self.strides, offset), default=0) < 0:
            raise ValueError(f"shape {self.shape}, strides {self.strides}, offset {offset}: as many strides as sizes, none below 0")
        if self.numel() and (last := offset + sum((n - 1) * s for n, s in zip(self.shape, self.strides, strict=True))) >= len(buffer):
            raise IndexError(f"shape {self.shape} with strides {self.strides} from {offset} reaches place {last} of {len(buffer)}")

    @classmethod
    def of(cls, nested: Nested) -> Strided:
        """A tensor of numbers in nested lists, in a buffer of its own."""
        shape, level = [], nested
        while isinstance(level, list | tuple):
            shape.append(len(level))
            level = level[0] if level else None
        flat: list[Any] = [nested]
        for d, size in enumerate(shape):
            if any(not isinstance(x, list | tuple) or len(x) != size for x in flat):
                raise ValueError(f"the lists of dimension {d} are not all {size} long")
            flat = [y for x in flat for y in x]
        return cls(flat, shape)

    def numel(self) -> int:
        """How many numbers there are: the product of the sizes."""
        return math.prod(self.shape)

    def dim(self) -> int:
        """How many dimensions there are."""
        return len(self.shape)

    def shares_storage(self, other: Strided) -> bool:
        """Whether both are views of one buffer."""
        return self.buffer is other.buffer

    def _places(self) -> Iterator[int]:
        """Place in the buffer of every number, row after row."""
        for index in itertools.product(*(range(n) for n in self.shape)):
            yield self.offset + sum(i * s for i, s in zip(index, self.strides, strict=True))

    def _seen(self, shape: Sequence[int], strides: Sequence[int], offset: int | None = None) -> Strided:
        return Strided(self.buffer, shape, strides, self.offset if offset is None else offset)

    def _dim(self, d: int, more: int = 0) -> int:
        dims = self.dim() + more
        if not -max(dims, 1) <= d < max(dims, 1):
            raise IndexError(f"dimension {d} of a tensor with {dims}: from {-max(dims, 1)} to {max(dims, 1) - 1}")
        return d % max(dims, 1)

    def tolist(self) -> Nested:
        """The numbers in nested lists."""
        if not self.shape:
            return self.buffer[self.offset]
        return [self[i].tolist() for i in range(self.shape[0])]

    def is_contiguous(self) -> bool:
        """Whether the numbers lie row after row; strides of dimensions of size 1 do not matter, nothing steps along them."""
        wanted = contiguous_strides(self.shape)
        return 0 in self.shape or all(n == 1 or s == w for n, s, w in zip(self.shape, self.strides, wanted, strict=True))

    def contiguous(self) -> Strided:
        """Itself if its numbers lie row after row, else a copy whose do."""
        return self if self.is_contiguous() else self.clone()

    def clone(self) -> Strided:
        """A copy, row after row in a buffer of its own."""
        return Strided([self.buffer[place] for place in self._places()], self.shape)

    def view(self, *sizes: Any) -> Strided:
        """The same memory in another shape, -1 standing for what is left.

        Raises:
            RuntimeError: the shape has another number of numbers, or no strides give it.
        """
        to = _completed(_sizes(sizes), self.numel())
        strides = view_strides(self.shape, self.strides, to)
        if strides is None:
            raise RuntimeError(
                f"view {to} of a tensor {self.shape} with strides {self.strides}: one of its dimensions would run through memory in "
                "uneven steps; use reshape, which copies then"
            )
        return self._seen(to, strides)

    def reshape(self, *sizes: Any) -> Strided:
        """`view` where that is possible, else a copy."""
        to = _completed(_sizes(sizes), self.numel())
        strides = view_strides(self.shape, self.strides, to)
        return self.clone().view(to) if strides is None else self._seen(to, strides)

    def permute(self, *dims: Any) -> Strided:
        """The dimensions in another order: sizes and strides change places.

        Raises:
            RuntimeError: a dimension is missing or named twice.
        """
        order = [self._dim(d) for d in _sizes(dims)]
        if sorted(order) != list(range(self.dim())):
            raise RuntimeError(f"permute {_sizes(dims)}: each of the {self.dim()} dimensions of {self.shape} must be named once")
        return self._seen([self.shape[d] for d in order], [self.strides[d] for d in order])

    def transpose(self, a: int, b: int) -> Strided:
        """Two dimensions change places."""
        order = list(range(self.dim()))
        if order:
            a, b = self._dim(a), self._dim(b)
            order[a], order[b] = order[b], order[a]
        return self.permute(order)

    def expand(self, *sizes: Any) -> Strided:
        """Dimensions of size 1 stretched, and new ones put in front, by a stride of 0; -1 keeps a size.

        Raises:
            RuntimeError: the sizes do not fit.
        """
        to = expanded_shape(self.shape, _sizes(sizes))
        return self._seen(to, expanded_strides(self.shape, self.strides, to))

    def unsqueeze(self, dim: int) -> Strided:
        """A new dimension of size 1; its stride, which nothing walks, is a whole turn of the next one."""
        d = self._dim(dim, more=1)
        stride = self.shape[d] * self.strides[d] if d < self.dim() else 1
        return self._seen((*self.shape[:d], 1, *self.shape[d:]), (*self.strides[:d], stride, *self.strides[d:]))

    def squeeze(self, dim: int | None = None) -> Strided:
        """Without dimensions of size 1: without that one, or without any."""
        drop = range(self.dim()) if dim is None else [self._dim(dim)]
        kept = [d for d in range(self.dim()) if d not in drop or self.shape[d] != 1]
        return self._seen([self.shape[d] for d in kept], [self.strides[d] for d in kept])

    def __getitem__(self, index: Any) -> Strided:
        """A view of part of it: a number drops its dimension, a slice keeps it, None puts in a new one, ... stands for all others.

        Raises:
            IndexError: there are too many indices, or one is outside.
            ValueError: a slice steps backwards, which would need a negative stride.
        """
        items = list(index) if isinstance(index, tuple) else [index]
        named = sum(x is not None and x is not Ellipsis for x in items)
        if named > self.dim() or sum(x is Ellipsis for x in items) > 1:
            raise IndexError(f"{named} indices for a tensor with {self.dim()} dimensions, and at most one '...'")
        at = next((i for i, x in enumerate(items) if x is Ellipsis), len(items))
        items[at : at + 1] = [slice(None)] * (self.dim() - named)
        shape, strides, offset, d = [], [], self.offset, 0
        for x in items:
            if x is None:
                shape.append(1)
                strides.append(self.shape[d] * self.strides[d] if d < self.dim() else 1)
                continue
            n, s = self.shape[d], self.strides[d]
            d += 1
            if isinstance(x, slice):
                if x.step is not None and x.step < 1:
                    raise ValueError(f"slice step {x.step} of dimension {d - 1}: strides are never negative, so steps are 1 or more")
                start, stop, step = x.indices(n)
                shape.append(max(0, -(-(stop - start) // step)))
                strides.append(s * step)
                offset += start * s
            elif isinstance(x, int) and -n <= x < n:
                offset += (x % n) * s
            else:
                raise IndexError(f"index {x!r} of dimension {d - 1}, whose size is {n}")
        return self._seen(shape, strides, offset)

    def __setitem__(self, index: Any, value: Any) -> None:
        """Write a number to every place of a part; whoever shares the buffer sees it."""
        part = self[index]
        for place in part._places():
            self.buffer[place] = value

    def __repr__(self) -> str:
        return f"Strided({self.tolist()}, shape={self.shape}, strides={self.strides}, offset={self.offset})"
