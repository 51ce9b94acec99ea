"""Two small models written with torch.nn's names, so that they can be made of torch's parts, made of ours, or swapped.

B sequences, T their length, D width, V size of the vocabulary.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import torch
from torch import Tensor


def gpt(
    nn: ModuleType, functional: ModuleType, *, vocabulary: int = 17, length: int = 8, width: int = 16, heads: int = 2, layers: int = 2
) -> Any:
    """A GPT of pre-norm blocks with tied embeddings: (B, T) tokens -> (B, T, V) logits."""

    class Attention(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.joint, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

        def forward(self, x: Tensor) -> Tensor:
            B, T, D = x.shape
            q, k, v = (
                part.view(B, T, heads, D // heads).transpose(1, 2) for part in self.joint(x).split(D, dim=2)
            )  # (B, heads, T, D / heads)
            scores = q @ k.transpose(-2, -1) / (D // heads) ** 0.5  # (B, heads, T, T)
            hidden = torch.ones(T, T, dtype=torch.bool, device=x.device).triu(1)
            weights = functional.softmax(scores.masked_fill(hidden, float("-inf")), dim=-1)
            return self.out((weights @ v).transpose(1, 2).reshape(B, T, D))  # (B, T, D)

    class Block(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm1, self.attention, self.norm2 = nn.LayerNorm(width), Attention(), nn.LayerNorm(width)
            self.wide, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

        def forward(self, x: Tensor) -> Tensor:
            x = x + self.attention(self.norm1(x))
            return x + self.narrow(functional.gelu(self.wide(self.norm2(x))))

    class GPT(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens, self.places = nn.Embedding(vocabulary, width), nn.Embedding(length, width)
            self.blocks = torch.nn.Sequential(*(Block() for _ in range(layers)))
            self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocabulary, bias=False)
            self.head.weight = self.tokens.weight

        def forward(self, tokens: Tensor) -> Tensor:
            x = self.tokens(tokens) + self.places(torch.arange(tokens.shape[1], device=tokens.device))  # (B, T, D)
            return self.head(self.norm(self.blocks(x)))  # (B, T, V)

    return GPT()


def lstm_classifier(nn: ModuleType, *, vocabulary: int = 11, width: int = 8, classes: int = 3) -> Any:
    """An LSTM whose gates are one linear map, and a linear layer on its last state: (B, T) tokens -> (B, classes) logits."""

    class Classifier(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens, self.gates, self.out = nn.Embedding(vocabulary, width), nn.Linear(2 * width, 4 * width), nn.Linear(width, classes)

        def forward(self, tokens: Tensor) -> Tensor:
            x = self.tokens(tokens)  # (B, T, D)
            h = c = torch.zeros_like(x[:, 0])  # (B, D)
            for step in x.unbind(1):
                i, f, g, o = self.gates(torch.cat([step, h], dim=1)).chunk(4, dim=1)  # four of (B, D)
                c = f.sigmoid() * c + i.sigmoid() * g.tanh()
                h = o.sigmoid() * c.tanh()
            return self.out(h)  # (B, classes)

    return Classifier()
