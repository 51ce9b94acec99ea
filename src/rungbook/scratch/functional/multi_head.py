"""Attention with several heads: each looks for something else, through affine maps of its own. Vaswani et al. (2017), section 3.2.2.

In the masks here True means "hidden", the opposite of its meaning in `scaled_dot_product_attention`; torch has it so.

Shapes: N sequences, L queries, S keys, E features (of all heads together), h heads, d = E / h features of a head.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rungbook.scratch import functional as F
from rungbook.scratch.functional.attention import additive


def multi_head_attention_forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    training: bool = True,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None,
    v_proj_weight: Tensor | None = None,
    static_k: Tensor | None = None,
    static_v: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """`concat(head_1, ..., head_h) @ W_O.T + b_O`; the arguments are explained in `nn.MultiheadAttention`, where they are made.

    Args:
        query: (L, N, E), or (L, E) for one sequence; key, value: (S, N, *), or (S, *).
        in_proj_weight: (3 E, E), the maps of queries, keys and values one below the other; or q_, k_ and v_proj_weight.
        static_k, static_v: (N h, S, d), to take the place of keys and values after their maps.

    Returns:
        (L, N, E), and if need_weights the weights, (N, L, S) or (N, h, L, S); without N for one sequence.

    Raises:
        AssertionError, RuntimeError, IndexError: shapes do not fit together, or an argument that another one needs is missing.
    """
    batched, together = query.dim() == 3, query is key and key is value
    _check(query, key, value, embed_dim_to_check, num_heads, use_separate_proj_weight)
    if not batched:
        query, key, value = (x.unsqueeze(1) for x in (query, key, value))  # (L, 1, E)
    mask = _one_mask(attn_mask, key_padding_mask, query, key, num_heads, batched, is_causal)
    separate = (q_proj_weight, k_proj_weight, v_proj_weight) if use_separate_proj_weight else None
    q, k, v = _projected(query, key, value, together, in_proj_weight, separate, in_proj_bias)
    k, v = _and_one_more(k, v, bias_k, bias_v, static_k, static_v)
    parts = (("query", q, None), ("key", k, static_k), ("value", v, static_v))
    q, k, v = (_heads(name, x, query.shape[1], num_heads, static) for name, x, static in parts)
    if add_zero_attn:
        k, v = (torch.cat([x, x.new_zeros(*x.shape[:2], 1, x.shape[3])], 2) for x in (k, v))  # (N, h, S + 1, d)
    mask = None if mask is None else F.pad(mask, (0, k.shape[2] - mask.shape[-1]))  # what was added is never hidden
    is_causal = is_causal and key_padding_mask is None  # then the mask need not be read
    attend = _with_weights if need_weights else _without_weights
    heads, weights = attend(q, k, v, mask, dropout_p if training else 0.0, is_causal)
    output = F.linear(heads.permute(2, 0, 1, 3).flatten(2), out_proj_weight, out_proj_bias)  # (N, h, L, d) -> (L, N, E)
    weights = weights.mean(1) if weights is not None and average_attn_weights else weights
    return (output, weights) if batched else (output.squeeze(1), None if weights is None else weights.squeeze(0))


def _check(query: Tensor, key: Tensor, value: Tensor, embed_dim: int, num_heads: int, separate: bool) -> None:
    """Shapes of what attends and is attended to."""
    shapes = f"query {tuple(query.shape)}, key {tuple(key.shape)}, value {tuple(value.shape)}"
    if query.dim() not in (2, 3) or not query.dim() == key.dim() == value.dim():
        raise AssertionError(f"{shapes} must all have 3 dimensions, or all 2 for one sequence")
    if query.shape[-1] != embed_dim:
        raise AssertionError(f"query {tuple(query.shape)} has {query.shape[-1]} features, embed_dim is {embed_dim}")
    if embed_dim % num_heads:
        raise AssertionError(f"num_heads ({num_heads}) must divide embed_dim ({embed_dim})")
    if key.shape[:-1] != value.shape[:-1] or (not separate and key.shape != value.shape):
        raise AssertionError(f"{shapes}; keys and values must be equally many{'' if separate else ', and have equally many features'}")


def _one_mask(
    attn_mask: Tensor | None, key_padding_mask: Tensor | None, query: Tensor, key: Tensor, num_heads: int, batched: bool, is_causal: bool
) -> Tensor | None:
    """Both masks as one, to be added to the scores: (N or 1, h or 1, L or 1, S)."""
    if is_causal and attn_mask is None:
        raise RuntimeError("is_causal is a remark about attn_mask, which is missing; Transformer.generate_square_subsequent_mask makes it")
    (L, N), S = query.shape[:2], key.shape[0]
    mask = None
    if attn_mask is not None:
        if attn_mask.dim() not in (2, 3):
            raise AssertionError(f"attn_mask {tuple(attn_mask.shape)} must have 2 or 3 dimensions")
        needed: tuple[int, ...] = (L, S) if attn_mask.dim() == 2 else (N * num_heads, L, S)
        if attn_mask.shape != needed:
            error = RuntimeError if batched or attn_mask.dim() == 2 else AssertionError
            raise error(f"attn_mask is {tuple(attn_mask.shape)}, {needed} is needed (queries, keys; if 3, first sequences x heads)")
        mask = _numbers("attn_mask", attn_mask, query.dtype)
        mask = mask if mask.dim() == 2 else mask.unflatten(0, (N, num_heads))
    if key_padding_mask is not None:
        needed = (N, S) if batched else (S,)
        if key_padding_mask.shape != needed:
            raise AssertionError(f"key_padding_mask is {tuple(key_padding_mask.shape)}, {needed} is needed (sequences, keys)")
        padding = _numbers("key_padding_mask", key_padding_mask, query.dtype).view(N, 1, 1, S)
        mask = padding if mask is None else mask + padding
    return mask


def _numbers(name: str, mask: Tensor, dtype: torch.dtype) -> Tensor:
    if mask.dtype != torch.bool and not mask.is_floating_point():
        raise AssertionError(f"{name} is {mask.dtype}, bool or a floating-point type is needed")
    return additive(mask, True, dtype)


def _projected(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    together: bool,
    weight: Tensor | None,
    separate: tuple[Tensor | None, ...] | None,
    bias: Tensor | None,
) -> tuple[Tensor, ...]:
    """Queries, keys and values after their maps; where all three come from one tensor (together), it is one product."""
    if bias is not None and bias.shape != (3 * query.shape[-1],):
        raise RuntimeError(f"in_proj_bias is {tuple(bias.shape)}, {(3 * query.shape[-1],)} is needed")
    if separate is None:
        if weight is None:
            raise AssertionError("in_proj_weight is missing, and use_separate_proj_weight is False")
        features = weight.shape[-1]
        if key.shape[-1] != features:
            raise RuntimeError(
                f"key {tuple(key.shape)} has {key.shape[-1]} features, in_proj_weight {tuple(weight.shape)} needs {features}"
            )
        if len(weight) != 3 * features:
            raise RuntimeError(f"in_proj_weight is {tuple(weight.shape)}, {(3 * features, features)} is needed")
        if together:
            return F.linear(query, weight, bias).chunk(3, -1)
        separate = weight.chunk(3)
    E, projected = query.shape[-1], []
    biases: tuple[Tensor | None, ...] = (None, None, None) if bias is None else bias.chunk(3)
    for name, x, w, b in zip("qkv", (query, key, value), separate, biases, strict=True):
        if w is None:
            raise AssertionError(f"{name}_proj_weight is missing, and use_separate_proj_weight is True")
        if w.shape != (E, x.shape[-1]):
            raise AssertionError(f"{name}_proj_weight is {tuple(w.shape)}, {(E, x.shape[-1])} is needed")
        projected.append(F.linear(x, w, b))
    return tuple(projected)


def _and_one_more(
    k: Tensor, v: Tensor, bias_k: Tensor | None, bias_v: Tensor | None, static_k: Tensor | None, static_v: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Keys and values with those that every sequence has: (S, N, E) -> (S + 1, N, E)."""
    if bias_k is None and bias_v is None:
        return k, v
    if bias_k is None or bias_v is None:
        raise AssertionError("bias_k and bias_v must be given both or neither")
    if static_k is not None or static_v is not None:
        raise AssertionError("bias_k and bias_v cannot be added to static_k and static_v")
    return torch.cat([k, bias_k.expand(1, k.shape[1], -1)]), torch.cat([v, bias_v.expand(1, v.shape[1], -1)])


def _heads(name: str, x: Tensor, N: int, num_heads: int, static: Tensor | None) -> Tensor:
    """Features by heads, (S, N, E) -> (N, h, S, d); or what is to stand in their place."""
    d = x.shape[2] // num_heads
    if static is None:
        if x.shape[1] != N:
            raise RuntimeError(f"{name} holds {x.shape[1]} sequences, query {N}")
        return x.unflatten(-1, (num_heads, d)).permute(1, 2, 0, 3)
    if static.dim() < 3:
        raise IndexError(f"static_{name[0]} {tuple(static.shape)} must have 3 dimensions (sequences x heads, keys, features of a head)")
    if static.dim() > 3 or static.shape[0] != N * num_heads or static.shape[2] != d:
        raise AssertionError(f"static_{name[0]} is {tuple(static.shape)}, ({N * num_heads}, *, {d}) is needed")
    return static.unflatten(0, (N, num_heads))


def _with_weights(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, dropout_p: float, is_causal: bool) -> tuple[Tensor, Tensor]:
    """The means of values (N, h, L, d), and the weights they are taken with (N, h, L, S); the mask is always read."""
    scores = (q * q.shape[-1] ** -0.5) @ k.mT  # (N, h, L, S)
    weights = F.dropout(F.softmax(scores if mask is None else scores + mask, -1), dropout_p)
    return weights @ v, weights


def _without_weights(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, dropout_p: float, is_causal: bool) -> tuple[Tensor, None]:
    """The means of values (N, h, L, d)."""
    return F.scaled_dot_product_attention(q, k, v, None if is_causal else mask, dropout_p, is_causal), None
