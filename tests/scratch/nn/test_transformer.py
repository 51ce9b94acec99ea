"""Transformers beside torch's: in evaluation, where torch takes another path; exchanged both ways; by the tape; and what they refuse."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from rungbook.scratch import functional as F
from rungbook.scratch import nn
from rungbook.scratch.autograd.tape import Tape
from rungbook.scratch.swap import swap, swap_report, unswap
from rungbook.scratch.twins import TWINS

CAUSAL = torch.nn.Transformer.generate_square_subsequent_mask(5, dtype=torch.float64)
LAST_HIDDEN = torch.tensor([[0, 0, 0, 0, 0], [0, 0, 0, 1, 1], [0, 0, 0, 0, 1]]).bool()
SOME_HIDDEN = torch.tensor([[0, 0, 1, 0, 0], [0, 1, 0, 1, 1], [0, 0, 0, 0, 1]]).bool()
PADDINGS: dict[str, Tensor | None] = {"none": None, "last": LAST_HIDDEN, "some": SOME_HIDDEN}
MASKS: dict[str, Tensor | None] = {"none": None, "causal": CAUSAL, "booleans": CAUSAL.isinf()}
# with "some" and a causal mask, a query is left without a key: there torch's two paths differ
BOTH = [(p, m) for p, m in itertools.product(PADDINGS, MASKS) if p != "some" or m == "none"]


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).requires_grad_()


@pytest.fixture
def fused(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which of torch's fused operations have been called."""
    called: list[str] = []

    def counted(name: str) -> Any:
        original = getattr(torch, name)
        return lambda *args: (called.append(name), original(*args))[1]

    for name in ("_transformer_encoder_layer_fwd", "_native_multi_head_attention"):
        monkeypatch.setattr(torch, name, counted(name))
    return called


@pytest.mark.filterwarnings("ignore:.*nested tensors is in prototype stage", "ignore:Converting mask", "ignore:Support for mismatched")
@pytest.mark.parametrize(("padding", "mask"), BOTH)
@pytest.mark.parametrize("norm_first", [False, True])
def test_in_evaluation_as_torchs_fused_path(padding: str, mask: str, norm_first: bool, fused: list[str]) -> None:
    torch.manual_seed(0)
    layer = torch.nn.TransformerEncoderLayer(8, 2, 16, activation="gelu", norm_first=norm_first, batch_first=True).double().eval()
    # torch's stack would warn that there are no nested tensors with norm_first
    encoder = torch.nn.TransformerEncoder(layer, 2, torch.nn.LayerNorm(8).double(), enable_nested_tensor=not norm_first).eval()
    x = drawn(3, 5, 8)
    with torch.no_grad():
        for theirs in (layer, encoder):
            fused.clear()
            wanted = theirs(x, MASKS[mask], PADDINGS[padding])
            assert fused
            fused.clear()
            torch.testing.assert_close(swap(copy.deepcopy(theirs))(x, MASKS[mask], PADDINGS[padding]), wanted, rtol=0, atol=1e-9)
            assert not fused


@pytest.mark.filterwarnings("ignore:.*nested tensors is in prototype stage")
def test_left_out_positions_are_zero_before_the_norm() -> None:
    layer = torch.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).double().eval()
    x = drawn(3, 5, 8)
    for check, hidden in itertools.product((True, False), (LAST_HIDDEN, SOME_HIDDEN)):
        if not check and hidden is SOME_HIDDEN:
            continue  # torch then puts the wrong positions in place
        theirs = torch.nn.TransformerEncoder(layer, 2, mask_check=check).eval()
        ours = swap(copy.deepcopy(theirs))
        with torch.no_grad():
            wanted, got = theirs(x, src_key_padding_mask=hidden), ours(x, src_key_padding_mask=hidden)
            torch.testing.assert_close(got, wanted, rtol=0, atol=1e-9)
            assert bool((wanted[hidden] == 0).all()) == (hidden is LAST_HIDDEN)
        computed = ours(x, src_key_padding_mask=hidden)  # with gradients nothing is left out
        assert not (computed[hidden] == 0).any()
        torch.testing.assert_close(computed, theirs(x, src_key_padding_mask=hidden), rtol=0, atol=1e-9)


@pytest.mark.filterwarnings("ignore:.*nested tensors is in prototype stage")
def test_our_layers_in_torchs_stack() -> None:
    layer = torch.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).double().eval()
    theirs = torch.nn.TransformerEncoder(layer, 2).eval()
    ours, x = swap(copy.deepcopy(theirs), only={torch.nn.TransformerEncoderLayer, torch.nn.MultiheadAttention}), drawn(3, 5, 8)
    assert type(ours) is torch.nn.TransformerEncoder
    with torch.no_grad():
        wanted = theirs(x, src_key_padding_mask=LAST_HIDDEN)
        torch.testing.assert_close(ours(x, src_key_padding_mask=LAST_HIDDEN), wanted, rtol=0, atol=1e-9)
    nested = torch.nested.nested_tensor([torch.zeros(2, 8), torch.zeros(3, 8)], layout=torch.jagged)
    with pytest.raises(NotImplementedError, match="src_mask or src_key_padding_mask"):
        ours.layers[0](nested, CAUSAL)


@pytest.mark.filterwarnings("ignore:Converting mask without torch.bool")
def test_attention_in_evaluation_as_torchs_fused_path(fused: list[str]) -> None:
    theirs = torch.nn.MultiheadAttention(8, 2, batch_first=True).double().eval()
    ours, x = swap(copy.deepcopy(theirs)), drawn(3, 5, 8)
    pairs = ((None, None), (LAST_HIDDEN, None), (None, CAUSAL.isinf()))
    for (padding, mask), weights, mean in itertools.product(pairs, (True, False), (True, False)):
        call = {"key_padding_mask": padding, "attn_mask": mask, "need_weights": weights, "average_attn_weights": mean}
        with torch.no_grad():
            wanted, got = theirs(x, x, x, **call), ours(x, x, x, **call)
        torch.testing.assert_close(got[0], wanted[0], rtol=0, atol=1e-9)
        assert (got[1] is None) == (wanted[1] is None)
        if weights:
            torch.testing.assert_close(got[1], wanted[1], rtol=0, atol=1e-9)
    assert fused


def test_exchanged_and_back() -> None:
    model = torch.nn.Transformer(8, 2, 1, 1, 16, dropout=0.0, batch_first=True).double()
    src, tgt = drawn(2, 4, 8), drawn(2, 3, 8, seed=1)
    before = model(src, tgt)
    swap(model, strict=True)
    assert not swap_report(model).left
    assert type(model.decoder.layers[0].multihead_attn.out_proj) is TWINS[torch.nn.modules.linear.NonDynamicallyQuantizableLinear]
    torch.testing.assert_close(model(src, tgt), before, rtol=0, atol=1e-12)
    unswap(model)
    assert type(model.encoder) is torch.nn.TransformerEncoder
    torch.testing.assert_close(model(src, tgt), before, rtol=0, atol=1e-12)


@pytest.mark.parametrize("activation", ["relu", "gelu", F.gelu, torch.nn.functional.relu, nn.GELU(), torch.nn.ReLU(), torch.tanh])
def test_the_same_attributes_as_torchs(activation: Any) -> None:
    make = lambda module: module.TransformerEncoderLayer(8, 2, 16, activation=activation, batch_first=True)
    theirs, ours = make(torch.nn), make(nn)
    assert set(vars(ours)) == set(vars(theirs))
    assert set(vars(ours.self_attn)) == set(vars(theirs.self_attn))
    if activation is F.gelu or isinstance(activation, nn.GELU):  # torch does not know these
        assert ours.activation_relu_or_gelu == 2
    else:
        assert ours.activation_relu_or_gelu == theirs.activation_relu_or_gelu
        stacks = nn.TransformerEncoder(ours, 2, enable_nested_tensor=False), torch.nn.TransformerEncoder(theirs, 2, None, False)
        a, b = ({k: v for k, v in vars(stack).items() if k[0] != "_"} for stack in stacks)
        assert a == b
    assert nn.TransformerEncoder(ours, 2).use_nested_tensor is (activation is not torch.tanh)


def test_the_tape_finds_torchs_gradients() -> None:
    torch.manual_seed(0)
    model = nn.Transformer(8, 2, 1, 1, 16, dropout=0.0, batch_first=True).double()
    reference = torch.nn.Transformer(8, 2, 1, 1, 16, dropout=0.0, batch_first=True).double()
    reference.load_state_dict(model.state_dict())
    src, tgt = drawn(2, 4, 8), drawn(2, 5, 8, seed=1)
    wanted = torch.autograd.grad((reference(src, tgt, tgt_mask=CAUSAL) ** 2).mean(), list(reference.parameters()))
    with Tape() as tape:
        tape.watch(model)
        loss = (model(src, tgt, tgt_mask=CAUSAL, tgt_is_causal=True) ** 2).mean()
    for a, b in zip(tape.gradient(loss, list(model.parameters())), wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-10)


def test_a_compiler_sees_one_graph() -> None:
    layer = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True), 1)
    x, mask = torch.randn(2, 5, 8), CAUSAL.float()
    compiled = torch.compile(layer, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x, mask), layer(x, mask))


def test_on_the_device_of_the_input() -> None:
    model = nn.Transformer(8, 2, 1, 1, 16, device="meta")
    src, tgt = torch.empty(4, 2, 8, device="meta"), torch.empty(3, 2, 8, device="meta")
    mask = model.generate_square_subsequent_mask(3, device="meta")
    assert model(src, tgt, tgt_mask=mask, tgt_is_causal=True).device.type == "meta"


def test_mask() -> None:
    for size, dtype in ((1, None), (4, torch.float64)):
        wanted = torch.nn.Transformer.generate_square_subsequent_mask(size, dtype=dtype)
        got = nn.Transformer.generate_square_subsequent_mask(size, dtype=dtype)
        assert got.dtype == wanted.dtype
        assert torch.equal(got, wanted)


def test_refused() -> None:
    with pytest.raises(RuntimeError, match="activation 'tanh' is neither relu nor gelu"):
        nn.TransformerEncoderLayer(8, 2, activation="tanh")
    with pytest.raises(ValueError, match=r"num_heads \(0\) must be at least 1"):
        nn.MultiheadAttention(8, 0)
    with pytest.raises(AssertionError, match=r"num_heads \(3\) must divide embed_dim \(8\)"):
        nn.MultiheadAttention(8, 3)
    model = nn.Transformer(8, 2, 1, 1, 16)
    with pytest.raises(RuntimeError, match=r"hold 2 and 3 sequences"):
        model(torch.zeros(4, 2, 8), torch.zeros(4, 3, 8))
    with pytest.raises(RuntimeError, match=r"must have d_model \(8\) features"):
        model(torch.zeros(4, 2, 8), torch.zeros(4, 2, 7))
    nested = torch.nested.nested_tensor([torch.zeros(2, 8), torch.zeros(3, 8)], layout=torch.jagged)
    with pytest.raises(NotImplementedError, match="nested tensors"):
        nn.MultiheadAttention(8, 2, batch_first=True)(nested, nested, nested)


@pytest.mark.parametrize("batch_first", [False, True])
def test_keys_of_another_size_are_named(batch_first: bool) -> None:
    tgt, memory = torch.zeros(3, 3, 8), torch.zeros(3, 3, 6)
    for module in (torch.nn, nn):
        layer = module.TransformerDecoderLayer(8, 2, 16, batch_first=batch_first)
        ours = r"key \(3, 3, 6\) has 6 features, in_proj_weight \(24, 8\) needs 8"
        with pytest.raises(RuntimeError, match=ours if module is nn else "cannot be multiplied"):
            layer(tgt, memory)


def test_keys_of_another_batch_are_refused() -> None:
    """Were they spread over the queries' sequences, one sequence would answer for all in silence."""
    query, key = torch.zeros(3, 1, 8), torch.zeros(4, 2, 8)
    for module in (torch.nn, nn):
        attention = module.MultiheadAttention(8, 2)
        for q, k in ((query, key), (key, query)):
            with pytest.raises(RuntimeError, match=f"key holds {k.shape[1]} sequences, query {q.shape[1]}" if module is nn else "invalid"):
                attention(q, k, k)


@pytest.mark.filterwarnings("ignore:enable_nested_tensor is True")
@pytest.mark.parametrize("shape", [(), (8,), (2, 3, 1, 8)], ids=str)
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("kind", ["encoder", "decoder", "Transformer"])
def test_dimensions_refused_as_by_torch(kind: str, batch_first: bool, shape: tuple[int, ...]) -> None:
    raised = []
    for module in (torch.nn, nn):
        model = module.Transformer(8, 2, 1, 1, 16, batch_first=batch_first)
        part, x = model if kind == "Transformer" else getattr(model, kind), torch.zeros(shape)
        with pytest.raises((IndexError, AssertionError)) as found:
            part(x) if kind == "encoder" else part(x, x)
        raised.append(found)
    assert raised[0].type is raised[1].type
    assert str(shape) in str(raised[1].value)


@pytest.mark.parametrize("padding", [None, LAST_HIDDEN], ids=["none", "padding"])
@pytest.mark.parametrize("mask", [None, CAUSAL.isinf(), drawn(6, 5, 5) < 0], ids=["none", "of all", "of each head"])
def test_merged_masks(mask: Tensor | None, padding: Tensor | None) -> None:
    query = torch.zeros(3, 5, 8)
    merged = [module.MultiheadAttention(8, 2, batch_first=True).merge_masks(mask, padding, query) for module in (torch.nn, nn)]
    assert merged[0][1] == merged[1][1]
    if merged[0][0] is None:
        assert merged[1][0] is None
    else:
        torch.testing.assert_close(merged[1][0], merged[0][0], rtol=0, atol=0)


def test_masks_that_cannot_be_merged() -> None:
    attention, query = nn.MultiheadAttention(8, 2), torch.zeros(3, 5, 8)
    with pytest.raises(RuntimeError, match=r"attn_mask is \(1, 5\), query \(3, 5, 8\) needs \(5, 5\) or \(6, 5, 5\)"):
        attention.merge_masks(torch.zeros(1, 5), None, query)
    with pytest.raises(RuntimeError, match=r"key_padding_mask is \(3, 4\), query \(3, 5, 8\) needs \(3, 5\)"):
        attention.merge_masks(torch.zeros(5, 5), torch.zeros(3, 4), query)


@pytest.mark.parametrize(
    ("error", "text", "wrong"),
    [
        (RuntimeError, r"in_proj_weight is \(20, 8\), \(24, 8\) is needed", {"in_proj_weight": torch.zeros(20, 8)}),
        (RuntimeError, r"in_proj_bias is \(23,\), \(24,\) is needed", {"in_proj_bias": torch.zeros(23)}),
        (IndexError, r"static_k \(4, 4\) must have 3 dimensions", {"static_k": torch.zeros(4, 4)}),
        (AssertionError, r"static_v is \(4, 3, 3\), \(4, \*, 4\) is needed", {"static_v": torch.zeros(4, 3, 3)}),
    ],
)
def test_wrong_arguments_of_the_function(error: type[Exception], text: str, wrong: dict[str, Tensor]) -> None:
    x = torch.zeros(3, 2, 8)
    right = {"in_proj_weight": torch.zeros(24, 8), "in_proj_bias": torch.zeros(24), "bias_k": None, "bias_v": None, "add_zero_attn": False}
    last = {"dropout_p": 0.0, "out_proj_weight": torch.zeros(8, 8), "out_proj_bias": None}
    with pytest.raises(error, match=text):
        F.multi_head_attention_forward(x, x, x, 8, 2, **right | last | wrong)
    with pytest.raises(error) as raised:
        torch.nn.functional.multi_head_attention_forward(x, x, x, 8, 2, **right | last | wrong)
    assert raised.type is error
