"""Weight norm, spectral norm and orthogonal weights, as parametrizations with torch's names in the `state_dict`.

Shapes: O and I the two sizes of a weight as a matrix; * any further dimensions.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import Module

from rungbook.scratch import functional as F
from rungbook.scratch.functional.vector import p_norm
from rungbook.scratch.nn.utils.parametrize import register_parametrization


class _WeightNorm(Module):
    """`g * v / norm(v)`, the norm over all dimensions but one (None: over all)."""

    def __init__(self, dim: int | None = 0) -> None:
        super().__init__()
        self.dim = -1 if dim is None else dim  # -1 is no dimension, as in torch

    def _length(self, v: Tensor) -> Tensor:
        others = [d for d in range(v.dim()) if d != self.dim]
        return p_norm(v, 2.0, others, keepdim=self.dim != -1) if others else v.abs()

    def forward(self, weight_g: Tensor, weight_v: Tensor) -> Tensor:
        return weight_v * (weight_g / self._length(weight_v))

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        return self._length(weight), weight


class _SpectralNorm(Module):
    """`weight / sigma`, sigma the weight's largest singular value, found by power iteration with one step at each reading in training.

    Args:
        weight: for its shape, and for 15 steps to begin with.
        n_power_iterations: steps at each reading.
        dim: dimension of O.
        eps: smallest divisor of a vector.
    """

    _u: Tensor
    _v: Tensor

    def __init__(self, weight: Tensor, n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12) -> None:
        super().__init__()
        if not -weight.dim() <= dim < weight.dim():
            raise IndexError(f"spectral_norm: dim is {dim}, the weight has {weight.dim()} dimensions")
        if n_power_iterations <= 0:
            raise ValueError(f"spectral_norm: n_power_iterations is {n_power_iterations}, at least 1 is needed")
        self.dim = dim % weight.dim()
        self.eps = eps
        if weight.dim() > 1:
            self.n_power_iterations = n_power_iterations
            matrix = self._matrix(weight)
            u, v = (matrix.new_empty(n).normal_(0, 1) for n in matrix.shape)
            self.register_buffer("_u", F.normalize(u, dim=0, eps=eps))  # (O)
            self.register_buffer("_v", F.normalize(v, dim=0, eps=eps))  # (I)
            self._iterate(matrix, 15)

    def _matrix(self, weight: Tensor) -> Tensor:
        return weight.movedim(self.dim, 0).flatten(1)  # (O, I)

    def _iterate(self, matrix: Tensor, steps: int) -> None:
        with torch.no_grad():
            matrix = matrix.detach()
            for _ in range(steps):
                self._u.copy_(F.normalize(matrix @ self._v, dim=0, eps=self.eps))
                self._v.copy_(F.normalize(matrix.mH @ self._u, dim=0, eps=self.eps))

    def forward(self, weight: Tensor) -> Tensor:
        if weight.dim() == 1:
            return F.normalize(weight, dim=0, eps=self.eps)
        matrix = self._matrix(weight)
        if self.training:
            self._iterate(matrix, self.n_power_iterations)
        # copies, as the next reading writes over both before this one may have been differentiated
        u, v = self._u.clone(), self._v.clone()
        return weight / (u.conj() * (matrix @ v)).sum()

    def right_inverse(self, value: Tensor) -> Tensor:
        return value


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Train length and direction of a weight apart, `g * v / norm(v)`: Salimans and Kingma (2016).

    Args:
        module: the layer, which is changed: g is `parametrizations.weight.original0`, v is `.original1`.
        name: of the weight.
        dim: one length for each entry of this dimension; None: one for all.
    """
    register_parametrization(module, name, _WeightNorm(dim), unsafe=True)

    def rename(state_dict: dict[str, Tensor], prefix: str, *_: object) -> None:
        """Take checkpoints of torch's former weight_norm too, which called them weight_g and weight_v."""
        former = [f"{prefix}{name}_g", f"{prefix}{name}_v"]
        if all(key in state_dict for key in former):
            for i, key in enumerate(former):
                state_dict[f"{prefix}parametrizations.{name}.original{i}"] = state_dict.pop(key)

    module._register_load_state_dict_pre_hook(rename)
    return module


def spectral_norm(module: Module, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None) -> Module:
    """Divide a weight by its largest singular value, so that the layer lengthens no vector: Miyato et al. (2018).

    Args:
        module: the layer, which is changed.
        name: of the weight.
        n_power_iterations: steps of the power iteration at each reading in training.
        eps: smallest divisor of its vectors.
        dim: dimension of the outputs; None: 1 for transposed convolutions, else 0.

    Raises:
        ValueError: the layer has no such tensor, or there are no steps.
        IndexError: there is no such dimension.
    """
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ValueError(f"spectral_norm: {type(module).__name__} has no parameter or buffer {name!r}")  # noqa: TRY004, as torch
    if dim is None:
        dim = 1 if getattr(module, "transposed", False) else 0
    return register_parametrization(module, name, _SpectralNorm(weight, n_power_iterations, dim, eps))
