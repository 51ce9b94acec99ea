"""Modules that hold modules or parameters, so that these are found: a plain list or dict would hide them from every walk."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from torch import Tensor

from rungbook.scratch.module.module import PARAMETERS, Module
from rungbook.scratch.module.parameter import Parameter


class _Listed(Module):
    """Parts in order, under the names "0", "1", and so on."""

    def _key(self, index: int) -> str:
        """The name of a part by its number, which may count from the end."""
        names = list(self._modules)
        index = operator.index(index)
        if not -len(names) <= index < len(names):
            raise IndexError(f"index {index} is out of range: {type(self).__name__} has {len(names)} modules")
        return names[index]

    def _set(self, modules: Iterable[Any]) -> None:
        """These parts, numbered anew."""
        parts = list(modules)
        self._modules.clear()
        for i, module in enumerate(parts):
            self.add_module(str(i), module)

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return self._like(list(self._modules.items())[index])
        return self._modules[self._key(index)]

    def _like(self, items: list[tuple[str, Any]]) -> Any:
        raise NotImplementedError

    def __setitem__(self, index: int, module: Module) -> None:
        self.__setattr__(self._key(index), module)

    def __delitem__(self, index: int | slice) -> None:
        names = list(self._modules)
        gone = set(names[index]) if isinstance(index, slice) else {self._key(index)}
        self._set(m for name, m in self._modules.items() if name not in gone)

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._modules.values())

    def append(self, module: Module) -> Any:
        """Add a part at the end."""
        self.add_module(str(len(self)), module)
        return self

    def insert(self, index: int, module: Module) -> Any:
        """Add a part before the one of that number."""
        parts = list(self)
        parts.insert(index, module)
        self._set(parts)
        return self

    def extend(self, modules: Iterable[Module]) -> Any:
        """Add several parts at the end."""
        for module in list(modules):
            self.append(module)
        return self

    def pop(self, index: int = -1) -> Any:
        """Take a part out."""
        module = self[index]
        del self[index]
        return module


class Sequential(_Listed):
    """Modules one after another, each on what the one before returns.

    Args:
        modules: in order, or one dict of them, whose keys become their names.
    """

    def __init__(self, *modules: Any) -> None:
        super().__init__()
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            for name, module in modules[0].items():
                self.add_module(name, module)
        else:
            self._set(modules)

    def _like(self, items: list[tuple[str, Any]]) -> Sequential:
        return type(self)(dict(items))

    def forward(self, input: Any) -> Any:
        for module in self:
            input = module(input)
        return input


class ModuleList(_Listed):
    """A list whose modules are found; it computes nothing itself.

    Args:
        modules: in order.
    """

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        super().__init__()
        self._set(modules)

    def _like(self, items: list[tuple[str, Any]]) -> ModuleList:
        return type(self)(module for _, module in items)

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return ModuleList([*self, *other])

    def _parts_repr(self) -> list[str]:
        """Parts that read the same one after another are told once, with their number."""
        runs: list[list[Any]] = []
        for i, module in enumerate(self):
            text = repr(module)
            if runs and runs[-1][2] == text:
                runs[-1][1] = i
            else:
                runs.append([i, i, text])
        counted = [(f"({a})", text) if a == b else (f"({a}-{b})", f"{b - a + 1} x {text}") for a, b, text in runs]
        return [f"{name}: {text}".replace("\n", "\n  ") for name, text in counted]


class ModuleDict(Module):
    """A dict whose modules are found; it computes nothing itself.

    Args:
        modules: by name.
    """

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] = ()) -> None:
        super().__init__()
        self.update(modules)

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """Add or replace several."""
        for name, module in dict(modules).items():
            self[name] = module

    def __getitem__(self, name: str) -> Any:
        return self._modules[name]

    def __setitem__(self, name: str, module: Module) -> None:
        self.add_module(name, module)

    def __delitem__(self, name: str) -> None:
        del self._modules[name]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, name: object) -> bool:
        return name in self._modules

    def keys(self) -> Iterable[str]:
        """Their names."""
        return self._modules.keys()

    def values(self) -> Iterable[Any]:
        """The modules."""
        return self._modules.values()

    def items(self) -> Iterable[tuple[str, Any]]:
        """Names and modules."""
        return self._modules.items()

    def pop(self, name: str) -> Any:
        """Take one out."""
        return self._modules.pop(name)

    def clear(self) -> None:
        """Take all out."""
        self._modules.clear()


class ParameterList(Module):
    """A list whose parameters are found.

    Args:
        values: parameters; other tensors become parameters.
    """

    def __init__(self, values: Iterable[Tensor] = ()) -> None:
        super().__init__()
        self.extend(values)

    def append(self, value: Tensor) -> ParameterList:
        """Add one at the end."""
        self.register_parameter(str(len(self)), self._parameter(value))
        return self

    def extend(self, values: Iterable[Tensor]) -> ParameterList:
        """Add several at the end."""
        for value in list(values):
            self.append(value)
        return self

    @staticmethod
    def _parameter(value: Any) -> Any:
        if not isinstance(value, Tensor):
            raise TypeError(f"a ParameterList holds tensors, not {type(value).__name__}")
        return value if isinstance(value, PARAMETERS) else Parameter(value)

    def _key(self, index: int) -> str:
        index = operator.index(index)
        if not -len(self) <= index < len(self):
            raise IndexError(f"index {index} is out of range: there are {len(self)} parameters")
        return str(index % len(self))

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return type(self)(list(self)[index])
        return self._parameters[self._key(index)]

    def __setitem__(self, index: int, value: Tensor) -> None:
        self._parameters[self._key(index)] = self._parameter(value)

    def __len__(self) -> int:
        return len(self._parameters)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._parameters.values())

    def _parts_repr(self) -> list[str]:
        def shown(p: Tensor) -> str:
            return f"Parameter containing: [{p.dtype} of size {'x'.join(map(str, p.shape))}]"

        return [f"  ({name}): {shown(p)}" for name, p in self._parameters.items()]
