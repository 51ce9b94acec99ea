"""Saving and loading: a module's tensors by dotted name, and back again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rungbook.scratch.module.hooks import Handle
from rungbook.scratch.module.parameter import Parameter


class IncompatibleKeys(NamedTuple):
    """What did not match.

    Args:
        missing_keys: the module has them, the state dict does not.
        unexpected_keys: the state dict has them, the module does not.
    """

    missing_keys: list[str]
    unexpected_keys: list[str]


class StateDict:
    """The part of a module that saves and loads; everything else is in `Module`."""

    STATE_HOOKS = ("_save_pre_hooks", "_save_hooks", "_load_pre_hooks", "_load_hooks")

    _parameters: dict[str, Any]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Any]
    _not_saved: set[str]
    _save_pre_hooks: dict[int, Any]
    _save_hooks: dict[int, Any]
    _load_pre_hooks: dict[int, Any]
    _load_hooks: dict[int, Any]

    def _saved(self) -> dict[str, Any]:
        """Its own parameters and persistent buffers, those there are."""
        buffers = {name: b for name, b in self._buffers.items() if name not in self._not_saved}
        return {name: x for name, x in {**self._parameters, **buffers}.items() if x is not None}

    def state_dict(self, *, destination: dict[str, Any] | None = None, prefix: str = "", keep_vars: bool = False) -> dict[str, Any]:
        """All parameters and persistent buffers by dotted name; a tensor that is shared comes under each of its names.

        Args:
            destination: a dict to add them to.
            prefix: put before each name.
            keep_vars: give the parameters themselves, not tensors of the same memory without a gradient.
        """
        destination = {} if destination is None else destination
        for hook in self._save_pre_hooks.values():
            hook(self, prefix, keep_vars)
        for name, x in self._saved().items():
            destination[prefix + name] = x if keep_vars else x.detach()
        for name, module in self._modules.items():
            if module is not None:
                module.state_dict(destination=destination, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
        for hook in self._save_hooks.values():
            hook(self, destination, prefix, {})
        return destination

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> IncompatibleKeys:
        """Copy tensors in by name. Everything is checked first: if it raises, nothing has changed.

        Args:
            state_dict: name -> tensor, as `state_dict` gives it.
            strict: refuse names that are missing or unexpected.
            assign: put the given tensors themselves in place, with their type and device, instead of copying numbers.

        Returns:
            Names that are missing and unexpected.

        Raises:
            TypeError: no mapping.
            RuntimeError: names (if strict) or shapes do not match; all of them are told at once.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"load_state_dict needs a mapping from names to tensors, not {type(state_dict).__name__}")
        state = dict(state_dict)
        missing: list[str] = []
        unexpected: list[str] = []
        errors: list[str] = []
        placed: list[tuple[StateDict, str, Tensor]] = []
        known: set[str] = set()
        self._match(state, "", strict, (missing, unexpected, errors), placed, known)
        unexpected += [key for key in state if key not in known and key not in unexpected]
        if strict and missing:
            errors.append(f"missing: {', '.join(missing)}")
        if strict and unexpected:
            errors.append(f"unexpected: {', '.join(unexpected)}")
        if errors:
            raise RuntimeError(f"state_dict does not fit {type(self).__name__}:\n  " + "\n  ".join(errors))
        for module, name, tensor in placed:
            module._place(name, tensor, assign)
        result = IncompatibleKeys(missing, unexpected)
        self._loaded(result)
        return result

    def _match(
        self,
        state: dict[str, Any],
        prefix: str,
        strict: bool,
        problems: tuple[list[str], list[str], list[str]],
        placed: list[tuple[StateDict, str, Tensor]],
        known: set[str],
    ) -> None:
        """Find a tensor for each of its own and its parts' names."""
        missing, unexpected, errors = problems
        for hook in self._load_pre_hooks.values():
            hook(self, state, prefix, {}, strict, missing, unexpected, errors)
        for name, x in self._saved().items():
            key = prefix + name
            known.add(key)
            given = state.get(key)
            if key not in state:
                missing.append(key)
            elif not isinstance(given, Tensor):
                errors.append(f"{key}: {type(given).__name__} given, a tensor is needed")
            elif given.shape != x.shape:
                errors.append(f"{key}: shape {tuple(given.shape)} given, {tuple(x.shape)} needed")
            else:
                placed.append((self, name, given))
        for name, module in self._modules.items():
            if module is not None:
                module._match(state, f"{prefix}{name}.", strict, problems, placed, known)

    def _place(self, name: str, tensor: Tensor, assign: bool) -> None:
        is_parameter = name in self._parameters
        current: Any = self._parameters[name] if is_parameter else self._buffers[name]
        if not assign:
            with torch.no_grad():
                current.copy_(tensor)
        elif is_parameter:
            self._parameters[name] = tensor if isinstance(tensor, Parameter) else Parameter(tensor, current.requires_grad)
        else:
            self._buffers[name] = tensor

    def _loaded(self, keys: IncompatibleKeys) -> None:
        for module in self._modules.values():
            if module is not None:
                module._loaded(keys)
        for hook in self._load_hooks.values():
            hook(self, keys)

    def register_state_dict_pre_hook(self, hook: Callable[..., Any]) -> Handle:
        """Call `hook(module, prefix, keep_vars)` before its tensors are collected."""
        return Handle(self._save_pre_hooks, hook)

    def register_state_dict_post_hook(self, hook: Callable[..., Any]) -> Handle:
        """Call `hook(module, state_dict, prefix, metadata)` after its tensors were collected; it may change the dict."""
        return Handle(self._save_hooks, hook)

    def register_load_state_dict_pre_hook(self, hook: Callable[..., Any]) -> Handle:
        """Call `hook(module, state_dict, prefix, metadata, strict, missing, unexpected, errors)` before names are matched.

        It may rename keys of the dict, which is a copy, and add to the three lists.
        """
        return Handle(self._load_pre_hooks, hook)

    def register_load_state_dict_post_hook(self, hook: Callable[..., Any]) -> Handle:
        """Call `hook(module, incompatible_keys)` after loading."""
        return Handle(self._load_hooks, hook)
