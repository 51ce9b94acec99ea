"""Embeddings as layers; the mathematics is in `functional`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import Module, Parameter

from rungbook.scratch import functional as F


class _Table(Module):
    """A table of rows, and how it is looked up in."""

    padding_idx: int | None

    def _set_weight(
        self, num_embeddings: int, embedding_dim: int, padding_idx: int | None, given: Tensor | None, device: Any, dtype: torch.dtype | None
    ) -> None:
        name = type(self).__name__
        if padding_idx is not None and not -num_embeddings <= padding_idx < max(num_embeddings, 1):
            raise AssertionError(f"{name}: padding_idx is {padding_idx}, a row of {num_embeddings} is needed")
        self.padding_idx = padding_idx + num_embeddings if padding_idx is not None and padding_idx < 0 else padding_idx
        if given is None:
            self.weight = Parameter(torch.empty(num_embeddings, embedding_dim, device=device, dtype=dtype))
            self.reset_parameters()
        elif tuple(given.shape) != (num_embeddings, embedding_dim):
            raise AssertionError(f"{name}: the given weight is {tuple(given.shape)}, {(num_embeddings, embedding_dim)} is needed")
        else:
            self.weight = Parameter(given)

    def reset_parameters(self) -> None:
        """Draw all entries from a standard normal distribution, and set the padding's row to 0."""
        with torch.no_grad():
            self.weight.normal_()
            if self.padding_idx is not None:
                self.weight[self.padding_idx].fill_(0)


class Embedding(_Table):
    """`weight[input]`.

    Args:
        num_embeddings: V, rows of the table.
        embedding_dim: D, columns.
        padding_idx: this row begins as 0 and gets no gradient.
        max_norm: rows looked up that are longer are shortened to this, in place.
        norm_type: order of that norm.
        scale_grad_by_freq: divide each row's gradient by how often it was looked up.
        sparse: the table's gradient is a sparse tensor.

    Shape:
        (*) -> (*, D).

    Raises:
        AssertionError: padding_idx is no row.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        _weight: Tensor | None = None,
        _freeze: bool = False,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self._set_weight(num_embeddings, embedding_dim, padding_idx, _weight, device, dtype)
        self.weight.requires_grad_(not _freeze)
        self.max_norm, self.norm_type = max_norm, norm_type
        self.scale_grad_by_freq, self.sparse = scale_grad_by_freq, sparse

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Tensor,
        freeze: bool = True,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
    ) -> Embedding:
        """A layer with this table, (V, D), which is not trained if `freeze`."""
        if embeddings.dim() != 2:
            raise AssertionError(f"Embedding: embeddings {tuple(embeddings.shape)} have {embeddings.dim()} dimensions, (V, D) is needed")
        V, D = embeddings.shape
        return cls(V, D, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse, _weight=embeddings, _freeze=freeze)

    def forward(self, input: Tensor) -> Tensor:
        return F.embedding(input, self.weight, self.padding_idx, self.max_norm, self.norm_type, self.scale_grad_by_freq, self.sparse)

    def extra_repr(self) -> str:
        parts = [f"{self.num_embeddings}, {self.embedding_dim}"]
        usual = {"padding_idx": None, "max_norm": None, "norm_type": 2, "scale_grad_by_freq": False, "sparse": False}
        parts += [f"{name}={getattr(self, name)}" for name, value in usual.items() if getattr(self, name) != value]
        return ", ".join(parts)


class EmbeddingBag(_Table):
    """Sum, mean or maximum of the rows in each bag of indices.

    Args:
        num_embeddings: V, rows of the table.
        embedding_dim: D, columns.
        max_norm, norm_type, scale_grad_by_freq, sparse: as in `Embedding`.
        mode: "sum", "mean" or "max".
        include_last_offset: offsets end with the end of the last bag.
        padding_idx: this row is left out of every bag.

    Shape:
        (B, L), or (n) with offsets (B) -> (B, D).

    Raises:
        AssertionError: padding_idx is no row.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        _weight: Tensor | None = None,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self._set_weight(num_embeddings, embedding_dim, padding_idx, _weight, device, dtype)
        self.max_norm, self.norm_type = max_norm, norm_type
        self.scale_grad_by_freq, self.sparse = scale_grad_by_freq, sparse
        self.mode, self.include_last_offset = mode, include_last_offset

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Tensor,
        freeze: bool = True,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
    ) -> EmbeddingBag:
        """A layer with this table, (V, D), which is not trained if `freeze`."""
        if embeddings.dim() != 2:
            raise AssertionError(f"EmbeddingBag: embeddings {tuple(embeddings.shape)} have {embeddings.dim()} dimensions, (V, D) is needed")
        V, D = embeddings.shape
        made = cls(V, D, max_norm, norm_type, scale_grad_by_freq, mode, sparse, embeddings, include_last_offset, padding_idx)
        made.weight.requires_grad_(not freeze)
        return made

    def forward(self, input: Tensor, offsets: Tensor | None = None, per_sample_weights: Tensor | None = None) -> Tensor:
        return F.embedding_bag(
            input,
            self.weight,
            offsets,
            self.max_norm,
            self.norm_type,
            self.scale_grad_by_freq,
            self.mode,
            self.sparse,
            per_sample_weights,
            self.include_last_offset,
            self.padding_idx,
        )

    def extra_repr(self) -> str:
        parts = [f"{self.num_embeddings}, {self.embedding_dim}"]
        usual = {"max_norm": None, "norm_type": 2, "scale_grad_by_freq": False}
        parts += [f"{name}={getattr(self, name)!r}" for name, value in usual.items() if getattr(self, name) != value]
        parts += [f"mode={self.mode!r}"] + ([] if self.padding_idx is None else [f"padding_idx={self.padding_idx}"])
        return ", ".join(parts)
