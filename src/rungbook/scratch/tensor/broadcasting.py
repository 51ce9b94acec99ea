"""Broadcasting: how tensors of different shapes meet, and how a gradient finds its way back.

Three rules, numpy's and torch's alike. Shapes are set flush right, missing dimensions count as 1. Two sizes fit if they are equal or one is
1. A dimension of size 1 stretches, and that costs nothing: its stride becomes 0, so that every place along it is the same number in memory.
What was stretched was used more than once, so its gradient is the sum over all uses: `unbroadcast` undoes what `expand` did.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor


def broadcast_shapes(*shapes: Sequence[int]) -> tuple[int, ...]:
    """The shape that all of these stretch to.

    Raises:
        RuntimeError: two sizes of a dimension differ and neither is 1.
    """
    dims = max((len(s) for s in shapes), default=0)
    result = [1] * dims
    for shape in shapes:
        for d, size in enumerate(shape, start=dims - len(shape)):
            if size < 0:
                raise RuntimeError(f"a size of {size} in shape {tuple(shape)}: sizes are 0 or more")
            if size != 1 and result[d] not in (1, size):
                given = " and ".join(str(tuple(s)) for s in shapes)
                raise RuntimeError(
                    f"shapes {given} do not fit: sizes {result[d]} and {size} meet in dimension {d} of {dims} "
                    f"({dims - d} from the right), and neither is 1"
                )
            result[d] = size if size != 1 else result[d]
    return tuple(result)


def expanded_shape(shape: Sequence[int], sizes: Sequence[int]) -> tuple[int, ...]:
    """The sizes asked for, with -1 replaced by what is there.

    Raises:
        RuntimeError: there are fewer sizes than dimensions, or a dimension would have to change from something else than 1.
    """
    new = len(sizes) - len(shape)
    if new < 0:
        raise RuntimeError(f"expand to {tuple(sizes)}: {len(sizes)} sizes are too few for the {len(shape)} dimensions of {tuple(shape)}")
    result = []
    for d, size in enumerate(sizes):
        have = shape[d - new] if d >= new else 1
        if size == -1 and d < new:
            raise RuntimeError(f"expand to {tuple(sizes)}: -1 keeps a size, but dimension {d} is new and has none")
        if size < -1 or (size != -1 and have not in (1, size)):
            raise RuntimeError(f"expand {tuple(shape)} to {tuple(sizes)}: dimension {d} has size {have}, only size 1 can become {size}")
        result.append(have if size == -1 else size)
    return tuple(result)


def expanded_strides(shape: Sequence[int], strides: Sequence[int], to: Sequence[int]) -> tuple[int, ...]:
    """Strides under which a tensor of one shape is seen in a larger one: 0 along whatever stretches.

    Args:
        shape, strides: of the tensor.
        to: shape it stretches to, as `expanded_shape` gives it.
    """
    new = len(to) - len(shape)
    kept = tuple(0 if have == 1 and want != 1 else s for have, want, s in zip(shape, to[new:], strides, strict=True))
    # torch gives a new dimension of size 1 the stride of one whole turn of the next; it is never walked, but compared
    added: tuple[int, ...] = ()
    following = kept[0] * to[new] if kept else 0
    for want in reversed(to[:new]):
        added = ((0 if want != 1 else following), *added)
        following = added[0] * want
    return added + kept


def expand(x: Tensor, *sizes: int) -> Tensor:
    """x in a larger shape, as a view.

    Args:
        x: any shape.
        sizes: one for each dimension of the result; -1 keeps the size.

    Raises:
        RuntimeError: the sizes do not fit.
    """
    to = expanded_shape(x.shape, sizes)
    return x.as_strided(to, expanded_strides(x.shape, x.stride(), to))


def broadcast_tensors(*tensors: Tensor) -> tuple[Tensor, ...]:
    """All of them as views of one shape.

    Raises:
        RuntimeError: the shapes do not fit.
    """
    shape = broadcast_shapes(*(x.shape for x in tensors))
    return tuple(expand(x, *shape) for x in tensors)


def unbroadcast(gradient: Tensor, shape: Sequence[int]) -> Tensor:
    """The gradient of a tensor that was broadcast, from that of the result: the sum over every dimension that was added or stretched.

    Args:
        gradient: of the larger shape.
        shape: of the tensor before.

    Raises:
        RuntimeError: a tensor of that shape does not stretch to the gradient's.
    """
    expanded_shape(shape, gradient.shape)
    new = gradient.dim() - len(shape)
    stretched = [d for d in range(gradient.dim()) if d < new or (shape[d - new] == 1 and gradient.shape[d] != 1)]
    summed = gradient.sum(stretched, keepdim=True) if stretched else gradient
    return summed.reshape(tuple(shape))
