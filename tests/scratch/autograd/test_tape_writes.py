"""Writes in place under a tape: right where torch's autograd is right, refused where the tape cannot be."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rungbook.scratch.autograd.faults import OverwrittenTensor
from rungbook.scratch.autograd.tape import Tape


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def residual(x: Tensor, w: Tensor) -> Tensor:
    y = x * w
    y += x
    return F.relu(y, inplace=True) * w


def old_value_needed(x: Tensor, w: Tensor) -> Tensor:
    y = x + w
    y *= w
    y.clamp_(-0.5, 0.5)
    return y * y


def twice(x: Tensor, w: Tensor) -> Tensor:
    y = x + 1
    y += w
    y += x * w
    y -= 2
    return y.exp()


def with_itself(x: Tensor, w: Tensor) -> Tensor:
    y = x * w
    y.add_(y)
    return y


def masked(x: Tensor, w: Tensor) -> Tensor:
    y = x * w
    y.masked_fill_(x > 0, -1e9)
    return y.softmax(-1)


def into_fresh(x: Tensor, w: Tensor) -> Tensor:
    y = torch.zeros_like(x)
    y.copy_(x * w)
    return y * w


def added_to_fresh(x: Tensor, w: Tensor) -> Tensor:
    y = torch.ones(x.shape, dtype=x.dtype)
    y.add_(x).mul_(w)
    return y.sin()


def overwritten(x: Tensor, w: Tensor) -> Tensor:
    y = x * w
    z = y + 1
    y.zero_()
    return y + z


def by_index(x: Tensor, w: Tensor) -> Tensor:
    y = x * 1
    y[torch.tensor([0, 2])] = w[:2]
    return y * w


def reshaped(x: Tensor, w: Tensor) -> Tensor:
    y = (x * w).unsqueeze_(0).squeeze_(0).t_()
    return y.exp() * w.t()


def on_a_view(x: Tensor, w: Tensor) -> Tensor:
    y = (x * w).view(-1)
    y += 1
    return y.exp()


def dropout(x: Tensor, w: Tensor) -> Tensor:
    torch.manual_seed(3)
    return F.dropout(x * w, 0.5)


RIGHT = [
    residual,
    old_value_needed,
    twice,
    with_itself,
    masked,
    into_fresh,
    added_to_fresh,
    overwritten,
    by_index,
    reshaped,
    on_a_view,
    dropout,
]


@pytest.mark.parametrize("f", RIGHT, ids=lambda f: f.__name__)
def test_as_torch_has_it(f: Callable[[Tensor, Tensor], Tensor]) -> None:
    x, w = numbers(3, 3).requires_grad_(), numbers(3, 3, seed=1).requires_grad_()
    wanted = torch.autograd.grad(f(x, w).sum(), [x, w])
    with Tape() as tape:
        tape.watch(x, w)
        loss = f(x, w).sum()
    for mine, theirs in zip(tape.gradient(loss, [x, w]), wanted, strict=True):
        assert torch.allclose(mine, theirs, rtol=1e-12, atol=1e-12)


def test_view_written_then_base_used() -> None:
    x = numbers(3)
    with Tape() as tape:
        tape.watch(x)
        y = x * 2
        y[0] = 0
        with pytest.raises(OverwrittenTensor, match=r"uses a tensor of shape \(3,\) whose memory .*copy_.* written through another view"):
            y.sum()


def test_rows_written_into_a_fresh_tensor() -> None:
    x = numbers(3)
    with Tape() as tape:
        tape.watch(x)
        out = torch.zeros(2, 3, dtype=torch.float64)
        out[0].copy_(x)
        with pytest.raises(OverwrittenTensor, match=r"torch\.cat, stack or where"):
            out.sum()


def test_a_value_that_is_needed_and_gone() -> None:
    """exp's rule reads its result; adding to it in place loses that."""
    x = numbers(3)
    with Tape() as tape:
        tape.watch(x)
        y = x.exp()
        y += 1
        loss = y.sum()
    with pytest.raises(
        OverwrittenTensor, match=r"gradient of aten\.exp\.default needs .* as it was, and aten\.add_\.Tensor at .*test_tape_writes"
    ):
        tape.gradient(loss, x)


def test_a_constant_that_is_needed_and_gone() -> None:
    x, mask = numbers(3), torch.ones(3, dtype=torch.float64)
    with Tape() as tape:
        tape.watch(x)
        loss = (x * mask).sum()
        mask.zero_()
    with pytest.raises(OverwrittenTensor, match=r"aten\.zero_\.default"):
        tape.gradient(loss, x)
    with Tape() as tape:
        tape.watch(x)
        loss = (x + mask).sum()
        mask.zero_()
    assert tape.gradient(loss, x).tolist() == [1, 1, 1], "an addition's rule does not read its terms"


@pytest.mark.parametrize("write", [lambda p: p.mul_(2), lambda p: p.zero_(), lambda p: F.relu_(p), lambda p: p.unsqueeze_(0)])
def test_watched_tensors_are_not_written(write: Callable[[Tensor], Tensor]) -> None:
    layer = nn.Linear(2, 2)
    before = layer.weight.detach().clone()
    with Tape() as tape:
        tape.watch(layer)
        with pytest.raises(OverwrittenTensor, match="writes into weight, which is watched"):
            write(layer.weight)
    assert torch.equal(layer.weight, before), "refused before anything is written"


def test_optimiser_within_the_block_is_refused_before_and_free_after_backward() -> None:
    layer = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    tape = Tape()
    tape.watch(layer)
    with tape:
        loss = layer(torch.ones(2)).sum()
        layer.weight.grad, layer.bias.grad = torch.ones(1, 2), torch.ones(1)
        with pytest.raises(OverwrittenTensor, match="watched"):
            optimizer.step()
        tape.backward(loss)
        optimizer.step()


def test_writes_without_a_gradient_pass() -> None:
    """Running statistics, integer masks, buffers that are made and filled."""
    norm, x = nn.BatchNorm1d(3).double(), numbers(5, 3)
    count = torch.zeros(3, dtype=torch.int64)
    with Tape() as tape:
        tape.watch(norm, x)
        count += 1
        count[0] = 7
        noise = torch.empty(5, 3, dtype=torch.float64).normal_().mul_(0.1)
        loss = (norm(x) + noise).square().sum()
    assert torch.isfinite(tape.gradient(loss, x)).all()
    assert norm.num_batches_tracked == 1
    assert count.tolist() == [7, 1, 1]


def test_buffers_of_a_watched_module_carry_no_gradient() -> None:
    """Written from taped values as running statistics are, then read: a constant, as under torch.no_grad()."""

    class Centred(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(numbers(3))
            self.register_buffer("mean", torch.zeros(3, dtype=torch.float64))

        def forward(self, x: Tensor) -> Tensor:
            y = x * self.weight
            with torch.no_grad():
                self.mean.copy_(y.mean(0))
            return (y - self.mean) ** 2

    model, x = Centred(), numbers(4, 3, seed=1)
    with Tape() as tape:
        tape.watch(model)
        loss = model(x).sum()
    (wanted,) = torch.autograd.grad(model(x).sum(), [model.weight])
    assert torch.allclose(tape.gradient(loss, model)["weight"], wanted)


def test_embedding_with_max_norm() -> None:
    layers = [nn.Embedding(5, 3, max_norm=1.0, dtype=torch.float64) for _ in range(2)]
    with torch.no_grad():
        layers[1].weight.copy_(layers[0].weight)
    index = torch.tensor([0, 3, 3])
    with Tape() as tape:
        tape.watch(layers[0])
        loss = layers[0](index).square().sum()
    (wanted,) = torch.autograd.grad(layers[1](index).square().sum(), [layers[1].weight])
    assert torch.allclose(tape.gradient(loss, layers[0])["weight"], wanted)


def test_integer_steps_of_a_shape_are_left_alone() -> None:
    x = numbers(2, 3)
    with Tape() as tape:
        tape.watch(x)
        order = x.argsort(dim=1)
        order += 0
        loss = x.gather(1, order).mul(torch.arange(3)).sum()
    leaf = x.clone().requires_grad_()
    (wanted,) = torch.autograd.grad((leaf.gather(1, leaf.argsort(dim=1)) * torch.arange(3)).sum(), leaf)
    assert torch.equal(tape.gradient(loss, x), wanted)
