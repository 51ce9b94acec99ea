"""`Var` against torch's eager autograd: forward, backward and a step of gradient descent of the MLP 784-50-10, batch 64."""

from __future__ import annotations

from itertools import pairwise

import torch

from contest import Contest
from rungbook.scratch.autograd.var import Var, cross_entropy

N, STEPS, LR = 64, 200, 0.1
SIZES = (784, 50, 10)


def weights(seed: int = 0) -> list[torch.Tensor]:
    """Weight (out, in) and bias of each layer."""
    g = torch.Generator().manual_seed(seed)
    return [t for i, o in pairwise(SIZES) for t in (torch.randn(o, i, generator=g) / i**0.5, torch.zeros(o))]


def batch(seed: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """Pixels (N, 784) and classes (N)."""
    g = torch.Generator().manual_seed(seed)
    return torch.rand(N, SIZES[0], generator=g), torch.randint(0, SIZES[-1], (N,), generator=g)


def torch_loop(steps: int = STEPS) -> list[float]:
    """The loop as torch's users write it; the losses of the first and last step."""
    model = torch.nn.Sequential(torch.nn.Linear(784, 50), torch.nn.ReLU(), torch.nn.Linear(50, 10))
    with torch.no_grad():
        for p, w in zip(model.parameters(), weights(), strict=True):
            p.copy_(w)
    optimizer = torch.optim.SGD(model.parameters(), lr=LR)
    x, y = batch()
    losses = []
    for _ in range(steps):
        loss = torch.nn.functional.cross_entropy(model(x), y)
        losses.append(loss.detach())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return torch.stack(losses).tolist()


def torch_by_hand_loop(steps: int = STEPS) -> list[float]:
    """torch's autograd without its modules and optimiser: the least that it can cost."""
    w1, b1, w2, b2 = parameters = [w.requires_grad_() for w in weights()]
    x, y = batch()
    losses = []
    for _ in range(steps):
        hidden = torch.nn.functional.linear(x, w1, b1).relu()
        loss = torch.nn.functional.cross_entropy(torch.nn.functional.linear(hidden, w2, b2), y)
        losses.append(loss.detach())
        loss.backward()
        with torch.no_grad():
            for p in parameters:
                p.add_(p.grad, alpha=-LR)
                p.grad = None
    return torch.stack(losses).tolist()


def var_loop(steps: int = STEPS) -> list[float]:
    """The same on `Var`s."""
    w1, b1, w2, b2 = parameters = [Var(w.mT.contiguous() if w.dim() == 2 else w) for w in weights()]  # weights (in, out)
    x, y = batch()
    losses = []
    for _ in range(steps):
        hidden = (x @ w1 + b1).relu()
        loss = cross_entropy(hidden @ w2 + b2, y)
        losses.append(loss.data)
        loss.backward()
        for p in parameters:
            p.data.add_(p.grad, alpha=-LR)
            p.grad = None
    return torch.stack(losses).tolist()


def contests() -> list[Contest]:
    """One contest; bound from the issue, the bare loop is there to see what torch's modules and optimiser cost."""

    def check() -> None:
        expected = torch.tensor(torch_loop(20))
        for loop in (torch_by_hand_loop, var_loop):
            torch.testing.assert_close(torch.tensor(loop(20)), expected, rtol=1e-4, atol=1e-5)

    return [Contest("Var MLP 784-50-10 N64", torch_loop, {"var": var_loop, "torch, bare loop": torch_by_hand_loop}, {"var": 1.2}, check)]
