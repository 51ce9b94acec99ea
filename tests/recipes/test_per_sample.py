"""What a run keeps of its test samples is what its figures were made of, and no file of that name is believed unread."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from rungbook.data.arrays import array_data
from rungbook.data.data import Data
from rungbook.data.target import ClassTarget, NumberTarget
from rungbook.recipes.per_sample import FILE, PerSample, fits_record, read_per_sample, write_per_sample
from rungbook.recipes.scores import scores


def data_of(labels: torch.Tensor, target: ClassTarget | NumberTarget) -> Data:
    x = torch.arange(2.0 * len(labels)).reshape(-1, 2)
    data = array_data(x, labels, test=0.2)
    data.target = target
    return data


def test_classes_come_back(tmp_path: Path) -> None:
    target = ClassTarget(("a", "b", "c"))
    data = data_of(torch.arange(60) % 3, target)
    assert data.test is not None
    truth = data.test.source.targets()
    output = torch.randn(len(truth), 3, generator=torch.Generator().manual_seed(0))
    write_per_sample(tmp_path, data, truth, output)
    kept = read_per_sample(tmp_path)
    assert isinstance(kept, PerSample)
    figures = scores(target, truth, output)
    assert kept.error is None
    assert kept.right is not None
    assert kept.right.tolist() == (output.argmax(1) == truth).int().tolist()
    assert kept.loss.mean() == pytest.approx(figures["log_loss"], rel=1e-5)
    assert fits_record(kept, figures)
    assert not fits_record(kept, {**figures, "accuracy": figures["accuracy"] + 1 / len(truth)})
    assert not fits_record(kept, {})


@pytest.mark.parametrize("log", [False, True])
def test_numbers_come_back_in_the_users_units(tmp_path: Path, log: bool) -> None:
    values = np.linspace(10, 200, 60)
    target = NumberTarget.fit(values, log=log)
    data = data_of(target.encode(values), target)
    assert data.test is not None
    truth = data.test.source.targets()
    output = truth + 0.1
    write_per_sample(tmp_path, data, truth, output)
    kept = read_per_sample(tmp_path)
    assert isinstance(kept, PerSample)
    assert kept.right is None
    assert kept.error is not None
    assert kept.error == pytest.approx((target.decode(output) - target.values(truth)).numpy(), rel=1e-4)
    assert kept.loss == pytest.approx(0.01, rel=1e-3), "in the model's units"
    figures = scores(target, truth, output)
    assert fits_record(kept, figures)
    assert not fits_record(kept, {**figures, "root_mean_squared_error": 1.001 * figures["root_mean_squared_error"]})


def test_the_order_is_part_of_the_mark(tmp_path: Path) -> None:
    target = ClassTarget(("a", "b"))
    data = data_of(torch.arange(60) % 2, target)
    assert data.test is not None
    marks = data.sample_marks()
    assert len(marks) == data.test.samples == len(set(marks))
    truth = data.test.source.targets()
    orders = []
    for name, other in (("a", data), ("b", data_of(torch.arange(60) % 2, target))):
        (tmp_path / name).mkdir()
        write_per_sample(tmp_path / name, other, truth, torch.zeros(len(truth), 2))
        kept = read_per_sample(tmp_path / name)
        assert isinstance(kept, PerSample)
        orders.append(kept.order)
    assert orders[0] == orders[1]
    turned = data_of(torch.arange(60) % 2, target)
    assert turned.test is not None
    turned.sample_marks = lambda: marks[::-1]  # type: ignore[method-assign]
    write_per_sample(tmp_path / "b", turned, truth, torch.zeros(len(truth), 2))
    again = read_per_sample(tmp_path / "b")
    assert isinstance(again, PerSample)
    assert again.order != orders[0]
    assert turned.test_mark() == data.test_mark(), "while the mark of the samples does not know an order"


RIGHT = torch.tensor([1, 0, 1], dtype=torch.uint8)
LOSS = torch.rand(3)
BAD = {
    "empty": b"",
    "no header": b"\xff" * 64,
    "endless header": struct.pack("<Q", 2**62) + b"{}",
    "cut short": safetensors.torch.save({"right": RIGHT, "loss": LOSS}, {"samples": "m"})[:-4],
    "pickle": b"\x80\x04cos\nsystem\n(S'true'\ntR.",
    "no mark": safetensors.torch.save({"right": RIGHT, "loss": LOSS}),
    "no loss": safetensors.torch.save({"right": RIGHT}, {"samples": "m"}),
    "more": safetensors.torch.save({"right": RIGHT, "loss": LOSS, "x": LOSS + 1}, {"samples": "m"}),
    "other lengths": safetensors.torch.save({"right": RIGHT, "loss": torch.rand(4)}, {"samples": "m"}),
    "other kind": safetensors.torch.save({"right": LOSS + 0.1, "loss": LOSS}, {"samples": "m"}),
    "no vector": safetensors.torch.save({"right": RIGHT.reshape(3, 1), "loss": LOSS.reshape(3, 1)}, {"samples": "m"}),
    "no samples": safetensors.torch.save({"right": RIGHT[:0], "loss": LOSS[:0]}, {"samples": "m"}),
    "scalar": safetensors.torch.save({"right": RIGHT[0], "loss": LOSS[0]}, {"samples": "m"}),
    "not finite": safetensors.torch.save({"right": RIGHT, "loss": LOSS / 0}, {"samples": "m"}),
    "no answers": safetensors.torch.save({"right": RIGHT + 7, "loss": LOSS}, {"samples": "m"}),
}


@pytest.mark.parametrize("name", BAD)
def test_damaged_and_hostile_files_are_words(tmp_path: Path, name: str) -> None:
    (tmp_path / FILE).write_bytes(BAD[name])
    said = read_per_sample(tmp_path)
    assert isinstance(said, str)
    assert FILE in said
    good = safetensors.torch.save({"right": RIGHT, "loss": LOSS}, {"samples": "m"})
    (tmp_path / FILE).write_bytes(good)
    assert isinstance(read_per_sample(tmp_path), PerSample), "the control"


def test_neither_missing_nor_a_pipe(tmp_path: Path) -> None:
    assert "kept no" in str(read_per_sample(tmp_path))
    os.mkfifo(tmp_path / FILE)
    assert "cannot be read" in str(read_per_sample(tmp_path)), "and nothing waits for a writer"


def test_every_flipped_bit_is_noticed_or_harmless(tmp_path: Path) -> None:
    target = ClassTarget(("a", "b"))
    data = data_of(torch.arange(60) % 2, target)
    assert data.test is not None
    truth = data.test.source.targets()
    output = torch.randn(len(truth), 2, generator=torch.Generator().manual_seed(1))
    write_per_sample(tmp_path, data, truth, output)
    content = (tmp_path / FILE).read_bytes()
    good = read_per_sample(tmp_path)
    assert isinstance(good, PerSample)
    figures = json.loads(json.dumps(scores(target, truth, output)))
    for i in range(len(content)):
        (tmp_path / FILE).write_bytes(content[:i] + bytes([content[i] ^ 1]) + content[i + 1 :])
        kept = read_per_sample(tmp_path)
        if isinstance(kept, PerSample) and kept.order == good.order and fits_record(kept, figures):
            assert kept.right is not None
            assert kept.right.tolist() == good.right.tolist()  # type: ignore[union-attr]
