"""Attention, plain and in blocks of queries with a backward pass written out.

The plain form makes the whole table of scores, reads it five times, and for causal attention throws half of it away. In blocks, a table
fits the processor's cache, and keys that lie ahead of a whole block are never touched: two thirds of the time for 256 tokens, half of it
for 1024. The idea is FlashAttention's (Dao et al., 2022); unlike there a block sees all its keys at once, and its exponentials are kept.

Shapes: L queries, S keys, d features of queries and keys, dv of values, * leading dimensions, B their product, b queries of a block,
s keys that a block may see.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from rungbook.scratch import functional as F
from rungbook.scratch.functional.closed_form import gradients_of_plain_form


def plain_attention(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, is_causal: bool, scale: float, dropout_p: float = 0.0
) -> Tensor:
    """`softmax(query @ key.T * scale + bias) @ value`; a query that may see no key gets zeros.

    Args:
        query: (*, L, d).
        key: (*, S, d).
        value: (*, S, dv).
        bias: broadcastable to (*, L, S), minus infinity where a key is hidden.
        is_causal: query i sees keys 0 to i only.
        dropout_p: probability of dropping a weight.

    Returns:
        (*, L, dv).
    """
    scores = query * scale @ key.mT  # (*, L, S)
    if is_causal:
        scores = scores.masked_fill(ahead(scores), -math.inf)
    if bias is not None:
        scores = scores + bias
        sees_none = (scores == -math.inf).all(-1, keepdim=True)  # a softmax of these would be 0 / 0
        weights = F.softmax(scores.masked_fill(sees_none, 0), -1).masked_fill(sees_none, 0)
    else:
        weights = F.softmax(scores, -1)
    return F.dropout(weights, dropout_p) @ value


def ahead(scores: Tensor) -> Tensor:
    """True where a key lies ahead of its query, (L, S)."""
    queries = torch.arange(scores.shape[-2], device=scores.device).unsqueeze(1)  # (L, 1)
    return torch.arange(scores.shape[-1], device=scores.device) > queries


BLOCK = 64
"""Queries of a block: the fastest for 256 and 1024 tokens, 32 and 128 within a tenth."""


class AttentionInBlocks(torch.autograd.Function):
    """`plain_attention` without dropout, block by block.

    With `e = exp(scores - max)` and `total = sum(e)`, the output is `(e @ v) / total`: it is divided, not the larger table.
    Backward needs no table but e: with `g = d_output / total`, `d_v = e.T @ g` and `d_scores = e * (g @ v.T - sum(g * output))`.
    A column of ones beside v makes both sums part of the products: `e @ [v, 1]` and `[g, -sum(g * output)] @ [v, 1].T`.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, is_causal: bool, scale: float) -> Tensor:
        q, k, v = (x.flatten(0, -3) if x.dim() > 2 else x.unsqueeze(0) for x in (query, key, value))  # (B, L, d), (B, S, d), (B, S, dv)
        L, S, lead = q.shape[1], k.shape[1], query.shape[:-2]
        q, v1 = q * scale, torch.cat([v, v.new_ones(*v.shape[:2], 1)], -1)  # (B, S, dv + 1)
        sums = v1.new_empty(*q.shape[:2], v1.shape[2])  # (B, L, dv + 1)
        blocks, kept = [], []
        for first in range(0, L, BLOCK):
            rows = slice(first, min(first + BLOCK, L))
            seen = slice(0, min(rows.stop, S) if is_causal else S)
            e = q[:, rows] @ k[:, seen].mT  # (B, b, s), still the scores
            if is_causal and first < S:
                corner = e[:, :, first:]
                corner += corner.new_full(corner.shape[1:], -math.inf).triu_(1)
            if bias is not None:
                e.view(*lead, *e.shape[1:]).add_(bias.expand(*bias.shape[:-2], L, S)[..., rows, seen])
            # where all is hidden, the largest is minus infinity: with a finite number in its place, the exponentials are 0
            e.sub_(e.amax(-1, keepdim=True).clamp_(min=torch.finfo(e.dtype).min)).exp_()
            sums[:, rows] = e @ v1[:, seen]
            blocks.append((rows, seen))
            kept.append(e)
        total = sums[..., -1:].clamp(min=1)  # where a key is seen it holds an exp(0), so only a total of 0 is changed
        out = sums[..., :-1] / total
        ctx.save_for_backward(query, key, value, bias, q, k, v1, out, total, *kept)
        ctx.blocks, ctx.is_causal, ctx.scale = blocks, is_causal, scale
        return out.view(*lead, L, -1)

    @staticmethod
    def backward(ctx: Any, d_output: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, bias, q, k, v1, out, total, *kept = ctx.saved_tensors
        if torch.is_grad_enabled():

            def plain(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor]:
                return (plain_attention(q, k, v, bias, ctx.is_causal, ctx.scale),)

            found = gradients_of_plain_form(plain, (query, key, value), ctx.needs_input_grad[:3], (d_output,))
            return *found, None, None, None
        g = d_output.reshape(out.shape) / total
        g1 = torch.cat([g, -(g * out).sum(-1, keepdim=True)], -1)  # (B, L, dv + 1)
        d_q, d_k, d_v = torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(v1[..., :-1])
        for e, (rows, seen) in zip(kept, ctx.blocks, strict=True):
            d_scores = (g1[:, rows] @ v1[:, seen].mT).mul_(e)  # (B, b, s)
            d_q[:, rows] = d_scores @ k[:, seen]
            d_k[:, seen] += d_scores.mT @ q[:, rows]
            d_v[:, seen] += e.mT @ g[:, rows]
        return d_q.mul_(ctx.scale).view_as(query), d_k.view_as(key), d_v.view_as(value), None, None, None
