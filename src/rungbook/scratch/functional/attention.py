"""Attention: each query looks at all keys, and gets the mean of their values, weighted by how well the keys fit. Vaswani et al. (2017).

Shapes: L queries, S keys, d features of queries and keys, dv of values, h heads, * leading dimensions.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rungbook.scratch.functional.attention_blocks import AttentionInBlocks, plain_attention
from rungbook.scratch.functional.closed_form import closed_form_applies


def additive(mask: Tensor, hidden: bool, dtype: torch.dtype) -> Tensor:
    """A mask as numbers to add to scores: minus infinity where a boolean one is equal to `hidden`, else 0; other masks are that already."""
    if mask.dtype != torch.bool:
        return mask.to(dtype)
    return torch.zeros_like(mask, dtype=dtype).masked_fill(mask if hidden else ~mask, -math.inf)


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """`softmax(query @ key.T * scale + mask) @ value`; a query that may see no key gets zeros.

    Args:
        query: (*, L, d).
        key: (*, S, d).
        value: (*, S, dv).
        attn_mask: broadcastable to (*, L, S): True where a key may be seen, or numbers to add to the scores.
        dropout_p: probability of dropping a weight, always in effect.
        is_causal: query i sees keys 0 to i only (with a mask, both apply).
        scale: of the scores; `1 / sqrt(d)` if None, which keeps their variance at 1 for keys and queries of variance 1.
        enable_gqa: each key and value serves a group of query heads, the third dimension from the end (Ainslie et al., 2023).

    Returns:
        (*, L, dv).

    Raises:
        RuntimeError: dtypes or shapes do not fit together, or dropout_p is no probability.
    """
    _check_attention(query, key, value, attn_mask, dropout_p)
    if enable_gqa:
        key, value = _for_each_head(key, query, "key"), _for_each_head(value, query, "value")
    bias = None if attn_mask is None else additive(attn_mask, False, query.dtype)
    scale = 1 / math.sqrt(max(1, query.shape[-1])) if scale is None else scale
    if dropout_p == 0 and _as_blocks(query, key, value, bias) and closed_form_applies(query, key, value):
        return AttentionInBlocks.apply(query, key, value, bias, is_causal, scale)
    if query.dtype not in (torch.float16, torch.bfloat16):
        return plain_attention(query, key, value, bias, is_causal, scale, dropout_p)
    # scores and their sums in float32, which halves would not hold
    bias = None if bias is None else bias.float()
    return plain_attention(query.float(), key.float(), value.float(), bias, is_causal, scale, dropout_p).to(query.dtype)


def _as_blocks(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None) -> bool:
    """Whether attention is that of equally many tables of queries and keys, none of them empty."""
    lead = query.shape[:-2]
    if key.shape[:-2] != lead or value.shape[:-2] != lead or query.dtype not in (torch.float32, torch.float64):
        return False
    if 0 in (*query.shape, *key.shape, *value.shape):
        return False
    table = (*lead, query.shape[-2], key.shape[-2])
    return bias is None or (not bias.requires_grad and torch.broadcast_shapes(bias.shape, table) == table)


def _check_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, dropout_p: float) -> None:
    shapes = f"query {tuple(query.shape)}, key {tuple(key.shape)}, value {tuple(value.shape)}"
    if min(query.dim(), key.dim(), value.dim()) < 2:
        raise RuntimeError(f"attention: {shapes} must each have at least 2 dimensions")
    if not query.dtype == key.dtype == value.dtype:
        raise RuntimeError(f"attention: query is {query.dtype}, key {key.dtype}, value {value.dtype}; they must be alike")
    if not query.is_floating_point():
        raise RuntimeError(f"attention: query is {query.dtype}, a floating-point type is needed")
    if query.shape[-1] != key.shape[-1] or key.shape[-2] != value.shape[-2]:
        raise RuntimeError(f"attention: {shapes}; queries and keys need equally many features, keys and values equally many rows")
    if mask is not None and mask.dtype != torch.bool and not mask.is_floating_point():
        raise RuntimeError(f"attention: attn_mask is {mask.dtype}, bool or a floating-point type is needed")
    if not 0 <= dropout_p <= 1:
        raise RuntimeError(f"attention: dropout_p is {dropout_p}, a probability between 0 and 1 is needed")


def _for_each_head(x: Tensor, query: Tensor, name: str) -> Tensor:
    """Repeat heads, each as often as it has queries' heads in its group: (*, h / g, S, d) -> (*, h, S, d)."""
    if min(x.dim(), query.dim()) < 3:
        raise RuntimeError(f"attention: enable_gqa needs heads, {name} {tuple(x.shape)} or query {tuple(query.shape)} has none")
    heads, of_queries = x.shape[-3], query.shape[-3]
    if heads == of_queries:
        return x
    if heads == 0 or of_queries % heads:
        raise RuntimeError(f"attention: {heads} heads of {name} {tuple(x.shape)} do not divide {of_queries} of query {tuple(query.shape)}")
    group = of_queries // heads
    return x.unsqueeze(-3).expand(*x.shape[:-2], group, *x.shape[-2:]).flatten(-4, -3)  # (*, h, S, d)
