"""The optimiser as the Learner uses it: made in its fastest form, put back as it was, its momentum set."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn

from rungbook.errors import UsageError
from rungbook.learner.pack import clone


def make_optimizer(
    make: Callable[..., torch.optim.Optimizer], model: nn.Module, params: list[nn.Parameter], lr: float
) -> torch.optim.Optimizer:
    """The optimiser in its fused form, where it has one, the gradients are dense and the caller said nothing else.

    One that has an argument `model` is given it: it treats weights by the layers they belong to.

    Raises:
        UsageError: E202, its step needs a closure.
    """
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
