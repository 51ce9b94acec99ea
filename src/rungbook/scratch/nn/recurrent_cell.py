"""Recurrent cells: one step, for loops that do something of their own between steps.

Shapes: N sequences, I input features, H hidden features.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import Module, Parameter

from rungbook.scratch.functional.recurrent import State, Weights, recurrent_cell
from rungbook.scratch.nn.recurrent import GATES, draw_uniformly


class RNNCellBase(Module):
    """What the three cells share.

    Args:
        mode: RNN_TANH, LSTM or GRU.
        input_size: I.
        hidden_size: H.
        bias: whether the gates have biases (two vectors each, as cuDNN has it).
    """

    bias_ih: Tensor | None
    bias_hh: Tensor | None

    def __init__(
        self, mode: str, input_size: int, hidden_size: int, bias: bool, device: Any = None, dtype: torch.dtype | None = None
    ) -> None:
        super().__init__()
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        rows = GATES[mode] * hidden_size
        self.weight_ih = Parameter(torch.empty(rows, input_size, device=device, dtype=dtype))
        self.weight_hh = Parameter(torch.empty(rows, hidden_size, device=device, dtype=dtype))
        for name in ("bias_ih", "bias_hh"):
            self.register_parameter(name, Parameter(torch.empty(rows, device=device, dtype=dtype)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all parameters uniformly within 1 / sqrt(H)."""
        draw_uniformly(self.parameters(), self.hidden_size)

    def _step(self, mode: str, input: Tensor, hx: State | None, states: int = 1) -> State:
        """The new state after one input, which may be a single one."""
        if input.dim() not in (1, 2):
            raise ValueError(f"input {tuple(input.shape)} must have 2 dimensions, or 1 for a single one")
        if hx is None:
            hx = (torch.zeros(*input.shape[:-1], self.hidden_size, dtype=input.dtype, device=input.device),) * states
        for i, h in enumerate(hx):
            if h.dim() not in (1, 2):
                raise ValueError(f"hx[{i}] {tuple(h.shape)} must have 2 dimensions, or 1 for a single one")
        weights = Weights(self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        if input.dim() == 2:
            return recurrent_cell(mode, input, hx, weights)
        return tuple(h.squeeze(0) for h in recurrent_cell(mode, input.unsqueeze(0), tuple(h.unsqueeze(0) for h in hx), weights))

    def extra_repr(self) -> str:
        words = [str(self.input_size), str(self.hidden_size)]
        if self.bias is not True:
            words.append(f"bias={self.bias}")
        if getattr(self, "nonlinearity", "tanh") != "tanh":
            words.append(f"nonlinearity={self.nonlinearity}")
        return ", ".join(words)


class RNNCell(RNNCellBase):
    """One step of an `RNN`: `h = tanh(W_ih x + b_ih + W_hh h + b_hh)`.

    Args:
        input_size, hidden_size, bias: as of `RNNCellBase`.
        nonlinearity: tanh or relu.

    Shape:
        input (N, I) or (I), hx (N, H) or (H) or none for zeros -> (N, H) or (H).
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__("RNN_TANH", input_size, hidden_size, bias, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        if self.nonlinearity not in ("tanh", "relu"):
            raise RuntimeError(f"nonlinearity {self.nonlinearity!r} is neither tanh nor relu")
        return self._step(f"RNN_{self.nonlinearity.upper()}", input, None if hx is None else (hx,))[0]


class GRUCell(RNNCellBase):
    """One step of a `GRU`.

    Args:
        input_size, hidden_size, bias: as of `RNNCellBase`.

    Shape:
        input (N, I) or (I), hx (N, H) or (H) or none for zeros -> (N, H) or (H).
    """

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: torch.dtype | None = None) -> None:
        super().__init__("GRU", input_size, hidden_size, bias, device, dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        return self._step("GRU", input, None if hx is None else (hx,))[0]


class LSTMCell(RNNCellBase):
    """One step of an `LSTM`.

    Args:
        input_size, hidden_size, bias: as of `RNNCellBase`.

    Shape:
        input (N, I) or (I), hx (h, c) each (N, H) or (H), or none for zeros -> new (h, c).
    """

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: torch.dtype | None = None) -> None:
        super().__init__("LSTM", input_size, hidden_size, bias, device, dtype)

    def forward(self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        h, c = self._step("LSTM", input, None if hx is None else tuple(hx), states=2)
        return h, c
