"""Attention with several heads as a layer. Vaswani et al. (2017), section 3.2.2.

Shapes: N sequences, L queries, S keys, E features (of all heads together), h heads.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import Module, Parameter

from rungbook.scratch import functional as F
from rungbook.scratch.nn import init
from rungbook.scratch.nn.linear import Linear


class NonDynamicallyQuantizableLinear(Linear):
    """A `Linear` under the name that torch gives to an attention's last map, by which its quantisation knows to leave it alone."""


class MultiheadAttention(Module):
    """`concat(head_1, ..., head_h) @ W_O.T + b_O`, each head attending with affine maps of its own of queries, keys and values.

    Args:
        embed_dim: E.
        num_heads: h, must divide E.
        dropout: probability of dropping a weight, in training.
        bias: whether the maps have biases.
        add_bias_kv: add a key and a value, learned, to those of every sequence.
        add_zero_attn: add a key and a value of zeros, so that a query may look at nothing.
        kdim, vdim: features of keys and of values, E if None.
        batch_first: inputs and output are (N, L, E) instead of (L, N, E).

    Raises:
        ValueError: E or h is not positive.
        AssertionError: h does not divide E.
    """

    bias_k: Tensor | None
    bias_v: Tensor | None
    in_proj_weight: Tensor | None
    in_proj_bias: Tensor | None
    q_proj_weight: Tensor | None
    k_proj_weight: Tensor | None
    v_proj_weight: Tensor | None

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        if embed_dim <= 0 or num_heads <= 0:
            raise ValueError(f"embed_dim ({embed_dim}) and num_heads ({num_heads}) must be at least 1")
        if embed_dim % num_heads:
            raise AssertionError(f"num_heads ({num_heads}) must divide embed_dim ({embed_dim})")
        super().__init__()
        E = embed_dim
        self.embed_dim, self.kdim, self.vdim = E, E if kdim is None else kdim, E if vdim is None else vdim
        self._qkv_same_embed_dim = self.kdim == self.vdim == E
        self.num_heads, self.head_dim = num_heads, E // num_heads
        self.dropout, self.batch_first, self.add_zero_attn = dropout, batch_first, add_zero_attn

        same = self._qkv_same_embed_dim
        shapes: dict[str, tuple[int, ...] | None] = {
            "q_proj_weight": None if same else (E, E),
            "k_proj_weight": None if same else (E, self.kdim),
            "v_proj_weight": None if same else (E, self.vdim),
            "in_proj_weight": (3 * E, E) if same else None,
            "in_proj_bias": (3 * E,) if bias else None,
        }
        if add_bias_kv:
            shapes |= {"bias_k": (1, 1, E), "bias_v": (1, 1, E)}
        else:
            self.bias_k = self.bias_v = None
        for name, shape in shapes.items():
            self.register_parameter(name, None if shape is None else Parameter(torch.empty(shape, device=device, dtype=dtype)))
        self.out_proj = NonDynamicallyQuantizableLinear(E, E, bias, device, dtype)
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        """Draw the maps of queries, keys and values after Glorot, uniformly, and the added key and value normally; biases are 0."""
        for weight in (self.in_proj_weight, self.q_proj_weight, self.k_proj_weight, self.v_proj_weight):
            if weight is not None:
                init.xavier_uniform_(weight)
        for bias in (self.in_proj_bias, self.out_proj.bias):
            if bias is not None:
                init.zeros_(bias)
        for added in (self.bias_k, self.bias_v):
            if added is not None:
                init.xavier_normal_(added)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Attend.

        Args:
            query: (L, N, E), or (L, E) for one sequence.
            key, value: (S, N, kdim) and (S, N, vdim), or without N.
            key_padding_mask: (N, S), or (S): True where a key is hidden, or numbers to add to its scores.
            need_weights: return the weights, too; average_attn_weights: their mean over the heads.
            attn_mask: (L, S) or (N h, L, S): True where a key is hidden from a query, or numbers to add to the scores.
            is_causal: says that attn_mask hides what lies ahead, and lets it be left unread.

        Returns:
            Output in the form of the query, and if need_weights the weights, (N, L, S) or (N, h, L, S); without N for one sequence.

        Raises:
            AssertionError, RuntimeError: shapes do not fit together.
        """
        if query.is_nested or key.is_nested or value.is_nested:
            raise NotImplementedError("MultiheadAttention: nested tensors as query, key or value; pad them, with a key_padding_mask")
        turned = self.batch_first and query.dim() == 3
        if turned:  # one tensor stays one tensor: then its three maps are one product
            steps_first = {id(x): x.transpose(0, 1) for x in (query, key, value)}
            query, key, value = (steps_first[id(x)] for x in (query, key, value))
        output, weights = F.multi_head_attention_forward(
            query,
            key,
            value,
            self.embed_dim,
            self.num_heads,
            self.in_proj_weight,
            self.in_proj_bias,
            self.bias_k,
            self.bias_v,
            self.add_zero_attn,
            self.dropout,
            self.out_proj.weight,
            self.out_proj.bias,
            self.training,
            key_padding_mask,
            need_weights,
            attn_mask,
            not self._qkv_same_embed_dim,
            self.q_proj_weight,
            self.k_proj_weight,
            self.v_proj_weight,
            average_attn_weights=average_attn_weights,
            is_causal=is_causal,
        )
        return output.transpose(0, 1) if turned else output, weights

    def merge_masks(self, attn_mask: Tensor | None, key_padding_mask: Tensor | None, query: Tensor) -> tuple[Tensor | None, int | None]:
        """Both masks as one, as torch's fused kernels take it; `forward` needs no such form, and this is for code that asks for it.

        Args:
            attn_mask: (L, L) or (N h, L, L).
            key_padding_mask: (N, L), of the same kind: booleans, or numbers to add to the scores.
            query: (N, L, E).

        Returns:
            The mask and its kind: key_padding_mask as it is and 1; with an attn_mask (N, h, L, L) and 2; without any None and None.

        Raises:
            RuntimeError: the shapes do not fit together.
        """
        if attn_mask is None:
            return key_padding_mask, None if key_padding_mask is None else 1
        N, L, _ = query.shape
        for name, mask, fitting in (
            ("attn_mask", attn_mask, [(L, L), (N * self.num_heads, L, L)]),
            ("key_padding_mask", key_padding_mask, [(N, L)]),
        ):
            if mask is not None and mask.shape not in fitting:
                needed = " or ".join(map(str, fitting))
                raise RuntimeError(f"merge_masks: {name} is {tuple(mask.shape)}, query {tuple(query.shape)} needs {needed}")
        merged = attn_mask.expand(N, self.num_heads, L, L) if attn_mask.dim() == 2 else attn_mask.unflatten(0, (N, self.num_heads))
        return merged if key_padding_mask is None else merged + key_padding_mask.view(N, 1, 1, L), 2
