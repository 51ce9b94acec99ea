"""The optimiser as the Learner uses it: made in its fastest form, put back as it was, its momentum set."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import optimizer as base

from rungbook.errors import UsageError
from rungbook.learner.late_compiler import OF_OPTIMIZERS, postpone
from rungbook.learner.pack import clone


def make_optimizer(
    make: Callable[..., torch.optim.Optimizer], model: nn.Module, params: list[nn.Parameter], lr: float
) -> torch.optim.Optimizer:
    """The optimiser in its fused form, where it has one, the gradients are dense and the caller said nothing else.

    One that has an argument `model` is given it: it treats weights by the layers they belong to.

    Raises:
        UsageError: E202, its step needs a closure.
    """
    postpone(*OF_OPTIMIZERS)
    said = getattr(make, "keywords", {})
    target = getattr(make, "func", make)
    takes = inspect.signature(target).parameters if inspect.isclass(target) else {}
    sparse = any(getattr(m, "sparse", False) is True for m in model.modules())  # embeddings: fused kernels take dense gradients only
    plain = bool(params) and all(p.is_floating_point() for p in params) and not sparse  # complex weights have no such kernel either
    optimizer = None
    if "model" in takes:
        optimizer = make(params, lr=lr, model=model)
    elif "fused" in takes and plain and not said.keys() & {"fused", "foreach", "differentiable", "capturable"}:
        with suppress(RuntimeError):  # a device or dtype without a fused kernel
            optimizer = make(params, lr=lr, fused=True)
    optimizer = make(params, lr=lr) if optimizer is None else optimizer
    closure = inspect.signature(optimizer.step).parameters.get("closure")
    if closure is not None and closure.default is inspect.Parameter.empty:
        raise UsageError(
            "E202",
            f"{type(optimizer).__name__} needs a closure that computes the loss several times a step; the Learner computes it once.",
            "Try optimizer=torch.optim.Adam.",
        )
    return optimizer


def bare_step(optimizer: torch.optim.Optimizer) -> Callable[[], Any]:
    """The optimiser's step without torch's wrappers, where nobody registered a hook that needs them.

    The one for profiling takes 19 us a call, more than the update of a small model (benchmarks/bench_levers.py); the one that sees to it
    that no gradient is recorded loads the compiler (`late_compiler`).
    """
    hooks = (optimizer._optimizer_step_pre_hooks, optimizer._optimizer_step_post_hooks)
    everywhere = (base._global_optimizer_pre_hooks, base._global_optimizer_post_hooks)
    step = type(optimizer).step
    if "step" in vars(optimizer) or any(hooks) or any(everywhere) or not _is_torchs(step, "wrapper"):
        return optimizer.step
    bare = step.__wrapped__  # type: ignore[attr-defined]
    recording = optimizer.defaults.get("differentiable")
    if recording is None or not _is_torchs(bare, "_use_grad"):
        return partial(bare, optimizer)
    bare = bare.__wrapped__

    def move() -> Any:
        with torch.set_grad_enabled(recording):
            return bare(optimizer)

    return move


def _is_torchs(function: Any, name: str) -> bool:
    """Whether this is torch's own wrapper: told by its code, since `functools.wraps` copies all else onto what people wrap around it."""
    code = getattr(function, "__code__", None)
    return code is not None and (code.co_filename, code.co_name) == (base.__file__, name)


def load_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Load a copy of `state`, each tensor in the memory layout of its weight: fused kernels go through both in the order of memory."""
    optimizer.load_state_dict(clone(state))
    for p, values in optimizer.state.items():
        for key, value in values.items():
            if isinstance(value, Tensor) and value.shape == p.shape and value.stride() != p.stride():
                values[key] = torch.empty_like(p, dtype=value.dtype).copy_(value)


def set_momentum(group: dict[str, Any], value: float) -> None:
    """Set a group's momentum, or the first beta of Adam and its kin; an optimiser without momentum stays without."""
    if "betas" in group:
        group["betas"] = (value, *group["betas"][1:])
    elif group.get("momentum"):
        group["momentum"] = value
