"""Attention in blocks is the plain form's; attention can be looked into; and it says what does not fit."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from rungbook.scratch import functional as F
from rungbook.scratch import nn
from rungbook.scratch.autograd.tape import Tape
from rungbook.scratch.functional.attention_blocks import BLOCK, AttentionInBlocks, plain_attention

covers = ["F15"]

theirs = torch.nn.functional.scaled_dot_product_attention


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def tables(L: int, S: int) -> tuple[Tensor, Tensor, Tensor]:
    return drawn(2, 3, L, 4, seed=1), drawn(2, 3, S, 4, seed=2), drawn(2, 3, S, 5, seed=3)


def hiding(L: int, S: int) -> Tensor:
    """Minus infinity for half of the keys, and for all keys of query 1."""
    hidden = torch.rand(3, L, S, generator=torch.Generator().manual_seed(4)) < 0.5
    hidden[:, 1] = True
    return torch.zeros(3, L, S, dtype=torch.float64).masked_fill(hidden, -math.inf)


@pytest.mark.parametrize("sizes", [(2, 3), (BLOCK, BLOCK), (2 * BLOCK + 3, 2 * BLOCK + 3), (2 * BLOCK, 40), (40, 2 * BLOCK)], ids=str)
@pytest.mark.parametrize("is_causal", [False, True], ids=["all", "causal"])
@pytest.mark.parametrize("masked", [False, True], ids=["open", "masked"])
def test_blocks_and_plain_agree(sizes: tuple[int, int], is_causal: bool, masked: bool) -> None:
    inputs, bias = tables(*sizes), hiding(*sizes) if masked else None
    closed = AttentionInBlocks.apply(*inputs, bias, is_causal, 0.7)
    plain = plain_attention(*inputs, bias, is_causal, 0.7)
    weight = drawn(*plain.shape, seed=5).detach()
    torch.testing.assert_close(closed, plain, rtol=0, atol=1e-12)
    for a, b in zip(torch.autograd.grad(closed, inputs, weight), torch.autograd.grad(plain, inputs, weight), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_blocks_by_finite_differences() -> None:
    inputs = drawn(1, 3, 2, seed=1), drawn(1, 3, 2, seed=2), drawn(1, 3, 1, seed=3)
    attend = lambda q, k, v: AttentionInBlocks.apply(q, k, v, None, True, 0.7)
    assert torch.autograd.gradcheck(attend, inputs)
    assert torch.autograd.gradgradcheck(attend, inputs)


def test_second_derivatives_are_torchs() -> None:
    """Of a self-attention, where query, key and value come from one tensor; written with torch's softmax, as its fused path has none."""

    def written_out(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        scores = q @ k.mT / math.sqrt(q.shape[-1])
        return scores.masked_fill(torch.ones_like(scores).triu(1).bool(), -math.inf).softmax(-1) @ v

    found = []
    for attend in (lambda *x: F.scaled_dot_product_attention(*x, is_causal=True), written_out):
        x = drawn(2, 5, 4)
        (first,) = torch.autograd.grad((attend(x, 2 * x, x) ** 2).sum(), x, create_graph=True)
        found.append(torch.autograd.grad((first**2).sum(), x)[0])
    torch.testing.assert_close(*found, rtol=0, atol=1e-9)


def test_a_query_that_sees_no_key_gets_zeros() -> None:
    q, k, v = tables(3, 4)
    seen = torch.tensor([[True] * 4, [False] * 4, [True] * 4])
    for grad in (True, False):  # in blocks, and plain
        with torch.set_grad_enabled(grad):
            assert torch.equal(F.scaled_dot_product_attention(q, k, v, seen)[..., 1, :], torch.zeros(2, 3, 5, dtype=torch.float64))
    naive = F.softmax((q @ k.mT).masked_fill(~seen, -math.inf), -1) @ v
    assert naive[..., 1, :].isnan().all()


def test_scores_too_large_for_exp() -> None:
    q, k, v = (x.detach() * 1e3 for x in tables(40, 40))
    got = F.scaled_dot_product_attention(q.requires_grad_(), k, v)
    torch.testing.assert_close(got, theirs(q, k, v), rtol=1e-9, atol=1e-9)


def test_the_tape_finds_torchs_gradients() -> None:
    inputs = tables(5, 5)
    wanted = torch.autograd.grad((theirs(*inputs, is_causal=True) ** 2).sum(), inputs)
    with Tape() as tape:
        tape.watch(*inputs)
        loss = (F.scaled_dot_product_attention(*inputs, is_causal=True) ** 2).sum()
    for a, b in zip(tape.gradient(loss, list(inputs)), wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-10)


def test_functional_transforms_see_through() -> None:
    q, k, v = (x.detach() for x in tables(5, 5))
    loss = lambda q, k, v: (F.scaled_dot_product_attention(q, k, v, is_causal=True) ** 2).sum()
    each = torch.vmap(torch.func.grad(loss))(q, k, v)
    together = torch.func.grad(loss)(q, k, v)
    torch.testing.assert_close(each, together, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_other_precisions(dtype: torch.dtype) -> None:
    inputs = [x.detach().to(dtype).requires_grad_() for x in tables(40, 40)]
    got, wanted = F.scaled_dot_product_attention(*inputs, is_causal=True), theirs(*inputs, is_causal=True)
    assert got.dtype == dtype
    tolerance = {torch.float32: 1e-6, torch.bfloat16: 2e-2, torch.float16: 3e-3}[dtype]
    torch.testing.assert_close(got, wanted, rtol=tolerance, atol=tolerance)
    for a, b in zip(torch.autograd.grad(got.sum(), inputs), torch.autograd.grad(wanted.sum(), inputs), strict=True):
        torch.testing.assert_close(a, b, rtol=4 * tolerance, atol=4 * tolerance)


def test_under_autocast() -> None:
    layer, x = nn.MultiheadAttention(8, 2), torch.randn(5, 3, 8, generator=torch.Generator().manual_seed(0))
    reference = torch.nn.MultiheadAttention(8, 2)
    reference.load_state_dict(layer.state_dict())
    with torch.autocast("cpu", torch.bfloat16):
        for need_weights in (False, True):
            a, b = layer(x, x, x, need_weights=need_weights)[0], reference(x, x, x, need_weights=need_weights)[0]
            assert a.dtype == b.dtype
            torch.testing.assert_close(a, b, rtol=0, atol=2e-2)


def test_on_the_device_of_the_input() -> None:
    q, k, v = (torch.empty(x.shape, device="meta") for x in tables(5, 5))
    for call in ({"is_causal": True}, {"attn_mask": torch.ones(5, 5, dtype=torch.bool, device="meta")}, {"dropout_p": 0.5}):
        assert F.scaled_dot_product_attention(q, k, v, **call).device.type == "meta"
        assert F.scaled_dot_product_attention(q.requires_grad_(), k, v, **call).device.type == "meta"


REFUSED: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "must each have at least 2 dimensions": ((drawn(4), drawn(3, 4), drawn(3, 4)), {}),
    "they must be alike": ((drawn(3, 4).float(), drawn(3, 4), drawn(3, 4)), {}),
    "a floating-point type is needed": (tuple(torch.ones(3, 4, dtype=torch.int64) for _ in range(3)), {}),
    "queries and keys need equally many features": ((drawn(3, 5), drawn(3, 4), drawn(3, 4)), {}),
    "keys and values equally many rows": ((drawn(3, 4), drawn(3, 4), drawn(2, 4)), {}),
    "attn_mask is torch.int64": ((drawn(3, 4), drawn(3, 4), drawn(3, 4), torch.ones(3, 3, dtype=torch.int64)), {}),
    "dropout_p is 1.5": ((drawn(3, 4), drawn(3, 4), drawn(3, 4)), {"dropout_p": 1.5}),
    "2 heads of key .* do not divide 3": ((drawn(3, 3, 4), drawn(2, 3, 4), drawn(2, 3, 4)), {"enable_gqa": True}),
    "enable_gqa needs heads": ((drawn(3, 4), drawn(3, 4), drawn(3, 4)), {"enable_gqa": True}),
}


@pytest.mark.parametrize("words", REFUSED)
def test_refused(words: str) -> None:
    args, kwargs = REFUSED[words]
    with pytest.raises(RuntimeError, match=words):
        F.scaled_dot_product_attention(*args, **kwargs)


HEADS: dict[str, tuple[type[Exception], dict[str, Any]]] = {
    "must all have 3 dimensions": (AssertionError, {"key": drawn(4, 8)}),
    "has 6 features, embed_dim is 8": (AssertionError, {"query": drawn(3, 2, 6)}),
    "have equally many features": (AssertionError, {"value": drawn(4, 2, 6)}),
    r"attn_mask is \(2, 2\), \(3, 4\) is needed": (RuntimeError, {"attn_mask": drawn(2, 2)}),
    r"attn_mask is \(2, 3, 4\), \(4, 3, 4\) is needed": (RuntimeError, {"attn_mask": drawn(2, 3, 4)}),
    r"attn_mask \(4,\) must have 2 or 3": (AssertionError, {"attn_mask": drawn(4)}),
    r"key_padding_mask is \(3, 4\), \(2, 4\) is needed": (AssertionError, {"key_padding_mask": drawn(3, 4)}),
    "key_padding_mask is torch.int64": (AssertionError, {"key_padding_mask": torch.ones(2, 4, dtype=torch.int64)}),
    "is_causal is a remark": (RuntimeError, {"is_causal": True}),
}


@pytest.mark.parametrize("words", HEADS)
def test_heads_refuse_what_torchs_refuse(words: str) -> None:
    error, call = HEADS[words]
    call = {"query": drawn(3, 2, 8), "key": drawn(4, 2, 8), "value": drawn(4, 2, 8), **call}
    with pytest.raises(error, match=words):
        nn.MultiheadAttention(8, 2, dtype=torch.float64)(**call)
    with pytest.raises(error):
        torch.nn.MultiheadAttention(8, 2, dtype=torch.float64)(**call)


def test_static_keys_and_values() -> None:
    layer = torch.nn.MultiheadAttention(8, 2, dtype=torch.float64)
    x, k, v = drawn(3, 2, 8), drawn(4, 4, 4, seed=1), drawn(4, 4, 4, seed=2)
    keys = drawn(4, 2, 8, seed=3)
    maps = (layer.out_proj.weight, layer.out_proj.bias)
    args = (x, keys, keys, 8, 2, layer.in_proj_weight, layer.in_proj_bias, None, None, False, 0.0, *maps)
    got = F.multi_head_attention_forward(*args, static_k=k, static_v=v)
    wanted = torch.nn.functional.multi_head_attention_forward(*args, static_k=k, static_v=v)
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-12)
    with pytest.raises(AssertionError, match=r"\(4, \*, 4\) is needed"):
        F.multi_head_attention_forward(*args, static_k=k[:3], static_v=v)
    with pytest.raises(AssertionError, match="cannot be added to static_k"):
        F.multi_head_attention_forward(*args[:7], drawn(1, 1, 8), drawn(1, 1, 8), *args[9:], static_k=k)
    with pytest.raises(AssertionError, match="both or neither"):
        F.multi_head_attention_forward(*args[:7], drawn(1, 1, 8), *args[8:])
    with pytest.raises(AssertionError, match="q_proj_weight is missing"):
        F.multi_head_attention_forward(*args, use_separate_proj_weight=True)
    with pytest.raises(AssertionError, match="in_proj_weight is missing"):
        F.multi_head_attention_forward(*args[:5], None, *args[6:])
    weights = {"q_proj_weight": drawn(8, 8), "k_proj_weight": drawn(8, 7), "v_proj_weight": drawn(8, 8)}
    with pytest.raises(AssertionError, match=r"k_proj_weight is \(8, 7\), \(8, 8\) is needed"):
        F.multi_head_attention_forward(*args, use_separate_proj_weight=True, **weights)
