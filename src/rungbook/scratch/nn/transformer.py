"""The transformer: layers of attention and of small networks for each position. Vaswani et al. (2017).

Each of the two stands beside a sum: `x + part(x)`. The paper normalises after the sum; before the part (`norm_first`, Xiong et al., 2020)
trains without a warm-up. Torch has a second, fused path for evaluation; there is none here. Results are the same but where that path
departs from what torch does in training: there, a query that may see no key gives NaN, and each number but 0 in a mask hides its key.

Shapes: N sequences, S positions of the source, T of the target, E features.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module, ModuleList

from rungbook.scratch import functional as F
from rungbook.scratch.functional.attention import additive
from rungbook.scratch.functional.closed_form import under_autocast
from rungbook.scratch.nn import init
from rungbook.scratch.nn.attention import MultiheadAttention
from rungbook.scratch.nn.dropout import Dropout
from rungbook.scratch.nn.linear import Linear
from rungbook.scratch.nn.norm import LayerNorm

Activation = Callable[[Tensor], Tensor]


def _activation(wanted: str | Activation) -> Activation:
    """A function, by itself or by its name."""
    if not isinstance(wanted, str):
        return wanted
    if wanted not in ("relu", "gelu"):
        raise RuntimeError(f"activation {wanted!r} is neither relu nor gelu, nor a function")
    return F.relu if wanted == "relu" else F.gelu


def _kind(activation: Activation) -> int:
    """1 for a relu and 2 for a gelu, torch's or ours: torch's fused path asks for it, should a layer be turned back into torch's."""
    made = type(activation) if isinstance(activation, Module) else activation
    known = getattr(made, "__module__", "").split(".")[0] in ("torch", __name__.split(".")[0])
    return {"relu": 1, "gelu": 2}.get(getattr(made, "__name__", "").lower(), 0) if known else 0


def _is_causal(mask: Tensor | None, said: bool | None, positions: int) -> bool:
    """Whether a mask is known to hide what lies ahead, and nothing else: because it is said, or because a look shows it."""
    if said is not None or mask is None or torch.compiler.is_compiling() or mask.shape != (positions, positions):
        return said is True
    return torch.equal(additive(mask, True, torch.float32), causal_mask(positions, mask.device))


def _positions(name: str, x: Tensor, batch_first: bool) -> int:
    """How many positions there are in (S, N, E), (N, S, E) with batch_first, or (S, E)."""
    where = 1 if batch_first and x.dim() != 2 else 0
    if x.dim() <= where:
        form = "(N, positions, features)" if batch_first else "(positions, N, features)"
        raise IndexError(f"{name} {tuple(x.shape)} must be {form}, or (positions, features) for one sequence")
    return x.shape[where]


def causal_mask(size: int, device: Any = None, dtype: torch.dtype | None = None) -> Tensor:
    """(size, size) with minus infinity where a position lies ahead, above the diagonal, and 0 elsewhere."""
    position = torch.arange(size, device=device)
    return torch.zeros(size, size, device=device, dtype=dtype).masked_fill(position > position.unsqueeze(1), -math.inf)


class TransformerEncoderLayer(Module):
    """Self-attention, then a network of two maps for each position, each with dropout, a sum and a normalisation.

    Args:
        d_model: E.
        nhead: heads of the attention.
        dim_feedforward: features between the two maps.
        dropout: probability of dropping: an attention's weight, a feature between the maps, a feature of what is added.
        activation: between the two maps: relu, gelu or a function.
        layer_norm_eps: eps of the normalisations.
        batch_first: input and output are (N, S, E) instead of (S, N, E).
        norm_first: normalise what goes into each part, not the sum.
        bias: whether the maps and normalisations have biases.

    Raises:
        RuntimeError: activation is another word.
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Activation = F.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        to: dict[str, Any] = {"device": device, "dtype": dtype}
        self.self_attn = MultiheadAttention(d_model, nhead, dropout, bias, batch_first=batch_first, **to)
        self.linear1 = Linear(d_model, dim_feedforward, bias, **to)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias, **to)
        self.norm_first = norm_first
        self.norm1 = LayerNorm(d_model, layer_norm_eps, bias=bias, **to)
        self.norm2 = LayerNorm(d_model, layer_norm_eps, bias=bias, **to)
        self.dropout1, self.dropout2 = Dropout(dropout), Dropout(dropout)
        self.activation = _activation(activation)
        self.activation_relu_or_gelu = _kind(self.activation)

    def forward(
        self, src: Tensor, src_mask: Tensor | None = None, src_key_padding_mask: Tensor | None = None, is_causal: bool = False
    ) -> Tensor:
        if src.is_nested:  # torch's own stack, left as it is, hands it over so in evaluation: each sequence by itself, and nothing to hide
            if src_mask is not None or src_key_padding_mask is not None:
                raise NotImplementedError("TransformerEncoderLayer: src_mask or src_key_padding_mask with a nested src")
            return torch.nested.as_nested_tensor([self(x.unsqueeze(0)).squeeze(0) for x in src.unbind()], layout=src.layout)

        def attend(x: Tensor) -> Tensor:
            found = self.self_attn(
                x, x, x, attn_mask=src_mask, key_padding_mask=src_key_padding_mask, need_weights=False, is_causal=is_causal
            )[0]
            return self.dropout1(found)

        def think(x: Tensor) -> Tensor:
            return self.dropout2(self.linear2(self.dropout(self.activation(self.linear1(x)))))

        x = src
        if self.norm_first:
            x = x + attend(self.norm1(x))
            return x + think(self.norm2(x))
        x = self.norm1(x + attend(x))
        return self.norm2(x + think(x))


class TransformerDecoderLayer(Module):
    """Self-attention, attention to what an encoder found, then a network of two maps for each position.

    Args:
        d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first, bias: of the encoder's layer.
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Activation = F.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        to: dict[str, Any] = {"device": device, "dtype": dtype}
        self.self_attn = MultiheadAttention(d_model, nhead, dropout, bias, batch_first=batch_first, **to)
        self.multihead_attn = MultiheadAttention(d_model, nhead, dropout, bias, batch_first=batch_first, **to)
        self.linear1 = Linear(d_model, dim_feedforward, bias, **to)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias, **to)
        self.norm_first = norm_first
        self.norm1 = LayerNorm(d_model, layer_norm_eps, bias=bias, **to)
        self.norm2 = LayerNorm(d_model, layer_norm_eps, bias=bias, **to)
        self.norm3 = LayerNorm(d_model, layer_norm_eps, bias=bias, **to)
        self.dropout1, self.dropout2, self.dropout3 = Dropout(dropout), Dropout(dropout), Dropout(dropout)
        self.activation = _activation(activation)

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Tensor:
        def attend(x: Tensor) -> Tensor:
            found = self.self_attn(
                x, x, x, attn_mask=tgt_mask, key_padding_mask=tgt_key_padding_mask, need_weights=False, is_causal=tgt_is_causal
            )[0]
            return self.dropout1(found)

        def look(x: Tensor) -> Tensor:
            found = self.multihead_attn(
                x,
                memory,
                memory,
                attn_mask=memory_mask,
                key_padding_mask=memory_key_padding_mask,
                need_weights=False,
                is_causal=memory_is_causal,
            )[0]
            return self.dropout2(found)

        def think(x: Tensor) -> Tensor:
            return self.dropout3(self.linear2(self.dropout(self.activation(self.linear1(x)))))

        x = tgt
        if self.norm_first:
            x = x + attend(self.norm1(x))
            x = x + look(self.norm2(x))
            return x + think(self.norm3(x))
        x = self.norm1(x + attend(x))
        x = self.norm2(x + look(x))
        return self.norm3(x + think(x))


class TransformerEncoder(Module):
    """Copies of a layer on top of one another, with equal weights at first.

    Args:
        encoder_layer: what is copied.
        num_layers: how often.
        norm: comes last, if given.
        enable_nested_tensor: as in torch; no nested tensor is made, but hidden positions come out as torch has them then, see `forward`.
        mask_check: as in torch: see that hidden positions come last in each sequence before relying on it.
    """

    def __init__(
        self, encoder_layer: Module, num_layers: int, norm: Module | None = None, enable_nested_tensor: bool = True, mask_check: bool = True
    ) -> None:
        super().__init__()
        self.layers = ModuleList(copy.deepcopy(encoder_layer) for _ in range(num_layers))
        self.num_layers, self.norm = num_layers, norm
        self.enable_nested_tensor, self.mask_check = enable_nested_tensor, mask_check
        self.use_nested_tensor = enable_nested_tensor and _has_fused_path(encoder_layer)

    def forward(
        self,
        src: Tensor,
        mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool | None = None,
    ) -> Tensor:
        """Run all layers.

        Torch leaves hidden positions out when it evaluates without gradients, and puts zeros there afterwards (before `norm`). Here they
        are computed like the rest, and set to zero under the same conditions.

        Args:
            src: (S, N, E), (N, S, E) with batch_first, or (S, E).
            mask: (S, S) or (N h, S, S), for the attention.
            src_key_padding_mask: (N, S) or (S), for the attention.
            is_causal: whether mask hides what lies ahead, and nothing else; None: look.

        Returns:
            In the form of src.

        Raises:
            IndexError: src has too few dimensions to have positions.
        """
        first = self.layers[0]
        attention: Any = first.self_attn
        causal = _is_causal(mask, is_causal, _positions("src", src, attention.batch_first))
        output = src
        for layer in self.layers:
            output = layer(output, src_mask=mask, is_causal=causal, src_key_padding_mask=src_key_padding_mask)
        if src_key_padding_mask is not None and mask is None and self._leaves_out(src, src_key_padding_mask):
            hidden = additive(src_key_padding_mask, True, src.dtype) == -math.inf
            output = output.masked_fill(hidden.unsqueeze(-1), 0)
        return output if self.norm is None else self.norm(output)

    def _leaves_out(self, src: Tensor, padding: Tensor) -> bool:
        """Whether torch would have left hidden positions out."""
        first = self.layers[0]
        needs_gradients = torch.is_grad_enabled() and any(x.requires_grad for x in (src, *first.parameters()))
        if not self.use_nested_tensor or first.training or src.dim() != 3 or needs_gradients:
            return False
        if under_autocast(src) or not torch.backends.mha.get_fastpath_enabled():
            return False
        if not self.mask_check:
            return True
        hidden = additive(padding, True, src.dtype) == -math.inf
        return not torch.compiler.is_compiling() and not bool((hidden[:, :-1] & ~hidden[:, 1:]).any())


def _has_fused_path(layer: Any) -> bool:
    """Whether torch has a fused path for a layer like this."""
    if not isinstance(layer, TransformerEncoderLayer | torch.nn.TransformerEncoderLayer) or layer.norm_first:
        return False
    attention: Any = layer.self_attn
    if not attention.batch_first or not attention._qkv_same_embed_dim or attention.in_proj_bias is None or attention.num_heads % 2:
        return False
    return layer.activation_relu_or_gelu > 0 and layer.norm1.eps == layer.norm2.eps


class TransformerDecoder(Module):
    """Copies of a layer on top of one another, with equal weights at first.

    Args:
        decoder_layer: what is copied.
        num_layers: how often.
        norm: comes last, if given.
    """

    def __init__(self, decoder_layer: Module, num_layers: int, norm: Module | None = None) -> None:
        super().__init__()
        self.layers = ModuleList(copy.deepcopy(decoder_layer) for _ in range(num_layers))
        self.num_layers, self.norm = num_layers, norm

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        attention: Any = self.layers[0].self_attn
        causal = _is_causal(tgt_mask, tgt_is_causal, _positions("tgt", tgt, attention.batch_first))
        output = tgt
        for layer in self.layers:
            output = layer(
                output,
                memory,
                tgt_mask=tgt_mask,
                memory_mask=memory_mask,
                tgt_key_padding_mask=tgt_key_padding_mask,
                memory_key_padding_mask=memory_key_padding_mask,
                tgt_is_causal=causal,
                memory_is_causal=memory_is_causal,
            )
        return output if self.norm is None else self.norm(output)


class Transformer(Module):
    """An encoder of a source sequence, and a decoder of a target sequence that looks at what the encoder found.

    Args:
        d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first, bias: of the encoder's layer.
        num_encoder_layers, num_decoder_layers: how many layers each has.
        custom_encoder, custom_decoder: modules to take instead.
    """

    def __init__(
        self,
        d_model: int = 512,
        nhead: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Activation = F.relu,
        custom_encoder: Any | None = None,
        custom_decoder: Any | None = None,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        to: dict[str, Any] = {"device": device, "dtype": dtype}
        layer = (d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first, bias)
        if custom_encoder is None:
            encoder_layer = TransformerEncoderLayer(*layer, **to)
            custom_encoder = TransformerEncoder(encoder_layer, num_encoder_layers, LayerNorm(d_model, layer_norm_eps, bias=bias, **to))
        self.encoder = custom_encoder
        if custom_decoder is None:
            decoder_layer = TransformerDecoderLayer(*layer, **to)
            custom_decoder = TransformerDecoder(decoder_layer, num_decoder_layers, LayerNorm(d_model, layer_norm_eps, bias=bias, **to))
        self.decoder = custom_decoder
        self._reset_parameters()
        self.d_model, self.nhead, self.batch_first = d_model, nhead, batch_first

    def _reset_parameters(self) -> None:
        """Draw all matrices after Glorot, uniformly: from here on the copies of a layer differ."""
        for parameter in self.parameters():
            if parameter.dim() > 1:
                init.xavier_uniform_(parameter)

    def forward(
        self,
        src: Tensor,
        tgt: Tensor,
        src_mask: Tensor | None = None,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        src_is_causal: bool | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """Decode.

        Args:
            src: (S, N, E), (N, S, E) with batch_first, or (S, E).
            tgt: (T, N, E), (N, T, E) with batch_first, or (T, E).
            src_mask, tgt_mask, memory_mask: (S, S), (T, T) and (T, S): True where hidden, or numbers to add to the scores.
            src_key_padding_mask, tgt_key_padding_mask, memory_key_padding_mask: (N, S), (N, T) and (N, S), or without N.
            src_is_causal, tgt_is_causal, memory_is_causal: whether a mask hides what lies ahead, and nothing else; None: look.

        Returns:
            In the form of tgt.

        Raises:
            IndexError: src or tgt has too few dimensions.
            RuntimeError: src and tgt differ in N, or a number of features is not E.
        """
        shapes = f"src {tuple(src.shape)} and tgt {tuple(tgt.shape)}"
        batch = 0 if self.batch_first else 1
        if min(src.dim(), tgt.dim()) <= batch:
            raise IndexError(f"{shapes} must both be {'(N, S, E)' if self.batch_first else '(S, N, E)'}, or (S, E) for one sequence")
        if src.dim() == 3 and src.shape[batch] != tgt.shape[batch]:
            raise RuntimeError(f"{shapes} hold {src.shape[batch]} and {tgt.shape[batch]} sequences")
        if not src.shape[-1] == tgt.shape[-1] == self.d_model:
            raise RuntimeError(f"{shapes} must have d_model ({self.d_model}) features")
        memory = self.encoder(src, mask=src_mask, src_key_padding_mask=src_key_padding_mask, is_causal=src_is_causal)
        return self.decoder(
            tgt,
            memory,
            tgt_mask=tgt_mask,
            memory_mask=memory_mask,
            tgt_key_padding_mask=tgt_key_padding_mask,
            memory_key_padding_mask=memory_key_padding_mask,
            tgt_is_causal=tgt_is_causal,
            memory_is_causal=memory_is_causal,
        )

    @staticmethod
    def generate_square_subsequent_mask(sz: int, device: Any = None, dtype: torch.dtype | None = None) -> Tensor:
        """(sz, sz) with minus infinity where a position lies ahead, above the diagonal, and 0 elsewhere."""
        return causal_mask(sz, device, dtype)
