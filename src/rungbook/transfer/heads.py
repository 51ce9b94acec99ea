"""New heads on trained bodies.

`new_head` is the head of fast.ai's course (Howard and Gugger 2020, "Deep Learning for Coders", chapter 15, `create_head`): beside the
mean over the picture it reads the maximum, which tells whether something is there at all.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rungbook.errors import UsageError
from rungbook.transfer.parts import ConcatHead, head_of

HEADS = ("linear", "concat_pool")
"""Kinds of head: one linear layer; or mean and maximum over the picture, then two linear layers with batch norm and dropout."""


class AdaptiveConcatPool2d(nn.Module):
    """Maximum and mean over the picture, one behind the other.

    Shape: (B, C, H, W) -> (B, 2 C, 1, 1).
    """

    def __init__(self) -> None:
        super().__init__()
        self.max = nn.AdaptiveMaxPool2d(1)
        self.mean = nn.AdaptiveAvgPool2d(1)

    def forward(self, x: Tensor) -> Tensor:
        """Both, the maximum first."""
        return torch.cat([self.max(x), self.mean(x)], 1)


def new_head(features: int, num_classes: int, *, hidden: int = 512, dropout: float = 0.5) -> ConcatHead:
    """Batch norm, dropout, linear, ReLU, batch norm, dropout, linear.

    Args:
        features: that come in.
        num_classes: outputs.
        hidden: units between the linear layers.
        dropout: probability of leaving out a unit before the last layer; half of it before the first.

    Shape: (B, features) -> (B, num_classes) logits.
    """
    first, last = nn.Linear(features, hidden), nn.Linear(hidden, num_classes)
    nn.init.kaiming_normal_(first.weight)
    nn.init.zeros_(first.bias)
    norms = nn.BatchNorm1d(features), nn.BatchNorm1d(hidden)
    return ConcatHead(norms[0], nn.Dropout(dropout / 2), first, nn.ReLU(inplace=True), norms[1], nn.Dropout(dropout), last)


def adapt_head(model: nn.Module, head: str = "linear", *, num_classes: int | None = None, hidden: int = 512) -> nn.Module:
    """Give a model a new head in place; the weights of its body stay.

    Args:
        model: an image model of the registry, or one built alike.
        head: name of `HEADS`.
        num_classes: outputs, by default as many as it has.
        hidden: units between the linear layers of "concat_pool".

    Raises:
        UsageError: E202 an unknown head, or "concat_pool" for a model that does not end in the mean over the picture and a linear layer.
    """
    name = head_of(model)
    old = model.get_submodule(name)
    if head not in HEADS or not isinstance(old, nn.Linear):
        known = f"a head is one of {', '.join(HEADS)}, in place of a linear layer"
        raise UsageError(
            "E202", f"head is {head!r} for {type(model).__name__}, which ends in {type(old).__name__}: {known}.", "head=linear"
        )
    outputs = num_classes or old.out_features
    if head == "linear":
        _put(model, name, nn.Linear(old.in_features, outputs, bias=old.bias is not None))
        return model
    pool = _pool_before(model, name)
    if pool is None:
        message = f"{type(model).__name__} does not go from the mean over the picture straight to a linear layer"
        raise UsageError("E202", f"{message}: there is no pooling to exchange.", "head=linear")
    _put(model, pool, AdaptiveConcatPool2d())
    _put(model, name, new_head(2 * old.in_features, outputs, hidden=hidden))
    return model


def _pool_before(model: nn.Module, head: str) -> str | None:
    """Name of the mean over the picture that the head reads directly, with no layer that has weights between the two."""
    pool = None
    for name, module in model.named_modules():
        if name == head:
            return pool
        if isinstance(module, nn.AdaptiveAvgPool2d) and module.output_size in (1, (1, 1)):
            pool = name
        elif not list(module.children()) and any(True for _ in module.parameters()):
            pool = None
    return None


def _put(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, module)
