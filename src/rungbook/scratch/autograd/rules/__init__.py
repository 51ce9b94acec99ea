"""The table of gradient rules: operation of torch's core -> how the gradient of its output becomes the gradients of its arguments.

Rules are written in torch operations and are taped themselves where another tape is open, which gives derivatives of any order.
Each is checked on torch's own samples of operations (op_db), ties, zeros, repeated indices and bounds included.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from rungbook.scratch.autograd.rules.form import Joint, Rule, summed
from rungbook.scratch.autograd.rules.index import INDEXING
from rungbook.scratch.autograd.rules.layers import LAYERS
from rungbook.scratch.autograd.rules.pointwise import ARITHMETIC, CHOICES, FUNCTIONS
from rungbook.scratch.autograd.rules.product import PRODUCTS
from rungbook.scratch.autograd.rules.reduce import ORDERS, REDUCTIONS, RUNNING
from rungbook.scratch.autograd.rules.shape import MOVES, VIEWS

__all__ = ["CONSTANT", "FUSED", "RULES", "Joint", "Rule", "in_pieces", "summed"]

aten = torch.ops.aten

RULES: dict[Any, Rule] = {
    **ARITHMETIC,
    **CHOICES,
    **FUNCTIONS,
    **PRODUCTS,
    **VIEWS,
    **MOVES,
    **REDUCTIONS,
    **ORDERS,
    **RUNNING,
    **INDEXING,
    **LAYERS,
}

_ANSWERS = [
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
    "isnan",
    "isinf",
    "isposinf",
    "isneginf",
    "isfinite",
    "isin",
    "signbit",
    "equal",
    "any",
    "all",
    "logical_and",
    "logical_or",
    "logical_xor",
    "logical_not",
    "argmax",
    "argmin",
    "argsort",
    "nonzero",
    "count_nonzero",
    "searchsorted",
    "bucketize",
    "bincount",
    "is_nonzero",
]

CONSTANT: frozenset[Any] = frozenset(
    {
        *(getattr(getattr(aten, name), overload) for name in _ANSWERS for overload in getattr(aten, name).overloads()),
        aten.detach.default,
        aten.zeros_like.default,
        aten.ones_like.default,
        aten.empty_like.default,
        aten.full_like.default,
        aten.rand_like.default,
        aten.randn_like.default,
        aten.new_zeros.default,
        aten.new_ones.default,
        aten.new_empty.default,
        aten.new_empty_strided.default,
        aten.new_full.default,
        aten.bernoulli.default,
        aten.bernoulli.p,
        aten.multinomial.default,
        aten.normal.Tensor_float,
        aten.normal.float_Tensor,
        aten.normal.Tensor_Tensor,
        aten.lift_fresh.default,
        aten._local_scalar_dense.default,
    }
)
"""Operations whose output is a constant, or no number: nothing flows back."""

FUSED = (
    "mkldnn_rnn_layer",
    "_native_multi_head_attention",
    "_transformer_encoder_layer_fwd",
    "_scaled_dot_product",
    "_thnn_fused",
    "_cudnn_rnn",
)
"""Names of kernels torch takes where it records no gradients; they have no rule and get none: swap the layer for its twin."""


def in_pieces(func: Any) -> Callable[..., Any] | None:
    """An operation without a rule written in simpler ones, from torch's own collection; None if it has none or is fused or random."""
    if torch.Tag.nondeterministic_seeded in func.tags or any(name in func._schema.name for name in FUSED):
        return None
    if func._can_decompose():
        return func.decompose
    from torch._decomp import decomposition_table  # takes a second to load, and most models never need it

    return decomposition_table.get(func)
