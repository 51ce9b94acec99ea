"""The way back through a recording: each entry's rule turns the gradient of its result into gradients of its arguments.

An entry comes after everything it used, so going from the last to the first each gradient is complete when its entry is reached: it was
added up from all entries that used the tensor. What lies behind is let go on the way.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

from torch import Tensor

from rungbook.scratch.autograd.faults import MissingRule, TapeError, caller
from rungbook.scratch.autograd.rules import Joint, summed
from rungbook.scratch.autograd.writes import Guard, Writes

Entry = tuple[Any, Any, tuple[Any, ...], dict[str, Any], Any]
"""Operation, rule, its arguments, its keyword arguments, its result."""


class Missing:
    """Stands where an operation has no rule: an error only if a gradient gets there."""

    def __init__(self, func: Any, reason: str) -> None:
        self.text = f"{func} at {caller()} {reason}"


def go_back(entries: list[Entry], output: Tensor, seed: Tensor, wanted: set[int], taped: set[int], writes: Writes) -> dict[int, Tensor]:
    """Gradients of `output` by the id of the tensor, of all that is wanted.

    Args:
        entries: the recording; emptied on the way.
        output: what is differentiated.
        seed: its gradient.
        wanted: ids of the tensors whose gradient is asked for.
        taped: ids of all tensors that a gradient can flow to.
        writes: what was written in place.
    """
    gradients: dict[int, Tensor] = {id(output): seed}
    found: dict[int, Tensor] = {}

    def arrived(y: Any) -> Tensor | None:
        g = gradients.pop(id(y), None)
        if g is not None and id(y) in wanted:
            found.setdefault(id(y), g)  # of a tensor written in place, the gradient of its last value
        return g

    while entries:
        func, rule, args, kwargs, out = entries.pop()
        g: Any = [arrived(y) for y in out] if isinstance(out, (list, tuple)) else arrived(out)
        if g is None or (g.__class__ is list and all(part is None for part in g)):
            continue
        stale = writes.stale(len(entries), args, out) if writes.last else None
        try:
            with Guard(stale, func) if stale else nullcontext():
                _pass_on(gradients, func, rule, g, out, args, kwargs, taped)
        except Exception as error:
            if not isinstance(error, TapeError):
                error.add_note(f"while taking the gradient of {func}")
            raise
        del g, args, out  # what the entry held is free before the next is looked at
    return {**{key: g for key, g in gradients.items() if key in wanted}, **found}


def _pass_on(gradients: dict[int, Tensor], func: Any, rule: Any, g: Any, out: Any, args: Any, kwargs: Any, taped: set[int]) -> None:
    """One entry's share of its arguments' gradients."""
    if rule.__class__ is tuple:
        for place, a in enumerate(args):
            if id(a) in taped:
                formula = rule[place] if place < len(rule) else None
                if formula is None:
                    raise MissingRule(f"{func} has no gradient formula for its argument {place + 1}")
                _add(gradients, a, formula(g, out, *args, **kwargs))
            elif a.__class__ is list and not taped.isdisjoint(map(id, a)):
                for x, part in zip(a, rule[place](g, out, *args, **kwargs), strict=True):
                    if id(x) in taped:
                        _add(gradients, x, part)
    elif isinstance(rule, Joint):
        wanted = [id(a) in taped for a in args]
        for a, part in zip(args, rule.formula(wanted, g, out, *args, **kwargs), strict=False):
            if id(a) in taped:
                _add(gradients, a, part)
    else:
        raise MissingRule(rule.text)


def _add(gradients: dict[int, Tensor], x: Tensor, g: Tensor | None) -> None:
    """Add to what x's gradient is so far, in x's shape and type."""
    if g is None:
        return
    if g.shape != x.shape:
        g = summed(g, x.shape)
    if g.dtype is not x.dtype:
        g = g.to(x.dtype)
    so_far = gradients.get(id(x))
    gradients[id(x)] = g if so_far is None else so_far + g
