"""An MLP for tables of numbers and categories that can answer together with a linear model.

Guo and Berkhahn 2016, "Entity embeddings of categorical variables", for the embeddings. The linear model beside the MLP is as in Cheng et
al. 2016, "Wide & deep learning for recommender systems". Different from the latter: it is not trained along but solved in closed form
(`start_from_ridge`) and the answer is the average of the two. Trained together, the two come to make the same errors; solved and
trained apart they make different ones, part of which the average evens out.
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
"""Columns (numbers and levels) up to which the ridge solution is computed: above, the decomposition costs minutes."""
CHUNK = 4096
"""Rows whose one-hot form is made at once."""


class TabularMLP(nn.Module):
    """Embeddings of the categories beside the numbers, through an MLP; in eval mode averaged with a linear model, if one was put in.

    Args:
        num_numbers: F, numbers in a row.
        cardinalities: levels of each of the C categories (values are 0 .. cardinality - 1).
        out_features: outputs.
        hidden: widths of the MLP.
        dropout: probability that a hidden unit is left out of a training step.
        activation: of the MLP, see `MLP`.
        max_embed_dim: largest size of a level's vector; small categories take half their levels.

    Shape: (B, F) float and (B, C) int64 -> (B, out_features). In train mode the output is the MLP's alone, so that the MLP learns the
    target and not what the linear model leaves over; `linear_share` (0 until `start_from_ridge`) says how much the linear model counts
    in eval mode.

    Raises:
        ValueError: there are neither numbers nor categories.
    """

    offsets: Tensor
    linear_weight: Tensor
    linear_bias: Tensor
    linear_share: Tensor

    def __init__(
        self,
        num_numbers: int,
        cardinalities: Sequence[int],
        out_features: int,
        *,
        hidden: Sequence[int] = (256,),
        dropout: float = 0.0,
        activation: str = "relu",
        max_embed_dim: int = 4,
    ) -> None:
        super().__init__()
        if not num_numbers and not cardinalities:
            raise ValueError("num_numbers is 0 and cardinalities is empty: there is nothing to learn from")
        sizes = [min(max_embed_dim, (n + 1) // 2) for n in cardinalities]
        self.embeddings = nn.ModuleList([nn.Embedding(n, d) for n, d in zip(cardinalities, sizes, strict=True)])
        for embedding in self.embeddings:
            nn.init.normal_(embedding.weight, std=0.1)  # type: ignore[arg-type]
        self.mlp = MLP(num_numbers + sum(sizes), out_features, hidden=hidden, dropout=dropout, activation=activation)
        starts = list(accumulate(cardinalities, initial=num_numbers))[: len(cardinalities)]
        self.register_buffer("offsets", torch.tensor(starts, dtype=torch.int64), persistent=False)
        self.register_buffer("linear_weight", torch.zeros(num_numbers + sum(cardinalities), out_features))
        self.register_buffer("linear_bias", torch.zeros(out_features))
        self.register_buffer("linear_share", torch.zeros(()))

    def forward(self, numbers: Tensor, categories: Tensor) -> Tensor:
        """Outputs of a batch of rows."""
        vectors = [e(categories[:, i]) for i, e in enumerate(self.embeddings)]  # each (B, d)
        out = self.mlp(torch.cat([numbers, *vectors], dim=1))  # (B, out_features)
        return out if self.training else torch.lerp(out, self.linear(numbers, categories), self.linear_share)

    def linear(self, numbers: Tensor, categories: Tensor) -> Tensor:
        """What the linear model says: a weighted sum of the numbers and one weight a level, (B, out_features)."""
        levels = self.linear_weight[categories + self.offsets]  # (B, C, out_features)
        return numbers @ self.linear_weight[: numbers.shape[1]] + levels.sum(1) + self.linear_bias

    def one_hot(self, numbers: Tensor, categories: Tensor) -> Tensor:
        """The linear model's inputs as one table of numbers and 0/1 levels, float64 (n, F + levels)."""
        table = torch.zeros(len(numbers), len(self.linear_weight), dtype=torch.float64)
        table[:, : numbers.shape[1]] = numbers
        return table.scatter_(1, categories + self.offsets, 1.0)


@torch.no_grad()
def start_from_ridge(model: TabularMLP, data: Any, *, share: float = 0.5, alphas: Sequence[float] = ALPHAS) -> float | None:
    """Put the ridge solution of the training rows beside the MLP: min |y - X w - b|^2 + alpha |w|^2 (Hoerl and Kennard 1970).

    Args:
        model: its linear model is set, on the CPU, before training.
        data: a `rungbook.Data` of a table; train is fitted, valid chooses alpha by the squared error.
        share: how much the linear model counts in the answer, 0 to 1. One half needs no choice on valid, which is small for small tables.
        alphas: penalties to choose from.

    Returns:
        The alpha chosen; None if nothing was done: classes instead of numbers, or more than `MAX_WIDTH` columns.
    """
    if data.task != "regression" or len(model.linear_weight) > MAX_WIDTH:
        return None
    x_mean, y_mean = _means(model, data.train)
    gram, product = _centred(model, data.train, x_mean, y_mean)
    values, vectors = torch.linalg.eigh(gram)
    rotated = vectors.T @ product  # (columns, out)
    best = (float("inf"), 0.0, rotated)
    for alpha in alphas:
        weight = vectors @ (rotated / (values.clamp(min=0) + alpha)[:, None])
        error = sum(float((x @ weight - x_mean @ weight + y_mean - y).square().sum()) for x, y in _rows(model, data.valid or data.train))
        if error < best[0]:
            best = (error, alpha, weight)
    _, alpha, weight = best
    model.linear_weight.copy_(weight)
    model.linear_bias.copy_(y_mean - x_mean @ weight)
    model.linear_share.fill_(share)
    return alpha


def _rows(model: TabularMLP, feed: Any) -> Any:
    """The one-hot rows and targets of a split, float64, some at a time."""
    for start in range(0, feed.samples, CHUNK):
        x, y = feed.source.fetch(slice(start, start + CHUNK))
        yield model.one_hot(*x), y.double()


def _means(model: TabularMLP, feed: Any) -> tuple[Tensor, Tensor]:
    """Means of inputs and targets."""
    sums = [(x.sum(0), y.sum(0)) for x, y in _rows(model, feed)]
    return sum(s[0] for s in sums) / feed.samples, sum(s[1] for s in sums) / feed.samples


def _centred(model: TabularMLP, feed: Any, x_mean: Tensor, y_mean: Tensor) -> tuple[Tensor, Tensor]:
    """X'X and X'y about the means."""
    width = len(x_mean)
    gram, product = torch.zeros(width, width, dtype=torch.float64), torch.zeros(width, len(y_mean), dtype=torch.float64)
    for x, y in _rows(model, feed):
        centred = x - x_mean
        gram += centred.T @ centred
        product += centred.T @ (y - y_mean)
    return gram, product
