"""What a layer and a model are made of: an object that knows its parameters, buffers and parts by name.

Assigning does it all: `self.weight = Parameter(...)`, `self.encoder = Encoder()`. `__setattr__` looks at what is assigned and keeps
parameters, buffers and modules in three dicts, `__getattr__` finds them there, and every walk over a model goes through these dicts. Names
and results are torch's; differences: `load_state_dict` checks everything before it changes anything, and hooks that must always be called,
extra state and scripting are left out. Hooks on gradients belong to torch's engine; under our tape, below it, they are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

from rungbook.scratch.autograd.faults import TapeError
from rungbook.scratch.autograd.tape import Tape
from rungbook.scratch.module.hooks import Handle, through
from rungbook.scratch.module.parameter import Parameter
from rungbook.scratch.module.state import StateDict

PARAMETERS = (Parameter, torch.nn.Parameter)
"""What counts as a parameter: ours, and torch's for weights that come from there."""

TABLES = ("_parameters", "_buffers", "_modules")
HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")

Self = TypeVar("Self", bound="Module")


class Module(StateDict):
    """Base class of layers and models: give it parameters and parts in `__init__`, and a `forward`."""

    training: bool
    _parameters: dict[str, Any]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Any]

    def __init__(self) -> None:
        for name in (*TABLES, *HOOKS, *self.STATE_HOOKS):
            self.__dict__[name] = {}
        self.__dict__["_not_saved"] = set()  # names of buffers that stay out of state_dict
        self.__dict__["training"] = True

    def forward(self, *inputs: Any, **options: Any) -> Any:
        """What the module computes; called through the module itself, so that hooks are called as well."""
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    # names

    def __setattr__(self, name: str, value: Any) -> None:
        table = "_parameters" if isinstance(value, PARAMETERS) else "_modules" if isinstance(value, Module) else None
        if table is not None:
            if "_parameters" not in self.__dict__:
                raise AttributeError(f"{type(self).__name__}.{name} is assigned before super().__init__() was called")
            for other in TABLES:
                if other != table:
                    self.__dict__[other].pop(name, None)
            self.__dict__.pop(name, None)
            self._not_saved.discard(name)
            self.__dict__[table][name] = value
            return
        for table in TABLES:
            if name in self.__dict__.get(table, ()):
                if value is not None and not (table == "_buffers" and isinstance(value, Tensor)):
                    kind = {"_parameters": "a parameter", "_buffers": "a buffer", "_modules": "a module"}[table]
                    needed = {"_parameters": "a Parameter", "_buffers": "a tensor", "_modules": "a Module"}[table]
                    raise TypeError(f"{name} is {kind} of {type(self).__name__}: assign {needed} or None, not {type(value).__name__}")
                self.__dict__[table][name] = value
                return
        object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Any:
        for table in TABLES:
            if name in self.__dict__.get(table, ()):
                return self.__dict__[table][name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __delattr__(self, name: str) -> None:
        for table in TABLES:
            if name in self.__dict__[table]:
                del self.__dict__[table][name]
                self._not_saved.discard(name)
                return
        object.__delattr__(self, name)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._parameters, *self._buffers, *self._modules})

    def _check_name(self, name: str, table: str) -> None:
        if not isinstance(name, str):
            raise TypeError(f"a name must be a string, not {type(name).__name__}")
        if not name or "." in name:
            raise KeyError(f"name {name!r}: it becomes part of a dotted path, so it cannot be empty or hold a dot")
        if hasattr(self, name) and name not in self.__dict__[table]:
            raise KeyError(f"{type(self).__name__} has an attribute {name!r} already")

    def register_parameter(self, name: str, param: Tensor | None) -> None:
        """Add a parameter by name; None keeps its place empty, as that of a bias that is not wanted."""
        self._check_name(name, "_parameters")
        if param is not None and not isinstance(param, PARAMETERS):
            raise TypeError(f"{name} must be a Parameter or None, not {type(param).__name__}")
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that moves with the module but is not learnt.

        Args:
            name: of the attribute.
            tensor: or None, to keep the place empty.
            persistent: whether it belongs into `state_dict`.
        """
        self._check_name(name, "_buffers")
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(f"{name} must be a tensor or None, not {type(tensor).__name__}")
        self._buffers[name] = tensor
        (self._not_saved.discard if persistent else self._not_saved.add)(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a part by name, which need not be one that Python could assign."""
        self._check_name(name, "_modules")
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"{name} must be a Module or None, not {type(module).__name__}")
        self._modules[name] = module

    register_module = add_module

    # walks

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Its parts, each once."""
        seen = set()
        for name, module in self._modules.items():
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def children(self) -> Iterator[Module]:
        """Its parts, each once."""
        return (module for _, module in self.named_children())

    def named_modules(
        self, memo: set[Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """Itself and all parts of parts, with dotted names; one that is used twice comes once, under its first name."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                yield from module.named_modules(memo, f"{prefix}.{name}" if prefix else name, remove_duplicate)

    def modules(self) -> Iterator[Module]:
        """Itself and all parts of parts."""
        return (module for _, module in self.named_modules())

    def _named(self, table: str, prefix: str, recurse: bool, remove_duplicate: bool) -> Iterator[tuple[str, Any]]:
        seen = set()
        modules = self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate) if recurse else [(prefix, self)]
        for path, module in modules:
            for name, tensor in module.__dict__[table].items():
                if tensor is None or id(tensor) in seen:
                    continue
                if remove_duplicate:
                    seen.add(id(tensor))
                yield f"{path}.{name}" if path else name, tensor

    def named_parameters(self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True) -> Iterator[tuple[str, Any]]:
        """All parameters with dotted names; one that is shared comes once, under its first name."""
        return self._named("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Any]:
        """All parameters, each once."""
        return (p for _, p in self.named_parameters(recurse=recurse))

    def named_buffers(self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True) -> Iterator[tuple[str, Tensor]]:
        """All buffers with dotted names, each once."""
        return self._named("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """All buffers, each once."""
        return (b for _, b in self.named_buffers(recurse=recurse))

    def get_submodule(self, target: str) -> Module:
        """The part at a dotted path; "" is the module itself."""
        module: Module = self
        for i, name in enumerate(target.split(".") if target else ()):
            if module._modules.get(name) is None:
                where = ".".join(target.split(".")[:i]) or type(self).__name__
                raise AttributeError(f"{where} has no part {name!r}; it has {', '.join(module._modules) or 'none'}")
            module = module._modules[name]
        return module

    def _get(self, target: str, table: str, kind: str) -> Any:
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        if name not in module.__dict__[table]:
            raise AttributeError(f"{path or type(self).__name__} has no {kind} {name!r}")
        return module.__dict__[table][name]

    def get_parameter(self, target: str) -> Any:
        """The parameter at a dotted path."""
        return self._get(target, "_parameters", "parameter")

    def get_buffer(self, target: str) -> Any:
        """The buffer at a dotted path."""
        return self._get(target, "_buffers", "buffer")

    # what is done to all parts

    def apply(self: Self, fn: Callable[[Module], Any]) -> Self:
        """Call a function with every part, the innermost first, and with the module itself."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def train(self: Self, mode: bool = True) -> Self:
        """Switch itself and all parts to training, or to evaluation."""
        if not isinstance(mode, bool):
            raise ValueError(f"mode must be True or False, not {mode!r}")  # noqa: TRY004 (torch's choice)
        for module in self.modules():
            module.training = mode
        return self

    def eval(self: Self) -> Self:
        """Switch itself and all parts to evaluation."""
        return self.train(False)

    def requires_grad_(self: Self, requires_grad: bool = True) -> Self:
        """Set whether its parameters are learnt."""
        for p in self.parameters():
            p.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients, or set those there are to zero."""
        for p in self.parameters():
            if set_to_none:
                p.grad = None
            elif p.grad is not None:
                p.grad = torch.zeros_like(p.grad)

    def _convert(self: Self, fn: Callable[[Tensor], Tensor]) -> Self:
        """Put other tensors in the place of all there are. What is shared stays so."""
        converted: dict[int, tuple[Tensor, Tensor]] = {}  # the old ones are kept, so that no id is given twice

        def once(x: Tensor, how: Callable[[Tensor], Tensor]) -> Tensor:
            if id(x) not in converted:
                converted[id(x)] = x, how(x)
            return converted[id(x)][1]

        def parameter(p: Any) -> Any:
            """The same object with other data, for an optimiser holds it; only to and from "meta", where there is none, a new one."""
            gradient, p.grad = p.grad, None
            data = fn(p.data)
            if data.is_meta != p.is_meta:
                p = type(p)(data, p.requires_grad)
            else:
                p.data = data
            p.grad = None if gradient is None else fn(gradient)
            return p

        for module in self.modules():
            for table, how in ((module._parameters, parameter), (module._buffers, fn)):
                for name, x in table.items():
                    if x is not None:
                        table[name] = once(x, how)
        return self

    def to(self: Self, *args: Any, device: Any = None, dtype: torch.dtype | None = None, non_blocking: bool = False) -> Self:
        """Move everything to a device, and floating point tensors to a type: `to("cuda")`, `to(torch.float64)`, `to(like_this_tensor)`."""
        for given in args:
            if isinstance(given, torch.dtype):
                dtype = given
            elif isinstance(given, Tensor):
                device, dtype = given.device, given.dtype
            else:
                device = given
        if dtype is not None and not (dtype.is_floating_point or dtype.is_complex):
            raise TypeError(f"to: parameters are floating point or complex numbers, {dtype} cannot hold them")
        return self._convert(lambda x: x.to(device, dtype if x.is_floating_point() or x.is_complex() else None, non_blocking=non_blocking))

    def float(self: Self) -> Self:
        """Floating point tensors as float32."""
        return self.to(torch.float32)

    def double(self: Self) -> Self:
        """Floating point tensors as float64."""
        return self.to(torch.float64)

    def half(self: Self) -> Self:
        """Floating point tensors as float16."""
        return self.to(torch.float16)

    def bfloat16(self: Self) -> Self:
        """Floating point tensors as bfloat16."""
        return self.to(torch.bfloat16)

    def cpu(self: Self) -> Self:
        """Everything into main memory."""
        return self.to("cpu")

    def cuda(self: Self, device: Any = None) -> Self:
        """Everything to a CUDA device."""
        return self.to("cuda" if device is None else torch.device("cuda", device) if isinstance(device, int) else device)

    # calls and hooks

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        if not any(self.__dict__[hooks] for hooks in HOOKS):
            return self.forward(*inputs, **options)
        for hook, with_kwargs in list(self._forward_pre_hooks.values()):
            changed = hook(self, inputs, options) if with_kwargs else hook(self, inputs)
            if changed is not None and with_kwargs:
                inputs, options = changed
            elif changed is not None:
                inputs = changed if isinstance(changed, tuple) else (changed,)
        if not (self._backward_hooks or self._backward_pre_hooks):
            return self._after(inputs, options, self.forward(*inputs, **options))
        return self._with_gradients(inputs, options)

    def _after(self, inputs: tuple[Any, ...], options: dict[str, Any], output: Any) -> Any:
        for hook, with_kwargs in list(self._forward_hooks.values()):
            changed = hook(self, inputs, options, output) if with_kwargs else hook(self, inputs, output)
            output = output if changed is None else changed
        return output

    def _with_gradients(self, inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """A call between two boundaries: gradients of the output pass the one, those of the inputs then the other."""
        if any(isinstance(mode, Tape) for mode in _get_current_dispatch_mode_stack()):
            raise TapeError(f"{self._get_name()} has hooks on gradients, which only torch's autograd calls: remove them")
        of_output: tuple[Any, ...] = ()

        def call_hooks(of_input: tuple[Any, ...]) -> tuple[Any, ...]:
            for hook in list(self._backward_hooks.values()):
                changed = hook(self, of_input, of_output)
                if changed is not None:
                    of_input = changed if isinstance(changed, tuple) else (changed,)
            return of_input

        def at_output(gradients: tuple[Any, ...]) -> tuple[Any, ...]:
            nonlocal of_output
            for hook in list(self._backward_pre_hooks.values()):
                changed = hook(self, gradients)
                if changed is not None:
                    gradients = changed if isinstance(changed, tuple) else (changed,)
            of_output = gradients
            if not reaches_inputs:  # nothing further back will call them
                call_hooks((None,) * len(inputs))
            return gradients

        inputs, reaches_inputs = through(inputs, call_hooks)
        output = self._after(inputs, options, self.forward(*inputs, **options))
        several = isinstance(output, tuple | list)
        passed, _ = through(output if several else (output,), at_output)
        return type(output)(passed) if several else passed[0]

    def register_forward_pre_hook(self, hook: Callable[..., Any], *, with_kwargs: bool = False) -> Handle:
        """Call `hook(module, inputs)` before forward; what it returns, if not None, takes the inputs' place."""
        return Handle(self._forward_pre_hooks, (hook, with_kwargs))

    def register_forward_hook(self, hook: Callable[..., Any], *, with_kwargs: bool = False) -> Handle:
        """Call `hook(module, inputs, output)` after forward; what it returns, if not None, takes the output's place."""
        return Handle(self._forward_hooks, (hook, with_kwargs))

    def register_full_backward_pre_hook(self, hook: Callable[..., Any]) -> Handle:
        """Call `hook(module, grad_output)` once the output's gradients are there; what it returns, if not None, takes their place."""
        return Handle(self._backward_pre_hooks, hook)

    def register_full_backward_hook(self, hook: Callable[..., Any]) -> Handle:
        """Call `hook(module, grad_input, grad_output)` once the inputs' gradients are there; what it returns may take their place."""
        return Handle(self._backward_hooks, hook)

    # how it is shown

    def extra_repr(self) -> str:
        """What stands between the brackets besides its parts: override it."""
        return ""

    def _get_name(self) -> str:
        return type(self).__name__

    def _parts_repr(self) -> list[str]:
        return [f"({name}): {indented(repr(module))}" for name, module in self._modules.items()]

    def __repr__(self) -> str:
        extra, parts = self.extra_repr(), self._parts_repr()
        lines = [*(extra.split("\n") if extra else ()), *parts]
        if not parts and len(lines) <= 1:
            return f"{self._get_name()}({extra})"
        return f"{self._get_name()}(\n  " + "\n  ".join(lines) + "\n)"


def indented(text: str) -> str:
    """All lines but the first two places further in."""
    return text.replace("\n", "\n  ")
