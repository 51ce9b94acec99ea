"""An MLP for tables of numbers and categories, with a linear path beside it.

Guo and Berkhahn 2016, "Entity embeddings of categorical variables", for the embeddings; Cheng et al. 2016, "Wide & deep learning for
recommender systems", for the linear (wide) path. Different from both: the wide path can start at the ridge solution and the MLP's last
layer at zero (`start_from_ridge`), so that training can only add to a linear model that is already fitted.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn

from rungbook.models.tabular.mlp import MLP

ALPHAS = (0.01, 0.1, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
"""Ridge penalties tried on valid."""
MAX_WIDTH = 3000
"""Columns (numbers and levels) up to which the ridge solution is computed."""


class TabularMLP(nn.Module):
    """Embeddings of the categories beside the numbers, through an MLP, plus a weighted sum of numbers and levels.

    Args:
        num_numbers: F, numbers in a row.
        cardinalities: levels of each of the C categories (values are 0 .. cardinality - 1).
        out_features: outputs.
        hidden: widths of the MLP.
        dropout: probability that a hidden unit is left out of a training step.
        activation: of the MLP, see `MLP`.
        max_embed_dim: largest size of a level's vector; small categories take half their levels.
        wide: whether the linear path is there.

    Shape: (B, F) float and (B, C) int64 -> (B, out_features).

    Raises:
        ValueError: there are neither numbers nor categories.
    """

    offsets: Tensor

    def __init__(
        self,
        num_numbers: int,
        cardinalities: Sequence[int],
        out_features: int,
        *,
        hidden: Sequence[int] = (128, 64),
        dropout: float = 0.0,
        activation: str = "relu",
        max_embed_dim: int = 16,
        wide: bool = True,
    ) -> None:
        super().__init__()
        if not num_numbers and not cardinalities:
            raise ValueError("num_numbers is 0 and cardinalities is empty: there is nothing to learn from")
        sizes = [min(max_embed_dim, (n + 1) // 2) for n in cardinalities]
        self.embeddings = nn.ModuleList(nn.Embedding(n, d) for n, d in zip(cardinalities, sizes, strict=True))
        for embedding in self.embeddings:
            nn.init.normal_(embedding.weight, std=0.1)
        self.mlp = MLP(num_numbers + sum(sizes), out_features, hidden=hidden, dropout=dropout, activation=activation)
        levels = sum(cardinalities)
        self.wide_numbers = nn.Linear(num_numbers, out_features, bias=False) if wide and num_numbers else None
        self.wide_levels = nn.EmbeddingBag(levels, out_features, mode="sum") if wide and levels else None
        starts = [0, *accumulate(cardinalities)][: len(cardinalities)]
        self.register_buffer("offsets", torch.tensor(starts, dtype=torch.int64), persistent=False)
        for part in (self.wide_numbers, self.wide_levels):
            for p in () if part is None else part.parameters():
                nn.init.zeros_(p)

    def forward(self, numbers: Tensor, categories: Tensor) -> Tensor:
        """Outputs of a batch of rows."""
        vectors = [e(categories[:, i]) for i, e in enumerate(self.embeddings)]  # each (B, d)
        out = self.mlp(torch.cat([numbers, *vectors], dim=1))  # (B, out_features)
        if self.wide_numbers is not None:
            out = out + self.wide_numbers(numbers)
        if self.wide_levels is not None:
            out = out + self.wide_levels(categories + self.offsets)
        return out

    def one_hot(self, numbers: Tensor, categories: Tensor) -> Tensor:
        """The inputs of the linear path as one table, float64 (n, F + levels)."""
        levels = 0 if self.wide_levels is None else self.wide_levels.num_embeddings
        hot = torch.zeros(len(numbers), levels, dtype=torch.float64)
        if levels:
            hot.scatter_(1, categories + self.offsets, 1.0)
        return torch.cat([numbers.double(), hot], dim=1)


@torch.no_grad()
def start_from_ridge(model: TabularMLP, data: Any, *, alphas: Sequence[float] = ALPHAS) -> float | None:
    """Set the linear path to the ridge solution of the training rows and the MLP's last layer to zero.

    The model then predicts as ridge regression does, min |y - X w - b|^2 + alpha |w|^2, and training adds to it.

    Args:
        model: with a linear path.
        data: its train split is fitted, its valid split chooses alpha (by the mean squared error); see `rungbook.Data`.
        alphas: penalties to choose from.

    Returns:
        The alpha chosen, or None if nothing was done: no linear path, classes instead of numbers, or more than `MAX_WIDTH` columns.
    """
    parts = {}
    for part in ("train", "valid"):
        feed = getattr(data, part)
        if feed is not None:
            x, y = feed.source.fetch(slice(0, feed.samples))
            parts[part] = (model.one_hot(*x), y.double())
    x, y = parts["train"]
    if (model.wide_numbers is None and model.wide_levels is None) or data.task != "regression" or x.shape[1] > MAX_WIDTH:
        return None
    x_mean, y_mean = x.mean(0), y.mean(0)
    centred = x - x_mean
    values, vectors = torch.linalg.eigh(centred.T @ centred)
    rotated = vectors.T @ (centred.T @ (y - y_mean))  # (columns, out)
    judge_x, judge_y = parts.get("valid", parts["train"])
    best: tuple[float, float, Tensor] | None = None
    for alpha in alphas:
        weight = vectors @ (rotated / (values.clamp(min=0) + alpha)[:, None])
        error = float(((judge_x - x_mean) @ weight + y_mean - judge_y).square().mean())
        if best is None or error < best[0]:
            best = (error, alpha, weight)
    assert best is not None
    _, alpha, weight = best
    numbers = 0 if model.wide_numbers is None else model.wide_numbers.in_features
    if model.wide_numbers is not None:
        model.wide_numbers.weight.copy_(weight[:numbers].T)
    if model.wide_levels is not None:
        model.wide_levels.weight.copy_(weight[numbers:])
    last = model.mlp.layers[-1]
    nn.init.zeros_(last.weight)
    last.bias.copy_(y_mean - x_mean @ weight)
    return alpha
