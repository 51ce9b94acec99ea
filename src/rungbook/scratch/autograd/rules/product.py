"""Gradients of matrix products and convolutions: each is linear in both factors, so each gradient is a product with the other factor.

Letters: g gradient of the output, y output, a and b factors, x what is added.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rungbook.scratch.autograd.rules.form import Joint, Rule, scaled

aten = torch.ops.aten


def _convolution(wanted: list[bool], g: Tensor, y: Tensor, x: Tensor, w: Tensor, b: Tensor | None, *options: Any) -> Any:
    shape = None if b is None else list(b.shape)
    return aten.convolution_backward(g, x, w, shape, *options, [wanted[0], wanted[1], wanted[2]])


PRODUCTS: dict[Any, Rule] = {
    aten.mm.default: (lambda g, y, a, b: g @ b.mT, lambda g, y, a, b: a.mT @ g),
    aten.bmm.default: (lambda g, y, a, b: g @ b.mT, lambda g, y, a, b: a.mT @ g),
    aten.mv.default: (lambda g, y, a, b: g.unsqueeze(1) * b, lambda g, y, a, b: a.mT @ g),
    aten.dot.default: (lambda g, y, a, b: g * b, lambda g, y, a, b: g * a),
    aten.vdot.default: (lambda g, y, a, b: g * b, lambda g, y, a, b: g * a),
    aten.addmm.default: (
        lambda g, y, x, a, b, beta=1, alpha=1: scaled(g, beta),
        lambda g, y, x, a, b, beta=1, alpha=1: scaled(g @ b.mT, alpha),
        lambda g, y, x, a, b, beta=1, alpha=1: scaled(a.mT @ g, alpha),
    ),
    aten.baddbmm.default: (
        lambda g, y, x, a, b, beta=1, alpha=1: scaled(g, beta),
        lambda g, y, x, a, b, beta=1, alpha=1: scaled(g @ b.mT, alpha),
        lambda g, y, x, a, b, beta=1, alpha=1: scaled(a.mT @ g, alpha),
    ),
    aten.addbmm.default: (
        lambda g, y, x, a, b, beta=1, alpha=1: scaled(g, beta),
        lambda g, y, x, a, b, beta=1, alpha=1: scaled(g @ b.mT, alpha),
        lambda g, y, x, a, b, beta=1, alpha=1: scaled(a.mT @ g, alpha),
    ),
    aten.addmv.default: (
        lambda g, y, x, a, b, beta=1, alpha=1: scaled(g, beta),
        lambda g, y, x, a, b, beta=1, alpha=1: scaled(g.unsqueeze(1) * b, alpha),
        lambda g, y, x, a, b, beta=1, alpha=1: scaled(a.mT @ g, alpha),
    ),
    aten.addr.default: (
        lambda g, y, x, a, b, beta=1, alpha=1: scaled(g, beta),
        lambda g, y, x, a, b, beta=1, alpha=1: scaled(g @ b, alpha),
        lambda g, y, x, a, b, beta=1, alpha=1: scaled(a @ g, alpha),
    ),
    aten.convolution.default: Joint(_convolution),
}
