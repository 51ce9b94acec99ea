"""The tape against torch's autograd: a training step's forward and backward of the same model made of twins.

LeNet-5 on 256 images of 28 x 28, and a GPT of nanoGPT's size for a CPU (4 layers, width 128, 4 heads, 64 tokens, 12 sequences).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from contest import Contest
from rungbook.scratch import functional as F
from rungbook.scratch import nn
from rungbook.scratch.autograd.tape import Tape


class Block(torch.nn.Module):
    """Attention and two linear layers, each after a norm and around a shortcut. B sequences, T tokens, C channels, h heads."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.joint, self.out = nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.norm2, self.wide, self.narrow = nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        B, T, C = x.shape
        q, k, v = (p.view(B, T, self.heads, -1).transpose(1, 2) for p in self.joint(self.norm1(x)).split(C, dim=2))  # (B, h, T, C / h)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(B, T, C))  # (B, T, C)
        return x + self.narrow(F.gelu(self.wide(self.norm2(x))))


def gpt() -> tuple[torch.nn.Module, Tensor, Tensor]:
    """A model, tokens (B, T) and the tokens after them (B T)."""
    width, tokens = 128, torch.randint(0, 65, (12, 65))
    blocks = [Block(width, 4) for _ in range(4)]
    model = torch.nn.Sequential(nn.Embedding(65, width), *blocks, nn.LayerNorm(width), nn.Linear(width, 65), torch.nn.Flatten(0, 1))
    return model, tokens[:, :-1], tokens[:, 1:].reshape(-1)


def lenet() -> tuple[torch.nn.Module, Tensor, Tensor]:
    """A model, images (256, 1, 28, 28) and labels (256)."""
    convolutions = [nn.Conv2d(1, 6, 5, padding=2), nn.Sigmoid(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5), nn.Sigmoid(), nn.AvgPool2d(2)]
    dense = [nn.Flatten(), nn.Linear(400, 120), nn.Sigmoid(), nn.Linear(120, 84), nn.Sigmoid(), nn.Linear(84, 10)]
    return torch.nn.Sequential(*convolutions, *dense), torch.randn(256, 1, 28, 28), torch.randint(0, 10, (256,))


def contests() -> list[Contest]:
    """Both models."""
    return [contest("Tape LeNet N256", lenet, 1.3), contest("Tape GPT 4x128 T64 N12", gpt, 1.8)]


def contest(name: str, make: Callable[[], tuple[torch.nn.Module, Tensor, Tensor]], bound: float) -> Contest:
    """One model, its gradients taken by torch and by the tape."""
    torch.manual_seed(0)
    model, x, target = make()
    parameters, tape = list(model.parameters()), Tape()
    tape.watch(model)

    def by_torch() -> list[Tensor]:
        return list(torch.autograd.grad(F.cross_entropy(model(x), target), parameters))

    def by_tape() -> list[Tensor]:
        with tape:
            loss = F.cross_entropy(model(x), target)
        gradients: list[Tensor] = tape.gradient(loss, parameters)
        return gradients

    def check() -> None:
        for mine, wanted in zip(by_tape(), by_torch(), strict=True):
            torch.testing.assert_close(mine, wanted, rtol=1e-3, atol=1e-4 * float(wanted.abs().max()))

    return Contest(name, by_torch, {"eager": by_tape}, {"eager": bound}, check)
