"""Writes in place under a tape: which are harmless, which are recorded as if they made a new tensor, which would make gradients wrong.

The tape holds tensors, not copies of their values, so a write changes what rules read later. A write through which a gradient flows is
recorded as its form out of place would be: what was recorded before gets a stand-in for the tensor as it was. The stand-in is a copy where
a rule reads it, else the overwritten memory itself, and a rule that reads that after all is stopped (`Guard`). Other views of the same
memory are refused from then on, for the tape cannot know which of their elements changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from rungbook.scratch.autograd.faults import OverwrittenTensor, caller
from rungbook.scratch.autograd.rules import CONSTANT, Rule
from rungbook.scratch.autograd.rules.form import nothing

aten = torch.ops.aten

REPLACES: dict[str, Rule] = {
    "copy_": (nothing, lambda g, y, x, source, non_blocking=False: g),
    "fill_": (nothing, lambda g, y, x, value: g),
    **dict.fromkeys(["zero_", "bernoulli_", "uniform_", "normal_", "random_", "exponential_", "log_normal_", "cauchy_"], (nothing,)),
}
"""Writes that keep nothing of what was there: gradients of the arguments."""


READ_NOTHING_OLD = frozenset(
    [
        "add_",
        "sub_",
        "neg_",
        "relu_",
        "sigmoid_",
        "tanh_",
        "exp_",
        "sqrt_",
        "masked_fill_",
        "index_add_",
        "index_put_",
        "scatter_",
        "scatter_add_",
        "tril_",
        "triu_",
    ]
) | set(REPLACES)
"""Writes whose rule does not read what they overwrite, so that no copy of it is kept; should one read it after all, `Guard` stops it."""


def storage(x: Tensor) -> int:
    """Which piece of memory a tensor lies in."""
    return x.untyped_storage()._cdata


def tensors(*trees: Any) -> Iterator[Tensor]:
    """All tensors among arguments, in lists and dictionaries too."""
    for tree in trees:
        if isinstance(tree, Tensor):
            yield tree
        elif isinstance(tree, (list, tuple)):
            yield from tensors(*tree)
        elif isinstance(tree, dict):
            yield from tensors(*tree.values())


def alone(x: Tensor) -> bool:
    """Whether nothing else lies in a tensor's memory; False if it cannot be told."""
    count = getattr(torch._C, "_storage_Use_Count", None)
    return count is not None and count(storage(x)) <= 2  # the tensor, and the handle that asks


def written(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Tensor]:
    """The tensors that an operation writes into."""
    found: list[Tensor] = []
    for place, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            found += tensors(args[place] if place < len(args) else kwargs.get(argument.name))
    return found


def _swapped(a: Any, old: Tensor, new: Tensor) -> Any:
    return new if a is old else [_swapped(x, old, new) for x in a] if isinstance(a, (list, tuple)) else a


def _rename(entries: list[Any], old: Tensor, new: Tensor) -> None:
    """In all entries back to the one that made a tensor, let another stand for it."""
    for place in range(len(entries) - 1, -1, -1):
        func, rule, args, kwargs, out = entries[place]
        made = any(y is old for y in tensors(out))
        if made or any(x is old for x in tensors(args)):
            entries[place] = func, rule, tuple(_swapped(args, old, new)), kwargs, _swapped(out, old, new)
        if made:
            return


def rule_of_write(func: Any, rules: Mapping[Any, Rule]) -> Rule | None:
    """The rule of an operation in place: that of its form out of place, as `add_.Tensor` has `add.Tensor`'s; None if there is none."""
    name = func._schema.name.split("::")[1]
    if not name.endswith("_") or name.startswith("_foreach"):
        return None
    if name in REPLACES:
        return REPLACES[name]
    packet = getattr(aten, name[:-1], None)
    overload = func._overloadname
    return rules.get(getattr(packet, overload)) if packet is not None and overload in packet.overloads() else None


class Writes:
    """What was written in place since the tape began."""

    def __init__(self) -> None:
        self.last: dict[int, tuple[int, str]] = {}
        """Storage -> how many entries the tape had when it was last written, and by what."""
        self.owners: dict[int, set[int]] = {}
        """Storage written with a gradient -> the tensors in it whose gradient is known."""
        self.overwritten: dict[int, str] = {}
        """Id of a stand-in for a tensor whose values are gone -> what has overwritten them."""
        self._held: list[Tensor] = []  # what is in owners stays alive, so that no other takes its place

    def note(self, x: Tensor, position: int, by: str) -> None:
        """x was written by an operation that no gradient flows through."""
        self.last[storage(x)] = position, by

    def record(self, func: Any, args: tuple[Any, ...], target: Tensor, entries: list[Any]) -> tuple[Any, ...]:
        """Call before a write that goes on the tape: puts stand-ins for the target as it is now into its arguments and the entries so far.

        Returns:
            The arguments, with stand-ins for what is about to be overwritten.
        """
        name, where, only_seen = func._schema.name.split("::")[1], storage(target), torch.Tag.inplace_view in func.tags
        if not only_seen:
            if where in self.owners or not alone(target):
                self.owners[where] = {id(target)}
                self._held.append(target)
            self.note(target, len(entries), f"{func} at {caller()}")
        copied = not only_seen and name not in READ_NOTHING_OLD
        fresh: dict[int, Tensor] = {}
        for a in args:
            if isinstance(a, Tensor) and storage(a) == where and id(a) not in fresh:
                fresh[id(a)] = a.clone() if copied else a.detach()
                if not copied and not only_seen:
                    self.overwritten[id(fresh[id(a)])] = self.last[where][1]
        _rename(entries, target, fresh[id(target)])
        return tuple(fresh.get(id(a), a) for a in args)

    def check(self, func: Any, used: Iterable[Tensor]) -> None:
        """Refuse tensors that share memory with one that was written with a gradient."""
        for x in used:
            if id(x) not in self.owners.get(storage(x), (id(x),)):
                by = self.last[storage(x)][1]
                raise OverwrittenTensor(
                    f"{func} at {caller()} uses a tensor of shape {tuple(x.shape)} whose memory {by} has written through another view: "
                    "the tape knows the gradient of that view only. Build the result with torch.cat, stack or where instead."
                )

    def inherit(self, results: Iterable[Tensor]) -> None:
        """Views of a tensor whose gradient is known are known too."""
        for x in results:
            if storage(x) in self.owners:
                self.owners[storage(x)].add(id(x))
                self._held.append(x)

    def stale(self, position: int, args: Any, results: Any) -> dict[int, str]:
        """Tensors of an entry whose values have changed since it was recorded, and what changed them."""
        changed = {}
        for x in tensors(args, results):
            when, by = self.last.get(storage(x), (-1, ""))
            if when > position:
                changed[id(x)] = by
            elif id(x) in self.overwritten:
                changed[id(x)] = self.overwritten[id(x)]
        return changed


class Guard(TorchDispatchMode):
    """Within it, reading one of some tensors is refused.

    Args:
        stale: id of a tensor -> what has overwritten it.
        reader: the operation whose rule runs.
    """

    def __init__(self, stale: dict[int, str], reader: Any) -> None:
        super().__init__()
        self.stale, self.reader = stale, reader

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for x in tensors(args, kwargs or {}):
            if id(x) in self.stale and func not in CONSTANT:
                raise OverwrittenTensor(
                    f"the gradient of {self.reader} needs a tensor of shape {tuple(x.shape)} as it was, and "
                    f"{self.stale[id(x)]} has written over it: write `x = x + y` instead of `x += y`, or leave out inplace=True."
                )
        return func(*args, **(kwargs or {}))
