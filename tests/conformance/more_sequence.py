"""Cases of our own for recurrent layers, attention and transformers: packed batches, dropout's draws, decoders, masks of every kind."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import torch
from agree import Case
from torch import Tensor, nn
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear


def drawn(*shape: int, seed: int = 0) -> Tensor:
    """Normal numbers that want a gradient."""
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def packed(lengths: list[int], enforce_sorted: bool) -> Any:
    return nn.utils.rnn.pack_sequence([drawn(n, 3, seed=n) for n in lengths], enforce_sorted=enforce_sorted)


def recurrent(cls: type, **options: Any) -> Iterator[Case]:
    """One network on packed, padded and single input, with and without a first state, and with dropout between layers."""
    directions = 2 if options.get("bidirectional") else 1
    output = options.get("proj_size") or 4

    def first(*batch: int) -> Any:
        shape = (2 * directions, *batch)
        return (drawn(*shape, output, seed=8), drawn(*shape, 4, seed=9)) if cls is nn.LSTM else drawn(*shape, 4, seed=8)

    options = {"num_layers": 2, **options}
    name = " ".join(f"{k}={v}" for k, v in options.items())
    for training, dropout in ((True, 0.4), (False, 0.4)):
        for lengths in ([4, 4, 4], [5, 3, 3, 1], [1, 4, 2]):
            batch = packed(lengths, enforce_sorted=lengths != [1, 4, 2])
            for state in ((), (first(len(lengths)),)):
                label = f"{name} packed {lengths} {'first state' if state else ''} {'train' if training else 'eval'}"
                yield Case(label, (batch, *state), make=(3, 4), options={**options, "dropout": dropout}, training=training)
        for x, state in ((drawn(5, 2, 3), first(2)), (drawn(5, 3), first()), (drawn(5, 0, 3), first(0)), (drawn(1, 2, 3), first(2))):
            label = f"{name} padded {list(x.shape)} {'train' if training else 'eval'}"
            yield Case(label, (x, state), make=(3, 4), options={**options, "dropout": dropout}, training=training)
    yield Case(f"{name} all dropped", (drawn(5, 2, 3),), make=(3, 4), options={**options, "dropout": 1.0})
    yield Case(f"{name} batch first", (drawn(2, 5, 3), first(2)), make=(3, 4), options={**options, "batch_first": True})
    yield Case(f"{name} not contiguous", (drawn(3, 2, 5).permute(2, 1, 0), first(2)), make=(3, 4), options=options)


def attention() -> Iterator[Case]:
    """Arguments of MultiheadAttention that torch's samples leave alone."""
    x, keys = drawn(3, 2, 8, seed=1), drawn(4, 2, 8, seed=2)
    numbers, hidden = drawn(4, 3, 4, seed=3), torch.tensor([[False, True, False, False]] * 3)
    padding = torch.tensor([[False, False, False, True], [False, False, True, True]])
    causal = nn.Transformer.generate_square_subsequent_mask(3, dtype=torch.float64)
    masks = {
        "numbers for each head": {"attn_mask": numbers},
        "booleans": {"attn_mask": hidden},
        "padding": {"key_padding_mask": padding},
        "padding in numbers": {"key_padding_mask": drawn(2, 4, seed=4), "attn_mask": numbers[0]},
        "booleans and padding": {"attn_mask": hidden, "key_padding_mask": padding},
    }
    for (label, mask), weights, added in itertools.product(masks.items(), ("mean", "heads", "none"), (False, True)):
        call = {**mask, "need_weights": weights != "none", "average_attn_weights": weights == "mean"}
        options = {"add_bias_kv": added, "add_zero_attn": added, "dropout": 0.3}
        yield Case(f"{label} weights {weights} {options}", (x, keys, keys), call, (8, 2), options)
    for need_weights in (False, True):
        call = {"attn_mask": causal, "is_causal": True, "need_weights": need_weights}
        yield Case(f"causal {need_weights}", (x, x, x), call, (8, 2))
        yield Case(f"causal padding {need_weights}", (x, x, x), {**call, "key_padding_mask": padding[:, 1:]}, (8, 2))
    for batch_first, (kdim, vdim) in itertools.product((False, True), ((5, 6), (8, 3), (5, 8))):
        k, v = drawn(*((2, 4) if batch_first else (4, 2)), kdim, seed=5), drawn(*((2, 4) if batch_first else (4, 2)), vdim, seed=6)
        options = {"kdim": kdim, "vdim": vdim, "batch_first": batch_first, "bias": kdim != vdim}
        yield Case(f"separate {options}", (x.transpose(0, 1) if batch_first else x, k, v), {}, (8, 2), options)
    yield Case("keys are values", (x, keys, keys), {}, (8, 2), {"batch_first": False})
    yield Case("keys are not values", (x, keys, drawn(4, 2, 8, seed=7)), {}, (8, 2))
    yield Case("one sequence", (drawn(3, 8), keys[:, 0], keys[:, 0]), {"attn_mask": numbers[:2]}, (8, 2), {"batch_first": True})
    yield Case("no sequence", (drawn(3, 0, 8), drawn(4, 0, 8), drawn(4, 0, 8)), {}, (8, 2))


def layers(kind: str) -> Iterator[Case]:
    """Stacks and layers with dropout, masks and both orders."""
    x, memory = drawn(2, 3, 8, seed=1), drawn(2, 4, 8, seed=2)
    causal = nn.Transformer.generate_square_subsequent_mask(3, dtype=torch.float64)
    padding = torch.tensor([[False, False, True], [False, True, True]])
    away = torch.tensor([[False, False, False, True], [True, False, False, True]])
    for norm_first, bias, activation, dropout in ((False, True, "relu", 0.2), (True, False, "gelu", 0.2), (True, True, torch.tanh, 0.0)):
        own = {"norm_first": norm_first, "bias": bias, "activation": activation, "batch_first": True, "dropout": dropout}
        label = f"norm_first={norm_first} {activation if isinstance(activation, str) else 'function'}"
        encoder = nn.TransformerEncoderLayer(8, 2, 5, **own)
        decoder = nn.TransformerDecoderLayer(8, 2, 5, **own)
        norm = nn.LayerNorm(8) if norm_first else None
        for training in (True, False):
            mode = f"{label} {'train' if training else 'eval'}"
            if kind == "encoder layer":
                yield Case(mode, (x, causal, padding), {}, (8, 2, 5), own, training)
                yield Case(f"{mode} causal", (x, causal), {"is_causal": True}, (8, 2, 5), own, training)
            elif kind == "decoder layer":
                yield Case(mode, (x, memory, causal, None, None, away), {}, (8, 2, 5), own, training)
            elif kind == "encoder":
                for mask in (causal, causal == -math.inf, drawn(3, 3).detach(), None):
                    kind_of_mask = "none" if mask is None else f"{mask.dtype} {'causal' if mask[0, 0] == 0 else ''}"
                    yield Case(f"{mode} mask {kind_of_mask}", (x, mask), {}, (encoder, 2, norm), {}, training)
                yield Case(f"{mode} padding", (x, None, padding), {}, (encoder, 2, norm), {}, training)
            elif kind == "decoder":
                any_mask = drawn(3, 3).detach()
                for said, mask in ((None, causal), (True, causal), (None, causal == -math.inf), (None, None), (False, any_mask)):
                    call = {"tgt_mask": mask, "tgt_is_causal": said, "memory_key_padding_mask": away}
                    label_of_mask = "none" if mask is None else f"{mask.dtype} {said}"
                    yield Case(f"{mode} mask {label_of_mask}", (x, memory), call, (decoder, 2, norm), {}, training)
                yield Case(f"{mode} one sequence", (x[0], memory[0], causal), {}, (decoder, 1, norm), {}, training)
            else:
                call = {"tgt_mask": causal, "src_key_padding_mask": away, "memory_key_padding_mask": away}
                sizes = {"num_encoder_layers": 2, "num_decoder_layers": 2, "dim_feedforward": 5}
                yield Case(mode, (memory, x), call, (8, 2), {**sizes, **own}, training)


def scaled() -> Iterator[Case]:
    """Attention as a function: masks, groups of heads, blocks, dropout's draws."""
    for L, S in ((3, 5), (5, 3), (70, 70), (130, 40)):
        q, k, v = drawn(2, 4, L, 6, seed=1), drawn(2, 4, S, 6, seed=2), drawn(2, 4, S, 7, seed=3)
        seen = torch.rand(2, 1, L, S, generator=torch.Generator().manual_seed(4)) < 0.5
        seen[0, 0, 1] = False  # a query that sees no key
        for name, call in {
            "causal": {"is_causal": True},
            "booleans": {"attn_mask": seen},
            "numbers": {"attn_mask": drawn(L, S, seed=5).detach(), "scale": 0.3},
            "learned": {"attn_mask": drawn(4, 1, S, seed=6)},
        }.items():
            yield Case(f"{L} {S} {name}", (q, k, v), call)
        yield Case(f"{L} {S} mask and causal", (q, k, k), {"attn_mask": seen, "is_causal": True})
        yield Case(f"{L} {S} dropout", (q, k, v), {"dropout_p": 0.3, "is_causal": True})
        yield Case(f"{L} {S} groups", (q, k[:, :2], v[:, :2]), {"enable_gqa": True, "is_causal": L == S})
    yield Case("two dimensions", (drawn(3, 4), drawn(5, 4), drawn(5, 2)))
    yield Case("five dimensions", (drawn(2, 1, 2, 3, 4), drawn(2, 1, 2, 5, 4), drawn(2, 1, 2, 5, 4)))
    yield Case("heads beside tokens", tuple(drawn(2, 70, 3, 4, seed=s).transpose(1, 2) for s in (1, 2, 3)), {"is_causal": True})


MODULES = {
    nn.RNN: [c for kind in ("tanh", "relu") for both in (False, True) for c in recurrent(nn.RNN, nonlinearity=kind, bidirectional=both)],
    nn.GRU: [*recurrent(nn.GRU), *recurrent(nn.GRU, bidirectional=True, bias=False)],
    nn.LSTM: [c for both in (False, True) for p in (0, 2) for c in recurrent(nn.LSTM, bidirectional=both, proj_size=p)],
    nn.RNNCell: [Case(f"batch {kind}", (drawn(3, 5),), make=(5, 4), options={"nonlinearity": kind}) for kind in ("tanh", "relu")],
    nn.GRUCell: [Case("batch", (drawn(3, 5), drawn(3, 4)), make=(5, 4)), Case("no bias", (drawn(3, 5),), make=(5, 4, False))],
    nn.LSTMCell: [
        Case("batch", (drawn(3, 5), (drawn(3, 4), drawn(3, 4, seed=1))), make=(5, 4)),
        Case("no bias", (drawn(5),), make=(5, 4, False)),
    ],
    NonDynamicallyQuantizableLinear: [Case("as Linear", (drawn(3, 5),), make=(5, 4))],
    nn.MultiheadAttention: list(attention()),
    nn.TransformerEncoderLayer: list(layers("encoder layer")),
    nn.TransformerDecoderLayer: list(layers("decoder layer")),
    nn.TransformerEncoder: list(layers("encoder")),
    nn.TransformerDecoder: list(layers("decoder")),
    nn.Transformer: list(layers("all")),
}
FUNCTIONS = {"scaled_dot_product_attention": list(scaled())}
