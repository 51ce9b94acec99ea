"""A model as body and head, and the body as layers from the input on.

The head is the model's last layer with weights, or the block `new_head` made. The body's layers are what stands in its containers: a
block of a residual network, a layer of an encoder, a single convolution elsewhere. A norm belongs to what it follows, and what a
container itself holds (class token, positions) to the first layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from torch import nn

from rungbook.errors import UsageError


class ConcatHead(nn.Sequential):
    """A head as `heads.new_head` makes it; the class is how a model's head is known again."""


@dataclass(frozen=True)
class Parts:
    """Names of a model's parameters.

    Args:
        head_name: the head's name as a module.
        head: its parameters.
        body: those of each layer before it, from the input on.
    """

    head_name: str
    head: tuple[str, ...]
    body: tuple[tuple[str, ...], ...]

    def in_body(self, module: str) -> bool:
        """Whether the module of that name stands before the head."""
        return module != self.head_name and not module.startswith(f"{self.head_name}.")


def is_norm(module: nn.Module) -> bool:
    """Whether a module normalises: torch's, ours by hand, or anybody's by its name."""
    return "Norm" in type(module).__name__ and not list(module.children())


def split_body_head(model: nn.Module) -> Parts:
    """Body and head of a model.

    Raises:
        UsageError: E202 the model has a single layer, which is its head and leaves no body.
    """
    head = head_of(model)
    layers: list[list[str]] = []
    own: list[str] = []
    _walk(model, "", sum(p.numel() for p in model.parameters()), layers, own)
    inside = {f"{head}.{name}" for name, _ in model.get_submodule(head).named_parameters()}
    body = [[name for name in layer if name not in inside] for layer in layers]
    body = [layer for layer in body if layer]
    if not body:
        raise UsageError("E202", f"{type(model).__name__} has no layer before its last: it has no body to keep.", "Train all of it.")
    body[0] = own + body[0]
    return Parts(head, tuple(name for name, _ in model.named_parameters() if name in inside), tuple(map(tuple, body)))


def head_of(model: nn.Module) -> str:
    """Name of the module that is the head.

    Raises:
        UsageError: E202 there is no layer with weights below the model itself.
    """
    found = ""
    for name, module in model.named_modules():
        if isinstance(module, ConcatHead):
            return name
        if name and any(True for _ in module.parameters(recurse=False)) and not list(module.children()):
            found = name
    if not found:
        raise UsageError("E202", f"{type(model).__name__} holds no layers with weights: it has no head.", "Train all of it.")
    return found


def _walk(module: nn.Module, prefix: str, total: int, layers: list[list[str]], own: list[str]) -> None:
    """Collect the layers below a module, in order; what containers hold themselves goes to `own`."""
    own += [prefix + name for name, _ in module.named_parameters(recurse=False)]
    for name, child in module.named_children():
        path = f"{prefix}{name}"
        inside = [f"{path}.{n}" for n, _ in child.named_parameters()]
        if not inside:
            continue
        # a module that holds most of the model is the trunk itself, as an encoder is, and no single layer of it
        trunk = 2 * sum(p.numel() for p in child.parameters()) > total and list(child.children())
        if not isinstance(child, ConcatHead) and (isinstance(child, nn.Sequential) or trunk):
            _walk(child, f"{path}.", total, layers, own)
        elif is_norm(child) and layers:
            layers[-1] += inside
        else:
            layers.append(inside)


def layer_groups(model: nn.Module, at_most: int) -> list[tuple[str, ...]]:
    """The body's layers in at most so many groups of neighbours, as even as can be, from the input on."""
    body = split_body_head(model).body
    n = min(at_most, len(body))
    ends = [round(i * len(body) / n) for i in range(n + 1)]
    return [tuple(name for layer in body[a:b] for name in layer) for a, b in pairwise(ends)]
