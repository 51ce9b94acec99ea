"""Our layers in torch's place, in any model: `swap(model)`.

A twin holds exactly the attributes that torch's layer holds, so a layer is swapped by giving it another class. Its parameters, buffers,
hooks and mode stay the very same objects: an optimiser made before goes on, tied weights stay tied, a checkpoint still fits.

A twin is a `torch.nn.Module` and no subclass of torch's layer. Code that looks for torch's classes (`isinstance(m, nn.Linear)`, torch's
`update_bn`, `convert_sync_batchnorm`, `quantize_dynamic`) passes over it without a word: give it the model before `swap`, or `unswap` it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from torch import nn
from torch.nn.utils import parametrize

from rungbook.scratch.twins import TWINS

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict, parametrize.ParametrizationList)
"""Hold layers or parameters and compute nothing."""


@dataclass(frozen=True)
class SwapReport:
    """Which parts of a model are ours.

    Args:
        swapped: name of the part in the model ("" for the model itself) -> its class, for our layers.
        left: the same for what is not ours: layers without a twin, and modules that hold parameters or buffers of their own.
    """

    swapped: dict[str, str]
    left: dict[str, str]

    def __str__(self) -> str:
        def counted(parts: dict[str, str]) -> str:
            return ", ".join(f"{n} {kind}" for kind, n in Counter(parts.values()).most_common()) or "none"

        return f"swapped: {counted(self.swapped)}\nleft alone: {counted(self.left)}"


def swap(model: nn.Module, only: Collection[type[nn.Module]] | type[nn.Module] | None = None, strict: bool = False) -> nn.Module:
    """Turn the torch layers of a model into ours, in place.

    Args:
        model: any module; subclasses of torch's layers are left alone, for they may compute something else.
        only: torch classes to swap, or one; all that have a twin if None.
        strict: refuse a model of which a part would be left alone.

    Returns:
        The model itself.

    Raises:
        TypeError: `model` is no module.
        ValueError: `only` names a class without a twin, or `strict` and something has none; the model is then as it was.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model is {model!r}, it must be a torch.nn.Module")
    only = (only,) if isinstance(only, type) else only
    for cls in only or ():
        if cls not in TWINS:
            near = get_close_matches(getattr(cls, "__name__", str(cls)), [t.__name__ for t in TWINS], n=1)
            raise ValueError(f"only holds {cls!r}, which has no twin" + (f"; did you mean torch.nn.{near[0]}?" if near else ""))
    if strict and (left := {name: kind for name, kind in _left(model) if not _twin_of(model.get_submodule(name))}):
        listing = "\n".join(f"  {name or '(the model)'}: {kind}" for name, kind in left.items())
        raise ValueError(f"{len(left)} parts have no twin:\n{listing}")
    for module in list(model.modules()):
        twin = _twin_of(module)
        if twin is not None and (only is None or _torch_class(module) in only):
            module.__class__ = twin
    return model


def swap_report(model: nn.Module) -> SwapReport:
    """Which parts of a model are ours, and which are not."""
    ours = set(TWINS.values())
    swapped = {name: type(m).__name__ for name, m in model.named_modules() if ours & set(type(m).__mro__)}
    return SwapReport(swapped, dict(_left(model)))


def _left(model: nn.Module) -> Iterator[tuple[str, str]]:
    ours = set(TWINS.values())
    for name, module in model.named_modules():
        own = [*module._parameters.values(), *module._buffers.values()]
        computes = not list(module.children()) or any(x is not None for x in own)
        if computes and not isinstance(module, CONTAINERS) and not ours & set(type(module).__mro__):
            yield name, type(module).__name__


def _torch_class(module: nn.Module) -> type[nn.Module]:
    """The class of a layer; one with parametrized weights has been given a class of its own."""
    return parametrize.type_before_parametrizations(module)


def _twin_of(module: nn.Module) -> type[nn.Module] | None:
    """The class that a module is to get, if it is a torch layer with a twin."""
    twin = TWINS.get(_torch_class(module))
    return twin and _dressed(module, twin)


def _dressed(module: nn.Module, cls: type[nn.Module]) -> type[nn.Module]:
    """The class itself, or with the properties that a layer with parametrized weights has for them."""
    if not parametrize.is_parametrized(module):
        return cls
    made: Any = type(module)  # Parametrized<Layer>
    return type(made.__name__, (cls,), {k: v for k, v in vars(made).items() if k not in ("__dict__", "__weakref__")})


def unswap(model: nn.Module) -> nn.Module:
    """Turn our layers back into torch's, in place: for tools that know torch's classes only."""
    back = {ours: theirs for theirs, ours in TWINS.items()}
    for module in model.modules():
        theirs = back.get(_torch_class(module))
        if theirs is not None:
            module.__class__ = _dressed(module, theirs)
    return model
