"""An LSTM's loop over time with a backward pass written out: what takes the time in training is then no more than the matrix products.

Autograd would undo the loop operation by operation, and add up the weight's gradient over T small products. By hand, all that does not
depend on later steps (the slopes of the gates) is computed for the whole sequence at once, the loop keeps one product a step, and the
weight's gradient is one product over all steps.

Shapes: T steps, N sequences, H hidden features; gates stand in the order input, forget, candidate, output.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rungbook.scratch import functional as F
from rungbook.scratch.functional.closed_form import gradients_of_plain_form


def plain_scan(gates: Tensor, h: Tensor, c: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """`i, f, o = sigmoid(...)`, `g = tanh(...)`, `c = f c + i g`, `h = o tanh(c)`: what LSTMScan computes, and what it is compared with.

    Args:
        gates: (T, N, 4H), the input's part of them, biases included.
        h, c: (N, H), first state.
        weight: (4H, H), from h to the gates.

    Returns:
        h at each step (T, N, H), last h and last c (N, H).
    """
    outputs = []
    for part in gates.unbind():
        i, f, g, o = (part + h @ weight.mT).chunk(4, -1)  # each (N, H)
        c = F.sigmoid(f) * c + F.sigmoid(i) * F.tanh(g)
        h = F.sigmoid(o) * F.tanh(c)
        outputs.append(h)
    return torch.stack(outputs), h, c


class LSTMScan(torch.autograd.Function):
    """`plain_scan`, with the backward pass in closed form."""

    @staticmethod
    def forward(ctx: Any, gates: Tensor, h: Tensor, c: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        T, N, H = *gates.shape[:2], weight.shape[1]
        # sigmoid(x) is 1 / (1 + exp(-x)), and tanh(x) is 2 sigmoid(2x) - 1: with these factors put in first, all gates are bent alike
        factor = gates.new_tensor([-1, -1, -2, -1]).repeat_interleave(H)  # (4H)
        from_input, from_h = gates * factor, weight.mT * factor
        active = torch.empty_like(from_input)  # the gates after sigmoid and tanh
        hs, cs = h.new_empty(T + 1, N, H), c.new_empty(T + 1, N, H)
        hs[0], cs[0] = h, c
        bent = torch.empty_like(cs[1:])  # tanh(c)
        for t in range(T):
            torch.addmm(from_input[t], hs[t], from_h, out=active[t]).exp_().add_(1).reciprocal_()
            i, f, g, o = active[t].split(H, -1)
            g.mul_(2).sub_(1)
            torch.mul(f, cs[t], out=cs[t + 1]).addcmul_(i, g)
            torch.mul(cs[t + 1], -2, out=bent[t]).exp_().add_(1).reciprocal_().mul_(2).sub_(1)
            torch.mul(o, bent[t], out=hs[t + 1])
        ctx.save_for_backward(gates, h, c, weight, active, hs, cs, bent)
        return hs[1:].clone(), hs[T].clone(), cs[T].clone()  # what is kept must not change with what is given away

    @staticmethod
    def backward(ctx: Any, d_output: Tensor, d_h: Tensor, d_c: Tensor) -> tuple[Tensor | None, ...]:
        gates, h, c, weight, active, hs, cs, bent = ctx.saved_tensors
        if torch.is_grad_enabled():
            return gradients_of_plain_form(plain_scan, (gates, h, c, weight), ctx.needs_input_grad, (d_output, d_h, d_c))
        T, H = bent.shape[0], bent.shape[2]
        i, f, g, o = active.unflatten(-1, (4, H)).unbind(2)  # each (T, N, H)
        # of c by each of its gates, and of h by its own
        slopes = torch.stack((g * i * (1 - i), cs[:-1] * f * (1 - f), i * (1 - g * g), bent * o * (1 - o)), 2)  # (T, N, 4, H)
        h_by_c = o * (1 - bent * bent)
        for t in reversed(range(T)):
            d_h = d_h + d_output[t]
            d_c = d_c + d_h * h_by_c[t]
            slopes[t, :, :3] *= d_c.unsqueeze(1)
            slopes[t, :, 3] *= d_h
            d_h, d_c = slopes[t].flatten(1) @ weight, d_c * f[t]
        d_gates = slopes.flatten(2)  # (T, N, 4H)
        d_weight = d_gates.flatten(0, 1).mT @ hs[:-1].flatten(0, 1)  # (4H, H)
        return d_gates, d_h, d_c, d_weight
