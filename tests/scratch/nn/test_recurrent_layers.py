"""Recurrent layers beside torch's: exchanged both ways, copied, moved, with weights put in place; and what they refuse."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from rungbook.scratch import nn
from rungbook.scratch.swap import swap, unswap

KINDS = ("RNN", "GRU", "LSTM")


def pair(kind: str, **options: Any) -> tuple[Any, Any]:
    theirs = getattr(torch.nn, kind)(3, 4, **options)
    ours = getattr(nn, kind)(3, 4, **options)
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


@pytest.mark.parametrize("kind", KINDS)
def test_exchanged_and_back(kind: str) -> None:
    layer = getattr(torch.nn, kind)(3, 4, 2).double()
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    before = layer(x)
    swap(layer)
    assert type(layer) is getattr(nn, kind)
    torch.testing.assert_close(layer(x), before, rtol=0, atol=1e-12)
    layer.weight_hh_l0 = torch.nn.Parameter(torch.zeros(layer.weight_hh_l0.shape, dtype=torch.float64))
    changed = layer(x)
    assert not torch.equal(changed[0], before[0])
    unswap(layer)
    assert type(layer) is getattr(torch.nn, kind)
    torch.testing.assert_close(layer(x), changed, rtol=0, atol=1e-12)  # torch's list of weights has been kept in step


@pytest.mark.parametrize("kind", KINDS)
def test_one_of_ours_can_become_torchs(kind: str) -> None:
    theirs, ours = pair(kind, num_layers=2, bidirectional=True)
    assert set(vars(ours)) == set(vars(theirs))
    unswap(ours)
    x = torch.randn(5, 2, 3)
    torch.testing.assert_close(ours(x), theirs(x))


@pytest.mark.parametrize("kind", KINDS)
def test_the_list_of_weights_follows(kind: str) -> None:
    theirs, ours = pair(kind, num_layers=2)
    for layer in (theirs, ours):
        layer.double()
    for copied in (ours, copy.deepcopy(ours)):
        assert copied._flat_weights_names == theirs._flat_weights_names
        assert [w.dtype for w in copied._flat_weights] == [torch.float64] * len(theirs._flat_weights)
        assert all(w is getattr(copied, name) for w, name in zip(copied._flat_weights, copied._flat_weights_names, strict=True))
        assert [[w.shape for w in ws] for ws in copied.all_weights] == [[w.shape for w in ws] for ws in theirs.all_weights]
    copied = copy.deepcopy(ours)
    assert copied.weight_ih_l0 is not ours.weight_ih_l0
    assert ours.flatten_parameters() is None


def test_with_weights_computed_from_others() -> None:
    theirs, ours = pair("LSTM")
    x = torch.randn(5, 2, 3)
    for layer in (theirs, ours):
        torch.nn.utils.parametrizations.weight_norm(layer, "weight_hh_l0")
        with torch.no_grad():
            layer.parametrizations.weight_hh_l0.original0.mul_(3)
    torch.testing.assert_close(ours(x)[0], theirs(x)[0])


def test_packed_input_gives_packed_output() -> None:
    theirs, ours = pair("GRU", bidirectional=True)
    batch = torch.nn.utils.rnn.pack_sequence([torch.randn(n, 3) for n in (2, 4, 1)], enforce_sorted=False)
    a, b = ours(batch)[0], theirs(batch)[0]
    assert isinstance(a, torch.nn.utils.rnn.PackedSequence)
    for x, y in zip(a, b, strict=True):
        torch.testing.assert_close(x, y)
    with pytest.raises(AssertionError):  # a network that takes the rows as one sequence is another one
        torch.testing.assert_close(ours(batch.data)[0], a.data)


@pytest.mark.parametrize("cell", ["RNNCell", "GRUCell", "LSTMCell"])
def test_a_cell_stepped_is_a_layer(cell: str) -> None:
    layer, one = getattr(nn, cell.removesuffix("Cell"))(3, 4), getattr(nn, cell)(3, 4)
    one.load_state_dict({name.removesuffix("_l0"): value for name, value in layer.state_dict().items()})
    x, state = torch.randn(5, 2, 3), None
    outputs = []
    for t in range(5):
        state = one(x[t], state)
        outputs.append(state[0] if cell == "LSTMCell" else state)
    torch.testing.assert_close(torch.stack(outputs), layer(x)[0])


@pytest.mark.parametrize("kind", KINDS)
def test_refused_when_called(kind: str) -> None:
    layer = getattr(nn, kind)(3, 4)
    state = torch.zeros(1, 5, 4)
    wrong = (state, state) if kind == "LSTM" else state
    with pytest.raises(RuntimeError, match=r"hx\[0\] is \(1, 5, 4\).*needs \(1, 2, 4\)"):
        layer(torch.zeros(6, 2, 3), wrong)
    with pytest.raises(RuntimeError, match=r"must have 2 dimensions"):
        layer(torch.zeros(6, 3), wrong)
    with pytest.raises(ValueError, match="must have 3 dimensions, or 2"):
        layer(torch.zeros(3))
    with pytest.raises(RuntimeError, match="has 7 features, input_size is 3"):
        layer(torch.zeros(6, 2, 7))
    with pytest.raises(ValueError, match=r"input is torch.float64, the weights are torch.float32"):
        layer(torch.zeros(6, 2, 3).double())


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_checks_one_by_one(kind: str, batch_first: bool) -> None:
    options = {"num_layers": 2, "bidirectional": True, "batch_first": batch_first} | ({"proj_size": 2} if kind == "LSTM" else {})
    layers = pair(kind, **options)
    x, packed, sizes = torch.zeros(6, 5, 3), torch.zeros(8, 3), torch.tensor([4, 3, 1])
    h = torch.randn(4, 6 if batch_first else 5, 2 if kind == "LSTM" else 4)
    state = (h, torch.randn(*h.shape[:2], 4)) if kind == "LSTM" else h
    order = torch.randperm(h.shape[1])
    ours, theirs = layers[1], layers[0]
    assert ours.get_expected_hidden_size(x, None) == theirs.get_expected_hidden_size(x, None) == h.shape
    assert ours.get_expected_hidden_size(packed, sizes) == theirs.get_expected_hidden_size(packed, sizes)
    if kind == "LSTM":
        assert ours.get_expected_cell_size(x, None) == theirs.get_expected_cell_size(x, None) == state[1].shape
    assert ours.permute_hidden(state, None) is state
    for a, b in zip(ours.permute_hidden(state, order), theirs.permute_hidden(state, order), strict=True):
        assert torch.equal(a, b)
    wrong = (h, h[:1]) if kind == "LSTM" else h[:1]
    for layer in layers:
        layer.check_forward_args(x, state, None)
        layer.check_input(packed, sizes)
        layer.check_hidden_size(h, tuple(h.shape))
        for refused in (
            lambda layer=layer: layer.check_forward_args(x, wrong, None),
            lambda layer=layer: layer.check_input(x, sizes),
            lambda layer=layer: layer.check_input(packed, None),
            lambda layer=layer: layer.check_hidden_size(h, (1, 2, 3)),
        ):
            with pytest.raises(RuntimeError):
                refused()
        with pytest.raises(ValueError, match=r"float64"):
            layer.check_input(x.double(), None)
        with pytest.raises(RuntimeError, match=r"wanted \(1, 2, 3\)"):
            layer.check_hidden_size(h, (1, 2, 3), "wanted {}, found {}")


@pytest.mark.parametrize("kind", KINDS)
def test_forward_asks_a_check_put_in_its_place(kind: str) -> None:
    class Asked(Exception):
        pass

    class Layer(getattr(nn, kind)):  # type: ignore[misc]
        def check_forward_args(self, input: Any, hidden: Any, batch_sizes: Any) -> None:
            raise Asked

    h = torch.zeros(1, 2, 4)
    with pytest.raises(Asked):
        Layer(3, 4)(torch.zeros(6, 2, 3), (h, h) if kind == "LSTM" else h)


def test_refused_when_made() -> None:
    with pytest.raises(ValueError, match=r"proj_size \(4\) must be 0 \(none\) or less than hidden_size \(4\)"):
        nn.LSTM(3, 4, proj_size=4)
    with pytest.raises(ValueError, match=r"dropout must be a probability, got 1\.5"):
        nn.GRU(3, 4, 2, dropout=1.5)
    with pytest.raises(ValueError, match="nonlinearity 'sigmoid'"):
        nn.RNN(3, 4, nonlinearity="sigmoid")
    with pytest.raises(RuntimeError, match="nonlinearity 'sigmoid'"):
        nn.RNNCell(3, 4, nonlinearity="sigmoid")(torch.zeros(3))
    with pytest.raises(ValueError, match="is none of RNN_TANH"):
        nn.recurrent.RNNBase("LSTMS", 3, 4)
    with pytest.warns(UserWarning, match="acts between layers, and there is only one"):
        nn.GRU(3, 4, dropout=0.5)
