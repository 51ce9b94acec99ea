"""Hooks that go when they should: functions torch calls as data passes through a layer, held by a `with` block.

A forward hook sees a layer's inputs and output, a backward hook the gradients of its inputs and output. Both are torch's own; what is added
is that they never stay behind, that they keep what they found, and that layers are chosen by name. Forward hooks work with our layers and
under a `Tape` too. Backward hooks are called by torch's autograd alone: a `Tape` refuses a model that has them, and `Hook` says so when a
model runs in training without autograd.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any, Self

import torch
from torch import nn

from rungbook.errors import UsageError, did_you_mean

Look = Callable[[nn.Module, Any, Any], Any]
"""(layer, inputs, output) -> what is to be kept; backward: (layer, gradients of the inputs, gradients of the output)."""
Which = str | type[nn.Module] | nn.Module | Iterable[str | type[nn.Module] | nn.Module] | None
"""Layers by name ("layer1.*" as in a shell), class or themselves; None: those that compute something of their own."""

SILENT = ("Identity", "Flatten", "Unflatten", "Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout", "FeatureAlphaDropout")
"""Layers that compute nothing which the one before did not show; by name, so that those by hand are meant too."""


def choose_layers(model: nn.Module, which: Which = None) -> dict[str, nn.Module]:
    """Layers of a model by name, in the model's order; the model itself is called by its class.

    Args:
        model: any module.
        which: see `Which`; None chooses every layer without layers in it, but for those of `SILENT`.

    Raises:
        UsageError: E201 nothing in the model is meant by one of the names, classes or layers.
    """
    named = {name or type(model).__name__: module for name, module in model.named_modules()}
    if which is None:
        leaves = {name: m for name, m in named.items() if _is_leaf(m) and type(m).__name__ not in SILENT}
        return leaves or named
    wishes = [which] if isinstance(which, str | type | nn.Module) else list(which)
    chosen: dict[str, nn.Module] = {}
    for wish in wishes:
        found = {name: m for name, m in named.items() if _meant(wish, name, m)}
        if not found:
            if isinstance(wish, str):
                raise UsageError("E201", f'The model has no layer "{wish}".', did_you_mean(wish, named))
            kinds = ", ".join(sorted({type(m).__name__ for m in named.values()}))
            what = wish.__name__ if isinstance(wish, type) else f"layer {wish}"
            raise UsageError("E201", f"The model has no {what}.", f"It is made of {kinds}.")
        chosen |= found
    return {name: m for name, m in named.items() if name in chosen}


def _is_leaf(module: nn.Module) -> bool:
    """No layers inside; what computes a weight is none."""
    return not [name for name, _ in module.named_children() if name != "parametrizations"] and not isinstance(module, nn.ParameterList)


def _meant(wish: Any, name: str, module: nn.Module) -> bool:
    if isinstance(wish, str):
        return fnmatchcase(name, wish)
    return isinstance(module, wish) if isinstance(wish, type) else module is wish


class Hook:
    """One hook on one layer, from its making until `remove`, or the end of its `with` block.

    Args:
        module: the layer.
        look: is called with layer, inputs and output; what it returns, unless None, is kept in `found`. The layer's output is never
            replaced by it.
        backward: whether gradients are looked at in place of outputs.
    """

    def __init__(self, module: nn.Module, look: Look, *, backward: bool = False) -> None:
        self.module, self.look, self.found = module, look, list[Any]()
        self._handles = [module.register_full_backward_hook(self._call)] if backward else [module.register_forward_hook(self._call)]
        if backward:
            self._handles.append(module.register_forward_pre_hook(_needs_autograd))

    def _call(self, module: nn.Module, inputs: Any, output: Any) -> None:
        value = self.look(module, inputs, output)
        if value is not None:
            self.found.append(value)

    def remove(self) -> None:
        """Take the hook off the layer; what it found stays."""
        for handle in self._handles:
            handle.remove()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


def _needs_autograd(module: nn.Module, _: Any) -> None:
    if module.training and not torch.is_grad_enabled():
        raise RuntimeError(
            f"{type(module).__name__} has a backward hook and runs in training without torch's autograd (under a Tape, or within "
            "no_grad), which alone calls it. Look forward (backward=False), or take gradients from the tape."
        )


class Hooks:
    """A hook on each of several layers: `with Hooks(model, look) as hooks: model(x); hooks["conv1"].found`.

    Args:
        model: whose layers are meant, or layers by name.
        look: as for `Hook`.
        layers: which, see `choose_layers`; only where a model is given.
        backward: as for `Hook`.

    Raises:
        UsageError: E201 from `choose_layers`; no hook is then left.
    """

    def __init__(self, model: nn.Module | Mapping[str, nn.Module], look: Look, *, layers: Which = None, backward: bool = False) -> None:
        chosen = choose_layers(model, layers) if isinstance(model, nn.Module) else model
        self._hooks = {name: Hook(module, look, backward=backward) for name, module in chosen.items()}

    def __getitem__(self, name: str) -> Hook:
        return self._hooks[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._hooks)

    def __len__(self) -> int:
        return len(self._hooks)

    def items(self) -> Iterable[tuple[str, Hook]]:
        """Layer names and their hooks."""
        return self._hooks.items()

    def remove(self) -> None:
        """Take all hooks off."""
        for hook in self._hooks.values():
            hook.remove()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


def replace_layers(model: nn.Module, which: Which, make: Callable[[Any], nn.Module]) -> int:
    """Put other layers in the place of some, as RunningBatchNorm for BatchNorm2d; gives how many were replaced.

    A layer used at several places is replaced by one. The new ones take the old ones' mode, and device and type of their first weight;
    weights are not copied, as the new layer may have none like them.

    Args:
        model: is changed; make optimisers afterwards.
        which: the layers, see `Which`; by class also those of its subclasses.
        make: old layer -> new one.

    Raises:
        UsageError: E201 the model has none of them; E202 the model itself is meant, which has no place to be replaced at.
    """
    chosen = {id(m): m for m in choose_layers(model, which).values()}
    if id(model) in chosen:
        raise UsageError("E202", f"{type(model).__name__} is the whole model, its layers can be replaced.", "Name layers of it.")
    made: dict[int, nn.Module] = {}
    for parent in list(model.modules()):
        for name, child in list(parent._modules.items()):  # named_children leaves out a layer's second place
            if child is None or id(child) not in chosen:
                continue
            if id(child) not in made:
                new = make(child).train(child.training)
                weight = next((t for t in (*child.parameters(), *child.buffers()) if t.is_floating_point()), None)
                made[id(child)] = new if weight is None else new.to(weight.device, weight.dtype)
            setattr(parent, name, made[id(child)])
    return len(made)
