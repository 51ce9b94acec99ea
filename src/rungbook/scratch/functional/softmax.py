"""Softmax and its kin: numbers into probabilities along one dimension (Bridle, 1990).

The largest number is taken off first: nothing changes mathematically, and no exponential overflows. As it cancels, it counts as a constant.
Half precision is summed in float32, as sums of many small terms do not fit its 8 or 11 bits.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rungbook.scratch.functional.notice import warn
from rungbook.scratch.functional.number_types import need_fractions


def softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: torch.dtype | None = None) -> Tensor:
    """`exp(x) / sum(exp(x))`.

    Args:
        input: any shape.
        dim: along this dimension the results sum to 1; None is deprecated and takes 1, or 0 where the input has 0, 1 or 3 dimensions.
        dtype: converted to this first.
    """
    x, result = _prepared(input, dtype)
    dim = _dimension("softmax", dim, x, _stacklevel)
    e = _centred(x, dim).exp()
    return (e / e.sum(dim, keepdim=True)).to(result)


def softmin(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: torch.dtype | None = None) -> Tensor:
    """`softmax(-x)`.

    Args:
        input: any shape.
        dim: along this dimension the results sum to 1.
        dtype: converted to this first.
    """
    return softmax(-input, _dimension("softmin", dim, input, _stacklevel), _stacklevel, dtype)


def log_softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: torch.dtype | None = None) -> Tensor:
    """`x - log(sum(exp(x)))`: finite where a softmax has become 0.

    Args:
        input: any shape.
        dim: along this dimension the exponentials of the results sum to 1.
        dtype: converted to this first.
    """
    x, result = _prepared(input, dtype)
    dim = _dimension("log_softmax", dim, x, _stacklevel)
    centred = _centred(x, dim)
    return (centred - centred.exp().sum(dim, keepdim=True).log()).to(result)


def gumbel_softmax(logits: Tensor, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1) -> Tensor:
    """A sample from a distribution over classes that can be differentiated: `softmax((logits + g) / tau)`.

    Its g are Gumbel noise, `-log(-log(u))`: Jang, Gu and Poole (2017); Maddison, Mnih and Teh (2017).

    Args:
        logits: log-probabilities, up to a constant; any shape.
        tau: temperature; the lower, the nearer to one-hot.
        hard: return the one-hot vector of the largest, with the gradient of the soft sample (straight through).
        eps: has no effect, and is deprecated.
        dim: the classes' dimension.
    """
    if eps != 1e-10:
        warn("gumbel_softmax: `eps` has no effect, and is deprecated", stacklevel=2)
    # -log(u) is an exponential draw
    gumbels = -torch.empty_like(logits, memory_format=torch.legacy_contiguous_format).exponential_().log()
    soft = softmax((logits + gumbels) / tau, dim)
    if not hard:
        return soft
    # ties go to the first, as everywhere
    one_hot = torch.zeros_like(soft).scatter(dim, soft.detach().max(dim, keepdim=True).indices, 1.0)
    return one_hot - soft.detach() + soft


def _prepared(input: Tensor, dtype: torch.dtype | None) -> tuple[Tensor, torch.dtype]:
    """The input in the type that is computed in, and the type of the result."""
    x = input if dtype is None else input.to(dtype)
    need_fractions("softmax", x, hint=" (dtype=torch.float32 converts it first)")
    return (x.float() if x.dtype in (torch.bfloat16, torch.float16) else x), x.dtype


def _dimension(name: str, dim: int | None, x: Tensor, stacklevel: int) -> int:
    if dim is not None:
        return dim
    warn(f"{name}: leaving `dim` out is deprecated; say dim=X", stacklevel=stacklevel)
    return 0 if x.dim() in (0, 1, 3) else 1


def _centred(x: Tensor, dim: int) -> Tensor:
    """The input less its largest entry; there is none where the dimension has no entries."""
    return x - x.detach().amax(dim, keepdim=True) if x.numel() else x
