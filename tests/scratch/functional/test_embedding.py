"""Embeddings: rows shortened in place, sparse gradients, frequencies, and what is out of range."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as torch_functional
from torch import Tensor

from rungbook.scratch import functional as F
from rungbook.scratch import nn


def table(rows: int = 7) -> Tensor:
    return torch.randn(rows, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


INDEX = torch.tensor([[1, 2, 2], [6, 0, 2]])


@pytest.mark.parametrize("norm_type", [1.0, 2.0, 3.0, float("inf")])
@pytest.mark.parametrize("name", ["embedding", "embedding_bag"])
def test_shortened_in_place(name: str, norm_type: float) -> None:
    tables = []
    for module in (F, torch_functional):
        weight = torch.nn.Parameter(table())
        y = getattr(module, name)(INDEX, weight, max_norm=1.0, norm_type=norm_type)
        y.sum().backward()  # the rows written over were none that backward needs
        tables.append(weight.detach())
    torch.testing.assert_close(*tables, rtol=1e-12, atol=1e-12)
    assert not torch.equal(tables[0], table())
    assert torch.equal(tables[0][3:6], table()[3:6])  # not looked up


@pytest.mark.parametrize("call", [lambda w, s: F.embedding(INDEX, w, 2, sparse=s), lambda w, s: F.embedding_bag(INDEX, w, sparse=s)])
def test_sparse_gradient(call) -> None:  # type: ignore[no-untyped-def]
    gradients = []
    for sparse in (False, True):
        weight = table().requires_grad_()
        gradients.append(torch.autograd.grad(call(weight, sparse).square().sum(), weight)[0])
    assert [g.is_sparse for g in gradients] == [False, True]
    torch.testing.assert_close(gradients[1].to_dense(), gradients[0])


def test_sparse_layer_trains() -> None:
    layers = [m.Embedding(7, 4, sparse=True) for m in (nn, torch.nn)]  # type: ignore[attr-defined]
    layers[0].load_state_dict(layers[1].state_dict())
    for layer in layers:
        optimizer = torch.optim.SparseAdam(layer.parameters())
        for _ in range(3):
            optimizer.zero_grad()
            layer(INDEX).square().sum().backward()
            optimizer.step()
    torch.testing.assert_close(layers[0].weight, layers[1].weight)


@pytest.mark.parametrize("mode", ["sum", "mean"])
def test_frequencies_in_bags_are_those_of_each_row(mode: str) -> None:
    """By definition: what looking up the rows one by one gives. Torch 2.13 divides by another row's frequency (pytorch issue 190063)."""
    weight, other = table().requires_grad_(), table().requires_grad_()
    factors = torch.randn(2, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    (ours,) = torch.autograd.grad((F.embedding_bag(INDEX, weight, mode=mode, scale_grad_by_freq=True) * factors).sum(), weight)
    single = getattr(torch_functional.embedding(INDEX, other, scale_grad_by_freq=True), mode)(1)
    (expected,) = torch.autograd.grad((single * factors).sum(), other)
    torch.testing.assert_close(ours, expected)


def test_second_derivatives() -> None:
    weight = table().requires_grad_()
    assert torch.autograd.gradgradcheck(lambda w: F.embedding(INDEX, w.sin(), 2).square(), [weight])
    for mode in ("sum", "mean", "max"):
        assert torch.autograd.gradgradcheck(lambda w, m=mode: F.embedding_bag(INDEX, w.sin(), mode=m).square(), [weight])


@pytest.mark.parametrize("bad", [7, -1])
def test_rows_out_of_range(bad: int) -> None:
    for function in (F.embedding, F.embedding_bag):
        with pytest.raises((IndexError, RuntimeError)):
            function(torch.tensor([[0, bad]]), table())


def test_offsets_out_of_order() -> None:
    for offsets in ([1, 2], [0, 9]):
        with pytest.raises(RuntimeError, match="must begin with 0"):
            F.embedding_bag(INDEX.reshape(-1), table(), torch.tensor(offsets))


def test_from_pretrained() -> None:
    for name in ("Embedding", "EmbeddingBag"):
        ours, theirs = (getattr(m, name).from_pretrained(table(), padding_idx=2, max_norm=3.0) for m in (nn, torch.nn))
        assert not ours.weight.requires_grad
        assert repr(ours) == repr(theirs)
        torch.testing.assert_close(ours(INDEX), theirs(INDEX))


def test_one_hot_and_normalize() -> None:
    assert torch.equal(F.one_hot(INDEX), torch_functional.one_hot(INDEX))
    with pytest.raises(RuntimeError, match="from 0 to 6"):
        F.one_hot(INDEX, 5)
    x, out = table(), torch.empty(0, dtype=torch.float64)
    assert F.normalize(x, out=out) is out
    torch.testing.assert_close(out, torch_functional.normalize(x))


@pytest.mark.parametrize("index", [-1, 7])
@pytest.mark.parametrize("call", [F.embedding, F.embedding_bag])
def test_index_out_of_range_is_named(call, index: int) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(IndexError, match=rf"{call.__name__}: input has index {index}, weight \(7, 4\) has rows 0 to 6"):
        call(torch.tensor([[1, index]]), table())
