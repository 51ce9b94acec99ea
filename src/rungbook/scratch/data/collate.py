"""Collating: samples become a batch. Numbers and tensors are stacked, containers stay and what is in them is collated, text stays."""

from __future__ import annotations

import copy
import math
import sys
from collections.abc import Callable, Mapping, MutableMapping, MutableSequence, Sequence
from typing import Any

import torch
from torch import Tensor

from rungbook.scratch.data.worker import get_worker_info

Kind = type | tuple[type, ...]
TEXT_OR_OBJECT = "SaUO"
"""Letters of numpy types that no tensor holds."""


def rebuilt(container: Any, items: Any) -> Any:
    """A container of the same type with other items.

    A dict or list is copied first, so that what else a subclass holds comes along; a type that cannot be copied or made from its items
    becomes a plain dict or list.

    Args:
        container: a mapping or a sequence.
        items: a dict of the new values, or a list.
    """
    if isinstance(container, tuple) and hasattr(container, "_fields"):
        return type(container)(*items)
    try:
        if isinstance(container, MutableMapping):
            new = copy.copy(container)
            new.update(items)
            return new
        if isinstance(container, MutableSequence):
            new_list = copy.copy(container)
            for i, item in enumerate(items):
                new_list[i] = item
            return new_list
        return type(container)(items)
    except TypeError:
        return items


def default_convert(data: Any) -> Any:
    """numpy arrays and numbers in a sample become tensors, through all containers; everything else stays.

    What a loader does without batches. A plain tuple becomes a list, as in torch.
    """
    if isinstance(data, Tensor | str | bytes):
        return data
    if type(data).__module__ == "numpy":
        return data if data.dtype.kind in TEXT_OR_OBJECT else torch.as_tensor(data)
    if isinstance(data, Mapping):
        return rebuilt(data, {key: default_convert(data[key]) for key in data})
    if isinstance(data, Sequence):
        items = [default_convert(x) for x in data]
        return items if isinstance(data, tuple) and not hasattr(data, "_fields") else rebuilt(data, items)
    return data


def _cannot(what: Any) -> TypeError:
    return TypeError(
        f"default_collate: no batch can be made of {what}; it knows tensors, numpy arrays, numbers, text, and dicts and lists of them"
    )


def collate(batch: Any, *, collate_fn_map: Mapping[Kind, Callable[..., Any]] | None = None) -> Any:
    """Samples as a batch, by rules that can be added to.

    Args:
        batch: the samples.
        collate_fn_map: type of a sample -> function of (samples, collate_fn_map=this); the exact type is looked up first, then in order
            those it derives from.

    Raises:
        TypeError: there is no rule for the samples' type.
        RuntimeError: sequences in them differ in length.
    """
    first = batch[0]
    rules = collate_fn_map or {}
    kind = next((k for k in rules if k is type(first)), None) or next((k for k in rules if isinstance(first, k)), None)
    if kind is not None:
        return rules[kind](batch, collate_fn_map=collate_fn_map)
    if isinstance(first, Mapping):
        return rebuilt(first, {key: collate([x[key] for x in batch], collate_fn_map=collate_fn_map) for key in first})
    if not isinstance(first, Sequence):
        raise _cannot(type(first))
    named = hasattr(first, "_fields")
    lengths = {len(x) for x in batch}
    if len(lengths) > 1 and not named:
        raise RuntimeError(f"samples of one batch hold {sorted(lengths)} items: they must hold as many, or give a collate_fn that pads")
    columns = [collate(column, collate_fn_map=collate_fn_map) for column in zip(*batch, strict=False)]
    return columns if isinstance(first, tuple) and not named else rebuilt(first, columns)


def _tensors(batch: Any, *, collate_fn_map: Any = None) -> Tensor:
    if batch[0].is_nested or batch[0].layout != torch.strided:
        kind = "nested" if batch[0].is_nested else "sparse"
        raise RuntimeError(f"default_collate does not stack {kind} tensors; give a collate_fn")
    alike = {(type(x), x.dtype, x.device.type, x.shape) for x in batch} == {(Tensor, batch[0].dtype, "cpu", batch[0].shape)}
    if get_worker_info() is None or not alike or any(x.requires_grad for x in batch):
        return torch.stack(batch, 0)
    # a worker stacks right into shared memory, or the batch would be copied once more when it is sent
    shape = (len(batch), *batch[0].shape)
    memory = torch.UntypedStorage._new_shared(math.prod(shape) * batch[0].element_size(), device="cpu")
    return torch.stack(batch, 0, out=batch[0].new_empty(0).set_(memory, 0, shape))


def _arrays(batch: Any, *, collate_fn_map: Any = None) -> Any:
    if batch[0].dtype.kind in TEXT_OR_OBJECT:
        raise _cannot(f"numpy arrays of {batch[0].dtype}")
    return collate([torch.as_tensor(x) for x in batch], collate_fn_map=collate_fn_map)


def _floats(batch: Any, *, collate_fn_map: Any = None) -> Tensor:
    return torch.tensor(batch, dtype=torch.float64)


def _numbers(batch: Any, *, collate_fn_map: Any = None) -> Tensor:
    return torch.tensor(batch)


def _numpy_numbers(batch: Any, *, collate_fn_map: Any = None) -> Tensor:
    return torch.as_tensor(batch)


def _unchanged(batch: Any, *, collate_fn_map: Any = None) -> Any:
    return batch


default_collate_fn_map: dict[Kind, Callable[..., Any]] = {Tensor: _tensors}
"""The rules of `default_collate`; add to it for types of your own."""

# numpy is not ours to import, but where it is installed torch.utils.data has done so
_numpy: Any = sys.modules.get("numpy")
if _numpy is not None:
    default_collate_fn_map[_numpy.ndarray] = _arrays
    default_collate_fn_map[(_numpy.bool_, _numpy.number, _numpy.object_)] = _numpy_numbers
default_collate_fn_map |= {float: _floats, int: _numbers, str: _unchanged, bytes: _unchanged}


def default_collate(batch: Any) -> Any:
    """Samples as a batch: tensors, arrays and numbers with a first dimension more, text in a list, dicts and lists of these.

    Raises:
        TypeError: a sample holds something else.
        RuntimeError: tensors differ in shape, or sequences in length.
    """
    return collate(batch, collate_fn_map=default_collate_fn_map)
