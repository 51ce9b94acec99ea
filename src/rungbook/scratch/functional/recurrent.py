"""Networks that read a sequence one step after the other: Elman's (1990), the LSTM and the GRU.

All three do the same at each step: two affine maps, one of the new input and one of what was remembered, then gates. The map of the input
needs nothing remembered, so it is one product for all steps at once; what is left for the loop is half of the work. Schmidhuber's later
variants (peepholes) are not here, as they are not in torch.

A batch of sequences is kept as torch packs it: the rows of step 0 of all sequences, then those of step 1 of all that are still running, the
longest first. `sizes[t]` says how many run at step t. Sequences of equal length are the case where all sizes are equal.

Shapes: T steps, N sequences, B of them running at a step, R = sum of sizes rows in all, I input features, H hidden features, P features of
the output (H, or less with a projection), L layers, D directions (1 or 2), G gates of a cell (RNN 1, GRU 3, LSTM 4).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from rungbook.scratch import functional as F
from rungbook.scratch.functional.closed_form import closed_form_applies
from rungbook.scratch.functional.lstm_scan import LSTMScan

State = tuple[Tensor, ...]
"""What is remembered from step to step: (h,), for the LSTM (h, c)."""


class Weights(NamedTuple):
    """Of one layer in one direction: (G H, I), (G H, P), (G H), (G H), (P, H)."""

    ih: Tensor
    hh: Tensor
    b_ih: Tensor | None = None
    b_hh: Tensor | None = None
    hr: Tensor | None = None


Step = Callable[[Tensor, State, Weights], State]
"""One step: the input's part of the gates (B, G H), what was remembered (B, *), the weights -> what is remembered now."""
Scan = Callable[[Tensor, list[int], State, Weights, bool], tuple[Tensor, State]]
"""All steps of a layer in one direction: input (R, I), sizes, first state (N, *), weights, backwards -> outputs (R, P), last state."""


def _tanh_step(gates: Tensor, state: State, w: Weights) -> State:
    return (F.tanh(gates + F.linear(state[0], w.hh, w.b_hh)),)


def _relu_step(gates: Tensor, state: State, w: Weights) -> State:
    return (F.relu(gates + F.linear(state[0], w.hh, w.b_hh)),)


def _lstm_step(gates: Tensor, state: State, w: Weights) -> State:
    h, c = state
    i, f, g, o = (gates + F.linear(h, w.hh, w.b_hh)).chunk(4, -1)  # each (B, H)
    c = F.sigmoid(f) * c + F.sigmoid(i) * F.tanh(g)
    h = F.sigmoid(o) * F.tanh(c)
    return (h if w.hr is None else F.linear(h, w.hr)), c  # (B, P), (B, H)


def _gru_step(gates: Tensor, state: State, w: Weights) -> State:
    (h,) = state
    r_x, z_x, n_x = gates.chunk(3, -1)  # each (B, H)
    r_h, z_h, n_h = F.linear(h, w.hh, w.b_hh).chunk(3, -1)
    r, z = F.sigmoid(r_x + r_h), F.sigmoid(z_x + z_h)
    n = F.tanh(n_x + r * n_h)
    return (n + z * (h - n),)


def _scan(step: Step, input: Tensor, sizes: list[int], first: State, w: Weights, backwards: bool) -> tuple[Tensor, State]:
    """The loop over time, in plain operations."""
    pieces = F.linear(input, w.ih, w.b_ih).split(sizes)  # T of (B, G H)
    outputs: list[Tensor] = []
    if backwards:  # the longest sequences begin at once, the others join when their last step comes
        state = tuple(s[:0] for s in first)
        for piece in reversed(pieces):
            running, joined = len(state[0]), len(piece)
            if joined > running:
                state = tuple(torch.cat([s, new[running:joined]]) for s, new in zip(state, first, strict=True))
            state = step(piece, state, w)
            outputs.insert(0, state[0])
        return torch.cat(outputs), state
    state = first
    ended: list[State] = []
    for piece in pieces:  # the shortest sequences end first; what they remember then is set aside
        running = len(piece)
        if running < len(state[0]):
            ended.insert(0, tuple(s[running:] for s in state))
            state = tuple(s[:running] for s in state)
        state = step(piece, state, w)
        outputs.append(state[0])
    return torch.cat(outputs), tuple(torch.cat(parts) for parts in zip(state, *ended, strict=True)) if ended else state


def _lstm_scan(input: Tensor, sizes: list[int], first: State, w: Weights, backwards: bool) -> tuple[Tensor, State]:
    """An LSTM's loop: with the closed backward where it applies."""
    if w.hr is not None or sizes[-1] != sizes[0] or not closed_form_applies(input, *first, *(x for x in w if x is not None)):
        return _scan(_lstm_step, input, sizes, first, w, backwards)
    bias = None if w.b_ih is None or w.b_hh is None else w.b_ih + w.b_hh
    gates = F.linear(input, w.ih, bias).unflatten(0, (len(sizes), -1))  # (T, N, 4H)
    output, h, c, *_ = LSTMScan.apply(gates.flip(0) if backwards else gates, *first, w.hh)
    return (output.flip(0) if backwards else output).flatten(0, 1), (h, c)  # (T N, H)


def _layers(
    scan: Scan, input: Tensor, sizes: list[int], first: State, weights: list[Weights], directions: int, dropout: float, train: bool
) -> tuple[Tensor, State]:
    """Layers on top of one another, each in every direction; states are (L D, N, *)."""
    last: list[State] = []
    for below in range(0, len(weights), directions):
        if below and train and dropout:
            input = F.dropout(input, dropout, train)
        outputs = []
        for k in range(below, below + directions):
            output, state = scan(input, sizes, tuple(s[k] for s in first), weights[k], k > below)
            outputs.append(output)
            last.append(state)
        input = torch.cat(outputs, -1) if directions > 1 else outputs[0]  # (R, D P)
    return input, tuple(torch.stack(parts) for parts in zip(*last, strict=True))


STEPS: dict[str, Step] = {"RNN_TANH": _tanh_step, "RNN_RELU": _relu_step, "LSTM": _lstm_step, "GRU": _gru_step}
"""Torch's name of a mode -> its step."""


def _grouped(params: Sequence[Tensor], has_biases: bool, groups: int) -> list[Weights]:
    """The weights of each layer, and in it of each direction."""
    each, own = len(params) // groups, 4 if has_biases else 2
    if each not in (own, own + 1) or each * groups != len(params):
        raise RuntimeError(
            f"params holds {len(params)} tensors; {groups} layers and directions "
            f"{'with' if has_biases else 'without'} biases need {own} each, or {own + 1} with a projection"
        )
    weights = []
    for k in range(0, len(params), each):
        ih, hh, *rest = params[k : k + each]
        b_ih, b_hh = (rest[0], rest[1]) if has_biases else (None, None)
        weights.append(Weights(ih, hh, b_ih, b_hh, rest[-1] if each > own else None))
    return weights


def recurrent(
    mode: str,
    input: Tensor,
    hx: State,
    params: Sequence[Tensor],
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool = False,
    batch_sizes: Tensor | None = None,
) -> tuple[Tensor, State]:
    """A recurrent network: `torch.rnn_tanh`, `rnn_relu`, `lstm` and `gru` in one.

    ==========  ========================================================================================================
    RNN_TANH    `h = tanh(W_ih x + b_ih + W_hh h + b_hh)` (Elman, 1990)
    RNN_RELU    `h = max(0, W_ih x + b_ih + W_hh h + b_hh)` (Le et al., 2015)
    LSTM        `i, f, o = sigmoid(...)`, `g = tanh(...)`, `c = f c + i g`, `h = o tanh(c)` (Hochreiter and Schmidhuber, 1997;
                forget gate: Gers et al., 2000); with a projection `h = W_hr o tanh(c)` (Sak et al., 2014)
    GRU         `r, z = sigmoid(...)`, `n = tanh(W_in x + b_in + r (W_hn h + b_hn))`, `h = (1 - z) n + z h` (Cho et al., 2014; the reset
                gate stands after the product, as in cuDNN)
    ==========  ========================================================================================================

    Args:
        mode: a key of STEPS.
        input: (T, N, I), (N, T, I) with batch_first, or (R, I) with batch_sizes.
        hx: first state: (h,), or (h, c) of an LSTM; h is (L D, N, P), c is (L D, N, H).
        params: weight_ih, weight_hh, then bias_ih and bias_hh if has_biases, then weight_hr if projected, of each layer and direction.
        num_layers: L.
        dropout: probability of dropping an output of all layers but the last, if train.
        batch_sizes: (T), sequences that run at each step, for packed input.

    Returns:
        Output of the last layer at each step, in the form of the input with D P features; last state.

    Raises:
        RuntimeError: params are not as many as the layers need, or there is no step.
    """
    directions = 2 if bidirectional else 1
    weights = _grouped(params, has_biases, num_layers * directions)
    scan = _lstm_scan if mode == "LSTM" else partial(_scan, STEPS[mode])
    if batch_sizes is not None:
        return _layers(scan, input, batch_sizes.tolist(), hx, weights, directions, dropout, train)
    steps_first = input.transpose(0, 1) if batch_first else input  # (T, N, I)
    if steps_first.shape[0] == 0:
        raise RuntimeError(f"input {tuple(input.shape)} has no steps; at least one is needed")
    sizes = [steps_first.shape[1]] * steps_first.shape[0]
    output, last = _layers(scan, steps_first.flatten(0, 1), sizes, hx, weights, directions, dropout, train)
    output = output.unflatten(0, (len(sizes), sizes[0]))  # (T, N, D P)
    return (output.transpose(0, 1) if batch_first else output), last


def recurrent_cell(mode: str, input: Tensor, hx: State, weights: Weights) -> State:
    """One step of one layer: `torch.rnn_tanh_cell`, `rnn_relu_cell`, `lstm_cell` and `gru_cell` in one.

    Args:
        mode: a key of STEPS.
        input: (N, I).
        hx: (h,), or (h, c) of an LSTM, each (N, H).

    Returns:
        The new state.

    Raises:
        RuntimeError: sizes do not fit together.
    """
    features, hidden = weights.ih.shape[1], weights.hh.shape[1]
    needed = f"weight_ih {tuple(weights.ih.shape)} and weight_hh {tuple(weights.hh.shape)} need"
    if input.shape[-1] != features:
        raise RuntimeError(f"input {tuple(input.shape)} has {input.shape[-1]} features, {needed} {features}")
    for i, h in enumerate(hx):
        if h.shape != (input.shape[0], hidden):
            raise RuntimeError(f"hx[{i}] is {tuple(h.shape)}; input {tuple(input.shape)}, {needed} {(input.shape[0], hidden)}")
    return STEPS[mode](F.linear(input, weights.ih, weights.b_ih), hx, weights)
