"""Rows of a table as one flat vector."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from rungbook.data.data import as_numpy
from rungbook.data.encoders import ENCODERS, describe_encoder, restore_encoder
from rungbook.data.one_hot import OneHotEncoder, one_hot
from rungbook.data.tabular import table_data


@pytest.fixture
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    n = 60
    colours = rng.choice(["red", "green", "blue"], n)
    shapes = rng.choice(["round", "long"], n)
    size = rng.random(n)
    return pd.DataFrame({"size": size, "colour": colours, "shape": shapes, "ok": np.where(size > 0.5, "yes", "no")})


def test_numbers_then_levels(frame: pd.DataFrame) -> None:
    table = table_data(frame, target="ok", name="t")
    flat = one_hot(table)
    cardinalities = table.encoder.cardinalities  # type: ignore[union-attr]
    numbers, categories = table.encoder.encode(frame)  # type: ignore[union-attr]
    x = flat.encoder.prepare((numbers, categories))  # type: ignore[union-attr]
    assert isinstance(x, torch.Tensor)
    assert x.dtype == torch.float32
    assert x.shape == (60, numbers.shape[1] + sum(cardinalities))
    assert torch.equal(x[:, : numbers.shape[1]], numbers)
    start = numbers.shape[1]
    for i, n in enumerate(cardinalities):
        block = x[:, start : start + n]
        assert torch.equal(block.sum(1), torch.ones(60)), "one level a row"
        assert torch.equal(block.argmax(1), categories[:, i])
        start += n


def test_all_splits_are_flat_and_the_table_is_left_alone(frame: pd.DataFrame) -> None:
    table = table_data(frame, target="ok", name="t")
    flat = one_hot(table)
    for feed in flat.splits().values():
        x, _ = next(iter(feed))
        assert isinstance(x, torch.Tensor)
    for feed in table.splits().values():
        x, _ = next(iter(feed))
        assert isinstance(x, tuple)
    assert flat.encoder is not None
    assert table.encoder is not None
    assert (flat.encoder.kind, table.encoder.kind) == ("one_hot", "table")
    assert (flat.classes, flat.fingerprint) == (table.classes, table.fingerprint)
    assert as_numpy(flat.one_batch(4)[0]).shape[0] == 4


def test_a_level_that_training_never_saw(frame: pd.DataFrame) -> None:
    flat = one_hot(table_data(frame, target="ok", name="t"))
    new = frame.iloc[:2].assign(colour=["violet", None])
    x = flat.encoder.prepare(flat.encoder.encode(new))  # type: ignore[union-attr]
    assert torch.isfinite(x).all()  # type: ignore[arg-type]


def test_it_travels_with_the_model(frame: pd.DataFrame) -> None:
    import json

    flat = one_hot(table_data(frame, target="ok", name="t"))
    assert flat.encoder is not None
    again = restore_encoder(json.loads(json.dumps(describe_encoder(flat.encoder))))
    assert isinstance(again, OneHotEncoder)
    a, b = flat.encoder, again
    assert torch.equal(a.prepare(a.encode(frame)), b.prepare(b.encode(frame)))  # type: ignore[arg-type]


def test_every_kind_of_encoder_is_entered_under_its_kind() -> None:
    from importlib import import_module

    for kind, address in ENCODERS.items():
        module, name = address.split(":")
        assert getattr(import_module(module), name).kind == kind
