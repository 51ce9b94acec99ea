"""Conv2d: forward and backward of ours, eager and compiled, against torch's, at the sizes of LeNet's and of ResNet-18's layers."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from contest import Contest
from rungbook.scratch import nn

SIZES: list[tuple[str, int, int, tuple[int, int, int], dict[str, int], float, float]] = [
    ("Conv2d N256 1->6 k5 p2 28x28", 256, 28, (1, 6, 5), {"padding": 2}, 2.0, 1.2),
    ("Conv2d N256 6->16 k5 14x14", 256, 14, (6, 16, 5), {}, 5.5, 4.4),
    ("Conv2d N32 64->64 k3 p1 32x32", 32, 32, (64, 64, 3), {"padding": 1}, 6.0, 3.7),
    ("Conv2d N32 128->256 k3 s2 p1 16x16", 32, 16, (128, 256, 3), {"padding": 1, "stride": 2}, 2.3, 2.3),
]
"""Name, samples, height and width, (channels in, out, kernel), options, bound eager, bound compiled."""


def contests() -> list[Contest]:
    """The four sizes, with gradients for input, weight and bias."""
    return [contest(*size) for size in SIZES]


def contest(
    name: str, samples: int, size: int, channels: tuple[int, int, int], options: dict[str, int], eager: float, compiled: float
) -> Contest:
    """One layer at one size, from equal weights on equal inputs."""
    torch.manual_seed(0)
    theirs = torch.nn.Conv2d(*channels, **options)
    ours = nn.Conv2d(*channels, **options)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(samples, channels[0], size, size).requires_grad_()
    gradient = torch.randn_like(theirs(x))
    forms = {
        "torch": forward_backward(theirs, list(theirs.parameters()), x, gradient),
        "eager": forward_backward(ours, list(ours.parameters()), x, gradient),
        "compiled": forward_backward(torch.compile(ours, dynamic=False), list(ours.parameters()), x, gradient),
    }

    def check() -> None:
        expected = forms["torch"]()
        for form in ("eager", "compiled"):
            for mine, wanted in zip(forms[form](), expected, strict=True):
                torch.testing.assert_close(mine, wanted, rtol=1e-3, atol=1e-4 * float(wanted.detach().abs().max()))

    return Contest(name, forms["torch"], {f: forms[f] for f in ("eager", "compiled")}, {"eager": eager, "compiled": compiled}, check)


def forward_backward(
    layer: Callable[[Tensor], Tensor], parameters: list[Tensor], x: Tensor, gradient: Tensor
) -> Callable[[], tuple[Tensor, ...]]:
    """One forward and backward pass of a layer; returns the result and all gradients."""

    def run() -> tuple[Tensor, ...]:
        y = layer(x)
        return y, *torch.autograd.grad(y, [x, *parameters], gradient)

    return run
