"""A step of Adam: ours against torch's default, on the parameters of an MLP, of nanoGPT's small form and of ResNet-18.

Ours makes six passes over a tensor: average, square, average, root, add, quotient. Torch's makes seven, and three of them first make a
tensor of a number. Where small tensors rule (the MLP), that saves a third; in the GPT's tensors of 65,536 numbers the root and the
quotient, which both make, take half of ours, more where the processor's roots are slow.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from contest import Contest
from rungbook.scratch import optim

MLP = [(50, 784), (50,), (10, 50), (10,)]
"""4 tensors, 39,760 numbers."""

GPT = [(65, 128), (64, 128), *[(128,), (384, 128), (128, 128), (128,), (512, 128), (128, 512)] * 4, (128,)]
"""27 tensors, 803,072 numbers: 4 blocks of width 128, no biases, tied embedding."""


def resnet18() -> list[tuple[int, ...]]:
    """62 tensors, 11.2 million numbers."""
    shapes: list[tuple[int, ...]] = [(64, 3, 7, 7), (64,), (64,)]
    before = 64
    for width in (64, 128, 256, 512):
        for stride_block in (True, False):
            shapes += [(width, before, 3, 3), (width,), (width,), (width, width, 3, 3), (width,), (width,)]
            if stride_block and width != 64:
                shapes += [(width, before, 1, 1), (width,), (width,)]
            before = width
    return [*shapes, (10, 512), (10,)]


def contests() -> list[Contest]:
    """Adam at the three sizes."""
    sizes = [("MLP 4 x 40k", MLP, 50, 0.70), ("GPT 27 x 0.8M", GPT, 10, 0.72), ("ResNet-18 62 x 11M", resnet18(), 1, 1.0)]
    return [contest(f"Adam {name}", shapes, steps, bound) for name, shapes, steps, bound in sizes]


def contest(name: str, shapes: list[tuple[int, ...]], steps: int, bound: float) -> Contest:
    """Steps of both from equal parameters along equal gradients.

    Args:
        name: of the size.
        shapes: of the parameters.
        steps: in one timed run.
        bound: of the ratio.
    """
    torch.manual_seed(0)
    start = [torch.randn(shape) for shape in shapes]
    gradients = [torch.randn(shape) for shape in shapes]

    def made(cls: type[torch.optim.Optimizer]) -> tuple[list[Tensor], Callable[[], None]]:
        params = [x.clone().requires_grad_() for x in start]
        for p, gradient in zip(params, gradients, strict=True):
            p.grad = gradient.clone()
        optimizer = cls(params, lr=1e-3)  # type: ignore[call-arg]

        def run() -> None:
            for _ in range(steps):
                optimizer.step()

        return params, run

    def check() -> None:
        (theirs, run_theirs), (ours, run_ours) = made(torch.optim.Adam), made(optim.Adam)
        run_theirs()
        run_ours()
        for a, b in zip(ours, theirs, strict=True):
            torch.testing.assert_close(a, b)

    return Contest(name, made(torch.optim.Adam)[1], {"in place": made(optim.Adam)[1]}, {"in place": bound}, check)
