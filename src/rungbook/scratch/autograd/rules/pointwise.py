"""Gradients of operations that treat every element by itself.

Letters: g gradient of the output, y output, x or a, b inputs. Where inputs were broadcast, the walk sums g down to each input's shape.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from rungbook.scratch.autograd.rules.form import Rule, nothing, scaled

aten = torch.ops.aten


def zero(g: Tensor, y: Any, x: Tensor, *_: Any, **__: Any) -> Tensor:
    """Of a function that is flat wherever it is not broken."""
    return torch.zeros_like(g)


def _through(g: Tensor, kept: Tensor) -> Tensor:
    """g where the input went through to the output, else 0."""
    return torch.where(kept, g, 0)


def _safe_div(a: Tensor, b: Tensor) -> Tensor:
    """a / b, and 0 where b is 0."""
    return torch.where(b == 0, 0, a / b)


def _power_base(g: Tensor, x: Tensor, n: Any) -> Tensor:
    if isinstance(n, Tensor):
        return torch.where(n == 0, 0, g * (n * x.pow(n - 1)))  # x ** 0 is flat, also at 0 where n * x ** (n - 1) is 0 * inf
    return torch.zeros_like(g) if n == 0 else g * (n * x.pow(n - 1))


def _power_exponent(g: Tensor, y: Tensor, x: Any, n: Tensor) -> Tensor:
    if not isinstance(x, Tensor):
        return torch.where(n >= 0, 0, g * y * -math.inf) if x == 0 else g * (y * math.log(x) if x > 0 else y * math.nan)
    return torch.where((x == 0) & (n >= 0), 0, g * (y * x.log()))  # 0 ** n is flat in n > 0, and log 0 is not finite


def _quotient_top(g: Tensor, y: Tensor, a: Tensor, b: Any, *, rounding_mode: str | None = None) -> Tensor:
    return g / b if rounding_mode is None else torch.zeros_like(g)


def _quotient_bottom(g: Tensor, y: Tensor, a: Tensor, b: Tensor, *, rounding_mode: str | None = None) -> Tensor:
    return -g * (a / b / b) if rounding_mode is None else torch.zeros_like(g)


def _larger(g: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """g where a is the larger; equals share it."""
    return torch.where(a == b, g / 2, torch.where(a < b, 0, g))


def _within(x: Tensor, low: Any, high: Any) -> Tensor:
    """Where clamping leaves x as it is: at the bounds too, as torch has it."""
    if low is None or high is None:
        return (x <= high) if low is None else (x >= low)
    return (x >= low) & (x <= high)


def _clamped_below(g: Tensor, y: Tensor, x: Tensor, low: Tensor, high: Tensor | None = None) -> Tensor:
    return _through(g, x < low) if high is None else _through(g, (low < high) & (x < low))


def _clamped_above(g: Tensor, y: Tensor, x: Tensor, low: Tensor | None, high: Tensor) -> Tensor:
    return _through(g, x > high) if low is None else _through(g, (x > high) | (low > high))


def _share(g: Tensor, a: Tensor, b: Tensor, base: float) -> Tensor:
    """Gradient of log_base(base ** a + base ** b) to a: its share of the sum."""
    return g / (1 + base ** (b - a))


def _softplus(g: Tensor, y: Tensor, x: Tensor, beta: float = 1, threshold: float = 20) -> Tensor:
    return g * torch.where(x * beta > threshold, 1, torch.sigmoid(x * beta))


def _elu(g: Tensor, y: Tensor, x: Tensor, alpha: float = 1, scale: float = 1, input_scale: float = 1) -> Tensor:
    # above 0 the exponential may overflow, and inf * 0 is not 0: it is taken of min(x, 0)
    return g * torch.where(x > 0, scale, alpha * scale * input_scale * torch.exp(x.clamp(max=0) * input_scale))


def _celu(g: Tensor, y: Tensor, x: Tensor, alpha: float = 1) -> Tensor:
    return g * torch.where(x > 0, 1, torch.exp(x.clamp(max=0) / alpha))


def _gelu(g: Tensor, y: Tensor, x: Tensor, *, approximate: str = "none") -> Tensor:
    if approximate == "none":
        return g * (0.5 * (1 + torch.erf(x * math.sqrt(0.5))) + x * torch.exp(-x * x / 2) / math.sqrt(2 * math.pi))
    t = torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))
    return g * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x * x))


def _silu(g: Tensor, y: Tensor, x: Tensor) -> Tensor:
    s = torch.sigmoid(x)
    return g * (s * (1 + x * (1 - s)))


def _mish(g: Tensor, y: Tensor, x: Tensor) -> Tensor:
    t = torch.tanh(torch.where(x > 20, x, torch.log1p(torch.exp(x.clamp(max=20)))))
    return g * (t + x * torch.sigmoid(x) * (1 - t * t))


def _logit(g: Tensor, y: Tensor, x: Tensor, eps: float | None = None) -> Tensor:
    if eps is None:
        return torch.where((x >= 0) & (x <= 1), g / (x * (1 - x)), math.nan)
    return torch.where((x >= eps) & (x <= 1 - eps), g / (x * (1 - x)), 0)


def _sinc(g: Tensor, y: Tensor, x: Tensor) -> Tensor:
    p = x * math.pi
    return torch.where(p * p == 0, 0, g * ((p * torch.cos(p) - torch.sin(p)) / (p * x)))


def _xlogy_left(g: Tensor, y: Tensor, a: Any, b: Any) -> Tensor:
    a_is_flat = (a == 0) & (b <= 0)
    log = torch.log(b) if isinstance(b, Tensor) else math.log(b) if b > 0 else -math.inf if b == 0 else math.nan
    return torch.where(torch.as_tensor(a_is_flat, device=g.device), 0, g * log)


def _hypot(g: Tensor, y: Tensor, a: Tensor) -> Tensor:
    return g * _safe_div(a, y)


def _copysign(g: Tensor, y: Tensor, x: Tensor, sign: Any) -> Tensor:
    return g * torch.where(x == 0, 0, torch.sign(x) * torch.sign(y))


ROOT_PI = math.sqrt(math.pi)

ARITHMETIC: dict[Any, Rule] = {
    aten.add.Tensor: (lambda g, y, a, b, alpha=1: g, lambda g, y, a, b, alpha=1: scaled(g, alpha)),
    aten.add.Scalar: (lambda g, y, a, b, alpha=1: g,),
    aten.sub.Tensor: (lambda g, y, a, b, alpha=1: g, lambda g, y, a, b, alpha=1: scaled(g, -alpha)),
    aten.sub.Scalar: (lambda g, y, a, b, alpha=1: g,),
    aten.rsub.Scalar: (lambda g, y, a, b, alpha=1: scaled(g, -alpha),),
    aten.rsub.Tensor: (lambda g, y, a, b, alpha=1: scaled(g, -alpha), lambda g, y, a, b, alpha=1: g),
    aten.mul.Tensor: (lambda g, y, a, b: g * b, lambda g, y, a, b: g * a),
    aten.mul.Scalar: (lambda g, y, a, b: g * b,),
    aten.div.Tensor: (_quotient_top, _quotient_bottom),
    aten.div.Scalar: (_quotient_top,),
    aten.div.Tensor_mode: (_quotient_top, _quotient_bottom),
    aten.fmod.Tensor: (lambda g, y, a, b: g, lambda g, y, a, b: -g * torch.div(a, b, rounding_mode="trunc")),
    aten.fmod.Scalar: (lambda g, y, a, b: g,),
    aten.remainder.Scalar: (lambda g, y, a, b: g,),
    aten.remainder.Tensor: (lambda g, y, a, b: g, lambda g, y, a, b: -g * torch.div(a, b, rounding_mode="floor")),
    aten.neg.default: (lambda g, y, x: -g,),
    aten.reciprocal.default: (lambda g, y, x: -g * y * y,),
    aten.abs.default: (lambda g, y, x: g * torch.sign(x),),
    aten.pow.Tensor_Scalar: (lambda g, y, x, n: _power_base(g, x, n),),
    aten.pow.Tensor_Tensor: (lambda g, y, x, n: _power_base(g, x, n), _power_exponent),
    aten.pow.Scalar: (nothing, _power_exponent),
    aten.addcmul.default: (
        lambda g, y, x, a, b, value=1: g,
        lambda g, y, x, a, b, value=1: scaled(g * b, value),
        lambda g, y, x, a, b, value=1: scaled(g * a, value),
    ),
    aten.addcdiv.default: (
        lambda g, y, x, a, b, value=1: g,
        lambda g, y, x, a, b, value=1: scaled(g / b, value),
        lambda g, y, x, a, b, value=1: scaled(-g * (a / (b * b)), value),
    ),
    aten.lerp.Scalar: (lambda g, y, a, b, w: g * (1 - w), lambda g, y, a, b, w: g * w),
    aten.lerp.Tensor: (lambda g, y, a, b, w: g * (1 - w), lambda g, y, a, b, w: g * w, lambda g, y, a, b, w: g * (b - a)),
    aten.hypot.default: (lambda g, y, a, b: _hypot(g, y, a), lambda g, y, a, b: _hypot(g, y, b)),
    aten.atan2.default: (lambda g, y, a, b: g * _safe_div(b, a * a + b * b), lambda g, y, a, b: g * _safe_div(-a, a * a + b * b)),
    aten.copysign.Tensor: (_copysign, zero),
    aten.copysign.Scalar: (_copysign,),
    aten.xlogy.Tensor: (_xlogy_left, lambda g, y, a, b: g * (a / b)),
    aten.xlogy.Scalar_Other: (_xlogy_left,),
    aten.xlogy.Scalar_Self: (nothing, lambda g, y, a, b: g * (a / b)),
    aten.logaddexp.default: (lambda g, y, a, b: _share(g, a, b, math.e), lambda g, y, a, b: _share(g, b, a, math.e)),
    aten.logaddexp2.default: (lambda g, y, a, b: _share(g, a, b, 2.0), lambda g, y, a, b: _share(g, b, a, 2.0)),
}
"""Sums, products and powers."""

CHOICES: dict[Any, Rule] = {
    aten.maximum.default: (lambda g, y, a, b: _larger(g, a, b), lambda g, y, a, b: _larger(g, b, a)),
    aten.minimum.default: (lambda g, y, a, b: _larger(g, b, a), lambda g, y, a, b: _larger(g, a, b)),
    # of equals, and beside nan, fmax and fmin take the first
    aten.fmax.default: (lambda g, y, a, b: _through(g, (a >= b) | b.isnan()), lambda g, y, a, b: _through(g, ~((a >= b) | b.isnan()))),
    aten.fmin.default: (lambda g, y, a, b: _through(g, (a <= b) | b.isnan()), lambda g, y, a, b: _through(g, ~((a <= b) | b.isnan()))),
    aten.clamp.default: (lambda g, y, x, low=None, high=None: _through(g, _within(x, low, high)),),
    aten.clamp.Tensor: (lambda g, y, x, low=None, high=None: _through(g, _within(x, low, high)), _clamped_below, _clamped_above),
    aten.clamp_min.default: (lambda g, y, x, low: _through(g, x >= low),),
    aten.clamp_min.Tensor: (lambda g, y, x, low: _through(g, x >= low), _clamped_below),
    aten.clamp_max.default: (lambda g, y, x, high: _through(g, x <= high),),
    aten.clamp_max.Tensor: (lambda g, y, x, high: _through(g, x <= high), lambda g, y, x, high: _through(g, x > high)),
    aten.where.self: (nothing, lambda g, y, c, a, b: torch.where(c, g, 0), lambda g, y, c, a, b: torch.where(c, 0, g)),
    aten.masked_fill.Scalar: (lambda g, y, x, mask, value: g.masked_fill(mask, 0),),
    aten.masked_fill.Tensor: (lambda g, y, x, mask, value: g.masked_fill(mask, 0), None, lambda g, y, x, mask, value: _through(g, mask)),
    aten.nan_to_num.default: (lambda g, y, x, *a, **k: _through(g, x.isfinite()),),
    aten.sign.default: (zero,),
    aten.sgn.default: (zero,),
    aten.floor.default: (zero,),
    aten.ceil.default: (zero,),
    aten.round.default: (zero,),
    aten.round.decimals: (zero,),
    aten.trunc.default: (zero,),
    aten.frac.default: (lambda g, y, x: g,),
}
"""One of two values; a tie is shared or goes to the first as in torch, which op_db checks."""

FUNCTIONS: dict[Any, Rule] = {
    aten.exp.default: (lambda g, y, x: g * y,),
    aten.exp2.default: (lambda g, y, x: g * y * math.log(2),),
    aten.expm1.default: (lambda g, y, x: g * (y + 1),),
    aten.log.default: (lambda g, y, x: g / x,),
    aten.log2.default: (lambda g, y, x: g / (x * math.log(2)),),
    aten.log10.default: (lambda g, y, x: g / (x * math.log(10)),),
    aten.log1p.default: (lambda g, y, x: g / (x + 1),),
    aten.sqrt.default: (lambda g, y, x: g / (2 * y),),
    aten.rsqrt.default: (lambda g, y, x: -0.5 * g * y**3,),
    aten.sin.default: (lambda g, y, x: g * torch.cos(x),),
    aten.cos.default: (lambda g, y, x: -g * torch.sin(x),),
    aten.tan.default: (lambda g, y, x: g * (1 + y * y),),
    aten.asin.default: (lambda g, y, x: g * torch.rsqrt(1 - x * x),),
    aten.acos.default: (lambda g, y, x: -g * torch.rsqrt(1 - x * x),),
    aten.atan.default: (lambda g, y, x: g / (1 + x * x),),
    aten.sinh.default: (lambda g, y, x: g * torch.cosh(x),),
    aten.cosh.default: (lambda g, y, x: g * torch.sinh(x),),
    aten.tanh.default: (lambda g, y, x: g * (1 - y * y),),
    aten.asinh.default: (lambda g, y, x: g * torch.rsqrt(x * x + 1),),
    aten.acosh.default: (lambda g, y, x: g * (torch.rsqrt(x - 1) * torch.rsqrt(x + 1)),),
    aten.atanh.default: (lambda g, y, x: g / (1 - x * x),),
    aten.sinc.default: (_sinc,),
    aten.erf.default: (lambda g, y, x: g * torch.exp(-x * x) * (2 / ROOT_PI),),
    aten.erfc.default: (lambda g, y, x: g * torch.exp(-x * x) * (-2 / ROOT_PI),),
    aten.erfinv.default: (lambda g, y, x: g * torch.exp(y * y) * (ROOT_PI / 2),),
    aten.special_erfcx.default: (lambda g, y, x: g * (2 * x * y - 2 / ROOT_PI),),
    aten.special_ndtri.default: (lambda g, y, x: g * torch.exp(y * y / 2) * math.sqrt(2 * math.pi),),
    aten.special_entr.default: (lambda g, y, x: g * (-torch.log(x) - 1),),
    aten.special_log_ndtr.default: (lambda g, y, x: g * math.sqrt(2 / math.pi) / torch.special.erfcx(-x * math.sqrt(0.5)),),
    aten.lgamma.default: (lambda g, y, x: g * torch.digamma(x),),
    aten.digamma.default: (lambda g, y, x: g * torch.special.polygamma(1, x),),
    aten.polygamma.default: (None, lambda g, y, n, x: g * torch.special.polygamma(n + 1, x)),
    aten.deg2rad.default: (lambda g, y, x: g * (math.pi / 180),),
    aten.rad2deg.default: (lambda g, y, x: g * (180 / math.pi),),
    aten.sigmoid.default: (lambda g, y, x: g * (y * (1 - y)),),
    aten.logit.default: (_logit,),
    aten.log_sigmoid_forward.default: (lambda g, y, x: g[0] * torch.sigmoid(-x),),
    aten.relu.default: (lambda g, y, x: torch.where(y > 0, g, 0),),
    aten.threshold.default: (lambda g, y, x, threshold, value: torch.where(x > threshold, g, 0),),
    aten.leaky_relu.default: (lambda g, y, x, slope=0.01: torch.where(x > 0, g, g * slope),),
    aten._prelu_kernel.default: (
        lambda g, y, x, slope: torch.where(x > 0, g, g * slope),
        lambda g, y, x, slope: torch.where(x > 0, 0, g * x),
    ),
    aten.hardtanh.default: (lambda g, y, x, low=-1, high=1: _through(g, (x > low) & (x < high)),),
    aten.hardsigmoid.default: (lambda g, y, x: _through(g / 6, (x > -3) & (x < 3)),),
    aten.hardswish.default: (lambda g, y, x: g * torch.where(x <= -3, 0, torch.where(x < 3, x / 3 + 0.5, 1)),),
    aten.hardshrink.default: (lambda g, y, x, at=0.5: _through(g, (x < -at) | (x > at)),),
    aten.softshrink.default: (lambda g, y, x, at=0.5: _through(g, (x < -at) | (x > at)),),
    aten.softplus.default: (_softplus,),
    aten.elu.default: (_elu,),
    aten.celu.default: (_celu,),
    aten.gelu.default: (_gelu,),
    aten.silu.default: (_silu,),
    aten.mish.default: (_mish,),
}
"""One input, one output."""
