"""One dimension out of several, and the other way round."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from torch import Tensor
from torch.nn import Module


class Flatten(Module):
    """Dimensions `start_dim` to `end_dim` become one: of (N, C, H, W) by default (N, C * H * W)."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, input: Tensor) -> Tensor:
        dims = max(1, input.dim())  # a number flattens to a row of one
        start, end = self._counted(self.start_dim, dims), self._counted(self.end_dim, dims)
        if start > end:
            raise RuntimeError(f"start_dim {self.start_dim} comes after end_dim {self.end_dim} in an input {tuple(input.shape)}")
        return input.reshape(*input.shape[:start], prod(input.shape[start : end + 1]), *input.shape[end + 1 :])

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"

    @staticmethod
    def _counted(dim: int, dims: int) -> int:
        """Counted from the first."""
        if not -dims <= dim < dims:
            raise IndexError(f"dimension {dim} is none of an input's with {dims}")
        return dim % dims


class Unflatten(Module):
    """One dimension becomes several.

    Args:
        dim: which, by number; by name for a named tensor.
        unflattened_size: their sizes, one of which may be -1; for a named tensor (name, size) each.

    Raises:
        TypeError: sizes are no whole numbers, or names and numbers are mixed.
    """

    def __init__(self, dim: int | str, unflattened_size: Sequence[int] | Sequence[tuple[str, int]]) -> None:
        super().__init__()
        wanted: Any = int if isinstance(dim, int) else tuple
        if not isinstance(dim, int | str) or not isinstance(unflattened_size, tuple | list):
            raise TypeError(f"unflattened_size {unflattened_size!r} must be a tuple of sizes, and dim {dim!r} a number or a name")
        wrong = [s for s in unflattened_size if not isinstance(s, wanted)]
        if wrong:
            raise TypeError(f"unflattened_size {unflattened_size!r} has {wrong[0]!r}, needed is {wanted.__name__} for dim {dim!r}")
        self.dim, self.unflattened_size = dim, unflattened_size

    def forward(self, input: Tensor) -> Tensor:
        if isinstance(self.dim, str):
            return input.unflatten(self.dim, self.unflattened_size)
        if not -input.dim() <= self.dim < input.dim():
            raise IndexError(f"dimension {self.dim} is none of input {tuple(input.shape)}")
        i = self.dim % input.dim()
        sizes: list[int] = [int(s) for s in self.unflattened_size]
        known = prod(s for s in sizes if s != -1)
        if not sizes or sizes.count(-1) > 1 or (known == 0 or input.shape[i] % known if -1 in sizes else known != input.shape[i]):
            raise RuntimeError(
                f"unflattened_size {tuple(sizes)} does not multiply to {input.shape[i]}, size {self.dim} of {tuple(input.shape)}"
            )
        return input.reshape(*input.shape[:i], *[input.shape[i] // known if s == -1 else s for s in sizes], *input.shape[i + 1 :])

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"
