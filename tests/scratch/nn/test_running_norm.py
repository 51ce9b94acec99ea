"""Running batch norm: its formula worked out in plain numbers, gradients, tiny batches where batch norm fails, half precision."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor

from rungbook.scratch.autograd.gradcheck import gradcheck
from rungbook.scratch.autograd.tape import Tape
from rungbook.scratch.nn import RunningBatchNorm

covers = ["I08"]


def batches(n: int, size: int, *, seed: int = 0, shape: tuple[int, ...] = (3, 4, 5)) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [2 * torch.randn(size, *shape, generator=generator, dtype=torch.float64) + 1 for _ in range(n)]


def by_hand(seen: list[Tensor], momentum: float = 0.1, eps: float = 1e-5) -> Tensor:
    """The last batch's output, from the notebook's formulas, with the bias of the running sums taken out as it does it."""
    sums = squares = count = debias = 0.0
    for x in seen:
        share = 1 - (1 - momentum) / math.sqrt(max(len(x) - 1, 1))
        flat = x.transpose(0, 1).flatten(1)
        debias = debias * (1 - share) + share
        sums = sums * (1 - share) + flat.sum(1) * share
        squares = squares * (1 - share) + flat.square().sum(1) * share
        count = count * (1 - share) + flat.shape[1] * share
    mean = (sums / debias) / (count / debias)
    var = (squares / debias) / (count / debias) - mean * mean
    if sum(map(len, seen)) < 20:
        var = var.clamp(min=0.01)
    shape = (1, -1, *[1] * (seen[-1].dim() - 2))
    return (seen[-1] - mean.view(shape)) / (var.view(shape) + eps).sqrt()


@pytest.mark.parametrize("shape", [(3,), (3, 7), (3, 4, 5), (3, 2, 3, 2)])
@pytest.mark.parametrize("sizes", [[2, 2, 2], [16, 5, 1], [64, 64]])
def test_the_formula(shape: tuple[int, ...], sizes: list[int]) -> None:
    layer = RunningBatchNorm(3, dtype=torch.float64)
    seen: list[Tensor] = []
    for i, size in enumerate(sizes):
        seen += batches(1, size, seed=i, shape=shape)
        torch.testing.assert_close(layer(seen[-1]), by_hand(seen), rtol=1e-12, atol=1e-12)
    assert layer.num_samples_tracked == sum(sizes)


def test_evaluation_uses_the_numbers_of_training() -> None:
    layer = RunningBatchNorm(3, dtype=torch.float64)
    for x in batches(5, 4):
        out = layer.train()(x)
    before = copy.deepcopy(layer.state_dict())
    torch.testing.assert_close(layer.eval()(x), out, rtol=0, atol=0)
    assert all(torch.equal(layer.state_dict()[k], v) for k, v in before.items()), "evaluation tracks nothing"
    theirs = torch.nn.BatchNorm2d(3, dtype=torch.float64)
    for x in batches(5, 4):
        out = theirs.train()(x)
    assert (theirs.eval()(x) - out).abs().max() > 0.1, "control: batch norm computes something else in evaluation"


def test_batches_of_two_tell_the_scale_where_batch_norm_does_not() -> None:
    """The output's distance from the true normalisation: batch norm's two rows are always about -1 and 1, whatever they were."""
    data = batches(300, 2, shape=(3,))
    errors = {}
    for name, layer in (("running", RunningBatchNorm(3, dtype=torch.float64)), ("batch", torch.nn.BatchNorm1d(3, dtype=torch.float64))):
        off = [(layer(x) - (x - 1) / 2).square().mean() for x in data]
        errors[name] = torch.stack(off[100:]).mean().sqrt().item()
    assert errors["running"] < 0.5
    assert errors["batch"] > 0.7


def test_a_single_row_is_enough() -> None:
    layer = RunningBatchNorm(3)
    assert layer(torch.randn(1, 3)).isfinite().all()
    with pytest.raises(ValueError, match="more than 1 value"):
        torch.nn.BatchNorm1d(3)(torch.randn(1, 3))  # control


def test_before_any_batch_it_is_the_identity() -> None:
    layer, x = RunningBatchNorm(3, eps=0.0).eval(), torch.randn(4, 3)
    assert torch.equal(layer(x), x)
    layer.train()(x)
    assert not torch.equal(layer.eval()(x), x)
    layer.reset_parameters()
    assert torch.equal(layer(x), x)


@pytest.mark.parametrize("training", [True, False])
def test_gradients(training: bool) -> None:
    layer = RunningBatchNorm(3, dtype=torch.float64).train(training)
    torch.nn.init.normal_(layer.weight)
    for x in batches(12, 2, shape=(3,)):
        layer.train()(x)
    layer.train(training)
    start = copy.deepcopy(layer.state_dict())
    (x,) = batches(1, 4, seed=9, shape=(3, 2))

    def run(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        layer.load_state_dict(start)  # each call sees the same past
        return torch.func.functional_call(layer, {"weight": weight, "bias": bias}, (x,))

    gradcheck(run, (x, layer.weight.detach(), layer.bias.detach()))
    x.requires_grad_()
    layer.load_state_dict(start)
    layer(x).pow(3).sum().backward()
    theirs, mine = x.grad, x.detach().clone()
    layer.load_state_dict(start)
    with Tape() as tape:
        tape.watch(layer)
        tape.watch(mine)
        loss = layer(mine).pow(3).sum()
    tape.backward(loss)
    torch.testing.assert_close(mine.grad, theirs, rtol=1e-10, atol=1e-12)


def test_no_graph_is_carried_from_batch_to_batch() -> None:
    layer = RunningBatchNorm(3)
    for x in batches(3, 4):
        layer(x.float()).square().mean().backward()  # a kept graph would raise at the second
    assert not any(b.requires_grad for b in layer.buffers())


def test_state_goes_round_and_half_precision_keeps_its_type() -> None:
    layer, other = RunningBatchNorm(3), RunningBatchNorm(3)
    for x in batches(3, 8):
        layer(x.float())
    other.load_state_dict(layer.state_dict())
    x = batches(1, 8, seed=5)[0].float()
    assert torch.equal(layer.eval()(x), other.eval()(x))
    half = layer.train()(x.bfloat16())
    assert half.dtype == torch.bfloat16
    assert layer.sums.dtype == torch.float32
    assert (half.float() - other.train()(x)).abs().max() < 0.05


def test_refusals() -> None:
    with pytest.raises(ValueError, match="momentum is 0"):
        RunningBatchNorm(3, momentum=0.0)
    with pytest.raises(ValueError, match=r"input \(4, 2, 5\)"):
        RunningBatchNorm(3)(torch.randn(4, 2, 5))
    with pytest.raises(ValueError, match="is needed"):
        RunningBatchNorm(3)(torch.randn(3))
    assert list(RunningBatchNorm(3, affine=False).parameters()) == []
    assert "momentum=0.1" in repr(RunningBatchNorm(3))
