"""An LSTM's closed backward is its plain form's; and every recurrent network can be looked into: by a tape, a compiler, torch.func."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from rungbook.scratch import nn
from rungbook.scratch.autograd.tape import Tape
from rungbook.scratch.functional.closed_form import closed_form_applies, gradients_of_plain_form
from rungbook.scratch.functional.lstm_scan import LSTMScan, plain_scan
from rungbook.scratch.functional.recurrent import recurrent


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def scanned() -> tuple[Tensor, ...]:
    return drawn(4, 2, 12, seed=1), drawn(2, 3, seed=2), drawn(2, 3, seed=3), drawn(12, 3, seed=4)


def test_closed_and_plain_scan_agree() -> None:
    inputs = scanned()
    closed, plain = LSTMScan.apply(*inputs), plain_scan(*inputs)
    weights = [drawn(*x.shape, seed=5 + i).detach() for i, x in enumerate(plain)]
    for a, b in zip(closed, plain, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)
    for a, b in zip(torch.autograd.grad(closed, inputs, weights), torch.autograd.grad(plain, inputs, weights), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_scan_by_finite_differences() -> None:
    inputs = drawn(2, 1, 8, seed=1), drawn(1, 2, seed=2), drawn(1, 2, seed=3), drawn(8, 2, seed=4)
    assert torch.autograd.gradcheck(LSTMScan.apply, inputs)
    assert torch.autograd.gradgradcheck(LSTMScan.apply, inputs)


def test_large_gates_neither_overflow_nor_lose_their_gradient() -> None:
    gates, h, c, weight = scanned()
    gates = (gates.detach() * 1e4).requires_grad_()
    output = LSTMScan.apply(gates, h, c, weight)[0]
    (gradient,) = torch.autograd.grad(output.sum(), gates)
    torch.testing.assert_close(output, plain_scan(gates, h, c, weight)[0], rtol=0, atol=1e-12)
    assert gradient.isfinite().all()


def test_an_input_made_from_another_counts_once() -> None:
    """With `k = 3 q` the derivative of `q k` by q alone is k; naively, what reaches q through k is added."""
    q = drawn(3)
    k = 3 * q
    product = lambda q, k: (q * k,)
    by_q, by_k = gradients_of_plain_form(product, (q, k), (True, True), (torch.ones_like(q),))
    assert torch.equal(by_q, k)
    assert torch.equal(by_k, q)
    naive = torch.autograd.grad(product(q, k), [q, k], [torch.ones_like(q)])
    assert torch.equal(naive[0], 2 * k)


def test_second_derivatives_are_torchs() -> None:
    layers = [torch.nn.LSTM(3, 4, 2, bidirectional=True).double()]
    layers.append(nn.LSTM(3, 4, 2, bidirectional=True).double())
    layers[1].load_state_dict(layers[0].state_dict())
    found = []
    for layer in layers:
        x = drawn(5, 2, 3)
        (first,) = torch.autograd.grad((layer(x)[0] ** 2).sum(), x, create_graph=True)
        found.append(torch.autograd.grad((first**2).sum(), [x, *layer.parameters()]))
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-9)
        assert a.abs().max() > 1e-6


def test_where_a_closed_form_applies() -> None:
    x = drawn(2)
    assert closed_form_applies(x)
    assert closed_form_applies(x, x.detach())
    assert not closed_form_applies(x.detach())
    assert not closed_form_applies(x, x.float())
    with torch.no_grad():
        assert not closed_form_applies(x)
    with torch.autocast("cpu", torch.bfloat16):
        assert not closed_form_applies(x)
    inside = []
    torch.func.grad(lambda x: inside.append(closed_form_applies(x)) or x.sum())(x)
    assert inside == [False]


NETWORKS = {
    "RNN": lambda module: module.RNN(3, 4, 2, nonlinearity="relu", bidirectional=True),
    "GRU": lambda module: module.GRU(3, 4, 2),
    "LSTM": lambda module: module.LSTM(3, 4, 2, bidirectional=True),
    "LSTM with a projection": lambda module: module.LSTM(3, 4, proj_size=2),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_tape_finds_torchs_gradients(name: str) -> None:
    layer = NETWORKS[name](nn).double()
    x = drawn(5, 2, 3)
    wanted = torch.autograd.grad((layer(x)[0] ** 2).sum(), [x, *layer.parameters()])
    with Tape() as tape:
        tape.watch(layer, x=x)
        loss = (layer(x)[0] ** 2).sum()
    found = tape.gradient(loss, [x, *layer.parameters()])
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", NETWORKS)
def test_functional_transforms_see_through(name: str) -> None:
    layer = NETWORKS[name](nn).double()
    x = drawn(3, 5, 2, 3)  # three inputs

    def loss(parameters: Any, x: Tensor) -> Tensor:
        return (torch.func.functional_call(layer, parameters, (x,))[0] ** 2).sum()

    parameters = {n: p.detach() for n, p in layer.named_parameters()}
    each = torch.vmap(torch.func.grad(loss), (None, 0))(parameters, x.detach())
    for i in range(3):
        wanted = torch.autograd.grad((layer(x[i])[0] ** 2).sum(), list(layer.parameters()))
        for found, w in zip(each.values(), wanted, strict=True):
            torch.testing.assert_close(found[i], w, rtol=0, atol=1e-10)


def test_a_compiler_sees_one_graph() -> None:
    torch.manual_seed(0)
    layer = nn.LSTM(3, 4)
    x = torch.randn(2, 2, 3)
    compiled = torch.compile(layer, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x)[0], layer(x)[0])


@pytest.fixture
def without_onednn() -> Iterator[None]:
    """Not every processor has oneDNN's bfloat16 LSTM."""
    with torch.backends.mkldnn.flags(enabled=False):
        yield


@pytest.mark.filterwarnings("ignore:TF32 acceleration")  # setting the switch back asks about Intel GPUs
@pytest.mark.usefixtures("without_onednn")
@pytest.mark.parametrize("name", NETWORKS)
def test_in_single_precision_and_under_autocast(name: str) -> None:
    theirs, ours = NETWORKS[name](torch.nn), NETWORKS[name](nn)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(ours(x), theirs(x), rtol=0, atol=1e-6)
    with torch.autocast("cpu", torch.bfloat16):
        a, b = ours(x)[0], theirs(x)[0]
        assert a.dtype == b.dtype
        torch.testing.assert_close(a, b, rtol=0, atol=2e-2)
        torch.autograd.grad(a.float().sum(), list(ours.parameters()))


@pytest.mark.parametrize("name", NETWORKS)
def test_on_the_device_of_the_input(name: str) -> None:
    layer = NETWORKS[name](nn).to("meta")
    for x in (torch.empty(5, 2, 3, device="meta"), torch.empty(5, 3, device="meta")):
        assert layer(x)[0].device.type == "meta"


def test_wrong_number_of_parameters() -> None:
    with pytest.raises(RuntimeError, match="params holds 3 tensors; 1 layers and directions with biases need 4 each"):
        recurrent("GRU", drawn(2, 1, 3), (drawn(1, 1, 4),), [drawn(12, 3)] * 3, True, 1, 0.0, False, False)


def test_no_steps() -> None:
    with pytest.raises(RuntimeError, match="has no steps"):
        nn.GRU(3, 4)(torch.zeros(0, 2, 3))


def test_the_output_may_be_written_over() -> None:
    """As models do that follow a network with an activation or dropout in place."""
    found = []
    for module in (nn, torch.nn):
        torch.manual_seed(0)
        layer, x = module.LSTM(3, 4).double(), drawn(5, 2, 3)
        found.append(torch.autograd.grad(layer(x)[0].relu_().sum(), [x, *layer.parameters()]))
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)
