"""How a model's forward pass uses memory: channels last, and activations computed again in place of kept.

Channels last stores a picture pixel by pixel instead of channel by channel; convolutions on some machines are faster on it, and results
agree to rounding. Activation checkpointing (Chen, Xu, Zhang and Guestrin 2016, "Training deep nets with sublinear memory cost") keeps only
what goes into a block and computes the block a second time when its gradients are wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from rungbook.errors import UsageError

Forward = Callable[..., Any]


@dataclass(frozen=True)
class Memory:
    """What is asked of a forward pass; all off is the model as it is."""

    compile: bool = False
    channels_last: bool = False
    activation_checkpointing: bool = False


_UNDER_A_TAPE = {
    "compile": "a compiled model hides its operations from the tape",
    "activation_checkpointing": "only torch's own autograd computes a block again",
}


def make_forward(model: nn.Module, memory: Memory, tape: Any = None) -> Forward:
    """What the Learner calls for a model's outputs; the model keeps its weights, names and methods.

    Raises:
        UsageError: E202 what a tape cannot follow, compile together with activation_checkpointing, a model without a stack of blocks.
    """
    for name, why in _UNDER_A_TAPE.items():
        if tape is not None and getattr(memory, name):
            raise UsageError("E202", f"{name} and a tape exclude each other: {why}.", f"Leave out {name}, or the tape.")
    if memory.compile and memory.activation_checkpointing:
        message = "compile and activation_checkpointing exclude each other: a compiler chooses itself what to compute again."
        raise UsageError("E202", message, "Leave one of them out.")
    if memory.channels_last:
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    forward: Forward = torch.compile(model) if memory.compile else model
    if memory.activation_checkpointing:
        forward = _checkpointing(model)
    return _channels_last(forward) if memory.channels_last else forward


def _channels_last(forward: Forward) -> Forward:
    def call(*inputs: Tensor) -> Any:
        return forward(*(x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x for x in inputs))

    return call


def _checkpointing(model: nn.Module) -> Forward:
    replaced = checkpointed(model)

    def call(*inputs: Tensor) -> Any:
        if not torch.is_grad_enabled():
            return model(*inputs)
        with replaced():
            return model(*inputs)

    return call


def checkpointed(model: nn.Module) -> Callable[[], Any]:
    """A context in which the model's blocks keep only their inputs for the way back.

    Blocks are the modules with parts of their own that stand in a Sequential, ModuleList or ModuleDict (residual blocks, transformer
    layers); in a model without such, each layer with weights in a Sequential and what follows it up to the next one. What a block draws
    (dropout) is drawn the same again, and buffers it changes (running means of batch norm) are changed once. Hooks on parts of a block
    see both passes. Only torch's own autograd computes a block again: nothing is saved under a tape.

    Raises:
        UsageError: E202 the model has no such stack.
    """
    blocks = list(_blocks(model))
    calls: dict[nn.Module, Forward] = {block: _again(block.forward, [block]) for block in blocks}
    if not blocks:
        calls = {chain: _in_pieces(chain) for chain in model.modules() if isinstance(chain, nn.Sequential) and len(_pieces(chain)) > 1}
    if not calls:
        message = f"{type(model).__name__} has no stack of blocks whose activations could be computed again."
        raise UsageError("E202", message, "Leave activation_checkpointing out.")

    @contextmanager
    def replaced() -> Iterator[None]:
        with ExitStack() as stack:
            for block, call in calls.items():
                stack.enter_context(_forward_is(block, call))
            yield

    return replaced


@contextmanager
def _forward_is(module: nn.Module, call: Forward) -> Iterator[None]:
    own = module.__dict__.get("forward")
    module.__dict__["forward"] = call
    try:
        yield
    finally:
        if own is None:
            del module.__dict__["forward"]
        else:
            module.__dict__["forward"] = own


def _is_stack(module: nn.Module) -> bool:
    return isinstance(module, nn.Sequential | nn.ModuleList | nn.ModuleDict)


def _blocks(module: nn.Module) -> Iterator[nn.Module]:
    """What stands in a stack and has parts of its own; of a stack in a stack (a stage of blocks) the blocks."""
    for child in module.children():
        stage = _is_stack(child) and any(list(part.children()) for part in child.children())
        if _is_stack(module) and list(child.children()) and not stage:
            yield child
        else:
            yield from _blocks(child)


def _pieces(chain: nn.Sequential) -> list[list[nn.Module]]:
    """A chain of layers cut before each that has a weight matrix."""
    pieces: list[list[nn.Module]] = []
    for layer in chain:
        weight = getattr(layer, "weight", None)
        if not pieces or (isinstance(weight, Tensor) and weight.ndim > 1):
            pieces.append([])
        pieces[-1].append(layer)
    return pieces


def _in_pieces(chain: nn.Sequential) -> Forward:
    def one_after_the_other(layers: list[nn.Module]) -> Forward:
        def run(x: Any) -> Any:
            for layer in layers:
                x = layer(x)
            return x

        return run

    pieces = [_again(one_after_the_other(layers), layers) for layers in _pieces(chain)]

    def call(x: Any) -> Any:
        for piece in pieces:
            x = piece(x)
        return x

    return call


def _again(forward: Forward, modules: list[nn.Module]) -> Forward:
    """`forward` with its activations thrown away, and computed again from the same random numbers and buffers."""

    def call(*args: Any, **kwargs: Any) -> Any:
        stores = [(m._buffers, name, b) for top in modules for m in top.modules() for name, b in m._buffers.items() if b is not None]
        before = [(store, name, b.clone()) for store, name, b in stores] if any(m.training for m in modules) else []
        return checkpoint(forward, *args, use_reentrant=False, context_fn=lambda: (nullcontext(), _buffers_are(before)), **kwargs)

    return call


@contextmanager
def _buffers_are(buffers: list[tuple[dict[str, Any], str, Tensor]]) -> Iterator[None]:
    """Copies of other tensors in the places of buffers: what is written to them inside is gone afterwards."""
    now = [(store, name, store[name]) for store, name, _ in buffers]
    for store, name, tensor in buffers:
        store[name] = tensor.clone()
    try:
        yield
    finally:
        for store, name, tensor in now:
            store[name] = tensor
