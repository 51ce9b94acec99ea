"""Dropout of its own share in each layer, really dropping, and compared fairly."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from commands import Rung
from torch import nn

from rungbook.models.registry import create_model
from rungbook.models.tabular.mlp import MLP
from rungbook.recipes.book.dropout import Dropout
from rungbook.recipes.prepare import make_model, prepare_data


def test_each_layer_drops_its_own_share() -> None:
    data = prepare_data(Dropout())
    for variant, settings in Dropout.variants.items():
        model, options = make_model(replace(Dropout(), **settings), data)
        assert [m.p for m in model.modules() if isinstance(m, nn.Dropout)] == ([0.2, 0.5] if variant != "no dropout" else [])
        assert sum(p.numel() for p in model.parameters()) == 64 * 256 + 256 + 256 * 256 + 256 + 2570
        kept = create_model("mlp", **{**options, "dropout": list(options["dropout"])})
        kept.load_state_dict(model.state_dict())  # as a saved model is made again, from JSON


def test_units_are_left_out_in_training_only() -> None:
    torch.manual_seed(0)
    model = MLP(4, 3, hidden=(400, 400), dropout=(0.2, 0.5), activation="identity")
    seen: list[torch.Tensor] = []
    for layer in model.layers:
        if isinstance(layer, nn.Dropout):
            layer.register_forward_hook(lambda module, given, out: seen.append((out == 0).float().mean()))
    model(torch.randn(50, 4))
    assert [float(s) for s in seen] == pytest.approx([0.2, 0.5], abs=0.02)
    seen.clear()
    model.eval()
    model(torch.randn(50, 4))
    assert [float(s) for s in seen] == [0.0, 0.0]


def test_one_share_serves_all_layers_and_the_number_must_fit() -> None:
    assert [m.p for m in MLP(4, 3, hidden=(5, 6, 7), dropout=0.3).modules() if isinstance(m, nn.Dropout)] == [0.3] * 3
    assert [m.p for m in MLP(4, 3, hidden=(5, 6), dropout=[0.0, 0.3]).modules() if isinstance(m, nn.Dropout)] == [0.3]
    with pytest.raises(ValueError, match="dropout has 2 probabilities for 1 hidden layers"):
        MLP(4, 3, hidden=(5,), dropout=(0.1, 0.2))


def test_dropout_is_compared_on_the_same_samples_from_the_same_start() -> None:
    study = Dropout(seeds=1, epochs=4)
    found = study.find(lambda line: None)
    without, dropped = found.results["no dropout"], found.results["dropout 0.2, 0.5"]
    assert min(without["test"]["accuracy"], dropped["test"]["accuracy"]) > 0.75
    assert without != dropped
    first, second = (make_model(replace(study, **s), prepare_data(study))[0] for s in study.variants.values())
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_what_is_refused(rung: Rung) -> None:
    for words, found in {
        "dropout dropout=0.5,0.5": "dropout is what dropout compares",
        "dropout hidden=64": "two hidden layers",
        "dropout model=lenet": "model is lenet",
    }.items():
        result = rung("train", *words.split())
        assert result.code == 2, words
        assert found in " ".join(result.err.split()), words
