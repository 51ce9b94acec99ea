"""Reverse mode below torch's autograd: every operation that reaches torch's core is recorded, and gone back through with a table of rules.

Wengert (A simple automatic derivative evaluation program, 1964) kept such a list of operations; Speelpenning (1980) went through it
backwards. A `TorchDispatchMode` sees what torch computes in the end, whatever Python called it: `x @ w.T` on three dimensions arrives as
transpose, view, mm, view. So the table (`rules`) knows some two hundred operations and serves any model.

What differs from torch's autograd:
- Gradients are off while a tape records: neither `requires_grad` nor a `torch.no_grad()` within the block tells the tape anything. What is
  to be constant is detached; what is written into buffers of a watched module is.
- Where torch records no gradients it takes fused kernels, which have no rule: `swap` the model first, then tape it.
- `torch.autograd.Function`, hooks on tensors, saved-tensor hooks and DistributedDataParallel are parts of torch's engine. Of the first the
  tape sees the forward operations and differentiates those, not the custom backward. Hooks and parallel modules are refused when watched.
  Activation checkpointing gives right gradients and saves no memory.
- The tape holds all intermediate tensors, torch those that its formulas read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from rungbook.scratch.autograd.faults import MissingRule, OverwrittenTensor, TapeError, UnreachedTensor, caller
from rungbook.scratch.autograd.reverse import Entry, Missing, go_back
from rungbook.scratch.autograd.rules import CONSTANT, FUSED, RULES, Rule, in_pieces
from rungbook.scratch.autograd.writes import Writes, rule_of_write, storage, tensors, written

aten = torch.ops.aten
LEAVES_STAY_LEAVES = (aten.embedding_renorm_.default,)  # torch writes into the weight too, and counts the result as the leaf


class Tape(TorchDispatchMode):
    """Records operations on watched tensors within a `with` block, and gives gradients by going back through them.

        tape = Tape()
        tape.watch(model)
        for x, y in batches:
            with tape:
                loss = criterion(model(x), y)
            tape.backward(loss)
            optimizer.step()

    Each block is a recording of its own. For second derivatives open one tape within another: the inner one's rules are recorded by the
    outer.

    Args:
        persistent: keep the recording, so that several gradients can be taken of it; otherwise it is dropped as it is gone through.
        rules: operations of torch -> rules that take the table's place, as for a ReLU with another slope.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # torch otherwise wraps __torch_dispatch__, which costs more than all that it does here

    def __init__(self, *, persistent: bool = False, rules: Mapping[Any, Rule] | None = None) -> None:
        super().__init__()
        self.persistent = persistent
        self._table: Mapping[Any, Rule] = {**RULES, **rules} if rules else RULES
        self._rules: dict[int, Rule] = {}  # id of an operation -> its rule; () for one that gives constants
        self._always: dict[int, tuple[Tensor, str]] = {}  # watched outside of a block: in every recording
        self._watched: dict[int, tuple[Tensor, str]] = {}  # in this one
        self._buffers: dict[int, Tensor] = {}
        self._open: list[ExitStack] = []
        self._recording = False
        self._used = False
        self._start()

    def _start(self) -> None:
        """An empty recording."""
        self._entries: list[Entry] = []
        self._taped: set[int] = set(self._watched)  # ids of tensors that depend on a watched one; all are held by entries
        self._writes = Writes()
        self._versions: list[tuple[Tensor, int]] = []

    def __len__(self) -> int:
        """Operations recorded."""
        return len(self._entries)

    # -- what is recorded

    def watch(self, *things: Tensor | nn.Module, **named: Tensor) -> None:
        """Follow tensors, and parameters of modules that require a gradient: within a block for this recording, outside for all to come.

        Args:
            things: floating point tensors, modules.
            named: tensors, by the name they are to have in results and errors.

        Raises:
            TypeError: a tensor is not of floating point.
            TapeError: a tensor or module has hooks, or a module is DistributedDataParallel: only torch's autograd calls hooks; or a
                parameter is still lazy.
        """
        for thing in things:
            if isinstance(thing, nn.Module):
                for name, module in thing.named_modules():
                    _refuse_module(name, module)
                for name, parameter in thing.named_parameters():
                    if nn.parameter.is_lazy(parameter):
                        raise TapeError(f"{name} has no shape yet: pass one batch through the model before it is watched")
                    if parameter.requires_grad:
                        self._watch(parameter, name)
                self._buffers.update({id(b): b for b in thing.buffers()})
            else:
                self._watch(thing, "")
        for name, tensor in named.items():
            self._watch(tensor, name)

    def _watch(self, x: Tensor, name: str) -> None:
        if not isinstance(x, Tensor) or not x.is_floating_point():
            kind = x.dtype if isinstance(x, Tensor) else type(x).__name__
            raise TypeError(f"watch takes floating point tensors and modules, {name or 'this'} is {kind}")
        if x._backward_hooks or getattr(x, "_post_accumulate_grad_hooks", None):
            raise TapeError(f"{name or 'a watched tensor'} has hooks, which only torch's autograd calls: remove them")
        if id(x) in self._watched or (id(x) in self._taped and self._open):
            return
        names = {n for _, n in self._watched.values()}
        name = name or f"watched tensor {len(self._watched)} of shape {tuple(x.shape)}"
        while name in names:
            name += "'"
        self._watched[id(x)] = x, name
        self._taped.add(id(x))
        if not self._open:
            self._always[id(x)] = x, name

    def __enter__(self) -> Tape:
        stack = ExitStack()
        stack.enter_context(torch.no_grad())
        if not self._open:
            self._watched = dict(self._always)
            self._start()
            self._recording, self._used = True, False
            torch.clear_autocast_cache()  # weights it has cast already are on no tape
            super().__enter__()
            stack.push(super().__exit__)
        self._open.append(stack)
        return self

    def __exit__(self, *error: Any) -> None:
        self._open.pop().__exit__(*error)
        if not self._open:
            self._recording = False
            self._versions = [(x, x._version) for x, _ in self._watched.values() if not x.is_inference()]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        rule = self._rules.get(id(func))
        if rule is None or self._writes.owners:
            return self._unusual(func, args, kwargs or {})
        out = func(*args, **kwargs) if kwargs else func(*args)
        if rule and self._recording:
            taped = self._taped
            for a in args:
                if id(a) in taped or (a.__class__ is list and not taped.isdisjoint(map(id, a))):
                    self._record(func, rule, args, kwargs or {}, out)
                    break
        return out

    def _record(self, func: Any, rule: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
        self._entries.append((func, rule, args, kwargs, out))
        taped = self._taped
        for y in out if isinstance(out, (list, tuple)) else (out,):
            if not isinstance(y, Tensor):
                continue
            if y.dtype.is_floating_point:
                taped.add(id(y))
            elif y.dtype.is_complex:
                raise MissingRule(f"{func} at {caller()} gives complex numbers, whose gradients are not supported: detach what goes in")

    def _unusual(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """An operation met for the first time, one that writes in place, one without a rule, or any once views were written into."""
        if not self._recording:
            return func(*args, **kwargs)
        if func._schema.is_mutable:
            return self._write(func, args, kwargs)
        rule = self._rule(func)
        if self._writes.owners:
            self._writes.check(func, tensors(args, kwargs))
        taped = rule != () and any(id(a) in self._taped for a in tensors(args, kwargs))
        if taped and rule is None:
            if (pieces := in_pieces(func)) is not None:
                with self._again():
                    out = pieces(*args, **kwargs)
                if out is not NotImplemented:
                    return out
            fused = any(name in func._schema.name for name in FUSED)
            rule = Missing(func, "is a fused kernel: swap the model for its twins first, then tape it" if fused else "has no gradient rule")
        out = func(*args, **kwargs)
        if taped:
            self._record(func, rule, args, kwargs, out)
        if self._writes.owners:
            self._writes.inherit(tensors(out))
        return out

    def _rule(self, func: Any) -> Any:
        """The rule of an operation, () if it gives constants, None if it has none."""
        rule = self._table.get(func, () if func in CONSTANT else None)
        if rule is not None:
            self._rules[id(func)] = rule
        return rule

    @contextmanager
    def _again(self) -> Iterator[None]:
        """Sees operations again while one is being handled."""
        super().__enter__()
        try:
            yield
        finally:
            super().__exit__(None, None, None)

    def _write(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """An operation in place, see `writes`."""
        targets, taped, position = written(func, args, kwargs), self._taped, len(self._entries)
        by = f"{func} at {caller()}"
        for x in targets:
            if id(x) in self._watched and func not in LEAVES_STAY_LEAVES:
                raise OverwrittenTensor(f"{by} writes into {self._watched[id(x)][1]}, which is watched: do it outside of the tape's block")
        if self._writes.owners:
            self._writes.check(func, tensors(args, kwargs))
        flows = any(id(x) in taped for x in tensors(args, kwargs))
        if not flows or func in LEAVES_STAY_LEAVES or all(id(x) in self._buffers for x in targets):
            for x in targets:
                self._writes.note(x, position, by)
            return func(*args, **kwargs)
        rule = rule_of_write(func, self._table)
        if rule is None or len(targets) != 1:
            raise OverwrittenTensor(f"{by} writes in place into or from a taped tensor and has no rule: use its form out of place")
        target = targets[0]
        if not target.is_floating_point():
            return func(*args, **kwargs)
        before = self._writes.record(func, args, target, self._entries)
        for stand_in, old in zip(before, args, strict=True):
            if stand_in is not old and id(old) in taped:
                taped.add(id(stand_in))
        func(*args, **kwargs)
        self._record(func, rule, before, kwargs, target)
        return target

    # -- what is asked of it

    def gradient(self, output: Tensor, targets: Any = None, output_gradient: Tensor | None = None, *, allow_unused: bool = False) -> Any:
        """Gradient of one recorded tensor with respect to others.

        Args:
            output: the tensor to differentiate; a single number, unless `output_gradient` is given.
            targets: a tensor, a list or dictionary of tensors, a module for all its parameters; all that is watched by default.
            output_gradient: weight of each element of `output`, in its shape.
            allow_unused: None for a target without influence on `output`, instead of an error.

        Returns:
            A tensor for a tensor, a list for a list, a dictionary by name for a dictionary, a module and by default.

        Raises:
            MissingRule: the gradient reached an operation that the table does not know.
            OverwrittenTensor: a formula needs a tensor as it was before it was written in place.
            UnreachedTensor: `output` does not depend on a target, or on anything watched.
            TapeError: the recording has been used and was not kept.
        """
        if isinstance(targets, Tensor):
            return self._gradients(output, {"target": targets}, output_gradient, allow_unused)["target"]
        if targets is None:
            named = {name: x for x, name in self._watched.values()}
        elif isinstance(targets, nn.Module):
            named = {name: p for name, p in targets.named_parameters() if p.requires_grad}
        elif isinstance(targets, Mapping):
            named = dict(targets)
        else:
            found = self._gradients(output, {str(i): x for i, x in enumerate(targets)}, output_gradient, allow_unused)
            return list(found.values())
        return self._gradients(output, named, output_gradient, allow_unused)

    def backward(self, output: Tensor, output_gradient: Tensor | None = None, *, allow_unused: bool = False) -> None:
        """Add the gradient of `output` to `.grad` of everything watched, as `output.backward()` does.

        Raises:
            As `gradient`.
        """
        found = self.gradient(output, None, output_gradient, allow_unused=allow_unused)
        taken: set[int] = set() if output_gradient is None else {storage(output_gradient)}
        with torch.no_grad():
            for x, name in self._watched.values():
                g = found[name]
                if g is None:
                    continue
                if x.grad is not None:
                    x.grad.add_(g)
                    continue
                # a gradient may be a view, or two parameters may have got the same: each is to own its memory, laid out as x is
                shared = storage(g) in taken or g.stride() != x.stride() or g.untyped_storage().nbytes() != g.numel() * g.element_size()
                x.grad = torch.empty_like(x, requires_grad=False).copy_(g) if shared else g
                taken.add(storage(g))

    def _gradients(self, output: Tensor, targets: dict[str, Tensor], seed: Tensor | None, allow_unused: bool) -> dict[str, Any]:
        self._check(output, targets)
        if seed is None:
            if output.numel() != 1:
                raise TapeError(
                    f"output has shape {tuple(output.shape)}: give an output_gradient of that shape, or reduce it to one number"
                )
            seed = torch.ones_like(output)
        elif seed.shape != output.shape:
            raise TapeError(f"output_gradient has shape {tuple(seed.shape)}, output has {tuple(output.shape)}")
        was, self._recording = self._recording, False
        entries = list(self._entries) if self.persistent else self._entries
        try:
            with torch.no_grad(), _autocast_off(output):
                found = go_back(entries, output, seed, {id(x) for x in targets.values()}, self._taped, self._writes)
        finally:
            if self.persistent:
                self._recording = was
            else:
                self._start()
                self._used = True
        results = {}
        for name, x in targets.items():
            g = results[name] = found.get(id(x))
            if g is None and not allow_unused:
                who = self._name(x, name)
                raise UnreachedTensor(
                    f"output does not depend on {who}: leave it out, pass allow_unused=True, or look where it is detached"
                )
        return results

    def _name(self, x: Tensor, name: str) -> str:
        return self._watched[id(x)][1] if id(x) in self._watched else f"{name} of shape {tuple(x.shape)}"

    def _check(self, output: Tensor, targets: dict[str, Tensor]) -> None:
        """Raise unless the recording can answer."""
        if self._used:
            raise TapeError(
                "this recording was used and dropped by an earlier gradient: record anew, or make the tape with persistent=True"
            )
        for name, x in targets.items():
            if id(x) not in self._taped:
                raise UnreachedTensor(f"{self._name(x, name)} is not on the tape: watch it before it is used")
        if id(output) not in self._taped:
            names = ", ".join(name for _, name in self._watched.values()) or "anything (nothing is watched)"
            where = "was not computed within the tape's block, or is detached"
            raise UnreachedTensor(f"output of shape {tuple(output.shape)} does not depend on {names}: it {where}")
        for x, version in self._versions:
            if x._version != version:
                self._writes.note(x, len(self._entries), "an operation in place after the tape's block")


def _autocast_off(x: Tensor) -> Any:
    """Rules run in the types that were recorded."""
    kind = x.device.type
    return (
        torch.autocast(kind, enabled=False) if torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind) else nullcontext()
    )


def _refuse_module(name: str, module: nn.Module) -> None:
    if isinstance(module, nn.parallel.DistributedDataParallel):
        raise TapeError(
            f"{name or 'the model'} is DistributedDataParallel, which gathers gradients in hooks of torch's autograd: tape its .module"
        )
    if module._backward_hooks or module._backward_pre_hooks:
        raise TapeError(f"{name or 'the model'} has backward hooks, which only torch's autograd calls: remove them")
