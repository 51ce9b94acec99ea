"""Gradients of operations along dimensions: sums, norms, extremes, running sums and products, orders.

Letters: g gradient of the output, y output, x input, n elements reduced.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from rungbook.scratch.autograd.rules.form import Rule, dims_of, spread

aten = torch.ops.aten


def _count(x: Tensor, dim: Any) -> int:
    return math.prod(x.shape[d] for d in dims_of(dim, x.dim()))


def _sum(g: Tensor, y: Tensor, x: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    return spread(g, x, dim, keepdim)


def _mean(g: Tensor, y: Tensor, x: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    return spread(g / _count(x, dim), x, dim, keepdim)


def _extreme(g: Tensor, y: Tensor, x: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """All elements equal to the extreme share its gradient."""
    best = spread(y, x, dim, keepdim)
    tied = torch.where(best.isnan(), x.isnan(), x == best)
    return tied * spread(g / tied.sum(dims_of(dim, x.dim()), keepdim=keepdim), x, dim, keepdim)


def _aminmax(g: list[Tensor | None], y: list[Tensor], x: Tensor, *, dim: int | None = None, keepdim: bool = False) -> Tensor:
    parts = [_extreme(a, b, x, dim, keepdim) for a, b in zip(g, y, strict=True) if a is not None]
    return parts[0] if len(parts) == 1 else parts[0] + parts[1]


def _at(g: Tensor, x: Tensor, index: Tensor, dim: int, keepdim: bool = True) -> Tensor:
    """g added where the values were taken from."""
    if not keepdim and x.dim():
        g, index = g.unsqueeze(dim), index.unsqueeze(dim)  # one more 1
    return torch.zeros(x.shape, dtype=g.dtype, device=g.device).scatter_add(dim, index, g)


def _chosen(g: list[Tensor], y: list[Tensor], x: Tensor, dim: int = -1, keepdim: bool = False) -> Tensor:
    """Of a value and where it was: ties go to that place."""
    return _at(g[0], x, y[1], dim, keepdim)


def _deviations(x: Tensor, dim: Any, correction: Any) -> Tensor:
    """(x - mean) / (n - correction)."""
    dims = dims_of(dim, x.dim())
    free = _count(x, dim) - (1 if correction is None else correction)
    return (x - (x.mean(dims, keepdim=True) if dims else x)) / max(free, 0) if free > 0 else (x - x) / torch.zeros_like(x)


def _var(g: Tensor, y: Tensor, x: Tensor, dim: Any = None, *, correction: Any = None, keepdim: bool = False) -> Tensor:
    return spread(2 * g, x, dim, keepdim) * _deviations(x, dim, correction)


def _std(g: Tensor, y: Tensor, x: Tensor, dim: Any = None, *, correction: Any = None, keepdim: bool = False) -> Tensor:
    return _var(torch.where(y == 0, 0, g / (2 * y)), y, x, dim, correction=correction, keepdim=keepdim)


def _with_mean(spread_rule: Any) -> Any:
    """The rule of an operation that returns (deviation, mean)."""

    def formula(g: Any, y: Any, x: Tensor, dim: Any = None, *, correction: Any = None, keepdim: bool = False) -> Tensor:
        parts = [] if g[0] is None else [spread_rule(g[0], y[0], x, dim, correction=correction, keepdim=keepdim)]
        parts += [] if g[1] is None else [_mean(g[1], y[1], x, dim, keepdim)]
        return parts[0] if len(parts) == 1 else parts[0] + parts[1]

    return formula


def _norm(g: Tensor, y: Tensor, x: Tensor, p: float = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """Of (sum |x| ** p) ** (1 / p): x's sign times (|x| / norm) ** (p - 1), and 0 where the norm has a kink."""
    x = x.to(y.dtype)
    g, norm = spread(g, x, dim, keepdim), spread(y, x, dim, keepdim)
    if p == 0:
        return torch.zeros_like(x)
    if p == 1:
        return g * torch.sign(x)
    if p == 2:
        return torch.where(norm == 0, 0, g * (x / norm))
    if math.isinf(p):
        tied = torch.where(norm.isnan(), x.isnan(), x.abs() == norm)
        share = tied / tied.sum(dims_of(dim, x.dim()), keepdim=True) if x.dim() else tied
        return torch.sign(x) * (g * share)
    size = x.abs()
    power = torch.where(x == 0, 0, torch.sign(x) * size.pow(p - 1)) if p < 2 else x * size.pow(p - 2)
    return torch.where(norm == 0, 0, power * (g * norm.pow(1 - p))) if p > 1 else power * (g * norm.pow(1 - p))


def _old_norm(g: Tensor, y: Tensor, x: Tensor, p: float | None = 2, dim: Any = None, keepdim: bool = False, **_: Any) -> Tensor:
    return _norm(g, y, x, 2 if p is None else p, dim, keepdim)


def _distance(g: Tensor, y: Tensor, a: Tensor, b: Tensor, p: float = 2) -> Tensor:
    return _norm(g, y, a - b, p)


def _back_cumsum(x: Tensor, dim: int) -> Tensor:
    return x.flip(dim).cumsum(dim).flip(dim)


def _others_before(x: Tensor, dim: int) -> Tensor:
    """Product of all elements before each."""
    ones = torch.ones_like(x.narrow(dim, 0, 1))
    return torch.cat([ones, x.narrow(dim, 0, x.shape[dim] - 1)], dim).cumprod(dim)


def _product(g: Tensor, x: Tensor, dim: int) -> Tensor:
    """g times the product of all other elements: right also where some are 0."""
    return g * _others_before(x, dim) * _others_before(x.flip(dim), dim).flip(dim)


def _prod(g: Tensor, y: Tensor, x: Tensor, *, dtype: Any = None) -> Tensor:
    return _product(g, x.to(y.dtype).reshape(-1), 0).reshape(x.shape) if x.numel() else torch.zeros_like(x)


def _prod_dim(g: Tensor, y: Tensor, x: Tensor, dim: int, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    if not x.dim() or not x.numel():
        return g * torch.ones_like(x) if x.numel() else torch.zeros_like(x)
    return _product(g if keepdim else g.unsqueeze(dim), x.to(y.dtype), dim)


def _cumprod(g: Tensor, y: Tensor, x: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """Of each x[k]: the sum over i >= k of g[i] times the product of x[:i + 1] without x[k]; no division, so right at zeros. (n ** 2)"""
    if not x.dim() or not x.numel():
        return g
    x, g = x.to(y.dtype).movedim(dim, -1), g.movedim(dim, -1)  # (..., n)
    n = x.shape[-1]
    own = torch.eye(n, dtype=torch.bool, device=x.device)
    without = torch.where(own, 1, x.unsqueeze(-2)).cumprod(-1)  # (..., k, i)
    return (without.triu() * g.unsqueeze(-2)).sum(-1).movedim(-1, dim)


def _logcumsumexp(g: Tensor, y: Tensor, x: Tensor, dim: int) -> Tensor:
    """exp(x[k]) times the sum over i >= k of g[i] / exp(y[i]): positive and negative g apart, in logarithms, so that nothing overflows."""
    if not x.dim() or not x.numel():
        return g

    def part(sign: int) -> Tensor:
        logs = torch.where(g * sign > 0, g.abs().log(), -math.inf) - y
        return (logs.flip(dim).logcumsumexp(dim).flip(dim) + x).exp()

    return part(1) - part(-1)


def _softmax(g: Tensor, y: Tensor, x: Tensor, dim: int, *_: Any) -> Tensor:
    gy = g * y
    return gy - y * gy.sum(dim, keepdim=True)


def _log_softmax(g: Tensor, y: Tensor, x: Tensor, dim: int, *_: Any) -> Tensor:
    return g - y.exp() * g.sum(dim, keepdim=True)


def _logsumexp(g: Tensor, y: Tensor, x: Tensor, dim: Any, keepdim: bool = False) -> Tensor:
    return spread(g, x, dim, keepdim) * (x - spread(y, x, dim, keepdim)).exp()


def _cross(g: Tensor, b: Tensor, dim: int) -> Tensor:
    return torch.linalg.cross(b, g, dim=dim)


def _glu(g: Tensor, y: Tensor, x: Tensor, dim: int = -1) -> Tensor:
    a, b = x.chunk(2, dim)
    gate = torch.sigmoid(b)
    return torch.cat([g * gate, g * a * gate * (1 - gate)], dim)


REDUCTIONS: dict[Any, Rule] = {
    aten.sum.default: (_sum,),
    aten.sum.dim_IntList: (_sum,),
    aten.nansum.default: (lambda g, y, x, dim=None, keepdim=False, dtype=None: spread(g, x, dim, keepdim) * ~x.isnan(),),
    aten.mean.default: (_mean,),
    aten.mean.dim: (_mean,),
    aten.trace.default: (lambda g, y, x: g * torch.eye(*x.shape, dtype=g.dtype, device=g.device),),
    aten.prod.default: (_prod,),
    aten.prod.dim_int: (_prod_dim,),
    aten.var.correction: (_var,),
    aten.std.correction: (_std,),
    aten.var_mean.correction: (_with_mean(_var),),
    aten.std_mean.correction: (_with_mean(_std),),
    aten.linalg_vector_norm.default: (_norm,),
    aten.norm.ScalarOpt_dim: (_old_norm,),
    aten.dist.default: (_distance, lambda g, y, a, b, p=2: -_distance(g, y, a, b, p)),
    aten.logsumexp.default: (_logsumexp,),
    aten._softmax.default: (_softmax,),
    aten._safe_softmax.default: (_softmax,),
    aten._log_softmax.default: (_log_softmax,),
    aten.linalg_cross.default: (lambda g, y, a, b, dim=-1: _cross(g, b, dim), lambda g, y, a, b, dim=-1: -_cross(g, a, dim)),
    aten.glu.default: (_glu,),
}
"""Sums and what is made of them."""

ORDERS: dict[Any, Rule] = {
    aten.amax.default: (_extreme,),
    aten.amin.default: (_extreme,),
    aten.aminmax.default: (_aminmax,),
    aten.max.default: (_extreme,),
    aten.min.default: (_extreme,),
    aten.median.default: (_extreme,),
    aten.nanmedian.default: (_extreme,),
    aten.max.dim: (_chosen,),
    aten.min.dim: (_chosen,),
    aten.median.dim: (_chosen,),
    aten.nanmedian.dim: (_chosen,),
    aten.mode.default: (_chosen,),
    aten.kthvalue.default: (lambda g, y, x, k, dim=-1, keepdim=False: _at(g[0], x, y[1], dim, keepdim),),
    aten.topk.default: (lambda g, y, x, k, dim=-1, largest=True, sorted=True: _at(g[0], x, y[1], dim),),
    aten.sort.default: (lambda g, y, x, dim=-1, descending=False: _at(g[0], x, y[1], dim),),
    aten.sort.stable: (lambda g, y, x, stable=None, dim=-1, descending=False: _at(g[0], x, y[1], dim),),
    aten.cummax.default: (lambda g, y, x, dim: _at(g[0], x, y[1], dim),),
    aten.cummin.default: (lambda g, y, x, dim: _at(g[0], x, y[1], dim),),
}
"""The largest, the middle, the order: a value's gradient goes to where it was found."""

RUNNING: dict[Any, Rule] = {
    aten.cumsum.default: (lambda g, y, x, dim, dtype=None: _back_cumsum(g, dim),),
    aten.cumprod.default: (_cumprod,),
    aten.logcumsumexp.default: (_logcumsumexp,),
}
"""Sums and products up to each place."""
