"""Parametrizations: a layer's weight as a function of other tensors, which are trained in its place; `torch.nn.utils.parametrize` by hand.

The layer gets a class of its own, in which the weight's name is a property: reading it computes the function. What it is computed from
lies in the layer's `parametrizations`, under torch's names (`parametrizations.weight.original`, or `.original0`, `.original1`, ...).
Torch's context `cached` has no counterpart here: the weight is computed at every reading.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module, ModuleDict, ModuleList, Parameter


class ParametrizationList(ModuleList):
    """The parametrizations of one tensor, applied one after another, and the tensors they start from.

    Args:
        modules: each maps tensors to the next one's input; its `right_inverse`, where it has one, maps back.
        original: the tensor as it was.
        unsafe: whether shape and type may change.

    Raises:
        ValueError: there are no modules, or what they compute has another shape or type.
    """

    def __init__(self, modules: Sequence[Module], original: Tensor, unsafe: bool = False) -> None:
        if not modules:
            raise ValueError("ParametrizationList: no modules, at least one parametrization is needed")
        super().__init__(modules)
        self.unsafe = unsafe
        shape, dtype = original.shape, original.dtype
        with torch.no_grad():
            start = self._inverted(original)
        self.is_tensor = isinstance(start, Tensor)
        self.ntensors = 1 if self.is_tensor else len(start)
        if isinstance(start, Tensor):
            _same_kind("right_inverse", start, original.shape if not unsafe else None, original.dtype)
            _become(original, start)
            _register(self, "original", original)
        else:
            for i, part in enumerate(start):
                part = Parameter(part, original.requires_grad) if isinstance(original, Parameter) else part
                _register(self, f"original{i}", part.requires_grad_(original.requires_grad))
        if not unsafe:
            _same_kind("parametrization", self(), shape, dtype)

    def right_inverse(self, value: Tensor) -> None:
        """Set the tensors that are trained so that the result is this value.

        Raises:
            RuntimeError: a parametrization has no way back.
            ValueError: what comes out has another type or number.
        """
        with torch.no_grad():
            for module in self:
                if not hasattr(module, "right_inverse"):
                    raise RuntimeError(f"{type(module).__name__} has no right_inverse, its result cannot be assigned to")
            found = self._inverted(value)
            parts = [found] if isinstance(found, Tensor) else list(found)
            if len(parts) != self.ntensors:
                raise ValueError(f"right_inverse: {len(parts)} tensors came out, {self.ntensors} are needed")
            for original, part in zip(self._originals(), parts, strict=True):
                _same_kind("right_inverse", part, None, original.dtype)
                _become(original, part)

    def forward(self) -> Tensor:
        first, *others = self
        x = first(*self._originals())
        for module in others:
            x = module(x)
        return x

    def _originals(self) -> list[Tensor]:
        names = ["original"] if self.is_tensor else [f"original{i}" for i in range(self.ntensors)]
        return [getattr(self, name) for name in names]

    def _inverted(self, value: Any) -> Any:
        """Back through all parametrizations; one without a way back is left out."""
        for module in reversed(list(self)):
            back: Callable[..., Any] | None = getattr(module, "right_inverse", None)
            if back is not None:
                with suppress(NotImplementedError):
                    value = back(value)
        return value


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether a layer has a parametrization, of this tensor or (None) of any."""
    found = module._modules.get("parametrizations")
    if not isinstance(found, ModuleDict):
        return False
    return len(found) > 0 if tensor_name is None else tensor_name in found


def register_parametrization(module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False) -> Module:
    """Compute a layer's parameter or buffer by a parametrization from now on; a further one is applied to the result of those before.

    Args:
        module: the layer, which is changed.
        tensor_name: as "weight".
        parametrization: its forward gives the tensor; its `right_inverse`, if it has one, what to start from.
        unsafe: whether it may change shape and type.

    Returns:
        The layer.

    Raises:
        ValueError: the layer has no such tensor, or shape or type would change.
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        chain = _chains(module)[tensor_name]
        if not unsafe:
            now = getattr(module, tensor_name)
            then = parametrization(now)
            _same_kind("parametrization", then, now.shape, now.dtype)
            back = getattr(parametrization, "right_inverse", None)
            if back is not None:
                _same_kind("right_inverse", back(then), now.shape, now.dtype)
        chain.append(parametrization)
        chain.unsafe |= unsafe
        return module
    if tensor_name not in module._parameters and tensor_name not in module._buffers:
        raise ValueError(f"{type(module).__name__} has no parameter or buffer {tensor_name!r} to parametrize")
    chain = ParametrizationList([parametrization], getattr(module, tensor_name), unsafe)
    delattr(module, tensor_name)
    if not is_parametrized(module):
        module.__class__ = _class_of_its_own(type(module))
        module.parametrizations = ModuleDict()
    setattr(type(module), tensor_name, _property(tensor_name))
    _chains(module)[tensor_name] = chain
    return module


def remove_parametrizations(module: Module, tensor_name: str, leave_parametrized: bool = True) -> Module:
    """Give a layer an ordinary tensor again.

    Args:
        module: the layer, which is changed.
        tensor_name: as "weight".
        leave_parametrized: whether the tensor keeps the value that was computed; else it becomes what that was computed from.

    Raises:
        ValueError: the tensor is not parametrized, or was computed from several and none of them is to be left.
    """
    if not is_parametrized(module, tensor_name):
        raise ValueError(f"{type(module).__name__} has no parametrization of {tensor_name!r}")
    chain = _chains(module)[tensor_name]
    if chain.is_tensor:
        tensor = chain.original
        if leave_parametrized:
            _become(tensor, getattr(module, tensor_name))  # the same object stays, so optimisers need not know
    elif leave_parametrized:
        value = getattr(module, tensor_name)
        tensor = Parameter(value.detach()) if value.requires_grad else value
    else:
        raise ValueError(f"{tensor_name!r} is computed from {chain.ntensors} tensors, none of which can stand for it (leave_parametrized)")
    delattr(type(module), tensor_name)
    del _chains(module)[tensor_name]
    _register(module, tensor_name, tensor)
    if not is_parametrized(module):
        del module.parametrizations
        module.__class__ = type(module).__bases__[0]
    return module


def _chains(module: Module) -> Any:
    """A layer's `parametrizations`: tensor name -> ParametrizationList."""
    return module._modules["parametrizations"]


def _become(tensor: Any, value: Tensor) -> None:
    """Let a tensor take over another one's memory and shape; it stays the same object."""
    with torch.no_grad():
        tensor.set_(value)


def _property(name: str) -> property:
    def compute(module: Module) -> Tensor:
        return _chains(module)[name]()

    def assign(module: Module, value: Tensor) -> None:
        _chains(module)[name].right_inverse(value)

    return property(compute, assign)


def _class_of_its_own(cls: type[Module]) -> type[Module]:
    """A subclass for one layer, since properties belong to classes. It cannot be found by name, hence neither pickled."""

    def deepcopy(self: Module, memo: dict[int, Any]) -> Module:
        memo[id(self)] = replica = self.__new__(type(self))
        replica.__dict__ = copy.deepcopy(self.__dict__, memo)
        return replica

    def getstate(self: Module) -> None:
        raise RuntimeError(f"{type(self).__name__} cannot be pickled; save its state_dict()")

    methods: dict[str, Any] = {"__getstate__": getstate}
    if not hasattr(cls, "__deepcopy__"):
        methods["__deepcopy__"] = deepcopy
    return type(f"Parametrized{cls.__name__}", (cls,), methods)


def _register(module: Module, name: str, tensor: Tensor) -> None:
    if isinstance(tensor, Parameter):
        module.register_parameter(name, tensor)
    else:
        module.register_buffer(name, tensor)


def _same_kind(what: str, found: Any, shape: torch.Size | None, dtype: torch.dtype) -> None:
    """Raise unless something is a tensor of this shape (None: any) and type."""
    if not isinstance(found, Tensor):
        raise ValueError(f"{what}: a {type(found).__name__} came out, a tensor is needed")  # noqa: TRY004, as torch
    if found.dtype != dtype or (shape is not None and found.shape != shape):
        needed = f"{dtype}" if shape is None else f"{dtype} {tuple(shape)}"
        raise ValueError(f"{what}: {found.dtype} {tuple(found.shape)} came out, {needed} is needed (unsafe=True allows another)")
