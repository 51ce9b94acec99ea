"""A bag of embeddings: the mean of the vectors of a text's words and word pairs, and a linear layer.

Joulin, Grave, Bojanowski and Mikolov 2016, "Bag of tricks for efficient text classification". Different from the paper: a full softmax, no
hashing (the vocabulary is counted), and dropout on the mean.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class BagOfEmbeddings(nn.Module):
    """Mean of embeddings, dropout, linear.

    Args:
        vocab_size: different token numbers; 0 pads and counts for nothing.
        out_features: outputs.
        embed_dim: size of a token's vector.
        dropout: probability that a number of the mean is left out of a training step.

    Shape: (B, T) int64 token numbers -> (B, out_features).
    """

    def __init__(self, vocab_size: int, out_features: int, *, embed_dim: int = 64, dropout: float = 0.0) -> None:
        super().__init__()
        self.bag = nn.EmbeddingBag(vocab_size, embed_dim, mode="mean", padding_idx=0)
        nn.init.normal_(self.bag.weight, std=0.1)  # small: the mean of many vectors starts near 0, all classes alike
        with torch.no_grad():
            self.bag.weight[0].zero_()
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(embed_dim, out_features)

    def forward(self, tokens: Tensor) -> Tensor:
        """Outputs of a batch of padded texts; an empty text is the zero vector."""
        return self.linear(self.dropout(self.bag(tokens)))  # (B, out_features)
